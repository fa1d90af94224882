"""``apostille log fsck``: everything is derived again from the leaves, and each damage is named exactly.

Spec: trust.md sections 3 (threats 1, 2, 14, 26) and 4; formats.md sections 3.6, 6, 7, 9.
"""

from __future__ import annotations

import shutil
import threading

import apsw
import pytest

from apostille import wiring
from apostille.core import note
from apostille.core.tree import Head
from apostille.faces.cli.demo import attacks
from apostille.faces.cli.demo.rebuild import stolen_signer

pytest_plugins = ("tests.e2e.cli_kit",)

OUTPUT = 4  # the attested file: behind genesis, keeper, erasure key and the agent's key
SIZE = 8


def folder_of(home) -> wiring.StoreFolder:
    return wiring.StoreFolder(home.store)


def sql(home, *statements: str | tuple) -> None:
    db = apsw.Connection(str(home.store / "store.sqlite"))
    for statement in statements:
        words, *args = (statement,) if isinstance(statement, str) else statement
        db.execute(words, tuple(args))
    db.close()


def tile(home, name: str):
    return home.store / "log" / "tile" / name


def fsck(home, *words: str):
    result = home.run("--json", "log", "fsck", *words).clear()
    return result.code, result.json


def messages(document) -> list[str]:
    return [failure["message"] for failure in document["failures"]]


def test_a_sound_store(home):
    code, found = fsck(home)
    assert (code, found["failures"], found["verdict"]) == (0, [], "VERIFIED, UNWITNESSED")
    assert found["audit"]["openings"] == {"opened": SIZE, "sealed": 0, "erased": 0, "missing": 0}
    assert found["fsck"]["tiles"]["size"] == SIZE
    assert {step["outcome"] for step in found["steps"]} == {"passed"}
    assert all(not found["fsck"]["tiles"][kind]["count"] for kind in ("missing", "torn", "altered", "foreign", "beyond", "ahead"))


def test_text_for_people(home):
    text = home.ok("log", "fsck").text
    assert text.startswith("VERIFIED, UNWITNESSED  fsck")
    assert f"{SIZE} leaves = {SIZE} opened + 0 sealed + 0 erased + 0 missing" in text
    assert "the published tiles are those of the leaves" in text


def lose_key(home) -> None:
    """The line of the run's unit; the log's own unit and the other records keep theirs."""
    path = home.store / "keys" / "units"
    rows = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(row for row in rows if row.startswith(b"0" * 32) or not row) or b"")


def forge_checkpoint(home, size: int) -> None:
    """Another root for a size that was signed, with the real log key."""
    signer = stolen_signer(folder_of(home))
    signed = signer.sign(Head(size, tuple(bytes([i]) * 32 for i in range(size.bit_count()))))
    sql(home, ("UPDATE checkpoint SET root = ?, note = ? WHERE size = ?", signed.root_hash, signed.note, size))


def stranger_checkpoint(home, size: int) -> None:
    """The right root, signed by somebody else."""
    db = apsw.Connection(str(home.store / "store.sqlite"))
    old = bytes(db.execute("SELECT note FROM checkpoint WHERE size = ?", (size,)).get)
    opened = note.parse_note(old)
    db.execute(
        "UPDATE checkpoint SET note = ? WHERE size = ?",
        (note.format_note(note.Note(opened.text, opened.unverified_signatures[1:])), size),
    )
    db.close()


def cut_file(home) -> None:
    path = home.store / "store.sqlite"
    path.write_bytes(path.read_bytes()[: 9 * 4096])


DAMAGE = {
    "an edited statement": (
        lambda h: attacks.edit_statement(folder_of(h), OUTPUT),
        1,
        f"leaf {OUTPUT}: the statement is not the one",
    ),
    "an edited entry": (
        lambda h: attacks.edit_entry(folder_of(h), OUTPUT, "other"),
        1,
        f"leaf {OUTPUT}: the entry has not the leaf hash",
    ),
    "an edited entry, all hashes anew": (
        lambda h: attacks.edit_entry(folder_of(h), OUTPUT, "other", is_thorough=True),
        1,
        f"leaf {OUTPUT}: the signature of the statement does not verify",
    ),
    "a dropped leaf": (lambda h: attacks.delete_leaf(folder_of(h), OUTPUT), 1, f"leaf {OUTPUT} is missing from the store"),
    "a leaf more than the head says": (
        lambda h: sql(h, f"INSERT INTO leaf SELECT {SIZE}, * FROM (SELECT leaf_hash{COLUMNS} FROM leaf WHERE idx = {OUTPUT})"),
        1,
        f"the store holds {SIZE + 1} leaves, its head says {SIZE}",
    ),
    "a sealed opening with another bit": (
        lambda h: attacks.edit_opening(folder_of(h), OUTPUT),
        1,
        f"leaf {OUTPUT}: a sealed opening does not decrypt",
    ),
    "openings of two leaves exchanged": (
        lambda h: sql(
            h,
            "UPDATE opening SET idx = -1 WHERE idx = 6",
            "UPDATE opening SET idx = 6 WHERE idx = 7",
            "UPDATE opening SET idx = 7 WHERE idx = -1",
        ),
        1,
        "leaf 6: a sealed opening does not decrypt",
    ),
    "the run of a leaf exchanged": (
        lambda h: sql(h, f"UPDATE leaf SET run = zeroblob(16) WHERE idx = {OUTPUT}"),
        1,
        f"leaf {OUTPUT}: column 'run' was altered: the store files it under another run",
    ),
    "the certified key exchanged": (
        lambda h: sql(h, "UPDATE leaf SET certifies = zeroblob(32) WHERE idx = 3"),
        1,
        "leaf 3: column 'certifies' was altered: the store files it under another key",
    ),
    "a receipt id exchanged": (
        lambda h: sql(h, f"UPDATE leaf SET nonce = zeroblob(16) WHERE idx = {OUTPUT}"),
        1,
        f"leaf {OUTPUT}: column 'nonce' was altered: the store files it under another receipt id",
    ),
    "a stored leaf hash": (
        lambda h: sql(h, "UPDATE leaf SET leaf_hash = zeroblob(32) WHERE idx = 5"),
        1,
        "leaf 5: the entry has not the leaf hash that is stored for it",
    ),
    "a right edge that is another": (
        lambda h: sql(h, "UPDATE head SET edge = zeroblob(32)"),
        1,
        "the store's head row contradicts itself",
    ),
    "a head row that is gone": (lambda h: sql(h, "DELETE FROM head"), 1, "the store's head row is missing"),
    "a subtree hash that no tree has": (
        lambda h: sql(h, "INSERT INTO subtree VALUES (1, 0, zeroblob(32))"),
        1,
        "1 hashes of level 1 are stored, a tree of 8 leaves has 0",
    ),
    "an opening of no leaf": (
        lambda h: sql(h, f"INSERT INTO opening SELECT 99{OPENING} FROM opening WHERE idx = {OUTPUT} LIMIT 1"),
        1,
        "an opening is stored of a leaf that is not there: 99",
    ),
    "a forged checkpoint": (lambda h: forge_checkpoint(h, 5), 1, "REWRITE before size 5"),
    "a checkpoint without the log's line": (
        lambda h: stranger_checkpoint(h, 5),
        3,
        "the note of the checkpoint of size 5: no signature by the pinned key",
    ),
    "a lost key line": (lose_key, 1, "leaf 6: openings are missing that no erasure names: attributes"),
    "a torn tile": (
        lambda h: tile(h, f"0/000.p/{SIZE}").write_bytes(b"x" * 40),
        1,
        f"published: tile/0/000.p/{SIZE} has not the length",
    ),
    "a tile that is gone": (
        lambda h: tile(h, f"entries/000.p/{SIZE}").unlink(),
        4,
        f"published: tile/entries/000.p/{SIZE} is missing",
    ),
    "a tile that says something else": (
        lambda h: tile(h, f"0/000.p/{SIZE}").write_bytes(tile(h, f"0/000.p/{SIZE}").read_bytes()[:96] + bytes(160)),
        1,
        f"published: tile/0/000.p/{SIZE} (first at leaf 3) says something else",
    ),
    "an entry bundle that says something else": (
        lambda h: tile(h, f"entries/000.p/{SIZE}").write_bytes(
            tile(h, f"entries/000.p/{SIZE}").read_bytes().replace(b'"kind":"hash', b'"kind":"HASH', 1)
        ),
        1,
        f"published: tile/entries/000.p/{SIZE} (first at leaf 0) says something else",
    ),
    "an older partial tile that says something else": (
        lambda h: tile(h, "0/000.p/5").write_bytes(bytes(160)),
        1,
        "published: tile/0/000.p/5 (first at leaf 0)",
    ),
    "a tile of leaves that are not there": (
        lambda h: tile(h, "0/000.p/9").write_bytes(bytes(9 * 32)),
        1,
        "published: tile/0/000.p/9 is of leaves that are not in the store",
    ),
    "a published checkpoint that is gone": (
        lambda h: (h.store / "log/checkpoint").unlink(),
        4,
        "published: the file checkpoint is missing",
    ),
    "a published checkpoint that is torn": (
        lambda h: (h.store / "log/checkpoint").write_bytes((h.store / "log/checkpoint").read_bytes()[:50]),
        65,
        "published: the file checkpoint is no checkpoint",
    ),
    "a cut file": (cut_file, 65, "store"),
}
COLUMNS = ""
OPENING = ""


def columns_of(home, table: str, first: int) -> str:
    db = apsw.Connection(str(home.store / "store.sqlite"))
    found = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    db.close()
    return "".join(f", {name}" for name in found[first:])


@pytest.mark.parametrize("name", DAMAGE)
def test_each_damage_is_named(home, name):
    global COLUMNS, OPENING
    COLUMNS, OPENING = columns_of(home, "leaf", 2), columns_of(home, "opening", 1)
    damage, code, words = DAMAGE[name]
    damage(home)
    found_code, found = fsck(home)
    assert any(words in message for message in messages(found)), found["failures"]
    assert found_code == code


def test_what_should_not_be_there_is_said(home):
    """A file that is no tile is no damage of the log, and not passed over."""
    tile(home, "0/notes.txt").write_bytes(b"x")
    code, found = fsck(home)
    assert code == 0
    assert found["fsck"]["tiles"]["foreign"]["named"] == ["tile/0/notes.txt"]
    assert any("1 files among the tiles are none of the log: tile/0/notes.txt" in text for text in found["not_checked"])


def test_without_keys_every_record_that_can_not_be_opened_is_listed(home):
    (home.store / "keys" / "units").unlink()
    code, found = fsck(home)
    assert code == 0
    assert found["audit"]["openings"]["sealed"] == SIZE
    assert found["fsck"]["unopened"] == list(range(SIZE))


def test_the_remembered_head(home):
    """The store is put back to an older state, and all that it says of itself agrees."""
    copy = home.path / "copy"
    shutil.copytree(home.store, copy)
    home.ok("attest", "answer.txt", "--out", "again")
    shutil.rmtree(home.store)
    shutil.copytree(copy, home.store)
    code, found = fsck(home)
    assert code == 1
    assert any("HALT_ROLLBACK: a head of size 10 is remembered" in text for text in messages(found))
    (evidence,) = found["evidence"]
    assert "\n10\n" in evidence["first"]
    assert "\n8\n" in evidence["second"]


def test_fast_leaves_signatures_out_and_says_so(home):
    attacks.edit_entry(folder_of(home), OUTPUT, "other", is_thorough=True)
    _, slow = fsck(home)
    assert any("signature of the statement does not verify" in text for text in messages(slow))
    code, fast = fsck(home, "--fast")
    assert code == 1, "the signed head still tells"
    assert not any("signature of the statement" in text for text in messages(fast))
    assert "signatures of statements not checked (--fast)" in fast["not_checked"]
    assert [s["outcome"] for s in fast["steps"] if s["step"] == 6] == ["not checked"]


# --- the one thing that is mended


def test_missing_and_torn_tiles_are_written_again(home):
    before = {path: path.read_bytes() for path in sorted((home.store / "log").rglob("*")) if path.is_file()}
    tile(home, f"0/000.p/{SIZE}").unlink()
    tile(home, f"entries/000.p/{SIZE}").write_bytes(b"torn")
    tile(home, "0/000.p/5").write_bytes(b"torn")
    (home.store / "log/checkpoint").unlink()
    code, found = fsck(home, "--rewrite-tiles")
    assert code == 0, found["failures"]
    assert sorted(found["fsck"]["rewritten"]) == sorted(
        [f"tile/0/000.p/{SIZE}", f"tile/entries/000.p/{SIZE}", "tile/0/000.p/5", "checkpoint"]
    )
    assert {path: path.read_bytes() for path in sorted((home.store / "log").rglob("*")) if path.is_file()} == before
    assert fsck(home)[0] == 0


def test_evidence_is_never_rewritten(home):
    """A tile of the right length that says something else, and whatever there is where the store itself is not in order."""
    altered = tile(home, f"0/000.p/{SIZE}")
    altered.write_bytes(bytes(SIZE * 32))
    code, found = fsck(home, "--rewrite-tiles")
    assert (code, found["fsck"]["rewritten"]) == (1, [])
    assert altered.read_bytes() == bytes(SIZE * 32)
    attacks.edit_statement(folder_of(home), OUTPUT)
    altered.unlink()
    code, found = fsck(home, "--rewrite-tiles")
    assert (code, found["fsck"]["rewritten"]) == (1, [])
    assert not altered.exists()
    assert any("nothing was rewritten" in text for text in found["not_checked"])


# --- beside a keeper at work


def test_beside_a_keeper_at_work(home, monkeypatch):
    """One moment of the store is looked at, whatever is committed and published meanwhile."""
    for name, value in home.env.items():
        monkeypatch.setenv(name, value)
    keeper = wiring.open_keeper(folder_of(home), publish_interval_seconds=0.01)
    stop = threading.Event()
    said: list[int] = []

    def work() -> None:
        while not stop.wait(0.02) and len(said) < 500:
            run = keeper.open_run(agent="a")
            run.output(b"x", b"x", profile="opaque", media_type="text/plain")
            said.append(run.close().committed(10).index)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(5):
            code, found = fsck(home)
            bad = [text for text in messages(found) if "is not closed" not in text and "PENDING" not in text]
            assert (bad, code in {0, 4}) == ([], True)
    finally:
        stop.set()
        thread.join()
        keeper.close()
    assert len(said) > 5
    assert fsck(home)[0] == 0
