"""The text rules as one engine: the whole text is a stream of one piece.

    bytes -> characters -> escapes, controls, drops, neighbors -> units -> bidi -> tails -> bytes

Most text goes straight through. A chunk of clean text is passed on as it is; in other text one search finds the next place
where something may have to change, what lies before it is passed on, and the passes see only the characters from the last plain
one before that place to the next plain one behind it. What they decide does not depend on where the input was cut.

Held back at most: three bytes of an unfinished character, an open escape sequence (4,096 characters), one unit with a row of
selectors (4,096), a bidi window, and a run of white space (4,096 characters); with option ``c2pa`` a manifest (1 MiB), and under
profile ``strict`` what waits for evidence (``words.MAX_HELD``).

Spec: canonical.md sections 5, 11 and 12.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from apostille.core.canon.alphabet import ASTRAL, BOM, CONTROL, KINDS, LF, MODIFIER, PLAIN, SP, SPACE, char_class, find_trouble
from apostille.core.canon.bidi import BidiPass
from apostille.core.canon.drops import DropPass
from apostille.core.canon.findings import SEVERITIES, Finding, Lane
from apostille.core.canon.folding import Folding
from apostille.core.canon.options import DEFAULT_TEXT
from apostille.core.canon.passes import EntryPass, EscapePass, NeighborPass, Token
from apostille.core.canon.properties import WHITE_SPACE
from apostille.core.canon.sightings import SightingPass
from apostille.core.canon.tails import MAX_RUN, Ending, TailPass
from apostille.core.canon.units import UnitPass
from apostille.errors import CanonicalizationError

if TYPE_CHECKING:
    from apostille.core.canon.bidi import Following
    from apostille.core.canon.findings import Ledger
    from apostille.core.canon.options import TextOptions
    from apostille.core.canon.passes import Pass

CHUNK_BYTES = 65_536

_PROBE = MAX_RUN // 2
_SPACES = "".join(map(chr, sorted(WHITE_SPACE)))
# What most text is made of, and no rule of profile ``safe`` changes by itself.
ORDINARY = bytes([0x09, LF, *range(SP, 0x7F)])
_LINE_TAIL = re.compile(b"\n(?<=[ \t]\n)")
_OTHER_KINDS = re.compile(f"[{char_class(point for point in range(0x10000) if KINDS[point] != PLAIN)}{ASTRAL}]")


def _bidi(ledger: Ledger, following: Following) -> BidiPass:
    return BidiPass(ledger, BidiPass(ledger, BidiPass(ledger, following), is_last=False), is_last=False)


def needs_no_pass(data: bytes) -> bool:
    """Tell at a glance that no rule changes anything in a text, white space at the end left aside.

    False means only that the passes have to look: at marks, at spaces that are not ASCII, at whatever has a rule of its own.

    Args:
        data: UTF-8, from one character to the end of another.
    """
    others = data.translate(None, ORDINARY).decode("utf-8")
    are_plain = all(KINDS[ord(hit.group())] in (PLAIN, MODIFIER) for hit in _OTHER_KINDS.finditer(others))
    return are_plain and are_lines_clean(data)


def are_lines_clean(data: bytes) -> bool:
    """Tell that no ASCII white space stands before a line feed in UTF-8, nor too much of it anywhere else."""
    return _LINE_TAIL.search(data) is None and not _has_long_run(data)


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
        options: Of the text rules.
    """

    def __init__(
        self,
        ledger: Ledger,
        ending: Ending = "message",
        *,
        is_strict: bool = False,
        is_plain: bool = True,
        options: TextOptions = DEFAULT_TEXT,
    ) -> None:
        self._ledger = ledger
        is_plain = is_plain and ending != "data"
        is_crlf = options.eol == "crlf"
        if is_strict:
            late = Lane(ledger, 1, is_last=True)
            bidi = _bidi(
                late, SightingPass(ledger, TailPass(late, self._emit, ending, is_crlf=is_crlf), is_plain=is_plain)
            )  # what no rule can tell is reported
            ledger = Lane(ledger, 0, is_last=False)
            unit = UnitPass(late, bidi.push, bidi.text, options)
            self._bidi = _bidi(ledger, Folding(late, unit, bidi, is_plain=is_plain, nbsp=options.nbsp))
        else:
            tails = TailPass(ledger, self._emit, ending, is_crlf=is_crlf)
            self._bidi = _bidi(ledger, SightingPass(ledger, tails, is_plain=is_plain))
        self._unit = UnitPass(ledger, self._bidi.push, self._bidi.text, options)
        neighbors = NeighborPass(ledger, self._unit.push, self._unit.last)
        self._drops = DropPass(ledger, neighbors.push, options, is_data=ending == "data")
        entry = EntryPass(ledger, self._drops.push, self._unit)
        self._early: tuple[Pass, ...] = (EscapePass(ledger, entry.push), entry, self._drops, neighbors)
        self._is_early = False  # an early pass waits for the next character
        self._position = 0  # of the next character, in the raw bytes
        self._unfinished = b""  # the first bytes of a character
        self._texts: list[str] = []

    def feed(self, data: bytes) -> bytes:
        """Take the next raw bytes.

        Args:
            data: Any piece of UTF-8 text, cut anywhere.

        Returns:
            Canonical bytes that later input cannot change.

        Raises:
            CanonicalizationError: Not UTF-8 (finding ENC_INVALID). The engine cannot be used any more.
        """
        given: list[bytes] = []
        for start in range(0, len(data), CHUNK_BYTES):
            self._take(data[start : start + CHUNK_BYTES])
            given.append(self._drain())
        return b"".join(given)

    def feed_text(self, text: str) -> bytes:
        """Take the next characters of a text that is known to hold no lone surrogate."""
        for start in range(0, len(text), CHUNK_BYTES):
            self._scan(text[start : start + CHUNK_BYTES], is_clear=False)
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
        manifest = self._drops.kept
        # What is put in at the end of the text comes before a manifest.
        self._bidi.end(self._position if manifest is None else manifest.position)
        if manifest is not None:
            self._ledger.keep("C2PA_KEEP", BOM, manifest.position, bits=manifest.bits)
            self._emit(manifest.text)
        return self._drain()

    def _take(self, chunk: bytes) -> None:
        data = self._unfinished + chunk
        self._unfinished = b""
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            # A sequence that is right so far and stops at the end of the chunk may go on in the next one.
            if error.reason != "unexpected end of data":
                raise invalid_encoding(self._position + error.start, error.end - error.start) from error
            data, self._unfinished = data[: error.start], data[error.start :]
            text = data.decode("utf-8")
        self._scan(text, is_clear=needs_no_pass(data))

    def _scan(self, text: str, *, is_clear: bool) -> None:
        index, end = 0, len(text)
        while index < end:
            char = text[index]
            if KINDS[ord(char)] != PLAIN or self._is_early or self._unit.is_waiting:
                self._push(char)
                index += 1
                continue
            # What is before the trouble and not plain belongs to it, down to the plain character that carries it.
            base = (end if is_clear else self._next_trouble(text, index)) - 1
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
