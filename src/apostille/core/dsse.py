"""DSSE: the signed wrapper around a statement.

    PAE = "DSSEv1" SP len(type) SP type SP len(body) SP body        lengths: decimal counts of bytes
    {"payload":b64(body),"payloadType":TYPE,"signatures":[{"keyid":b64(SHA-256(SPKI)),"sig":b64(DER)}]}

Reading an envelope verifies nothing. Exactly one signature: equality with the log entry binds it.

Spec: DSSE 1.0.2, protocol.md and envelope.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apostille.core import strict
from apostille.errors import MalformedEnvelopeError, MalformedError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
SPEC = "dsse"


def pae(body: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """Return the pre-authentication encoding, the bytes that are signed."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and one signature over its PAE.

    Attributes:
        unverified_payload: The statement's bytes. Nothing is known of them until the signature is verified.
        keyid: Base64 of SHA-256 of the signer's SPKI. It decides nothing; it is compared.
        signature: Strict DER of ECDSA P-256, or 64 bytes of Ed25519.
    """

    unverified_payload: bytes
    keyid: str
    signature: bytes


def parse_envelope(value: Any) -> Envelope:
    """Read the JSON object of an envelope of ours: closed members, the in-toto payload type, one signature.

    Raises:
        MalformedEnvelopeError: Anything else.
    """
    try:
        strict.exact_members(value, {"payload", "payloadType", "signatures"}, spec=SPEC)
        if value["payloadType"] != PAYLOAD_TYPE:
            raise MalformedError(f"payloadType is not {PAYLOAD_TYPE}", spec=SPEC)
        signatures = value["signatures"]
        if not isinstance(signatures, list) or len(signatures) != 1:
            raise MalformedError("not exactly one signature", spec=SPEC)
        strict.exact_members(signatures[0], {"keyid", "sig"}, spec=SPEC)
        strict.base64_bytes(signatures[0]["keyid"], size=32, spec=SPEC)
        return Envelope(
            strict.base64_bytes(value["payload"], spec=SPEC),
            signatures[0]["keyid"],
            strict.base64_bytes(signatures[0]["sig"], spec=SPEC),
        )
    except MalformedError as error:
        raise MalformedEnvelopeError(str(error)) from error
