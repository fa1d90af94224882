"""``apostille keeper``: the keeper as a process of its own; and using one, or starting one, for ``serve`` and ``run``.

A keeper that ``serve`` or ``run`` starts is their child. It lives as long as the pipe between them: through it comes the one-time
token by which the parent is let in, and its end tells the child to stop, however the parent ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from apostille import wiring
from apostille.core import frames
from apostille.core.digest import sha256
from apostille.errors import ConfigurationError, StorageUnavailableError, UnavailableError
from apostille.faces.cli.collector import calm_collector
from apostille.faces.cli.terminal import Terminal, ignore_broken_pipes, plain
from apostille.faces.keeper_api import ListeningKeeper, become_keeper
from apostille.services.client import KeeperClient
from apostille.storage.folder import keeper_settings

TAKE_OVER_SECONDS = 20.0
_STOP_SECONDS = 30.0
_PAUSE_SECONDS = 0.05
_PROGRAM = "from apostille.faces.cli import main; main()"


def keeper(terminal: Terminal, *, is_take_over: bool, token_fd: int | None) -> int:
    """Keep a store until SIGINT, SIGTERM, or until the next keeper takes over."""
    stop = threading.Event()
    is_handed_over = threading.Event()

    def hand_over() -> None:
        is_handed_over.set()
        stop.set()

    # Before anything is opened: a signal that comes early ends it as cleanly as one that comes late.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    # A client that was killed must not end the keeper of all the others, nor while it closes.
    ignore_broken_pipes()
    tokens = [sha256(_read_token(token_fd))] if token_fd is not None else []
    if token_fd is not None:
        threading.Thread(target=_wait_for_end, args=(token_fd, stop), name="apostille-parent", daemon=True).start()
    kept = (
        _take_over(terminal, hand_over) if is_take_over else become_keeper(terminal.folder, tokens=tokens, on_hand_over=hand_over)
    )
    try:
        path = keeper_settings(terminal.folder).socket
        if terminal.as_json:
            sys.stdout.write(json.dumps({"ready": True, "origin": kept.origin, "socket": str(path), "pid": os.getpid()}) + "\n")
            sys.stdout.flush()
        calm_collector()
        terminal.say(f"keeping {plain(kept.origin)} at [bold]{plain(path)}[/]; stop with Ctrl-C")
        while not stop.wait(1.0):
            kept.check()
    finally:
        kept.close(is_hand_over=is_handed_over.is_set())
    terminal.say("handed over" if is_handed_over.is_set() else "stopped: head published")
    return 0


def _take_over(terminal: Terminal, hand_over: Callable[[], None]) -> ListeningKeeper:
    """Ask the keeper at work to let the store go, and become its keeper."""
    deadline = time.monotonic() + TAKE_OVER_SECONDS
    is_asked = False
    while True:
        try:
            return become_keeper(terminal.folder, on_hand_over=hand_over)
        except StorageUnavailableError:
            if time.monotonic() > deadline:
                raise
        if not is_asked:
            try:
                wiring.ask_hand_over(terminal.folder)
                is_asked = True
                continue
            except UnavailableError as error:
                if time.monotonic() > deadline - TAKE_OVER_SECONDS + 1:
                    raise StorageUnavailableError(f"the keeper at work does not hand over, stop it first: {error}") from error
        time.sleep(_PAUSE_SECONDS)


def _read_token(descriptor: int) -> bytes:
    token = b""
    try:
        while len(token) < frames.TOKEN_BYTES and (part := os.read(descriptor, frames.TOKEN_BYTES - len(token))):
            token += part
    except OSError as error:
        raise ConfigurationError(f"there is no descriptor {descriptor}: {error.strerror}") from error
    if len(token) != frames.TOKEN_BYTES:
        raise ConfigurationError(f"descriptor {descriptor} brings no token")
    return token


def _wait_for_end(descriptor: int, stop: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while os.read(descriptor, 1):
            pass
    stop.set()


@contextlib.contextmanager
def keeper_client(terminal: Terminal, *, holder: str = "gateway", held_by: str = "gateway") -> Iterator[KeeperClient]:
    """Yield a client of the keeper at work on the store; where there is none, of one that is started for as long as this lasts.

    From then on a peer that goes away (a client of a gateway, the upstream, the keeper) is an error, and never ends the process:
    also while it starts, while it closes, and afterwards, when threads of the gateway may still be at work.

    Raises:
        ApostilleError: What kept the keeper from starting, in its own class.
    """
    ignore_broken_pipes()
    folder = terminal.folder
    folder.origin()
    try:
        client = wiring.connect_keeper(folder, holder=holder, held_by=held_by)
    except UnavailableError:
        child = _Child(terminal)
    else:
        try:
            yield client
        finally:
            client.close()
        return
    try:
        client = child.connect(holder, held_by)
        try:
            yield client
        finally:
            client.close()
    finally:
        child.stop()


class _Child:
    """A keeper that was started by this process."""

    def __init__(self, terminal: Terminal) -> None:
        self._folder = terminal.folder
        reading, self._pipe = os.pipe()
        self._out, writing = os.pipe()
        self._token = secrets.token_bytes(frames.TOKEN_BYTES)
        os.write(self._pipe, self._token)  # while we hold the other end too: a child that dies early can't end us by SIGPIPE
        words = ["--json", "--quiet", "--store", str(terminal.folder.path), "keeper", "--token-fd", str(reading)]
        try:
            # -P: nothing is imported from the folder that we happen to be in. A session of its own: Ctrl-C is for us to pass on.
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-P", "-c", _PROGRAM, *words],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                pass_fds=[reading],
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._pipe)
            os.close(self._out)
            raise UnavailableError(f"the keeper can't be started: {error.strerror}") from error
        finally:
            os.close(reading)
            os.close(writing)

    def connect(self, holder: str, held_by: str) -> KeeperClient:
        """Wait until it listens, and become its client. There is no time limit: it may have a large store to check or upgrade."""
        said = b""
        while (value := _document(said)) is None:
            more = os.read(self._out, 65536)
            if not more:
                raise UnavailableError("the keeper did not start")
            said += more
        if value.get("ready") is not True:
            raise frames.error_of(str(value.get("code")), str(value.get("message")))
        return wiring.connect_keeper(self._folder, holder=holder, held_by=held_by, token=self._token)

    def stop(self) -> None:
        """Let it publish and end."""
        os.close(self._pipe)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise UnavailableError("the keeper did not stop, and was killed") from None
        finally:
            os.close(self._out)


def _document(said: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(said)  # noqa: TID251 - the document of our own child, laid out for people
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
