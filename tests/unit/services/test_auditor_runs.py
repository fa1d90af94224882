"""Verifying one run, and verifying beside a keeper that goes on working.

Spec: formats.md section 12 step 11; trust.md section 4; invariant I9.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from altered_rows import ALTERED, CLOSED, SAID, lived, policies
from insider_kit import WRONG, Insider
from service_kit import alter, examine, leaves, quiet_keeper, talk

from apostille.core import predicates
from apostille.core.entry import Entry, format_entry
from apostille.core.merkle import leaf_hash
from apostille.services.attester import Draft
from apostille.services.auditor import examine_store
from apostille.services.examination import Examination
from apostille.services.keeper import KEYS_UNIT, Keeper
from apostille.services.run_audit import examine_run
from apostille.services.vault import Sealer
from tests.simulators.world import World


@pytest.fixture
def world():
    return lived()


@pytest.fixture
def insider():
    made = Insider()
    yield made
    made.keeper.close()


# --- one run


def run_of(world: World) -> str:
    return world.store.runs()[0].hex()


def examine_one(world: World, run: str | None = None, **options: Any):
    return examine(world, run=run or run_of(world), **options)


def test_a_sound_run(world):
    found = examine_one(world)
    assert (found.code, found.failures) == (0, [])
    assert found.audit.runs[run_of(world)].count == 4
    assert any("revocation not checked" in text for text in found.notices)


@pytest.mark.parametrize("name", [n for n in ALTERED if ALTERED[n][2] == SAID and "run" not in n])
def test_an_altered_row_of_the_run(world, name):
    change, message, index = ALTERED[name]
    change(world)
    found = examine_one(world)
    assert found.code == 1
    assert any(message in text for text in found.at(index))


def test_a_statement_taken_out_of_the_run(world):
    alter(world, SAID, run=None)
    found = examine_one(world)
    assert found.code == 1
    assert any("has a hole: statement 1 is missing" in f.message for f in found.failures)


def test_the_end_taken_out_of_the_run(world):
    alter(world, CLOSED, run=None)
    assert examine_one(world).code == 4


def test_what_is_wrong_elsewhere_is_not_this_runs(insider):
    insider.close(1, insider.open())
    insider.output(insider.new_key("stranger"))
    insider.open("cd" * 16)
    insider.keeper.publish()
    assert examine_one(insider.world, "ab" * 16).code == 0
    assert examine_one(insider.world, "cd" * 16).code == 4
    assert examine(insider.world).code == 3


@pytest.mark.parametrize(
    "name", [n for n in WRONG if n.startswith(("a statement", "a number", "another one", "begins", "opened", "closed", "goes"))]
)
def test_a_wrong_chain_of_a_run(insider, name):
    act, code, message = WRONG[name]
    index = act(insider)
    insider.keeper.publish()
    found = examine_one(insider.world, "ab" * 16)
    assert found.code == code
    assert [(f.index, message in f.message) for f in found.failures] == [(index, True)]


def test_a_leaf_that_was_exchanged(insider):
    """Another end of the run, rightly signed and in its place, but not the one in the signed tree."""
    last = insider.close(1, insider.open())
    insider.keeper.publish()
    run, world = "ab" * 16, insider.world
    assert examine_one(world, run).code == 0
    fields = {"run": run, "seq": 1, "previous": insider.digest(last - 1), "count": 2, "outcome": "aborted"}
    entry = insider.agent.attest(Draft(predicates.RUN_CLOSE, fields, {"agent": "a"}), unit=KEYS_UNIT, run=bytes.fromhex(run))
    leaf = format_entry(Entry(entry.pae_digest, entry.signature, entry.spki))
    world.store._records[last] = Sealer(world.vault, world.random).seal(entry, leaf, leaf_hash(leaf))
    found = examine_one(world, run)
    assert (found.code, [f.step for f in found.failures]) == (1, [4])
    assert "is not at index" in found.failures[0].message


def test_a_run_that_is_not_published_yet(world):
    quiet = quiet_keeper(world)
    quiet.publish()
    run = talk(quiet)
    found = examine_one(world, run)
    assert found.code == 4
    assert any("PENDING: leaf" in f.message for f in found.failures)
    quiet.close()


def test_a_run_against_the_remembered_head(world):
    sound = world.heads.heads[world.signer.origin]
    for remembered in (replace(sound, size=8), replace(sound, root_hash=bytes(32)), replace(sound, size=3, root_hash=bytes(32))):
        world.heads.heads[world.signer.origin] = remembered
        found = examine_one(world)
        assert (found.code, [f.code for f in found.failures]) == (1, ["HALT_ROLLBACK"])


@pytest.mark.parametrize(
    ("name", "code"), [("nothing pinned", 3), ("another key under its name", 3), ("quorum unmet", 4), ("quorum met", 0)]
)
def test_the_trust_file_decides_on_a_run(world, name, code):
    assert examine_one(world, policy=policies(world)[name]).code == code


# --- beside a keeper at work


class Lively:
    """Reads a store, and between any two reads the keeper commits and publishes more."""

    def __init__(self, world: World, keeper: Keeper) -> None:
        self._world, self._keeper = world, keeper

    def __getattr__(self, name: str):
        found = getattr(self._world.store, name)
        if not callable(found):
            return found

        def call(*args):
            talk(self._keeper)
            self._keeper.publish()
            return found(*args)

        return call


class LivelyHeads(Lively):
    def __getattr__(self, name: str):
        found = getattr(self._world.heads, name)

        def call(*args):
            talk(self._keeper)
            self._keeper.publish()
            return found(*args)

        return call


def strict_remember(world: World) -> None:
    """Like the real one: a head that would make the size fall is an alarm."""
    heads, keep = world.heads, world.heads.remember

    def remember(checkpoint):
        known = heads.recall(checkpoint.origin)
        assert known is None or known.size <= checkpoint.size, "the remembered size would fall"
        keep(checkpoint)

    heads.remember = remember


@pytest.mark.parametrize("is_run", [False, True])
def test_a_keeper_at_work_is_no_rollback(world, is_run):
    """Nothing that a keeper does meanwhile looks like misbehaviour: at most something is not published yet."""
    strict_remember(world)
    keeper = world.keeper()
    examination = Examination()
    reader, heads = Lively(world, keeper), LivelyHeads(world, keeper)
    options = {"origin": world.signer.origin, "heads": heads, "vault": world.vault}
    if is_run:
        examine_run(examination, reader, world.policy(), run=run_of(world), **options)
    else:
        examine_store(examination, reader, world.policy(), **options)
    assert examination.altered == []
    assert examination.malformed == []
    assert examination.untrusted == []
    assert all("PENDING" in f.message or "is not closed" in f.message for f in examination.missing)
    keeper.close()


def test_leaf_bytes_are_what_is_hashed(world):
    """The oracle of this file: the tree that the tests rely on is made of these entries."""
    for index in range(world.store.count()):
        record = world.store.record(index)
        assert record.leaf_hash == leaf_hash(record.entry)
    assert [item.index for item in leaves(world)] == list(range(7))
