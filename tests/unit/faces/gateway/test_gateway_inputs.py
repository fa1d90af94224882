"""Inputs: one statement per message and run, and the context over all of them (gateway.md section 2, formats.md 3.3)."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest

from apostille.errors import BackPressureError, MalformedError, TooLargeError
from apostille.faces.gateway import inputs, wire
from apostille.faces.gateway.inputs import Input, InputIndex

LIMITS = wire.Limits()
USER = {"role": "user", "content": "Hello?"}


def read(**value):
    return inputs.read_request(json.dumps({"model": "m", "messages": [USER], **value}).encode(), limits=LIMITS)


class Made:
    def __init__(self, digest: bytes) -> None:
        self.digest = digest


class PaperRun:
    """Notes what it is given; fails from a certain number on."""

    def __init__(self, fails_at: int = 1000) -> None:
        self.given: list[tuple[bytes, str]] = []
        self._fails_at = fails_at

    def input(self, raw, *, source, media_type):
        if len(self.given) >= self._fails_at:
            raise BackPressureError("full")
        assert media_type == "application/json"
        self.given.append((raw, source["kind"]))
        return Made(hashlib.sha256(raw + str(len(self.given)).encode()).digest())


def submit(run, index, found):
    return asyncio.run(inputs.submit(run, index, found.inputs))


def test_roles_and_their_kinds():
    roles = ["system", "developer", "user", "assistant", "tool", "function"]
    found = read(messages=[{"role": role, "content": "x"} for role in roles])
    assert [item.kind for item in found.inputs] == ["system", "system", "user", "agent", "tool", "tool"]


@pytest.mark.parametrize("role", [None, "", "god", 7, ["user"], "User"])
def test_other_roles_are_refused(role):
    with pytest.raises(MalformedError):
        read(messages=[{"role": role, "content": "x"}])


def test_the_offered_tools_come_first():
    tools = [{"type": "function", "function": {"name": "f"}}]
    found = read(tools=tools)
    assert found.inputs[0] == Input("system", wire.stable_json({"tools": tools}))
    assert len(found.inputs) == 2
    assert len(read(tools=[], functions=None).inputs) == 1


@pytest.mark.parametrize(
    ("value", "streamed"), [({}, False), ({"stream": None}, False), ({"stream": False}, False), ({"stream": True}, True)]
)
def test_whether_a_stream_is_asked_for(value, streamed):
    assert read(**value).streamed is streamed


@pytest.mark.parametrize(
    "value", [{"stream": "true"}, {"stream": 2}, {"model": 7}, {"messages": {}}, {"messages": []}, {"messages": ["x"]}]
)
def test_what_is_no_chat_request(value):
    with pytest.raises(MalformedError):
        read(**value)


def test_too_many_messages():
    with pytest.raises(TooLargeError):
        inputs.read_request(json.dumps({"messages": [USER] * 4}).encode(), limits=wire.Limits(messages=3))


def test_a_message_is_known_by_its_value_not_its_spelling():
    run, index = PaperRun(), InputIndex()
    one = inputs.read_request(b'{"messages":[{"role":"user","content":"\\u00e9"}]}', limits=LIMITS)
    two = inputs.read_request('{"messages": [{"content": "é", "role": "user"}]}'.encode(), limits=LIMITS)
    first, second = submit(run, index, one), submit(run, index, two)
    assert len(first.new) == 1
    assert second.new == ()
    assert first.context == second.context
    assert run.given == [('{"content":"é","role":"user"}'.encode(), "user")]


def test_the_same_message_twice_in_one_request():
    run = PaperRun()
    found = submit(run, InputIndex(), read(messages=[USER, USER]))
    assert len(found.new) == len(run.given) == 1
    assert found.context == hashlib.sha256(found.new[0] * 2).hexdigest()


def test_the_context_is_over_the_whole_list_in_order():
    run, index = PaperRun(), InputIndex()
    a, b = {"role": "user", "content": "a"}, {"role": "user", "content": "b"}
    first = submit(run, index, read(messages=[a, b]))
    second = submit(run, index, read(messages=[b, a]))
    assert first.context == hashlib.sha256(b"".join(first.new)).hexdigest()
    assert second.context == hashlib.sha256(b"".join(reversed(first.new))).hexdigest()
    assert second.new == ()


def test_the_kind_belongs_to_what_is_known():
    assert Input("user", b"x").key != Input("tool", b"x").key


def test_a_failure_midway_remembers_only_what_was_taken():
    index = InputIndex()
    messages = [{"role": "user", "content": str(n)} for n in range(5)]
    with pytest.raises(BackPressureError):
        submit(PaperRun(fails_at=3), index, read(messages=messages))
    assert len(index) == 3
    assert len(submit(PaperRun(), index, read(messages=messages)).new) == 2


def test_the_index_is_bounded_and_forgets_the_oldest_unused():
    index = InputIndex(limit=2)
    a, b, c = (Input("user", text) for text in (b"a", b"b", b"c"))
    index.remember(a, b"1")
    index.remember(b, b"2")
    assert index.find(a) == b"1"
    index.remember(c, b"3")
    assert (index.find(a), index.find(b), index.find(c)) == (b"1", None, b"3")
    index.forget(a)
    index.forget(a)
    assert index.find(a) is None
    assert len(index) == 1


def test_many_messages_let_others_have_their_turn():
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def both():
        task = asyncio.create_task(other())
        found = read(messages=[{"role": "user", "content": str(n)} for n in range(500)])
        await inputs.submit(PaperRun(), InputIndex(), found.inputs)
        task.cancel()

    asyncio.run(both())
    assert turns >= 10
