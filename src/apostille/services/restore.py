"""Getting back what an old copy of a store lacks: the missing leaves, byte-identical, from another copy or an export of the log.

A restored store is never let go its own way: it continues what was signed, or it signs nothing (``services.guard``). Leaves are
taken up to a signed checkpoint only, and their root must be the signed one, so it does not matter who has kept them.

It does **not** judge what the leaves say; the verification of the store does.

Spec: formats.md section 9; trust.md section 6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from apostille.core.entry import parse_entry
from apostille.core.merkle import leaf_hash
from apostille.core.predicates import ID_BYTES, KEY
from apostille.core.statement import parse_statement
from apostille.core.tree import append_leaves, root_at
from apostille.errors import ConsistencyError, RollbackError
from apostille.ports import Reader, Record, SignedCheckpoint, Store
from apostille.services.binding import bind

_BATCH = 256


class Tail(Protocol):
    """Another copy of the log, whole or public."""

    @property
    def signed(self) -> SignedCheckpoint:
        """Its newest signed checkpoint; the caller has verified it."""
        ...

    def records(self, start: int) -> Iterator[tuple[Record, bytes | None]]:
        """Yield leaves from ``start``, each with its unit's key where this copy has it."""
        ...


@dataclass(slots=True)
class Recovered:
    """What ``recover`` has done.

    Attributes:
        leaves: Leaves appended.
        without_openings: Indexes of those that came without their openings.
    """

    leaves: int
    without_openings: list[int]


def public_record(entry: bytes, statement: bytes) -> Record:
    """Make the record of a leaf of which only the public part is known: entry and statement, no opening."""
    said = parse_statement(statement)
    run = bytes.fromhex(said.predicate["run"]) if "seq" in said.predicate else None
    certifies = said.subjects["spki"] if said.type == KEY else None
    digest = parse_entry(entry).pae_digest
    return Record(entry, leaf_hash(entry), statement, digest, run or bytes(ID_BYTES), None, (), run, certifies)


def recover(store: Store, tail: Tail, adopt: Callable[[bytes, bytes], bool]) -> Recovered:
    """Append the leaves that another copy has and this store lacks, up to that copy's signed checkpoint.

    Args:
        store: The restored store; it is of no use any more if this raises.
        tail: The other copy.
        adopt: Takes a unit and its key; tells whether that is the unit's key here now.

    Raises:
        ConsistencyError: The copy does not hold its own leaves, or has another history.
        VerificationError, MalformedError: A leaf of it is none.
    """
    head, signed = store.head(), tail.signed
    done = Recovered(0, [])
    batch: list[Record] = []
    source = tail.records(head.size)
    while head.size < signed.size:
        for record, key in source:
            bind(record)
            is_open = record.wrapped_key is not None and (key is None or adopt(record.unit, key))
            kept = record if is_open else replace(record, wrapped_key=None, openings=())
            if not is_open:
                done.without_openings.append(head.size + len(batch))
            batch.append(kept)
            if len(batch) == min(_BATCH, signed.size - head.size):
                break
        if len(batch) < min(_BATCH, signed.size - head.size):
            raise ConsistencyError(f"the other copy has signed {signed.size} leaves, leaf {head.size + len(batch)} is not there")
        growth = append_leaves(head, [record.leaf_hash for record in batch])
        store.commit(head, batch, growth)
        done.leaves += len(batch)
        head, batch = growth.head, []
    if root_at(signed.size, store.hashes) != signed.root_hash:
        raise ConsistencyError(f"the other copy's signed head of size {signed.size} does not continue this backup")
    store.add_checkpoint(signed)
    return done


def check_claim(reader: Reader, size: int, root_hash: bytes, how: str) -> None:
    """Hold a store against a head that was seen of its log.

    Args:
        reader: The store.
        size: Size of that head.
        root_hash: Its root.
        how: How it is known, for people.

    Raises:
        RollbackError: The store is behind it, or has another history.
    """
    here = reader.head().size
    if here < size:
        raise RollbackError(f"the store has {here} leaves, a head of size {size} was {how}: {size - here} leaves are missing")
    if root_at(size, reader.hashes) != root_hash:
        raise RollbackError(f"the store's history before size {size} is not the one that was {how}")
