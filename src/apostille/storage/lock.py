"""The store's lock: one keeper at a time, whatever happens to it. The kernel drops it when the process ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from apostille.errors import StorageUnavailableError
from apostille.storage import files


class StoreLock:
    """An exclusive lock on a store's folder.

    Raises:
        StorageUnavailableError: Another process holds it; the message says which.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.PRIVATE_FILE)
        except OSError as error:
            raise StorageUnavailableError(f"{path.name} can't be opened: {error.strerror}") from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(self._handle, 32).decode("ascii", "replace").strip()
            os.close(self._handle)
            raise StorageUnavailableError(
                f"another keeper (process {owner or 'unknown'}) owns this store; stop it, or use another --store"
            ) from error
        os.ftruncate(self._handle, 0)
        os.write(self._handle, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let go; a second call does nothing: the number may be another file's by then."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)
