"""Admission: what a client may hand in to a keeper. A keeper signs heads over what is committed, so nothing gets in unchecked.

Each statement is read strictly, its signature verified, its openings hashed; its signer must be a certified key that this very
connection has shown to hold, alive now; its type one that a client may say; its agent the one that an agent's key is certified
for; and its run this client's, to be continued at the one place where it stands. All but the last needs no lock of ours:
no connection waits for another one's commit.

Handing in the same statement again gives the index that it has: a client may resend what it has no answer for, and nothing is
doubled. Another statement in the same place of a run is refused.

It does **not** judge content, and it does not make true what a client says of time, source or outcome.

Spec: ``gateway.md`` section 1; ``formats.md`` sections 3.2, 3.5.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from apostille.core import dsse, keychain, predicates
from apostille.core.digest import sha256
from apostille.core.frames import Enrol, Handed, hello_message
from apostille.core.opening import split_opening
from apostille.core.signatures import key_details, verify_statement_signature
from apostille.core.statement import Statement, parse_statement
from apostille.core.strict import base64_bytes, canonical_json_value
from apostille.errors import (
    ApostilleError,
    BackPressureError,
    ConflictError,
    DigestMismatchError,
    MalformedError,
    PolicyError,
    UnavailableError,
    UntrustedError,
)
from apostille.ports import Clock, OpeningText, PendingEntry, Reader
from apostille.services import ownership
from apostille.services.attester import utc_ms, utc_text
from apostille.services.binding import bind
from apostille.services.guard import certificate_of
from apostille.services.keeper import MAX_MERGE_DELAY_SECONDS, STATEMENT_KEY_LIFE_MS, Keeper
from apostille.services.leases import Lease, Leases
from apostille.services.sequencer import Ticket
from apostille.services.vault import KEYS_UNIT

CLIENT_TYPES = frozenset(
    {predicates.OUTPUT, predicates.INPUT, predicates.TOOL_CALL, predicates.RUN_OPEN, predicates.RUN_CLOSE, predicates.GAP}
)
MAX_CLOCK_AHEAD_MS = 5_000  # a time further ahead would stop the next keeper, which takes its own clock for wrong
MAX_LATE_MS = 5 * 60_000  # how long after its end a key's last statements may come in
MAX_KEYS = 256  # of one connection
_RECENT = 65_536
_ERASURE_TRIES = 30
_ERASURE_PAUSE_SECONDS = 1.0
_SHORT = 1024
_NONE = frozenset({"none"})
_BY_SUPERVISOR = frozenset({"none", "uid", "landlock", "netns"})
Outcome: TypeAlias = Ticket | int | ApostilleError


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A certified key that a connection has shown to hold.

    Attributes:
        spki: The key.
        certificate: What the log says of it.
        holder: Whom its certificate names: the only agent that an agent's key may speak as.
    """

    spki: bytes
    certificate: keychain.Certificate
    holder: str


@dataclass(slots=True, eq=False)
class Session:
    """One connection, as far as admission cares.

    Attributes:
        uid: The peer's, as the kernel says.
        may_enrol: Whether its uid is enough to have a key certified.
        is_own_uid: Whether it is the keeper's own: then nothing keeps the peer from reading the store.
        is_supervisor: Whether it has brought a token.
        is_keeper: Whether it has shown the keeper's own key.
        keys: By SHA-256 of the SPKI.
    """

    uid: int
    may_enrol: bool
    is_own_uid: bool
    is_supervisor: bool = False
    is_keeper: bool = False
    keys: dict[bytes, ClientKey] = field(default_factory=dict)

    @property
    def is_proven(self) -> bool:
        """Whether it has shown any key."""
        return bool(self.keys) or self.is_keeper

    @property
    def isolations(self) -> frozenset[str]:
        """What its run-open may claim: never more than the keeper can see."""
        if self.is_supervisor:
            return _BY_SUPERVISOR
        return _NONE if self.is_own_uid else _NONE | {"uid"}

    @property
    def isolation(self) -> str:
        """What the keeper sees by itself: another user's process can read neither keys nor store."""
        return "none" if self.is_own_uid else "uid"


@dataclass(frozen=True, slots=True)
class Granted:
    """A key and its life, as UTC text; and the ticket of its certificate if it is new."""

    not_before: str
    not_after: str
    ticket: Ticket | None = None


@dataclass(frozen=True, slots=True)
class _Checked:
    entry: PendingEntry
    said: Statement
    signer: bytes


@dataclass(frozen=True, slots=True)
class _Known:
    """Which nonces the store had, and how many statements had been admitted before it was asked."""

    admitted: int
    indexes: Mapping[bytes, int]


@dataclass(frozen=True, slots=True)
class _Times:
    """What is late and what is early just now, as UTC text: it sorts as times do."""

    latest: str  # that a statement may bear
    ended: str  # a key that ended before has ended for good


class Admission:
    """Checks what clients hand in and passes it on to the keeper.

    Args:
        keeper: The keeper.
        reader: A view of the store of its own, so that looking something up does not wait for a commit.
        clock: This machine's clock.
        tokens: SHA-256 of the one-time tokens that are out.
    """

    def __init__(self, keeper: Keeper, reader: Reader, clock: Clock, *, tokens: Sequence[bytes] = ()) -> None:
        self._keeper = keeper
        self._reader = reader
        self._clock = clock
        self._tokens = set(tokens)
        self._lock = threading.RLock()
        self._recent: OrderedDict[bytes, tuple[bytes, Ticket | int]] = OrderedDict()
        self._admitted = 0
        self._certifying: dict[bytes, Ticket] = {}
        self._parents: dict[bytes, bytes | None] = {}
        self._replaced = _replaced_lately(reader, utc_text(clock.now_ms() - STATEMENT_KEY_LIFE_MS - MAX_LATE_MS))
        self.leases = Leases(keeper, reader, clock, self._lock)

    def hello(self, session: Session, spki: bytes, signature: bytes, challenge: bytes) -> Granted:
        """Take the proof that a connection holds a certified key, or the keeper's own.

        Raises:
            UntrustedError: It doesn't, or the key is not certified for a client, or its life is over.
            MalformedError: Not a key.
        """
        self._prove(spki, signature, challenge)
        under_way = self._certifying.get(sha256(spki))
        if under_way is not None:  # asked for on another connection, which was lost
            under_way.wait()
        if spki == self._keeper.spki:
            session.is_keeper = True
            return Granted("", "")
        certificate = self._certificate(spki)
        if certificate.usage not in {"statement", "erasure"} or certificate.held_by == "keeper":
            raise UntrustedError("this key is not certified for a client")
        if utc_ms(certificate.not_after) + MAX_LATE_MS < self._clock.now_ms():
            raise UntrustedError(f"the key's certificate ended at {certificate.not_after}")
        self._add_key(session, self._client_key(spki, certificate))
        return Granted(certificate.not_before, certificate.not_after)

    def enrol(self, session: Session, asked: Enrol, challenge: bytes) -> Granted:
        """Certify a new key of a client. It counts once the ticket is committed; ``enrolled`` then lets it in.

        Raises:
            UntrustedError: Who asks may not, or has not shown that it holds the key, or the one that it replaces.
            MalformedError: Not a P-256 key, or not a holder that we certify.
        """
        self._prove(asked.spki, asked.signature, challenge)
        if asked.held_by not in {"agent", "gateway"}:
            raise MalformedError("held_by is agent or gateway", spec="enrol")
        if not 0 < len(asked.holder) <= 1024:
            raise MalformedError("a holder has 1 to 1,024 characters", spec="enrol")
        with self._lock:
            is_by_token = asked.token is not None and sha256(asked.token) in self._tokens
            if asked.token is not None and not is_by_token:
                raise UntrustedError("the token is not valid, or was used before")
            is_supervisor = session.is_supervisor or is_by_token
            if not (session.may_enrol or is_supervisor):
                raise UntrustedError("no key is certified for this user; let it in by allow_uids")
            if asked.held_by == "gateway" and not (session.is_own_uid or is_supervisor):
                raise UntrustedError("another user's process is certified as an agent, not as a gateway")
            digest = sha256(asked.spki)
            if digest in self._certifying or self._reader.index_of_key(digest) is not None:
                raise ConflictError("the key is certified already")
            if asked.replaces is not None:
                replaced = session.keys.get(asked.replaces)
                if replaced is None or (replaced.certificate.held_by, replaced.holder) != (asked.held_by, asked.holder):
                    raise UntrustedError("only who holds a key may have it replaced, and for the same")
                if asked.replaces in self._replaced:
                    raise ConflictError("the key was replaced before")
            if len(session.keys) >= MAX_KEYS:
                raise BackPressureError(f"{MAX_KEYS} keys on one connection are enough")
            old = session.keys[asked.replaces].spki if asked.replaces is not None else None
            begin, end, ticket = self._keeper.certify(asked.spki, asked.holder, held_by=asked.held_by, replaces=old)
            self._certifying[digest] = ticket  # until the reader can see it: a second certificate no auditor would accept
            if asked.replaces is not None:
                self._replaced.add(asked.replaces)
            if is_by_token and asked.token is not None:
                self._tokens.remove(sha256(asked.token))
                session.is_supervisor = True
        return Granted(utc_text(begin), utc_text(end), ticket)

    def enrolled(self, session: Session, spki: bytes, ticket: Ticket) -> None:
        """Wait until a key's certificate is durable, and let the key in; raises what kept it from being so."""
        try:
            ticket.wait()
        finally:
            with self._lock:
                self._certifying.pop(sha256(spki), None)
        self._add_key(session, self._client_key(spki, self._certificate(spki)))

    def _prove(self, spki: bytes, signature: bytes, challenge: bytes) -> None:
        key_details(spki)
        try:
            verify_statement_signature(spki, signature, hello_message(self._keeper.origin, challenge), what="hello")
        except ApostilleError as error:
            raise UntrustedError("the peer has not shown that it holds this key") from error

    def _client_key(self, spki: bytes, certificate: keychain.Certificate) -> ClientKey:
        return ClientKey(spki, certificate, self._keeper.holder(self._reader.record(certificate.index)))

    def _add_key(self, session: Session, key: ClientKey) -> None:
        with self._lock:
            if len(session.keys) >= MAX_KEYS:
                raise BackPressureError(f"{MAX_KEYS} keys on one connection are enough")
            # A new table: whoever checks a batch right now goes on with the old one.
            session.keys = {**session.keys, sha256(key.spki): key}

    def _certificate(self, spki: bytes) -> keychain.Certificate:
        try:
            return certificate_of(self._reader, spki, self._reader.head().size, self._keeper.signer.vkeys[0])
        except (PolicyError, MalformedError, UntrustedError) as error:
            raise UntrustedError("this key is not certified here") from error

    def _parent(self, key: bytes) -> bytes | None:
        if key not in self._parents:
            index = self._reader.index_of_key(key)
            self._parents[key] = ownership.replaced_by(bind(self._reader.record(index))[1]) if index is not None else None
        return self._parents[key]

    def lease(self, session: Session, run: bytes) -> tuple[int, bytes]:
        """Give a run to a connection, to go on with; return its next seq and the digest of its last statement.

        Raises:
            NotFoundError: There is no such run: its run-open opens it.
            ConflictError: It is closed.
            UnavailableError: Another connection has it.
            UntrustedError: It belongs to somebody else.
        """
        with self._lock:
            lease = self.leases.find(run)
            # Ownership first: who owns nothing here learns nothing.
            if not any(ownership.succeeds(lease.opener, key, self._parent) for key in session.keys):
                raise UntrustedError("the run was opened with another key than this client has shown")
            self.leases.take(lease, session)
            return lease.seq, lease.previous

    def check_own(self, session: Session, index: int) -> None:
        """Check that a connection may ask for a receipt by a mere number: others' outputs could be counted off like that.

        Who can read the store anyway may; who brings a receipt id was given it.

        Raises:
            NotFoundError: There is no such leaf.
            UntrustedError: Another's key has signed it.
        """
        if session.is_own_uid:
            return
        signer = sha256(bind(self._reader.record(index), is_fast=True)[0].spki)
        with self._lock:
            if not any(ownership.succeeds(signer, key, self._parent) for key in session.keys):
                raise UntrustedError(
                    "the statement was signed with another key than this client has shown; ask by its receipt id"
                )

    def drop(self, session: Session) -> None:
        """Forget a connection. Its runs wait for a successor."""
        self.leases.drop(session)

    def append(self, session: Session, handed: Sequence[Handed], *, wait: Callable[[], object] | None = None) -> list[Outcome]:
        """Check statements and pass them on, in order: a ticket or index for each, or why it was refused.

        Args:
            session: Whose they are.
            handed: As they came.
            wait: Called when the log has no room for the moment, to try again after it; without it that is a refusal.
        """
        now = self._clock.now_ms()
        times = _Times(utc_text(now + MAX_CLOCK_AHEAD_MS), utc_text(now - MAX_LATE_MS))
        checked = [self._check(session, one, times) for one in handed]
        known = self._known([one.entry.nonce for one in checked if isinstance(one, _Checked)])
        return [self._patiently(session, one, known, wait) if isinstance(one, _Checked) else one for one in checked]

    def _known(self, nonces: Sequence[bytes]) -> _Known:
        admitted = self._admitted
        return _Known(admitted, self._reader.indexes_of_receipts(nonces))

    def _patiently(self, session: Session, checked: _Checked, known: _Known, wait: Callable[[], object] | None) -> Outcome:
        while True:
            try:
                with self._lock:
                    return self._admit(session, checked, known)
            except BackPressureError as error:
                if wait is None:
                    return error
            except ApostilleError as error:
                return error
            wait()

    def _check(self, session: Session, handed: Handed, times: _Times) -> _Checked | ApostilleError:
        try:
            return self._examine(session, handed, times)
        except ApostilleError as error:
            return error

    def _examine(self, session: Session, handed: Handed, times: _Times) -> _Checked:
        said = parse_statement(handed.statement)
        signer = base64_bytes(said.predicate["key_id"], size=32, spec="statement")
        key = session.keys.get(signer)
        if key is None:
            raise UntrustedError("the statement is signed with a key that this connection has not shown to hold")
        message = dsse.pae(handed.statement)
        verify_statement_signature(key.spki, handed.signature, message)
        _check_kind(session, said, key, times)
        if (handed.unit == KEYS_UNIT) != (said.type == predicates.ERASURE):
            raise UntrustedError("the log's own erasure unit is for erasure statements, and nothing else is for them")
        openings = _openings(said, handed.openings)
        if key.certificate.held_by == "agent":
            _check_agent(openings, key.holder)
        nonce = bytes.fromhex(said.predicate["nonce"])
        run = bytes.fromhex(said.predicate["run"]) if "seq" in said.predicate else None
        if said.type != predicates.ERASURE and handed.unit != (run or nonce):
            # In the unit of others it would keep their key from being destroyed.
            raise UntrustedError("the erasure unit of a statement is its run, or its nonce where it stands alone")
        entry = PendingEntry(handed.statement, sha256(message), handed.signature, key.spki, openings, handed.unit, nonce, run)
        return _Checked(entry, said, signer)

    def _admit(self, session: Session, checked: _Checked, known: _Known) -> Ticket | int:
        entry, said = checked.entry, checked.said
        if self._admitted - known.admitted >= _RECENT:  # what was admitted since then may be forgotten here again
            known = self._known([entry.nonce])
        recent = self._recent.get(entry.nonce)
        if recent is not None:
            if recent[0] != entry.pae_digest:
                raise ConflictError("another statement has this nonce")
            return recent[1]
        index = known.indexes.get(entry.nonce)
        if index is not None:
            if self._reader.record(index).pae_digest != entry.pae_digest:
                raise ConflictError("another statement has this nonce")
            return index
        lease: Lease | None = None
        named = said.predicate.get("run")
        if entry.run is not None:
            lease = self._place(session, checked, entry.run)
        else:
            if named is not None:  # a gap in a run
                self.leases.held(bytes.fromhex(named), session)
            self.leases.check_free(entry.nonce)  # it is the statement's erasure unit, and nobody else's
        ticket = self._keeper.submit(entry)
        if lease is not None:
            self.leases.advance(lease, entry.pae_digest, ticket, is_last=said.type == predicates.RUN_CLOSE)
        if said.type == predicates.ERASURE:  # committed and published first, destroyed then
            threading.Thread(target=self._complete, args=(ticket,), name="apostille-erasure", daemon=True).start()
        self._recent[entry.nonce] = (entry.pae_digest, ticket)
        self._admitted += 1
        if len(self._recent) > _RECENT:
            _, (_, oldest) = self._recent.popitem(last=False)
            if isinstance(oldest, Ticket):
                oldest.wait()  # from here on the reader finds it; more than these can't be waiting, so it is there
        return ticket

    def _complete(self, ticket: Ticket) -> None:
        with contextlib.suppress(ApostilleError):  # the next keeper completes it
            self._keeper.wait_published(ticket.wait(), MAX_MERGE_DELAY_SECONDS)
            for _ in range(_ERASURE_TRIES):
                try:
                    self._keeper.complete_erasures()
                except UnavailableError:  # a reader still holds the old bytes
                    time.sleep(_ERASURE_PAUSE_SECONDS)
                else:
                    return

    def _place(self, session: Session, checked: _Checked, run: bytes) -> Lease:
        fields = checked.said.predicate
        if checked.said.type == predicates.RUN_OPEN:
            if run in self._recent or self._reader.index_of_receipt(run) is not None:
                raise ConflictError("a statement has this id for its nonce")
            lease = self.leases.begin(run, checked.signer, session)
        else:
            lease = self.leases.held(run, session)
            if not ownership.succeeds(lease.opener, checked.signer, self._parent):
                raise UntrustedError("the run was opened with another key than the one that signed this")
        if lease.is_closed:
            raise ConflictError("the run is closed")
        if (fields["seq"], fields["previous"]) != (lease.seq, lease.previous.hex()):
            raise ConflictError(f"the run goes on at {lease.seq}; this is another statement {fields['seq']}, or one is missing")
        if checked.said.type == predicates.RUN_CLOSE and fields["count"] != lease.seq + 1:
            raise PolicyError(f"the run has {lease.seq + 1} statements, not {fields['count']}")
        return lease


def _replaced_lately(reader: Reader, since: str) -> set[bytes]:
    """Return the keys that have a successor, of those that may still live: a second successor no auditor would accept."""
    found: set[bytes] = set()
    for index in reversed(reader.key_indexes()):
        said = parse_statement(reader.record(index).statement)
        if said.predicate["captured_at"] < since:
            break
        replaced = ownership.replaced_by(said)
        if replaced is not None:
            found.add(replaced)
    return found


def _openings(said: Statement, contents: Sequence[bytes]) -> tuple[OpeningText, ...]:
    """Match openings with the subjects that have one, in order; what can't be opened is not committed to."""
    names = [name for name in said.subjects if name != "spki" and not name.startswith("leaf/")]
    if len(names) != len(contents):
        raise DigestMismatchError(f"{len(contents)} openings for {len(names)} subjects")
    found = []
    for name, content in zip(names, contents, strict=True):
        digest = said.subjects[name]
        if sha256(content) != digest:
            raise DigestMismatchError(f"the opening {name!r} has not the digest that the statement names")
        found.append(OpeningText(name, digest, content))
    return tuple(found)


def _check_kind(session: Session, said: Statement, key: ClientKey, times: _Times) -> None:
    allowed = {predicates.ERASURE} if key.certificate.usage == "erasure" else CLIENT_TYPES
    if said.type not in allowed:
        raise UntrustedError(f"a client's {key.certificate.usage} key may not say {said.type}")
    if said.type == predicates.GAP and "run" not in said.predicate and key.certificate.held_by == "agent":
        raise UntrustedError("an agent declares gaps in its own runs only, not in what others say")
    keychain.check_signer(said, key.certificate.index + 1, key.certificate)
    if said.predicate["captured_at"] > times.latest:
        raise PolicyError("the statement's time lies ahead of the keeper's clock")
    if key.certificate.not_after < times.ended:
        raise UntrustedError(f"the key's certificate ended at {key.certificate.not_after}")
    if said.type == predicates.RUN_OPEN and said.predicate["isolation"] not in session.isolations:
        raise UntrustedError(
            f"isolation {said.predicate['isolation']} is more than the keeper sees: {', '.join(sorted(session.isolations))}"
        )


def _check_agent(openings: Sequence[OpeningText], holder: str) -> None:
    for opening in openings:
        if opening.name == "attributes":
            agent = _agent(split_opening(opening.content)[1])
            if agent not in {None, holder}:
                raise UntrustedError(f"the key is certified for {holder[:64]!r}, and for no other agent")


def _agent(attributes: bytes) -> object:
    # A run says the same of itself again and again.
    return _read_agent(attributes) if len(attributes) <= _SHORT else _read_agent.__wrapped__(attributes)


@functools.lru_cache(maxsize=1024)
def _read_agent(attributes: bytes) -> object:
    said = canonical_json_value(attributes, spec="attributes")
    if not isinstance(said, dict) or not isinstance(said.get("agent", ""), str):
        raise MalformedError("not attributes", spec="attributes")
    return said.get("agent")
