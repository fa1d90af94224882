"""Merkle proofs: the reference trees of RFC 6962, and the shapes that are refused (formats.md section 6; RFC 9162 2.1.3, 2.1.4)."""

from __future__ import annotations

import pytest

from apostille.core import merkle, tree
from apostille.core.digest import sha256
from apostille.errors import ConsistencyError, InclusionError

# Leaves and roots of Certificate Transparency's reference tests.
INPUTS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [merkle.leaf_hash(data) for data in INPUTS]
ROOT = [bytes.fromhex(text) for text in ROOTS]
HASH = sha256(b"x")


def read(level, start, count):
    assert level == 0
    return LEAVES[start : start + count]


def test_hashes():
    assert merkle.EMPTY_ROOT == sha256(b"") == ROOT[0]
    assert merkle.leaf_hash(b"entry") == sha256(b"\x00entry")
    assert merkle.node_hash(b"l" * 32, b"r" * 32) == sha256(b"\x01" + b"l" * 32 + b"r" * 32)
    assert merkle.leaf_hash(b"") == LEAVES[0] == ROOT[1]
    assert merkle.MAX_PROOF_HASHES == 63


@pytest.mark.parametrize("size", range(9))
def test_reference_roots(size):
    assert tree.append_leaves(tree.EMPTY, LEAVES[:size]).head.root_hash == ROOT[size]


PROOF_3_OF_8 = [LEAVES[2], ROOT[2], merkle.node_hash(merkle.node_hash(*LEAVES[4:6]), merkle.node_hash(*LEAVES[6:8]))]


def test_inclusion_by_hand():
    """Leaf 3 of 8: its sibling first, the root's child last."""
    merkle.check_inclusion(3, 8, LEAVES[3], PROOF_3_OF_8, ROOT[8])
    assert list(tree.prove_inclusion(3, 8, read)) == PROOF_3_OF_8
    assert merkle.root_from_inclusion(3, 8, LEAVES[3], PROOF_3_OF_8) == ROOT[8]
    merkle.check_inclusion(0, 1, LEAVES[0], [], ROOT[1])


@pytest.mark.parametrize(
    ("index", "size", "leaf", "proof", "root"),
    [
        (3, 8, LEAVES[3], PROOF_3_OF_8, ROOT[7]),
        (3, 8, LEAVES[4], PROOF_3_OF_8, ROOT[8]),
        (2, 8, LEAVES[3], PROOF_3_OF_8, ROOT[8]),
        (3, 8, LEAVES[3], PROOF_3_OF_8[:-1], ROOT[8]),
        (3, 8, LEAVES[3], PROOF_3_OF_8[1:], ROOT[8]),
        (3, 8, LEAVES[3], [], ROOT[8]),
        (3, 8, LEAVES[3], [*PROOF_3_OF_8, HASH], ROOT[8]),
        (3, 8, LEAVES[3], PROOF_3_OF_8[::-1], ROOT[8]),
        (3, 8, LEAVES[3], [*PROOF_3_OF_8[:2], b""], ROOT[8]),
        (3, 8, LEAVES[3], [*PROOF_3_OF_8[:2], PROOF_3_OF_8[2] + b"x"], ROOT[8]),
        (3, 8, LEAVES[3][:-1], PROOF_3_OF_8, ROOT[8]),
        (3, 8, LEAVES[3], PROOF_3_OF_8, b""),
        (3, 16, LEAVES[3], PROOF_3_OF_8, ROOT[8]),
        (-1, 8, LEAVES[3], PROOF_3_OF_8, ROOT[8]),
        (8, 8, LEAVES[3], PROOF_3_OF_8, ROOT[8]),
        (0, 0, LEAVES[0], [], ROOT[0]),
        (1, 1, LEAVES[0], [], ROOT[1]),
        (0, 1, LEAVES[0], [HASH], ROOT[1]),
        (0, 2**63, LEAVES[0], [HASH] * 64, ROOT[8]),
    ],
    ids=[
        "other root",
        "other leaf",
        "other index",
        "last hash gone",
        "first hash gone",
        "no proof",
        "a hash more",
        "reversed",
        "empty hash",
        "hash of 33 bytes",
        "leaf of 31 bytes",
        "no root",
        "larger tree",
        "negative index",
        "index outside",
        "empty tree",
        "index outside of one leaf",
        "hash in a tree of one leaf",
        "64 hashes",
    ],
)
def test_inclusion_refused(index, size, leaf, proof, root):
    with pytest.raises(InclusionError):
        merkle.check_inclusion(index, size, leaf, proof, root)


def test_an_inner_node_is_no_leaf():
    """The 00 and 01 before leaves and nodes: a node can't be passed off as an entry."""
    node = merkle.node_hash(LEAVES[2], LEAVES[3])
    assert merkle.leaf_hash(LEAVES[2] + LEAVES[3]) != node


PROOF_3_TO_7 = list(tree.prove_consistency(3, 7, read))


def test_consistency_by_hand():
    """RFC 6962 section 2.1.3: PROOF(3, D[7]) = [c, d, g, l]."""
    c, d = LEAVES[2], LEAVES[3]
    g, length = merkle.node_hash(*LEAVES[:2]), merkle.node_hash(merkle.node_hash(*LEAVES[4:6]), LEAVES[6])
    assert [c, d, g, length] == PROOF_3_TO_7
    merkle.check_consistency(3, ROOT[3], 7, ROOT[7], PROOF_3_TO_7)
    assert list(tree.prove_consistency(4, 7, read)) == [length], "PROOF(4, D[7]) = [l]"
    merkle.check_consistency(4, ROOT[4], 7, ROOT[7], [length])
    assert len(tree.prove_consistency(6, 7, read)) == 3, "PROOF(6, D[7]) = [i, j, k]"
    merkle.check_consistency(7, ROOT[7], 7, ROOT[7], [])


@pytest.mark.parametrize(
    ("size1", "root1", "size2", "root2", "proof"),
    [
        (3, ROOT[3], 7, ROOT[8], PROOF_3_TO_7),
        (3, ROOT[4], 7, ROOT[7], PROOF_3_TO_7),
        (3, ROOT[7], 7, ROOT[3], PROOF_3_TO_7),
        (3, ROOT[3], 9, ROOT[7], PROOF_3_TO_7),
        (2, ROOT[3], 7, ROOT[7], PROOF_3_TO_7),
        (3, ROOT[3], 7, ROOT[7], PROOF_3_TO_7[:-1]),
        (3, ROOT[3], 7, ROOT[7], PROOF_3_TO_7[1:]),
        (3, ROOT[3], 7, ROOT[7], []),
        (3, ROOT[3], 7, ROOT[7], [*PROOF_3_TO_7, HASH]),
        (3, ROOT[3], 7, ROOT[7], PROOF_3_TO_7[::-1]),
        (3, ROOT[3], 7, ROOT[7], [*PROOF_3_TO_7[:3], b""]),
        (4, ROOT[4], 8, ROOT[8], []),
        (4, ROOT[4], 8, ROOT[8], [ROOT[4], *tree.prove_consistency(4, 8, read)]),
        (7, ROOT[7], 3, ROOT[3], PROOF_3_TO_7),
        (0, ROOT[0], 7, ROOT[7], []),
        (0, ROOT[0], 0, ROOT[0], []),
        (-1, ROOT[0], 7, ROOT[7], []),
        (7, ROOT[7], 7, ROOT[7], [HASH]),
        (7, ROOT[7], 7, ROOT[6], []),
        (3, ROOT[3][:-1], 7, ROOT[7], PROOF_3_TO_7),
        (3, ROOT[3], 7, b"", PROOF_3_TO_7),
        (7, b"", 7, b"", []),
        (1, ROOT[1], 2**63, ROOT[7], [HASH] * 64),
    ],
    ids=[
        "other new root",
        "other old root",
        "roots swapped",
        "other new size",
        "other old size",
        "last hash gone",
        "first hash gone",
        "no proof",
        "a hash more",
        "reversed",
        "empty hash",
        "complete subtree without proof",
        "complete subtree repeated",
        "sizes swapped",
        "from size 0",
        "size 0 to itself",
        "negative size",
        "equal sizes with a proof",
        "equal sizes with other roots",
        "old root of 31 bytes",
        "no new root",
        "no roots",
        "64 hashes",
    ],
)
def test_consistency_refused(size1, root1, size2, root2, proof):
    with pytest.raises(ConsistencyError):
        merkle.check_consistency(size1, root1, size2, root2, proof)


def test_no_index_below_the_first_leaf():
    """In a tree of one leaf an index of -1 with an empty proof would lead to its root."""
    leaf = merkle.leaf_hash(b"x")
    with pytest.raises(InclusionError):
        merkle.check_inclusion(-1, 1, leaf, [], leaf)


def test_a_proof_has_up_to_63_hashes_of_32_bytes():
    leaf, sibling = merkle.leaf_hash(b"x"), bytes(32)
    root = leaf
    for _ in range(63):
        root = merkle.node_hash(root, sibling)
    merkle.check_inclusion(0, 2**63, leaf, [sibling] * 63, root)
    with pytest.raises(InclusionError):
        merkle.check_inclusion(0, 2**64, leaf, [sibling] * 64, merkle.node_hash(root, sibling))
    short = sibling[1:]
    with pytest.raises(InclusionError):
        merkle.check_inclusion(0, 2, leaf, [short], merkle.node_hash(leaf, short))
