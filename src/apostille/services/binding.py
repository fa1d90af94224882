"""Reading stored leaves: entry, statement and signature belong together, each by itself.

Signatures are verified on a few threads, beside the reading of the store; whoever asks gets the leaves in order. ``cryptography``
keeps the interpreter's lock while it verifies (50.0 does), so the threads do not add up.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from apostille.core import dsse
from apostille.core.digest import sha256
from apostille.core.entry import Entry, parse_entry
from apostille.core.merkle import leaf_hash
from apostille.core.signatures import key_details, key_id, verify_statement_signature
from apostille.core.statement import Statement, parse_statement
from apostille.errors import ApostilleError, DigestMismatchError, PolicyError
from apostille.ports import Reader, Record

_BATCH = 64
_BATCH_BYTES = 4 * 2**20
_MAX_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Leaf:
    """One stored leaf as it was read.

    Attributes:
        index: Its place.
        record: What the store keeps.
        entry: The log entry; ``None`` where the leaf can't be read.
        said: The statement; ``None`` likewise.
        error: Why it can't be read.
    """

    index: int
    record: Record
    entry: Entry | None
    said: Statement | None
    error: ApostilleError | None


def bind(record: Record, *, is_fast: bool = False) -> tuple[Entry, Statement]:
    """Read a stored leaf: entry, statement and signature belong together. It does **not** ask who the signer is.

    Args:
        record: As stored.
        is_fast: Leave the signature out.

    Raises:
        VerificationError, MalformedError: They do not belong together, or one of them is none.
    """
    if leaf_hash(record.entry) != record.leaf_hash:
        raise DigestMismatchError("the entry has not the leaf hash that is stored for it")
    entry = parse_entry(record.entry)
    if entry.key_details != key_details(entry.spki):
        raise DigestMismatchError("the entry names another algorithm than that of its key")
    message = dsse.pae(record.statement)
    if sha256(message) != entry.pae_digest:
        raise DigestMismatchError("the statement is not the one that the log entry commits to")
    if not is_fast:
        verify_statement_signature(entry.spki, entry.signature, message)
    said = parse_statement(record.statement)
    if said.predicate["key_id"] != key_id(entry.spki):
        raise PolicyError("the statement names another key than the one that signed it")
    return entry, said


def read_leaves(reader: Reader, start: int, *, is_fast: bool = False) -> Generator[Leaf, None, None]:
    """Yield leaves in order from ``start``, bound on threads. Memory does not depend on how many there are.

    Whoever ends early closes it: its threads end with it.

    Raises:
        MalformedError, StorageUnavailableError: The store can't be read on; all leaves before that have been yielded.
    """
    failure: ApostilleError | None = None
    workers = min(os.cpu_count() or 1, _MAX_WORKERS)
    waiting: deque[Future[list[Leaf]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="apostille-bind") as pool:
        batches = _batches(reader, start)
        while True:
            try:
                batch = next(batches, None)
            except ApostilleError as error:
                failure, batch = error, None
            if batch is None:
                break
            waiting.append(pool.submit(_bind_all, batch, is_fast=is_fast))
            if len(waiting) > workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    if failure is not None:
        raise failure


def _batches(reader: Reader, start: int) -> Iterator[list[tuple[int, Record]]]:
    batch: list[tuple[int, Record]] = []
    size = 0
    records = reader.records(start)
    while True:
        try:
            pair = next(records, None)
        except ApostilleError:
            if batch:
                yield batch  # what was read before the fault is still examined
            raise
        if pair is None:
            break
        batch.append(pair)
        size += sum(len(opening.ciphertext) for opening in pair[1].openings)
        if len(batch) == _BATCH or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def read_leaf(reader: Reader, index: int) -> Leaf:
    """Read one leaf.

    Raises:
        NotFoundError: There is none.
    """
    return _bind_all([(index, reader.record(index))], is_fast=False)[0]


def _bind_all(batch: list[tuple[int, Record]], *, is_fast: bool) -> list[Leaf]:
    found: list[Leaf] = []
    for index, record in batch:
        try:
            entry, said = bind(record, is_fast=is_fast)
            found.append(Leaf(index, record, entry, said, None))
        except ApostilleError as error:
            found.append(Leaf(index, record, None, None, error))
    return found
