"""The gateway as an ASGI application: routes, who may ask, and what happens when somebody leaves.

| route | |
|---|---|
| ``POST [/r/<secret>][/v1]../chat/completions`` | attested |
| ``GET /receipts/<id>[?since=<size>]`` | 200 with a receipt, or 202 while its checkpoint is pending |
| ``GET /healthz``, ``GET /readyz`` | the process lives; the log is writable |
| everything else, upgrades included | 403 ``route_not_attested`` |

A receipt is for whoever knows its id, 128 random bits: an auditor holds no key of the gateway's.

No byte of a response leaves before its statement is committed. While an answer is being made one task waits for the client to
leave: a server's ``send`` says nothing of that. Whatever we don't know ends as a 500 that holds nothing of the answer.

Spec: ``gateway.md`` sections 2, 3, 5, 6, 13.
"""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from typing import TYPE_CHECKING, Any, Protocol

from apostille.core import strict
from apostille.errors import ApostilleError, MalformedError, UnavailableError, UntrustedError
from apostille.faces.gateway import problems, wire
from apostille.faces.gateway.exchange import Exchange, Question, Reply, refuse
from apostille.faces.gateway.wire import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from apostille.faces.gateway.cleaning import Cleaning
    from apostille.faces.gateway.sessions import RunSource
    from apostille.faces.gateway.upstream import Upstream

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

SUPPORTED = "POST .../chat/completions (stream or not, tool calls included)"
_SECRET = re.compile(r"/r/([A-Za-z0-9_-]{1,128})(/.*)")
_CHAT = re.compile(r"((?:/[A-Za-z0-9_.~@:-]+)*)/chat/completions")
_RECEIPT = re.compile(r"/receipts/([0-9a-f]{32})")
_QUERY = re.compile(r"[!-~]*")
_log = logging.getLogger(__name__)


class Receipts(Protocol):
    """What the gateway needs of the keeper. ``receipt`` reads the store, and is called in a thread."""

    def receipt(self, receipt_id: str, *, since: int | None = None) -> tuple[str, bytes]:
        """Return the state (``committed`` or ``published``) and JSON of a receipt; any ``ApostilleError``."""
        ...

    def ready(self) -> None:
        """Return at once if the log takes statements; UnavailableError if not."""
        ...


class Gateway:
    """The application.

    Args:
        source: Finds the run of a request.
        upstream: Where answers come from.
        receipts: The keeper's receipts and readiness.
        public_url: URL of this gateway without a slash at the end, as clients reach it.
        limits: Bounds.
        cleaning: What is done to the texts of answers.
    """

    def __init__(
        self,
        source: RunSource,
        upstream: Upstream,
        receipts: Receipts,
        *,
        public_url: str,
        limits: wire.Limits,
        cleaning: Cleaning,
    ) -> None:
        self._source = source
        self._upstream = upstream
        self._receipts = receipts
        self._public_url = public_url
        self._limits = limits
        self._cleaning = cleaning
        self._active = 0
        self._is_draining = False
        self._give_up = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            raise RuntimeError(f"no such ASGI scope here: {scope['type']}")
        try:
            reply = await self._reply(scope, receive)
        except Exception as error:  # noqa: BLE001 -- the outermost handler
            # Fail closed: a fault of ours must neither release anything nor look like an answer. The message of an
            # exception that we don't know may quote an output, so only its type and place go to the log.
            place = "".join(traceback.format_tb(error.__traceback__))
            _log.error("internal fault, nothing was released: %s\n%s", type(error).__name__, place)
            reply = refuse(Refusal(500, "internal", "internal fault; nothing was released", called=True))
        if reply is None:
            return
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def drain(self, seconds: float) -> None:
        """Take no new requests, let the running ones finish for ``seconds``, and give up on the rest with 503."""
        self._is_draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            self._give_up.set()
            await self._idle.wait()

    async def _reply(self, scope: Message, receive: Receive) -> Reply | None:
        path = bytes(scope.get("raw_path") or scope["path"].encode("utf-8")).decode("ascii", "replace")
        method = scope["method"]
        if method == "GET" and path in {"/healthz", "/readyz"}:
            return self._health(path)
        if method == "GET" and (found := _RECEIPT.fullmatch(path)):
            return await self._receipt(found.group(1), scope.get("query_string", b"").decode("latin-1"))
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        secret = None
        if found := _SECRET.fullmatch(path):
            secret, path = found.groups()
        if self._is_draining:
            return refuse(Refusal(503, "draining", "this gateway is shutting down", retry_after_seconds=1))
        try:
            context = self._source.resolve(secret, _bearer(headers), headers.get("apostille-run"))
        except UntrustedError as error:
            return refuse(Refusal(401, "unauthorized", str(error), type="authentication_error"))
        except UnavailableError as error:
            return refuse(problems.log_problem(error, called=False))
        upstream_path = _upstream_path(path) if method == "POST" and "upgrade" not in headers else None
        if upstream_path is None:
            message = f"this route is not attested, so nothing passes here; supported: {SUPPORTED}"
            return refuse(Refusal(403, "route_not_attested", message, type="invalid_request_error"))
        query = scope.get("query_string", b"").decode("latin-1")
        refusal = _refused_head(headers, query)
        if refusal is None and self._active >= self._limits.in_flight:
            refusal = Refusal(503, "busy", "too many requests are being answered", retry_after_seconds=1)
        if refusal is not None:
            return refuse(refusal)
        self._active += 1
        self._idle.clear()
        try:
            with self._source.use(context):
                # A log that has stopped would refuse the answer: then the upstream need not be asked.
                self._receipts.ready()
                body = await _read_body(receive, self._limits)
                if body is None or isinstance(body, Refusal):
                    return body if body is None else _closing(refuse(body))
                question = Question(upstream_path, query, headers, body)
                exchange = Exchange(
                    question, context, self._upstream, public_url=self._public_url, limits=self._limits, cleaning=self._cleaning
                )
                return await self._guard(exchange, receive)
        except UnavailableError as error:
            return refuse(problems.log_problem(error, called=False))
        finally:
            self._active -= 1
            if not self._active:
                self._idle.set()

    async def _guard(self, exchange: Exchange, receive: Receive) -> Reply | None:
        """Run an exchange while watching for the client's leaving and for the end of a drain."""
        work = asyncio.create_task(exchange.run())
        left = asyncio.create_task(_disconnected(receive))
        stop = asyncio.create_task(self._give_up.wait())
        try:
            await asyncio.wait({work, left, stop}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if exchange.is_committing:
                # The statement is on its way, and says what may leave: it is not taken back.
                reply = await work
                return None if left.done() else reply
            await _cancelled(work)
            if left.done():
                await exchange.abandon("client_abort")
                return None
            await exchange.abandon("drain")
            return refuse(Refusal(503, "draining", "this gateway is shutting down", called=True))
        except asyncio.CancelledError:
            # The server gives up on us. What was received is still attested, out of reach of the cancellation.
            if not exchange.is_committing:
                await _cancelled(work)
                await asyncio.shield(asyncio.create_task(exchange.abandon("drain")))
            raise
        finally:
            await _cancelled(left)
            await _cancelled(stop)

    def _health(self, path: str) -> Reply:
        if path == "/readyz":
            if self._is_draining:
                return refuse(Refusal(503, "draining", "this gateway is shutting down", retry_after_seconds=1))
            try:
                self._receipts.ready()
            except ApostilleError as error:
                return refuse(Refusal(503, "not_ready", str(error), retry_after_seconds=1))
        return _json(200, b'{"status":"ok"}')

    async def _receipt(self, receipt_id: str, query: str) -> Reply:
        try:
            since = strict.decimal(query.removeprefix("since="), spec="since") if query else None
        except MalformedError as error:
            return refuse(Refusal(400, "invalid_request", str(error), type="invalid_request_error"))
        try:
            state, body = await asyncio.to_thread(self._receipts.receipt, receipt_id, since=since)
        except ApostilleError as error:
            return refuse(problems.receipt_problem(error))
        return _json(200 if state == "published" else 202, body, (b"apostille-state", state.encode("ascii")))


def _upstream_path(path: str) -> str | None:
    """Return the path below the upstream's base URL, or nothing if the route is not attested."""
    found = _CHAT.fullmatch(path)
    if found is None:
        return None
    prefix = found.group(1)
    if any(segment in {".", ".."} for segment in prefix.split("/")):
        return None
    # Base URLs carry their own /v1, on both sides.
    prefix = prefix[3:] if prefix == "/v1" or prefix.startswith("/v1/") else prefix
    return f"{prefix}/chat/completions"


def _bearer(headers: dict[str, str]) -> str | None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return headers.get("x-api-key") or headers.get("api-key")


def _refused_head(headers: dict[str, str], query: str) -> Refusal | None:
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" or headers.get("content-encoding", "identity").lower() != "identity":
        message = "a request is uncompressed JSON: content-type application/json, no content-encoding"
        return Refusal(415, "unsupported_media_type", message, type="invalid_request_error")
    if not _QUERY.fullmatch(query):
        return Refusal(400, "invalid_request", "the query string is not ASCII", type="invalid_request_error")
    return None


async def _read_body(receive: Receive, limits: wire.Limits) -> bytes | Refusal | None:
    """Read the request's body; nothing if the client left."""
    body = bytearray()
    while True:
        try:
            message = await asyncio.wait_for(receive(), limits.idle_seconds)
        except TimeoutError:
            return Refusal(408, "request_timeout", "the rest of the request did not come", type="invalid_request_error")
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > limits.request_bytes:
            text = f"the request is larger than {limits.request_bytes:,} bytes"
            return Refusal(413, "request_too_large", text, type="invalid_request_error")
        if not message.get("more_body", False):
            return bytes(body)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _json(status: int, body: bytes, *headers: tuple[bytes, bytes]) -> Reply:
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode("ascii"))]
    return Reply(status, [*head, (b"cache-control", b"no-store"), *headers], body)


def _closing(reply: Reply) -> Reply:
    """End the connection with the reply: the rest of the request was not read."""
    return Reply(reply.status, [*reply.headers, (b"connection", b"close")], reply.body)
