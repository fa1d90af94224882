"""The text rules as one engine: the whole text is a stream of one piece.

    bytes -> characters -> escapes, controls, drops, neighbors -> units -> bidi -> tails -> bytes

Most text goes straight through. A chunk of clean ASCII is passed on as it is; in other text one search finds the next place
where something may have to change, what lies before it is passed on, and the passes see only the characters from the last plain
one before that place to the next plain one behind it. What they decide does not depend on where the input was cut.

Held back at most: three bytes of an unfinished character, an open escape sequence (4,096 characters), one unit, a bidi window
and a run of white space (4,096 characters).

Spec: canonical.md sections 5, 11 and 12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apostille.core.canon.alphabet import ASCII_CONTROLS, CONTROL, KINDS, LF, PLAIN, SP, SPACE, find_trouble
from apostille.core.canon.bidi import BidiPass
from apostille.core.canon.findings import SEVERITIES, Finding, Lane
from apostille.core.canon.folding import Folding
from apostille.core.canon.passes import DropPass, EntryPass, EscapePass, NeighborPass, Token
from apostille.core.canon.properties import WHITE_SPACE
from apostille.core.canon.sightings import SightingPass
from apostille.core.canon.tails import MAX_RUN, Ending, TailPass
from apostille.core.canon.units import UnitPass
from apostille.errors import CanonicalizationError

if TYPE_CHECKING:
    from apostille.core.canon.bidi import Following
    from apostille.core.canon.findings import Ledger
    from apostille.core.canon.passes import Pass

_CHUNK_BYTES = 65_536


_PROBE = MAX_RUN // 2
_SPACES = "".join(map(chr, sorted(WHITE_SPACE)))


def _bidi(ledger: Ledger, following: Following) -> BidiPass:
    return BidiPass(ledger, BidiPass(ledger, BidiPass(ledger, following), is_last=False), is_last=False)


def is_clean_ascii(data: bytes) -> bool:
    """Tell that these bytes are ASCII in which no rule changes anything, white space at the end left aside."""
    return (
        data.isascii()
        and len(data.translate(None, ASCII_CONTROLS)) == len(data)
        and b" \n" not in data
        and (b"\t" not in data or b"\t\n" not in data)
        and not _has_long_run(data)
    )


def is_unchanged(data: bytes, ending: Ending = "message", *, is_strict: bool = False) -> bool:
    """Tell at a glance that a whole text is canonical and nothing is found in it. False means only that the passes have to look.

    Args:
        data: Raw bytes.
        ending: What the end of the text is.
        is_strict: Under profile ``strict``.
    """
    if ending != "data" and (b"  " in data or b"\t" in data or b"\n\n\n" in data or (is_strict and b"\n " in data)):
        return False
    if ending == "file" and len(data) > 1 and data[-1] == LF:
        return data[-2] > SP and is_clean_ascii(data)
    return not data or (data[-1] > SP and is_clean_ascii(data))


def _has_long_run(data: bytes) -> bool:
    """Tell that there may be a run of ASCII white space that is too long: two probes in a row would meet it."""
    found = data[::_PROBE]
    return any(
        found[index] <= 0x20 and found[index + 1] <= 0x20 and not data[index * _PROBE : (index + 1) * _PROBE].strip(b" \t\n")
        for index in range(len(found) - 1)
    )


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
        ending: The text is a message, a file, or a value in which white space at the end is data.
        is_strict: Look-alikes are written in one form; else they are reported.
        is_plain: Runs of white space inside it are layout, and no data as in tables.
    """

    def __init__(self, ledger: Ledger, ending: Ending = "message", *, is_strict: bool = False, is_plain: bool = True) -> None:
        self._ledger = ledger
        is_plain = is_plain and ending != "data"
        if is_strict:
            late = Lane(ledger, 1, is_last=True)
            bidi = _bidi(
                late, SightingPass(ledger, TailPass(late, self._emit, ending), is_plain=is_plain)
            )  # what no rule can tell is reported
            ledger = Lane(ledger, 0, is_last=False)
            unit = UnitPass(late, bidi.push, bidi.text)
            self._bidi = _bidi(ledger, Folding(late, unit, bidi, is_plain=is_plain))
        else:
            self._bidi = _bidi(ledger, SightingPass(ledger, TailPass(ledger, self._emit, ending), is_plain=is_plain))
        self._unit = UnitPass(ledger, self._bidi.push, self._bidi.text)
        neighbors = NeighborPass(ledger, self._unit.push, self._unit.last)
        drops = DropPass(ledger, neighbors.push)
        entry = EntryPass(ledger, drops.push, self._unit)
        self._early: tuple[Pass, ...] = (EscapePass(ledger, entry.push), entry, drops, neighbors)
        self._is_early = False  # an early pass waits for the next character
        self._position = 0  # of the next character, in the raw bytes
        self._unfinished = b""  # the first bytes of a character
        self._texts: list[str] = []
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
        for start in range(0, len(text), _CHUNK_BYTES):
            self._scan(text[start : start + _CHUNK_BYTES])
        return self._drain()

    def flush(self) -> bytes:
        """Give what was held back; the text ends here.

        Raises:
            CanonicalizationError: It ends inside a character (finding ENC_INVALID).
        """
        if self._unfinished:
            raise invalid_encoding(self._position, len(self._unfinished))
        for step in self._early:
            step.end()
        self._unit.settle()
        self._bidi.end(self._position)
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
            if KINDS[ord(char)] != PLAIN or self._is_early or self._unit.is_waiting:
                self._push(char)
                index += 1
                continue
            # What is before the trouble and not plain belongs to it, down to the plain character that carries it.
            base = self._next_trouble(text, index) - 1
            while base > index and KINDS[ord(text[base])] != PLAIN:
                base -= 1
            if base > index:
                self._pass_span(text[index:base])
            self._push(text[base])
            index = base + 1

    def _next_trouble(self, text: str, start: int) -> int:
        end = find_trouble(text, start)
        # Too much white space is no trouble for the search: it is looked for where two probes meet it.
        for probe in range(start, end - _PROBE, _PROBE):
            is_met = KINDS[ord(text[probe])] == SPACE and KINDS[ord(text[probe + _PROBE])] == SPACE
            if is_met and not text[probe : probe + _PROBE].strip(_SPACES):
                return probe + 1
        return end

    def _pass_ascii(self, chunk: bytes) -> None:
        """Pass on a clean chunk; its first and last visible characters and what is around them go through the passes."""
        first = len(chunk) - len(chunk.lstrip(b" \t\n"))
        last = len(chunk.rstrip(b" \t\n")) - 1
        if last <= first or self._is_early or self._unit.is_waiting:
            self._scan(chunk.decode("ascii"))
            return
        for byte in chunk[:first]:
            self._push(chr(byte))
        self._pass_span(chunk[first:last].decode("ascii"))
        for byte in chunk[last:]:
            self._push(chr(byte))

    def _pass_span(self, span: str) -> None:
        """Pass on text that starts with a plain character; the plain one behind it goes through the passes."""
        self._unit.settle()
        self._unit.follows(span[-4:])
        self._bidi.span(span, self._position)
        self._position += len(span) if span.isascii() else len(span.encode("utf-8"))

    def _push(self, char: str) -> None:
        point = ord(char)
        length = 1 if point < 0x80 else 2 if point < 0x800 else 3 if point < 0x10000 else 4
        token = Token(point, self._position, length)
        self._position += length
        if self._is_early or KINDS[point] >= CONTROL:
            self._early[0].push(token)
            self._is_early = any(step.is_waiting for step in self._early)
        else:
            self._unit.push(token)

    def _emit(self, text: str) -> None:
        self._texts.append(text)

    def _drain(self) -> bytes:
        text = "".join(self._texts)
        self._texts.clear()
        self._ledger.characters += len(text)
        return text.encode("utf-8")
