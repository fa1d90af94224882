"""Examining one run of a store: what it rests on is read, other runs are not.

``services.auditor`` reads everything.
"""

from __future__ import annotations

from collections.abc import Sequence

from apostille.core.checkpoint import Checkpoint
from apostille.core.entry import parse_entry
from apostille.core.merkle import check_inclusion, leaf_hash
from apostille.core.policy import Policy
from apostille.core.statement import parse_statement
from apostille.core.tree import prove_inclusion
from apostille.errors import InclusionError, IncompleteError, MalformedError
from apostille.ports import HeadMemory, Reader, Record, Vault
from apostille.services.audit import Audit
from apostille.services.binding import read_leaf
from apostille.services.claims import compare_head, open_newest
from apostille.services.examination import Examination
from apostille.services.ledger import Findings, Ledger
from apostille.services.ownership import replaced_by
from apostille.services.receipts import key_chain


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
        open_newest(examination, audit, policy, signed)
    opened = audit.checkpoint
    indexes = reader.run_indexes(bytes.fromhex(run))
    findings = Findings(examination)
    ledger = Ledger(findings, audit, policy, reader, vault, now)
    wanted = set(indexes)  # at least: what else they need may not be there to be read
    with examination.step(11, "every statement, signature, key and opening of the run; one chain without holes") as step:
        erasures = [index for index in reader.erasures() if _names_any(reader.record(index), indexes)]
        wanted |= {place for index in (*indexes, *erasures) for place in _keys_of(reader, index)} | {*erasures}
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


def _names_any(record: Record, indexes: Sequence[int]) -> bool:
    """Tell whether a leaf claims to erase any of these leaves; what it is gets examined with them."""
    try:
        said = parse_statement(record.statement)
    except MalformedError:
        return False
    return any(f"leaf/{index}" in said.subjects for index in indexes)


def _keys_of(reader: Reader, index: int) -> list[int]:
    try:
        found = key_chain(reader, parse_entry(reader.record(index).entry).spki)
        return [*found, *_replaced_by(reader, found[-1])] if found else []
    except MalformedError:
        return []  # what is wrong with the leaf is found when it is examined


def _replaced_by(reader: Reader, index: int) -> list[int]:
    """Return the statements of the keys in whose place a key came, one after the other."""
    found: list[int] = []
    while (replaced := replaced_by(parse_statement(reader.record(index).statement))) is not None:
        earlier = reader.index_of_key(replaced)
        if earlier is None or earlier >= index:  # the examination says so
            break
        index = earlier
        found.append(index)
    return found
