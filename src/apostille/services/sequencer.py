"""The sequencer: group commit.

One thread takes whatever is waiting, grows the tree in memory and asks the store for one durable transaction. While that runs the
next batch fills: an idle log adds no delay, a busy one shares each sync among many. Where several entries came at once, it waits
for as many again, but no longer than two commits take, nor 3 ms. Nothing is released before its batch is durable.

Signing and sealing are done here too, a batch at a time: a speaker who is interrupted between place and signature leaves no hole,
and a signature's tables and the speakers' code do not drive each other out of the processor's caches.

If a commit fails, everything behind it fails too, because later statements of a run name earlier ones as ``previous``; the
sequencer then refuses all work until the store is opened again. What really happened is read from the store, never guessed.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

from apostille.core.entry import Entry, format_entry
from apostille.core.merkle import leaf_hash
from apostille.core.tree import Head, append_leaves
from apostille.errors import ApostilleError, BackPressureError, OutcomeUnknownError, StorageUnavailableError
from apostille.ports import PendingEntry, Record, Store, UnsignedEntry

MAX_BATCH = 4096
MAX_WAITING = 65_536
MAX_WAITING_BYTES = 256 * 2**20
_MAX_PATIENCE_SECONDS = 0.003


class Batch:
    """Entries that will be committed together, and whoever waits for them: threads with a lock each, loops with futures."""

    __slots__ = ("entries", "error", "first", "is_done", "loops", "mutex", "size", "threads")

    def __init__(self) -> None:
        self.entries: list[PendingEntry | UnsignedEntry] = []
        self.size = 0
        self.first = -1
        self.error: Exception | None = None
        self.is_done = False
        self.mutex = threading.Lock()
        self.threads: list[threading.Lock] = []
        self.loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}

    def finish(self, first: int, error: Exception | None) -> None:
        """Tell whoever waits where the first entry is, or what kept all from being committed."""
        self.first, self.error = first, error
        self.settle()

    def index(self, place: int) -> int:
        """Return where the entry at ``place`` is; raise what kept it from being anywhere."""
        if self.error is not None:
            raise self.error
        return self.first + place

    def settle(self) -> None:
        """Let the contents go and wake whoever waits, once there is an outcome."""
        with self.mutex:
            self.is_done = True
        self.entries = []  # tickets may be kept for as long as a run
        for gate in self.threads:
            gate.release()
        for loop, futures in self.loops.items():
            try:
                loop.call_soon_threadsafe(_wake, futures)
            except RuntimeError:  # that loop is closed: nobody waits there any more
                continue

    def wait(self, timeout_seconds: float | None) -> bool:
        """Block until there is an outcome; return whether there is one."""
        # A lock of its own for each thread: no waking thread has to queue for a common one.
        gate = threading.Lock()
        gate.acquire()
        with self.mutex:
            if self.is_done:
                return True
            self.threads.append(gate)
        return gate.acquire(timeout=-1 if timeout_seconds is None else max(timeout_seconds, 0))


def _wake(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


class Ticket:
    """A place in a batch. Wait for it, or await it, to learn the index."""

    __slots__ = ("_batch", "_place")

    def __init__(self, batch: Batch, place: int) -> None:
        self._batch = batch
        self._place = place

    def wait(self, timeout_seconds: float | None = None) -> int:
        """Block until the entry is durable and return its index.

        Raises:
            StorageUnavailableError, ConflictError: It was not committed.
            OutcomeUnknownError: It may have been committed, or it is not known after ``timeout_seconds``.
        """
        if not self._batch.is_done and not self._batch.wait(timeout_seconds):
            raise OutcomeUnknownError(f"not committed after {timeout_seconds} s; it still may be")
        return self._batch.index(self._place)

    def __await__(self) -> Generator[Any, None, int]:
        batch = self._batch
        if not batch.is_done:
            loop = asyncio.get_running_loop()
            with batch.mutex:
                future = None if batch.is_done else loop.create_future()
                if future is not None:
                    batch.loops.setdefault(loop, []).append(future)
            if future is not None:
                yield from future
        return self._batch.index(self._place)


class Sequencer:
    """Orders entries and commits them.

    Args:
        store: The one writer's store.
        seal: Turns an entry and its leaf into the record that is stored.
        after_commit: Called with the new head after each durable commit, on the sequencer's thread.
    """

    def __init__(
        self,
        store: Store,
        seal: Callable[[PendingEntry, bytes, bytes], Record],
        after_commit: Callable[[Head], None],
        *,
        max_waiting: int = MAX_WAITING,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._store = store
        self._seal = seal
        self._after_commit = after_commit
        self._max_waiting = max_waiting
        self._max_bytes = max_waiting_bytes
        self._head = store.head()
        self._filling = Batch()
        self._queue: list[Batch] = []
        self._waiting = 0
        self._is_idle = False
        self._waiting_bytes = 0
        self._goal = 1
        self._patience = 0.0
        self._failure: Exception | None = None
        self._is_closing = False
        # A plain lock: a signal can't end its owner between taking it and knowing so, as it can with a condition's.
        self._mutex = threading.Lock()
        self._wake = threading.Condition(self._mutex)
        self._thread = threading.Thread(target=self._work, name="apostille-sequencer", daemon=True)
        self._thread.start()

    @property
    def head(self) -> Head:
        """The committed head."""
        return self._head

    @property
    def waiting(self) -> int:
        """How many entries are waiting for their commit."""
        return self._waiting

    def check(self) -> None:
        """Raise what stopped the sequencer, if anything did."""
        if self._failure is not None:
            raise StorageUnavailableError(f"the log has stopped: {self._failure}") from self._failure

    def submit(self, entry: PendingEntry | UnsignedEntry) -> Ticket:
        """Queue one entry. Entries keep the order of their submission; one that is not signed yet is signed by the log.

        Raises:
            BackPressureError: Too many are waiting, or too many bytes.
            StorageUnavailableError: The log has stopped.
        """
        size = entry.size
        with self._mutex:
            self.check()
            if self._is_closing:
                raise StorageUnavailableError("the log is closed")
            if self._waiting >= self._max_waiting:
                raise BackPressureError(
                    f"{self._waiting:,} statements are waiting to be committed, at most {self._max_waiting:,} may",
                    retry_after_seconds=1,
                )
            # One that is larger than all that may wait is taken when it is alone.
            if self._waiting and self._waiting_bytes + size > self._max_bytes:
                raise BackPressureError(
                    f"{self._waiting_bytes:,} bytes are waiting to be committed, at most {self._max_bytes:,} may",
                    retry_after_seconds=1,
                )
            batch = self._filling
            if len(batch.entries) >= MAX_BATCH:
                self._queue.append(batch)
                batch = self._filling = Batch()
            ticket = Ticket(batch, len(batch.entries))
            batch.entries.append(entry)
            batch.size += size
            self._waiting += 1
            self._waiting_bytes += size
            # As long as the thread sleeps: a signal may have ended whoever was to wake it just before he did.
            if self._is_idle or self._waiting == self._goal:
                self._wake.notify()
                self._is_idle = False
            return ticket

    def close(self) -> None:
        """Commit what is waiting, then stop."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        self._thread.join()

    def _take(self) -> Batch | None:
        with self._wake:
            while not (self._queue or self._filling.entries):
                if self._is_closing:
                    return None
                self._is_idle = True
                self._wake.wait()
            self._is_idle = False
            if self._waiting < self._goal and not self._is_closing:
                self._wake.wait(self._patience)
            if self._queue:
                return self._queue.pop(0)
            batch, self._filling = self._filling, Batch()
            return batch

    def _make(self, entry: PendingEntry) -> Record:
        leaf = format_entry(Entry(entry.pae_digest, entry.signature, entry.spki))
        return self._seal(entry, leaf, leaf_hash(leaf))

    def _work(self) -> None:
        while (batch := self._take()) is not None:
            began = time.monotonic()
            error = self._failure or self._commit(batch)
            with self._wake:
                # Where several came at once they come again: it pays to wait for as many, for about as long as a commit takes.
                self._goal = len(batch.entries)
                self._patience = min(2 * (time.monotonic() - began), _MAX_PATIENCE_SECONDS)
                # Counted anew: a signal may have ended a submitter between his entry and its number.
                left = (*self._queue, self._filling)
                self._waiting = sum(len(other.entries) for other in left)
                self._waiting_bytes = sum(other.size for other in left)
                if error is not None and self._failure is None:
                    self._failure = error
            batch.finish(self._head.size - len(batch.entries) if error is None else -1, error)

    def _commit(self, batch: Batch) -> Exception | None:
        try:
            records = [self._make(entry.signed()) for entry in batch.entries]
            growth = append_leaves(self._head, [record.leaf_hash for record in records])
            self._store.commit(self._head, records, growth)
            self._head = growth.head
            self._after_commit(growth.head)
        except ApostilleError as error:
            return error
        except BaseException as error:  # noqa: BLE001 - a bug here must stop the log, not hang every caller
            failure = OutcomeUnknownError(f"internal fault while committing: {error!r}")
            failure.__cause__ = error
            return failure
        return None
