"""Columns that nobody signs, planted under leaves that nobody reads again: an error of ours was the answer, not a verdict.

A leaf of no run was filed under a run that came later. The next audit, and the guard of the next keeper, took it for that run's last
statement and looked for its place in the run. The state of an audit likewise named a leaf as an erasure that is none; a head row
of a negative size kept ``fsck`` counting levels for ever; text that is not UTF-8 ended in exit 70.
"""

from __future__ import annotations

import os
import signal
from unittest import mock

import apsw
import pytest

from apostille import wiring
from apostille.core import predicates
from apostille.services.attester import Draft, utc_text
from apostille.services.publisher import Publisher
from apostille.services.restore import public_record
from apostille.services.vault import KEYS_UNIT
from tests.fuzz import commands
from tests.unit.services.insider_kit import Insider


@pytest.fixture
def user():
    made = commands.Home()
    with made.entered():
        yield made


def call(user, *words: str) -> commands.Ended:
    ended = user.call(list(words))
    assert ended.code in commands.DOCUMENTED, ended
    return ended


def database(user) -> apsw.Connection:
    return apsw.Connection(str(user.work / ".apostille" / "store.sqlite"))


def say_and_crash(user) -> bytes:
    """A run whose beginning is published, and whose keeper was killed before it published the rest; its id."""
    pid = os.fork()
    if pid == 0:
        try:
            with mock.patch.object(Publisher, "start"):  # it publishes when it is told to
                keeper = wiring.open_keeper(wiring.store_folder(user.work / ".apostille"))
            run = keeper.open_run(agent="a")
            run.opened.committed(10)
            keeper.publish()
            run.output(b"x", b"x", profile="opaque", media_type="text/plain").committed(10)
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    db = database(user)
    try:
        return db.execute("SELECT run FROM leaf ORDER BY idx DESC LIMIT 1").get
    finally:
        db.close()


def test_the_next_audit_names_the_column(user):
    assert call(user, "audit").code == 0
    run = say_and_crash(user)
    db = database(user)
    db.execute("UPDATE leaf SET run = ? WHERE idx = 1", (run,))
    db.close()
    ended = call(user, "audit")
    assert ended.code == 1
    assert b"column 'run' of leaf 1 was altered" in ended.out


def test_the_next_keeper_signs_nothing(user):
    run = say_and_crash(user)
    db = database(user)
    # The run-open lies under a signed head, so the guard looks up where the run stands; the planted leaf comes last.
    signed = db.execute("SELECT max(size) FROM checkpoint").get
    db.execute("UPDATE leaf SET run = NULL WHERE run = ? AND idx < ?", (run, signed))
    db.execute("UPDATE leaf SET run = ? WHERE idx = 1", (run,))
    notes = db.execute("SELECT count(*) FROM checkpoint").get
    db.close()
    ended = call(user, "attest", commands.ARTIFACT)
    assert ended.code == 1
    assert b"leaf 1 is filed under a run that it is not in" in ended.err
    db = database(user)
    assert db.execute("SELECT count(*) FROM checkpoint").get == notes
    db.close()


def test_a_gap_that_comes_back_from_an_export_is_filed_under_no_run():
    """It names one without being in its chain; a run that went on behind it would have looked for its place there."""
    insider = Insider()
    try:
        fields = {"from": utc_text(0), "to": utc_text(90_000), "run": "ab" * 16}
        made = insider.agent.attest(Draft(predicates.GAP, fields, {"route": "x", "reason": "x"}), unit=KEYS_UNIT)
        record = insider.keeper.reader.record(insider.put(made))
    finally:
        insider.keeper.close()
    assert record.run is None
    assert public_record(record.entry, record.statement).run is None
