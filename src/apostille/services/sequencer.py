"""The sequencer: group commit without a timer.

One thread takes whatever is waiting, seals it, grows the tree in memory and asks the store for one durable transaction. While
that runs the next batch fills: an idle log adds no delay, a busy one shares each sync among many. Nothing is released before its
batch is durable.

If a commit fails, everything behind it fails too, because later statements of a run name earlier ones as ``previous``; the
sequencer then refuses all work until the store is opened again. What really happened is read from the store, never guessed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from typing import Any

from apostille.core.entry import Entry, format_entry
from apostille.core.merkle import leaf_hash
from apostille.core.tree import Head, append_leaves
from apostille.errors import ApostilleError, BackPressureError, OutcomeUnknownError, StorageUnavailableError
from apostille.ports import PendingEntry, Record, Store

MAX_BATCH = 4096
MAX_WAITING = 65_536


class _Batch:
    """Entries that will be committed together, and whoever waits for them."""

    __slots__ = ("done", "entries", "error", "first", "lock", "waiters")

    def __init__(self) -> None:
        self.entries: list[PendingEntry] = []
        self.first = -1
        self.error: Exception | None = None
        self.done = threading.Event()
        self.lock = threading.Lock()
        self.waiters: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}

    def finish(self, first: int, error: Exception | None) -> None:
        with self.lock:
            self.first, self.error = first, error
            self.done.set()
            waiters, self.waiters = self.waiters, {}
        for loop, futures in waiters.items():
            try:
                loop.call_soon_threadsafe(_wake, futures)
            except RuntimeError:  # that loop is closed: nobody waits there any more
                continue


def _wake(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


class Ticket:
    """A place in a batch. Wait for it, or await it, to learn the index."""

    __slots__ = ("_batch", "_place")

    def __init__(self, batch: _Batch, place: int) -> None:
        self._batch = batch
        self._place = place

    def _index(self) -> int:
        if self._batch.error is not None:
            raise self._batch.error
        return self._batch.first + self._place

    def wait(self, timeout_seconds: float | None = None) -> int:
        """Block until the entry is durable and return its index.

        Raises:
            StorageUnavailableError, ConflictError: It was not committed.
            OutcomeUnknownError: It may have been committed, or it is not known after ``timeout_seconds``.
        """
        if not self._batch.done.wait(timeout_seconds):
            raise OutcomeUnknownError(f"not committed after {timeout_seconds} s; it still may be")
        return self._index()

    def __await__(self) -> Generator[Any, None, int]:
        batch = self._batch
        if not batch.done.is_set():
            loop = asyncio.get_running_loop()
            with batch.lock:
                future = None if batch.done.is_set() else loop.create_future()
                if future is not None:
                    batch.waiters.setdefault(loop, []).append(future)
            if future is not None:
                yield from future
        return self._index()


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
    ) -> None:
        self._store = store
        self._seal = seal
        self._after_commit = after_commit
        self._max_waiting = max_waiting
        self._head = store.head()
        self._filling = _Batch()
        self._queue: list[_Batch] = []
        self._waiting = 0
        self._failure: Exception | None = None
        self._is_closing = False
        self._wake = threading.Condition()
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

    def submit(self, entry: PendingEntry) -> Ticket:
        """Queue one entry. Entries keep the order of their submission.

        Raises:
            BackPressureError: Too many are waiting.
            StorageUnavailableError: The log has stopped.
        """
        with self._wake:
            self.check()
            if self._is_closing:
                raise StorageUnavailableError("the log is closed")
            if self._waiting >= self._max_waiting:
                raise BackPressureError(f"{self._waiting:,} statements are waiting to be committed", retry_after_seconds=1)
            batch = self._filling
            if len(batch.entries) >= MAX_BATCH:
                self._queue.append(batch)
                batch = self._filling = _Batch()
            batch.entries.append(entry)
            self._waiting += 1
            if self._waiting == 1:
                self._wake.notify()
            return Ticket(batch, len(batch.entries) - 1)

    def close(self) -> None:
        """Commit what is waiting, then stop."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        self._thread.join()

    def _take(self) -> _Batch | None:
        with self._wake:
            while not self._waiting:
                if self._is_closing:
                    return None
                self._wake.wait()
            if self._queue:
                return self._queue.pop(0)
            batch, self._filling = self._filling, _Batch()
            return batch

    def _work(self) -> None:
        while (batch := self._take()) is not None:
            error = self._failure or self._commit(batch)
            with self._wake:
                self._waiting -= len(batch.entries)
                if error is not None and self._failure is None:
                    self._failure = error
            batch.finish(self._head.size - len(batch.entries) if error is None else -1, error)

    def _commit(self, batch: _Batch) -> Exception | None:
        try:
            records: list[Record] = []
            for entry in batch.entries:
                leaf = format_entry(Entry(entry.pae_digest, entry.signature, entry.spki))
                records.append(self._seal(entry, leaf, leaf_hash(leaf)))
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
