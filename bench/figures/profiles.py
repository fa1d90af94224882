"""Where the time goes: the async path and a receipt's verification under cProfile, by module.

cProfile sees one thread at a time and makes small functions look dear: the parts are a map, not a measure.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from figures.machine import ANSWER
from figures.reading import _receipts
from figures.stage import Stage
from figures.writing import pour

_SHOWN = 14


def _shares(profile: cProfile.Profile) -> list[tuple[str, float]]:
    """Return parts of the own time, by module of ours and by foreign function."""
    profile.create_stats()
    own: dict[str, float] = defaultdict(float)
    for (file, _, name), (_, _, seconds, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        own[_label(file, name)] += seconds
    for idle in [name for name in own if ("lock" in name and "acquire" in name) or "select" in name or "poll" in name]:
        del own[idle]
    total = sum(own.values()) or 1.0
    return [(name, seconds / total) for name, seconds in sorted(own.items(), key=lambda item: -item[1])[:_SHOWN]]


def _label(file: str, name: str) -> str:
    parts = PurePath(file).parts
    if "apostille" in parts:
        return "/".join(parts[len(parts) - parts[::-1].index("apostille") :]).removesuffix(".py")
    if file == "~":
        # Never an address or a path: only what is called.
        return name.split(" at 0x", maxsplit=1)[0].strip("<>").replace("built-in method ", "").replace("method ", "")
    return f"{PurePath(file).stem}.{name}"


def _threads_profiled(work: Callable[[], Any]) -> cProfile.Profile:
    """Run ``work`` under one profile, and the sequencer's thread under another that is added to the answer's."""
    profile = cProfile.Profile()
    profile.enable()
    try:
        work()
    finally:
        profile.disable()
    return profile


def _commits(stage: Stage, count: int) -> cProfile.Profile:
    """Profile the sequencer's own thread while it commits signed, sealed statements."""
    from apostille.services import sequencer
    from figures.stage import collected

    profile = cProfile.Profile()
    original = sequencer.Sequencer._work

    def profiled(self: Any) -> None:
        if threading.current_thread().name == "apostille-sequencer" and not profile_used:
            profile_used.append(True)
            profile.enable()
            try:
                original(self)
            finally:
                profile.disable()
        else:
            original(self)

    profile_used: list[bool] = []
    sequencer.Sequencer._work = profiled  # type: ignore[method-assign]
    try:
        keeper = stage.keeper()
        tickets = [keeper.submit(entry) for entry in collected(keeper, count)]
        tickets[-1].wait()
        keeper.close()
    finally:
        sequencer.Sequencer._work = original  # type: ignore[method-assign]
    return profile


def measure(stage: Stage) -> dict[str, list[tuple[str, float]]]:
    """Return a table for each path; one that fails is left out and says so."""
    import apostille
    from apostille.services.verifier import verify_receipt

    count = stage.scaled(10_000)
    found: dict[str, list[tuple[str, float]]] = {}

    def attesting() -> cProfile.Profile:
        with apostille.open(stage.store().path) as store:
            asyncio.run(pour(store, 200))
            return _threads_profiled(lambda: asyncio.run(pour(store, count)))

    def verifying() -> cProfile.Profile:
        receipts, policy = _receipts(stage, stage.scaled(2_000))
        return _threads_profiled(lambda: [verify_receipt(receipt, policy, artifact=ANSWER) for receipt in receipts])

    paths = {
        "async SDK, the calling thread": attesting,
        "the sequencer's thread": lambda: _commits(stage, count),
        "verifying receipts of one log": verifying,
    }
    for name, work in paths.items():
        try:
            found[name] = _shares(work())
        except Exception as error:  # noqa: BLE001 - a profile that fails must not cost the figures
            found[name] = [(f"not available: {error!r}", 0.0)]
    return found
