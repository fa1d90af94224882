"""Tree, proofs and tiles against a naive recursive model of RFC 6962 section 2.1 (formats.md section 6).

Every tree of 1 to 130 leaves: its root, every inclusion proof accepted, every hash of every proof guarded; consistency between all
sizes up to 70; every single bit of the proofs of small trees. Then trees that fill tiles, grown in batches.
"""

from __future__ import annotations

import itertools
import time
from functools import cache, lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apostille.core import merkle, tiles, tree
from apostille.core.digest import sha256
from apostille.errors import ConsistencyError, InclusionError

SMALL, PAIRS, EVERY_BIT = 130, 70, 14


@cache
def leaf(index: int) -> bytes:
    return sha256(b"\x00" + f"entry {index}".encode())


# The model: the definitions of RFC 6962, word by word, on lists.


@cache
def model_root(start: int, end: int) -> bytes:
    """MTH(D[start:end])."""
    if end == start:
        return sha256(b"")
    if end - start == 1:
        return leaf(start)
    middle = start + split(end - start)
    return sha256(b"\x01" + model_root(start, middle) + model_root(middle, end))


def split(count: int) -> int:
    """The largest power of two below ``count``."""
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def model_path(index: int, start: int, end: int) -> list[bytes]:
    """PATH(m, D[n])."""
    if end - start == 1:
        return []
    middle = start + split(end - start)
    if index < middle:
        return [*model_path(index, start, middle), model_root(middle, end)]
    return [*model_path(index, middle, end), model_root(start, middle)]


def model_proof(size1: int, start: int, end: int, *, whole: bool = True) -> list[bytes]:
    """SUBPROOF(m, D[n], b)."""
    if size1 == end - start:
        return [] if whole else [model_root(start, end)]
    middle = split(end - start)
    if size1 <= middle:
        return [*model_proof(size1, start, start + middle, whole=whole), model_root(start + middle, end)]
    return [*model_proof(size1 - middle, start + middle, end, whole=False), model_root(start, start + middle)]


class Log:
    """Hashes as tiles keep them, grown in batches; reading what is not stored fails."""

    def __init__(self) -> None:
        self.head = tree.EMPTY
        self.hashes: dict[tuple[int, int], bytes] = {}

    def append(self, count: int) -> None:
        leaves = [leaf(index) for index in range(self.head.size, self.head.size + count)]
        self.hashes.update({(0, self.head.size + place): found for place, found in enumerate(leaves)})
        growth = tree.append_leaves(self.head, leaves)
        for level, index, found in growth.hashes:
            assert (level, index) not in self.hashes
            self.hashes[level, index] = found
        self.head = growth.head

    def read(self, level: int, start: int, count: int) -> list[bytes]:
        return [self.hashes[level, index] for index in range(start, start + count)]


@pytest.fixture(scope="module")
def small() -> Log:
    log = Log()
    log.append(SMALL)
    return log


def includes(index: int, size: int, leaf_hash: bytes, proof: list[bytes], root: bytes) -> bool:
    try:
        merkle.check_inclusion(index, size, leaf_hash, proof, root)
    except InclusionError:
        return False
    return True


def continues(size1: int, root1: bytes, size2: int, root2: bytes, proof: list[bytes]) -> bool:
    try:
        merkle.check_consistency(size1, root1, size2, root2, proof)
    except ConsistencyError:
        return False
    return True


def flip(proof: list[bytes], place: int, bit: int) -> list[bytes]:
    changed = bytearray(proof[place])
    changed[bit // 8] ^= 1 << bit % 8
    return [*proof[:place], bytes(changed), *proof[place + 1 :]]


def test_roots(small):
    log = Log()
    for size in range(SMALL + 1):
        root = model_root(0, size)
        assert tree.root_at(size, small.read) == root
        assert tree.head_at(size, small.read) == log.head
        assert log.head.root_hash == root
        assert len(log.head.edge) == size.bit_count()
        log.append(1)


def test_every_inclusion_proof(small):
    """All leaves of all trees: the model's proof, accepted; one bit of each of its hashes changed, refused."""
    turn = 0
    for size in range(1, SMALL + 1):
        root = model_root(0, size)
        for index in range(size):
            proof = list(tree.prove_inclusion(index, size, small.read))
            assert proof == model_path(index, 0, size)
            assert includes(index, size, leaf(index), proof, root)
            for place in range(len(proof)):
                turn = (turn + 89) % 256
                assert not includes(index, size, leaf(index), flip(proof, place, turn), root)


def test_every_bit_of_inclusion_proofs():
    for size in range(1, EVERY_BIT + 1):
        root = model_root(0, size)
        for index in range(size):
            proof = model_path(index, 0, size)
            for place in range(len(proof)):
                for bit in range(256):
                    assert not includes(index, size, leaf(index), flip(proof, place, bit), root)


def test_inclusion_of_something_else():
    """Another index, leaf, root, a proof longer or shorter: refused for every leaf of every tree up to 40."""
    for size in range(1, 41):
        root = model_root(0, size)
        for index in range(size):
            proof = model_path(index, 0, size)
            for other in range(size):
                assert includes(other, size, leaf(index), proof, root) == (other == index)
                assert includes(index, size, leaf(other), proof, root) == (other == index)
            assert not includes(index, size, leaf(index), [*proof, leaf(0)], root)
            assert not includes(index, size, leaf(index), [leaf(0), *proof], root)
            if proof:
                assert not includes(index, size, leaf(index), proof[:-1], root)
                assert not includes(index, size, leaf(index), proof[1:], root)
            for other_size in range(1, 41):
                if other_size != size:
                    assert not includes(index, size, leaf(index), proof, model_root(0, other_size))


def test_every_consistency_proof(small):
    turn = 0
    for size2 in range(1, PAIRS + 1):
        root2 = model_root(0, size2)
        for size1 in range(1, size2 + 1):
            root1 = model_root(0, size1)
            proof = list(tree.prove_consistency(size1, size2, small.read))
            assert proof == model_proof(size1, 0, size2)
            assert continues(size1, root1, size2, root2, proof)
            for place in range(len(proof)):
                turn = (turn + 89) % 256
                assert not continues(size1, root1, size2, root2, flip(proof, place, turn))
            if size1 < size2:
                assert not continues(size1, root1, size2, root2, proof[:-1])
                assert not continues(size1, root1, size2, root2, proof[1:])
                assert not continues(size1, root2, size2, root1, proof)
            assert not continues(size1, root1, size2, root2, [*proof, leaf(0)])


def test_every_bit_of_consistency_proofs():
    for size2 in range(1, EVERY_BIT + 1):
        root2 = model_root(0, size2)
        for size1 in range(1, size2 + 1):
            root1, proof = model_root(0, size1), model_proof(size1, 0, size2)
            for place in range(len(proof)):
                for bit in range(256):
                    assert not continues(size1, root1, size2, root2, flip(proof, place, bit))


def test_no_history_is_rewritten():
    """A tree whose entry ``changed`` was exchanged continues exactly the old trees that do not hold it."""
    size2 = 21
    for changed in range(size2):
        leaves = [leaf(index) if index != changed else sha256(b"other") for index in range(size2)]
        forged = tree.append_leaves(tree.EMPTY, leaves).head.root_hash

        def read(level, start, count, leaves=leaves):
            return leaves[start : start + count]

        for size1 in range(1, size2):
            proof = list(tree.prove_consistency(size1, size2, read))
            assert continues(size1, model_root(0, size1), size2, forged, proof) == (changed >= size1)


@pytest.mark.parametrize("size", [255, 256, 257, 511, 512, 513, 700, 1_024, 1_300])
def test_trees_that_fill_tiles(size):
    log = Log()
    log.append(size)
    root = model_root(0, size)
    assert log.head.root_hash == root
    for index in {0, 1, 254, 255, 256, 257, size // 2, size - 2, size - 1}:
        if 0 <= index < size:
            proof = list(tree.prove_inclusion(index, size, log.read))
            assert proof == model_path(index, 0, size)
            assert includes(index, size, leaf(index), proof, root)
    for old in {1, 2, 255, 256, 257, 511, 512, size // 2, size - 1, size}:
        if 1 <= old <= size:
            proof = list(tree.prove_consistency(old, size, log.read))
            assert proof == model_proof(old, 0, size)
            assert continues(old, model_root(0, old), size, root, proof)
    for (level, index), found in log.hashes.items():
        step = 256**level
        assert found == model_root(index * step, (index + 1) * step)


@settings(deadline=None, max_examples=40)
@given(batches=st.lists(st.integers(0, 300), max_size=6))
def test_batches_equal_one_by_one(batches):
    """However entries are grouped, the same edge, the same tile hashes, made once."""
    in_batches, one_by_one = Log(), Log()
    for count in batches:
        in_batches.append(count)
        for _ in range(count):
            one_by_one.append(1)
        assert in_batches.head == one_by_one.head
    assert in_batches.hashes == one_by_one.hashes
    size = sum(batches)
    assert in_batches.head.root_hash == model_root(0, size)
    assert tree.head_at(size, in_batches.read) == in_batches.head
    stored = {(level, index) for level, index in in_batches.hashes}
    wanted = {
        (tile.level, tile.number * 256 + place)
        for tile in tiles.tiles_of(0, size)
        if tile.level is not None
        for place in range(tile.width)
    }
    assert stored == wanted, "what growth reports is what the tiles hold"


@settings(deadline=None, max_examples=60)
@given(size=st.integers(1, 1_300), data=st.data())
def test_random_proofs(size, data):
    log = _log_1300()
    index = data.draw(st.integers(0, size - 1))
    proof = list(tree.prove_inclusion(index, size, log.read))
    assert proof == model_path(index, 0, size)
    root = model_root(0, size)
    assert includes(index, size, leaf(index), proof, root)
    if proof:
        place, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
        assert not includes(index, size, leaf(index), flip(proof, place, bit), root)
    old = data.draw(st.integers(1, size))
    proof = list(tree.prove_consistency(old, size, log.read))
    assert proof == model_proof(old, 0, size)
    assert continues(old, model_root(0, old), size, root, proof)


@lru_cache(maxsize=1)
def _log_1300() -> Log:
    log = Log()
    log.append(1_300)
    return log


@settings(deadline=None, max_examples=100)
@given(old=st.integers(0, 200_000), more=st.integers(0, 200_000))
def test_new_tiles_are_the_difference(old, more):
    """Publishing in two steps writes what publishing at once writes, but for the partial tiles on the way."""
    size = old + more
    now, before = set(tiles.tiles_of(0, size)), set(tiles.tiles_of(0, old))
    assert set(tiles.tiles_of(old, size)) == now - before
    for tile in tiles.tiles_of(old, size):
        assert tiles.parse_tile_path(tiles.format_tile_path(tile)) == tile


# Whole logs, re-hashed -----------------------------------------------------------------------------------------------


@cache
def model_leaf_root(level: int, index: int) -> bytes:
    """The root of a complete subtree of 256**level leaves, by the model."""
    width = 256**level
    return model_root(index * width, (index + 1) * width)


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 1_400), max_size=6))
def test_re_hashing_in_any_batches_is_the_model(cuts):
    """Leaf hashes from entry bytes, the root after each batch and the root of each whole tile, however the batches are cut."""
    entries = [f"entry {index}".encode() for index in range(1_400)]
    head, found = tree.EMPTY, []
    for start, end in itertools.pairwise([0, *sorted(cuts), 1_400]):
        growth = tree.append_leaves(head, tree.leaf_hashes(entries[start:end]))
        head, found = growth.head, [*found, *growth.hashes]
        assert (head.size, head.root_hash) == (end, model_root(0, end))
        assert len(head.edge) == end.bit_count()
    assert found == [(1, index, model_leaf_root(1, index)) for index in range(5)]


def test_re_hashing_completes_levels_in_order():
    """A tree of 65,536 and some: the tiles of level 1, and level 2 when it is complete, also across batches that are no tile."""
    leaves = tree.leaf_hashes(b"%d" % index for index in range(65_536 + 300))
    whole = tree.append_leaves(tree.EMPTY, leaves)
    head, found = tree.EMPTY, []
    for at in range(0, len(leaves), 1_000):
        growth = tree.append_leaves(head, leaves[at : at + 1_000])
        head, found = growth.head, [*found, *growth.hashes]
    one_by_one = tree.EMPTY
    for item in leaves:
        one_by_one = tree.append_leaves(one_by_one, [item]).head
    assert head == whole.head == one_by_one
    assert found == list(whole.hashes)
    assert [(level, index) for level, index, _ in found if level > 1] == [(2, 0)]
    assert [index for level, index, _ in found if level == 1] == list(range(257))


@pytest.mark.slow
def test_a_million_entries_are_re_hashed_in_seconds():
    """Leaf hashes, root and tile roots of a million entries of 489 bytes: three seconds of CPU at most (measured on a tenth)."""
    bundles = [[b"%0489d" % index for index in range(at, at + 256)] for at in range(0, 100_096, 256)]
    best = float("inf")
    for _ in range(3):
        began, head = time.process_time(), tree.EMPTY
        for bundle in bundles:
            head = tree.append_leaves(head, tree.leaf_hashes(bundle)).head
        best = min(best, time.process_time() - began)
    assert head.size == 100_096
    assert best * 1_000_000 / head.size < 3.0
