"""The SQLite store beyond the common contract: how it is opened, what it refuses, and what damage looks like.

Spec: architecture.md, "Storage" (WAL, ``synchronous=FULL``); formats.md section 9; trust.md section 4 (65, 69, 78).
"""

from __future__ import annotations

import shutil

import apsw
import pytest

from apostille.core.merkle import leaf_hash
from apostille.core.tree import append_leaves, root_at
from apostille.errors import (
    ConfigurationError,
    ConflictError,
    MalformedError,
    NotFoundError,
    OutcomeUnknownError,
    StorageUnavailableError,
    UnsupportedVersionError,
    VerificationError,
)
from apostille.ports import Record, SealedOpening, SignedCheckpoint
from apostille.storage import connection
from apostille.storage.sqlite import SqliteStore


def record(number: int) -> Record:
    entry = b"entry %d" % number
    openings = (SealedOpening("raw", b"x" * 100),)
    return Record(entry, leaf_hash(entry), b"statement", bytes(32), bytes(16), bytes(40), openings, b"r" * 16)


def fill(store: SqliteStore, count: int) -> None:
    head = store.head()
    records = [record(i) for i in range(head.size, head.size + count)]
    store.commit(head, records, append_leaves(head, [r.leaf_hash for r in records]))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.sqlite"


@pytest.fixture
def store(path):
    made = SqliteStore.create(path)
    fill(made, 10)
    made.add_checkpoint(SignedCheckpoint(10, made.head().root_hash, b"note"))
    yield made
    made.close()


def pragma(store: SqliteStore, name: str):
    return store._db.execute(f"PRAGMA {name}").get


# --- opening


def test_durable_by_settings(store, path):
    """A commit that returned survives the loss of power: WAL, synced at each commit (FULL is 2)."""
    for opened in (store, SqliteStore(path)):
        assert (pragma(opened, "journal_mode"), pragma(opened, "synchronous")) == ("wal", 2)
    assert path.with_name("store.sqlite-wal").exists()


def test_each_commit_is_synced(store, path, tmp_path):
    """What a copy of the files shows, taken without closing anything, is all that was committed."""
    fill(store, 5)
    for name in ("store.sqlite", "store.sqlite-wal"):
        shutil.copy(path.with_name(name), tmp_path / f"copy-{name}")
    copy = tmp_path / "copy-store.sqlite"
    assert SqliteStore(copy).head() == store.head()


def test_the_library_is_checked(monkeypatch, path, store):
    assert tuple(map(int, apsw.sqlite_lib_version().split(".")[:2])) >= (3, 54)
    monkeypatch.setattr(connection, "MINIMUM_SQLITE", (99, 0))
    for use in (lambda: SqliteStore(path), lambda: SqliteStore.create(path.with_name("new"))):
        with pytest.raises(ConfigurationError, match="too old"):
            use()


def test_nothing_is_made_over_something(store, path):
    with pytest.raises(ConflictError, match="already"):
        SqliteStore.create(path)
    assert store.count() == 10


def test_nowhere_to_make_it(tmp_path):
    with pytest.raises(StorageUnavailableError):
        SqliteStore.create(tmp_path / "missing" / "store.sqlite")


@pytest.mark.parametrize("read_only", [False, True])
def test_no_file(tmp_path, read_only):
    for name in ("missing", "."):
        with pytest.raises(NotFoundError, match="no store at"):
            SqliteStore(tmp_path / name, read_only=read_only)
    assert list(tmp_path.iterdir()) == [], "a file was made where none was"


def test_a_reader_beside_the_keeper(store, path):
    reader = SqliteStore(path, read_only=True)
    assert reader.head() == store.head()
    fill(store, 3)
    assert (reader.count(), reader.head()) == (13, store.head())
    assert [index for index, _ in reader.records(11)] == [11, 12]
    assert reader.checkpoint().size == 10
    with pytest.raises(StorageUnavailableError):
        fill(reader, 1)
    with pytest.raises(StorageUnavailableError):
        reader.add_checkpoint(SignedCheckpoint(13, bytes(32), b"note"))
    assert store.count() == 13
    reader.close()
    fill(store, 1)


def test_a_reader_of_a_closed_store(path):
    made = SqliteStore.create(path)
    fill(made, 3)
    made.close()
    before = path.read_bytes()
    reader = SqliteStore(path, read_only=True)
    assert reader.count() == 3
    reader.close()
    assert path.read_bytes() == before


def test_readers_see_whole_commits(store, path):
    """Page by page while the keeper commits: leaves come in order, without holes, each once."""
    reader = SqliteStore(path, read_only=True)
    seen: list[int] = []
    for index, _ in reader.records():
        seen.append(index)
        if index % 3 == 0 and index < 600:
            fill(store, 7)
    assert seen == list(range(len(seen)))
    assert len(seen) >= 600
    reader.close()


# --- other writers


def test_a_newer_writer(store, path):
    """A second writer that nobody should have let in: the first one notices at its next commit and writes nothing."""
    mine = store.head()
    other = SqliteStore(path)
    fill(other, 1)
    more = [record(99)]
    with pytest.raises(ConflictError, match="another writer"):
        store.commit(mine, more, append_leaves(mine, [more[0].leaf_hash]))
    assert store.count() == 11
    assert root_at(11, store.hashes) == store.head().root_hash
    fill(store, 1)
    assert other.head().size == 12
    other.close()


def test_a_locked_file(store, path):
    """Somebody holds the write lock: unavailable after the time to wait, nothing written, and it goes on afterwards."""
    blocker = apsw.Connection(str(path))
    blocker.execute("BEGIN IMMEDIATE")
    store._db.set_busy_timeout(50)
    with pytest.raises(StorageUnavailableError, match="can't be written"):
        fill(store, 1)
    with pytest.raises(StorageUnavailableError):
        store.add_checkpoint(SignedCheckpoint(3, bytes(32), b"note"))
    assert store.count() == 10
    blocker.execute("ROLLBACK")
    blocker.close()
    fill(store, 1)
    assert store.count() == 11


def test_a_full_disk(store):
    """SQLite's own way to run out of space: the commit is refused whole, and when there is room again it goes on."""
    pages = pragma(store, "page_count")
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    before = store.head()
    with pytest.raises(StorageUnavailableError, match="nothing was"):
        fill(store, 500)
    assert store.head() == before
    assert store.count() == 10
    assert not store._db.in_transaction
    store._db.execute("PRAGMA max_page_count = 1073741823")
    fill(store, 500)
    assert root_at(510, store.hashes) == store.head().root_hash


def test_a_commit_that_fails_at_the_end(store):
    """What the commit hook refuses stands for a sync that fails: nobody can say whether it happened."""
    store._db.set_commit_hook(lambda: 1)
    with pytest.raises(OutcomeUnknownError, match="may or may not"):
        fill(store, 1)
    with pytest.raises(OutcomeUnknownError):
        store.add_checkpoint(SignedCheckpoint(3, bytes(32), b"note"))
    store._db.set_commit_hook(None)
    assert store.count() == 10
    assert not store._db.in_transaction
    fill(store, 1)
    assert store.count() == 11


# --- damage


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    "data",
    [b"", b"garbage", b"SQLite format 3\x00", bytes(4096), b"SQLite format 3\x00" + bytes(range(256)) * 40],
    ids=["empty", "garbage", "magic only", "zeros", "magic and garbage"],
)
def test_files_that_are_no_database(path, data, read_only):
    path.write_bytes(data)
    with pytest.raises(MalformedError, match=r"store\.sqlite"):
        SqliteStore(path, read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_database_of_somebody_else(path, read_only):
    with apsw.Connection(str(path)) as db:
        db.execute("CREATE TABLE notes (text)")
    db.close()
    with pytest.raises(MalformedError, match="not the tables of a store"):
        SqliteStore(path, read_only=read_only)


@pytest.mark.parametrize("version", ["3", "1", "0", "", "1.0", "x"])
def test_another_schema(store, path, version):
    store._db.execute("UPDATE meta SET value = ? WHERE name = 'schema'", (version,))
    with pytest.raises(UnsupportedVersionError, match="this apostille knows 2") as caught:
        SqliteStore(path, read_only=True)
    assert caught.value.version == version


def test_no_schema(store, path):
    store._db.execute("DELETE FROM meta")
    with pytest.raises(UnsupportedVersionError):
        SqliteStore(path)


def use_all(store: SqliteStore) -> None:
    """Read everything that a store holds."""
    store.head()
    list(store.checkpoints_from(0))
    store.checkpoint()
    store.runs()
    store.run_indexes(b"r" * 16)
    store.count()
    for _ in store.records():
        pass
    root_at(store.head().size, store.hashes)
    store.index_of_key(bytes(32))
    store.index_of_receipt(bytes(16))


@pytest.mark.parametrize("twentieth", range(20))
def test_truncated(path, tmp_path, twentieth):
    """A database cut at any length is damaged, no store, or not there: an error of ours each time, and never a hang."""
    made = SqliteStore.create(path)
    fill(made, 600)
    made.close()
    data = path.read_bytes()
    cut = tmp_path / "cut.sqlite"
    cut.write_bytes(data[: len(data) * twentieth // 20])
    with pytest.raises((MalformedError, NotFoundError)):
        use_all(SqliteStore(cut, read_only=True))


def test_bytes_flipped_anywhere(path, tmp_path):
    """Damage inside a page is an error of ours, or changes what is read (which verification finds); it is never another error."""
    made = SqliteStore.create(path)
    fill(made, 50)
    made.close()
    data = path.read_bytes()
    flipped = tmp_path / "flipped.sqlite"
    refused = 0
    for at in range(0, len(data), len(data) // 150):
        flipped.write_bytes(data[:at] + bytes((data[at] ^ 0xFF,)) + data[at + 1 :])
        try:
            use_all(SqliteStore(flipped, read_only=True))
        except (MalformedError, UnsupportedVersionError, StorageUnavailableError, VerificationError):
            refused += 1
    assert refused > 3


WRONG_ROWS = {
    "no head": "DELETE FROM head",
    "a head that is text": "UPDATE head SET size = 'ten'",
    "a head below zero": "UPDATE head SET size = -1",
    "a huge head": "UPDATE head SET size = 9223372036854775807",
    "a root that is text": "UPDATE head SET root = 'text'",
    "an edge that is text": "UPDATE head SET edge = 'text'",
    "an edge that is cut": "UPDATE head SET edge = substr(edge, 1, 20)",
    "an edge of another tree": "UPDATE head SET edge = zeroblob(64)",
    "an entry that is text": "UPDATE leaf SET entry = 'text' WHERE idx = 3",
    "an entry that is a number": "UPDATE leaf SET entry = 1 WHERE idx = 3",
    "a statement that is NULL": "UPDATE leaf SET statement = NULL WHERE idx = 3",
    "a leaf hash that is a number": "UPDATE leaf SET leaf_hash = 2.5 WHERE idx = 3",
    "a run that is text": "UPDATE leaf SET run = 'text' WHERE idx = 3",
    "an opening that is text": "UPDATE opening SET sealed = 'text' WHERE idx = 3",
    "a name that is not UTF-8": "UPDATE opening SET sealed = x'0001ff00000000' WHERE idx = 3",
    "a checkpoint that is text": "UPDATE checkpoint SET note = 'text'",
    "a checkpoint root that is NULL": "UPDATE checkpoint SET root = NULL",
    "a missing table": "DROP TABLE opening",
}


# A head that is gone or contradicts itself is alteration; a value of the wrong kind is a malformed file.
LOST_HEADS = {"no head", "a head below zero", "a huge head", "an edge that is cut", "an edge of another tree"}


@pytest.mark.parametrize("name", WRONG_ROWS)
def test_rows_of_the_wrong_kind(store, path, name):
    """STRICT tables refuse them, but whoever edits the file can take that off: still an error of ours: 65, or 1 where the head is gone."""
    use_all(SqliteStore(path, read_only=True))
    schema = edit_schema(
        path, lambda sql: sql.replace(") STRICT, WITHOUT", ") WITHOUT").replace(") STRICT", ")").replace(" NOT NULL", "")
    )
    db = apsw.Connection(str(path))
    db.execute(WRONG_ROWS[name])
    db.close()
    if name != "a missing table":
        edit_schema(path, schema.get)
    with pytest.raises(VerificationError if name in LOST_HEADS else MalformedError):
        use_all(SqliteStore(path, read_only=True))


def edit_schema(path, change) -> dict[str, str]:
    """Write other definitions into the file, as an editor of bytes could. Returns new to old."""
    db = apsw.Connection(str(path))
    db.execute("PRAGMA writable_schema = ON")
    found = {}
    for rowid, sql in db.execute("SELECT rowid, sql FROM sqlite_schema WHERE type = 'table'").fetchall():
        found[change(sql)] = sql
        db.execute("UPDATE sqlite_schema SET sql = ? WHERE rowid = ?", (change(sql), rowid))
    db.close()
    return found


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE more (x)",
        "CREATE VIEW more AS SELECT 1",
        "CREATE TRIGGER more AFTER INSERT ON leaf BEGIN DELETE FROM opening; END",
        "DROP INDEX leaf_key",
        "ALTER TABLE leaf ADD COLUMN more BLOB",
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_more_than_our_tables(path, sql, read_only):
    """A trigger or view in the file would run inside our own statements."""
    SqliteStore.create(path).close()
    db = apsw.Connection(str(path))
    db.execute(sql)
    db.close()
    with pytest.raises(MalformedError, match="more than these"):
        SqliteStore(path, read_only=read_only)


def test_strict_tables_refuse_them(store):
    for sql in (WRONG_ROWS["a head that is text"], WRONG_ROWS["an entry that is text"], WRONG_ROWS["a statement that is NULL"]):
        with pytest.raises(apsw.ConstraintError):
            store._db.execute(sql)


def test_statements_are_bytes_whatever_they_look_like(path):
    """A statement comes back as the bytes that went in, also where they are no text."""
    made = SqliteStore.create(path)
    odd = Record(
        b"\x00\xff", leaf_hash(b"\x00\xff"), b"\xff\x00\xfe", bytes(32), bytes(16), None, (SealedOpening("raw", b"\x00"),)
    )
    made.commit(made.head(), [odd], append_leaves(made.head(), [odd.leaf_hash]))
    assert made.record(0) == odd
    made.close()
