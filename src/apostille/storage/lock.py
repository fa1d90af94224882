"""The store's locks: one keeper at a time, and who is its client. The kernel drops them when a process ends, however it does."""

from __future__ import annotations

import contextlib
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


class ClientMark:
    """A shared lock that says: a client is alive, and may come back to its runs. Where it can't be had, it is not."""

    def __init__(self, path: Path) -> None:
        self._handle = -1
        with contextlib.suppress(OSError):
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.PRIVATE_FILE)
            fcntl.flock(self._handle, fcntl.LOCK_SH)

    def release(self) -> None:
        """Let go; a second call does nothing."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


def is_anybody_there(path: Path) -> bool:
    """Tell whether any client's process that has marked itself is alive."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # nobody knows
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
