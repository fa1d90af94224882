"""From words to an exit code: where global options may stand, and what each error means to a shell.

Spec: product.md, "Commands" (global options); trust.md section 4 (exit codes); style.md section 6 (one table).
"""

from __future__ import annotations

import importlib
import inspect
import json

import pytest

from apostille import errors
from apostille.core.canon import Canonicalizer
from apostille.errors import Failure
from apostille.faces import codes

main = importlib.import_module("apostille.faces.cli.main")
clean = importlib.import_module("apostille.faces.cli.clean")

WORDS = [
    # (what was typed, what click gets)
    ([], []),
    (["verify"], ["verify"]),
    (["verify", "--json"], ["--json", "verify"]),
    (["verify", "x", "--json", "-q", "--quiet"], ["--json", "-q", "--quiet", "verify", "x"]),
    (["log", "--store", "s", "info"], ["--store", "s", "log", "info"]),
    (["log", "info", "--store=s"], ["--store=s", "log", "info"]),
    (["verify", "--store"], ["verify", "--store"]),
    (["verify", "--", "--json"], ["verify", "--", "--json"]),
    (["verify", "--json", "--", "--json"], ["--json", "verify", "--", "--json"]),
    (["run", "cmd"], ["run", "cmd"]),
    (["run", "cmd", "--json"], ["run", "cmd", "--json"]),
    (["run", "--json", "cmd", "--json"], ["--json", "run", "cmd", "--json"]),
    (["run", "--agent", "a", "--json", "cmd", "-q"], ["--json", "run", "--agent", "a", "cmd", "-q"]),
    (["run", "--agent=a", "--json", "cmd", "-q"], ["--json", "run", "--agent=a", "cmd", "-q"]),
    (["run", "--agent", "run", "cmd", "--store", "x"], ["run", "--agent", "run", "cmd", "--store", "x"]),
    (["run", "--store", "s", "--principal", "p", "--", "cmd"], ["--store", "s", "run", "--principal", "p", "--", "cmd"]),
    (["run", "cmd", "-q", "--", "--json"], ["run", "cmd", "-q", "--", "--json"]),
    (["run", "--", "cmd", "--json", "--", "-q"], ["run", "--", "cmd", "--json", "--", "-q"]),
    (["--json", "run", "cmd", "--quiet"], ["--json", "run", "cmd", "--quiet"]),
    (["run", "--upstream", "http://x", "-q", "cmd"], ["-q", "run", "--upstream", "http://x", "cmd"]),
    (["attest", "run", "--json"], ["--json", "attest", "run"]),
    (["show", "--json", "run", "--quiet"], ["--json", "--quiet", "show", "run"]),
    (["run"], ["run"]),
    (["run", "--agent"], ["run", "--agent"]),
]


@pytest.mark.parametrize(("words", "expected"), WORDS, ids=lambda words: " ".join(words) or "-")
def test_global_options_are_brought_to_the_front(words, expected):
    assert main.hoist_global_options(words) == expected


def test_nothing_is_lost_or_made_up():
    for words, _ in WORDS:
        assert sorted(main.hoist_global_options(words)) == sorted(words)


# --- errors to numbers

EXITS = {
    errors.VerificationError: 1,
    errors.InvalidSignatureError: 1,
    errors.DigestMismatchError: 1,
    errors.InclusionError: 1,
    errors.ConsistencyError: 1,
    errors.PolicyError: 1,
    errors.MisbehaviourError: 1,
    errors.SplitViewError: 1,
    errors.RollbackError: 1,
    errors.NotFoundError: 2,
    errors.UntrustedError: 3,
    errors.IncompleteError: 4,
    errors.MalformedError: 65,
    errors.MalformedJsonError: 65,
    errors.MalformedNoteError: 65,
    errors.MalformedCheckpointError: 65,
    errors.MalformedEnvelopeError: 65,
    errors.MalformedProofError: 65,
    errors.MalformedTilePathError: 65,
    errors.TooLargeError: 65,
    errors.UnsupportedVersionError: 65,
    errors.CanonicalizationError: 65,
    errors.ConflictError: 69,
    errors.UnavailableError: 69,
    errors.StorageUnavailableError: 69,
    errors.BackPressureError: 69,
    errors.OutcomeUnknownError: 69,
    errors.ConfigurationError: 78,
}
MORE = {"key_name": "log.example", "limit": 1, "version": "2"}


def make(kind: type[errors.ApostilleError]) -> errors.ApostilleError:
    try:
        wanted = inspect.signature(kind).parameters
    except ValueError:  # as its base class has it: a message
        return kind("what happened")
    return kind("what happened", **{name: value for name, value in MORE.items() if name in wanted})


def tree(kind: type = errors.ApostilleError) -> set[type]:
    below = set(kind.__subclasses__())
    return below.union(*(tree(sub) for sub in below))


def test_every_class_of_error_has_a_code():
    ours = {kind for kind in tree() if kind.__module__ == "apostille.errors"}
    assert {kind.__name__ for kind in ours} == {kind.__name__ for kind in EXITS}
    assert len({kind.code for kind in ours}) == len(ours), "two classes have one code"


@pytest.mark.parametrize("kind", EXITS, ids=lambda kind: kind.__name__)
def test_an_error_ends_a_command_with_its_code(kind, monkeypatch, capsys):
    """In words on stderr, or as the one JSON document on stdout."""

    def fail(*_args, **_options):
        raise make(kind)

    monkeypatch.setattr(clean, "clean", fail)
    assert main._run(["clean"]) == EXITS[kind]
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"error ({kind.code}): {make(kind)}\n"
    assert main._run(["--quiet", "clean"]) == EXITS[kind]
    assert capsys.readouterr().err == err, "an error is never quiet"
    assert main._run(["--json", "clean"]) == EXITS[kind]
    out, err = capsys.readouterr()
    assert json.loads(out) == {"code": kind.code, "exit": EXITS[kind], "message": str(make(kind))}
    assert err == ""


@pytest.mark.parametrize(
    "bug", [ZeroDivisionError("x"), AssertionError(), RuntimeError("y"), KeyError("z"), MemoryError(), RecursionError()]
)
def test_a_bug_is_no_verdict(bug, monkeypatch, capsys):
    def fail(*_args, **_options):
        raise bug

    monkeypatch.setattr(clean, "clean", fail)
    monkeypatch.delenv("APOSTILLE_DEBUG", raising=False)
    assert main._run(["clean"]) == 70
    err = capsys.readouterr().err
    assert "error (internal): internal fault; it says nothing about the evidence" in err
    assert "Traceback" not in err
    assert main._run(["--json", "clean"]) == 70
    assert json.loads(capsys.readouterr().out) == {
        "code": "internal",
        "exit": 70,
        "message": "internal fault; it says nothing about the evidence",
    }


@pytest.mark.parametrize(("end", "code"), [(0, 0), (3, 3), (None, 0), ("text", 1)])
def test_whoever_exits_by_himself(end, code, monkeypatch):
    def leave(*_args, **_options):
        raise SystemExit(end)

    monkeypatch.setattr(clean, "clean", leave)
    assert main._run(["clean"]) == code


def test_interrupted(monkeypatch):
    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(clean, "clean", interrupt)
    assert main._run(["clean"]) == 130


@pytest.mark.parametrize(
    "words", [["nonsense"], ["clean", "--nonsense"], ["clean", "a", "b"], ["log", "proof", "x"], ["--store"]]
)
def test_usage(words, capsys):
    assert main._run(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Error: " in err


# --- the JSON of an error


def test_failures_are_listed():
    failures = (Failure("inclusion", 4, "not there", 7), Failure("policy", 3, "differs"))
    for kind, code in ((errors.VerificationError, 1), (errors.UntrustedError, 3), (errors.IncompleteError, 4)):
        value = codes.as_json(kind("two things", failures=failures))
        assert value["exit"] == code
        assert value["failures"] == [
            {"code": "inclusion", "step": 4, "message": "not there", "index": 7},
            {"code": "policy", "step": 3, "message": "differs"},
        ]


def test_a_streamed_error_ends_the_command(monkeypatch, capfdbinary):
    """What was cleaned before the fault has been written; then the error comes, with its code."""
    import os

    reading, writing = os.pipe()
    os.write(writing, b"fine so far " * 100 + b"\xff")
    os.close(writing)
    with os.fdopen(reading, "rb") as source:
        monkeypatch.setattr("sys.stdin", source)
        assert main._run(["clean"]) == 65
    assert isinstance(Canonicalizer().feed(b""), bytes)
    out, err = capfdbinary.readouterr()
    assert out == b"" or out.startswith(b"fine so far")
    assert b"error (canonicalization-refused)" in err
