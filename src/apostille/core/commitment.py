"""Making commitments: a salt for every subject of a record. Checking them is ``core.opening``.

    opening = salt[32] || bytes        digest = SHA-256(opening)
    salt(name) = HKDF-SHA256(IKM = seed[32], salt = "apostille/opening/v1", info = name, L = 32)

The seed is random, one per record, never stored and never handed out: one salt reveals no other. Plain commitments
(digest = SHA-256(bytes)) exist for files only: without a salt a short output falls to anyone who hashes guesses.
"""

from __future__ import annotations

from apostille.core.digest import sha256
from apostille.core.opening import SALT_BYTES

_BLOCK_BYTES = 64
_IPAD, _OPAD = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
_HKDF_SALT = b"apostille/opening/v1".ljust(_BLOCK_BYTES, b"\x00")
_EXTRACT_INNER, _EXTRACT_OUTER = _HKDF_SALT.translate(_IPAD), _HKDF_SALT.translate(_OPAD)


class RecordSeed:
    """The 32 random bytes that all salts of one record come from."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SALT_BYTES:
            raise ValueError("a record seed has 32 bytes")
        # HMAC by its definition (RFC 2104): the keyed halves are computed once a record; a call of hmac.digest a salt costs
        # ten times as much, and there are four and more salts in every statement.
        prk = sha256(_EXTRACT_OUTER + sha256(_EXTRACT_INNER + seed)).ljust(_BLOCK_BYTES, b"\x00")
        self._inner = prk.translate(_IPAD)
        self._outer = prk.translate(_OPAD)

    def salt(self, name: str) -> bytes:
        """Return the 32-byte salt of the subject ``name``.

        Spec: RFC 5869 section 2.3 with L = 32, so a single block: T(1) = HMAC(PRK, info || 0x01).
        """
        return sha256(self._outer + sha256(self._inner + name.encode("utf-8") + b"\x01"))
