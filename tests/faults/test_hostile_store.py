"""Whoever has the database file writes what he likes into any cell of it; what ``fsck``, ``audit`` and ``verify`` say then.

Each cell of a row of each kind, in twenty ways; rows taken out, put in and exchanged; tables, views, triggers and the schema
number; and the files beside the database. The exit code is always a documented one, and nothing that the manual promises to be found
is passed over. A sample for every commit, the same each time; all of it with ``APOSTILLE_FAULTS=all``.

Spec: trust.md section 3 (class a; threats 1, 2, 14, 18, 26) and 4; docs/manual/operations.md (fsck, audit).
"""

from __future__ import annotations

import base64
import itertools
import json
import random
import zlib

import apsw
import pytest
from extent import IS_ALL, some
from hostile import CHANGES, TABLES, copied, make_base, rows_of, unguarded, write

from apostille.core.tree import Head, pack_edge

SEED = 20261124
SAMPLE = 1  # changes of each column; all of every row with APOSTILLE_FAULTS=all
FSCK, FULL, VERIFY, NEXT = ("log", "fsck"), ("audit", "--full"), ("verify",), ("audit",)
FOUND = {1, 3, 65}

# What is not found, by whom, and why that is no harm. Everything else has to be.
HARMLESS = {
    # fsck names rows of a wrong type (SQLite's own check); nothing but the numbers of these is ever read by the others.
    ("head", "one"): {FULL, VERIFY},  # the one row's number: nobody reads it
    ("checkpoint", "size"): {FULL, VERIFY},  # an older one under a size below 0 is as good as gone: newer ones bind what it bound
    # A number that is no whole one keeps its place in every search for it.
    ("subtree", "number"): {FULL, VERIFY},
    # "secure_delete" says whether the file is to be rewritten before something is erased, and only that it is there counts.
    ("meta", "name"): {FSCK, FULL, VERIFY},
    ("meta", "value"): {FSCK, FULL, VERIFY},
    # Receipt ids that schema 1 gave out: a lookup, unsigned. What it leads to is a receipt, which proves itself.
    ("old_receipt", "receipt_id"): {FSCK, FULL, VERIFY},
    ("old_receipt", "idx"): {FSCK, FULL, VERIFY},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("hostile") / "home")


def cases(base, table: str, column: str) -> list:
    found = list(itertools.product(rows_of(base, table), CHANGES))
    return found if IS_ALL else random.Random(f"{SEED} {table} {column}").sample(found, SAMPLE)


def verdicts(user, code: int, harmless=frozenset()) -> None:
    """What each look at the store says; the next increment has not promised to read old leaves, only to end in good order."""
    said = {words: user.json(*words) for words in (FSCK, FULL, VERIFY, NEXT)}
    for words in (FSCK, FULL, VERIFY):
        allowed = FOUND | ({code} if words in harmless else set())
        assert said[words][0] in allowed, (words, said[words])


COLUMNS = [(table, column) for table, columns in TABLES.items() for column in columns]


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_each_cell(base, tmp_path, table, column):
    wrong = []
    for (where, key, kind), change in cases(base, table, column):
        with copied(base, tmp_path / "home") as user:
            if not write(user.store / "store.sqlite", table, column, (where, key), change):
                continue
            try:
                verdicts(user, base.code, HARMLESS.get((table, column), frozenset()))
            except AssertionError as error:
                wrong.append((kind, change, str(error)[:600]))
    assert wrong == []


# --- Rows -------------------------------------------------------------------------------------------------------------

# An older checkpoint that is gone is not missed: newer ones bind all that it bound. The rest as above.
MAY_GO = {("checkpoint", "oldest"), ("checkpoint", "middle"), ("meta", "secure_delete"), ("old_receipt", "*")}


@pytest.mark.parametrize("table", TABLES)
def test_each_row_taken_out(base, tmp_path, table):
    rows = rows_of(base, table)
    for where, key, kind in rows if IS_ALL else rows[:1] + rows[-2:]:
        with copied(base, tmp_path / "home") as user:
            sql(user, (f"DELETE FROM {table} WHERE {where}", key))
            is_harmless = {(table, kind), (table, "*")} & MAY_GO
            try:
                verdicts(user, base.code, {FSCK, FULL, VERIFY} if is_harmless else frozenset())
            except BaseException as error:
                error.add_note(f"{table}: {kind}")
                raise


def sql(user, *statements) -> None:
    db = apsw.Connection(str(user.store / "store.sqlite"))
    for statement in statements:
        words, args = (statement, ()) if isinstance(statement, str) else statement
        db.execute(words, args)
    db.close()


COPY = "SELECT {}, leaf_hash, entry, statement, nonce, unit, wrapped_key, run, certifies FROM leaf WHERE idx = {}"
ADDED = {  # SQL, and who need not find it
    "a leaf behind the last": ("INSERT INTO leaf " + COPY.format("(SELECT size FROM head)", 9), ()),
    "a leaf far behind the last": ("INSERT INTO leaf " + COPY.format(2**62, 9), ()),
    "a leaf before the first": ("INSERT INTO leaf " + COPY.format(-1, 9), ()),
    "a leaf at the least number": ("INSERT INTO leaf " + COPY.format(-(2**63), 9), ()),
    "an opening of no leaf": ("INSERT INTO opening SELECT 5000, sealed FROM opening WHERE idx = 9", (FULL, VERIFY)),
    "an opening before the first": ("INSERT INTO opening SELECT -5, sealed FROM opening WHERE idx = 9", (FULL, VERIFY)),
    "a hash of a tile that is not full": ("INSERT INTO subtree VALUES (1, 1, zeroblob(32))", (FULL, VERIFY)),
    "a hash of a higher level": ("INSERT INTO subtree VALUES (2, 0, zeroblob(32))", (FULL, VERIFY)),
    "a hash of a level below": ("INSERT INTO subtree VALUES (-1, 0, zeroblob(32))", (FULL, VERIFY)),
    "a checkpoint of a size between": ("INSERT INTO checkpoint SELECT 100, root, note FROM checkpoint WHERE size = 3", ()),
    "a checkpoint of size 0": ("INSERT INTO checkpoint SELECT 0, root, note FROM checkpoint WHERE size = 3", ()),
    "a checkpoint of a size to come": ("INSERT INTO checkpoint SELECT 9999, root, note FROM checkpoint WHERE size = 3", ()),
    "a checkpoint below 0": ("INSERT INTO checkpoint SELECT -9, root, note FROM checkpoint WHERE size = 3", (FULL, VERIFY)),
    "a word more in meta": ("INSERT INTO meta VALUES ('color', 'red')", (FSCK, FULL, VERIFY)),
    "a receipt id that is a nonce": ("INSERT INTO old_receipt SELECT nonce, 9 FROM leaf WHERE idx = 4", (FSCK, FULL, VERIFY)),
    "a receipt id of no leaf": ("INSERT INTO old_receipt VALUES (zeroblob(16), -7)", (FULL, VERIFY)),
}


@pytest.mark.parametrize("name", ADDED)
def test_a_row_put_in(base, tmp_path, name):
    statement, harmless = ADDED[name]
    with copied(base, tmp_path / "home") as user:
        sql(user, statement)
        verdicts(user, base.code, set(harmless))


def test_a_second_head(base, tmp_path):
    """Before or behind the true one, in a table without its CHECK."""
    for number in (0, 2):
        with copied(base, tmp_path / "home") as user:
            with unguarded(user.store / "store.sqlite", "head") as db:
                db.execute("INSERT INTO head SELECT ?, 3, root, edge FROM head", (number,))
            verdicts(user, base.code, {FULL, VERIFY} if number == 2 else frozenset())


@pytest.mark.parametrize("size", [1, 255, 258, 2**32, 2**62, 2**63 - 1])
def test_a_head_that_agrees_with_itself(base, tmp_path, size):
    """A right edge of as many hashes as the size wants, and their root: nothing is read at a number that the database has not."""
    head = Head(size, tuple(bytes([at]) * 32 for at in range(size.bit_count())))
    with copied(base, tmp_path / "home") as user:
        sql(user, ("UPDATE head SET size = ?, root = ?, edge = ?", (size, head.root_hash, pack_edge(head.edge))))
        verdicts(user, base.code)
        assert user.json("attest", "answer.txt", "--out", "a")[0] == 1
        for words in (("log", "info"), ("log", "proof", "3"), ("log", "export", "--out", "x"), ("show",)):
            user.json(*words)


def test_rows_exchanged(base, tmp_path):
    """Two of each table, whole; among openings also two of the same kind."""
    for table, key, first, second in (
        ("leaf", "idx", 4, 10),
        ("leaf", "idx", 10, 11),
        ("opening", "idx", 10, 11),
        ("checkpoint", "size", 3, 9),
    ):
        with copied(base, tmp_path / "home") as user:
            update = f"UPDATE {table} SET {key} = ? WHERE {key} = ?"
            sql(user, (update, (-1, first)), (update, (first, second)), (update, (second, -1)))
            verdicts(user, base.code)


# --- Tables -----------------------------------------------------------------------------------------------------------

SCHEMES = {
    "a trigger": "CREATE TRIGGER t AFTER UPDATE ON head BEGIN DELETE FROM leaf; END",
    "a view": "CREATE VIEW v AS SELECT * FROM leaf",
    "a view in place of a table": "ALTER TABLE subtree RENAME TO hidden; CREATE VIEW subtree AS SELECT * FROM hidden",
    "a view without end": "ALTER TABLE head RENAME TO hidden; CREATE VIEW head AS WITH RECURSIVE n(one, size, root, edge) AS "
    "(SELECT one, size, root, edge FROM hidden UNION ALL SELECT one + 1, size, root, edge FROM n) SELECT * FROM n",
    "a table renamed": "ALTER TABLE opening RENAME TO openings",
    "a table gone": "DROP TABLE checkpoint",
    "a table more": "CREATE TABLE more (x)",
    "a column more": "ALTER TABLE leaf ADD COLUMN more BLOB",
    "a column renamed": "ALTER TABLE leaf RENAME COLUMN nonce TO receipt_id",
    "an index gone": "DROP INDEX leaf_run",
    "an index more": "CREATE INDEX another ON leaf (unit)",
    "statistics": "ANALYZE",
    "a virtual table": "CREATE VIRTUAL TABLE words USING fts5(x)",
    "a newer schema, these tables": "UPDATE meta SET value = '3' WHERE name = 'schema'",
    "a newer schema, a huge number": "UPDATE meta SET value = '99999999999999999999' WHERE name = 'schema'",
    "a schema that is no number": "UPDATE meta SET value = '2 ' WHERE name = 'schema'",
    "a schema in other digits": "UPDATE meta SET value = '\u0662' WHERE name = 'schema'",
    "an older schema, these tables": "UPDATE meta SET value = '1' WHERE name = 'schema'",
}


@pytest.mark.parametrize("name", SCHEMES)
def test_other_tables(base, tmp_path, name):
    """Nothing of ours is read through them."""
    with copied(base, tmp_path / "home") as user:
        sql(user, SCHEMES[name])
        for words in (FSCK, FULL, VERIFY, NEXT, ("log", "info"), ("attest", "answer.txt", "--out", "a")):
            assert user.json(*words)[0] == 65, words


@pytest.mark.parametrize("what", ["text that is not UTF-8", "broken SQL", "a root page that is none", "no rows"])
def test_a_spoiled_schema_table(base, tmp_path, what):
    with copied(base, tmp_path / "home") as user:
        sql(
            user,
            "PRAGMA writable_schema = ON",
            {
                "text that is not UTF-8": "UPDATE sqlite_schema SET sql = CAST(x'ff80' AS TEXT) WHERE name = 'leaf_run'",
                "broken SQL": "UPDATE sqlite_schema SET sql = 'CREATE TABLE leaf (' WHERE name = 'leaf'",
                "a root page that is none": "UPDATE sqlite_schema SET rootpage = 99999 WHERE name = 'leaf'",
                "no rows": "DELETE FROM sqlite_schema",
            }[what],
        )
        for words in (FSCK, FULL, VERIFY, NEXT, ("log", "info")):
            assert user.json(*words)[0] in {1, 65}, words


def test_an_index_that_says_something_else(base, tmp_path):
    """Rows and index differ, as no SQL can make it; fsck asks SQLite."""
    with copied(base, tmp_path / "home") as user:
        sql(
            user,
            "PRAGMA writable_schema = ON",
            "CREATE INDEX other ON leaf (unit)",
            "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'other') WHERE name = 'leaf_nonce'",
            "DELETE FROM sqlite_schema WHERE name = 'other'",
        )
        assert user.json(*FSCK)[0] in FOUND
        for words in (FULL, VERIFY, NEXT):
            user.json(*words)


# --- Files beside the database ----------------------------------------------------------------------------------------


def spoiled(data: bytes) -> dict[str, bytes | None]:
    luck = random.Random(SEED)
    return {
        "gone": None,
        "empty": b"",
        "cut": data[: len(data) // 2],
        "one byte less": data[:-1],
        "one byte more": data + b"\n",
        "doubled": data * 2,
        "zeros": bytes(len(data)),
        "noise": luck.randbytes(len(data)),
        **{f"bit {at}": data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in luck.sample(range(len(data)), 8)},
    }


def each_spoiled(base, path, name):
    kinds = spoiled(next(base.path.glob(name)).read_bytes())
    for kind in some([*kinds], 4):
        with copied(base, path) as user:
            file = next(user.path.glob(name))
            if kinds[kind] is None:
                file.unlink()
            else:
                file.write_bytes(kinds[kind])
            try:
                yield user, kind
            except BaseException as error:
                error.add_note(f"{name}: {kind}")
                raise


TILES = ("tile/entries/001.p/1", "tile/0/000", "tile/1/000.p/1", "tile/0/001.p/1", "tile/entries/000")


@pytest.mark.parametrize("name", some(TILES, 3))
def test_each_published_tile(base, tmp_path, name):
    """fsck compares every byte: altered or torn is 1, gone is 4."""
    for user, kind in each_spoiled(base, tmp_path / "home", f"work/.apostille/log/{name}"):
        code, found = user.json(*FSCK)
        assert code == (4 if kind == "gone" else 1), (kind, found)
        assert any(f"published: {name}" in failure["message"] for failure in found["failures"]), (kind, found)
        for words in (FULL, NEXT):
            code, _ = user.json(*words)
            assert code in (FOUND if kind != "gone" else {base.code}), (kind, words, code)


def test_the_published_checkpoint(base, tmp_path):
    for user, kind in each_spoiled(base, tmp_path / "home", "work/.apostille/log/checkpoint"):
        code, found = user.json(*FSCK)
        assert code in ({4} if kind == "gone" else FOUND), (kind, found)
        for words in (FULL, NEXT, VERIFY):
            code, found = user.json(*words)
            assert code in ({base.code} if kind == "gone" else FOUND), (kind, words, found)


def test_head_memory(base, tmp_path):
    """A memory that can't be read is no memory that is empty; one that names another head is a rewrite."""
    for user, kind in each_spoiled(base, tmp_path / "home", "state/apostille/heads/*"):
        for words in (FSCK, FULL, VERIFY, NEXT):
            code, found = user.json(*words)
            assert code in ({base.code} if kind == "gone" else FOUND), (kind, words, found)


def test_the_state_of_the_last_audit(base, tmp_path):
    """Damaged: everything is read again. What reads like a state is held against the tree."""
    for user, kind in each_spoiled(base, tmp_path / "home", "state/apostille/audits/*"):
        for words in (NEXT, NEXT, FULL):
            code, found = user.json(*words)
            assert code in FOUND | {base.code}, (kind, words, found)


def state_of(user) -> dict:
    return json.loads(next(user.path.glob("state/apostille/audits/*")).read_bytes())


LIES = {  # a change of the state, and whether the next audit has to find it
    "another root": (lambda s: s.update(root="00" * 32), True),
    "more leaves than there are": (lambda s: s.update(size=9999, places=packed(9999)), True),
    "another log": (lambda s: s.update(origin="somebody.else"), False),
    "no leaves": (lambda s: s.update(size=0, places=packed(0), runs=[], run_count=0, ended={}, replaced={}), False),
    "a run that is not there": (lambda s: s.update(runs=[["ab" * 16, "none", 3, "cd" * 32]], run_count=9), False),
    "another end of a run": (lambda s: s.update(gaps=[0]), False),
    "a key that has ended": (lambda s: s.update(ended={"ab" * 32: 0}), False),
    "an erasure that is none": (lambda s: s.update(erasures=[2], open_erasures=[2]), True),
    "an open erasure of the genesis": (lambda s: s.update(open_erasures=[0]), True),
    "places of nobody": (lambda s: s.update(places=packed(s["size"], b"\0")), False),
    "a depth": (lambda s: s.update(runs=[[[[[[]]]]]]), False),
}


def packed(size: int, place: bytes = b"\1") -> str:
    return base64.b64encode(zlib.compress(place * size)).decode()


@pytest.mark.parametrize("name", LIES)
def test_a_state_that_lies(base, tmp_path, name):
    lie, is_found = LIES[name]
    with copied(base, tmp_path / "home") as user:
        state = state_of(user)
        lie(state)
        file = next(user.path.glob("state/apostille/audits/*"))
        file.write_bytes(json.dumps(state, sort_keys=True, separators=(",", ":")).encode())
        code, found = user.json(*NEXT)
        assert code in FOUND if is_found else code in FOUND | {0, 4, base.code}, found
        if code in {0, base.code}:
            assert user.json(*FULL)[0] == base.code
