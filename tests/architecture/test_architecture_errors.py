"""Every error has a stable code, an exit code and an HTTP status, in one table (style.md section 6)."""

from __future__ import annotations

import inspect

import pytest

from apostille import errors
from apostille.faces import codes

# class -> (stable code, exit code, HTTP status). Changing a line here changes a promise to scripts and clients.
PROMISED = {
    "ApostilleError": ("error", 70, 500),
    "MalformedError": ("malformed", 65, 400),
    "MalformedJsonError": ("malformed-json", 65, 400),
    "MalformedNoteError": ("malformed-note", 65, 400),
    "MalformedCheckpointError": ("malformed-checkpoint", 65, 400),
    "MalformedEnvelopeError": ("malformed-envelope", 65, 400),
    "MalformedProofError": ("malformed-proof", 65, 400),
    "MalformedTilePathError": ("malformed-tile-path", 65, 400),
    "TooLargeError": ("too-large", 65, 413),
    "UnsupportedVersionError": ("unsupported-version", 65, 400),
    "CanonicalizationError": ("canonicalization-refused", 65, 502),
    "VerificationError": ("not-verified", 1, 409),
    "InvalidSignatureError": ("invalid-signature", 1, 409),
    "DigestMismatchError": ("digest-mismatch", 1, 409),
    "InclusionError": ("inclusion", 1, 409),
    "ConsistencyError": ("consistency", 1, 409),
    "PolicyError": ("policy", 1, 409),
    "UntrustedError": ("untrusted", 3, 401),
    "IncompleteError": ("incomplete", 4, 409),
    "MisbehaviourError": ("misbehaviour", 1, 503),
    "SplitViewError": ("split-view", 1, 503),
    "RollbackError": ("HALT_ROLLBACK", 1, 503),
    "ConflictError": ("conflict", 69, 503),
    "NotFoundError": ("not-found", 2, 404),
    "UnavailableError": ("unavailable", 69, 503),
    "StorageUnavailableError": ("storage-unavailable", 69, 503),
    "BackPressureError": ("back-pressure", 69, 503),
    "OutcomeUnknownError": ("outcome-unknown", 69, 503),
    "ConfigurationError": ("configuration", 78, 500),
}
CLASSES = {
    name: found for name, found in vars(errors).items() if inspect.isclass(found) and issubclass(found, errors.ApostilleError)
}
NEEDED = {
    "InvalidSignatureError": {"key_name": "agent"},
    "TooLargeError": {"limit": 1},
    "UnsupportedVersionError": {"version": "v2"},
}


def make(name: str) -> errors.ApostilleError:
    return CLASSES[name]("a sentence", **NEEDED.get(name, {}))


def test_the_table_is_complete():
    assert set(CLASSES) == set(PROMISED)


@pytest.mark.parametrize("name", PROMISED)
def test_code_exit_and_status(name):
    error = make(name)
    assert (error.code, codes.exit_code(error), codes.http_status(error)) == PROMISED[name]
    assert "code" in vars(CLASSES[name]), "each class says its own code"
    assert name.endswith("Error")


def test_codes_are_unique():
    words = [found.code for found in CLASSES.values()]
    assert len(words) == len(set(words))


def test_only_the_root_is_not_in_the_table():
    """Nobody raises the root itself; were it raised, it would say nothing about the evidence."""
    assert [name for name, (_, code, _) in PROMISED.items() if code == codes.INTERNAL] == ["ApostilleError"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), RuntimeError("x"), AssertionError(), KeyboardInterrupt()])
def test_what_is_not_ours_is_no_verdict(error):
    assert codes.exit_code(error) == 70
    assert codes.http_status(error) == 500
    shown = codes.as_json(error)
    assert shown["code"] == "internal"
    assert "nothing about the evidence" in shown["message"]
    assert "x" not in shown["message"].split()


def test_exit_codes_of_the_promise():
    """0 verified, 1 altered, 2 usage, 3 untrusted, 4 incomplete, 5 erased, 65 malformed, 69 unavailable, 70 internal, 78 config."""
    named = {"VERIFIED": 0, "ALTERED": 1, "USAGE": 2, "UNTRUSTED": 3, "INCOMPLETE": 4, "ERASED": 5}
    named |= {"MALFORMED": 65, "UNAVAILABLE": 69, "INTERNAL": 70, "CONFIGURATION": 78}
    for name, number in named.items():
        assert getattr(codes, name) == number


def test_json_shape():
    failure = errors.Failure("inclusion", 4, "the entry is not there", 7)
    shown = codes.as_json(errors.VerificationError("not proven", failures=(failure, errors.Failure("x", 1, "y"))))
    assert shown == {
        "code": "not-verified",
        "exit": 1,
        "message": "not proven",
        "failures": [
            {"code": "inclusion", "step": 4, "message": "the entry is not there", "index": 7},
            {"code": "x", "step": 1, "message": "y"},
        ],
    }
    assert set(codes.as_json(make("MalformedError"))) == {"code", "exit", "message"}


def test_errors_carry_what_the_caller_needs():
    assert errors.MalformedError("m", spec="s", offset=3).offset == 3
    assert str(errors.MalformedError("m", spec="s")) == "s: m"
    assert "limit is 4,096" in str(errors.TooLargeError("m", limit=4096))
    assert errors.IncompleteError("m", missing=("quorum",)).missing == ("quorum",)
    assert errors.UntrustedError("m", unverified="x").unverified == "x"
    assert errors.SplitViewError("m", evidence=(b"a", b"b")).evidence == (b"a", b"b")
    assert errors.BackPressureError("m", retry_after_seconds=1.5).retry_after_seconds == 1.5
    assert errors.CanonicalizationError("m", findings=(1,)).findings == (1,)
