"""Commitments: what a statement says of content, without holding it.

    opening = salt[32] || bytes        digest = SHA-256(opening)
    salt(name) = HKDF-SHA256(IKM = seed[32], salt = "apostille/opening/v1", info = name, L = 32)

The seed is random, one per record, never stored and never handed out: one salt reveals no other. Plain commitments
(digest = SHA-256(bytes)) exist for files only: without a salt a short output falls to anyone who hashes guesses.
"""

from __future__ import annotations

import hmac

from apostille.core.digest import sha256
from apostille.errors import MalformedError

SALT_BYTES = 32
_HKDF_SALT = b"apostille/opening/v1"


class RecordSeed:
    """The 32 random bytes that all salts of one record come from."""

    __slots__ = ("_prk",)

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SALT_BYTES:
            raise ValueError("a record seed has 32 bytes")
        self._prk = hmac.digest(_HKDF_SALT, seed, "sha256")

    def salt(self, name: str) -> bytes:
        """Return the 32-byte salt of the subject ``name``.

        Spec: RFC 5869 section 2.3 with L = 32, so a single block: T(1) = HMAC(PRK, info || 0x01).
        """
        return hmac.digest(self._prk, name.encode("utf-8") + b"\x01", "sha256")


def opening_digest(salt: bytes, content: bytes) -> bytes:
    """Return the subject digest SHA-256(salt || content). An empty salt gives the plain commitment."""
    return sha256(salt + content)


def split_opening(opening: bytes) -> tuple[bytes, bytes]:
    """Split a salted opening into salt and content.

    Raises:
        MalformedError: Shorter than a salt.
    """
    if len(opening) < SALT_BYTES:
        raise MalformedError("a salted opening has at least 32 bytes", spec="opening")
    return opening[:SALT_BYTES], opening[SALT_BYTES:]
