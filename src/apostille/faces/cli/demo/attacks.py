"""What somebody with database access does to a store: raw SQL, past the product, while no keeper has it open.

| here | class of ``trust.md`` section 3 |
|---|---|
| this module | (a) database access, read and write, and the published files; no key at all |
| ``rebuild`` | (b) the same with the log key, and the keeper's statement key that lies beside it; (c) with the root's too |
| ``forge`` | receipts and logs of an attacker's own, made to look like ours |
| ``acts`` | attacks in several steps |
| ``cases`` | the list of all attacks with what must come out |

Each attack comes in grades. The naive one changes what it wants changed. The thorough one makes the store agree with itself
again: leaf hashes, subtrees, head row, later checkpoints. None of them can sign, so each ends where a signed or remembered head
begins.

They are here, and not in a test folder, because ``apostille demo`` and ``apostille attacks`` perform them before the user's eyes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from apostille.adapters.system import SystemRandom
from apostille.core import dsse, keys
from apostille.core.digest import sha256
from apostille.core.entry import Entry, format_entry, parse_entry
from apostille.core.forms import format_statement
from apostille.core.merkle import leaf_hash
from apostille.core.opening import opening_digest
from apostille.core.statement import parse_statement
from apostille.core.tree import EMPTY, append_leaves, pack_edge
from apostille.ports import SealedOpening
from apostille.storage import openings
from apostille.wiring import StoreFolder

DATABASE = "a"
LOG_KEY = "b"
ROOT = "c"
LAST = 10


@dataclass(frozen=True, slots=True)
class Attack:
    """What was done.

    Attributes:
        name: A word for it.
        attacker: ``a``: database access. ``b``: the log key too, and the keeper's key. ``c``: root, with all that lies here.
        did: A sentence for people.
    """

    name: str
    attacker: str
    did: str


@contextmanager
def _database(folder: StoreFolder) -> Iterator[apsw.Connection]:
    """Open the store's file as any SQLite tool would, and write all changes or none."""
    db = apsw.Connection(str(folder.database), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        with db:
            yield db
    finally:
        db.close()


def _value(db: apsw.Connection, sql: str, *args: int) -> bytes:
    return bytes(db.execute(sql, args).get)


def _size(db: apsw.Connection) -> int:
    return int(db.execute("SELECT size FROM head").get)


def _agree(db: apsw.Connection) -> None:
    """Recompute leaf hashes, subtrees and the head row from the entries, so that the store agrees with itself."""
    entries: list[Any] = db.execute("SELECT idx, entry FROM leaf ORDER BY idx").fetchall()
    hashes = [leaf_hash(entry) for _, entry in entries]
    db.executemany("UPDATE leaf SET leaf_hash = ? WHERE idx = ?", [(h, i) for h, (i, _) in zip(hashes, entries, strict=True)])
    growth = append_leaves(EMPTY, hashes)
    db.execute("DELETE FROM subtree")
    db.executemany("INSERT INTO subtree VALUES (?,?,?)", growth.hashes)
    head = growth.head
    db.execute("UPDATE head SET size = ?, root = ?, edge = ?", (head.size, head.root_hash, pack_edge(head.edge)))


def _renumber(db: apsw.Connection, start: int, by: int) -> None:
    """Shift every leaf from ``start`` on; by way of negative numbers, since an index is unique at every moment."""
    for table in ("leaf", "opening"):
        db.execute(f"UPDATE {table} SET idx = -(idx + ?) WHERE idx >= ?", (by, start))  # noqa: S608 - two constants
        db.execute(f"UPDATE {table} SET idx = -idx WHERE idx < 0")  # noqa: S608 - two constants


def edit_statement(folder: StoreFolder, index: int) -> Attack:
    """Move the time at which something was captured."""
    with _database(folder) as db:
        old = parse_statement(_value(db, "SELECT statement FROM leaf WHERE idx = ?", index))
        time = str(old.predicate["captured_at"])
        moved = time[:-2] + str((int(time[-2]) + 1) % 10) + "Z"
        new = format_statement(old.type, {**old.predicate, "captured_at": moved}, old.subjects.items())
        db.execute("UPDATE leaf SET statement = ? WHERE idx = ?", (new, index))
    return Attack("edit_statement", DATABASE, f"moved the time at which entry {index} was captured")


def edit_entry(folder: StoreFolder, index: int, text: str, *, is_thorough: bool = False) -> Attack:
    """Let an output say ``text``: statement and log entry commit to it; the signature stays, since there is no key for another.

    Thorough: leaf hashes, subtrees and the head row are computed anew.
    """
    with _database(folder) as db:
        old = parse_statement(_value(db, "SELECT statement FROM leaf WHERE idx = ?", index))
        entry = parse_entry(_value(db, "SELECT entry FROM leaf WHERE idx = ?", index))
        subjects = dict(old.subjects) | {"canonical": opening_digest(SystemRandom().token(32), text.encode())}
        said = format_statement(old.type, old.predicate, subjects.items())
        digest = sha256(dsse.pae(said))
        made = format_entry(Entry(digest, entry.signature, entry.spki, entry.key_details))
        db.execute("UPDATE leaf SET statement = ?, entry = ? WHERE idx = ?", (said, made, index))
        if is_thorough:
            _agree(db)
    more = ", and recomputed every hash above it" if is_thorough else ""
    return Attack("edit_entry", DATABASE, f"changed the answer in entry {index}{more}")


def edit_opening(folder: StoreFolder, index: int, place: int = 1) -> Attack:
    """Flip one bit of a sealed opening; place 1 is the canonical content of an output."""
    with _database(folder) as db:
        sealed = list(openings.unpack(_value(db, "SELECT sealed FROM opening WHERE idx = ?", index)))
        old = sealed[place].ciphertext
        sealed[place] = SealedOpening(sealed[place].name, bytes((old[0] ^ 1,)) + old[1:])
        db.execute("UPDATE opening SET sealed = ? WHERE idx = ?", (openings.pack(sealed), index))
    return Attack("edit_opening", DATABASE, f"flipped one bit of the sealed content of entry {index}")


def delete_opening(folder: StoreFolder, index: int, place: int = 1) -> Attack:
    """Delete a sealed opening without an erasure statement."""
    with _database(folder) as db:
        sealed = list(openings.unpack(_value(db, "SELECT sealed FROM opening WHERE idx = ?", index)))
        del sealed[place]
        db.execute("UPDATE opening SET sealed = ? WHERE idx = ?", (openings.pack(sealed), index))
    return Attack("delete_opening", DATABASE, f"deleted the sealed content of entry {index}")


def delete_leaf(folder: StoreFolder, index: int, *, is_thorough: bool = False) -> Attack:
    """Delete a leaf; thorough: the later ones move up, and the hashes are computed anew."""
    with _database(folder) as db:
        db.execute("DELETE FROM opening WHERE idx = ?", (index,))
        db.execute("DELETE FROM leaf WHERE idx = ?", (index,))
        if is_thorough:
            _renumber(db, index + 1, -1)
            _agree(db)
    more = ", moved the later ones up, and recomputed every hash and the head" if is_thorough else ""
    return Attack("delete_leaf", DATABASE, f"deleted entry {index}{more}")


def swap_leaves(folder: StoreFolder, first: int, second: int, *, is_thorough: bool = False) -> Attack:
    """Exchange two leaves; thorough: the hashes are computed anew."""
    with _database(folder) as db:
        for table in ("leaf", "opening"):
            for was, now in ((first, -1), (second, first), (-1, second)):
                db.execute(f"UPDATE {table} SET idx = ? WHERE idx = ?", (now, was))  # noqa: S608 - two constants
        if is_thorough:
            _agree(db)
    more = ", and recomputed every hash and the head" if is_thorough else ""
    return Attack("swap_leaves", DATABASE, f"exchanged entries {first} and {second}{more}")


def truncate(folder: StoreFolder, count: int = LAST, *, grade: str = "checkpoints") -> Attack:
    """Cut off the last ``count`` leaves.

    Args:
        folder: The store.
        count: How many.
        grade: ``rows``: the leaves alone. ``head``: subtrees and the head row too. ``checkpoints``: later signed checkpoints and
            all published files as well, so that nothing in the store speaks of what was there.
    """
    with _database(folder) as db:
        left = _size(db) - count
        for table in ("opening", "leaf"):
            db.execute(f"DELETE FROM {table} WHERE idx >= ?", (left,))  # noqa: S608 - two constants
        if grade != "rows":
            _agree(db)
        if grade == "checkpoints":
            db.execute("DELETE FROM checkpoint WHERE size > ?", (left,))
    more = {"rows": "", "head": " and recomputed the head"}.get(
        grade, ", recomputed the head and deleted every later signed head"
    )
    if grade == "checkpoints":
        shutil.rmtree(folder.log, ignore_errors=True)
    return Attack("truncate", DATABASE, f"cut off the last {count} entries{more}")


def insert_leaf(folder: StoreFolder, index: int | None = None, *, is_thorough: bool = False) -> Attack:
    """Slip in a leaf: a copy of the last output, signed anew by a key of the attacker's own.

    Args:
        folder: The store.
        index: Where; by default at the end.
        is_thorough: Compute all hashes and the head anew.
    """
    key = keys.StatementKey.from_seed(SystemRandom().token(keys.P256_SEED_BYTES))
    with _database(folder) as db:
        place = _size(db) if index is None else index
        rows: list[Any] = db.execute("SELECT idx, statement FROM leaf ORDER BY idx DESC").fetchall()
        source, old = next((idx, said) for idx, data in rows if "canonical" in (said := parse_statement(data)).subjects)
        own = {name: value for name, value in old.predicate.items() if name not in {"run", "seq", "previous"}}
        statement = format_statement(old.type, {**own, "key_id": key.key_id}, old.subjects.items())
        message = dsse.pae(statement)
        entry = format_entry(Entry(sha256(message), key.sign(message), key.spki))
        sealed = _value(db, "SELECT sealed FROM opening WHERE idx = ?", source)
        unit, wrapped = db.execute("SELECT unit, wrapped_key FROM leaf WHERE idx = ?", (source,)).get
        _renumber(db, place, 1)
        values = (place, leaf_hash(entry), entry, statement, bytes.fromhex(own["nonce"]), unit, wrapped)
        db.execute("INSERT INTO leaf VALUES (?,?,?,?,?,?,?,NULL,NULL)", values)
        db.execute("INSERT INTO opening VALUES (?,?)", (place, sealed))
        if is_thorough:
            _agree(db)
    more = ", and recomputed every hash and the head" if is_thorough else ""
    return Attack("insert_leaf", DATABASE, f"slipped in an entry of an own key at {place}{more}")


def set_columns(folder: StoreFolder, change: str, table: str = "leaf", where: str = "1") -> Attack:
    """Write columns that no statement holds directly; ``change`` and ``where`` are SQL."""
    with _database(folder) as db:
        db.execute(f"UPDATE {table} SET {change} WHERE {where}")  # noqa: S608 - the attacker writes SQL
    return Attack("set_columns", DATABASE, f"set {change} in {table} where {where}")


def forget_checkpoints(folder: StoreFolder, above: int) -> Attack:
    """Delete the signed checkpoints above a size; the published files stay."""
    with _database(folder) as db:
        db.execute("DELETE FROM checkpoint WHERE size > ?", (above,))
    return Attack("forget_checkpoints", DATABASE, f"deleted every signed head above size {above}")


def copy_store(folder: StoreFolder, copy: Path) -> StoreFolder:
    """Copy a store's folder."""
    shutil.copytree(folder.path, copy)
    return StoreFolder(copy)


def restore_copy(folder: StoreFolder, copy: StoreFolder) -> Attack:
    """Put an old copy in the place of a store."""
    shutil.rmtree(folder.path)
    shutil.copytree(copy.path, folder.path)
    return Attack("restore_copy", DATABASE, "put an old copy of the store in its place")
