"""Look-alikes: which characters are mistaken for others, and what profile ``strict`` writes instead.

The tables come from curated lists with a reason for each group (tools/unicode/lookalikes.txt, twins.txt). What differs to the
reader in meaning is in none of them: superscripts, fractions, units, ordinals, signs such as U+FDFC, the micro sign.

Spec: canonical.md section 7.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from apostille.core.canon import alphabet as a
from apostille.core.canon import properties as p
from apostille.core.canon.normalize import decompose
from apostille.core.canon.tables import lookalikes

REPLACEMENT = 0xFFFD
IDEOGRAPHIC_SPACE, NARROW_SPACE, OGHAM_SPACE, NO_BREAK_SPACE, TAB = 0x3000, 0x202F, 0x1680, 0xA0, 0x09
# French puts a no-break space before these, and behind an opening guillemet.
FRENCH_BEHIND = frozenset(map(ord, ":;?!%\xbb\u203a"))
FRENCH_BEFORE = frozenset(map(ord, "\xab\u2039"))
EMOJI_SELECTORS = frozenset({0xFE0E, 0xFE0F})

# The codes of section 7. Profile safe only reports them.
CODES = frozenset(
    [
        "ARABIC_LETTER",
        "DIGIT_SET",
        "EMOJI_STYLE",
        "KANA_HAN",
        "MARK_DUP",
        "MIXED_SCRIPT",
        "PUNCT_TWIN",
        "RADICAL",
        "SPACE_VARIANT",
        "STYLED",
        "TECH_LETTER",
        "TYPOGRAPHY",
        "WHOLE_SCRIPT",
    ]
)

Map = dict[int, tuple[int, ...]]


def _read(text: str) -> Map:
    pairs = (word.partition("=") for word in text.split(" "))
    return {int(point, 16): tuple(int(part, 16) for part in parts.split("+")) for point, _, parts in pairs}


FULLWIDTH = _read(lookalikes.FULLWIDTH)
PUNCTUATION = _read(lookalikes.PUNCTUATION)
TECHNICAL = _read(lookalikes.TECHNICAL)
KANA = _read(lookalikes.KANA)
HIRAGANA = {parts[0]: point for point, parts in KANA.items()}
HAN = _read(lookalikes.HAN)
SPACES = frozenset(p.parse_ranges(lookalikes.SPACES))
_STYLED, _ARABIC, _TYPOGRAPHY, _RADICALS = (
    _read(text) for text in (lookalikes.STYLED, lookalikes.ARABIC, lookalikes.TYPOGRAPHY, lookalikes.RADICALS)
)
# Read wherever they stand: code, and what they become.
FOLDS: Final = {
    point: (code, parts)
    for code, table in (("STYLED", _STYLED), ("ARABIC_LETTER", _ARABIC), ("TYPOGRAPHY", _TYPOGRAPHY), ("RADICAL", _RADICALS))
    for point, parts in table.items()
}

_ASTRAL = 0x10000
# Scripts whose letters are taken for one another. Letters of other scripts end a word.
SCRIPTS = frozenset({"Latin", "Cyrillic", "Greek", "Armenian", "Cherokee", "Lisu", "Coptic"})
_CLASSES = [tuple(int(point, 16) for point in word.split("+")) for word in lookalikes.TWINS.split(" ")]
# Letter and script to the letter that looks the same there.
_TWINS: dict[tuple[int, str], int] = {}
for _class in _CLASSES:
    for _point in _class:
        for _other in reversed(_class):
            _TWINS[_point, p.script(_other)] = _other
_HAS_TWIN = frozenset(point for row in _CLASSES for point in row)

# Persian and Arabic write the same digits and two letters with different code points.
ARABIC_DIGITS, PERSIAN_DIGITS = range(0x660, 0x66A), range(0x6F0, 0x6FA)
ARABIC_LETTERS = {0x64A: 0x6CC, 0x643: 0x6A9}
PERSIAN_LETTERS = {persian: arabic for arabic, persian in ARABIC_LETTERS.items()}
PERSIAN_ONLY = frozenset(map(ord, "پچژگٹڈڑںےۂۃہھ"))
ARABIC_ONLY = frozenset(map(ord, "ةإ"))

# Signs of phonetic writing: beside them technical letters are what they seem.
_SMALL_CAPITALS = frozenset(TECHNICAL) - {0x17F, 0x251, 0x261}
PHONETIC = (frozenset(range(0x250, 0x2B0)) | {0x2C8, 0x2CC, 0x2D0}) - frozenset(TECHNICAL)
PHONETIC_CAPITALS = frozenset(point for point in _SMALL_CAPITALS if 0x250 <= point < 0x2B0)

_WIDE = (
    *((0x1100, 0x115F), (0x2E80, 0x2FFF), (0x3001, 0x303E), (0x3041, 0xA4CF), (0xA960, 0xA97C), (0xAC00, 0xD7A3)),
    *((0xF900, 0xFAFF), (0xFE30, 0xFE6F), (0xFF01, 0xFF60), (0xFFE0, 0xFFE6), (0x16FE0, 0x18DFF), (0x1AFF0, 0x1B2FF)),
    *((0x1F200, 0x1F64F), (0x1F900, 0x1F9FF), (0x20000, 0x3FFFD)),
)


def is_wide(point: int) -> bool:
    """Tell that a character fills a whole square in East Asian type, so that U+3000 beside it is layout."""
    return any(first <= point <= last for first, last in _WIDE)


@lru_cache(maxsize=4_096)
def word_script(point: int) -> str:
    """Give the script of a letter of ``SCRIPTS``, or nothing; no letter outside the BMP has a twin, so none counts."""
    script = p.script(point)
    return script if point < _ASTRAL and script in SCRIPTS and p.is_letter(point) and point not in PUNCTUATION else ""


@lru_cache(maxsize=4_096)
def is_twin(point: int) -> bool:
    """Tell that a letter looks like one of another script; one with marks does if its base does."""
    return decompose(point)[0] in _HAS_TWIN


@lru_cache(maxsize=4_096)
def twin(point: int, script: str) -> tuple[int, ...]:
    """Give the letter of a script that looks like this one, with its marks; nothing if there is none."""
    base, *marks = decompose(point)
    found = _TWINS.get((base, script))
    return () if found is None else (found, *marks)


@lru_cache(maxsize=4_096)
def evidence(point: int) -> str:
    """Say what a character is evidence of: a script, a set of digits, a language; nothing if of none."""
    if point in PERSIAN_ONLY:
        return "fa"
    if point in ARABIC_ONLY:
        return "ar"
    for name, digits in (("fa digits", PERSIAN_DIGITS), ("ar digits", ARABIC_DIGITS)):
        if point in digits:
            return name if point - digits.start in (4, 5, 6) else ""
    script = word_script(point)
    return script if script and not is_twin(point) and point not in TECHNICAL else ""


def fold_always(point: int) -> tuple[str, tuple[int, ...]] | None:
    """Give the code and the replacement of a character that is written otherwise wherever it stands."""
    found = FOLDS.get(point)
    if found is None and a.KINDS[point] == a.UNASSIGNED:
        return "UNASSIGNED", (REPLACEMENT,)
    return found
