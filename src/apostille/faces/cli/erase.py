"""``apostille erase``: destroy content by a signed statement; and ``apostille keys certify-erasure``."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from apostille import wiring
from apostille.core.digest import sha256
from apostille.core.keys import StatementKey
from apostille.core.note import VerifierKey
from apostille.errors import ConfigurationError, NotFoundError, OutcomeUnknownError, UnavailableError, UntrustedError
from apostille.faces.cli.terminal import Terminal, plain
from apostille.ports import PendingEntry, Reader
from apostille.services import erasure
from apostille.services.attester import Attester, utc_ms, utc_text
from apostille.services.binding import bind
from apostille.services.client import KeeperClient
from apostille.services.genesis import certify_erasure
from apostille.services.guard import certificate_of
from apostille.services.keeper import Keeper

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?)?Z?")
_DESTROYED_SECONDS = 60
_LOOK_SECONDS = 0.1
_HONEST = (
    "Not reached: receipts and outputs that were given away, what was copied in the clear, and backups made before: there the "
    "content is scheduled for erasure until they are overwritten or end."
)


def erase(
    terminal: Terminal,
    *,
    run: str | None,
    index: int | None,
    names: list[str],
    method: str | None,
    reason: str,
    effective_at: str | None,
    key_file: Path | None,
    is_agreed: bool,
) -> int:
    """Show what will be erased, ask, sign, commit, publish, destroy."""
    if (run is None) == (index is None):
        raise NotFoundError("say what to erase: either --run RUN or --index N")
    if run is not None and (names or not _RUN_ID.fullmatch(run)):
        raise NotFoundError("--run takes a run id of 32 hex digits, and erases all of it; --opening goes with --index")
    if method not in {None, erasure.KEY, erasure.ROW}:
        raise NotFoundError("--method is key or row")
    how = method or (erasure.KEY if run is not None else erasure.ROW)
    now = utc_text(int(wiring.posix_seconds() * 1000))
    when = _time(effective_at) if effective_at is not None else now
    folder = terminal.folder
    folder.origin()
    key = wiring.statement_key(_key_path(folder, key_file))
    keeper = _keeper(folder)
    try:
        store, log = keeper.reader, _log_key(keeper)
        by_erasure_key = _attester(store, log, key.spki, wiring.attester(key))
        plan = (
            erasure.plan_run(store, bytes.fromhex(run), how)
            if run is not None
            else erasure.plan_leaf(store, index or 0, names, how)
        )
        known = erasure.erasures(store, log)
        targets = erasure.open_targets(plan, known, when)
        _show(terminal, plan, targets, when, now)
        if targets and not is_agreed and not _is_confirmed(terminal):
            terminal.say("nothing was erased")
            return 130
        entries = erasure.sign_erasure(by_erasure_key, plan, targets, reason=reason, effective_at=when)
        is_waiting = when > now
        if isinstance(keeper, Keeper):
            indexes, done = keeper.erase(entries)
        else:
            indexes, done = _erase_elsewhere(folder, keeper, key, plan, entries, is_waiting=is_waiting)
    finally:
        keeper.close()
    terminal.document(
        {
            "statements": indexes,
            "already_named": len(plan.targets) - len(targets),
            "leaves": [target.index for target in plan.targets],
            "method": how,
            "effective_at": when,
            "keys_destroyed": done.units,
            "openings_destroyed": done.openings,
            "state": "scheduled" if is_waiting else "erased",
        }
    )
    said = f"named by the statements at {', '.join(map(str, indexes))}" if indexes else "named by earlier statements already"
    state = f"scheduled for {when}" if is_waiting else "erased in this store"
    terminal.show(f"{state}: {len(plan.targets)} leaves, {said}")
    if not is_waiting:
        terminal.show(f"destroyed: {done.units} unit keys, {done.openings} openings")
    terminal.say(_HONEST)
    return 0


def _keeper(folder: wiring.StoreFolder) -> Keeper | KeeperClient:
    try:
        return wiring.connect_keeper(folder, holder="erase", held_by="agent")
    except UnavailableError:
        return wiring.open_keeper(folder)


def _log_key(keeper: Keeper | KeeperClient) -> VerifierKey:
    if isinstance(keeper, Keeper):
        return keeper.signer.vkeys[0]
    for log in wiring.load_policy().logs:
        if log.name == keeper.origin:
            return log
    raise UntrustedError("the log of this store is not in the trust file; add it with: apostille trust add")


def _erase_elsewhere(
    folder: wiring.StoreFolder,
    keeper: KeeperClient,
    key: StatementKey,
    plan: erasure.Plan,
    entries: Sequence[PendingEntry],
    *,
    is_waiting: bool,
) -> tuple[list[int], erasure.Completed]:
    """Hand the statements to the keeper at work, and look until what they name is gone."""
    units, openings = erasure.still_there(keeper.reader, wiring.open_vault(folder), plan)
    indexes = keeper.erase(key, entries)
    if is_waiting:
        return indexes, erasure.Completed()
    deadline = time.monotonic() + _DESTROYED_SECONDS
    while any(erasure.still_there(keeper.reader, wiring.open_vault(folder), plan)):
        if time.monotonic() > deadline:
            raise OutcomeUnknownError(
                "the statements are in the log, but the keeper has not destroyed what they name yet; "
                "it tries again at its next start: restart it, then look with: apostille verify"
            )
        time.sleep(_LOOK_SECONDS)
    return indexes, erasure.Completed(units, openings)


def _time(text: str) -> str:
    """Read a date, or a time, in UTC."""
    whole = text.removesuffix("Z")
    if "T" not in whole:
        whole += "T00:00:00"
    try:
        if not _TIME.fullmatch(text):
            raise ValueError
        return utc_text(utc_ms(whole + "+00:00"))
    except ValueError as error:
        raise NotFoundError("--effective-at takes a time in UTC, such as 2026-12-31 or 2026-12-31T23:59:59Z") from error


def _key_path(folder: wiring.StoreFolder, given: Path | None) -> Path:
    path = given or folder.key(wiring.ERASURE_KEY)
    if not path.exists():
        hint = (
            ""
            if given is not None
            else (
                "; give the one that you took offline with --erasure-key FILE, or, for a store that never had one, make it with: "
                "apostille keys certify-erasure --root-key FILE"
            )
        )
        raise ConfigurationError(f"there is no erasure key {path}{hint}")
    return path


def _attester(store: Reader, log: VerifierKey, spki: bytes, attester: Attester) -> Attester:
    if store.index_of_key(sha256(spki)) is None:
        raise ConfigurationError(
            "this erasure key is not certified in this store; certify it with: apostille keys certify-erasure --root-key FILE"
        )
    certificate = certificate_of(store, spki, store.head().size, log)
    if certificate.usage != "erasure":
        raise ConfigurationError(f"this is a {certificate.held_by or certificate.usage} key: only an erasure key may erase")
    begin, end = utc_ms(certificate.not_before), utc_ms(certificate.not_after)
    if attester.clock.now_ms() > end:
        raise ConfigurationError(f"the erasure key's certificate ended at {certificate.not_after}")
    return Attester(attester.key, attester.clock, attester.random, begin)


def _show(terminal: Terminal, plan: erasure.Plan, targets: tuple[erasure.Target, ...], when: str, now: str) -> None:
    what = "the unit key that opens" if plan.method == erasure.KEY else "the ciphertexts of"
    terminal.say(f"To be destroyed: {what} {len(plan.targets)} leaves (unit {plan.unit.hex()})")
    for target in plan.targets[:10]:
        terminal.say(f"  leaf {target.index}: {plain(', '.join(target.openings))}")
    if len(plan.targets) > 10:
        terminal.say(f"  and {len(plan.targets) - 10} more, the last is leaf {plan.targets[-1].index}")
    if len(targets) < len(plan.targets):
        terminal.say(f"{len(plan.targets) - len(targets)} of them are named by an erasure in the log already")
    terminal.say(f"Effective {'at ' + when if when > now else 'now'}. Statements and proofs stay. This can't be undone.")


def _is_confirmed(terminal: Terminal) -> bool:
    if not sys.stdin.isatty():
        raise NotFoundError("nobody is here to be asked: repeat it with --yes")
    sys.stderr.write("Erase it? Type yes: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() == "yes" and not terminal.as_json


def certify_erasure_key(terminal: Terminal, root_key: Path, erasure_key: Path | None) -> int:
    """Let the root certify an erasure key, for a store that has none, or a new one."""
    folder = terminal.folder
    folder.origin()
    root = wiring.statement_key(root_key)
    key = wiring.statement_key(erasure_key) if erasure_key is not None else wiring.make_erasure_key(folder)
    keeper = wiring.open_keeper(folder)
    try:
        store = keeper.reader
        founded, said = bind(store.record(0))
        if founded.spki != root.spki:
            raise UntrustedError(f"{root_key} is not the root key that founded this log")
        if store.index_of_key(sha256(key.spki)) is not None:
            raise NotFoundError("this key is certified in this store already")
        life = said.predicate["not_before"], said.predicate["not_after"]
        by_root = wiring.attester(root, not_before_ms=utc_ms(life[0]))
        begin = utc_text(max(by_root.clock.now_ms(), by_root.not_before_ms))
        index = keeper.submit(certify_erasure(by_root, founded.pae_digest, key.spki, begin, life[1])).wait()
    finally:
        keeper.close()
    terminal.document({"index": index, "key_id": key.key_id})
    terminal.show(f"certified the erasure key {plain(key.key_id)} at index {index}")
    terminal.say("Take root key and erasure key offline again: daily work needs neither.")
    return 0
