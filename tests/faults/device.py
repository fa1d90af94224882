"""A disk that is watched: every write, sync, rename and removal below a folder is an event, and any event may fail.

It stands below the product: Python's ``os`` functions, and a VFS of SQLite's own. What has been synced is known, so that the image
that a power loss would leave can be made at any moment.

Model of a power loss: a file keeps what it held at its last sync, and any of the 512-byte sectors written since; a name keeps what
it named when its folder was last synced, or what it names now; a folder whose own name was never synced is gone with all in it.
"""

from __future__ import annotations

import errno
import os
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512
MODES = ("fails", "is torn", "fails but persists")
_TEMPORARY = re.compile(r"^\.(.*)\.[0-9a-f]{16}\.tmp$")
_REAL = {
    name: getattr(os, name) for name in ("open", "write", "pwrite", "fsync", "ftruncate", "replace", "unlink", "close", "mkdir")
}


@dataclass(frozen=True)
class Event:
    """One call that changes the disk."""

    call: str
    name: str

    def __str__(self) -> str:
        return f"{self.call} {self.name}"


class Device:
    """Watches all below ``root`` while it is switched on.

    Args:
        root: Files below it count; SQLite's index of its WAL, which is made anew after every crash, does not.
        strike: Number of the event that fails, counted from 0; none if it is None.
        mode: One of ``MODES``.
        before: Called before every event with its number.
        below: Count only what happens in this folder, relative to ``root``; by default all.
    """

    def __init__(
        self,
        root: Path,
        *,
        strike: int | None = None,
        mode: str = MODES[0],
        before: Callable[[int], None] | None = None,
        below: str = "",
    ) -> None:
        self.root = root
        self.events: list[Event] = []
        self.struck: Event | None = None
        self._strike = strike
        self._mode = mode
        self._before = before
        self._below = below
        self._paths: dict[int, str] = {}
        self._held: dict[int, bytes] = {}  # inode to what it held at its last sync
        self._names: dict[str, int] = {}  # name to inode, as of the last sync of its folder
        self._folders = {str(root)} | {str(path) for path in root.rglob("*") if path.is_dir()}  # whose own names were synced
        for path in sorted(root.rglob("*")):
            if path.is_file():
                self._sync_file(str(path))
                self._names[str(path)] = path.stat().st_ino

    # --- What happens -------------------------------------------------------------------------------------------------

    def is_watched(self, path: object) -> bool:
        text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        is_below = text == str(self.root) or text.startswith(f"{self.root}/")
        return is_below and not text.endswith(("-shm", "keeper.lock"))

    def happen(self, call: str, path: str, act: Callable[[], Any], torn: Callable[[], Any] | None = None) -> Any:
        """Let one event happen, or fail in the way that was planted."""
        event = Event(call, self._name(path))
        if not f"{event.name}/".startswith(self._below):
            return act()
        number = len(self.events)
        if self._before is not None:
            self._before(number)
        self.events.append(event)
        if number != self._strike:
            return act()
        self.struck = event
        if self._mode == MODES[2]:
            act()
        elif self._mode == MODES[1] and torn is not None:
            torn()
        raise OSError(errno.ENOSPC if call == "write" else errno.EIO, f"planted: {event}")

    def _name(self, path: str) -> str:
        name = Path(path).relative_to(self.root)
        inner = _TEMPORARY.match(name.name)
        return str(name.with_name(inner[1] + " (new)") if inner else name)

    # --- What would survive a power loss ------------------------------------------------------------------------------

    def _sync_file(self, path: str) -> None:
        data = Path(path).read_bytes()
        self._held[os.stat(path).st_ino] = data

    def synced(self, path: str) -> None:
        """Note a sync that was done."""
        if os.path.isdir(path):
            inside = {str(p): p.stat().st_ino for p in Path(path).iterdir() if p.is_file()}
            gone = [name for name in self._names if os.path.dirname(name) == path.rstrip("/") and name not in inside]
            for name in gone:
                del self._names[name]
            self._names.update(inside)
            self._folders |= {str(p) for p in Path(path).iterdir() if p.is_dir()}
            return
        self._sync_file(path)
        if path.endswith(("-wal", "-journal", ".sqlite")):  # SQLite syncs the folder when it first syncs a file that it has made
            self._names[path] = os.stat(path).st_ino

    def image(self, target: Path, luck: random.Random | None) -> None:
        """Write what a power loss now would leave: nothing that was not synced, or, with luck, some of it."""
        current = {str(p): p.stat().st_ino for p in self.root.rglob("*") if p.is_file() and self.is_watched(p)}
        now = {inode: Path(name).read_bytes() for name, inode in current.items()}
        for name in sorted(current.keys() | self._names.keys()):
            inodes = [self._names.get(name), current.get(name)]
            inode = inodes[0] if luck is None else luck.choice(inodes)
            if inode is None or not all(str(p) in self._folders for p in Path(name).parents if self.root in (p, *p.parents)):
                continue
            old = self._held.get(inode, b"")
            data = old if luck is None else _mixed(old, now.get(inode, old), luck)
            path = target / Path(name).relative_to(self.root)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    # --- The calls ----------------------------------------------------------------------------------------------------

    @contextmanager
    def on(self) -> Iterator[Device]:
        """Watch, as long as this lasts."""
        made = {name: getattr(self, f"_{name}") for name in _REAL if hasattr(self, f"_{name}")}
        for name, function in made.items():
            setattr(os, name, function)
        _VFS.device = self
        apsw.set_default_vfs("watched")
        try:
            yield self
        finally:
            apsw.set_default_vfs("unix")
            _VFS.device = None
            for name in made:
                setattr(os, name, _REAL[name])

    def _open(self, path: Any, flags: int, *args: Any, **options: Any) -> int:
        if not self.is_watched(path):
            return _REAL["open"](path, flags, *args, **options)
        act = lambda: _REAL["open"](path, flags, *args, **options)  # noqa: E731
        is_new = flags & os.O_CREAT and not os.path.exists(path)
        handle = self.happen("make", os.fsdecode(path), act) if is_new else act()
        self._paths[handle] = os.fsdecode(path)
        return handle

    def _close(self, handle: int) -> None:
        self._paths.pop(handle, None)
        _REAL["close"](handle)

    def _write(self, handle: int, data: Any) -> int:
        if handle not in self._paths:
            return _REAL["write"](handle, data)
        half = bytes(data)[: len(data) // 2]
        return self.happen(
            "write", self._paths[handle], lambda: _REAL["write"](handle, data), lambda: _REAL["write"](handle, half)
        )

    def _pwrite(self, handle: int, data: Any, offset: int) -> int:
        if handle not in self._paths:
            return _REAL["pwrite"](handle, data, offset)
        half = bytes(data)[: len(data) // 2]
        return self.happen(
            "write",
            self._paths[handle],
            lambda: _REAL["pwrite"](handle, data, offset),
            lambda: _REAL["pwrite"](handle, half, offset),
        )

    def _ftruncate(self, handle: int, size: int) -> None:
        if handle not in self._paths:
            return _REAL["ftruncate"](handle, size)
        return self.happen("truncate", self._paths[handle], lambda: _REAL["ftruncate"](handle, size))

    def _fsync(self, handle: int) -> None:
        path = self._paths.get(handle)
        if path is None:
            return _REAL["fsync"](handle)

        def act() -> None:
            _REAL["fsync"](handle)
            self.synced(path)

        return self.happen("sync", path, act)

    def _replace(self, source: Any, target: Any, **options: Any) -> None:
        if not self.is_watched(target):
            return _REAL["replace"](source, target, **options)
        return self.happen("rename to", os.fsdecode(target), lambda: _REAL["replace"](source, target, **options))

    def _unlink(self, path: Any, **options: Any) -> None:
        if not self.is_watched(path) or not os.path.exists(path):
            return _REAL["unlink"](path, **options)
        return self.happen("remove", os.fsdecode(path), lambda: _REAL["unlink"](path, **options))

    def _mkdir(self, path: Any, *args: Any, **options: Any) -> None:
        if not self.is_watched(path) or os.path.isdir(path):
            return _REAL["mkdir"](path, *args, **options)
        return self.happen("make folder", os.fsdecode(path), lambda: _REAL["mkdir"](path, *args, **options))


def _mixed(old: bytes, new: bytes, luck: random.Random) -> bytes:
    size = luck.choice((len(old), len(new), max(len(old), len(new))))
    pieces = []
    for at in range(0, size, SECTOR):
        both = [data[at : at + SECTOR].ljust(min(SECTOR, size - at), b"\0")[: size - at] for data in (old, new)]
        pieces.append(luck.choice(both))
    return b"".join(pieces)


class _WatchedFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)

    def _happen(self, call: str, act: Callable[[], Any], torn: Callable[[], Any] | None = None) -> Any:
        device = _VFS.device
        if device is None or not device.is_watched(self._path):
            return act()
        try:
            return device.happen(call, self._path, act, torn)
        except OSError as error:
            raise (apsw.FullError if call == "write" else apsw.IOError)(str(error)) from None

    def xWrite(self, data: bytes, offset: int) -> None:
        write = super().xWrite
        half = bytes(data)[: len(data) // 2]
        self._happen("write", lambda: write(data, offset), lambda: write(half, offset))

    def xTruncate(self, size: int) -> None:
        truncate = super().xTruncate
        self._happen("truncate", lambda: truncate(size))

    def xSync(self, flags: int) -> None:
        sync = super().xSync

        def act() -> None:
            sync(flags)
            if _VFS.device is not None and _VFS.device.is_watched(self._path):
                _VFS.device.synced(self._path)

        self._happen("sync", act)


class _WatchedDisk(apsw.VFS):
    def __init__(self) -> None:
        super().__init__("watched", "unix")
        self.device: Device | None = None

    def xOpen(self, name: Any, flags: list[int]) -> _WatchedFile:
        return _WatchedFile(name, flags)

    def xDelete(self, name: str, sync: bool) -> None:
        delete = super().xDelete
        if not os.path.exists(name):
            return  # SQLite takes that for done, but an exception of the real VFS would come up again when the file is closed
        if self.device is None or not self.device.is_watched(name):
            delete(name, sync)
            return
        try:
            self.device.happen("remove", name, lambda: delete(name, sync))
        except OSError as error:
            raise apsw.IOError(str(error)) from None

    def excepthook(self, *_: Any) -> None:
        """A planted failure where SQLite takes none is dropped, as it drops the real one."""


_VFS = _WatchedDisk()
