"""What the tests of the services share: a log in memory with somebody who says things in it, and ways to look inside."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from apostille.core.opening import split_opening
from apostille.core.policy import Policy
from apostille.core.statement import Statement, parse_statement
from apostille.core.tree import head_at
from apostille.errors import ApostilleError, Failure
from apostille.faces import codes
from apostille.services.audit import Audit
from apostille.services.auditor import examine_store
from apostille.services.examination import Examination, Step
from apostille.services.keeper import Keeper
from apostille.services.run_audit import examine_run
from apostille.services.vault import open_record
from apostille.storage.memory import MemoryStore
from tests.simulators.world import World

SAID = b"The refund is 42 EUR.\n"


@dataclass(frozen=True)
class Leaf:
    index: int
    said: Statement
    openings: dict[str, bytes]

    @property
    def fields(self):
        return self.said.predicate

    def content(self, name: str) -> bytes:
        return split_opening(self.openings[name])[1]

    @property
    def attributes(self) -> Any:
        return json.loads(self.content("attributes"))


def leaf(world: World, index: int) -> Leaf:
    """A leaf, opened with the store's own keys; the digests are checked on the way."""
    record = world.store.record(index)
    said = parse_statement(record.statement)
    openings = open_record(world.vault, record, dict(said.subjects))
    assert openings is not None
    return Leaf(index, said, openings)


def leaves(world: World, start: int = 0) -> list[Leaf]:
    return [leaf(world, index) for index in range(start, world.store.count())]


def talk(keeper: Keeper, outputs: int = 1, *, agent: str = "claims-agent", close: bool = True) -> str:
    """One run with some outputs. Returns its id."""
    run = keeper.open_run(agent=agent)
    for number in range(outputs):
        run.output(SAID + b"%d" % number, SAID + b"%d" % number, profile="opaque", media_type="text/plain")
    last = run.close() if close else run.output(b"last", b"last", profile="opaque", media_type="text/plain")
    last.committed(10)
    return run.id


def alter(world: World, index: int, **columns: Any) -> None:
    """Change columns of one leaf behind the keeper's back, as somebody with database access would."""
    store = world.store
    assert isinstance(store, MemoryStore)
    store._records[index] = replace(store._records[index], **columns)


def copy_store(store: MemoryStore) -> MemoryStore:
    """A backup of a store, as it is now."""
    made = MemoryStore()
    made._head = store._head
    made._records = list(store._records)
    made._subtrees = dict(store._subtrees)
    made._checkpoints = dict(store._checkpoints)
    return made


def cut(store: MemoryStore, size: int) -> None:
    """Truncate a store and mend its head, as somebody with database access would. Checkpoints stay."""
    head = head_at(size, store.hashes)
    store._head = head
    del store._records[size:]


@dataclass(frozen=True)
class Found:
    """What an examination came to."""

    code: int
    audit: Audit
    failures: list[Failure]
    notices: list[str]
    steps: list[Step]

    def at(self, index: int) -> list[str]:
        return [failure.message for failure in self.failures if failure.index == index]

    @property
    def first_index(self) -> int:
        return min(failure.index for failure in self.failures if failure.index is not None)


_UNSET: Any = object()


def examine(
    world: World, *, run: str | None = None, policy: Policy | None = None, heads=_UNSET, vault=_UNSET, **options
) -> Found:
    """Examine a world's store, or one run in it, with all that its owner has."""
    examination = Examination()
    options["origin"] = world.signer.origin
    options["heads"] = world.heads if heads is _UNSET else heads
    options["vault"] = world.vault if vault is _UNSET else vault
    policy = policy or world.policy()
    if run is None:
        audit = examine_store(examination, world.store, policy, **options)
    else:
        audit = examine_run(examination, world.store, policy, run=run, **options)
    return Found(exit_of(examination), audit, list(examination.failures), examination.notices, examination.steps)


def exit_of(examination: Examination) -> int:
    try:
        examination.conclude()
    except ApostilleError as error:
        return codes.exit_code(error)
    return codes.VERIFIED


def quiet_keeper(world: World) -> Keeper:
    """A keeper that publishes when asked, and never by itself."""
    keeper = world.keeper()
    publisher = keeper._publisher
    with publisher._changed:
        publisher._is_closing = True
        publisher._changed.notify_all()
    publisher._thread.join()
    return keeper
