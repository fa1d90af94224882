"""White space at the end of a line and at the end of the text: what nobody sees.

White space before a line feed or the end goes (WS_TAIL), and so do line feeds at the end of a message; a file keeps one, if it
has one (WS_END): a file without its last line feed is another file to many programs. A run of white space over
4,096 characters loses the rest (WS_FLOOD), so that a bounded amount is held.

Spec: canonical.md section 6.4 "tails", "end"; section 11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from apostille.core.canon import alphabet as a

if TYPE_CHECKING:
    from collections.abc import Callable

    from apostille.core.canon.findings import Ledger
    from apostille.core.canon.units import Piece

MAX_RUN = 4_096

_CRLF = (a.CR, a.LF)

Ending = Literal["message", "file", "data"]


class TailPass:
    """Hold white space until something visible follows.

    Args:
        ledger: Takes the findings, also those of pieces that were replaced and now leave.
        emit: Takes the text.
        ending: What the end of the text is; in ``DATA`` white space is data, and only too long runs of it are cut.
        is_crlf: Lines end in CR LF (EOL_FORM), but not in ``DATA``.
    """

    def __init__(self, ledger: Ledger, emit: Callable[[str], None], ending: Ending, *, is_crlf: bool = False) -> None:
        self._ledger = ledger
        self._emit = emit
        self._ending = ending
        self._is_crlf = is_crlf and ending != "data"
        self._is_empty = True
        self._run: list[Piece] = []
        self._line = 0  # where in the run the white space behind its last line feed starts

    def push(self, piece: Piece) -> None:
        """Take a piece."""
        if len(piece.text) == 1 and a.KINDS[ord(piece.text)] == a.SPACE:
            self._space(piece)
            return
        self._release()
        self._leave(piece)

    def text(self, text: str, position: int) -> None:
        """Take text that no pass changes; it may start or end with white space only if more such text follows."""
        self._release()
        if not self._is_crlf or "\n" not in text:
            self._emit(text)
            return
        lines = text.split("\n")
        for line in lines[:-1]:
            position += len(line.encode("utf-8"))
            self._ledger.record("EOL_FORM", "replace", position, 1, (a.LF,), _CRLF)
            position += 1
        self._emit("\r\n".join(lines))

    def span(self, text: str, position: int) -> None:
        """Take text that no pass changes, as ``BidiPass.span``."""
        self.text(text, position)

    def end(self, _position: int) -> None:
        """Drop what is held: the text ends here."""
        if self._ending == "data":
            self._release()
            return
        takes_line = self._ending == "file" and not self._is_empty
        for piece in self._run:
            if takes_line and piece.text == "\n":
                takes_line = False
                self._leave(piece)
            else:
                self._drop("WS_END" if piece.text == "\n" else "WS_TAIL", piece)
        self._run.clear()

    def _space(self, piece: Piece) -> None:
        if piece.text == "\n" and self._ending != "data":
            for space in self._run[self._line :]:
                self._drop("WS_TAIL", space)
            del self._run[self._line :]
        if len(self._run) >= MAX_RUN:
            self._drop("WS_FLOOD", piece)
            return
        self._run.append(piece)
        if piece.text == "\n":
            self._line = len(self._run)

    def _release(self) -> None:
        for piece in self._run:
            self._leave(piece)
        self._run.clear()
        self._line = 0
        self._is_empty = False

    def _leave(self, piece: Piece) -> None:
        if self._is_crlf and piece.text == "\n":
            if piece.was != _CRLF:
                self._ledger.record("EOL_FORM", "replace", piece.position, piece.length, piece.was, _CRLF)
            self._emit("\r\n")
            return
        if piece.code:
            now = tuple(map(ord, piece.text))
            self._ledger.record(piece.code, "replace", piece.position, piece.length, piece.was, now, piece.times)
        if piece.text:
            self._emit(piece.text)

    def _drop(self, code: str, piece: Piece) -> None:
        self._ledger.record(code, "drop", piece.position, piece.length, piece.was)
