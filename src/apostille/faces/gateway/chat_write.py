"""Write a chat completion once: the JSON body, or the bytes of the stream. What is written is what is hashed and sent.

A stream that was held whole is rebuilt in its natural order, choice by choice: the role chunk, the reasoning, the text, the
refusal, one chunk for each tool call, the finish chunk. The ``apostille`` member stands in the finish chunk: an extra chunk with
``choices: []`` would break clients that read ``choices[0]``. The usage chunk, which has ``choices: []`` by the API's own rule, is
written only where the upstream sent one.

Spec: ``gateway.md`` sections 4, 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apostille.faces.gateway import sse, wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apostille.faces.gateway.chat_read import Choice, Reading

PIECE_CHARACTERS = 1024


def write_body(reading: Reading, receipt: dict[str, Any]) -> bytes:
    """Write the JSON body of a whole answer."""
    choices = [
        {"index": choice.index, "message": _message(choice), "logprobs": None, "finish_reason": choice.finish_reason}
        for choice in reading.choices
    ]
    value = {**_head(reading, "chat.completion"), "choices": choices}
    if reading.usage is not None:
        value["usage"] = reading.usage
    return wire.write_json({**value, **dict(reading.extras), "apostille": receipt})


def write_stream(reading: Reading, receipt: dict[str, Any]) -> bytes:
    """Write the bytes of a whole stream, ``[DONE]`` included."""
    head = _head(reading, "chat.completion.chunk") | dict(reading.extras)
    written = []
    last = reading.choices[-1].index
    for choice in reading.choices:
        written += [_chunk(head, choice.index, delta) for delta in _deltas(choice)]
        # Each finish chunk names the receipt: a client that reads one choice only finds it too.
        more: dict[str, Any] = {"apostille": receipt}
        if reading.usage is not None and not reading.usage_apart and choice.index == last:
            more["usage"] = reading.usage
        written.append(_chunk(head, choice.index, {}, finish_reason=choice.finish_reason, more=more))
    if reading.usage is not None and reading.usage_apart:
        written.append(sse.format_event(wire.write_json({**head, "choices": [], "usage": reading.usage})))
    written.append(sse.format_event(b"[DONE]"))
    return b"".join(written)


def pieces(text: str, size: int = PIECE_CHARACTERS) -> Iterator[str]:
    """Cut a text into pieces of at most ``size`` characters, before an ASCII character where one is near.

    An ASCII character never continues the character a reader sees before it, so an accent or an emoji sequence is rarely parted
    from its base. Joined again the pieces are the text in every case.
    """
    start = 0
    while len(text) - start > size:
        end = start + size
        for place in range(end, start + size // 2, -1):
            if text[place] < "\x80":
                end = place
                break
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def _head(reading: Reading, kind: str) -> dict[str, Any]:
    return {"id": reading.id, "object": kind, "created": reading.created, "model": reading.model}


def _message(choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.content, "refusal": choice.refusal}
    message |= dict(choice.reasoning)
    if choice.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in choice.tool_calls
        ]
    return message


def _deltas(choice: Choice) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": None if choice.content is None else "", "refusal": None}
    for name, text in choice.reasoning:
        for piece in pieces(text):
            yield {name: piece}
    for piece in pieces(choice.content or ""):
        yield {"content": piece}
    for piece in pieces(choice.refusal or ""):
        yield {"refusal": piece}
    for number, call in enumerate(choice.tool_calls):
        function = {"name": call.name, "arguments": call.arguments}
        yield {"tool_calls": [{"index": number, "id": call.id, "type": "function", "function": function}]}


def _chunk(
    head: dict[str, Any],
    index: int,
    delta: dict[str, Any],
    *,
    finish_reason: str | None = None,
    more: dict[str, Any] | None = None,
) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return sse.format_event(wire.write_json({**head, "choices": [choice], **(more or {})}))
