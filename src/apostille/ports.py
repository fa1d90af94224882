"""What services need from the outside, as protocols, and the values that cross these lines.

Services know these protocols and nothing behind them; ``wiring`` joins them to the real things.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from apostille.core.checkpoint import Checkpoint
from apostille.core.digest import sha256
from apostille.core.dsse import pae
from apostille.core.predicates import ERASURE
from apostille.core.tree import Growth, Head

# What only an erasure statement holds: quotes can't stand inside a value. For stores, to find them; it proves nothing.
ERASURE_MARK = f'"predicateType":"{ERASURE}"'.encode()


@dataclass(frozen=True, slots=True)
class OpeningText:
    """One opening in the clear, on its way to the keeper.

    Attributes:
        name: Subject name.
        digest: SHA-256 of ``content``, as the statement has it.
        content: salt || bytes, or the bare bytes of a plain commitment.
    """

    name: str
    digest: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class PendingEntry:
    """A signed statement that has no place in the log yet.

    Attributes:
        statement: Exact statement bytes.
        pae_digest: SHA-256 of its PAE.
        signature: By the key of ``spki`` over the PAE.
        spki: The signer's public key.
        openings: One per subject that has one, in the order of the subjects.
        unit: Erasure unit, 16 bytes; its key wraps the record's.
        nonce: The statement's own, 16 bytes: the receipt id under which a recipient asks for the receipt.
        run: Run id, 16 bytes, if the statement is one of a run.
        certifies: SHA-256 of the SPKI that a key statement speaks of.
    """

    statement: bytes
    pae_digest: bytes
    signature: bytes
    spki: bytes
    openings: tuple[OpeningText, ...]
    unit: bytes
    nonce: bytes
    run: bytes | None = None
    certifies: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes of statement and openings."""
        return len(self.statement) + sum([len(opening.content) for opening in self.openings])

    def signed(self) -> PendingEntry:
        """Return itself; see ``UnsignedEntry``."""
        return self


class UnsignedEntry:
    """A statement that has its place in a run, and only lacks its signature.

    Whoever carries it to the log has it signed, once. ECDSA is deterministic here (RFC 6979): who it was makes no difference.

    Args:
        statement: Exact statement bytes.
        sign: Signs a message with the key of ``spki``.
        spki, openings, unit, nonce, run, certifies: As in ``PendingEntry``.
    """

    __slots__ = (
        "_message",
        "_sign",
        "_signed",
        "certifies",
        "nonce",
        "openings",
        "pae_digest",
        "run",
        "spki",
        "statement",
        "unit",
    )

    def __init__(
        self,
        statement: bytes,
        sign: Callable[[bytes], bytes],
        spki: bytes,
        openings: tuple[OpeningText, ...],
        unit: bytes,
        nonce: bytes,
        run: bytes | None = None,
        certifies: bytes | None = None,
    ) -> None:
        self.openings = openings
        self.nonce = nonce
        self.run = run
        self.statement = statement
        self._message = pae(statement)
        self.pae_digest = sha256(self._message)
        self._sign = sign
        self.spki = spki
        self.unit = unit
        self.certifies = certifies
        self._signed: PendingEntry | None = None

    @property
    def size(self) -> int:
        """Bytes of statement and openings."""
        return len(self.statement) + sum([len(opening.content) for opening in self.openings])

    def signed(self) -> PendingEntry:
        """Return the signed entry; sign it if nobody has."""
        if self._signed is None:
            self._signed = PendingEntry(
                self.statement,
                self.pae_digest,
                self._sign(self._message),
                self.spki,
                self.openings,
                self.unit,
                self.nonce,
                self.run,
                self.certifies,
            )
        return self._signed


@dataclass(frozen=True, slots=True)
class SealedOpening:
    """One opening as it is stored: AES-256-GCM under the record's key; empty once it was destroyed."""

    name: str
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """All that the store keeps of one leaf.

    Attributes:
        entry: Exact leaf bytes.
        leaf_hash: SHA-256(0x00 || entry).
        statement: Exact statement bytes.
        nonce: The statement's own, 16 bytes.
        unit: Erasure unit, 16 bytes.
        wrapped_key: The record's key under the unit's key; ``None`` once erased.
        openings: Sealed, in the order of the subjects that have one.
        run: Run id, 16 bytes.
        certifies: SHA-256 of the SPKI that a key statement speaks of.
    """

    entry: bytes
    leaf_hash: bytes
    statement: bytes
    nonce: bytes
    unit: bytes
    wrapped_key: bytes | None
    openings: tuple[SealedOpening, ...]
    run: bytes | None = None
    certifies: bytes | None = None

    @property
    def pae_digest(self) -> bytes:
        """SHA-256 of the statement's PAE. The entry is to have the same: it is for readers to see."""
        return sha256(pae(self.statement))


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint that was signed: its size and root beside the note."""

    size: int
    root_hash: bytes
    note: bytes


class Clock(Protocol):
    """The time of this machine: an assertion, never evidence."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970 in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...


class Random(Protocol):
    """The operating system's randomness."""

    def token(self, size: int) -> bytes:
        """Return ``size`` unpredictable bytes."""
        ...


class Reader(Protocol):
    """Reading a store. What it returns is unverified: whoever reads for a verdict recomputes."""

    def head(self) -> Head:
        """Return the committed head; ``VerificationError`` where its row is gone or contradicts itself."""
        ...

    def checkpoint(self) -> SignedCheckpoint | None:
        """Return the newest signed checkpoint."""
        ...

    def checkpoints_from(self, size: int) -> Iterator[SignedCheckpoint]:
        """Yield the signed checkpoints of at least ``size`` leaves, oldest first, without holding all of them."""
        ...

    def faults(self) -> list[str]:
        """Return what is wrong with the storage itself: damaged pages, indexes that contradict their tables, stray rows."""
        ...

    def count(self) -> int:
        """Return how many leaves are there, whatever the head says."""
        ...

    def record(self, index: int) -> Record:
        """Return one leaf; ``NotFoundError`` where there is none."""
        ...

    def records(self, start: int = 0) -> Iterator[tuple[int, Record]]:
        """Yield leaves in order of their index, from ``start``; a missing one is simply not there."""
        ...

    def entries(self, start: int, count: int) -> Sequence[bytes]:
        """Return the exact bytes of ``count`` leaves, without anything else of them.

        Raises:
            VerificationError: Some are not there: the store was altered.
        """
        ...

    def hashes(self, level: int, start: int, count: int) -> Sequence[bytes]:
        """Return ``count`` stored hashes of a level (0: leaves; L: complete subtrees of 256**L leaves).

        Raises:
            VerificationError: Some are not there: the store was altered.
        """
        ...

    def index_of_receipt(self, receipt_id: bytes) -> int | None:
        """Return the index of the first statement that has this nonce."""
        ...

    def indexes_of_receipts(self, receipt_ids: Sequence[bytes]) -> dict[bytes, int]:
        """Return what ``index_of_receipt`` does, for as many as there are at once."""
        ...

    def index_of_key(self, spki_digest: bytes) -> int | None:
        """Return the index of the statement that certifies a key."""
        ...

    def run_indexes(self, run: bytes) -> list[int]:
        """Return the indexes of a run's statements, ascending."""
        ...

    def key_indexes(self) -> list[int]:
        """Return the indexes of all key statements, ascending."""
        ...

    def open_runs(self) -> list[tuple[bytes, int, int]]:
        """Return id, first and last index of each run with no run-close last; none that a later leaf names."""
        ...

    def run_span(self, run: bytes, before: int) -> tuple[int, int] | None:
        """Return the first and the last index of a run's statements below ``before``; ``None`` if there is none."""
        ...

    def runs(self) -> list[bytes]:
        """Return the ids of all runs, in order of their first statement."""
        ...

    def unit_indexes(self, unit: bytes) -> list[int]:
        """Return the indexes of the leaves whose record key an erasure unit wraps, ascending. It may read the whole store."""
        ...

    def erasures(self) -> list[int]:
        """Return the indexes of the leaves that look like erasure statements, ascending."""
        ...


class Store(Reader, Protocol):
    """The one writer of a log. Every method that writes is durable when it returns."""

    def commit(self, expected: Head, records: Sequence[Record], growth: Growth) -> None:
        """Append ``records`` if the head is still ``expected``: one durable transaction, all or nothing.

        Raises:
            ConflictError: The head is another; nothing was written.
            StorageUnavailableError: Nothing was written.
            OutcomeUnknownError: It may have been written. Stop and reload.
        """
        ...

    def add_checkpoint(self, checkpoint: SignedCheckpoint) -> None:
        """Keep a signed checkpoint; ``ConflictError`` where that size has another root."""
        ...

    def destroy(self, wanted: Mapping[int, Collection[str]]) -> None:
        """Overwrite openings, so that no file of the store holds them any more; a leaf's last one takes its record key along.

        Args:
            wanted: Index to the names of the openings; what is gone already does not matter.

        Raises:
            StorageUnavailableError: Not done, or a reader still holds the old bytes: ask again when it is gone.
            OutcomeUnknownError: It may have been done.
        """
        ...

    def close(self) -> None:
        """Release the store."""
        ...


class Vault(Protocol):
    """Keys of erasure units, outside the database."""

    def key(self, unit: bytes) -> bytes | None:
        """Return a unit's key, ``None`` if there is none (any more)."""
        ...

    def ensure(self, unit: bytes) -> bytes:
        """Return a unit's key; make it, durably, if it is not there."""
        ...

    def destroy(self, unit: bytes) -> bool:
        """Destroy a unit's key, durably; return whether there was one. No other unit's key is touched."""
        ...


class HeadMemory(Protocol):
    """The last head that this machine has seen of each log: a restore guard, not a witness."""

    def recall(self, origin: str) -> Checkpoint | None:
        """Return the remembered head."""
        ...

    def remember(self, checkpoint: Checkpoint) -> None:
        """Replace it, durably and atomically. The caller has checked consistency; the size never falls."""
        ...


class TileSink(Protocol):
    """Where tiles are published."""

    def published_size(self) -> int:
        """Return the size that the tiles there cover, 0 if none."""
        ...

    def checkpoint(self) -> bytes | None:
        """Return the published note, unverified; ``None`` if there is none."""
        ...

    def write(self, path: str, data: bytes) -> None:
        """Write one immutable file; writing the same bytes again does nothing."""
        ...

    def write_checkpoint(self, note: bytes, size: int) -> None:
        """Replace the file ``checkpoint``, after all tiles that it covers."""
        ...


class TileShelf(TileSink, Protocol):
    """The published tiles, as whoever checks and mends them sees them."""

    def paths(self) -> Iterator[str]:
        """Yield the paths of all files there, but ``checkpoint``, with ``/`` between their parts, in order."""
        ...

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, ``None`` if there is none; of a file larger than a tile can be, its beginning."""
        ...

    def mend(self, path: str, data: bytes) -> None:
        """Replace one file, atomically and durably, whatever it holds."""
        ...
