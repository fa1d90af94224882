"""Read an upstream's chat completion, whole or as a stream, into one model of the fields that may leave.

Nothing is copied through. What is not named here is dropped and listed in ``rewrites``; an item whose *kind* is unknown (a custom
tool call, an audio answer, content that is no string) refuses the whole answer, because dropping it would change what was said.
A stream counts only after its clean end: every choice finished, and ``[DONE]``.

Spec: ``gateway.md`` section 4, column chat.completions, strict mode; section 2, rule 4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from apostille.core import strict
from apostille.errors import CanonicalizationError, MalformedError, MalformedJsonError, TooLargeError, UnavailableError
from apostille.faces.gateway import sse, wire

SPEC = "chat.completion"
DONE = "[DONE]"
FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})
REASONING_FIELDS = ("reasoning_content", "reasoning")
_MODEL = re.compile(r"[A-Za-z0-9_.:/@+-]{1,256}")
_TIER = re.compile(r"[a-z_-]{1,32}")
_MAX_REWRITES = 100
_TOP = frozenset({"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"})
_CHOICE = frozenset({"index", "finish_reason", "logprobs"})
_MESSAGE = frozenset({"role", "content", "refusal", "tool_calls", "function_call", "audio", *REASONING_FIELDS})
_CALL = frozenset({"index", "id", "type", "function"})
_FUNCTION = frozenset({"name", "arguments"})
_USAGE_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_USAGE_DETAILS = {
    "prompt_tokens_details": ("cached_tokens", "audio_tokens"),
    "completion_tokens_details": ("reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"),
}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a function; ``arguments`` is the text that the model wrote."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice. An absent text is ``None``; ``reasoning`` holds (field name, text) as the upstream names it."""

    index: int
    content: str | None
    refusal: str | None
    reasoning: tuple[tuple[str, str], ...]
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What an upstream said, reduced to the fields that may leave.

    Attributes:
        id: Response id, empty where the upstream gave none.
        created: POSIX seconds.
        model: Name of the model, empty where the upstream gave none.
        extras: ``system_fingerprint`` and ``service_tier``, where given.
        choices: In order of their index.
        usage: Token counts, where given.
        usage_apart: Whether a stream carried the usage in a chunk of its own.
        rewrites: What was dropped or set to null, as paths.
    """

    id: str
    created: int
    model: str
    extras: tuple[tuple[str, str], ...]
    choices: tuple[Choice, ...]
    usage: dict[str, Any] | None
    usage_apart: bool
    rewrites: tuple[str, ...]


@dataclass(slots=True)
class _CallDraft:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    size: int = 0


@dataclass(slots=True)
class _ChoiceDraft:
    content: list[str] | None = None
    refusal: list[str] | None = None
    reasoning: dict[str, list[str]] = field(default_factory=dict)
    calls: dict[int, _CallDraft] = field(default_factory=dict)
    finish: str | None = None


def read_body(raw: bytes, *, limits: wire.Limits) -> Reading:
    """Read a whole JSON answer.

    Raises:
        MalformedError: Not JSON, not a chat completion, or a half of a character stands alone.
        CanonicalizationError: An item that we can't classify.
        TooLargeError: Too many parts, or arguments too long.
        UnavailableError: The upstream reports an error.
    """
    draft = _Draft(limits)
    value = wire.read_upstream_json(raw, spec=SPEC)
    draft.envelope(value)
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices:
        raise MalformedError("no choices", spec=SPEC)
    for position, item in enumerate(choices):
        choice = draft.choice(item, "message", default=position, fresh=True)
        if choice.finish is None:
            raise UnavailableError("the upstream left an answer without a finish reason")
    draft.usage(value.get("usage"), apart=False)
    return draft.reading()


def read_stream(raw: bytes, *, limits: wire.Limits) -> Reading:
    """Read a whole stream of chunks.

    Raises:
        MalformedError: Not events of JSON chunks, or a half of a character stands alone.
        CanonicalizationError: An item or event that we can't classify.
        TooLargeError: An event, too many parts, or arguments too long.
        UnavailableError: The upstream reports an error, or the stream has no clean end.
    """
    draft = _Draft(limits)
    events, cut_off = sse.read_events(raw, max_event_bytes=limits.event_bytes)
    if cut_off is not None:
        # Only the sentinel may lack the empty line after it; anything else was cut off.
        if cut_off.data != DONE:
            raise UnavailableError("the upstream's stream was cut off")
        events.append(cut_off)
    done = False
    for event in events:
        if done:
            raise MalformedError("something follows [DONE]", spec=sse.SPEC)
        if event.name == "error":
            raise UnavailableError("the upstream reports an error in its stream")
        if event.name not in {"", "message"}:
            raise CanonicalizationError("the upstream sent an event of an unknown kind")
        if event.data == DONE:
            done = True
            continue
        chunk = wire.read_upstream_json(event.data, spec=SPEC)
        draft.envelope(chunk)
        choices = chunk.get("choices")
        if choices is not None and not isinstance(choices, list):
            raise MalformedError("choices are no list", spec=SPEC)
        for position, item in enumerate(choices or []):
            draft.choice(item, "delta", default=position, fresh=False)
        draft.usage(chunk.get("usage"), apart=not choices)
    if not done or not draft.choices or any(choice.finish is None for choice in draft.choices.values()):
        raise UnavailableError("the upstream's stream ended without its finish chunk and [DONE]")
    return draft.reading()


class _Draft:
    """Gathers the fields of one answer, from one object or from many chunks."""

    def __init__(self, limits: wire.Limits) -> None:
        self.limits = limits
        self.choices: dict[int, _ChoiceDraft] = {}
        self._parts = 0
        self._id = ""
        self._created: int | None = None
        self._model = ""
        self._extras: dict[str, str] = {}
        self._usage: dict[str, Any] | None = None
        self._usage_apart = False
        self._rewrites: dict[str, None] = {}

    def note(self, rewrite: str) -> None:
        """List one change to the upstream's structure, once."""
        if len(self._rewrites) < _MAX_REWRITES:
            self._rewrites[rewrite] = None
        else:
            self._rewrites["more"] = None

    def unknown(self, value: dict[str, Any], known: frozenset[str], path: str) -> None:
        """List the members that are not carried over; an absent, null or empty one says nothing."""
        for name in value.keys() - known:
            if value[name] not in (None, [], {}, ""):
                self.note(f"dropped {path}{wire.identifier(name) or '(unprintable name)'}")

    def envelope(self, value: Any) -> None:
        """Take the fields that stand beside the choices."""
        if not isinstance(value, dict):
            raise MalformedError("not an object", spec=SPEC)
        if value.get("error"):
            raise UnavailableError("the upstream reports an error in its answer")
        self.unknown(value, _TOP, "")
        if not self._id and value.get("id"):
            self._id = _identifier(value["id"], "response id")
        created = value.get("created")
        if self._created is None and type(created) is int and 0 <= created <= strict.MAX_SAFE_INTEGER:
            self._created = created
        model = value.get("model")
        if not self._model and model:
            if not isinstance(model, str) or not _MODEL.fullmatch(model):
                raise CanonicalizationError("the upstream's model name is not of the known pattern")
            self._model = model
        for name, pattern in (("system_fingerprint", wire.IDENTIFIER), ("service_tier", _TIER)):
            extra = value.get(name)
            if extra is None or name in self._extras:
                continue
            if isinstance(extra, str) and pattern.fullmatch(extra):
                self._extras[name] = extra
            else:
                self.note(f"dropped {name}")

    def choice(self, item: Any, member: str, *, default: int, fresh: bool) -> _ChoiceDraft:
        """Take one element of ``choices``; ``member`` is ``message`` or ``delta``."""
        if not isinstance(item, dict):
            raise MalformedError("a choice is no object", spec=SPEC)
        index = item.get("index", default)
        if type(index) is not int or not 0 <= index < self.limits.parts:
            raise MalformedError("a choice has no usable index", spec=SPEC)
        if fresh and index in self.choices:
            raise MalformedError("two choices have one index", spec=SPEC)
        draft = self.choices.setdefault(index, _ChoiceDraft())
        path = f"choices/{index}/"
        self.unknown(item, _CHOICE | {member}, path)
        if item.get("logprobs") is not None:
            self.note(f"null {path}logprobs")
        said = item.get(member)
        if said is None and not fresh:
            said = {}
        if not isinstance(said, dict):
            raise MalformedError(f"a choice has no {member}", spec=SPEC)
        self._message(said, draft, f"{path}{member}/", fresh=fresh)
        finish = item.get("finish_reason")
        if finish is not None:
            if not isinstance(finish, str) or finish not in FINISH_REASONS:
                raise CanonicalizationError("the upstream gives an unknown finish reason")
            if draft.finish not in (None, finish):
                raise MalformedError("a choice finishes twice", spec=SPEC)
            draft.finish = finish
        return draft

    def _message(self, said: dict[str, Any], draft: _ChoiceDraft, path: str, *, fresh: bool) -> None:
        self.unknown(said, _MESSAGE, path)
        if said.get("role") not in (None, "", "assistant"):
            raise CanonicalizationError("the upstream speaks in another role than the assistant's")
        for name in ("function_call", "audio"):
            if said.get(name):
                raise CanonicalizationError(f"the upstream's answer holds a {name}, which is not attested here")
        draft.content = self._text(said, "content", draft.content, draft.finish)
        draft.refusal = self._text(said, "refusal", draft.refusal, draft.finish)
        for name in REASONING_FIELDS:
            pieces = self._text(said, name, draft.reasoning.get(name), draft.finish)
            if pieces is not None:
                draft.reasoning[name] = pieces
        calls = said.get("tool_calls")
        if calls is None:
            return
        if not isinstance(calls, list) or (calls and draft.finish is not None):
            raise MalformedError("tool calls are no list, or follow the finish reason", spec=SPEC)
        for position, call in enumerate(calls):
            self._call(call, draft, path, position=position if fresh else None)

    def _text(self, said: dict[str, Any], name: str, pieces: list[str] | None, finish: str | None) -> list[str] | None:
        text = said.get(name)
        if text is None:
            return pieces
        if not isinstance(text, str):
            raise CanonicalizationError(f"the upstream's {name} is no text")
        if text and finish is not None:
            raise MalformedError("text follows the finish reason", spec=SPEC)
        if pieces is None:
            self._count_part()
            return [text]
        pieces.append(text)
        return pieces

    def _call(self, call: Any, draft: _ChoiceDraft, path: str, *, position: int | None) -> None:
        if not isinstance(call, dict):
            raise MalformedError("a tool call is no object", spec=SPEC)
        if call.get("type") not in (None, "", "function"):
            raise CanonicalizationError("the upstream calls a tool of an unknown type")
        self.unknown(call, _CALL, f"{path}tool_calls/")
        # In a whole answer the place decides: some upstreams number all calls of one answer 0 there.
        index = call.get("index") if position is None else position
        if index is None:
            index = _place(draft, call.get("id"))
        if type(index) is not int or not 0 <= index < self.limits.parts:
            raise MalformedError("a tool call has no usable index", spec=SPEC)
        if index not in draft.calls:
            self._count_part()
        found = draft.calls.setdefault(index, _CallDraft())
        function = call.get("function")
        if function is None:
            function = {}
        if not isinstance(function, dict):
            raise MalformedError("a tool call's function is no object", spec=SPEC)
        self.unknown(function, _FUNCTION, f"{path}tool_calls/function/")
        found.id = _same(found.id, call.get("id"), "tool call id")
        found.name = _same(found.name, function.get("name"), "tool name")
        arguments = function.get("arguments")
        if arguments is None:
            return
        if not isinstance(arguments, str):
            raise CanonicalizationError("the upstream's tool arguments are no text")
        found.arguments.append(arguments)
        found.size += len(arguments)
        if found.size > self.limits.arguments_bytes:
            raise TooLargeError("the arguments of a tool call are too long", limit=self.limits.arguments_bytes, spec=SPEC)

    def usage(self, value: Any, *, apart: bool) -> None:
        """Take the token counts: known names, whole numbers."""
        if value is None:
            return
        if not isinstance(value, dict):
            raise MalformedError("usage is no object", spec=SPEC)
        self.unknown(value, frozenset({*_USAGE_COUNTS, *_USAGE_DETAILS}), "usage/")
        counts: dict[str, Any] = _counts(value, _USAGE_COUNTS)
        for name, members in _USAGE_DETAILS.items():
            details = value.get(name)
            if isinstance(details, dict):
                self.unknown(details, frozenset(members), f"usage/{name}/")
                counts[name] = _counts(details, members)
        self._usage, self._usage_apart = counts, apart

    def _count_part(self) -> None:
        self._parts += 1
        if self._parts > self.limits.parts:
            raise TooLargeError("the answer has too many parts", limit=self.limits.parts, spec=SPEC)

    def reading(self) -> Reading:
        """Close the draft."""
        return Reading(
            id=self._id,
            created=self._created or 0,
            model=self._model,
            extras=tuple(self._extras.items()),
            choices=tuple(_closed(index, self.choices[index]) for index in sorted(self.choices)),
            usage=self._usage,
            usage_apart=self._usage_apart,
            rewrites=tuple(self._rewrites),
        )


def _closed(index: int, draft: _ChoiceDraft) -> Choice:
    calls = []
    for number in sorted(draft.calls):
        call = draft.calls[number]
        if not call.id or not call.name:
            raise CanonicalizationError("the upstream calls a tool without a name or an id")
        calls.append(ToolCall(call.id, call.name, _joined(call.arguments)))
    return Choice(
        index=index,
        content=None if draft.content is None else _joined(draft.content),
        refusal=None if draft.refusal is None else _joined(draft.refusal),
        reasoning=tuple((name, _joined(pieces)) for name, pieces in draft.reasoning.items()),
        tool_calls=tuple(calls),
        finish_reason=draft.finish or "",
    )


def _joined(pieces: list[str]) -> str:
    return wire.join_surrogates("".join(pieces), spec=SPEC)


def _place(draft: _ChoiceDraft, call_id: Any) -> int:
    """Find the call that a delta without an index continues: the one of that id, without an id the last one."""
    last = max(draft.calls, default=-1)
    if not call_id:
        return max(last, 0)
    return next((number for number, call in draft.calls.items() if call.id == call_id), last + 1)


def _same(known: str, value: Any, what: str) -> str:
    if not value:
        return known
    found = _identifier(value, what)
    if known and found != known:
        raise MalformedJsonError(f"two values for one {what}", spec=SPEC)
    return found


def _identifier(value: Any, what: str) -> str:
    found = wire.identifier(value)
    if found is None:
        raise CanonicalizationError(f"the upstream's {what} is not of the known pattern")
    return found


def _counts(value: dict[str, Any], names: tuple[str, ...]) -> dict[str, int]:
    return {name: value[name] for name in names if type(value.get(name)) is int and 0 <= value[name] <= strict.MAX_SAFE_INTEGER}
