"""This machine's clock and randomness."""

from __future__ import annotations

import os
import threading
import time

_BLOCK_BYTES = 4096
_LARGEST = 32  # salts, nonces and sealing keys; what is larger (the seed of a P-256 key) comes straight from the system
_MAX_AGE_SECONDS = 0.01


class SystemClock:
    """The system's clocks."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970 in UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


class _Block:
    """A few hundred tokens from one call: each call gives up the interpreter's lock, which costs more than the bytes.

    Nothing is handed out twice: what was taken is wiped, a forked child begins with nothing, and a rest that is older than 10 ms
    is thrown away, so that a copy of a machine at rest (a snapshot) holds no bytes that the original will use.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes = bytearray()
        self._at = 0
        self._drawn = 0.0

    def take(self, size: int) -> bytes:
        with self._lock:
            end = self._at + size
            now = time.monotonic()
            if end > len(self._bytes) or now - self._drawn > _MAX_AGE_SECONDS:
                self._bytes, self._at, end, self._drawn = bytearray(os.urandom(_BLOCK_BYTES)), 0, size, now
            token = bytes(self._bytes[self._at : end])
            self._bytes[self._at : end] = bytes(size)
            self._at = end
        return token


_block = _Block()
os.register_at_fork(after_in_child=_block.__init__)  # type: ignore[misc] # empty, and with a lock that nobody holds


class SystemRandom:
    """The operating system's randomness."""

    def token(self, size: int) -> bytes:
        """Return ``size`` unpredictable bytes."""
        return _block.take(size) if size <= _LARGEST else os.urandom(size)
