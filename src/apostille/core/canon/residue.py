"""Residue: how much the optional characters that a text keeps could carry.

Some characters stay although the writer could have left them out: joiners that show, listed selectors, bidi controls that
move something. Each may carry the bits of its alternatives, and all of one kind the choice of their places: k of them among n
characters can be placed in C(n, k) ways, and ``k * (bit_length(n // k) + 2)`` is never less than the logarithm of that.
Everything is counted in integers, so that the number is the same everywhere.

The number bounds the *format* channel only. Word choice, order, case, numbers, timing and length can carry more, and nothing
here bounds them.

Spec: canonical.md sections 1 and 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Bits per 1,000 characters, about twice what the densest ordinary text has (the Universal Declaration of Human Rights in 530
# languages: U+180E in Mongolian 121, U+200D in Sinhala 93, U+200C in Persian 45). Other kinds are in ordinary text so rarely that
# the common quota is enough for them; emoji and Han names come in messages and lists.
QUOTA = 60
QUOTAS = {"ZWNJ_KEEP": 100, "ZWJ_KEEP": 200, "MVS_KEEP": 250, "FVS_KEEP": 250, "VS_KEEP": 300, "IVS_KEEP": 300}
# What an operator lets stay whole: it is counted, and no text has an ordinary amount of it.
_CHOSEN = frozenset({"C2PA_KEEP", "PUA_KEEP"})
# A shorter text has no rate: one emoji in a greeting is no channel.
_LEAST_CHARACTERS = 500


@dataclass(slots=True)
class Tally:
    """The kept characters of one kind.

    Attributes:
        count: How many.
        bits: Of their alternatives, summed.
        first: The first one.
        position: Where it was: byte offset in the raw value, or in the decoded string of a JSON document.
    """

    count: int
    bits: int
    first: int
    position: int


@dataclass(frozen=True, slots=True)
class Residue:
    """What the kept optional characters of a value could carry.

    Attributes:
        bits: Upper bound, all kinds together.
        channels: By kind, for example ``("ZWNJ_KEEP", 12, 84)``: code, how many, bits.
        characters: Length of the canonical text.
        over_quota: Kinds of which there are more than in ordinary text.
    """

    bits: int
    channels: tuple[tuple[str, int, int], ...]
    characters: int
    over_quota: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Give the sentence that every report prints."""
        return f"format residue {self.bits} bits (optional characters kept in this text); linguistic residue not bounded"


def measure(tallies: Mapping[str, Tally], characters: int) -> Residue:
    """Add up the kept characters of a value.

    Args:
        tallies: By code of the kind.
        characters: Length of the canonical text.
    """
    channels = tuple(
        (code, tally.count, tally.bits + _places_bits(tally.count, characters)) for code, tally in sorted(tallies.items())
    )
    length = max(characters, _LEAST_CHARACTERS)
    over = tuple(code for code, _, bits in channels if code not in _CHOSEN and bits * 1_000 > QUOTAS.get(code, QUOTA) * length)
    return Residue(sum(bits for _, _, bits in channels), channels, characters, over)


def _places_bits(kept: int, characters: int) -> int:
    # log2 C(n, k) <= k * (log2(n / k) + log2 e), and bit_length(n // k) + 2 is more than that.
    return kept * ((characters // kept).bit_length() + 2) if kept else 0
