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

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from apostille.core.canon.tables import quotas

if TYPE_CHECKING:
    from collections.abc import Mapping

# Bits per 1,000 characters. For a kind in a script that the corpora of ordinary text have, the quota is what 19 of 20 pieces of
# the densest language do not exceed, and half as much again (tools/residue_table.py). Other kinds are so rare in ordinary text
# that the common quota is enough; emoji, Han names and Mongolian, which the corpora have little of, come in messages and lists;
# no-break spaces stay only by an option, in French.
QUOTA = 60
QUOTAS = {"MVS_KEEP": 250, "FVS_KEEP": 250, "VS_KEEP": 300, "IVS_KEEP": 300, "SPACE_KEEP": 250}
# The script of kinds for which none is counted.
ANY = "*"
# U+200D between emoji, whose script is Common.
_EMOJI = 300
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
        scripts: How many, and the bits of their alternatives, by the script of what they stand behind.
    """

    count: int
    bits: int
    first: int
    position: int
    scripts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, bits: int, script: str) -> None:
        """Count one more."""
        self.count += 1
        self.bits += bits
        count, sum_ = self.scripts.get(script, (0, 0))
        self.scripts[script] = (count + 1, sum_ + bits)


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
    over = tuple(code for code, tally in sorted(tallies.items()) if code not in _CHOSEN and _is_over(code, tally, characters))
    return Residue(sum(bits for _, _, bits in channels), channels, characters, over)


def rates(tally: Tally, characters: int) -> dict[str, int]:
    """Give for each script the bits per 1,000 characters of a text; a short one counts as 500."""
    length = max(characters, _LEAST_CHARACTERS)
    return {script: (bits + _places_bits(count, characters)) * 1_000 // length for script, (count, bits) in tally.scripts.items()}


def quota(code: str, script: str) -> int:
    """Give the bits per 1,000 characters over which a kind in a script is more than ordinary text has."""
    if (code, script) == ("ZWJ_KEEP", "Common"):
        return _EMOJI
    return max(_measured().get((code, script or ANY), 0), QUOTAS.get(code, QUOTA))


@cache
def _measured() -> dict[tuple[str, str], int]:
    rows = (word.split(":") for word in quotas.QUOTAS.split(" "))
    return {(code, script): int(bits) for code, script, bits in rows}


def _is_over(code: str, tally: Tally, characters: int) -> bool:
    return any(rate > quota(code, script) for script, rate in rates(tally, characters).items())


def _places_bits(kept: int, characters: int) -> int:
    # log2 C(n, k) <= k * (log2(n / k) + log2 e), and bit_length(n // k) + 2 is more than that.
    return kept * ((characters // kept).bit_length() + 2) if kept else 0
