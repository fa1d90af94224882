"""Text that goes through look-alikes unseen: one pattern takes as much of it as there is.

*Quiet* text is made of words of one script each, of which the text has evidence already, single spaces and line feeds, and
characters that no rule of profile ``strict`` looks at. The patterns are made from the sets of ``lookalikes``, the one
definition of what a rule looks at, when they are first needed.

Spec: canonical.md section 12.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from apostille.core.canon import alphabet as a
from apostille.core.canon import lookalikes as look
from apostille.core.canon import normalize as n
from apostille.core.canon import properties as p

if TYPE_CHECKING:
    from collections.abc import Iterable

# Evidence is counted up to here; more changes nothing.
ENOUGH = 4_096
# Behind one of these the character before it is not settled; what becomes letters goes on with its word.
_HANGS_ON = (n.MARKS | n.MAY_COMPOSE | a.CONTEXTUAL | a.BIDI_CONTROLS).union(
    point for point, (_, parts) in look.FOLDS.items() if look.word_script(parts[0])
)
_LOUD = (
    frozenset(look.FOLDS)
    | look.SPACES
    | frozenset(look.PUNCTUATION)
    | frozenset(look.FULLWIDTH)
    | frozenset(look.TECHNICAL)
    | frozenset(look.KANA)
    | frozenset(parts[0] for parts in look.KANA.values())
    | frozenset({*look.ARABIC_DIGITS, *look.PERSIAN_DIGITS, *look.ARABIC_LETTERS, *look.PERSIAN_LETTERS, 0x4E00, 0x30FC})
    | look.PHONETIC
    | look.PERSIAN_ONLY
    | look.ARABIC_ONLY
    | p.PICTOGRAPHS
)


@cache
def letters(script: str) -> tuple[int, ...]:
    """Give the letters of a script whose letters are taken for others; of strays those in the BMP."""
    if script == look.STRAY:
        return tuple(sorted(point for point in look.STRAYS if point < look.FIRST_ASTRAL))
    return tuple(point for point in p.points_of_script(script) if look.word_script(point) == script)


def _is_any_letter(point: int) -> bool:
    return bool(look.word_script(point))


@cache
def _free(script: str) -> re.Pattern[str]:
    return re.compile(f"[{a.char_class(point for point in letters(script) if look.evidence(point))}]")


def count_free(script: str, text: str) -> int:
    """Count the letters of a script in a text that look like no others."""
    return len(_free(script).findall(text))


@cache
def any_letter() -> str:
    """Give the inside of a character class: all letters that are taken for others or may be."""
    return a.char_class(point for script in (*look.SCRIPTS, look.STRAY) for point in letters(script))


@cache
def _pattern(scripts: frozenset[str]) -> re.Pattern[str]:
    # Outside the BMP nothing is quiet: then each class is a bitmap.
    hangs_on = a.char_class(_HANGS_ON, is_bmp=True) + a.ASTRAL
    words = "".join(
        f"[{a.char_class(set(letters(script)) - _LOUD)}]++(?![{any_letter()}{hangs_on}])|"
        for script in sorted(scripts, key=("Latin", "Cyrillic", "Greek", *sorted(look.SCRIPTS)).index)
    )
    # One stray between letters of its own script or of others that end a word.
    words += f"[{a.char_class(letters(look.STRAY))}](?![{any_letter()}{hangs_on}])|"
    spaces = a.char_class(p.WHITE_SPACE)
    return re.compile(f"(?:{words}[ \n](?![{spaces}{hangs_on}])|[{_others()}]++(?![{hangs_on}]))*+")


@cache
def _others() -> str:
    points: Iterable[int] = (
        point for point in range(0x10000) if a.KINDS[point] == a.PLAIN and point not in _LOUD and not _is_any_letter(point)
    )
    return a.char_class(points)


def quiet_end(text: str, start: int, scripts: frozenset[str]) -> int:
    """Give the index up to which text is quiet, and ends behind a whole word that is followed by something else.

    Args:
        text: Any text.
        start: Index behind a word.
        scripts: Those that the text has evidence of.
    """
    hit = _pattern(scripts).match(text, start)
    end = hit.end() if hit else start
    if end == len(text):
        while end > start and _is_any_letter(ord(text[end - 1])):
            end -= 1
    while end > start and ord(text[end - 1]) in p.WHITE_SPACE:
        end -= 1
    return end
