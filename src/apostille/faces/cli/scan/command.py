"""The command: options in, a report and an exit code out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from apostille.core.canon.profiles import find_profile, kind_of
from apostille.errors import ConfigurationError
from apostille.faces.cli.scan.look import look, open_target
from apostille.faces.cli.scan.report import Scan, as_json, display_name, lines
from apostille.faces.cli.scan.sarif import as_sarif
from apostille.faces.cli.scan.walk import BINARY, Globs, Target, unreadable, walk
from apostille.faces.cli.terminal import Terminal, plain, without_colors, write_output

NEVER = "never"
INTERRUPTED = 130
# Findings that are listed: for people, of one file and in all; for programs, in all (code hosts take no more).
MAX_SHOWN_OF_FILE = 100
MAX_SHOWN = 1_000
MAX_LISTED = 25_000


def scan(
    terminal: Terminal,
    paths: list[str],
    *,
    include: list[str],
    exclude: list[str],
    media_type: str | None,
    profile: str,
    form: str,
    output: Path | None,
    fail_on: str,
) -> int:
    """Scan files, folders and stdin; print one report; return 1 for findings of the level that is asked for."""
    find_profile(profile)
    if media_type is not None and kind_of(media_type) == "opaque":
        raise ConfigurationError(
            f"nothing is known of {media_type[:80]!r}; there are: text/plain, text/markdown, application/json, .."
        )
    form = "json" if terminal.as_json and form == "human" else form
    seen = Scan(None if fail_on == NEVER else fail_on)
    found = walk(paths, Globs(include, exclude))
    seen.skipped, seen.failed = found.skipped, found.failed
    # People are shown what counts; programs filter by themselves.
    least = seen.least if form == "human" and seen.least is not None else "note"
    try:
        _look_at_all(terminal, seen, found.targets, media_type, profile, least, is_for_people=form == "human")
    except KeyboardInterrupt:
        terminal.say(f"interrupted after {seen.scanned} of {len(found.targets)} files; nothing is reported")
        return INTERRUPTED
    for name, error in seen.failed:
        terminal.complain(f"[bold red]error[/] ({error.code}): {plain(display_name(name), limit=4096)}: {plain(error)}")
    _print(terminal, seen, form, output)
    return seen.exit_code


def _look_at_all(
    terminal: Terminal,
    seen: Scan,
    targets: list[Target],
    media_type: str | None,
    profile: str,
    least: str,
    *,
    is_for_people: bool,
) -> None:
    total, done = sum(target.size for target in targets), 0
    with terminal.progress("scanning") as progress:

        def report(size: int) -> None:
            nonlocal done
            done += size
            if progress is not None:
                progress(done, max(total, done))

        for target in targets:
            room = (MAX_SHOWN if is_for_people else MAX_LISTED) - seen.listed
            room = min(room, MAX_SHOWN_OF_FILE) if is_for_people else room
            try:
                with open_target(target, sys.stdin.buffer) as file:
                    one = look(target.name, file, media_type=media_type, profile=profile, least=least, room=room, progress=report)
            except OSError as error:
                seen.failed.append((target.name, unreadable(target.name, error)))
                continue
            if one is None:
                seen.skipped[BINARY] += 1
            else:
                seen.add(one)


def _print(terminal: Terminal, seen: Scan, form: str, output: Path | None) -> None:
    if form == "human":
        text = [*lines(seen)]
        if output is None:
            for line in text:
                terminal.show(line)
        else:
            write_output(output, "".join(f"{without_colors(line)}\n" for line in text).encode("utf-8", "backslashreplace"))
        return
    document: dict[str, Any] = as_json(seen) if form == "json" else as_sarif(seen)
    written = json.dumps(document, indent=2)  # escapes: file names are printed to terminals too
    if output is None:
        sys.stdout.write(written + "\n")
    else:
        write_output(output, written.encode("ascii") + b"\n")
