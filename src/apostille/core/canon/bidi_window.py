"""Judge the bidi controls of one window: a pure function.

Spec: canonical.md section 6.5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from apostille.core.canon.alphabet import BIDI_CONTROLS, char_class
from apostille.core.canon.properties import bidi_class, points_of_bidi_class
from apostille.core.canon.uax9 import paragraph_level, visual_order

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

LRM, RLM, ALM = 0x200E, 0x200F, 0x061C
LRE, RLE, PDF, LRO, RLO = range(0x202A, 0x202F)
LRI, RLI, FSI, PDI = range(0x2066, 0x206A)

MARKS = {LRM: "L", RLM: "R", ALM: "R"}
OVERRIDES = frozenset({LRO, RLO})
EMBEDDINGS = {LRE: LRI, RLE: RLI}
ISOLATES = frozenset({LRI, RLI, FSI})
OPENERS = OVERRIDES | EMBEDDINGS.keys() | ISOLATES


def closer_of(opener: int) -> int:
    """Give the control that closes this one."""
    return PDI if opener in ISOLATES else PDF


def strong(char: str) -> str:
    """Give ``L`` or ``R`` for a strong letter, else nothing. Controls have no direction here."""
    point = ord(char)
    if point in BIDI_CONTROLS:
        return ""
    return {"L": "L", "R": "R", "AL": "R"}.get(bidi_class(point), "")


_NOT_STRONG = ("AN", "B", "BN", "CS", "EN", "ES", "ET", "NSM", "ON", "S", "WS")  # and controls, which have no direction here


@cache
def _strong() -> re.Pattern[str]:
    weak = (point for name in _NOT_STRONG for point in points_of_bidi_class(name))
    return re.compile(f"[^{char_class({*weak, *BIDI_CONTROLS})}]")


def first_strong(text: str) -> str:
    """Give the direction of the first strong letter of a text, or nothing."""
    hit = _strong().search(text)
    return strong(hit.group()) if hit else ""


@dataclass(slots=True, eq=False)
class Group:
    """Controls that are judged as one: a mark, a pair, or an opener whose closer has not come.

    Attributes:
        items: Their indices in the window.
        point: The first control.
        is_open: The closer has not come.
        stays: What was decided; nothing before.
    """

    items: list[int]
    point: int
    is_open: bool = False
    stays: bool | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the controls of a window.

    Attributes:
        drops: Index of the item to the finding.
        respelt: Index of the item to the control that stands for it.
    """

    drops: dict[int, str]
    respelt: dict[int, int]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a window stands in.

    Attributes:
        context: The text before it, from the nearest strong letter on.
        first: Direction of the first strong letter of the paragraph, as far as it was seen.
        opens: No letter of the paragraph stands before the window.
        is_full: It holds as many controls as it may.
        is_bounded: A strong letter stands behind its last control, or the paragraph ends there.
    """

    context: str
    first: str
    opens: bool
    is_full: bool
    is_bounded: bool


def judge(items: Sequence[str], groups: Sequence[Group], around: Surroundings) -> Verdict:
    """Judge the controls of a window; write the decision into each group.

    Args:
        items: The window: single controls, and text between them.
        groups: Its controls.
        around: What it stands in.
    """
    window = _Judgement(items, groups, around)
    text = around.context + "".join(item for item in items if not _is_control(item))
    letters = set(filter(None, map(strong, text)))
    if letters and "R" not in letters and around.first != "R":
        window.drop_all()
    elif around.is_full:
        # In no ordinary text so many controls stand together.
        window.drop(list(window.left))
    elif not around.is_bounded:
        window.drop([group for group in window.left if not group.is_open])
    else:
        window.drop_idle()
        while window.respell():
            window.drop_idle()
    for group in groups:
        group.stays = group.items[0] not in window.drops
    return Verdict(window.drops, window.respelt)


def opening_mark(items: Sequence[str], verdict: Verdict) -> str:
    """Give the direction of the mark that stays before the first letter of a paragraph: the paragraph's own, or nothing."""
    for index, item in enumerate(items):
        if any(map(strong, item)):
            return ""
        if index not in verdict.drops and len(item) == 1 and ord(item) in MARKS:
            return MARKS[ord(item)]
    return ""


def drop_every(groups: Sequence[Group]) -> Verdict:
    """Drop all controls of a window that does not become stable (UNSTABLE_RUN)."""
    for group in groups:
        group.stays = False
    return Verdict({item: "UNSTABLE_RUN" for group in groups for item in group.items}, {})


# Beside letters that run from right to left these run the other way.
_TURNING = frozenset({"L", "EN", "AN"})


def _is_control(item: str) -> bool:
    return len(item) == 1 and ord(item) in BIDI_CONTROLS


class _Judgement:
    """The state of judging one window."""

    def __init__(self, items: Sequence[str], groups: Sequence[Group], around: Surroundings) -> None:
        self.drops: dict[int, str] = {}
        self.respelt: dict[int, int] = {}
        self._items = items
        self._context = tuple(map(ord, around.context))
        # Letters of one direction come in logical order, whatever stands between them.
        self._is_plain = not any(
            bidi_class(ord(char)) in _TURNING for item in (around.context, *items) if not _is_control(item) for char in item
        )
        self._first = around.first
        self.left = sorted(groups, key=lambda group: group.items[0])
        self._fixed = [group for group in groups if group.is_open]
        if around.opens:
            self._decide_leading()

    def drop(self, groups: Sequence[Group], code: str = "BIDI_DROP") -> None:
        """Drop controls."""
        for group in groups:
            self.left.remove(group)
            self.drops |= dict.fromkeys(group.items, code)

    def drop_all(self) -> None:
        """No letter here runs from right to left: nothing is needed."""
        every = {item for group in self.left for item in group.items}
        moves = visual_order(self._points(every), 0) != visual_order(self._points(()), 0)
        self.drop(list(self.left), "BIDI_REORDER" if moves else "BIDI_DROP")

    def drop_idle(self) -> None:
        """Drop what moves nothing, from left to right until all that is left moves something."""
        wanted = self._orders(self.drops)
        judged = [group for group in self.left if group not in self._fixed]
        if self._orders({*self.drops, *(item for group in judged for item in group.items)}) == wanted:
            self.drop(judged)  # the usual case, and two that undo each other
            return
        is_stable = False
        while not is_stable:
            is_stable = True
            for group in [group for group in self.left if group not in self._fixed]:
                if self._orders({*self.drops, *group.items}) == wanted:
                    self.drop([group])
                    is_stable = False

    def respell(self) -> bool:
        """Write embeddings as isolates where the order stays, and first-strong isolates with their direction.

        Returns:
            Something was written otherwise, so that something else may have become idle.
        """
        is_changed = False
        for group in self.left:
            if group.is_open or group.point not in (*EMBEDDINGS, FSI):
                continue
            wanted = self._orders(self.drops)
            opener, closer = group.items
            before = dict(self.respelt)
            if group.point == FSI:
                inside = self._kept({*self.drops, *range(opener + 1), *range(closer, len(self._items))})
                now = RLI if paragraph_level([bidi_class(point) for point in inside]) else LRI
                self.respelt[opener] = now
            else:
                now = EMBEDDINGS[group.point]
                self.respelt |= {opener: now, closer: PDI}
            if self._orders(self.drops) == wanted:
                group.point = now
                is_changed = True
            else:
                self.respelt = before
        return is_changed

    def _decide_leading(self) -> None:
        """Decide about the marks before the first letter of a paragraph, up to the first one that stays."""
        first = self._first
        has_rtl = any(strong(char) == "R" for item in self._items for char in item)
        letter = next((index for index, item in enumerate(self._items) if any(map(strong, item))), len(self._items))
        for group in list(self.left):
            direction = MARKS.get(group.point)
            if direction is not None and group.items[0] < letter:
                if has_rtl and first not in ("", direction):
                    self._fixed.append(group)
                    self._first = direction
                    return
                self.drop([group])

    def _points(self, without: Container[int]) -> tuple[int, ...]:
        return (*self._context, *self._kept(without))

    def _kept(self, without: Container[int]) -> Iterator[int]:
        for index, item in enumerate(self._items):
            if index in without:
                continue
            if index in self.respelt:
                yield self.respelt[index]
            else:
                yield from map(ord, item)

    def _orders(self, without: Container[int]) -> list[tuple[tuple[int, bool], ...]]:
        """The order under base direction left-to-right and under that of the paragraph."""
        points = self._points(without)
        bases: tuple[int | None, ...] = {"": (0, None), "L": (0,), "R": (0, 1)}[self._first]
        return [visual_order(points, base, is_plain=self._is_plain) for base in bases]
