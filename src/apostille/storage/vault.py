"""Keys of erasure units in a file beside the database, never in it: a line ``<unit, 32 hex> <epoch> <b64 key>`` each.

A key is appended and synced before anything is sealed under it. Destroying a line erases all that the unit's key wraps.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from apostille.core import sealing, strict
from apostille.errors import MalformedError, StorageUnavailableError
from apostille.storage import files

_LIMIT = 64 * 2**20
_FIELDS = 3
_SPEC = "unit keys"


class FileVault:
    """Unit keys in one file.

    Args:
        path: The file; made on first use.
        token: Source of random bytes.

    Raises:
        MalformedError: A line that is none of ours. A torn last line, from a crash while appending, is passed over: nothing was
            sealed under it.
    """

    def __init__(self, path: Path, token: Callable[[int], bytes]) -> None:
        self._path = path
        self._token = token
        self._lock = threading.Lock()
        self._keys: dict[bytes, bytes] = {}
        data = files.read_file(path, limit=_LIMIT) or b""
        whole, _, torn = data.rpartition(b"\n")
        for row in whole.decode("ascii", "replace").split("\n") if whole else ():
            words = row.split(" ")
            if len(words) != _FIELDS:
                raise MalformedError("a line is not 'unit epoch key'", spec=_SPEC)
            strict.decimal(words[1], spec=_SPEC)
            unit = strict.hex_bytes(words[0], 16, spec=_SPEC)
            self._keys[unit] = strict.base64_bytes(words[2], size=sealing.KEY_BYTES, spec=_SPEC)
        self._starts_clean = not torn

    def key(self, unit: bytes) -> bytes | None:
        """Return a unit's key."""
        return self._keys.get(unit)

    def ensure(self, unit: bytes) -> bytes:
        """Return a unit's key; make it, durably, if it is not there.

        Raises:
            StorageUnavailableError: It can't be written.
        """
        with self._lock:
            found = self._keys.get(unit)
            if found is None:
                found = self._token(sealing.KEY_BYTES)
                self._append(f"{unit.hex()} 0 {strict.base64_text(found)}\n".encode())
                self._keys[unit] = found
            return found

    def _append(self, row: bytes) -> None:
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, files.PRIVATE_FILE)
            try:
                if not self._starts_clean:
                    os.write(handle, b"\n")
                    self._starts_clean = True
                if os.write(handle, row) != len(row):
                    raise OSError(28, "no space left")
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            self._starts_clean = False
            raise StorageUnavailableError(f"a unit key can't be written: {error.strerror}") from error


class MemoryVault:
    """Unit keys in memory, for tests and dry runs."""

    def __init__(self, token: Callable[[int], bytes]) -> None:
        self._token = token
        self._keys: dict[bytes, bytes] = {}

    def key(self, unit: bytes) -> bytes | None:
        """Return a unit's key."""
        return self._keys.get(unit)

    def ensure(self, unit: bytes) -> bytes:
        """Return a unit's key, made if it is not there."""
        if unit not in self._keys:
            self._keys[unit] = self._token(sealing.KEY_BYTES)
        return self._keys[unit]
