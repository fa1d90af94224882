"""Verifying a whole store, or one run in it: every entry, statement, signature, key, chain and opening, against signed heads.

Nothing that the store says of itself is believed: leaf hashes are recomputed from the entries, roots from the leaf hashes, and
compared with the checkpoints that the pinned log key has signed and with the head that this machine remembers.

It does **not** show that an operator who holds the log key has not rebuilt everything: only somebody who remembers a head can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from apostille.core import dsse, keychain, predicates
from apostille.core.checkpoint import Checkpoint
from apostille.core.digest import ZERO_HEX, sha256
from apostille.core.entry import Entry, parse_entry
from apostille.core.merkle import check_consistency, check_inclusion, leaf_hash
from apostille.core.policy import NO_QUORUM, Policy, VerifiedCheckpoint, open_checkpoint
from apostille.core.signatures import key_id, verify_statement_signature
from apostille.core.statement import Statement, parse_statement
from apostille.core.tree import EMPTY, HashReader, append_leaves, leaf_hashes, prove_consistency, prove_inclusion
from apostille.errors import (
    ApostilleError,
    DigestMismatchError,
    IncompleteError,
    MalformedError,
    NotFoundError,
    PolicyError,
    RollbackError,
    UntrustedError,
    VerificationError,
)
from apostille.ports import HeadMemory, Reader, Record, SignedCheckpoint, Vault
from apostille.services.examination import Examination
from apostille.services.receipts import key_chain
from apostille.services.vault import open_record
from apostille.services.verifier import UNWITNESSED

_CHUNK = 256
_OWN_UNIT = bytes(predicates.ID_BYTES)  # the erasure unit of key statements
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class RunState:
    """One run as far as it has been read.

    Attributes:
        id: 32 hex digits.
        isolation: As its run-open says.
        count: Statements so far.
        outcome: Of run-close; empty while it is open.
    """

    id: str
    isolation: str = ""
    count: int = 0
    previous: str = ZERO_HEX
    outcome: str = ""


@dataclass(slots=True)
class Openings:
    """How many leaves have their openings where: each counts once, under the last that applies."""

    opened: int = 0
    sealed: int = 0
    erased: int = 0
    missing: int = 0

    def __str__(self) -> str:
        total = self.opened + self.sealed + self.erased + self.missing
        return f"{total} leaves = {self.opened} opened + {self.sealed} sealed + {self.erased} erased + {self.missing} missing"


@dataclass(slots=True)
class Audit:
    """What was found in a store.

    Attributes:
        origin: The log's name.
        size: Leaves examined.
        checkpoint: The newest signed checkpoint, verified.
        runs: By id, in order.
        openings: Counted.
        gaps: Declared gaps.
        erasures: Indexes of erasure statements.
    """

    origin: str
    size: int = 0
    checkpoint: VerifiedCheckpoint | None = None
    runs: dict[str, RunState] = field(default_factory=dict)
    openings: Openings = field(default_factory=Openings)
    gaps: int = 0
    erasures: list[int] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """The counts of openings, and which statements have erased some."""
        by = f"; erased by the statements at {', '.join(map(str, self.erasures[:10]))}" if self.openings.erased else ""
        return f"{self.openings}{by}{', ..' if by and len(self.erasures) > 10 else ''}"


def bind(record: Record) -> tuple[Entry, Statement]:
    """Read a stored leaf: entry, statement and signature belong together. It does **not** ask who the signer is.

    Raises:
        VerificationError, MalformedError: They do not, or one of them is none.
    """
    if leaf_hash(record.entry) != record.leaf_hash:
        raise DigestMismatchError("the entry has not the leaf hash that is stored for it")
    entry = parse_entry(record.entry)
    message = dsse.pae(record.statement)
    if sha256(message) != entry.pae_digest:
        raise DigestMismatchError("the statement is not the one that the log entry commits to")
    verify_statement_signature(entry.spki, entry.signature, message)
    said = parse_statement(record.statement)
    if said.predicate["key_id"] != key_id(entry.spki):
        raise PolicyError("the statement names another key than the one that signed it")
    return entry, said


class _Ledger:
    """Reads leaves in order and holds each against all before it."""

    def __init__(
        self, examination: Examination, audit: Audit, policy: Policy, reader: Reader, vault: Vault | None, now: str | None
    ) -> None:
        self._examination = examination
        self._reader = reader
        self._now = now
        self._audit = audit
        self._vault = vault
        self._logs = {log.name: log for log in policy.logs}
        self._certificates: dict[bytes, keychain.Certificate] = {}
        self._ended: set[bytes] = set()
        self._alone: set[bytes] = set()  # statements of no run: no chain shows that one was put in again
        self._without_opening: dict[int, tuple[set[str], bytes]] = {}
        # Whoever has the key of the log's own unit has the store's key file: to him, a key that is not there is lost or erased.
        self._is_own_vault = vault is not None and vault.key(_OWN_UNIT) is not None
        self._erased: dict[tuple[int, bytes], set[str]] = {}
        self._due: dict[tuple[int, bytes], dict[str, str]] = {}  # those whose time has come, and how they are to go

    def take(self, index: int, record: Record) -> None:
        """Examine one leaf; what is wrong with it is filed under its index."""
        try:
            entry, said = bind(record)
        except ApostilleError as error:
            self._examination.file(_at(error, index), 11, index)
            return
        for check in (self._check_key, self._check_chain, self._check_openings):
            try:
                check(index, record, entry, said)
            except ApostilleError as error:
                self._examination.file(_at(error, index), 11, index)

    def _check_key(self, index: int, record: Record, entry: Entry, said: Statement) -> None:
        del record
        signer = sha256(entry.spki)
        if index == 0:
            log = self._logs.get(self._audit.origin)
            if log is None:
                raise UntrustedError(f"the trust file names no log {self._audit.origin!r}")
            self._certificates[signer] = keychain.read_genesis(said, 0, entry.pae_digest, entry.spki, log)
            if not keychain.binds_origin(log.name, entry.spki):
                self._examination.notices.append("the log's name does not bind its root key: the log key alone could replace it")
            return
        certificate = self._certificates.get(signer)
        if certificate is None:
            raise UntrustedError("its signer's key is certified by no earlier statement")
        if signer in self._ended:
            raise UntrustedError("its signer's key was retired or revoked before")
        if said.type != predicates.KEY:
            keychain.check_signer(said, index, certificate)
        elif said.predicate["event"] == "certify":
            made = keychain.read_certificate(said, index, entry.pae_digest, certificate)
            if made.spki_digest in self._certificates:
                raise PolicyError("the key was certified before")
            self._certificates[made.spki_digest] = made
        elif said.predicate["event"] in {"retire", "revoke"} and certificate.usage == "root":
            self._ended.add(said.subjects["spki"])
        else:
            raise PolicyError("only the root may end a key, and only index 0 founds a log")

    def _check_chain(self, index: int, record: Record, entry: Entry, said: Statement) -> None:
        del index
        fields = said.predicate
        if said.type == predicates.GAP:
            self._audit.gaps += 1
            raise IncompleteError(f"GAP: nothing was captured from {fields['from']} to {fields['to']}")
        if record.certifies != (said.subjects["spki"] if said.type == predicates.KEY else None):
            raise DigestMismatchError("the store files it under another key than the statement certifies")
        if record.nonce.hex() != fields["nonce"]:
            raise DigestMismatchError("the store files it under another receipt id than the statement's nonce")
        run = fields.get("run")
        if run is None and said.type == predicates.OUTPUT:
            if entry.pae_digest in self._alone:
                raise PolicyError("the statement stands in the log twice")
            self._alone.add(entry.pae_digest)
        if (bytes.fromhex(run) if run else None) != record.run:
            raise DigestMismatchError("the store files it under another run than the statement names")
        if run is None:
            return
        state = self._audit.runs.setdefault(run, RunState(run))
        seq, previous = state.count, state.previous
        state.count, state.previous = fields["seq"] + 1, entry.pae_digest.hex()
        if state.outcome:
            raise PolicyError(f"run {run} goes on after it was closed")
        if said.type == predicates.RUN_OPEN:
            state.isolation = fields["isolation"]
        if said.type == predicates.RUN_CLOSE:
            state.outcome = fields["outcome"]
        if fields["seq"] != seq or fields["previous"] != previous:
            raise PolicyError(f"run {run} has a hole: statement {seq} is missing, or another one stood here")
        if (seq == 0) != (said.type == predicates.RUN_OPEN):
            raise PolicyError(f"run {run} does not begin with run-open, or opens twice")
        if said.type == predicates.RUN_CLOSE and fields["count"] != seq + 1:
            raise PolicyError(f"run {run} was closed with {fields['count']} statements, {seq + 1} are here")

    def _check_openings(self, index: int, record: Record, entry: Entry, said: Statement) -> None:
        if said.type == predicates.ERASURE:
            for item in said.predicate["erases"]:
                place = item["index"]
                named = place, said.subjects.get(f"leaf/{place}", b"")
                self._erased.setdefault(named, set()).update(item["openings"])
                if self._now is not None and said.predicate["effective_at"] <= self._now:
                    self._due.setdefault(named, {}).update(dict.fromkeys(item["openings"], said.predicate["method"]))
            self._audit.erasures.append(index)
        wanted = {name for name in said.subjects if name != "spki" and not name.startswith("leaf/")}
        names, there = {opening.name for opening in record.openings}, _there(record)
        if names - wanted:
            raise DigestMismatchError("an opening is stored that the statement does not name")
        opened = None
        if there and names == wanted and self._vault is not None:
            opened = open_record(self._vault, record, dict(said.subjects))  # what is left, if some were destroyed
            if opened is None and self._is_own_vault:
                there = set()
        if wanted - there:
            self._without_opening[index] = wanted - there, entry.pae_digest
        elif opened is not None:
            self._audit.openings.opened += 1
        else:
            self._audit.openings.sealed += 1

    def _still_there(self, index: int, digest: bytes, methods: dict[str, str]) -> list[str]:
        try:
            record = self._reader.record(index)
        except NotFoundError:
            return []  # a finding of its own
        if record.pae_digest != digest:
            return []
        # Without the unit keys nobody sees whether one is gone.
        has_key = self._vault is not None and self._vault.key(record.unit) is not None
        return sorted(name for name in _there(record) & methods.keys() if methods[name] == "row" or has_key)

    def finish(self) -> None:
        """Tell erased openings from missing ones, find what was to be erased and is still there, and see which runs are open."""
        for (index, digest), methods in self._due.items():
            still = self._still_there(index, digest, methods)
            if still:
                late = f"leaf {index}: erased by a statement, but still there: {', '.join(still)}; the next keeper completes it"
                self._examination.file(IncompleteError(late), 11, index)
        for index, (names, digest) in self._without_opening.items():
            if names <= self._erased.get((index, digest), set()):
                self._audit.openings.erased += 1
                continue
            self._audit.openings.missing += 1
            lost = ", ".join(sorted(names))
            error = VerificationError(f"leaf {index}: openings are missing that no erasure names: {lost}")
            self._examination.file(error, 11, index)
        for state in self._audit.runs.values():
            if not state.outcome:
                self._examination.file(IncompleteError(f"run {state.id} is not closed: {state.count} statements so far"), 11)


def _there(record: Record) -> set[str]:
    """Return the names of the openings of which there is a ciphertext and a record key."""
    return {opening.name for opening in record.openings if opening.ciphertext} if record.wrapped_key is not None else set()


def _at(error: ApostilleError, index: int) -> ApostilleError:
    """Say at which leaf; the class, and so the meaning, stays."""
    error.args = (f"leaf {index}: {error}",)
    return error


def examine_store(
    examination: Examination,
    reader: Reader,
    policy: Policy,
    *,
    origin: str,
    heads: HeadMemory | None = None,
    vault: Vault | None = None,
    published: bytes | None = None,
    now: str | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Examine everything in a store.

    Args:
        examination: Where findings are filed.
        reader: The store.
        policy: The trust file.
        origin: The log's name, as its configuration says; it must be pinned.
        heads: Head memory: compared, and moved forward if nothing is wrong (a run that is still open is not).
        vault: Unit keys, to open the openings; without them they are only counted.
        published: The note in the published ``checkpoint`` file, if there is one.
        now: UTC text: what was to be erased by then must be gone. Without it that is not checked.
        progress: Called with leaves done and leaves in all.
    """
    audit = Audit(origin)
    # Read in the order in which a keeper at work writes last: remembered <= signed <= counted <= head, so it never looks behind.
    known = heads.recall(origin) if heads is not None else None
    signed = reader.checkpoints()
    count, head = reader.count(), reader.head()
    claims = {c.size: c for c in signed}
    sizes = {*claims, head.size} | ({known.size} if known else set())
    roots: dict[int, bytes] = {}
    ledger = _Ledger(examination, audit, policy, reader, vault, now)

    with examination.step(11, "every entry, statement, signature, key, chain and opening") as step:
        before = len(examination.failures)
        tree, batch = EMPTY, []
        subtrees: list[tuple[int, int, bytes]] = []
        expected = 0
        for index, record in reader.records():
            if index >= head.size or index != expected:
                break
            expected += 1
            ledger.take(index, record)
            batch.append(record.entry)
            if expected in sizes or len(batch) == _CHUNK:
                growth = append_leaves(tree, leaf_hashes(batch))
                tree, batch = growth.head, []
                roots[expected] = tree.root_hash
                subtrees += growth.hashes
                if progress is not None:
                    progress(expected, head.size)
        audit.size = expected
        ledger.finish()
        found = len(examination.failures) - before
        step.detail = f"{audit.summary}; {len(audit.runs)} runs"
        if found:
            step.outcome = "failed"
        if expected < head.size:
            step.outcome = "failed"
            examination.file(VerificationError(f"leaf {expected} is missing from the store"), 11, expected)
    with examination.step(11, "stored hashes of subtrees are those of the entries"):
        for level, number, wanted in subtrees:
            if list(reader.hashes(level, number, 1)) != [wanted]:
                raise VerificationError(f"the stored hash {number} of level {level} is not the one that its entries lead to")
    if count > head.size:
        with examination.step(11, "no leaf lies outside the tree"):
            raise VerificationError(f"the store holds {count} leaves, its head says {head.size}")
    _check_heads(examination, audit, policy, signed, roots, (head.size, head.root_hash))
    _check_known(examination, known, audit, roots)
    if published is not None:
        with examination.step(10, "the published checkpoint is this store's"):
            shown = open_checkpoint(published, policy).checkpoint
            if shown.size not in claims or claims[shown.size].root_hash != shown.root_hash:
                raise RollbackError(f"the published checkpoint of size {shown.size} is not one that this store has signed")
    if heads is None:
        examination.notices.append("head not compared: no head memory was asked")
    elif audit.checkpoint is not None and _may_remember(examination, audit.checkpoint):
        checkpoint = audit.checkpoint.checkpoint
        known = heads.recall(origin)  # again: a keeper at work may have remembered more since
        if known is None or checkpoint.size > known.size:
            heads.remember(checkpoint)
    return audit


def _may_remember(examination: Examination, opened: VerifiedCheckpoint) -> bool:
    """A head is remembered if nothing is wrong with it, and who demands witnesses remembers none that they have not seen."""
    is_sound = not (examination.altered or examination.malformed or examination.untrusted)
    return is_sound and (opened.quorum == NO_QUORUM or opened.is_quorum_met)


def _check_heads(
    examination: Examination,
    audit: Audit,
    policy: Policy,
    signed: Sequence[SignedCheckpoint],
    roots: dict[int, bytes],
    head: tuple[int, bytes],
) -> None:
    newest = signed[-1] if signed else None
    with examination.step(4, "the entries lead to the head and to every signed checkpoint") as step:
        if roots.get(head[0], EMPTY.root_hash) != head[1]:
            raise VerificationError(f"the entries do not lead to the store's own head of size {head[0]}")
        for claim in signed:
            if claim.size > audit.size:
                raise RollbackError(f"TRUNCATED: a checkpoint of size {claim.size} was signed, {audit.size} leaves are here")
            if roots.get(claim.size) != claim.root_hash:
                raise VerificationError(f"REWRITE before size {claim.size}: the entries do not lead to its signed root")
        step.detail = f"{len(signed)} checkpoints"
    if newest is None:
        with examination.step(2, "a checkpoint is signed"):
            raise IncompleteError("PENDING: no checkpoint has been signed yet")
        return
    _open_newest(examination, audit, policy, newest)
    if audit.size > newest.size:
        with examination.step(2, "the checkpoint covers all leaves"):
            raise IncompleteError(f"PENDING: {audit.size - newest.size} leaves are committed but not published yet")


def _open_newest(examination: Examination, audit: Audit, policy: Policy, newest: SignedCheckpoint) -> None:
    """Verify the note of the newest checkpoint: of this log, signed, saying what the store says, with the quorum."""
    with examination.step(2, "the newest checkpoint is signed by a pinned log") as step:
        opened = open_checkpoint(newest.note, policy)
        shown = opened.checkpoint
        step.detail = f"{shown.origin}, size {shown.size}"
        if (shown.origin, shown.size, shown.root_hash) != (audit.origin, newest.size, newest.root_hash):
            raise VerificationError("the note of the newest checkpoint is another log's, or says something else than the store")
        audit.checkpoint = opened
        if not opened.is_witnessed:
            examination.notices.append(UNWITNESSED)
        if opened.quorum != NO_QUORUM and not opened.is_quorum_met:
            raise IncompleteError(f"QUORUM: {opened.quorum!r} has not signed the newest checkpoint")


def _check_known(examination: Examination, known: Checkpoint | None, audit: Audit, roots: dict[int, bytes]) -> None:
    if known is None:
        examination.notices.append("no head of this log is remembered on this machine yet: an earlier rewrite would not show")
        return
    with examination.step(10, "history continues the head that this machine remembers") as step:
        step.detail = f"size {known.size}"
        if known.size > audit.size:
            raise RollbackError(
                f"HALT_ROLLBACK: a head of size {known.size} is remembered, the first {audit.size} leaves are here"
            )
        if roots.get(known.size) != known.root_hash:
            raise RollbackError(f"REWRITE before size {known.size}: history is not the one that this machine remembers")


def examine_run(
    examination: Examination,
    reader: Reader,
    policy: Policy,
    *,
    origin: str,
    run: str,
    heads: HeadMemory | None = None,
    vault: Vault | None = None,
    now: str | None = None,
) -> Audit:
    """Examine one run: its statements, chain, keys and openings, each leaf included in the newest signed checkpoint.

    Other runs are not looked at; ``examine_store`` reads everything.
    """
    examination.notices.append("revocation not checked: only the verification of a whole store reads every key statement")
    audit = Audit(origin)
    known = heads.recall(origin) if heads is not None else None  # first: a keeper at work remembers what it has signed
    signed = reader.checkpoint()
    if signed is None:
        with examination.step(2, "a checkpoint is signed"):
            raise IncompleteError("PENDING: no checkpoint has been signed yet")
    else:
        _open_newest(examination, audit, policy, signed)
    opened = audit.checkpoint
    indexes = reader.run_indexes(bytes.fromhex(run))
    ledger = _Ledger(examination, audit, policy, reader, vault, now)
    wanted: set[int] = set()
    with examination.step(11, "every statement, signature, key and opening of the run; one chain without holes") as step:
        before = len(examination.failures)
        erasures = [index for index in reader.erasures() if _names_any(reader.record(index), indexes)]
        wanted = {place for index in (*indexes, *erasures) for place in _keys_of(reader, index)} | {*indexes, *erasures}
        for index in sorted(wanted):
            ledger.take(index, reader.record(index))
        ledger.finish()
        audit.size = len(indexes)
        step.detail = f"{len(indexes)} statements; {audit.summary}"
        if len(examination.failures) > before:
            step.outcome = "failed"
    if opened is None:
        return audit
    checkpoint = opened.checkpoint
    with examination.step(4, "every leaf is in the signed tree"):
        for index in sorted(wanted):
            if index >= checkpoint.size:
                raise IncompleteError(f"PENDING: leaf {index} is committed, not published yet")
            proof = prove_inclusion(index, checkpoint.size, reader.hashes)
            leaf = leaf_hash(reader.record(index).entry)
            try:
                check_inclusion(index, checkpoint.size, leaf, proof, checkpoint.root_hash)
            except ApostilleError as error:
                raise _at(error, index) from error
    if known is None:
        examination.notices.append("no head of this log is remembered on this machine yet: an earlier rewrite would not show")
    else:
        with examination.step(10, "the checkpoint continues the head that this machine remembers"):
            compare_head(known, checkpoint, reader.hashes)
    return audit


def compare_head(known: Checkpoint, shown: Checkpoint, read: HashReader, *, where: str = "remembered on this machine") -> None:
    """Check that a log whose signed head is ``shown`` continues the head ``known``.

    Args:
        known: An earlier head.
        shown: The head of the log as it is now.
        read: Reads the log's hashes.
        where: Where the earlier head stands, for people.

    Raises:
        RollbackError: It is behind it, or shows another history.
    """
    if known.size > shown.size:
        raise RollbackError(f"HALT_ROLLBACK: a head of size {known.size} is {where}, the log shows {shown.size}")
    try:
        proof = prove_consistency(known.size, shown.size, read)
        check_consistency(known.size, known.root_hash, shown.size, shown.root_hash, proof)
    except (VerificationError, MalformedError) as error:
        raise RollbackError(f"REWRITE before size {known.size}: history is not the one under the head {where}") from error


def _names_any(record: Record, indexes: Sequence[int]) -> bool:
    """Tell whether a leaf claims to erase any of these leaves; what it is gets examined with them."""
    try:
        said = parse_statement(record.statement)
    except MalformedError:
        return False
    return any(f"leaf/{index}" in said.subjects for index in indexes)


def _keys_of(reader: Reader, index: int) -> list[int]:
    try:
        return key_chain(reader, parse_entry(reader.record(index).entry).spki)
    except MalformedError:
        return []  # what is wrong with the leaf is found when it is examined
