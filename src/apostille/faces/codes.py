"""What each error means to a shell and to HTTP, in one table, and the one JSON shape of an error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apostille import errors

VERIFIED = 0
ALTERED = 1
USAGE = 2
UNTRUSTED = 3
INCOMPLETE = 4
ERASED = 5
MALFORMED = 65
UNAVAILABLE = 69
INTERNAL = 70
CONFIGURATION = 78

# The first class in the list that an error belongs to decides.
_TABLE: tuple[tuple[type[errors.ApostilleError], int, int], ...] = (
    (errors.UntrustedError, UNTRUSTED, 401),
    (errors.IncompleteError, INCOMPLETE, 409),
    (errors.VerificationError, ALTERED, 409),
    (errors.MisbehaviourError, ALTERED, 503),
    (errors.TooLargeError, MALFORMED, 413),
    (errors.MalformedError, MALFORMED, 400),
    (errors.CanonicalizationError, MALFORMED, 502),
    (errors.ConflictError, UNAVAILABLE, 503),
    (errors.NotFoundError, USAGE, 404),
    (errors.UnavailableError, UNAVAILABLE, 503),
    (errors.OutcomeUnknownError, UNAVAILABLE, 503),
    (errors.ConfigurationError, CONFIGURATION, 500),
)


# Of several results the gravest counts; one that could not be looked at weighs more than one that is in order.
_GRAVITY = (*(INTERNAL, ALTERED, MALFORMED, UNTRUSTED, INCOMPLETE), *(USAGE, UNAVAILABLE, CONFIGURATION), *(ERASED, VERIFIED))


def gravest(found: Iterable[int]) -> int:
    """Return the gravest of some exit codes."""
    return min(found, key=_GRAVITY.index)


def exit_code(error: BaseException) -> int:
    """Return the exit code of an error. Whatever is not ours is 70: it says nothing about the evidence."""
    return next((code for kind, code, _ in _TABLE if isinstance(error, kind)), INTERNAL)


def http_status(error: BaseException) -> int:
    """Return the HTTP status of an error; 500 for whatever is not ours."""
    return next((status for kind, _, status in _TABLE if isinstance(error, kind)), 500)


def as_json(error: BaseException) -> dict[str, Any]:
    """Return the JSON object of an error: ``code``, ``exit``, ``message``, and ``failures`` where there are any."""
    ours = isinstance(error, errors.ApostilleError)
    found: dict[str, Any] = {
        "code": error.code if isinstance(error, errors.ApostilleError) else "internal",
        "exit": exit_code(error),
        "message": str(error) if ours else "internal fault; it says nothing about the evidence",
    }
    if isinstance(error, errors.VerificationError) and error.failures:
        found["failures"] = [
            {"code": f.code, "step": f.step, "message": f.message} | ({} if f.index is None else {"index": f.index})
            for f in error.failures
        ]
    return found
