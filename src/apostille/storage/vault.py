"""Keys of erasure units in a file beside the database, never in it: a line ``<unit, 32 hex> <epoch> <b64 key>`` each.

A key is appended and synced before anything is sealed under it. Destroying a line erases all that the unit's key wraps: the key
is overwritten with zeros where it stands, synced, and then the file is replaced by one without the line.

What happens if we crash: a line whose key is all zeros is one that was destroyed, it is passed over. A key that was overwritten
in part is another key; whoever completes the erasure destroys it again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from apostille.core import sealing, strict
from apostille.errors import MalformedError, StorageUnavailableError
from apostille.storage import files

MAX_BYTES = 2**32  # some fifty million runs
_FIELDS = 3
_GONE = bytes(sealing.KEY_BYTES)  # no random key is this one
_SPEC = "unit keys"


def _read_row(row: bytes) -> tuple[bytes, bytes]:
    words = row.decode("ascii", "replace").split(" ")
    if len(words) != _FIELDS:
        raise MalformedError("a line is not 'unit epoch key'", spec=_SPEC)
    strict.decimal(words[1], spec=_SPEC)
    return strict.hex_bytes(words[0], 16, spec=_SPEC), strict.base64_bytes(words[2], size=sealing.KEY_BYTES, spec=_SPEC)


class FileVault:
    """Unit keys in one file.

    Args:
        path: The file; made on first use.
        token: Source of random bytes.
        is_snapshot: For a reader: keys that were there once stay known, though somebody destroys them meanwhile.

    Raises:
        MalformedError: A line that is none of ours. A torn last line, from a crash while appending, is passed over: nothing was
            sealed under it.
    """

    def __init__(self, path: Path, token: Callable[[int], bytes], *, is_snapshot: bool = False) -> None:
        self._path = path
        self._is_snapshot = is_snapshot
        self._keys: dict[bytes, bytes] = {}
        self._token = token
        self._lock = threading.Lock()
        self._is_writer = False
        self._load()

    def _load(self) -> None:
        data = files.read_file(self._path, limit=MAX_BYTES) or b""
        whole, _, last = data.rpartition(b"\n")
        rows = (_read_row(row) for row in whole.split(b"\n")) if whole else ()
        keys = {unit: key for unit, key in rows if key != _GONE}
        self._seen_bytes = self._good_bytes = len(data)
        self._starts_clean = not last
        if last:
            try:
                unit, key = _read_row(last)  # only its line end is missing, as after an editor: it is a key like the others
                if key != _GONE:
                    keys[unit] = key
            except MalformedError:
                # What a crash left of a line is cut off before the next one is written: it must not become one of its own.
                self._good_bytes -= len(last)
                self._starts_clean = True
        self._keys = {**self._keys, **keys} if self._is_snapshot else keys

    def key(self, unit: bytes) -> bytes | None:
        """Return a unit's key. A reader looks again where a keeper has added keys since."""
        found = self._keys.get(unit)
        if found is None and not self._is_writer and self._path.is_file():
            with self._lock:
                if self._path.stat().st_size != self._seen_bytes:
                    self._load()
                found = self._keys.get(unit)
        return found

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

    def adopt(self, unit: bytes, key: bytes) -> bool:
        """Take a unit's key from another copy of the store; return whether this is the unit's key here now."""
        with self._lock:
            found = self._keys.get(unit)
            if found is None:
                self._append(f"{unit.hex()} 0 {strict.base64_text(key)}\n".encode())
                self._keys[unit] = found = key
            return found == key

    def _append(self, row: bytes) -> None:
        self._is_writer = True
        if not self._starts_clean:
            row = b"\n" + row
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT, files.PRIVATE_FILE)
            try:
                os.ftruncate(handle, self._good_bytes)
                if os.pwrite(handle, row, self._good_bytes) != len(row):
                    raise OSError(28, "no space left")
                os.fsync(handle)
            finally:
                os.close(handle)
            if not self._good_bytes:
                files.sync_folder(self._path.parent)  # the file is new: its name must survive too
            self._good_bytes += len(row)
            self._starts_clean = True
        except OSError as error:
            raise StorageUnavailableError(f"a unit key can't be written: {error.strerror}") from error

    def destroy(self, unit: bytes) -> bool:
        """Destroy a unit's key: overwrite it where it stands, then write the file without its line.

        Raises:
            StorageUnavailableError: It can't be written; the key may be gone already, and goes when this is asked again.
        """
        with self._lock:
            self._is_writer = True
            data = files.read_file(self._path, limit=MAX_BYTES) or b""
            mark = unit.hex().encode() + b" "
            rows = data.split(b"\n")
            if not any(row.startswith(mark) for row in rows):
                return self._keys.pop(unit, None) is not None
            try:
                self._overwrite(rows, mark)
            except OSError as error:
                raise StorageUnavailableError(f"a unit key can't be destroyed: {error.strerror}") from error
            files.replace_file(self._path, b"\n".join(row for row in rows if not row.startswith(mark)))
            self._keys.pop(unit, None)
            self._load()
            return True

    def _overwrite(self, rows: list[bytes], mark: bytes) -> None:
        nothing = strict.base64_text(_GONE).encode()
        handle = os.open(self._path, os.O_WRONLY)
        try:
            at = 0
            for row in rows:
                if row.startswith(mark):
                    length = min(len(nothing), len(row) - len(mark))
                    os.pwrite(handle, nothing[-length:] if length else b"", at + len(row) - length)
                at += len(row) + 1
            os.fsync(handle)
        finally:
            os.close(handle)


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
            self._keys.setdefault(unit, self._token(sealing.KEY_BYTES))
        return self._keys[unit]

    def destroy(self, unit: bytes) -> bool:
        """Forget a unit's key."""
        return self._keys.pop(unit, None) is not None
