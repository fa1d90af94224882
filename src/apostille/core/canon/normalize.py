"""Normalization Form C from the pinned tables, one character at a time, with a cap on marks.

Input is cut into *units*: a base character, what composes with it, and its marks. A unit is finished by the first character
that is a starter (combining class 0) and does not compose with it, so a unit never holds more than one base, 30 marks and the
few parts of one more character. This makes the form that is fed character by character equal to the form over the whole text.

The cap: a base (any character whose general category is not Mark) carries at most 30 marks, counted on its canonical
decomposition; from the first mark beyond it on, the marks of that base are dropped (MARK_FLOOD). Ordinary text has at most 5.

Spec: UAX #15 of Unicode 18.0.0, section 1.3, and definition D117 of the core specification; canonical.md sections 3
and 6.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apostille.core.canon.tables import ucd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from apostille.core.canon.findings import Ledger

MAX_MARKS = 30

_LF = 0x0A

# Hangul syllables compose and decompose by arithmetic (core specification section 3.12).
_S, _L, _V, _T = 0xAC00, 0x1100, 0x1161, 0x11A7
_V_COUNT, _T_COUNT = 21, 28
_L_END, _V_END, _T_END, _S_END = _L + 19, _V + _V_COUNT, _T + _T_COUNT, _S + 19 * _V_COUNT * _T_COUNT


def parse_ranges(text: str, separator: str = " ") -> Iterator[int]:
    """Read ``"300-36f 483"``: every code point in hexadecimal ranges."""
    for word in text.split(separator):
        first, _, last = word.partition("-")
        yield from range(int(first, 16), int(last or first, 16) + 1)


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


class Composer:
    """The pass that caps marks and composes; the last pass before the output.

    Args:
        ledger: Takes the findings NFC (one per changed unit) and MARK_FLOOD.
        emit: Takes the code points of a finished unit.
    """

    def __init__(self, ledger: Ledger, emit: Callable[[Sequence[int]], None]) -> None:
        self._ledger = ledger
        self._emit = emit
        self._was: list[int] = []  # the unit as read, and where: position, length
        self._places: list[tuple[int, int]] = []
        self._done: list[int] = []  # composed parts that nothing can change any more
        self._starter: int | None = None
        self._marks: list[int] = []
        self._weight = 0  # marks on the base so far
        self._is_flooded = False

    def push(self, point: int, position: int, length: int) -> None:
        """Take one code point with its place in the raw bytes."""
        if point == _LF:
            # Never part of a unit: it may stand for another line end in the raw bytes, and a line goes out when it ends.
            self.settle()
            self._emit((_LF,))
            return
        parts = decompose(point)
        if point in MARKS:
            # The generator has checked that a mark decomposes into marks only.
            self._is_flooded = self._is_flooded or self._weight + len(parts) > MAX_MARKS
            if self._is_flooded:
                self._ledger.record("MARK_FLOOD", "drop", position, length, (point,))
                return
            self._weight += len(parts)
        else:
            self._weight = 0 if len(parts) == 1 else sum(part in MARKS for part in parts)
            self._is_flooded = False
        if self._was and parts[0] not in COMBINING and not self._joins(parts[0]):
            self._finish_unit()
        self._was.append(point)
        self._places.append((position, length))
        for part in parts:
            self._add(part)

    def settle(self) -> None:
        """Finish the unit: a character that cannot join it follows, or the end of the text."""
        if self._was:
            self._finish_unit()
        self._weight = 0
        self._is_flooded = False

    def _joins(self, starter: int) -> bool:
        self._reorder()
        return not self._marks and self._starter is not None and compose(self._starter, starter) is not None

    def _add(self, part: int) -> None:
        if part in COMBINING:
            self._marks.append(part)
            return
        self._reorder()
        composite = None if self._marks or self._starter is None else compose(self._starter, part)
        if composite is None:
            self._close_starter()
            self._starter = part
        else:
            self._starter = composite

    def _reorder(self) -> None:
        """Sort the marks by combining class and compose into the starter those that nothing blocks."""
        if not self._marks:
            return
        left: list[int] = []
        for mark in sorted(self._marks, key=COMBINING.__getitem__):
            is_blocked = bool(left) and COMBINING[left[-1]] == COMBINING[mark]
            composite = None if is_blocked or self._starter is None else compose(self._starter, mark)
            if composite is None:
                left.append(mark)
            else:
                self._starter = composite
        self._marks = left

    def _close_starter(self) -> None:
        if self._starter is not None:
            self._done.append(self._starter)
        self._done += self._marks
        self._marks = []

    def _finish_unit(self) -> None:
        self._reorder()
        self._close_starter()
        was, places, now = self._was, self._places, self._done
        self._was, self._places, self._done, self._starter = [], [], [], None
        if was != now:
            self._report(was, places, now)
        self._emit(now)

    def _report(self, was: list[int], places: list[tuple[int, int]], now: list[int]) -> None:
        """Record one finding per stretch of raw bytes; dropped characters may lie between the stretches."""
        first = start = end = places[0][0]
        stretch: list[int] = []
        for point, (position, length) in zip(was, places, strict=True):
            if position != end:
                self._ledger.record("NFC", "replace", start, end - start, stretch, now if start == first else ())
                stretch, start = [], position
            stretch.append(point)
            end = position + length
        self._ledger.record("NFC", "replace", start, end - start, stretch, now if start == first else ())
