"""Checking Merkle proofs. Proving, and growing the tree, is ``core.tree``.

    leaf = SHA-256(0x00 || entry)    node = SHA-256(0x01 || left || right)    root of the empty tree = SHA-256("")

A tree of n > 1 leaves splits at the largest power of two below n.

Spec: RFC 6962 section 2.1; RFC 9162 sections 2.1.3.2 and 2.1.4.2 (the algorithms).
"""

from __future__ import annotations

from collections.abc import Sequence

from apostille.core.digest import SIZE, sha256
from apostille.errors import ConsistencyError, InclusionError

EMPTY_ROOT = sha256(b"")
MAX_PROOF_HASHES = 63


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(0x00 || entry)."""
    return sha256(b"\x00" + entry)


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right)


def _sound(proof: Sequence[bytes]) -> bool:
    return len(proof) <= MAX_PROOF_HASHES and all(len(h) == SIZE for h in proof)


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """Return the root that a leaf and its inclusion proof lead to.

    Args:
        index: Place of the leaf, from 0.
        size: Number of leaves.
        leaf: The leaf's hash, 32 bytes.
        proof: The leaf's sibling first, the root's child last.

    Raises:
        InclusionError: The proof has not the shape that ``index`` and ``size`` demand.
    """
    if not 0 <= index < size or not _sound(proof) or len(leaf) != SIZE:
        raise InclusionError(f"an inclusion proof of index {index} in size {size} can't have this form")
    at, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise InclusionError("the inclusion proof is too long")
        if at & 1 or at == last:
            found = node_hash(sibling, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise InclusionError("the inclusion proof is too short")
    return found


def check_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Check that ``leaf`` is at ``index`` in the tree of ``size`` leaves with ``root``.

    Raises:
        InclusionError: It is not.
    """
    if root_from_inclusion(index, size, leaf, proof) != root:
        raise InclusionError(f"the entry is not at index {index} of the tree of size {size} with this root")


def check_consistency(size1: int, root1: bytes, size2: int, root2: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of ``size2`` leaves begins with the tree of ``size1`` leaves. Size 0 is refused.

    Raises:
        ConsistencyError: It does not, or the proof has the wrong shape.
    """
    if not 0 < size1 <= size2 or not _sound(proof) or len(root1) != SIZE or len(root2) != SIZE:
        raise ConsistencyError(f"a consistency proof from size {size1} to {size2} can't have this form")
    if size1 == size2:
        if proof or root1 != root2:
            raise ConsistencyError(f"two different roots for size {size1}")
        return
    path = list(proof)
    if size1 & (size1 - 1) == 0:  # a complete subtree: its root is not repeated in the proof
        path.insert(0, root1)
    if not path:
        raise ConsistencyError("the consistency proof is empty")
    at, last = size1 - 1, size2 - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ConsistencyError("the consistency proof is too long")
        if at & 1 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        at, last = at >> 1, last >> 1
    if last or old != root1 or new != root2:
        raise ConsistencyError(f"the tree of size {size2} does not begin with the tree of size {size1}")
