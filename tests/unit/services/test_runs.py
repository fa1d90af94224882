"""Runs: statements of one agent task form one chain without holes, opened and closed, however many threads speak.

Spec: formats.md sections 3.1 (run, seq, previous), 3.2 (run-open, run-close, input, tool-call), 3.3 (attributes); invariant I9.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading

import pytest
from service_kit import SAID, leaf, leaves

from apostille.core import predicates
from apostille.core.canon import canonicalize
from apostille.errors import BackPressureError, ConfigurationError, MalformedError
from apostille.services.auditor import examine_store
from apostille.services.examination import Examination
from apostille.services.keeper import Keeper
from apostille.services.run_audit import examine_run
from apostille.services.runs import Part, Run
from tests.simulators.world import World

ZERO = "00" * 32


@pytest.fixture
def world():
    return World()


@pytest.fixture
def keeper(world):
    made = world.keeper()
    yield made
    made.close()


def verified(world: World, keeper: Keeper, run: str):
    keeper.publish()
    examination = Examination()
    audit = examine_run(examination, world.store, world.policy(), origin=keeper.origin, run=run, vault=world.vault)
    examination.conclude()
    return audit


def test_the_chain_of_a_run(world, keeper):
    run = keeper.open_run(agent="claims-agent", on_behalf_of="desk@clinic.example", isolation="netns", opening={"version": "1"})
    seen = run.input(b"page", source={"kind": "web", "uri": "https://example.org/"}, label={"integrity": "untrusted"})
    said = run.output(SAID, SAID, profile="opaque", media_type="text/plain", inputs=[seen.digest])
    call = run.tool_call(
        b"{}", b"{}", tool="refund", profile="opaque", call_id="call-1", parents=[said.digest], irreversible=True
    )
    back = run.input(b"done", source={"kind": "tool"}, parents=[call.digest])
    last = run.close("errored")
    first = run.opened.committed(5).index
    last.committed(5)
    found = leaves(world, first)
    assert [item.said.type.split(":")[2] for item in found] == ["run-open", "input", "output", "tool-call", "input", "run-close"]
    previous = ZERO
    for place, item in enumerate(found):
        assert item.fields["run"] == run.id
        assert item.fields["seq"] == place
        assert item.fields["previous"] == previous
        previous = world.store.record(item.index).pae_digest.hex()
        assert world.store.record(item.index).run.hex() == run.id
        assert world.store.record(item.index).unit == bytes.fromhex(run.id), "the run is the erasure unit"
    opened, page, output, tool, result, closed = found
    assert (opened.fields["isolation"], closed.fields["count"], closed.fields["outcome"]) == ("netns", 6, "errored")
    assert opened.attributes == {"agent": "claims-agent", "on_behalf_of": "desk@clinic.example", "version": "1"}
    assert closed.attributes == {"agent": "claims-agent", "on_behalf_of": "desk@clinic.example"}
    assert page.attributes == {
        "source": {"kind": "web", "uri": "https://example.org/"},
        "media_type": "text/plain",
        "label": {"integrity": "untrusted"},
    }
    assert output.fields["inputs"] == [seen.digest.hex()]
    assert "parents" not in output.fields, "an empty list is left out"
    assert output.attributes["media_type"] == "text/plain"
    assert (tool.fields["status"], tool.fields["parents"]) == ("dispatched", [said.digest.hex()])
    assert tool.attributes == {"tool": "refund", "call_id": "call-1", "irreversible": True}
    assert result.fields["parents"] == [call.digest.hex()]
    assert back.digest == world.store.record(result.index).pae_digest
    assert verified(world, keeper, run.id).runs[run.id].count == 6


def test_run_open_names_the_newest_head(world, keeper):
    """A lower bound in time: the run can't be older than the head that it quotes."""
    keeper.publish()
    newest = keeper.newest_checkpoint
    opened = leaf(world, keeper.open_run(agent="a").opened.committed(5).index)
    quoted = opened.fields["head"]
    assert quoted["size"] >= newest.size
    at = next(c for c in world.store.checkpoints_from(0) if c.size == quoted["size"])
    assert at.root_hash.hex() == quoted["root"]


def test_concurrent_outputs_make_one_chain(world, keeper):
    run = keeper.open_run(agent="claims-agent")
    gate = threading.Barrier(32)
    indexes: list[tuple[int, bytes]] = []

    def speak(number: int) -> None:
        gate.wait()
        for turn in range(10):
            said = run.output(b"%d" % number, b"%d %d" % (number, turn), profile="opaque", media_type="text/plain")
            indexes.append((said.committed(20).index, said.digest))

    threads = [threading.Thread(target=speak, args=(i,)) for i in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.close().committed(20)
    audit = verified(world, keeper, run.id)
    assert audit.runs[run.id].count == 322
    assert audit.runs[run.id].outcome == "completed"
    found = [leaf(world, index).fields["seq"] for index in world.store.run_indexes(bytes.fromhex(run.id))]
    assert found == list(range(322)), "the chain's order is the log's order"
    for index, digest in indexes:
        assert world.store.record(index).pae_digest == digest


def speakers(run: Run):
    return {
        "input": lambda: run.input(b"x", source={"kind": "user"}),
        "output": lambda: run.output(b"x", b"x", profile="opaque", media_type="text/plain"),
        "tool_call": lambda: run.tool_call(b"{}", b"{}", tool="t", profile="opaque"),
        "close": run.close,
    }


@pytest.mark.parametrize("name", ["input", "output", "tool_call", "close"])
def test_a_closed_run_refuses(world, keeper, name):
    run = keeper.open_run(agent="a")
    assert not run.is_closed
    run.close().committed(5)
    assert run.is_closed
    before = world.store.count()
    with pytest.raises(ConfigurationError, match=f"run {run.id} is closed"):
        speakers(run)[name]()
    keeper.publish()
    assert world.store.count() == before


def test_two_runs_do_not_mix(world, keeper):
    one, two = keeper.open_run(agent="one"), keeper.open_run(agent="two")
    for run in (one, two, one, two):
        run.output(b"x", b"x", profile="opaque", media_type="text/plain")
    one.close()
    two.close().committed(5)
    assert one.id != two.id
    for run in (one, two):
        assert verified(world, keeper, run.id).runs[run.id].count == 4


def test_what_the_pending_opens(world, keeper):
    """The salts handed out open the canonical commitment and the parts, and none of them the raw one."""
    run = keeper.open_run(agent="a")
    parts = [Part("choice/0/text", b"hello"), Part("choice/0/arguments/0", b"{}", "application/json", "refund", "call-1")]
    said = run.output(b"raw", b"canonical", profile="opaque", media_type="application/json", parts=parts)
    done = said.committed(5)
    item = leaf(world, done.index)
    subjects = item.said.subjects
    assert hashlib.sha256(done.canonical_salt + b"canonical").digest() == subjects["canonical"]
    assert set(done.part_salts) == {"choice/0/text", "choice/0/arguments/0"}
    for part in parts:
        assert hashlib.sha256(done.part_salts[part.path] + part.content).digest() == subjects[f"part/{part.path}"]
    assert hashlib.sha256(done.canonical_salt + b"raw").digest() != subjects["raw"]
    assert item.attributes["parts"] == [
        {"path": "choice/0/text", "media_type": "text/plain"},
        {"path": "choice/0/arguments/0", "media_type": "application/json", "tool": "refund", "call_id": "call-1"},
    ]
    assert done.digest == said.digest
    assert done.receipt_id == said.receipt_id
    assert world.store.index_of_receipt(bytes.fromhex(said.receipt_id)) == done.index


def test_plain_commitment_has_no_salt(world, keeper):
    run = keeper.open_run(agent="a")
    done = run.output(b"x", b"x", profile="opaque", media_type="text/plain", commitment="plain").committed(5)
    assert hashlib.sha256(b"x").digest() == leaf(world, done.index).said.subjects["canonical"]
    assert done.canonical_salt == b""
    assert done.part_salts == {}


def test_findings_and_changes(world, keeper):
    raw = "cleared\u202e at \u202eonce".encode()
    clean = canonicalize(raw)
    run = keeper.open_run(agent="a")
    done = run.output(
        raw, clean.bytes, profile=clean.profile, findings=clean.findings, media_type="text/plain", outcome="client_abort"
    ).committed(5)
    item = leaf(world, done.index)
    assert "findings" in item.said.subjects
    assert item.fields["outcome"] == "client_abort"
    assert sum(item.attributes["changes"].values()) == 2
    assert item.content("raw") == raw
    assert item.content("canonical") == b"cleared at once"


def test_a_given_receipt_id(world, keeper):
    run = keeper.open_run(agent="a")
    said = run.output(b"x", b"x", profile="opaque", media_type="text/plain", receipt_id="ab" * 16)
    assert said.receipt_id == "ab" * 16
    index = said.committed(5).index
    assert world.store.index_of_receipt(b"\xab" * 16) == index


def test_back_pressure_leaves_no_hole(world, keeper):
    """A statement that was refused has taken no place in the chain."""
    full = [False]

    class Log:
        def submit(self, entry):
            if full[0]:
                raise BackPressureError("full", retry_after_seconds=1)
            return keeper.submit(entry)

    attester = keeper.attester("a", held_by="agent")
    run = Run(Log(), lambda: attester, attester.random, agent="a")
    run.output(b"1", b"1", profile="opaque", media_type="text/plain")
    full[0] = True
    for speak in speakers(run).values():
        with pytest.raises(BackPressureError):
            speak()
    assert not run.is_closed
    full[0] = False
    run.output(b"2", b"2", profile="opaque", media_type="text/plain")
    run.close().committed(5)
    assert verified(world, keeper, run.id).runs[run.id].count == 4


BAD_ATTRIBUTES = {
    "a float": {"temperature": 0.7},
    "null": {"finish": None},
    "not a number": {"score": float("nan")},
    "2**53": {"usage": {"input": 2**53}},
    "a key that is not ASCII": {"model": {"größe": 1}},
    "a lone surrogate": {"model": {"name": "bad\udcff"}},
}
PLAIN_TEXT = {"profile": "opaque", "media_type": "text/plain"}
REFUSED = {
    **{
        f"output, {name}": (lambda run, found=found: run.output(b"x", b"x", attributes=found, **PLAIN_TEXT))
        for name, found in BAD_ATTRIBUTES.items()
    },
    "output, outcome is no word": lambda run: run.output(b"x", b"x", outcome="Bad Word!", **PLAIN_TEXT),
    "output, profile is none": lambda run: run.output(b"x", b"x", profile="mine", media_type="text/plain"),
    "output, media type is null": lambda run: run.output(b"x", b"x", profile="opaque", media_type=None),
    "output, part without a sound path": lambda run: run.output(b"x", b"x", parts=[Part("choice/x/text", b"")], **PLAIN_TEXT),
    "input, a lone surrogate": lambda run: run.input(b"x", source={"kind": "web", "uri": "\udcff"}),
    "input, profile is none": lambda run: run.input(b"x", source={"kind": "web"}, canonical=b"x", profile="mine"),
    "tool call, status is none": lambda run: run.tool_call(b"{}", b"{}", tool="t", profile="opaque", status="allowed"),
    "tool call, a lone surrogate": lambda run: run.tool_call(b"{}", b"{}", tool="\ud800", profile="opaque"),
    "close, an unlisted word": lambda run: run.close("cancelled"),
    "close, no word": lambda run: run.close("Bad Word!"),
    "close, a float": lambda run: run.close(attributes={"seconds": 1.5}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_reader_takes_is_not_committed(world, keeper, name):
    """It is refused before it is signed: no leaf, no place in the chain, and the run goes on as if nothing had been said."""
    run = keeper.open_run(agent="a")
    run.output(b"1", b"1", **PLAIN_TEXT).committed(5)
    before = world.store.count()
    with pytest.raises(MalformedError):
        REFUSED[name](run)
    assert not run.is_closed
    assert keeper.head.size == world.store.count() == before
    index = run.output(b"2", b"2", **PLAIN_TEXT).committed(5).index
    assert index == before, "nothing lay between"
    assert leaf(world, index).fields["seq"] == 2
    run.close("aborted").committed(5)
    audit = verified(world, keeper, run.id)
    assert (audit.runs[run.id].count, audit.runs[run.id].outcome) == (4, "aborted")


@pytest.mark.parametrize("opening", BAD_ATTRIBUTES.values(), ids=BAD_ATTRIBUTES)
def test_a_run_that_can_not_be_opened(world, keeper, opening):
    keeper.open_run(agent="a").close().committed(5)  # so that the agent's key is certified
    before = world.store.count()
    with pytest.raises(MalformedError):
        keeper.open_run(agent="a", opening=opening)
    run = keeper.open_run(agent="a")
    assert run.opened.committed(5).index == before
    run.close().committed(5)
    assert verified(world, keeper, run.id).runs[run.id].count == 2


def test_awaiting(world, keeper):
    async def speak() -> int:
        run = keeper.open_run(agent="a")
        said = await run.output(b"x", b"x", profile="opaque", media_type="text/plain")
        await run.close()
        return said.index

    index = asyncio.run(speak())
    assert leaf(world, index).said.type == predicates.OUTPUT


HOUR_MS = 3600 * 1000


def test_a_run_outlives_its_keys(world):
    """A run that is open for days changes its key in time: every statement is signed inside its key's life."""
    keeper = world.keeper()
    run = keeper.open_run(agent="a")
    for _ in range(6):
        world.clock.now += 7 * HOUR_MS
        run.output(b"x", b"x", profile="opaque", media_type="text/plain").committed(5)
    run.close().committed(5)
    keeper.close()
    examination = Examination()
    audit = examine_store(examination, world.store, world.policy(), origin=world.signer.origin, vault=world.vault)
    examination.conclude()
    assert audit.runs[run.id].count == 8
    assert audit.size == 2 + 8 + 4  # genesis, keeper, the run, and a key for each half day begun


def test_a_clock_that_is_set_back(world):
    """Statements then say the begin of their key's life, which every reader accepts, rather than a time that none does."""
    keeper = world.keeper()
    run = keeper.open_run(agent="a")
    world.clock.now -= 5 * HOUR_MS
    run.output(b"x", b"x", profile="opaque", media_type="text/plain").committed(5)
    run.close().committed(5)
    keeper.close()
    examination = Examination()
    examine_store(examination, world.store, world.policy(), origin=world.signer.origin, vault=world.vault)
    examination.conclude()
