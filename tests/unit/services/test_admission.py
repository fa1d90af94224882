"""What a client may hand in, ``services.admission``: each refusal, what is taken twice, and whose run it is.

Everything is real but the clock: keys, signatures, statements, a keeper with its log in memory.
"""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from apostille.core import dsse, frames, keys, predicates
from apostille.core.digest import ZERO_HEX, sha256
from apostille.core.forms import format_statement
from apostille.core.statement import parse_statement
from apostille.errors import (
    ApostilleError,
    BackPressureError,
    ConflictError,
    DigestMismatchError,
    InvalidSignatureError,
    MalformedError,
    NotFoundError,
    PolicyError,
    StorageUnavailableError,
    UnavailableError,
    UntrustedError,
)
from apostille.services import leases
from apostille.services.admission import MAX_CLOCK_AHEAD_MS, MAX_LATE_MS, Admission, Session
from apostille.services.attester import Attester, Draft, utc_ms, utc_text
from apostille.services.genesis import certify_erasure
from apostille.services.keeper import KEYS_UNIT, Keeper
from apostille.services.sequencer import Ticket
from tests.simulators.world import CountingRandom, World
from tests.unit.services.service_kit import examine

CHALLENGE = b"c" * 32
OTHER_CHALLENGE = b"d" * 32


class Here:
    """A keeper with its admission, and clients of it."""

    def __init__(self) -> None:
        self.world = World()
        self.keeper = Keeper(self.world.parts, publish_interval_seconds=0.01, has_clients=True)
        self.admission = self.new_admission()

    def new_admission(self, **more) -> Admission:
        return Admission(self.keeper, self.world.store, self.world.clock, **more)

    def restart(self) -> None:
        """The keeper is started again; connections are gone."""
        self.keeper.close()
        self.keeper = Keeper(self.world.parts, publish_interval_seconds=0.01, has_clients=True)
        self.admission = self.new_admission()

    def session(self, *, own: bool = True, may_enrol: bool = True) -> Session:
        return Session(0 if own else 1234, may_enrol=may_enrol, is_own_uid=own)

    def client(self, label: str = "a", *, held_by: str = "agent", own: bool = True) -> Client:
        client = Client(self, self.session(own=own), label)
        client.enrol(held_by=held_by)
        return client

    @property
    def size(self) -> int:
        return self.keeper.head.size


class Client:
    """Somebody who signs by himself, whatever he likes."""

    def __init__(self, here: Here, session: Session, label: str) -> None:
        self.here = here
        self.session = session
        self.label = label
        self.random = CountingRandom(label)
        self.key = keys.StatementKey.from_seed(sha256(label.encode()) * 2)

    def proof(self, key: keys.StatementKey | None = None, challenge: bytes = CHALLENGE) -> bytes:
        return (key or self.key).sign(frames.hello_message(self.here.keeper.origin, challenge))

    def enrol(self, *, held_by: str = "agent", token: bytes | None = None, replaces: bytes | None = None, **more):
        asked = frames.Enrol(1, self.key.spki, self.proof(), "a", held_by, token, replaces)
        asked = replace(asked, **more)
        granted = self.here.admission.enrol(self.session, asked, CHALLENGE)
        self.here.admission.enrolled(self.session, asked.spki, granted.ticket)
        return granted

    def hello(self, session: Session | None = None, key: keys.StatementKey | None = None) -> Session:
        """Come back on a new connection."""
        self.session = session or self.here.session()
        key = key or self.key
        self.here.admission.hello(self.session, key.spki, self.proof(key), CHALLENGE)
        return self.session

    @property
    def attester(self) -> Attester:
        return Attester(self.key, self.here.world.clock, self.random)

    def say(
        self,
        kind: str,
        chain: bytes | None,
        seq: int = 0,
        previous: str = ZERO_HEX,
        *,
        unit=None,
        nonce=None,
        contents=(),
        agent="a",
        **fields,
    ):
        """Sign a statement; returns what is handed in, and its digest."""
        run = chain
        if run is not None:
            fields |= {"run": run.hex(), "seq": seq, "previous": previous}
        draft = Draft(kind, fields, {"agent": agent}, contents)
        nonce = nonce or self.random.token(16)
        entry = self.attester.attest(draft, unit=unit or run or nonce, run=run, nonce=nonce)
        handed = frames.Handed(entry.statement, entry.signature, entry.unit, tuple(o.content for o in entry.openings))
        return handed, entry.pae_digest.hex()

    def open(self, run: bytes, isolation: str = "none"):
        return self.say(predicates.RUN_OPEN, run, isolation=isolation)

    def output(self, run: bytes | None, seq: int = 0, previous: str = ZERO_HEX, text: bytes = b"said", **more):
        fields = {"assurance": "bound", "commitment": "salted", "profile": "opaque"}
        return self.say(predicates.OUTPUT, run, seq, previous, contents=(("raw", text), ("canonical", text)), **fields, **more)

    def close(self, run: bytes, seq: int, previous: str, *, count: int | None = None, outcome: str = "completed"):
        return self.say(predicates.RUN_CLOSE, run, seq, previous, count=count or seq + 1, outcome=outcome)

    def hand_in(self, *handed: frames.Handed):
        """Hand in and wait: an index or an error for each."""
        outcomes = self.here.admission.append(self.session, handed)
        return [o.wait(10) if isinstance(o, Ticket) else o for o in outcomes]

    def takes(self, *handed: frames.Handed) -> list[int]:
        outcomes = self.hand_in(*handed)
        assert all(isinstance(o, int) for o in outcomes), outcomes
        return outcomes

    def refused(self, handed: frames.Handed, kind: type[ApostilleError], match: str = "") -> None:
        """It is refused, and nothing is in the log because of it."""
        size = self.here.size
        (outcome,) = self.hand_in(handed)
        assert isinstance(outcome, kind), outcome
        assert match in str(outcome)
        assert self.here.size == size


@pytest.fixture
def here():
    made = Here()
    yield made
    made.keeper.close()


@pytest.fixture
def client(here):
    return here.client()


RUN, OTHER = b"r" * 16, b"o" * 16


def opened(client: Client, run: bytes = RUN) -> str:
    """Open a run; returns the digest of its run-open."""
    handed, digest = client.open(run)
    client.takes(handed)
    return digest


def test_a_whole_run_is_taken_and_the_audit_finds_nothing_wrong(here, client) -> None:
    first, a = client.open(RUN)
    second, b = client.output(RUN, 1, a)
    third, _ = client.close(RUN, 2, b)
    assert client.takes(first, second, third) == [3, 4, 5]
    here.keeper.publish()
    found = examine(here.world)
    assert (found.code, found.failures) == (0, [])
    assert found.audit.runs[RUN.hex()].outcome == "completed"


def test_many_in_one_batch_keep_their_order(here, client) -> None:
    handed, previous = client.open(RUN)
    batch = [handed]
    for seq in range(1, 100):
        handed, previous = client.output(RUN, seq, previous)
        batch.append(handed)
    assert client.takes(*batch) == list(range(3, 103))


def test_a_file_by_itself_is_taken_without_a_run(client) -> None:
    assert client.takes(client.output(None)[0]) == [3]


# --- who it is


def test_a_key_is_shown_for_one_connection_only(here, client) -> None:
    """The proof that was made for one connection is worth nothing on another."""
    with pytest.raises(UntrustedError):
        here.admission.hello(here.session(), client.key.spki, client.proof(), OTHER_CHALLENGE)


def test_a_proof_binds_the_log(here, client) -> None:
    proof = client.key.sign(frames.hello_message("another.example/log", CHALLENGE))
    with pytest.raises(UntrustedError):
        here.admission.hello(here.session(), client.key.spki, proof, CHALLENGE)


def test_a_key_that_is_not_certified(here) -> None:
    stranger = Client(here, here.session(), "stranger")
    with pytest.raises(UntrustedError):
        stranger.hello()


def test_the_roots_and_the_keepers_keys_say_nothing_here(here) -> None:
    somebody = Client(here, here.session(), "x")
    with pytest.raises(UntrustedError):
        somebody.hello(key=here.world.root)
    session = somebody.hello(key=here.world.keeper_key)
    assert session.is_keeper
    assert not session.keys


def test_an_enrolment_needs_the_key_itself(here, client) -> None:
    other = keys.StatementKey.from_seed(b"o" * 48)
    size = here.size
    with pytest.raises(UntrustedError):
        client.enrol(spki=other.spki, signature=client.proof())
    assert here.size == size


def test_another_user_needs_a_token_or_to_be_let_in(here) -> None:
    stranger = Client(here, here.session(own=False, may_enrol=False), "s")
    with pytest.raises(UntrustedError, match="allow_uids"):
        stranger.enrol()
    let_in = Client(here, here.session(own=False), "t")
    let_in.enrol()
    with pytest.raises(UntrustedError, match="gateway"):
        Client(here, here.session(own=False), "u").enrol(held_by="gateway")


def test_a_token_is_good_once(here) -> None:
    here.admission = here.new_admission(tokens=[sha256(b"t" * 32)])
    wrong = Client(here, here.session(own=False, may_enrol=False), "w")
    with pytest.raises(UntrustedError):
        wrong.enrol(token=b"x" * 32)
    gateway = Client(here, here.session(own=False, may_enrol=False), "g")
    gateway.enrol(token=b"t" * 32, held_by="gateway")
    assert gateway.session.is_supervisor
    thief = Client(here, here.session(own=False, may_enrol=False), "h")
    with pytest.raises(UntrustedError):
        thief.enrol(token=b"t" * 32)


@pytest.mark.parametrize(
    "more", [{"held_by": "keeper"}, {"held_by": ""}, {"holder": ""}, {"holder": "x" * 1025}, {"spki": b"no key"}]
)
def test_what_is_not_enrolled(here, client, more) -> None:
    size = here.size
    with pytest.raises(MalformedError):
        Client(here, here.session(), "n").enrol(**more)
    assert here.size == size


def test_a_key_is_enrolled_once(client) -> None:
    with pytest.raises(ConflictError):
        client.enrol()


def test_only_the_holder_of_a_key_has_it_replaced(here, client) -> None:
    thief = here.client("thief")
    thief.key = keys.StatementKey.from_seed(b"n" * 48)
    with pytest.raises(UntrustedError):
        thief.enrol(replaces=sha256(client.key.spki))
    client.key = keys.StatementKey.from_seed(b"m" * 48)
    with pytest.raises(UntrustedError):
        client.enrol(replaces=next(iter(client.session.keys)), held_by="gateway")
    with pytest.raises(UntrustedError):
        client.enrol(replaces=next(iter(client.session.keys)), holder="another")


def test_a_key_has_one_successor(here, client) -> None:
    """No auditor accepts a second one: a client could spoil the verdict on the whole log. The next keeper knows it too."""
    first = client.key
    client.key = keys.StatementKey.from_seed(b"m" * 48)
    client.enrol(replaces=sha256(first.spki))
    client.key = keys.StatementKey.from_seed(b"n" * 48)
    with pytest.raises(ConflictError, match="replaced before"):
        client.enrol(replaces=sha256(first.spki))
    here.restart()
    client.hello(key=first)
    with pytest.raises(ConflictError, match="replaced before"):
        client.enrol(replaces=sha256(first.spki))
    assert not examine(here.world).failures


# --- what it says


def test_a_key_that_this_connection_has_not_shown(here, client) -> None:
    """Somebody else's statement, whole and signed: not from here."""
    other = here.client("b")
    client.refused(other.output(None)[0], UntrustedError, "not shown")


def test_a_signature_that_does_not_verify(client) -> None:
    handed, _ = client.output(None)
    client.refused(replace(handed, signature=client.key.sign(b"something else")), InvalidSignatureError)


@pytest.mark.parametrize("kind", [predicates.KEY, predicates.ERASURE])
def test_types_that_are_not_a_clients_to_say(here, client, kind) -> None:
    if kind == predicates.KEY:
        now = here.world.clock.now_ms()
        fields = {
            "event": "certify", "usage": "statement", "held_by": "agent", "issuer": "0" * 64,
            "not_before": utc_text(now), "not_after": utc_text(now + 1000),
        }  # fmt: skip
        draft = Draft(kind, fields, {"holder": "me"}, digests=(("spki", sha256(client.key.spki)),))
    else:
        fields = {"effective_at": utc_text(0), "erases": [{"index": 3, "openings": ["attributes"]}], "method": "row"}
        draft = Draft(kind, fields, {"reason": "r", "unit": "u"}, digests=(("leaf/3", bytes(32)),))
    entry = client.attester.attest(draft, unit=b"u" * 16)
    handed = frames.Handed(entry.statement, entry.signature, entry.unit, tuple(o.content for o in entry.openings))
    client.refused(handed, UntrustedError, "may not say")


def test_an_erasure_key_says_erasures_and_nothing_else(here) -> None:
    """What it says is committed and published first; then the keeper destroys what it names."""
    eraser = Client(here, here.session(), "e")
    by_root = Attester(here.world.root, here.world.clock, here.world.random)
    begin, end = (parse_statement(here.world.store.record(0).statement).predicate[n] for n in ("not_before", "not_after"))
    founded = here.world.store.record(0).pae_digest
    here.keeper.submit(certify_erasure(by_root, founded, eraser.key.spki, begin, end)).wait(10)
    client = here.client()
    (index,) = client.takes(client.output(None)[0])
    eraser.hello()
    eraser.refused(eraser.output(None)[0], UntrustedError, "may not say")
    fields = {
        "effective_at": utc_text(here.world.clock.now_ms()), "method": "row",
        "erases": [{"index": index, "openings": ["attributes", "canonical", "raw"]}],
    }  # fmt: skip
    digest = here.world.store.record(index).pae_digest
    draft = Draft(predicates.ERASURE, fields, {"reason": "r", "unit": "u"}, digests=((f"leaf/{index}", digest),))
    entry = eraser.attester.attest(draft, unit=KEYS_UNIT)
    handed = frames.Handed(entry.statement, entry.signature, entry.unit, tuple(o.content for o in entry.openings))
    client.refused(handed, UntrustedError, "not shown")
    # The unit's key may go one day, and what an erasure says must stay readable.
    eraser.refused(replace(handed, unit=b"u" * 16), UntrustedError, "erasure unit")
    eraser.takes(handed)
    deadline = time.monotonic() + 10
    while here.world.store.record(index).wrapped_key is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert here.world.store.record(index).wrapped_key is None


@pytest.mark.parametrize("change", [b"", b"{}", b'{"a":1}'])
def test_bytes_that_are_no_statement(client, change) -> None:
    handed, _ = client.output(None)
    client.refused(replace(handed, statement=change), MalformedError)


def test_a_statement_in_another_spelling(client) -> None:
    handed, _ = client.output(None)
    spelled = handed.statement.replace(b'"predicate":', b'"predicate": ', 1)
    client.refused(replace(handed, statement=spelled, signature=client.key.sign(dsse.pae(spelled))), MalformedError)


def test_openings_are_those_that_the_statement_names(client) -> None:
    handed, _ = client.output(None)
    raw, canonical, attributes = handed.openings
    for openings in [(raw, canonical), (raw, canonical, attributes, b""), (canonical, raw, attributes), (b"", canonical, attributes),
                     (raw + b"\0", canonical, attributes), ()]:  # fmt: skip
        client.refused(replace(handed, openings=openings), DigestMismatchError)


def test_the_logs_own_erasure_unit_is_not_for_clients(client) -> None:
    handed, _ = client.output(None)
    client.refused(replace(handed, unit=KEYS_UNIT), UntrustedError, "unit")


def test_times_outside_the_keys_life_or_ahead_of_the_keeper(here, client) -> None:
    clock = here.world.clock
    for step, kind in ((MAX_CLOCK_AHEAD_MS + 1000, PolicyError), (-3600_000, PolicyError)):
        clock.now += step
        handed, _ = client.output(None)
        clock.now -= step
        client.refused(handed, kind)
    clock.now += MAX_CLOCK_AHEAD_MS // 2
    handed, _ = client.output(None)
    clock.now -= MAX_CLOCK_AHEAD_MS // 2
    client.takes(handed)


def test_a_key_whose_life_is_over(here, client) -> None:
    """Statements made in time may come a little late; long after, nothing of this key is taken, whatever time they claim."""
    end = utc_ms(next(iter(client.session.keys.values())).certificate.not_after)
    early, _ = client.output(None)
    late, _ = client.output(None)
    here.world.clock.now = end + MAX_LATE_MS // 2
    client.takes(early)
    here.world.clock.now = end + MAX_LATE_MS + 1000
    client.refused(late, UntrustedError, "ended")
    with pytest.raises(UntrustedError, match="ended"):
        client.hello()


# --- what it claims of its isolation


@pytest.mark.parametrize(
    ("own", "claims", "taken"),
    [(True, "none", True), (True, "uid", False), (True, "landlock", False), (True, "netns", False), (True, "host", False),
     (False, "none", True), (False, "uid", True), (False, "landlock", False), (False, "netns", False), (False, "host", False)],
)  # fmt: skip
def test_isolation_is_what_the_keeper_sees(here, own, claims, taken) -> None:
    client = here.client("i", own=own)
    handed, _ = client.open(RUN, claims)
    if taken:
        client.takes(handed)
    else:
        client.refused(handed, UntrustedError, "isolation")


def test_a_supervisor_says_what_it_has_made(here) -> None:
    here.admission = here.new_admission(tokens=[sha256(b"t" * 32)])
    gateway = Client(here, here.session(), "g")
    gateway.enrol(token=b"t" * 32, held_by="gateway")
    gateway.takes(gateway.open(RUN, "landlock")[0])
    gateway.refused(gateway.open(OTHER, "host")[0], UntrustedError, "isolation")


# --- whose run, and which place in it


def test_an_agents_key_speaks_as_the_agent_that_it_is_certified_for(here, client) -> None:
    client.refused(client.output(None, agent="another")[0], UntrustedError, "certified for 'a', and for no other agent")
    client.takes(client.output(None)[0])
    client.hello()
    client.refused(client.output(None, agent="another")[0], UntrustedError, "certified for 'a'")  # as its certificate says
    gateway = here.client("g", held_by="gateway")
    gateway.takes(gateway.output(None, agent="another")[0])  # it speaks for the agents behind it


@pytest.mark.parametrize("attributes", [b"[]", b'{"agent":1}', b'{"agent": "a"}', b'{"agent":"a","agent":"a"}', b"\xff"])
def test_attributes_that_no_reader_takes(client, attributes) -> None:
    """Whoever reads them later must not see another agent than the keeper saw."""
    handed, _ = client.output(None)
    said = parse_statement(handed.statement)
    openings = (*handed.openings[:2], b"s" * 32 + attributes)
    subjects = {**said.subjects, "attributes": sha256(openings[2])}
    statement = format_statement(said.type, said.predicate, list(subjects.items()))
    client.refused(
        replace(handed, statement=statement, signature=client.key.sign(dsse.pae(statement)), openings=openings), MalformedError
    )


def test_a_run_is_continued_at_its_one_place(client) -> None:
    a = opened(client)
    client.refused(client.output(RUN, 2, a)[0], ConflictError, "goes on at 1")
    client.refused(client.output(RUN, 1, "ab" * 32)[0], ConflictError)
    client.refused(client.close(RUN, 1, a, count=7)[0], PolicyError, "2 statements")
    second, b = client.output(RUN, 1, a)
    client.takes(second)
    client.refused(client.output(RUN, 1, a, b"another at the same place")[0], ConflictError)
    last, _ = client.close(RUN, 2, b)
    client.takes(last)
    client.refused(client.output(RUN, 3, b)[0], ConflictError, "closed")


def test_what_follows_a_refused_statement_is_refused_too(client) -> None:
    a = opened(client)
    bad, b = client.output(RUN, 1, a)
    good, _ = client.output(RUN, 2, b)
    outcomes = client.hand_in(replace(bad, openings=()), good)
    assert [type(o) for o in outcomes] == [DigestMismatchError, ConflictError]


def test_nobody_writes_into_the_run_of_another(here, client) -> None:
    a = opened(client)
    thief = here.client("thief")
    handed, _ = thief.output(RUN, 1, a)
    thief.refused(handed, UntrustedError, "no lease")
    with pytest.raises(UntrustedError):
        here.admission.lease(thief.session, RUN)
    here.admission.drop(client.session)
    with pytest.raises(UntrustedError):
        here.admission.lease(thief.session, RUN)
    thief.refused(handed, UntrustedError, "no lease")
    thief.refused(thief.close(RUN, 1, a, outcome="crash")[0], UntrustedError, "no lease")
    thief.refused(thief.open(RUN)[0], ConflictError, "opened before")


def test_a_gap_in_the_run_of_another(here, client) -> None:
    opened(client)
    thief = here.client("thief")
    now = utc_text(here.world.clock.now_ms())
    gap = {"from": now, "to": now}
    mine = thief.say(predicates.GAP, None, **gap, run=RUN.hex())[0]
    thief.refused(mine, UntrustedError, "no lease")
    client.takes(client.say(predicates.GAP, None, **gap, run=RUN.hex())[0])


def test_one_writer_at_a_time(here, client) -> None:
    a = opened(client)
    first = client.session
    second = client.hello()
    with pytest.raises(UnavailableError, match="another connection"):
        here.admission.lease(second, RUN)
    client.refused(client.output(RUN, 1, a)[0], UntrustedError, "no lease")
    here.admission.drop(first)
    assert here.admission.lease(second, RUN) == (1, bytes.fromhex(a))
    client.takes(client.output(RUN, 1, a)[0])


def test_a_connection_has_so_many_open_runs(here, client, monkeypatch) -> None:
    """Each open run is something that the keeper remembers, and closes when the client is gone."""
    monkeypatch.setattr(leases, "MAX_OPEN_RUNS", 2)
    runs = [bytes([number]) * 16 for number in range(1, 5)]
    opened = [client.open(run) for run in runs]
    client.takes(*[handed for handed, _ in opened[:2]])
    client.refused(opened[2][0], UnavailableError, "2 runs are open")
    client.takes(client.close(runs[0], 1, opened[0][1])[0])
    client.takes(opened[2][0])
    other = here.client("b")
    other.takes(other.open(runs[3])[0])  # another connection's are its own
    # On the next connection it counts what it takes up again.
    here.admission.drop(client.session)
    client.hello()
    for run in runs[1:3]:
        here.admission.lease(client.session, run)
    client.refused(client.open(b"n" * 16)[0], UnavailableError)


def test_a_run_that_there_is_not(here, client) -> None:
    with pytest.raises(NotFoundError):
        here.admission.lease(client.session, OTHER)
    client.refused(client.output(OTHER, 1, "ab" * 32)[0], UntrustedError, "no lease")


def test_a_run_that_was_closed_is_not_leased(here, client) -> None:
    a = opened(client)
    client.takes(client.close(RUN, 1, a)[0])
    with pytest.raises(ConflictError, match="closed"):
        here.admission.lease(client.session, RUN)
    here.restart()
    with pytest.raises(ConflictError, match="closed"):
        here.admission.lease(client.hello(), RUN)


def test_the_successor_of_a_key_goes_on_and_the_audit_accepts_it(here, client) -> None:
    a = opened(client)
    old = client.key
    client.key = keys.StatementKey.from_seed(b"n" * 48)
    client.enrol(replaces=sha256(old.spki))
    second, b = client.output(RUN, 1, a)
    client.takes(second)
    here.admission.drop(client.session)
    client.hello()  # with the new key alone
    assert here.admission.lease(client.session, RUN) == (2, bytes.fromhex(b))
    client.takes(client.close(RUN, 2, b)[0])
    here.keeper.publish()
    for found in (examine(here.world), examine(here.world, run=RUN.hex())):
        assert (found.code, found.failures) == (0, [])


def test_an_unrelated_key_of_the_same_client_does_not_go_on(here, client) -> None:
    a = opened(client)
    client.key = keys.StatementKey.from_seed(b"n" * 48)
    client.enrol()
    client.refused(client.output(RUN, 1, a)[0], UntrustedError, "another key")


# --- twice


def test_the_same_statement_again_gives_the_index_that_it_has(here, client) -> None:
    first, a = client.open(RUN)
    second, b = client.output(RUN, 1, a)
    assert client.takes(first, second) == [3, 4]
    assert client.takes(first, second, second) == [3, 4, 4]
    assert here.size == 5
    here.restart()
    client.hello()
    here.admission.lease(client.session, RUN)
    third, _ = client.output(RUN, 2, b)
    assert client.takes(first, second, third, third) == [3, 4, 5, 5]
    assert here.size == 6
    alone, _ = client.output(None)
    assert client.takes(alone, alone) == [6, 6]
    here.restart()
    client.hello()
    assert client.takes(alone) == [6]


def test_another_statement_with_a_nonce_that_was_used(here, client) -> None:
    """The nonce is the receipt id: it names one statement. Neither in this keeper's life nor in the next."""
    handed, _ = client.output(None)
    client.takes(handed)
    said = parse_statement(handed.statement)
    # The same nonce with another time, signed well.
    text = format_statement(
        said.type, {**said.predicate, "captured_at": utc_text(utc_ms(said.predicate["captured_at"]) + 1)}, said.subjects.items()
    )
    again = replace(handed, statement=text, signature=client.key.sign(dsse.pae(text)))
    client.refused(again, ConflictError, "nonce")
    here.restart()
    client.hello()
    client.refused(again, ConflictError, "nonce")


def test_the_same_twice_in_one_batch(here, client) -> None:
    handed, _ = client.output(None)
    assert client.takes(*[handed] * 20) == [3] * 20
    assert here.size == 4


# --- runs that nobody goes on with


def test_a_lost_run_waits_and_is_then_closed_as_a_crash(here, client) -> None:
    a = opened(client)
    client.takes(client.output(RUN, 1, a)[0])
    here.admission.drop(client.session)
    assert here.admission.leases.close_lost(3.0) == []
    here.world.clock.now += 3001
    (ticket,) = here.admission.leases.close_lost(3.0)
    ticket.wait(10)
    assert here.admission.leases.close_lost(0.0) == []
    with pytest.raises(ConflictError, match="closed"):
        here.admission.lease(client.hello(), RUN)
    here.keeper.publish()
    found = examine(here.world)
    assert (found.code, found.failures) == (0, [])
    assert (found.audit.runs[RUN.hex()].outcome, found.audit.runs[RUN.hex()].count) == ("crash", 3)


def test_a_run_that_is_written_is_never_closed_by_the_keeper(here, client) -> None:
    opened(client)
    here.world.clock.now += 3600_000
    assert here.admission.leases.close_lost(3.0) == []
    assert here.admission.leases.close_lost(0.0) == []


def test_runs_of_the_keeper_before_wait_too(here, client) -> None:
    a = opened(client)
    here.restart()
    assert here.admission.leases.close_lost(3.0) == []
    client.hello()
    assert here.admission.lease(client.session, RUN) == (1, bytes.fromhex(a))
    here.world.clock.now += 3001
    assert here.admission.leases.close_lost(3.0) == []


# --- no room


def test_a_log_without_room_is_waited_for_or_a_refusal(here, client, monkeypatch) -> None:
    real, waited = here.keeper.submit, []

    def full(entry):
        if len(waited) < 3:
            raise BackPressureError("full")
        return real(entry)

    monkeypatch.setattr(here.keeper, "submit", full)
    handed, _ = client.output(None)
    client.refused(handed, BackPressureError)
    (ticket,) = here.admission.append(client.session, [handed], wait=lambda: waited.append(1))
    assert ticket.wait(10) == 3
    assert len(waited) == 3


def test_a_log_that_has_stopped(here, client, monkeypatch) -> None:
    def stopped(entry):
        raise StorageUnavailableError("the log has stopped")

    monkeypatch.setattr(here.keeper, "submit", stopped)
    handed, _ = client.open(RUN)
    client.refused(handed, StorageUnavailableError)
    monkeypatch.undo()
    client.takes(handed)
