"""Joiners beside a virama: which spelling stands for all that draw alike.

Spec: canonical.md section 6.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apostille.core.canon import properties as p
from apostille.core.canon.alphabet import ZWJ, ZWNJ

if TYPE_CHECKING:
    from collections.abc import Sequence

# Malayalam consonants whose old chillu (with virama and U+200D) is drawn as the atomic letter.
CHILLUS = {0x0D23: 0x0D7A, 0x0D28: 0x0D7B, 0x0D30: 0x0D7C, 0x0D32: 0x0D7D, 0x0D33: 0x0D7E}


def joiner_at_virama(visible: Sequence[int], joiner: int, after: int, behind: int) -> int | None:
    """Say how a joiner directly before or behind a virama is spelt.

    Args:
        visible: The visible characters of the unit before the joiner; the last one is the virama, or ``after`` is.
        joiner: U+200C or U+200D.
        after: The next visible character, or a negative number.
        behind: The letter behind a virama that follows the joiner, or a negative number.

    Returns:
        The joiner that stays, or nothing if none does.
    """
    if visible and visible[-1] in p.VIRAMAS:
        virama, following = visible[-1], after
    else:
        virama, following = after, behind
    if following < 0 or not p.is_letter(following) or p.script(following) not in p.scripts(virama):
        is_half = joiner == ZWJ and visible[-1:] == [virama]
        return ZWJ if is_half and p.script(virama) in _HALF_FORMS else None
    return joiner if joiner in (ZWJ, ZWNJ) else None


# Scripts in which a half form may stand at the end of a word.
_HALF_FORMS = frozenset({"Devanagari", "Bengali", "Sinhala", "Malayalam"})
