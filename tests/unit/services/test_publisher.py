"""Publication: only committed heads are signed, at most one root a size, at most once a second, and tiles are mended.

Spec: formats.md sections 6 (tiles) and 9 (PUBLISH); trust.md section 6; invariant I3.
"""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from service_kit import copy_store

from apostille.core import note, tiles
from apostille.core.checkpoint import Checkpoint, parse_checkpoint
from apostille.core.merkle import leaf_hash
from apostille.core.policy import open_checkpoint, parse_policy
from apostille.core.tree import append_leaves, root_at
from apostille.errors import (
    ApostilleError,
    ConflictError,
    OutcomeUnknownError,
    RollbackError,
    StorageUnavailableError,
    UnavailableError,
)
from apostille.ports import Record
from apostille.services.publisher import Publisher
from apostille.storage.memory import MemoryStore
from tests.simulators.world import MemoryHeads, MemorySink, World


class SpySigner:
    """The real signer, which keeps what it was asked to sign."""

    def __init__(self, signer) -> None:
        self._signer = signer
        self.origin, self.vkeys = signer.origin, signer.vkeys
        self.signed: list[tuple[int, bytes]] = []

    def sign(self, head):
        self.signed.append((head.size, head.root_hash))
        return self._signer.sign(head)


class Bench:
    """A publisher on its own, over a store that the test fills."""

    def __init__(self, size: int = 3, *, interval: float = 3600.0, sink: MemorySink | None = None) -> None:
        self.world = World()
        self.store = MemoryStore()
        self.heads = MemoryHeads()
        self.sink = sink or MemorySink()
        self.signer = SpySigner(self.world.signer)
        self.head = self.store.head()
        self.interval = interval
        self.grow(size)
        self.publisher = self.make()

    def make(self) -> Publisher:
        return Publisher(
            self.store, self.signer, self.heads, self.sink, self.world.clock, lambda: self.head, interval_seconds=self.interval
        )

    def grow(self, count: int) -> None:
        start = self.store.count()
        entries = [b"entry %d" % i for i in range(start, start + count)]
        records = [Record(e, leaf_hash(e), b"", bytes(32), bytes(16), None, ()) for e in entries]
        growth = append_leaves(self.store.head(), [r.leaf_hash for r in records])
        self.store.commit(self.store.head(), records, growth)
        self.head = growth.head

    def checked(self) -> None:
        """No size was signed with two roots, sizes never fall, and what was signed is what the store holds."""
        sizes = [size for size, _ in self.signer.signed]
        assert sizes == sorted(sizes)
        roots: dict[int, bytes] = {}
        for size, root in self.signer.signed:
            assert roots.setdefault(size, root) == root
        for kept in self.store.checkpoints_from(0):
            assert roots.get(kept.size, kept.root_hash) == kept.root_hash
            assert kept.root_hash == root_at(kept.size, self.store.hashes)

    def tiles_are_complete(self) -> None:
        """Everything published can be derived again, and the checkpoint beside it covers just that."""
        shown = parse_checkpoint(note.parse_note(self.sink.files["checkpoint"]).text)
        leaves: list[bytes] = []
        for tile in tiles.tiles_of(0, shown.size):
            data = self.sink.files[tiles.format_tile_path(tile)]
            if tile.level is None:
                entries = tiles.parse_entry_bundle(data, tile.width)
                leaves += [leaf_hash(entry) for entry in entries]
            else:
                start = tile.number * 256
                assert tiles.parse_hash_tile(data, tile.width) == list(self.store.hashes(tile.level, start, tile.width))
        assert len(leaves) == shown.size
        grown = append_leaves(MemoryStore().head(), leaves).head
        assert grown.root_hash == shown.root_hash
        assert shown.size == self.sink.size


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 600])
def test_what_is_published(size):
    bench = Bench(size)
    signed = bench.publisher.publish_now()
    assert (signed.size, signed.root_hash) == (size, bench.head.root_hash)
    assert list(bench.store.checkpoints_from(0)) == [signed]
    assert bench.heads.heads == {bench.signer.origin: Checkpoint(bench.signer.origin, size, signed.root_hash)}
    first, second = (note.format_vkey(key) for key in bench.signer.vkeys)
    strict = parse_policy(f"log {first}\nwitness pq {second}\nquorum pq\n".encode())
    opened = open_checkpoint(signed.note, strict)
    assert opened.checkpoint == bench.heads.heads[bench.signer.origin]
    assert opened.is_quorum_met, "both lines are there and verify"
    assert not opened.is_witnessed, "the log is no witness of its own"
    assert bench.sink.files["checkpoint"] == signed.note
    bench.tiles_are_complete()


def test_nothing_to_publish():
    bench = Bench(0)
    assert bench.publisher.publish_now() is None
    assert bench.signer.signed == []
    assert bench.sink.files == {}


def test_the_same_head_is_signed_once():
    bench = Bench()
    first = bench.publisher.publish_now()
    assert bench.publisher.publish_now() is first
    assert len(bench.signer.signed) == 1


def test_only_committed_heads_are_signed():
    """Leaves whose commit has an unknown outcome lie in the store; the keeper does not hold them for committed."""
    bench = Bench(5)
    known = bench.head
    bench.grow(4)
    bench.head = known
    assert bench.publisher.publish_now().size == 5
    assert bench.signer.signed == [(5, known.root_hash)]
    assert bench.sink.size == 5


def test_growing_step_by_step_over_the_border():
    bench = Bench(253)
    for _ in range(6):
        bench.publisher.publish_now()
        bench.grow(1)
    bench.publisher.publish_now()
    assert [c.size for c in bench.store.checkpoints_from(0)] == [253, 254, 255, 256, 257, 258, 259]
    bench.checked()
    bench.tiles_are_complete()
    assert "tile/0/000" in bench.sink.files
    assert "tile/1/000.p/1" in bench.sink.files


def test_nothing_is_signed_on_a_tree_that_was_changed():
    bench = Bench()
    bench.publisher.publish_now()
    other = Bench(10)
    other.store._records[0] = other.store._records[1]
    bench.store._records[0] = bench.store._records[1]
    bench.grow(1)
    with pytest.raises(RollbackError, match="size 3 is not the one that was signed"):
        bench.publisher.publish_now()
    assert len(bench.signer.signed) == 1
    assert bench.sink.size == 3


def test_a_store_that_knows_another_root_for_the_size():
    """The last guard: even a publisher that knows nothing of it never gets a second root kept, remembered or shown."""
    bench = Bench(4)
    other = World("other-").signer
    forged = other.sign(append_leaves(MemoryStore().head(), [bytes(32)] * 4).head)
    bench.store.add_checkpoint(forged)
    bench.publisher = bench.make()
    bench.publisher._published = None
    with pytest.raises(ConflictError):
        bench.publisher.publish_now()
    assert bench.heads.heads == {}
    assert bench.sink.files == {}


class FailingSink(MemorySink):
    """Fails at chosen writes: ``fail_at`` counts tiles, ``fail_checkpoint`` the file ``checkpoint``."""

    def __init__(self, fail_at: int | None = None, *, fail_checkpoint: bool = False, error: Exception | None = None) -> None:
        super().__init__()
        self.fail_at = fail_at
        self.fail_checkpoint = fail_checkpoint
        self.error = error or StorageUnavailableError("the disk of the tiles is full")
        self.writes = 0

    def write(self, path, data):
        if self.fail_at == self.writes:
            raise self.error
        self.writes += 1
        super().write(path, data)

    def write_checkpoint(self, note_bytes, size):
        if self.fail_checkpoint:
            raise self.error
        super().write_checkpoint(note_bytes, size)


@pytest.mark.parametrize("fault", [{"fail_at": 0}, {"fail_at": 1}, {"fail_at": 3}, {"fail_checkpoint": True}])
def test_a_tile_that_can_not_be_written(fault):
    """The checkpoint is signed, kept and remembered already; the tiles follow at the next publication, none missing."""
    bench = Bench(300, sink=FailingSink(**fault))
    with pytest.raises(StorageUnavailableError, match="tiles is full"):
        bench.publisher.publish_now()
    assert bench.publisher.newest.size == 300
    assert bench.store.checkpoint().size == 300
    assert bench.heads.heads[bench.signer.origin].size == 300
    assert "checkpoint" not in bench.sink.files, "a reader would find tiles missing"
    with pytest.raises(StorageUnavailableError):
        bench.publisher.publish_now()
    bench.sink.fail_at, bench.sink.fail_checkpoint = None, False
    bench.publisher.publish_now()
    bench.tiles_are_complete()
    bench.grow(300)
    bench.publisher.publish_now()
    bench.tiles_are_complete()
    assert [size for size, _ in bench.signer.signed] == [300, 600]
    bench.checked()


def test_tiles_that_were_never_written_are_caught_up_from_any_size():
    """A sink that is behind by several publications (or new) gets all that it lacks."""
    bench = Bench(100)
    bench.publisher.publish_now()
    bench.sink = MemorySink()
    bench.grow(700)
    bench.publisher = bench.make()
    bench.publisher.publish_now()
    bench.tiles_are_complete()


class FailingHeads(MemoryHeads):
    def __init__(self) -> None:
        super().__init__()
        self.fails = True

    def remember(self, checkpoint):
        if self.fails:
            raise StorageUnavailableError("the disk of head memory is full")
        super().remember(checkpoint)


def test_a_head_that_can_not_be_remembered_is_not_shown():
    bench = Bench()
    bench.heads = FailingHeads()
    bench.publisher = bench.make()
    for _ in range(3):
        with pytest.raises(StorageUnavailableError, match="head memory"):
            bench.publisher.publish_now()
    assert bench.publisher.newest is None
    assert bench.sink.files == {}
    assert len(list(bench.store.checkpoints_from(0))) == 1
    bench.heads.fails = False
    bench.publisher.publish_now()
    bench.checked()
    bench.tiles_are_complete()


@pytest.mark.parametrize("persists", [False, True])
def test_a_checkpoint_that_can_not_be_kept(persists):
    bench = Bench()
    keep, fails = bench.store.add_checkpoint, [True]

    def failing(signed):
        if not fails[0] or persists:
            keep(signed)
        if fails[0]:
            raise OutcomeUnknownError("sync failed")

    bench.store.add_checkpoint = failing
    with pytest.raises(OutcomeUnknownError):
        bench.publisher.publish_now()
    assert bench.publisher.newest is None
    assert bench.heads.heads == {}
    assert bench.sink.files == {}
    bench.grow(2)
    fails[0] = False
    assert bench.publisher.publish_now().size == 5
    bench.checked()
    bench.tiles_are_complete()


def test_head_memory_catches_up_at_the_next_publication():
    """Killed between keeping a checkpoint and remembering it: the next publication remembers a newer one."""
    bench = Bench()
    bench.publisher.publish_now()
    bench.heads.heads.clear()
    bench.grow(1)
    bench.publisher = bench.make()
    assert bench.publisher.newest.size == 3
    bench.publisher.publish_now()
    assert bench.heads.heads[bench.signer.origin].size == 4


# --- on its thread


def test_one_publication_a_pace():
    """Many commits in a short time: the first is published at once, the rest wait their turn together."""
    bench = Bench(1, interval=0.25)
    times: list[float] = []
    keep = bench.store.add_checkpoint
    bench.store.add_checkpoint = lambda signed: (times.append(time.monotonic()), keep(signed))
    bench.publisher.start()
    began = time.monotonic()
    # Until three have come, however busy the machine is; that they come at all is bounded, their distance is what is asserted.
    while len(times) < 3 and time.monotonic() - began < 30:
        bench.grow(1)
        bench.publisher.notice(bench.head)
        time.sleep(0.002)
    bench.publisher.close()
    paced = times[:3]  # what comes after is close's own
    assert times[0] - began < 0.2, "the first publication waited"
    assert len(paced) >= 3
    assert all(later - earlier > 0.24 for earlier, later in itertools.pairwise(paced))
    assert bench.store.checkpoint().size == bench.head.size
    bench.checked()


def test_waiting_asks_for_it_now():
    bench = Bench(2)
    bench.publisher.start()
    began = time.monotonic()
    assert bench.publisher.wait(2, 5).size == 2
    bench.grow(3)
    assert bench.publisher.wait(5, 5).size == 5
    assert time.monotonic() - began < 3, "waited for the pace of an hour"
    bench.publisher.close()


def test_waiting_says_why_nothing_comes():
    bench = Bench(2)
    bench.heads = FailingHeads()
    bench.publisher = bench.make()
    bench.publisher.start()
    with pytest.raises(OutcomeUnknownError, match=r"not published after 0\.2 s: the disk of head memory is full"):
        bench.publisher.wait(2, 0.2)
    assert isinstance(bench.publisher.failure, StorageUnavailableError)
    bench.heads.fails = False
    bench.publisher.close()
    assert bench.publisher.failure is None
    assert bench.store.checkpoint().size == 2


def test_a_bug_does_not_end_publication_unseen():
    """An exception that nobody expected shows as the failure, and the thread goes on."""
    bench = Bench(2, sink=FailingSink(fail_at=0, error=ZeroDivisionError("a bug")), interval=0.01)
    bench.publisher.start()
    bench.publisher.notice(bench.head)
    until = time.monotonic() + 5
    while bench.publisher.failure is None and time.monotonic() < until:
        time.sleep(0.005)
    assert isinstance(bench.publisher.failure, UnavailableError)
    assert "a bug" in str(bench.publisher.failure)
    bench.sink.fail_at = None
    bench.grow(1)
    bench.publisher.notice(bench.head)
    assert bench.publisher.wait(3, 5).size == 3
    bench.publisher.close()
    bench.tiles_are_complete()


def test_lag_counts_from_the_oldest_unpublished():
    bench = Bench(1)
    assert bench.publisher.lag_seconds() == 0
    bench.publisher.notice(bench.head)
    bench.world.clock.now += 5_000
    bench.grow(1)
    bench.publisher.notice(bench.head)
    bench.world.clock.now += 5_000
    assert bench.publisher.lag_seconds() == 10
    bench.publisher.publish_now()
    assert bench.publisher.lag_seconds() == 0


def test_lag_under_steady_load(monkeypatch):
    """What is committed while a head is signed has waited since then, not since the publisher was last idle."""
    bench = Bench(1)
    sign = bench.world.signer.__class__.sign

    def sign_while_more_comes(signer, head):
        bench.world.clock.now += 900
        bench.grow(1)
        bench.publisher.notice(bench.head)
        return sign(signer, head)

    monkeypatch.setattr(bench.world.signer.__class__, "sign", sign_while_more_comes)
    bench.publisher.notice(bench.head)
    for _ in range(100):
        bench.publisher.publish_now()
        assert 0 < bench.publisher.lag_seconds() < 2


def test_close_says_what_kept_it_from_publishing():
    """The disk is full at the end: that is an error of the call, not silence."""
    bench = Bench(2, sink=FailingSink(fail_at=0), interval=0.01)
    bench.publisher.start()
    with pytest.raises(StorageUnavailableError, match="tiles is full"):
        bench.publisher.close()
    assert not bench.publisher._thread.is_alive()


def test_publishing_from_many_threads():
    bench = Bench(1)
    stop = threading.Event()
    errors: list[ApostilleError] = []

    def publish() -> None:
        while not stop.is_set():
            try:
                bench.publisher.publish_now()
            except ApostilleError as error:
                errors.append(error)

    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        bench.grow(3)
    stop.set()
    for thread in threads:
        thread.join()
    bench.publisher.publish_now()
    assert errors == []
    bench.checked()
    bench.tiles_are_complete()


@pytest.mark.parametrize("more", [1, 2, 3])
def test_a_copy_that_was_signed_elsewhere_is_noticed(more):
    """Two keepers over copies of one store: head memory keeps the second from signing another root for a size, or on top."""
    bench = Bench(3)
    bench.publisher.publish_now()
    mine = copy_store(bench.store)
    bench.grow(2)
    bench.publisher.publish_now()
    entries = [b"something else %d" % i for i in range(more)]
    growth = append_leaves(mine.head(), [leaf_hash(entry) for entry in entries])
    mine.commit(mine.head(), [Record(e, leaf_hash(e), b"", bytes(32), bytes(16), None, ()) for e in entries], growth)
    bench.store, bench.head = mine, growth.head
    bench.publisher = bench.make()
    with pytest.raises(RollbackError, match="size 5 is not the one that was remembered"):
        bench.publisher.publish_now()
    assert [size for size, _ in bench.signer.signed] == [3, 5], "a second history was signed"
    assert [c.size for c in mine.checkpoints_from(0)] == [3]
    assert bench.sink.size == 5
