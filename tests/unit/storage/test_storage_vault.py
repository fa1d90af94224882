"""Unit keys in their file: durable before they are used, and a crash while writing one loses none of the others.

Spec: formats.md section 11 (key file); trust.md section 8; decision of ``storage.vault``.
"""

from __future__ import annotations

import base64
import os
import stat

import pytest

from apostille.core import strict
from apostille.errors import MalformedError, StorageUnavailableError
from apostille.storage import files
from apostille.storage import vault as module
from apostille.storage.vault import FileVault, MemoryVault

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


def row(unit: bytes, key: bytes = bytes(32), epoch: str = "0") -> bytes:
    return f"{unit.hex()} {epoch} {base64.b64encode(key).decode()}\n".encode()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "units"


@pytest.fixture
def make(path):
    return lambda: FileVault(path, os.urandom)


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_key_stays_the_same(make, kind):
    vault = make() if kind == "file" else MemoryVault(os.urandom)
    assert vault.key(A) is None
    first = vault.ensure(A)
    assert len(first) == 32
    assert vault.ensure(A) == vault.key(A) == first
    assert vault.ensure(B) != first


def test_it_outlives_the_process(make, path):
    vault = make()
    found = {unit: vault.ensure(unit) for unit in (A, B, C)}
    assert path.read_bytes() == b"".join(row(unit, key) for unit, key in found.items())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = make()
    assert {unit: again.key(unit) for unit in found} == found
    assert again.ensure(B) == found[B]
    assert path.read_bytes().count(b"\n") == 3


def test_nothing_is_made_by_asking(make, path):
    assert make().key(A) is None
    assert not path.exists()


def test_durable_before_it_is_used(make, path, monkeypatch):
    """The key is on the disk, synced, and its file's name too, before ``ensure`` returns it."""
    seen: list[str] = []
    fsync = os.fsync

    def watch(handle):
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        assert path.read_bytes() == row(A, bytes(32))
        seen.append("folder" if is_folder else "file")
        fsync(handle)

    monkeypatch.setattr(module.os, "fsync", watch)
    vault = FileVault(path, bytes)
    vault.ensure(A)
    assert seen == ["file", "folder"]


@pytest.mark.parametrize("torn", [b"6", row(B)[:10], row(B)[:-5], b"\x00\x00\x00", b"\xff garbage"])
@pytest.mark.parametrize("before", [b"", row(A, b"\x01" * 32)])
def test_a_torn_last_line(make, path, before, torn):
    """What a crash left of a line is passed over, cut off before the next one, and never becomes a line of its own."""
    path.write_bytes(before + torn)
    vault = make()
    assert vault.key(A) == (b"\x01" * 32 if before else None)
    assert vault.key(B) is None
    assert path.read_bytes() == before + torn, "reading changes nothing"
    made = {unit: vault.ensure(unit) for unit in (B, C)}
    again = make()
    assert path.read_bytes() == before + row(B, made[B]) + row(C, made[C])
    assert {unit: again.key(unit) for unit in made} == made


def test_a_last_line_that_only_lacks_its_end(make, path):
    """An editor's work: the key is whole, something may be sealed under it, and it must not be lost."""
    path.write_bytes(row(A) + row(B, b"\x02" * 32)[:-1])
    vault = make()
    assert vault.key(B) == b"\x02" * 32
    made = vault.ensure(C)
    assert path.read_bytes() == row(A) + row(B, b"\x02" * 32) + row(C, made)
    assert make().key(B) == b"\x02" * 32


BAD_ROWS = [
    b"garbage\n",
    b"\n",
    row(A)[:-1] + b"\r\n",
    row(A).replace(b" ", b"  "),
    row(A).replace(b" 0 ", b" "),
    row(A, epoch="-1"),
    row(A, epoch="00"),
    row(A, epoch="x"),
    row(b"\xab" * 16).replace(b"ab", b"AB"),
    row(A[:15]),
    row(A + b"a"),
    row(A, bytes(31)),
    row(A, bytes(33)),
    row(A).replace(b"=", b""),
    b"\xff" * 40 + b"\n",
    row(A)[:-1] + b" more\n",
]


@pytest.mark.parametrize("bad", BAD_ROWS, ids=range(len(BAD_ROWS)))
def test_a_bad_line_is_an_error(make, path, bad):
    """A file that is not ours is never added to, and never taken for empty."""
    for data in (bad + row(B), row(B) + bad + row(C)):
        path.write_bytes(data)
        with pytest.raises(MalformedError):
            make()
        assert path.read_bytes() == data


def test_a_disk_that_is_full(make, path, monkeypatch):
    """Half a line was written: the key is not used, the next one is written cleanly behind the good ones."""
    vault = make()
    first = vault.ensure(A)
    pwrite = os.pwrite
    monkeypatch.setattr(module.os, "pwrite", lambda handle, data, at: pwrite(handle, data[:20], at))
    with pytest.raises(StorageUnavailableError, match="can't be written"):
        vault.ensure(B)
    monkeypatch.undo()
    assert path.read_bytes() == row(A, first) + row(B)[:20]
    assert vault.key(B) is None
    assert make().key(B) is None
    made = {unit: vault.ensure(unit) for unit in (C, B)}
    assert path.read_bytes() == row(A, first) + row(C, made[C]) + row(B, made[B])
    assert make().key(B) == made[B]


@pytest.mark.parametrize("step", ["open", "ftruncate", "pwrite", "fsync"])
def test_a_disk_that_fails(make, path, monkeypatch, step):
    vault = make()
    first = vault.ensure(A)

    def fail(*_args, **_options):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module.os, step, fail)
    with pytest.raises(StorageUnavailableError, match="Input/output error"):
        vault.ensure(B)
    monkeypatch.undo()
    assert vault.key(B) is None, "a key that may not be on the disk was kept"
    second = vault.ensure(B)
    assert path.read_bytes() == row(A, first) + row(B, second)


def test_what_can_not_be_read(path):
    path.mkdir()
    with pytest.raises(StorageUnavailableError):
        FileVault(path, os.urandom)


def test_nowhere_to_write(tmp_path):
    vault = FileVault(tmp_path / "missing" / "units", os.urandom)
    with pytest.raises(StorageUnavailableError):
        vault.ensure(A)
    assert vault.key(A) is None


def test_a_reader_sees_what_the_keeper_adds(make, path):
    """Verification opens the file once and then reads entries that are being committed: their keys are looked up again."""
    keeper, reader = make(), make()
    assert reader.key(A) is None
    first = keeper.ensure(A)
    assert reader.key(A) == first
    with path.open("ab") as file:
        file.write(row(B)[:30])
    assert reader.key(B) is None
    assert reader.key(A) == first
    path.unlink()
    assert reader.key(B) is None
    assert reader.key(A) == first


def test_a_large_file(make, path):
    units = [i.to_bytes(16, "big") for i in range(20_000)]
    path.write_bytes(b"".join(row(unit, unit + unit) for unit in units))
    vault = make()
    assert vault.key(units[-1]) == units[-1] * 2
    assert files.read_file(path, limit=2**22) is not None


# --- destroying a key


def test_a_destroyed_key_is_in_no_file_and_the_others_are(tmp_path):
    vault = FileVault(tmp_path / "units", os.urandom)
    keys = {unit: vault.ensure(unit) for unit in (b"a" * 16, b"b" * 16, b"c" * 16)}
    assert vault.destroy(b"b" * 16)
    assert not vault.destroy(b"b" * 16)
    for reader in (vault, FileVault(tmp_path / "units", os.urandom)):
        assert [reader.key(unit) for unit in keys] == [keys[b"a" * 16], None, keys[b"c" * 16]]
    text = (tmp_path / "units").read_bytes()
    assert b"b".hex().encode() * 16 not in text
    assert strict.base64_text(keys[b"b" * 16]).encode() not in text
    assert (tmp_path / "units").stat().st_mode & 0o777 == 0o600
    # And the file goes on.
    vault.ensure(b"d" * 16)
    assert FileVault(tmp_path / "units", os.urandom).key(b"d" * 16) == vault.key(b"d" * 16)


def test_the_old_file_is_overwritten_before_it_is_replaced(tmp_path):
    """Whoever holds the old file open, or finds its blocks, finds no key there."""
    vault = FileVault(tmp_path / "units", os.urandom)
    key = vault.ensure(b"a" * 16)
    with (tmp_path / "units").open("rb") as old:
        vault.destroy(b"a" * 16)
        assert strict.base64_text(key).encode() not in old.read()


def test_a_crash_before_the_file_is_replaced_leaves_no_key(tmp_path, monkeypatch):
    vault = FileVault(tmp_path / "units", os.urandom)
    keys = {unit: vault.ensure(unit) for unit in (b"a" * 16, b"b" * 16)}

    def crash(*_args, **_options):
        raise StorageUnavailableError("planted")

    with monkeypatch.context() as patch:
        patch.setattr("apostille.storage.vault.files.replace_file", crash)
        with pytest.raises(StorageUnavailableError):
            vault.destroy(b"a" * 16)
    again = FileVault(tmp_path / "units", os.urandom)
    assert [again.key(unit) for unit in keys] == [None, keys[b"b" * 16]]
    assert again.destroy(b"a" * 16), "its line is still there"
    assert b"61" * 16 not in (tmp_path / "units").read_bytes()
