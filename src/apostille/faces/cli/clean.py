"""``apostille clean``: canonical bytes to stdout, findings to stderr or a file."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from apostille.core.canon import Canonicalizer, canonicalize, format_findings
from apostille.core.canon.findings import Finding
from apostille.core.canon.options import parse_text_options, parse_words
from apostille.core.canon.policy import parse_policy
from apostille.faces.cli.meanings import spelt
from apostille.faces.cli.terminal import STDIN, Terminal, plain, read_input, write_output

_CHUNK = 65_536


def clean(
    terminal: Terminal,
    name: str,
    *,
    profile: str,
    media_type: str | None,
    findings_file: Path | None,
    links: dict[str, Any] | None = None,
    options: list[str] | None = None,
) -> int:
    """Clean a file or stdin. Text is streamed, so that a pipe of any length needs little memory."""
    policy = parse_policy(links or {}, parse_text_options(parse_words(options or [])))
    media_type = media_type or guess_type(name)
    whole = partial(canonicalize, media_type=media_type, profile=profile, is_file=True, policy=policy)
    if terminal.as_json:
        canonical = whole(read_input(name))
        found = canonical.findings
        terminal.document(
            {
                "text": canonical.bytes.decode("utf-8", "replace"),
                "profile": canonical.profile,
                "findings": [finding.as_json() for finding in found],
            }
        )
    elif name == STDIN and media_type.startswith("text/"):
        machine = Canonicalizer(media_type=media_type, profile=profile, is_file=True, policy=policy)
        while chunk := os.read(sys.stdin.fileno(), _CHUNK):
            sys.stdout.buffer.write(machine.feed(chunk))
            sys.stdout.buffer.flush()
        sys.stdout.buffer.write(machine.flush())
        sys.stdout.buffer.flush()
        found = machine.findings
    else:
        canonical = whole(read_input(name))
        found = canonical.findings
        sys.stdout.buffer.write(canonical.bytes)
        sys.stdout.buffer.flush()
    if findings_file is not None:
        write_output(findings_file, format_findings(found))
    for line in describe(found):
        terminal.say(line)
    return 0


def guess_type(name: str) -> str:
    """Give the media type of a file by its name: Markdown, else plain text."""
    return "text/markdown" if name.endswith((".md", ".markdown")) else "text/plain"


def describe(findings: tuple[Finding, ...]) -> list[str]:
    """Return a line for each finding, at most fifty, with code points as U+XXXX."""
    lines = [_line(finding) for finding in findings[:50]]
    if len(findings) > len(lines):
        lines.append(f"and {len(findings) - len(lines)} findings more")
    return lines


def _line(finding: Finding) -> str:
    color = {"i": "dim", "w": "yellow"}.get(finding.severity, "red")
    was = " ".join(f"U+{point:04X}" for point in finding.was[:8]) + (" .." if len(finding.was) > 8 else "")
    now = " ".join(f"U+{point:04X}" for point in finding.now[:8])
    change = f"{was} -> {now}" if now else was
    told = plain(spelt(finding), limit=1_000)
    return f"[{color}]{finding.code}[/] {finding.act} at byte {finding.position}: {change} ({finding.count}){told}"
