"""Joiners beside a virama: which spelling stands for all that draw alike.

Whether U+200C or U+200D shows beside a virama depends on the two letters. That was measured: for each consonant and each letter
behind it five spellings were shaped in every reference font (tools/joiner_table.py). Spellings that draw the same in all of them
are one, and the first stands for it, in this order::

    0 virama   1 virama U+200C   2 virama U+200D   3 U+200D virama   4 U+200C virama

At the end of a word the same is known of the consonant alone. Scripts that were not measured keep a joiner before a letter of
their own.

Spec: canonical.md section 6.1 "Joiner table".
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from apostille.core.canon import properties as p
from apostille.core.canon.alphabet import ZWJ, ZWNJ
from apostille.core.canon.properties import parse_ranges
from apostille.core.canon.tables import joiners

# Malayalam consonants whose old chillu (with virama and U+200D) is drawn as the atomic letter.
CHILLUS = {0x0D23: 0x0D7A, 0x0D28: 0x0D7B, 0x0D30: 0x0D7C, 0x0D32: 0x0D7D, 0x0D33: 0x0D7E}

_RUN = re.compile("([a-z.])([0-9]*)")
_NOT_MEASURED = "."
_END = -1


class Spelling(NamedTuple):
    """Where a joiner stands beside a virama.

    Attributes:
        joiner: U+200C or U+200D.
        is_behind: Behind the virama, or before it.
    """

    joiner: int
    is_behind: bool


_SPELLINGS = (None, Spelling(ZWNJ, True), Spelling(ZWJ, True), Spelling(ZWJ, False), Spelling(ZWNJ, False))


@cache
def _patterns() -> dict[str, str]:
    return dict(word.split("=") for word in joiners.PATTERNS.split(" "))


@cache
def _rows() -> dict[tuple[int, int], dict[int, str]]:
    """For each virama and consonant: the pattern for each letter behind it, and for the end of a word."""
    found: dict[tuple[int, int], dict[int, str]] = {}
    virama, letters = 0, [_END]
    for word in joiners.JOINERS.split(" "):
        if "=" in word:
            head, _, ranges = word.partition("=")
            virama, letters = int(head, 16), [*parse_ranges(ranges, ","), _END]
        else:
            head, _, row = word.partition(":")
            patterns = "".join(run[1] * int(run[2] or 1) for run in _RUN.finditer(row))
            found[virama, int(head, 16)] = dict(zip(letters, patterns, strict=True))
    return found


def joiner_at_virama(first: int, virama: int, found: Spelling, second: int) -> Spelling | None:
    """Say how a joiner beside a virama is spelt.

    Args:
        first: The consonant before the virama, its nukta left aside.
        virama: Which one.
        found: The joiner.
        second: The character behind the virama, or a negative number.

    Returns:
        The spelling that stands for it; nothing if it draws what the virama alone draws.
    """
    is_letter = second >= 0 and p.is_letter(second) and p.script(second) in p.scripts(virama)
    row = _rows().get((virama, first))
    pattern = _NOT_MEASURED if row is None else row.get(second if is_letter else _END, _NOT_MEASURED)
    if pattern == _NOT_MEASURED:
        return found if is_letter else None
    return _SPELLINGS[int(_patterns()[pattern][_SPELLINGS.index(found)])]
