"""Every error has a stable code and an exit code, in one table (style.md section 6)."""

from __future__ import annotations

import inspect

import pytest

from apostille import errors
from apostille.faces import codes

# class -> (stable code, exit code). Changing a line here changes a promise to scripts.
PROMISED = {
    "ApostilleError": ("error", 70),
    "MalformedError": ("malformed", 65),
    "MalformedJsonError": ("malformed-json", 65),
    "MalformedNoteError": ("malformed-note", 65),
    "MalformedCheckpointError": ("malformed-checkpoint", 65),
    "MalformedEnvelopeError": ("malformed-envelope", 65),
    "MalformedProofError": ("malformed-proof", 65),
    "MalformedTilePathError": ("malformed-tile-path", 65),
    "TooLargeError": ("too-large", 65),
    "UnsupportedVersionError": ("unsupported-version", 65),
    "CanonicalizationError": ("canonicalization-refused", 65),
    "VerificationError": ("not-verified", 1),
    "InvalidSignatureError": ("invalid-signature", 1),
    "DigestMismatchError": ("digest-mismatch", 1),
    "InclusionError": ("inclusion", 1),
    "ConsistencyError": ("consistency", 1),
    "PolicyError": ("policy", 1),
    "UntrustedError": ("untrusted", 3),
    "IncompleteError": ("incomplete", 4),
    "MisbehaviourError": ("misbehaviour", 1),
    "SplitViewError": ("split-view", 1),
    "RollbackError": ("HALT_ROLLBACK", 1),
    "ConflictError": ("conflict", 69),
    "NotFoundError": ("not-found", 2),
    "UnavailableError": ("unavailable", 69),
    "StorageUnavailableError": ("storage-unavailable", 69),
    "BackPressureError": ("back-pressure", 69),
    "OutcomeUnknownError": ("outcome-unknown", 69),
    "ConfigurationError": ("configuration", 78),
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
def test_code_and_exit(name):
    error = make(name)
    assert (error.code, codes.exit_code(error)) == PROMISED[name]
    assert "code" in vars(CLASSES[name]), "each class says its own code"
    assert name.endswith("Error")


def test_codes_are_unique():
    words = [found.code for found in CLASSES.values()]
    assert len(words) == len(set(words))


def test_only_the_root_is_not_in_the_table():
    """Nobody raises the root itself; were it raised, it would say nothing about the evidence."""
    assert [name for name, (_, code) in PROMISED.items() if code == codes.INTERNAL] == ["ApostilleError"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), RuntimeError("x"), AssertionError(), KeyboardInterrupt()])
def test_what_is_not_ours_is_no_verdict(error):
    assert codes.exit_code(error) == 70
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
