"""From byte offsets to lines and columns, in one pass over the bytes and in little memory.

Lines end with LF, as in SARIF (CR LF ends with one). Columns count characters (code points) from 1. A byte order mark at the
beginning counts neither for lines nor for columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, NamedTuple

_CHUNK = 65_536
_BOM = b"\xef\xbb\xbf"
_CONTINUATION = bytes(range(0x80, 0xC0))


class Place(NamedTuple):
    """A place in a text.

    Attributes:
        line: From 1.
        column: From 1, in characters.
    """

    line: int
    column: int


def find_places(file: IO[bytes], offsets: Iterable[int]) -> dict[int, Place]:
    """Read a file from its beginning, as far as needed, and place each offset; one behind its end is placed at the end."""
    wanted = sorted(set(offsets))
    places: dict[int, Place] = {}
    line, column, start, at = 1, 1, 0, 0
    while at < len(wanted):
        chunk = file.read(_CHUNK)
        done = len(_BOM) if start == 0 and chunk.startswith(_BOM) else 0
        while at < len(wanted) and (wanted[at] < start + len(chunk) or not chunk):
            here = max(wanted[at] - start, done)
            line, column = _advance(chunk[done:here], line, column)
            places[wanted[at]] = Place(line, column)
            done = here
            at += 1
        line, column = _advance(chunk[done:], line, column)
        start += len(chunk)
    return places


def _advance(data: bytes, line: int, column: int) -> tuple[int, int]:
    feeds = data.count(b"\n")
    if feeds:
        data = data[data.rfind(b"\n") + 1 :]
        column = 1
    return line + feeds, column + len(data.translate(None, _CONTINUATION))
