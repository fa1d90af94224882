"""From configuration to objects: the only place that knows concrete classes and where files lie.

STORE/apostille.toml   format and origin            STORE/keys/   private keys, unit keys
STORE/store.sqlite     the database                 STORE/log/    published tiles and checkpoint
STORE/keeper.lock      held by the keeper

known_logs             the trust file, in the user's configuration folder (``$XDG_CONFIG_HOME/apostille``)
heads/                 head memory, in the user's state folder (``$XDG_STATE_HOME/apostille``)
"""

from __future__ import annotations

import os
from pathlib import Path

from apostille.adapters.system import SystemClock, SystemRandom
from apostille.core import keys, note, strict
from apostille.core.digest import sha256
from apostille.core.policy import NO_QUORUM, Policy, parse_policy
from apostille.errors import ConfigurationError, ConflictError, NotFoundError, StorageUnavailableError
from apostille.services.genesis import genesis
from apostille.services.keeper import Keeper, KeeperParts
from apostille.services.publisher import LogSigner
from apostille.storage import files
from apostille.storage.folder import FORMAT
from apostille.storage.folder import StoreFolder as StoreFolder  # noqa: PLC0414 - handed on to those who call wiring
from apostille.storage.heads import FolderHeadMemory
from apostille.storage.lock import StoreLock
from apostille.storage.sqlite import SqliteStore
from apostille.storage.tiles import TileFolder
from apostille.storage.vault import FileVault

DEFAULT_ORIGIN_BASE = "apostille.invalid"
_SEED_BYTES = 32
_MAX_KEY_FILE = 16 * 1024
_MAX_KNOWN_LOGS = 2**20


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
    return FolderHeadMemory(Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "apostille" / "heads")


def load_policy(path: Path | None = None) -> Policy:
    """Read the trust file: ``path``, else this user's ``known_logs``. A missing ``known_logs`` trusts nothing.

    Raises:
        NotFoundError: ``path`` names no file.
        MalformedError: Not a trust file.
    """
    data = files.read_file(path or known_logs_path(), limit=_MAX_KNOWN_LOGS)
    if data is None:
        if path is not None:
            raise NotFoundError(f"there is no trust file {path}")
        return Policy((), {}, {}, NO_QUORUM)
    return parse_policy(data)


def init_store(folder: StoreFolder, *, origin_base: str = DEFAULT_ORIGIN_BASE) -> LogSigner:
    """Make a store: keys, genesis, the keeper's certificate, first checkpoint. Pins nothing.

    Raises:
        ConflictError: There is one already.
        ConfigurationError: ``origin_base`` can't name a log.
    """
    random = SystemRandom()
    root = keys.StatementKey.from_seed(random.token(keys.P256_SEED_BYTES))
    next_root = keys.StatementKey.from_seed(random.token(keys.P256_SEED_BYTES))
    keeper_key = keys.StatementKey.from_seed(random.token(keys.P256_SEED_BYTES))
    seeds = {"log.ed25519": random.token(_SEED_BYTES), "log.mldsa44": random.token(_SEED_BYTES)}
    origin = f"{origin_base}/{sha256(root.spki)[:16].hex()}"
    is_plain = origin.isprintable() and not any(mark in origin for mark in ("://", '"', "\\"))
    if not note.is_name(origin) or not is_plain:
        raise ConfigurationError(
            f"{origin_base!r} can't begin the name of a log: a host name and path without a scheme is needed"
        )
    if folder.config.exists() or folder.database.exists():
        raise ConflictError(f"there is a store in {folder.path} already")
    try:
        folder.key("").mkdir(parents=True, exist_ok=True, mode=files.PRIVATE_FOLDER)
        folder.path.chmod(files.PRIVATE_FOLDER)
    except OSError as error:
        raise StorageUnavailableError(f"{folder.path} can't be made: {error.strerror}") from error
    for name, key in (("root.pem", root), ("root-next.pem", next_root), ("keeper.pem", keeper_key)):
        files.replace_file(folder.key(name), key.to_pem())
    for name, seed in seeds.items():
        files.replace_file(folder.key(name), (strict.base64_text(seed) + "\n").encode())
    lock = StoreLock(folder.lock)
    try:
        store = SqliteStore.create(folder.database)
        try:
            genesis(_parts(folder, store, _signer(folder, origin), keeper_key), root, next_root)
        finally:
            store.close()
        # Last: a store without this file is not taken for one.
        files.replace_file(folder.config, f'# A store of apostille.\nformat = {FORMAT}\norigin = "{origin}"\n'.encode())
    finally:
        lock.release()
    return _signer(folder, origin)


def _signer(folder: StoreFolder, origin: str) -> LogSigner:
    return LogSigner(origin, keys.Ed25519Key(_seed(folder.key("log.ed25519"))), keys.MlDsa44Key(_seed(folder.key("log.mldsa44"))))


def _seed(path: Path) -> bytes:
    data = files.read_file(path, limit=_MAX_KEY_FILE)
    if data is None:
        raise ConfigurationError(f"the key file {path.name} is missing")
    return strict.base64_bytes(data.decode("ascii", "replace").removesuffix("\n"), size=_SEED_BYTES, spec=path.name)


def _keeper_key(folder: StoreFolder) -> keys.StatementKey:
    data = files.read_file(folder.key("keeper.pem"), limit=_MAX_KEY_FILE)
    if data is None:
        raise ConfigurationError("the key file keeper.pem is missing")
    return keys.StatementKey.from_pem(data)


def _parts(folder: StoreFolder, store: SqliteStore, signer: LogSigner, key: keys.StatementKey) -> KeeperParts:
    random = SystemRandom()
    return KeeperParts(store, open_vault(folder), signer, key, head_memory(), TileFolder(folder.log), SystemClock(), random)


class OwnedKeeper(Keeper):
    """A keeper that lets go of its store's lock when it is closed."""

    def __init__(self, parts: KeeperParts, lock: StoreLock, *, publish_interval_seconds: float = 1.0) -> None:
        self._lock_file = lock
        super().__init__(parts, publish_interval_seconds=publish_interval_seconds)

    def close(self) -> None:
        """Close the keeper, then release the store."""
        try:
            super().close()
        finally:
            self._lock_file.release()


def open_keeper(folder: StoreFolder, *, publish_interval_seconds: float = 1.0) -> OwnedKeeper:
    """Become the keeper of a store.

    Raises:
        NotFoundError: There is no store here.
        StorageUnavailableError: Another process owns it.
        RollbackError: The restore guard refuses.
    """
    origin = folder.origin()
    lock = StoreLock(folder.lock)
    store: SqliteStore | None = None
    try:
        store = SqliteStore(folder.database)
        parts = _parts(folder, store, _signer(folder, origin), _keeper_key(folder))
        return OwnedKeeper(parts, lock, publish_interval_seconds=publish_interval_seconds)
    except BaseException:
        if store is not None:
            store.close()
        lock.release()
        raise


def open_reader(folder: StoreFolder) -> SqliteStore:
    """Open a store for reading, beside its keeper."""
    folder.origin()
    return SqliteStore(folder.database, read_only=True)


def open_vault(folder: StoreFolder) -> FileVault:
    """Open the unit keys of a store."""
    return FileVault(folder.key("units"), SystemRandom().token)
