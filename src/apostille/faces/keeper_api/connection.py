"""One client's connection: a thread that reads and checks, and a thread that waits for commits and answers, in order."""

from __future__ import annotations

import contextlib
import logging
import queue
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from apostille.core import frames
from apostille.core.frames import Frame
from apostille.errors import ApostilleError, MalformedError, TooLargeError, UntrustedError
from apostille.services.admission import Admission, Outcome, Session
from apostille.services.keeper import Keeper
from apostille.services.leases import GRACE_SECONDS
from apostille.services.sequencer import Ticket

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.005
_PIECE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one keeper takes on.

    Attributes:
        connections: At once. One user has at most as many as are left free.
        unproven_seconds: How long a peer may take to show a key.
        frame_seconds: How long the rest of a frame may take once it has begun.
        entries, bytes, answers: Statements, bytes and answers that one connection may have under way.
        grace_seconds: How long a run waits for its client to come back.
        drain_seconds: How long answers under way may take at the end.
    """

    connections: int = 128
    unproven_seconds: float = 5.0
    frame_seconds: float = 30.0
    entries: int = 8192
    bytes: int = 64 * 2**20
    answers: int = 1024
    grace_seconds: float = GRACE_SECONDS
    drain_seconds: float = 10.0


class Server(Protocol):
    """What a connection needs of its server."""

    keeper: Keeper
    admission: Admission
    limits: Limits

    def hand_over(self) -> None:
        """Let the store go."""
        ...

    def wait_published(self, connection: Connection, asked: frames.Wait) -> None:
        """Answer when a leaf is published."""
        ...

    def gone(self, connection: Connection) -> None:
        """Forget a connection."""
        ...


class Connection:
    """One client, as the keeper sees it."""

    def __init__(self, server: Server, peer: socket.socket, session: Session) -> None:
        self.session = session
        self._server = server
        self._peer = peer
        self._poll = select.poll()
        self._poll.register(peer, select.POLLIN)
        self._challenge = secrets.token_bytes(frames.CHALLENGE_BYTES)
        self._answers: queue.SimpleQueue[Callable[[], Frame] | None] = queue.SimpleQueue()
        self._room = threading.Condition()
        self._entries = self._bytes = self._pending = 0
        self._is_gone = False
        self._last: Frame | None = None
        self._deadline: float | None = time.monotonic() + server.limits.unproven_seconds
        self._threads = [
            threading.Thread(target=work, name="apostille-keeper-client", daemon=True) for work in (self._read, self._write)
        ]

    def start(self) -> bool:
        """Begin to talk; tell whether there were threads to be had for it."""
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError as error:
            _log.warning("a connection could not be taken: %s", error)
            return False
        return True

    def abandon(self) -> None:
        """End what could not begin."""
        with contextlib.suppress(OSError):
            self._peer.shutdown(socket.SHUT_RDWR)
        if self._threads[0].ident is not None:
            self._threads[0].join()
        self._peer.close()
        self._server.gone(self)

    def finish(self, last: Frame) -> None:
        """Read no further, answer what is under way, say ``last``, and end."""
        self._last = last
        with contextlib.suppress(OSError):
            self._peer.shutdown(socket.SHUT_RD)
        with self._room:
            self._room.notify_all()

    def join(self, deadline: float) -> None:
        """Wait for the end until ``deadline``, then cut it."""
        begun = [thread for thread in self._threads if thread.ident is not None]
        for thread in begun:
            thread.join(max(0.0, deadline - time.monotonic()))
        with contextlib.suppress(OSError):
            self._peer.shutdown(socket.SHUT_RDWR)
        for thread in begun:
            thread.join()

    def answer(self, make: Callable[[], Frame]) -> None:
        """Have an answer made, and sent after all that were asked for before."""
        with self._room:
            self._pending += 1
        self._answers.put(make)

    # -- reading

    def _read(self) -> None:
        try:
            self._send(frames.Challenge(0, frames.VERSION, self._challenge))
            while self._wait_for_room() and (payload := self._receive()) is not None:
                self._take(payload)
        except (OSError, EOFError):
            pass
        except ApostilleError as error:  # not our language: there is nothing to go on with
            self._refuse(0, error)
        except Exception as error:  # noqa: BLE001 - the thread's end: a bug must not look like an answer
            _log.error("internal fault in a connection: %r", error)  # no trace: it may quote an output
            self._refuse(0, error)
        finally:
            self._answers.put(None)

    def _wait_for_room(self) -> bool:
        limits = self._server.limits
        with self._room:
            self._room.wait_for(
                lambda: (
                    self._is_gone
                    or self._last is not None
                    or (self._entries < limits.entries and self._bytes < limits.bytes and self._pending < limits.answers)
                )
            )
            return not self._is_gone and self._last is None

    def _receive(self) -> bytes | None:
        header = self._receive_exactly(frames.HEADER_BYTES, self._deadline)
        if header is None:
            return None
        limit = frames.MAX_FRAME_BYTES if self.session.is_proven else frames.MAX_UNPROVEN_BYTES
        length = frames.frame_length(header, limit=limit)
        deadline = self._deadline or time.monotonic() + self._server.limits.frame_seconds
        return self._receive_exactly(length, deadline, is_begun=True)

    def _receive_exactly(self, size: int, deadline: float | None, *, is_begun: bool = False) -> bytes | None:
        # It grows with what really comes: a large length alone costs no memory. No timeout on the socket: the other thread sends.
        data = bytearray()
        while len(data) < size:
            if deadline is not None and not self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise EOFError
            part = self._peer.recv(min(size - len(data), _PIECE_BYTES))
            if not part:
                if data or is_begun:
                    raise EOFError
                return None
            data += part
            if deadline is None:
                deadline = time.monotonic() + self._server.limits.frame_seconds
        return bytes(data)

    def _take(self, payload: bytes) -> None:
        asked = frames.parse_payload(payload)
        if not self.session.is_proven and not isinstance(asked, frames.Hello | frames.Enrol):
            raise UntrustedError("show a key first")
        try:
            self._handle(asked, len(payload))
        except ApostilleError as error:
            if not self.session.is_proven:
                raise
            self._refuse(asked.request, error)

    def _refuse(self, request: int, error: BaseException) -> None:
        # Who has shown no key is told nothing.
        if self.session.is_proven:
            words = frames.error_words(error)
            self.answer(lambda: frames.Failed(request, *words))

    def _handle(self, asked: Frame, size: int) -> None:
        server, admission, request = self._server, self._server.admission, asked.request
        if isinstance(asked, frames.Append):
            self._append(asked, size)
        elif isinstance(asked, frames.Hello):
            granted = admission.hello(self.session, asked.spki, asked.signature, self._challenge)
            self._welcome(request, granted.not_before, granted.not_after)
        elif isinstance(asked, frames.Enrol):
            granted = admission.enrol(self.session, asked, self._challenge)
            if granted.ticket is not None:
                admission.enrolled(self.session, asked.spki, granted.ticket)
            self._welcome(request, granted.not_before, granted.not_after)
        elif isinstance(asked, frames.HandOver):
            if not self.session.is_keeper:
                raise UntrustedError("only the next keeper takes the store over")
            self.answer(lambda: frames.HandOver(request))
            server.hand_over()
        elif self.session.is_keeper and not self.session.keys:
            raise UntrustedError("a keeper's key hands in nothing here")
        elif isinstance(asked, frames.Lease):
            seq, previous = admission.lease(self.session, asked.run)
            self.answer(lambda: frames.Leased(request, seq, previous))
        elif isinstance(asked, frames.Wait):
            self._wait(asked)
        elif isinstance(asked, frames.AskHead):
            server.keeper.ready()
            self.answer(lambda: head_frame(server.keeper, request))
        elif isinstance(asked, frames.AskReceipt):
            self._receipt(asked)
        else:
            raise MalformedError("a client does not say that", spec=frames.SPEC)

    def _welcome(self, request: int, begin: str, end: str) -> None:
        self._deadline = None
        isolation = self.session.isolation
        self.answer(lambda: frames.Welcome(request, begin, end, isolation))

    def _append(self, asked: frames.Append, size: int) -> None:
        count = len(asked.entries)
        with self._room:
            self._entries += count
            self._bytes += size
        outcomes = self._server.admission.append(self.session, asked.entries, wait=self._pause)

        def settle() -> Frame:
            made = _appended(asked.request, outcomes)
            with self._room:
                self._entries -= count
                self._bytes -= size
                self._room.notify_all()
            return made

        self.answer(settle)

    def _pause(self) -> None:
        if self._is_gone:
            raise EOFError
        time.sleep(_PAUSE_SECONDS)

    def _wait(self, asked: frames.Wait) -> None:
        if asked.level == frames.PUBLISHED:
            with self._room:
                self._pending += 1
            self._server.wait_published(self, asked)
        elif asked.level == frames.COMMITTED and asked.index < self._server.keeper.head.size:
            self.answer(lambda: head_frame(self._server.keeper, asked.request))
        else:
            raise MalformedError("nothing to wait for: no such level, or no such leaf", spec=frames.SPEC)

    def published(self, make: Callable[[], Frame]) -> None:
        """Answer a wait for publication that has ended."""
        with self._room:
            self._pending -= 1
        self.answer(make)

    def _receipt(self, asked: frames.AskReceipt) -> None:
        keeper, since = self._server.keeper, asked.since or None
        if asked.receipt_id is None:
            self._server.admission.check_own(self.session, asked.index)

        # Made when it is its turn: a thousand that nobody takes are not kept.
        def make() -> Frame:
            try:
                if asked.receipt_id is not None:
                    state, data = keeper.receipt(asked.receipt_id.hex(), since=since)
                else:
                    state, data = keeper.receipt_at(asked.index, since=since)
            except ApostilleError as error:
                return frames.Failed(asked.request, *frames.error_words(error))
            return frames.ReceiptIs(asked.request, state, data)

        self.answer(make)

    # -- writing

    def _write(self) -> None:
        try:
            while (make := self._answers.get()) is not None:
                frame = make()
                self._send(frame)
                with self._room:
                    self._pending -= 1
                    self._room.notify_all()
            if self._last is not None:
                self._send(self._last)
        except OSError:
            pass
        except Exception as error:  # noqa: BLE001 - the thread's end
            _log.error("internal fault in a connection: %r", error)
        finally:
            with self._room:
                self._is_gone = True
                self._room.notify_all()
            with contextlib.suppress(OSError):
                self._peer.shutdown(socket.SHUT_RDWR)
            self._threads[0].join()
            self._peer.close()
            self._server.gone(self)

    def _send(self, frame: Frame) -> None:
        try:
            data = frames.format_frame(frame)
        except TooLargeError as error:  # it ends nothing: who asked would only come back and ask again
            data = frames.format_frame(frames.Failed(frame.request, *frames.error_words(error)))
        self._peer.sendall(data, socket.MSG_NOSIGNAL)  # a peer that is gone must not end the keeper


def _appended(request: int, outcomes: list[Outcome]) -> Frame:
    indexes: list[int] = []
    refusals: list[frames.Refusal] = []
    for place, outcome in enumerate(outcomes):
        index = frames.REFUSED
        try:
            if isinstance(outcome, ApostilleError):
                raise outcome
            index = outcome.wait() if isinstance(outcome, Ticket) else outcome
        except ApostilleError as error:
            refusals.append(frames.Refusal(place, *frames.error_words(error)))
        indexes.append(index)
    return frames.Appended(request, tuple(indexes), tuple(refusals))


def head_frame(keeper: Keeper, request: int) -> Frame:
    """Say where a keeper's log is."""
    newest, committed = keeper.newest_checkpoint, keeper.head.size
    if newest is None:
        return frames.HeadIs(request, committed, 0, bytes(32), b"")
    return frames.HeadIs(request, committed, newest.size, newest.root_hash, newest.note)
