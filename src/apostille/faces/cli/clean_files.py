"""``apostille clean --in-place``: files become their canonical form, atomically, and only those that are not it already.

Like other formatters it ends with 1 where it changed something, so that a hook stops the commit and a person looks.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from apostille.core.canon import Canonical, canonicalize
from apostille.core.canon.options import parse_text_options, parse_words
from apostille.core.canon.policy import SOURCE, Policy, parse_policy
from apostille.core.canon.profiles import kind_of
from apostille.errors import ApostilleError, NotFoundError, StorageUnavailableError
from apostille.faces import codes
from apostille.faces.cli.scan.look import CODE, media_type_of
from apostille.faces.cli.terminal import Terminal, plain, read_input
from apostille.storage import files

_NAME_CHARACTERS = 4_096
_MODE = 0o7777


def clean_files(
    terminal: Terminal,
    names: list[str],
    *,
    profile: str,
    media_type: str | None,
    links: dict[str, Any] | None = None,
    options: list[str] | None = None,
) -> int:
    """Clean each file where it is; a file that can't be cleaned stays as it is, is named, and the others are cleaned.

    Returns:
        0 if all were clean; 1 if something was changed; else the gravest code of what could not be cleaned.
    """
    # Comments and images of files that somebody keeps are theirs, unless they are said to be answers in Markdown.
    text = parse_text_options(parse_words(options or []))
    policy = replace(SOURCE, text=text) if media_type is None else parse_policy(links or {}, text)
    found: list[int] = []
    documents: list[dict[str, Any]] = []
    for name in dict.fromkeys(names):
        shown = plain(name, limit=_NAME_CHARACTERS)
        try:
            cleaned = _clean(terminal, name, profile, media_type, policy)
        except ApostilleError as error:
            documents.append({"file": name, **codes.as_json(error)})
            terminal.complain(f"[bold red]error[/] ({error.code}): {shown}: {plain(error)}")
            found.append(codes.exit_code(error))
            continue
        if cleaned is None:
            documents.append({"file": name, "changed": False})
            continue
        changes: Counter[str] = Counter()
        for finding in cleaned.findings:
            changes[finding.code] += 0 if finding.act in {"keep", "report"} else finding.count
        changes = +changes
        documents.append({"file": name, "changed": True, "profile": cleaned.profile, "changes": dict(changes)})
        terminal.show(f"cleaned {shown}: {', '.join(f'{code} {count}' for code, count in changes.items())}")
        found.append(codes.ALTERED)
    terminal.document(documents)
    return codes.gravest([codes.VERIFIED, *found])


def _clean(terminal: Terminal, name: str, profile: str, media_type: str | None, policy: Policy) -> Canonical | None:
    """Clean one file; return what was changed, or nothing where it was clean.

    Raises:
        ApostilleError: It can't be read, cleaned or written; it is as it was.
    """
    used = media_type or media_type_of(name) or CODE
    if media_type is None and kind_of(used) == "json":
        terminal.say(f"{plain(name)} is JSON, left as it is: --media-type application/json would write it as one line (RFC 8785)")
        return None
    before = _status(name)
    data = read_input(name)
    canonical = canonicalize(data, media_type=used, profile=profile, is_file=True, policy=policy)
    if canonical.bytes == data:
        return None
    # The file itself, where a link leads to it.
    path = Path(os.path.realpath(name))
    if _identity(_status(name)) != _identity(before):
        raise StorageUnavailableError("it was changed by somebody else meanwhile: clean it again")
    files.replace_file(path, canonical.bytes, mode=stat.S_IMODE(before.st_mode))
    _keep_status(path, before)
    return canonical


def _status(name: str) -> os.stat_result:
    try:
        status = os.stat(name)  # noqa: PTH116 - through links: the file that is meant
    except (OSError, ValueError) as error:
        raise NotFoundError(f"there is no file {name[:300]}") from error
    if not stat.S_ISREG(status.st_mode):
        raise NotFoundError("it is no regular file, so it can't be cleaned in place")
    return status


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _keep_status(path: Path, before: os.stat_result) -> None:
    """Give the new file the owner and the permissions of the old one, as far as we may."""
    now = path.stat()
    with contextlib.suppress(OSError):
        if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
            os.chown(path, before.st_uid, before.st_gid)
        if now.st_mode != before.st_mode:
            path.chmod(before.st_mode & _MODE)
