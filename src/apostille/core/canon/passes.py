"""The shape of a pass, and the first one: what is dropped wherever it stands, and line ends.

A pass takes one code point at a time with its place in the raw bytes and hands on what stays. It decides alone and holds back a
bounded amount. ``settle`` tells it that a plain character or the end of the text follows, so that nothing it holds can still
change. The order is that of canonical.md section 5: what is dropped context-free goes first, before any pass that looks at
neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from apostille.core.canon.alphabet import BOM, CONTROLS, CR, LF, LINE_ENDS, NONCHARACTERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from apostille.core.canon.findings import Ledger

    Push = Callable[[int, int, int], None]


class Pass(Protocol):
    """One step of the text rules."""

    def push(self, point: int, position: int, length: int) -> None:
        """Take a code point, its byte offset in the raw value and its length in bytes."""

    def settle(self) -> None:
        """Decide about everything held."""


class EntryPass:
    """Drop controls and noncharacters (CTRL, NONCHAR); write every line end as LF (EOL_FORM).

    Attributes:
        after_return: A carriage return has just become a line feed; a line feed that follows belongs to it.

    Spec: canonical.md section 6.4 "controls", "line ends"; section 6.3 "noncharacters".
    """

    def __init__(self, ledger: Ledger, push: Push) -> None:
        self._ledger = ledger
        self._push = push
        self.after_return = False

    def push(self, point: int, position: int, length: int) -> None:
        """Take a code point."""
        if point in LINE_ENDS:
            self._ledger.record("EOL_FORM", "replace", position, length, (point,), (LF,))
            self._push(LF, position, length)
            self.after_return = point == CR
        elif point in CONTROLS:
            self._ledger.record("CTRL", "drop", position, length, (point,))
        elif point in NONCHARACTERS:
            self._ledger.record("NONCHAR", "drop", position, length, (point,))
        elif point == LF and self.after_return:
            self._ledger.record("EOL_FORM", "replace", position, length, (point,), count=0)
            self.after_return = False
        else:
            self.after_return = False
            self._push(point, position, length)

    def settle(self) -> None:
        """Forget the carriage return; nothing is held."""
        self.after_return = False


class BomPass:
    """Take off U+FEFF while it would be the first character of the output (ENC_BOM); later ones stay.

    All of them, not one: a second one would be at the start when the output is canonicalized again.

    Attributes:
        has_started: Some character has passed.

    Spec: canonical.md section 5, P0.
    """

    def __init__(self, ledger: Ledger, push: Push) -> None:
        self._ledger = ledger
        self._push = push
        self.has_started = False

    def push(self, point: int, position: int, length: int) -> None:
        """Take a code point."""
        if point == BOM and not self.has_started:
            self._ledger.record("ENC_BOM", "drop", position, length, (point,))
            return
        self.has_started = True
        self._push(point, position, length)

    def settle(self) -> None:
        """Do nothing; nothing is held."""
