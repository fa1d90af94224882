"""A store of every kind of row, and what somebody with the database file does to each cell, row and table of it.

SQLite's own STRICT, NOT NULL and CHECK hold nobody back who edits the file: they are taken out, the value is written, they are put back.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from apostille import wiring
from apostille.core.statement import parse_statement
from tests.fuzz import commands

TABLES = {
    "meta": ("name", "value"),
    "head": ("one", "size", "root", "edge"),
    "leaf": ("idx", "leaf_hash", "entry", "statement", "nonce", "unit", "wrapped_key", "run", "certifies"),
    "opening": ("idx", "sealed"),
    "old_receipt": ("receipt_id", "idx"),
    "subtree": ("level", "number", "hash"),
    "checkpoint": ("size", "root", "note"),
}
TALL = 261  # leaves: one hash of a subtree, and a right edge of several


@dataclass(frozen=True)
class Base:
    """A user's home with a store that was audited once, at a time when it was smaller."""

    path: Path
    code: int  # of every verdict while nothing is altered

    @property
    def database(self) -> Path:
        return self.path / "work" / ".apostille" / "store.sqlite"


class User(commands.Home):
    """A user of a copy of a base; every command is called in this process as ``main`` does."""

    def __init__(self, path: Path) -> None:  # deliberately not the parent's, which makes a store
        self.path = path
        self.work = path / "work"

    @property
    def store(self) -> Path:
        return self.work / ".apostille"

    def json(self, *words: str) -> tuple[int, Any]:
        """Run a command; its exit code is a documented one, and there is no trace and no fault of ours."""
        with self.entered():
            ended = self.call(["--json", *words])
        assert ended.code in commands.DOCUMENTED, (words, ended)
        assert b"Traceback" not in ended.err + ended.out, ended
        assert b"internal fault" not in ended.err + ended.out, ended
        said = ended.out or ended.err.splitlines()[-1] if ended.err else ended.out  # of ``run`` stdout is its command's
        return ended.code, json.loads(said)


def make_base(path: Path) -> Base:
    """Genesis, keys, a run, a gap, files that stand alone, an erasure and what it erased, an old receipt id, a tile border."""
    (path / "work").mkdir(parents=True)
    user = User(path)
    (user.work / "answer.txt").write_bytes(b"The refund is 42 EUR.\n")
    (user.work / "patient.txt").write_bytes(b"Patient 4711.\n")
    for words in (["init"], ["attest", "answer.txt"], ["attest", "--salted", "patient.txt"]):
        assert user.json(*words)[0] == 0, words
    with user.entered():
        keeper = wiring.open_keeper(wiring.store_folder(user.store))
        run = keeper.open_run(agent="a")
        erased = run.output(b"secret", b"secret", profile="opaque", media_type="text/plain").committed(30).index
        keeper.publish()
        for number in range(TALL - 18):
            run.output(b"%d" % number, b"%d" % number, profile="opaque", media_type="text/plain")
        run.close().committed(30)
        keeper.close()
    assert user.json("audit")[0] == 0
    code, _ = user.json("erase", "--index", str(erased), "--opening", "raw", "--reason", "x", "--yes")
    assert code == 0
    assert user.json("attest", "answer.txt", "--out", "again")[0] == 0
    db = apsw.Connection(str(user.store / "store.sqlite"))
    db.execute("INSERT INTO old_receipt VALUES (?, 5), (?, 6)", (b"o" * 16, b"p" * 16))
    db.close()
    shutil.rmtree(user.work / "again")
    return Base(path, 5)


@contextlib.contextmanager
def copied(base: Base, path: Path) -> Iterator[User]:
    shutil.copytree(base.path, path)
    try:
        yield User(path)
    finally:
        shutil.rmtree(path)


@contextlib.contextmanager
def unguarded(path: Path, table: str) -> Iterator[apsw.Connection]:
    """The database without what SQLite demands of the rows of one table; afterwards its schema is the old one, to the letter."""
    db = apsw.Connection(str(path))
    db.execute("PRAGMA writable_schema = ON")
    (sql,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    loose = sql.replace(" NOT NULL", "").replace(" CHECK (one = 1)", "")
    loose = loose.replace(") STRICT, ", ") ").replace(") STRICT", ")")
    for kind in ("INTEGER", "BLOB", "TEXT"):
        loose = loose.replace(f" {kind} PRIMARY KEY", " \0") if kind == "INTEGER" else loose.replace(f" {kind}", " ANY_")
    loose = loose.replace(" \0", " INTEGER PRIMARY KEY").replace("INTEGER NOT", "NOT").replace(" ANY_", "")
    db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (loose, table))
    db.close()
    db = apsw.Connection(str(path))
    try:
        yield db
    finally:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (sql, table))
        db.close()


def _flip(data: bytes, at: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


Change = Callable[[Any, Any], Any]  # of the value that is there and another row's; returns the value to write
NOT_UTF8 = object()
CHANGES: dict[str, Change] = {
    "NULL": lambda old, _: None,
    "zero": lambda old, _: 0,
    "negative": lambda old, _: -1,
    "huge": lambda old, _: 2**63 - 1,
    "least": lambda old, _: -(2**63),
    "off by one": lambda old, _: old + 1 if isinstance(old, int) else b"\x01" + old if isinstance(old, bytes) else "off",
    "a float": lambda old, _: 0.5,
    "infinite": lambda old, _: float("inf"),
    "text": lambda old, _: "x",
    "text of the same bytes": lambda old, _: old.decode("latin-1") if isinstance(old, bytes) else str(old),
    "text that is not UTF-8": lambda old, _: NOT_UTF8,
    "empty": lambda old, _: "" if isinstance(old, str) else b"",
    "a megabyte": lambda old, _: bytes(2**20),
    "cut short": lambda old, _: old[:-1] if isinstance(old, bytes | str) else b"\0",
    "one byte more": lambda old, _: old + b"\0" if isinstance(old, bytes) else f"{old}0",
    "first bit": lambda old, _: _flip(old, 0) if isinstance(old, bytes) and old else "y",
    "middle bit": lambda old, _: _flip(old, len(old) // 2) if isinstance(old, bytes) and old else "z",
    "last bit": lambda old, _: _flip(old, -1) if isinstance(old, bytes) and old else b"z",
    "zeros": lambda old, _: bytes(len(old)) if isinstance(old, bytes) else bytes(16),
    "another row's": lambda _, other: other,
}


def write(path: Path, table: str, column: str, row: tuple[str, tuple[Any, ...]], change: str) -> bool:
    """Change one cell; tell whether anything is different afterwards: SQLite makes a number of the text of one."""
    where, key = row
    with unguarded(path, table) as db:
        state = f"SELECT typeof({column}), hex(CAST({column} AS BLOB)) FROM {table} ORDER BY 1, 2"
        before = db.execute(state).fetchall()
        (found,) = db.execute(f"SELECT {column} FROM {table} WHERE {where}", key).fetchone()
        others = f"SELECT {column} FROM {table} WHERE NOT ({where}) ORDER BY {column} IS ? LIMIT 1"
        other = db.execute(others, (*key, found)).fetchall()
        value = CHANGES[change](found, other[0][0] if other else None)
        to, args = ("CAST(x'ff80' AS TEXT)", ()) if value is NOT_UTF8 else ("?", (value,))
        try:
            db.execute(f"UPDATE {table} SET {column} = {to} WHERE {where}", (*args, *key))
        except (apsw.MismatchError, apsw.ConstraintError):
            return False  # another row has that key, or it is no number
        return db.execute(state).fetchall() != before


def rows_of(base: Base, table: str) -> list[tuple[str, tuple[Any, ...], str]]:
    """One row of each kind: how to find it, and a word for it."""
    db = apsw.Connection(str(base.database), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        if table == "leaf" or table == "opening":
            kinds: dict[str, int] = {}
            for index, statement in db.execute("SELECT idx, statement FROM leaf ORDER BY idx"):
                said = parse_statement(statement)
                event = said.predicate.get("event", "")
                kinds.setdefault(f"{said.type.split(':')[-2]} {event}".strip(), index)
                if said.type.endswith("erasure:v1"):
                    kinds["erased"] = said.predicate["erases"][0]["index"]
            kinds["last"] = db.execute("SELECT max(idx) FROM leaf").get
            kinds["before the border"] = 255
            return [("idx = ?", (index,), kind) for kind, index in kinds.items()]
        if table == "subtree":
            return [("level = 1 AND number = 0", (), "the only one")]
        key = TABLES[table][0]
        found = [row[0] for row in db.execute(f"SELECT {key} FROM {table} ORDER BY {key}")]
        if table == "checkpoint":
            return [(f"{key} = ?", (found[i],), word) for i, word in ((0, "oldest"), (len(found) // 2, "middle"), (-1, "newest"))]
        return [(f"{key} = ?", (value,), str(value)) for value in found]
    finally:
        db.close()
