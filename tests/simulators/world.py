"""A whole small world in memory: a log with fixed keys, a clock that one sets, and randomness that repeats.

Only clock and randomness are simulated; commitments, signatures, tree and keeper are the real ones.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from apostille.core import keys, note
from apostille.core.checkpoint import Checkpoint
from apostille.core.digest import sha256
from apostille.core.policy import Policy, parse_policy
from apostille.ports import Store
from apostille.services.genesis import genesis
from apostille.services.keeper import Keeper, KeeperParts
from apostille.services.publisher import LogSigner
from apostille.storage.memory import MemoryStore
from apostille.storage.vault import MemoryVault


def seed(label: str) -> bytes:
    """The test keys of the shared vectors' README: SHA-256("apostille test key: " || label). Never for use."""
    return hashlib.sha256(b"apostille test key: " + label.encode()).digest()


class FixedClock:
    def __init__(self, now_ms: int = 1_795_489_202_125) -> None:
        self.now = now_ms

    def now_ms(self) -> int:
        self.now += 1
        return self.now

    def monotonic(self) -> float:
        return self.now / 1000


class CountingRandom:
    """Different bytes at every call, the same in every run."""

    def __init__(self, label: str = "") -> None:
        self._label = label
        self._count = 0

    def token(self, size: int) -> bytes:
        self._count += 1
        return hashlib.shake_256(f"{self._label}{self._count}".encode()).digest(size)


class MemoryHeads:
    def __init__(self) -> None:
        self.heads: dict[str, Checkpoint] = {}

    def recall(self, origin: str) -> Checkpoint | None:
        return self.heads.get(origin)

    def remember(self, checkpoint: Checkpoint) -> None:
        self.heads[checkpoint.origin] = checkpoint


class MemorySink:
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.size = 0

    def published_size(self) -> int:
        return self.size

    def checkpoint(self) -> bytes | None:
        return self.files.get("checkpoint")

    def write(self, path: str, data: bytes) -> None:
        assert self.files.setdefault(path, data) == data, f"{path} would be overwritten"

    def write_checkpoint(self, note_bytes: bytes, size: int) -> None:
        self.files["checkpoint"] = note_bytes
        self.size = size


@dataclass
class World:
    """One log and all that belongs to it."""

    label: str = ""
    store: Store = field(default_factory=MemoryStore)
    clock: FixedClock = field(default_factory=FixedClock)
    heads: MemoryHeads = field(default_factory=MemoryHeads)
    sink: MemorySink = field(default_factory=MemorySink)

    def __post_init__(self) -> None:
        self.random = CountingRandom(self.label)
        self.root = keys.StatementKey.from_seed(seed(self.label + "root"))
        origin = "apostille.invalid/" + sha256(self.root.spki)[:16].hex()
        self.signer = LogSigner(origin, keys.Ed25519Key(seed(self.label + "log")), keys.MlDsa44Key(seed(self.label + "log-pq")))
        self.vault = MemoryVault(self.random.token)
        self.keeper_key = keys.StatementKey.from_seed(seed(self.label + "keeper"))
        self.parts = KeeperParts(
            self.store, self.vault, self.signer, self.keeper_key, self.heads, self.sink, self.clock, self.random
        )
        if not self.store.head().size:
            genesis(self.parts, self.root, keys.StatementKey.from_seed(seed(self.label + "root-next")))

    def keeper(self) -> Keeper:
        return Keeper(self.parts, publish_interval_seconds=0.01)

    def policy(self, *, with_post_quantum: bool = False) -> Policy:
        first, second = self.signer.vkeys
        text = f"log {note.format_vkey(first)}\n"
        if with_post_quantum:
            text += f"witness log-pq {note.format_vkey(second)}\n"
        return parse_policy((text + "quorum none\n").encode())


SHARED = Path(__file__).resolve().parents[3] / "shared"
