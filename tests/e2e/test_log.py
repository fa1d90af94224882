"""``apostille log info|proof|export``: what it prints is checked with our own readers, and an export is whole, or it has no checkpoint.

Spec: formats.md sections 6, 7, 8, 10 (tlog-proof); product.md (commands).
"""

from __future__ import annotations

import json
import shutil

import apsw
import pytest

from apostille import wiring
from apostille.core import dsse, tiles
from apostille.core.checkpoint import parse_checkpoint
from apostille.core.digest import sha256
from apostille.core.entry import parse_entry
from apostille.core.merkle import check_consistency, check_inclusion, leaf_hash
from apostille.core.note import parse_note
from apostille.core.proof import parse_proof
from apostille.core.strict import base64_bytes
from apostille.core.tree import EMPTY, append_leaves, root_at
from apostille.faces.cli.demo import attacks
from apostille.storage.tiles import TileFolder

pytest_plugins = ("tests.e2e.cli_kit",)

SIZE = 8
OUTPUT = 4


def test_info(home):
    found = home.ok("--json", "log", "info").json
    assert (found["committed_size"], found["published_size"], found["tiles_size"], found["remembered_size"]) == (SIZE,) * 4
    assert (found["unpublished"], found["runs"], found["open_runs"], found["keys"]) == (0, 1, 0, 5)
    assert found["checkpoint_age_s"] >= 0
    assert found["bytes"]["database"] > 4096
    assert [(key["usage"], key["held_by"]) for key in found["keys_in_force"]] == [
        ("root", None),
        ("statement", "keeper"),
        ("erasure", None),
        ("statement", "agent"),
        ("statement", "gateway"),
    ]
    text = home.ok("log", "info").text
    for name in ("origin", "committed_size", "checkpoint_age_s", "open_runs", "schema", "bytes"):
        assert f"\n{name}" in text


def reader_of(home):
    return wiring.open_reader(wiring.StoreFolder(home.store))


def signed_sizes(home) -> list[int]:
    reader = reader_of(home)
    try:
        return [signed.size for signed in reader.checkpoints_from(0)]
    finally:
        reader.close()


def test_an_inclusion_proof_under_any_signed_checkpoint(home):
    reader = reader_of(home)
    for size in signed_sizes(home):
        proof = parse_proof(home.ok("log", "proof", "1", "--size", str(size)).out)
        checkpoint = parse_checkpoint(parse_note(proof.note).text)
        assert checkpoint.size == size
        check_inclusion(1, size, leaf_hash(reader.record(1).entry), proof.hashes, checkpoint.root_hash)
    reader.close()


@pytest.mark.parametrize("since", range(1, SIZE + 1))
def test_a_consistency_proof(home, since):
    reader = reader_of(home)
    head, _, note = home.ok("log", "proof", "--since", str(since)).out.partition(b"\n\n")
    old, *rows = head.decode().split("\n")
    assert old == f"old {since}"
    checkpoint = parse_checkpoint(parse_note(note).text)
    hashes = [base64_bytes(row, size=32) for row in rows]
    check_consistency(since, root_at(since, reader.hashes), checkpoint.size, checkpoint.root_hash, hashes)
    reader.close()


def test_both_proofs_into_files(home):
    home.ok("log", "proof", "2", "--since", "3", "--out", "a.tlog-proof")
    document = home.ok("--json", "log", "proof", "2", "--since", "3").json
    assert (home.work / "a.tlog-proof").read_text() == document["proof"]
    assert (home.work / "a.tlog-proof.consistency").read_text() == document["consistency"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name a leaf by its INDEX, or an earlier size with --since"),
        ((str(SIZE),), f"leaves 0 to {SIZE - 1}, not {SIZE}"),
        (("--", "-1"), "not -1"),
        (("0", "--size", "2"), "no checkpoint of size 2 was signed; the next one has size 3"),
        (("0", "--size", "99"), "no checkpoint of size 99 was signed"),
        (("--since", "0"), f"a size from 1 to {SIZE}, not 0"),
        (("--since", "9"), f"a size from 1 to {SIZE}, not 9"),
    ],
)
def test_what_can_not_be_proven_says_why(home, words, message):
    result = home.run("log", "proof", *words).clear()
    assert result.code == 2
    assert message in result.talk


# --- export


def export(home, out: str = "exported"):
    return home.ok("--json", "log", "export", "--out", out).json


def test_our_own_tile_reader_takes_an_export(home):
    found = export(home)
    out = home.work / "exported"
    shelf = TileFolder(out / "log")
    checkpoint = parse_checkpoint(parse_note(shelf.checkpoint()).text)
    assert (found["size"], checkpoint.size) == (SIZE, SIZE)
    bundle = tiles.parse_entry_bundle((out / "log" / tiles.format_tile_path(tiles.Tile(None, 0, SIZE))).read_bytes(), SIZE)
    assert append_leaves(EMPTY, [leaf_hash(entry) for entry in bundle]).head.root_hash == checkpoint.root_hash
    assert root_at(SIZE, lambda level, start, count: shelf.hashes(SIZE, level, start, count)) == checkpoint.root_hash
    statements = sorted((out / "statements").rglob("*.json"))
    for path, entry in zip(statements, bundle, strict=True):
        assert sha256(dsse.pae(path.read_bytes())) == parse_entry(entry).pae_digest
    for path in (out / "keys").iterdir():
        envelope = dsse.parse_envelope(json.loads(path.read_bytes()))
        (statement,) = (item for item in statements if item.name.startswith(path.name[:9]))
        assert envelope.unverified_payload == statement.read_bytes()
    assert len(list((out / "keys").iterdir())) == 5


def test_nothing_secret_is_in_it(home):
    export(home)
    secrets = [path.read_bytes().strip() for path in (home.store / "keys").iterdir()]
    lines = [line for secret in secrets for line in secret.split(b"\n") if len(line) > 20 and not line.startswith(b"-----")]
    assert lines
    for path in (home.work / "exported").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(line in data for line in lines), path
            assert b"The refund" not in data


def test_it_goes_on_where_it_was(home):
    first = export(home)
    assert first["written"] == 15
    before = {path: path.stat().st_mtime_ns for path in (home.work / "exported").rglob("*.json") if "statements" in path.parts}
    assert export(home)["written"] == 0
    (home.work / "exported/statements/000000/000000005.key.json").unlink()  # as if it had been interrupted
    (home.work / "exported/statements/000000/000000004.output.json").write_bytes(b"torn")
    (home.work / "exported/log/checkpoint").unlink()
    assert export(home)["written"] == 2
    home.ok("attest", "answer.txt", "--out", "again")
    more = export(home)
    assert (more["size"], more["written"]) == (SIZE + 2, 5)  # two statements, one key, one bundle, one tile
    kept = [path for path, time in before.items() if path.stat().st_mtime_ns == time]
    assert len(kept) == len(before) - 2


def test_other_bytes_are_never_overwritten(home):
    export(home)
    path = home.work / "exported/statements/000000/000000004.output.json"
    path.write_bytes(path.read_bytes().replace(b"in-toto", b"IN-TOTO"))
    result = home.run("log", "export", "--out", "exported").clear()
    assert result.code == 69
    assert "holds other bytes than this log" in result.talk
    assert b"IN-TOTO" in path.read_bytes()


def test_an_export_of_a_longer_history_is_a_rollback(home):
    copy = home.path / "copy"
    shutil.copytree(home.store, copy)
    home.ok("attest", "answer.txt", "--out", "again")
    export(home)
    note = (home.work / "exported/log/checkpoint").read_bytes()
    shutil.rmtree(home.store)
    shutil.copytree(copy, home.store)
    result = home.run("log", "export", "--out", "exported").clear()
    assert result.code == 1
    assert f"HALT_ROLLBACK: {SIZE + 2} leaves were exported" in result.talk
    assert (home.work / "exported/log/checkpoint").read_bytes() == note


def test_a_store_that_was_altered_is_not_exported_as_whole(home):
    attacks.edit_entry(wiring.StoreFolder(home.store), OUTPUT, "other")
    result = home.run("log", "export", "--out", "exported").clear()
    assert result.code == 1
    assert "do not lead to the newest checkpoint" in result.talk
    assert not (home.work / "exported/log/checkpoint").exists()


def test_another_log_in_the_folder(home, fresh):
    export(home)
    fresh.ok("init")
    shutil.copytree(home.work / "exported", fresh.work / "exported")
    result = fresh.run("log", "export", "--out", "exported").clear()
    assert result.code == 69
    assert "holds an export of another log" in result.talk


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda note: note[:120] + b"\xff" + note[121:], 65),
        (lambda note: note[:-1], 65),
        (lambda note: b"", 65),
        (lambda note: note.replace(b"\n%d\n" % SIZE, b"\n%d\n" % (SIZE - 1), 1), 1),
    ],
    ids=["no UTF-8", "cut", "empty", "another size"],
)
@pytest.mark.parametrize("words", [("log", "proof", "1"), ("log", "receipt", "4", "--out", "x"), ("log", "export", "--out", "y")], ids=" ".join)
def test_an_altered_checkpoint_is_not_handed_on(home, words, change, code):
    """Found by the hammer: a note that was no text ended in an internal fault (70)."""
    db = apsw.Connection(str(home.store / "store.sqlite"))
    ((note,),) = db.execute("SELECT note FROM checkpoint WHERE size = ?", (SIZE,))
    db.execute("UPDATE checkpoint SET note = ? WHERE size = ?", (change(note), SIZE))
    db.close()
    ended = home.run(*words)
    assert ended.code == code, ended
    assert not (home.work / "x").exists() or not list((home.work / "x").iterdir())
