"""The folder of a store: where its files lie, and its settings in ``apostille.toml``.

apostille.toml   format and origin; optional clock_accepted_before, tables [gateway], [clients], [keeper], [links] and [text]
store.sqlite     the database               keys/   private keys, unit keys
keeper.sock      where the keeper listens
keeper.lock      held by the keeper         log/    published tiles and checkpoint
init.unfinished  only while ``init`` is at work, or was interrupted
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apostille.core.canon.options import parse_text_options
from apostille.core.canon.policy import Policy, parse_policy
from apostille.errors import ConfigurationError, NotFoundError
from apostille.storage import files

FORMAT = 1
_SETTINGS = {"format", "origin", "clock_accepted_before", "gateway", "clients", "keeper", "links", "text"}
# Settings of the gateway with a few values each; the first is the default.
_CHOICES = {"answers": ("text/plain", "text/markdown"), "profile": ("safe", "strict")}
DEFAULT_LISTEN = "127.0.0.1:8464"
MAX_SETTINGS_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class StoreFolder:
    """Where the files of a store lie."""

    path: Path

    @property
    def config(self) -> Path:
        """Format and origin."""
        return self.path / "apostille.toml"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / "store.sqlite"

    @property
    def lock(self) -> Path:
        """Held by the keeper."""
        return self.path / "keeper.lock"

    @property
    def unfinished(self) -> Path:
        """There from the first to the last step of ``init``: what lies beside it was never used."""
        return self.path / "init.unfinished"

    @property
    def socket(self) -> Path:
        """Where the keeper listens, unless the settings say otherwise."""
        return self.path / "keeper.sock"

    @property
    def clients(self) -> Path:
        """Locked by clients that are alive."""
        return self.path / "keeper.clients"

    @property
    def log(self) -> Path:
        """Published tiles."""
        return self.path / "log"

    def key(self, name: str) -> Path:
        """A private key."""
        return self.path / "keys" / name

    def settings(self) -> dict[str, Any]:
        """Read ``apostille.toml``.

        Raises:
            NotFoundError: There is no store here.
            ConfigurationError: The file is not ours.
        """
        data = files.read_file(self.config, limit=MAX_SETTINGS_BYTES) if os.path.isdir(self.path) else None  # noqa: PTH112
        if data is None:
            raise NotFoundError(f"there is no store in {self.path}; make one with: apostille init")
        try:
            value = tomllib.loads(data.decode())
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"{self.config.name} is not TOML: {str(error)[:200]!r}") from error
        if value.get("format") != FORMAT or not isinstance(value.get("origin"), str):
            raise ConfigurationError(f"{self.config.name} is not of format {FORMAT}, or names no origin")
        return value

    def origin(self) -> str:
        """Return the log's name; raises as ``settings`` does."""
        return str(self.settings()["origin"])


def clock_accepted_before(folder: StoreFolder) -> int:
    """Return below which index the times of statements are not held against this machine's clock; 0 in a new store.

    Raises:
        ConfigurationError: The setting is not a count of leaves.
    """
    found = folder.settings().get("clock_accepted_before", 0) if folder.config.exists() else 0
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise ConfigurationError(f"{folder.config.name}: clock_accepted_before is a count of leaves")
    return found


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The ``[gateway]`` and ``[clients]`` tables of ``apostille.toml``.

    Attributes:
        upstream: Base URL of the model API.
        listen: ``HOST:PORT``.
        upstream_key_env: Environment variable that holds the upstream's key; else ``OPENAI_API_KEY``, else none is sent.
        clients: Hex SHA-256 of a client's key to the agent that it stands for.
        answers: Media type of the texts of answers: ``text/plain`` or ``text/markdown``.
        profile: The canonicaliser's: ``safe`` or ``strict``.
    """

    upstream: str | None
    listen: str
    upstream_key_env: str | None
    clients: dict[str, str]
    answers: str
    profile: str


def gateway_settings(folder: StoreFolder) -> GatewaySettings:
    """Read the gateway's settings.

    Raises:
        ConfigurationError: A setting that is unknown, or of the wrong kind.
    """
    settings = folder.settings()
    gateway, clients = settings.get("gateway", {}), settings.get("clients", {})
    if not isinstance(gateway, dict) or not isinstance(clients, dict):
        raise ConfigurationError(f"{folder.config.name}: gateway and clients are tables")
    known = {"upstream", "listen", "upstream_key_env", *_CHOICES}
    unknown = (gateway.keys() - known) | (settings.keys() - _SETTINGS)
    if unknown or not all(isinstance(v, str) for v in (*gateway.values(), *clients.values())):
        shown = [name[:32] for name in sorted(unknown)[:4]]
        raise ConfigurationError(f"{folder.config.name}: unknown settings or not text: {shown}")
    chosen = {name: gateway.get(name, values[0]) for name, values in _CHOICES.items()}
    for name, value in chosen.items():
        if value not in _CHOICES[name]:
            raise ConfigurationError(f"{folder.config.name}: [gateway] {name} is {' or '.join(_CHOICES[name])}")
    return GatewaySettings(
        gateway.get("upstream"),
        gateway.get("listen", DEFAULT_LISTEN),
        gateway.get("upstream_key_env"),
        dict(clients),
        chosen["answers"],
        chosen["profile"],
    )


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    """The ``[keeper]`` table of ``apostille.toml``.

    Attributes:
        socket: Where the keeper listens; ``keeper.sock`` in the store's folder, else an absolute path.
        mode: Of the socket file: 0o600, or 0o660 for the group of its folder.
        allow_uids: Users beside the keeper's own whose agents it certifies keys for.
    """

    socket: Path
    mode: int = files.PRIVATE_FILE
    allow_uids: tuple[int, ...] = ()


def keeper_settings(folder: StoreFolder) -> KeeperSettings:
    """Read the keeper's settings.

    Raises:
        ConfigurationError: A setting that is unknown, or of the wrong kind.
    """
    table = folder.settings().get("keeper", {})
    name = folder.config.name
    if not isinstance(table, dict) or table.keys() - {"socket", "mode", "allow_uids"}:
        raise ConfigurationError(f"{name}: [keeper] holds socket, mode and allow_uids")
    path, mode, uids = table.get("socket", str(folder.socket)), table.get("mode", "0600"), table.get("allow_uids", [])
    if not isinstance(path, str) or "\0" in path or (path != str(folder.socket) and not path.startswith("/")):
        raise ConfigurationError(f"{name}: the keeper's socket is an absolute path")
    if not isinstance(mode, str) or mode not in {"0600", "0660"}:
        raise ConfigurationError(f'{name}: the mode of the keeper\'s socket is "0600" or "0660"')
    if not isinstance(uids, list) or not all(isinstance(uid, int) and not isinstance(uid, bool) and uid >= 0 for uid in uids):
        raise ConfigurationError(f"{name}: allow_uids is a list of numbers of users")
    return KeeperSettings(Path(path), int(mode, 8), tuple(uids))


def canon_policy(folder: StoreFolder) -> Policy:
    """Read ``[links]``, what links and images in Markdown may do, and ``[text]``, options of the text rules.

    Without a store or a table it is the default.

    Raises:
        ConfigurationError: A setting that is unknown, or of the wrong kind.
    """
    try:
        settings = folder.settings()
    except NotFoundError:
        settings = {}
    tables = {name: settings.get(name, {}) for name in ("links", "text")}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigurationError(f"{folder.config.name}: {name} is a table")
    try:
        name, options = "text", parse_text_options(tables["text"])
        name, policy = "links", parse_policy(tables["links"], options)
    except ConfigurationError as error:
        raise ConfigurationError(f"{folder.config.name}: [{name}]: {error}") from error
    return policy


def add_client(folder: StoreFolder, key_sha256: str, agent: str) -> None:
    """Let a client key stand for an agent."""
    settings = gateway_settings(folder)
    if not agent or not agent.isprintable() or any(c in agent for c in '"\\'):
        raise ConfigurationError("an agent's name has no quotes, backslashes or control characters")
    text = files.read_file(folder.config, limit=MAX_SETTINGS_BYTES) or b""
    if not settings.clients:
        text += b"\n[clients] # SHA-256 of a client's key = agent\n"
    text += f'"{key_sha256}" = "{agent}"\n'.encode()
    try:
        is_kept = tomllib.loads(text.decode()).get("clients", {}).get(key_sha256) == agent
    except ValueError:
        is_kept = False
    if not is_kept:
        line = f'"{key_sha256}" = "{agent}"'
        raise ConfigurationError(f"{folder.config.name} was edited by hand: put this line into its table [clients]: {line}")
    files.replace_file(folder.config, text)
