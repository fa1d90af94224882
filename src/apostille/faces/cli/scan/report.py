"""What a scan prints for people, and its JSON document. Characters that were found are written U+XXXX, never as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from apostille.core.canon import Residue
from apostille.errors import ApostilleError
from apostille.faces import codes
from apostille.faces.cli.meanings import LEVELS, meaning, what_became
from apostille.faces.cli.scan.look import Located, Look
from apostille.faces.cli.terminal import plain

STDIN_NAME = "stdin"
_COLORS = {"note": "dim", "warning": "yellow", "hidden": "bold red", "error": "bold red"}
_LINE_CHARACTERS = 1_000
_NAME_CHARACTERS = 4_096


@dataclass(slots=True)
class Scan:
    """All that one scan saw.

    Attributes:
        least: The lowest level that makes it fail; ``None``: nothing does.
        looks: Of the files in which something was found, or of which something has to be said.
        scanned: Files that were looked at.
        skipped: Why others were not, and how many.
        failed: What could not be read, with the error.
        counts: Findings of each level.
        bits: Residue, all files together.
        characters: In all of them.
    """

    least: str | None
    looks: list[Look] = field(default_factory=list)
    scanned: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, ApostilleError]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    bits: int = 0
    characters: int = 0

    def add(self, look: Look) -> None:
        """Take what was seen in a file."""
        self.scanned += 1
        self.counts += look.counts
        if look.residue is not None:
            self.bits += look.residue.bits
            self.characters += look.residue.characters
        if look.counts or look.notice:
            self.looks.append(look)

    @property
    def listed(self) -> int:
        """Findings that are listed so far."""
        return sum(len(look.listed) for look in self.looks)

    @property
    def failing(self) -> int:
        """Findings of the levels that make the scan fail."""
        return 0 if self.least is None else sum(self.counts[name] for name in LEVELS[LEVELS.index(self.least) :])

    @property
    def exit_code(self) -> int:
        """1 for findings; else the gravest of what could not be read, else 0."""
        failed = [codes.exit_code(error) for _, error in self.failed]
        return codes.gravest([codes.ALTERED if self.failing else codes.VERIFIED, *failed])

    @property
    def residue(self) -> str:
        """The sentence that every report prints."""
        return str(Residue(self.bits, (), self.characters))


def display_name(name: str) -> str:
    """Give the name of a file as it is printed; ``-`` is called stdin."""
    return STDIN_NAME if name == "-" else name


def lines(scan: Scan) -> Iterator[str]:
    """Give the report for people, a line each, in markup."""
    codes_seen: set[str] = set()
    for look in scan.looks:
        name = plain(display_name(look.name), limit=_NAME_CHARACTERS)
        if look.notice:
            yield f"{name}: [yellow]{plain(look.notice)}[/]"
        for found in look.listed:
            codes_seen.add(found.finding.code)
            color = _COLORS[found.level]
            place = f"{name}:{found.start.line}:{found.start.column}"
            told = plain(what_became(found.finding), limit=_LINE_CHARACTERS)
            yield f"{place}: [{color}]{found.finding.code}[/] {found.level}: {told}"
        if look.unlisted:
            yield f"{name}: and {look.unlisted} findings more, not listed"
    for code in sorted(codes_seen):
        yield f"[dim]{code}: {meaning(code)}[/]"
    yield from _summary(scan)


def _summary(scan: Scan) -> Iterator[str]:
    counts = ", ".join(f"{scan.counts[name]} {name}" for name in reversed(LEVELS) if scan.counts[name]) or "nothing"
    color = "red" if scan.failing else "green"
    files = "1 file" if scan.scanned == 1 else f"{scan.scanned} files"
    yield f"[bold {color}]{counts}[/] found in {files}"
    quiet = sum(scan.counts.values()) - scan.failing
    if scan.least is not None and quiet:
        yield f"[dim]{quiet} below {scan.least} not listed: --fail-on note lists them[/]"
    if scan.skipped:
        yield "[dim]not looked at: " + ", ".join(f"{why} ({count})" for why, count in sorted(scan.skipped.items())) + "[/]"
    if scan.failed:
        yield f"[bold red]{len(scan.failed)} could not be read[/]"
    yield f"[dim]{scan.residue}[/]"


def as_json(scan: Scan) -> dict[str, Any]:
    """Give the one JSON document of a scan."""
    return {
        "exit": scan.exit_code,
        "scanned": scan.scanned,
        "counts": {name: scan.counts[name] for name in LEVELS},
        "fail_on": scan.least or "never",
        "files": [_look_as_json(look) for look in scan.looks],
        "skipped": dict(sorted(scan.skipped.items())),
        "failed": [{"file": display_name(name), **codes.as_json(error)} for name, error in scan.failed],
        "residue_bits": scan.bits,
        "residue": scan.residue,
    }


def _look_as_json(look: Look) -> dict[str, Any]:
    return {
        "file": display_name(look.name),
        "media_type": look.media_type,
        "profile": look.profile,
        "counts": {name: look.counts[name] for name in LEVELS},
        "findings": [_located_as_json(found) for found in look.listed],
        "unlisted": look.unlisted,
        "residue_bits": None if look.residue is None else look.residue.bits,
        "notice": look.notice,
    }


def _located_as_json(found: Located) -> dict[str, Any]:
    places = {"line": found.start.line, "column": found.start.column}
    ends = {"end_line": found.end.line, "end_column": found.end.column}
    return {**found.finding.as_json(), "level": found.level, **places, **ends, "offset": found.offset, "bytes": found.length}
