"""What all routes of the gateway share: limits, refusals in the API's error shape, JSON read with the traps closed.

Upstream bytes are read with orjson for speed. What it does differently from a strict reader is harmless *there*, because an
answer is rebuilt from the fields we know: the last duplicate key wins, an integer beyond 64 bits turns into a float (and then is
no integer for us). A lone surrogate, which orjson refuses, may be half of a character that two stream chunks share: such text
goes through the standard library's decoder. Requests are read strictly, since both we and the upstream must read the same thing.

Spec: ``gateway.md`` sections 3, 5, 13.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

from apostille.core import strict
from apostille.errors import MalformedJsonError

MAX_JSON_DEPTH = 128
IDENTIFIER = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one request may cost.

    Attributes:
        request_bytes: Largest request body.
        response_bytes: Largest upstream body or stream.
        event_bytes: Largest event of a stream.
        arguments_bytes: Largest arguments of one tool call.
        parts: Largest number of texts and tool calls in one answer.
        messages: Largest number of messages in one request.
        in_flight: Largest number of requests held at one time.
        idle_seconds: Longest wait between two pieces of a request's body.
    """

    request_bytes: int = 16 * 2**20
    response_bytes: int = 32 * 2**20
    event_bytes: int = 2**20
    arguments_bytes: int = 2**20
    parts: int = 1024
    messages: int = 10_000
    in_flight: int = 256
    idle_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that holds nothing of the upstream's bytes: what went wrong, in the API's error shape.

    Attributes:
        status: HTTP status.
        code: Stable word for programs.
        message: A sentence for people.
        type: The error shape's ``type``.
        param: The error shape's ``param``.
        retry_after_seconds: Sent as ``Retry-After`` where nothing was asked of the upstream yet.
        called: Whether the upstream was called: then a repetition costs twice, and SDKs are told not to.
    """

    status: int
    code: str
    message: str
    type: str = "apostille_error"
    param: str | None = None
    retry_after_seconds: int | None = None
    called: bool = False

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that steer a client's retries.

        A 429 stays retryable, as the upstream did no work for it.
        """
        if self.retry_after_seconds is not None:
            return [(b"retry-after", str(self.retry_after_seconds).encode("ascii"))]
        if self.called and self.status != 429:
            return [(b"x-should-retry", b"false")]
        return []

    def body(self, receipt: dict[str, Any] | None = None) -> bytes:
        """Write the error body, with the ``apostille`` member where the refusal itself was attested."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return write_json({"error": error} if receipt is None else {"error": error, "apostille": receipt})


def write_json(value: Any) -> bytes:
    """Write JSON of a value that holds no lone surrogate."""
    return orjson.dumps(value)


def read_upstream_json(text: str | bytes, *, spec: str) -> Any:
    """Read JSON of an upstream leniently; strings may hold surrogates, which the caller joins or refuses.

    Raises:
        MalformedJsonError: Not JSON.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        decoded = strict.utf8(text, spec=spec) if isinstance(text, bytes) else text
        if not _SURROGATE_ESCAPE.search(decoded):
            raise MalformedJsonError("not JSON", spec=spec) from error
    strict.json_depth(decoded.encode("utf-8"), MAX_JSON_DEPTH, spec=spec)
    try:
        return _LENIENT.decode(decoded)
    except (ValueError, RecursionError) as error:
        raise MalformedJsonError("not JSON", spec=spec) from error


def read_request_json(data: bytes, *, spec: str = "request") -> Any:
    """Read a request strictly: UTF-8, no duplicate key at any depth, no lone surrogate, no NaN, depth 128.

    Raises:
        MalformedJsonError: Anything else, with the reason.
        MalformedError: Not UTF-8.
    """
    text = strict.utf8(data, spec=spec)
    strict.json_depth(data, MAX_JSON_DEPTH, spec=spec)
    try:
        value = _STRICT.decode(text)
    except (ValueError, RecursionError) as error:
        raise MalformedJsonError(str(error)[:200], spec=spec) from error
    if _SURROGATE_ESCAPE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise MalformedJsonError("a string holds a lone surrogate", spec=spec) from error
    return value


def stable_json(value: Any) -> bytes:
    """Write one spelling of a value: keys sorted, no white space. Equal values give equal bytes, whatever they came from."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def join_surrogates(text: str, *, spec: str) -> str:
    """Join surrogate halves that stood in two chunks.

    Raises:
        MalformedJsonError: A half stays alone.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        try:
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError as error:
            raise MalformedJsonError("a string holds a lone surrogate", spec=spec) from error
    return text


def identifier(value: Any) -> str | None:
    """Return ``value`` if it is a name or id of the one pattern that is let through, else nothing."""
    return value if isinstance(value, str) and IDENTIFIER.fullmatch(value) else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"not a JSON number: {text[:32]}")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        _refuse(text)
    return value


_LENIENT = json.JSONDecoder()
_STRICT = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse, parse_float=_finite)
