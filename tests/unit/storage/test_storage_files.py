"""Small files that survive a crash whole: replaced at once or not at all; head memory, tiles and the lock built on them.

Spec: formats.md sections 6 (never overwrite), 8 (head memory); architecture.md, "Storage".
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from apostille.core import tiles
from apostille.core.checkpoint import Checkpoint, format_checkpoint
from apostille.core.digest import sha256
from apostille.errors import MalformedError, RollbackError, StorageUnavailableError, TooLargeError
from apostille.storage import files
from apostille.storage.heads import FolderHeadMemory
from apostille.storage.lock import StoreLock
from apostille.storage.tiles import TileFolder

ORIGIN = "log.example/one"


def head(size: int, root: bytes = bytes(32), origin: str = ORIGIN) -> Checkpoint:
    return Checkpoint(origin, size, root)


# --- files


def test_replacing(tmp_path):
    path = tmp_path / "file"
    files.replace_file(path, b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    files.replace_file(path, b"two", mode=files.PUBLIC_FILE)
    assert path.read_bytes() == b"two"
    files.replace_file(path, b"")
    assert path.read_bytes() == b""
    assert [p.name for p in tmp_path.iterdir()] == ["file"], "a temporary file was left"


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_replacement_that_fails_leaves_the_old(tmp_path, monkeypatch, step):
    path = tmp_path / "file"
    files.replace_file(path, b"old")

    def fail(*_args, **_options):
        raise OSError(28, "No space left on device")

    if step == "replace":
        monkeypatch.setattr(type(path), "replace", fail)
    else:
        monkeypatch.setattr(files.os, step, fail)
    with pytest.raises(StorageUnavailableError, match="file can't be written: No space left"):
        files.replace_file(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"], "a temporary file was left"


def test_a_short_write_is_continued(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(files.os, "write", lambda handle, data: write(handle, bytes(data[:3])))
    files.replace_file(tmp_path / "file", b"0123456789")
    monkeypatch.undo()
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_it_is_synced_before_it_is_named(tmp_path, monkeypatch):
    """After a crash the name holds the old bytes or the new: data first, then the name, then the folder."""
    seen: list[str] = []
    fsync, path_type = os.fsync, type(tmp_path)
    replace = path_type.replace
    monkeypatch.setattr(
        files.os, "fsync", lambda h: (seen.append("folder" if stat.S_ISDIR(os.fstat(h).st_mode) else "data"), fsync(h))
    )
    monkeypatch.setattr(path_type, "replace", lambda s, t: (seen.append("name"), replace(s, t))[1])
    files.replace_file(tmp_path / "file", b"x")
    assert seen == ["data", "name", "folder"]


@pytest.mark.parametrize("where", ["missing/file", "a-file/file", "..", "/"])
def test_where_nothing_can_be_written(tmp_path, where):
    (tmp_path / "a-file").write_bytes(b"x")
    with pytest.raises(StorageUnavailableError):
        files.replace_file(tmp_path / where, b"x")


def test_reading(tmp_path):
    path = tmp_path / "file"
    assert files.read_file(path, limit=10) is None
    path.write_bytes(b"0123456789")
    assert files.read_file(path, limit=10) == b"0123456789"
    with pytest.raises(TooLargeError, match="file is too large; the limit is 9"):
        files.read_file(path, limit=9)
    with pytest.raises(StorageUnavailableError, match="Is a directory"):
        files.read_file(tmp_path, limit=10)
    with pytest.raises(StorageUnavailableError, match="Not a directory"):
        files.read_file(path / "below", limit=10)


def test_folders(tmp_path):
    files.make_folder(tmp_path / "a" / "b", mode=0o700)
    files.make_folder(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    (tmp_path / "file").write_bytes(b"")
    for bad in (tmp_path / "file", tmp_path / "file" / "x", tmp_path / ("n" * 300)):
        with pytest.raises(StorageUnavailableError, match="can't be made"):
            files.make_folder(bad)


# --- head memory


@pytest.fixture
def memory(tmp_path):
    return FolderHeadMemory(tmp_path / "state" / "heads")


def test_nothing_is_remembered_at_first(memory, tmp_path):
    assert memory.recall(ORIGIN) is None
    assert not (tmp_path / "state").exists(), "reading makes no folders"


def test_what_is_remembered(memory, tmp_path):
    memory.remember(head(3))
    memory.remember(head(7, b"\x01" * 32, "log.example/two"))
    assert memory.recall(ORIGIN) == head(3)
    path = tmp_path / "state" / "heads" / sha256(ORIGIN.encode()).hex()
    assert path.read_bytes() == format_checkpoint(head(3)), "three lines of a checkpoint, nothing else"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    memory.remember(head(3))
    memory.remember(head(4))
    assert memory.recall(ORIGIN) == head(4)
    assert memory.recall("log.example/two") == head(7, b"\x01" * 32, "log.example/two")


@pytest.mark.parametrize("wrong", [head(4), head(0), head(5, b"\x01" * 32)])
def test_the_size_never_falls(memory, wrong):
    memory.remember(head(5))
    with pytest.raises(RollbackError, match="can't replace it") as caught:
        memory.remember(wrong)
    assert caught.value.evidence == (format_checkpoint(head(5)), format_checkpoint(wrong))
    assert memory.recall(ORIGIN) == head(5)


def test_the_size_never_falls_under_many_hands(memory):
    """A keeper and an auditor write at the same time: the largest head stays."""
    memory.remember(head(1))
    gate = threading.Barrier(8)

    def write(number: int) -> None:
        gate.wait()
        for size in range(number, 200, 8):
            try:
                FolderHeadMemory(memory._folder).remember(head(size + 2))
            except RollbackError:
                continue

    seen: list[int] = []
    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen.append(memory.recall(ORIGIN).size)
    for thread in threads:
        thread.join()
    assert seen == sorted(seen), "the remembered size has fallen"
    assert memory.recall(ORIGIN).size == 201


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\n",
        b"garbage",
        format_checkpoint(head(5))[:-1],
        format_checkpoint(head(5))[:20],
        format_checkpoint(head(5)) + b"more\n",
        format_checkpoint(head(5)).replace(b"5", b"05"),
        format_checkpoint(head(5)).replace(b"\n", b"\r\n"),
        format_checkpoint(head(5, origin="log.example/two")),
        bytes(4096),
    ],
    ids=["empty", "line", "garbage", "cut", "cut short", "longer", "05", "CRLF", "another log's", "zeros"],
)
def test_a_damaged_file_is_an_error(memory, damage):
    """It is never taken for "nothing remembered", and nothing is written over it."""
    memory.remember(head(5))
    (path,) = memory._folder.iterdir()
    path.write_bytes(damage)
    with pytest.raises(MalformedError):
        memory.recall(ORIGIN)
    with pytest.raises(MalformedError):
        memory.remember(head(6))
    assert path.read_bytes() == damage


def test_a_file_that_can_not_be_read(memory):
    memory.remember(head(5))
    (path,) = memory._folder.iterdir()
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageUnavailableError):
        memory.recall(ORIGIN)
    path.rmdir()
    path.write_bytes(bytes(5000))
    with pytest.raises(MalformedError, match="too large"):
        memory.recall(ORIGIN)


def test_a_folder_that_is_none(tmp_path):
    (tmp_path / "heads").write_bytes(b"")
    memory = FolderHeadMemory(tmp_path / "heads")
    with pytest.raises(StorageUnavailableError):
        memory.recall(ORIGIN)
    with pytest.raises(StorageUnavailableError):
        memory.remember(head(1))


# --- tiles


@pytest.fixture
def folder(tmp_path):
    return TileFolder(tmp_path / "log")


def note_of(size: int) -> bytes:
    return format_checkpoint(head(size)) + b"\n\xe2\x80\x94 log.example/one AAAAAAAA\n"


def test_tiles_are_written_once(folder):
    folder.write("tile/0/000", b"x" * 8192)
    folder.write("tile/0/000", b"x" * 8192)
    path = folder.folder / "tile/0/000"
    assert path.read_bytes() == b"x" * 8192
    assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444, "monitors read it"
    with pytest.raises(StorageUnavailableError, match="was altered"):
        folder.write("tile/0/000", b"y" * 8192)
    assert path.read_bytes() == b"x" * 8192, "a published tile was overwritten"


@pytest.mark.parametrize("damage", [b"", b"x" * 8191, b"y" * 8192])
def test_an_altered_tile_is_noticed(folder, damage):
    folder.write("tile/0/000", b"x" * 8192)
    (folder.folder / "tile/0/000").write_bytes(damage)
    with pytest.raises(StorageUnavailableError, match="was altered"):
        folder.write("tile/0/000", b"x" * 8192)


def test_a_file_where_a_folder_belongs(folder):
    folder.folder.mkdir()
    (folder.folder / "tile").write_bytes(b"")
    with pytest.raises(StorageUnavailableError):
        folder.write("tile/0/000", b"x")


def test_the_published_checkpoint(folder):
    assert folder.published_size() == 0
    folder.write_checkpoint(note_of(5), 5)
    assert folder.published_size() == 5
    assert folder.checkpoint() == note_of(5)
    (folder.folder / "checkpoint").write_bytes(b"garbage")
    with pytest.raises(MalformedError):
        folder.published_size()


def test_hashes_from_tiles(folder):
    leaves = [i.to_bytes(32, "big") for i in range(300)]
    for tile in tiles.tiles_of(0, 300):
        if tile.level == 0:
            start = tile.number * 256
            folder.write(tiles.format_tile_path(tile), b"".join(leaves[start : start + tile.width]))
    assert list(folder.hashes(300, 0, 0, 300)) == leaves
    assert list(folder.hashes(300, 0, 250, 10)) == leaves[250:260]
    assert list(folder.hashes(300, 0, 299, 1)) == leaves[299:]
    with pytest.raises(MalformedError, match=r"tile/1/000\.p/1 is missing"):
        folder.hashes(300, 1, 0, 1)
    (folder.folder / "tile/0/001.p/44").write_bytes(b"x")
    with pytest.raises(MalformedError):
        folder.hashes(300, 0, 299, 1)


# --- the lock

HOLDER = """
import sys, time
from pathlib import Path
from apostille.storage.lock import StoreLock
lock = StoreLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_one_at_a_time(tmp_path):
    first = StoreLock(tmp_path / "lock")
    with pytest.raises(StorageUnavailableError, match=rf"process {os.getpid()}\) owns this store"):
        StoreLock(tmp_path / "lock")
    first.release()
    StoreLock(tmp_path / "lock").release()


def test_released_twice_harms_nobody(tmp_path):
    """The number of the closed file may be another file's by then."""
    lock = StoreLock(tmp_path / "lock")
    lock.release()
    with (tmp_path / "other").open("wb") as other:
        lock.release()
        other.write(b"still open")
    assert (tmp_path / "other").read_bytes() == b"still open"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_dies_lets_go(tmp_path, number):
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(StorageUnavailableError, match=rf"process {child.pid}\) owns"):
            StoreLock(path)
        child.send_signal(number)
        child.wait()
    lock = StoreLock(path)
    assert path.read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_child_does_not_hold_it(tmp_path):
    """A program that the keeper starts must not keep the store when the keeper is gone."""
    lock = StoreLock(tmp_path / "lock")
    program = "import sys; print('up', flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], close_fds=False, **pipes) as child:
        assert child.stdout.readline() == b"up\n"
        lock.release()
        StoreLock(tmp_path / "lock").release()
        child.stdin.close()


def test_a_lock_that_can_not_be_opened(tmp_path):
    with pytest.raises(StorageUnavailableError, match="can't be opened"):
        StoreLock(tmp_path / "missing" / "lock")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageUnavailableError, match="can't be opened"):
        StoreLock(tmp_path / "folder")
