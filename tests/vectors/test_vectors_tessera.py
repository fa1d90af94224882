"""A real foreign log: checkpoints 0 to 15, tiles and entries of transparency-dev/tessera (formats.md sections 6 and 7)."""

from __future__ import annotations

import pytest

from apostille.core import merkle, tiles, tree
from apostille.core.policy import open_checkpoint, parse_policy
from apostille.errors import InvalidSignatureError
from tests.vectors.vectors_kit import folder

LOG = folder("tessera-log")
VKEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
POLICY = parse_policy(f"log {VKEY}\nquorum none\n".encode())
SIZE = 15


def tile(level, width):
    return (LOG / tiles.format_tile_path(tiles.Tile(level, 0, width))).read_bytes()


ENTRIES = tiles.parse_entry_bundle(tile(None, SIZE), SIZE)
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]


def read(level, start, count):
    assert level == 0
    return LEAVES[start : start + count]


def checkpoint(size):
    return open_checkpoint((LOG / f"checkpoint.{size}").read_bytes(), POLICY).checkpoint


@pytest.mark.parametrize("size", range(SIZE + 1))
def test_checkpoints(size):
    found = checkpoint(size)
    assert (found.origin, found.size) == ("example.com/log/testdata", size)
    assert found.root_hash == tree.append_leaves(tree.EMPTY, LEAVES[:size]).head.root_hash


def test_newest():
    assert open_checkpoint((LOG / "checkpoint").read_bytes(), POLICY).checkpoint == checkpoint(15)


def test_a_flipped_signature_is_refused():
    data = (LOG / "checkpoint.7").read_bytes()
    at = data.index(b"M9e0l") + 20
    with pytest.raises(InvalidSignatureError):
        open_checkpoint(data[:at] + (b"A" if data[at : at + 1] != b"A" else b"B") + data[at + 1 :], POLICY)


@pytest.mark.parametrize("size", range(1, SIZE + 1))
def test_tiles(size):
    entries = tiles.parse_entry_bundle(tile(None, size), size)
    assert entries == ENTRIES[:size]
    assert tiles.format_entry_bundle(entries) == tile(None, size)
    assert tiles.parse_hash_tile(tile(0, size), size) == LEAVES[:size]


def test_entries():
    assert ENTRIES[:3] == [b"one", b"two", b"three"]
    stored = {str(path.relative_to(LOG)) for path in LOG.rglob("*") if path.is_file() and "tile" in path.parts}
    known = {tiles.format_tile_path(tiles.parse_tile_path(path)) for path in stored}
    assert known == stored


def test_every_proof():
    for size in range(1, SIZE + 1):
        root = checkpoint(size).root_hash
        for index in range(size):
            merkle.check_inclusion(index, size, LEAVES[index], tree.prove_inclusion(index, size, read), root)
        for old in range(1, size + 1):
            proof = tree.prove_consistency(old, size, read)
            merkle.check_consistency(old, checkpoint(old).root_hash, size, root, proof)
