"""Bounds on a request before there is one: the bytes that are no body, and the time until the head is there.

The server's parser keeps a head, a trailer or a chunk's extension for as long as it grows, and waits for it for as long as the
client likes. Here a connection that sends too much of what is no body, or too slowly, is told so and closed.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from apostille.faces.gateway.wire import Refusal

if TYPE_CHECKING:
    import asyncio

HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _left = HEAD_BYTES
    _is_in_head = False
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect the first head in time."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count all bytes; those of a body are given back twice: the frames of small chunks may be as large as they."""
        self._left -= len(data)
        super().data_received(data)
        if self._left < 0 and not self.transport.is_closing():
            self._refuse(431, "head_too_large", f"a request's head and frames have more than {HEAD_BYTES:,} bytes")

    def on_message_begin(self) -> None:
        """A head begins."""
        self._is_in_head = True
        self._wait_for_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """It is there."""
        self._is_in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body; how large it may be is the application's to say."""
        self._left += 2 * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The next request has its own bounds."""
        self._left = HEAD_BYTES
        super().on_message_complete()

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        if self.transport.is_closing():
            return
        if self._is_in_head:
            self._refuse(408, "request_timeout", f"a request's head was not there after {HEAD_SECONDS} seconds")
        else:
            self.transport.close()  # nobody has asked for anything

    def _refuse(self, status: int, code: str, message: str) -> None:
        body = Refusal(status, code, message, type="invalid_request_error").body()
        phrase = HTTPStatus(status).phrase.encode()
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (status, phrase, len(body), body)
        )
        self.transport.close()
