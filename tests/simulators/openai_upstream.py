"""An OpenAI-compatible upstream on loopback that answers by script and records what it was asked.

A real HTTP server (aiohttp) in a thread. An answer is a list of steps: bytes to send, seconds to wait, an event to wait for, or
``ABORT``, which drops the connection without ending the body. The functions below make the answers that providers really send,
and the broken ones: whole and streamed text, tool calls with arguments split anywhere (inside ``\\u`` escapes too), several
choices, refusals, reasoning, usage, errors, garbage, cut streams, answers that are too large, and hidden characters.
"""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

MODEL = "sim-1"
ABORT = object()
EVENT_STREAM = "text/event-stream"
JSON = "application/json"
TAGS = "".join(chr(0xE0000 + ord(c)) for c in "id4711")
SELECTORS = "".join(chr(0xFE00 + n) if n < 16 else chr(0xE0100 + n - 16) for n in b"patient 4711")
OVERRIDE = "\u202e"
HIDDEN = {"tags": TAGS, "selectors": SELECTORS, "override": OVERRIDE, "zwsp": "\u200b\u200b\u200b"}


@dataclass(frozen=True)
class Asked:
    """One request as the upstream received it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Scripted:
    """One answer: status, headers, steps."""

    steps: list[Any]
    status: int = 200
    content_type: str | None = JSON
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    delay: float = 0.0


class OpenAIUpstream:
    """The server. Use it as a context manager; ``url`` is its base URL with ``/v1``."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.aborted_by_client = threading.Event()
        self._script: list[Scripted] = []
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def script(self, *answers: Scripted) -> None:
        """Queue answers; when the queue is empty, a default text or stream is given."""
        with self._lock:
            self._script.extend(answers)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._loop is not None and self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{rest:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append(Asked(request.method, request.path, request.query_string, headers, body))
        with self._lock:
            scripted = self._script.pop(0) if self._script else None
        if scripted is None:
            streamed = json.loads(body).get("stream", False)
            scripted = stream("Hello", " there.") if streamed else text("Hello there.")
        try:
            return await self._play(request, scripted)
        except (asyncio.CancelledError, ConnectionResetError):
            self.aborted_by_client.set()
            raise

    async def _play(self, request: web.Request, scripted: Scripted) -> web.StreamResponse:
        await asyncio.sleep(scripted.delay)
        response = web.StreamResponse(status=scripted.status, headers=scripted.headers)
        if scripted.content_type is not None:
            response.headers["Content-Type"] = scripted.content_type
        if scripted.length is not None:
            response.content_length = scripted.length
        elif scripted.content_type is not None and EVENT_STREAM in scripted.content_type:
            response.enable_chunked_encoding()
        await response.prepare(request)
        for step in scripted.steps:
            if step is ABORT:
                assert request.transport is not None
                request.transport.abort()
                return response
            if isinstance(step, float):
                await asyncio.sleep(step)
            elif isinstance(step, threading.Event):
                await asyncio.to_thread(step.wait, 20)
            else:
                await response.write(step)
        await response.write_eof()
        return response


def completion(choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """The JSON value of a whole answer."""
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    head = {"id": "chatcmpl-sim", "object": "chat.completion", "created": 1_790_000_000, "model": MODEL}
    return {**head, "choices": choices, "usage": usage, "system_fingerprint": "fp_sim", **more}


def whole(value: Any, **more: Any) -> Scripted:
    """A JSON body."""
    return Scripted([value if isinstance(value, bytes) else json.dumps(value).encode()], **more)


def choice(content: str | None, *, index: int = 0, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """One choice of a whole answer."""
    said = {"role": "assistant", "content": content, "refusal": None, "annotations": [], **message}
    return {"index": index, "message": said, "logprobs": None, "finish_reason": finish}


def text(content: str, **message: Any) -> Scripted:
    """A whole answer of one text."""
    return whole(completion([choice(content, **message)]))


def call(name: str, arguments: str, call_id: str = "call_1") -> dict[str, Any]:
    """One tool call of a whole answer."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def tools(*calls: dict[str, Any], content: str | None = None) -> Scripted:
    """A whole answer of tool calls."""
    return whole(completion([choice(content, finish="tool_calls", tool_calls=list(calls))]))


def chunk(choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """The JSON value of a chunk."""
    head = {"id": "chatcmpl-sim", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": MODEL}
    return {**head, "system_fingerprint": "fp_sim", "choices": choices, **more}


def delta(index: int = 0, finish: str | None = None, **said: Any) -> dict[str, Any]:
    """A chunk with one delta."""
    return chunk([{"index": index, "delta": said, "logprobs": None, "finish_reason": finish}])


def event(value: Any) -> bytes:
    """One event; text is taken as it is."""
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def events(*values: Any, done: bool = True) -> Scripted:
    """A stream of chunks, with ``[DONE]`` at its end."""
    return Scripted([*(event(value) for value in values), *([event(b"[DONE]")] if done else [])], content_type=EVENT_STREAM)


def stream(*texts: str, usage: bool = False) -> Scripted:
    """A stream of text deltas."""
    values = [delta(role="assistant", content=""), *(delta(content=piece) for piece in texts), delta(finish="stop")]
    if usage:
        values.append(chunk([], usage={"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}))
    return events(*values)


def tool_stream(name: str, arguments: str, *, size: int = 3, call_id: str = "call_1") -> Scripted:
    """A stream of one tool call whose arguments come in pieces of ``size`` characters, wherever that cuts."""
    first = {"index": 0, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
    pieces = [arguments[start : start + size] for start in range(0, len(arguments), size)]
    return events(
        delta(role="assistant", content=None, tool_calls=[first]),
        *(delta(tool_calls=[{"index": 0, "function": {"arguments": piece}}]) for piece in pieces),
        delta(finish="tool_calls"),
    )


def error(status: int, message: str, *, code: str | None = None, kind: str = "invalid_request_error", **headers: str) -> Scripted:
    """An error in the API's shape."""
    value = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return Scripted([json.dumps(value).encode()], status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})


def cut_stream(*texts: str) -> Scripted:
    """A stream whose connection drops after some text."""
    steps = [event(delta(role="assistant", content="")), *(event(delta(content=piece)) for piece in texts), 0.05, ABORT]
    return Scripted(steps, content_type=EVENT_STREAM)


def ended_stream(*texts: str) -> Scripted:
    """A stream that ends in good order as far as HTTP goes, without a finish chunk."""
    return events(*(delta(content=piece) for piece in texts), done=False)


def huge(size: int) -> Scripted:
    """A whole answer of at least ``size`` bytes."""
    head, tail = json.dumps(completion([choice("@")])).encode().split(b"@")
    piece = b"x" * 2**20
    return Scripted([head, *([piece] * (size // len(piece) + 1)), tail])


def escaped(value: str) -> str:
    """JSON text in which every character beyond ASCII is an escape."""
    return json.dumps(value, ensure_ascii=True)
