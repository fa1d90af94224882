"""Bidi controls: those that move nothing go, and overrides always.

A control is judged in a *window*: from the nearest strong letter before it to the nearest one behind it, or behind the pair that
it opens, at most 256 visible characters. Directions are taken from letters, never from the controls themselves. The window asks
UAX #9 whether the visible characters would be drawn in another order without the control; if not, it goes.

====================  ==============================================================================================
overrides             go with their closers (BIDI_OVERRIDE): letters appear in logical order
closers of nothing    go (BIDI_UNBALANCED); what is open and kept at the end of a paragraph is closed there
windows without RTL   lose every control (BIDI_DROP; BIDI_REORDER if that changes the order)
other windows         lose, from left to right until nothing changes, each mark or pair that moves nothing under base
                      direction left-to-right and under that of the paragraph
windows without end   lose their marks and pairs: 32 controls, or 256 characters behind one, without a strong letter
first in a paragraph  one mark stays if an RTL letter follows and the first letter runs the other way than the mark
what stays            embeddings as isolates, first-strong isolates with their direction, if that moves nothing (BIDI_KEEP)
====================  ==============================================================================================

Spec: canonical.md section 6.5; UAX #9.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from apostille.core.canon.alphabet import BIDI_CONTROLS
from apostille.core.canon.bidi_window import (
    ISOLATES,
    MARKS,
    OPENERS,
    OVERRIDES,
    PDI,
    Group,
    Surroundings,
    closer_of,
    drop_every,
    first_strong,
    judge,
    opening_mark,
    strong,
)
from apostille.core.canon.uax9 import MAX_DEPTH
from apostille.core.canon.units import Piece

if TYPE_CHECKING:
    from apostille.core.canon.findings import Ledger

MAX_WINDOW = 256
MAX_CONTROLS = 32
_NONE = Piece("", 0, 0)


class Following(Protocol):
    """What takes the text behind the bidi passes."""

    def push(self, piece: Piece, /) -> None:
        """Take a piece."""

    def text(self, text: str, position: int, /) -> None:
        """Take a little text that no pass changed."""

    def span(self, text: str, position: int, /) -> None:
        """Take text that no pass changed; it neither starts nor ends a line with white space."""

    def end(self, position: int, /) -> None:
        """End the text at this byte."""


def _plain(text: str, position: int) -> Piece:
    return Piece(text, position, len(text.encode("utf-8")), tuple(map(ord, text)) if len(text) == 1 else ())


@dataclass(slots=True)
class _Window:
    """Text from the first control on, and what is needed to know when it can be judged.

    Attributes:
        opens: No letter of the paragraph stands before it.
        items: Pieces; those without a code are text that no pass changed.
        groups: The controls that are judged.
        visible: Characters since the first opener that is not closed, or else since the last control.
        is_bounded: A strong letter came behind the last control.
        needs_rtl: A right-to-left mark opens the paragraph before a left-to-right letter: it is decided by what is still to come.
    """

    opens: bool
    items: list[Piece] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    visible: int = 0
    is_bounded: bool = False
    needs_rtl: bool = False

    @property
    def is_open(self) -> bool:
        """An opener is not closed."""
        return any(group.is_open for group in self.groups)

    @property
    def is_full(self) -> bool:
        """It holds as many controls as it may."""
        return sum(len(group.items) for group in self.groups) >= MAX_CONTROLS

    @property
    def is_ready(self) -> bool:
        """It can be judged."""
        return self.visible >= MAX_WINDOW or self.is_full or (self.is_bounded and not self.is_open and not self.needs_rtl)


class BidiPass:
    """Hold text from a control on until it can be judged, and judge it.

    One pass is not enough: with a control gone, another window may begin. Three of them stand behind one another, and each does
    to the text what canonicalizing it again would do; where the last one would still change something, every control goes.

    Args:
        ledger: Takes the findings.
        following: The next pass.
        is_last: What stays here is counted.
    """

    def __init__(self, ledger: Ledger, following: Following, *, is_last: bool = True) -> None:
        self._ledger = ledger
        self._next = following
        self._is_last = is_last
        self._first = ""  # direction of the first strong letter of the paragraph
        self._recent: list[str] = []  # the end of what has gone by of it
        self._window: _Window | None = None
        self._opened: list[Group] = []  # what is open, of this window and of earlier ones, kept or not
        self._surplus = 0  # openers beyond the depth limit, dropped

    def push(self, piece: Piece) -> None:
        """Take a piece."""
        if piece.text == "\n":
            self._end_paragraph(piece.position)
            self._next.push(piece)
        elif len(piece.text) == 1 and ord(piece.text) in BIDI_CONTROLS:
            self._control(piece)
        elif self._window is None:
            self._go_by(piece)
        else:
            self._window.items.append(piece)
            for char in piece.text:
                self._see(self._window, char)
            self._judge_if_ready()

    def text(self, text: str, position: int) -> None:
        """Take a little text that no pass changes, without a control or white space; all of it stands at this byte."""
        if self._window is None:
            self._note(text)
            self._next.text(text, position)
            return
        self._window.items.append(_plain(text, position))
        for char in text:
            self._see(self._window, char)
        self._judge_if_ready()

    def span(self, text: str, position: int) -> None:
        """Take text that no pass changes.

        Args:
            text: It neither starts nor ends with white space.
            position: Of its first byte in the raw value.
        """
        start = 0
        while start < len(text) and (self._window is not None or self._opened or self._surplus):
            end = self._slowly(text, start, position)
            position += len(text[start:end].encode("utf-8"))
            start = end
        if start == len(text):
            return
        text = text[start:]
        line = text.rfind("\n") + 1
        if line:
            self._first = ""
            self._recent.clear()
        self._note(text[line:])
        self._next.span(text, position)

    def end(self, position: int) -> None:
        """End the text at this byte."""
        self._end_paragraph(position)
        self._next.end(position)

    # Text.

    def _slowly(self, text: str, start: int, position: int) -> int:
        """Take text from an index and its byte on, up to the end of the window or paragraph; give the index of the rest."""
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        window = self._window
        if window is None and end > start:
            self._go_by(_plain(text[start:end], position))
        elif window is not None:
            for index in range(start, end):
                self._see(window, text[index])
                if window.is_ready:
                    window.items.append(_plain(text[start : index + 1], position))
                    self._judge()
                    return index + 1
            window.items.append(_plain(text[start:end], position))
        if end == len(text):
            return end
        position += len(text[start:end].encode("utf-8"))
        self._end_paragraph(position)
        self._next.span("\n", position)
        return end + 1

    def _go_by(self, piece: Piece) -> None:
        """Hand on what is decided."""
        self._note(piece.text)
        self._next.push(piece)

    def _note(self, text: str) -> None:
        """Remember what the next window has to know about text that goes by."""
        if not self._first:
            self._first = first_strong(text)
        self._recent.append(text if len(text) < MAX_WINDOW else text[-MAX_WINDOW:])
        if len(self._recent) > 2 * MAX_WINDOW:
            self._recent = ["".join(self._recent)[-MAX_WINDOW:]]

    def _context(self) -> str:
        """What stands before the window, from the nearest strong letter on."""
        recent = "".join(self._recent)[-MAX_WINDOW:]
        start = next((index for index in range(len(recent) - 1, -1, -1) if strong(recent[index])), 0)
        return recent[start:]

    def _see(self, window: _Window, char: str) -> None:
        window.visible += 1
        direction = strong(char)
        if not direction:
            return
        window.is_bounded = True
        if direction == "R":
            window.needs_rtl = False
        elif not self._first:
            window.needs_rtl = any(MARKS.get(group.point) == "R" for group in window.groups)
        self._first = self._first or direction

    # Controls: matched as UAX #9 rules X2 to X7 do, as they come.

    def _control(self, piece: Piece) -> None:
        point = ord(piece.text)
        if point in MARKS:
            self._hold(piece, Group([], point))
        elif point not in OPENERS:
            self._close(piece, point)
        elif len(self._opened) >= MAX_DEPTH or self._surplus:
            self._surplus += 1
            self._drop(piece, "BIDI_UNBALANCED")
        else:
            group = Group([], point, is_open=True)
            self._opened.append(group)
            if point in OVERRIDES:
                group.stays = False
                self._drop(piece, "BIDI_OVERRIDE")
            else:
                self._hold(piece, group)

    def _close(self, piece: Piece, point: int) -> None:
        if self._surplus:
            self._surplus -= 1
            self._drop(piece, "BIDI_UNBALANCED")
            return
        if point == PDI and any(group.point in ISOLATES for group in self._opened):
            while self._opened[-1].point not in ISOLATES:
                self._forget(self._opened.pop())
        elif point == PDI or not self._opened or self._opened[-1].point in ISOLATES:
            self._drop(piece, "BIDI_UNBALANCED")
            return
        group = self._opened.pop()
        group.is_open = False
        if group.stays is None:
            self._hold(piece, group)
        elif not group.stays:
            self._drop(piece, "BIDI_OVERRIDE" if group.point in OVERRIDES else "BIDI_DROP")
        elif self._window is not None:
            self._window.items.append(piece)
        else:
            self._keep(piece)

    def _hold(self, piece: Piece, group: Group) -> None:
        """Put a control into the window, alone or with the one that it closes."""
        if self._window is None:
            self._window = _Window(opens=not self._first)
        window = self._window
        if not group.items:
            window.groups.append(group)
        group.items.append(len(window.items))
        window.items.append(piece)
        window.is_bounded = False
        if sum(item.is_open for item in window.groups) == (1 if group.is_open else 0):
            window.visible = 0
        self._judge_if_ready()

    def _forget(self, group: Group) -> None:
        """Drop an embedding that the end of its isolate closes: it has no closer of its own."""
        if group.stays is None and self._window is not None:
            index = group.items[0]
            self._drop(self._window.items[index], "BIDI_UNBALANCED")
            self._window.items[index] = _NONE
            self._window.groups.remove(group)

    def _drop(self, piece: Piece, code: str) -> None:
        if piece.code != "BIDI_UNBALANCED":  # else it was put in to close what now goes
            self._ledger.record(code, "drop", piece.position, piece.length, piece.was)

    def _keep(self, piece: Piece) -> None:
        if self._is_last:
            self._ledger.keep("BIDI_KEEP", ord(piece.text), piece.position)
        self._go_by(piece)

    # Windows.

    def _judge_if_ready(self) -> None:
        if self._window is not None and self._window.is_ready:
            self._judge()

    def _judge(self, *, is_end: bool = False) -> None:
        window, self._window = self._window, None
        if window is None:
            return
        around = Surroundings(self._context(), self._first, window.opens, window.is_full, window.is_bounded or is_end)
        texts = [item.text for item in window.items]
        verdict = judge(texts, window.groups, around)
        if self._is_last and (verdict.drops or verdict.respelt):
            # Still not stable: in no ordinary text.
            verdict = drop_every(window.groups)
        if window.opens:
            self._first = opening_mark(texts, verdict) or self._first
        for index, item in enumerate(window.items):
            if index in verdict.drops:
                self._drop(item, verdict.drops[index])
            elif index in verdict.respelt:
                self._keep(item._replace(text=chr(verdict.respelt[index]), code=item.code or "BIDI_DROP"))
            elif len(item.text) == 1 and ord(item.text) in BIDI_CONTROLS:
                self._keep(item)
            elif item is not _NONE:
                self._go_by(item)

    def _end_paragraph(self, position: int) -> None:
        """Close what is open, here and now or with the window that it is in."""
        for group in reversed(self._opened):
            closer = Piece(chr(closer_of(group.point)), position, 0, (), "BIDI_UNBALANCED")
            if group.stays is None and self._window is not None:
                group.is_open = False
                group.items.append(len(self._window.items))
                self._window.items.append(closer)
        self._judge(is_end=True)
        for group in reversed(self._opened):
            if group.is_open and group.stays:
                self._next.push(Piece(chr(closer_of(group.point)), position, 0, (), "BIDI_UNBALANCED"))
        self._opened = []
        self._surplus = 0
        self._first = ""
        self._recent.clear()
