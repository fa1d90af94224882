"""The sequencer: group commit without a timer, and nothing released that is not durable.

Spec: architecture.md, "The way of one output" and invariant I1; formats.md section 9; decision 0004 (a failed commit stops the log).
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref

import pytest

from apostille.core.entry import parse_entry
from apostille.errors import ApostilleError, BackPressureError, ConflictError, OutcomeUnknownError, StorageUnavailableError
from apostille.ports import PendingEntry, Record, UnsignedEntry
from apostille.services import sequencer as module
from apostille.services.sequencer import Sequencer
from apostille.storage.memory import MemoryStore


class GatedStore(MemoryStore):
    """A store whose commits wait for permission, fail when told to, and are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.batches: list[int] = []
        self.error: Exception | None = None
        self.persists = False

    def commit(self, expected, records, growth) -> None:
        self.entered.release()
        assert self.gate.wait(10)
        error, self.error = self.error, None
        if error is None or self.persists:
            super().commit(expected, records, growth)
            self.batches.append(len(records))
        if error is not None:
            raise error

    def stall(self) -> None:
        self.gate.clear()

    def wait_entered(self) -> None:
        assert self.entered.acquire(timeout=10)


def seal(entry: PendingEntry, leaf: bytes, leaf_hash: bytes) -> Record:
    return Record(leaf, leaf_hash, entry.statement, entry.nonce, entry.unit, None, ())


def entry(number: int) -> PendingEntry:
    return PendingEntry(b"%d" % number, number.to_bytes(32, "big"), b"signature", b"spki", (), bytes(16), bytes(16))


@pytest.fixture
def store():
    return GatedStore()


@pytest.fixture
def heads():
    return []


@pytest.fixture
def sequencer(store, heads):
    made = Sequencer(store, seal, heads.append)
    yield made
    store.gate.set()
    made.close()


def stalled(store, sequencer):
    """Submit one entry and return its ticket once the store is busy with it."""
    store.stall()
    ticket = sequencer.submit(entry(0))
    store.wait_entered()
    return ticket


def test_many_threads(store, sequencer, heads):
    """Each thread's entries keep their order, each ticket gets the index of its own entry, and syncs are shared."""
    store.stall()
    found: dict[int, list[tuple[int, int]]] = {}

    def work(thread: int) -> None:
        tickets = [(thread * 100 + i, sequencer.submit(entry(thread * 100 + i))) for i in range(100)]
        found[thread] = [(number, ticket.wait(10)) for number, ticket in tickets]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    store.wait_entered()
    store.gate.set()
    for thread in threads:
        thread.join()
    pairs = [pair for mine in found.values() for pair in mine]
    assert sorted(index for _, index in pairs) == list(range(1600))
    for mine in found.values():
        assert [index for _, index in mine] == sorted(index for _, index in mine)
    for number, index in pairs:
        assert store.record(index).statement == b"%d" % number
    assert sum(store.batches) == 1600
    assert len(store.batches) < 1600, "every entry had a sync of its own"
    assert max(store.batches) > 1
    assert heads[-1] == store.head() == sequencer.head
    assert sequencer.waiting == 0


def test_an_idle_log_adds_no_delay(store, sequencer):
    began = time.monotonic()
    for number in range(20):
        assert sequencer.submit(entry(number)).wait(5) == number
    assert store.batches == [1] * 20
    assert time.monotonic() - began < 2, "something waits for a timer"


def test_while_one_batch_is_committed_the_next_fills(store, sequencer):
    first = stalled(store, sequencer)
    rest = [sequencer.submit(entry(number)) for number in range(1, 11)]
    assert sequencer.waiting == 11
    store.gate.set()
    assert [ticket.wait(5) for ticket in (first, *rest)] == list(range(11))
    assert store.batches == [1, 10]


def test_a_batch_has_a_limit(store, sequencer, monkeypatch):
    monkeypatch.setattr(module, "MAX_BATCH", 8)
    first = stalled(store, sequencer)
    rest = [sequencer.submit(entry(number)) for number in range(1, 31)]
    store.gate.set()
    assert [ticket.wait(5) for ticket in (first, *rest)] == list(range(31))
    assert store.batches == [1, 8, 8, 8, 6]


def test_back_pressure(store):
    sequencer = Sequencer(store, seal, lambda _: None, max_waiting=5)
    first = stalled(store, sequencer)
    rest = [sequencer.submit(entry(number)) for number in range(1, 5)]
    with pytest.raises(BackPressureError, match="5 statements") as caught:
        sequencer.submit(entry(5))
    assert caught.value.retry_after_seconds == 1
    store.gate.set()
    assert [ticket.wait(5) for ticket in (first, *rest)] == [0, 1, 2, 3, 4]
    assert sequencer.submit(entry(5)).wait(5) == 5, "once there is room it goes on"
    sequencer.close()
    assert [r.statement for _, r in store.records()] == [b"%d" % n for n in range(6)], "the refused entry is nowhere"


FAILURES = [
    (StorageUnavailableError("disk full"), False, StorageUnavailableError),
    (ConflictError("another writer"), False, ConflictError),
    (OutcomeUnknownError("sync failed"), False, OutcomeUnknownError),
    (OutcomeUnknownError("sync failed"), True, OutcomeUnknownError),
    (RuntimeError("a bug"), False, OutcomeUnknownError),
]


@pytest.mark.parametrize(("error", "persists", "expected"), FAILURES, ids=lambda v: str(getattr(v, "__name__", v)))
def test_a_failure_stops_everything_behind_it(store, heads, error, persists, expected):
    sequencer = Sequencer(store, seal, heads.append)
    assert sequencer.submit(entry(0)).wait(5) == 0
    store.wait_entered()
    store.stall()
    failing = sequencer.submit(entry(1))
    store.wait_entered()
    behind = [sequencer.submit(entry(number)) for number in range(2, 6)]
    store.error, store.persists = error, persists
    store.gate.set()
    for ticket in (failing, *behind):
        with pytest.raises(expected):
            ticket.wait(5)
    with pytest.raises(StorageUnavailableError, match="the log has stopped"):
        sequencer.submit(entry(6))
    with pytest.raises(StorageUnavailableError, match="the log has stopped"):
        sequencer.check()
    sequencer.close()
    assert store.count() == 1 + persists, "something behind the failure was committed"
    assert sequencer.head.size == 1, "only what is known to be durable may be signed"
    assert [head.size for head in heads] == [1]
    assert sequencer.waiting == 0


def test_a_bug_is_named_as_the_cause(store):
    sequencer = Sequencer(store, seal, lambda _: None)
    store.error = ZeroDivisionError("in the store")
    with pytest.raises(OutcomeUnknownError, match="internal fault") as caught:
        sequencer.submit(entry(0)).wait(5)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    sequencer.close()


def test_what_can_not_be_sealed_is_not_committed(store):
    def broken(_entry, _leaf, _hash):
        raise StorageUnavailableError("a unit key can't be written")

    sequencer = Sequencer(store, broken, lambda _: None)
    with pytest.raises(StorageUnavailableError, match="unit key"):
        sequencer.submit(entry(0)).wait(5)
    sequencer.close()
    assert store.count() == 0


def test_awaiting_from_several_loops(store, sequencer):
    first = stalled(store, sequencer)
    results: dict[int, list[int]] = {}
    asking = threading.Barrier(4)

    def run_loop(number: int) -> None:
        async def wait_for_all() -> list[int]:
            tickets = [sequencer.submit(entry(1 + number * 10 + i)) for i in range(10)]

            async def one(ticket):
                return await ticket

            tasks = [asyncio.ensure_future(one(ticket)) for ticket in tickets]
            await asyncio.sleep(0)
            asking.wait(5)
            return await asyncio.gather(*tasks)

        results[number] = asyncio.run(wait_for_all())

    threads = [threading.Thread(target=run_loop, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    asking.wait(5)
    store.gate.set()
    for thread in threads:
        thread.join()
    assert first.wait(5) == 0
    assert sorted(index for mine in results.values() for index in mine) == list(range(1, 31))
    for mine in results.values():
        assert mine == sorted(mine)
    assert store.batches == [1, 30]


def test_awaiting_what_is_done_or_failed(store, sequencer):
    done = sequencer.submit(entry(0))
    done.wait(5)

    async def wait_for(ticket):
        return await ticket

    assert asyncio.run(wait_for(done)) == 0
    store.error = StorageUnavailableError("disk full")
    with pytest.raises(StorageUnavailableError):
        asyncio.run(wait_for(sequencer.submit(entry(1))))


def test_who_gives_up_harms_nobody(store, sequencer):
    """One waiter is cancelled, another's loop is closed before the commit: the log goes on, and the third gets its index."""
    first = stalled(store, sequencer)

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.ensure_future(as_coroutine(first)), 0.01)

    async def as_coroutine(ticket):
        return await ticket

    async def abandon() -> None:
        task = asyncio.ensure_future(as_coroutine(sequencer.submit(entry(1))))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(give_up())
    asyncio.run(abandon())
    third = sequencer.submit(entry(2))
    store.gate.set()
    assert first.wait(5) == 0
    assert third.wait(5) == 2
    assert store.count() == 3, "an entry whose waiter went away is committed all the same"


def test_waiting_with_a_timeout(store, sequencer):
    ticket = stalled(store, sequencer)
    with pytest.raises(OutcomeUnknownError, match="it still may be"):
        ticket.wait(0.01)
    store.gate.set()
    assert ticket.wait(5) == 0, "the answer comes when it is there"


def test_close_commits_what_waits(store):
    sequencer = Sequencer(store, seal, lambda _: None)
    first = stalled(store, sequencer)
    rest = [sequencer.submit(entry(number)) for number in range(1, 50)]
    closing = threading.Thread(target=sequencer.close)
    closing.start()
    time.sleep(0.02)
    with pytest.raises(StorageUnavailableError, match="closed"):
        sequencer.submit(entry(50))
    assert closing.is_alive(), "close did not wait for the store"
    store.gate.set()
    closing.join(5)
    assert [ticket.wait(0) for ticket in (first, *rest)] == list(range(50))
    assert store.count() == 50
    sequencer.close()


def test_nothing_is_released_before_it_is_durable(store, sequencer):
    ticket = stalled(store, sequencer)
    for _ in range(3):
        with pytest.raises(ApostilleError):
            ticket.wait(0.005)
        assert store.count() == 0
    store.gate.set()
    assert ticket.wait(5) == 0
    assert store.count() == 1


# --- signatures and seals are made by the log, a batch at a time


def unsigned(number: int, sign=lambda message: b"signature of " + message[-4:]) -> UnsignedEntry:
    return UnsignedEntry(b"%04d" % number, sign, b"spki", (), bytes(16), number.to_bytes(16, "big"))


def test_the_log_signs_what_is_not_signed(store, sequencer):
    """Also where the one who said it was interrupted right after his statement had its place: it is committed."""
    tickets = [sequencer.submit(unsigned(number)) for number in range(3)]
    assert [ticket.wait(5) for ticket in tickets] == [0, 1, 2]
    assert [parse_entry(store.record(index).entry).signature for index in range(3)] == [
        b"signature of %04d" % i for i in range(3)
    ]


def test_speakers_sign_nothing_themselves(store, sequencer):
    signers: list[str] = []

    def sign(message: bytes) -> bytes:
        signers.append(threading.current_thread().name)
        return b"signature of " + message[-4:]

    stalled(store, sequencer)
    tickets = [sequencer.submit(unsigned(number, sign)) for number in range(1, 20)]
    assert signers == []
    store.gate.set()
    assert [ticket.wait(5) for ticket in tickets] == list(range(1, 20))
    assert [store.record(index).statement for index in range(1, 20)] == [b"%04d" % number for number in range(1, 20)]
    assert signers == ["apostille-sequencer"] * 19


def test_each_is_signed_and_sealed_once(store):
    signed: list[bytes] = []
    sealed: list[bytes] = []

    def sign(message: bytes) -> bytes:
        signed.append(message)
        time.sleep(0.001)
        return b"signature"

    def seal_and_count(entry: PendingEntry, leaf: bytes, leaf_hash: bytes) -> Record:
        sealed.append(entry.statement)
        return seal(entry, leaf, leaf_hash)

    sequencer = Sequencer(store, seal_and_count, lambda _: None)

    def work(first: int) -> None:
        for number in range(first, first + 25):
            sequencer.submit(unsigned(number, sign)).wait(5)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 200, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sequencer.close()
    assert len(signed) == len(set(signed)) == 200
    assert len(sealed) == len(set(sealed)) == 200


def test_a_seal_that_fails_fails_the_batch_and_stops_the_log(store):
    asked: list[object] = []

    def refuse(entry: PendingEntry, leaf: bytes, leaf_hash: bytes) -> Record:
        asked.append(entry)
        if len(asked) == 1:
            raise StorageUnavailableError("the unit's key can't be written")
        return seal(entry, leaf, leaf_hash)

    sequencer = Sequencer(store, refuse, lambda _: None)
    ticket = sequencer.submit(unsigned(0))
    with pytest.raises(StorageUnavailableError, match="unit's key"):
        ticket.wait(5)
    with pytest.raises(StorageUnavailableError, match="the log has stopped"):
        sequencer.submit(unsigned(1))
    assert store.count() == 0
    assert len(asked) == 1, "what failed is not tried again: a second sync may say yes to what the first has lost"
    sequencer.close()


def test_contents_are_let_go_after_the_commit(sequencer):
    """A ticket may be kept for as long as a run; what it stood for must not."""

    class Watched(UnsignedEntry):
        pass

    said = Watched(b"0000", lambda message: b"signature", b"spki", (), bytes(16), bytes(16))
    watch = weakref.ref(said)
    ticket = sequencer.submit(said)
    ticket.wait(5)
    del said
    end = time.monotonic() + 5
    while watch() is not None and time.monotonic() < end:
        time.sleep(0.001)
    assert watch() is None
    assert ticket.wait(5) == 0


def test_no_more_bytes_wait_than_may(store):
    sequencer = Sequencer(store, seal, lambda _: None, max_waiting_bytes=1000)
    first = stalled(store, sequencer)
    size = entry(1).size
    tickets = [first]
    with pytest.raises(BackPressureError, match="at most 1,000 may") as caught:
        for number in range(1, 2000):
            tickets.append(sequencer.submit(entry(number)))
    assert caught.value.retry_after_seconds == 1
    assert (
        sum(entry(number).size for number in range(len(tickets)))
        <= 1000
        < sum(entry(number).size for number in range(len(tickets) + 1))
    )
    assert size > 0
    store.gate.set()
    for ticket in tickets:
        ticket.wait(5)
    large = PendingEntry(b"x" * 5000, bytes(32), b"signature", b"spki", (), bytes(16), bytes(16))
    assert sequencer.submit(large).wait(5) == len(tickets), "what is larger than all that may wait is taken when it is alone"
    sequencer.close()


def test_a_busy_log_waits_for_as_many_as_came_before_but_not_long(store, sequencer):
    """Two came at once; the next one is alone: it is committed all the same, a few milliseconds later."""
    first = stalled(store, sequencer)
    pair = [sequencer.submit(entry(number)) for number in (1, 2)]
    store.gate.set()
    assert [ticket.wait(5) for ticket in (first, *pair)] == [0, 1, 2]
    began = time.monotonic()
    assert sequencer.submit(entry(3)).wait(5) == 3
    assert time.monotonic() - began < 1
