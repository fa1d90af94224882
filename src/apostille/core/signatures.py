"""Verifying signatures, and the one form of each public key.

Three algorithms, each where the formats need it: ECDSA P-256 for statements (Ed25519 as an option), Ed25519 and ML-DSA-44 for
checkpoints. Private keys are in ``core.keys``; nothing here signs.

Spec: RFC 5480 and RFC 8410 (SPKI), RFC 8032, FIPS 204 (pure, empty context).
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa

from apostille.core import strict
from apostille.core.digest import sha256
from apostille.core.entry import ED25519, P256
from apostille.errors import InvalidSignatureError, MalformedError

_MAX_DER = 72
_P256_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")
_ECDSA = ec.ECDSA(hashes.SHA256())


@lru_cache(maxsize=4096)
def key_id(spki: bytes) -> str:
    """Return the key id of a statement key: base64 of SHA-256 of its SPKI."""
    return strict.base64_text(sha256(spki))


@lru_cache(maxsize=4096)
def _public(spki: bytes) -> tuple[str, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey]:
    try:
        if spki.startswith(_P256_PREFIX) and spki[len(_P256_PREFIX)] == 4:  # uncompressed points only: one spelling a key
            return P256, ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), spki[len(_P256_PREFIX) :])
        if spki.startswith(ED25519_PREFIX):
            return ED25519, ed25519.Ed25519PublicKey.from_public_bytes(spki[len(ED25519_PREFIX) :])
    except (ValueError, IndexError) as error:
        raise MalformedError("not a point of the curve", spec="spki") from error
    raise MalformedError("neither a P-256 nor an Ed25519 public key in its one form", spec="spki")


def key_details(spki: bytes) -> str:
    """Return the Sigstore name of the key's algorithm.

    Raises:
        MalformedError: Not a key that we take.
    """
    return _public(spki)[0]


def verify_statement_signature(spki: bytes, signature: bytes, message: bytes, *, what: str = "statement") -> None:
    """Verify one P-256 (strict DER) or Ed25519 signature. It says nothing about who holds the key.

    Raises:
        MalformedError: ``spki`` is not a key that we take.
        InvalidSignatureError: The signature does not verify.
    """
    kind, public = _public(spki)
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, message)
            return
        if len(signature) > _MAX_DER:
            raise InvalidSignature
        public.verify(signature, message, _ECDSA)
    except InvalidSignature as error:
        raise InvalidSignatureError(f"the signature of the {what} does not verify ({kind})", key_name=key_id(spki)) from error


def verify_ed25519(public: bytes, signature: bytes, message: bytes, *, key_name: str) -> None:
    """Verify a raw Ed25519 signature.

    Raises:
        InvalidSignatureError: It does not verify, or the key is none.
    """
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise InvalidSignatureError(f"the Ed25519 signature of {key_name} does not verify", key_name=key_name) from error


def verify_mldsa44(public: bytes, signature: bytes, message: bytes, *, key_name: str) -> None:
    """Verify a pure ML-DSA-44 signature with an empty context.

    Raises:
        InvalidSignatureError: It does not verify, or the key is none.
    """
    try:
        mldsa.MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise InvalidSignatureError(f"the ML-DSA-44 signature of {key_name} does not verify", key_name=key_name) from error
