"""``apostille serve``: the gateway for many clients, until it is told to stop. The keeper is another process."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import threading
from dataclasses import replace

from apostille import wiring
from apostille.core.digest import sha256
from apostille.errors import ConfigurationError, UnavailableError
from apostille.faces.cli.collector import calm_collector
from apostille.faces.cli.keeper import keeper_client
from apostille.faces.cli.run import answer_cleaning, upstream_settings
from apostille.faces.cli.terminal import Terminal, plain
from apostille.faces.gateway.server import GatewayServer
from apostille.faces.gateway.sessions import ClientRuns
from apostille.storage import folder as storage_folder

_KEY_BYTES = 32


def add_client(terminal: Terminal, agent: str) -> int:
    """Make a client key for an agent; only its SHA-256 is kept, in ``apostille.toml``."""
    folder = terminal.folder
    folder.origin()
    key = "apo-" + secrets.token_urlsafe(_KEY_BYTES)
    storage_folder.add_client(folder, sha256(key.encode()).hex(), agent)
    terminal.document({"agent": agent, "key": key})
    terminal.show(key)
    terminal.say(f"This is the key of {plain(agent)}; it is shown once. Clients send it as: Authorization: Bearer KEY")
    return 0


def serve(terminal: Terminal, *, upstream: str | None, listen: str | None) -> int:
    """Serve until SIGINT or SIGTERM."""
    folder = terminal.folder
    settings = storage_folder.gateway_settings(folder)
    if not settings.clients:
        raise ConfigurationError("no client may use this gateway yet; make a key with: apostille serve --add-client AGENT")
    host, port = wiring.split_address(listen or settings.listen)
    api_key = wiring.environment_value(settings.upstream_key_env) or os.environ.get("OPENAI_API_KEY")
    with keeper_client(terminal) as keeper:
        server = GatewayServer(
            ClientRuns(
                settings.clients,
                lambda agent: keeper.open_run(agent=agent, held_by="gateway", isolation="none"),
                wiring.posix_seconds,
            ),
            # A client's key is for this gateway alone: it never goes on to the upstream.
            replace(upstream_settings(upstream or settings.upstream, api_key=api_key), passes_client_key=False),
            keeper,
            sock=_socket(host, port),
            cleaning=answer_cleaning(folder),
        )
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        calm_collector()
        server.start()
        terminal.say(f"serving {plain(keeper.origin)} on [bold]{server.url}/v1[/]; stop with Ctrl-C")
        while not stop.wait(1.0):
            server.check()
        server.stop()
    terminal.say("stopped: runs closed, head published")
    return 0


def _socket(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(128)  # at once: until then somebody else could bind the same port
    except OSError as error:
        bound.close()
        raise UnavailableError(f"{host}:{port} can't be used: {error.strerror}") from error
    return bound
