"""Does an append cost more in a large log? The store is filled fast, in direct commits, and entries are appended by the sequencer."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import Any

from figures.stage import Goal, Stage, collected

_BATCH = 4096
_STEP = 2000
_SIZES = (1_000, 10_000, 100_000, 1_000_000)
_ALLOWED = 1.5


def resident_mb() -> float:
    """Return this process's resident memory now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def fill(store: Any, record: Any, until: int) -> None:
    """Commit copies of a record, each with a leaf and an id of its own, until the store has so many leaves."""
    from apostille.core.merkle import leaf_hash
    from apostille.core.tree import append_leaves

    name = "nonce" if hasattr(record, "nonce") else "receipt_id"
    while (head := store.head()).size < until:
        batch = []
        for place in range(min(_BATCH, until - head.size)):
            leaf = (head.size + place).to_bytes(8, "big") + record.entry[8:]
            batch.append(dataclasses.replace(record, entry=leaf, leaf_hash=leaf_hash(leaf), **{name: os.urandom(16)}))
        store.commit(head, batch, append_leaves(head, [r.leaf_hash for r in batch]))


class _Growing:
    def __init__(self, stage: Stage) -> None:
        from apostille import wiring
        from apostille.services.vault import Sealer

        folder = stage.store()
        keeper = wiring.open_keeper(folder)
        run = keeper.open_run(agent="bench")
        index = run.output(b"x" * 1000, b"x" * 1000, profile="opaque", media_type="text/plain").committed().index
        self.entries = collected(keeper, _STEP)
        self.record = keeper.reader.record(index)
        keeper.close()
        self.store = wiring.SqliteStore(folder.database)
        self.sealer = Sealer(wiring.open_vault(folder), wiring.SystemRandom())
        self.first = 0.0
        self.first_mb = 0.0

    def append(self, size: int) -> tuple[float, str]:
        from apostille.services.sequencer import Sequencer

        fill(self.store, self.record, size)
        name = "nonce" if hasattr(self.record, "nonce") else "receipt_id"
        best = float("inf")
        for _ in range(3):
            entries = [dataclasses.replace(entry, **{name: os.urandom(16)}) for entry in self.entries]
            sequencer = Sequencer(self.store, self.sealer.seal, lambda _: None)
            began = time.process_time()
            tickets = [sequencer.submit(entry) for entry in entries]
            tickets[-1].wait()
            best = min(best, (time.process_time() - began) / len(entries) * 1e6)
            sequencer.close()
        memory = resident_mb()
        self.first, self.first_mb = self.first or best, self.first_mb or memory
        return best, f"resident memory {memory:.0f} MB, {memory - self.first_mb:+.0f} MB since the first size"


def measure(stage: Stage) -> None:
    """Measure at each size in one store."""
    growing = _Growing(stage)
    sizes = [size for size in _SIZES if size <= 100_000 or not stage.is_quick]
    for size in sizes:
        stage.measure(
            f"append, sealed, at {size:,} entries",
            "µs CPU",
            lambda size=size: growing.append(size),
            ratio=lambda value, _: f"{value / growing.first:.2f} x first",
            goal=Goal(f"does not grow (up to {_ALLOWED} x)", lambda value, _: value <= growing.first * _ALLOWED),
        )
    growing.store.close()
