"""What a client is told when its receipt can't be handed out (gateway.md section 5)."""

from __future__ import annotations

import pytest

from apostille import errors
from apostille.faces.gateway.problems import receipt_problem

ANSWERS = [
    (errors.NotFoundError("leaf 7 has another id"), 404, "no_such_receipt"),
    (errors.StorageUnavailableError("the log has stopped"), 503, "log_unavailable"),
    (errors.UnavailableError("no keeper answers"), 503, "log_unavailable"),
    (errors.OutcomeUnknownError("no answer after 30 s"), 503, "log_unavailable"),
    (errors.VerificationError("leaf 3 was altered"), 500, "not-verified"),
    (errors.MalformedError("packed openings are cut off"), 500, "malformed"),
]


@pytest.mark.parametrize(("error", "status", "code"), ANSWERS)
def test_whose_fault_it_is(error, status, code):
    refusal = receipt_problem(error)
    assert (refusal.status, refusal.code) == (status, code)
    assert refusal.retry_after_seconds == (1 if status == 503 else None)
    assert str(error) not in refusal.message
