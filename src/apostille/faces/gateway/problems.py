"""What is told to a client when an upstream refuses, or the log does; an upstream's words are rebuilt in the API's error shape.

An error message is an output channel like any other. Its text is canonicalised and cut, its type, code and parameter pass by
pattern or not at all, and the body that results is attested before it is sent. Where an upstream gives no error that we can read,
the client gets a sentence of ours.

An error's class alone has no HTTP status: malformed is 400 of a request, 502 of an upstream's answer, 500 of our own store.

Spec: ``gateway.md`` sections 4, 5.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from apostille.errors import (
    ApostilleError,
    CanonicalizationError,
    ConfigurationError,
    NotFoundError,
    OutcomeUnknownError,
    TooLargeError,
    UnavailableError,
)
from apostille.faces.gateway import wire
from apostille.faces.gateway.wire import Refusal

if TYPE_CHECKING:
    from apostille.core.canon import Finding
    from apostille.faces.gateway.cleaning import Cleaning
    from apostille.faces.gateway.upstream import Received

MAX_MESSAGE_CHARACTERS = 2000
_PARAM = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,128}")


def upstream_problem(received: Received, cleaning: Cleaning) -> tuple[Refusal, tuple[Finding, ...]]:
    """Return the refusal that stands for an upstream's error, and the findings of its message, cleaned as answers are."""
    status = received.status
    if not 400 <= status <= 599:
        message = f"the upstream answered with status {status}, which is neither an answer nor an error"
        return Refusal(502, "malformed_upstream", message, called=True), ()
    error = _error(received)
    message, findings = _message(error.get("message"), cleaning)
    return (
        Refusal(
            status=status,
            code=_word(error.get("code")) or "upstream_error",
            message=message or f"the upstream answered with status {status} and no error that can be read",
            type=_word(error.get("type")) or "upstream_error",
            param=_matching(_PARAM, error.get("param")),
            retry_after_seconds=received.retry_after if status == 429 else None,
            called=True,
        ),
        findings,
    )


def unusable(error: ApostilleError) -> Refusal:
    """Return the refusal for an answer of the upstream that can't be released."""
    if isinstance(error, TooLargeError):
        return Refusal(502, "response_too_large", str(error), called=True)
    if isinstance(error, CanonicalizationError):
        return Refusal(502, "unclassified_output", str(error), called=True)
    if isinstance(error, UnavailableError):
        return Refusal(502, "upstream_error", str(error), called=True)
    return Refusal(502, "malformed_upstream", f"the upstream's answer can't be read: {error}", called=True)


def log_problem(error: ApostilleError, *, called: bool) -> Refusal:
    """Return the refusal for a statement that was not committed, or not known to be."""
    if isinstance(error, ConfigurationError):
        return Refusal(503, "run_closed", "the run is closed, so nothing can be attested in it", called=called)
    if isinstance(error, OutcomeUnknownError):
        return Refusal(503, "log_outcome_unknown", "the log can't say whether the answer was committed", called=called)
    seconds = error.retry_after_seconds if isinstance(error, UnavailableError) else None
    return Refusal(
        503,
        "log_unavailable",
        "the log takes no entry now, and on this route nothing leaves without one",
        retry_after_seconds=None if called else max(1, round(seconds or 1)),
        called=called,
    )


def receipt_problem(error: ApostilleError) -> Refusal:
    """Return the refusal for a receipt that can't be handed out. No upstream was asked: to ask again does no harm."""
    if isinstance(error, NotFoundError):
        return Refusal(404, "no_such_receipt", "no receipt has this id", type="invalid_request_error")
    if isinstance(error, UnavailableError | OutcomeUnknownError):
        return Refusal(503, "log_unavailable", "the keeper hands out no receipt now; ask again", retry_after_seconds=1)
    return Refusal(500, error.code, "the receipt can't be made: the store is damaged; there, run: apostille log fsck")


def _error(received: Received) -> dict[str, Any]:
    """Find the error in the shapes that OpenAI-compatible servers use."""
    try:
        value = wire.read_upstream_json(bytes(received.body), spec="upstream error")
    except ApostilleError:
        return {}
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return {}
    error = value.get("error", value)
    if isinstance(error, str):
        return {"message": error}
    if not isinstance(error, dict):
        return {}
    return error if error.get("message") else {**error, "message": error.get("detail")}


def _message(text: Any, cleaning: Cleaning) -> tuple[str, tuple[Finding, ...]]:
    if not isinstance(text, str):
        return "", ()
    try:
        shown = wire.join_surrogates(text[:MAX_MESSAGE_CHARACTERS], spec="upstream error")
        found = cleaning.apply(shown.encode("utf-8"), cleaning.media_type)
    except ApostilleError:
        return "", ()
    return found.bytes.decode("utf-8"), found.findings


def _word(value: Any) -> str | None:
    return str(value) if type(value) is int and 0 <= value <= 999_999 else wire.identifier(value)


def _matching(pattern: re.Pattern[str], value: Any) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None
