"""A client's conversation with a keeper: statements and questions go out, answers come in, over as many connections as it takes.

What has no answer yet is kept; when the connection is lost it is sent again to the same keeper or to its successor, in order.
A thread makes connections and sends; another one, for each connection, receives.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from apostille.core import frames, predicates
from apostille.core.frames import Frame
from apostille.errors import (
    ApostilleError,
    MalformedError,
    OutcomeUnknownError,
    StorageUnavailableError,
    UnavailableError,
    UnsupportedVersionError,
    UntrustedError,
)
from apostille.ports import Clock, PendingEntry, UnsignedEntry
from apostille.services.sequencer import Ticket
from apostille.services.window import SentBatch, Window

PATIENCE_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.02
_LAST_PAUSE_SECONDS = 0.5
_LEASE_SECONDS = 2.0
_DRAIN_SECONDS = 15.0
_SHUT_OUT = 3
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


class Client(Protocol):
    """Who talks."""

    def hellos(self, challenge: bytes) -> Iterable[frames.Hello]:
        """Return the proofs of the keys that are in use."""
        ...

    def welcome(self, answer: frames.Welcome) -> None:
        """Learn how the keeper sees this side."""
        ...

    def forget_keys(self) -> None:
        """Drop all keys: no keeper took them."""
        ...


class Question:
    """A question, until it is answered. It is asked again on a new connection: asking twice does no harm."""

    __slots__ = ("answer", "build", "done", "number", "was_sent")

    def __init__(self, build: Callable[[int, bytes], Frame]) -> None:
        self.build = build
        self.number = 0
        self.was_sent = False
        self.answer: Frame | ApostilleError | None = None
        self.done = threading.Event()

    def finish(self, answer: Frame | ApostilleError) -> None:
        """Tell who asked."""
        self.answer = answer
        self.done.set()


class Conversation:
    """Talks to whichever keeper is there. Thread-safe.

    Args:
        connect: Opens a connection.
        client: Whose conversation it is.
        clock: For patience.
        patience_seconds: How long to wait for a keeper before what is under way is given up.

    Raises:
        UnavailableError: No keeper answers.
    """

    def __init__(
        self, connect: Callable[[], Link], client: Client, clock: Clock, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._connect = connect
        self._client = client
        self._clock = clock
        self.patience_seconds = patience_seconds
        self._changed = threading.Condition()
        self._window = Window()
        self._calls: dict[int, Question] = {}
        self._unsent_calls: list[int] = []
        self._next_request = 0
        self._runs: set[bytes] = set()
        self._broken: set[bytes] = set()
        self._is_lost = False
        self._is_let_in = False
        self._shut_out = 0
        self._is_closing = False
        self._waiting_since = clock.monotonic()
        self._link: Link | None = None
        self._reach()[0].close()  # somebody is there; the connection that counts is made when there is something to say
        self._thread = threading.Thread(target=self._work, name="apostille-client", daemon=True)
        self._thread.start()

    def submit(self, entry: PendingEntry | UnsignedEntry) -> Ticket:
        """Queue a statement. One that is not signed yet is signed when it is sent.

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

    def post(self, build: Callable[[int, bytes], Frame]) -> Question:
        """Ask something and return at once.

        Args:
            build: Makes the frame from request number and challenge.

        Raises:
            StorageUnavailableError: This conversation is over.
        """
        question = Question(build)
        with self._changed:
            if self._is_closing:
                raise StorageUnavailableError("the connection to the keeper was closed")
            if self._window.is_empty and not self._calls:
                self._waiting_since = self._clock.monotonic()
            question.number = self._number()
            self._calls[question.number] = question
            self._unsent_calls.append(question.number)
            self._changed.notify_all()
        return question

    def ask(self, build: Callable[[int, bytes], Frame], timeout_seconds: float | None) -> Frame:
        """Ask something and return the answer.

        Args:
            build: Makes the frame from request number and challenge.
            timeout_seconds: How long to wait.

        Raises:
            UnavailableError: There is no keeper.
            OutcomeUnknownError: There is no answer in time.
            ApostilleError: What the keeper answers with.
        """
        question = self.post(build)
        if not question.done.wait(timeout_seconds):
            self.forget(question)
            if not question.was_sent:
                raise UnavailableError(f"no keeper has answered for {timeout_seconds} s")
            raise OutcomeUnknownError(f"the keeper has not answered after {timeout_seconds} s")
        if isinstance(question.answer, ApostilleError):
            raise question.answer
        if question.answer is None:
            raise OutcomeUnknownError("the keeper has not answered")
        return question.answer

    def forget(self, question: Question) -> None:
        """Wait no longer for an answer."""
        with self._changed:
            self._calls.pop(question.number, None)

    def close(self) -> None:
        """Wait for what is under way, then end.

        Raises:
            OutcomeUnknownError: It was given up.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._window.is_empty, self.patience_seconds + _LAST_PAUSE_SECONDS)
            is_done = self._window.is_empty
            self._is_closing = True
            self._changed.notify_all()
            if self._link is not None:
                self._link.end()
        self._thread.join()
        if not is_done:
            raise OutcomeUnknownError("the keeper has not answered for everything that was handed in")

    def _number(self) -> int:
        self._next_request = self._next_request % (2**32 - 1) + 1
        return self._next_request

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
                self._check_let_in()
            except ApostilleError as error:
                self._give_up_late(error)
                with self._changed:
                    self._changed.wait_for(lambda: self._is_closing, pause)
                pause = min(2 * pause, _LAST_PAUSE_SECONDS)
            except Exception as error:  # noqa: BLE001 - the thread's end: nobody may be left waiting
                with self._changed:
                    self._is_closing = True
                self._give_up(StorageUnavailableError(f"internal fault of the keeper's client: {type(error).__name__}"))
                return
        self._give_up(StorageUnavailableError("the connection to the keeper was closed"))

    def _shake_hands(self, link: Link, challenge: bytes) -> None:
        """Show the keys that are in use, and take the open runs up again."""
        with self._changed:
            runs = list(self._runs)
        self._is_let_in = False
        for hello in self._client.hellos(challenge):
            self._shut_out += not self._is_let_in
            link.send(hello)
            answer = link.receive()
            if isinstance(answer, frames.Welcome):
                self._let_in(answer)
        for run in runs:
            self._lease(link, run)
        with self._changed:
            self._window.send_again()
            self._unsent_calls = list(self._calls)

    def _let_in(self, answer: frames.Welcome) -> None:
        self._is_let_in, self._shut_out = True, 0
        self._client.welcome(answer)

    def _lease(self, link: Link, run: bytes) -> None:
        deadline = self._clock.monotonic() + _LEASE_SECONDS
        while True:
            link.send(frames.Lease(0, run))
            answer = link.receive()
            # Our own connection from before may not have ended for the keeper yet. What else is wrong, each statement will hear.
            is_taken = isinstance(answer, frames.Failed) and answer.code == UnavailableError.code
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
                    call.was_sent = True
                    self._shut_out += not self._is_let_in
                    return call.build(number, challenge)
            number = self._number()
            if not self._window.has_waiting:
                return frames.AskHead(number)  # the question was given up; any frame will do
            batch = self._window.take(number)
            entries = batch.entries
        # Signed here, a batch at a time, beside the speakers; what is sent again is signed already.
        return frames.Append(number, tuple([_handed(entry.signed()) for entry in entries]))

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
                batch.answer([refused.get(place, index) for place, index in enumerate(frame.indexes)])
            return
        if isinstance(frame, frames.Welcome):
            self._let_in(frame)
        with self._changed:
            call = self._calls.pop(frame.request, None)
        if call is not None:
            call.finish(frames.error_of(frame.code, frame.message) if isinstance(frame, frames.Failed) else frame)

    # -- giving up

    def _check_let_in(self) -> None:
        # A keeper says nothing to who has shown no key that it takes; it only closes. Once may be chance.
        if self._shut_out >= _SHUT_OUT:
            raise UntrustedError("the keeper does not let this process in: it certifies no key for this user, or not any more")

    def _give_up_late(self, error: ApostilleError) -> None:
        with self._changed:
            is_late = self._clock.monotonic() - self._waiting_since > self.patience_seconds
        if is_late or self._shut_out >= _SHUT_OUT or isinstance(error, UnsupportedVersionError):
            self._shut_out = 0
            self._give_up(error)

    def _give_up(self, error: ApostilleError) -> None:
        with self._changed:
            lost = self._window.give_up()
            calls, self._calls = list(self._calls.values()), {}
            self._unsent_calls = []
            for batch in lost:
                self._broken |= batch.runs
            self._broken |= self._runs  # their keys are forgotten, and no keeper waits for them as long
            self._runs.clear()
            self._waiting_since = self._clock.monotonic()
            self._changed.notify_all()
        self._client.forget_keys()
        for batch in lost:
            batch.answer([_lost(batch, error)] * batch.count)
        for call in calls:
            call.finish(
                error
                if isinstance(error, UntrustedError | UnsupportedVersionError)
                else UnavailableError(f"no keeper has answered for {self.patience_seconds:.0f} s: {error}")
            )


def _lost(batch: SentBatch, error: ApostilleError) -> ApostilleError:
    if batch.was_sent:
        return OutcomeUnknownError(f"the keeper was lost before it answered; the statement may be committed: {error}")
    return StorageUnavailableError(f"the keeper could not be reached; nothing was committed: {error}")


def _handed(entry: PendingEntry) -> frames.Handed:
    return frames.Handed(entry.statement, entry.signature, entry.unit, tuple([opening.content for opening in entry.openings]))
