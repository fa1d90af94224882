"""The log entry: a Sigstore ``hashedrekord`` 0.0.2 that holds three small values and no content.

It is a template, all ASCII, filled with SHA-256(PAE), the signature and the signer's public key. 489 bytes with P-256.

Spec: Rekor v2, hashedrekord 0.0.2, in JCS; c2sp.org/tlog-tiles ("Log entries": at most 65,535 bytes).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from apostille.core import strict
from apostille.errors import MalformedError

KIND = "hashedrekord"
VERSION = "0.0.2"
SPEC = "log entry"
P256 = "PKIX_ECDSA_P256_SHA_256"
ED25519 = "PKIX_ED25519"

_TEMPLATE = (
    '{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"%s"},'
    '"signature":{"content":"%s","verifier":{"keyDetails":"%s","publicKey":{"rawBytes":"%s"}}}}}}'
)
_FORM = re.compile(re.escape(_TEMPLATE).replace("%s", '([^"]*)').encode())


@dataclass(frozen=True, slots=True)
class Entry:
    """The values in a log entry.

    Attributes:
        pae_digest: SHA-256 of the PAE, 32 bytes.
        signature: As in the envelope.
        spki: DER SubjectPublicKeyInfo of the signer.
        key_details: ``P256`` or ``ED25519``.
    """

    pae_digest: bytes
    signature: bytes
    spki: bytes
    key_details: str = P256


def format_entry(entry: Entry) -> bytes:
    """Write the exact bytes of the leaf."""
    b64 = strict.base64_text
    return (_TEMPLATE % (b64(entry.pae_digest), b64(entry.signature), entry.key_details, b64(entry.spki))).encode()


def parse_entry(data: bytes) -> Entry:
    """Read the exact bytes of a leaf.

    Raises:
        MalformedError: Not the template, or values in another spelling.
    """
    found = _FORM.fullmatch(data)
    if found is None or not data.isascii() or found[3].decode() not in (P256, ED25519):
        raise MalformedError("not a hashedrekord 0.0.2 entry in its one form", spec=SPEC)
    digest, signature, details, spki = (value.decode() for value in found.groups())
    return Entry(
        strict.base64_bytes(digest, size=32, spec=SPEC),
        strict.base64_bytes(signature, spec=SPEC),
        strict.base64_bytes(spki, spec=SPEC),
        details,
    )
