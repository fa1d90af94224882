"""A plain writer of tlog-tiles logs, for trees that no sample has: sizes at tile borders, wrong but signed checkpoints.

It computes each tile hash from its definition (formats.md section 6), level by level, with nothing kept between trees.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WIDTH = 256


@dataclass(frozen=True, slots=True)
class LogKey:
    """An Ed25519 note key made from a label, the same in every run."""

    name: str
    label: str = "plain log"
    private: Ed25519PrivateKey = field(init=False, repr=False)

    def __post_init__(self) -> None:
        seed = hashlib.sha256(self.label.encode()).digest()
        object.__setattr__(self, "private", Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def _typed_key(self) -> bytes:
        return b"\x01" + self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + self._typed_key).digest()[:4]

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(self._typed_key).decode()}"

    def sign(self, text: str) -> bytes:
        """Give the note with this text and one signature line."""
        line = base64.b64encode(self.key_id + self.private.sign(text.encode())).decode()
        return f"{text}\n\u2014 {self.name} {line}\n".encode()


def tree_root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Give the RFC 6962 root by splitting at the largest power of two below the size."""
    if not leaf_hashes:
        return hashlib.sha256().digest()
    if len(leaf_hashes) == 1:
        return leaf_hashes[0]
    split = 1 << (len(leaf_hashes) - 1).bit_length() - 1
    # SHA256(0x01 || left || right)
    return hashlib.sha256(b"\x01" + tree_root(leaf_hashes[:split]) + tree_root(leaf_hashes[split:])).digest()


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """Give the three lines of a checkpoint."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def write_log(folder: Path, entries: Sequence[bytes], key: LogKey) -> None:
    """Write checkpoint, hash tiles and entry bundles of a log with these entries."""
    leaf_hashes = [hashlib.sha256(b"\x00" + entry).digest() for entry in entries]
    for start in range(0, len(entries), WIDTH):
        bundle = entries[start : start + WIDTH]
        content = b"".join(len(entry).to_bytes(2, "big") + entry for entry in bundle)
        _write(folder / "tile" / "entries", start // WIDTH, len(bundle), content)
    level, hashes = 0, leaf_hashes
    while hashes:
        tiles = [hashes[start : start + WIDTH] for start in range(0, len(hashes), WIDTH)]
        for number, tile in enumerate(tiles):
            _write(folder / "tile" / str(level), number, len(tile), b"".join(tile))
        # Only a full tile has a hash one level up.
        level, hashes = level + 1, [tree_root(tile) for tile in tiles if len(tile) == WIDTH]
    text = checkpoint_text(key.name, len(entries), tree_root(leaf_hashes))
    (folder / "checkpoint").write_bytes(key.sign(text))


def _write(folder: Path, number: int, width: int, content: bytes) -> None:
    groups = [f"{number % 1000:03d}"]
    while number >= 1000:
        number //= 1000
        groups.insert(0, f"x{number % 1000:03d}")
    path = folder.joinpath(*groups)
    if width < WIDTH:
        path = path.with_name(path.name + ".p") / str(width)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
