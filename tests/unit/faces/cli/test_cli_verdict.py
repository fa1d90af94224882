"""How a verdict is printed: the word, the steps, every failure, what was not checked, and the limits; the same as JSON.

Spec: trust.md sections 4 (verdicts, precedence 1, 65, 3, 4, 5, 0) and 2 (words that are allowed).
"""

from __future__ import annotations

import json

import pytest

from apostille.errors import (
    DigestMismatchError,
    IncompleteError,
    MalformedError,
    RollbackError,
    StorageUnavailableError,
    UnsupportedVersionError,
    UntrustedError,
)
from apostille.faces.cli.terminal import Terminal
from apostille.faces.cli.verdict import LIMITS, conclude, found_by_cleaning, print_verdict
from apostille.services.audit import Audit, RunState
from apostille.services.examination import Examination

FILED = {
    1: DigestMismatchError("bytes differ"),
    65: MalformedError("not in its format"),
    3: UntrustedError("nobody vouches"),
    4: IncompleteError("something is missing"),
}
WORDS = {
    0: "VERIFIED",
    1: "NOT VERIFIED",
    3: "TRUST ANCHOR NOT CONFIRMED",
    4: "INCOMPLETE",
    5: "VERIFIED, CONTENT ERASED BY POLICY",
    65: "MALFORMED",
}
FORBIDDEN = ("compliant", "tamper-proof", "immutable", "court", "satisfied")


def examined(*exits: int) -> Examination:
    examination = Examination()
    for number, code in enumerate(exits, 1):
        with examination.step(number, f"step {number}"):
            if code:
                raise FILED[code]
    return examination


PRECEDENCE = (1, 65, 3, 4, 5, 0)


@pytest.mark.parametrize("present", range(1, 64))
def test_the_first_that_applies(present, capsys):
    """All 63 combinations: the gravest of what applies is the verdict, whatever else was found."""
    codes = [code for bit, code in enumerate(PRECEDENCE) if present >> bit & 1]
    examination = examined(*(code for code in reversed(codes) if code not in {0, 5}))
    found = print_verdict(Terminal(), "target", examination, is_erased=5 in codes)
    assert found == min(codes, key=PRECEDENCE.index)
    out = capsys.readouterr().out
    assert out.startswith(WORDS[found] + "  target\n")
    for code in set(codes) - {0, 5}:
        assert f"! {FILED[code]}" in out


def test_conclude_and_print_agree():
    for code in (1, 65, 3, 4):
        assert conclude(examined(0, code)) == code
    assert conclude(examined(0, 0)) == 0


def test_a_failed_dependency_is_no_verdict():
    """What could not be looked at is raised, never filed."""
    examination = Examination()
    with pytest.raises(StorageUnavailableError), examination.step(1, "reading"):
        raise StorageUnavailableError("the disk is gone")
    assert examination.failures == ()
    with pytest.raises(ZeroDivisionError), examination.step(2, "a bug"):
        raise ZeroDivisionError


def test_the_document(capsys):
    examination = examined(0, 1, 4)
    examination.file(UnsupportedVersionError("version 2", version="2"), 7, 12)
    examination.notices += ["not looked at", "not looked at"]
    assert print_verdict(Terminal(as_json=True), "a target", examination) == 1
    value = json.loads(capsys.readouterr().out)
    assert value["target"] == "a target"
    assert (value["verdict"], value["exit"]) == ("NOT VERIFIED", 1)
    assert [step["outcome"] for step in value["steps"]] == ["passed", "failed", "failed"]
    assert value["failures"] == [
        {"code": "digest-mismatch", "step": 2, "message": "bytes differ"},
        {"code": "unsupported-version", "step": 7, "message": "version 2", "index": 12},
        {"code": "incomplete", "step": 3, "message": "something is missing"},
    ]
    assert value["not_checked"] == ["not looked at"]
    assert value["limits"] == LIMITS


def test_many_failures_are_cut_for_people_only(capsys):
    examination = Examination()
    for index in range(50):
        examination.file(RollbackError(f"leaf {index} is wrong"), 11, index)
    print_verdict(Terminal(), "store", examination)
    out = capsys.readouterr().out
    assert out.count("  ! leaf") == 20
    assert "and 30 more; --json lists all" in out
    print_verdict(Terminal(as_json=True), "store", examination)
    assert len(json.loads(capsys.readouterr().out)["failures"]) == 50


def test_an_audit(capsys):
    audit = Audit("log.example/x", size=9)
    audit.openings.opened, audit.openings.erased = 8, 1
    for number in range(12):
        audit.runs[f"{number:032x}"] = RunState(f"{number:032x}", "none", 3, outcome="" if number == 11 else "completed")
    assert print_verdict(Terminal(), "store", Examination(), audit=audit, is_erased=True) == 5
    out = capsys.readouterr().out
    assert "openings   9 leaves = 8 opened + 0 sealed + 1 erased + 0 missing" in out
    assert out.count("  run ") == 10
    assert "12 in all" in out
    assert "3 statements, open, isolation: none" in out
    print_verdict(Terminal(as_json=True), "store", Examination(), audit=audit)
    value = json.loads(capsys.readouterr().out)["audit"]
    assert value["openings"] == {"opened": 8, "sealed": 0, "erased": 1, "missing": 0}
    assert [run["outcome"] for run in value["runs"]][-2:] == ["completed", "open"]


def test_on_stderr_where_stdout_is_the_programs(capsys):
    print_verdict(Terminal(), "run", examined(4), to_stderr=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("INCOMPLETE")


def test_words_that_are_never_used(capsys):
    for exits in ((), (1,), (65,), (3,), (4,)):
        print_verdict(Terminal(), "x", examined(*exits))
    out = capsys.readouterr().out.lower()
    assert not any(word in out for word in FORBIDDEN)
    assert out.count(LIMITS.lower()) == 5


def test_text_from_elsewhere_is_drawn(capsys):
    examination = Examination()
    with examination.step(1, "reading [bold]x[/]") as step:
        step.detail = "\x1b[31m\u202e:smile:"
    examination.file(MalformedError("\x1b]0;title\x07 [/] \\"), 1)
    examination.notices.append("[/]\u202e")
    print_verdict(Terminal(), "\u202e[red]target\\", examination)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    for text in ("⟦U+202E⟧[red]target\\", "reading [bold]x[/]", "⟦U+001B⟧[31m⟦U+202E⟧:smile:", "⟦U+001B⟧]0;title⟦U+0007⟧ [/] \\"):
        assert text in out


# --- findings in every receipt

SAFE = "apostille-safe/1 ucd=18.0.0 tables=00"
FOUND = [
    ("nothing", {"profile": SAFE}, {}, False, {"cleaned": "nothing was found"}),
    ("no profile", {}, {"changes": {"NFC": 1}}, False, {}),
    ("opaque", {"profile": "opaque"}, {}, False, {"cleaned": "not looked at (opaque bytes)"}),
    ("sealed", {"profile": SAFE}, {}, True, {"cleaned": "the statement commits to findings"}),
    ("no counts", {"profile": SAFE}, {"changes": "x"}, True, {"cleaned": "the statement commits to findings"}),
    (
        "changed and kept",
        {"profile": SAFE},
        {"changes": {"TAG_DROP": 2, "NFC": 1, "ZWNJ_KEEP": 3, "NEW": 1}},
        True,
        {"cleaned": "TAG_DROP 2 (hidden), NFC 1, NEW 1", "kept": "ZWNJ_KEEP 3"},
    ),
    ("only kept", {"profile": SAFE}, {"changes": {"VS_KEEP": 1}}, True, {"kept": "VS_KEEP 1"}),
    ("only reported", {"profile": "apostille-report/1 x"}, {"changes": {"NFC": 1}}, True, {"found": "NFC 1"}),
]


@pytest.mark.parametrize(("fields", "attributes", "is_committed", "rows"), [row[1:] for row in FOUND], ids=[row[0] for row in FOUND])
def test_what_cleaning_found(fields, attributes, is_committed, rows):
    """What was kept is not called cleaned; payload shapes are named so; a receipt without findings says that there were none."""
    assert found_by_cleaning(fields, attributes, is_committed=is_committed) == rows
