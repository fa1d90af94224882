"""Bidi overrides: dropped, each with the closer that belongs to it.

An override (U+202D, U+202E) shows letters in an order that is not the logical one. Its closer U+202C would otherwise close an
embedding that is still wanted, so closers are paired by a stack that knows embeddings, isolates and overrides, per paragraph,
as UAX #9 rules X2 to X7 pair them: U+202C closes the innermost embedding or override but never reaches out of an isolate;
U+2069 closes the innermost isolate and everything opened inside it. Embeddings, isolates and marks themselves stay in this
profile.

The stack holds 125 open controls, the depth limit of UAX #9 (BD2). Beyond it overrides are still dropped, but their closers
stay.

Spec: canonical.md section 6.5 rule 1; UAX #9 sections 3.3.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apostille.core.canon.alphabet import BIDI_CONTROLS, LF

if TYPE_CHECKING:
    from apostille.core.canon.findings import Ledger
    from apostille.core.canon.passes import Push

MAX_DEPTH = 125

_EMBEDDINGS = frozenset({0x202A, 0x202B})
_CLOSE_EMBEDDING = 0x202C
_OVERRIDES = frozenset({0x202D, 0x202E})
_CLOSE_ISOLATE = 0x2069
_EMBEDDING, _OVERRIDE, _ISOLATE = "embedding", "override", "isolate"


class BidiPass:
    """Drop overrides and their closers (BIDI_OVERRIDE)."""

    def __init__(self, ledger: Ledger, push: Push) -> None:
        self._ledger = ledger
        self._push = push
        self._open: list[str] = []
        self._overflow_isolates = 0
        self._overflow_embeddings = 0

    @property
    def is_open(self) -> bool:
        """Something is open in this paragraph."""
        return bool(self._open)

    def end_paragraph(self) -> None:
        """Close everything: a line feed stands here."""
        self._open.clear()
        self._overflow_isolates = 0
        self._overflow_embeddings = 0

    def push(self, point: int, position: int, length: int) -> None:
        """Take a code point."""
        if point in BIDI_CONTROLS:
            if self._drops(point):
                self._ledger.record("BIDI_OVERRIDE", "drop", position, length, (point,))
                return
        elif point == LF:
            self.end_paragraph()
        self._push(point, position, length)

    def settle(self) -> None:
        """Do nothing: the stack lasts to the end of the paragraph, and no character is held."""

    def _drops(self, point: int) -> bool:
        if point in _OVERRIDES:
            self._opens(_OVERRIDE)
            return True
        if point == _CLOSE_EMBEDDING:
            return self._closes_override()
        if point == _CLOSE_ISOLATE:
            self._close_isolate()
        else:
            self._opens(_EMBEDDING if point in _EMBEDDINGS else _ISOLATE)
        return False

    def _opens(self, kind: str) -> None:
        if len(self._open) < MAX_DEPTH and not self._overflow_isolates and not self._overflow_embeddings:
            self._open.append(kind)
        elif kind == _ISOLATE:
            self._overflow_isolates += 1
        elif not self._overflow_isolates:
            self._overflow_embeddings += 1

    def _closes_override(self) -> bool:
        if self._overflow_isolates:
            return False
        if self._overflow_embeddings:
            self._overflow_embeddings -= 1
            return False
        if not self._open or self._open[-1] == _ISOLATE:
            return False
        return self._open.pop() == _OVERRIDE

    def _close_isolate(self) -> None:
        if self._overflow_isolates:
            self._overflow_isolates -= 1
        elif _ISOLATE in self._open:
            self._overflow_embeddings = 0
            while self._open.pop() != _ISOLATE:
                pass
