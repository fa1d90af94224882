"""The SDK: what a Python program says is clean, bound and durable before it gets it back, and tools see what was attested.

Spec: product.md, "Python"; formats.md sections 3.1, 3.2 (tool-call, input); invariant I1.
"""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

import apostille
from apostille import wiring
from apostille.core import predicates
from apostille.core.policy import Policy, parse_policy
from apostille.core.statement import parse_statement
from apostille.errors import (
    CanonicalizationError,
    ConfigurationError,
    DigestMismatchError,
    IncompleteError,
    MalformedError,
    NotFoundError,
    OutcomeUnknownError,
    StorageUnavailableError,
    UntrustedError,
    VerificationError,
)
from apostille.faces import sdk
from apostille.faces.cli.trust import pin_own_log
from apostille.services.auditor import examine_store
from apostille.services.examination import Examination
from apostille.services.vault import open_record

HIDDEN = "a\u202eb"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("APOSTILLE_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    folder = wiring.store_folder(tmp_path / "store")
    signer = wiring.init_store(folder)
    pin_own_log(signer.vkeys)
    return folder


@pytest.fixture
def store(home):
    with apostille.open(home.path) as opened:
        yield opened


def statements(store, home) -> list[tuple[str, dict, dict, dict]]:
    """Type, fields, attributes and contents of every statement of every run."""
    vault, found = wiring.open_vault(home), []
    for _, record in store.reader.records():
        said = parse_statement(record.statement)
        if "run" not in said.predicate:
            continue
        openings = {name: data[32:] for name, data in open_record(vault, record, dict(said.subjects)).items()}
        kind = said.type.split(":")[2]
        found.append((kind, dict(said.predicate), json.loads(openings["attributes"]), openings))
    return found


def kinds(store, home) -> list[str]:
    return [kind for kind, *_ in statements(store, home)]


def audit(store, home) -> list[str]:
    """What verification of the whole store finds, but for what is not published yet."""
    examination = Examination()
    examine_store(examination, store.reader, wiring.load_policy(), origin=home.origin(), vault=wiring.open_vault(home))
    return [f.message for f in examination.failures if "PENDING" not in f.message]


# --- saying things


def test_what_is_said(store, home, tmp_path):
    with store.run(agent="claims-agent", principal="desk@clinic.example") as run:
        page = run.input("<html>", source="web", uri="https://example.org/", label="untrusted", media_type="text/html")
        said = run.output(HIDDEN, derived_from=[page])
        again = run.output("more", derived_from=[page, said])
        assert said.text == "ab"
        assert said.data == b"ab"
        assert [finding.code for finding in said.findings] == ["BIDI_OVERRIDE"]
        assert parse_statement(store.reader.record(said.index).statement).type == predicates.OUTPUT, "it was not durable yet"
        path = said.published(timeout=10).write(tmp_path / "answer.receipt.json")
    found = statements(store, home)
    assert [kind for kind, *_ in found] == ["run-open", "input", "output", "output", "run-close"]
    opened, given, first, second, closed = found
    assert run.id == opened[1]["run"]
    assert opened[2] == {"agent": "claims-agent", "on_behalf_of": "desk@clinic.example"}
    assert opened[1]["isolation"] == "none"
    assert given[2]["source"] == {"kind": "web", "uri": "https://example.org/"}
    assert given[2]["label"] == {"integrity": "untrusted"}
    assert given[2]["labelled_by"] == "claims-agent"
    assert given[3]["raw"] == b"<html>"
    assert (first[3]["raw"], first[3]["canonical"]) == (HIDDEN.encode(), b"ab")
    assert first[1]["inputs"] == [page.digest.hex()]
    assert (second[1]["inputs"], second[1]["parents"]) == ([page.digest.hex()], [said.digest.hex()])
    assert again.index == said.index + 1
    assert closed[1]["outcome"] == "completed"
    assert audit(store, home) == []
    verified = apostille.verify(path, artifact=said.data)
    assert (verified.index, verified.digest, verified.is_content_compared) == (said.index, said.digest, True)
    assert verified.attributes["agent"] == "claims-agent"


def test_bytes_and_media_types(store, home):
    with store.run(agent="a") as run:
        assert run.output(b"bytes").text == "bytes"
        assert run.output('{"b":1, "a":2}', media_type="application/json").data == b'{"a":2,"b":1}'
        assert run.output(bytes(range(256)), media_type="application/octet-stream").data == bytes(range(256))
        assert run.output("").text == ""
        assert run.output(HIDDEN, profile="report").text == HIDDEN
    profiles = [fields["profile"].split("/")[0] for kind, fields, *_ in statements(store, home) if kind == "output"]
    assert profiles[:2] == ["apostille-safe"] * 2
    assert profiles[-1] == "apostille-report"


def test_markdown_by_the_policy_of_the_store(home):
    """The table [links] is read when the store is opened."""
    home.config.write_text(home.config.read_text() + '\n[links]\nimage_hosts = ["e.com"]\n')
    with apostille.open(home.path) as opened, opened.run(agent="writer") as run:
        said = run.output("![x](//e.com/x) ![y](//f.com/y) <!-- z -->", media_type="text/markdown")
        assert said.text == "![x](//e.com/x) y (f.com)"
        assert [finding.code for finding in said.findings] == ["MD_IMAGE_HOST", "WS_TAIL", "MD_COMMENT"]


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"\xff", "text/plain"),
        ("\ud800", "text/plain"),
        ('{"a":1,"a":2}', "application/json"),
        ("NaN", "application/json"),
        ("[" * 200 + "]" * 200, "application/json"),
    ],
)
def test_what_is_refused_is_not_said(store, home, content, media_type):
    """The program gets an error instead of something to hand on; the run goes on, without a hole."""
    with store.run(agent="a") as run:
        with pytest.raises(CanonicalizationError):
            run.output(content, media_type=media_type)
        run.output("fine")
    assert kinds(store, home) == ["run-open", "output", "run-close"]
    assert audit(store, home) == []


def test_an_unknown_profile(store):
    with store.run(agent="a") as run, pytest.raises(ConfigurationError, match="nonsense"):
        run.output("x", profile="nonsense")


def test_a_name_that_is_no_text(store, home):
    with pytest.raises(MalformedError), store.run(agent="\ud800"):
        pytest.fail("the run was opened")
    with store.run(agent="a") as run:
        run.output("the store goes on")
    assert audit(store, home) == []


def test_inputs_are_recorded_as_received(store, home):
    with store.run(agent="a") as run:
        run.input(b"\xff\x00")
        run.input("\ud800")
        run.input("", source="user")
    raw = [openings["raw"] for kind, _, _, openings in statements(store, home) if kind == "input"]
    assert raw == [b"\xff\x00", b"\xed\xa0\x80", b""]


# --- how a run ends


def test_an_error_in_the_block(store, home):
    class OwnError(Exception):
        pass

    with pytest.raises(OwnError), store.run(agent="a") as run:
        run.output("x")
        raise OwnError
    assert statements(store, home)[-1][1]["outcome"] == "errored"
    with pytest.raises(ConfigurationError, match="closed"):
        run.output("y")
    assert audit(store, home) == []


def test_a_run_is_opened_once(store):
    context = store.run(agent="a")
    with context, pytest.raises(ConfigurationError, match="opened once"), context:
        pytest.fail("it was opened twice")


def test_closing_twice(home):
    store = apostille.open(home.path)
    with store, store.run(agent="a") as run:
        run.output("x")
    store.close()
    again = apostille.open(home.path)
    again.close()
    again.close()


def test_everything_is_published_at_the_end(home):
    with apostille.open(home.path) as store, store.run(agent="a") as run:
        for number in range(20):
            run.output(str(number))
    reader = wiring.open_reader(home)
    assert reader.checkpoint().size == reader.head().size == 3 + 1 + 22
    reader.close()


def test_a_store_that_was_closed_under_a_run(home):
    store = apostille.open(home.path)
    context = store.run(agent="a")
    run = context.__enter__()
    store.close()
    with pytest.raises(StorageUnavailableError):
        run.output("x")
    with pytest.raises(StorageUnavailableError):
        context.__exit__(None, None, None)


def test_not_published_in_time(store, monkeypatch):
    def late(*_):
        raise OutcomeUnknownError("not published after 0.01 s")

    with store.run(agent="a") as run:
        said = run.output("x")
        monkeypatch.setattr(said._keeper, "wait_published", late)
        with pytest.raises(OutcomeUnknownError):
            said.published(timeout=0.01)


# --- tools


def test_a_tool(store, home):
    """The arguments are committed before the call, the function sees the attested ones, and the result names the call."""
    seen: list = []
    with store.run(agent="a") as run:

        @run.tool
        def refund(order: str, cents: int, *notes: str, urgent: bool = False, **more: int) -> dict:
            """Pay back."""
            seen.append((order, cents, notes, urgent, more, kinds(store, home)[-1]))
            return {"paid": cents}

        assert refund(HIDDEN, 42, "x", HIDDEN, urgent=True, extra=1) == {"paid": 42}
        assert (refund.__name__, refund.__doc__) == ("refund", "Pay back.")
    assert seen == [("ab", 42, ("x", "ab"), True, {"extra": 1}, "tool-call")]
    call, result = statements(store, home)[1:3]
    assert call[0] == "tool-call"
    assert json.loads(call[3]["canonical"]) == {
        "order": "ab",
        "cents": 42,
        "notes": ["x", "ab"],
        "urgent": True,
        "more": {"extra": 1},
    }
    assert json.loads(call[3]["raw"])["order"] == HIDDEN
    assert (call[2]["tool"], call[1]["status"]) == ("refund", "dispatched")
    assert result[0] == "input"
    assert result[3]["raw"] == b'{"paid": 42}'
    assert result[1]["parents"] == [store.reader.record(5).pae_digest.hex()]
    assert audit(store, home) == []


def returning(value):
    def tool():
        return value

    return tool


def test_tools_that_return_what_is_no_json(store, home):
    with store.run(agent="a") as run:
        for value in (object, {1, 2}, float("nan"), b"bytes", "\ud800"):
            assert run.tool(returning(value))() is value
    results = [
        (attributes["media_type"], openings["raw"])
        for kind, _, attributes, openings in statements(store, home)
        if kind == "input"
    ]
    assert results[0] == ("text/plain", b"<class 'object'>")
    assert results[2] == ("text/plain", b"nan")
    assert results[4][1] == b'"\xed\xa0\x80"'
    assert audit(store, home) == []


@pytest.mark.parametrize("value", [object(), {1}, float("nan"), float("inf"), b"x", 1j])
def test_arguments_that_are_no_json(store, home, value):
    called: list = []
    with store.run(agent="a") as run:
        tool = run.tool(called.append)
        with pytest.raises(ConfigurationError, match="are not JSON"):
            tool(value)
    assert called == [], "the tool was called with arguments that nobody attested"
    assert kinds(store, home) == ["run-open", "run-close"]


def test_arguments_that_the_canonicalizer_refuses(store, home):
    called: list = []
    with store.run(agent="a") as run:
        tool = run.tool(called.append)
        with pytest.raises(CanonicalizationError):
            tool("\ud800")
        with pytest.raises(CanonicalizationError):
            tool(9007199254740993)
        with pytest.raises(TypeError):
            tool()
    assert called == []


def test_defaults_are_attested_too(store, home):
    """What the function sees is what was attested, also where the caller said nothing."""
    with store.run(agent="a") as run:

        @run.tool
        def refund(cents: int, currency: str = "EUR") -> str:
            return f"{cents} {currency}"

        assert refund(5) == "5 EUR"
    (call,) = [item for item in statements(store, home) if item[0] == "tool-call"]
    assert json.loads(call[3]["canonical"]) == {"cents": 5, "currency": "EUR"}


def test_a_tool_that_fails(store, home):
    with store.run(agent="a") as run:

        @run.tool
        def broken() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            broken()
    recorded = ["run-open", "tool-call", "input", "run-close"]
    assert kinds(store, home) == recorded, "the call was made, and stays on record with how it ended"


def test_a_tool_is_not_called_when_the_log_has_stopped(home):
    called: list = []
    store = apostille.open(home.path)
    context = store.run(agent="a")
    run = context.__enter__()
    tool = run.tool(lambda: called.append(1))
    store.close()
    with pytest.raises(StorageUnavailableError):
        tool()
    assert called == []


# --- asynchronous


def test_asynchronous(home, tmp_path):
    async def program() -> tuple:
        with apostille.open(home.path) as store:
            async with store.run(agent="a") as run:
                page = await run.input("page", source="web")
                said = await asyncio.gather(*(run.output(f"{i} {HIDDEN}", derived_from=[page]) for i in range(50)))

                @run.tool
                async def refund(cents: int) -> int:
                    await asyncio.sleep(0)
                    return cents * 2

                assert await refund(21) == 42
                with pytest.raises(ZeroDivisionError):
                    async with store.run(agent="b") as other:
                        await other.output("x")
                        raise ZeroDivisionError
                path = (await said[7].published(10)).write(tmp_path / "r.json")
            return said, path, audit(store, home), statements(store, home)

    said, path, failures, found = asyncio.run(program())
    assert failures == []
    assert sorted(item.index for item in said) == list(range(said[0].index, said[0].index + 50))
    assert {item.text for item in said} == {f"{i} ab" for i in range(50)}
    assert {fields["outcome"] for kind, fields, *_ in found if kind == "run-close"} == {"completed", "errored"}
    assert [kind for kind, *_ in found].count("tool-call") == 1
    assert apostille.verify(path, artifact=said[7].data).index == said[7].index


def test_threads_and_loops_together(home):
    """Blocking threads and several event loops on one store: one log, every run whole."""
    with apostille.open(home.path) as store:

        def blocking() -> None:
            with store.run(agent="thread") as run:
                for number in range(10):
                    run.output(str(number))

        def looping() -> None:
            async def say() -> None:
                async with store.run(agent="loop") as run:
                    await asyncio.gather(*(run.output(str(number)) for number in range(10)))

            asyncio.run(say())

        threads = [threading.Thread(target=target) for target in (blocking, looping) * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert audit(store, home) == []
        assert kinds(store, home).count("output") == 60


# --- opening and verifying


def test_no_store(home, tmp_path):
    with pytest.raises(NotFoundError, match="apostille init"):
        apostille.open(tmp_path / "missing")
    with pytest.raises(NotFoundError):
        apostille.open()


def test_the_store_of_the_environment(home, monkeypatch):
    monkeypatch.setenv("APOSTILLE_STORE", str(home.path))
    apostille.open().close()


def test_one_keeper(store, home):
    """Whoever opens the store while somebody keeps it becomes a client of that one, and never a second keeper."""
    with pytest.raises(StorageUnavailableError, match="owns this store"):
        wiring.open_keeper(wiring.store_folder(home.path))
    with apostille.open(home.path) as second, second.run(agent="b") as run:
        said = run.output("through the first one")
    assert said.index in store.reader.run_indexes(bytes.fromhex(run.id))


def receipt_of(home, tmp_path):
    with apostille.open(home.path) as store, store.run(agent="a") as run:
        said = run.output("answer")
        return said.published(10).write(tmp_path / "x.receipt.json")


def test_verifying(home, tmp_path):
    path = receipt_of(home, tmp_path)
    artifact = tmp_path / "x"
    artifact.write_bytes(b"answer")
    for given in (b"answer", artifact, str(artifact)):
        assert apostille.verify(path, artifact=given).is_content_compared
    assert apostille.verify(str(path), artifact=artifact, trust=parse_policy((wiring.known_logs_path()).read_bytes()))


@pytest.mark.parametrize(
    ("artifact", "error"), [(None, IncompleteError), (b"other", DigestMismatchError), (b"", DigestMismatchError)]
)
def test_what_does_not_verify(home, tmp_path, artifact, error):
    """An error that says why, with all that was found; never a bool."""
    path = receipt_of(home, tmp_path)
    with pytest.raises(VerificationError) as caught:
        apostille.verify(path, artifact=artifact)
    assert isinstance(caught.value, IncompleteError) == (error is IncompleteError)
    assert len(caught.value.failures) == 1
    with pytest.raises(UntrustedError):
        apostille.verify(path, artifact=b"answer", trust=Policy(()))
    path.write_bytes(b"garbage")
    with pytest.raises(MalformedError):
        apostille.verify(path, artifact=b"answer")


def test_files_that_are_not_there(home, tmp_path):
    with pytest.raises(NotFoundError):
        apostille.verify(tmp_path / "missing")
    path = receipt_of(home, tmp_path)
    with pytest.raises(NotFoundError):
        apostille.verify(path, artifact=tmp_path / "missing")
    with pytest.raises(StorageUnavailableError):
        apostille.verify(tmp_path)


def test_a_receipt_that_can_not_be_written(home, tmp_path):
    with apostille.open(home.path) as store, store.run(agent="a") as run:
        receipt = run.output("x").published(10)
        with pytest.raises(StorageUnavailableError):
            receipt.write(tmp_path / "missing" / "x.receipt.json")
        assert receipt.data.startswith(b'{"attributes"')


def test_the_public_names():
    assert len(apostille.__all__) <= 15
    for name in apostille.__all__:
        assert getattr(apostille, name) is not None
    with pytest.raises(AttributeError):
        apostille.nonsense  # noqa: B018
    assert sdk.open_store is apostille.open


def test_a_large_text_is_cleaned_beside_the_loop(store, monkeypatch):
    """What takes milliseconds does not hold up everything else on the loop; small texts are not worth a thread."""
    where: list[tuple[int, bool]] = []
    original = sdk.canonicalize

    def canonicalize(raw, **more):
        where.append((len(raw), threading.current_thread() is threading.main_thread()))
        return original(raw, **more)

    monkeypatch.setattr(sdk, "canonicalize", canonicalize)
    large = "\u00e4 " * 100_000 + "."

    async def say() -> None:
        async with store.run(agent="a") as run:
            asked = await run.input(large, source="web")
            said = await run.output(large, derived_from=[asked])
            assert said.text == large
            assert (await run.output("small", derived_from=[said])).index > said.index

    asyncio.run(say())
    assert where == [(300_001, False), (5, True)]
