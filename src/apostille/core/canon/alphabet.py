"""Which characters the passes have to see: everything else goes straight through.

``KINDS`` says for every code point what kind of attention it needs; 0 is a *plain* character, which starts a unit of its own,
whatever stood before it. ``find_trouble`` finds the places where a text may really have to change; most marks and spaces of real
text are in order, and one search over a chunk passes them by. Both are made from the pinned tables and from the sets below,
which are the one definition of each rule's characters.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from apostille.core.canon import normalize as n
from apostille.core.canon import properties as p

if TYPE_CHECKING:
    from collections.abc import Iterable

LF = 0x0A
CR = 0x0D
SP = 0x20
BOM = 0xFEFF
ZWSP = 0x200B
ZWNJ = 0x200C
ZWJ = 0x200D
CGJ = 0x034F
MVS = 0x180E
BLANK = 0x2800
BLACK_FLAG = 0x1F3F4
L_FILLER, V_FILLER = 0x115F, 0x1160

CONTROLS = frozenset({*range(0x20), *range(0x7F, 0xA0)}) - {0x09, LF}
LINE_ENDS = frozenset({0x0B, 0x0C, CR, 0x85, 0x2028, 0x2029})
NONCHARACTERS = frozenset(
    {*range(0xFDD0, 0xFDF0), *(plane + low for plane in range(0, 0x110000, 0x10000) for low in (0xFFFE, 0xFFFF))}
)
PRIVATE_USE = (range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))
TAGS = frozenset({0xE0001, *range(0xE0020, 0xE0080)})
STANDARD_SELECTORS = frozenset(range(0xFE00, 0xFE10))
IDEOGRAPHIC_SELECTORS = frozenset(range(0xE0100, 0xE01F0))
MONGOLIAN_SELECTORS = frozenset({0x180B, 0x180C, 0x180D, 0x180F})
SELECTORS = STANDARD_SELECTORS | IDEOGRAPHIC_SELECTORS | MONGOLIAN_SELECTORS
JOINERS = frozenset({ZWNJ, ZWJ})
DUPLOYAN_CONTROLS = frozenset(range(0x1BCA0, 0x1BCA4))
HIEROGLYPH_CONTROLS = frozenset(range(0x13430, 0x13440))
BIDI_CONTROLS = frozenset({0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)})
LINE_BREAK_HINTS = frozenset({ZWSP, 0x2060, BOM})
# Not ignorable by property, but they draw nothing in a text: annotation marks, the object character, a rest without ink.
INKLESS = frozenset({*range(0xFFF9, 0xFFFD), 0x1D159})

# Vowels that are letters, with the signs that stand on a dotted circle beside them where no joiner comes between. Measured by
# shaping; ordinary Marathi and Gujarati has a few.
SIGNS_OF_VOWELS = {
    int(row[:4], 16): frozenset(int(sign, 16) for sign in row[5:].split(" "))
    for row in (
        "0905 093A 093B 093E 0945 0946 0949 094A 094B 094C 094F 0956 0957",
        "0906 093A 0945 0946 0947 0948",
        "0909 0941",
        "090F 0945 0946 0947",
        "0985 09BE",
        "098B 09C3",
        "0A05 0A3E 0A48 0A4C",
        "0A85 0ABE 0AC5 0AC7 0AC8 0AC9 0ACB 0ACC",
        "0B05 0B3E",
        "0B0F 0B57",
        "0B13 0B57",
        "0C89 0CBE",
        "0C8B 0CBE",
        "0D85 0DCF 0DD0 0DD1",
        "0D8B 0DDF",
        "0D8D 0DD8",
        "0D8F 0DDF",
        "0D91 0DD9 0DDA 0DDC 0DDD 0DDE",
        "0D94 0DDF",
    )
}

# What a neighbour decides about (UnitPass); U+200B goes before it comes there, unless an option keeps it.
CONTEXTUAL = JOINERS | SELECTORS | DUPLOYAN_CONTROLS | HIEROGLYPH_CONTROLS | {CGJ, MVS, ZWSP}
# What goes wherever it stands.
DROPPED = (p.IGNORABLE | INKLESS) - (CONTEXTUAL - {ZWSP}) - BIDI_CONTROLS - TAGS - {L_FILLER, V_FILLER}

# Kinds. The order matters: from CONTROL on a pass before the units has to see the character, from CONTEXT on all places are
# trouble, from MARK on a character needs its neighbours.
PLAIN, SPACE, MODIFIER, MARK, COMPOSES, SINGLETON, CONTEXT, BIDI, UNASSIGNED = range(9)
CONTROL, DROP, TAG, FILLER, BRAILLE_BLANK = range(9, 14)


def _kinds() -> bytes:
    kinds = bytearray(0x110000)

    def put(points: Iterable[int], kind: int) -> None:
        for point in points:
            kinds[point] = kind

    for first, last in p.unassigned_ranges():
        kinds[first : last + 1] = bytes([UNASSIGNED]) * (last + 1 - first)
    put(p.WHITE_SPACE, SPACE)
    put(p.EMOJI_MODIFIERS, MODIFIER)
    put(n.MAY_COMPOSE, COMPOSES)
    put(n.NEVER_COMPOSED, SINGLETON)
    put(n.MARKS, MARK)
    put(CONTEXTUAL, CONTEXT)
    put(BIDI_CONTROLS, BIDI)
    put(CONTROLS | LINE_ENDS, CONTROL)
    put(DROPPED | NONCHARACTERS, DROP)
    put(TAGS, TAG)
    put((L_FILLER, V_FILLER), FILLER)
    put((BLANK,), BRAILLE_BLANK)
    for points in (*PRIVATE_USE, range(0xD800, 0xE000)):  # surrogates reach no pass; they are here for is_clean
        kinds[points.start : points.stop] = bytes([DROP]) * len(points)
    return bytes(kinds)


KINDS = _kinds()

MAX_MARKS = 30
# A mark has at most three parts, and a base at most three marks inside it (held by a test): eight marks in a row make 27 at
# most, which is under the cap, nine may be over it.
_MANY_MARKS = (MAX_MARKS - 3) // 3

# Code points: shorter runs are not worth a place in a list that is tried one after another.
_LONG_RUN = 64

# Blocks whose marks and letters are of one script: a mark behind another character of its block needs no look at scripts.
_BLOCKS = (
    *((0x900, 0x97F), (0xE00, 0xE7F), (0x980, 0x9FF), (0xB80, 0xBFF), (0xC00, 0xC7F), (0x590, 0x5FF), (0x600, 0x6FF)),
    *((0xA80, 0xAFF), (0xC80, 0xCFF), (0xD00, 0xD7F), (0xA00, 0xA7F), (0xB00, 0xB7F), (0xD80, 0xDFF), (0x1000, 0x109F)),
    *((0xF00, 0xFFF), (0x1780, 0x17FF), (0xE80, 0xEFF), (0x700, 0x74F), (0x780, 0x7BF)),
)


# All that is outside the BMP, as the inside of a character class.
ASTRAL = "\U00010000-\U0010ffff"


def char_class(points: Iterable[int], *, is_bmp: bool = False) -> str:
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


def _kind_class(first: int, last: int, *, is_bmp: bool = False) -> str:
    """Write the characters of these kinds as the inside of a character class."""
    pattern = re.compile(b"[%c-%c]+" % (first, last))
    end = 0x10000 if is_bmp else 0x110000
    return "".join(f"\\U{hit.start():08x}-\\U{hit.end() - 1:08x}" for hit in pattern.finditer(KINDS, 0, end))


def _plain_runs() -> str:
    """Write the long runs of characters outside the BMP that are never trouble as the inside of a character class."""
    pattern = re.compile(b"[%c-%c]{%d,}" % (PLAIN, MODIFIER, _LONG_RUN))
    return "".join(f"\\U{hit.start():08x}-\\U{hit.end() - 1:08x}" for hit in pattern.finditer(KINDS, 0x10000))


def _reasons(*, is_bmp: bool) -> str:
    """Write the reasons why a character that has just been read may have to change, or change what stands before it."""
    # Behind the character itself a class may take too much: that costs a look by the passes, never a wrong result.
    before = ASTRAL if is_bmp else ""
    always = _kind_class(SINGLETON, BRAILLE_BLANK, is_bmp=is_bmp)
    combining, marks, may, explicit = (
        char_class(points, is_bmp=is_bmp) for points in (n.COMBINING.keys(), n.MARKS, n.MAY_COMPOSE, p.EXPLICIT_MARKS)
    )
    never = char_class(n.NEVER_COMPOSED, is_bmp=is_bmp)
    same_block = "".join(f"(?<![\\u{first:04x}-\\u{last:04x}]{{2}})" for first, last in _BLOCKS) if is_bmp else ""
    # The groups are empty: they tell find_trouble what is in question, so that it looks itself before the passes have to.
    return (
        f"(?<=[{always}{never}])"
        f"|(?<=[{may}])(?<=[{char_class(n.TAKES_MORE, is_bmp=is_bmp)}{before}].)"
        f"|(?<=[{marks}])(?<=[{marks}{before}]{{{_MANY_MARKS}}})"
        f"|(?<=[{combining}])(?<=[{combining}{before}].)(?P<order{int(is_bmp)}>)"
        f"|(?<=[{explicit}]){same_block}(?P<script{int(is_bmp)}>)"
    )


# The first class decides the speed: a search for one class runs without interpreting the pattern, and inside the BMP a class is
# a bitmap. Ranges above it are tried one after another, so the first class takes all of them, and the long plain runs (emoji,
# Han, mathematical letters) are let go next.
_SPACES = char_class(p.WHITE_SPACE)
_TROUBLE = re.compile(
    f"[\n{_kind_class(MARK, BRAILLE_BLANK, is_bmp=True)}{ASTRAL}]"
    f"(?:(?<=[{_SPACES}]\n)(?<!\n\n)"
    f"|(?<![\n{ASTRAL}])(?:{_reasons(is_bmp=True)})"
    f"|(?<=[{ASTRAL}])(?<![{_plain_runs()}])(?:{_reasons(is_bmp=False)}))",
    re.DOTALL,
)


def find_trouble(text: str, start: int = 0) -> int:
    """Give the index of the next character that may have to change, or change what stands before it.

    Args:
        text: Any text.
        start: Index of a plain character, or 0.

    Returns:
        An index; the length of the text if no pass would change anything before its end. White space at the end is not looked
        at.
    """
    while hit := _TROUBLE.search(text, start):
        index = hit.start()
        reason = hit.lastgroup
        if reason is None:
            return index
        if reason.startswith("order"):
            # Behind a mark that is in order too; its script was looked at where the row of marks starts.
            if not _is_ordered(text[index - 1], text[index]) or is_foreign(ord(text[index]), _base(text, index)):
                return index
        elif is_foreign(ord(text[index]), _base(text, index)):
            return index
        start = index + 1
    return len(text)


def _base(text: str, index: int) -> int:
    """Give the character that carries the mark at an index, or a space if there is none."""
    index -= 1
    while index >= 0 and KINDS[ord(text[index])] in (MARK, CONTEXT, BIDI):
        index -= 1
    return SP if index < 0 else ord(text[index])


def _is_ordered(before: str, mark: str) -> bool:
    """Tell that a mark stays where it is behind another one."""
    return ord(mark) not in n.MAY_COMPOSE and 0 < n.COMBINING.get(ord(before), 0) <= n.COMBINING[ord(mark)]


def is_foreign(mark: int, base: int) -> bool:
    """Tell that no ordinary text puts this mark on this letter: both have a script, and the mark's exclude the letter's.

    Spec: canonical.md section 6.3 "marks".
    """
    if mark not in p.EXPLICIT_MARKS or not p.is_letter(base):
        return False
    script = p.script(base)
    return script not in (p.COMMON, p.INHERITED) and script not in p.scripts(mark)


def is_clean(text: str) -> bool:
    """Tell that no pass would change this text, white space at its end left aside.

    False means only that the passes have to look.
    """
    return find_trouble(text) == len(text)
