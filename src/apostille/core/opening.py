"""Openings: what a statement commits to without holding it, and how a commitment is checked.

    opening = salt[32] || bytes        digest = SHA-256(opening)        plain: digest = SHA-256(bytes)

Plain commitments exist for files only: without a salt a short output falls to anyone who hashes guesses.
"""

from __future__ import annotations

from apostille.core.digest import sha256
from apostille.errors import MalformedError

SALT_BYTES = 32


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
