"""A keeper in this process and a keeper at the other end of a socket: whoever uses one can't tell which it is."""

from __future__ import annotations

import asyncio
import threading

import pytest

from apostille import wiring
from apostille.core import predicates
from apostille.core.statement import parse_statement
from apostille.errors import ConfigurationError, NotFoundError, OutcomeUnknownError
from apostille.faces.cli.trust import pin_own_log
from apostille.faces.keeper_api import become_keeper
from apostille.services.auditor import examine_store
from apostille.services.examination import Examination
from apostille.services.verifier import verify_receipt

SAID = b"The refund is 42 EUR.\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = wiring.store_folder(tmp_path / "store")
    pin_own_log(wiring.init_store(made).vkeys)
    wiring.finish_init(made)
    return made


@pytest.fixture(params=["in-process", "socket"])
def keeper(request, folder):
    owner = become_keeper(folder)
    if request.param == "in-process":
        yield owner
    else:
        client = wiring.connect_keeper(folder, holder="test", held_by="agent")
        yield client
        client.close()
    owner.close()


def output(run, text: bytes = SAID, **more):
    return run.output(text, text, profile="opaque", media_type="text/plain", **more)


def test_a_run(keeper) -> None:
    run = keeper.open_run(agent="claims-agent", on_behalf_of="desk", opening={"version": "1"})
    given = run.input(b"question", source={"kind": "user"})
    said = output(run, inputs=[given.digest]).committed(10)
    call = run.tool_call(b"{}", b"{}", tool="t", profile="opaque").committed(10)
    end = run.close().committed(10)
    indexes = keeper.reader.run_indexes(bytes.fromhex(run.id))
    assert indexes[-1] == end.index
    assert indexes[-3:] == [said.index, call.index, end.index]
    record = keeper.reader.record(said.index)
    assert record.nonce.hex() == said.receipt_id
    assert parse_statement(record.statement).predicate["inputs"] == [given.digest.hex()]
    assert parse_statement(keeper.reader.record(indexes[0]).statement).predicate["isolation"] == "none"


def test_receipts(keeper) -> None:
    run = keeper.open_run(agent="a")
    said = output(run).committed(10)
    keeper.wait_published(said.index, 10)
    for state, receipt in (
        keeper.receipt(said.receipt_id),
        keeper.receipt_at(said.index),
        keeper.receipt_at(said.index, since=2),
    ):
        assert state == "published"
        verified = verify_receipt(receipt, wiring.load_policy(), artifact=SAID)
        assert verified.index == said.index
    assert keeper.bundle_at(said.index)["mediaType"].startswith("application/vnd.dev.sigstore.bundle")
    for wrong in ("ab" * 16, "no id", ""):
        with pytest.raises(NotFoundError):
            keeper.receipt(wrong)
    with pytest.raises(NotFoundError):
        keeper.receipt_at(10_000)


def test_published_on_demand_and_what_is_never(keeper) -> None:
    run = keeper.open_run(agent="a")
    index = output(run).committed(10).index
    newest = keeper.publish()
    assert newest.size > index
    assert keeper.newest_checkpoint.size >= newest.size
    assert keeper.wait_published(index, 1).size >= newest.size
    with pytest.raises(OutcomeUnknownError):
        keeper.wait_published(index + 1000, 0.2)


def test_an_asynchronous_program(keeper) -> None:
    async def say() -> list[int]:
        run = keeper.open_run(agent="a")
        pending = [output(run, b"%d" % number) for number in range(200)]
        indexes = [(await one).index for one in pending]
        await run.close()
        return indexes

    indexes = asyncio.run(say())
    assert indexes == sorted(set(indexes))


def test_many_threads(keeper) -> None:
    found: list[int] = []

    def say(name: str) -> None:
        run = keeper.open_run(agent=name)
        for number in range(30):
            found.append(output(run, b"%d" % number).committed(20).index)
        run.close().committed(20)

    threads = [threading.Thread(target=say, args=(f"agent-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 240
    keeper.publish()
    examination = Examination()
    audit = examine_store(examination, keeper.reader, wiring.load_policy(), origin=keeper.origin)
    assert not examination.failures
    assert [run.outcome for run in audit.runs.values()] == ["completed"] * 8


def test_what_is_large(keeper) -> None:
    run = keeper.open_run(agent="a")
    text = bytes(20 * 2**20)
    assert output(run, text).committed(30).index
    assert output(run, b"").committed(10).index


def test_a_closed_run_takes_nothing_more(keeper) -> None:
    run = keeper.open_run(agent="a")
    run.close().committed(10)
    with pytest.raises(ConfigurationError):
        output(run)


def test_keys_are_kept_and_certified(keeper) -> None:
    first = keeper.attester("x", held_by="agent")
    assert keeper.attester("x", held_by="agent").key.spki == first.key.spki
    assert keeper.attester("y", held_by="agent").key.spki != first.key.spki
    assert keeper.attester("x", held_by="gateway").key.spki != first.key.spki


def test_a_statement_of_no_run(keeper) -> None:
    from apostille.services.runs import output_draft

    attester = keeper.attester("x", held_by="agent")
    draft = output_draft(
        SAID, SAID, profile="opaque", media_type="text/plain", findings=(), parts=(), attributes={"agent": "x"}, references={},
        outcome=None, assurance="observed", commitment="plain",
    )  # fmt: skip
    entry = attester.attest(draft, unit=b"n" * 16, nonce=b"n" * 16)
    index = keeper.submit(entry).wait(10)
    said = parse_statement(keeper.reader.record(index).statement)
    assert (said.type, said.predicate["nonce"]) == (predicates.OUTPUT, (b"n" * 16).hex())


def test_ready(keeper) -> None:
    keeper.ready()
    keeper.open_run(agent="a").close().committed(10)
    for _ in range(3):
        keeper.ready()
