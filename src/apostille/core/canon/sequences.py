"""Tag characters and variation selectors: what draws nothing and spells bytes.

Tag characters stay only inside the three flags that Unicode recommends for interchange; 128 of them spell any ASCII text. One
variation selector may choose a glyph; two in a row never do, and spell bytes with 256 values each.

Spec: canonical.md section 6.2 rows "VS", "TAG"; UTS #51 ED-14a (RGI emoji tag sequence set).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apostille.core.canon.alphabet import BLACK_FLAG, SELECTORS, TAGS

if TYPE_CHECKING:
    from apostille.core.canon.findings import Ledger
    from apostille.core.canon.passes import Push

_TAG_BASE = 0xE0000
_TAG_END = 0xE007F
# England, Scotland, Wales: after the black flag, the tag letters of the region and the end tag.
FLAGS = frozenset((*(_TAG_BASE + ord(letter) for letter in region), _TAG_END) for region in ("gbeng", "gbsct", "gbwls"))
_FLAG_STARTS = frozenset(flag[:length] for flag in FLAGS for length in range(1, len(flag)))


class TagPass:
    """Drop tag characters outside the three flags (TAG_DROP). Holds back at most five of them."""

    def __init__(self, ledger: Ledger, push: Push) -> None:
        self._ledger = ledger
        self._push = push
        self._after_flag = False
        self._held: list[tuple[int, int, int]] = []

    def push(self, point: int, position: int, length: int) -> None:
        """Take a code point."""
        if point not in TAGS:
            self.settle()
            self._after_flag = point == BLACK_FLAG
            self._push(point, position, length)
            return
        if self._after_flag:
            spelt = (*(entry[0] for entry in self._held), point)
            if spelt in FLAGS:
                for entry in self._held:
                    self._push(*entry)
                self._held.clear()
                self._after_flag = False
                self._push(point, position, length)
                return
            if spelt in _FLAG_STARTS:
                self._held.append((point, position, length))
                return
            self.settle()
        self._drop(point, position, length)

    def settle(self) -> None:
        """Drop what did not become a flag."""
        for entry in self._held:
            self._drop(*entry)
        self._held.clear()
        self._after_flag = False

    def _drop(self, point: int, position: int, length: int) -> None:
        self._ledger.record("TAG_DROP", "drop", position, length, (point,))


class SelectorPass:
    """Drop runs of two or more variation selectors whole (VS_RUN). Holds back one."""

    def __init__(self, ledger: Ledger, push: Push) -> None:
        self._ledger = ledger
        self._push = push
        self._held: tuple[int, int, int] | None = None
        self._in_run = False

    def push(self, point: int, position: int, length: int) -> None:
        """Take a code point."""
        if point not in SELECTORS:
            self.settle()
            self._push(point, position, length)
            return
        if self._held is not None:
            self._drop(*self._held)
            self._held = None
            self._in_run = True
        if self._in_run:
            self._drop(point, position, length)
        else:
            self._held = (point, position, length)

    def settle(self) -> None:
        """Let a single selector through; a run is over."""
        if self._held is not None:
            self._push(*self._held)
            self._held = None
        self._in_run = False

    def _drop(self, point: int, position: int, length: int) -> None:
        self._ledger.record("VS_RUN", "drop", position, length, (point,))
