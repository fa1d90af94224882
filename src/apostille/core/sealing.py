"""Sealing: openings are stored encrypted from the first day, so that destroying one small key erases them.

    opening i (its place in ``subject``) = AES-256-GCM(DEK, nonce = u96be(i), opening, AAD = subject digest)
    DEK = 32 random bytes per record, wrapped by the erasure unit's KEK (AES-KW, 40 bytes)

The subject digest binds the content, never the ciphertext: GCM does not commit to its key. A DEK seals one record only, so the
counter nonces can't repeat.

Spec: NIST SP 800-38D, RFC 3394.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from apostille.errors import DigestMismatchError

KEY_BYTES = 32


def _nonce(place: int) -> bytes:
    return place.to_bytes(12, "big")


def seal(dek: bytes, openings: list[tuple[bytes, bytes]]) -> list[bytes]:
    """Encrypt the ``(digest, opening)`` pairs of one record, in the order of their subjects."""
    cipher = AESGCM(dek)
    return [cipher.encrypt(_nonce(place), opening, digest) for place, (digest, opening) in enumerate(openings)]


def unseal(dek: bytes, place: int, digest: bytes, ciphertext: bytes) -> bytes:
    """Decrypt one opening. It does **not** check the opening's digest: the caller does.

    Raises:
        DigestMismatchError: The ciphertext is not what was sealed under this key for this subject.
    """
    try:
        return AESGCM(dek).decrypt(_nonce(place), ciphertext, digest)
    except (InvalidTag, ValueError) as error:
        raise DigestMismatchError("a sealed opening does not decrypt: it was altered, or its key is another") from error


def wrap(kek: bytes, dek: bytes) -> bytes:
    """Wrap a record key under its erasure unit's key."""
    return aes_key_wrap(kek, dek)


def unwrap(kek: bytes, wrapped: bytes) -> bytes:
    """Unwrap a record key.

    Raises:
        DigestMismatchError: Altered, or wrapped by another key.
    """
    try:
        return aes_key_unwrap(kek, wrapped)
    except (InvalidUnwrap, ValueError) as error:
        raise DigestMismatchError("a record key does not unwrap: it was altered, or its erasure unit is another") from error
