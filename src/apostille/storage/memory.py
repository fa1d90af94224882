"""A store in memory, under the same contract as the SQLite one: for tests, examples and dry runs. Nothing is durable."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from apostille.core import predicates
from apostille.core.tree import EMPTY, Growth, Head
from apostille.errors import ConflictError, NotFoundError, VerificationError
from apostille.ports import ERASURE_MARK, Record, SealedOpening, SignedCheckpoint


class MemoryStore:
    """A store that forgets when the process ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._head = EMPTY
        self._records: list[Record] = []
        self._subtrees: dict[tuple[int, int], bytes] = {}
        self._checkpoints: dict[int, SignedCheckpoint] = {}

    def head(self) -> Head:
        """Return the committed head."""
        return self._head

    def checkpoint(self) -> SignedCheckpoint | None:
        """Return the newest signed checkpoint."""
        return self._checkpoints[max(self._checkpoints)] if self._checkpoints else None

    def checkpoints_from(self, size: int) -> Iterator[SignedCheckpoint]:
        """Yield the signed checkpoints of at least ``size`` leaves."""
        yield from (self._checkpoints[at] for at in sorted(self._checkpoints) if at >= size)

    def faults(self) -> list[str]:
        """Return nothing: there are no files."""
        return []

    def count(self) -> int:
        """Return how many leaves are there."""
        return len(self._records)

    def record(self, index: int) -> Record:
        """Return one leaf."""
        if not 0 <= index < len(self._records):
            raise NotFoundError(f"there is no leaf {index}")
        return self._records[index]

    def records(self, start: int = 0) -> Iterator[tuple[int, Record]]:
        """Yield leaves in order of their index."""
        yield from enumerate(self._records[start:], start)

    def entries(self, start: int, count: int) -> list[bytes]:
        """Return the exact bytes of ``count`` leaves."""
        found = [record.entry for record in self._records[start : start + count]]
        if len(found) != count:
            raise VerificationError(f"leaves are missing between {start} and {start + count}")
        return found

    def hashes(self, level: int, start: int, count: int) -> list[bytes]:
        """Return ``count`` stored hashes of a level."""
        try:
            if level == 0:
                found = [self._records[i].leaf_hash for i in range(start, start + count)]
            else:
                found = [self._subtrees[level, i] for i in range(start, start + count)]
        except LookupError as error:
            raise VerificationError(f"stored hashes of level {level} are missing at {start}") from error
        return found

    def _first(self, **wanted: bytes) -> int | None:
        ((name, value),) = wanted.items()
        return next((i for i, record in enumerate(self._records) if getattr(record, name) == value), None)

    def index_of_receipt(self, receipt_id: bytes) -> int | None:
        """Return the index of the first statement that has this nonce."""
        return self._first(nonce=receipt_id)

    def indexes_of_receipts(self, receipt_ids: Sequence[bytes]) -> dict[bytes, int]:
        """Return what ``index_of_receipt`` does, for as many as there are at once."""
        found = {receipt_id: self.index_of_receipt(receipt_id) for receipt_id in receipt_ids}
        return {receipt_id: index for receipt_id, index in found.items() if index is not None}

    def index_of_key(self, spki_digest: bytes) -> int | None:
        """Return the index of the first statement that certifies a key."""
        return self._first(certifies=spki_digest)

    def run_indexes(self, run: bytes) -> list[int]:
        """Return the indexes of a run's statements, ascending."""
        return [i for i, record in enumerate(self._records) if record.run == run]

    def open_runs(self) -> list[tuple[bytes, int, int]]:
        """Return id, first and last index of each run with no run-close last; none that a later leaf names."""
        ends: dict[bytes, tuple[int, int]] = {}
        for index, record in enumerate(self._records):
            if record.run is not None:
                ends[record.run] = (ends.get(record.run, (index,))[0], index)
        return [
            (run, first, last)
            for run, (first, last) in ends.items()
            if predicates.RUN_CLOSE.encode() not in self._records[last].statement
            and not any(f'"run":"{run.hex()}"'.encode() in record.statement for record in self._records[last + 1 :])
        ]

    def run_span(self, run: bytes, before: int) -> tuple[int, int] | None:
        """Return the first and the last index of a run's statements below ``before``."""
        found = [index for index in self.run_indexes(run) if index < before]
        return (found[0], found[-1]) if found else None

    def key_indexes(self) -> list[int]:
        """Return the indexes of all key statements, ascending."""
        return [i for i, record in enumerate(self._records) if record.certifies is not None]

    def runs(self) -> list[bytes]:
        """Return the ids of all runs, in order of their first statement."""
        return list(dict.fromkeys(record.run for record in self._records if record.run is not None))

    def unit_indexes(self, unit: bytes) -> list[int]:
        """Return the indexes of the leaves that an erasure unit wraps."""
        return [i for i, record in enumerate(self._records) if record.unit == unit]

    def erasures(self) -> list[int]:
        """Return the indexes of the leaves that look like erasure statements."""
        return [i for i, record in enumerate(self._records) if ERASURE_MARK in record.statement]

    def destroy(self, wanted: Mapping[int, Collection[str]]) -> None:
        """Forget openings."""
        with self._lock:
            for index, names in wanted.items():
                record = self._records[index]
                kept = tuple(SealedOpening(o.name, b"") if o.name in names else o for o in record.openings)
                key = record.wrapped_key if any(o.ciphertext for o in kept) else None
                self._records[index] = replace(record, openings=kept, wrapped_key=key)

    def commit(self, expected: Head, records: Sequence[Record], growth: Growth) -> None:
        """Append records by compare-and-swap on the head."""
        with self._lock:
            if self._head != expected:
                raise ConflictError("another writer has moved the head of this store")
            self._records += records
            self._subtrees.update({(level, number): value for level, number, value in growth.hashes})
            self._head = growth.head

    def add_checkpoint(self, checkpoint: SignedCheckpoint) -> None:
        """Keep a signed checkpoint."""
        with self._lock:
            kept = self._checkpoints.setdefault(checkpoint.size, checkpoint)
        if kept.root_hash != checkpoint.root_hash:
            raise ConflictError(f"size {checkpoint.size} was signed with another root")

    def close(self) -> None:
        """Do nothing."""
