"""Whatever fails, nothing leaves that was not committed first: upstream, client, log, shutdown, and faults of our own.

Spec: gateway.md sections 2 (rules 1 to 5), 5 (failure signalling), 13 (drain).
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from gateway_kit import MESSAGES, Connection, chat, check_released, desk, request, sim, wait_for

from apostille.errors import StorageUnavailableError
from apostille.faces.gateway.upstream import Upstream, UpstreamSettings
from apostille.faces.gateway.wire import Limits


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def here(tmp_path):
    with desk(tmp_path) as found:
        yield found


REFUSED = [
    ("garbage", False, sim.whole(b"<html>oops</html>"), 502, "malformed_upstream"),
    ("invalid UTF-8", False, sim.whole(b'{"choices":[{"message":{"content":"\xff"}}]}'), 502, "malformed_upstream"),
    ("wrong type", False, sim.Scripted([b"hello"], content_type="text/plain"), 502, "malformed_upstream"),
    ("no type", False, sim.Scripted([b"hello"], content_type="application/octet-stream"), 502, "malformed_upstream"),
    (
        "another charset",
        False,
        replace(sim.text("x"), content_type="application/json; charset=latin-1"),
        502,
        "malformed_upstream",
    ),
    ("a stream unasked", False, sim.stream("x"), 502, "malformed_upstream"),
    ("no stream though asked", True, sim.text("x"), 502, "malformed_upstream"),
    ("a redirect", False, sim.Scripted([b"there"], status=302, headers={"location": "/v1/models"}), 502, "malformed_upstream"),
    ("garbage in a stream", True, sim.events(b"{oops"), 502, "malformed_upstream"),
    ("a stream without an end", True, sim.ended_stream("secret"), 502, "upstream_error"),
    ("a stream that breaks", True, sim.cut_stream("secret"), 502, "upstream_error"),
    ("a body that breaks", False, sim.Scripted([b'{"choi', 0.05, sim.ABORT]), 502, "upstream_error"),
    ("a body too short", False, sim.Scripted([b"{}", 0.05, sim.ABORT], length=10), 502, "upstream_error"),
    ("an unknown tool type", False, sim.tools({"id": "c", "type": "custom", "custom": {}}), 502, "unclassified_output"),
    ("a tool name that hides", False, sim.tools(sim.call(f"f{sim.TAGS}", "{}")), 502, "unclassified_output"),
    ("duplicate keys in arguments", False, sim.tools(sim.call("f", '{"a":1,"a":2}')), 502, "unclassified_output"),
    ("duplicate keys by escape", True, sim.tool_stream("f", '{"a":1,"\\u0061":2}'), 502, "unclassified_output"),
    ("an integer that rounds", False, sim.tools(sim.call("f", '{"n":9007199254740993}')), 502, "unclassified_output"),
    ("a lone half in arguments", False, sim.tools(sim.call("f", '{"a":"\\ud83d"}')), 502, "unclassified_output"),
    ("arguments too deep", False, sim.tools(sim.call("f", "[" * 200 + "]" * 200)), 502, "unclassified_output"),
    ("an event too long", True, sim.stream("x" * 2**20), 502, "response_too_large"),
]


@pytest.mark.parametrize(
    ("streamed", "scripted", "status", "code"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_what_can_not_be_released_is_attested_and_refused(here, streamed, scripted, status, code):
    here.upstream.script(scripted)
    response = chat(here, stream=streamed)
    assert (response.status, response.error["code"]) == (status, code)
    assert response.headers["content-type"] == "application/json"
    # The upstream may have worked and cost: an SDK must not ask again by itself.
    assert response.headers["x-should-retry"] == "false"
    assert b"secret" not in response.body
    leaf = check_released(here, response)
    assert leaf.statement.predicate["outcome"] == "upstream_error"
    assert leaf.content("raw") == b"".join(step for step in scripted.steps if isinstance(step, bytes))
    assert leaf.attributes["error"] == code
    assert response.json["apostille"]["id"] == response.headers["apostille-id"]


def test_compression_unasked_is_refused(here):
    here.upstream.script(replace(sim.text("x"), headers={"content-encoding": "gzip"}))
    response = chat(here)
    assert (response.status, response.error["code"]) == (502, "malformed_upstream")
    assert check_released(here, response).content("raw") == b""


def test_a_bare_status_is_attested_too(here):
    here.upstream.script(sim.Scripted([], status=503))
    response = chat(here)
    assert (response.status, response.error["code"]) == (503, "upstream_error")
    leaf = check_released(here, response)
    assert (leaf.statement.predicate["outcome"], leaf.attributes["upstream_status"]) == ("upstream_error", 503)


def test_an_upstream_error_keeps_its_status_and_loses_what_it_hides(here):
    message = f"You exceeded{sim.TAGS} your quota." + "x" * 5000
    here.upstream.script(sim.error(400, message, code="context_length_exceeded"))
    response = chat(here)
    assert response.status == 400
    assert response.error["message"].startswith("You exceeded your quota.")
    assert len(response.error["message"]) < 2001
    assert (response.error["code"], response.error["type"]) == ("context_length_exceeded", "invalid_request_error")
    leaf = check_released(here, response)
    assert leaf.statement.predicate["outcome"] == "upstream_error"
    assert leaf.findings
    assert leaf.attributes["upstream_status"] == 400


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":"plain text"}', "plain text"),
        (b'{"detail":"not found"}', "not found"),
        (b'[{"error":{"message":"in a list"}}]', "in a list"),
        (b"<html>Bad gateway</html>", "the upstream answered with status 500 and no error that can be read"),
        (b'{"error":{"message":["x"]}}', "the upstream answered with status 500 and no error that can be read"),
        (b'{"error":{"message":"\\ud800"}}', "the upstream answered with status 500 and no error that can be read"),
    ],
)
def test_errors_of_many_shapes(here, body, message):
    here.upstream.script(sim.Scripted([body], status=500))
    response = chat(here)
    assert (response.status, response.error["message"], response.error["code"]) == (500, message, "upstream_error")
    check_released(here, response)


def test_a_rate_limit_may_be_retried(here):
    here.upstream.script(sim.error(429, "Slow down.", code="rate_limit_exceeded", retry_after="3"))
    response = chat(here)
    assert (response.status, response.headers["retry-after"]) == (429, "3")
    assert "x-should-retry" not in response.headers


def test_an_answer_that_is_too_large(tmp_path):
    with desk(tmp_path, limits=Limits(response_bytes=2**20)) as here:
        here.upstream.script(sim.huge(2**20))
        response = chat(here)
        assert (response.status, response.error["code"]) == (502, "response_too_large")
        assert "1,048,576 bytes" in response.error["message"]
        leaf = check_released(here, response)
        assert leaf.attributes["truncated"] is True
        assert len(leaf.content("raw")) == 2**20
        assert chat(here).status == 200


@pytest.mark.slow
def test_an_answer_of_32_mib_is_refused_by_default(here):
    here.upstream.script(sim.huge(32 * 2**20))
    started = time.monotonic()
    response = chat(here)
    assert (response.status, response.error["code"]) == (502, "response_too_large")
    assert time.monotonic() - started < 20
    check_released(here, response)


@pytest.mark.parametrize("streamed", [False, True])
def test_if_the_log_fails_nothing_leaves(here, monkeypatch, streamed):
    def broken(expected, records, growth):
        raise StorageUnavailableError("the disk is full")

    here.upstream.script(sim.text("first"), sim.stream("secret") if streamed else sim.text("secret"))
    # The messages are known afterwards, so that the answer's own statement is the first to fail.
    assert chat(here).status == 200
    monkeypatch.setattr(here.keeper._store, "commit", broken)
    response = chat(here, stream=streamed)
    assert (response.status, response.error["code"]) == (503, "log_unavailable")
    assert response.headers["x-should-retry"] == "false"
    assert b"secret" not in response.body
    assert "apostille-id" not in response.headers
    assert len(here.outputs()) == 1
    # The log has stopped: a request with a new message does not even reach the upstream.
    response = chat(here, messages=[*MESSAGES, {"role": "user", "content": "And now?"}])
    assert (response.status, response.error["code"]) == (503, "log_unavailable")
    assert "retry-after" in response.headers
    assert len(here.upstream.asked) == 2
    with Connection(here.server.url) as connection:
        assert connection.ask("GET", "/readyz").status == 503
        assert connection.ask("GET", "/healthz").status == 200


def test_a_fault_of_ours_releases_nothing(here, monkeypatch, caplog):
    def broken(reading, receipt):
        raise KeyError(reading.choices[0].content)

    monkeypatch.setattr("apostille.faces.gateway.chat_write.write_body", broken)
    here.upstream.script(sim.text("secret"))
    response = chat(here)
    assert (response.status, response.error["code"]) == (500, "internal")
    assert response.headers["x-should-retry"] == "false"
    assert b"secret" not in response.body
    assert "secret" not in caplog.text
    assert "KeyError" in caplog.text
    assert here.outputs() == []


def test_a_closed_run_takes_no_more(here):
    here.run.close().committed(10)
    response = chat(here)
    assert (response.status, response.error["code"]) == (503, "run_closed")
    assert here.upstream.asked == []


def test_an_upstream_that_falls_silent(tmp_path):
    with desk(tmp_path, idle_seconds=1.0) as here:
        here.upstream.script(sim.Scripted([], delay=10.0), sim.Scripted([b'{"a', 10.0, b"}"]))
        response = chat(here)
        assert (response.status, response.error["code"]) == (504, "upstream_timeout")
        assert response.headers["x-should-retry"] == "false"
        assert here.outputs() == []
        response = chat(here)
        assert (response.status, response.error["code"]) == (504, "upstream_timeout")
        assert check_released(here, response).content("raw") == b'{"a'


def test_an_upstream_that_is_not_there(tmp_path):
    with desk(tmp_path, upstream_url="http://127.0.0.1:1/v1") as here:
        response = chat(here)
        assert (response.status, response.error["code"]) == (502, "upstream_unreachable")
        assert "retry-after" in response.headers
        assert "x-should-retry" not in response.headers


def test_a_client_that_leaves_before_any_byte_came(here):
    here.upstream.script(sim.Scripted([], delay=20.0))
    with Connection(here.server.url) as connection:
        connection.send("POST", f"{here.prefix}/chat/completions", request())
        wait_for(lambda: here.upstream.asked)
    # The upstream call is cancelled, and there is no output to speak of.
    assert here.upstream.aborted_by_client.wait(5)
    assert here.outputs() == []
    assert chat(here).status == 200


def test_a_client_that_leaves_in_the_middle_of_a_stream(here):
    gate = threading.Event()
    sent = sim.event(sim.delta(content="half"))
    here.upstream.script(sim.Scripted([sent, gate, sim.event(b"[DONE]")], content_type=sim.EVENT_STREAM))
    with Connection(here.server.url) as connection:
        connection.send("POST", f"{here.prefix}/chat/completions", request(stream=True))
        wait_for(lambda: here.upstream.asked)
        assert connection.nothing_came(1.0)
    wait_for(here.outputs)
    gate.set()
    leaf = here.output()
    assert leaf.statement.predicate["outcome"] == "client_abort"
    assert leaf.content("raw") == sent
    assert leaf.content("canonical") == b""


def test_a_client_that_leaves_during_the_commit(here, monkeypatch):
    store = here.keeper._store
    original, gate, waiting = store.commit, threading.Event(), threading.Event()

    def slow(expected, records, growth):
        waiting.set()
        assert gate.wait(20)
        original(expected, records, growth)

    answer = threading.Event()
    here.upstream.script(sim.Scripted([answer, *sim.text("x").steps]))
    with Connection(here.server.url) as connection:
        connection.send("POST", f"{here.prefix}/chat/completions", request())
        wait_for(lambda: len(here.inputs()) == 2)
        monkeypatch.setattr(store, "commit", slow)
        answer.set()
        assert waiting.wait(10)
    time.sleep(0.5)
    gate.set()
    wait_for(here.outputs)
    # What was handed over stays: it says what was allowed to leave, not what arrived.
    assert "outcome" not in here.output().statement.predicate


def test_drain(here):
    gate = threading.Event()
    here.upstream.script(sim.Scripted([gate, *sim.text("x").steps]))
    with Connection(here.server.url) as connection, Connection(here.server.url) as other:
        assert other.ask("GET", "/readyz").status == 200
        connection.send("POST", f"{here.prefix}/chat/completions", request())
        wait_for(lambda: here.upstream.asked)
        here.server.request_stop(drain_seconds=10)
        wait_for(lambda: other.ask("GET", "/readyz").status == 503)
        refused = other.ask("POST", f"{here.prefix}/chat/completions", request())
        assert (refused.status, refused.error["code"], refused.headers["retry-after"]) == (503, "draining", "1")
        gate.set()
        response = connection.receive()
    assert response.status == 200
    check_released(here, response)


def test_drain_gives_up_in_the_end(here):
    sent = sim.event(sim.delta(content="half"))
    here.upstream.script(sim.Scripted([sent, 20.0], content_type=sim.EVENT_STREAM))
    with Connection(here.server.url) as connection:
        connection.send("POST", f"{here.prefix}/chat/completions", request(stream=True))
        wait_for(lambda: here.upstream.asked)
        time.sleep(1.0)
        here.server.request_stop(drain_seconds=0.2)
        response = connection.receive()
    assert (response.status, response.error["code"]) == (503, "draining")
    leaf = here.output()
    assert leaf.statement.predicate["outcome"] == "drain"
    assert (leaf.content("raw"), leaf.content("canonical")) == (sent, b"")


def test_a_log_that_has_stopped_costs_no_upstream_call(here, monkeypatch):
    def stopped() -> None:
        raise StorageUnavailableError("the log has stopped")

    monkeypatch.setattr(here.keeper, "ready", stopped)
    answer = chat(here)
    assert answer.status == 503
    assert here.upstream.asked == []


def test_client_keys_stay_here_where_they_are_ours():
    """A key of `apostille serve` is for the gateway: it never reaches the upstream, with or without a key of its own."""
    sent = {"authorization": "Bearer apo-1", "x-api-key": "apo-1", "user-agent": "x"}
    for settings, expected in (
        (UpstreamSettings("http://127.0.0.1:1"), "Bearer apo-1"),
        (UpstreamSettings("http://127.0.0.1:1", passes_client_key=False), None),
        (UpstreamSettings("http://127.0.0.1:1", api_key="up", passes_client_key=False), "Bearer up"),
    ):
        made = Upstream(settings, response_bytes=1).headers(sent)
        assert made.get("authorization") == expected
        assert ("x-api-key" in made) == (expected == "Bearer apo-1")
