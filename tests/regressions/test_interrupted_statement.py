"""A signal (Ctrl-C, an alarm) ended a statement between the log and its run: the next one took the same place, and spoiled the log."""

from __future__ import annotations

import pytest

from apostille.errors import OutcomeUnknownError
from apostille.services.keeper import Keeper
from tests.simulators.world import World
from tests.unit.services.service_kit import examine

SOURCE = {"kind": "user"}


@pytest.fixture
def world():
    return World()


def test_nothing_follows_a_statement_that_was_interrupted(world, monkeypatch) -> None:
    """Whether the log has it is not known to the run, so it ends there; the next keeper closes it, and audits find no hole."""
    keeper = Keeper(world.parts, publish_interval_seconds=0.01)
    run = keeper.open_run(agent="a")
    submit = keeper.submit

    def interrupted(entry):
        submit(entry)
        raise KeyboardInterrupt

    monkeypatch.setattr(keeper, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.input(b"x", source=SOURCE)
    monkeypatch.undo()
    for follow in (lambda: run.input(b"y", source=SOURCE), run.close):
        with pytest.raises(OutcomeUnknownError, match="interrupted"):
            follow()
    keeper.close()
    Keeper(world.parts, publish_interval_seconds=0.01).close()
    found = examine(world)
    assert (found.failures, found.audit.runs[run.id].outcome) == ([], "crash")


def test_a_submitter_that_is_ended_before_he_wakes_the_log_holds_up_nobody(world, monkeypatch) -> None:
    """Those behind him were not the first that wait, so nobody woke the log for them either."""
    keeper = Keeper(world.parts, publish_interval_seconds=0.01)
    keeper.open_run(agent="a").close().committed(10)
    wake = keeper._sequencer._wake

    def interrupted(n: int = 1):
        raise KeyboardInterrupt

    run = keeper.open_run(agent="a")
    run.input(b"x", source=SOURCE).committed(10)
    keeper._sequencer._goal = 1000  # as after a large batch: only the first of the next ones woke the log
    monkeypatch.setattr(wake, "notify", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.input(b"y", source=SOURCE)
    monkeypatch.undo()
    keeper.open_run(agent="b").close().committed(10)
    assert keeper._sequencer.waiting == 0
    keeper.close()
