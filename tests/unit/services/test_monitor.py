"""The incremental audit: what is new is read, what was read is proven, and a rewrite below either is caught.

Spec: trust.md sections 3, 4, 8, 11; formats.md sections 8 and 12 steps 10, 11.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from insider_kit import Insider, erasure
from service_kit import alter, copy_store, cut, exit_of, quiet_keeper, talk

from apostille.core import predicates
from apostille.core.digest import sha256
from apostille.core.entry import Entry, format_entry
from apostille.core.merkle import leaf_hash
from apostille.core.statement import parse_statement
from apostille.core.strict import base64_text, canonical_json
from apostille.errors import MalformedError, TooLargeError
from apostille.services.attester import Draft, utc_text
from apostille.services.audit import MAX_STATE_LEAVES, format_state, parse_state
from apostille.services.auditor import Recalled
from apostille.services.examination import Examination
from apostille.services.keeper import KEYS_UNIT
from apostille.services.monitor import audit_store
from apostille.services.vault import Sealer
from tests.simulators.world import World

STATE_SIZE = 7


class Counting:
    """A reader that counts the leaves which are read through it, one by one or in a row."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.leaves = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def record(self, index: int) -> Any:
        self.leaves += 1
        return self._store.record(index)

    def records(self, start: int = 0):
        for pair in self._store.records(start):
            self.leaves += 1
            yield pair


@dataclass
class Desk:
    """Somebody who audits a world again and again."""

    world: World
    state: bytes | None = None
    read: int = 0
    evidence: list[Any] = field(default_factory=list)

    def audit(self, *, is_full: bool = False, vault: Any = ..., store: Any = None, published: bytes | None = None):
        world, examination = self.world, Examination()
        reader = Counting(store or world.store)
        found = audit_store(
            examination,
            reader,
            world.policy(),
            origin=world.signer.origin,
            heads=world.heads,
            recalled=Recalled(world.heads.recall(world.signer.origin)),
            state=self.state,
            vault=world.vault if vault is ... else vault,
            published=published,
            now="2099-01-01T00:00:00.000Z",
            is_full=is_full,
        )
        self.read, self.evidence = reader.leaves, found.evidence
        if found.after is not None:
            self.state = format_state(found.after)
        self.failures = list(examination.failures)
        self.notices = examination.notices
        self.found = found
        return exit_of(examination)

    @property
    def said(self) -> list[str]:
        return [failure.message for failure in self.failures]


@pytest.fixture
def desk():
    world = World()
    keeper = world.keeper()
    talk(keeper, 3)
    keeper.close()
    made = Desk(world)
    assert made.audit() == 0
    return made


def more(desk: Desk, outputs: int = 1, *, close: bool = True) -> str:
    desk.world.clock.now += 1000
    keeper = desk.world.keeper()
    run = talk(keeper, outputs, close=close)
    keeper.close()
    return run


# --- work


def test_nothing_new_is_nothing_read(desk):
    assert desk.audit() == 0
    assert desk.read == 0
    assert desk.found.start == desk.found.size == desk.world.store.count()
    assert any("older leaves were not read again" in text for text in desk.notices)


def test_what_is_new_is_read_and_counted_with_the_old(desk):
    before = desk.world.store.count()
    more(desk, 2)
    assert desk.audit() == 0
    new = desk.world.store.count() - before
    assert desk.found.start == before
    assert new <= desk.read < new + 6, "beside what is new only the chain of its signers' keys"
    total = desk.world.store.count()
    assert str(desk.found.openings) == f"{total} leaves = {total} opened + 0 sealed + 0 erased + 0 missing"
    assert desk.found.run_count == 2


@pytest.mark.slow
def test_an_increment_of_a_large_log_reads_no_more_than_that_of_a_small_one():
    """Counted in leaves, not in seconds: the cost of an audit follows what is new, not how much there is."""
    world = World()
    keeper = world.keeper()
    run = keeper.open_run(agent="a")
    for number in range(20_000):
        run.output(b"%d" % number, b"%d" % number, profile="opaque", media_type="text/plain")
    run.close().committed(60)
    keeper.close()
    desk = Desk(world)
    assert desk.audit() == 0
    assert desk.read >= 20_000
    more(desk, 10)
    assert desk.audit() == 0
    assert desk.read < 20 + 6
    assert desk.audit(is_full=True) == 0
    assert desk.read >= 20_000


def test_full_reads_everything_and_the_next_goes_on_from_there(desk):
    size = desk.world.store.count()
    assert desk.audit(is_full=True) == 0
    assert (desk.read, desk.found.start) == (size, 0)
    assert desk.audit() == 0
    assert desk.read == 0


@pytest.mark.parametrize("seed", range(8))
def test_in_any_number_of_parts_the_outcome_is_that_of_the_whole(seed):
    """However often it was audited meanwhile, counts, runs and findings are those of one full audit."""
    dice = random.Random(seed)
    world = World()
    keeper = quiet_keeper(world)
    desk = Desk(world)
    open_runs: list[Any] = []
    for _ in range(30):
        act = dice.choice(("open", "say", "say", "say", "close", "publish", "audit"))
        if act == "open":
            open_runs.append(keeper.open_run(agent=f"agent {len(open_runs)}"))
        elif act in {"say", "close"} and open_runs:
            run = dice.choice(open_runs)
            last = run.close() if act == "close" else run.output(b"x", b"x", profile="opaque", media_type="text/plain")
            last.committed(5)
            if act == "close":
                open_runs.remove(run)
        elif act == "publish":
            keeper.publish()
        elif act == "audit":
            desk.audit()
    keeper.publish()
    parts = desk.audit(), sorted(desk.said), str(desk.found.openings), desk.found.run_count
    open_ids = {state.id: (state.count, state.previous) for state in desk.found.open_runs}
    whole = Desk(world)
    assert (whole.audit(), sorted(whole.said), str(whole.found.openings), whole.found.run_count) == parts
    assert {state.id: (state.count, state.previous) for state in whole.found.open_runs} == open_ids
    keeper.close()


# --- what is old, and matters again


def test_a_run_goes_on_over_an_audit():
    insider = Insider()
    desk = Desk(insider.world)
    first = insider.open()
    insider.keeper.publish()
    assert desk.audit() == 4
    assert desk.said == [f"run {'ab' * 16} is not closed: 1 statements so far"]
    insider.close(1, first)
    insider.keeper.publish()
    assert desk.audit() == 0
    insider.keeper.close()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda i, first: i.chained(predicates.OUTPUT, 2, first), "has a hole: statement 1 is missing"),
        (lambda i, first: i.chained(predicates.OUTPUT, 1, 0), "or another one stood here"),
        (lambda i, first: i.chained(predicates.RUN_OPEN, 0, None), "has a hole: statement 1 is missing"),
    ],
)
def test_a_run_that_does_not_continue_what_was_audited(act, message):
    insider = Insider()
    desk = Desk(insider.world)
    first = insider.open()
    insider.keeper.publish()
    assert desk.audit() == 4
    index = act(insider, first)
    insider.keeper.publish()
    assert desk.audit() == 1
    assert any(message in f.message for f in desk.failures if f.index == index)
    insider.keeper.close()


@pytest.mark.parametrize("seq", [0, 2])
def test_a_run_that_was_closed_before_the_last_audit_does_not_go_on(seq):
    """It is read back from the store: nothing in memory speaks of it."""
    insider = Insider()
    desk = Desk(insider.world)
    last = insider.close(1, insider.open())
    insider.keeper.publish()
    assert desk.audit() == 0
    index = insider.open() if seq == 0 else insider.chained(predicates.OUTPUT, 2, last)
    insider.keeper.publish()
    assert desk.audit() == 1
    assert any("goes on after it was closed" in f.message for f in desk.failures if f.index == index), desk.said
    insider.keeper.close()


def test_a_statement_of_no_run_that_was_audited_is_not_put_in_again():
    """It stands in no chain: its nonce tells."""
    insider = Insider()
    desk = Desk(insider.world)
    draft = Draft(
        predicates.OUTPUT,
        {"assurance": "bound", "commitment": "salted", "profile": "opaque"},
        {},
        [("raw", b""), ("canonical", b"")],
    )
    entry = insider.agent.attest(draft, unit=KEYS_UNIT)
    first = insider.put(entry)
    insider.keeper.publish()
    assert desk.audit() == 0
    index = insider.put(entry)
    insider.keeper.publish()
    assert desk.audit() == 1
    assert desk.said == [f"leaf {index}: the statement stands in the log twice, first at {first}"]
    insider.keeper.close()


def test_a_key_that_was_ended_before_the_last_audit_stays_ended():
    insider = Insider()
    desk = Desk(insider.world)
    insider.certify(insider.root, insider.agent, 0, event="retire")
    insider.keeper.publish()
    assert desk.audit() == 0
    index = insider.output(insider.agent)
    insider.keeper.publish()
    assert desk.audit() == 3
    assert [f.index for f in desk.failures] == [index]
    insider.keeper.close()


def test_a_key_that_was_certified_before_the_last_audit_is_not_certified_again():
    insider = Insider()
    desk = Desk(insider.world)
    assert desk.audit() == 0
    insider.certify(insider.mine, insider.agent, 1)
    insider.keeper.publish()
    assert desk.audit() == 1
    assert any("the key was certified before" in text for text in desk.said)
    insider.keeper.close()


def test_a_declared_gap_is_said_by_every_audit_that_follows():
    insider = Insider()
    desk = Desk(insider.world)
    index = insider.say(insider.agent, predicates.GAP, {"from": "2026-01-01T00:00:00.000Z", "to": "2026-01-01T00:01:00.000Z"})
    insider.keeper.publish()
    assert desk.audit() == 4
    assert desk.audit() == 4
    assert desk.said == [f"GAP: 1 declared before, the first at leaf {index}"]
    insider.keeper.close()


def test_an_erasure_of_old_leaves_is_followed_until_it_is_complete():
    """An old leaf moves from opened to erased; what is named and still there is said again and again."""
    insider = Insider()
    world, desk = insider.world, Desk(insider.world)
    said = insider.output(insider.agent)
    insider.keeper.publish()
    assert desk.audit() == 0
    eraser = insider.new_key("eraser")
    insider.certify(insider.root, eraser, 0, usage="erasure", held_by=None)
    index = erasure(insider, eraser, said, ["attributes", "canonical", "raw"])
    insider.keeper.publish()
    for _ in range(2):
        assert desk.audit() == 4
        assert [f.index for f in desk.failures] == [said]
        assert "still there: attributes, canonical, raw" in desk.said[0]
        assert desk.found.open_erasures == [index]
    world.store.destroy({said: ["attributes", "canonical", "raw"]})
    assert desk.audit() == 0
    assert desk.found.openings.erased == 1
    assert desk.found.openings.total == world.store.count()
    assert desk.audit() == 0
    assert desk.found.openings.erased == 1
    insider.keeper.close()


# --- rewriting, truncation, two views


def test_a_rewrite_below_what_was_audited(desk):
    """The log key's owner has made another history, as long as the old one and longer."""
    other = World()  # the same keys, other words
    keeper = other.keeper()
    talk(keeper, 5, agent="somebody else")
    keeper.close()
    size = parse_state(desk.state).size
    assert desk.audit(store=other.store) == 1
    assert any(f"REWRITE before size {size}: history is not the one that was audited" in text for text in desk.said)
    assert any("history is not the one that this machine remembers" in text for text in desk.said)
    first, second = desk.evidence[0]
    assert first.startswith(desk.world.signer.origin.encode() + b"\n%d\n" % size)
    assert second == other.store.checkpoint().note
    assert parse_state(desk.state).size == size, "what was audited is not forgotten"


def test_a_rewrite_is_caught_by_the_audited_root_alone(desk):
    """Head memory was made to forget."""
    other = World()
    keeper = other.keeper()
    talk(keeper, 5, agent="somebody else")
    keeper.close()
    desk.world.heads.heads.clear()
    assert desk.audit(store=other.store) == 1
    assert any("REWRITE before size" in text for text in desk.said)


def test_truncation(desk):
    size = desk.world.store.count()
    old = copy_store(desk.world.store)
    cut(old, size - 2)
    old._checkpoints = {s: c for s, c in old._checkpoints.items() if s <= size - 2}
    assert desk.audit(store=old) == 1
    assert any(f"HALT_ROLLBACK: {size} leaves were audited, the first {size - 2} are here" in text for text in desk.said)
    assert desk.evidence


def test_two_signed_roots_for_one_size_are_kept_both(desk):
    """What is published is another history than the store's: the log key has signed both."""
    other = World()
    keeper = other.keeper()
    talk(keeper, 3, agent="somebody else")
    keeper.close()
    note = other.store.checkpoint().note
    assert other.store.checkpoint().size == desk.world.store.checkpoint().size
    assert desk.audit(published=note) == 1
    assert any(text.startswith("SPLIT VIEW: the published checkpoint of size") for text in desk.said)
    assert desk.evidence == [(note, desk.world.store.checkpoint().note)]


def test_an_old_leaf_that_was_changed_is_for_a_full_audit(desk):
    """Said in every verdict: old leaves are not read again. Where a new one needs it, it must be the one in the audited tree."""
    alter(desk.world, 5, statement=b"{}")
    assert desk.audit() == 0
    assert any("--full" in text for text in desk.notices)
    assert desk.audit(is_full=True) == 1


def test_an_old_certificate_that_was_changed_is_found_where_it_is_needed():
    insider = Insider()
    desk = Desk(insider.world)
    assert desk.audit() == 0
    index = insider.output(insider.agent)
    insider.keeper.publish()
    alter(insider.world, 2, statement=insider.world.store.record(2).statement.replace(b'"agent"', b'"owner"'))
    assert desk.audit() == 1
    assert any("leaf 2: the statement is not the one" in f.message for f in desk.failures if f.index == index), desk.said
    insider.keeper.close()


# --- the state


def test_a_lost_or_damaged_state_is_a_full_audit(desk):
    size = desk.world.store.count()
    for state in (None, b"{}", desk.state[:-1], desk.state.replace(b'"has_keys":true', b'"has_keys":1')):
        desk.state = state
        assert desk.audit() == 0
        assert (desk.read, desk.found.start) == (size, 0)
        assert state is None or any("everything is read again" in text for text in desk.notices)


def test_a_state_that_was_made_with_other_keys_is_a_full_audit(desk):
    assert desk.audit(vault=None) == 0
    assert desk.found.start == 0
    assert desk.found.openings.sealed == desk.world.store.count()
    assert desk.audit() == 0
    assert desk.found.openings.sealed == 0


def test_nothing_is_remembered_of_an_audit_with_findings(desk):
    before = desk.state
    more(desk)
    alter(desk.world, desk.world.store.count() - 1, statement=b"{}")
    assert desk.audit() == 1
    assert desk.found.after is None
    assert desk.state == before


def test_the_state_is_read_back_as_it_was_written(desk):
    more(desk, close=False)
    desk.audit()
    state = parse_state(desk.state)
    assert format_state(state) == desk.state
    for broken in (desk.state + b" ", desk.state.replace(b'"size":', b'"size":1'), b"[]", b"\xff"):
        with pytest.raises(MalformedError):
            parse_state(broken)


STATES = {
    "another version": ("version", 2),
    "more leaves than are taken": ("size", MAX_STATE_LEAVES + 1),
    "fewer places than leaves": ("size", 1000),
    "a leaf that nobody has looked at": ("places", base64_text(zlib.compress(b"\1" * (STATE_SIZE - 1) + b"\0"))),
    "a place that is none": ("places", base64_text(zlib.compress(b"\1" * (STATE_SIZE - 1) + b"\5"))),
    "more places than leaves": ("places", base64_text(zlib.compress(b"\1" * (STATE_SIZE + 1)))),
    "places that are cut": ("places", base64_text(zlib.compress(b"\1" * STATE_SIZE)[:-1])),
    "something behind the places": ("places", base64_text(zlib.compress(b"\1" * STATE_SIZE) + b"x")),
    "a gap that is not there": ("gaps", [STATE_SIZE]),
    "gaps out of order": ("gaps", [2, 1]),
    "an erasure twice": ("erasures", [1, 1]),
    "an erasure below zero": ("open_erasures", [-1]),
    "a run twice": ("runs", [["ab" * 16, "none", 1, "00" * 32]] * 2),
    "a run without a statement": ("runs", [["ab" * 16, "none", 0, "00" * 32]]),
    "a run of five": ("runs", [["ab" * 16, "none", 1, "00" * 32, 1]]),
    "fewer runs than are open": ("run_count", 0),
    "an end that is not there": ("ended", {"00" * 32: STATE_SIZE}),
    "a key that is none": ("replaced", {"00": 1}),
}


def _state(**changes: Any) -> bytes:
    value: dict[str, Any] = {
        "version": 1,
        "origin": "log.example/1",
        "size": STATE_SIZE,
        "root": "00" * 32,
        "has_keys": True,
        "places": base64_text(zlib.compress(b"\1" * STATE_SIZE)),
        "gaps": [1, 2],
        "erasures": [3],
        "open_erasures": [3],
        "run_count": 3,
        "runs": [["ab" * 16, "none", 1, "00" * 32]],
        "ended": {"00" * 32: 2},
        "replaced": {"00" * 32: 2},
    }
    return canonical_json(value | changes)


@pytest.mark.parametrize("why", STATES)
def test_a_state_that_contradicts_itself_is_none(why):
    name, wrong = STATES[why]
    assert format_state(parse_state(_state())) == _state()
    with pytest.raises(TooLargeError if why == "more leaves than are taken" else MalformedError):
        parse_state(_state(**{name: wrong}))


def test_an_exchanged_certificate_deep_in_the_tree_is_not_believed():
    """Rightly signed by the keeper's own key, hash and column with it, under a subtree whose stored hash stayed: it is not in the tree."""
    insider = Insider()
    world, desk = insider.world, Desk(insider.world)
    previous = insider.open()
    for seq in range(1, 300):
        previous = insider.chained(predicates.OUTPUT, seq, previous)
    insider.close(300, previous)
    insider.keeper.publish()
    assert desk.audit() == 0
    thief = insider.new_key("thief")
    life = {"not_before": utc_text(world.clock.now - 10**6), "not_after": utc_text(world.clock.now + 10**6)}
    fields = {"event": "certify", "usage": "statement", "held_by": "agent", "issuer": insider.digest(1), **life}
    fields["not_before"] = parse_statement(world.store.record(1).statement).predicate["not_before"]
    spki = sha256(thief.key.spki)
    entry = insider.mine.attest(Draft(predicates.KEY, fields, {}, digests=(("spki", spki),)), unit=KEYS_UNIT, certifies=spki)
    leaf = format_entry(Entry(entry.pae_digest, entry.signature, entry.spki))
    world.store._records[40] = Sealer(world.vault, world.random).seal(entry, leaf, leaf_hash(leaf))
    index = insider.output(thief)
    insider.keeper.publish()
    assert desk.audit() == 1
    assert any("leaf 40: the entry is not at index 40" in f.message for f in desk.failures if f.index == index), desk.said
    insider.keeper.close()
