"""The transport of a keeper's client: frames over a Unix socket, and nothing else.

It does **not** know what the frames say; ``services.client`` does.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from apostille.core import frames
from apostille.core.frames import Frame
from apostille.errors import UnavailableError

_MAX_ADDRESS = 100  # of 108 bytes that a socket's address has, with some left for a name beside it
_PIECE_BYTES = 2**20


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Give an address of a socket file that fits, however deep its folder lies."""
    if len(os.fsencode(path)) <= _MAX_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class Link:
    """One connection to a keeper. One thread may send while another receives.

    Args:
        path: The keeper's socket.
        timeout_seconds: How long the keeper may take to be reached and to say its first words.

    Raises:
        UnavailableError: Nobody listens there.
    """

    def __init__(self, path: Path, *, timeout_seconds: float = 5.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._buffer = bytearray()
        try:
            self._socket.settimeout(timeout_seconds)
            with short_path(path) as address:
                self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise UnavailableError(f"no keeper answers at {path}: {error.strerror or error}") from error

    def send(self, frame: Frame) -> None:
        """Send a frame.

        Raises:
            UnavailableError: The keeper is gone.
        """
        data = frames.format_frame(frame)
        try:
            self._socket.sendall(data, socket.MSG_NOSIGNAL)
        except OSError as error:
            raise UnavailableError("the connection to the keeper is lost") from error

    def receive(self) -> Frame:
        """Return the next frame.

        Raises:
            UnavailableError: The keeper is gone.
            MalformedError: It is no keeper.
        """
        length = frames.frame_length(self._exactly(frames.HEADER_BYTES))
        return frames.parse_payload(self._exactly(length))

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            try:
                part = self._socket.recv(_PIECE_BYTES)
            except OSError as error:
                raise UnavailableError("the connection to the keeper is lost") from error
            if not part:
                raise UnavailableError("the connection to the keeper is lost")
            self._buffer += part
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def be_patient(self) -> None:
        """Wait for frames however long they take, from now on."""
        with contextlib.suppress(OSError):
            self._socket.settimeout(None)

    def end(self) -> None:
        """Wake whoever sends or receives; from any thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        self._socket.close()
