"""SHA-256, the one hash of apostille's own formats, and its printed forms."""

from __future__ import annotations

import hashlib

SIZE = 32
ZERO_HEX = "0" * 64


def sha256(data: bytes) -> bytes:
    """Return the 32 bytes of SHA-256 of ``data``."""
    return hashlib.sha256(data).digest()
