"""What a client has handed in, or is about to, and has no answer for: batches, kept in order until every statement has its index.

A batch fills while those before it are under way, and becomes one frame. It stays here, whole, until it is answered: should the
keeper be gone before that, it is sent again, and the keeper recognises what it has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from apostille.errors import ApostilleError, BackPressureError, TooLargeError
from apostille.ports import PendingEntry, UnsignedEntry
from apostille.services.sequencer import Batch, Ticket

MAX_ENTRIES = 65_536
MAX_BYTES = 256 * 2**20
MAX_ENTRY_BYTES = 60 * 2**20  # its frame has room for it, and for what stands around it
_BATCH_ENTRIES = 1024
_BATCH_BYTES = 4 * 2**20
_OVERHEAD_BYTES = 128


class SentBatch(Batch):
    """Statements that go to the keeper in one frame, each with an outcome of its own."""

    __slots__ = ("count", "outcomes", "runs", "was_sent")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.was_sent = False
        self.runs: set[bytes] = set()
        self.outcomes: Sequence[int | ApostilleError] = ()

    def answer(self, outcomes: Sequence[int | ApostilleError]) -> None:
        """Tell whoever waits: an index or an error for each entry."""
        self.outcomes = outcomes
        self.settle()

    def index(self, place: int) -> int:
        """Return where the entry at ``place`` is; raise why the keeper has refused it, or that it was given up."""
        outcome = self.outcomes[place]
        if isinstance(outcome, ApostilleError):
            raise outcome
        return outcome


class Window:
    """Batches in order: filling, waiting to be sent, sent. Its caller holds a lock."""

    def __init__(self, *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._waiting: deque[SentBatch] = deque()
        self._sent: dict[int, SentBatch] = {}
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

    def add(self, entry: PendingEntry | UnsignedEntry) -> Ticket:
        """Take an entry in.

        Raises:
            TooLargeError: No frame has room for it.
            BackPressureError: Too much is under way.
        """
        size = entry.size + _OVERHEAD_BYTES
        if size > MAX_ENTRY_BYTES:
            raise TooLargeError(f"a statement with openings of {size:,} bytes", limit=MAX_ENTRY_BYTES, spec="keeper frame")
        if self._entries >= self._max_entries or (self._entries and self._bytes + size > self._max_bytes):
            raise BackPressureError(
                f"{self._entries:,} statements of {self._bytes:,} bytes wait for the keeper", retry_after_seconds=1
            )
        batch = self._waiting[-1] if self._waiting else None
        if batch is None or batch.was_sent or batch.count >= _BATCH_ENTRIES or batch.size + size > _BATCH_BYTES:
            batch = SentBatch()
            self._waiting.append(batch)
        ticket = Ticket(batch, batch.count)
        batch.entries.append(entry)
        batch.count += 1
        batch.size += size
        if entry.run is not None:
            batch.runs.add(entry.run)
        self._entries += 1
        self._bytes += size
        return ticket

    def take(self, request: int) -> SentBatch:
        """Return the next batch to send, as request ``request``."""
        batch = self._waiting.popleft()
        batch.was_sent = True
        self._sent[request] = batch
        return batch

    def answered(self, request: int) -> SentBatch | None:
        """Return the batch that an answer is for, and let go of it."""
        batch = self._sent.pop(request, None)
        if batch is not None:
            self._let_go(batch)
        return batch

    def send_again(self) -> None:
        """Put what was sent without an answer in front of what waits, in order."""
        self._waiting.extendleft(reversed(self._sent.values()))
        self._sent.clear()

    def give_up(self) -> list[SentBatch]:
        """Return everything that has no answer, and forget it."""
        self.send_again()
        lost = list(self._waiting)
        self._waiting.clear()
        for batch in lost:
            self._let_go(batch)
        return lost

    def _let_go(self, batch: SentBatch) -> None:
        self._entries -= batch.count
        self._bytes -= batch.size
