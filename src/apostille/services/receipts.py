"""Making receipts from what the store holds: bundle, key chain from genesis, and the salt of the canonical opening."""

from __future__ import annotations

from typing import Any

from apostille.core import dsse, evidence, note, receipt, statement
from apostille.core.digest import sha256
from apostille.core.entry import parse_entry
from apostille.core.evidence import format_bundle
from apostille.core.opening import SALT_BYTES
from apostille.core.signatures import key_id
from apostille.core.strict import base64_text, canonical_json
from apostille.core.tree import prove_consistency, prove_inclusion, root_at
from apostille.errors import MalformedError
from apostille.ports import Reader, Record, SignedCheckpoint, Vault
from apostille.services.attester import SALTED
from apostille.services.vault import open_record

_MAX_CHAIN = receipt.MAX_KEYS


def envelope_of(record: Record) -> tuple[dsse.Envelope, bytes]:
    """Return the envelope of a stored leaf and its signer's SPKI."""
    entry = parse_entry(record.entry)
    return dsse.Envelope(record.statement, key_id(entry.spki), entry.signature), entry.spki


def key_chain(reader: Reader, spki: bytes) -> list[int]:
    """Return the indexes of the key statements from genesis to the one that certifies ``spki``.

    Raises:
        MalformedError: The chain does not reach genesis.
    """
    chain: list[int] = []
    while len(chain) < _MAX_CHAIN:
        index = reader.index_of_key(sha256(spki))
        if index is None:
            break
        chain.append(index)
        if index == 0:
            return sorted(chain)
        spki = parse_entry(reader.record(index).entry).spki
    raise MalformedError("the key chain does not reach genesis", spec="store")


def build_bundle(reader: Reader, signed: SignedCheckpoint, log: note.VerifierKey, index: int) -> dict[str, Any]:
    """Return the Sigstore bundle of a leaf under a checkpoint that covers it."""
    record = reader.record(index)
    envelope, _ = envelope_of(record)
    hashes = prove_inclusion(index, signed.size, reader.hashes)
    return format_bundle(envelope, record.entry, index, hashes, signed.note, log, signed.root_hash, signed.size)


def build_receipt(
    reader: Reader, vault: Vault, signed: SignedCheckpoint, log: note.VerifierKey, index: int, *, since: int | None = None
) -> bytes:
    """Write the published receipt of a leaf.

    Args:
        reader: The store.
        vault: Unit keys, for the salt and the attributes; what is erased is left out.
        signed: A checkpoint that covers the leaf.
        log: The log's key.
        index: The leaf.
        since: Size of the last head that the recipient has, for a consistency proof from there.
    """
    record = reader.record(index)
    said = statement.parse_statement(record.statement)
    openings = open_record(vault, record, dict(said.subjects)) or {}
    canonical = openings.get("canonical")
    is_salted = said.predicate.get("commitment") == SALTED
    _, spki = envelope_of(record)
    proofs = []
    for place in key_chain(reader, spki):
        envelope, signer = envelope_of(reader.record(place))
        proofs.append(receipt.KeyProof(place, envelope, signer, prove_inclusion(place, signed.size, reader.hashes)))
    head = None
    if since is not None and 0 < since <= signed.size:
        root = root_at(since, reader.hashes)
        head = receipt.OldHead(since, root, prove_consistency(since, signed.size, reader.hashes))
    return evidence.format_receipt(
        build_bundle(reader, signed, log, index),
        proofs,
        salt=canonical[:SALT_BYTES] if canonical is not None and is_salted else None,
        attributes=openings.get("attributes"),
        head=head,
    )


def build_pending(reader: Reader, index: int) -> bytes:
    """Write the receipt of a leaf that no checkpoint covers yet."""
    envelope, spki = envelope_of(reader.record(index))
    return evidence.format_pending(receipt.PendingReceipt(envelope, index, spki))


def trusted_root(log: note.VerifierKey, spki: bytes) -> bytes:
    """Write Sigstore's ``trusted_root.json`` for foreign tools: this one log, Ed25519 by SPKI."""
    identity = {"keyId": base64_text(log.hash)}
    value = {
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [
            {
                "baseUrl": "https://" + log.name,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": base64_text(spki),
                    "keyDetails": "PKIX_ED25519",
                    "validFor": {"start": "2020-01-01T00:00:00Z"},
                },
                "logId": identity,
                "checkpointKeyId": identity,
            }
        ],
        "certificateAuthorities": [],
        "ctlogs": [],
        "timestampAuthorities": [],
    }
    return canonical_json(value)
