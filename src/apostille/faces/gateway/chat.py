"""From an upstream's bytes to an answer that may leave: read, canonicalise each part, write once.

Each text and the arguments of each tool call are one part, canonicalised by themselves, so that a recipient can compute them
again from what an SDK hands out. Findings of all parts stand in one list, in the order of ``parts``, with positions in the raw
bytes of their part; ``part_findings`` says how many belong to which part.

Tool arguments are JSON inside of JSON: hidden characters also sit in them as escapes. They are read strictly and written in
canonical form. Valid JSON that two readers may read differently (duplicate keys, numbers that would be rounded) refuses the
answer; what is no JSON at all is handled as text and listed in ``invalid_json``.

Spec: ``gateway.md`` sections 2, 4; ``canonical.md`` section 9.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from apostille.errors import CanonicalizationError, MalformedJsonError
from apostille.faces.gateway import chat_read, chat_write
from apostille.faces.gateway.cleaning import TEXT, Cleaning
from apostille.services.runs import Part

if TYPE_CHECKING:
    from apostille.core.canon import Canonical, Finding
    from apostille.faces.gateway.wire import Limits

JSON = "application/json"
EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, ready to be committed and sent.

    Attributes:
        raw: The upstream's bytes, as received.
        body: The bytes to send: B.
        media_type: Of ``raw`` and of ``body``.
        parts: Canonical texts and arguments, by path.
        findings: What the canonicaliser saw, part by part.
        attributes: What the answer says about itself, for the attributes opening.
    """

    raw: bytes
    body: bytes
    media_type: str
    parts: tuple[Part, ...]
    findings: tuple[Finding, ...]
    attributes: dict[str, Any]


def answer(
    raw: bytes, *, streamed: bool, receipt: dict[str, Any], fallback_id: str, limits: Limits, cleaning: Cleaning
) -> Answer:
    """Turn a whole upstream body or stream into an answer.

    Args:
        raw: The upstream's bytes.
        streamed: Whether they are a stream of events.
        receipt: The ``apostille`` member to write.
        fallback_id: Response id where the upstream gives none.
        limits: Bounds.
        cleaning: What is done to texts.

    Raises:
        MalformedError: Not a chat completion.
        TooLargeError: A bound is passed.
        CanonicalizationError: Something that we can't classify, or that two readers would read differently.
        UnavailableError: The upstream reports an error, or stopped early.
    """
    reading = chat_read.read_stream(raw, limits=limits) if streamed else chat_read.read_body(raw, limits=limits)
    cleaner = _Cleaner(cleaning)
    choices = tuple(cleaner.choice(choice) for choice in reading.choices)
    rewrites = list(reading.rewrites)
    if not reading.id:
        rewrites.append("added id")
    cleaned = replace(reading, id=reading.id or fallback_id, choices=choices)
    write = chat_write.write_stream if streamed else chat_write.write_body
    return Answer(
        raw=raw,
        body=write(cleaned, receipt),
        media_type=EVENT_STREAM if streamed else JSON,
        parts=tuple(cleaner.parts),
        findings=tuple(cleaner.findings),
        attributes=_attributes(cleaned, rewrites, cleaner),
    )


class _Cleaner:
    """Canonicalises parts and gathers what was seen."""

    def __init__(self, cleaning: Cleaning) -> None:
        self._cleaning = cleaning
        self.parts: list[Part] = []
        self.findings: list[Finding] = []
        self.invalid_json: list[str] = []
        self.counts: dict[str, int] = {}

    def choice(self, choice: chat_read.Choice) -> chat_read.Choice:
        """Return the choice with every text in canonical form."""
        path = f"choice/{choice.index}"
        reasoning = tuple(
            (name, self._text(text, f"{path}/reasoning" + (f"/{number}" if number else "")))
            for number, (name, text) in enumerate(choice.reasoning)
        )
        return replace(
            choice,
            reasoning=reasoning,
            content=None if choice.content is None else self._text(choice.content, f"{path}/text"),
            refusal=None if choice.refusal is None else self._text(choice.refusal, f"{path}/refusal"),
            tool_calls=tuple(self._call(call, f"{path}/arguments/{number}") for number, call in enumerate(choice.tool_calls)),
        )

    def _text(self, text: str, path: str) -> str:
        if not text:
            return text
        media_type = self._cleaning.media_type
        found = self._cleaning.apply(text.encode("utf-8"), media_type)
        return self._keep(found, Part(path=path, content=found.bytes, media_type=media_type))

    def _call(self, call: chat_read.ToolCall, path: str) -> chat_read.ToolCall:
        data = call.arguments.encode("utf-8")
        media_type = JSON
        try:
            found = self._cleaning.apply(data, JSON)
        except CanonicalizationError as error:
            # JSON that two readers read differently: there is no one call that could be attested.
            message = "the arguments of a tool call are JSON that readers may read differently"
            raise CanonicalizationError(message, findings=error.findings) from error
        except MalformedJsonError:
            media_type = TEXT
            found = self._cleaning.apply(data, TEXT)
            # What the text rule takes out may be just what made it no JSON, and escapes hide from that rule: a lenient reader
            # would decode what nobody has cleaned.
            if b"\\u" in found.bytes or (found.bytes != data and _is_json(found.bytes)):
                message = "the arguments of a tool call are no JSON, and hold escapes or characters that would hide in them"
                raise CanonicalizationError(message, findings=found.findings) from None
            self.invalid_json.append(path)
        part = Part(path=path, content=found.bytes, media_type=media_type, tool=call.name, call_id=call.id)
        return replace(call, arguments=self._keep(found, part))

    def _keep(self, found: Canonical, part: Part) -> str:
        self.parts.append(part)
        self.findings.extend(found.findings)
        if found.findings:
            self.counts[part.path] = len(found.findings)
        return found.bytes.decode("utf-8")


def _is_json(data: bytes) -> bool:
    """Tell whether a lenient reader, as agents have them, takes this for JSON."""
    try:
        json.JSONDecoder().decode(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


def _attributes(reading: chat_read.Reading, rewrites: list[str], cleaner: _Cleaner) -> dict[str, Any]:
    finishes = [choice.finish_reason for choice in reading.choices]
    attributes: dict[str, Any] = {
        "finish": finishes[0] if len(finishes) == 1 else finishes,
        "model": {"response_id": reading.id} | ({"name": reading.model} if reading.model else {}),
    }
    if reading.usage is not None:
        counts = {"input": reading.usage.get("prompt_tokens"), "output": reading.usage.get("completion_tokens")}
        usage = {name: count for name, count in counts.items() if count is not None}
        if usage:
            attributes["usage"] = usage
    lists = {"rewrites": rewrites, "invalid_json": cleaner.invalid_json, "part_findings": cleaner.counts}
    return attributes | {name: found for name, found in lists.items() if found}
