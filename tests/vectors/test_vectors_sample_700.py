"""sample-700, made by an independent implementation: full and partial tiles on two levels, proofs, three kinds of lines."""

from __future__ import annotations

import json

import pytest

from apostille.core import bundle, checkpoint, dsse, entry, keys, merkle, note, proof, signatures, statement, strict, tiles, tree
from apostille.core.digest import sha256
from apostille.core.policy import open_checkpoint, parse_policy
from apostille.errors import MalformedError, UnsupportedVersionError
from tests.vectors.vectors_kit import folder

SAMPLE = folder("sample-700")
SIZE = 700
VKEYS = (SAMPLE / "vkeys").read_text().split()
LOG = note.parse_vkey(VKEYS[0])
POLICY = parse_policy(f"log {VKEYS[0]}\nwitness w1 {VKEYS[1]}\nwitness w2 {VKEYS[2]}\ngroup g all w1 w2\nquorum g\n".encode())


def data(name: str) -> bytes:
    return (SAMPLE / name).read_bytes()


def stored(level, count):
    """All hashes (or entries) of a level, out of its tiles."""
    found: list[bytes] = []
    for tile in tiles.tiles_of(0, SIZE):
        if tile.level == level:
            parse = tiles.parse_entry_bundle if level is None else tiles.parse_hash_tile
            found += parse(data(f"log/{tiles.format_tile_path(tile)}"), tile.width)
    assert len(found) == count
    return found


ENTRIES = stored(None, SIZE)
LEVELS = [stored(0, SIZE), stored(1, 2)]


def read(level, start, count):
    return LEVELS[level][start : start + count]


def test_files_are_the_tiles_of_the_tree():
    found = {str(path.relative_to(SAMPLE / "log")) for path in (SAMPLE / "log").rglob("*") if path.is_file()}
    assert found == {"checkpoint", *(tiles.format_tile_path(tile) for tile in tiles.tiles_of(0, SIZE))}
    assert len(found) == 8


def test_tiles_follow_from_the_entries():
    assert [merkle.leaf_hash(text) for text in ENTRIES] == LEVELS[0]
    growth = tree.append_leaves(tree.EMPTY, LEVELS[0])
    assert growth.hashes == ((1, 0, LEVELS[1][0]), (1, 1, LEVELS[1][1]))
    assert growth.head == tree.head_at(SIZE, read)


def test_checkpoint():
    opened = open_checkpoint(data("log/checkpoint"), POLICY)
    assert opened.checkpoint == checkpoint.Checkpoint(LOG.name, SIZE, tree.root_at(SIZE, read))
    assert opened.is_quorum_met
    assert [key.kind for key in (opened.log, *POLICY.witnesses.values())] == [0x01, 0x04, 0x06]
    assert note.format_note(note.parse_note(data("log/checkpoint"))) == data("log/checkpoint")


def test_every_entry_is_included():
    root = tree.root_at(SIZE, read)
    for index in range(0, SIZE, 7):
        merkle.check_inclusion(index, SIZE, LEVELS[0][index], tree.prove_inclusion(index, SIZE, read), root)


def test_consistency_from_300():
    head, _, rest = data("consistency").partition(b"\n\n")
    first, *rows = head.decode().split("\n")
    assert first == "old 300"
    hashes = tuple(strict.base64_bytes(row, size=32) for row in rows)
    old_root = strict.base64_bytes(data("oldroot").decode().strip(), size=32)
    assert old_root == tree.root_at(300, read)
    assert hashes == tree.prove_consistency(300, SIZE, read)
    assert rest == data("log/checkpoint")
    merkle.check_consistency(300, old_root, SIZE, tree.root_at(SIZE, read), hashes)


def test_entry_123():
    leaf = data("x.leaf")
    assert leaf == ENTRIES[123]
    found = entry.parse_entry(leaf)
    assert entry.format_entry(found) == leaf
    assert found.pae_digest == sha256(data("x.pae"))
    assert found.signature == data("x.sig")
    assert keys.public_pem(found.spki) == data("agent.pem")
    signatures.verify_statement_signature(found.spki, found.signature, data("x.pae"))


def test_tlog_proof():
    found = proof.parse_proof(data("x.tlog-proof"))
    assert proof.format_proof(found) == data("x.tlog-proof")
    assert (found.index, found.note) == (123, data("log/checkpoint"))
    assert found.hashes == tree.prove_inclusion(123, SIZE, read)
    merkle.check_inclusion(123, SIZE, LEVELS[0][123], found.hashes, tree.root_at(SIZE, read))


def test_bundle():
    value = json.loads(data("x.sigstore.json"))
    found = bundle.parse_bundle(value)
    signer = entry.parse_entry(found.leaf).spki
    root = tree.root_at(SIZE, read)
    assert found.redundant == bundle.derive_redundant(signatures.key_id(signer), LOG, 123, root, SIZE)
    assert dsse.pae(found.envelope.unverified_payload) == data("x.pae")
    assert found.leaf == data("x.leaf")


def test_foreign_statement_type():
    payload = data("x.pae").split(b" ", 4)[4]
    with pytest.raises(UnsupportedVersionError):
        statement.parse_statement(payload)
    with pytest.raises(MalformedError):
        strict.canonical_json_value(payload + b" ", spec="x")
