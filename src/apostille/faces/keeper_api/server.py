"""The keeper's socket: clients in other processes hand in what they have signed, and never see a key or the store.

Each connection has two threads: one reads and checks, one waits for commits and answers, in order. So a peer that sends half a
frame, or reads no answers, holds up itself and nobody else; and what it may have under way is bounded: past that it is simply not
read any further, until its statements are durable and answered. The kernel says who the peer is (``SO_PEERCRED``).

Spec: ``gateway.md`` section 1; frames: ``core.frames``; limits: ``docs/manual/keeper.md``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from apostille.adapters.keeper_client import short_path
from apostille.core import frames
from apostille.core.frames import Frame
from apostille.errors import ApostilleError, StorageUnavailableError, UnavailableError
from apostille.faces.keeper_api.connection import Connection, Limits, head_frame
from apostille.services.admission import Admission, Session
from apostille.services.keeper import MAX_MERGE_DELAY_SECONDS, Keeper

_log = logging.getLogger(__name__)
_UCRED = struct.Struct("iII")
_PAUSE_SECONDS = 0.005
_TICK_SECONDS = 0.25
LISTENED_SECONDS = 1.0


class KeeperServer:
    """Serves a keeper on a Unix socket.

    Args:
        keeper: The keeper. It holds the store's lock, so a socket file that lies there is nobody's any more.
        admission: Its checks.
        path: The socket.
        mode: Of the socket file.
        allow_uids: Users beside the keeper's own whose agents may have keys certified.
        limits: Bounds.
        on_hand_over: Called once when the next keeper asks for the store; without it the store is not handed over.

    Raises:
        StorageUnavailableError: The socket can't be made.
    """

    def __init__(
        self,
        keeper: Keeper,
        admission: Admission,
        path: Path,
        *,
        mode: int = 0o600,
        allow_uids: Iterable[int] = (),
        limits: Limits | None = None,
        on_hand_over: Callable[[], None] | None = None,
    ) -> None:
        self.keeper = keeper
        self.admission = admission
        self.limits = limits or Limits()
        self.path = path
        self._allowed = frozenset(allow_uids)
        self._on_hand_over = on_hand_over
        self._lock = threading.Lock()
        self._connections: set[Connection] = set()
        self._is_closing = False
        self._end = threading.Event()
        self._waits = _Waits(self)
        self._began = time.monotonic()
        self._socket = _listen(path, mode)
        self._threads = [
            threading.Thread(target=work, name=f"apostille-keeper-{name}", daemon=True)
            for name, work in (("accept", self._accept), ("waits", self._waits.work), ("runs", self._watch_runs))
        ]
        for thread in self._threads:
            thread.start()

    def hand_over(self) -> None:
        """Let the store go, as the next keeper asks.

        Raises:
            UnavailableError: This keeper does not do that.
        """
        if self._on_hand_over is None:
            raise UnavailableError("the keeper is part of a program of its own: it lets the store go when that program closes it")
        self._on_hand_over()

    def wait_published(self, connection: Connection, asked: frames.Wait) -> None:
        """Answer when a leaf is published."""
        self._waits.add(connection, asked)

    def close(self, *, is_hand_over: bool = False) -> None:
        """Answer what is under way, say good-bye, and close the runs that nobody has gone on with. The keeper stays open."""
        with self._lock:
            self._is_closing = True
            self._end.set()
            connections = list(self._connections)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._socket.close()
        with contextlib.suppress(OSError):
            self.path.unlink()
        self._waits.close()
        if is_hand_over:
            last: Frame = frames.HandOver(0)
        else:
            last = frames.Failed(0, *frames.error_words(UnavailableError("the keeper has stopped")))
        for connection in connections:
            connection.finish(last)
        deadline = time.monotonic() + self.limits.drain_seconds
        for connection in connections:
            connection.join(deadline)
        for thread in self._threads:
            thread.join()
        # Runs that were lost before now are lost to the next keeper too; those of the clients just sent away are not.
        if time.monotonic() - self._began >= LISTENED_SECONDS:
            with contextlib.suppress(ApostilleError):  # the next keeper does it
                for ticket in self.admission.leases.close_lost(0.0):
                    ticket.wait()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                if self._is_closing:
                    return
                time.sleep(_PAUSE_SECONDS)  # no descriptors left for the moment
                continue
            _, uid, _ = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
            with self._lock:
                # A user has no more than are left free: half of all alone, a third each of two, and there is always one more
                # for a user who has none. A bound of its own for each would leave nothing to the third.
                of_uid = sum(1 for other in self._connections if other.session.uid == uid)
                if of_uid >= self.limits.connections - len(self._connections) or self._is_closing:
                    peer.close()
                    continue
                own = os.geteuid()
                session = Session(uid, may_enrol=uid == own or uid in self._allowed, is_own_uid=uid == own)
                connection = Connection(self, peer, session)
                self._connections.add(connection)
                is_begun = connection.start()
            if not is_begun:
                connection.abandon()

    def gone(self, connection: Connection) -> None:
        """Forget a connection."""
        with self._lock:
            self._connections.discard(connection)
            is_closing = self._is_closing
        self._waits.forget(connection)
        # At the end runs stay with clients that the next keeper will hear of.
        if not is_closing:
            self.admission.drop(connection.session)

    def _watch_runs(self) -> None:
        while not self._end.wait(_TICK_SECONDS):
            try:
                self.admission.leases.close_lost(self.limits.grace_seconds)
            except ApostilleError as error:
                _log.warning("a run could not be closed: %s", error.code)


def _listen(path: Path, mode: int) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Under a name of its own until its mode is right, then into place: nobody connects to a socket that is too open.
    waiting = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with short_path(waiting) as address:
            made.bind(address)
        waiting.chmod(mode)
        made.listen(128)
        waiting.replace(path)
    except OSError as error:
        made.close()
        with contextlib.suppress(OSError):
            waiting.unlink()
        raise StorageUnavailableError(f"the keeper's socket {path} can't be made: {error.strerror or error}") from error
    return made


class _Waits:
    """Clients that wait for a checkpoint: one thread waits for all of them."""

    def __init__(self, server: KeeperServer) -> None:
        self._server = server
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, Connection, frames.Wait]] = []
        self._is_closing = False

    def add(self, connection: Connection, asked: frames.Wait) -> None:
        """Answer ``connection`` when the leaf is covered, or after a minute that it is not."""
        with self._changed:
            self._waiting.append((time.monotonic() + MAX_MERGE_DELAY_SECONDS, connection, asked))
            self._changed.notify_all()

    def forget(self, connection: Connection) -> None:
        """Let go of what a connection that is gone has waited for."""
        with self._changed:
            self._waiting = [wait for wait in self._waiting if wait[1] is not connection]

    def close(self) -> None:
        """Stop."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()

    def work(self) -> None:
        """Wait, and answer."""
        keeper = self._server.keeper
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing or self._waiting)
                if self._is_closing:
                    return
                lowest = min(asked.index for _, _, asked in self._waiting)
            failure: ApostilleError | None = None
            try:
                keeper.wait_published(lowest, _TICK_SECONDS)
            except ApostilleError as error:
                failure = error
            newest, now = keeper.newest_checkpoint, time.monotonic()
            size = newest.size if newest is not None else 0
            with self._changed:
                done: list[tuple[float, Connection, frames.Wait]] = []
                rest: list[tuple[float, Connection, frames.Wait]] = []
                for wait in self._waiting:
                    (done if wait[2].index < size or wait[0] < now else rest).append(wait)
                self._waiting = rest
            for _, connection, asked in done:
                if asked.index < size:
                    make = _maker(head_frame, keeper, asked.request)
                else:
                    words = frames.error_words(failure or UnavailableError("not published in time"))
                    make = _maker(frames.Failed, asked.request, *words)
                connection.published(make)


def _maker(make: Callable[..., Frame], *args: object) -> Callable[[], Frame]:
    return lambda: make(*args)
