"""Which characters the passes have to see: everything else goes straight through.

Two tests, both derived from the pinned tables. ``ATTENTION`` holds every character that is not *plain*; a plain character
starts a unit of its own, whatever stood before it. ``find_trouble`` finds the places where a text may really have to change;
most marks in real text are in order, and one search over a chunk passes them by.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from apostille.core.canon.normalize import COMBINING, MARKS, MAX_MARKS, MAY_COMPOSE, NEVER_COMPOSED, TAKES_MORE

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

BOM = 0xFEFF
BLACK_FLAG = 0x1F3F4
LF = 0x0A
CR = 0x0D

# The one definition of each rule's characters; the passes import them from here.
CONTROLS = frozenset({*range(0x20), *range(0x7F, 0xA0)}) - {0x09, LF}
LINE_ENDS = frozenset({0x0B, 0x0C, CR, 0x85, 0x2028, 0x2029})
NONCHARACTERS = frozenset(
    {*range(0xFDD0, 0xFDF0), *(plane + low for plane in range(0, 0x110000, 0x10000) for low in (0xFFFE, 0xFFFF))}
)
TAGS = frozenset(range(0xE0000, 0xE0080))
SELECTORS = frozenset({*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), 0x180B, 0x180C, 0x180D, 0x180F})
BIDI_CONTROLS = frozenset({*range(0x202A, 0x202F), *range(0x2066, 0x206A)})

# Surrogates reach no pass; they are here so that the quick test on a str never calls one clean.
_SURROGATES = frozenset(range(0xD800, 0xE000))

_ALWAYS = CONTROLS | LINE_ENDS | NONCHARACTERS | TAGS | BIDI_CONTROLS | NEVER_COMPOSED | _SURROGATES | {BOM}
_SEEN = _ALWAYS | SELECTORS | MARKS | COMBINING.keys() | MAY_COMPOSE

ATTENTION = frozenset(map(chr, _SEEN))
# What a pass before the composer looks at.
BEFORE_COMPOSER = CONTROLS | LINE_ENDS | NONCHARACTERS | TAGS | SELECTORS | BIDI_CONTROLS | {BOM, LF, BLACK_FLAG}
ASCII_CONTROLS = bytes(sorted(point for point in CONTROLS if point < 0x80))

# A mark has at most three parts, and a base at most three marks inside it (held by a test): eight marks in a row make 27 at
# most, which is under the cap, nine may be over it.
_MANY_MARKS = (MAX_MARKS - 3) // 3

# Code points: shorter runs are not worth a place in a list that is tried one after another.
_LONG_RUN = 64


def _char_class(points: AbstractSet[int], *, is_bmp: bool = False) -> str:
    """Write a set as the inside of a regular expression's character class, all of it or what lies in the BMP."""
    words: list[str] = []
    first = last = -2
    for point in (*sorted(point for point in points if not is_bmp or point < 0x10000), None):
        if point == last + 1:
            last = point
            continue
        if last >= 0:
            words.append(f"\\U{first:08x}-\\U{last:08x}")
        if point is not None:
            first = last = point
    return "".join(words)


def _plain_runs() -> str:
    """Write the long runs of plain characters outside the BMP as the inside of a character class."""
    words: list[str] = []
    first = 0x10000
    for point in (*sorted(point for point in _SEEN if point >= first), 0x110000):
        if point - first >= _LONG_RUN:
            words.append(f"\\U{first:08x}-\\U{point - 1:08x}")
        first = point + 1
    return "".join(words)


def _reasons(*, is_bmp: bool) -> str:
    """Write the reasons why a character that has just been read may have to change, or change what stands before it."""
    # Behind the character itself a class may take too much: that costs a look by the passes, never a wrong result.
    before = _ASTRAL if is_bmp else ""
    always, may, combining, selectors, marks = (
        _char_class(points, is_bmp=is_bmp) for points in (_ALWAYS, MAY_COMPOSE, COMBINING.keys(), SELECTORS, MARKS)
    )
    return (
        f"(?<=[{always}])"
        f"|(?<=[{may}])(?<=[{_char_class(TAKES_MORE, is_bmp=is_bmp)}{before}].)"
        f"|(?<=[{selectors}])(?<=[{_char_class(SELECTORS)}].)"
        f"|(?<=[{marks}])(?<=[{marks}{before}]{{{_MANY_MARKS}}})"
        # The only group: it tells find_trouble that nothing but the order of two marks is in question.
        f"|(?<=[{combining}])(?<=[{combining}{before}].)()"
    )


# The first class decides the speed: a search for one class runs without interpreting the pattern, and inside the BMP a class is
# a bitmap. Ranges above it are tried one after another, so the first class takes all of them, and the long plain runs (emoji,
# Han, mathematical letters, whole planes) are let go next.
_ASTRAL = "\U00010000-\U0010ffff"
_TROUBLE = re.compile(
    f"[{_char_class(_SEEN, is_bmp=True)}{_ASTRAL}]"
    f"(?:(?<![{_ASTRAL}])(?:{_reasons(is_bmp=True)})"
    f"|(?<=[{_ASTRAL}])(?<![{_plain_runs()}])(?:{_reasons(is_bmp=False)}))",
    re.DOTALL,
)


def find_trouble(text: str, start: int = 0) -> int:
    """Give the index of the next character that may have to change, or change what stands before it.

    Args:
        text: Any text.
        start: Index of a plain character, or 0.

    Returns:
        An index; the length of the text if no pass would change anything.
    """
    while hit := _TROUBLE.search(text, start):
        index = hit.start()
        if hit.lastindex is None or not _is_ordered(text[index - 1], text[index]):
            return index
        start = index + 1
    return len(text)


def _is_ordered(before: str, mark: str) -> bool:
    """Tell that a mark stays where it is behind another one."""
    return ord(mark) not in MAY_COMPOSE and 0 < COMBINING.get(ord(before), 0) <= COMBINING[ord(mark)]


def is_clean(text: str) -> bool:
    """Tell that no pass would change this text. False means only that the passes have to look."""
    return find_trouble(text) == len(text)
