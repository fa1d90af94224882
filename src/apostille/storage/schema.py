"""The schema of the SQLite store, as numbered steps. A new store takes all of them, so it equals one that was upgraded.

And what must hold of its rows, whatever they say (``faults``).
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

import apsw

from apostille.core.tree import TILE_WIDTH
from apostille.errors import MalformedError, UnsupportedVersionError
from apostille.ports import SealedOpening
from apostille.storage import openings

SCHEMA = 2
_SPEC = "store"
_ROWS = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"
_META = "SELECT value FROM meta WHERE name = 'schema'"
MAX_FAULTS = 100
_STRAYS = {
    "an opening is stored of a leaf that is not there:": "SELECT min(idx) FROM opening WHERE idx NOT IN (SELECT idx FROM leaf)",
    "an old receipt id is stored of a leaf that is not there:": (
        "SELECT min(idx) FROM old_receipt WHERE idx NOT IN (SELECT idx FROM leaf)"
    ),
    "a leaf stands before the first one:": "SELECT min(idx) FROM leaf WHERE idx < 0",
    "a checkpoint is stored of a size that no tree has:": "SELECT min(size) FROM checkpoint WHERE size < 0",
    "a head is stored beside the head:": "SELECT min(one) FROM head WHERE one IS NOT 1",
}


def step(number: int) -> str:
    """Return the SQL that leads from schema ``number - 1`` to ``number``."""
    return resources.files("apostille.storage").joinpath("migrations", f"{number:04}.sql").read_text(encoding="utf-8")


def find_version(db: apsw.Connection) -> int:
    """Return the schema of a file that holds our tables and nothing else.

    A view or trigger in it would run inside our own statements: nothing is read before the tables are known to be ours.

    Raises:
        MalformedError: Not our tables.
        UnsupportedVersionError: Made by a newer apostille.
    """
    db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    db.execute("PRAGMA trusted_schema = OFF")
    meta = next(row for row in _expected(SCHEMA) if row[1] == "meta")
    try:
        rows = db.execute(_ROWS).fetchall()
        said = str(db.execute(_META).get) if meta in rows else ""
    except UnicodeDecodeError as error:
        raise MalformedError("the file has not the tables of a store: their text is not UTF-8", spec=_SPEC) from error
    version = next((number for number in range(SCHEMA, 0, -1) if rows == _expected(number)), None)
    is_newer = said.isascii() and said.isdigit() and int(said[:9]) > SCHEMA
    if version is None and not is_newer:
        raise MalformedError("the file has not the tables of a store, or more than these", spec=_SPEC)
    if version is None or said != str(version):
        hint = "use the newer apostille that has upgraded it" if is_newer else f"and its tables are those of schema {version}"
        why = f"the store has schema {said[:32]}, this apostille knows {SCHEMA}: {hint}"
        raise UnsupportedVersionError(why, version=said, spec=_SPEC)
    return version


def take_steps(db: apsw.Connection, version: int) -> None:
    """Take all steps after ``version``, inside the caller's transaction; 0 stands for an empty file."""
    db.create_aggregate_function("pack_openings", _Packer)
    for number in range(version, SCHEMA):
        db.execute(step(number + 1))


def upgrade(db: apsw.Connection) -> None:
    """Bring a store to the newest schema in one durable transaction: all or nothing.

    Raises:
        apsw.Error: Nothing was changed.
        MalformedError: Not our tables; nothing was changed.
        UnicodeDecodeError: Text in it is not UTF-8; nothing was changed.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        take_steps(db, find_version(db))  # found again: another process may have been faster
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


class _Packer:
    """Gathers the openings of one leaf."""

    def __init__(self) -> None:
        self._found: list[SealedOpening] = []

    def step(self, *values: Any) -> None:
        name, ciphertext = values
        self._found.append(SealedOpening(name, ciphertext))

    def final(self) -> bytes:
        return openings.pack(self._found)


@functools.cache
def _expected(version: int) -> list[Any]:
    db = apsw.Connection(":memory:")
    db.create_aggregate_function("pack_openings", _Packer)
    for number in range(version):
        db.execute(step(number + 1))
    return db.execute(_ROWS).fetchall()


def faults(db: apsw.Connection) -> list[str]:
    """Return what SQLite finds wrong with the file, rows that belong to no leaf, and hashes that a tree of this size has not."""
    found = [str(row[0]) for row in db.execute(f"PRAGMA integrity_check({MAX_FAULTS})") if row[0] != "ok"]
    for text, sql in _STRAYS.items():
        index = db.execute(sql).get
        if index is not None:
            found.append(f"{text} {index}")
    said = db.execute("SELECT max(size) FROM head").get
    size = said if isinstance(said, int) and said > 0 else 0  # what the head row says besides is judged where it is read
    level, width = 1, TILE_WIDTH
    while True:
        stored = db.execute("SELECT count(*) FROM subtree WHERE level = ?", (level,)).get
        if stored != size // width:
            found.append(f"{stored} hashes of level {level} are stored, a tree of {size} leaves has {size // width}")
        if not size // width:
            break
        level, width = level + 1, width * TILE_WIDTH
    if db.execute("SELECT count(*) FROM subtree WHERE level > ? OR level < 1", (level,)).get:
        found.append("hashes are stored of a level that the tree has not")
    return found
