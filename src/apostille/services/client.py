"""A keeper that is another process, for those who use it: the same calls as ``services.keeper``, without its keys.

What this side says it signs with keys of its own, which live in memory, are certified by the keeper, and renewed in time. What
has no answer yet is kept; when the connection is lost it is sent again to the same keeper or to its successor, in order, and nothing
is lost or doubled. After half a minute without a keeper it is given up: ``OutcomeUnknownError`` for what had been sent.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from apostille.core import frames, keys, predicates, strict
from apostille.core.digest import sha256
from apostille.core.frames import Frame
from apostille.errors import (
    ApostilleError,
    ConfigurationError,
    ConflictError,
    MalformedError,
    NotFoundError,
    OutcomeUnknownError,
    StorageUnavailableError,
    UnavailableError,
    UnsupportedVersionError,
)
from apostille.ports import Clock, PendingEntry, Random, Reader, SignedCheckpoint
from apostille.services.attester import Attester, utc_ms
from apostille.services.runs import Run
from apostille.services.window import Batch, ClientTicket, Window

PATIENCE_SECONDS = 30.0
READY_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.02
_LAST_PAUSE_SECONDS = 0.5
_LEASE_SECONDS = 2.0
_DRAIN_SECONDS = 15.0
_LAST_OF_RUN = f'"predicateType":"{predicates.RUN_CLOSE}"'.encode()


class Link(Protocol):
    """One connection; ``adapters.keeper_client`` has it."""

    def send(self, frame: Frame) -> None:
        """Send a frame; ``UnavailableError``."""
        ...

    def receive(self) -> Frame:
        """Return the next frame; ``UnavailableError``, ``MalformedError``."""
        ...

    def be_patient(self) -> None:
        """Wait without a limit from now on."""
        ...

    def end(self) -> None:
        """Wake whoever sends or receives."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


@dataclass(slots=True)
class _Key:
    attester: Attester
    renew_at_ms: int
    ends_at_ms: int


class _Call:
    """A question, until it is answered. It is asked again on a new connection: asking twice does no harm."""

    __slots__ = ("answer", "build", "done")

    def __init__(self, build: Callable[[int, bytes], Frame]) -> None:
        self.build = build
        self.answer: Frame | ApostilleError | None = None
        self.done = threading.Event()

    def finish(self, answer: Frame | ApostilleError) -> None:
        self.answer = answer
        self.done.set()


class KeeperClient:
    """A client of a keeper. Thread-safe.

    Args:
        connect: Opens a connection.
        origin: The log's name.
        clock: This machine's clock.
        random: This machine's randomness.
        holder: Who this side is, where it has to show a key before anything is said.
        held_by: ``agent`` or ``gateway``.
        token: One-time token for the first key.
        open_reader: Opens the store for reading, where its file can be read.
        patience_seconds: How long to wait for a keeper before what is under way is given up.

    Raises:
        UnavailableError: No keeper answers.
    """

    def __init__(
        self,
        connect: Callable[[], Link],
        origin: str,
        clock: Clock,
        random: Random,
        *,
        holder: str = "program",
        held_by: str = "agent",
        token: bytes | None = None,
        open_reader: Callable[[], Reader] | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.origin = origin
        self._connect = connect
        self._clock = clock
        self._random = random
        self._me = holder, held_by
        self._token = token
        self._open_reader = open_reader
        self._reader: Reader | None = None
        self._patience = patience_seconds
        self._changed = threading.Condition()
        self._window = Window()
        self._calls: dict[int, _Call] = {}
        self._unsent_calls: list[int] = []
        self._next_request = 0
        self._runs: set[bytes] = set()
        self._broken: set[bytes] = set()
        self._keys: dict[tuple[str, str], _Key] = {}
        self._old_keys: list[_Key] = []
        self._enrolling = threading.Lock()
        self._newest: SignedCheckpoint | None = None
        self._isolation = "none"
        self._is_lost = False
        self._is_closing = False
        self._waiting_since = clock.monotonic()
        self._link: Link | None = self._reach()[0]
        self._link.close()  # somebody is there; the connection that counts is made when there is something to say
        self._link = None
        self._thread = threading.Thread(target=self._work, name="apostille-client", daemon=True)
        self._thread.start()

    # -- what users of a keeper call

    @property
    def newest_checkpoint(self) -> SignedCheckpoint | None:
        """The newest signed checkpoint, as the keeper says now."""
        with contextlib.suppress(UnavailableError, OutcomeUnknownError):
            self._ask_head(READY_SECONDS)
        return self._newest

    @property
    def reader(self) -> Reader:
        """The store, for reading.

        Raises:
            UnavailableError: Its file is not for this user to read.
        """
        if self._open_reader is None:
            raise UnavailableError("the store can't be read from here")
        if self._reader is None:
            self._reader = self._open_reader()
        return self._reader

    def attester(self, holder: str, *, held_by: str) -> Attester:
        """Return an attester whose key the keeper has certified for ``holder``, and renews in time.

        Raises:
            UntrustedError: The keeper certifies no key for this process.
            UnavailableError, OutcomeUnknownError: The keeper does not answer.
        """
        known = self._keys.get((held_by, holder))
        if known is not None and self._clock.now_ms() < known.renew_at_ms:
            return known.attester
        with self._enrolling:
            known = self._keys.get((held_by, holder))
            if known is not None and self._clock.now_ms() < known.renew_at_ms:
                return known.attester
            made = self._enrol(holder, held_by, known)
            with self._changed:
                if known is not None:
                    self._old_keys.append(known)
                self._keys[held_by, holder] = made
            return made.attester

    def open_run(
        self,
        *,
        agent: str,
        on_behalf_of: str | None = None,
        held_by: str = "agent",
        isolation: str = "none",
        opening: Mapping[str, Any] | None = None,
    ) -> Run:
        """Open a run. Its first statement is on its way when this returns."""
        holder = agent if held_by == "agent" else held_by
        self.attester(holder, held_by=held_by)
        newest = self.newest_checkpoint
        return Run(
            self,
            lambda: self.attester(holder, held_by=held_by),
            self._random,
            agent=agent,
            on_behalf_of=on_behalf_of,
            isolation=self._isolation if isolation == "none" else isolation,
            opening=opening,
            head=(newest.size, newest.root_hash) if newest else None,
        )

    def submit(self, entry: PendingEntry) -> ClientTicket:
        """Queue a signed statement.

        Raises:
            BackPressureError: Too much is under way.
            StorageUnavailableError: This client is closed, or an earlier statement of the run was given up.
            TooLargeError: No frame has room for it.
        """
        with self._changed:
            if self._is_closing:
                raise StorageUnavailableError("the connection to the keeper was closed")
            if entry.run in self._broken:
                raise StorageUnavailableError("an earlier statement of this run was given up: open a new run")
            if self._window.is_empty and not self._calls:
                self._waiting_since = self._clock.monotonic()
            ticket = self._window.add(entry)
            if entry.run is not None:
                if _LAST_OF_RUN in entry.statement:
                    self._runs.discard(entry.run)
                else:
                    self._runs.add(entry.run)
            self._changed.notify_all()
            return ticket

    def ready(self) -> None:
        """Raise if nothing may be handed in now.

        Raises:
            UnavailableError: The keeper is not there or not ready.
        """
        try:
            self._ask_head(READY_SECONDS)
        except OutcomeUnknownError as error:
            raise UnavailableError(str(error)) from error

    def publish(self) -> SignedCheckpoint | None:
        """Have published what is committed, and return the newest checkpoint."""
        head = self._ask_head(self._patience)
        return self.wait_published(head.committed - 1, self._patience) if head.committed else None

    def wait_published(self, index: int, timeout_seconds: float | None = None) -> SignedCheckpoint:
        """Wait for a checkpoint that covers a leaf.

        Raises:
            OutcomeUnknownError: There is none after ``timeout_seconds``.
        """
        newest = self._newest
        if newest is not None and index < newest.size:
            return newest
        answer = self._ask(lambda number, _: frames.Wait(number, index, frames.PUBLISHED), timeout_seconds)
        self._take_head(answer)
        if self._newest is None or index >= self._newest.size:
            raise OutcomeUnknownError("the keeper has published no checkpoint that covers it")
        return self._newest

    def receipt(self, receipt_id: str, *, since: int | None = None) -> tuple[str, bytes]:
        """Return state and receipt of an output; ``NotFoundError``."""
        try:
            wanted = strict.hex_bytes(receipt_id, predicates.ID_BYTES)
        except MalformedError as error:
            raise NotFoundError("not a receipt id") from error
        return self._receipt(lambda number, _: frames.AskReceipt(number, wanted, 0, since or 0))

    def receipt_at(self, index: int, *, since: int | None = None) -> tuple[str, bytes]:
        """Return state and receipt of a leaf."""
        return self._receipt(lambda number, _: frames.AskReceipt(number, None, index, since or 0))

    def bundle_at(self, index: int) -> dict[str, Any]:
        """Return the Sigstore bundle of a leaf, once it is published."""
        self.wait_published(index, self._patience)
        _, data = self.receipt_at(index)
        bundle: dict[str, Any] = strict.json_value(data, spec="receipt")["bundle"]
        return bundle

    def close(self) -> None:
        """Wait for what is under way, then let the keeper go.

        Raises:
            OutcomeUnknownError: It was given up.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._window.is_empty, self._patience + _LAST_PAUSE_SECONDS)
            is_done = self._window.is_empty
            self._is_closing = True
            self._changed.notify_all()
            if self._link is not None:
                self._link.end()
        self._thread.join()
        if self._reader is not None and hasattr(self._reader, "close"):
            self._reader.close()
        if not is_done:
            raise OutcomeUnknownError("the keeper has not answered for everything that was handed in")

    # -- questions

    def _enrol(self, holder: str, held_by: str, old: _Key | None) -> _Key:
        key = keys.StatementKey.from_seed(self._random.token(keys.P256_SEED_BYTES))
        replaces = sha256(old.attester.key.spki) if old is not None and self._clock.now_ms() < old.ends_at_ms else None

        def enrol(number: int, challenge: bytes) -> Frame:
            proof = key.sign(frames.hello_message(self.origin, challenge))
            return frames.Enrol(number, key.spki, proof, holder, held_by, self._token, replaces)

        def hello(number: int, challenge: bytes) -> Frame:
            return frames.Hello(number, key.spki, key.sign(frames.hello_message(self.origin, challenge)))

        try:
            answer = self._put(enrol, self._patience)
        except ConflictError:  # it was certified, and the answer was lost
            answer = self._put(hello, self._patience)
        if not isinstance(answer, frames.Welcome):
            raise MalformedError("not an answer to this question", spec=frames.SPEC)
        self._token = None
        self._isolation = answer.isolation
        begin, end = utc_ms(answer.not_before), utc_ms(answer.not_after)
        return _Key(Attester(key, self._clock, self._random, begin), (begin + end) // 2, end)

    def _ask(self, build: Callable[[int, bytes], Frame], timeout_seconds: float | None) -> Frame:
        if not self._keys:
            self.attester(self._me[0], held_by=self._me[1])
        return self._put(build, timeout_seconds)

    def _put(self, build: Callable[[int, bytes], Frame], timeout_seconds: float | None) -> Frame:
        call = _Call(build)
        with self._changed:
            if self._is_closing:
                raise StorageUnavailableError("the connection to the keeper was closed")
            if self._window.is_empty and not self._calls:
                self._waiting_since = self._clock.monotonic()
            number = self._number()
            self._calls[number] = call
            self._unsent_calls.append(number)
            self._changed.notify_all()
        if not call.done.wait(timeout_seconds):
            with self._changed:
                self._calls.pop(number, None)
            raise OutcomeUnknownError(f"the keeper has not answered after {timeout_seconds} s")
        if isinstance(call.answer, ApostilleError):
            raise call.answer
        if call.answer is None:
            raise OutcomeUnknownError("the keeper has not answered")
        return call.answer

    def _number(self) -> int:
        self._next_request = self._next_request % (2**32 - 1) + 1
        return self._next_request

    def _ask_head(self, timeout_seconds: float) -> frames.HeadIs:
        return self._take_head(self._ask(lambda number, _: frames.AskHead(number), timeout_seconds))

    def _take_head(self, answer: Frame) -> frames.HeadIs:
        if not isinstance(answer, frames.HeadIs):
            raise MalformedError("not an answer to this question", spec=frames.SPEC)
        if answer.size and (self._newest is None or answer.size > self._newest.size):
            self._newest = SignedCheckpoint(answer.size, answer.root_hash, answer.note)
        return answer

    def _receipt(self, build: Callable[[int, bytes], Frame]) -> tuple[str, bytes]:
        answer = self._ask(build, self._patience)
        if not isinstance(answer, frames.ReceiptIs):
            raise MalformedError("not an answer to this question", spec=frames.SPEC)
        return answer.state, answer.data

    # -- the connection

    def _reach(self) -> tuple[Link, bytes]:
        link = self._connect()
        try:
            first = link.receive()
            if not isinstance(first, frames.Challenge):
                raise MalformedError("it does not begin as a keeper does", spec=frames.SPEC)
            if first.version != frames.VERSION:
                raise UnsupportedVersionError(
                    f"the keeper speaks version {first.version}, this program {frames.VERSION}", version=str(first.version)
                )
        except ApostilleError:
            link.close()
            raise
        return link, first.challenge

    @property
    def _is_needed(self) -> bool:
        return not self._window.is_empty or bool(self._calls) or bool(self._runs)

    def _work(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing or self._is_needed)
                if self._is_closing:
                    break
            try:
                link, challenge = self._reach()
                try:
                    self._shake_hands(link, challenge)
                    link.be_patient()
                    pause = _FIRST_PAUSE_SECONDS
                    self._talk(link, challenge)
                finally:
                    link.close()
                with self._changed:
                    self._waiting_since = self._clock.monotonic()  # until now there was a keeper
            except ApostilleError as error:
                self._give_up_late(error)
                with self._changed:
                    self._changed.wait_for(lambda: self._is_closing, pause)
                pause = min(2 * pause, _LAST_PAUSE_SECONDS)
        self._give_up(StorageUnavailableError("the connection to the keeper was closed"))

    def _shake_hands(self, link: Link, challenge: bytes) -> None:
        """Show the keys that are in use, and take the open runs up again."""
        now = self._clock.now_ms()
        with self._changed:
            self._old_keys = [key for key in self._old_keys if now < key.ends_at_ms]
            known = [*self._keys.values(), *self._old_keys]
            runs = list(self._runs)
        message = frames.hello_message(self.origin, challenge)
        for key in known:
            if now < key.ends_at_ms:
                mine = key.attester.key
                link.send(frames.Hello(0, mine.spki, mine.sign(message)))
                answer = link.receive()
                if isinstance(answer, frames.Welcome):
                    self._isolation = answer.isolation
        for run in runs:
            self._lease(link, run)
        with self._changed:
            self._window.send_again()
            self._unsent_calls = list(self._calls)

    def _lease(self, link: Link, run: bytes) -> None:
        deadline = self._clock.monotonic() + _LEASE_SECONDS
        while True:
            link.send(frames.Lease(0, run))
            answer = link.receive()
            # Our own connection from before may not have ended for the keeper yet. What else is wrong, each statement will hear.
            is_taken = isinstance(answer, frames.Failed) and answer.code == ConflictError.code and "another" in answer.message
            if not is_taken or self._clock.monotonic() > deadline:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing, _FIRST_PAUSE_SECONDS)

    def _talk(self, link: Link, challenge: bytes) -> None:
        with self._changed:
            self._link, self._is_lost = link, False
        listener = threading.Thread(target=self._listen, args=(link,), name="apostille-client-answers", daemon=True)
        listener.start()
        with contextlib.suppress(UnavailableError):
            while (frame := self._next_frame(challenge)) is not None:
                link.send(frame)
        # A keeper that goes answers what it has taken before it closes.
        listener.join(_DRAIN_SECONDS if not self._is_closing else 0)
        link.end()
        listener.join()
        with self._changed:
            self._link = None

    def _next_frame(self, challenge: bytes) -> Frame | None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closing or self._is_lost or self._unsent_calls or self._window.has_waiting)
            if self._is_closing or self._is_lost:
                return None
            if self._unsent_calls:
                number = self._unsent_calls.pop(0)
                call = self._calls.get(number)
                if call is not None:
                    return call.build(number, challenge)
            number = self._number()
            if not self._window.has_waiting:
                return frames.AskHead(number)  # the question was given up; any frame will do
            batch = self._window.take(number)
        return frames.Append(number, tuple([_handed(entry) for entry in batch.entries]))

    def _listen(self, link: Link) -> None:
        try:
            while True:
                self._take(link.receive())
        except ApostilleError:
            pass  # whatever it is: the other thread begins anew
        finally:
            with self._changed:
                self._is_lost = True
                self._changed.notify_all()

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, frames.Appended):
            with self._changed:
                batch = self._window.answered(frame.request)
                self._changed.notify_all()
            if batch is not None:
                refused = {refusal.place: frames.error_of(refusal.code, refusal.message) for refusal in frame.refusals}
                batch.finish([refused.get(place, index) for place, index in enumerate(frame.indexes)])
            return
        with self._changed:
            call = self._calls.pop(frame.request, None)
        if call is not None:
            call.finish(frames.error_of(frame.code, frame.message) if isinstance(frame, frames.Failed) else frame)

    # -- giving up

    def _give_up_late(self, error: ApostilleError) -> None:
        with self._changed:
            is_late = self._clock.monotonic() - self._waiting_since > self._patience
        if is_late or isinstance(error, ConfigurationError | UnsupportedVersionError):
            self._give_up(error)

    def _give_up(self, error: ApostilleError) -> None:
        with self._changed:
            lost = self._window.give_up()
            calls, self._calls = list(self._calls.values()), {}
            self._unsent_calls = []
            for batch in lost:
                self._broken.update(entry.run for entry in batch.entries if entry.run is not None)
            self._runs -= self._broken
            self._keys.clear()  # should it be them that no keeper takes
            self._waiting_since = self._clock.monotonic()
            self._changed.notify_all()
        for batch in lost:
            batch.finish([_lost(batch, error)] * len(batch.entries))
        for call in calls:
            call.finish(UnavailableError(f"no keeper has answered for {self._patience:.0f} s: {error}"))


def _lost(batch: Batch, error: ApostilleError) -> ApostilleError:
    if batch.was_sent:
        return OutcomeUnknownError(f"the keeper was lost before it answered; the statement may be committed: {error}")
    return StorageUnavailableError(f"the keeper could not be reached; nothing was committed: {error}")


def _handed(entry: PendingEntry) -> frames.Handed:
    return frames.Handed(entry.statement, entry.signature, entry.unit, tuple([opening.content for opening in entry.openings]))
