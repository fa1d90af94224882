"""``apostille backup`` and ``apostille restore``: copies of a store that never fork its log."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apostille import wiring
from apostille.core import note, tiles
from apostille.core.checkpoint import Checkpoint, parse_checkpoint
from apostille.core.policy import Policy, open_checkpoint
from apostille.core.tree import TILE_WIDTH
from apostille.errors import ConflictError, DigestMismatchError, MalformedError, NotFoundError, RollbackError, UnavailableError
from apostille.faces.cli.terminal import Terminal, is_file, is_folder, plain
from apostille.faces.cli.verify import open_log
from apostille.ports import Record, SignedCheckpoint
from apostille.services.attester import utc_text
from apostille.services.claims import compare_head
from apostille.services.erasure import Completed, complete
from apostille.services.restore import Recovered, check_claim, public_record, recover
from apostille.storage import backup as copies
from apostille.storage import files
from apostille.storage.schema import SCHEMA
from apostille.storage.sqlite import SqliteStore
from apostille.storage.tiles import TileFolder

_ATTEMPTS = 3
_TAR = ".tar"
_MAX_STATEMENT = 2**20
_KEYS_WARNING = (
    "[bold red]This copy holds private keys.[/] Whoever gets it can sign as this log and with every key that lay in keys/; "
    "keep it as you keep the keys themselves."
)


def _now() -> str:
    return utc_text(int(wiring.posix_seconds() * 1000))


def backup(terminal: Terminal, out: Path, *, with_keys: bool) -> int:
    """Copy the store as it is at one moment, beside a keeper at work."""
    folder = terminal.folder
    folder.origin()
    if out.suffix == _TAR:
        with _scratch(out) as work:
            copies.pack(_fill(terminal, folder, work / "backup", with_keys=with_keys), out)
    else:
        with copies.new_folder(out) as work:
            _fill(terminal, folder, work, with_keys=with_keys)
    with copies.Backup(out) as made:
        manifest = made.manifest
    value = {
        "out": str(out),
        "origin": manifest.origin,
        "size": manifest.size,
        "root": manifest.root_hash.hex(),
        "has_keys": manifest.has_keys,
    }
    terminal.document(value)
    terminal.show(f"backed up {manifest.size} leaves of {plain(manifest.origin)} to {plain(out)}")
    terminal.say(
        _KEYS_WARNING if manifest.has_keys else "Private keys are not in it: keep keys/ elsewhere, a store can't go on without."
    )
    terminal.say(
        "It holds the unit keys, so it can open all content: keep it private, and let it end with what it should not keep."
    )
    return 0


@contextlib.contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """Give a private folder beside a file, on the same disk, for what goes into it."""
    work = out.absolute().with_name(f".{out.name}.work")
    files.make_folder(work.parent)
    try:
        shutil.rmtree(work, ignore_errors=True)  # of an attempt that was interrupted
        files.make_folder(work, mode=files.PRIVATE_FOLDER)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fill(terminal: Terminal, folder: wiring.StoreFolder, work: Path, *, with_keys: bool) -> Path:
    files.make_folder(work / "keys", mode=files.PRIVATE_FOLDER)
    reader = wiring.open_reader(folder)
    try:
        for _ in range(_ATTEMPTS):
            before = reader.erasures()
            (work / copies.DATABASE).unlink(missing_ok=True)
            with terminal.progress("copying") as progress:
                reader.copy_to(work / copies.DATABASE, progress)
            # After the database: every leaf in the copy has its unit's key. An erasure in between would look like a loss.
            _copy_small(folder.key("units"), work / copies.UNITS)
            if reader.erasures() == before:
                break
        else:
            raise UnavailableError("content is being erased right now: make the backup again afterwards", retry_after_seconds=5)
    finally:
        reader.close()
    _copy_small(folder.config, work / copies.CONFIG)
    for name in copies.PRIVATE if with_keys else ():
        if (folder.path / name).exists():  # those that were taken offline are not there
            _copy_small(folder.path / name, work / name)
    copy = SqliteStore(work / copies.DATABASE)
    head = copy.head()
    copy.close()
    manifest = copies.Manifest(folder.origin(), head.size, head.root_hash, str(SCHEMA), _now(), copies.list_files(work))
    files.replace_file(work / copies.MANIFEST, copies.format_manifest(manifest))
    return work


def _copy_small(source: Path, target: Path) -> None:
    data = files.read_file(source, limit=2**32)
    if data is None:
        raise NotFoundError(f"{source} is missing")
    files.replace_file(target, data)


@dataclass(slots=True)
class _Outcome:
    size: int
    recovered: Recovered | None
    erased: Completed | None
    refused: RollbackError | None


def restore(terminal: Terminal, source: Path, *, log: Path | None, entries_from: Path | None) -> int:
    """Put a backup in place, get missing leaves back, and say whether it may sign again."""
    folder = terminal.folder
    policy = wiring.load_policy()
    with copies.Backup(source) as given, copies.new_folder(folder.path) as work:
        manifest = given.manifest
        for name in manifest.files:
            given.copy(name, work / name)
        outcome = _judge(terminal, wiring.StoreFolder(work), manifest, policy, log, entries_from)
    _report(terminal, folder, source, manifest, outcome)
    if outcome.refused is not None:
        raise RollbackError(
            f"HALT_ROLLBACK: {outcome.refused}. The store in {folder.path} can be read and verified, and signs nothing. Get the "
            "missing leaves back by restoring into another folder with --entries-from DIR, where DIR is another copy of the "
            "store, or an export or the published tiles with the statements"
        )
    return 0


def _judge(
    terminal: Terminal,
    made: wiring.StoreFolder,
    manifest: copies.Manifest,
    policy: Policy,
    log: Path | None,
    entries_from: Path | None,
) -> _Outcome:
    origin = made.origin()
    pinned = [key for key in policy.logs if key.name == origin]
    store = SqliteStore(made.database)
    try:
        head = store.head()
        if (origin, head.size, head.root_hash) != (manifest.origin, manifest.size, manifest.root_hash):
            raise DigestMismatchError("the backup's files are not of the log and size that its manifest names")
        recovered = None
        vault = wiring.open_vault(made)
        if entries_from is not None:
            with _open_tail(entries_from, origin, policy) as tail:
                recovered = recover(store, tail, vault.adopt)
        refused = None
        try:
            _check_claims(store, origin, policy, log)
        except RollbackError as error:
            refused = error
        erased = complete(store, vault, pinned[0], _now()) if pinned else None
        if erased is None:
            terminal.say(
                f"The trust file names no log {plain(origin)}: what was erased is destroyed again at the keeper's start."
            )
        return _Outcome(store.head().size, recovered, erased, refused)
    finally:
        store.close()


def _check_claims(store: SqliteStore, origin: str, policy: Policy, log: Path | None) -> None:
    heads = wiring.head_memory()
    known = heads.recall(origin)
    shown = None
    if log is not None:
        text, read = open_log(log)
        shown = open_checkpoint(text, policy).checkpoint
        if shown.origin != origin:
            raise NotFoundError(f"{log} is the log {shown.origin}, the backup is of {origin}")
        if known is None or shown.size > known.size:
            if known is not None:
                compare_head(known, shown, read)
            heads.remember(shown)  # from now on this machine knows it, and no keeper goes on behind it
    for head, how in ((known, "remembered on this machine"), (shown, "published")):
        if head is not None:
            check_claim(store, head.size, head.root_hash, how)


def _report(terminal: Terminal, folder: wiring.StoreFolder, source: Path, manifest: copies.Manifest, outcome: _Outcome) -> None:
    recovered, erased = outcome.recovered, outcome.erased
    lost = recovered.without_openings if recovered is not None else []
    value: dict[str, Any] = {
        "store": str(folder.path),
        "origin": manifest.origin,
        "backup_size": manifest.size,
        "size": outcome.size,
        "recovered_leaves": recovered.leaves if recovered is not None else 0,
        "without_openings": lost,
        "keys_destroyed": erased.units if erased is not None else 0,
        "openings_destroyed": erased.openings if erased is not None else 0,
        "may_sign": outcome.refused is None and folder.key("keeper.pem").exists(),
    }
    if outcome.refused is None:
        terminal.document(value)
    terminal.show(f"restored {manifest.size} leaves of {plain(manifest.origin)} from {plain(source)} to {plain(folder.path)}")
    if recovered is not None:
        terminal.show(f"recovered {recovered.leaves} leaves that the backup lacked; the log now has {outcome.size}")
    if lost:
        terminal.say(
            f"[yellow]Without their openings:[/] {len(lost)} leaves from {lost[0]} on. Their content is lost here, and "
            "verification says so unless an erasure names them."
        )
    if erased is not None and (erased.units or erased.openings):
        terminal.show(f"erased again what was erased since the backup: {erased.units} unit keys, {erased.openings} openings")
    if not folder.key("keeper.pem").exists():
        terminal.say(
            f"Put the private keys back into {plain(folder.key(''))} before it can go on: keeper.pem, log.ed25519, log.mldsa44."
        )


class _StoreTail:
    """Another copy of the store, or a backup that is a folder."""

    def __init__(self, folder: wiring.StoreFolder, signed: SignedCheckpoint, reader: SqliteStore) -> None:
        self.signed = signed
        self._reader = reader
        self._vault = wiring.open_vault(folder)

    def records(self, start: int) -> Iterator[tuple[Record, bytes | None]]:
        """Yield leaves with their openings."""
        for _, record in self._reader.records(start):
            yield record, self._vault.key(record.unit)


class _PublicTail:
    """An export of the log: tiles, and every statement."""

    def __init__(self, log: TileFolder, statements: Path, signed: SignedCheckpoint) -> None:
        self.signed = signed
        self._log = log
        self._statements = statements

    def records(self, start: int) -> Iterator[tuple[Record, bytes | None]]:
        """Yield leaves without openings."""
        size = self.signed.size
        for number in range(start // TILE_WIDTH, -(-size // TILE_WIDTH)):
            first = number * TILE_WIDTH
            width = min(TILE_WIDTH, size - first)
            path = tiles.format_tile_path(tiles.Tile(None, number, width))
            data = files.read_file(self._log.folder / path, limit=TILE_WIDTH * (tiles.MAX_ENTRY_BYTES + 2))
            if data is None:
                raise MalformedError(f"the tile {path} is missing", spec="tlog-tiles")
            for index, entry in enumerate(tiles.parse_entry_bundle(data, width), first):
                if index >= start:
                    yield public_record(entry, self._statement(index)), None

    def _statement(self, index: int) -> bytes:
        found = sorted((self._statements / f"{index // 1000:06d}").glob(f"{index:09d}.*.json"))
        data = files.read_file(found[0], limit=_MAX_STATEMENT) if found else None
        if data is None:
            raise NotFoundError(f"{self._statements} has no statement of leaf {index}: an entry alone can't be restored")
        return data


@contextlib.contextmanager
def _open_tail(path: Path, origin: str, policy: Policy) -> Iterator[_StoreTail | _PublicTail]:
    folder = wiring.StoreFolder(path)
    if is_file(folder.config):
        if folder.origin() != origin:
            raise NotFoundError(f"{path} is a store of {folder.origin()}, the backup is of {origin}")
        reader = SqliteStore(folder.database, read_only=True)
        try:
            signed = reader.checkpoint()
            if signed is None:
                raise NotFoundError(f"{path} has signed no checkpoint")
            _verify_note(signed.note, origin, policy, (signed.size, signed.root_hash))
            yield _StoreTail(folder, signed, reader)
        finally:
            reader.close()
        return
    for log, statements in ((path / "log", path / "statements"), (path, path.absolute().parent / "statements")):
        published = TileFolder(log).checkpoint() if is_folder(log) else None
        if published is not None:
            shown = _verify_note(published, origin, policy, None)
            signed = SignedCheckpoint(shown.size, shown.root_hash, published)
            yield _PublicTail(TileFolder(log), statements, signed)
            return
    raise NotFoundError(f"{path} is neither a copy of a store nor an export of a log")


def _verify_note(text: bytes, origin: str, policy: Policy, wanted: tuple[int, bytes] | None) -> Checkpoint:
    if parse_checkpoint(note.parse_note(text).text).origin != origin:
        raise ConflictError(f"this is another log than {origin}")
    shown = open_checkpoint(text, policy).checkpoint
    if wanted is not None and (shown.size, shown.root_hash) != wanted:
        raise DigestMismatchError("the other copy's checkpoint is not the one that its note says")
    return shown
