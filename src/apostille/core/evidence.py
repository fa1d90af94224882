"""Writing evidence: envelopes, bundles, receipts, and the log's own signature lines.

Reading each is in the module of its name. Writers stand apart because an auditor who wants to believe a verdict need not read
them: what they write, the strict readers take or refuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apostille.core import bundle, checkpoint, dsse, entry, keys, note, receipt, strict


def envelope_json(envelope: dsse.Envelope) -> dict[str, Any]:
    """Return the JSON object of an envelope."""
    return {
        "payload": strict.base64_text(envelope.unverified_payload),
        "payloadType": dsse.PAYLOAD_TYPE,
        "signatures": [{"keyid": envelope.keyid, "sig": strict.base64_text(envelope.signature)}],
    }


def format_bundle(
    envelope: dsse.Envelope,
    leaf: bytes,
    index: int,
    hashes: Sequence[bytes],
    signed_note: bytes,
    log: note.VerifierKey,
    root: bytes,
    size: int,
) -> dict[str, Any]:
    """Return the JSON object of a bundle; ``strict.canonical_json`` of it is the file."""
    again = bundle.derive_redundant(envelope.keyid, log, index, root, size)
    return {
        "mediaType": bundle.MEDIA_TYPE,
        "dsseEnvelope": envelope_json(envelope),
        "verificationMaterial": {
            "publicKey": {"hint": again["hint"]},
            "tlogEntries": [
                {
                    "logIndex": again["logIndex"],
                    "logId": {"keyId": again["logId"]},
                    "kindVersion": {"kind": entry.KIND, "version": entry.VERSION},
                    "integratedTime": again["integratedTime"],
                    "canonicalizedBody": strict.base64_text(leaf),
                    "inclusionProof": {
                        "logIndex": again["inclusionProof.logIndex"],
                        "rootHash": again["rootHash"],
                        "treeSize": again["treeSize"],
                        "hashes": _hashes(hashes),
                        "checkpoint": {"envelope": strict.utf8(signed_note, spec="note")},
                    },
                }
            ],
        },
    }


def format_receipt(
    bundle_value: dict[str, Any],
    proofs: Sequence[receipt.KeyProof],
    *,
    salt: bytes | None,
    attributes: bytes | None = None,
    head: receipt.OldHead | None = None,
) -> bytes:
    """Write a published receipt."""
    value: dict[str, Any] = {"type": receipt.TYPE, "bundle": bundle_value, "keys": [_key(proof) for proof in proofs]}
    if salt is not None:
        value["salt"] = strict.base64_text(salt)
    if attributes is not None:
        value["attributes"] = strict.base64_text(attributes)
    if head is not None:
        value["head"] = {"size": head.size, "root": strict.base64_text(head.root_hash), "hashes": _hashes(head.hashes)}
    return strict.canonical_json(value)


def format_pending(pending: receipt.PendingReceipt) -> bytes:
    """Write a receipt from before publication."""
    inner = {"envelope": envelope_json(pending.envelope), "index": pending.index, "spki": strict.base64_text(pending.spki)}
    return strict.canonical_json({"type": receipt.TYPE, "pending": inner})


def log_lines(
    head: checkpoint.Checkpoint, ed25519: keys.Ed25519Key, mldsa44: keys.MlDsa44Key
) -> tuple[note.NoteSignature, note.NoteSignature]:
    """Sign a checkpoint as its log: the 0x01 and the 0x06 line."""
    first = note.VerifierKey(head.origin, note.ED25519, ed25519.public)
    second = note.VerifierKey(head.origin, note.MLDSA44, mldsa44.public)
    signed = mldsa44.sign(checkpoint.subtree_message(head.origin, 0, head))
    return (
        note.NoteSignature(first.name, first.key_id, ed25519.sign(checkpoint.format_checkpoint(head))),
        note.NoteSignature(second.name, second.key_id, bytes(8) + signed),
    )


def _key(proof: receipt.KeyProof) -> dict[str, Any]:
    return {
        "index": proof.index,
        "envelope": envelope_json(proof.envelope),
        "spki": strict.base64_text(proof.spki),
        "hashes": _hashes(proof.hashes),
    }


def _hashes(hashes: Sequence[bytes]) -> list[str]:
    return [strict.base64_text(item) for item in hashes]
