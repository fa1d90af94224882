"""What is taken from an upstream's chat completion, what is dropped and listed, what refuses it (gateway.md section 4)."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apostille.errors import CanonicalizationError, MalformedError, TooLargeError, UnavailableError
from apostille.faces.gateway import chat_read, chat_write, wire
from apostille.faces.gateway.chat_read import Choice, ToolCall

sys.path.insert(0, str(Path(__file__).parents[3] / "simulators"))
import openai_upstream as sim

LIMITS = wire.Limits()
RECEIPT = {"v": 1, "id": "0" * 32, "bundle": "http://x/receipts/0"}


def raw(scripted: sim.Scripted) -> bytes:
    return b"".join(step for step in scripted.steps if isinstance(step, bytes))


def body(scripted: sim.Scripted, limits: wire.Limits = LIMITS) -> chat_read.Reading:
    return chat_read.read_body(raw(scripted), limits=limits)


def stream(scripted: sim.Scripted, limits: wire.Limits = LIMITS) -> chat_read.Reading:
    return chat_read.read_stream(raw(scripted), limits=limits)


def test_a_whole_text():
    found = body(sim.text("Hello"))
    assert found.choices == (Choice(0, "Hello", None, (), (), "stop"),)
    assert (found.id, found.created, found.model) == ("chatcmpl-sim", 1_790_000_000, "sim-1")
    assert found.extras == (("system_fingerprint", "fp_sim"),)
    assert found.usage == {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    assert found.rewrites == ()


def test_a_streamed_text_is_the_same_but_for_its_usage():
    found = stream(sim.stream("Hel", "lo"))
    assert found == replace(body(sim.text("Hello")), usage=None)
    found = stream(sim.stream("Hel", "lo", usage=True))
    assert found.usage_apart
    assert found.usage == {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_tool_arguments_are_joined_wherever_they_were_cut(size):
    arguments = '{"city":"Z\\u00fc\\ud83d\\ude00rich","n":[1,2]}'
    call = ToolCall("call_1", "weather", arguments)
    assert stream(sim.tool_stream("weather", arguments, size=size)).choices[0].tool_calls == (call,)
    assert body(sim.tools(sim.call("weather", arguments))).choices[0].tool_calls == (call,)


def test_halves_of_a_character_in_two_chunks_are_joined():
    found = stream(sim.events(sim.delta(content="a\ud83d"), sim.delta(content="\ude00b"), sim.delta(finish="stop")))
    assert found.choices[0].content == "a\U0001f600b"
    with pytest.raises(MalformedError):
        stream(sim.events(sim.delta(content="a\ud83d"), sim.delta(content="b"), sim.delta(finish="stop")))


def test_calls_and_choices_that_are_interleaved():
    def piece(index: int, text: str, **first: Any) -> dict[str, Any]:
        function = {"arguments": text, **({"name": first["name"]} if first else {})}
        return {"index": index, "function": function, **({"id": first["id"], "type": "function"} if first else {})}

    found = stream(
        sim.events(
            sim.delta(1, role="assistant", content=""),
            sim.delta(0, tool_calls=[piece(0, "", id="c0", name="f")]),
            sim.delta(0, tool_calls=[piece(1, "[", id="c1", name="g"), piece(0, "{")]),
            sim.delta(1, content="one"),
            sim.delta(0, tool_calls=[piece(0, "}"), piece(1, "]")]),
            sim.delta(1, finish="stop"),
            sim.delta(0, finish="tool_calls"),
        )
    )
    assert [choice.index for choice in found.choices] == [0, 1]
    assert found.choices[0].tool_calls == (ToolCall("c0", "f", "{}"), ToolCall("c1", "g", "[]"))
    assert found.choices[1].content == "one"


def test_calls_without_an_index():
    first = {"id": "c0", "type": "function", "function": {"name": "f", "arguments": "{"}}
    second = {"id": "c1", "type": "function", "function": {"name": "g", "arguments": "[]"}}
    values = [
        sim.delta(tool_calls=[first]),
        sim.delta(tool_calls=[{"function": {"arguments": "}"}}]),
        sim.delta(tool_calls=[second]),
        sim.delta(finish="tool_calls"),
    ]
    assert stream(sim.events(*values)).choices[0].tool_calls == (ToolCall("c0", "f", "{}"), ToolCall("c1", "g", "[]"))


def test_what_is_dropped_is_listed():
    value = sim.completion(
        [
            {
                **sim.choice("x", reasoning_details=[{"a": 1}], **{"n\u200b": 1}),
                "logprobs": {"content": [{"token": "x", "logprob": -0.1, "bytes": [120]}]},
                "content_filter_results": {"hate": {}},
            }
        ],
        prompt_filter_results=[1],
        service_tier="Tier with spaces",
        usage={
            "prompt_tokens": 1,
            "cost": 0.5,
            "completion_tokens_details": {"reasoning_tokens": 4, "odd": 1},
            "total_tokens": 2**70,
        },
    )
    found = body(sim.whole(value))
    assert set(found.rewrites) == {
        "null choices/0/logprobs",
        "dropped choices/0/content_filter_results",
        "dropped choices/0/message/reasoning_details",
        "dropped choices/0/message/(unprintable name)",
        "dropped prompt_filter_results",
        "dropped service_tier",
        "dropped usage/cost",
        "dropped usage/completion_tokens_details/odd",
    }
    assert found.usage == {"prompt_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 4}}
    written = json.loads(chat_write.write_body(found, RECEIPT))
    assert written["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "x", "refusal": None}, "logprobs": None, "finish_reason": "stop"}
    ]
    assert set(written) == {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "apostille"}


def test_a_flood_of_unknown_names_is_bounded():
    found = body(sim.whole(sim.completion([sim.choice("x")], **{f"n{i}": 1 for i in range(500)})))
    assert len(found.rewrites) == 101
    assert "more" in found.rewrites


REFUSED = [
    ("content is a list", sim.whole(sim.completion([sim.choice([{"type": "text"}])])), CanonicalizationError),
    ("another role", sim.whole(sim.completion([sim.choice("x", role="user")])), CanonicalizationError),
    ("audio", sim.whole(sim.completion([sim.choice(None, audio={"id": "a"})])), CanonicalizationError),
    ("function_call", sim.whole(sim.completion([sim.choice(None, function_call={"name": "f"})])), CanonicalizationError),
    ("a custom tool", sim.tools({"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}), CanonicalizationError),
    ("a tool name that hides", sim.tools(sim.call("f\u200b", "{}")), CanonicalizationError),
    ("a tool id that hides", sim.tools(sim.call("f", "{}", call_id="c\U000e0041")), CanonicalizationError),
    ("a tool without an id", sim.tools(sim.call("f", "{}", call_id="")), CanonicalizationError),
    ("arguments as an object", sim.tools(sim.call("f", {"a": 1})), CanonicalizationError),
    ("a response id that hides", sim.whole(sim.completion([sim.choice("x")], id="a\u200bb")), CanonicalizationError),
    ("a model name that hides", sim.whole(sim.completion([sim.choice("x")], model="m\u200b")), CanonicalizationError),
    ("an unknown finish reason", sim.whole(sim.completion([sim.choice("x", finish="because")])), CanonicalizationError),
    ("no finish reason", sim.whole(sim.completion([sim.choice("x", finish=None)])), UnavailableError),
    ("an error inside a 200", sim.whole({"error": {"message": "no"}}), UnavailableError),
    ("no choices", sim.whole(sim.completion([])), MalformedError),
    ("choices of one index", sim.whole(sim.completion([sim.choice("x"), sim.choice("y")])), MalformedError),
    ("an index beyond the bound", sim.whole(sim.completion([sim.choice("x", index=5000)])), MalformedError),
    ("a negative index", sim.whole(sim.completion([sim.choice("x", index=-1)])), MalformedError),
    ("a choice that is text", sim.whole(sim.completion(["x"])), MalformedError),
    (
        "a message that is text",
        sim.whole(sim.completion([{"index": 0, "message": "x", "finish_reason": "stop"}])),
        MalformedError,
    ),
    ("a list", sim.whole([]), MalformedError),
    ("a number", sim.whole(b"1"), MalformedError),
    ("not JSON", sim.whole(b'{"choices": [{"index": 0'), MalformedError),
    ("not UTF-8", sim.whole(b'{"choices":"\xff"}'), MalformedError),
    ("a lone half of a character", sim.text("x\ud83d"), MalformedError),
]


@pytest.mark.parametrize(("scripted", "error"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_whole_answers_that_are_refused(scripted, error):
    with pytest.raises(error):
        body(scripted)


CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
REFUSED_STREAMS = [
    ("no finish chunk", sim.events(sim.delta(content="x")), UnavailableError),
    ("no [DONE]", sim.events(sim.delta(content="x"), sim.delta(finish="stop"), done=False), UnavailableError),
    ("nothing at all", sim.Scripted([b""]), UnavailableError),
    ("only [DONE]", sim.events(), UnavailableError),
    ("one of two choices unfinished", sim.events(sim.delta(0, finish="stop"), sim.delta(1, content="x")), UnavailableError),
    (
        "cut off in the last event",
        sim.Scripted([raw(sim.stream("x")).removesuffix(b"data: [DONE]\n\n"), b"data: {"]),
        UnavailableError,
    ),
    ("an error event", sim.events(sim.delta(content="x"), {"error": {"message": "no"}}), UnavailableError),
    ("an event named error", sim.Scripted([b"event: error\ndata: {}\n\n"]), UnavailableError),
    ("an event of another name", sim.Scripted([b"event: ping\ndata: {}\n\n", raw(sim.stream("x"))]), CanonicalizationError),
    ("something after [DONE]", sim.Scripted([raw(sim.stream("x")), sim.event(sim.delta(content="y"))]), MalformedError),
    ("text after the finish", sim.events(sim.delta(finish="stop"), sim.delta(content="x")), MalformedError),
    ("a call after the finish", sim.events(sim.delta(finish="stop"), sim.delta(tool_calls=[CALL])), MalformedError),
    ("two finish reasons", sim.events(sim.delta(finish="stop"), sim.delta(finish="length")), MalformedError),
    ("garbage between", sim.Scripted([sim.event(sim.delta(content="x")), b"data: {oops\n\n"]), MalformedError),
    ("invalid UTF-8", sim.Scripted([b'data: {"choices":[{"delta":{"content":"\xc3\x28"}}]}\n\n']), MalformedError),
    ("an id that changes", sim.events(sim.delta(tool_calls=[CALL]), sim.delta(tool_calls=[{**CALL, "id": "d"}])), MalformedError),
    ("an event too long", sim.events(sim.delta(content="x" * 2**21), sim.delta(finish="stop")), TooLargeError),
]


@pytest.mark.parametrize(("scripted", "error"), [case[1:] for case in REFUSED_STREAMS], ids=[case[0] for case in REFUSED_STREAMS])
def test_streams_that_are_refused(scripted, error):
    with pytest.raises(error):
        stream(scripted)


def test_what_upstreams_do_and_we_take():
    scripted = sim.Scripted(
        [
            b": PROCESSING\n\n",
            sim.event({**sim.chunk([]), "id": "", "model": "", "prompt_filter_results": [1]}),
            sim.event(sim.delta(role="assistant", content=None, refusal=None)),
            sim.event(sim.delta(content="x")).replace(b"\n\n", b"\r\n\r\n"),
            sim.event({**sim.delta(content="y"), "obfuscation": "abc"}),
            sim.event(sim.delta(finish="stop")),
            sim.event(sim.delta()),
            b"data: [DONE]",
        ]
    )
    found = stream(scripted)
    assert found.id == "chatcmpl-sim"
    assert found.choices[0].content == "xy"
    assert set(found.rewrites) == {"dropped prompt_filter_results", "dropped obfuscation"}


def test_bounds():
    many = sim.completion([sim.choice("x", index=i) for i in range(20)])
    with pytest.raises(MalformedError):
        body(sim.whole(many), replace(LIMITS, parts=10))
    calls = [sim.call("f", "{}", call_id=f"c{i}") for i in range(10)]
    assert len(body(sim.tools(*calls), replace(LIMITS, parts=10)).choices[0].tool_calls) == 10
    with pytest.raises(TooLargeError):
        body(sim.tools(*calls, content="x"), replace(LIMITS, parts=10))
    with pytest.raises(TooLargeError):
        stream(sim.tool_stream("f", '"' + "x" * 100 + '"'), replace(LIMITS, arguments_bytes=50))


def test_the_stream_that_is_written_reads_as_the_same():
    choices = [
        sim.choice("Hello " * 500, reasoning_content="why " * 600),
        sim.choice(
            None, index=1, finish="tool_calls", tool_calls=[sim.call("f", '{"a":1}'), sim.call("g", "{}", call_id="call_2")]
        ),
        sim.choice(None, index=3, refusal="No. " * 400),
        sim.choice("", index=4),
    ]
    whole = body(sim.whole(sim.completion(choices, service_tier="default")))
    for apart in (True, False):
        written = chat_write.write_stream(replace(whole, usage_apart=apart), RECEIPT)
        again = chat_read.read_stream(written, limits=LIMITS)
        assert replace(again, rewrites=()) == replace(whole, usage_apart=apart, choices=again.choices)
        assert again.rewrites == ("dropped apostille",)
        assert [(c.content or "", c.refusal or "", c.reasoning, c.tool_calls) for c in again.choices] == [
            (c.content or "", c.refusal or "", c.reasoning, c.tool_calls) for c in whole.choices
        ]
    again = chat_read.read_body(chat_write.write_body(whole, RECEIPT), limits=LIMITS)
    assert replace(again, rewrites=()) == whole


def chunks(data: bytes) -> list[Any]:
    return [json.loads(line.removeprefix("data: ")) for line in data.decode().split("\n\n") if line and line != "data: [DONE]"]


def test_the_shape_of_a_stream():
    found = stream(sim.stream("Hel", "lo", usage=True))
    data = chat_write.write_stream(found, RECEIPT)
    assert data.endswith(b"\n\ndata: [DONE]\n\n")
    written = chunks(data)
    assert [chunk["choices"][0]["delta"] for chunk in written[:-1]] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "Hello"},
        {},
    ]
    # The receipt stands in the finish chunk and nowhere else; no chunk but the usage one has empty choices.
    assert ["apostille" in chunk for chunk in written] == [False, False, True, False]
    assert written[2]["apostille"] == RECEIPT
    assert written[3]["choices"] == []
    assert written[3]["usage"]["total_tokens"] == 12


def test_pieces_join_again_and_spare_sequences():
    text = ("a\u0301" * 10 + " family \U0001f469\u200d\U0001f4bb ") * 300 + "漢字" * 3000
    found = list(chat_write.pieces(text, 64))
    assert "".join(found) == text
    assert all(0 < len(piece) <= 64 for piece in found)
    assert not any(piece.startswith(("\u0301", "\u200d")) for piece in found)
    assert list(chat_write.pieces("", 8)) == []
    assert list(chat_write.pieces("x" * 8, 8)) == ["x" * 8]
