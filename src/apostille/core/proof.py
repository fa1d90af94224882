"""tlog-proof: an index, an inclusion proof and a checkpoint in one text file.

    c2sp.org/tlog-proof@v1 LF
    index N LF
    one b64 hash a line LF
    LF
    the checkpoint note

Spec: c2sp.org/tlog-proof. No ``extra`` line is written or read.
"""

from __future__ import annotations

from dataclasses import dataclass

from apostille.core import strict
from apostille.core.digest import SIZE
from apostille.core.merkle import MAX_PROOF_HASHES
from apostille.errors import MalformedError, MalformedProofError

SPEC = "tlog-proof"
_FIRST = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class LogProof:
    """Where an entry is, and how it leads to a checkpoint. Unverified.

    Attributes:
        index: Place of the leaf.
        hashes: Inclusion proof, the leaf's sibling first.
        note: The checkpoint note, whole.
    """

    index: int
    hashes: tuple[bytes, ...]
    note: bytes


def format_proof(proof: LogProof) -> bytes:
    """Write a tlog-proof."""
    rows = [_FIRST, f"index {proof.index}", *(strict.base64_text(h) for h in proof.hashes), ""]
    return "".join(row + "\n" for row in rows).encode() + proof.note


def parse_proof(data: bytes) -> LogProof:
    """Read a tlog-proof.

    Raises:
        MalformedProofError: Any other form.
    """
    head, mark, rest = data.partition(b"\n\n")
    try:
        if not mark:
            raise MalformedProofError("no empty line before the checkpoint", spec=SPEC)
        rows = strict.lines(head + b"\n", spec=SPEC)
        if rows[0] != _FIRST or len(rows) < 2 or not rows[1].startswith("index "):
            raise MalformedProofError("not a tlog-proof of version 1", spec=SPEC)
        if len(rows) - 2 > MAX_PROOF_HASHES:
            raise MalformedProofError(f"more than {MAX_PROOF_HASHES} hashes", spec=SPEC)
        hashes = tuple(strict.base64_bytes(row, size=SIZE, spec=SPEC) for row in rows[2:])
        return LogProof(strict.decimal(rows[1].removeprefix("index "), spec=SPEC), hashes, rest)
    except MalformedProofError:
        raise
    except MalformedError as error:
        raise MalformedProofError(str(error)) from error
