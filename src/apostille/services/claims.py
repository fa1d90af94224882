"""Heads of a log that somebody claims, held against the roots that its leaves lead to.

    signed        every checkpoint of the store: its note, its size, its root
    remembered    what this machine has seen before: history has to continue it
    published     what the log shows to others: it has to be one that the store has signed

Spec: trust.md sections 3 and 8.
"""

from __future__ import annotations

from collections.abc import Iterator

from apostille.core.checkpoint import Checkpoint, format_checkpoint
from apostille.core.merkle import check_consistency
from apostille.core.policy import NO_QUORUM, Policy, VerifiedCheckpoint, open_checkpoint
from apostille.core.tree import HashReader, Head, prove_consistency, root_at
from apostille.errors import ApostilleError, IncompleteError, MalformedError, RollbackError, SplitViewError, VerificationError
from apostille.ports import Reader, SignedCheckpoint
from apostille.services.audit import Audit
from apostille.services.examination import Examination
from apostille.services.ledger import MAX_LISTED
from apostille.services.verifier import UNWITNESSED


class Claims:
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


def check_heads(
    examination: Examination,
    audit: Audit,
    policy: Policy,
    newest: SignedCheckpoint | None,
    tree: Head,
    claims: Claims,
    head: Head,
) -> None:
    """Check that the leaves lead to the store's own head and to all that was ever signed.

    Args:
        examination: Where findings are filed.
        audit: Its checkpoint is set.
        policy: The trust file.
        newest: The newest checkpoint.
        tree: What the leaves lead to.
        claims: All of them, met.
        head: The store's own head.
    """
    with examination.step(4, "the entries lead to the head and to every signed checkpoint") as step:
        step.detail = f"{claims.count} checkpoints"
        for error in claims.wrong[1:]:
            examination.file(error, 4)
        if audit.size == head.size and tree != head:
            raise VerificationError(f"the entries do not lead to the store's own head of size {head.size}")
        if claims.wrong:
            raise claims.wrong[0]
    if newest is None:
        with examination.step(2, "a checkpoint is signed"):
            raise IncompleteError("PENDING: no checkpoint has been signed yet")
        return
    open_newest(examination, audit, policy, newest)
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


def open_newest(examination: Examination, audit: Audit, policy: Policy, newest: SignedCheckpoint) -> None:
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


def may_remember(examination: Examination, opened: VerifiedCheckpoint) -> bool:
    """A head is remembered if nothing is wrong with it, and who demands witnesses remembers none that they have not seen."""
    is_sound = not (examination.altered or examination.malformed or examination.untrusted)
    return is_sound and (opened.quorum == NO_QUORUM or opened.is_quorum_met)


def check_known(
    examination: Examination,
    known: Checkpoint | None,
    audit: Audit,
    reader: Reader,
    roots: dict[int, bytes],
    newest: SignedCheckpoint | None,
) -> None:
    """Check that the leaves continue the remembered head."""
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


def open_published(examination: Examination, published: bytes | None, policy: Policy, origin: str) -> Checkpoint | None:
    """Verify the published note; return what it says, or ``None`` where there is none that holds."""
    if published is None:
        return None
    with examination.step(2, "the published checkpoint is signed by a pinned log"):
        shown = open_checkpoint(published, policy).checkpoint
        if shown.origin != origin:
            raise VerificationError(f"the published checkpoint is of another log: {shown.origin}")
        return shown
    return None


def check_published(
    examination: Examination,
    published: bytes | None,
    shown: Checkpoint | None,
    audit: Audit,
    reader: Reader,
    roots: dict[int, bytes],
    newest: SignedCheckpoint | None,
) -> None:
    """Check that the published checkpoint is one that this store has signed, of these leaves."""
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
