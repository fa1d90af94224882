"""The embedded store: one SQLite file in WAL mode with ``synchronous=FULL``, owned by one keeper.

The commit is one transaction that ends in a compare-and-swap on the head row, so two writers can never both build on one head.
Readers open the file read-only beside the keeper.

What happens if we crash: before the commit record is in the WAL nothing has happened; after it everything has. SQLite itself
syncs the WAL before ``COMMIT`` returns; bytes are released only after that.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import apsw

from apostille.core import predicates
from apostille.core.tree import EMPTY, Growth, Head, pack_edge, unpack_edge
from apostille.errors import (
    ConflictError,
    MalformedError,
    NotFoundError,
    OutcomeUnknownError,
    StorageUnavailableError,
    UnsupportedVersionError,
    VerificationError,
)
from apostille.ports import ERASURE_MARK, Record, SealedOpening, SignedCheckpoint
from apostille.storage import files, openings, schema
from apostille.storage.connection import FAULTS, check_library, open_file, prepare, translate

_SPEC = "store"
_PAGE = 512
_FEW = 16
_ROWS = 64
_COPY_PAGES = 1024
_SECURE = "secure_delete"
_LEAF = "entry, leaf_hash, statement, nonce, unit, wrapped_key, run, certifies"
_KINDS = (*[bytes] * 5, *[bytes | None] * 3)


def _typed(row: Sequence[Any], *kinds: Any) -> Sequence[Any]:
    """Return a row of which every value is of its kind. STRICT tables see to that, but not for whoever edits the file."""
    if not all(map(isinstance, row, kinds)):
        raise MalformedError("a row holds another kind of value than its column", spec=_SPEC)
    return row


def _record(row: Sequence[Any], sealed: Any) -> Record:
    entry, leaf_hash, statement, nonce, unit, wrapped_key, run, certifies = _typed(row, *_KINDS)
    found = openings.unpack(_typed((sealed,), bytes)[0]) if sealed is not None else ()
    return Record(entry, leaf_hash, statement, nonce, unit, wrapped_key, found, run, certifies)


class SqliteStore:
    """A store in one file. Thread-safe: one connection behind one lock.

    Args:
        path: The file.
        read_only: Open it for reading beside the keeper that owns it. Otherwise an older store is upgraded.
        is_snapshot: Read all of it as it is now, whatever the keeper commits meanwhile. The write-ahead log can't shrink until
            such a reader is closed.

    Raises:
        ConfigurationError: SQLite is too old.
        NotFoundError: There is no such file.
        MalformedError: Damaged, or not a store.
        UnsupportedVersionError: Made by a newer apostille; or by an older one, and it can't be upgraded by a reader.
        StorageUnavailableError: It can't be read, or not upgraded; nothing was changed.
    """

    def __init__(self, path: Path, *, read_only: bool = False, is_snapshot: bool = False) -> None:
        check_library()
        self._path = path
        self._lock = threading.Lock()
        if not path.is_file():
            raise NotFoundError(f"there is no store at {path}")
        if path.stat().st_size == 0:
            raise MalformedError(f"{path.name} is empty", spec=_SPEC)
        try:
            self._db, version = open_file(path, read_only=read_only)
            if is_snapshot:
                self._db.execute("BEGIN")
                self._db.execute("SELECT size FROM head").fetchall()  # the first read fixes the moment
        except FAULTS as error:
            raise translate(error, path) from error
        if version == schema.SCHEMA:
            return
        if read_only:
            self._db.close()
            raise UnsupportedVersionError(
                f"the store has schema {version}; its keeper upgrades it to {schema.SCHEMA} at the next start: "
                "run 'apostille serve' or anything else that writes once",
                version=str(version),
                spec=_SPEC,
            )
        try:
            schema.upgrade(self._db)
        except FAULTS as error:
            self._db.close()
            raise translate(error, path) from error

    @classmethod
    def create(cls, path: Path) -> SqliteStore:
        """Make an empty store.

        Raises:
            ConflictError: Something is there already.
            StorageUnavailableError: The file can't be written.
        """
        check_library()
        if path.exists():
            raise ConflictError(f"there is a store at {path} already")
        try:
            db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
            prepare(db)
            with db:
                schema.take_steps(db, 0)
                db.execute("INSERT INTO head VALUES (1, 0, ?, ?)", (EMPTY.root_hash, b""))
                db.execute("INSERT INTO meta VALUES (?, 'on')", (_SECURE,))
            db.close()
        except apsw.Error as error:
            raise translate(error, path) from error
        return cls(path)

    def _all(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        try:
            with self._lock:
                return self._db.execute(sql, tuple(args)).fetchall()
        except FAULTS as error:
            raise translate(error, self._path) from error

    def _one(self, sql: str, args: Sequence[Any] = ()) -> Any:
        rows = self._all(sql, args)
        return rows[0] if rows else None

    def head(self) -> Head:
        """Return the committed head."""
        row = self._one("SELECT size, edge, root FROM head")
        if row is None:
            raise VerificationError("the store's head row is missing")
        head = Head(row[0], unpack_edge(_typed(row, int, bytes, bytes)[1]))
        if head.size < 0 or len(head.edge) != head.size.bit_count() or head.root_hash != row[2]:
            raise VerificationError("the store's head row contradicts itself")
        return head

    def checkpoint(self) -> SignedCheckpoint | None:
        """Return the newest signed checkpoint."""
        row = self._one("SELECT size, root, note FROM checkpoint ORDER BY size DESC LIMIT 1")
        return SignedCheckpoint(*_typed(row, int, bytes, bytes)) if row else None

    def checkpoints_from(self, size: int) -> Iterator[SignedCheckpoint]:
        """Yield the signed checkpoints of at least ``size`` leaves, oldest first, in pages."""
        at = size - 1  # behind the last one, and never one more than that: a row may have the largest number that there is
        while rows := self._all(f"SELECT size, root, note FROM checkpoint WHERE size > ? ORDER BY size LIMIT {_PAGE}", (at,)):  # noqa: S608
            for row in rows:
                yield SignedCheckpoint(*_typed(row, int, bytes, bytes))
            at = rows[-1][0]

    def faults(self) -> list[str]:
        """Return what SQLite finds wrong with the file, and rows that belong to no leaf, all of one moment."""
        try:
            with self._lock:
                is_mine = not self._db.in_transaction
                if is_mine:
                    self._db.execute("BEGIN")
                try:
                    return schema.faults(self._db)
                finally:
                    if is_mine:
                        self._roll_back()
        except FAULTS as error:
            raise translate(error, self._path) from error

    def count(self) -> int:
        """Return how many leaves are there, whatever the head says."""
        return int(self._one("SELECT count(*) FROM leaf")[0])

    def record(self, index: int) -> Record:
        """Return one leaf."""
        row = self._one(f"SELECT {_LEAF} FROM leaf WHERE idx = ?", (index,))  # noqa: S608 - a constant
        if row is None:
            raise NotFoundError(f"there is no leaf {index}")
        return _record(row, self._openings(index, index).get(index))

    def records(self, start: int = 0) -> Iterator[tuple[int, Record]]:
        """Yield leaves in order of their index: leaves in pages, openings (which may be large) of a few leaves at a time."""
        at = start - 1
        while rows := self._all(f"SELECT idx, {_LEAF} FROM leaf WHERE idx > ? ORDER BY idx LIMIT {_PAGE}", (at,)):  # noqa: S608
            for place in range(0, len(rows), _FEW):
                few = rows[place : place + _FEW]
                sealed = self._openings(few[0][0], few[-1][0])
                for row in few:
                    (at,) = _typed(row[:1], int)
                    yield at, _record(row[1:], sealed.get(at))

    def _openings(self, first: int, last: int) -> dict[int, Any]:
        return dict(self._all("SELECT idx, sealed FROM opening WHERE idx BETWEEN ? AND ?", (first, last)))

    def entries(self, start: int, count: int) -> list[bytes]:
        """Return the exact bytes of ``count`` leaves."""
        rows = self._all("SELECT entry FROM leaf WHERE idx >= ? AND idx < ? ORDER BY idx", (start, start + count))
        if len(rows) != count:
            raise VerificationError(f"leaves are missing between {start} and {start + count}")
        return [_typed(row, bytes)[0] for row in rows]

    def hashes(self, level: int, start: int, count: int) -> list[bytes]:
        """Return ``count`` stored hashes of a level."""
        if level == 0:
            sql = "SELECT leaf_hash FROM leaf INDEXED BY leaf_tree WHERE idx >= ? AND idx < ? ORDER BY idx"
            rows = self._all(sql, (start, start + count))
        else:
            sql = "SELECT hash FROM subtree WHERE level = ? AND number >= ? AND number < ? ORDER BY number"
            rows = self._all(sql, (level, start, start + count))
        if len(rows) != count:
            raise VerificationError(f"stored hashes of level {level} are missing between {start} and {start + count}")
        return [_typed(row, bytes)[0] for row in rows]

    def index_of_receipt(self, receipt_id: bytes) -> int | None:
        """Return the index of the first statement that has this nonce; or the id that schema 1 gave out for it."""
        return self.indexes_of_receipts([receipt_id]).get(receipt_id)

    def indexes_of_receipts(self, receipt_ids: Sequence[bytes]) -> dict[bytes, int]:
        """Return what ``index_of_receipt`` does, for as many as there are at once."""
        found: dict[bytes, int] = {}
        for at in range(0, len(receipt_ids), _ROWS):
            some = receipt_ids[at : at + _ROWS]
            marks = ",".join("?" * len(some))
            for table, name in (("old_receipt", "receipt_id"), ("leaf", "nonce")):
                sql = f"SELECT {name}, min(idx) FROM {table} WHERE {name} IN ({marks}) GROUP BY {name}"  # noqa: S608
                for row in self._all(sql, tuple(some)):
                    receipt_id, index = _typed(row, bytes, int)
                    found[receipt_id] = index
        return found

    def index_of_key(self, spki_digest: bytes) -> int | None:
        """Return the index of the first statement that certifies a key."""
        row = self._one("SELECT idx FROM leaf WHERE certifies = ? ORDER BY idx LIMIT 1", (spki_digest,))
        return _typed(row, int)[0] if row else None

    def run_indexes(self, run: bytes) -> list[int]:
        """Return the indexes of a run's statements, ascending."""
        return [_typed(row, int)[0] for row in self._all("SELECT idx FROM leaf WHERE run = ? ORDER BY idx", (run,))]

    def open_runs(self) -> list[tuple[bytes, int, int]]:
        """Return id, first and last index of each run with no run-close last; none that a later leaf names."""
        # Type and run stand in the clear in every statement, and nowhere else can they stand: fields hold no free text. What
        # comes after the last row is searched too, since a statement can be hidden by its column, and that is not signed.
        # CASE keeps SQLite from that search where the run is closed: the order of two conditions is its own to choose.
        sql = """SELECT ends.run, first, last FROM leaf JOIN
                   (SELECT run, min(idx) AS first, max(idx) AS last FROM leaf WHERE run IS NOT NULL GROUP BY run) AS ends
                 ON leaf.idx = last WHERE CASE WHEN instr(statement, ?) > 0 THEN 0 ELSE NOT EXISTS (
                   SELECT 1 FROM leaf AS later
                   WHERE later.idx > last
                       AND instr(later.statement, CAST('"run":"' || lower(hex(ends.run)) || '"' AS BLOB)) > 0) END
                 ORDER BY first"""
        rows = self._all(sql, (predicates.RUN_CLOSE.encode(),))
        return [(run, first, last) for run, first, last in (_typed(row, bytes, int, int) for row in rows)]

    def run_span(self, run: bytes, before: int) -> tuple[int, int] | None:
        """Return the first and the last index of a run's statements below ``before``."""
        sql = "SELECT idx FROM leaf WHERE run = ? AND idx < ? ORDER BY idx {} LIMIT 1"
        ends = [self._one(sql.format(order), (run, before)) for order in ("ASC", "DESC")]
        if ends[0] is None or ends[1] is None:
            return None
        return _typed(ends[0], int)[0], _typed(ends[1], int)[0]

    def key_indexes(self) -> list[int]:
        """Return the indexes of all key statements, ascending."""
        return [_typed(row, int)[0] for row in self._all("SELECT idx FROM leaf WHERE certifies IS NOT NULL ORDER BY idx")]

    @property
    def schema(self) -> int:
        """The number of the store's tables."""
        return schema.SCHEMA

    def runs(self) -> list[bytes]:
        """Return the ids of all runs, in order of their first statement."""
        sql = "SELECT run, min(idx) AS first FROM leaf WHERE run IS NOT NULL GROUP BY run ORDER BY first"
        return [_typed(row, bytes, int)[0] for row in self._all(sql)]

    def unit_indexes(self, unit: bytes) -> list[int]:
        """Return the indexes of the leaves that an erasure unit wraps. It reads the whole table: erasures are rare."""
        return [_typed(row, int)[0] for row in self._all("SELECT idx FROM leaf WHERE unit = ? ORDER BY idx", (unit,))]

    def erasures(self) -> list[int]:
        """Return the indexes of the leaves that look like erasure statements."""
        rows = self._all("SELECT idx FROM leaf WHERE instr(statement, ?) > 0 ORDER BY idx", (ERASURE_MARK,))
        return [_typed(row, int)[0] for row in rows]

    def destroy(self, wanted: Mapping[int, Collection[str]]) -> None:
        """Overwrite openings: in the tables, in free pages (``secure_delete``), and then in the WAL, which is emptied."""
        if not wanted:
            return
        with self._lock:
            try:
                if not self._db.execute("SELECT 1 FROM meta WHERE name = ?", (_SECURE,)).fetchall():
                    # Made before pages were overwritten from the first row on: old bytes may lie anywhere.
                    self._db.execute("VACUUM")
                    self._db.execute("INSERT INTO meta VALUES (?, 'on')", (_SECURE,))
                self._db.execute("BEGIN IMMEDIATE")
            except apsw.Error as error:
                raise StorageUnavailableError(f"the store can't be written: {error}") from error
            try:
                for index, names in wanted.items():
                    self._destroy(index, names)
            except (*FAULTS, MalformedError) as error:
                self._roll_back()
                if isinstance(error, apsw.Error):
                    raise StorageUnavailableError(f"the store can't be written, nothing was destroyed: {error}") from error
                raise error if isinstance(error, MalformedError) else translate(error, self._path) from error
            self._commit()
            self._empty_wal()

    def _destroy(self, index: int, names: Collection[str]) -> None:
        rows = self._db.execute("SELECT sealed FROM opening WHERE idx = ?", (index,)).fetchall()
        old = openings.unpack(_typed(rows[0], bytes)[0]) if rows else ()
        # An empty ciphertext keeps its place: the nonces of the others count by places.
        kept = [SealedOpening(o.name, b"") if o.name in names else o for o in old]
        if rows:
            self._db.execute("UPDATE opening SET sealed = ? WHERE idx = ?", (openings.pack(kept), index))
        if not any(o.ciphertext for o in kept):
            self._db.execute("UPDATE leaf SET wrapped_key = NULL WHERE idx = ?", (index,))

    def _empty_wal(self) -> None:
        try:
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]
        except apsw.Error as error:
            raise StorageUnavailableError(f"the write-ahead log can't be emptied: {error}") from error
        if busy:
            raise StorageUnavailableError(
                "the openings are destroyed, but a reader keeps older pages in the write-ahead log; they go when it has ended"
            )

    def commit(self, expected: Head, records: Sequence[Record], growth: Growth) -> None:
        """Append records by compare-and-swap on the head, in one durable transaction."""
        first, size = expected.size, growth.head.size
        leaves = [
            (at, r.leaf_hash, r.entry, r.statement, r.nonce, r.unit, r.wrapped_key, r.run, r.certifies)
            for at, r in enumerate(records, first)
        ]
        sealed = [(at, openings.pack(r.openings)) for at, r in enumerate(records, first) if r.openings]
        swap = (size, growth.head.root_hash, pack_edge(growth.head.edge), first, expected.root_hash)
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
            except apsw.Error as error:
                raise StorageUnavailableError(f"the store can't be written: {error}") from error
            try:
                self._db.execute("UPDATE head SET size = ?, root = ?, edge = ? WHERE size = ? AND root = ?", swap)
                if self._db.changes() != 1:
                    raise ConflictError("another writer has moved the head of this store")
                self._insert("leaf", leaves)
                self._insert("opening", sealed)
                self._insert("subtree", growth.hashes)
            except (apsw.Error, ConflictError) as error:
                self._roll_back()
                if isinstance(error, apsw.Error):
                    raise StorageUnavailableError(f"the store can't be written, nothing was: {error}") from error
                raise
            self._commit()

    def _insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        # Each step of SQLite gives up the interpreter's lock and must get it back from threads that speak: so many rows a step.
        for at in range(0, len(rows), _ROWS):
            some = rows[at : at + _ROWS]
            marks = "(" + ",".join("?" * len(some[0])) + ")"
            self._db.execute(f"INSERT INTO {table} VALUES {','.join([marks] * len(some))}", tuple(chain.from_iterable(some)))  # noqa: S608

    def _roll_back(self) -> None:
        # A full disk may have rolled back by itself already.
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _commit(self) -> None:
        try:
            self._db.execute("COMMIT")
        except apsw.Error as error:
            with contextlib.suppress(apsw.Error):
                self._roll_back()
            # The commit record may be on disk although the sync failed: only a fresh reader can tell.
            raise OutcomeUnknownError(f"a commit may or may not have happened: {error}") from error

    def add_checkpoint(self, checkpoint: SignedCheckpoint) -> None:
        """Keep a signed checkpoint, durably."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                row = self._db.execute("SELECT root FROM checkpoint WHERE size = ?", (checkpoint.size,)).fetchall()
                if not row:
                    values = (checkpoint.size, checkpoint.root_hash, checkpoint.note)
                    self._db.execute("INSERT INTO checkpoint VALUES (?,?,?)", values)
            except FAULTS as error:
                self._roll_back()
                raise StorageUnavailableError(f"the checkpoint can't be written: {error}") from error
            self._commit()
        if row and row[0][0] != checkpoint.root_hash:
            raise ConflictError(f"size {checkpoint.size} was signed with another root")

    def copy_to(self, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy the store into a new file as it is at one moment, beside a keeper at work.

        Args:
            path: The file; there must be none yet.
            progress: Called with pages done and pages in all.

        Raises:
            StorageUnavailableError: It can't be written.
        """
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, files.PRIVATE_FILE))
            with self._lock:
                # One read transaction around all of it: else the copy would begin again with each commit of the keeper.
                self._db.execute("BEGIN")
                try:
                    self._db.execute("SELECT size FROM head").fetchall()
                    made = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
                    try:
                        with made.backup("main", self._db, "main") as copy:
                            while not copy.done:
                                copy.step(_COPY_PAGES)
                                if progress is not None:
                                    progress(copy.page_count - copy.remaining, copy.page_count)
                    finally:
                        made.close()
                finally:
                    self._roll_back()
            files.sync_file(path)
        except FAULTS as error:
            raise translate(error, path) from error
        except OSError as error:
            raise StorageUnavailableError(f"{path.name} can't be written: {error.strerror}") from error

    def close(self) -> None:
        """Close the file.

        Raises:
            StorageUnavailableError: It could not be tidied up; what was committed is committed.
        """
        try:
            with self._lock:
                self._db.close()
        except apsw.Error as error:
            raise translate(error, self._path) from error
