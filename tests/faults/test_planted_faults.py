"""Every external write fails once, before its effect or after it, at every size around a tile border; then the keeper is gone.

After each: the store derives the same tree again, nothing was released without its entry, no size was ever signed with two roots,
and each receipt that was handed out still verifies.

Spec: style.md section 8 (``faults/``); architecture.md, invariants I1, I3; formats.md section 9.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from faulty import WRITES, Fault, Ledger
from lives import Life, audit, check_after, check_tiles, found, kill, parts_of, quiet

from apostille.core.statement import parse_statement
from apostille.core.tree import EMPTY
from apostille.errors import ApostilleError
from apostille.storage.sqlite import SqliteStore
from tests.simulators.world import FixedClock

BASE = 250


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A log of 250 leaves."""
    folder = tmp_path_factory.mktemp("base")
    return folder, found(folder, BASE)


@pytest.mark.parametrize("persists", [False, True], ids=["fails", "fails but persists"])
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("target", range(254, 259))
def test_each_write(base, tmp_path, write, persists, target):
    folder, now = tmp_path / "store", base[1]
    shutil.copytree(base[0], folder)
    clock, ledger, fault = FixedClock(now), Ledger(), Fault()
    life = Life(quiet(parts_of(folder, clock, ledger, fault)), ledger)
    assert life.keeper.head.size == BASE + 2
    for size in range(BASE + 3, target + 3):
        if size == target:
            fault.write, fault.persists, fault.calls = write, persists, {}
        life.say(b"%d" % size, anew=size == target and write == "ensure")
    kill(life.keeper)
    assert fault.has_struck
    assert life.errors, "the caller did not learn of it"
    assert str(life.errors[0]) == f"planted: {write}"
    stops = write in {"commit", "ensure"}
    assert len(life.errors) == (3 if stops else 1), "a log that stopped took something, or one that need not stopped"
    check_after(folder, life)

    # The next keeper takes it up where it is, and closes the run that was cut off.
    store = SqliteStore(folder / "store.sqlite", read_only=True)
    size_before, cut_off = store.head().size, store.open_runs()
    store.close()
    second = quiet(parts_of(folder, clock, ledger))
    assert len(cut_off) == 1
    assert second.head.size == size_before + 1
    closing = parse_statement(second.reader.record(size_before).statement).predicate
    assert (closing["run"], closing["outcome"]) == (cut_off[0][0].hex(), "crash")
    run = second.open_run(agent="b")
    said = run.output(b"after", b"after", profile="opaque", media_type="text/plain").committed(5)
    run.close().committed(5)
    second.publish()
    _, receipt = second.receipt_at(said.index, since=BASE)
    ledger.receipts.append((said.index, b"after", receipt))
    second.close()
    check_after(folder, life)
    assert check_tiles(folder) == size_before + 5
    if target != 256:
        return  # the rest is slow, and says no more at the other sizes
    assert audit(folder).failures == ()


@pytest.mark.parametrize("write", ["add_checkpoint", "remember", "write", "write_checkpoint"])
@pytest.mark.parametrize("persists", [False, True], ids=["fails", "fails but persists"])
def test_a_start_that_fails_in_the_middle(base, tmp_path, write, persists):
    """Killed with an unpublished tail; the next keeper's first publication fails too; the third one mends all of it."""
    folder, now = tmp_path / "store", base[1]
    shutil.copytree(base[0], folder)
    clock, ledger = FixedClock(now), Ledger()
    life = Life(quiet(parts_of(folder, clock, ledger)), ledger)
    for number in range(6):
        life.run.output(b"%d" % number, b"x", profile="opaque", media_type="text/plain").committed(5)
    kill(life.keeper)
    fault = Fault(write, 0, persists)
    second = quiet(parts_of(folder, clock, ledger, fault))
    with pytest.raises(ApostilleError, match="planted"):
        second.publish()
    kill(second)
    check_after(folder, life)
    third = quiet(parts_of(folder, clock, ledger))
    third.close()
    check_after(folder, life)
    # The second keeper's last deed that held was to close the run that the first one's death had cut off.
    assert check_tiles(folder) == BASE + 9
    assert set(ledger.signed) == {BASE + 9}


def test_an_honest_run_is_clean(base, tmp_path):
    """The same without any fault: the checks of this file hold on what is sound, and everything is released."""
    folder, now = tmp_path / "store", base[1]
    shutil.copytree(base[0], folder)
    ledger = Ledger()
    life = Life(quiet(parts_of(folder, FixedClock(now), ledger)), ledger)
    for size in range(BASE + 3, 261):
        life.say(b"%d" % size)
    life.run.close().committed(5)
    life.keeper.close()
    assert life.errors == []
    assert [index for index, _ in life.released] == list(range(BASE + 2, 260))
    assert len(ledger.receipts) == len(life.released)
    check_after(folder, life)
    assert check_tiles(folder) == 261


@pytest.mark.parametrize("broken", ["root", "order", "ahead"])
def test_these_checks_can_fail(base, tmp_path, broken):
    """Break what the ledger saw, and the check of this file says so."""
    folder, now = tmp_path / "store", base[1]
    shutil.copytree(base[0], folder)
    ledger = Ledger()
    life = Life(quiet(parts_of(folder, FixedClock(now), ledger)), ledger)
    life.say(b"x")
    kill(life.keeper)
    check_after(folder, life)
    other = replace(EMPTY, size=0)
    if broken == "root":
        ledger.roots[BASE + 3].add(other.root_hash)
    elif broken == "order":
        ledger.signed.append(1)
    else:
        ledger.roots[10**6] = {other.root_hash}
    with pytest.raises(AssertionError):
        check_after(folder, life)
