"""Which sequences are listed: a base with a variation selector, and emoji joined by U+200D.

Spec: canonical.md section 6.2; UTS #37; UTS #51 ED-14a; StandardizedVariants.txt.
"""

from __future__ import annotations

from functools import cache, lru_cache

from apostille.core.canon.normalize import DECOMPOSITIONS
from apostille.core.canon.properties import parse_ranges
from apostille.core.canon.tables import ivd, sequences

_FIRST_IVS = 0xE0100
_DIGITS = {char: value for value, char in enumerate("0123456789abcdefghijklmnopqrstuvwxyz")}
EMOJI_STYLE = "\ufe0f"


@cache
def _variants() -> dict[int, frozenset[int]]:
    found: dict[int, frozenset[int]] = {}
    for word in sequences.VARIANTS.split(" "):
        selector, _, bases = word.partition(":")
        found[int(selector, 16)] = frozenset(parse_ranges(bases, ","))
    return found


def is_variant(base: int, selector: int) -> bool:
    """Tell that a base with a selector U+FE00 to U+FE0F is standardized, as a glyph or as an emoji style."""
    return base in _variants().get(selector, ())


@lru_cache(maxsize=4_096)
def variant_count(base: int) -> int:
    """Tell how many selectors U+FE00 to U+FE0F are listed for a base."""
    return sum(base in bases for bases in _variants().values())


@cache
def compatibility_variants() -> dict[int, tuple[int, int]]:
    """Give the standardized sequence for each CJK compatibility ideograph, which composing makes another character.

    StandardizedVariants.txt gives those of one ideograph U+FE00, U+FE01, .. in the order of their code points.
    """
    found: dict[int, tuple[int, int]] = {}
    counts: dict[int, int] = {}
    for point in (*range(0xF900, 0xFB00), *range(0x2F800, 0x2FA20)):
        parts = DECOMPOSITIONS.get(point, ())
        if len(parts) == 1:
            selector = 0xFE00 + counts.get(parts[0], 0)
            counts[parts[0]] = counts.get(parts[0], 0) + 1
            if is_variant(parts[0], selector):
                found[point] = (parts[0], selector)
    return found


@cache
def _ideographic() -> dict[int, int]:
    found: dict[int, int] = {}
    for word in ivd.IVD.split(" "):
        first, _, counts = word.partition(":")
        found.update((int(first, 16) + index, _DIGITS[count]) for index, count in enumerate(counts))
    return found


def ideographic_count(base: int) -> int:
    """Tell how many ideographic variation sequences are registered for a base."""
    return _ideographic().get(base, 0)


def is_ideographic_variant(base: int, selector: int) -> bool:
    """Tell that a base with a selector U+E0100 to U+E01EF is registered."""
    return 0 <= selector - _FIRST_IVS < ideographic_count(base)


@cache
def mongolian_variants() -> dict[tuple[int, int], str]:
    """Give the positions in which a Mongolian selector is listed for a letter: first letters of their names."""
    rows = (word.replace("+", "=").split("=") for word in sequences.MONGOLIAN_VARIANTS.split(" "))
    return {(int(base, 16), int(selector, 16)): places for base, selector, places in rows}


@cache
def _emoji() -> tuple[dict[str, str], frozenset[str]]:
    """The recommended sequences by their form without U+FE0F, and every beginning of such a form."""
    found: dict[str, str] = {}
    for word in sequences.EMOJI_JOINED.split(" "):
        text = "".join(chr(int(part, 16)) for part in word.split("+"))
        found[text.replace(EMOJI_STYLE, "")] = text
    return found, frozenset(text[:end] for text in found for end in range(1, len(text) + 1))


def emoji_form(plain: str) -> str | None:
    """Give the recommended spelling of joined emoji, or nothing if the sequence is not recommended.

    Args:
        plain: The sequence without U+FE0F.
    """
    return _emoji()[0].get(plain)


def begins_emoji(plain: str) -> bool:
    """Tell that a recommended sequence of joined emoji, written without U+FE0F, begins with this."""
    return plain in _emoji()[1]
