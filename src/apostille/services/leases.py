"""Leases: which connection may go on with which run, and what becomes of runs that nobody goes on with.

A run has one writer: the connection that opened it, or one that has shown a key of its owner since. When that connection is gone,
or after the keeper was started again, the run waits for a successor for a grace time; then the keeper closes it, with its own key
and the outcome ``crash``: a declared abort, not a hole.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass

from apostille.core.digest import SIZE, sha256
from apostille.core.strict import MAX_SAFE_INTEGER
from apostille.errors import ApostilleError, ConflictError, NotFoundError, RollbackError, UnavailableError, UntrustedError
from apostille.ports import Clock, Reader
from apostille.services.binding import bind
from apostille.services.keeper import Keeper
from apostille.services.ownership import is_close, place_in
from apostille.services.sequencer import Ticket

GRACE_SECONDS = 3.0
MAX_OPEN_RUNS = 4096  # of one connection
_CLOSED_KEPT = 65_536
_AT_ONCE = 256


@dataclass(slots=True, eq=False)
class Lease:
    """Where a run stands: what was accepted, whether or not it is durable yet.

    Attributes:
        run: Its id.
        opener: SHA-256 of the SPKI of the key that opened it.
        first: Its run-open: the index, or the ticket while that is on its way.
        seq: The next place in it.
        previous: Digest of its last statement.
        holder: The connection that may go on with it.
        lost_at: Since when nobody may, on the monotonic clock.
        is_closed: Whether it has its run-close.
    """

    run: bytes
    opener: bytes
    first: int | Ticket | None = None
    seq: int = 0
    previous: bytes = bytes(SIZE)
    holder: object | None = None
    lost_at: float = 0.0
    is_closed: bool = False


class Leases:
    """All runs of one keeper that clients write. Callers of ``find`` .. ``advance`` hold the lock.

    Args:
        keeper: It closes what is lost.
        reader: The store.
        clock: For the grace time.
        lock: Admission's lock: a run's place and the order of the log change together.

    Raises:
        RollbackError: The store was altered.
    """

    def __init__(self, keeper: Keeper, reader: Reader, clock: Clock, lock: threading.RLock) -> None:
        self._keeper = keeper
        self._reader = reader
        self._clock = clock
        self._lock = lock
        self._open: dict[bytes, Lease] = {}
        self._closed: OrderedDict[bytes, Lease] = OrderedDict()
        self._held: Counter[object] = Counter()
        now = clock.monotonic()
        for run, first, last in reader.open_runs():
            lease = self._read(run, first, last)
            if lease is not None and not lease.is_closed:
                lease.lost_at = now
                self._open[run] = lease

    def find(self, run: bytes) -> Lease:
        """Return a run; ``NotFoundError`` where there is none."""
        lease = self._open.get(run) or self._closed.get(run) or self._load(run)
        if lease is None:
            raise NotFoundError("there is no such run")
        return lease

    def begin(self, run: bytes, opener: bytes, holder: object) -> Lease:
        """Return the lease of a new run; it counts once it is advanced.

        Raises:
            ConflictError: There is one with this id.
            UnavailableError: The connection has enough open runs.
        """
        if self._held[holder] >= MAX_OPEN_RUNS:
            raise UnavailableError(f"{MAX_OPEN_RUNS:,} runs are open on this connection; close some")
        try:
            self.find(run)
        except NotFoundError:
            return Lease(run, opener, holder=holder)
        raise ConflictError("a run with this id was opened before")

    def check_free(self, run: bytes) -> None:
        """Raise ``ConflictError`` where a run has this id."""
        try:
            self.find(run)
        except NotFoundError:
            return
        raise ConflictError("a run has this nonce for its id")

    def held(self, run: bytes, holder: object) -> Lease:
        """Return a run that ``holder`` may go on with.

        Raises:
            UntrustedError: It may not.
            ConflictError: The run is closed.
        """
        lease = self._open.get(run)
        if lease is not None and lease.holder is holder:
            return lease
        closed = self._closed.get(run)
        if closed is not None and closed.holder is holder:
            raise ConflictError("the run is closed")
        raise UntrustedError("this connection has no lease of the run")

    def take(self, lease: Lease, holder: object) -> None:
        """Give a run to ``holder``.

        Raises:
            ConflictError: It is closed.
            UnavailableError: Another connection has it; it may end.
        """
        if lease.is_closed:
            raise ConflictError("the run is closed")
        if lease.holder not in {None, holder}:
            raise UnavailableError("another connection is writing this run")
        self._held[holder] += lease.holder is None
        lease.holder = holder
        self._open[lease.run] = lease

    def advance(self, lease: Lease, digest: bytes, ticket: Ticket, *, is_last: bool) -> None:
        """Take note of a statement that was passed on."""
        if lease.first is None:
            lease.first = ticket
            self._held[lease.holder] += 1
        lease.seq += 1
        lease.previous = digest
        lease.is_closed = is_last
        if is_last:
            self._held[lease.holder] -= 1
            self._open.pop(lease.run, None)
            self._closed[lease.run] = lease
            if len(self._closed) > _CLOSED_KEPT:
                self._closed.popitem(last=False)
        else:
            self._open[lease.run] = lease

    def drop(self, holder: object) -> None:
        """Let go of all that a connection held."""
        with self._lock:
            now = self._clock.monotonic()
            self._held.pop(holder, None)
            for lease in self._open.values():
                if lease.holder is holder:
                    lease.holder, lease.lost_at = None, now

    def close_lost(self, grace_seconds: float = GRACE_SECONDS) -> list[Ticket]:
        """Close, as crashed, the runs that nobody has gone on with for the grace time: some of them, or with 0 all.

        Raises:
            StorageUnavailableError: The log has stopped.
        """
        closing: list[Ticket] = []
        with self._lock:
            limit = self._clock.monotonic() - grace_seconds
            lost = [lease for lease in self._open.values() if lease.holder is None and lease.lost_at <= limit]
            for lease in lost[:_AT_ONCE] if grace_seconds else lost:
                made = self._keeper.close_crashed(lease.run, _index(lease.first), lease.seq, lease.previous)
                if made is None:
                    break
                digest, ticket = made
                self.advance(lease, digest, ticket, is_last=True)
                closing.append(ticket)
        return closing

    def _load(self, run: bytes) -> Lease | None:
        span = self._reader.run_span(run, MAX_SAFE_INTEGER)  # not all of its indexes: a long run would hold up all others
        return self._read(run, *span) if span is not None else None

    def _read(self, run: bytes, first: int, last: int) -> Lease | None:
        try:
            opened, _ = bind(self._reader.record(first))
            entry, said = bind(self._reader.record(last))
        except ApostilleError as error:
            raise RollbackError(f"the store was altered or is damaged: leaf {last}: {error}") from error
        seq = place_in(said, run)
        if seq is None:
            return None
        return Lease(run, sha256(opened.spki), first, seq + 1, entry.pae_digest, is_closed=is_close(said))


def _index(first: int | Ticket | None) -> int:
    return first.wait() if isinstance(first, Ticket) else first or 0
