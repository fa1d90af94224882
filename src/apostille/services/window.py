"""What a client has handed in, or is about to, and has no answer for: batches, kept in order until every statement has its index.

A batch fills while those before it are under way, and becomes one frame. It stays here, whole, until it is answered: should the
keeper be gone before that, it is sent again, and the keeper recognises what it has.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Generator, Sequence
from typing import Any

from apostille.errors import ApostilleError, BackPressureError, OutcomeUnknownError, TooLargeError
from apostille.ports import PendingEntry

MAX_ENTRIES = 65_536
MAX_BYTES = 256 * 2**20
_BATCH_ENTRIES = 1024
_BATCH_BYTES = 4 * 2**20
MAX_ENTRY_BYTES = 60 * 2**20  # its frame has room for it
_OVERHEAD_BYTES = 128


class Batch:
    """Statements that go to the keeper in one frame."""

    __slots__ = ("done", "entries", "lock", "outcomes", "size", "waiters", "was_sent")

    def __init__(self) -> None:
        self.entries: list[PendingEntry] = []
        self.size = 0
        self.was_sent = False
        self.outcomes: Sequence[int | ApostilleError] = ()
        self.done = threading.Event()
        self.lock = threading.Lock()
        self.waiters: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}

    def finish(self, outcomes: Sequence[int | ApostilleError]) -> None:
        """Tell whoever waits: an index or an error for each entry."""
        with self.lock:
            self.outcomes = outcomes
            self.done.set()
            waiters, self.waiters = self.waiters, {}
        self.entries = []  # tickets may be kept for as long as a run; contents are not
        for loop, futures in waiters.items():
            try:
                loop.call_soon_threadsafe(_wake, futures)
            except RuntimeError:  # that loop is closed: nobody waits there any more
                continue


def _wake(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


class ClientTicket:
    """A place in a batch. Wait for it, or await it, to learn the index."""

    __slots__ = ("_batch", "_place")

    def __init__(self, batch: Batch, place: int) -> None:
        self._batch = batch
        self._place = place

    def _index(self) -> int:
        outcome = self._batch.outcomes[self._place]
        if isinstance(outcome, ApostilleError):
            raise outcome
        return outcome

    def wait(self, timeout_seconds: float | None = None) -> int:
        """Block until the entry is durable and return its index.

        Raises:
            ApostilleError: Why the keeper has refused it.
            StorageUnavailableError: The keeper could not be reached; nothing was sent.
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


class Window:
    """Batches in order: filling, waiting to be sent, sent. Its caller holds a lock."""

    def __init__(self, *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._waiting: deque[Batch] = deque()
        self._sent: dict[int, Batch] = {}
        self._entries = 0
        self._bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether everything has its answer."""
        return not self._entries

    @property
    def has_waiting(self) -> bool:
        """Whether something is to be sent."""
        return bool(self._waiting)

    def add(self, entry: PendingEntry) -> ClientTicket:
        """Take an entry in.

        Raises:
            TooLargeError: No frame has room for it.
            BackPressureError: Too much is under way.
        """
        size = len(entry.statement) + sum(len(opening.content) for opening in entry.openings) + _OVERHEAD_BYTES
        if size > MAX_ENTRY_BYTES:
            raise TooLargeError(f"a statement with openings of {size:,} bytes", limit=MAX_ENTRY_BYTES, spec="keeper frame")
        if self._entries >= self._max_entries or (self._entries and self._bytes + size > self._max_bytes):
            raise BackPressureError(
                f"{self._entries:,} statements of {self._bytes:,} bytes wait for the keeper", retry_after_seconds=1
            )
        batch = self._waiting[-1] if self._waiting else None
        if batch is None or batch.was_sent or len(batch.entries) >= _BATCH_ENTRIES or batch.size + size > _BATCH_BYTES:
            batch = Batch()
            self._waiting.append(batch)
        batch.entries.append(entry)
        batch.size += size
        self._entries += 1
        self._bytes += size
        return ClientTicket(batch, len(batch.entries) - 1)

    def take(self, request: int) -> Batch:
        """Return the next batch to send, as request ``request``."""
        batch = self._waiting.popleft()
        batch.was_sent = True
        self._sent[request] = batch
        return batch

    def answered(self, request: int) -> Batch | None:
        """Return the batch that an answer is for, and let go of it."""
        batch = self._sent.pop(request, None)
        if batch is not None:
            self._let_go(batch)
        return batch

    def send_again(self) -> None:
        """Put what was sent without an answer in front of what waits, in order."""
        self._waiting.extendleft(reversed(self._sent.values()))
        self._sent.clear()

    def give_up(self) -> list[Batch]:
        """Return everything that has no answer, and forget it."""
        self.send_again()
        lost = list(self._waiting)
        self._waiting.clear()
        for batch in lost:
            self._let_go(batch)
        return lost

    def _let_go(self, batch: Batch) -> None:
        self._entries -= len(batch.entries)
        self._bytes -= batch.size
