"""What this machine can do: r, c, and what it is. No host or user names, no paths."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ANSWER = ("The refund of 42 EUR was approved on 2026-11-24 under rule 7b. " * 16).encode()[:1000]
_STEP = 50


def signing_rate(seconds: float = 0.5) -> float:
    """Return r: P-256 signatures a second (RFC 6979, 1 KB) that one thread makes, in CPU time of that thread."""
    from apostille.core.keys import StatementKey

    key = StatementKey.from_seed(bytes(range(48)))
    count, began, end = 0, time.thread_time(), time.perf_counter() + seconds
    while time.perf_counter() < end:
        for _ in range(_STEP):
            key.sign(ANSWER)
        count += _STEP
    return count / (time.thread_time() - began)


def commit_seconds(folder: Path, count: int = 500) -> list[float]:
    """Return how long durable SQLite commits of one 1 KB row take: WAL, ``synchronous = FULL``, as the store has it."""
    import apsw

    path = folder / "commit-rate.sqlite"
    db = apsw.Connection(str(path))
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE IF NOT EXISTS t (x BLOB)")
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        db.execute("INSERT INTO t VALUES (?)", (ANSWER,))
        taken.append(time.perf_counter() - began)
    db.close()
    return taken


def sync_milliseconds(folder: Path, count: int = 300) -> float:
    """Return the median time of one 1 KB write and its ``fdatasync``."""
    taken = []
    with (folder / "sync-latency").open("wb") as file:
        for _ in range(count):
            began = time.perf_counter()
            file.write(ANSWER)
            file.flush()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


def describe(folder: Path) -> dict[str, Any]:
    """Return what the figures depend on."""
    import apsw
    from cryptography.hazmat.backends.openssl import backend

    root = Path(__file__).parents[2]
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=False)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit.stdout.strip() or "unknown",
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "kernel": f"{platform.system()} {platform.release()}",
        "file_system": _file_system(folder),
        "sync_ms": round(sync_milliseconds(folder), 3),
        "python": platform.python_version(),
        "openssl": backend.openssl_version_text(),
        "cryptography": version("cryptography"),
        "sqlite": apsw.sqlite_lib_version(),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    best, kind = -1, "unknown"
    at = str(folder.resolve())
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, mount, found, *_ = line.split(" ")
        if at.startswith(mount) and len(mount) >= best:
            best, kind = len(mount), found
    return kind
