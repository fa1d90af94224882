"""Verifying a whole store: every entry, statement, signature, key, chain and opening, against signed heads.

Nothing that the store says of itself is believed: leaf hashes are recomputed from the entries, roots from the leaf hashes, and
compared with the checkpoints that the pinned log key has signed and with the head that this machine remembers. What an earlier
audit has read (``since``) is not read again: that the tree still begins with it is proven.

It does **not** show that an operator who holds the log key has not rebuilt everything: only somebody who remembers a head can.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from apostille.core.checkpoint import Checkpoint, format_checkpoint
from apostille.core.merkle import check_consistency
from apostille.core.policy import Policy
from apostille.core.tree import EMPTY, Head, append_leaves, head_at, leaf_hashes, prove_consistency
from apostille.errors import ApostilleError, IncompleteError, RollbackError, VerificationError
from apostille.ports import HeadMemory, Reader, SignedCheckpoint, Vault
from apostille.services.audit import Audit, AuditState
from apostille.services.binding import read_leaves
from apostille.services.claims import Claims, check_heads, check_known, check_published, may_remember, open_published
from apostille.services.compromises import check_compromises
from apostille.services.examination import Examination
from apostille.services.ledger import Findings, Ledger

_CHUNK = 256
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Recalled:
    """What head memory said at some moment; ``None`` for nothing."""

    known: Checkpoint | None


class _Regrown:
    """The tree that the entries lead to, held against the stored hashes and the heads that somebody claims while it grows.

    Args:
        reader: The store.
        base: What an earlier audit has read.
        claims: Signed checkpoints.
        wanted: Sizes whose root is asked for later.

    Attributes:
        tree: As far as it has grown.
        roots: Size to root, as wanted.
    """

    def __init__(self, reader: Reader, base: Head, claims: Claims, wanted: set[int]) -> None:
        self._reader = reader
        self._claims = claims
        self._wanted = wanted
        self._batch: list[bytes] = []
        self._wrong_count = 0
        self._first_wrong = ""
        self.tree = base
        self.roots = {base.size: base.root_hash}
        if claims.due == base.size:
            claims.meet(base.root_hash)

    def add(self, entry: bytes) -> bool:
        """Take the next entry; tell whether the tree has grown."""
        self._batch.append(entry)
        size = self.tree.size + len(self._batch)
        if size in self._wanted or size == self._claims.due or len(self._batch) == _CHUNK:
            self.grow()
        return not self._batch

    def grow(self) -> None:
        """Take in what is waiting."""
        growth = append_leaves(self.tree, leaf_hashes(self._batch))
        self._batch = []
        self.tree = growth.head
        for level, number, wanted in growth.hashes:
            try:
                is_same = list(self._reader.hashes(level, number, 1)) == [wanted]
            except VerificationError:
                is_same = False
            if not is_same:
                self._wrong_count += 1
                self._first_wrong = self._first_wrong or f"the stored hash {number} of level {level}"
        if self.tree.size in self._wanted:
            self.roots[self.tree.size] = self.tree.root_hash
        if self.tree.size == self._claims.due:
            self._claims.meet(self.tree.root_hash)

    def check_hashes(self) -> None:
        """Raise ``VerificationError`` for stored hashes that are not what the entries lead to."""
        if self._first_wrong:
            more = f" (and {self._wrong_count - 1} more)" if self._wrong_count > 1 else ""
            raise VerificationError(f"{self._first_wrong} is not the one that its entries lead to{more}")


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
    shown = open_published(examination, published, policy, origin)
    claims = Claims(reader, policy, origin, audit.start, newest)
    wanted = {head.size, *(c.size for c in (known, shown) if c is not None)}
    regrown = _Regrown(reader, base, claims, wanted)
    with examination.step(11, "every entry, statement, " + ("" if is_fast else "signature, ") + "key, chain and opening") as step:
        _read_all(findings, ledger, audit, reader, regrown, head.size, progress, is_fast=is_fast)
        claims.finish(audit.size)
        since_then = f"; {audit.size - audit.start} leaves are new, {audit.start} were read before" if audit.start else ""
        step.detail = f"{audit.summary}; {audit.run_count} runs{since_then}"
        if findings.count:
            step.outcome = "failed"
    if is_fast:
        examination.step(6, "the signature of each statement").outcome = "not checked"
        examination.notices.append("signatures of statements not checked (--fast)")
    with examination.step(11, "stored hashes of subtrees are those of the entries"):
        regrown.check_hashes()
    if count > head.size:
        with examination.step(11, "no leaf lies outside the tree"):
            raise VerificationError(f"the store holds {count} leaves, its head says {head.size}")
    check_heads(examination, audit, policy, newest, regrown.tree, claims, head)
    check_known(examination, known, audit, reader, regrown.roots, newest)
    check_published(examination, published, shown, audit, reader, regrown.roots, newest)
    check_compromises(findings, ledger.keys, reader, policy, audit)
    findings.finish()
    if heads is None:
        examination.notices.append("head not compared: no head memory was asked")
    elif audit.checkpoint is not None and may_remember(examination, audit.checkpoint):
        checkpoint = audit.checkpoint.checkpoint
        known = heads.recall(origin)  # again: a keeper at work may have remembered more since
        if known is None or checkpoint.size > known.size:
            heads.remember(checkpoint)
        if not is_fast:
            audit.after = _after(audit, ledger, regrown.tree)
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
    """Return from where the next audit can go on."""
    return AuditState(
        origin=audit.origin,
        size=audit.size,
        root_hash=tree.root_hash,
        has_keys=ledger.has_own_keys,
        places=bytes(audit.openings.places),
        gaps=tuple(audit.gap_indexes),
        erasures=tuple(audit.erasures),
        open_erasures=tuple(sorted(audit.open_erasures)),
        run_count=audit.run_count,
        runs=tuple(audit.open_runs),
        ended=dict(ledger.keys.ended),
        replaced=dict(ledger.keys.replaced),
    )


def _read_all(
    findings: Findings,
    ledger: Ledger,
    audit: Audit,
    reader: Reader,
    regrown: _Regrown,
    size: int,
    progress: Progress | None,
    *,
    is_fast: bool,
) -> None:
    """Read the leaves that nobody has read yet: each by itself, against all before it, and as a tree."""
    expected = audit.start
    try:
        with closing(read_leaves(reader, expected, is_fast=is_fast)) as leaves:
            for leaf in leaves:
                if leaf.index >= size or leaf.index != expected:
                    break
                expected += 1
                ledger.take(leaf)
                if regrown.add(leaf.record.entry) and progress is not None:
                    progress(expected - audit.start, size - audit.start)
    except ApostilleError as error:
        findings.file(error)
    regrown.grow()
    audit.size = expected
    ledger.finish(tuple(audit.open_erasures))
    if expected < size:
        findings.file(VerificationError(f"leaf {expected} is missing from the store"), expected, is_placed=True)
