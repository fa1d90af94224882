"""Small files that must survive a crash whole: head memory, unit keys, tiles, private keys.

A file is replaced by writing a temporary one beside it, syncing that, renaming it, and syncing the folder: after a crash the
name holds either the old bytes or the new ones.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from apostille.errors import StorageUnavailableError, TooLargeError

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
PUBLIC_FILE = 0o644
_PIECE_BYTES = 2**20


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path, *, mode: int = 0o777) -> None:
    """Make a folder, and those above it, where they are not there yet; their names survive a power loss.

    Raises:
        StorageUnavailableError: It can't be made.
    """
    try:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True, mode=mode)
        for made in reversed(missing):
            sync_folder(made.parent)  # else a file in it that was synced could be gone with it
    except OSError as error:
        raise StorageUnavailableError(f"{path} can't be made: {error.strerror}") from error


@contextlib.contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Let one process, or one thread, at a time change what is in a folder.

    Raises:
        StorageUnavailableError: There is no such folder.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageUnavailableError(f"{path} can't be opened: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def replace_file(path: Path, data: bytes, *, mode: int = PRIVATE_FILE, is_durable: bool = True) -> None:
    """Give ``path`` the content ``data``, atomically and durably.

    Args:
        path: The file.
        data: Its new content.
        mode: Permissions of a new file.
        is_durable: Sync it; else a crash may leave less, and the caller syncs everything before he relies on it.

    Raises:
        StorageUnavailableError: It can't be written; the old content stands.
    """
    if not path.name:
        raise StorageUnavailableError(f"{path} can't be written: it names a folder")
    # A name that nobody can foresee, and never through a link: the folder may be shared.
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            if is_durable:
                os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(path)
        if is_durable:
            sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StorageUnavailableError(f"{path.name} can't be written: {error.strerror}") from error


def read_up_to(file: BinaryIO, size: int) -> bytes:
    """Read at most ``size`` bytes; ``file.read(size)`` would ask for all of that memory at once, whatever is there."""
    pieces: list[bytes] = []
    while size and (piece := file.read(min(size, _PIECE_BYTES))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def read_file(path: Path, *, limit: int) -> bytes | None:
    """Return the content of a small file, ``None`` if there is none.

    Raises:
        StorageUnavailableError: It can't be read.
        TooLargeError: It is larger than ``limit`` bytes.
    """
    try:
        with path.open("rb") as file:
            data = read_up_to(file, limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageUnavailableError(f"{path.name} can't be read: {error.strerror}") from error
    if len(data) > limit:
        raise TooLargeError(f"{path.name} is too large", limit=limit)
    return data
