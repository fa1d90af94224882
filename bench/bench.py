"""Figures, as ratios to what this machine can do in the same run.

    r   P-256 signatures a second on one core (RFC 6979, 1 KB): no attested output can cost less than one of these
    c   durable SQLite commits of one small row a second, on the same file system

Each figure is measured between two measurements of r, and divided by their mean, since machines drift. Nothing here passes or
fails. Everything is sealed and durable. ``--quick`` for a look, ``--json`` for a machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ANSWER = ("The refund of 42 EUR was approved on 2026-11-24 under rule 7b. " * 16).encode()[:1000]


def signing_rate(seconds: float = 0.5) -> float:
    from apostille.core.keys import StatementKey

    key = StatementKey.from_seed(bytes(range(48)))
    end = time.perf_counter() + seconds
    count, began = 0, time.perf_counter()
    while time.perf_counter() < end:
        for _ in range(50):
            key.sign(ANSWER)
        count += 50
    return count / (time.perf_counter() - began)


def commit_rate(folder: Path, seconds: float = 1.0) -> float:
    import apsw

    path = folder / "commit-rate.sqlite"
    db = apsw.Connection(str(path))
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE IF NOT EXISTS t (x BLOB)")
    end = time.perf_counter() + seconds
    count, began = 0, time.perf_counter()
    while time.perf_counter() < end:
        db.execute("INSERT INTO t VALUES (?)", (ANSWER,))
        count += 1
    rate = count / (time.perf_counter() - began)
    db.close()
    return rate


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self._count = 0

    def keeper(self) -> Any:
        from apostille import wiring

        self._count += 1
        store = wiring.StoreFolder(self.folder / f"store{self._count}")
        wiring.init_store(store)
        return wiring.open_keeper(store)

    def measure(self, name: str, unit: str, work: Callable[[], float], *, ratio: str) -> float:
        before = signing_rate(0.25)
        value = work()
        r = statistics.mean((before, signing_rate(0.25)))
        row = {"figure": name, "value": round(value, 3), "unit": unit, "r": round(r)}
        if ratio == "of r":
            row["ratio"] = f"{value / r:.3f} r"
        elif ratio == "in signatures":
            row["ratio"] = f"{value * r / 1e6:.1f} signatures"
        elif ratio:
            row["ratio"] = ratio
        self.rows.append(row)
        print(f"{name:<58} {value:>12,.1f} {unit:<14} {row.get('ratio', '')}", file=sys.stderr)
        return value


def output(run: Any) -> Any:
    return run.output(ANSWER, ANSWER, profile="opaque", media_type="text/plain")


def asynchronous(bench: Bench, count: int) -> float:
    keeper = bench.keeper()
    run = keeper.open_run(agent="bench")

    async def one() -> None:
        await output(run)

    async def main() -> float:
        gate = asyncio.Semaphore(1024)

        async def bounded() -> None:
            async with gate:
                await one()

        began = time.perf_counter()
        await asyncio.gather(*(bounded() for _ in range(count)))
        return count / (time.perf_counter() - began)

    rate = asyncio.run(main())
    keeper.close()
    return rate


def threads(bench: Bench, count: int, number: int = 64) -> float:
    keeper = bench.keeper()
    run = keeper.open_run(agent="bench")

    def work() -> None:
        for _ in range(count // number):
            output(run).committed()

    workers = [threading.Thread(target=work) for _ in range(number)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    rate = count // number * number / (time.perf_counter() - began)
    keeper.close()
    return rate


def sequential(bench: Bench, count: int) -> float:
    keeper = bench.keeper()
    run = keeper.open_run(agent="bench")
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        output(run).committed()
        taken.append(time.perf_counter() - began)
    keeper.close()
    return statistics.median(taken) * 1000


def verification(bench: Bench, count: int) -> float:
    from apostille.core import note
    from apostille.core.policy import parse_policy
    from apostille.services.verifier import verify_receipt

    keeper = bench.keeper()
    policy = parse_policy(f"log {note.format_vkey(keeper.signer.vkeys[0])}\nquorum none\n".encode())
    run = keeper.open_run(agent="bench")
    made = [output(run) for _ in range(count)]
    made[-1].committed()
    keeper.publish()
    receipts = [keeper.receipt(pending.receipt_id)[1] for pending in made]
    began = time.perf_counter()
    for receipt in receipts:
        verify_receipt(receipt, policy, artifact=ANSWER)
    each = (time.perf_counter() - began) / count * 1e6
    keeper.close()
    return each


def growth(bench: Bench, sizes: tuple[int, ...]) -> None:
    keeper = bench.keeper()
    run = keeper.open_run(agent="bench")
    done = 0
    first = 0.0
    for size in sizes:
        step = min(1000, size - done)
        while done < size - step:
            batch = [output(run) for _ in range(min(2000, size - step - done))]
            batch[-1].committed()
            done += len(batch)

        began = time.perf_counter()
        batch = [output(run) for _ in range(step)]
        batch[-1].committed()
        value = (time.perf_counter() - began) / step * 1e6
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        first = first or value
        done += step
        name = f"append at {size:,} entries (peak memory {peak} MB)"
        bench.measure(name, "µs/output", lambda v=value: v, ratio=f"{value / first:.2f} x first")
    keeper.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_args()
    scale = 10 if options.quick else 1
    with tempfile.TemporaryDirectory(prefix="apostille-bench-") as name:
        folder = Path(name)
        os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        machine = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
        r, c = signing_rate(1.0), commit_rate(folder)
        print(f"r = {r:,.0f} P-256 signatures/s on one core; c = {c:,.0f} durable commits/s; {machine}", file=sys.stderr)
        bench = Bench(folder)
        bench.measure("attested outputs, async, one process", "outputs/s", lambda: asynchronous(bench, 20_000 // scale), ratio="of r")
        bench.measure("attested outputs, 64 threads", "outputs/s", lambda: threads(bench, 12_800 // scale), ratio="of r")
        commit_ms = 1000 / commit_rate(folder)
        each = sequential(bench, 1_000 // scale)
        bench.measure(
            "one sequential output, median", "ms", lambda: each, ratio=f"one commit ({commit_ms:.2f} ms) + {each - commit_ms:.2f} ms"
        )
        bench.measure("verify one receipt, its chain and checkpoint", "µs", lambda: verification(bench, 1_000 // scale), ratio="in signatures")
        growth(bench, (1_000, 10_000 // (scale // 2 or 1), 100_000 // scale))
        if options.json:
            print(json.dumps({"machine": machine, "r": round(r), "c": round(c), "figures": bench.rows}, indent=2))


if __name__ == "__main__":
    main()
