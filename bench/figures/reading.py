"""Verifying receipts, and hashing a log again."""

from __future__ import annotations

import time
from typing import Any

from figures.machine import ANSWER
from figures.stage import Goal, Stage, in_signatures

_BATCH = 4096


def _receipts(stage: Stage, count: int) -> tuple[list[bytes], Any]:
    from apostille.core import note
    from apostille.core.policy import parse_policy

    keeper = stage.keeper()
    policy = parse_policy(f"log {note.format_vkey(keeper.signer.vkeys[0])}\nquorum none\n".encode())
    run = keeper.open_run(agent="bench")
    made = [run.output(ANSWER, ANSWER, profile="opaque", media_type="text/plain") for _ in range(count)]
    indexes = [pending.committed().index for pending in made]
    keeper.publish()
    receipts = [keeper.receipt_at(index)[1] for index in indexes]
    keeper.close()
    return receipts, policy


def _forget() -> None:
    """Empty what earlier verifications left in memory, so that the first one pays for everything."""
    import gc
    from functools import _lru_cache_wrapper

    for kept in gc.get_objects():
        if isinstance(kept, _lru_cache_wrapper) and str(getattr(kept, "__module__", "")).startswith("apostille"):
            kept.cache_clear()


def verification(stage: Stage, count: int) -> tuple[float, float]:
    """Return CPU microseconds of the first receipt of a log, and of each later one."""
    from apostille.services.verifier import verify_receipt

    receipts, policy = _receipts(stage, count)
    verify_receipt(receipts[0], policy, artifact=ANSWER)  # imports
    cold = []
    for receipt in receipts[:5]:
        _forget()
        began = time.thread_time()
        verify_receipt(receipt, policy, artifact=ANSWER)
        cold.append(time.thread_time() - began)
    rounds = []
    for _ in range(3):
        began = time.thread_time()
        for receipt in receipts:
            verify_receipt(receipt, policy, artifact=ANSWER)
        rounds.append((time.thread_time() - began) / count)
    return min(cold) * 1e6, min(rounds) * 1e6


def rehash(entries: list[bytes], count: int) -> float:
    """Return CPU seconds to hash ``count`` leaves and grow the tree over them, as an auditor does."""
    from apostille.core.merkle import leaf_hash
    from apostille.core.tree import EMPTY, append_leaves

    head, done = EMPTY, 0
    began = time.thread_time()
    while done < count:
        size = min(_BATCH, count - done)
        head = append_leaves(head, [leaf_hash(entries[(done + i) % len(entries)]) for i in range(size)]).head
        done += size
    return time.thread_time() - began


def measure(stage: Stage) -> None:
    """Measure them all."""
    from apostille.core.entry import Entry, format_entry
    from figures.stage import collected

    found: dict[str, float] = {}

    def cold() -> float:
        found["cold"], found["warm"] = verification(stage, stage.scaled(1_000))
        return found["cold"]

    stage.measure("verify a log's first receipt: checkpoint and key chain too", "µs CPU", cold, ratio=in_signatures)
    stage.measure(
        "verify a receipt, checkpoint and key chain known",
        "µs CPU",
        lambda: found["warm"],
        ratio=in_signatures,
        goal=Goal("250 µs", lambda value, _: value <= 250),
    )
    keeper = stage.keeper()
    entries = [format_entry(Entry(e.pae_digest, e.signature, e.spki)) for e in collected(keeper, 2_000)]
    keeper.close()
    count = stage.scaled(1_000_000)
    stage.measure(
        f"{count:,} leaves re-hashed to a root",
        "s CPU",
        lambda: rehash(entries, count),
        ratio=lambda value, r: f"{value / count * r:.3f} signatures each",
        goal=Goal(f"{3 * count / 1e6:g} s", lambda value, _: value <= 3 * count / 1e6),
        note="hashing alone: reading the store comes on top",
    )
