"""``apostille attest``: files or stdin, each with a receipt and a Sigstore bundle beside it."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any

from apostille.core.canon import canonicalize
from apostille.core.canon.policy import Policy
from apostille.core.keys import public_pem
from apostille.core.strict import canonical_json
from apostille.errors import ApostilleError, ConfigurationError
from apostille.faces import codes
from apostille.faces.cli.terminal import STDIN, Terminal, plain, read_input, write_output
from apostille.faces.keeper_api import AnyKeeper, open_log
from apostille.services.attester import PLAIN, SALTED
from apostille.services.runs import output_draft
from apostille.storage.folder import canon_policy

TIMEOUT_SECONDS = 60.0
_TEXT = "text/plain"


def attest_files(
    terminal: Terminal,
    names: list[str],
    *,
    media_type: str | None,
    agent: str,
    principal: str | None,
    profile: str,
    is_salted: bool,
    out: Path | None,
) -> int:
    """Attest each file; write receipt, bundle and, where they differ, the canonical bytes."""
    if len({_file_name(name) for name in names}) != len(names) and out is not None:
        raise ConfigurationError("two of the files have the same name: give each call its own --out")
    kept: dict[str, bytes] = {}
    policy = canon_policy(terminal.folder)
    failed = _look_at(terminal, names, kept, media_type=media_type, profile=profile, policy=policy)
    if failed:
        return failed
    keeper = open_log(terminal.folder, holder=agent, held_by="agent")
    results: list[dict[str, Any]] = []
    try:
        for name in names:
            target = (out or (Path() if name == STDIN else Path(name).parent)) / _file_name(name)
            made = _attest(
                keeper,
                kept[name] if name in kept else read_input(name),
                target,
                is_source=name != STDIN and target.resolve() == Path(name).resolve(),
                media_type=media_type or _guess(name),
                agent=agent,
                principal=principal,
                profile=profile,
                policy=policy,
                is_salted=is_salted,
            )
            results.append(made)
            terminal.show(f"attested {plain(name)} at index {made['index']}: {plain(made['receipt'])}")
            for code, count in made["changes"].items():
                terminal.show(f"  [yellow]cleaned[/] {code} {count}")
            if "canonical" in made:
                terminal.show(f"  [yellow]hand on[/] {plain(made['canonical'])}, not the file you gave: its bytes were changed")
    finally:
        keeper.close()
    terminal.document(results)
    return 0


def _look_at(
    terminal: Terminal, names: list[str], kept: dict[str, bytes], *, media_type: str | None, profile: str, policy: Policy
) -> int:
    """Read and clean each of several files before the first statement is made: all are attested, or none.

    Returns:
        0, or the gravest exit code of the files that can't be attested; each of them has been named.
    """
    if len(names) == 1:
        return 0
    found: list[int] = []
    documents: list[dict[str, Any]] = []
    for name in names:
        try:
            data = read_input(name)
            canonicalize(data, media_type=media_type or _guess(name), profile=profile, is_file=True, policy=policy)
            if name == STDIN:
                kept[name] = data  # it can't be read a second time
        except ApostilleError as error:
            documents.append({"file": name, **codes.as_json(error)})
            terminal.complain(f"[bold red]error[/] ({error.code}): {plain(name)}: {plain(error, limit=2000)}")
            found.append(codes.exit_code(error))
    if found:
        terminal.document(documents)
        terminal.say("nothing was attested")
        return codes.gravest(found)
    return 0


def _file_name(name: str) -> str:
    return "stdin" if name == STDIN else Path(name).name


def _guess(name: str) -> str:
    if name == STDIN:
        return _TEXT
    if name.endswith((".md", ".markdown")):
        return "text/markdown"
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _attest(
    keeper: AnyKeeper,
    raw: bytes,
    target: Path,
    *,
    is_source: bool,
    media_type: str,
    agent: str,
    principal: str | None,
    profile: str,
    policy: Policy,
    is_salted: bool,
) -> dict[str, Any]:
    canonical = canonicalize(raw, media_type=media_type, profile=profile, is_file=True, policy=policy)
    attester = keeper.attester(agent, held_by="agent")
    who = {"agent": agent} | ({"on_behalf_of": principal} if principal else {})
    draft = output_draft(
        raw,
        canonical.bytes,
        profile=canonical.profile,
        media_type=media_type,
        findings=canonical.findings,
        attributes=who,
        assurance="observed",
        commitment=SALTED if is_salted else PLAIN,
    )
    receipt_id = attester.random.token(16)
    # An unknown data subject: each file is an erasure unit of its own.
    entry = attester.attest(draft, unit=receipt_id, nonce=receipt_id)
    index = keeper.submit(entry).wait(TIMEOUT_SECONDS)
    keeper.wait_published(index, TIMEOUT_SECONDS)
    _, receipt = keeper.receipt_at(index)
    files = {
        ".receipt.json": receipt,
        ".sigstore.json": canonical_json(keeper.bundle_at(index)),
        ".pub.pem": public_pem(entry.spki),
    }
    is_changed = canonical.bytes != raw
    base = target.with_name(f"{target.stem}.canonical{target.suffix}") if is_changed else target
    if is_changed or not is_source:  # the receipt is for the bytes beside it, whatever stood there before
        write_output(base, canonical.bytes)
    if is_salted:
        opening = next(o.content for o in entry.openings if o.name == "canonical")
        files[".opening"] = opening
    for suffix, data in files.items():
        write_output(base.with_name(base.name + suffix), data)
    changes: dict[str, int] = {}
    for finding in canonical.findings:
        changes[finding.code] = changes.get(finding.code, 0) + finding.count
    made = {
        "file": str(target),
        "index": index,
        "receipt_id": receipt_id.hex(),
        "receipt": str(base) + ".receipt.json",
        "bundle": str(base) + ".sigstore.json",
        "profile": canonical.profile,
        "changes": changes,
    }
    return made | ({"canonical": str(base)} if is_changed else {})
