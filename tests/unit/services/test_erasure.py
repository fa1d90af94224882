"""Erasure: planned, signed, committed, then destroyed; and completed by the next keeper whatever came between.

Spec: formats.md section 3.6; trust.md section 3 (threat 26) and section 8.
"""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from apostille.core.statement import parse_statement
from apostille.errors import NotFoundError, PolicyError, RollbackError, StorageUnavailableError
from apostille.services import erasure
from apostille.services.attester import utc_text
from tests.unit.services.insider_kit import Insider
from tests.unit.services.insider_kit import erasure as insider_erasure
from tests.unit.services.service_kit import alter, examine, talk

LATE = "2099-01-01T00:00:00.000Z"


@pytest.fixture
def inside():
    """A log with a certified erasure key, and two runs of one output each."""
    made = Insider()
    made.eraser = made.new_key("eraser")
    made.certify(made.root, made.eraser, 0, usage="erasure", held_by=None)
    made.runs = [bytes.fromhex(talk(made.keeper)) for _ in range(2)]
    yield made
    made.keeper.close()


def now(i) -> str:
    return utc_text(i.world.clock.now_ms())


def log(i):
    return i.world.signer.vkeys[0]


def sign(i, plan, when=None):
    known = erasure.erasures(i.world.store, log(i))
    when = when or now(i)
    return erasure.sign_erasure(i.eraser, plan, erasure.open_targets(plan, known, when), reason="asked", effective_at=when)


def plan_run(i, which=0, method=erasure.KEY):
    return erasure.plan_run(i.world.store, i.runs[which], method)


def restart(i):
    i.keeper.close()
    i.keeper = i.world.keeper()


def test_the_statement_is_published_before_anything_is_destroyed(inside, monkeypatch):
    vault, seen = inside.world.vault, []
    destroy = vault.destroy

    def watched(unit):
        erasures = inside.world.store.erasures()
        assert inside.keeper.newest_checkpoint.size > erasures[-1]
        seen.append(unit)
        return destroy(unit)

    monkeypatch.setattr(vault, "destroy", watched)
    indexes, done = inside.keeper.erase(sign(inside, plan_run(inside)))
    assert (len(indexes), done.units, seen) == (1, 1, [inside.runs[0]])
    assert vault.key(inside.runs[1]) is not None
    found = examine(inside.world, now=now(inside))
    assert (found.code, found.audit.openings.erased, found.audit.openings.missing) == (0, 3, 0)
    run = examine(inside.world, run=inside.runs[0].hex(), now=now(inside))
    assert (run.code, run.audit.openings.erased, run.audit.erasures) == (0, 3, indexes)


def test_a_crash_between_statement_and_destruction_is_completed_at_the_next_start(inside):
    index = inside.put(sign(inside, plan_run(inside))[0])
    assert inside.world.vault.key(inside.runs[0]) is not None
    late = examine(inside.world, now=now(inside))
    assert late.code == 4
    assert all("still there" in text for place in inside.world.store.run_indexes(inside.runs[0]) for text in late.at(place))
    restart(inside)
    assert inside.world.vault.key(inside.runs[0]) is None
    assert examine(inside.world, now=now(inside)).audit.erasures == [index]


def test_a_failed_destruction_stops_the_next_start_and_is_tried_again(inside, monkeypatch):
    inside.put(sign(inside, plan_run(inside))[0])
    inside.keeper.close()

    def failing(unit):
        raise StorageUnavailableError("planted")

    with monkeypatch.context() as patch:
        patch.setattr(inside.world.vault, "destroy", failing)
        with pytest.raises(StorageUnavailableError, match="planted"):
            inside.world.keeper()
    inside.keeper = inside.world.keeper()
    assert inside.world.vault.key(inside.runs[0]) is None


def test_a_time_to_come_is_waited_for_by_a_keeper_at_work(inside):
    when = utc_text(inside.world.clock.now_ms() + 60_000)
    _, done = inside.keeper.erase(sign(inside, plan_run(inside), when))
    assert (done.units, done.waiting) == (0, when)
    assert examine(inside.world, now=now(inside)).code == 0
    inside.world.clock.now += 59_900
    inside.keeper.complete_erasures()  # the timer is set anew: some 90 ms are left
    deadline = time.monotonic() + 10
    while inside.world.vault.key(inside.runs[0]) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
        inside.world.clock.now += 20
    assert inside.world.vault.key(inside.runs[0]) is None


def test_more_than_a_thousand_leaves_need_several_statements_and_all_of_them(inside):
    run = bytes.fromhex(talk(inside.keeper, 1_100))
    plan = erasure.plan_run(inside.world.store, run, erasure.KEY)
    first, second = sign(inside, plan)
    assert [len(parse_statement(entry.statement).predicate["erases"]) for entry in (first, second)] == [1_000, 102]
    inside.put(first)
    assert inside.keeper.complete_erasures().units == 0, "the key also opens leaves that no statement names yet"
    assert examine(inside.world, now=now(inside)).code == 4
    (rest,) = sign(inside, plan)  # asked again, only what is not named is
    assert len(parse_statement(rest.statement).predicate["erases"]) == 102
    assert inside.keeper.erase([rest])[1].units == 1
    assert examine(inside.world, now=now(inside)).audit.openings.erased == 1_102


def test_rows_of_one_leaf_leave_the_others_readable(inside):
    place = inside.world.store.run_indexes(inside.runs[0])[1]
    plan = erasure.plan_leaf(inside.world.store, place, ["raw"], erasure.ROW)
    _, done = inside.keeper.erase(sign(inside, plan))
    assert (done.openings, done.units) == (1, 0)
    found = examine(inside.world, now=now(inside))
    assert (found.code, found.audit.openings.erased) == (0, 1)
    # What is left of the leaf is still held against its statement.
    record = inside.world.store.record(place)
    bad = tuple(replace(o, ciphertext=b"x" * 40) if o.name == "canonical" else o for o in record.openings)
    alter(inside.world, place, openings=bad)
    assert examine(inside.world, now=now(inside)).code == 1


def test_row_and_key_together(inside):
    """Some openings overwritten first, then the whole run's key: all of it is erased."""
    place = inside.world.store.run_indexes(inside.runs[0])[1]
    inside.keeper.erase(sign(inside, erasure.plan_leaf(inside.world.store, place, ["raw"], erasure.ROW)))
    inside.keeper.erase(sign(inside, plan_run(inside)))
    found = examine(inside.world, now=now(inside))
    assert (found.code, found.audit.openings.erased, found.audit.openings.missing) == (0, 3, 0)
    # And a statement that names only the raw opening does not cover the loss of all.
    other = inside.world.store.run_indexes(inside.runs[1])[1]
    inside.keeper.erase(sign(inside, erasure.plan_leaf(inside.world.store, other, ["raw"], erasure.ROW)))
    inside.world.vault.destroy(inside.runs[1])
    lost = examine(inside.world, now=now(inside))
    assert (lost.code, "no erasure names" in lost.at(other)[0]) == (1, True)


def test_a_foreign_unit_column_destroys_no_other_key(inside):
    """(a) files one leaf of an erased run under another run's unit: the key that goes is the one that the signer has named."""
    plan = plan_run(inside)
    entries = sign(inside, plan)
    alter(inside.world, plan.targets[0].index, unit=inside.runs[1])
    inside.keeper.erase(entries)
    assert inside.world.vault.key(inside.runs[1]) is not None


def test_a_leaf_put_under_an_erased_unit_keeps_its_key(inside):
    """(a) files a leaf that nobody has erased under the unit: the key stays, and the audit says that it is overdue."""
    entries = sign(inside, plan_run(inside))
    stranger = inside.world.store.run_indexes(inside.runs[1])[1]
    alter(inside.world, stranger, unit=inside.runs[0])
    assert inside.keeper.erase(entries)[1].units == 0
    assert inside.world.vault.key(inside.runs[0]) is not None


def test_nobody_but_an_erasure_key_destroys(inside):
    place = inside.world.store.run_indexes(inside.runs[0])[1]
    insider_erasure(inside, inside.agent, place, ["raw"])
    with pytest.raises(PolicyError, match="may not sign this type"):
        inside.keeper.complete_erasures()
    assert all(opening.ciphertext for opening in inside.world.store.record(place).openings)
    assert examine(inside.world, now=now(inside)).code == 1


def test_a_keeper_does_not_start_over_an_erasure_of_nobody(inside):
    place = inside.world.store.run_indexes(inside.runs[0])[1]
    insider_erasure(inside, inside.new_key("stranger"), place, ["raw"])
    inside.keeper.publish()
    inside.keeper.close()
    with pytest.raises(RollbackError, match="altered"):
        inside.world.keeper()
    assert all(opening.ciphertext for opening in inside.world.store.record(place).openings)


def test_an_erasure_that_names_another_statement_destroys_nothing(inside):
    place = inside.world.store.run_indexes(inside.runs[0])[1]
    insider_erasure(inside, inside.eraser, place, ["raw"], digest=bytes(32))
    assert inside.keeper.complete_erasures().openings == 0
    assert all(opening.ciphertext for opening in inside.world.store.record(place).openings)


def test_an_open_run_is_refused(inside):
    run = bytes.fromhex(talk(inside.keeper, close=False))
    with pytest.raises(NotFoundError, match="not closed"):
        erasure.plan_run(inside.world.store, run, erasure.KEY)
    with pytest.raises(NotFoundError, match="not closed"):
        erasure.plan_run(inside.world.store, run, erasure.ROW)


def test_what_is_named_for_later_is_signed_again_for_now(inside):
    plan = plan_run(inside)
    inside.keeper.erase(sign(inside, plan, LATE))
    assert sign(inside, plan, LATE) == []
    assert len(sign(inside, plan)) == 1
    # By another method, too: what a row statement covers does not let the key go.
    assert len(sign(inside, plan_run(inside, method=erasure.ROW), LATE)) == 1
