"""What each error means to a shell, in one table, and the one JSON shape of an error. HTTP: ``faces.gateway.problems``."""

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
_TABLE: tuple[tuple[type[errors.ApostilleError], int], ...] = (
    (errors.UntrustedError, UNTRUSTED),
    (errors.IncompleteError, INCOMPLETE),
    (errors.VerificationError, ALTERED),
    (errors.MisbehaviourError, ALTERED),
    (errors.MalformedError, MALFORMED),
    (errors.CanonicalizationError, MALFORMED),
    (errors.ConflictError, UNAVAILABLE),
    (errors.NotFoundError, USAGE),
    (errors.UnavailableError, UNAVAILABLE),
    (errors.OutcomeUnknownError, UNAVAILABLE),
    (errors.ConfigurationError, CONFIGURATION),
)

# Of several results the gravest counts; one that could not be looked at weighs more than one that is in order.
_GRAVITY = (*(INTERNAL, ALTERED, MALFORMED, UNTRUSTED, INCOMPLETE), *(USAGE, UNAVAILABLE, CONFIGURATION), *(ERASED, VERIFIED))


def gravest(found: Iterable[int]) -> int:
    """Return the gravest of some exit codes."""
    return min(found, key=_GRAVITY.index)


def exit_code(error: BaseException) -> int:
    """Return the exit code of an error. Whatever is not ours is 70: it says nothing about the evidence."""
    return next((code for kind, code in _TABLE if isinstance(error, kind)), INTERNAL)


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
