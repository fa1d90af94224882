"""One contract, every store: commit by compare-and-swap, hashes, paging, lookups, checkpoints.

Spec: ports.Store; formats.md sections 6 (levels, tile borders) and 9 (store order). A store joins by one line in ``STORES``.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import apsw
import pytest

from apostille.core.merkle import leaf_hash
from apostille.core.tree import EMPTY, Growth, Head, append_leaves, head_at, root_at
from apostille.errors import ApostilleError, ConflictError, NotFoundError, VerificationError
from apostille.ports import Record, SealedOpening, SignedCheckpoint, Store
from apostille.storage.memory import MemoryStore
from apostille.storage.sqlite import SqliteStore


@dataclass(frozen=True)
class Kind:
    """How to make a store, how to come back to it, and how to lose a leaf behind its back.

    ``reopen`` is ``None`` where nothing outlives the process, ``lose`` where leaves are a plain list.
    """

    make: Callable[[Path], Store]
    reopen: Callable[[Path], Store] | None = None
    lose: Callable[[Path, int], None] | None = None


def lose_sqlite(folder: Path, index: int) -> None:
    with apsw.Connection(str(folder / "store.sqlite")) as db:
        db.execute("DELETE FROM leaf WHERE idx = ?", (index,))
    db.close()


STORES = {
    "memory": Kind(lambda _: MemoryStore()),
    "sqlite": Kind(
        lambda folder: SqliteStore.create(folder / "store.sqlite"),
        lambda folder: SqliteStore(folder / "store.sqlite"),
        lose_sqlite,
    ),
}
BORDERS = [1, 2, 3, 254, 255, 256, 257, 258, 511, 512, 513]


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1 word for word, with nothing remembered."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


@pytest.fixture(params=STORES)
def kind(request):
    return STORES[request.param]


@pytest.fixture
def store(kind, tmp_path):
    made = kind.make(tmp_path)
    yield made
    made.close()


def record(number: int, **more) -> Record:
    """A record of which every column differs from that of every other number."""
    entry = b"entry %d" % number
    plain = Record(
        entry=entry,
        leaf_hash=leaf_hash(entry),
        statement=b"statement %d" % number,
        nonce=number.to_bytes(16, "big"),
        unit=number.to_bytes(16, "big"),
        wrapped_key=number.to_bytes(40, "big"),
        openings=(SealedOpening("raw", b"raw %d" % number), SealedOpening("attributes", b"attributes %d" % number)),
    )
    return replace(plain, **more)


def append(store: Store, records: list[Record]) -> Head:
    head = store.head()
    growth = append_leaves(head, [r.leaf_hash for r in records])
    store.commit(head, records, growth)
    return growth.head


def fill(store: Store, count: int, *, step: int = 100, start: int = 0) -> list[Record]:
    records = [record(i) for i in range(start, start + count)]
    for at in range(0, count, step):
        append(store, records[at : at + step])
    return records


def test_an_empty_store(store):
    assert store.head() == EMPTY
    assert (store.count(), store.checkpoint(), list(store.checkpoints_from(0)), store.runs()) == (0, None, [], [])
    assert list(store.records()) == []
    assert store.run_indexes(bytes(16)) == []
    assert store.index_of_key(bytes(32)) is None
    assert store.index_of_receipt(bytes(16)) is None
    with pytest.raises(NotFoundError, match="leaf 0"):
        store.record(0)
    with pytest.raises(VerificationError, match="missing"):
        store.hashes(0, 0, 1)


def test_what_is_committed_is_what_is_read(store):
    full = record(0, run=b"r" * 16, certifies=b"c" * 32, nonce=b"i" * 16)
    bare = record(1, wrapped_key=None, openings=())
    many = record(2, openings=tuple(SealedOpening(f"part/choice/{i}/text", bytes((i,))) for i in range(40)))
    empty = record(3, openings=(SealedOpening("raw", b""),))
    records = [full, bare, many, empty]
    head = append(store, records)
    assert store.head() == head
    assert store.count() == 4
    assert [store.record(i) for i in range(4)] == records
    assert list(store.records()) == list(enumerate(records))
    assert list(store.records(2)) == [(2, many), (3, empty)]
    assert list(store.records(4)) == []


@pytest.mark.parametrize("index", [-1, 4, 2**62])
def test_no_leaf_outside(store, index):
    fill(store, 4)
    with pytest.raises(NotFoundError):
        store.record(index)


@pytest.mark.parametrize("size", BORDERS)
def test_head_and_hashes_at_tile_borders(store, size):
    records = fill(store, size)
    leaves = [r.leaf_hash for r in records]
    head = store.head()
    assert head.size == size
    assert head.root_hash == naive_root(leaves)
    assert root_at(size, store.hashes) == head.root_hash
    assert head_at(size, store.hashes) == head
    assert list(store.hashes(0, 0, size)) == leaves
    assert list(store.hashes(0, size - 1, 1)) == leaves[-1:]
    complete = [naive_root(leaves[i : i + 256]) for i in range(0, size - size % 256, 256)]
    assert list(store.hashes(1, 0, len(complete))) == complete
    for level, start, count in ((0, 0, size + 1), (0, size, 1), (1, len(complete), 1), (2, 0, 1)):
        with pytest.raises(VerificationError, match="missing"):
            store.hashes(level, start, count)


def test_entries(store):
    """Leaf bytes alone, for tiles; where some are not there, no fewer are returned."""
    records = fill(store, 300)
    assert list(store.entries(0, 300)) == [r.entry for r in records]
    assert list(store.entries(255, 2)) == [r.entry for r in records[255:257]]
    assert list(store.entries(7, 0)) == []
    for start, count in ((0, 301), (300, 1), (299, 2)):
        with pytest.raises(VerificationError, match="missing"):
            store.entries(start, count)


def test_one_by_one_over_the_border(store):
    fill(store, 250)
    for size in range(251, 262):
        head = append(store, [record(size - 1)])
        assert head.root_hash == naive_root([record(i).leaf_hash for i in range(size)])
        assert head_at(size, store.hashes) == store.head() == head


def test_a_missing_row_is_not_there(kind, tmp_path):
    """Paging goes on behind a leaf that is lost, also where the loss falls on a page's end; nothing is made up for it."""
    if kind.lose is None:
        pytest.skip("a list has no holes")
    store = kind.make(tmp_path)
    records = fill(store, 1100, step=1100)
    lost = {0, 3, 511, 512, 513, 1099}
    for index in lost:
        kind.lose(tmp_path, index)
    assert store.count() == 1100 - len(lost)
    assert store.head().size == 1100
    assert list(store.records()) == [(i, r) for i, r in enumerate(records) if i not in lost]
    assert next(store.records(511))[0] == 514
    assert list(store.records(1099)) == []
    for index in lost:
        with pytest.raises(NotFoundError):
            store.record(index)
    for start, count in ((0, 1), (0, 1100), (500, 20), (1099, 1)):
        with pytest.raises(VerificationError, match="missing"):
            store.hashes(0, start, count)
    assert list(store.hashes(0, 4, 500)) == [r.leaf_hash for r in records[4:504]]
    store.close()


def test_no_hashes_are_no_hashes(store):
    fill(store, 3)
    assert list(store.hashes(0, 0, 0)) == []
    assert list(store.hashes(1, 0, 0)) == []


@pytest.mark.parametrize("size", [254, 255, 256, 257, 258])
def test_one_batch_over_the_border(store, size):
    """A batch that begins before a tile border and ends after it leads to the tree that single appends lead to."""
    fill(store, size)
    append(store, [record(i) for i in range(size, size + 300)])
    leaves = [record(i).leaf_hash for i in range(size + 300)]
    assert store.head().root_hash == naive_root(leaves)
    assert [r.leaf_hash for _, r in store.records()] == leaves


def test_a_large_batch(store):
    records = [record(i) for i in range(4096)]
    append(store, records)
    assert store.count() == 4096
    assert store.record(4095) == records[4095]
    assert sum(1 for _ in store.records(1000)) == 3096
    assert len(store.hashes(1, 0, 16)) == 16


def wrong_heads(store):
    """Heads that are not the store's: behind, ahead, of another history."""
    right = store.head()
    other = append_leaves(EMPTY, [bytes((i,)) * 32 for i in range(right.size)]).head
    behind = append_leaves(EMPTY, [record(i).leaf_hash for i in range(right.size - 1)]).head
    ahead = append_leaves(right, [bytes(32)]).head
    return {"behind": behind, "ahead": ahead, "other history": other, "empty": EMPTY}


@pytest.mark.parametrize("which", ["behind", "ahead", "other history", "empty"])
def test_compare_and_swap(store, which):
    records = fill(store, 5)
    expected = wrong_heads(store)[which]
    before = store.head()
    more = [record(5), record(6)]
    with pytest.raises(ConflictError):
        store.commit(expected, more, append_leaves(expected, [r.leaf_hash for r in more]))
    assert store.head() == before
    assert list(store.records()) == list(enumerate(records)), "a commit that was refused has left something"
    append(store, more)
    assert store.count() == 7


def test_two_writers_one_wins(store):
    """Many threads build on one head; exactly one commit of each round is taken."""
    taken: list[int] = []
    lost: list[int] = []

    def write(number: int, head: Head, gate: threading.Barrier) -> None:
        mine = [record(number)]
        gate.wait()
        try:
            store.commit(head, mine, append_leaves(head, [mine[0].leaf_hash]))
            taken.append(number)
        except ConflictError:
            lost.append(number)

    for turn in range(5):
        gate = threading.Barrier(4)
        threads = [threading.Thread(target=write, args=(turn * 4 + i, store.head(), gate)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(taken), len(lost)) == (5, 15)
    assert [r.entry for _, r in store.records()] == [b"entry %d" % number for number in taken]
    assert root_at(5, store.hashes) == store.head().root_hash


def test_a_growth_that_is_refused_half_way_leaves_nothing(store, kind):
    """The store's own rules refuse a subtree that is there already: nothing of the batch may stay."""
    if kind.reopen is None:
        pytest.skip("a dictionary has no such rule")
    fill(store, 256)
    before = store.head()
    right = append_leaves(before, [record(256).leaf_hash])
    doubled = Growth(right.head, (*right.hashes, (1, 0, bytes(32))))
    with pytest.raises(ApostilleError):
        store.commit(before, [record(256)], doubled)
    assert store.head() == before
    assert store.count() == 256
    append(store, [record(256)])
    assert root_at(257, store.hashes) == store.head().root_hash


def test_lookups(store):
    runs = [b"a" * 16, b"b" * 16]
    append(
        store,
        [
            record(0, certifies=b"k" * 32),
            record(1, run=runs[1], nonce=b"1" * 16),
            record(2, run=runs[0], nonce=b"2" * 16),
            record(3, run=runs[1], nonce=b"3" * 16),
            record(4, certifies=b"k" * 32),
            record(5),
        ],
    )
    assert store.runs() == [runs[1], runs[0]], "in order of their first statement"
    assert store.run_indexes(runs[0]) == [2]
    assert store.run_indexes(runs[1]) == [1, 3]
    assert store.run_indexes(b"c" * 16) == []
    assert store.index_of_receipt(b"3" * 16) == 3
    assert store.index_of_receipt(b"4" * 16) is None
    many = [bytes([n]) * 16 for n in range(128, 198)]  # more than one question
    assert store.indexes_of_receipts([*many, b"2" * 16, b"3" * 16, b"4" * 16]) == {b"2" * 16: 2, b"3" * 16: 3}
    assert store.indexes_of_receipts([]) == {}
    assert store.index_of_key(b"k" * 32) == 0, "the first statement that certifies it"
    assert store.index_of_key(b"l" * 32) is None
    assert store.key_indexes() == [0, 4]


def test_checkpoints(store):
    fill(store, 10)
    signed = {size: SignedCheckpoint(size, root_at(size, store.hashes), b"note %d" % size) for size in (2, 5, 10)}
    for size in (2, 10, 5):
        store.add_checkpoint(signed[size])
    assert list(store.checkpoints_from(0)) == [signed[2], signed[5], signed[10]]
    assert store.checkpoint() == signed[10]


def test_never_two_roots_for_a_size(store):
    fill(store, 3)
    first = SignedCheckpoint(3, store.head().root_hash, b"first")
    store.add_checkpoint(first)
    store.add_checkpoint(first)
    store.add_checkpoint(replace(first, note=b"the same root, signed again"))
    assert list(store.checkpoints_from(0)) == [first], "the note that was kept first stays"
    with pytest.raises(ConflictError, match="another root"):
        store.add_checkpoint(replace(first, root_hash=bytes(32)))
    assert list(store.checkpoints_from(0)) == [first]
    append(store, [record(3)])
    assert store.count() == 4, "the store goes on after a refused checkpoint"


def test_closed_and_opened_again(kind, tmp_path):
    if kind.reopen is None:
        pytest.skip("this store forgets when the process ends")
    first = kind.make(tmp_path)
    records = fill(first, 300)
    signed = SignedCheckpoint(300, first.head().root_hash, b"note")
    first.add_checkpoint(signed)
    head = first.head()
    first.close()
    second = kind.reopen(tmp_path)
    try:
        assert second.head() == head
        assert list(second.records()) == list(enumerate(records))
        assert second.checkpoint() == signed
        append(second, [record(300)])
        assert second.head().size == 301
    finally:
        second.close()


def test_a_closed_store_is_unavailable(kind, tmp_path):
    if kind.reopen is None:
        pytest.skip("closing a dictionary does nothing")
    store = kind.make(tmp_path)
    store.close()
    store.close()
    for use in (store.head, store.count, store.checkpoint, store.runs, lambda: append_to_closed(store)):
        with pytest.raises(ApostilleError):
            use()


def append_to_closed(store):
    store.commit(EMPTY, [record(0)], append_leaves(EMPTY, [record(0).leaf_hash]))


def test_open_runs_are_those_whose_last_statement_is_no_close(store):
    """First and last index of each; a closed run is none, whatever else of it stands before the close."""
    closing = b'{"predicateType":"urn:apostille:run-close:v1"}'
    one, two = b"1" * 16, b"2" * 16
    records = [record(0), record(1, run=one), record(2, run=two), record(3, run=one, statement=closing), record(4, run=two)]
    append(store, records)
    assert store.open_runs() == [(two, 2, 4)]
    append(store, [record(5, statement=b'{"run":"%s"}' % two.hex().encode())])
    assert store.open_runs() == [], "a later leaf names the run, though no column says so"
