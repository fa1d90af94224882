"""Growing the tree: heads, right edges, tile hashes, and misuse (formats.md sections 6 and 9). The model is in properties/."""

from __future__ import annotations

import pytest

from apostille.core import tree
from apostille.core.merkle import EMPTY_ROOT, check_consistency, check_inclusion, leaf_hash, node_hash

LEAVES = [leaf_hash(bytes((i,))) for i in range(8)]


def read(level, start, count):
    assert level == 0
    assert start + count <= len(LEAVES)
    return LEAVES[start : start + count]


def test_empty():
    assert tree.EMPTY.root_hash == EMPTY_ROOT
    assert tree.append_leaves(tree.EMPTY, []) == tree.Growth(tree.EMPTY, ())
    assert tree.root_at(0, read) == EMPTY_ROOT
    assert tree.head_at(0, read) == tree.EMPTY
    assert tree.pack_edge(()) == b""
    assert tree.unpack_edge(b"") == ()


def test_edges():
    a, b, c, *_ = LEAVES
    ab = node_hash(a, b)
    assert tree.append_leaves(tree.EMPTY, LEAVES[:1]).head == tree.Head(1, (a,))
    assert tree.append_leaves(tree.EMPTY, LEAVES[:2]).head == tree.Head(2, (ab,))
    head = tree.append_leaves(tree.EMPTY, LEAVES[:3]).head
    assert head == tree.Head(3, (ab, c))
    assert head.root_hash == node_hash(ab, c)


@pytest.mark.parametrize("size", range(9))
def test_edge_has_popcount_hashes(size):
    head = tree.append_leaves(tree.EMPTY, LEAVES[:size]).head
    assert len(head.edge) == size.bit_count()
    assert tree.head_at(size, read) == head
    assert tree.root_at(size, read) == head.root_hash
    packed = tree.pack_edge(head.edge)
    assert len(packed) == 32 * size.bit_count()
    assert tree.unpack_edge(packed) == head.edge


def test_append_leaves_changes_no_argument():
    head = tree.append_leaves(tree.EMPTY, LEAVES[:3]).head
    before = tree.Head(head.size, tuple(head.edge))
    tree.append_leaves(head, LEAVES[3:])
    assert head == before


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (9, 3)])
def test_no_such_inclusion(index, size):
    with pytest.raises(ValueError, match="outside"):
        tree.prove_inclusion(index, size, read)


@pytest.mark.parametrize(("size1", "size2"), [(0, 3), (4, 3), (-1, 3), (0, 0)])
def test_no_such_consistency(size1, size2):
    with pytest.raises(ValueError, match="no consistency proof"):
        tree.prove_consistency(size1, size2, read)


def test_equal_sizes_have_an_empty_proof():
    assert tree.prove_consistency(5, 5, read) == ()


class Stored:
    """Hashes as tiles keep them, and nothing else."""

    def __init__(self, count: int) -> None:
        self.levels: dict[tuple[int, int], bytes] = {}
        head = tree.EMPTY
        leaves = [leaf_hash(i.to_bytes(4, "big")) for i in range(count)]
        self.levels.update({(0, i): leaf for i, leaf in enumerate(leaves)})
        self.reads: list[tuple[int, int, int]] = []
        growth = tree.append_leaves(head, leaves)
        self.head = growth.head
        for level, index, found in growth.hashes:
            assert (level, index) not in self.levels, "an immutable hash is made once"
            self.levels[level, index] = found

    def read(self, level, start, count):
        self.reads.append((level, start, count))
        return [self.levels[level, index] for index in range(start, start + count)]


@pytest.fixture(scope="module")
def large():
    return Stored(66_100)


def test_tile_hashes(large):
    """258 subtrees of 256 leaves and one of 65,536, each the root of what lies under it."""
    assert sum(level == 1 for level, _ in large.levels) == 66_100 // 256
    assert [index for level, index in large.levels if level == 2] == [0]
    for level, index in [(1, 0), (1, 257), (2, 0)]:
        below = [large.levels[level - 1, index * 256 + i] for i in range(256)]
        while len(below) > 1:
            below = [node_hash(below[i], below[i + 1]) for i in range(0, len(below), 2)]
        assert large.levels[level, index] == below[0]


def test_large_tree(large):
    size, root = 66_100, large.head.root_hash
    assert tree.head_at(size, large.read) == large.head
    for index in (0, 1, 255, 256, 65_535, 65_536, 66_048, 66_099):
        proof = tree.prove_inclusion(index, size, large.read)
        check_inclusion(index, size, large.levels[0, index], proof, root)
    for old in (1, 255, 256, 257, 65_535, 65_536, 65_537, 66_099):
        old_root = tree.root_at(old, large.read)
        check_consistency(old, old_root, size, root, tree.prove_consistency(old, size, large.read))


def test_proofs_read_few_hashes(large):
    """Every node is computed from at most 256 neighbours of the level that tiles keep."""
    large.reads.clear()
    tree.prove_inclusion(12_345, 66_100, large.read)
    tree.prove_consistency(12_345, 66_100, large.read)
    assert all(count <= 256 for _, _, count in large.reads)
    assert sum(count for _, _, count in large.reads) < 2_500
