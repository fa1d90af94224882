"""Server-sent events: a bounded, incremental reader over bytes, and a writer.

    event = *( field LF ) LF        field = name [ ":" [ SP ] value ]        line end = LF | CR LF | CR

What upstreams add and clients don't need goes: comments, ``id`` and ``retry`` lines, one leading byte order mark. An event
without a ``data`` line is no event. The reader keeps only the unfinished line and the unfinished event, looks at each byte
once, and gives the same events for every split of its input.

Spec: HTML Living Standard, section 9.2.6; ``gateway.md`` section 4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from apostille.core import strict
from apostille.errors import TooLargeError

SPEC = "text/event-stream"
MAX_EVENT_BYTES = 2**20
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    """One dispatched event.

    Attributes:
        data: The ``data`` lines, joined by LF.
        name: The ``event`` line, empty where there was none.
    """

    data: str
    name: str = ""


class EventReader:
    """Reads events from bytes that come in any split.

    Args:
        max_event_bytes: Largest number of bytes of one event, field names included.
    """

    __slots__ = ("_after_cr", "_data", "_event_bytes", "_first", "_line", "_line_bytes", "_max", "_name")

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._line: list[bytes] = []
        self._line_bytes = 0
        self._data: list[bytes] = []
        self._name = b""
        self._event_bytes = 0
        self._after_cr = False
        self._first = True

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that ``data`` completes.

        Raises:
            TooLargeError: An event, or a line, is longer than the limit.
            MalformedError: An event is not UTF-8.
        """
        events: list[Event] = []
        if not data:
            return events
        start = 0
        if self._after_cr and data[0] == 0x0A:
            start = 1  # the second half of a CR LF that was split
        self._after_cr = data[-1] == 0x0D
        for found in _LINE_END.finditer(data, start):
            self._push(data[start : found.start()])
            start = found.end()
            event = self._end_line()
            if event is not None:
                events.append(event)
        self._push(data[start:])
        return events

    def finish(self) -> Event | None:
        """Return the event that the end of the input cut off, if it had data.

        The standard discards such an event. Its bytes are handed out all the same, because the sentinel ``[DONE]`` is often
        sent without the empty line; the caller decides what else it accepts.

        Raises:
            TooLargeError: The last line is longer than the limit.
            MalformedError: The event is not UTF-8.
        """
        if self._line_bytes:
            self._end_line()
        return self._dispatch()

    def _push(self, piece: bytes) -> None:
        if piece:
            self._line.append(piece)
            self._line_bytes += len(piece)
            self._event_bytes += len(piece)
            if self._event_bytes > self._max:
                raise TooLargeError("an event is too long", limit=self._max, spec=SPEC)

    def _end_line(self) -> Event | None:
        line = self._line[0] if len(self._line) == 1 else b"".join(self._line)
        self._line.clear()
        self._line_bytes = 0
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        elif name == b"event":
            self._name = value.removeprefix(b" ")
        elif not name:
            # A comment is no part of an event: an upstream may send any number of them to keep the connection alive.
            self._event_bytes -= len(line)
        return None

    def _dispatch(self) -> Event | None:
        data, name = self._data, self._name
        self._data, self._name, self._event_bytes = [], b"", 0
        if not data:
            return None
        return Event(strict.utf8(b"\n".join(data), spec=SPEC), strict.utf8(name, spec=SPEC))


def read_events(data: bytes, *, max_event_bytes: int = MAX_EVENT_BYTES) -> tuple[list[Event], Event | None]:
    """Read a whole stream: its events, and the unfinished one at its end.

    Raises:
        TooLargeError: An event is longer than the limit.
        MalformedError: An event is not UTF-8.
    """
    reader = EventReader(max_event_bytes=max_event_bytes)
    return reader.feed(data), reader.finish()


def format_event(data: bytes) -> bytes:
    """Write one event of one ``data`` line.

    Raises:
        ValueError: ``data`` holds a line end, which would start another field.
    """
    if b"\n" in data or b"\r" in data:
        raise ValueError("the data of an event is one line here")
    return b"data: " + data + b"\n\n"
