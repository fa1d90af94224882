"""The unmodified OpenAI SDK through the gateway: sync and async, whole and streamed, tools, helpers, errors, abort.

Spec: gateway.md sections 5 (what SDKs raise and retry), 6 (the receipt is visible and harms nobody), 7 (client suite).
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import replace

import openai
import pytest
from gateway_kit import MESSAGES, desk, sim
from pydantic import BaseModel

from apostille.core.canon import canonicalize

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
]
ARGUMENTS = '{"city": "Z\\u00fc\\udb40\\udc41rich"}'
CLEAN = '{"city":"Zürich"}'
ASK = {"model": "sim-1", "messages": MESSAGES}


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def here(tmp_path):
    with desk(tmp_path, idle_seconds=5.0) as found:
        yield found


@pytest.fixture
def client(here):
    with openai.OpenAI(base_url=here.base_url, api_key="sk-test") as found:
        yield found


def on_async(here, ask):
    """Run ``ask(client)`` with the async client."""

    async def run():
        async with openai.AsyncOpenAI(base_url=here.base_url, api_key="sk-test") as client:
            return await ask(client)

    return asyncio.run(run())


def receipt_of(value):
    found = value.model_extra["apostille"]
    assert found["v"] == 1
    assert found["bundle"].endswith(found["id"])
    return found["id"]


def test_whole(here, client):
    here.upstream.script(sim.text(f"Hello{sim.TAGS}."))
    raw = client.chat.completions.with_raw_response.create(**ASK)
    found = raw.parse()
    assert found.choices[0].message.content == "Hello."
    assert found.choices[0].finish_reason == "stop"
    assert found.usage.total_tokens == 12
    assert receipt_of(found) == raw.headers["apostille-id"]
    leaf = here.output()
    assert leaf.content("canonical") == raw.content
    # What the SDK hands out can be compared with the log, without the wire's bytes.
    assert leaf.content("part/choice/0/text") == found.choices[0].message.content.encode()


def test_stream(here, client):
    here.upstream.script(sim.stream("Hel", f"l{sim.SELECTORS}o", "."))
    chunks = list(client.chat.completions.create(**ASK, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello."
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    assert receipt_of(chunks[-1])
    assert not any("apostille" in (chunk.model_extra or {}) for chunk in chunks[:-1])


def test_stream_with_usage(here, client):
    here.upstream.script(sim.stream("Hello", usage=True))
    chunks = list(client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 3
    assert receipt_of(chunks[-2])


def test_tools_whole(here, client):
    here.upstream.script(sim.tools(sim.call("weather", ARGUMENTS), sim.call("weather", "{}", call_id="call_2")))
    found = client.chat.completions.create(**ASK, tools=TOOLS)
    first, second = found.choices[0].message.tool_calls
    assert (first.id, first.function.name, first.function.arguments) == ("call_1", "weather", CLEAN)
    assert second.function.arguments == "{}"
    leaf = here.output()
    again = canonicalize(first.function.arguments, media_type="application/json").bytes
    assert leaf.content("part/choice/0/arguments/0") == again


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_tools_streamed(here, client, size):
    here.upstream.script(sim.tool_stream("weather", ARGUMENTS, size=size))
    text = name = ""
    for chunk in client.chat.completions.create(**ASK, tools=TOOLS, stream=True):
        for call in chunk.choices[0].delta.tool_calls or []:
            assert call.index == 0
            name += call.function.name or ""
            text += call.function.arguments or ""
    assert (name, text) == ("weather", CLEAN)


def test_stream_helper_with_text(here, client):
    here.upstream.script(sim.stream("Hel", "lo", usage=True))
    with client.chat.completions.stream(**ASK, stream_options={"include_usage": True}) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= set(kinds)
    assert final.choices[0].message.content == "Hello"
    assert final.usage.total_tokens == 12


def test_stream_helper_with_tools(here, client):
    here.upstream.script(sim.tool_stream("weather", ARGUMENTS))
    with client.chat.completions.stream(**ASK, tools=TOOLS) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion()
    assert [(event.name, event.arguments, event.parsed_arguments) for event in done] == [("weather", CLEAN, {"city": "Zürich"})]
    assert final.choices[0].message.tool_calls[0].function.parsed_arguments == {"city": "Zürich"}


def test_parse_helper(here, client):
    class City(BaseModel):
        name: str

    here.upstream.script(sim.text('{"name": "Z\u00fcrich"}'), sim.stream('{"name": ', '"Bern"}'))
    found = client.chat.completions.parse(**ASK, response_format=City)
    assert found.choices[0].message.parsed == City(name="Zürich")
    with client.chat.completions.stream(**ASK, response_format=City) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == City(name="Bern")


def test_two_choices(here, client):
    here.upstream.script(sim.whole(sim.completion([sim.choice("one"), sim.choice("two", index=1)])))
    found = client.chat.completions.create(**ASK, n=2)
    assert [choice.message.content for choice in found.choices] == ["one", "two"]
    interleaved = [
        sim.delta(0, role="assistant", content="o"),
        sim.delta(1, role="assistant", content="t"),
        sim.delta(0, content="ne"),
        sim.delta(1, content="wo"),
        sim.delta(1, finish="stop"),
    ]
    here.upstream.script(
        sim.events(*interleaved, sim.delta(0, finish="stop")), sim.events(*interleaved, sim.delta(0, finish="length"))
    )
    with client.chat.completions.stream(**ASK, n=2) as stream:
        final = stream.get_final_completion()
    assert [choice.message.content for choice in final.choices] == ["one", "two"]
    texts, finishes = {0: "", 1: ""}, {}
    for chunk in client.chat.completions.create(**ASK, n=2, stream=True):
        (choice,) = chunk.choices
        texts[choice.index] += choice.delta.content or ""
        if choice.finish_reason:
            finishes[choice.index] = choice.finish_reason
            assert receipt_of(chunk)
    assert (texts, finishes) == ({0: "one", 1: "two"}, {0: "length", 1: "stop"})


def test_refusal_and_reasoning(here, client):
    here.upstream.script(
        sim.text("yes", reasoning_content=f"hm{sim.TAGS}"),
        sim.whole(sim.completion([sim.choice(None, refusal="I won't.")])),
        sim.events(
            sim.delta(role="assistant", refusal=""),
            sim.delta(refusal="I "),
            sim.delta(refusal="won't."),
            sim.delta(finish="stop"),
        ),
    )
    assert client.chat.completions.create(**ASK).choices[0].message.model_extra["reasoning_content"] == "hm"
    assert client.chat.completions.create(**ASK).choices[0].message.refusal == "I won't."
    with client.chat.completions.stream(**ASK) as stream:
        assert stream.get_final_completion().choices[0].message.refusal == "I won't."


def test_a_conversation_with_a_tool(here, client):
    here.upstream.script(sim.tools(sim.call("weather", ARGUMENTS)), sim.text("Sunny."))
    messages = list(MESSAGES)
    first = client.chat.completions.create(model="sim-1", messages=messages, tools=TOOLS)
    said = first.choices[0].message
    messages += [said, {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": "sun"}]
    second = client.chat.completions.create(model="sim-1", messages=messages, tools=TOOLS)
    assert second.choices[0].message.content == "Sunny."
    # What went back to the provider is the canonical call.
    sent = json.loads(here.upstream.asked[1].body)["messages"]
    assert sent[2]["tool_calls"][0]["function"]["arguments"] == CLEAN
    assert [leaf.attributes["source"]["kind"] for leaf in here.inputs()] == ["system", "system", "user", "agent", "tool"]


ERRORS = [
    (sim.error(400, "bad", code="c"), openai.BadRequestError, 1),
    (sim.error(401, "bad key", code="invalid_api_key"), openai.AuthenticationError, 1),
    (sim.error(404, "no model", code="model_not_found"), openai.NotFoundError, 1),
    # 5xx after the upstream was called: not once more, though the SDK retries twice by default.
    (sim.error(500, "oops"), openai.InternalServerError, 1),
    (sim.error(503, "overloaded"), openai.InternalServerError, 1),
    (sim.whole(b"garbage"), openai.InternalServerError, 1),
    (sim.tools(sim.call("weather", '{"a":1,"a":2}')), openai.InternalServerError, 1),
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("scripted", "error", "calls"), ERRORS)
def test_errors_raise_and_are_not_retried(here, client, scripted, error, calls, streamed):
    here.upstream.script(scripted)
    with pytest.raises(error) as caught:
        client.chat.completions.create(**ASK, stream=streamed)
    assert caught.value.body["message"]
    assert len(here.upstream.asked) == calls
    assert here.output().statement.predicate["outcome"] == "upstream_error"


def test_a_rate_limit_is_retried_by_the_sdk(here, client):
    here.upstream.script(sim.error(429, "slow down", retry_after="0"), sim.text("now"))
    assert client.chat.completions.create(**ASK).choices[0].message.content == "now"
    assert [leaf.statement.predicate.get("outcome") for leaf in here.outputs()] == ["upstream_error", None]


@pytest.mark.parametrize("scripted", [sim.cut_stream("a", "b"), sim.ended_stream("a", "b")])
def test_a_stream_without_its_end_raises_before_any_text(here, client, scripted):
    here.upstream.script(scripted)
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(**ASK, stream=True)
    assert caught.value.status_code == 502


def test_a_silent_upstream_is_a_timeout(here, client):
    here.upstream.script(sim.Scripted([], delay=30.0))
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(**ASK)
    assert caught.value.status_code == 504
    assert len(here.upstream.asked) == 1


def test_other_calls_say_what_is_supported(here, client):
    for ask in (
        client.models.list,
        lambda: client.embeddings.create(model="m", input="x"),
        lambda: client.responses.create(model="m", input="x"),
    ):
        with pytest.raises(openai.PermissionDeniedError, match="chat/completions") as caught:
            ask()
        assert caught.value.code == "route_not_attested"
    assert here.upstream.asked == []


def test_a_wrong_secret_is_an_authentication_error(here):
    with (
        openai.OpenAI(base_url=f"{here.server.url}/r/{'x' * 32}/v1", api_key="sk-test") as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.chat.completions.create(**ASK)


def test_a_client_that_gives_up(here, client):
    here.upstream.script(sim.Scripted([], delay=20.0))
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=1.5, max_retries=0).chat.completions.create(**ASK)
    assert here.upstream.aborted_by_client.wait(5)
    assert here.outputs() == []


def test_closing_a_stream_early_harms_nothing(here, client):
    stream = client.chat.completions.create(**ASK, stream=True)
    next(stream)
    stream.close()
    assert client.chat.completions.create(**ASK).choices[0].message.content == "Hello there."
    assert len(here.outputs()) == 2


def test_async_whole_and_streamed(here):
    here.upstream.script(
        sim.text(f"Hello{sim.TAGS}."), sim.stream("Hel", "lo."), sim.tool_stream("weather", ARGUMENTS), sim.error(500, "oops")
    )

    async def ask(client):
        found = await client.chat.completions.create(**ASK)
        assert found.choices[0].message.content == "Hello."
        assert receipt_of(found)
        text = ""
        async for chunk in await client.chat.completions.create(**ASK, stream=True):
            text += chunk.choices[0].delta.content or ""
        assert text == "Hello."
        async with client.chat.completions.stream(**ASK, tools=TOOLS) as stream:
            final = await stream.get_final_completion()
        assert final.choices[0].message.tool_calls[0].function.arguments == CLEAN
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(**ASK)

    on_async(here, ask)
    assert [leaf.statement.predicate.get("outcome") for leaf in here.outputs()] == [None, None, None, "upstream_error"]


def test_async_requests_at_one_time_on_one_run(here):
    here.upstream.script(*(replace(sim.text(f"a{n}"), delay=0.5) for n in range(10)))

    async def ask(client):
        found = await asyncio.gather(*(client.chat.completions.create(**ASK) for _ in range(10)))
        return sorted(completion.choices[0].message.content for completion in found)

    started = time.monotonic()
    assert on_async(here, ask) == sorted(f"a{n}" for n in range(10))
    assert time.monotonic() - started < 4
    assert len(here.outputs()) == 10
    assert len(here.inputs()) == 2


def test_an_async_task_that_is_cancelled(here):
    gate = threading.Event()
    sent = sim.event(sim.delta(content="half"))
    here.upstream.script(sim.Scripted([sent, gate], content_type=sim.EVENT_STREAM))

    async def ask(client):
        task = asyncio.create_task(client.chat.completions.create(**ASK, stream=True))
        while not here.upstream.asked:
            await asyncio.sleep(0.02)
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    on_async(here, ask)
    end = time.monotonic() + 5
    while not here.outputs() and time.monotonic() < end:
        time.sleep(0.02)
    gate.set()
    assert here.output().statement.predicate["outcome"] == "client_abort"
