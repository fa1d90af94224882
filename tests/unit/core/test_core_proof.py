"""tlog-proof files: parse, format, compare (formats.md section 10; c2sp.org/tlog-proof)."""

from __future__ import annotations

import pytest

from apostille.core import proof, strict
from apostille.errors import MalformedProofError
from tests.unit.core.core_kit import example

NOTE = example().note
HASHES = tuple(bytes((i,)) * 32 for i in range(63))
ROW = strict.base64_text(HASHES[1])


def text(*rows: str, note: bytes = NOTE) -> bytes:
    return "".join(row + "\n" for row in rows).encode() + note


HEAD = "c2sp.org/tlog-proof@v1"


@pytest.mark.parametrize("count", [0, 1, 2, 63])
@pytest.mark.parametrize("index", [0, 2, 2**63 - 1])
def test_round_trip(index, count):
    made = proof.LogProof(index, HASHES[:count], NOTE)
    data = proof.format_proof(made)
    assert data == text(HEAD, f"index {index}", *map(strict.base64_text, HASHES[:count]), "")
    assert proof.parse_proof(data) == made


@pytest.mark.parametrize(
    "data",
    [
        b"",
        NOTE,
        text(HEAD, "index 2", ROW, note=b""),
        text(HEAD, "", note=NOTE),
        text("", HEAD, "index 2", ""),
        text("c2sp.org/tlog-proof@v2", "index 2", ""),
        text("c2sp.org/tlog-proof@v1 ", "index 2", ""),
        text(HEAD, "extra AAAA", "index 2", ""),
        text(HEAD, "index 2", "extra AAAA", ""),
        text(HEAD, "2", ""),
        text(HEAD, "Index 2", ""),
        text(HEAD, "index  2", ""),
        text(HEAD, "index", ""),
        text(HEAD, "index ", ""),
        *(text(HEAD, f"index {n}", "") for n in ("+2", "02", "2_0", "-2", "٣", 2**63, "2 ")),
        text(HEAD, "index 2", ROW[:-1], ""),
        text(HEAD, "index 2", "AAAA", ""),
        text(HEAD, "index 2", ROW + " ", ""),
        text(HEAD, "index 2", ROW + "\r", ""),
        text(HEAD, "index 2", *[ROW] * 64, ""),
        text(HEAD, "index 2", "\xff", "").replace(b"\xc3\xbf", b"\xff"),
    ],
)
def test_refused(data):
    with pytest.raises(MalformedProofError):
        proof.parse_proof(data)


def test_the_note_is_carried_unread():
    """Whatever follows the empty line is handed on: ``core.policy`` opens it."""
    assert proof.parse_proof(text(HEAD, "index 2", "", note=b"\n\nnot a note")).note == b"\n\nnot a note"
