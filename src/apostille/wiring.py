"""From configuration to objects: the only place that knows concrete classes and where files lie.

STORE/apostille.toml   format and origin            STORE/keys/   private keys, unit keys
STORE/store.sqlite     the database                 STORE/log/    published tiles and checkpoint
STORE/keeper.lock      held by the keeper           STORE/keeper.sock   where it listens

known_logs             the trust file, in the user's configuration folder (``$XDG_CONFIG_HOME/apostille``)
heads/                 head memory, in the user's state folder (``$XDG_STATE_HOME/apostille``)
audits/, evidence/     what the last audit has come to, and heads that contradict each other, beside it
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from apostille.adapters.keeper_client import Link
from apostille.adapters.system import SystemClock, SystemRandom
from apostille.core import frames, keys, note, strict
from apostille.core.digest import sha256
from apostille.core.policy import NO_QUORUM, Policy, parse_policy
from apostille.errors import ConfigurationError, ConflictError, NotFoundError, StorageUnavailableError, UnavailableError
from apostille.services.attester import Attester
from apostille.services.audit import MAX_STATE_BYTES
from apostille.services.client import KeeperClient
from apostille.services.conversation import PATIENCE_SECONDS
from apostille.services.genesis import genesis
from apostille.services.keeper import Keeper, KeeperParts
from apostille.services.publisher import LogSigner
from apostille.storage import files
from apostille.storage.audits import FolderAuditMemory
from apostille.storage.folder import FORMAT, clock_accepted_before, keeper_settings
from apostille.storage.folder import StoreFolder as StoreFolder  # noqa: PLC0414 - handed on to those who call wiring
from apostille.storage.heads import FolderHeadMemory
from apostille.storage.lock import ClientMark, StoreLock, is_anybody_there
from apostille.storage.sqlite import SqliteStore
from apostille.storage.tiles import TileFolder
from apostille.storage.vault import FileVault

DEFAULT_ORIGIN_BASE = "apostille.invalid"
ERASURE_KEY = "erasure.pem"
_KEY_FILES = ("root.pem", "root-next.pem", "keeper.pem", ERASURE_KEY, "log.ed25519", "log.mldsa44", "units")
_SEED_BYTES = 32
MAX_KEY_FILE_BYTES = 16 * 1024
MAX_KNOWN_LOGS_BYTES = 2**20
_K = TypeVar("_K", bound="OwnedKeeper")


def split_address(address: str) -> tuple[str, int]:
    """Split ``HOST:PORT``.

    Raises:
        ConfigurationError: Not an address.
    """
    host, _, port = address.rpartition(":")
    # The length comes first: int() refuses thousands of digits in a way of its own.
    if not host or not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65535:
        raise ConfigurationError(f"not HOST:PORT: {address[:64]!r}")
    return host.strip("[]"), int(port)


def environment_value(name: str | None) -> str | None:
    """Return an environment variable that the settings name.

    Raises:
        ConfigurationError: It is not set.
    """
    if name is None:
        return None
    if not os.environ.get(name):
        raise ConfigurationError(f"the environment variable {name} is not set")
    return os.environ[name]


def posix_seconds() -> float:
    """Return this machine's time in POSIX seconds."""
    return SystemClock().now_ms() / 1000


def store_folder(path: str | os.PathLike[str] | None = None) -> StoreFolder:
    """Return the store that is meant: ``path``, else ``$APOSTILLE_STORE``, else ``./.apostille``."""
    return StoreFolder(Path(path or os.environ.get("APOSTILLE_STORE") or ".apostille"))


def known_logs_path() -> Path:
    """Return the path of this user's trust file."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "apostille" / "known_logs"


def head_memory() -> FolderHeadMemory:
    """Return this user's head memory."""
    return FolderHeadMemory(_state_folder() / "heads")


def _state_folder() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "apostille"


def load_policy(path: Path | None = None) -> Policy:
    """Read the trust file: ``path``, else this user's ``known_logs``. A missing ``known_logs`` trusts nothing.

    Raises:
        NotFoundError: ``path`` names no file.
        MalformedError: Not a trust file.
    """
    data = files.read_file(path or known_logs_path(), limit=MAX_KNOWN_LOGS_BYTES)
    if data is None:
        if path is not None:
            raise NotFoundError(f"there is no trust file {path}")
        return Policy((), {}, {}, NO_QUORUM)
    return parse_policy(data)


def init_store(folder: StoreFolder, *, origin_base: str = DEFAULT_ORIGIN_BASE, is_finished: bool = True) -> LogSigner:
    """Make a store: keys, genesis, certificates of the keeper and of the erasure key. Pins nothing, publishes nothing.

    Args:
        folder: Where.
        origin_base: Beginning of the log's name.
        is_finished: The store may be used when this returns; else the caller ends with ``finish_init``.

    What happens if we crash: the file ``init.unfinished`` is there from before the first key until ``finish_init``. As long as
    there is no ``apostille.toml`` beside it, nobody has used what lies there, and it is made again from nothing; from then on the
    store stands, and what is missing is to pin and to publish it. A folder without that file is never touched.

    Raises:
        ConflictError: There is a store already.
        ConfigurationError: ``origin_base`` can't name a log.
        StorageUnavailableError: It can't be written, or another process is making it.
    """
    if not note.is_name(f"{origin_base}/x") or not _is_plain(origin_base):
        raise ConfigurationError(
            f"{origin_base!r} can't begin the name of a log: a host name and path without a scheme is needed"
        )
    if _is_taken(folder):
        raise ConflictError(f"there is a store in {folder.path} already")
    files.make_folder(folder.path, mode=files.PRIVATE_FOLDER)
    lock = StoreLock(folder.lock)
    try:
        if _is_taken(folder):  # somebody else was faster
            raise ConflictError(f"there is a store in {folder.path} already")
        signer = _signer(folder, folder.origin()) if folder.config.exists() else _make_store(folder, origin_base)
        if is_finished:
            finish_init(folder)
        return signer
    finally:
        lock.release()


def _is_taken(folder: StoreFolder) -> bool:
    made = (folder.config, folder.database, *(folder.key(name) for name in _KEY_FILES))
    return not folder.unfinished.exists() and any(path.exists() for path in made)


def _is_plain(text: str) -> bool:
    return text.isprintable() and not any(mark in text for mark in ("://", '"', "\\"))


def _make_store(folder: StoreFolder, origin_base: str) -> LogSigner:
    random = SystemRandom()
    root, next_root, keeper_key, erasure = (keys.StatementKey.from_seed(random.token(keys.P256_SEED_BYTES)) for _ in range(4))
    origin = f"{origin_base}/{sha256(root.spki)[:16].hex()}"
    files.replace_file(folder.unfinished, b"apostille init has not ended here; the same command completes it\n")
    database = folder.database
    try:
        for path in (database, *(database.with_name(database.name + end) for end in ("-wal", "-shm")), folder.key("units")):
            path.unlink(missing_ok=True)  # of an attempt that was interrupted: nothing was ever signed for anybody with these
        folder.key("").mkdir(exist_ok=True, mode=files.PRIVATE_FOLDER)
        files.sync_folder(folder.path.absolute().parent)
        for half in (*folder.path.glob(".*.tmp"), *folder.key("").glob(".*.tmp")):
            half.unlink()
        for private in (folder.path, folder.key("")):
            private.chmod(files.PRIVATE_FOLDER)
    except OSError as error:
        raise StorageUnavailableError(f"{folder.path} can't be made: {error.strerror}") from error
    for name, key in (("root.pem", root), ("root-next.pem", next_root), ("keeper.pem", keeper_key), (ERASURE_KEY, erasure)):
        files.replace_file(folder.key(name), key.to_pem())
    for name in ("log.ed25519", "log.mldsa44"):
        files.replace_file(folder.key(name), (strict.base64_text(random.token(_SEED_BYTES)) + "\n").encode())
    store = SqliteStore.create(database)
    try:
        genesis(_parts(folder, store, _signer(folder, origin), keeper_key), root, next_root, erasure)
    finally:
        store.close()
    # Last: a store without this file is not taken for one.
    files.replace_file(folder.config, f'# A store of apostille.\nformat = {FORMAT}\norigin = "{origin}"\n'.encode())
    return _signer(folder, origin)


def finish_init(folder: StoreFolder) -> None:
    """Say that a new store is pinned and published.

    Raises:
        StorageUnavailableError: It can't be said.
    """
    try:
        folder.unfinished.unlink(missing_ok=True)
        files.sync_folder(folder.path)
    except OSError as error:
        raise StorageUnavailableError(f"{folder.unfinished.name} can't be removed: {error.strerror}") from error


def statement_key(path: Path) -> keys.StatementKey:
    """Read a private P-256 key.

    Raises:
        ConfigurationError: There is none, or it is another kind of key.
    """
    data = files.read_file(path, limit=MAX_KEY_FILE_BYTES)
    if data is None:
        raise ConfigurationError(f"there is no key file {path}")
    return keys.StatementKey.from_pem(data)


def make_erasure_key(folder: StoreFolder) -> keys.StatementKey:
    """Make an erasure key for a store that has none; an existing file is taken."""
    path = folder.key(ERASURE_KEY)
    if not path.exists():
        files.replace_file(path, keys.StatementKey.from_seed(SystemRandom().token(keys.P256_SEED_BYTES)).to_pem())
    return statement_key(path)


def attester(key: keys.StatementKey, *, not_before_ms: int = 0) -> Attester:
    """Return an attester with a key, this machine's clock and its randomness."""
    return Attester(key, SystemClock(), SystemRandom(), not_before_ms)


def _signer(folder: StoreFolder, origin: str) -> LogSigner:
    return LogSigner(origin, keys.Ed25519Key(_seed(folder.key("log.ed25519"))), keys.MlDsa44Key(_seed(folder.key("log.mldsa44"))))


def _seed(path: Path) -> bytes:
    data = files.read_file(path, limit=MAX_KEY_FILE_BYTES)
    if data is None:
        raise ConfigurationError(f"the key file {path.name} is missing")
    return strict.base64_bytes(data.decode("ascii", "replace").removesuffix("\n"), size=_SEED_BYTES, spec=path.name)


def _keeper_key(folder: StoreFolder) -> keys.StatementKey:
    return statement_key(folder.key("keeper.pem"))


def _parts(folder: StoreFolder, store: SqliteStore, signer: LogSigner, key: keys.StatementKey) -> KeeperParts:
    random = SystemRandom()
    sink = TileFolder(folder.log)
    accepted = clock_accepted_before(folder)
    return KeeperParts(store, open_vault(folder), signer, key, head_memory(), sink, SystemClock(), random, accepted)


class OwnedKeeper(Keeper):
    """A keeper that lets go of its store's lock when it is closed."""

    def __init__(
        self, parts: KeeperParts, lock: StoreLock, *, publish_interval_seconds: float = 1.0, has_clients: bool = False
    ) -> None:
        self._lock_file = lock
        super().__init__(parts, publish_interval_seconds=publish_interval_seconds, has_clients=has_clients)

    def close(self) -> None:
        """Close the keeper, then release the store."""
        try:
            super().close()
        finally:
            self._lock_file.release()


def open_keeper(
    folder: StoreFolder, *, publish_interval_seconds: float = 1.0, is_new: bool = False, has_clients: bool = False
) -> OwnedKeeper:
    """Become the keeper of a store.

    Args:
        folder: The store.
        publish_interval_seconds: Shortest time between two publications that nobody asked for.
        is_new: ``init`` is at work here.
        has_clients: Other processes will write through it.

    Raises:
        ConfigurationError: ``init`` was interrupted here.
        NotFoundError: There is no store here.
        StorageUnavailableError: Another process owns it.
        RollbackError: The restore guard refuses.
    """
    return open_keeper_as(
        OwnedKeeper, folder, publish_interval_seconds=publish_interval_seconds, is_new=is_new, has_clients=has_clients
    )


def open_keeper_as(
    kind: type[_K], folder: StoreFolder, *, publish_interval_seconds: float = 1.0, is_new: bool = False, has_clients: bool = False
) -> _K:
    """Become the keeper of a store, of a kind of one's own; see ``open_keeper``."""
    origin = folder.origin()
    if folder.unfinished.exists() and not is_new:
        raise ConfigurationError(f"apostille init was interrupted in {folder.path}; complete it with: apostille init")
    lock = StoreLock(folder.lock)
    store: SqliteStore | None = None
    try:
        store = SqliteStore(folder.database)
        parts = _parts(folder, store, _signer(folder, origin), _keeper_key(folder))
        # Where no client is alive, runs that are open have nobody who could go on with them.
        may_return = has_clients and (bool(keeper_settings(folder).allow_uids) or is_anybody_there(folder.clients))
        return kind(parts, lock, publish_interval_seconds=publish_interval_seconds, has_clients=may_return)
    except BaseException:
        if store is not None:
            store.close()
        lock.release()
        raise


def connect_keeper(
    folder: StoreFolder, *, holder: str, held_by: str, token: bytes | None = None, patience_seconds: float = PATIENCE_SECONDS
) -> KeeperClient:
    """Become a client of the keeper that is at work on a store.

    Args:
        folder: The store.
        holder: Who this process is, to the keeper.
        held_by: ``agent`` or ``gateway``.
        token: One-time token that lets this process in.
        patience_seconds: How long to wait for a keeper before what is under way is given up.

    Raises:
        NotFoundError: There is no store here.
        UnavailableError: No keeper answers.
    """
    path, marks = keeper_settings(folder).socket, contextlib.ExitStack()
    client = connect_socket(
        path,
        folder.origin(),
        holder=holder,
        held_by=held_by,
        token=token,
        open_reader=lambda: open_reader(folder),
        patience_seconds=patience_seconds,
        on_close=marks.close,
    )
    # Only now: who has found no keeper leaves nothing in the folder.
    marks.callback(ClientMark(folder.clients).release)
    return client


def connect_socket(
    path: Path,
    origin: str,
    *,
    holder: str,
    held_by: str,
    token: bytes | None = None,
    open_reader: Callable[[], SqliteStore] | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    on_close: Callable[[], None] | None = None,
) -> KeeperClient:
    """Become a client of the keeper that listens at ``path``; see ``connect_keeper``."""
    return KeeperClient(
        lambda: Link(path),
        origin,
        SystemClock(),
        SystemRandom(),
        holder=holder,
        held_by=held_by,
        token=token,
        open_reader=open_reader,
        patience_seconds=patience_seconds,
        on_close=on_close,
    )


def ask_hand_over(folder: StoreFolder) -> None:
    """Ask the keeper at work on a store to let it go, with the keeper's own key as the proof that one may.

    Raises:
        UnavailableError: No keeper answers, or it does not hand over.
    """
    link = Link(keeper_settings(folder).socket)
    try:
        first = link.receive()
        if not isinstance(first, frames.Challenge):
            raise UnavailableError("it does not answer as a keeper does")
        key = _keeper_key(folder)
        proof = key.sign(frames.hello_message(folder.origin(), first.challenge))
        for frame in (frames.Hello(1, key.spki, proof), frames.HandOver(2)):
            link.send(frame)
            answer = link.receive()
            if isinstance(answer, frames.Failed):
                raise frames.error_of(answer.code, answer.message)
    finally:
        link.close()


def open_reader(folder: StoreFolder, *, is_snapshot: bool = False) -> SqliteStore:
    """Open a store for reading, beside its keeper; a snapshot stays as it is now."""
    folder.origin()
    return SqliteStore(folder.database, read_only=True, is_snapshot=is_snapshot)


def open_vault(folder: StoreFolder, *, is_snapshot: bool = False) -> FileVault:
    """Open the unit keys of a store; a snapshot does not forget those that a keeper destroys meanwhile."""
    return FileVault(folder.key("units"), SystemRandom().token, is_snapshot=is_snapshot)


def audit_memory() -> FolderAuditMemory:
    """Return what this user's audits remember."""
    return FolderAuditMemory(_state_folder(), MAX_STATE_BYTES)
