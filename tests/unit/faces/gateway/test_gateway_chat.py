"""Upstream bytes to an answer: parts, findings, and two laws over anything that an upstream may send (gateway.md section 4).

Total: every input gives an answer or an error of ours. Stable: an answer that is read again gives the same bytes, so cleaning
leaves nothing for a second cleaning to find.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apostille.core.canon import apply_edits, canonicalize
from apostille.errors import ApostilleError, CanonicalizationError
from apostille.faces.gateway import chat, wire
from apostille.faces.gateway.cleaning import Cleaning

sys.path.insert(0, str(Path(__file__).parents[3] / "simulators"))
import openai_upstream as sim

RECEIPT = {"v": 1, "id": "0" * 32, "bundle": "http://x/receipts/0"}
HOSTILE = st.sampled_from(
    [
        "a",
        " ",
        "\n",
        "é",
        "e\u0301",
        "\u200b",
        sim.TAGS,
        sim.SELECTORS,
        sim.OVERRIDE,
        "\u0000",
        "\x1b[8m",
        '"',
        "\\",
        "\r\n",
        "漢",
    ]
)
TEXTS = st.lists(st.one_of(HOSTILE, st.text(max_size=4)), max_size=8).map("".join)


def raw(scripted: sim.Scripted) -> bytes:
    return b"".join(step for step in scripted.steps if isinstance(step, bytes))


def answer(data: bytes, *, streamed: bool) -> chat.Answer:
    return chat.answer(data, streamed=streamed, receipt=RECEIPT, fallback_id="chatcmpl-0", limits=wire.Limits(), cleaning=Cleaning())


def test_findings_are_of_their_part():
    dirty = f"Hello{sim.TAGS}"
    arguments = sim.escaped({"a": f"x{sim.SELECTORS}", "b": f"y{sim.OVERRIDE}"})
    value = sim.completion([sim.choice(dirty, tool_calls=[sim.call("f", arguments)], finish="tool_calls")])
    found = answer(raw(sim.whole(value)), streamed=False)
    assert found.attributes["part_findings"] == {part.path: count for part, count in zip(found.parts, (1, 3), strict=True)}
    # The edit law holds for each part by itself: findings lead from what the upstream said to what is sent.
    first, rest = found.findings[:1], found.findings[1:]
    assert apply_edits(dirty.encode(), first) == b"Hello"
    assert rest == canonicalize(arguments.encode(), media_type="application/json").findings
    assert [finding.code for finding in rest] == ["JSON_FORM", "VS_RUN", "BIDI_OVERRIDE"]


def test_an_answer_without_an_id_gets_one_and_says_so():
    value = sim.completion([sim.choice("x")])
    del value["id"]
    found = answer(raw(sim.whole(value)), streamed=False)
    assert json.loads(found.body)["id"] == "chatcmpl-0"
    assert found.attributes["rewrites"] == ["added id"]
    assert found.attributes["model"]["response_id"] == "chatcmpl-0"


@pytest.mark.parametrize("arguments", ["", "{", "[1,]", '{"a":1} x', "{'a':1}", "\ufeff{", "nul"])
def test_what_is_no_json_is_text(arguments):
    found = answer(raw(sim.tools(sim.call("f", arguments))), streamed=False)
    assert found.attributes["invalid_json"] == ["choice/0/arguments/0"]
    assert found.parts[0].media_type == "text/plain"
    assert found.parts[0].content == canonicalize(arguments).bytes


@pytest.mark.parametrize(
    "arguments",
    [
        '{"a":1,"a":1}',
        '{"a":1,"a\\udb40\\udc41":1}',
        '{"n":1e400}',
        '{"n":NaN}',
        '{"n":9007199254740993}',
        '["\\udead"]',
        "[" * 129 + "]" * 129,
    ],
)
def test_what_two_readers_read_differently_is_refused(arguments):
    for streamed, scripted in ((False, sim.tools(sim.call("f", arguments))), (True, sim.tool_stream("f", arguments))):
        with pytest.raises(CanonicalizationError):
            answer(raw(scripted), streamed=streamed)


@settings(deadline=None)
@given(
    TEXTS,
    TEXTS,
    st.one_of(st.none(), TEXTS),
    st.dictionaries(st.text(max_size=3), st.one_of(TEXTS, st.integers(-9, 9), st.booleans()), max_size=3),
)
def test_cleaning_twice_finds_nothing_more(content, reasoning, refusal, arguments):
    message = {"reasoning_content": reasoning, "refusal": refusal}
    calls = [sim.call("f", sim.escaped(arguments))]
    value = sim.completion([sim.choice(content, finish="tool_calls", tool_calls=calls, **message), sim.choice(content, index=1)])
    try:
        first = answer(raw(sim.whole(value)), streamed=False)
    except CanonicalizationError:
        return  # keys that are twins
    second = answer(first.body, streamed=False)
    assert second.body == first.body
    # A text of which nothing is left has a part, and is no text the second time.
    assert second.parts == tuple(part for part in first.parts if part.content)
    assert not [finding for finding in second.findings if finding.act not in ("report", "keep")]


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=6), st.booleans())
def test_a_stream_that_is_cleaned_twice_is_the_same(pieces, usage):
    first = answer(raw(sim.stream(*pieces, usage=usage)), streamed=True)
    second = answer(first.body, streamed=True)
    assert second.body == first.body
    # A text of which nothing is left has a part, and is no text the second time.
    assert second.parts == tuple(part for part in first.parts if part.content)
    # How an upstream cut its text changes nothing.
    assert answer(raw(sim.stream("".join(pieces), usage=usage)), streamed=True).body == first.body


@pytest.mark.parametrize("scripted", [sim.stream, lambda *pieces: sim.tool_stream("f", json.dumps("".join(pieces)), size=6)])
def test_the_cost_grows_with_the_length_not_faster(scripted):
    def seconds(count: int) -> float:
        data = raw(scripted(*["a few\u00e9 "] * count))
        best = 60.0
        for _ in range(5):
            started = time.process_time()
            answer(data, streamed=True)
            best = min(best, time.process_time() - started)
        return best

    seconds(100)
    assert seconds(8000) < 6.0 * seconds(2000)  # four times the length


def seeds() -> list[tuple[bytes, bool]]:
    call = sim.call("f", sim.escaped({"a": f"x{sim.TAGS}"}))
    whole = sim.completion(
        [sim.choice("Hello", reasoning_content="hm", tool_calls=[call], finish="tool_calls"), sim.choice("two", index=1)]
    )
    return [
        (raw(sim.whole(whole)), False),
        (raw(sim.stream("Hel", "lo", usage=True)), True),
        (raw(sim.tool_stream("f", sim.escaped({"a": sim.TAGS}))), True),
    ]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(seeds()),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 3), st.binary(max_size=3)), min_size=1, max_size=4),
)
def test_total_over_damaged_answers(seed, damages):
    data, streamed = seed
    for place, length, insert in damages:
        at = place % (len(data) + 1)
        data = data[:at] + insert + data[at + length :]
    try:
        found = answer(data, streamed=streamed)
    except ApostilleError:
        return
    assert answer(found.body, streamed=streamed).body == found.body


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["index", "id", "function", "arguments", "content", "x"]), inner, max_size=3),
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["choices", "usage", "id", "model", "created", "system_fingerprint", "error"]), JSON_VALUES)
def test_total_over_odd_values_beside_the_choices(name, value):
    for streamed, base in ((False, sim.completion([sim.choice("x")])), (True, sim.delta(finish="stop"))):
        data = json.dumps({**base, name: value})
        try:
            found = answer(f"data: {data}\n\ndata: [DONE]\n\n".encode() if streamed else data.encode(), streamed=streamed)
        except ApostilleError:
            continue
        assert json.dumps(value) == "null" or found.body


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["content", "refusal", "role", "tool_calls", "function_call", "reasoning", "audio", "annotations"]),
    JSON_VALUES,
)
def test_total_over_odd_values_inside_a_message(name, value):
    for streamed, data in (
        (False, raw(sim.whole(sim.completion([sim.choice("x", **{name: value} if name != "content" else {})])))),
        (True, raw(sim.events(sim.delta(**{name: value}), sim.delta(finish="stop")))),
    ):
        try:
            answer(data, streamed=streamed)
        except ApostilleError:
            continue
