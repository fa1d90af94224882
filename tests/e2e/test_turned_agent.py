"""Two agents of one user, and one has turned: B has a certified key of its own and the bare socket, and is after A and the log.

The keeper and A are real processes; B is this test, which speaks frames as it likes. Each attempt has its refusal; A goes on.
What B can do because it is the *same user*, whatever the socket says, is shown too: that is what ``isolation: none`` means.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from apostille import wiring
from apostille.adapters.keeper_client import Link
from apostille.adapters.system import SystemClock, SystemRandom
from apostille.core import dsse, frames, keys, predicates
from apostille.core.digest import ZERO_HEX, sha256
from apostille.core.statement import parse_statement
from apostille.errors import ApostilleError, UnavailableError
from apostille.services.attester import Attester, Draft
from tests.e2e.test_keeper_process import Program, check, started

pytest_plugins = ["tests.e2e.cli_kit"]

OUTPUT = {"assurance": "bound", "commitment": "salted", "profile": "opaque"}


class Ahead(SystemClock):
    """A clock that is far ahead."""

    def now_ms(self) -> int:
        return super().now_ms() + 3_600_000


class Turned:
    """B: a connection of its own, a key that the keeper has certified, and no manners."""

    def __init__(self, home, holder: str = "b") -> None:
        self.store = wiring.open_reader(wiring.store_folder(home.store))
        self.origin = wiring.store_folder(home.store).origin()
        self.path = home.store / "keeper.sock"
        self.key = keys.StatementKey.from_seed(secrets.token_bytes(keys.P256_SEED_BYTES))
        self.holder = holder
        self.heard: list[bytes] = []
        self.link: Link | None = None
        self.connect()
        proof = self.key.sign(frames.hello_message(self.origin, self.challenge))
        welcome = self.ask(frames.Enrol(1, self.key.spki, proof, holder, "agent"))
        assert isinstance(welcome, frames.Welcome)
        self.isolation = welcome.isolation

    def connect(self) -> None:
        if self.link is not None:
            self.link.close()
        self.link = Link(self.path)
        self.challenge = self.link.receive().challenge

    def ask(self, frame: frames.Frame) -> frames.Frame:
        self.link.send(frame)
        answer = self.link.receive()
        self.heard.append(frames.format_frame(answer))
        return answer

    def sign(
        self, kind: str, fields, *, agent: str | None = None, contents=(), clock=None, key=None, note="", **more
    ) -> frames.Handed:
        attester = Attester(key or self.key, clock or SystemClock(), SystemRandom())
        draft = Draft(kind, fields, {"agent": agent or self.holder} | ({"note": note} if note else {}), contents)
        nonce = more.pop("nonce", None) or secrets.token_bytes(16)
        entry = attester.attest(draft, unit=more.pop("unit", None) or more.get("run") or nonce, nonce=nonce, **more)
        return frames.Handed(entry.statement, entry.signature, entry.unit, tuple(o.content for o in entry.openings))

    def output(self, text: bytes = b"b says", **more) -> frames.Handed:
        chain = more.pop("chain", {})
        return self.sign(predicates.OUTPUT, {**OUTPUT, **chain}, contents=(("raw", text), ("canonical", text)), **more)

    def open(self, run: bytes) -> tuple[frames.Handed, dict[str, object]]:
        """Open a run; returns it and what its next statement says of its place."""
        handed = self.sign(predicates.RUN_OPEN, {"isolation": "none", "run": run.hex(), "seq": 0, "previous": ZERO_HEX}, run=run)
        return handed, {"run": run.hex(), "seq": 1, "previous": sha256(dsse.pae(handed.statement)).hex()}

    def codes(self, *handed: frames.Handed) -> list[str]:
        """Hand in; returns the code of the refusal of each, ``taken`` for none."""
        answer = self.ask(frames.Append(7, handed))
        assert isinstance(answer, frames.Appended), answer
        refused = {refusal.place: refusal.code for refusal in answer.refusals}
        return [refused.get(place, "taken") for place in range(len(handed))]

    def failed(self, frame: frames.Frame) -> str:
        answer = self.ask(frame)
        return answer.code if isinstance(answer, frames.Failed) else type(answer).__name__


@pytest.fixture
def scene(home):
    """A live keeper, A in the middle of its run, and B."""
    with started(home):
        a = Program(home, "a", 150, 0.01)
        a.wait_for("said")
        turned = Turned(home)
        yield home, a, turned
        a.end()
        turned.link.close()
        turned.store.close()
    check(home, a)
    result = home.run("--json", "verify").clear()
    assert result.code == 0, result.text


def place_of(turned: Turned, a: Program) -> dict[str, object]:
    """Where A's run goes on. B is the same user: it may read the store's file, statements and all."""
    record = turned.store.record(turned.store.run_indexes(bytes.fromhex(a.run))[-1])
    said = parse_statement(record.statement).predicate
    return {"run": a.run, "seq": said["seq"] + 1, "previous": record.pae_digest.hex()}


def test_it_writes_nothing_into_the_run_of_another(scene) -> None:
    _, a, turned = scene
    run = bytes.fromhex(a.run)
    place = place_of(turned, a)
    end = {**place, "count": place["seq"] + 1, "outcome": "completed"}
    assert turned.codes(
        turned.output(chain=place, run=run), turned.sign(predicates.RUN_CLOSE, end, run=run), turned.open(run)[0]
    ) == ["untrusted", "untrusted", "conflict"]
    assert turned.failed(frames.Lease(2, run)) == "untrusted"
    # A gap is a statement about a run, not in it. It is not B's to say of A's either.
    gap = {"run": a.run, "lost": 1, "from": "2026-11-24T03:00:00.000Z", "to": "2026-11-24T03:00:01.000Z"}
    assert turned.codes(turned.sign(predicates.GAP, gap)) == ["untrusted"]


def test_it_reuses_no_place_and_no_nonce(scene) -> None:
    _, a, turned = scene
    opened, place = turned.open(secrets.token_bytes(16))
    run = bytes.fromhex(place["run"])
    first, second = (turned.output(text, chain=place, run=run) for text in (b"first", b"second"))
    assert turned.codes(opened, first, second) == ["taken", "taken", "conflict"]
    assert turned.codes(opened, first) == ["taken", "taken"], "the same again is no second statement"
    theirs = turned.store.record(a.said[0][1])
    assert turned.codes(turned.output(nonce=theirs.nonce)) == ["conflict"]
    end = {**place, "seq": 2, "previous": sha256(dsse.pae(first.statement)).hex(), "count": 3, "outcome": "completed"}
    assert turned.codes(turned.sign(predicates.RUN_CLOSE, end, run=run)) == ["taken"]


def test_it_does_not_speak_with_the_key_of_another(scene) -> None:
    _, a, turned = scene
    theirs = turned.store.record(a.said[0][1])
    key_id = parse_statement(theirs.statement).predicate["key_id"].encode()
    own = turned.output()
    statement = own.statement.replace(turned.key.key_id.encode(), key_id)
    forged = frames.Handed(statement, turned.key.sign(dsse.pae(statement)), own.unit, own.openings)
    stranger = turned.output(key=keys.StatementKey.from_seed(b"s" * keys.P256_SEED_BYTES))
    assert turned.codes(forged, stranger) == ["untrusted", "untrusted"]
    assert turned.codes(frames.Handed(own.statement, forged.signature, own.unit, own.openings)) == ["invalid-signature"]
    # Its public key stands in the log for everybody to read; to show that one holds it takes the private one.
    entry = theirs.entry
    spki = base64.b64decode(entry.split(b'"rawBytes":"')[1].split(b'"')[0])
    assert (
        turned.failed(frames.Hello(3, spki, turned.key.sign(frames.hello_message(turned.origin, turned.challenge))))
        == "untrusted"
    )


def test_it_is_no_other_agent_than_its_certificate_says(scene) -> None:
    _, _, turned = scene
    assert turned.codes(turned.output(agent="a")) == ["untrusted"]
    # At the level ``none`` it may have *another* key certified for the name: the log then holds a certificate that says so.
    key = keys.StatementKey.from_seed(secrets.token_bytes(keys.P256_SEED_BYTES))
    proof = key.sign(frames.hello_message(turned.origin, turned.challenge))
    assert turned.failed(frames.Enrol(4, key.spki, proof, "a", "agent", None, sha256(turned.key.spki))) == "untrusted"
    assert turned.failed(frames.Enrol(4, key.spki, proof, "a", "keeper")) == "malformed"


def test_it_says_nothing_that_is_not_a_clients_to_say(scene) -> None:
    home, _, turned = scene
    key = {
        "event": "certify",
        "usage": "statement",
        "held_by": "keeper",
        "issuer": ZERO_HEX,
        "not_before": "2026-01-01T00:00:00.000Z",
    }
    draft = Draft(
        predicates.KEY, key | {"not_after": "2036-01-01T00:00:00.000Z"}, {"holder": "b"}, digests=(("spki", bytes(32)),)
    )
    entry = Attester(turned.key, SystemClock(), SystemRandom()).attest(draft, unit=b"u" * 16)
    handed = frames.Handed(entry.statement, entry.signature, entry.unit, tuple(o.content for o in entry.openings))
    assert turned.codes(handed) == ["untrusted"]
    assert turned.codes(turned.output(unit=bytes(16))) == ["untrusted"], "the log's own erasure unit"
    assert turned.failed(frames.HandOver(5)) == "untrusted"
    assert home.run("erase", "--index", "5", "--erasure-key", "nothing", "--yes").clear().code == 78


def test_its_clock_does_not_stop_the_next_keeper(scene) -> None:
    """A time far ahead in the log would make the next keeper take its own clock for wrong, and not start."""
    _, _, turned = scene
    assert turned.codes(turned.output(clock=Ahead())) == ["policy"]


def test_no_frame_yields_a_key(scene) -> None:
    """All that it can ask, well and badly formed: no answer holds a secret of the log, in any spelling; a number asks for no file."""
    home, a, turned = scene
    for number in range(40):
        receipt = bytes.fromhex(a.said[0][2])
        for asked in (
            frames.AskHead(number),
            frames.Wait(number, a.said[0][1], frames.PUBLISHED),
            frames.AskReceipt(number, receipt, 0, 0),
            frames.AskReceipt(number, None, number, 0),
            frames.AskReceipt(number, None, 2**63 - 1 - number, 2**63 - 1),
            frames.Lease(number, bytes(16)),
            frames.Wait(number, 2**63 - 1, 0),
        ):
            turned.ask(asked)
    for kind in range(256):
        for body in (b"", bytes(64), b"../keys/log.ed25519\0", os.urandom(40)):
            turned.connect()
            turned.ask(frames.Hello(1, turned.key.spki, turned.key.sign(frames.hello_message(turned.origin, turned.challenge))))
            with contextlib.suppress(ApostilleError, OSError):
                turned.link._socket.sendall(struct.pack(">IBI", len(body) + 5, kind, 9) + body)
                turned.link._socket.shutdown(socket.SHUT_WR)
                while True:
                    turned.heard.append(frames.format_frame(turned.link.receive()))
            turned.link.close()
    turned.connect()
    heard = b"".join(turned.heard)
    assert len(heard) > 100_000
    for secret in secrets_of(home.store):
        for form in (secret, secret.hex().encode(), base64.b64encode(secret)):
            assert form not in heard


def secrets_of(store: Path) -> list[bytes]:
    """Every private key of the store, as bytes."""
    found = [base64.b64decode((store / "keys" / name).read_bytes()) for name in ("log.ed25519", "log.mldsa44")]
    found += [base64.b64decode(row.split()[2]) for row in (store / "keys" / "units").read_text().splitlines()]
    for pem in (store / "keys").glob("*.pem"):
        found.append(base64.b64decode(b"".join(pem.read_bytes().splitlines()[1:-1])))
    assert len(found) > 5
    assert all(len(secret) >= 32 for secret in found)
    return found


def test_who_shows_no_key_is_told_nothing(scene) -> None:
    _, _, turned = scene
    for first in (frames.AskHead(1), frames.AskReceipt(1, None, 0, 0), frames.Lease(1, bytes(16)), frames.HandOver(1)):
        link = Link(turned.path)
        assert isinstance(link.receive(), frames.Challenge)
        link.send(first)
        with pytest.raises(UnavailableError):
            link.receive()
        link.close()


def test_it_ends_the_keeper_by_no_going_away(scene) -> None:
    """It asks, and is gone before the answer: a broken pipe ends filters, and must not end the keeper of all the others."""
    _, _, turned = scene
    for _ in range(30):
        turned.connect()
        turned.link.send(frames.Hello(1, turned.key.spki, turned.key.sign(frames.hello_message(turned.origin, turned.challenge))))
        for number in range(50):
            turned.link.send(frames.AskReceipt(number + 2, None, 3, 0))
    turned.connect()
    turned.ask(frames.Hello(1, turned.key.spki, turned.key.sign(frames.hello_message(turned.origin, turned.challenge))))
    assert turned.failed(frames.AskHead(2)) == "HeadIs"


@pytest.mark.slow
def test_it_does_not_stop_the_others(home) -> None:
    """Floods that are never read, half frames, idle connections, runs by the thousand: A goes on, and a newcomer gets in."""
    with started(home):
        a = Program(home, "a", 100, 0.02)
        a.wait_for("said")
        turned = Turned(home)
        stop = threading.Event()
        half = []
        for _ in range(20):
            link = Link(turned.path)
            link.receive()
            link._socket.sendall(b"\0\0")
            half.append(link)
        floods = [threading.Thread(target=flood, args=(turned, stop, number)) for number in range(4)]
        for thread in floods:
            thread.start()
        try:
            began = time.monotonic()
            newcomer = Program(home, "c", 20)
            newcomer.end()
            a.end()
            took = time.monotonic() - began
        finally:
            stop.set()
            for thread in floods:
                thread.join()
            for link in half:
                link.close()
        assert took < 60, took
        turned.link.close()
        turned.store.close()
    for program in (a, newcomer):
        run = [one for one in home.ok("--json", "show").json if one["run"] == program.run]
        assert [(one["statements"], one["outcome"]) for one in run] == [(program.count + 2, "completed")]


def flood(turned: Turned, stop: threading.Event, number: int) -> None:
    """Send and never read, until the keeper reads no further; then go and come back."""
    good = turned.output(b"x" * 1000)
    bad = frames.Handed(good.statement, bytes(70), good.unit, good.openings)
    runs = [turned.open(secrets.token_bytes(16))[0] for _ in range(200)] if number == 0 else []
    data = frames.format_frame(frames.Append(1, (good, bad) * 100 + tuple(runs)))
    while not stop.is_set():
        link = Link(turned.path)
        try:
            challenge = link.receive().challenge
            link.send(frames.Hello(1, turned.key.spki, turned.key.sign(frames.hello_message(turned.origin, challenge))))
            link._socket.settimeout(0.5)
            while not stop.is_set():
                link._socket.sendall(data)
        except (OSError, ApostilleError):
            time.sleep(0.02)
        finally:
            link.close()


def test_what_the_level_none_does_not_keep_from_it(scene) -> None:
    """The same user reads the key files whatever the socket says. The run says so, the verdict prints it, the manual explains it."""
    home, a, turned = scene
    assert turned.isolation == "none"
    assert (home.store / "keys" / "log.ed25519").read_bytes()
    for private in (home.store, home.store / "keys"):
        assert private.stat().st_mode & 0o777 == 0o700
    for key in (home.store / "keys").iterdir():
        assert key.stat().st_mode & 0o077 == 0, key
    assert "isolation: none" in home.run("verify", a.run).clear().text
    manual = (Path(__file__).parents[2] / "docs" / "manual" / "keeper.md").read_text()
    assert "can read the key files" in manual
