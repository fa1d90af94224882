"""One question and its answer, from the request's bytes to a reply that may be sent.

The order is the promise: inputs are handed over, the upstream is read to its end, the answer is built once, the statement is
committed, and only then is there a reply. The ``body`` of the reply is the very object that was hashed.

| the upstream gave | attested output: outcome, canonical | reply |
|---|---|---|
| nothing (unreachable, silent) | none: nothing was said | 502, 504 |
| an answer that can leave | none given, the answer | 200 |
| an error, garbage, half an answer, too much | ``upstream_error``, our error body | its status, 502, 504 |
| something, and the client left before the commit | ``client_abort``, empty: nothing was released | none |
| something, and the gateway had to stop | ``drain``, empty | 503 |

``raw`` is in each case what the upstream had sent so far.

Spec: ``gateway.md`` sections 2, 5, 6.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from apostille.core import strict
from apostille.errors import ApostilleError, MalformedError
from apostille.faces.gateway import chat, inputs, problems, wire
from apostille.faces.gateway.upstream import Received
from apostille.faces.gateway.wire import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from apostille.core.canon import Finding
    from apostille.faces.gateway.cleaning import Cleaning
    from apostille.faces.gateway.sessions import RunContext
    from apostille.faces.gateway.upstream import Upstream
    from apostille.services.runs import Committed, Part, Pending

ROUTE = "chat.completions"
MAX_RECEIPT_HEADER = 4096
_OFF_LOOP_BYTES = 64 * 1024
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent to a client."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def refuse(refusal: Refusal) -> Reply:
    """Make a reply of a refusal that nothing is attested of."""
    body = refusal.body()
    return Reply(refusal.status, [*_content(chat.JSON, body), *refusal.headers()], body)


@dataclass(frozen=True, slots=True)
class Question:
    """One request, as it came.

    Attributes:
        path: Path below the upstream's base URL.
        query: Query string.
        headers: Headers by lower-case name.
        body: The body.
    """

    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Output:
    """The arguments of the one ``output`` statement of an exchange."""

    raw: bytes
    body: bytes
    media_type: str
    parts: tuple[Part, ...] = ()
    findings: tuple[Finding, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    outcome: str | None = None


class Exchange:
    """Answers one question.

    Args:
        question: The request.
        context: The run that it belongs to.
        upstream: Where the answer comes from.
        public_url: URL of the gateway, for the link to the receipt.
        limits: Bounds.
        cleaning: What is done to the texts of answers.
    """

    def __init__(
        self,
        question: Question,
        context: RunContext,
        upstream: Upstream,
        *,
        public_url: str,
        limits: wire.Limits,
        cleaning: Cleaning,
    ) -> None:
        self._question = question
        self._context = context
        self._upstream = upstream
        self._limits = limits
        self._cleaning = cleaning
        self._received = Received()
        self._request: inputs.ChatRequest | None = None
        self._submitted: inputs.Submitted | None = None
        # 128 random bits, chosen before signing, since the answer itself names its receipt.
        self.receipt_id = secrets.token_hex(16)
        self._receipt = {"v": 1, "id": self.receipt_id, "bundle": f"{public_url}/receipts/{self.receipt_id}"}
        self.is_committing = False

    async def run(self) -> Reply:
        """Return the reply. Raises only what is a fault of our own."""
        try:
            request = await _apart(self._question.body, inputs.read_request, self._question.body, limits=self._limits)
        except MalformedError as error:
            return refuse(Refusal(400, "invalid_request", str(error), type="invalid_request_error"))
        self._request = request
        try:
            self._submitted = await inputs.submit(self._context.run, self._context.inputs, request.inputs)
        except ApostilleError as error:
            return refuse(problems.log_problem(error, called=False))
        refusal = await self._upstream.post(
            self._question.path,
            self._question.query,
            self._question.body,
            self._upstream.headers(self._question.headers),
            self._received,
        )
        if refusal is not None:
            return await self._fail(refusal)
        if self._received.status != 200:
            return await self._fail(*problems.upstream_problem(self._received, self._cleaning))
        expected = chat.EVENT_STREAM if request.streamed else chat.JSON
        if self._received.media_type != expected or self._received.charset not in {"utf-8", "utf8"}:
            message = f"the upstream's answer is not of type {expected} in UTF-8"
            return await self._fail(Refusal(502, "malformed_upstream", message, called=True))
        raw = bytes(self._received.body)
        try:
            found = await _apart(
                raw,
                chat.answer,
                raw,
                streamed=request.streamed,
                receipt=self._receipt,
                fallback_id=f"chatcmpl-{self.receipt_id}",
                limits=self._limits,
                cleaning=self._cleaning,
            )
        except ApostilleError as error:
            return await self._fail(problems.unusable(error))
        output = _Output(found.raw, found.body, found.media_type, found.parts, found.findings, found.attributes)
        return await self._release(output, 200, [])

    async def abandon(self, outcome: str) -> None:
        """Attest what an upstream had sent when the exchange was given up; nothing of it was released.

        Args:
            outcome: ``client_abort`` or ``drain``.
        """
        if not self._received.status:
            return
        output = _Output(bytes(self._received.body), b"", self._expected_type(), outcome=outcome)
        try:
            await self._commit(output)
        except ApostilleError as error:
            _log.warning("an abandoned answer was not attested: %s", error.code)

    async def _fail(self, refusal: Refusal, findings: tuple[Finding, ...] = ()) -> Reply:
        """Reply with a refusal; where the upstream sent anything, a bare status included, after attesting both."""
        if not self._received.status:
            return refuse(refusal)
        attributes: dict[str, Any] = {"error": refusal.code, "upstream_status": self._received.status}
        if self._received.truncated:
            attributes["truncated"] = True
        raw, body = bytes(self._received.body), refusal.body(self._receipt)
        output = _Output(raw, body, chat.JSON, (), findings, attributes, "upstream_error")
        return await self._release(output, refusal.status, refusal.headers())

    async def _release(self, output: _Output, status: int, headers: list[tuple[bytes, bytes]]) -> Reply:
        try:
            committed = await self._commit(output)
        except ApostilleError as error:
            return refuse(problems.log_problem(error, called=True))
        passed = [(name.encode("ascii"), value.encode("ascii")) for name, value in self._received.headers.items()]
        return Reply(
            status,
            [*_content(output.media_type, output.body), *self._proof(output.body, committed), *passed, *headers],
            output.body,
        )

    async def _commit(self, output: _Output) -> Committed:
        """Make the statement and wait until it is durable, and every input that it relies on with it."""
        self.is_committing = True
        submitted = self._submitted
        if submitted is None:
            raise RuntimeError("an output without its inputs")
        try:
            pending: Pending = await _apart(
                output.raw,
                self._context.run.output,
                output.raw,
                output.body,
                profile=self._cleaning.id,
                findings=output.findings,
                media_type=output.media_type,
                parts=output.parts,
                attributes=output.attributes | self._circumstances(output, submitted),
                inputs=submitted.new,
                outcome=output.outcome,
                receipt_id=self.receipt_id,
            )
            committed = await pending
            for _, made in submitted.pending:
                await made
        except ApostilleError:
            for item, _ in submitted.pending:
                self._context.inputs.forget(item)
            raise
        return committed

    def _circumstances(self, output: _Output, submitted: inputs.Submitted) -> dict[str, Any]:
        found: dict[str, Any] = {"route": ROUTE, "context": submitted.context}
        if self._received.headers:
            found["upstream_headers"] = dict(self._received.headers)
        if self._upstream.settings.provider is not None:
            found["model"] = output.attributes.get("model", {}) | {"provider": self._upstream.settings.provider}
        return found

    def _expected_type(self) -> str:
        return chat.EVENT_STREAM if self._request is not None and self._request.streamed else chat.JSON

    def _proof(self, body: bytes, committed: Committed) -> list[tuple[bytes, bytes]]:
        """Write the headers that lead to the receipt, and the digest of the body."""
        digest = strict.base64_text(hashlib.sha256(body).digest())
        salts = {"canonical": committed.canonical_salt} | {f"part/{p}": salt for p, salt in committed.part_salts.items()}
        receipt = self._receipt | {
            "h": committed.digest.hex(),
            "index": committed.index,
            "state": "committed",
            "salts": {name: strict.base64_text(salt) for name, salt in salts.items()},
        }
        headers = [
            (b"apostille-id", self.receipt_id.encode("ascii")),
            (b"apostille-bundle", str(self._receipt["bundle"]).encode("ascii")),
            (b"content-digest", f"sha-256=:{digest}:".encode("ascii")),
        ]
        packed = base64.urlsafe_b64encode(wire.write_json(receipt)).rstrip(b"=")
        if len(packed) <= MAX_RECEIPT_HEADER:
            headers.append((b"apostille-receipt", packed))
        return headers


def _content(media_type: str, body: bytes) -> list[tuple[bytes, bytes]]:
    name = media_type.encode("ascii") + (b"; charset=utf-8" if media_type == chat.EVENT_STREAM else b"")
    return [(b"content-type", name), (b"content-length", str(len(body)).encode("ascii")), (b"cache-control", b"no-store")]


async def _apart(data: bytes, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a pure function, in another thread where there is so much data that other requests would wait for it."""
    if len(data) <= _OFF_LOOP_BYTES:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)
