"""Look at one file or pipe: its media type, its findings, and where they are in it.

The bytes are read as the profile would clean them, and what it gives back is thrown away: so a finding says exactly what
``clean`` would do. Code is only reported on. Text is read in pieces; JSON is held, up to 16 MiB.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import IO

from apostille.core.canon import Canonicalizer, Residue, profile_id
from apostille.core.canon.findings import Finding
from apostille.core.canon.json_values import MAX_BYTES
from apostille.core.canon.policy import DEFAULT, SOURCE, Policy
from apostille.core.canon.profiles import kind_of
from apostille.errors import CanonicalizationError, MalformedError
from apostille.faces.cli.meanings import LEVELS, level
from apostille.faces.cli.scan.json_places import Span, find_spans
from apostille.faces.cli.scan.places import Place, find_places
from apostille.faces.cli.scan.walk import Target

CODE = "text/x-code"
JSON = "application/json"
TEXT = "text/plain"
CHUNK_BYTES = 65_536
_SPOOL_BYTES = 2**23
_HEAD_BYTES = 8_000
_REPLACEMENT = "\ufffd".encode()
_MARKDOWN = "text/markdown"
_TYPES = {
    **dict.fromkeys((".md", ".markdown", ".mdown", ".mkd"), _MARKDOWN),
    **dict.fromkeys((".json", ".geojson", ".ipynb", ".webmanifest"), JSON),
    **dict.fromkeys((".txt", ".text", ".log", ".rst", ".adoc", ".org", ".eml", ".srt", ".vtt", ".po"), TEXT),
    **dict.fromkeys((".html", ".htm", ".xhtml"), "text/html"),
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
}
# Endings of program text, settings and markup: never taken for binary, whatever bytes are in them.
_CODE_ENDINGS = (
    ".ada .asm .awk .bash .bat .c .cc .cfg .cjs .clj .cmake .cmd .conf .cpp .cs .css .cts .cxx .dart .diff .el .erl .ex "
    ".exs .f90 .fish .fs .go .gradle .graphql .groovy .h .hh .hpp .hs .hxx .ini .java .jl .js .json5 .jsonc .jsonl .jsx .kt "
    ".kts .less .lisp .lock .lua .m .mjs .ml .mli .mm .mts .ndjson .nim .nix .patch .php .pl .pm .properties .proto .ps1 "
    ".pxd .py .pyi .pyx .r .rb .rs .sass .scala .scm .scss .sh .sol .sql .svelte .svg .swift .tcl .tex .tf .toml .ts .tsx "
    ".v .vb .vhd .vue .xml .xsd .xsl .yaml .yml .zig .zsh"
)
_CODE = frozenset(_CODE_ENDINGS.split(" "))


@dataclass(frozen=True, slots=True)
class Located:
    """A finding and where it is.

    Attributes:
        finding: As the canonicalizer gave it.
        start: Of its first byte.
        end: Behind its last byte.
        offset: Of the first byte in the file, which inside JSON is not ``finding.position``.
        length: Bytes in the file.
    """

    finding: Finding
    start: Place
    end: Place
    offset: int
    length: int

    @property
    def level(self) -> str:
        """``note``, ``warning``, ``hidden`` or ``error``."""
        return level(self.finding.severity)


@dataclass(slots=True)
class Look:
    """What was seen in one file.

    Attributes:
        name: As it is printed.
        media_type: By which it was read.
        profile: The whole id.
        counts: How many of each level, all of them.
        listed: The findings, as many as there was room for.
        unlisted: How many of them were not listed for want of room.
        residue: Of what is kept; nothing is known of JSON that is refused.
        notice: What a reader has to know about how it was read.
    """

    name: str
    media_type: str
    profile: str
    counts: Counter[str] = field(default_factory=Counter)
    listed: list[Located] = field(default_factory=list)
    unlisted: int = 0
    residue: Residue | None = None
    notice: str | None = None


def media_type_of(name: str) -> str | None:
    """Tell the media type by the ending of a name; ``None`` where the ending says nothing."""
    ending = PurePath(name).suffix
    ending = ending.lower() if ending.isascii() else ""
    return _TYPES.get(ending) or (CODE if ending in _CODE else None)


def open_target(target: Target, stdin: IO[bytes]) -> IO[bytes]:
    """Open a file, or take a pipe into a file without a name, since findings are placed in a second reading.

    Raises:
        OSError: It can't be read.
    """
    if target.name == "-":
        return _spooled(stdin)
    # What was found in a folder was a regular file: nobody may put a link or a pipe in its place meanwhile.
    flags = os.O_RDONLY | os.O_CLOEXEC | (0 if target.is_named else os.O_NOFOLLOW | os.O_NONBLOCK)
    file = os.fdopen(os.open(target.name, flags), "rb")
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode):
        return file
    with file:
        return _spooled(file)


def _spooled(source: IO[bytes]) -> IO[bytes]:
    spool = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # noqa: SIM115 - the caller closes it
    while chunk := source.read(CHUNK_BYTES):
        spool.write(chunk)
    spool.seek(0)
    return spool


def look(
    name: str, file: IO[bytes], *, media_type: str | None, profile: str, least: str, room: int, progress: Callable[[int], None]
) -> Look | None:
    """Look at one file.

    Args:
        name: As it is printed.
        file: The file, at its beginning; it must be seekable.
        media_type: What the user says it is; else the ending of the name decides, and what has no known ending is code.
        profile: Name of the profile that decides what is found.
        least: Lowest level to list.
        room: Findings to list at most.
        progress: Told the number of bytes of each piece.

    Returns:
        What was seen, or ``None`` for a binary file.

    Raises:
        OSError: It can't be read.
    """
    known = media_type or (TEXT if name == "-" else media_type_of(name))
    if known is None and b"\0" in file.read(_HEAD_BYTES):
        return None
    used = known or CODE
    file.seek(0)
    if kind_of(used) == "json":
        return _look_at_json(name, file, profile, least, room, progress)
    policy = SOURCE if media_type is None else DEFAULT
    machine = Canonicalizer(media_type=used, profile=profile, is_file=True, policy=policy)
    seen = Look(name, used, machine.profile)
    findings = _run(machine, file, progress)
    if [finding.code for finding in findings] == ["ENC_INVALID"]:
        findings = (*_before(findings[0].position, file, used, profile, policy), *findings)
    seen.residue = machine.residue
    _list(seen, findings, {}, file, least, room)
    return seen


def _run(machine: Canonicalizer, file: IO[bytes], progress: Callable[[int], None]) -> tuple[Finding, ...]:
    try:
        while chunk := file.read(CHUNK_BYTES):
            machine.feed(chunk)
            progress(len(chunk))
        machine.flush()
    except CanonicalizationError as error:
        return _of(error)
    return machine.findings


def _before(end: int, file: IO[bytes], media_type: str, profile: str, policy: Policy) -> tuple[Finding, ...]:
    """Look at what stands before a byte that is no UTF-8; U+FFFD stands for the rest, which is not looked at."""
    machine = Canonicalizer(media_type=media_type, profile=profile, is_file=True, policy=policy)
    file.seek(0)
    try:
        for start in range(0, end, CHUNK_BYTES):
            machine.feed(file.read(min(CHUNK_BYTES, end - start)))
        machine.feed(_REPLACEMENT)
        machine.flush()
    except CanonicalizationError as error:
        return _of(error)
    return tuple(finding for finding in machine.findings if finding.position < end)


def _of(error: CanonicalizationError) -> tuple[Finding, ...]:
    return tuple(finding for finding in error.findings if isinstance(finding, Finding))


def _look_at_json(name: str, file: IO[bytes], profile: str, least: str, room: int, progress: Callable[[int], None]) -> Look:
    seen = Look(name, JSON, profile_id(profile))
    machine = Canonicalizer(media_type=JSON, profile=profile, is_file=True)
    try:
        findings = _run(machine, file, progress)
    except MalformedError as error:
        # Settings with comments, several documents in one file: still worth a look.
        file.seek(0)
        seen = look(name, file, media_type=CODE, profile=profile, least=least, room=room, progress=lambda _: None) or seen
        seen.notice = f"is no JSON ({error}): looked at as code, without decoding its escapes"
        return seen
    if [finding.code for finding in findings] == ["ENC_INVALID"] and findings[0].pointer is None:
        # Escapes can't be decoded without the end of the document; what stands there as it is can be seen.
        before = _before(findings[0].position, file, CODE, profile, SOURCE)
        _list(seen, (*before, *findings), {}, file, least, room)
        return seen
    seen.residue = machine.residue
    file.seek(0)
    data = file.read(MAX_BYTES) if any(finding.pointer is not None for finding in findings) else b""
    _list(seen, findings, find_spans(data, findings), file, least, room)
    return seen


def _list(seen: Look, findings: Iterable[Finding], spans: dict[Finding, Span], file: IO[bytes], least: str, room: int) -> None:
    placed: list[tuple[Finding, int, int]] = []
    for finding in findings:
        grade = level(finding.severity)
        count = 1 if finding.code == "FINDINGS_CUT" else finding.count
        seen.counts[grade] += count
        if LEVELS.index(grade) < LEVELS.index(least):
            continue
        if len(placed) == room:
            seen.unlisted += count
            continue
        whole = (0, 0) if finding.pointer is not None else (finding.position, finding.position + finding.length)
        placed.append((finding, *spans.get(finding, whole)))
    file.seek(0)
    places = find_places(file, (offset for _, start, end in placed for offset in (start, end)))
    seen.listed = [Located(finding, places[start], places[end], start, end - start) for finding, start, end in placed]
    seen.listed.sort(key=lambda found: found.offset)
