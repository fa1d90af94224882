"""``apostille log info|proof|fsck``: how far the log has come, proofs from it, and whether it can be derived again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apostille import wiring
from apostille.core import note, predicates
from apostille.core.merkle import check_consistency, check_inclusion
from apostille.core.proof import LogProof, format_proof
from apostille.core.statement import parse_statement
from apostille.core.strict import base64_text
from apostille.core.tree import prove_consistency, prove_inclusion, root_at
from apostille.errors import MalformedError, NotFoundError, VerificationError
from apostille.faces.cli.audit import keep_evidence
from apostille.faces.cli.snapshot import open_snapshot
from apostille.faces.cli.store import checked, newest_checkpoint
from apostille.faces.cli.terminal import Terminal, plain, write_output
from apostille.faces.cli.verdict import print_verdict
from apostille.ports import Reader, SignedCheckpoint
from apostille.services.attester import utc_text
from apostille.services.examination import Examination
from apostille.services.fsck import Fsck, check_store
from apostille.services.published import Paths
from apostille.storage.sqlite import SqliteStore
from apostille.storage.tiles import TileFolder

_MAX_KEYS_SHOWN = 20


def log_info(terminal: Terminal) -> int:
    """Print what the log is and how far it has come, from the store as it is, not verified."""
    folder = terminal.folder
    origin = folder.origin()
    now = utc_text(int(wiring.posix_seconds() * 1000))
    shelf = TileFolder(folder.log)
    published = shelf.published_size()
    reader = wiring.open_reader(folder, is_snapshot=True)
    try:
        head, signed = reader.head(), reader.checkpoint()
        open_runs, runs = len(reader.open_runs()), len(reader.runs())
        keys = _keys(reader, now)
        schema = reader.schema
    finally:
        reader.close()
    known = wiring.head_memory().recall(origin)
    vkeys = [note.format_vkey(key) for key in wiring.load_policy().logs if key.name == origin]
    age = _age_seconds(folder.log / "checkpoint")
    value: dict[str, Any] = {
        "store": str(folder.path),
        "origin": origin,
        "vkey": vkeys[0] if vkeys else None,
        "committed_size": head.size,
        "root_sha256": head.root_hash.hex(),
        "published_size": signed.size if signed else 0,
        "unpublished": head.size - (signed.size if signed else 0),
        "checkpoint_age_s": round(age, 1) if age is not None else None,
        "tiles_size": published,
        "remembered_size": known.size if known else None,
        "runs": runs,
        "open_runs": open_runs,
        "keys": len(keys),
        "keys_in_force": [key for key in keys if key["state"] == "in force"],
        "schema": schema,
        "bytes": {"database": _bytes_of(folder.database), "log": _bytes_of(folder.log)},
    }
    terminal.document(value)
    for name, shown in value.items():
        text = ", ".join(f"{part} {count:,}" for part, count in shown.items()) if name == "bytes" else shown
        if name != "keys_in_force":
            terminal.show(f"{name:<17} {plain(text if text is not None else '-')}")
    for key in value["keys_in_force"][-_MAX_KEYS_SHOWN:]:
        terminal.show(f"  key at {key['index']}: {plain(key['usage'])} {plain(key['held_by'] or '')} until {key['not_after']}")
    return 0


def _age_seconds(path: Path) -> float | None:
    """Return how long ago a file was written, by this machine's clock."""
    try:
        return wiring.posix_seconds() - path.stat().st_mtime
    except OSError:
        return None


def _bytes_of(path: Path) -> int:
    """Return the size of a file, or of all files below a folder."""
    found = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    return sum(item.stat().st_size for item in found)


def _keys(reader: SqliteStore, now: str) -> list[dict[str, Any]]:
    """List the certified keys as their statements say; who has signed those is for ``fsck`` and ``audit``."""
    found: dict[bytes, dict[str, Any]] = {}
    for index in reader.key_indexes():
        try:
            said = parse_statement(reader.record(index).statement)
            fields, subject = said.predicate, said.subjects["spki"]
        except (MalformedError, KeyError):
            continue  # audit and fsck say so
        if said.type != predicates.KEY:
            continue
        if fields["event"] in {"genesis", "certify"}:
            is_live = fields["not_before"] <= now <= fields["not_after"]
            found[subject] = {
                "index": index,
                "spki_sha256": subject.hex(),
                "usage": fields["usage"],
                "held_by": fields.get("held_by"),
                "not_before": fields["not_before"],
                "not_after": fields["not_after"],
                "state": "in force" if is_live else "out of its life",
            }
        elif subject in found:
            found[subject]["state"] = f"{fields['event']}d at {index}"
    return list(found.values())


def log_proof(terminal: Terminal, index: int | None, out: Path | None, *, size: int | None, since: int | None) -> int:
    """Write the tlog-proof of a leaf, or the proof that the log continues an earlier size; each is checked first."""
    if index is None and since is None:
        raise NotFoundError("name a leaf by its INDEX, or an earlier size with --since")
    reader = wiring.open_reader(terminal.folder, is_snapshot=True)
    try:
        signed = _signed(reader, size)
        value: dict[str, Any] = {"size": signed.size}
        texts: list[tuple[str, bytes]] = []
        if index is not None:
            texts.append(("", _inclusion(reader, signed, index)))
            value |= {"index": index, "proof": texts[-1][1].decode()}
        if since is not None:
            texts.append((".consistency" if index is not None else "", _consistency(reader, signed, since)))
            value |= {"since": since, "consistency": texts[-1][1].decode()}
    finally:
        reader.close()
    if terminal.as_json:
        terminal.document(value)
        return 0
    for suffix, text in texts:
        if out is not None:
            target = out.with_name(out.name + suffix) if out.name else out
            write_output(target, text)
            terminal.say(f"wrote {plain(target)}")
        else:
            for row in text.decode().removesuffix("\n").split("\n"):
                terminal.show(plain(row, limit=len(row)))
    return 0


def _signed(reader: Reader, size: int | None) -> SignedCheckpoint:
    if size is None:
        return newest_checkpoint(reader)
    found = next(reader.checkpoints_from(max(size, 0)), None)
    if found is None or found.size != size:
        near = f"; the next one has size {found.size}" if found is not None else ""
        raise NotFoundError(f"no checkpoint of size {size} was signed{near}")
    return checked(found)


def _inclusion(reader: Reader, signed: SignedCheckpoint, index: int) -> bytes:
    if not 0 <= index < signed.size:
        raise NotFoundError(f"the published log has leaves 0 to {signed.size - 1}, not {index}")
    hashes = prove_inclusion(index, signed.size, reader.hashes)
    check_inclusion(index, signed.size, reader.hashes(0, index, 1)[0], hashes, signed.root_hash)
    return format_proof(LogProof(index, hashes, signed.note))


def _consistency(reader: Reader, signed: SignedCheckpoint, since: int) -> bytes:
    """Write the body of a C2SP ``add-checkpoint`` request: ``old N``, the hashes, an empty line, the checkpoint."""
    if not 0 < since <= signed.size:
        raise NotFoundError(f"a consistency proof begins at a size from 1 to {signed.size}, not {since}")
    hashes = prove_consistency(since, signed.size, reader.hashes)
    check_consistency(since, root_at(since, reader.hashes), signed.size, signed.root_hash, hashes)
    rows = [f"old {since}", *(base64_text(item) for item in hashes), ""]
    return "".join(row + "\n" for row in rows).encode() + signed.note


def log_fsck(terminal: Terminal, *, is_fast: bool, is_rewriting: bool, trust: Path | None) -> int:
    """Derive everything again from the leaves and compare; mend published tiles if asked."""
    folder = terminal.folder
    origin, policy = folder.origin(), wiring.load_policy(trust)
    examination, found = Examination(), Fsck()
    try:
        with open_snapshot(folder, origin) as seen, terminal.progress("checking") as progress:
            found = check_store(
                examination,
                seen.reader,
                policy,
                seen.shelf,
                origin=origin,
                published=seen.published,
                again=seen.again,
                heads=wiring.head_memory(),
                vault=seen.vault,
                now=seen.now,
                progress=progress,
                is_fast=is_fast,
                is_rewriting=is_rewriting,
                recalled=seen.recalled,
            )
    except (MalformedError, VerificationError) as error:
        examination.file(error, 1)
    for path in found.rewritten:
        terminal.say(f"rewritten: {plain(path)}")
    more = {"fsck": _as_json(found), **keep_evidence(origin, found.audit)}
    is_erased = found.audit is not None and bool(found.audit.openings.erased)
    return print_verdict(terminal, f"fsck {folder.path}", examination, audit=found.audit, is_erased=is_erased, more=more)


def _as_json(found: Fsck) -> dict[str, Any]:
    value: dict[str, Any] = {"rewritten": found.rewritten, "unopened": found.unopened}
    if found.tiles is not None:
        report = found.tiles
        value["tiles"] = {"size": report.size, "checked": report.checked, "is_behind": report.is_behind}
        for name in ("missing", "torn", "altered", "foreign", "ahead", "beyond"):
            paths: Paths = getattr(report, name)
            value["tiles"][name] = {"count": paths.count, "named": paths.named}
    return value
