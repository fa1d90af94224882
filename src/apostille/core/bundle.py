"""The Sigstore bundle: envelope, log entry, inclusion proof and checkpoint, as foreign tools read them.

int64 values are strings here, as in protobuf's JSON. Our own file is JCS. Several members say a thing twice (``hint``, ``logId``,
``rootHash`` ..): none of them decides anything, but each is compared with the value derived from what is trusted.

Spec: sigstore/protobuf-specs, bundle v0.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apostille.core import dsse, entry, note, strict
from apostille.core.digest import SIZE
from apostille.core.merkle import MAX_PROOF_HASHES
from apostille.errors import MalformedError

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SPEC = "bundle"


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle holds. Unverified.

    Attributes:
        envelope: The signed statement.
        index: Place of its leaf in the log.
        leaf: The exact bytes of the log entry.
        hashes: Inclusion proof, the leaf's sibling first.
        note: The checkpoint note, whole.
        redundant: Member to value, of all that says again what is derived elsewhere.
    """

    envelope: dsse.Envelope
    index: int
    leaf: bytes
    hashes: tuple[bytes, ...]
    note: bytes
    redundant: Mapping[str, str]


def derive_redundant(keyid: str, log: note.VerifierKey, index: int, root: bytes, size: int) -> dict[str, str]:
    """Return what the redundant members must say."""
    return {
        "hint": keyid,
        "logId": strict.base64_text(log.hash),
        "logIndex": str(index),
        "inclusionProof.logIndex": str(index),
        "rootHash": strict.base64_text(root),
        "treeSize": str(size),
        "integratedTime": "0",
        "keyid": keyid,
    }


def read_hashes(value: Any, *, spec: str) -> tuple[bytes, ...]:
    """Read a list of at most 63 base64 hashes.

    Raises:
        MalformedError: Anything else.
    """
    if not isinstance(value, list) or len(value) > MAX_PROOF_HASHES:
        raise MalformedError(f"not a list of at most {MAX_PROOF_HASHES} hashes", spec=spec)
    return tuple(strict.base64_bytes(item, size=SIZE, spec=spec) for item in value)


def parse_bundle(value: Any) -> Bundle:
    """Read the JSON object of a bundle of ours: closed members, one entry, managed key.

    Raises:
        MalformedError: Anything else.
    """
    strict.exact_members(value, {"mediaType", "dsseEnvelope", "verificationMaterial"}, spec=SPEC)
    material = strict.exact_members(value["verificationMaterial"], {"publicKey", "tlogEntries"}, spec=SPEC)
    public = strict.exact_members(material["publicKey"], {"hint"}, spec=SPEC)
    if value["mediaType"] != MEDIA_TYPE or not isinstance(material["tlogEntries"], list) or len(material["tlogEntries"]) != 1:
        raise MalformedError("not a v0.3 bundle with one log entry", spec=SPEC)
    item = strict.exact_members(
        material["tlogEntries"][0],
        {"logIndex", "logId", "kindVersion", "integratedTime", "canonicalizedBody", "inclusionProof"},
        spec=SPEC,
    )
    if item["kindVersion"] != {"kind": entry.KIND, "version": entry.VERSION}:
        raise MalformedError(f"the log entry is not a {entry.KIND} {entry.VERSION}", spec=SPEC)
    proof = strict.exact_members(item["inclusionProof"], {"logIndex", "rootHash", "treeSize", "hashes", "checkpoint"}, spec=SPEC)
    checkpoint = strict.exact_members(proof["checkpoint"], {"envelope"}, spec=SPEC)
    envelope = dsse.parse_envelope(value["dsseEnvelope"])
    redundant = {
        "hint": public["hint"],
        "logId": strict.exact_members(item["logId"], {"keyId"}, spec=SPEC)["keyId"],
        "logIndex": item["logIndex"],
        "inclusionProof.logIndex": proof["logIndex"],
        "rootHash": proof["rootHash"],
        "treeSize": proof["treeSize"],
        "integratedTime": item["integratedTime"],
        "keyid": envelope.keyid,
    }
    if not all(isinstance(given, str) and len(given) <= 64 for given in redundant.values()):
        raise MalformedError("a member that says a thing twice is not a string of at most 64 characters", spec=SPEC)
    return Bundle(
        envelope,
        strict.decimal(item["logIndex"], spec=SPEC),
        strict.base64_bytes(item["canonicalizedBody"], spec=SPEC),
        read_hashes(proof["hashes"], spec=SPEC),
        strict.string(checkpoint["envelope"], spec=SPEC, limit=note.MAX_NOTE_BYTES).encode(),
        redundant,
    )
