"""``apostille audit``: the monitor. Checks all that is new since the last time, remembers heads, raises the alarm."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from apostille import wiring
from apostille.core.policy import Policy
from apostille.errors import ApostilleError, MalformedError, TooLargeError, VerificationError
from apostille.faces import codes
from apostille.faces.cli.snapshot import open_snapshot
from apostille.faces.cli.terminal import Terminal, plain
from apostille.faces.cli.verdict import print_verdict
from apostille.services.audit import Audit, format_state, parse_state
from apostille.services.examination import Examination
from apostille.services.monitor import audit_store
from apostille.storage.audits import FolderAuditMemory


def audit(
    terminal: Terminal, store: Path | None, *, is_full: bool, is_following: bool, interval_seconds: float, trust: Path | None
) -> int:
    """Audit a store once, or again and again until Ctrl-C; return the last verdict's exit code."""
    folder = wiring.StoreFolder(store) if store is not None else terminal.folder
    policy = wiring.load_policy(trust)
    if not is_following:
        return _audit_once(terminal, folder, policy, is_full=is_full)
    code = codes.VERIFIED
    terminal.say(f"[dim]auditing {plain(folder.path)} every {interval_seconds:g} s; Ctrl-C ends it[/]")
    try:
        with terminal.streamed():
            while True:
                code = _audit_again(terminal, folder, policy, is_full=is_full)
                is_full = False
                time.sleep(interval_seconds)
    except KeyboardInterrupt:
        return code


def _audit_again(terminal: Terminal, folder: wiring.StoreFolder, policy: Policy, *, is_full: bool) -> int:
    """One round of many: what can't be looked at now is said, and looked at again next time."""
    try:
        return _audit_once(terminal, folder, policy, is_full=is_full)
    except ApostilleError as error:
        terminal.document(codes.as_json(error))
        terminal.complain(f"[bold red]error[/] ({error.code}): {plain(error, limit=2000)}")
        return codes.exit_code(error)


def _audit_once(terminal: Terminal, folder: wiring.StoreFolder, policy: Policy, *, is_full: bool) -> int:
    examination, found = Examination(), None
    origin = folder.origin()
    memory = wiring.audit_memory()
    state = _recall(memory, origin)  # before the snapshot: what was audited is in it
    try:
        with open_snapshot(folder, origin) as seen, terminal.progress("auditing") as progress:
            found = audit_store(
                examination,
                seen.reader,
                policy,
                origin=origin,
                heads=wiring.head_memory(),
                recalled=seen.recalled,
                state=state,
                vault=seen.vault,
                published=seen.published,
                now=seen.now,
                progress=progress,
                is_full=is_full,
                shelf=seen.shelf,
            )
    except (MalformedError, VerificationError) as error:
        examination.file(error, 1)
    kept = keep_evidence(origin, found)
    if found is not None and found.after is not None and not _is_ahead(_recall(memory, origin), found.after.size):
        memory.remember(origin, format_state(found.after))
    is_erased = found is not None and bool(found.openings.erased)
    code = print_verdict(terminal, f"audit {folder.path}", examination, audit=found, is_erased=is_erased, more=kept)
    for item in kept.get("evidence", ()):
        terminal.say(f"  [bold red]both heads are kept in {plain(item['kept'])}[/]")
    return code


def _recall(memory: FolderAuditMemory, origin: str) -> bytes | None:
    """Return the state of the last audit, unread; what is too large for one is as good as a damaged one."""
    try:
        return memory.recall(origin)
    except TooLargeError:
        return b""


def _is_ahead(state: bytes | None, size: int) -> bool:
    """Tell whether another audit has come further meanwhile."""
    try:
        return state is not None and parse_state(state).size > size
    except MalformedError:
        return False


def keep_evidence(origin: str, found: Audit | None) -> dict[str, Any]:
    """Keep heads that contradict each other in the user's state folder; return them for a JSON document."""
    if found is None or not found.evidence:
        return {}
    kept: list[dict[str, str]] = []
    for first, second in dict.fromkeys(found.evidence):
        where = wiring.audit_memory().keep_evidence(origin, first, second)
        texts = (data.decode("utf-8", "backslashreplace") for data in (first, second))
        kept.append(dict(zip(("first", "second", "kept"), (*texts, str(where)), strict=True)))
    return {"evidence": kept}
