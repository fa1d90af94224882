"""Verifying a whole store, or one run in it: every entry, statement, signature, key, chain and opening, against signed heads.

Nothing that the store says of itself is believed: leaf hashes are recomputed from the entries, roots from the leaf hashes, and
compared with the checkpoints that the pinned log key has signed and with the head that this machine remembers. What an earlier
audit has read (``since``) is not read again: that the tree still begins with it is proven.

It does **not** show that an operator who holds the log key has not rebuilt everything: only somebody who remembers a head can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from apostille.core.checkpoint import Checkpoint, format_checkpoint
from apostille.core.digest import sha256
from apostille.core.entry import parse_entry
from apostille.core.merkle import check_consistency, check_inclusion, leaf_hash
from apostille.core.policy import NO_QUORUM, Policy, VerifiedCheckpoint, open_checkpoint
from apostille.core.statement import parse_statement
from apostille.core.tree import (
    EMPTY,
    HashReader,
    Head,
    append_leaves,
    head_at,
    leaf_hashes,
    prove_consistency,
    prove_inclusion,
    root_at,
)
from apostille.errors import (
    ApostilleError,
    InclusionError,
    IncompleteError,
    MalformedError,
    RollbackError,
    SplitViewError,
    UntrustedError,
    VerificationError,
)
from apostille.ports import HeadMemory, Reader, Record, SignedCheckpoint, Vault
from apostille.services.attester import utc_ms
from apostille.services.audit import Audit as Audit  # noqa: PLC0414 - what an examination returns
from apostille.services.audit import AuditState
from apostille.services.audit import RunState as RunState  # noqa: PLC0414
from apostille.services.binding import bind as bind  # noqa: PLC0414 - where those look for it who read single leaves
from apostille.services.binding import read_leaf, read_leaves
from apostille.services.examination import Examination
from apostille.services.keyring import Keyring
from apostille.services.ledger import MAX_LISTED, Findings, Ledger
from apostille.services.receipts import key_chain
from apostille.services.verifier import UNWITNESSED

_CHUNK = 256
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Recalled:
    """What head memory said at some moment; ``None`` for nothing."""

    known: Checkpoint | None


class _Claims:
    """Signed checkpoints from a size on, one after the other, held against the roots that the leaves lead to."""

    def __init__(self, reader: Reader, policy: Policy, origin: str, start: int, newest: SignedCheckpoint | None) -> None:
        self._left: Iterator[SignedCheckpoint] = reader.checkpoints_from(start) if newest is not None else iter(())
        self._newest = newest
        self._policy = policy
        self._origin = origin
        self.count = 0
        self.wrong: list[ApostilleError] = []  # roots
        self.unsound: list[ApostilleError] = []  # notes
        self._next = self._advance()

    def _advance(self) -> SignedCheckpoint | None:
        claim = next(self._left, None)
        # A keeper at work may have signed more since the head was read.
        return claim if claim is not None and self._newest is not None and claim.size <= self._newest.size else None

    @property
    def due(self) -> int | None:
        """The size of the next one."""
        return self._next.size if self._next is not None else None

    def meet(self, root: bytes) -> None:
        """Compare the next one with the root of the tree of its size."""
        claim = self._next
        if claim is None:
            return
        self.count += 1
        if claim.root_hash != root and not self.wrong:
            self.wrong.append(VerificationError(f"REWRITE before size {claim.size}: the entries do not lead to its signed root"))
        if self._newest is not None and claim.size != self._newest.size:
            self._open(claim)
        self._next = self._advance()

    def _open(self, claim: SignedCheckpoint) -> None:
        try:
            opened = open_checkpoint(claim.note, self._policy)
            shown = opened.checkpoint
            if (shown.origin, shown.size, shown.root_hash) != (self._origin, claim.size, claim.root_hash):
                raise VerificationError("it is another log's, or says something else than the store")
        except ApostilleError as error:
            error.args = (f"the note of the checkpoint of size {claim.size}: {error}",)
            self.unsound.append(error)

    def finish(self, size: int) -> None:
        """What is left when the leaves have ended can't be met."""
        if self._next is not None:
            self.wrong.append(
                RollbackError(f"TRUNCATED: a checkpoint of size {self._next.size} was signed, {size} leaves are here")
            )


@dataclass(slots=True)
class _Scan:
    """What reading the leaves has come to.

    Attributes:
        tree: Grown from the entries.
        roots: Size to root, where somebody claims one.
        wrong_hashes: How many stored hashes of subtrees are not what the entries lead to, and the first.
    """

    tree: Head
    roots: dict[int, bytes] = field(default_factory=dict)
    wrong_hashes: int = 0
    first_wrong: str = ""

    def grow(self, reader: Reader, batch: list[bytes]) -> None:
        growth = append_leaves(self.tree, leaf_hashes(batch))
        self.tree = growth.head
        for level, number, wanted in growth.hashes:
            try:
                is_same = list(reader.hashes(level, number, 1)) == [wanted]
            except VerificationError:
                is_same = False
            if not is_same:
                self.wrong_hashes += 1
                self.first_wrong = self.first_wrong or (
                    f"the stored hash {number} of level {level} is not the one that its entries lead to"
                )


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
    since: AuditState | None = None,
    is_full: bool = False,
    is_fast: bool = False,
    recalled: Recalled | None = None,
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
        since: What an earlier audit has come to: its leaves are not read again if the tree still begins with them.
        is_full: Read all leaves nevertheless.
        is_fast: Leave the signatures of statements out, and say so.
        recalled: What head memory said before ``reader`` was opened, where that is a snapshot: else a keeper at work could have
            moved it beyond the snapshot meanwhile.
    """
    # Read in the order in which a keeper at work writes last: remembered <= signed <= counted <= head, so it never looks behind.
    known = recalled.known if recalled is not None else heads.recall(origin) if heads is not None else None
    newest = reader.checkpoint()
    count, head = reader.count(), reader.head()
    audit, base = Audit(origin), EMPTY
    if since is not None:
        audit, base = _go_on(examination, reader, since, head, newest)
        if is_full:
            audit, base = Audit(origin, evidence=audit.evidence), EMPTY
    findings = Findings(examination)
    ledger = Ledger(findings, audit, policy, reader, vault, now, root=base.root_hash)
    if since is not None and audit.start:
        ledger.keys.ended.update(since.ended)
        ledger.keys.replaced.update(since.replaced)
        if audit.gaps:
            findings.file(IncompleteError(f"GAP: {audit.gaps} declared before, the first at leaf {audit.gap_indexes[0]}"))
    shown = _open_published(examination, published, policy, origin)
    claims = _Claims(reader, policy, origin, audit.start, newest)
    wanted = {head.size, *(c.size for c in (known, shown) if c is not None)}
    scan = _Scan(base, {audit.start: base.root_hash})
    _read_all(examination, findings, ledger, audit, reader, scan, claims, wanted, head.size, progress, is_fast=is_fast)
    with examination.step(11, "stored hashes of subtrees are those of the entries"):
        if scan.first_wrong:
            more = f" (and {scan.wrong_hashes - 1} more)" if scan.wrong_hashes > 1 else ""
            raise VerificationError(scan.first_wrong + more)
    if count > head.size:
        with examination.step(11, "no leaf lies outside the tree"):
            raise VerificationError(f"the store holds {count} leaves, its head says {head.size}")
    _check_heads(examination, audit, policy, newest, scan, claims, head)
    _check_known(examination, known, audit, reader, scan.roots, newest)
    _check_published(examination, published, shown, audit, reader, scan.roots, newest)
    _check_compromises(findings, ledger.keys, reader, policy, audit)
    findings.finish()
    if heads is None:
        examination.notices.append("head not compared: no head memory was asked")
    elif audit.checkpoint is not None and _may_remember(examination, audit.checkpoint):
        checkpoint = audit.checkpoint.checkpoint
        known = heads.recall(origin)  # again: a keeper at work may have remembered more since
        if known is None or checkpoint.size > known.size:
            heads.remember(checkpoint)
        if not is_fast:
            audit.after = _after(audit, ledger, scan.tree)
    return audit


def _go_on(
    examination: Examination, reader: Reader, since: AuditState, head: Head, newest: SignedCheckpoint | None
) -> tuple[Audit, Head]:
    """Take up what an earlier audit has come to, if the store still begins with it; else begin anew."""
    audit = Audit(since.origin)
    with examination.step(10, "history continues what the last audit has read") as step:
        step.detail = f"size {since.size}"
        known = format_checkpoint(Checkpoint(since.origin, since.size, since.root_hash))
        pair = known, newest.note if newest is not None else b""
        if since.size > head.size:
            audit.evidence.append(pair)
            raise RollbackError(f"HALT_ROLLBACK: {since.size} leaves were audited, the first {head.size} are here", evidence=pair)
        try:
            base = head_at(since.size, reader.hashes)
            if since.size:
                proof = prove_consistency(since.size, head.size, reader.hashes)
                check_consistency(since.size, since.root_hash, head.size, head.root_hash, proof)
            if base.root_hash != since.root_hash:
                raise VerificationError("the stored hashes do not lead to it")
        except VerificationError as error:
            audit.evidence.append(pair)
            why = f"REWRITE before size {since.size}: history is not the one that was audited"
            raise RollbackError(why, evidence=pair) from error
        return since.begin(), base
    return audit, EMPTY


def _after(audit: Audit, ledger: Ledger, tree: Head) -> AuditState:
    return AuditState(
        audit.origin,
        audit.size,
        tree.root_hash,
        ledger.is_own_vault,
        bytes(audit.openings.places),
        tuple(audit.gap_indexes),
        tuple(audit.erasures),
        tuple(audit.open_erasures),
        audit.run_count,
        tuple(audit.open_runs),
        dict(ledger.keys.ended),
        dict(ledger.keys.replaced),
    )


def _read_all(
    examination: Examination,
    findings: Findings,
    ledger: Ledger,
    audit: Audit,
    reader: Reader,
    scan: _Scan,
    claims: _Claims,
    wanted: set[int],
    size: int,
    progress: Progress | None,
    *,
    is_fast: bool,
) -> None:
    """Read the leaves that nobody has read yet: each by itself, against all before it, and as a tree."""
    what = "entry, statement, key, chain and opening" if is_fast else "entry, statement, signature, key, chain and opening"
    with examination.step(11, f"every {what}") as step:
        batch: list[bytes] = []
        expected = audit.start
        if claims.due == expected:
            claims.meet(scan.tree.root_hash)
        try:
            with closing(read_leaves(reader, expected, is_fast=is_fast)) as leaves:
                for leaf in leaves:
                    if leaf.index >= size or leaf.index != expected:
                        break
                    expected += 1
                    ledger.take(leaf)
                    batch.append(leaf.record.entry)
                    if expected in wanted or expected == claims.due or len(batch) == _CHUNK:
                        scan.grow(reader, batch)
                        batch = []
                        if expected in wanted:
                            scan.roots[expected] = scan.tree.root_hash
                        if expected == claims.due:
                            claims.meet(scan.tree.root_hash)
                        if progress is not None:
                            progress(expected - audit.start, size - audit.start)
        except ApostilleError as error:
            findings.file(error)
        scan.grow(reader, batch)
        audit.size = expected
        claims.finish(expected)
        ledger.finish(tuple(audit.open_erasures))
        step.detail = f"{audit.summary}; {audit.run_count} runs" + (
            f"; {expected - audit.start} leaves are new, {audit.start} were read before" if audit.start else ""
        )
        if findings.count:
            step.outcome = "failed"
        if expected < size:
            step.outcome = "failed"
            findings.file(VerificationError(f"leaf {expected} is missing from the store"), expected, is_placed=True)
    if is_fast:
        examination.step(6, "the signature of each statement").outcome = "not checked"
        examination.notices.append("signatures of statements not checked (--fast)")


def _may_remember(examination: Examination, opened: VerifiedCheckpoint) -> bool:
    """A head is remembered if nothing is wrong with it, and who demands witnesses remembers none that they have not seen."""
    is_sound = not (examination.altered or examination.malformed or examination.untrusted)
    return is_sound and (opened.quorum == NO_QUORUM or opened.is_quorum_met)


def _check_heads(
    examination: Examination,
    audit: Audit,
    policy: Policy,
    newest: SignedCheckpoint | None,
    scan: _Scan,
    claims: _Claims,
    head: Head,
) -> None:
    with examination.step(4, "the entries lead to the head and to every signed checkpoint") as step:
        step.detail = f"{claims.count} checkpoints"
        for error in claims.wrong[1:]:
            examination.file(error, 4)
        if audit.size == head.size and scan.tree != head:
            raise VerificationError(f"the entries do not lead to the store's own head of size {head.size}")
        if claims.wrong:
            raise claims.wrong[0]
    if newest is None:
        with examination.step(2, "a checkpoint is signed"):
            raise IncompleteError("PENDING: no checkpoint has been signed yet")
        return
    _open_newest(examination, audit, policy, newest)
    if claims.count > 1 or claims.unsound:
        with examination.step(2, "every older checkpoint is signed by a pinned log") as step:
            step.detail = f"{claims.count - 1} checkpoints"
            for error in claims.unsound[1:MAX_LISTED]:
                examination.file(error, 2)
            if claims.unsound:
                raise claims.unsound[0]
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


def _root_of(size: int, audit: Audit, reader: Reader, roots: dict[int, bytes]) -> bytes | None:
    """Return the root of the first ``size`` leaves: as read now, or, of what an earlier audit has read, from stored hashes."""
    if size in roots:
        return roots[size]
    if size > audit.start:
        return None
    try:
        proof = prove_consistency(size, audit.start, reader.hashes) if size else ()
        root = root_at(size, reader.hashes)
        if size:
            check_consistency(size, root, audit.start, roots[audit.start], proof)
    except VerificationError:
        return None
    return root


def _check_known(
    examination: Examination,
    known: Checkpoint | None,
    audit: Audit,
    reader: Reader,
    roots: dict[int, bytes],
    newest: SignedCheckpoint | None,
) -> None:
    if known is None:
        examination.notices.append("no head of this log is remembered on this machine yet: an earlier rewrite would not show")
        return
    with examination.step(10, "history continues the head that this machine remembers") as step:
        step.detail = f"size {known.size}"
        pair = format_checkpoint(known), newest.note if newest is not None else b""
        if known.size > audit.size:
            audit.evidence.append(pair)
            raise RollbackError(
                f"HALT_ROLLBACK: a head of size {known.size} is remembered, the first {audit.size} leaves are here", evidence=pair
            )
        if _root_of(known.size, audit, reader, roots) != known.root_hash:
            audit.evidence.append(pair)
            raise RollbackError(
                f"REWRITE before size {known.size}: history is not the one that this machine remembers", evidence=pair
            )


def _open_published(examination: Examination, published: bytes | None, policy: Policy, origin: str) -> Checkpoint | None:
    if published is None:
        return None
    with examination.step(2, "the published checkpoint is signed by a pinned log"):
        shown = open_checkpoint(published, policy).checkpoint
        if shown.origin != origin:
            raise VerificationError(f"the published checkpoint is of another log: {shown.origin}")
        return shown
    return None


def _check_published(
    examination: Examination,
    published: bytes | None,
    shown: Checkpoint | None,
    audit: Audit,
    reader: Reader,
    roots: dict[int, bytes],
    newest: SignedCheckpoint | None,
) -> None:
    if shown is None or published is None:
        return
    with examination.step(10, "the published checkpoint is this store's"):
        pair = published, newest.note if newest is not None else b""
        claim = next(reader.checkpoints_from(shown.size), None)
        is_signed = claim is not None and (claim.size, claim.root_hash) == (shown.size, shown.root_hash)
        if shown.size <= audit.size and _root_of(shown.size, audit, reader, roots) != shown.root_hash:
            audit.evidence.append(pair)
            raise SplitViewError(
                f"SPLIT VIEW: the published checkpoint of size {shown.size} has another root than the entries lead to",
                evidence=pair,
            )
        if not is_signed:
            audit.evidence.append(pair)
            raise RollbackError(
                f"the published checkpoint of size {shown.size} is not one that this store has signed", evidence=pair
            )


def _check_compromises(findings: Findings, ring: Keyring, reader: Reader, policy: Policy, audit: Audit) -> None:
    """File what compromised keys have signed, unless a quorum of witnesses has dated a head over it before the compromise.

    The log's own clock, and a statement's, decide nothing: whoever has the key writes them as he likes.
    """
    if not ring.compromised:
        return
    covered = {key: _dated_before(reader, policy, audit.origin, found.since) for key, found in ring.compromised.items()}
    start = min(found.first for found in ring.compromised.values())
    for index, entry in _entries(reader, start, audit.size):
        try:
            signer = sha256(parse_entry(entry).spki)
        except MalformedError:
            continue  # a finding of its own
        found = ring.compromised.get(signer)
        if found is not None and covered[signer] <= index < found.index:
            why = f"its signer's key is compromised since {found.since} (revoked at {found.index})"
            findings.file(UntrustedError(f"{why}, and no quorum has dated it before"), index)
    for key, found in ring.compromised.items():
        if covered[key]:
            findings.tell(
                f"a key is compromised since {found.since}, revoked at {found.index}; what it signed below size {covered[key]} "
                "was witnessed before, and stands"
            )


def _entries(reader: Reader, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    for at in range(start, end, _CHUNK):
        yield from enumerate(reader.entries(at, min(_CHUNK, end - at)), at)


def _dated_before(reader: Reader, policy: Policy, origin: str, since: str) -> int:
    """Return the size of the last checkpoint that a quorum of witnesses has signed before a time; 0 for none."""
    limit = utc_ms(since) // 1000
    best = 0
    for claim in reader.checkpoints_from(0):
        try:
            opened = open_checkpoint(claim.note, policy)
        except (MalformedError, VerificationError):
            continue  # a finding of its own
        early = frozenset(name for name, seconds in opened.witnesses if name in opened.independent and seconds < limit)
        shown = opened.checkpoint
        is_this = (shown.origin, shown.size, shown.root_hash) == (origin, claim.size, claim.root_hash)
        if is_this and policy.quorum != NO_QUORUM and policy.is_met(policy.quorum, early):
            best = claim.size
    return best


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
    findings = Findings(examination)
    ledger = Ledger(findings, audit, policy, reader, vault, now)
    with examination.step(11, "every statement, signature, key and opening of the run; one chain without holes") as step:
        erasures = [index for index in reader.erasures() if _names_any(reader.record(index), indexes)]
        wanted = {place for index in (*indexes, *erasures) for place in _keys_of(reader, index)} | {*indexes, *erasures}
        for index in sorted(wanted):
            ledger.take(read_leaf(reader, index))
        ledger.finish()
        findings.finish()
        audit.size = len(indexes)
        step.detail = f"{len(indexes)} statements; {audit.summary}"
        if findings.count:
            step.outcome = "failed"
    if opened is None:
        return audit
    with examination.step(4, "every leaf is in the signed tree"):
        _check_included(reader, sorted(wanted), opened.checkpoint)
    if known is None:
        examination.notices.append("no head of this log is remembered on this machine yet: an earlier rewrite would not show")
    else:
        with examination.step(10, "the checkpoint continues the head that this machine remembers"):
            compare_head(known, opened.checkpoint, reader.hashes)
    return audit


def _check_included(reader: Reader, indexes: Sequence[int], checkpoint: Checkpoint) -> None:
    """Check that leaves are in the signed tree.

    An exchanged leaf whose stored hash was exchanged too spoils the proofs of all leaves around it: which one it was is then not
    to be told from the store alone, and none is accused.
    """
    outside: list[int] = []
    for index in indexes:
        if index >= checkpoint.size:
            raise IncompleteError(f"PENDING: leaf {index} is committed, not published yet")
        proof = prove_inclusion(index, checkpoint.size, reader.hashes)
        try:
            check_inclusion(index, checkpoint.size, leaf_hash(reader.record(index).entry), proof, checkpoint.root_hash)
        except InclusionError:
            outside.append(index)
    if len(outside) == 1 and len(indexes) > 1:
        raise InclusionError(f"leaf {outside[0]}: the entry is not the one at this index of the signed tree")
    if outside:
        raise InclusionError(
            f"the entry is not at index {outside[0]} of the signed tree, or one beside it was exchanged (up to {outside[-1]}); "
            "apostille log fsck compares each with the published tiles"
        )


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
