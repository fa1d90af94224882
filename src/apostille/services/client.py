"""A keeper that is another process, for those who use it: the same calls as ``services.keeper``, without its keys.

What this side says it signs with keys of its own, which live in memory, are certified by the keeper, and renewed in time. When
the connection is lost, what has no answer yet is sent again to the same keeper or its successor: nothing is lost or doubled.
After half a minute without a keeper it is given up: ``OutcomeUnknownError`` for what had been sent.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apostille.core import frames, keys, predicates, strict
from apostille.core.digest import sha256
from apostille.core.frames import Frame
from apostille.errors import ApostilleError, ConflictError, MalformedError, NotFoundError, OutcomeUnknownError, UnavailableError
from apostille.ports import Clock, PendingEntry, Random, Reader, SignedCheckpoint, UnsignedEntry
from apostille.services.attester import Attester, utc_ms
from apostille.services.conversation import PATIENCE_SECONDS, Conversation, Link, Question
from apostille.services.runs import Run
from apostille.services.sequencer import Ticket

READY_SECONDS = 5.0
PROBE_SECONDS = 2.0


@dataclass(slots=True)
class _Key:
    attester: Attester
    renew_at_ms: int
    ends_at_ms: int


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
        on_close: Called at the end.

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
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self.origin = origin
        self._connect = connect
        self._clock = clock
        self._random = random
        self._me = holder, held_by
        self._token = token
        self._open_reader = open_reader
        self._reader: Reader | None = None
        self._on_close = on_close
        self._lock = threading.Lock()
        self._keys: dict[tuple[str, str], _Key] = {}
        self._old_keys: list[_Key] = []
        self._shown: list[keys.StatementKey] = []
        self._asked_for: dict[tuple[str, str], keys.StatementKey] = {}
        self._enrolling = threading.Lock()
        self._newest: SignedCheckpoint | None = None
        self._isolation = "none"
        self._probe: Question | None = None
        self._probed_at = clock.monotonic()
        self._talk = Conversation(connect, self, clock, patience_seconds=patience_seconds)

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
            with self._lock:
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

    def submit(self, entry: PendingEntry | UnsignedEntry) -> Ticket:
        """Queue a statement; see ``Conversation.submit``.

        Raises:
            BackPressureError: Too much is under way.
            StorageUnavailableError: This client is closed, or an earlier statement of the run was given up.
            TooLargeError: No frame has room for it.
        """
        return self._talk.submit(entry)

    def erase(self, key: keys.StatementKey, entries: Sequence[PendingEntry]) -> list[int]:
        """Have erasure statements committed and published; the keeper then destroys what they name, when its time has come.

        Args:
            key: The erasure key that has signed them.
            entries: The statements.

        Returns:
            Their indexes.

        Raises:
            UntrustedError: The keeper does not take the key.
            OutcomeUnknownError: Not known to be published. What was committed, the keeper completes.
        """
        with self._lock:
            self._shown.append(key)
        self._talk.ask(lambda number, challenge: self._hello(key, number, challenge), self._talk.patience_seconds)
        indexes = [ticket.wait() for ticket in [self.submit(entry) for entry in entries]]
        if indexes:
            self.wait_published(indexes[-1], self._talk.patience_seconds)
        return indexes

    def ready(self) -> None:
        """Raise if nothing may be handed in now. It asks the keeper once a second, and waits for an answer the first time only.

        Raises:
            UnavailableError: The keeper is not there or not ready.
        """
        try:
            self._look()
        except UnavailableError:
            raise
        except ApostilleError as error:  # whatever keeps it from answering: nothing may be handed in
            raise UnavailableError(str(error)) from error

    def _look(self) -> None:
        now = self._clock.monotonic()
        probe = self._probe
        if probe is None:
            self._probe = self._talk.post(_ask_head) if self._keys else None
            self._ask_head(READY_SECONDS)
            return
        if not probe.done.is_set():
            if now - self._probed_at > PROBE_SECONDS:
                raise UnavailableError("the keeper does not answer")
            return
        if now - self._probed_at > PROBE_SECONDS / 2:
            self._probe, self._probed_at = self._talk.post(_ask_head), now
        if isinstance(probe.answer, ApostilleError):
            raise probe.answer

    def publish(self) -> SignedCheckpoint | None:
        """Have published what is committed, and return the newest checkpoint."""
        head = self._ask_head(self._talk.patience_seconds)
        return self.wait_published(head.committed - 1, self._talk.patience_seconds) if head.committed else None

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
        self.wait_published(index, self._talk.patience_seconds)
        _, data = self.receipt_at(index)
        bundle: dict[str, Any] = strict.canonical_json_value(data, spec="receipt")["bundle"]
        return bundle

    def close(self) -> None:
        """Wait for what is under way, then let the keeper go.

        Raises:
            OutcomeUnknownError: It was given up.
        """
        try:
            self._talk.close()
        finally:
            if self._reader is not None and hasattr(self._reader, "close"):
                self._reader.close()
            if self._on_close is not None:
                self._on_close()

    # -- questions

    def _enrol(self, holder: str, held_by: str, old: _Key | None) -> _Key:
        # A key whose certificate may be in the log already is asked for again: the one that it replaces has one successor only.
        key = self._asked_for.get((held_by, holder)) or keys.StatementKey.from_seed(self._random.token(keys.P256_SEED_BYTES))
        self._asked_for[held_by, holder] = key
        replaces = sha256(old.attester.key.spki) if old is not None and self._clock.now_ms() < old.ends_at_ms else None

        def enrol(number: int, challenge: bytes) -> Frame:
            proof = key.sign(frames.hello_message(self.origin, challenge))
            return frames.Enrol(number, key.spki, proof, holder, held_by, self._token, replaces)

        try:
            answer = self._talk.ask(enrol, self._talk.patience_seconds)
        except ConflictError:  # it was certified, and the answer was lost
            del self._asked_for[held_by, holder]  # the keeper takes it now, or never
            answer = self._talk.ask(lambda number, challenge: self._hello(key, number, challenge), self._talk.patience_seconds)
        if not isinstance(answer, frames.Welcome):
            raise MalformedError("not an answer to this question", spec=frames.SPEC)
        self._token = None
        self._asked_for.pop((held_by, holder), None)
        self._isolation = answer.isolation
        begin, end = utc_ms(answer.not_before), utc_ms(answer.not_after)
        return _Key(Attester(key, self._clock, self._random, begin), (begin + end) // 2, end)

    def _ask(self, build: Callable[[int, bytes], Frame], timeout_seconds: float | None) -> Frame:
        if not self._keys and not self._shown:
            self.attester(self._me[0], held_by=self._me[1])
        return self._talk.ask(build, timeout_seconds)

    def _ask_head(self, timeout_seconds: float) -> frames.HeadIs:
        return self._take_head(self._ask(_ask_head, timeout_seconds))

    def _take_head(self, answer: Frame) -> frames.HeadIs:
        if not isinstance(answer, frames.HeadIs):
            raise MalformedError("not an answer to this question", spec=frames.SPEC)
        if answer.size and (self._newest is None or answer.size > self._newest.size):
            self._newest = SignedCheckpoint(answer.size, answer.root_hash, answer.note)
        return answer

    def _receipt(self, build: Callable[[int, bytes], Frame]) -> tuple[str, bytes]:
        answer = self._ask(build, self._talk.patience_seconds)
        if not isinstance(answer, frames.ReceiptIs):
            raise MalformedError("not an answer to this question", spec=frames.SPEC)
        return answer.state, answer.data

    # -- what the conversation asks

    def hellos(self, challenge: bytes) -> list[frames.Hello]:
        """Return the proofs of the keys that are in use, for one connection."""
        now = self._clock.now_ms()
        with self._lock:
            self._old_keys = [key for key in self._old_keys if now < key.ends_at_ms]
            mine = [key.attester.key for key in (*self._keys.values(), *self._old_keys) if now < key.ends_at_ms]
            mine += self._shown
        return [self._hello(key, 0, challenge) for key in mine]

    def _hello(self, key: keys.StatementKey, number: int, challenge: bytes) -> frames.Hello:
        return frames.Hello(number, key.spki, key.sign(frames.hello_message(self.origin, challenge)))

    def welcome(self, answer: frames.Welcome) -> None:
        """Learn how the keeper sees this side."""
        self._isolation = answer.isolation

    def forget_keys(self) -> None:
        """Drop all keys: it may be them that no keeper takes."""
        with self._lock:
            self._keys.clear()


def _ask_head(number: int, _: bytes) -> Frame:
    return frames.AskHead(number)
