"""What the adapters share. Runs in the peers' own environment: nothing of ours is imported.

An adapter makes a ``Peer`` and hands it to ``run``, which prints one JSON line::

    {"sequential": records/s, "threaded": records/s or null, "version": .., "signs": .., "truncation": .., ..}

``python NAME.py FOLDER COUNT`` measures and probes; ``python NAME.py FOLDER COUNT write`` only writes COUNT records, so that
``strace`` can count its syncs.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

ANSWER = ("The refund of 42 EUR was approved on 2026-11-24 under rule 7b. " * 16)[:1000]
# A zero-width space, a right-to-left override, and "hi" in tag characters.
HIDDEN = "pay 149\u200b EUR \u202eRUE 941 \U000e0068\U000e0069"
_THREADS = 16


class Peer(Protocol):
    """One peer, opened in a folder of its own."""

    def append(self, text: str) -> None:
        """Record one answer, sealed and signed as its documentation recommends."""


def rate(append: Callable[[str], None], count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        append(ANSWER)
    return count / (time.perf_counter() - began)


def threaded(append: Callable[[str], None], count: int) -> float:
    faults: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(count // _THREADS):
                append(ANSWER)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            faults.append(error)

    workers = [threading.Thread(target=work) for _ in range(_THREADS)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if faults:
        raise faults[0]
    return count // _THREADS * _THREADS / (time.perf_counter() - began)


def probe(work: Callable[[], Any]) -> str:
    """Return what a probe says; a probe that fails says so."""
    try:
        return str(work())
    except Exception as error:  # noqa: BLE001 - said in the results
        return f"probe failed: {type(error).__name__}: {str(error)[:160]}"


def run(
    name: str,
    open_peer: Callable[[Path], Any],
    *,
    facts: dict[str, str],
    probes: dict[str, Callable[[Path], Any]],
    has_threads: bool = True,
) -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    peer = open_peer(folder / "rate")
    for _ in range(3):
        peer.append(ANSWER)
    if "write" in sys.argv:
        rate(peer.append, count)
        return
    found: dict[str, Any] = {"version": version(name), "sequential": rate(peer.append, count), "threaded": None, **facts}
    if has_threads:
        try:
            found["threaded"] = threaded(open_peer(folder / "threads").append, count)
        except Exception as error:  # noqa: BLE001 - said in the results
            found["note"] = f"{facts['note']} Threads failed: {type(error).__name__}: {str(error)[:120]}."
    for key, work in probes.items():
        found[key] = probe(lambda key=key, work=work: work(folder / f"probe-{key}"))
    if hasattr(peer, "close"):
        peer.close()
    print(json.dumps(found))
