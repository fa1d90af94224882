"""The keeper: the one owner of a store.

It alone has the log key and the database. It certifies the statement keys of this process's capturing sides, orders and commits
what they sign, publishes heads, and hands out receipts. A statement key lives in memory only and for a day at most.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apostille.core import keys, predicates, statement
from apostille.core.digest import sha256
from apostille.core.signatures import key_id
from apostille.core.tree import Head
from apostille.errors import (
    ApostilleError,
    ConfigurationError,
    MalformedError,
    NotFoundError,
    RollbackError,
    UnavailableError,
    VerificationError,
)
from apostille.ports import (
    Clock,
    HeadMemory,
    PendingEntry,
    Random,
    Record,
    SignedCheckpoint,
    Store,
    TileSink,
    UnsignedEntry,
    Vault,
)
from apostille.services import publisher as pub
from apostille.services.attester import Attester, Draft, utc_ms, utc_text
from apostille.services.binding import bind
from apostille.services.erasure import Completed, complete
from apostille.services.guard import check_clock, guard
from apostille.services.receipts import build_bundle, build_pending, build_receipt
from apostille.services.recovery import close_runs, crash_close
from apostille.services.runs import Run
from apostille.services.sequencer import Sequencer, Ticket
from apostille.services.vault import KEYS_UNIT, Sealer, read_attributes

STATEMENT_KEY_LIFE_MS = 24 * 3600 * 1000
MAX_MERGE_DELAY_SECONDS = 60
_ERASURE_POLL_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class KeeperParts:
    """What a keeper is made of; ``wiring`` brings it together."""

    store: Store
    vault: Vault
    signer: pub.LogSigner
    key: keys.StatementKey
    heads: HeadMemory
    sink: TileSink
    clock: Clock
    random: Random
    clock_accepted_before: int = 0


class Keeper:
    """Owns a store from construction to ``close``.

    Args:
        parts: What it is made of.
        publish_interval_seconds: Shortest time between two publications that nobody asked for.
        has_clients: Whether other processes write through it: open runs may be theirs, and are not closed at the start.

    Raises:
        RollbackError: The restore guard found the store behind, or inconsistent with, a head that was signed or remembered.
        ConfigurationError: The keeper's key is not certified in this store, or the unit keys are another store's.
        UnavailableError: The clock is more than a minute behind the newest statement.
    """

    def __init__(self, parts: KeeperParts, *, publish_interval_seconds: float = 1.0, has_clients: bool = False) -> None:
        self._parts = parts
        self._store = parts.store
        self._check_own_keys()
        guard(parts.store, parts.heads, parts.sink, parts.signer.vkeys[0])
        check_clock(parts.store, parts.clock.now_ms(), accepted_before=parts.clock_accepted_before)
        self._erasing = threading.Lock()
        self._erasure_timer: threading.Timer | None = None
        self._is_closed = False
        try:
            self.complete_erasures()  # what a crash, or a time that had not come, has left to do
        except (MalformedError, VerificationError) as error:
            raise RollbackError(f"the store was altered or is damaged: {error}") from error
        self._attesters: dict[tuple[str, str], tuple[Attester, int]] = {}
        self._lock = threading.Lock()
        sealer = Sealer(parts.vault, parts.random)
        self._sequencer = Sequencer(parts.store, sealer.seal, self._committed)
        self._publisher = pub.Publisher(
            parts.store,
            parts.signer,
            parts.heads,
            parts.sink,
            parts.clock,
            lambda: self._sequencer.head,
            interval_seconds=publish_interval_seconds,
        )
        if not has_clients:
            self._close_crashed_runs()
        self._publisher.start()
        self._committed(self._sequencer.head)

    def _check_own_keys(self) -> None:
        mine = sha256(self._parts.key.spki)
        try:
            founded, certified = (self._store.record(index) for index in (0, 1))
            genesis = statement.parse_statement(founded.statement).predicate
            named_key = statement.parse_statement(certified.statement).subjects.get("spki")
        except (NotFoundError, MalformedError) as error:
            raise RollbackError(f"the store was altered or is damaged: {error}") from error
        # Leaf 1 certifies the keeper's first key; a later one is found by what the store says of it.
        index = 1 if named_key == mine else self._store.index_of_key(mine)
        if index is None:
            raise ConfigurationError("the keeper's key is not certified in this store")
        try:
            entry, said = bind(self._store.record(index))
        except (MalformedError, VerificationError) as error:
            raise RollbackError(f"the store was altered or is damaged: leaf {index}: {error}") from error
        # What the leaf itself says, not the store's column: new keys will name it as their issuer.
        self._issuer = entry.pae_digest
        fields = said.predicate
        self._life_ms = utc_ms(fields["not_before"]), utc_ms(fields["not_after"])
        named = {bytes.fromhex(digest) for digest in genesis.get("log", [])}
        if genesis.get("origin") != self.origin or not {vkey.hash for vkey in self._parts.signer.vkeys} <= named:
            raise ConfigurationError("the log key is not the one that this store's genesis names")
        # A new key in the place of a lost one would seal on without a word, and what the old one sealed could never be opened.
        if self._parts.vault.key(KEYS_UNIT) is None:
            raise ConfigurationError("the store's own unit key is missing: its key file was lost or is another's; put it back")

    def _close_crashed_runs(self) -> None:
        if self._parts.clock.now_ms() >= self._life_ms[1]:
            return  # this key may sign nothing any more; a new one will close them
        try:
            close_runs(self._store, self._parts.vault, self._by_keeper, self.submit)
        except BaseException:
            self._sequencer.close()
            raise

    def close_crashed(self, run: bytes, first: int, seq: int, previous: bytes) -> tuple[bytes, Ticket] | None:
        """Close a run that nobody goes on with; return digest and ticket, ``None`` where the keeper's key has ended."""
        if self._parts.clock.now_ms() >= self._life_ms[1]:
            return None
        closing = crash_close(self._store, self._parts.vault, self._by_keeper, run, first, seq, previous)
        return closing.pae_digest, self.submit(closing)

    @property
    def spki(self) -> bytes:
        """The keeper's own public statement key."""
        return self._parts.key.spki

    @property
    def clock(self) -> Clock:
        """This machine's clock."""
        return self._parts.clock

    @property
    def _by_keeper(self) -> Attester:
        return Attester(self._parts.key, self._parts.clock, self._parts.random, self._life_ms[0])

    def _committed(self, head: Head) -> None:
        newest = self._publisher.newest
        if newest is None or head.size > newest.size:
            self._publisher.notice(head)

    @property
    def origin(self) -> str:
        """The log's name."""
        return self._parts.signer.origin

    @property
    def signer(self) -> pub.LogSigner:
        """The log's public face; its vkeys are what others pin."""
        return self._parts.signer

    @property
    def head(self) -> Head:
        """The committed head."""
        return self._sequencer.head

    @property
    def newest_checkpoint(self) -> SignedCheckpoint | None:
        """The newest signed checkpoint."""
        return self._publisher.newest

    def submit(self, entry: PendingEntry | UnsignedEntry) -> Ticket:
        """Queue a statement.

        Raises:
            BackPressureError: Too many are waiting.
            StorageUnavailableError: The log has stopped.
        """
        return self._sequencer.submit(entry)

    def check(self) -> None:
        """Raise ``StorageUnavailableError`` if the log has stopped."""
        self._sequencer.check()

    def ready(self) -> None:
        """Raise if nothing may be accepted now.

        Raises:
            UnavailableError: The log has stopped, or publication lags by more than a minute.
        """
        self._sequencer.check()
        lag = self._publisher.lag_seconds()
        if lag > MAX_MERGE_DELAY_SECONDS:
            raise UnavailableError(f"the newest statements have been unpublished for {lag:.0f} s: {self._publisher.failure}")

    def attester(self, holder: str, *, held_by: str) -> Attester:
        """Return an attester with a statement key that this log certifies for ``holder``, for a day at most.

        Args:
            holder: Name of the agent or gateway; it goes into the attributes opening only.
            held_by: ``agent``, ``gateway`` or ``keeper``.

        Raises:
            ConfigurationError: The keeper's own certificate has ended.
        """
        parts = self._parts
        # A clock that was set back to before the keeper's own certificate must not make keys that nobody accepts.
        now = max(parts.clock.now_ms(), self._life_ms[0])
        with self._lock:
            known = self._attesters.get((held_by, holder))
            if known is not None and now < known[1]:
                return known[0]
            key = keys.StatementKey.from_seed(parts.random.token(keys.P256_SEED_BYTES))
            replaced = known[0].key.spki if known is not None else None
            begin, end, _ = self.certify(key.spki, holder, held_by=held_by, replaces=replaced)
            made = Attester(key, parts.clock, parts.random, begin)
            # Half a life: what is signed just before is still well inside the key's life.
            self._attesters[held_by, holder] = (made, (begin + end) // 2)
            return made

    def certify(self, spki: bytes, holder: str, *, held_by: str, replaces: bytes | None = None) -> tuple[int, int, Ticket]:
        """Certify a statement key for a day at most. Whether its holder has it, and may have it, the caller has checked.

        Args:
            spki: The key.
            holder: Name of the agent or gateway; it goes into the attributes opening only.
            held_by: ``agent``, ``gateway`` or ``keeper``.
            replaces: SPKI of the key whose place it takes: it may go on with that one's runs.

        Returns:
            Begin and end of its life in milliseconds since 1970, and the ticket of its statement.

        Raises:
            ConfigurationError: The keeper's own certificate has ended.
        """
        # A clock that was set back to before the keeper's own certificate must not make keys that nobody accepts.
        now = max(self._parts.clock.now_ms(), self._life_ms[0])
        if now >= self._life_ms[1]:
            raise ConfigurationError("the keeper's certificate has ended; the root has to certify a new keeper key")
        end = min(now + STATEMENT_KEY_LIFE_MS, self._life_ms[1])
        fields = {
            "event": "certify",
            "usage": "statement",
            "held_by": held_by,
            "issuer": self._issuer.hex(),
            "not_before": utc_text(now),
            "not_after": utc_text(end),
        } | ({"replaces": key_id(replaces)} if replaces is not None else {})
        digest = sha256(spki)
        draft = Draft(predicates.KEY, fields, {"holder": holder}, digests=(("spki", digest),))
        return now, end, self.submit(self._by_keeper.attest(draft, unit=KEYS_UNIT, certifies=digest))

    def holder(self, record: Record) -> str:
        """Return whom a key statement names as the holder of its key; empty where that can't be read (any more)."""
        return str(read_attributes(self._parts.vault, record).get("holder", ""))

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
        newest = self._publisher.newest
        holder = agent if held_by == "agent" else held_by
        self.attester(holder, held_by=held_by)  # certified before the run opens
        return Run(
            self,
            # Asked for again at every statement: a run may live longer than a key.
            lambda: self.attester(holder, held_by=held_by),
            self._parts.random,
            agent=agent,
            on_behalf_of=on_behalf_of,
            isolation=isolation,
            opening=opening,
            head=(newest.size, newest.root_hash) if newest else None,
        )

    def erase(self, entries: Sequence[PendingEntry]) -> tuple[list[int], Completed]:
        """Commit and publish erasure statements, then destroy what they name if their time has come.

        Returns:
            The statements' indexes, and what was destroyed.

        Raises:
            OutcomeUnknownError: Not published within a minute. Nothing was destroyed; the next keeper completes it.
            StorageUnavailableError: Not committed, or not destroyed; the next keeper completes it.
        """
        indexes = [ticket.wait() for ticket in [self.submit(entry) for entry in entries]]
        if indexes:
            self.wait_published(indexes[-1], MAX_MERGE_DELAY_SECONDS)
        return indexes, self.complete_erasures()

    def complete_erasures(self) -> Completed:
        """Destroy what the log's erasures name, as far as their time has come; come back for those whose time has not."""
        parts = self._parts
        with self._erasing:
            now = parts.clock.now_ms()
            done = complete(parts.store, parts.vault, parts.signer.vkeys[0], utc_text(now))
            if self._erasure_timer is not None:
                self._erasure_timer.cancel()
            if done.waiting and not self._is_closed:
                # Not later than in an hour: the wall clock may be set meanwhile.
                wait = min(max((utc_ms(done.waiting) - now) / 1000, 0.0) + 0.01, _ERASURE_POLL_SECONDS)
                self._erasure_timer = threading.Timer(wait, self._erase_in_time)
                self._erasure_timer.daemon = True
                self._erasure_timer.start()
            return done

    def _erase_in_time(self) -> None:
        try:
            self.complete_erasures()
        except ApostilleError:
            return  # the next keeper tries again, and says why it can't; an audit shows that it is overdue

    def publish(self) -> SignedCheckpoint | None:
        """Publish now and return the newest checkpoint."""
        return self._publisher.publish_now()

    def wait_published(self, index: int, timeout_seconds: float | None = None) -> SignedCheckpoint:
        """Wait for a checkpoint that covers a leaf.

        Raises:
            OutcomeUnknownError: There is none after ``timeout_seconds``.
        """
        return self._publisher.wait(index + 1, timeout_seconds)

    def receipt(self, receipt_id: str, *, since: int | None = None) -> tuple[str, bytes]:
        """Return state and receipt of an output: ``committed`` with the pending form, or ``published``.

        Raises:
            NotFoundError: No leaf has this receipt id.
        """
        try:
            index = self._store.index_of_receipt(bytes.fromhex(receipt_id))
        except ValueError as error:
            raise NotFoundError("not a receipt id") from error
        if index is None:
            raise NotFoundError(f"no output has the receipt id {receipt_id[:32]}")
        return self.receipt_at(index, since=since)

    def receipt_at(self, index: int, *, since: int | None = None) -> tuple[str, bytes]:
        """Return state and receipt of a leaf."""
        newest = self._publisher.newest
        if newest is None or newest.size <= index:
            return "committed", build_pending(self._store, index)
        log = self._parts.signer.vkeys[0]
        return "published", build_receipt(self._store, self._parts.vault, newest, log, index, since=since)

    def bundle_at(self, index: int) -> dict[str, Any]:
        """Return the Sigstore bundle of a published leaf."""
        return build_bundle(self._store, self.wait_published(index, MAX_MERGE_DELAY_SECONDS), self._parts.signer.vkeys[0], index)

    @property
    def reader(self) -> Store:
        """The store, for reading."""
        return self._store

    def close(self) -> None:
        """Commit what waits, publish it, release the store."""
        with self._erasing:
            self._is_closed = True
            if self._erasure_timer is not None:
                self._erasure_timer.cancel()
        try:
            self._sequencer.close()
            self._publisher.close()
        finally:
            self._store.close()
