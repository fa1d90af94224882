"""Attested outputs: through the async SDK, with threads, one after the other, from two processes, and signed beforehand."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from figures.machine import ANSWER, commit_seconds
from figures.stage import Goal, NotAvailableError, Stage, collected, of_r

TEXT = ANSWER.decode()
_IN_FLIGHT = 1024
_THREADS = 64
_KEEPER_START_SECONDS = 20.0


async def pour(store: Any, count: int, in_flight: int = _IN_FLIGHT) -> float:
    """Attest ``count`` outputs through the public async SDK, so many at a time; return outputs a second."""
    async with store.run(agent="bench") as run:
        await run.output(TEXT)
        left = iter(range(count))

        async def worker() -> None:
            for _ in left:
                await run.output(TEXT)

        began = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(in_flight)))
        return count / (time.perf_counter() - began)


def asynchronous(stage: Stage, count: int) -> float:
    import apostille

    with apostille.open(stage.store().path) as store:
        return asyncio.run(pour(store, count))


def threads(stage: Stage, count: int) -> float:
    import apostille

    each = count // _THREADS
    with apostille.open(stage.store().path) as store, store.run(agent="bench") as run:

        def work() -> None:
            for _ in range(each):
                run.output(TEXT)

        workers = [threading.Thread(target=work) for _ in range(_THREADS)]
        began = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return each * _THREADS / (time.perf_counter() - began)


def sequential_rate(stage: Stage, count: int) -> float:
    """Return outputs a second, one after the other: what a peer's sequential rate is held against."""
    return 1 / statistics.mean(_each(stage, count))


def _each(stage: Stage, count: int) -> list[float]:
    import apostille

    taken = []
    with apostille.open(stage.store().path) as store, store.run(agent="bench") as run:
        for _ in range(count):
            began = time.perf_counter()
            run.output(TEXT)
            taken.append(time.perf_counter() - began)
    return taken


def sequential(stage: Stage, count: int) -> tuple[float, str]:
    """Return the milliseconds that one output takes beyond one durable commit of 1 KB, measured before and after it."""
    before = statistics.median(commit_seconds(stage.folder))
    each = statistics.median(_each(stage, count)) * 1000
    commit = statistics.mean((before, statistics.median(commit_seconds(stage.folder)))) * 1000
    return each - commit, f"median {each:.2f} ms, of which one durable commit {commit:.2f} ms"


def presigned(stage: Stage, count: int) -> float:
    """Return entries a second that the log takes when they come signed, without contents to seal."""
    keeper = stage.keeper()
    try:
        entries = [dataclasses.replace(entry, openings=()) for entry in collected(keeper, count)]
        began = time.perf_counter()
        tickets = [keeper.submit(entry) for entry in entries]
        tickets[-1].wait()
        return count / (time.perf_counter() - began)
    finally:
        keeper.close()


def disk(stage: Stage, count: int) -> float:
    """Return the bytes that a closed store has on disk for one output, tiles included."""
    import apostille

    folder = stage.store()
    with apostille.open(folder.path) as store:
        asyncio.run(pour(store, count))
    return sum(path.stat().st_size for path in Path(folder.path).rglob("*") if path.is_file()) / count


def two_processes(stage: Stage, count: int) -> tuple[float, str]:
    """Return outputs a second of two client processes together, with the keeper as a process of its own."""
    command = [sys.executable, "-m", "apostille.faces.cli"]
    command = [str(Path(sys.executable).with_name("apostille"))] if _has_script() else command
    if subprocess.run([*command, "keeper", "--help"], capture_output=True, check=False).returncode:
        raise NotAvailableError("this apostille has no keeper command")
    store = stage.store()
    keeper = subprocess.Popen([*command, "--quiet", "--store", str(store.path), "keeper"])
    try:
        _wait_for_keeper(store, keeper)
        # Both say READY when they have opened a run, start at one word, and tell how long they took.
        clients = [_client(store.path, count // 2) for _ in range(2)]
        for client in clients:
            if client.stdout.readline() != "READY\n":
                raise NotAvailableError("a client could not open the store of a live keeper")
        before = [_cpu_seconds(process.pid) for process in (keeper, *clients)]
        for client in clients:
            client.stdin.write("GO\n")
            client.stdin.flush()
        took = [float(client.stdout.readline()) for client in clients]
        kept, *said = [_cpu_seconds(process.pid) - first for process, first in zip((keeper, *clients), before, strict=True)]
        for client in clients:
            client.wait(60)
        each = 1e6 / (count // 2 * 2)
        note = f"{os.cpu_count()} cores for three processes; CPU of one output: keeper {kept * each:.0f} µs, its client {sum(said) * each:.0f} µs"
        return count // 2 * 2 / max(took), note
    finally:
        keeper.terminate()
        keeper.wait(60)


def _cpu_seconds(process: int) -> float:
    """Return what a process has used so far."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _has_script() -> bool:
    return Path(sys.executable).with_name("apostille").exists()


def _wait_for_keeper(store: Any, keeper: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _KEEPER_START_SECONDS
    while time.monotonic() < end:
        if keeper.poll() is not None:
            raise NotAvailableError(f"the keeper ended with {keeper.returncode}")
        if any(path.is_socket() for path in Path(store.path).rglob("*")):
            return
        time.sleep(0.05)
    time.sleep(1)  # the socket may be elsewhere: let the clients find out


def _client(path: Path, count: int) -> Any:
    here = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))}
    return subprocess.Popen(
        [sys.executable, "-m", "figures.client", str(path), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def measure(stage: Stage) -> None:
    """Measure them all."""
    goal = "{} r"
    rate = [(asynchronous, 0.25, "attested outputs, async SDK, one process", 20_000)]
    rate += [(threads, 0.15, f"attested outputs, {_THREADS} threads", 12_800)]
    rate += [(two_processes, 0.35, "attested outputs, two client processes and the keeper", 20_000)]
    rate += [(presigned, 0.7, "signed entries into the log, nothing to seal", 40_000)]
    for work, part, name, count in rate:
        stage.measure(
            name,
            "outputs/s" if work is not presigned else "entries/s",
            # Fewer signed entries would fit one batch and say little of a log that goes on.
            lambda work=work, count=count: work(stage, count if work is presigned else stage.scaled(count)),
            ratio=of_r,
            goal=Goal(goal.format(part), lambda value, r, part=part: value >= part * r),
        )
    stage.measure(
        "one sequential output, beyond one durable commit",
        "ms",
        lambda: sequential(stage, stage.scaled(1_000)),
        ratio=lambda value, r: f"{value * r / 1000:.1f} signatures",
        goal=Goal("0.4 ms", lambda value, _: value <= 0.4),
    )
    stage.measure(
        "disk for one output of 1 KB", "bytes", lambda: disk(stage, stage.scaled(10_000)), note="raw and canonical are both kept"
    )
