r"""Where in the raw bytes of a JSON document a finding stands that names a string by its JSON Pointer.

A finding inside JSON counts bytes of the decoded string, since ``\u200b`` hides as well as the character itself. To show the
place, the document is read once more as tokens, and the escapes of the strings that are asked for are walked through, once each.

Spec: canonical.md section 4 (``pointer``); RFC 6901; RFC 8259.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from apostille.core.canon.findings import Finding
from apostille.core.canon.json_values import MAX_POINTER

Span = tuple[int, int]

_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},:]', re.DOTALL)
_PIECES = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.|[^\\]+", re.DOTALL)
_ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
# Strings of one pointer: a key, its value, and the same again where a key stands twice.
_MAX_CANDIDATES = 8
_OF_KEYS = frozenset({"JSON_DUP_KEY", "JSON_KEY_TWIN"})


@dataclass(slots=True)
class _Frame:
    """An array or object that is being read.

    Attributes:
        prefix: Its pointer; ``None`` where that is too long to be named.
        is_object: Else an array.
        step: The key or the index at which the reader is.
        is_key: The next string is a key.
    """

    prefix: str | None
    is_object: bool
    step: str | int
    is_key: bool


def find_spans(data: bytes, findings: Iterable[Finding]) -> dict[Finding, Span]:
    """Give start and end in the raw bytes for each finding that has a pointer; those that can not be found are left out.

    A pointer may name a key or its value, and after duplicate keys several of them: the first one counts that holds what was
    found; for a key that stands twice, the last.

    Args:
        data: A whole document that keeps the grammar.
        findings: As ``canonicalize`` gave them.
    """
    asked: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.pointer is not None:
            asked.setdefault(finding.pointer, []).append(finding)
    strings: dict[str, list[tuple[Span, bool]]] = {}
    for pointer, span, is_key in _strings(data) if asked else ():
        if pointer in asked and len(strings.setdefault(pointer, [])) < _MAX_CANDIDATES:
            strings[pointer].append((span, is_key))
    found: dict[Finding, Span] = {}
    for pointer, spans in strings.items():
        exact: dict[Finding, Span] = {}
        for span, is_key in spans:
            for finding, place, is_exact in _inside(data[span[0] : span[1]], span[0], asked[pointer]):
                if finding.code in _OF_KEYS:
                    found[finding] = place if is_key else found.get(finding, place)
                elif is_exact:
                    exact.setdefault(finding, place)
                else:
                    found[finding] = place
        found |= exact
    return found


def _strings(data: bytes) -> Iterator[tuple[str, Span, bool]]:
    """Give the pointer and the place, without the quotes, of each string, and whether it is a key."""
    frames: list[_Frame] = []
    for match in _TOKENS.finditer(data):
        token = match.group()
        top = frames[-1] if frames else None
        if token in (b"{", b"["):
            frames.append(_Frame(_pointer(top), token == b"{", 0, token == b"{"))
        elif token in (b"}", b"]"):
            if frames:
                frames.pop()
        elif token == b",":
            if top is not None:
                top.is_key = top.is_object
                top.step = top.step + 1 if isinstance(top.step, int) and not top.is_object else top.step
        elif token == b":":
            if top is not None:
                top.is_key = False
        else:
            if top is not None and top.is_key:
                decoded = b"".join(text for _, _, text in _pieces(token[1:-1]))
                top.step = decoded.decode("utf-8", "surrogatepass")
            where = _pointer(top)
            if where is not None:
                yield where, (match.start() + 1, match.end() - 1), top is not None and top.is_key


def _pointer(top: _Frame | None) -> str | None:
    if top is None:
        return ""
    if top.prefix is None:
        return None
    token = str(top.step)[:MAX_POINTER].replace("~", "~0").replace("/", "~1")
    whole = f"{top.prefix}/{token.encode('utf-8', 'backslashreplace').decode('utf-8')}"
    return whole if len(whole) <= MAX_POINTER else None


def _pieces(literal: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Give start, end and decoded bytes of each part of a string."""
    for match in _PIECES.finditer(literal):
        piece = match.group()
        if not piece.startswith(b"\\"):
            text = piece
        elif piece[1:2] == b"u":
            units = b"".join(int(piece[at : at + 4], 16).to_bytes(2, "big") for at in range(2, len(piece), 6))
            text = units.decode("utf-16-be", "surrogatepass").encode("utf-8", "surrogatepass")
        else:
            text = _ESCAPES.get(piece[1:], piece[1:])
        yield match.start(), match.end(), text


def _inside(literal: bytes, base: int, findings: list[Finding]) -> Iterator[tuple[Finding, Span, bool]]:
    """Give the raw place of each finding in one string, and whether it holds what was found."""
    firsts = sorted({finding.position for finding in findings}, reverse=True)
    lasts = sorted({finding.position + finding.length for finding in findings}, reverse=True)
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    decoded = bytearray()
    for start, end, text in _pieces(literal):
        at = len(decoded)
        decoded += text
        is_escape = literal.startswith(b"\\", start)
        while firsts and firsts[-1] < len(decoded):
            first = firsts.pop()
            starts[first] = start if is_escape else start + first - at
        while lasts and lasts[-1] <= len(decoded):
            last = lasts.pop()
            ends[last] = end if is_escape else start + last - at
    for finding in findings:
        begin = starts.get(finding.position, len(literal))
        stop = max(begin, ends.get(finding.position + finding.length, len(literal)))
        was = "".join(map(chr, finding.was)).encode("utf-8", "surrogatepass")
        is_exact = finding.position in starts and decoded.startswith(was, finding.position)
        yield finding, (base + begin, base + stop), is_exact
