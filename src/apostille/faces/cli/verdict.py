"""Printing a verdict: what holds, what it rests on, what is wrong, and what was not checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apostille.core.canon.findings import SEVERITIES
from apostille.errors import ApostilleError
from apostille.faces import codes
from apostille.faces.cli.meanings import level
from apostille.faces.cli.terminal import Terminal, plain
from apostille.services.audit import Audit
from apostille.services.examination import Examination
from apostille.services.verifier import VerifiedReceipt

_WORDS = {
    codes.VERIFIED: "VERIFIED",
    codes.ALTERED: "NOT VERIFIED",
    codes.UNTRUSTED: "TRUST ANCHOR NOT CONFIRMED",
    codes.INCOMPLETE: "INCOMPLETE",
    codes.ERASED: "VERIFIED, CONTENT ERASED BY POLICY",
    codes.MALFORMED: "MALFORMED",
}
_COLORS = {codes.VERIFIED: "green", codes.ERASED: "green", codes.INCOMPLETE: "yellow", codes.UNTRUSTED: "yellow"}
_SIGNS = {"passed": "[green]ok    [/]", "failed": "[red]FAILED[/]", "not checked": "[yellow]--    [/]"}
LIMITS = "It does not show that an output is right, safe or intended, nor what was said outside the capture point."


def conclude(examination: Examination) -> int:
    """Return the exit code of an examination."""
    try:
        examination.conclude()
    except ApostilleError as error:
        return codes.exit_code(error)
    return codes.VERIFIED


def print_verdict(
    terminal: Terminal,
    target: str,
    examination: Examination,
    *,
    receipt: VerifiedReceipt | None = None,
    audit: Audit | None = None,
    is_erased: bool = False,
    to_stderr: bool = False,
    more: dict[str, Any] | None = None,
) -> int:
    """Print one verdict and return its exit code."""
    code = conclude(examination)
    if code == codes.VERIFIED and is_erased:
        code = codes.ERASED
    strength = _strength(receipt, audit) if code in {codes.VERIFIED, codes.ERASED} else ""
    word = _WORDS[code] + (f", {strength}" if strength else "")
    terminal.document({**_as_json(target, word, code, examination, receipt, audit), **(more or {})})
    show = terminal.say if to_stderr else terminal.show
    show(f"[bold {_COLORS.get(code, 'red')}]{word}[/]  {plain(target)}")
    if receipt is not None:
        _show_receipt(show, receipt)
    if audit is not None:
        _show_audit(show, audit)
    for step in examination.steps:
        detail = f"  [dim]{plain(step.detail, limit=160)}[/]" if step.detail and step.outcome != "failed" else ""
        show(f"  {step.number:>2}  {_SIGNS[step.outcome]} {plain(step.title)}{detail}")
    shown = examination.failures[:20]
    for failure in shown:
        show(f"  [red]![/] {plain(failure.message)}")
    if len(examination.failures) > len(shown):
        show(f"  [red]![/] and {len(examination.failures) - len(shown)} more; --json lists all")
    for notice in dict.fromkeys(examination.notices):
        show(f"  [dim]{plain(notice)}[/]")
    show(f"  [dim]{LIMITS}[/]")
    return code


def _strength(receipt: VerifiedReceipt | None, audit: Audit | None) -> str:
    if receipt is not None:
        return receipt.strength
    if audit is not None and audit.checkpoint is not None:
        names = ", ".join(audit.checkpoint.independent)
        return f"witnessed by {names}" if audit.checkpoint.is_witnessed else "UNWITNESSED"
    return ""


def _show_receipt(show: Callable[[str], None], receipt: VerifiedReceipt) -> None:
    fields = receipt.statement.predicate
    kind = receipt.statement.type.removeprefix("urn:apostille:").removesuffix(":v1")
    run = f", statement {fields['seq']} of run {fields['run']}" if "run" in fields else ""
    rows = {"statement": f"{kind}{run}", "log": f"index {receipt.index} of {receipt.checkpoint.checkpoint.origin}"}
    attributes = receipt.attributes or {}
    if "agent" in attributes:
        principal = f", on behalf of {attributes['on_behalf_of']}" if "on_behalf_of" in attributes else ""
        rows["agent"] = f"{attributes['agent']}{principal} (asserted by the signer)"
    rows["signer"] = f"{fields['key_id']}, held by the {receipt.signer.held_by or receipt.signer.usage}"
    rows["captured"] = f"{fields['captured_at']} (the signer's clock: an assertion)"
    if "profile" in fields:
        rows["profile"] = str(fields["profile"])
    rows |= found_by_cleaning(fields, attributes, is_committed="findings" in receipt.statement.subjects)
    if "outcome" in fields:
        rows["outcome"] = str(fields["outcome"])
    rows["content"] = "matches" if receipt.is_content_compared else "not compared"
    for name, value in rows.items():
        show(f"  {name:<10} {plain(value)}")


def found_by_cleaning(fields: Mapping[str, Any], attributes: Mapping[str, Any], *, is_committed: bool) -> dict[str, str]:
    """Say what cleaning found, as the signer recorded it: what was changed, what was kept and counted, or that nothing was.

    Args:
        fields: The permanent fields of a verified statement.
        attributes: Its attributes, as far as they are there.
        is_committed: Whether the statement commits to findings.
    """
    profile = fields.get("profile")
    if profile is None:
        return {}
    changes = attributes.get("changes")
    counts = changes if isinstance(changes, dict) else {}
    kept = {code: count for code, count in counts.items() if code.endswith("_KEEP")}
    is_report = str(profile).startswith("apostille-report/")
    rows = {
        "found" if is_report else "cleaned": ", ".join(
            _counted(code, count) for code, count in counts.items() if code not in kept
        ),
        "kept": ", ".join(_counted(code, count) for code, count in kept.items()),
    }
    rows = {name: text for name, text in rows.items() if text}
    if rows or counts:
        return rows
    if is_committed:
        return {"cleaned": "the statement commits to findings"}
    return {"cleaned": "not looked at (opaque bytes)" if profile == "opaque" else "nothing was found"}


def _counted(code: str, count: object) -> str:
    grade = level(SEVERITIES[code]) if code in SEVERITIES else ""
    return f"{code} {count}" + (f" ({grade})" if grade in {"hidden", "error"} else "")


def _show_audit(show: Callable[[str], None], audit: Audit) -> None:
    show(f"  log        {plain(audit.origin)}")
    show(f"  openings   {audit.openings}")
    if audit.start:
        show(f"  new        {audit.size - audit.start} leaves; {audit.start} were read by an earlier audit")
    for state in list(audit.runs.values())[-10:]:
        outcome = state.outcome or "open"
        show(f"  run        {state.id}  {state.count} statements, {plain(outcome)}, isolation: {state.isolation}")
    if len(audit.runs) > 10 or audit.run_count > len(audit.runs):
        show(f"  runs       {max(audit.run_count, len(audit.runs))} in all")


def _as_json(
    target: str, word: str, code: int, examination: Examination, receipt: VerifiedReceipt | None, audit: Audit | None
) -> dict[str, Any]:
    value: dict[str, Any] = {
        "target": target,
        "verdict": word,
        "exit": code,
        "steps": [
            {"step": s.number, "title": s.title, "outcome": s.outcome} | ({"detail": s.detail} if s.detail else {})
            for s in examination.steps
        ],
        "failures": [
            {"code": f.code, "step": f.step, "message": f.message} | ({} if f.index is None else {"index": f.index})
            for f in examination.failures
        ],
        "not_checked": list(dict.fromkeys(examination.notices)),
        "limits": LIMITS,
    }
    if receipt is not None:
        value["receipt"] = {
            "origin": receipt.checkpoint.checkpoint.origin,
            "index": receipt.index,
            "tree_size": receipt.checkpoint.checkpoint.size,
            "statement_type": receipt.statement.type,
            "statement": dict(receipt.statement.predicate),
            "statement_sha256": receipt.digest.hex(),
            "attributes": receipt.attributes,
            "commits_to_findings": "findings" in receipt.statement.subjects,
            "is_content_compared": receipt.is_content_compared,
        }
    if audit is not None:
        openings = audit.openings
        value["audit"] = {
            "origin": audit.origin,
            "size": audit.size,
            "newly_checked": audit.size - audit.start,
            "run_count": audit.run_count,
            "gaps": audit.gaps,
            "openings": {n: getattr(openings, n) for n in ("opened", "sealed", "erased", "missing")},
            "runs": [
                {"run": s.id, "count": s.count, "outcome": s.outcome or "open", "isolation": s.isolation}
                for s in audit.runs.values()
            ],
        }
    return value
