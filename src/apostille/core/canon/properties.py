"""Properties of characters, read from the pinned tables: sets, and maps from a code point to a word.

Nothing here asks the interpreter, whose Unicode version is another on each Python. The maps hold ranges; a value that was asked
for once is remembered.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from apostille.core.canon.tables import properties, ucd

if TYPE_CHECKING:
    from collections.abc import Iterator


def parse_ranges(text: str, separator: str = " ") -> Iterator[int]:
    """Read ``"300-36f 483"``: every code point in hexadecimal ranges."""
    for word in text.split(separator):
        first, _, last = word.partition("-")
        yield from range(int(first, 16), int(last or first, 16) + 1)


class RangeMap:
    """A map from code points to words that holds ranges only.

    Args:
        text: ``"Latin:41-5a,61-7a Greek:370-373"``.
        default: What every other code point has.
    """

    def __init__(self, text: str, default: str) -> None:
        rows: list[tuple[int, int, str]] = []
        for part in text.split(" "):
            word, _, ranges = part.partition(":")
            for one in ranges.split(","):
                first, _, last = one.partition("-")
                rows.append((int(first, 16), int(last or first, 16), word))
        rows.sort()
        self._starts = [row[0] for row in rows]
        self._rows = rows
        self._default = default

    def points(self, word: str) -> Iterator[int]:
        """Give the code points that have a word."""
        for first, last, own in self._rows:
            if own == word:
                yield from range(first, last + 1)

    def get(self, point: int) -> str:
        """Give the word of a code point."""
        index = bisect_right(self._starts, point) - 1
        if index >= 0 and point <= self._rows[index][1]:
            return self._rows[index][2]
        return self._default


WHITE_SPACE = frozenset(parse_ranges(properties.WHITE_SPACE))
IGNORABLE = frozenset(parse_ranges(properties.DEFAULT_IGNORABLE_CODE_POINT))
PICTOGRAPHS = frozenset(parse_ranges(properties.EXTENDED_PICTOGRAPHIC))
EMOJI_SHOWN = frozenset(parse_ranges(properties.EMOJI_PRESENTATION))
EMOJI_MODIFIERS = frozenset(parse_ranges(properties.EMOJI_MODIFIER))
EMOJI_MODIFIER_BASES = frozenset(parse_ranges(properties.EMOJI_MODIFIER_BASE))
VIRAMAS = frozenset(parse_ranges(properties.VIRAMAS))

# Answers that are remembered for each question: more than one text needs, and little memory.
_REMEMBERED = 4_096

COMMON, INHERITED = "Common", "Inherited"

_SCRIPTS = RangeMap(properties.SCRIPTS, COMMON)
_EXTENSIONS = RangeMap(properties.SCRIPT_EXTENSIONS, "")
_JOINING = RangeMap(properties.JOINING, "U")
_LETTERS = RangeMap("L:" + properties.LETTERS.replace(" ", ","), "")


@lru_cache(maxsize=_REMEMBERED)
def script(point: int) -> str:
    """Give the Script property; ``Common`` for what is unassigned too."""
    return _SCRIPTS.get(point)


def points_of_script(name: str) -> Iterator[int]:
    """Give the code points that have this Script property."""
    return _SCRIPTS.points(name)


@lru_cache(maxsize=_REMEMBERED)
def scripts(point: int) -> frozenset[str]:
    """Give the Script_Extensions property."""
    return frozenset((_EXTENSIONS.get(point) or script(point)).split(","))


# Marks of one script or of a few: on a letter of another one they are a trick (not a Mark that is Inherited or Common).
EXPLICIT_MARKS = frozenset(mark for mark in parse_ranges(ucd.MARKS) if _SCRIPTS.get(mark) not in (COMMON, INHERITED))


@lru_cache(maxsize=_REMEMBERED)
def joining(point: int) -> str:
    """Give the Joining_Type: D, L, R, C, T, or U for none."""
    return _JOINING.get(point)


@lru_cache(maxsize=_REMEMBERED)
def is_letter(point: int) -> bool:
    """Tell general category L from all others."""
    return bool(_LETTERS.get(point))


def unassigned_ranges() -> Iterator[tuple[int, int]]:
    """Give the first and last of each run without a character in this Unicode version, noncharacters and ignorables too."""
    start = 0
    for word in properties.ASSIGNED.split(" "):
        first, _, last = word.partition("-")
        if start < int(first, 16):
            yield start, int(first, 16) - 1
        start = int(last or first, 16) + 1
    yield start, 0x10FFFF


@cache
def _bidi_classes() -> RangeMap:
    return RangeMap(properties.BIDI, "L")


def points_of_bidi_class(name: str) -> Iterator[int]:
    """Give the code points that have this Bidi_Class; not for ``L``, which is what is left."""
    return _bidi_classes().points(name)


@lru_cache(maxsize=_REMEMBERED)
def bidi_class(point: int) -> str:
    """Give the short name of the Bidi_Class; ``L`` for what is unassigned too."""
    return _bidi_classes().get(point)


@cache
def brackets() -> dict[int, int]:
    """Give the closing bracket for every opening one."""
    return {int(a, 16): int(b, 16) for a, _, b in (word.partition("=") for word in properties.BRACKETS.split(" "))}


@cache
def mirrored() -> frozenset[int]:
    """Give the characters that are drawn mirrored from right to left."""
    return frozenset(parse_ranges(properties.BIDI_MIRRORED))
