"""Normalization Form C from the pinned tables: a pure function over code points.

Spec: UAX #15 of Unicode 18.0.0, section 1.3, and definition D117 of the core specification; canonical.md section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apostille.core.canon.properties import parse_ranges
from apostille.core.canon.tables import ucd

if TYPE_CHECKING:
    from collections.abc import Sequence

# Hangul syllables compose and decompose by arithmetic (core specification section 3.12).
_S, _L, _V, _T = 0xAC00, 0x1100, 0x1161, 0x11A7
_V_COUNT, _T_COUNT = 21, 28
_L_END, _V_END, _T_END, _S_END = _L + 19, _V + _V_COUNT, _T + _T_COUNT, _S + 19 * _V_COUNT * _T_COUNT


MARKS = frozenset(parse_ranges(ucd.MARKS))
COMBINING = {
    point: int(ccc)
    for ccc, _, points in (word.partition(":") for word in ucd.COMBINING.split(" "))
    for point in parse_ranges(points, ",")
}
_STEPS = {
    int(point, 16): tuple(int(part, 16) for part in parts.split("+"))
    for point, _, parts in (word.partition("=") for word in ucd.DECOMPOSITIONS.split(" "))
}
_EXCLUDED = frozenset(parse_ranges(ucd.EXCLUDED))
_COMPOSITIONS = {parts: point for point, parts in _STEPS.items() if len(parts) == 2 and point not in _EXCLUDED}


def _expand(point: int) -> tuple[int, ...]:
    return tuple(last for part in _STEPS.get(point, ()) for last in _expand(part)) or (point,)


DECOMPOSITIONS = {point: _expand(point) for point in _STEPS}

# NFC_QC=No: never in composed text. Maybe: may change what stands before it.
NEVER_COMPOSED = frozenset(_STEPS) - frozenset(_COMPOSITIONS.values())
_SECONDS = frozenset(second for _, second in _COMPOSITIONS)
MAY_COMPOSE = (
    _SECONDS
    | frozenset(point for point, parts in DECOMPOSITIONS.items() if parts[0] in _SECONDS)
    | frozenset(range(_V, _V_END))
    | frozenset(range(_T + 1, _T_END))
)
# What a character of MAY_COMPOSE may change when it follows directly: first halves of pairs, and whatever holds marks already.
TAKES_MORE = (
    frozenset(first for first, _ in _COMPOSITIONS)
    | frozenset(_STEPS)
    | frozenset(range(_L, _L_END))
    | frozenset(range(_S, _S_END))
)


def decompose(point: int) -> tuple[int, ...]:
    """Give the full canonical decomposition of one code point."""
    if _S <= point < _S_END:
        index = point - _S
        vowel = index // _T_COUNT
        parts = (_L + vowel // _V_COUNT, _V + vowel % _V_COUNT)
        return parts if index % _T_COUNT == 0 else (*parts, _T + index % _T_COUNT)
    return DECOMPOSITIONS.get(point) or (point,)


def compose(first: int, second: int) -> int | None:
    """Give the primary composite of two code points, if there is one."""
    if _L <= first < _L_END and _V <= second < _V_END:
        return _S + ((first - _L) * _V_COUNT + second - _V) * _T_COUNT
    if _S <= first < _S_END and (first - _S) % _T_COUNT == 0 and _T < second < _T_END:
        return first + second - _T
    return _COMPOSITIONS.get((first, second))


def joins(points: Sequence[int], starter: int) -> bool:
    """Tell that a starter that follows these points composes with the last starter among them.

    Args:
        points: Any code points, composed or not.
        starter: One whose combining class is 0.
    """
    composed = nfc((*points, starter))
    return bool(points) and composed != (*nfc(points), *nfc((starter,)))


def nfc(points: Sequence[int]) -> tuple[int, ...]:
    """Give the composed form of code points.

    Args:
        points: Any; what stands before and behind them is not looked at.
    """
    done: list[int] = []
    starter: int | None = None  # the last one, already taken out of ``done``
    marks: list[int] = []  # behind it, in order, not composed
    for part in _in_order(points):
        ccc = COMBINING.get(part, 0)
        if starter is not None and (not marks or (COMBINING[marks[-1]] < ccc)):
            composite = compose(starter, part)
            if composite is not None:
                starter = composite
                continue
        if ccc:
            marks.append(part)
            continue
        if starter is not None:
            done.append(starter)
        done += marks
        starter, marks = part, []
    if starter is not None:
        done.append(starter)
    return (*done, *marks)


def _in_order(points: Sequence[int]) -> list[int]:
    """Give the canonical decomposition with its marks in canonical order."""
    parts = [part for point in points for part in decompose(point)]
    start = 0
    while start < len(parts):
        if parts[start] not in COMBINING:
            start += 1
            continue
        end = start
        while end < len(parts) and parts[end] in COMBINING:
            end += 1
        parts[start:end] = sorted(parts[start:end], key=COMBINING.__getitem__)
        start = end
    return parts
