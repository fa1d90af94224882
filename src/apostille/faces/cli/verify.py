"""``apostille verify``: a receipt, a run, or a whole store, offline."""

from __future__ import annotations

import re
from pathlib import Path

from apostille import wiring
from apostille.core.checkpoint import parse_checkpoint
from apostille.core.note import parse_note
from apostille.core.policy import Policy, open_checkpoint
from apostille.core.receipt import PendingReceipt, parse_receipt
from apostille.core.tree import HashReader
from apostille.errors import ApostilleError, InclusionError, MalformedError, NotFoundError, PolicyError, VerificationError
from apostille.faces import codes
from apostille.faces.cli.audit import keep_evidence
from apostille.faces.cli.snapshot import open_snapshot
from apostille.faces.cli.terminal import Terminal, is_file, is_folder, plain, read_input
from apostille.faces.cli.verdict import print_verdict
from apostille.services.attester import utc_text
from apostille.services.auditor import examine_store
from apostille.services.claims import compare_head
from apostille.services.erasure import Erasure, erasures
from apostille.services.examination import Examination
from apostille.services.keeper import MAX_MERGE_DELAY_SECONDS
from apostille.services.published import examine_published
from apostille.services.receipts import build_receipt
from apostille.services.run_audit import examine_run
from apostille.services.verifier import HEAD_NOT_COMPARED, VerifiedReceipt, examine_receipt, pending_leaf
from apostille.storage.tiles import TileFolder

_RUN_ID = re.compile(r"[0-9a-f]{32}")
CONTENT_STEP = 9
_RECEIPT_SUFFIX = ".receipt.json"


def verify_targets(terminal: Terminal, targets: list[str], *, artifact: str | None, log: str | None, trust: Path | None) -> int:
    """Verify each target and return the gravest exit code."""
    others = [
        target for target in targets if is_folder(Path(target)) or (_RUN_ID.fullmatch(target) and not is_file(Path(target)))
    ]
    if others and (artifact is not None or log is not None):
        raise NotFoundError(f"--artifact and --log are for receipts; {others[0][:64]!r} is none")
    policy = wiring.load_policy(trust)
    if len(targets) == 1:
        return _verify(terminal, targets[0], policy, artifact, log)
    found: list[int] = []
    with terminal.collected():
        for target in targets:
            try:
                found.append(_verify(terminal, target, policy, artifact, log))
            except ApostilleError as error:
                terminal.document({"target": target, **codes.as_json(error)})
                terminal.complain(f"[bold red]error[/] ({error.code}): {plain(target)}: {plain(error, limit=2000)}")
                found.append(codes.exit_code(error))
    return codes.gravest(found)


def _verify(terminal: Terminal, target: str, policy: Policy, artifact: str | None, log: str | None) -> int:
    path = Path(target)
    if is_folder(path):
        return _verify_store(terminal, wiring.StoreFolder(path), policy)
    if _RUN_ID.fullmatch(target) and not is_file(path):
        return _verify_run(terminal, target, policy)
    return _verify_receipt(terminal, target, policy, artifact, log)


def _verify_receipt(terminal: Terminal, target: str, policy: Policy, artifact: str | None, log: str | None) -> int:
    data = read_input(target)
    content = _find_artifact(target, artifact)
    examination = Examination()
    if log is not None:
        data = _published_form(examination, data, policy, Path(log))
    overdue_before = utc_text(int((wiring.posix_seconds() - MAX_MERGE_DELAY_SECONDS) * 1000))
    receipt = examine_receipt(examination, data, policy, artifact=content, overdue_before=overdue_before)
    is_erased = False
    if receipt is not None and log is not None:
        _compare(examination, receipt, policy, Path(log))
        is_erased = _look_for_erasures(examination, receipt, Path(log))
    return print_verdict(terminal, target, examination, receipt=receipt, is_erased=is_erased)


def _look_for_erasures(examination: Examination, receipt: VerifiedReceipt, log: Path) -> bool:
    """Say which statements of the store have erased what the receipt is about; tell whether that is why there is no content."""
    folder = wiring.StoreFolder(log)
    if examination.altered or examination.malformed or not is_file(folder.config):
        return False
    found: list[Erasure] = []
    reader = wiring.open_reader(folder)
    try:
        with examination.step(11, "erasures that name this output") as step:
            signed = reader.checkpoint()
            covered = signed.size if signed is not None else 0
            named = [e for e in erasures(reader, receipt.checkpoint.log) if e.names(receipt.index, receipt.digest)]
            found = [e for e in named if e.index < covered]
            step.detail = ", ".join(f"erased in the store at {e.index}" for e in found) or "none"
    finally:
        reader.close()
    examination.notices += [f"erased in the store at {e.index}, effective {e.effective_at}" for e in found]
    is_gone = any("canonical" in e.names(receipt.index, receipt.digest) for e in found)
    if not is_gone or receipt.is_content_compared:
        return False
    # The content was destroyed by policy: that it is not compared is no gap in the evidence.
    examination.missing[:] = [failure for failure in examination.missing if failure.step != CONTENT_STEP]
    return True


def _published_form(examination: Examination, data: bytes, policy: Policy, log: Path) -> bytes:
    """Turn a receipt from before publication into the published one, if the log given is a store that has its leaf."""
    try:
        pending = parse_receipt(data)
    except MalformedError:
        return data  # the examination will say what is wrong
    folder = wiring.StoreFolder(log)
    if not isinstance(pending, PendingReceipt) or not is_file(folder.config):
        return data
    reader = wiring.open_reader(folder)
    try:
        signed = reader.checkpoint()
        with examination.step(4, "the log has this entry where it was promised"):
            if pending.index >= reader.count() or reader.record(pending.index).entry != pending_leaf(pending):
                raise InclusionError(f"NOT IN LOG: another entry stands at index {pending.index}, or none")
        keys = [key for key in policy.logs if key.name == folder.origin()]
        if examination.failures or signed is None or signed.size <= pending.index or not keys:
            return data
        return build_receipt(reader, wiring.open_vault(folder), signed, keys[0], pending.index)
    finally:
        reader.close()


def _find_artifact(target: str, artifact: str | None) -> bytes | None:
    """Take the file named, else NAME beside NAME.receipt.json."""
    if artifact is not None:
        return read_input(artifact)
    if target.endswith(_RECEIPT_SUFFIX):
        beside = Path(target.removesuffix(_RECEIPT_SUFFIX))
        if is_file(beside):
            return read_input(str(beside))
    return None


def _compare(examination: Examination, receipt: VerifiedReceipt, policy: Policy, log: Path) -> None:
    """Hold a receipt's checkpoint against the log as it is now, and both against the remembered head."""
    with examination.step(10, "the log that is shown continues the receipt's checkpoint and the remembered head") as step:
        mine = receipt.checkpoint.checkpoint
        known = wiring.head_memory().recall(mine.origin)  # first: a keeper at work remembers what it has signed
        note, read = open_log(log)
        shown = open_checkpoint(note, policy).checkpoint
        if shown.origin != mine.origin:
            raise PolicyError(f"the log shown is {shown.origin}, the receipt is of {mine.origin}")
        compare_head(mine, shown, read, where="in the receipt")
        step.detail = f"size {mine.size} to {shown.size}"
        if known is not None:
            compare_head(known, shown, read)
            step.detail += f", remembered {known.size}"
        examination.notices.remove(HEAD_NOT_COMPARED)


def open_log(log: Path) -> tuple[bytes, HashReader]:
    """Open a store, or a folder of published tiles."""
    folder = wiring.StoreFolder(log)
    if is_file(folder.config):
        reader = wiring.open_reader(folder)
        signed = reader.checkpoint()
        if signed is None:
            raise NotFoundError(f"{log} has signed no checkpoint yet")
        return signed.note, reader.hashes
    tiles = TileFolder(log)
    note = tiles.checkpoint()
    if note is None:
        raise NotFoundError(f"there is no store and no published log in {log}")
    size = parse_checkpoint(parse_note(note).text).size
    return note, lambda level, start, count: tiles.hashes(size, level, start, count)


def _verify_store(terminal: Terminal, folder: wiring.StoreFolder, policy: Policy) -> int:
    examination = Examination()
    origin = folder.origin()
    try:
        with open_snapshot(folder, origin) as seen, terminal.progress("verifying") as progress:
            audit = examine_store(
                examination,
                seen.reader,
                policy,
                origin=origin,
                heads=wiring.head_memory(),
                vault=seen.vault,
                published=seen.published,
                now=seen.now,
                progress=progress,
                recalled=seen.recalled,
            )
            if seen.published is not None:
                examine_published(examination, seen.reader, policy, seen.shelf, seen.published, start=0, size=audit.size)
    except (MalformedError, VerificationError) as error:
        examination.file(error, 1)
        return print_verdict(terminal, str(folder.path), examination)
    kept = keep_evidence(origin, audit)
    return print_verdict(terminal, str(folder.path), examination, audit=audit, is_erased=bool(audit.openings.erased), more=kept)


def _verify_run(terminal: Terminal, run: str, policy: Policy) -> int:
    folder = terminal.folder
    reader = wiring.open_reader(folder)
    try:
        if not reader.run_indexes(bytes.fromhex(run)):
            raise NotFoundError(f"there is no run {run} in {folder.path}")
        examination = Examination()
        audit = examine_run(
            examination,
            reader,
            policy,
            origin=folder.origin(),
            run=run,
            heads=wiring.head_memory(),
            vault=wiring.open_vault(folder),
            now=utc_text(int(wiring.posix_seconds() * 1000)),
        )
    finally:
        reader.close()
    return print_verdict(terminal, f"run {run}", examination, audit=audit, is_erased=bool(audit.openings.erased))
