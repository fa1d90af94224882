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
LOW_QUOTE, COMMA = 0x201A, 0x2C
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

FIRST_ASTRAL = 0x10000
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

# Scripts whose letters are taken for one another. Letters of other scripts end a word, but for strays.
SCRIPTS = frozenset({"Latin", "Cyrillic", "Greek", "Armenian", "Cherokee", "Lisu", "Coptic"})
# A letter or digit of another script, or outside the BMP, that is taken for a letter of one of these. It is evidence of nothing.
STRAY = "stray"
_CLASSES = [
    tuple(tuple(int(point, 16) for point in part.split("+") if point) for part in word.partition("<")[::2])
    for word in lookalikes.TWINS.split(" ")
]
# Letter and script to the letter that looks the same there: of twins, and of those that are only taken for one in a mixed word.
_TWINS: dict[tuple[int, str], int] = {}
_IMPOSTORS: dict[tuple[int, str], int] = {}
for _targets, _others in _CLASSES:
    for _other in reversed(_targets):
        _TWINS.update(dict.fromkeys(((_point, p.script(_other)) for _point in _targets), _other))
        _IMPOSTORS.update(dict.fromkeys(((_point, p.script(_other)) for _point in _others), _other))
_HAS_TWIN = frozenset(point for targets, _ in _CLASSES for point in targets)
_LOOKS_LIKE = _HAS_TWIN.union(*(others for _, others in _CLASSES))
STRAYS = frozenset(point for point in _LOOKS_LIKE if point >= FIRST_ASTRAL or p.script(point) not in SCRIPTS)

# Small Greek letters that no formula uses, archaic ones and small capitals too; others stand for themselves in short words.
_NO_FORMULA = frozenset({0x371, 0x377, 0x37B, 0x37D, 0x3BF, 0x3F2, 0x3F3, *range(0x1D26, 0x1D2B)})
# Capital letters, Lisu too, whose letters are drawn as capitals; where they alternate with small ones, even ones are.
_CAPITALS = frozenset(
    p.parse_ranges(
        "41-5a c0-de 186 18e-190 19f 1f6 241 245 370 372 376 37f 386-38f 391-3ab 3f4 3f7 3f9-3fa 3fd-3ff 400-42f 4c0 531-556 "
        "13a0-13f5 2132 2c67 2c6f 2c75 a4d0-a4f7 a73e a740 a79e a7b1"
    )
).union(range(0x460, 0x482, 2), range(0x48A, 0x4C0, 2), range(0x4D0, 0x530, 2), range(0x2C80, 0x2CE4, 2))


# Persian and Arabic write the same digits and two letters with different code points.
ARABIC_DIGITS, PERSIAN_DIGITS = range(0x660, 0x66A), range(0x6F0, 0x6FA)
ARABIC_LETTERS = {0x64A: 0x6CC, 0x643: 0x6A9}
PERSIAN_LETTERS = {persian: arabic for arabic, persian in ARABIC_LETTERS.items()}
PERSIAN_ONLY = frozenset(map(ord, "پچژگٹڈڑںےۂۃہھ"))
ARABIC_ONLY = frozenset(map(ord, "ةإ"))

# Signs of phonetic writing: beside them technical letters are what they seem.
_SMALL_CAPITALS = frozenset(TECHNICAL) - {0x17F, 0x251, 0x261}
# U+04D9 and U+01DD are there because they are written as the schwa, or it as one: the signs are the same before and after.
PHONETIC = (frozenset(range(0x250, 0x2B0)) | {0x1DD, 0x2C8, 0x2CC, 0x2D0, 0x4D9}) - frozenset(TECHNICAL)
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
    """Give the script of a letter of ``SCRIPTS`` in the BMP, ``STRAY`` for a stray, or nothing."""
    if point in STRAYS:
        return STRAY
    script = p.script(point)
    return script if point < FIRST_ASTRAL and script in SCRIPTS and p.is_letter(point) and point not in PUNCTUATION else ""


@lru_cache(maxsize=4_096)
def is_twin(point: int) -> bool:
    """Tell that a letter looks like one of another script; one with marks does if its base does."""
    return decompose(point)[0] in _HAS_TWIN


@lru_cache(maxsize=4_096)
def is_alike(point: int) -> bool:
    """Tell that a letter is a twin, or is taken for another one in a word of several scripts."""
    return decompose(point)[0] in _LOOKS_LIKE


@lru_cache(maxsize=4_096)
def twin(point: int, script: str) -> tuple[int, ...]:
    """Give the letter of a script that looks like this one, with its marks; nothing if there is none."""
    base, *marks = decompose(point)
    found = _TWINS.get((base, script))
    return () if found is None else (found, *marks)


@lru_cache(maxsize=4_096)
def in_script(point: int, script: str, *, is_short: bool = False, is_twin: bool = False) -> tuple[int, ...]:
    """Give what a letter of a word of several scripts is in one of them, with its marks: itself, or what it is taken for.

    Args:
        point: A letter, or a stray.
        script: One of ``SCRIPTS``.
        is_short: The word may be a formula: small Greek letters are no others, and no others are small Greek letters.
        is_twin: Only twins count.

    Returns:
        The letter with its marks; nothing if there is none.
    """
    own = word_script(point)
    if own == script:
        return (point,)
    base, *marks = decompose(point)
    found = _TWINS.get((base, script))
    if is_short and own == "Greek" and not (base in _NO_FORMULA or is_capital(base)):
        return ()
    if is_short and script == "Greek" and not (found in _NO_FORMULA or (found and is_capital(found))):
        return ()
    if found is None and not is_twin:
        found = _IMPOSTORS.get((base, script))
    return () if found is None else (found, *marks)


@lru_cache(maxsize=4_096)
def is_capital(point: int) -> bool:
    """Tell a capital letter of one of ``SCRIPTS``, by its base."""
    return decompose(point)[0] in _CAPITALS


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
    point = TECHNICAL.get(point, (point,))[0]  # the same before and after it is written otherwise
    return "" if is_alike(point) else word_script(point)


def fold_always(point: int) -> tuple[str, tuple[int, ...]] | None:
    """Give the code and the replacement of a character that is written otherwise wherever it stands."""
    found = FOLDS.get(point)
    if found is None and a.KINDS[point] == a.UNASSIGNED:
        return "UNASSIGNED", (REPLACEMENT,)
    return found
