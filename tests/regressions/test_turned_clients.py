"""What a client of a keeper could do to the log and to others before a hostile review looked: one test each, so that none comes back.

The keeper's admission is real, with its log in memory; those that need processes are in ``test_turned_clients_live``.
"""

from __future__ import annotations

import itertools
import threading
from datetime import datetime

import pytest

from apostille.core import frames, keys, predicates
from apostille.core.digest import sha256
from apostille.errors import ConflictError, MalformedError, NotFoundError, TooLargeError, UntrustedError
from apostille.services import admission, erasure
from apostille.services.admission import Session
from apostille.services.attester import utc_text
from tests.unit.services.service_kit import examine
from tests.unit.services.test_admission import CHALLENGE, OTHER, RUN, Client, Here, opened


@pytest.fixture
def here():
    made = Here()
    yield made
    made.keeper.close()


@pytest.fixture
def client(here):
    return here.client()


def whole_run(client: Client, run: bytes = RUN) -> None:
    handed, previous = client.open(run)
    client.takes(handed, client.close(run, 1, previous)[0])


def test_one_key_asked_for_on_two_connections_at_once_has_one_certificate(here, monkeypatch) -> None:
    """It had two, and the whole log failed every audit from then on: ``the key was certified before``."""
    first, second = (Client(here, here.session(), "same") for _ in range(2))
    asked = frames.Enrol(1, first.key.spki, first.proof(), "a", "agent")
    gate, commit = threading.Event(), here.world.store.commit
    monkeypatch.setattr(here.world.store, "commit", lambda *args: gate.wait(10) and commit(*args))
    granted = here.admission.enrol(first.session, asked, CHALLENGE)
    with pytest.raises(ConflictError):
        here.admission.enrol(second.session, asked, CHALLENGE)
    gate.set()
    second.hello(second.session)  # what a client does then; it waits for the certificate
    here.admission.enrolled(first.session, asked.spki, granted.ticket)
    here.keeper.publish()
    assert examine(here.world).failures == []


def test_a_statement_handed_in_again_behind_many_others_stands_once(here, client, monkeypatch) -> None:
    """Its nonce had been looked up before it was committed, and was forgotten again by its turn."""
    monkeypatch.setattr(admission, "_RECENT", 8)
    said = client.output(None)[0]
    others = [client.output(None, text=b"%d" % number)[0] for number in range(12)]
    outcomes = client.takes(said, *others, said)
    assert outcomes[0] == outcomes[-1]
    here.keeper.publish()
    assert examine(here.world).failures == []


@pytest.mark.parametrize("is_alone", [True, False])
def test_nobody_seals_under_the_key_of_a_run_of_others(here, client, is_alone) -> None:
    """The key of the run's unit could never be destroyed again: it opened a leaf that no erasure names."""
    whole_run(client)
    thief = here.client("b")
    if is_alone:
        thief.refused(thief.output(None, unit=RUN)[0], UntrustedError, "erasure unit")
        thief.refused(thief.output(None, nonce=RUN)[0], ConflictError, "a run has this nonce")
    else:
        previous = opened(thief, OTHER)
        thief.refused(thief.output(OTHER, 1, previous, unit=RUN)[0], UntrustedError, "erasure unit")
    assert {target.index for target in erasure.plan_run(here.world.store, RUN, erasure.KEY).targets} == {3, 4}


def test_no_run_takes_the_unit_of_a_single_statement(here, client) -> None:
    said = client.output(None)[0]
    client.takes(said)
    thief = here.client("b")
    nonce = here.world.store.record(3).nonce
    thief.refused(thief.open(nonce)[0], ConflictError, "nonce")


def test_a_gap_beside_a_run_takes_no_unit_of_others(here, client) -> None:
    whole_run(client)
    thief = here.client("b")
    opened(thief, OTHER)
    now = utc_text(here.world.clock.now_ms())
    gap = {"from": now, "to": now, "run": OTHER.hex()}
    thief.refused(thief.say(predicates.GAP, None, nonce=RUN, **gap)[0], ConflictError, "a run has this nonce")


def test_an_agent_declares_no_gap_in_what_others_say(here, client) -> None:
    """One such statement made every audit of the whole log end with GAP, for ever."""
    now = utc_text(here.world.clock.now_ms())
    gap = {"from": now, "to": now}
    client.refused(client.say(predicates.GAP, None, **gap)[0], UntrustedError, "its own runs")
    gateway = here.client("g", held_by="gateway")
    gateway.takes(gateway.say(predicates.GAP, None, **gap)[0])


@pytest.mark.parametrize("where", ["parents", "nonce"])
def test_a_run_that_another_statement_spells_is_still_closed(here, client, where) -> None:
    """Sixteen bytes that happened to be a run's id, in a digest or a nonce: the next keeper took the run for one that goes on."""
    opened(client)
    thief = here.client("b")
    previous = opened(thief, OTHER)
    more = {"parents": [RUN.hex() * 2]} if where == "parents" else {"nonce": RUN}
    handed, previous = thief.output(OTHER, 1, previous, **more)
    thief.takes(handed, thief.close(OTHER, 2, previous)[0])
    here.keeper.close()
    assert [run for run, _, _ in here.world.store.open_runs()] == [RUN]
    here.restart()


@pytest.mark.parametrize("time", ["2026-11-31T12:00:00.000Z", "2026-02-29T12:00:00.000Z"])
def test_a_day_that_there_is_not_is_no_time(time) -> None:
    """As the newest statement's time it kept every later keeper from starting, with an internal fault."""
    with pytest.raises(MalformedError):
        predicates.FIELDS["captured_at"](time)
    predicates.FIELDS["captured_at"]("2028-02-29T12:00:00.000Z")


def test_another_user_counts_no_receipts_of_others_off(here, client) -> None:
    """By number it got everybody's: with the attributes, so whose agent says what to whom."""
    client.takes(client.output(None)[0])
    spy = Client(here, here.session(own=False), "spy")
    spy.enrol(holder="spy")
    spy.takes(spy.output(None, agent="spy")[0])
    with pytest.raises(UntrustedError):
        here.admission.check_own(spy.session, 3)
    with pytest.raises(NotFoundError):
        here.admission.check_own(spy.session, 99)
    here.admission.check_own(spy.session, 5)
    here.admission.check_own(client.session, 5)  # who can read the store may ask for anything in it


def test_its_own_receipts_stay_its_own_after_its_key_was_replaced(here) -> None:
    agent = here.client("x", own=False)
    agent.takes(agent.output(None)[0])
    old = agent.key
    agent.key = keys.StatementKey.from_seed(sha256(b"new") * 2)
    agent.enrol(replaces=sha256(old.spki))
    agent.session = Session(1234, may_enrol=True, is_own_uid=False)
    agent.hello(agent.session)
    here.admission.check_own(agent.session, 3)


def test_a_frame_holds_no_millions_of_statements() -> None:
    """Each of them, 26 bytes, had a refusal of its own: one frame held the keeper up for minutes."""
    one = frames.Handed(b"", b"", bytes(16), ())
    data = frames.format_frame(frames.Append(1, (one,) * frames.MAX_HANDED))
    assert len(frames.parse_frame(data).entries) == frames.MAX_HANDED
    with pytest.raises(TooLargeError):
        frames.format_frame(frames.Append(1, (one,) * (frames.MAX_HANDED + 1)))
    payload = data[4:9] + (frames.MAX_HANDED + 1).to_bytes(4, "big") + data[13:] + bytes(26)
    with pytest.raises(TooLargeError):
        frames.parse_payload(payload)
    with pytest.raises(TooLargeError):
        frames.format_frame(frames.Append(1, (frames.Handed(b"", b"", bytes(16), (b"",) * (frames.MAX_OPENINGS + 1)),)))


def test_a_lease_of_a_long_closed_run_reads_its_two_ends_only(here, client, monkeypatch) -> None:
    """All its indexes were read under the lock that everybody's statements wait for."""
    whole_run(client)
    here.restart()
    client.hello()
    span = here.world.store.run_span(RUN, 99)
    monkeypatch.setattr(here.world.store, "run_span", lambda run, before: span)
    monkeypatch.setattr(here.world.store, "run_indexes", lambda run: pytest.fail("all of them"))
    with pytest.raises(ConflictError, match="closed"):
        here.admission.lease(client.session, RUN)


def test_a_time_is_one_that_there_is():
    """What the statement reader takes, every reader of dates takes, and the other way round; year 0 is none of theirs."""
    for year in (0, 1, 4, 100, 400, 1900, 2000, 2023, 2024, 2100, 9999):
        for month, day in itertools.product(range(14), range(33)):
            text = f"{year:04}-{month:02}-{day:02}T00:00:00.000Z"
            try:
                datetime.fromisoformat(text)
            except ValueError:
                with pytest.raises(MalformedError):
                    predicates.FIELDS["captured_at"](text)
            else:
                predicates.FIELDS["captured_at"](text)
