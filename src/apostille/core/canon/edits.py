"""The edit law: the findings, applied to the raw bytes, give the canonical bytes exactly."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from apostille.errors import DigestMismatchError, IncompleteError, MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apostille.core.canon.findings import Finding

_SPEC = "canonical.md section 4"
_EDITS = ("drop", "replace")


def apply_edits(raw: bytes, findings: Iterable[Finding], *, canonical: bytes | None = None) -> bytes:
    """Apply the edits among the findings to the raw bytes.

    For a text the findings are enough. A re-serialised value (JSON) is one edit of the whole; where that is longer than 32 code
    points the finding holds only its SHA-256, so the canonical bytes must be given, and are checked against it. Findings with a
    pointer, and those that only report, change nothing here.

    Does not check that these are the findings that the canonicalizer would give: recompute them for that.

    Args:
        raw: The bytes as they came in.
        findings: All findings of one value.
        canonical: The canonical bytes, needed only for a long re-serialised value.

    Returns:
        The canonical bytes.

    Raises:
        MalformedError: The edits overlap or leave the value.
        DigestMismatchError: The findings are not about these raw bytes, or ``canonical`` is not what they promise.
        IncompleteError: The list was cut (FINDINGS_CUT), or the canonical bytes are needed and missing.

    Spec: canonical.md section 4.
    """
    listed = tuple(findings)
    edits = [finding for finding in listed if finding.act in _EDITS and finding.pointer is None]
    # One edit of the whole value loses nothing when the list behind it is cut.
    is_whole = any(edit.code == "JSON_FORM" for edit in edits)
    if edits and not is_whole and any(finding.code == "FINDINGS_CUT" for finding in listed):
        raise IncompleteError("the list of findings was cut; recompute it from the raw bytes", missing=("findings",))
    out: list[bytes] = []
    done = 0
    for edit in sorted(edits, key=lambda edit: (edit.position, edit.length)):
        end = edit.position + edit.length
        if edit.position < done or end > len(raw):
            raise MalformedError("edits overlap or leave the value", spec=_SPEC, offset=edit.position)
        _check_was(raw[edit.position : end], edit)
        out += (raw[done : edit.position], _replacement(edit, canonical))
        done = end
    return b"".join((*out, raw[done:]))


def _check_was(found: bytes, edit: Finding) -> None:
    if edit.was_sha256 is None:
        matches = found == _utf8(edit.was)
    else:
        matches = found.startswith(_utf8(edit.was)) and hashlib.sha256(found).hexdigest() == edit.was_sha256
    if not matches:
        raise DigestMismatchError(f"the raw bytes at {edit.position} are not what the finding {edit.code} says")


def _replacement(edit: Finding, canonical: bytes | None) -> bytes:
    if edit.now_sha256 is None:
        return _utf8(edit.now)
    if canonical is None:
        raise IncompleteError("this value was written anew: its canonical bytes are needed", missing=("canonical",))
    if hashlib.sha256(canonical).hexdigest() != edit.now_sha256:
        raise DigestMismatchError("the canonical bytes are not those of the finding")
    return canonical


def _utf8(points: tuple[int, ...]) -> bytes:
    return "".join(map(chr, points)).encode("utf-8", "surrogatepass")
