"""Upgrades of the SQLite store: a store of schema 1 becomes one of today, at once or not at all.

Spec: ADR 0010.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import apsw
import pytest

from apostille import wiring
from apostille.core.statement import parse_statement
from apostille.errors import MalformedError, UnsupportedVersionError
from apostille.ports import SealedOpening
from apostille.services.auditor import examine_store
from apostille.services.examination import Examination
from apostille.services.vault import open_record
from apostille.storage import openings, schema
from apostille.storage.sqlite import SqliteStore
from tests.unit.storage.old_store import write_schema_1


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A store that has lived: two runs with parts and findings, over a tile border; and its schema 1 form."""
    path = tmp_path_factory.mktemp("lived")
    with pytest.MonkeyPatch.context() as patch:
        at_home(patch, path)
        folder = wiring.store_folder(path / "store")
        wiring.init_store(folder)
        keeper = wiring.open_keeper(folder)
        run = keeper.open_run(agent="a")
        run.input(b"question", source={"kind": "user"})
        for number in range(260):
            text = b"answer %d" % number
            said = run.output(text + b"\r\n", text + b"\n", profile="opaque", media_type="text/plain")
        said.committed(30)
        run.close().committed(30)
        keeper.open_run(agent="b").close().committed(30)
        keeper.close()
    return path


def at_home(patch, path) -> None:
    patch.setenv("XDG_STATE_HOME", str(path / "state"))
    patch.setenv("XDG_CONFIG_HOME", str(path / "config"))


@pytest.fixture
def old(template, tmp_path, monkeypatch):
    """Folder, receipt ids and today's records of a store that has schema 1 again."""
    shutil.copytree(template, tmp_path / "home")
    at_home(monkeypatch, tmp_path / "home")
    folder = wiring.store_folder(tmp_path / "home" / "store")
    database = folder.database
    made = database.with_name("made.sqlite")
    receipts = write_schema_1(database, made)
    reader = SqliteStore(database, read_only=True)
    records = dict(reader.records())
    reader.close()
    for suffix in ("", "-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    made.rename(database)
    return folder, receipts, records


def rows(path, sql):
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found = db.execute(sql).fetchall()
    db.close()
    return found


def schema_of(path):
    return rows(path, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")


def test_a_keeper_upgrades_and_all_verifies(old):
    folder, receipts, records = old
    keeper = wiring.open_keeper(folder)
    assert dict(keeper.reader.records()) == records, "what is read is what was there, to the byte"
    examination = Examination()
    policy = wiring.parse_policy(f"log {wiring.note.format_vkey(keeper.signer.vkeys[0])}\nquorum none\n".encode())
    audit = examine_store(examination, keeper.reader, policy, origin=keeper.origin, vault=wiring.open_vault(folder))
    assert list(examination.failures) == []
    assert audit.openings.opened == len(records)
    for index, receipt_id in receipts.items():
        nonce = bytes.fromhex(parse_statement(records[index].statement).predicate["nonce"])
        assert records[index].nonce == nonce
        assert keeper.reader.index_of_receipt(nonce) == index
        assert keeper.reader.index_of_receipt(receipt_id) == index, "an id that was given out still leads to its receipt"
    assert keeper.receipt(next(iter(receipts.values())).hex())[0] == "published"
    keeper.open_run(agent="c").close().committed(10)
    keeper.close()


def test_an_upgraded_store_equals_a_fresh_one(old, tmp_path):
    folder = old[0]
    SqliteStore(folder.database).close()
    SqliteStore.create(tmp_path / "fresh.sqlite").close()
    assert schema_of(folder.database) == schema_of(tmp_path / "fresh.sqlite")
    assert rows(folder.database, "PRAGMA integrity_check") == [("ok",)]


def test_what_the_old_tables_held_is_overwritten(old):
    """An upgrade must not leave second copies of sealed openings, which an erasure would not reach."""
    folder, _, records = old
    SqliteStore(folder.database).close()
    data = folder.database.read_bytes()
    for record in list(records.values())[:20]:
        for opening in record.openings:
            assert data.count(opening.ciphertext) == 1


def test_a_reader_of_an_old_store_says_what_to_do(old):
    folder = old[0]
    before = schema_of(folder.database)
    with pytest.raises(UnsupportedVersionError, match=r"schema 1; its keeper upgrades it to 2 .*apostille serve") as caught:
        wiring.open_reader(folder)
    assert caught.value.version == "1"
    assert schema_of(folder.database) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from apostille.storage import schema
from apostille.storage.sqlite import SqliteStore

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

original = schema.take_steps

def take_steps(db, version):
    db.set_progress_handler(kill, int(sys.argv[2]))
    original(db, version)
    kill()

schema.take_steps = take_steps
SqliteStore(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("steps", [50, 2_000, 5_000, 10_000, 20_000, 10**9])
def test_killed_in_the_middle(old, steps):
    """Wherever the process is killed, the last place being right before COMMIT, the store has schema 1 and all its rows."""
    folder, _, records = old
    before = rows(folder.database, "SELECT * FROM leaf"), rows(folder.database, "SELECT * FROM opening")
    killed = subprocess.run([sys.executable, "-c", KILLED, folder.database, str(steps)], env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert rows(folder.database, "SELECT value FROM meta") == [("1",)]
    assert (rows(folder.database, "SELECT * FROM leaf"), rows(folder.database, "SELECT * FROM opening")) == before
    store = SqliteStore(folder.database)
    assert dict(store.records()) == records
    store.close()


def test_an_error_in_the_middle_changes_nothing(old, monkeypatch):
    folder = old[0]
    before = schema_of(folder.database)
    step = schema.step
    monkeypatch.setattr(schema, "step", lambda number: step(number) + "INSERT INTO meta VALUES ('schema', 'twice');")
    with pytest.raises(Exception, match="meta"):
        SqliteStore(folder.database)
    assert schema_of(folder.database) == before
    monkeypatch.undo()
    SqliteStore(folder.database).close()


@pytest.mark.parametrize(
    "statement", [b"", b"\xff\xfe", b"{}", b"[1]", b'{"predicate":{"nonce":"no hex"}}', b'{"predicate":{"nonce":7}}']
)
def test_a_spoiled_statement_does_not_keep_a_store_from_being_opened(old, statement):
    """It is upgraded as it is, and verification says which leaf it is."""
    folder, _, records = old
    db = apsw.Connection(str(folder.database))
    db.execute("UPDATE leaf SET statement = ? WHERE idx = 7", (statement,))
    db.close()
    store = SqliteStore(folder.database)
    assert store.record(7).statement == statement
    assert store.record(8) == records[8]
    store.close()


def test_two_upgrade_at_once(old):
    """The second finds the work done."""
    folder, _, records = old
    first = apsw.Connection(str(folder.database))
    store = SqliteStore(folder.database)
    schema.upgrade(first)
    first.close()
    assert dict(store.records()) == records
    store.close()


def test_a_newer_schema_with_other_tables(tmp_path):
    path = tmp_path / "store.sqlite"
    SqliteStore.create(path).close()
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE more (x); UPDATE meta SET value = '3'")
    db.close()
    for read_only in (True, False):
        with pytest.raises(UnsupportedVersionError, match="schema 3, this apostille knows 2") as caught:
            SqliteStore(path, read_only=read_only)
        assert caught.value.version == "3"


PACKED = [
    (),
    (SealedOpening("raw", b""),),
    (SealedOpening("raw", b"x" * 70_000), SealedOpening("part/choice/0/text", bytes(16))),
    (SealedOpening("", b"y"), SealedOpening("ä", b"z")),
]


@pytest.mark.parametrize("value", PACKED)
def test_packed_openings(value):
    data = openings.pack(value)
    assert openings.unpack(data) == value
    for cut in range(1, min(len(data), 60)):
        try:
            shorter = openings.unpack(data[:-cut])
        except MalformedError:
            continue
        assert openings.pack(shorter) == data[:-cut], "what is read is written so"


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",
        b"\x00\x05raw",
        b"\x00\x01a",
        b"\x00\x01a\x00\x00\x00",
        b"\x00\x01a\xff\xff\xff\xff",
        b"\x00\x01\xff\x00\x00\x00\x00",
    ],
)
def test_no_packed_openings(data):
    with pytest.raises(MalformedError):
        openings.unpack(data)


def test_an_opening_keeps_its_place_when_another_is_destroyed(template, tmp_path, monkeypatch):
    shutil.copytree(template, tmp_path / "home")
    at_home(monkeypatch, tmp_path / "home")
    folder = wiring.store_folder(tmp_path / "home" / "store")
    store = SqliteStore(folder.database)
    index = store.count() - 5
    before = store.record(index)
    store.destroy({index: {"raw"}})
    after = store.record(index)
    assert [o.ciphertext == b"" for o in after.openings] == [True, False, False]
    digests = dict(parse_statement(after.statement).subjects)
    assert set(open_record(wiring.open_vault(folder), after, digests)) == {"canonical", "attributes"}
    store.close()
    assert before.openings[0].ciphertext not in folder.database.read_bytes()
