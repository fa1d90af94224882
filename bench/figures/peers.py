"""Peers beside ours: each is driven in its own environment by its adapter, between two measurements of ours (ours, peer, ours)."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from figures import writing
from figures.stage import Stage

_ROOT = Path(__file__).parents[2]
_PYTHON = _ROOT / ".venv-peers" / "bin" / "python"
_ADAPTERS = _ROOT / "bench" / "peers"
_LIMIT_SECONDS = 300
_FEW, _MORE = 10, 60
_NAMES = {
    "waxseal": "waxseal_peer.py",
    "vaara": "vaara_peer.py",
    "signet-auth": "signet_peer.py",
    "capsule-emit": "capsule_peer.py",
    "tracekit-ai": "tracekit_peer.py",
}


def _adapter(name: str, folder: Path, count: int, *more: str, wrapped: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*wrapped, str(_PYTHON), str(_ADAPTERS / _NAMES[name]), str(folder), str(count), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False, cwd=folder)


def _syncs(name: str, stage: Stage) -> str:
    """Count the syncs that one more record costs, by strace, from the difference of two runs."""
    tool = shutil.which("strace")
    if tool is None:
        return "not counted (no strace)"
    counts = []
    for count in (_FEW, _MORE):
        folder = stage.new_folder("peer-syncs")
        said = folder / "strace"
        wrapped = (tool, "-f", "-qq", "-e", "trace=fsync,fdatasync,msync,sync_file_range", "-o", str(said))
        if _adapter(name, folder, count, "write", wrapped=wrapped).returncode:
            return "not counted (strace failed)"
        counts.append(
            len(re.findall(r"\b(?:fsync|fdatasync|msync|sync_file_range)\(", said.read_text(encoding="utf-8", errors="replace")))
        )
    return f"{(counts[1] - counts[0]) / (_MORE - _FEW):.2f}"


def _measure(name: str, stage: Stage) -> dict[str, Any]:
    count = max(100, stage.scaled(1_000))

    def ours() -> tuple[float, float]:
        return writing.sequential_rate(stage, count), writing.asynchronous(stage, stage.scaled(10_000))

    before = ours()
    done = _adapter(name, stage.new_folder("peer"), count)
    after = ours()
    if done.returncode:
        return {"name": name, "error": (done.stderr.strip().splitlines() or ["it ended without a word"])[-1][:300]}
    found: dict[str, Any] = {"name": name, **json.loads(done.stdout.strip().splitlines()[-1])}
    found["syncs_per_record"] = _syncs(name, stage)
    found["ours_sequential"], found["ours_async"] = (statistics.mean(pair) for pair in zip(before, after, strict=True))
    return found


def measure(stage: Stage) -> list[dict[str, Any]]:
    """Measure every peer; one that fails becomes a row with its error."""
    if not _PYTHON.exists():
        print("peers: not installed; make bench-peers", file=sys.stderr)
        return []
    rows = []
    for name in _NAMES:
        try:
            row = _measure(name, stage)
        except Exception as error:  # noqa: BLE001 - one peer that fails must not cost the others
            row = {"name": name, "error": repr(error)[:300]}
        # A path of this machine has no place in the results.
        row = {key: value.replace(str(stage.folder), "..") if isinstance(value, str) else value for key, value in row.items()}
        rows.append(row)
        print(json.dumps(row), file=sys.stderr)
    return rows
