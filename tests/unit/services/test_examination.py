"""An examination files every failure under what it means, and draws one conclusion."""

from __future__ import annotations

import pytest

from apostille.errors import (
    ConflictError,
    Failure,
    InclusionError,
    IncompleteError,
    MalformedError,
    SplitViewError,
    StorageUnavailableError,
    TooLargeError,
    UnsupportedVersionError,
    UntrustedError,
    VerificationError,
)
from apostille.services.examination import Examination


def examined(*errors: Exception) -> Examination:
    examination = Examination()
    for number, error in enumerate(errors, 1):
        with examination.step(number, f"step {number}"):
            raise error
    return examination


def test_nothing_found_raises_nothing():
    examination = Examination()
    with examination.step(1, "a step") as step:
        step.detail = "seen"
    examination.conclude()
    assert examination.failures == ()
    assert [(step.outcome, step.detail) for step in examination.steps] == [("passed", "seen")]


def test_a_failed_step_says_so_and_the_next_one_is_taken():
    examination = examined(InclusionError("not in the tree"), UntrustedError("no key"))
    assert [(step.number, step.outcome, step.detail) for step in examination.steps] == [
        (1, "failed", "not in the tree"),
        (2, "failed", "no key"),
    ]


@pytest.mark.parametrize("error", [StorageUnavailableError("the disk is away"), ConflictError("lost"), RuntimeError("a bug")])
def test_what_is_no_verdict_ends_the_examination(error):
    """A disk that fails is not evidence, and must not be passed over either."""
    with pytest.raises(type(error)):
        examined(error)


def test_one_failure_is_the_message_and_more_are_counted():
    for count, message in ((1, "a"), (2, "a (and 1 more)"), (3, "a (and 2 more)")):
        with pytest.raises(VerificationError) as caught:
            examined(*[InclusionError(text) for text in "abc"[:count]]).conclude()
        assert str(caught.value) == message
        assert caught.value.failures == tuple(Failure("inclusion", n + 1, text) for n, text in enumerate("abc"[:count]))


def test_the_gravest_kind_is_the_conclusion():
    """Altered, malformed, untrusted, incomplete: whatever came first."""
    errors = [IncompleteError("i"), UntrustedError("u"), MalformedError("m"), InclusionError("x")]
    for kind in (VerificationError, MalformedError, UntrustedError, IncompleteError):
        with pytest.raises(kind) as caught:
            examined(*errors).conclude()
        assert type(caught.value) is kind
        assert len(caught.value.failures) == len(errors)
        assert caught.value.failures[0].message == str(errors[-1])
        errors.pop()


def test_misbehaviour_of_another_party_is_evidence():
    with pytest.raises(VerificationError, match="two histories"):
        examined(SplitViewError("two histories")).conclude()


def test_a_malformed_value_raises_its_own_class_with_what_it_carries_and_all_failures():
    first = UnsupportedVersionError("version 9", version="9", spec="receipt")
    with pytest.raises(UnsupportedVersionError) as caught:
        examined(first, TooLargeError("too large", limit=4)).conclude()
    assert (caught.value.version, caught.value.spec) == ("9", "receipt")
    assert [failure.code for failure in caught.value.failures] == ["unsupported-version", "too-large"]
    assert str(caught.value) == "receipt: version 9 (and 1 more)"
    assert caught.value.__cause__ is first
    assert first.failures == (), "the one that was filed may be kept elsewhere"


def test_the_first_of_what_is_not_trusted_is_named():
    with pytest.raises(UntrustedError) as caught:
        examined(UntrustedError("first"), UntrustedError("second"), IncompleteError("third")).conclude()
    assert caught.value.unverified == "first"


def test_all_that_is_missing_is_listed():
    with pytest.raises(IncompleteError) as caught:
        examined(IncompleteError("salt"), IncompleteError("quorum")).conclude()
    assert caught.value.missing == ("salt", "quorum")


def test_a_failure_knows_its_index():
    examination = Examination()
    examination.file(InclusionError("x"), 4, index=7)
    assert examination.failures == (Failure("inclusion", 4, "x", 7),)
