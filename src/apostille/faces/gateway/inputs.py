"""The inputs of a request: each message of a conversation becomes one ``input`` statement per run.

A chat request repeats the whole conversation every time. A message is known again by the SHA-256 of one spelling of its JSON
(keys sorted, no white space), in a bounded map that lives as long as the run: one that was evicted is merely stated again.
The list of tools that the model is offered counts as one input of kind ``system``, and as the first.

    context = SHA-256( H(PAE) of each input || ... ), in order: the tools, then all messages, old and new

Spec: ``gateway.md`` section 2 "Inputs"; ``formats.md`` section 3.3.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apostille.errors import MalformedError, TooLargeError
from apostille.faces.gateway import wire

if TYPE_CHECKING:
    from apostille.services.runs import Pending, Run

SPEC = "chat.completions request"
MAX_KNOWN = 65_536
_SLICE = 32
_KINDS = {"system": "system", "developer": "system", "user": "user", "assistant": "agent", "tool": "tool", "function": "tool"}


@dataclass(frozen=True, slots=True)
class Input:
    """One input: the bytes to attest and where they came from."""

    kind: str
    raw: bytes

    @property
    def key(self) -> bytes:
        """The digest by which a repeated input is known. The kind belongs to it: the same text may come from two sources."""
        return hashlib.sha256(self.kind.encode("ascii") + b"\0" + self.raw).digest()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a request asks for, as far as the gateway must know it."""

    model: str
    streamed: bool
    inputs: tuple[Input, ...]


def read_request(body: bytes, *, limits: wire.Limits) -> ChatRequest:
    """Read a chat completion request.

    Raises:
        MalformedError: Not strict JSON, or not a chat request.
        TooLargeError: More messages than allowed.
    """
    value = wire.read_request_json(body, spec=SPEC)
    if not isinstance(value, dict):
        raise MalformedError("not an object", spec=SPEC)
    messages = value.get("messages")
    if not isinstance(messages, list) or not messages:
        raise MalformedError("'messages' is not a list with something in it", spec=SPEC)
    if len(messages) > limits.messages:
        raise TooLargeError("too many messages", limit=limits.messages, spec=SPEC)
    streamed = value.get("stream", False)
    if streamed not in (True, False, None):
        raise MalformedError("'stream' is not true or false", spec=SPEC)
    model = value.get("model", "")
    if not isinstance(model, str):
        raise MalformedError("'model' is not a string", spec=SPEC)
    offered = {name: value[name] for name in ("tools", "functions") if value.get(name)}
    inputs = [Input("system", wire.stable_json(offered))] if offered else []
    inputs += [_message(message) for message in messages]
    return ChatRequest(model=model, streamed=bool(streamed), inputs=tuple(inputs))


def _message(message: Any) -> Input:
    if not isinstance(message, dict):
        raise MalformedError("a message is no object", spec=SPEC)
    kind = _KINDS.get(message["role"]) if isinstance(message.get("role"), str) else None
    if kind is None:
        raise MalformedError(f"a message has an unknown role: {str(message.get('role'))[:32]!r}", spec=SPEC)
    return Input(kind, wire.stable_json(message))


class InputIndex:
    """Which inputs of a run are logged already: message digest to H(PAE) of its statement. Oldest unused entries go first."""

    def __init__(self, *, limit: int = MAX_KNOWN) -> None:
        self._known: OrderedDict[bytes, bytes] = OrderedDict()
        self._limit = limit

    def __len__(self) -> int:
        return len(self._known)

    def find(self, item: Input) -> bytes | None:
        """Return H(PAE) of the statement of ``item``, if it has one."""
        digest = self._known.get(item.key)
        if digest is not None:
            self._known.move_to_end(item.key)
        return digest

    def remember(self, item: Input, digest: bytes) -> None:
        """Note that ``item`` has the statement ``digest``."""
        self._known[item.key] = digest
        while len(self._known) > self._limit:
            self._known.popitem(last=False)

    def forget(self, item: Input) -> None:
        """Drop an input whose statement was not committed."""
        self._known.pop(item.key, None)


@dataclass(frozen=True, slots=True)
class Submitted:
    """The inputs of one request, handed over for commitment.

    Attributes:
        new: H(PAE) of the statements made now, in order.
        context: Hex digest of the whole ordered list.
        pending: The commitments to wait for, with the input that each belongs to.
    """

    new: tuple[bytes, ...]
    context: str
    pending: tuple[tuple[Input, Pending], ...]


async def submit(run: Run, index: InputIndex, inputs: tuple[Input, ...]) -> Submitted:
    """Make statements of the inputs that the run does not know yet, without waiting for their commitment.

    A statement is signed at once; after some of them other requests get their turn.

    Raises:
        BackPressureError: The keeper takes no more now.
    """
    digests: list[bytes] = []
    new: list[bytes] = []
    pending: list[tuple[Input, Pending]] = []
    for item in inputs:
        digest = index.find(item)
        if digest is None:
            made = run.input(item.raw, source={"kind": item.kind}, media_type="application/json")
            digest = made.digest
            index.remember(item, digest)
            new.append(digest)
            pending.append((item, made))
            if len(new) % _SLICE == 0:
                await asyncio.sleep(0)
        digests.append(digest)
    return Submitted(tuple(new), hashlib.sha256(b"".join(digests)).hexdigest(), tuple(pending))
