"""Verifying a receipt, offline, in the numbered order of the formats (section 12).

Trust comes from the policy alone: it pins the log's key, and the log's name pins the root key; every other key is reached through
key statements from genesis. Nothing is believed because it stands in the receipt.

It does **not** show that an output is right, safe or intended, nor that nothing else was said. A receipt checked alone knows
neither heads that others remember nor revocations: the result says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from apostille.core import dsse, keychain, predicates, strict
from apostille.core.bundle import derive_redundant
from apostille.core.digest import sha256
from apostille.core.entry import Entry, format_entry, parse_entry
from apostille.core.merkle import check_consistency, check_inclusion, leaf_hash
from apostille.core.opening import opening_digest, split_opening
from apostille.core.policy import NO_QUORUM, Policy, VerifiedCheckpoint, open_checkpoint
from apostille.core.receipt import KeyProof, PendingReceipt, Receipt, parse_receipt
from apostille.core.signatures import key_details, key_id, verify_statement_signature
from apostille.core.statement import Statement, parse_statement
from apostille.errors import DigestMismatchError, IncompleteError, MalformedError, PolicyError, UntrustedError
from apostille.services.examination import Examination

HEAD_NOT_COMPARED = "head not compared: only a remembered head or --log can show that history was not rewritten"
REVOCATION_NOT_CHECKED = "revocation not checked: a receipt alone does not show later key statements"
UNWITNESSED = "UNWITNESSED: no independent witness vouches for this log; its operator could have rebuilt it"


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """A receipt of which no step failed. Only this module makes it.

    Attributes:
        statement: What was said about the output.
        index: Its place in the log.
        digest: SHA-256 of the statement's PAE.
        checkpoint: The verified checkpoint that covers it.
        signer: Certificate of the key that signed it.
        attributes: Agent, principal, media type, model, ..: what the signer asserts. ``None`` if not disclosed.
        is_content_compared: Whether the output itself was at hand and matched.
    """

    statement: Statement
    index: int
    digest: bytes
    checkpoint: VerifiedCheckpoint
    signer: keychain.Certificate
    attributes: Mapping[str, Any] | None
    is_content_compared: bool

    @property
    def strength(self) -> str:
        """``UNWITNESSED``, or which witnesses have signed."""
        if not self.checkpoint.is_witnessed:
            return "UNWITNESSED"
        return "witnessed by " + ", ".join(self.checkpoint.independent)


def verify_receipt(data: bytes, policy: Policy, *, artifact: bytes | None = None) -> VerifiedReceipt:
    """Verify a receipt and return what it shows.

    Args:
        data: The receipt file.
        policy: The trust file.
        artifact: The output's canonical bytes.

    Raises:
        VerificationError: Something was altered; ``failures`` lists all that was found.
        MalformedError: Not a receipt.
        UntrustedError: The trust file does not lead to its keys.
        IncompleteError: Not published yet, quorum unmet, or ``artifact`` not given.
    """
    examination = Examination()
    verified = examine_receipt(examination, data, policy, artifact=artifact)
    examination.conclude()
    if verified is None:
        raise RuntimeError("an examination without failures has a value")
    return verified


def examine_receipt(
    examination: Examination, data: bytes, policy: Policy, *, artifact: bytes | None = None, overdue_before: str | None = None
) -> VerifiedReceipt | None:
    """Take all steps of a receipt's verification; ``None`` where anything but completeness failed.

    Args:
        examination: Where findings are filed.
        data: The receipt file.
        policy: The trust file.
        artifact: The output's canonical bytes.
        overdue_before: A minute ago as UTC text: an unpublished statement that is older is overdue.
    """
    parsed: Receipt | PendingReceipt | None = None
    with examination.step(1, "the receipt is well formed"):
        parsed = parse_receipt(data)
    if isinstance(parsed, PendingReceipt):
        _examine_pending(examination, parsed, overdue_before)
        return None
    if parsed is None:
        return None
    opened = _open(examination, parsed, policy)
    statement, entry = _examine_bundle(examination, parsed, opened)
    signer = None
    if opened is not None and statement is not None and entry is not None:
        with examination.step(8, "the signer's key is certified from genesis"):
            signer = _check_keys(examination, parsed, opened, statement, entry.spki)
    attributes, is_compared = None, False
    if statement is not None:
        attributes, is_compared = _examine_openings(examination, parsed, statement, artifact)
    if parsed.head is not None and opened is not None:
        with examination.step(10, "the checkpoint continues the head that the recipient named"):
            old, now = parsed.head, opened.checkpoint
            check_consistency(old.size, old.root_hash, now.size, now.root_hash, old.hashes)
    examination.notices += [HEAD_NOT_COMPARED, REVOCATION_NOT_CHECKED]
    is_sound = not (examination.altered or examination.malformed or examination.untrusted)
    if not is_sound or opened is None or statement is None or entry is None or signer is None:
        return None
    return VerifiedReceipt(statement, parsed.bundle.index, entry.pae_digest, opened, signer, attributes, is_compared)


def _open(examination: Examination, parsed: Receipt, policy: Policy) -> VerifiedCheckpoint | None:
    opened: VerifiedCheckpoint | None = None
    with examination.step(2, "the checkpoint is signed by a pinned log") as step:
        opened = open_checkpoint(parsed.bundle.note, policy)
        step.detail = f"{opened.checkpoint.origin}, size {opened.checkpoint.size}"
    if opened is None:
        return None
    with examination.step(2, "the trust file's quorum has signed") as step:
        if opened.quorum == NO_QUORUM:
            step.outcome, step.detail = "not checked", "the trust file asks for no witness"
        elif not opened.is_quorum_met:
            signed = ", ".join(name for name, _ in opened.witnesses) or "none"
            raise IncompleteError(f"QUORUM: {opened.quorum!r} is not met; signed: {signed}")
    if not opened.is_witnessed:
        examination.notices.append(UNWITNESSED)
    return opened


def _examine_bundle(
    examination: Examination, parsed: Receipt, opened: VerifiedCheckpoint | None
) -> tuple[Statement | None, Entry | None]:
    """Steps 3 to 7: the statement, and the log entry, which names the key that signed it."""
    bundle, envelope = parsed.bundle, parsed.bundle.envelope
    entry, spki = None, b""
    with examination.step(3, "members that say a thing twice agree") as step:
        entry = parse_entry(bundle.leaf)
        spki = entry.spki
        if opened is None:
            step.outcome = "not checked"
        else:
            shown = opened.checkpoint
            wanted = derive_redundant(key_id(spki), opened.log, bundle.index, shown.root_hash, shown.size)
            wrong = [name for name, value in wanted.items() if bundle.redundant[name] != value]
            if wrong:
                raise PolicyError(f"not what the verified data says: {', '.join(wrong)}")
    if opened is not None:
        with examination.step(4, "the log entry is in the tree"):
            shown = opened.checkpoint
            check_inclusion(bundle.index, shown.size, leaf_hash(bundle.leaf), bundle.hashes, shown.root_hash)
    with examination.step(5, "the log entry is the one of this statement, signature and key"):
        if _leaf(envelope, spki) != bundle.leaf:
            raise DigestMismatchError("the log entry is another statement's, or another signature's")
    return _examine_statement(examination, envelope, spki), entry


def _leaf(envelope: dsse.Envelope, spki: bytes) -> bytes:
    """Return the log entry that this statement, signature and key make."""
    digest = sha256(dsse.pae(envelope.unverified_payload))
    return format_entry(Entry(digest, envelope.signature, spki, key_details(spki)))


def _examine_statement(examination: Examination, envelope: dsse.Envelope, spki: bytes) -> Statement | None:
    """Steps 6 and 7."""
    with examination.step(6, "the statement's signature verifies"):
        verify_statement_signature(spki, envelope.signature, dsse.pae(envelope.unverified_payload))
    with examination.step(7, "the statement is well formed"):
        statement = parse_statement(envelope.unverified_payload)
        if statement.predicate["key_id"] != key_id(spki):
            raise PolicyError("the statement names another key than the one that signed it")
        return statement
    return None


def _check_keys(
    examination: Examination, parsed: Receipt, opened: VerifiedCheckpoint, statement: Statement, spki: bytes
) -> keychain.Certificate:
    signer = _read_chain(parsed.keys, opened)
    if not keychain.binds_origin(opened.log.name, parsed.keys[0].spki):
        examination.notices.append("the log's name does not bind its root key: the log key alone could replace it")
    if signer.spki_digest != sha256(spki):
        raise UntrustedError("the key chain leads to another key than the one that signed the statement")
    if statement.type == predicates.KEY:
        raise PolicyError("a receipt is for what was said, not for a key statement")
    keychain.check_signer(statement, parsed.bundle.index, signer)
    return signer


@lru_cache(maxsize=64)  # receipts share their chains; the key is all that the result depends on, and what raises is not kept
def _read_chain(proofs: tuple[KeyProof, ...], opened: VerifiedCheckpoint) -> keychain.Certificate:
    """Verify the key statements from genesis on, each in the tree and signed by the key before it; return the last."""
    first, *rest = proofs
    said, digest = _check_key_proof(first, opened)
    issuer = keychain.read_genesis(said, first.index, digest, first.spki, opened.log)
    for proof in rest:
        if sha256(proof.spki) != issuer.spki_digest:
            raise UntrustedError(f"the key statement at index {proof.index} is not signed by the key before it in the chain")
        said, digest = _check_key_proof(proof, opened)
        issuer = keychain.read_certificate(said, proof.index, digest, issuer)
    return issuer


def _check_key_proof(proof: KeyProof, opened: VerifiedCheckpoint) -> tuple[Statement, bytes]:
    said, digest, leaf = _read_key_statement(proof.envelope, proof.spki, proof.index)
    check_inclusion(proof.index, opened.checkpoint.size, leaf, proof.hashes, opened.checkpoint.root_hash)
    return said, digest


@lru_cache(maxsize=64)  # the chain of one log is the same under all its checkpoints
def _read_key_statement(envelope: dsse.Envelope, spki: bytes, index: int) -> tuple[Statement, bytes, bytes]:
    """Verify what a key statement is by itself; return it with SHA-256 of its PAE and its leaf hash."""
    message = dsse.pae(envelope.unverified_payload)
    leaf = _leaf(envelope, spki)
    if envelope.keyid != key_id(spki):
        raise PolicyError("the keyid of a key statement's envelope is not its signer's")
    verify_statement_signature(spki, envelope.signature, message, what=f"key statement at index {index}")
    said = parse_statement(envelope.unverified_payload)
    if said.predicate["key_id"] != envelope.keyid:
        raise PolicyError("a key statement names another key than the one that signed it")
    return said, sha256(message), leaf_hash(leaf)


def _examine_openings(
    examination: Examination, parsed: Receipt, statement: Statement, artifact: bytes | None
) -> tuple[Mapping[str, Any] | None, bool]:
    attributes: Mapping[str, Any] | None = None
    is_compared = False
    with examination.step(9, "the content is the one committed to") as step:
        is_salted = statement.predicate.get("commitment") == "salted"
        if not is_salted and parsed.salt is not None:
            raise PolicyError("a plain commitment has no salt")
        if artifact is None:
            step.outcome = "not checked"
            raise IncompleteError("content not compared: the output itself was not given (--artifact FILE)")
        if is_salted and parsed.salt is None:
            raise IncompleteError("content not compared: the receipt does not disclose the salt, or it was erased")
        if "canonical" not in statement.subjects:
            raise PolicyError("this statement commits to no output")
        if opening_digest(parsed.salt or b"", artifact) != statement.subjects["canonical"]:
            raise DigestMismatchError("the output is not the one that was committed to: its bytes differ")
        is_compared = True
    with examination.step(9, "the attributes are the ones committed to") as step:
        if parsed.attributes is None:
            step.outcome = "not checked"
            examination.notices.append("attributes not disclosed: agent and principal are not shown")
        else:
            if sha256(parsed.attributes) != statement.subjects["attributes"]:
                raise DigestMismatchError("the attributes are not the ones that were committed to")
            attributes = strict.canonical_json_value(split_opening(parsed.attributes)[1], spec="attributes")
            if not isinstance(attributes, dict):
                raise MalformedError("not an object", spec="attributes")
    return attributes, is_compared


def _examine_pending(examination: Examination, pending: PendingReceipt, overdue_before: str | None) -> None:
    with examination.step(3, "members that say a thing twice agree"):
        if pending.envelope.keyid != key_id(pending.spki):
            raise PolicyError("the envelope names another key than the one that signed it")
    statement = _examine_statement(examination, pending.envelope, pending.spki)
    with examination.step(2, "a signed checkpoint covers it"):
        if statement is not None and overdue_before is not None and statement.predicate["captured_at"] < overdue_before:
            raise IncompleteError("OVERDUE: committed, but not published within a minute; compare with --log")
        raise IncompleteError("PENDING: committed, not published yet; ask for the receipt again in a second")


def pending_leaf(pending: PendingReceipt) -> bytes:
    """Return the log entry that a pending receipt promises at its index."""
    return _leaf(pending.envelope, pending.spki)
