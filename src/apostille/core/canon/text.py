"""The text rules of profile /0 as one engine: the whole text is a stream of one piece.

Most text goes straight through. A chunk of clean ASCII is passed on as it is; in other text one search finds the next place
where something may have to change, what lies before it is passed on, and the passes see only the characters from the last plain
one before that place to the next plain one behind it. What they decide does not depend on where the input was cut.

Held back at most: three bytes of an unfinished character, one unit of the composer (a base with 30 marks), one variation
selector, five tag characters.

Spec: canonical.md sections 5, 11 and 12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apostille.core.canon.alphabet import ASCII_CONTROLS, ATTENTION, BEFORE_COMPOSER, find_trouble
from apostille.core.canon.bidi import BidiPass
from apostille.core.canon.findings import SEVERITIES, Finding
from apostille.core.canon.normalize import Composer
from apostille.core.canon.passes import BomPass, EntryPass
from apostille.core.canon.sequences import SelectorPass, TagPass
from apostille.errors import CanonicalizationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apostille.core.canon.findings import Ledger
    from apostille.core.canon.passes import Pass

_CHUNK_BYTES = 65_536


def is_clean_ascii(data: bytes) -> bool:
    """Tell that these bytes are ASCII without controls other than TAB and LF, which no rule changes."""
    return data.isascii() and len(data.translate(None, ASCII_CONTROLS)) == len(data)


def invalid_encoding(position: int, length: int, point: int | None = None) -> CanonicalizationError:
    """Make the error for what is not UTF-8: a value is refused, never repaired.

    Args:
        position: Byte offset of the fault.
        length: Bytes of the ill-formed sequence; 3 for a lone surrogate, as if it had been encoded.
        point: The lone surrogate of a ``str``.
    """
    was = () if point is None else (point,)
    finding = Finding("ENC_INVALID", SEVERITIES["ENC_INVALID"], "refuse", position, length, was)
    what = "not UTF-8" if point is None else "a lone surrogate"
    return CanonicalizationError(f"{what} at byte {position:,}", findings=(finding,))


def encode(text: str) -> bytes:
    """Give the UTF-8 bytes of a text.

    Raises:
        CanonicalizationError: It holds a lone surrogate (finding ENC_INVALID).
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise invalid_encoding(len(text[: error.start].encode("utf-8")), 3, ord(text[error.start])) from error


class TextEngine:
    """Feeds text through the passes; gives canonical bytes as soon as they are decided.

    Args:
        ledger: Takes the findings.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._composer = Composer(ledger, self._emit)
        self._bom = BomPass(ledger, self._composer.push)
        self._selectors = SelectorPass(ledger, self._bom.push)
        self._tags = TagPass(ledger, self._selectors.push)
        self._bidi = BidiPass(ledger, self._tags.push)
        self._entry = EntryPass(ledger, self._bidi.push)
        self._before_composer: tuple[Pass, ...] = (self._entry, self._bidi, self._tags, self._selectors, self._bom)
        self._is_busy = False  # a pass before the composer may hold something back
        self._position = 0  # of the next character, in the raw bytes
        self._unfinished = b""  # the first bytes of a character
        self._points: list[str] = []
        self._out: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """Take the next raw bytes.

        Args:
            data: Any piece of UTF-8 text, cut anywhere.

        Returns:
            Canonical bytes that later input cannot change.

        Raises:
            CanonicalizationError: Not UTF-8 (finding ENC_INVALID). The engine cannot be used any more.
        """
        for start in range(0, len(data), _CHUNK_BYTES):
            chunk = data[start : start + _CHUNK_BYTES]
            if not self._unfinished and is_clean_ascii(chunk):
                self._pass_ascii(chunk)
            else:
                self._scan(self._decode(chunk))
        return self._drain()

    def feed_text(self, text: str) -> bytes:
        """Take the next characters of a text that is known to hold no lone surrogate."""
        self._scan(text)
        return self._drain()

    def flush(self) -> bytes:
        """Give what was held back; the text ends here.

        Raises:
            CanonicalizationError: It ends inside a character (finding ENC_INVALID).
        """
        if self._unfinished:
            raise invalid_encoding(self._position, len(self._unfinished))
        self._settle()
        return self._drain()

    def _decode(self, chunk: bytes) -> str:
        data = self._unfinished + chunk
        self._unfinished = b""
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            # A sequence that is right so far and stops at the end of the chunk may go on in the next one.
            if error.reason != "unexpected end of data":
                raise invalid_encoding(self._position + error.start, error.end - error.start) from error
            self._unfinished = data[error.start :]
            return data[: error.start].decode("utf-8")

    def _scan(self, text: str) -> None:
        index, end = 0, len(text)
        while index < end:
            char = text[index]
            if char in ATTENTION or (char == "\n" and self._entry.after_return):
                self._push(char)
                index += 1
                continue
            self._settle()
            # Marks before the trouble belong to it, down to the plain character that carries them.
            base = find_trouble(text, index) - 1
            while base > index and text[base] in ATTENTION:
                base -= 1
            self._pass_span(text[index:base].encode("utf-8"))
            self._push(text[base])
            index = base + 1

    def _pass_ascii(self, chunk: bytes) -> None:
        if self._entry.after_return and chunk.startswith(b"\n"):
            self._push("\n")
            chunk = chunk[1:]
        if chunk:
            self._settle()
            self._pass_span(chunk[:-1])
            self._push(chr(chunk[-1]))

    def _pass_span(self, span: bytes) -> None:
        """Pass on bytes that start with a plain character; the plain one behind them goes through the passes."""
        if not span:
            return
        if self._bidi.is_open and b"\n" in span:
            self._bidi.end_paragraph()
        self._take_points()
        self._out.append(span)
        self._position += len(span)

    def _push(self, char: str) -> None:
        point = ord(char)
        length = 1 if point < 0x80 else 2 if point < 0x800 else 3 if point < 0x10000 else 4
        if self._is_busy or point in BEFORE_COMPOSER:
            self._is_busy = True
            self._entry.push(point, self._position, length)
        else:
            # Nobody before the composer waits for this character or looks at it.
            self._bom.has_started = True
            self._composer.push(point, self._position, length)
        self._position += length

    def _settle(self) -> None:
        if self._is_busy:
            for step in self._before_composer:
                step.settle()
            self._is_busy = False
        self._composer.settle()

    def _emit(self, points: Sequence[int]) -> None:
        self._points += map(chr, points)

    def _take_points(self) -> None:
        if self._points:
            self._out.append("".join(self._points).encode("utf-8"))
            self._points.clear()

    def _drain(self) -> bytes:
        self._take_points()
        out = b"".join(self._out)
        self._out.clear()
        return out
