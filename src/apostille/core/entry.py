"""The log entry: a Sigstore ``hashedrekord`` 0.0.2 that holds three small values and no content.

It is a template, all ASCII, filled with SHA-256(PAE), the signature and the signer's public key. 489 bytes with P-256.

Spec: Rekor v2, hashedrekord 0.0.2, in JCS; c2sp.org/tlog-tiles ("Log entries": at most 65,535 bytes).
"""

from __future__ import annotations

from dataclasses import dataclass

from apostille.core import strict
from apostille.errors import MalformedError

KIND = "hashedrekord"
VERSION = "0.0.2"
SPEC = "log entry"
P256 = "PKIX_ECDSA_P256_SHA_256"
ED25519 = "PKIX_ED25519"

_A = b'{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"'
_B = b'"},"signature":{"content":"'
_C = b'","verifier":{"keyDetails":"'
_D = b'","publicKey":{"rawBytes":"'
_E = b'"}}}}}}'


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
    return b"".join(
        (
            _A,
            b64(entry.pae_digest).encode(),
            _B,
            b64(entry.signature).encode(),
            _C,
            entry.key_details.encode(),
            _D,
            b64(entry.spki).encode(),
            _E,
        )
    )


def parse_entry(data: bytes) -> Entry:
    """Read the exact bytes of a leaf.

    Raises:
        MalformedError: Not the template, or values in another spelling.
    """
    try:
        rest = data.decode("ascii")
        found: list[str] = []
        for before, after in ((_A, _B), (_B, _C), (_C, _D), (_D, _E)):
            if not rest.startswith(before.decode()):
                raise ValueError
            value, mark, _ = rest[len(before) :].partition(after.decode())
            if not mark:
                raise ValueError
            found.append(value)
            rest = rest[len(before) + len(value) :]
        if rest != _E.decode() or found[2] not in (P256, ED25519):
            raise ValueError
    except ValueError as error:
        raise MalformedError("not a hashedrekord 0.0.2 entry in its one form", spec=SPEC) from error
    return Entry(
        strict.base64_bytes(found[0], size=32, spec=SPEC),
        strict.base64_bytes(found[1], spec=SPEC),
        strict.base64_bytes(found[3], spec=SPEC),
        found[2],
    )
