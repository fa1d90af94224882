"""Private keys. Equal seeds give equal keys: the caller brings the random bytes, so this module holds no randomness.

Spec: RFC 5480 (SPKI), RFC 5958 (PKCS #8), RFC 6979 (deterministic ECDSA), RFC 8032, FIPS 204.
"""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa

from apostille.core import strict
from apostille.core.signatures import ED25519_PREFIX, key_details, key_id
from apostille.errors import ConfigurationError

P256_SEED_BYTES = 48
_CURVE = ec.SECP256R1()
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ECDSA_6979 = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


def spki_ed25519(public: bytes) -> bytes:
    """Return the SPKI of a raw 32-byte Ed25519 key."""
    return ED25519_PREFIX + public


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
    key_details(spki)  # refuses what is no key
    text = strict.base64_text(spki)
    body = "".join(text[i : i + 64] + "\n" for i in range(0, len(text), 64))
    return f"-----BEGIN PUBLIC KEY-----\n{body}-----END PUBLIC KEY-----\n".encode()
