"""Growing the tree and proving from it; ``core.merkle`` checks what is proven here.

Hashes are kept as tiles keep them: level 0 holds the leaf hashes, level L the roots of complete subtrees of 256**L leaves. All
other nodes are recomputed from at most 256 neighbours. The *right edge* is the list of roots of the complete subtrees that a
tree consists of, largest first: popcount(size) hashes, enough to append without reading anything.

Spec: RFC 6962 section 2.1; c2sp.org/tlog-tiles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from apostille.core.digest import SIZE
from apostille.core.merkle import EMPTY_ROOT, node_hash

TILE_HEIGHT = 8
TILE_WIDTH = 256

# (level, start, count) -> that many hashes of that level; the reader raises if it does not have them.
HashReader = Callable[[int, int, int], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Head:
    """A committed, unsigned tree head.

    Attributes:
        size: Number of leaves.
        edge: Roots of the complete subtrees, largest first; popcount(size) hashes of 32 bytes.
    """

    size: int
    edge: tuple[bytes, ...]

    @property
    def root_hash(self) -> bytes:
        """The root of the tree."""
        if not self.edge:
            return EMPTY_ROOT
        root = self.edge[-1]
        for left in reversed(self.edge[:-1]):
            root = node_hash(left, root)
        return root


EMPTY = Head(0, ())


@dataclass(frozen=True, slots=True)
class Growth:
    """What appending leaves does to a tree.

    Attributes:
        head: The new head.
        hashes: ``(level, index, hash)`` of each subtree of 256**level leaves (level >= 1) that became complete.
    """

    head: Head
    hashes: tuple[tuple[int, int, bytes], ...]


def append_leaves(head: Head, leaves: Sequence[bytes]) -> Growth:
    """Append leaf hashes. The cost does not depend on the size of the tree."""
    edge = list(head.edge)
    size, at = head.size, 0
    complete: list[tuple[int, int, bytes]] = []
    while at < len(leaves):
        node, height, rest = leaves[at], 0, size
        if size % TILE_WIDTH == 0 and len(leaves) - at >= TILE_WIDTH:  # a whole tile: row by row, a third of the time
            node, height, rest = _fold(leaves[at : at + TILE_WIDTH]), TILE_HEIGHT, size // TILE_WIDTH
            complete.append((1, rest, node))
        at, size = at + (1 << height), size + (1 << height)
        while rest & 1:
            node = node_hash(edge.pop(), node)
            rest >>= 1
            height += 1
            if height % TILE_HEIGHT == 0:
                complete.append((height // TILE_HEIGHT, rest, node))
        edge.append(node)
    return Growth(Head(size, tuple(edge)), tuple(complete))


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """Return ``core.merkle.leaf_hash`` of each entry; for whole logs, so without a call for each."""
    return [hashlib.sha256(b"\x00" + entry).digest() for entry in entries]


def _fold(row: Sequence[bytes]) -> bytes:
    """Return the root of a complete subtree from its row of hashes, a power of two of them."""
    while len(row) > 1:
        pairs = iter(row)
        row = [hashlib.sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return row[0]


def _subtree(height: int, index: int, read: HashReader) -> bytes:
    """Return the root of the complete subtree of 2**height leaves at place ``index`` among its like."""
    level, rest = divmod(height, TILE_HEIGHT)
    return _fold(read(level, index << rest, 1 << rest))


def _range_root(start: int, end: int, read: HashReader) -> bytes:
    """Return the root of leaves ``start`` to ``end`` (exclusive), where ``start`` is aligned as the recursion makes it."""
    parts: list[bytes] = []
    while start < end:
        height = (end - start).bit_length() - 1
        parts.append(_subtree(height, start >> height, read))
        start += 1 << height
    root = parts[-1]
    for left in reversed(parts[:-1]):
        root = node_hash(left, root)
    return root


def root_at(size: int, read: HashReader) -> bytes:
    """Return the root that the tree had at ``size``."""
    return _range_root(0, size, read) if size else EMPTY_ROOT


def head_at(size: int, read: HashReader) -> Head:
    """Return the head that the tree had at ``size``, computed from stored hashes."""
    edge: list[bytes] = []
    start = 0
    for height in range(size.bit_length() - 1, -1, -1):
        if size >> height & 1:
            edge.append(_subtree(height, start >> height, read))
            start += 1 << height
    return Head(size, tuple(edge))


def prove_inclusion(index: int, size: int, read: HashReader) -> tuple[bytes, ...]:
    """Return the inclusion proof of ``index`` in the tree of ``size`` leaves: sibling first, the root's child last."""
    if not 0 <= index < size:
        raise ValueError("index outside the tree")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + (1 << (end - start - 1).bit_length() - 1)
        if index < middle:
            path.append(_range_root(middle, end, read))
            end = middle
        else:
            path.append(_range_root(start, middle, read))
            start = middle
    return tuple(reversed(path))


def prove_consistency(size1: int, size2: int, read: HashReader) -> tuple[bytes, ...]:
    """Return the consistency proof from ``size1`` to ``size2`` leaves.

    Spec: RFC 6962 section 2.1.2, PROOF(m, D[n]) and SUBPROOF, unrolled.
    """
    if not 0 < size1 <= size2:
        raise ValueError("no consistency proof between these sizes")
    path: list[bytes] = []
    start, end, whole = 0, size2, True
    while size1 != end:
        middle = start + (1 << (end - start - 1).bit_length() - 1)
        if size1 <= middle:
            path.append(_range_root(middle, end, read))
            end = middle
        else:
            path.append(_range_root(start, middle, read))
            start, whole = middle, False
    if not whole:
        path.append(_range_root(start, end, read))
    return tuple(reversed(path))


def pack_edge(edge: Sequence[bytes]) -> bytes:
    """Write a right edge as bytes, 32 a hash."""
    return b"".join(edge)


def unpack_edge(data: bytes) -> tuple[bytes, ...]:
    """Read what ``pack_edge`` wrote."""
    return tuple(data[i : i + SIZE] for i in range(0, len(data), SIZE))
