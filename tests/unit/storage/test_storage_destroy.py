"""Overwriting openings in the SQLite store: no file of it holds the bytes any more, while it is open and afterwards.

Spec: formats.md section 3.6 (method row).
"""

from __future__ import annotations

import os
from dataclasses import replace

import apsw
import pytest

from apostille.core.tree import EMPTY, append_leaves
from apostille.errors import StorageUnavailableError
from apostille.ports import SealedOpening
from apostille.storage.sqlite import SqliteStore
from tests.simulators.world import World

SIZES = (40, 900, 5_000, 70_000)  # in a cell, on a page, over several pages


@pytest.fixture
def filled(tmp_path):
    """A store whose leaves 0 to 3 have two openings each, of all sizes, with neighbours."""
    model = World().store.record(0)
    store = SqliteStore.create(tmp_path / "store.sqlite")
    records = [
        replace(
            model,
            leaf_hash=os.urandom(32),
            wrapped_key=os.urandom(40),
            openings=tuple(SealedOpening(name, os.urandom(size)) for name in ("raw", "attributes")),
        )
        for size in SIZES
    ]
    store.commit(EMPTY, records, append_leaves(EMPTY, [record.leaf_hash for record in records]))
    yield store, records, tmp_path
    store.close()


def holders(folder, needle: bytes) -> list[str]:
    return [path.name for path in folder.iterdir() if any(part in path.read_bytes() for part in pieces(needle))]


def pieces(needle: bytes) -> list[bytes]:
    return [needle[at : at + 24] for at in range(0, len(needle) - 24, 997)] or [needle]


@pytest.mark.parametrize("is_checkpointed", [False, True])
@pytest.mark.parametrize("is_old", [False, True])
def test_the_bytes_are_in_no_file_while_the_store_is_open(filled, is_checkpointed, is_old):
    store, records, folder = filled
    if is_old:  # made by a version that did not overwrite what it moved; this is what it may have left
        store._db.execute("DELETE FROM meta WHERE name = 'secure_delete'")
        store._db.execute("PRAGMA secure_delete = OFF")
        store._db.execute("CREATE TABLE t (v BLOB)")
        store._db.execute("INSERT INTO t VALUES (?), (?)", [o.ciphertext for o in records[1].openings])
        store._db.execute("DROP TABLE t")
        store._db.execute("PRAGMA secure_delete = ON")
    if is_checkpointed:
        store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for index, record in enumerate(records):
        assert all(holders(folder, o.ciphertext) for o in record.openings)
        store.destroy({index: {"raw"}})
        raw, attributes = record.openings
        assert holders(folder, raw.ciphertext) == []
        kept = store.record(index)
        assert (kept.openings, kept.wrapped_key) == ((replace(raw, ciphertext=b""), attributes), record.wrapped_key)
        store.destroy({index: {"raw", "attributes"}})
        assert holders(folder, attributes.ciphertext) == holders(folder, record.wrapped_key) == []
        assert store.record(index).wrapped_key is None
        for other in records[index + 1 :]:
            assert all(holders(folder, o.ciphertext) for o in other.openings)
    store.destroy({0: {"raw"}, 3: {"no such opening"}})  # once more: nothing is there to be harmed


def test_a_reader_that_keeps_old_pages_is_named_and_asking_again_ends_it(filled):
    store, records, folder = filled
    store._db.set_busy_timeout(50)
    reader = apsw.Connection(str(folder / "store.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM leaf").fetchall()
    with pytest.raises(StorageUnavailableError, match="a reader keeps older pages"):
        store.destroy({0: {"raw", "attributes"}})
    assert store.record(0).wrapped_key is None, "destroyed for everybody who looks now"
    reader.close()
    store.destroy({0: {"raw"}})
    assert all(holders(folder, o.ciphertext) == [] for o in records[0].openings)
