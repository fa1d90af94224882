"""What neighbours decide about: joiners, selectors and other contextual characters, as pure functions over one unit.

A unit is a base with all that hangs on it, in composed form; ``judge`` names the first thing in it that has to change. The caller
changes it and asks again until nothing is left, because one change may take away what justified another.

At most one joiner and one selector stay between two visible characters.

Spec: canonical.md sections 6.1 and 6.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apostille.core.canon import alphabet as a
from apostille.core.canon import properties as p
from apostille.core.canon import sequences
from apostille.core.canon.joiners import CHILLUS, Spelling, joiner_at_virama
from apostille.core.canon.normalize import COMBINING, MARKS

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTHING = -1
_NONE: frozenset[str] = frozenset()

_EMOJI_SELECTOR = 0xFE0F
_KEYCAP = 0x20E3
_KEYCAP_BASES = frozenset(map(ord, "0123456789#*"))
_INVISIBLE = a.CONTEXTUAL | a.BIDI_CONTROLS
_STILL_JOINS = frozenset("DLC")
_JOINS_BACK = frozenset("DRC")
# Hieroglyphs: a format control beside one may stand beside one other control (a segment that begins behind a joiner).
_MAX_CONTROLS = 2
_SPELL = "JOINER_SPELL"
_SHOWS_IN_STACK = frozenset({0x0C4D, 0x0CCD})  # Telugu, Kannada
_ODIA_VIRAMA, _ODIA_RA = 0x0B4D, 0x0B30
# Scripts that write no spaces between words.
_UNSPACED = frozenset({"Thai", "Lao", "Khmer", "Myanmar"})
# What may stand between joined emoji without being a part of them.
_BETWEEN_EMOJI = _INVISIBLE - {a.ZWJ, _EMOJI_SELECTOR}


@dataclass(frozen=True, slots=True)
class Change:
    """What has to change in a unit.

    Attributes:
        drops: Index to code of what has to go, all at once.
        place: Index before which ``insert`` has to stand.
        insert: A code point that is missing, or ``NOTHING``.
        code: The finding that says so.
    """

    drops: dict[int, str]
    place: int = 0
    insert: int = NOTHING
    code: str = ""


def judge(
    unit: Sequence[int], before: int, following: int, stacked: int = NOTHING, keeps: frozenset[str] = _NONE
) -> Change | None:
    """Say what has to change in a unit, or nothing.

    Args:
        unit: Code points in composed form.
        before: The last character of the output before it that takes part in joining, or ``NOTHING``.
        following: The next character behind it, or ``NOTHING`` at the end of the text.
        stacked: The consonant before it if a virama joins it to this unit, or ``NOTHING``.
        keeps: Names of the options that keep something (``options``).
    """
    after = _visible_after(unit, following)
    drops = _context_faults(unit, after)
    if drops:
        return Change(drops)
    change = _joiner_change(unit, after, following, stacked, keeps)
    if change is not None:
        return change
    drops = _mongolian_faults(unit, before, following)
    return Change(drops) if drops else None


def _visible_after(unit: Sequence[int], following: int) -> list[int]:
    """For each place the next visible character behind it."""
    found = [following] * len(unit)
    for index in range(len(unit) - 2, -1, -1):
        found[index] = found[index + 1] if unit[index + 1] in _INVISIBLE else unit[index + 1]
    return found


def _last_visible(out: Sequence[int]) -> int:
    return next((point for point in reversed(out) if point not in _INVISIBLE), NOTHING)


# Selectors and the other contextual characters, joiners left aside.


def _context_faults(unit: Sequence[int], after: Sequence[int]) -> dict[int, str]:
    drops: dict[int, str] = {}
    out: list[int] = []
    for index, point in enumerate(unit):
        code = ""
        if point in a.CONTEXTUAL and point not in a.JOINERS:
            code = _fault(point, out, after[index])
        if code:
            is_run = point in a.SELECTORS and any(
                0 <= near < len(unit) and unit[near] in a.SELECTORS for near in (index - 1, index + 1)
            )
            drops[index] = "VS_RUN" if is_run else code
        else:
            out.append(point)
    return drops


def _fault(point: int, out: Sequence[int], after: int) -> str:
    """Give the code for dropping a contextual character, or nothing if it stays."""
    if point in a.STANDARD_SELECTORS:
        return _selector_fault(point, out, after)
    if point in a.IDEOGRAPHIC_SELECTORS:
        return "" if sequences.is_ideographic_variant(_selected(out), point) else "IVS_DROP"
    if point in a.MONGOLIAN_SELECTORS:
        # Where in the word it stands is judged at the end, when joiners are settled.
        return "" if (_selected(out), point) in sequences.mongolian_variants() else "FVS_DROP"
    before = _last_visible(out)
    if point == a.CGJ:
        stays = out[-1:] != [a.CGJ] and COMBINING.get(before, 0) > COMBINING.get(after, 0) > 0
        return "" if stays else "CGJ_DROP"
    if point == a.MVS:
        stays = out[-1:] != [a.MVS] and _is_mongolian(before) and _is_mongolian(after)
        return "" if stays else "MVS_DROP"
    if point == a.ZWSP:
        stays = out[-1:] == [before] and (before in MARKS or p.is_letter(before)) and before not in p.VIRAMAS
        stays = stays and after != NOTHING and p.is_letter(after) and {_script(before), _script(after)} <= _UNSPACED
        return "" if stays else "ZWSP_DROP"
    if point in a.DUPLOYAN_CONTROLS:
        stays = out[-1:] != [point] and {_script(before), _script(after)} == {"Duployan"}
        return "" if stays else "DI_DROP"
    # A hieroglyph control.
    row = 0
    while row < len(out) and out[-1 - row] in a.HIEROGLYPH_CONTROLS:
        row += 1
    stays = row < _MAX_CONTROLS and "Egyptian_Hieroglyphs" in (_script(before), _script(after))
    return "" if stays else "DI_DROP"


def _selected(out: Sequence[int]) -> int:
    """The base of a selector: what stands before it, joiners and bidi controls left aside."""
    return next((point for point in reversed(out) if point not in a.JOINERS and point not in a.BIDI_CONTROLS), NOTHING)


def _selector_fault(point: int, out: Sequence[int], after: int) -> str:
    base = _selected(out)
    if not sequences.is_variant(base, point):
        return "VS_DROP"
    if point == _EMOJI_SELECTOR:
        is_redundant = (
            base in p.EMOJI_SHOWN
            or (base in _KEYCAP_BASES and after != _KEYCAP)
            or (base in p.EMOJI_MODIFIER_BASES and after in p.EMOJI_MODIFIERS)
        )
        return "EMOJI_VS" if is_redundant else ""
    return "VS_DROP" if base in _KEYCAP_BASES and point == 0xFE0E and after != _KEYCAP else ""


def _script(point: int) -> str:
    return "" if point == NOTHING else p.script(point)


def _is_mongolian(point: int) -> bool:
    return point != NOTHING and p.script(point) == "Mongolian" and p.is_letter(point)


# Joiners.


def _joiner_change(
    unit: Sequence[int], after: Sequence[int], following: int, stacked: int, keeps: frozenset[str]
) -> Change | None:
    if not any(point in a.JOINERS for point in unit):
        return None
    emoji = _emoji_change(unit)
    if isinstance(emoji, Change):
        return emoji
    drops: dict[int, str] = {}
    out: list[int] = []
    for index, point in enumerate(unit):
        if point in a.JOINERS and index not in emoji:
            if any(_is_joiner_slot(out)):
                drops[index] = "JOINER_RUN"
                continue
            change = _one_joiner(unit, index, out, (after[index], following), stacked, keeps)
            if isinstance(change, Change):
                return Change(drops) if drops else change
            if change:
                drops[index] = change
                continue
        out.append(point)
    return Change(drops) if drops else None


def _is_joiner_slot(out: Sequence[int]) -> list[bool]:
    """Whether a joiner stands already behind the last visible character of the output."""
    found: list[bool] = []
    for point in reversed(out):
        if point not in _INVISIBLE:
            break
        found.append(point in a.JOINERS)
    return found


def _one_joiner(
    unit: Sequence[int], index: int, out: Sequence[int], behind: tuple[int, int], stacked: int, keeps: frozenset[str]
) -> str | Change:
    """Judge one joiner that is in no emoji: a code to drop it, a change of its spelling, or nothing to keep it.

    Args:
        unit: All of it.
        index: Of the joiner.
        out: What stays before it.
        behind: The next visible character, and the one behind the unit.
        stacked: As in ``judge``.
        keeps: As in ``judge``.
    """
    after, following = behind
    point = unit[index]
    code = "ZWNJ_DROP" if point == a.ZWNJ else "ZWJ_DROP"
    before = _last_visible(out)
    if before in p.VIRAMAS or after in p.VIRAMAS:
        visible = [item for item in out if item not in _INVISIBLE]
        if "chillu" in keeps and point == a.ZWJ and before in p.VIRAMAS and _is_chillu(visible, after):
            return ""
        if "indic_final_zwnj" in keeps and point == a.ZWNJ and _is_final(visible, after):
            return ""
        if (
            point == a.ZWJ
            and before in p.VIRAMAS
            and _is_chillu(visible, after)
            and tuple(unit[index - 2 : index]) == tuple(visible[-2:])
        ):
            return Change(dict.fromkeys(range(index - 2, index + 1), _SPELL), index - 2, CHILLUS[visible[-2]], _SPELL)
        if point == a.ZWJ and before in p.VIRAMAS and _shows_in_stack(stacked, before, after):
            return ""
        return _at_virama(unit, index, visible, following, code)
    if after in a.SIGNS_OF_VOWELS.get(before, ()):
        # Without a joiner the sign stands on a dotted circle.
        return "" if point == a.ZWJ else Change({index: _SPELL}, index, a.ZWJ, _SPELL)
    left, letter = _joining_before(out), _letter_after(unit, index, following)
    right = "U" if letter == NOTHING else p.joining(letter)
    if point == a.ZWNJ:
        stays = left in _STILL_JOINS and right in _JOINS_BACK and (left, right) != ("C", "C") and _shares_script(out, letter)
    else:
        # It draws a joined form where the other side does not join.
        stays = (left in ("D", "L") and right not in _JOINS_BACK) or (right in ("D", "R") and left not in _STILL_JOINS)
    if not stays:
        return "EMOJI_ZWJ" if point == a.ZWJ and before in p.PICTOGRAPHS else code
    end = index + 1
    while end < len(unit) and unit[end] in MARKS and unit[end] not in a.CONTEXTUAL:
        end += 1
    if end > index + 1:
        # Marks belong to the letter before: the joiner comes behind them.
        return Change({index: _SPELL}, end, point, _SPELL)
    return ""


def _joining_before(out: Sequence[int]) -> str:
    for point in reversed(out):
        joining = p.joining(point)
        if joining != "T" and point not in _INVISIBLE:
            return joining
    return "U"


def _letter_after(unit: Sequence[int], index: int, following: int) -> int:
    for point in unit[index + 1 :]:
        if point not in _INVISIBLE and p.joining(point) != "T":
            return point
    return following


def _shares_script(out: Sequence[int], letter: int) -> bool:
    before = next((point for point in reversed(out) if p.joining(point) != "T" and point not in _INVISIBLE), NOTHING)
    return NOTHING not in (before, letter) and bool(p.scripts(before) & p.scripts(letter))


def _is_chillu(visible: Sequence[int], after: int) -> bool:
    """An old chillu: letter, virama, joiner, with no virama before the letter and no mark behind the joiner.

    Before U+0D31 that of U+0D28 is none: some fonts stack the two letters, and draw the atomic letter beside the other one.
    """
    return (
        len(visible) >= 2
        and visible[-2] in CHILLUS
        and (len(visible) < 3 or visible[-3] not in p.VIRAMAS)
        and after not in MARKS
        and (visible[-2], after) != (0x0D28, 0x0D31)
    )


def _is_final(visible: Sequence[int], after: int) -> bool:
    """Tell that a virama behind a letter of its script ends a word."""
    if len(visible) < 2 or visible[-1] not in p.VIRAMAS or after in MARKS:
        return False
    letter = next((point for point in reversed(visible[:-1]) if point not in MARKS), NOTHING)
    scripts = p.scripts(visible[-1])
    goes_on = after != NOTHING and p.is_letter(after) and p.script(after) in scripts
    return letter != NOTHING and p.is_letter(letter) and p.script(letter) in scripts and not goes_on


def _shows_in_stack(stacked: int, virama: int, after: int) -> bool:
    """Tell that U+200D behind the virama of two stacked consonants is seen where it is not behind that of one.

    Measured by shaping; the joiner table knows consonants that nothing is stacked on.
    """
    if stacked == NOTHING:
        return False
    is_final = after == NOTHING or not p.is_letter(after)
    return virama in _SHOWS_IN_STACK or (virama == _ODIA_VIRAMA and stacked == _ODIA_RA and is_final)


def _at_virama(unit: Sequence[int], index: int, visible: Sequence[int], following: int, code: str) -> str | Change:
    """Judge a joiner directly before or behind a virama by the joiner table."""
    is_behind = visible[-1:] != [] and visible[-1] in p.VIRAMAS
    rest = [point for point in unit[index + 1 :] if point not in _INVISIBLE] + [following]
    virama, second = (visible[-1], rest[0]) if is_behind else (rest[0], rest[1])
    before = visible[:-1] if is_behind else visible
    first = next((point for point in reversed(before) if point not in MARKS), NOTHING)
    found = Spelling(unit[index], is_behind)
    spelt = joiner_at_virama(first, virama, found, second)
    if spelt == found:
        return ""
    if spelt is None:
        return code
    place = index
    if spelt.is_behind != is_behind:
        place = index - 1 if is_behind else index + 2
        if unit[place if is_behind else place - 1] != virama:
            return code  # something invisible lies between: it goes first
    return Change({index: _SPELL}, place, spelt.joiner, _SPELL)


# Emoji.


def _emoji_change(unit: Sequence[int]) -> Change | frozenset[int]:
    """Give the joiners that are part of recommended emoji, or how such a sequence has to be spelt."""
    kept: set[int] = set()
    start = 0
    while start < len(unit):
        end, form = longest_emoji(unit, start)
        if form is None:
            start += 1
            continue
        drops = {
            index: "BIDI_DROP" if unit[index] in a.BIDI_CONTROLS else "JOINER_RUN"
            for index in range(start, end)
            if unit[index] in _BETWEEN_EMOJI or (unit[index] == a.ZWJ and _last_joiner(unit[start:index]))
        }
        if drops:
            return Change(drops)
        change = _emoji_spelling(unit, start, end, tuple(map(ord, form)))
        if change is not None:
            return change
        kept.update(index for index in range(start, end) if unit[index] == a.ZWJ)
        start = end
    return frozenset(kept)


def _emoji_spelling(unit: Sequence[int], start: int, end: int, form: tuple[int, ...]) -> Change | None:
    """Find the first U+FE0F that is missing in an emoji sequence, or too many."""
    for index, point in enumerate(form):
        found = unit[start + index] if start + index < end else NOTHING
        if found != point:
            if found == _EMOJI_SELECTOR:
                return Change({start + index: "EMOJI_QUALIFY"})
            return Change({}, start + index, _EMOJI_SELECTOR, "EMOJI_QUALIFY")
    return Change({start + len(form): "EMOJI_QUALIFY"}) if end > start + len(form) else None


def _last_joiner(points: Sequence[int]) -> bool:
    return plain_emoji(points).endswith("\u200d")


def plain_emoji(points: Sequence[int]) -> str:
    """Give a sequence of emoji without U+FE0F and everything else that is not drawn; one U+200D in a place."""
    found = ""
    for point in points:
        if point != _EMOJI_SELECTOR and point not in _BETWEEN_EMOJI and not (point == a.ZWJ and found.endswith("\u200d")):
            found += chr(point)
    return found


def longest_emoji(unit: Sequence[int], start: int) -> tuple[int, str | None]:
    """Find the longest recommended sequence of joined emoji that starts at a place.

    Returns:
        The index behind it and its recommended spelling; or nothing.
    """
    plain = ""
    found: tuple[int, str | None] = (start, None)
    for index in range(start, len(unit)):
        point = unit[index]
        if point in _BETWEEN_EMOJI or (point == a.ZWJ and plain.endswith("\u200d")):
            continue
        if point == _EMOJI_SELECTOR:
            if found[0] == index:
                found = (index + 1, found[1])
            continue
        plain += chr(point)
        if not sequences.begins_emoji(plain):
            break
        form = sequences.emoji_form(plain)
        if form is not None:
            found = (index + 1, form)
    return found


# Mongolian selectors: their place in the word decides.


def _mongolian_faults(unit: Sequence[int], before: int, following: int) -> dict[int, str]:
    drops: dict[int, str] = {}
    out: list[int] = []
    for index, point in enumerate(unit):
        if point in a.MONGOLIAN_SELECTORS and not _mongolian_stays(point, out, unit, index, before, following):
            is_run = any(0 <= near < len(unit) and unit[near] in a.SELECTORS for near in (index - 1, index + 1))
            drops[index] = "VS_RUN" if is_run else "FVS_DROP"
        else:
            out.append(point)
    return drops


def _mongolian_stays(point: int, out: Sequence[int], unit: Sequence[int], index: int, before: int, following: int) -> bool:
    base = _selected(out)
    places = sequences.mongolian_variants().get((base, point))
    if places is None:
        return False
    left = next(filter(None, map(_joins, reversed(out[:-1]))), "" if before == NOTHING else p.joining(before))
    right = next(filter(None, map(_joins, (*unit[index + 1 :], following))), "U")
    is_joined = (left in _STILL_JOINS, right in _JOINS_BACK)
    return {(False, False): "i", (False, True): "n", (True, True): "m", (True, False): "f"}[is_joined] in places


def _joins(point: int) -> str:
    """Give the joining type of what takes part in joining; bidi controls do not, whether they stay or not."""
    return "" if point == NOTHING or point in a.BIDI_CONTROLS or p.joining(point) == "T" else p.joining(point)
