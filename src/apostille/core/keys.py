"""Signature keys: the only door to ``cryptography`` besides ``core.sealing``.

Three algorithms, each where the formats need it: ECDSA P-256 for statements, Ed25519 and ML-DSA-44 for checkpoints. Private keys
are made from random bytes that the caller brings, so this module holds no randomness, and equal seeds give equal keys.

Spec: RFC 5480 and RFC 8410 (SPKI), RFC 6979 (deterministic ECDSA), RFC 8032, FIPS 204 (pure, empty context).
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa

from apostille.core import strict
from apostille.core.digest import sha256
from apostille.core.entry import ED25519, P256
from apostille.errors import ConfigurationError, InvalidSignatureError, MalformedError

P256_SEED_BYTES = 48
_MAX_DER = 72
_CURVE = ec.SECP256R1()
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_P256_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
_ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")
_ECDSA = ec.ECDSA(hashes.SHA256())
_ECDSA_6979 = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


def key_id(spki: bytes) -> str:
    """Return the key id of a statement key: base64 of SHA-256 of its SPKI."""
    return strict.base64_text(sha256(spki))


def spki_ed25519(public: bytes) -> bytes:
    """Return the SPKI of a raw 32-byte Ed25519 key."""
    return _ED25519_PREFIX + public


@lru_cache(maxsize=4096)
def _public(spki: bytes) -> tuple[str, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey]:
    try:
        if spki.startswith(_P256_PREFIX) and spki[len(_P256_PREFIX)] == 4:  # uncompressed points only: one spelling a key
            return P256, ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, spki[len(_P256_PREFIX) :])
        if spki.startswith(_ED25519_PREFIX):
            return ED25519, ed25519.Ed25519PublicKey.from_public_bytes(spki[len(_ED25519_PREFIX) :])
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


class StatementKey:
    """A private P-256 key that signs statements."""

    __slots__ = ("_key", "key_id", "spki")

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.key_id = key_id(self.spki)

    @classmethod
    def from_seed(cls, seed: bytes) -> StatementKey:
        """Make the key whose scalar is ``seed mod (n - 1) + 1``. 48 random bytes leave no measurable bias."""
        scalar = int.from_bytes(seed, "big") % (_ORDER - 1) + 1
        return cls(ec.derive_private_key(scalar, _CURVE))

    @classmethod
    def from_pem(cls, data: bytes) -> StatementKey:
        """Read an unencrypted PKCS#8 PEM file.

        Raises:
            ConfigurationError: Not a P-256 private key.
        """
        try:
            key = serialization.load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigurationError("not an unencrypted PEM private key") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != _CURVE.name:
            raise ConfigurationError("not a P-256 private key")
        return cls(key)

    def to_pem(self) -> bytes:
        """Return the private key as PKCS#8 PEM, unencrypted."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign(self, message: bytes) -> bytes:
        """Sign ``message``: ECDSA over SHA-256, RFC 6979, DER."""
        return self._key.sign(message, _ECDSA_6979)


class Ed25519Key:
    """A private Ed25519 key from a 32-byte seed."""

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        self._key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature."""
        return self._key.sign(message)


class MlDsa44Key:
    """A private ML-DSA-44 key from a 32-byte seed."""

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        self._key = mldsa.MLDSA44PrivateKey.from_seed_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Return the 2,420-byte signature (hedged, so two calls differ)."""
        return self._key.sign(message)


def public_pem(spki: bytes) -> bytes:
    """Return a public key as PEM, for ``openssl dgst -verify``."""
    _public(spki)
    text = strict.base64_text(spki)
    body = "".join(text[i : i + 64] + "\n" for i in range(0, len(text), 64))
    return f"-----BEGIN PUBLIC KEY-----\n{body}-----END PUBLIC KEY-----\n".encode()
