"""Other cleaners of text beside the canonicalizer: each in a process of its own, between two measurements of ours."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from figures.machine import ANSWER
from figures.stage import Stage
from figures.text import MIXED

_ROOT = Path(__file__).parents[2]
_PYTHON = _ROOT / ".venv-peers" / "bin" / "python"
_PROGRAM = _ROOT / "bench" / "peers" / "cleaners_peer.py"
_LIMIT_SECONDS = 300
_OURS = "apostille"
_NAMES = ("zerowidth", "disarm.strip_format", "disarm.canonicalize", "ftfy", "NFC")
_RATES = ("ascii", "mixed", "answer_us")


def _repeated(text: str, megabytes: float) -> str:
    return text * (int(megabytes * 1e6) // len(text.encode()) + 1)


def _run(name: str, texts: str) -> dict[str, Any]:
    # NFC comes with Python: it needs no peer to be installed.
    python = str(_PYTHON) if name != _OURS and _PYTHON.exists() else sys.executable
    command = [python, str(_PROGRAM), name]
    done = subprocess.run(command, input=texts, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        hint = "" if _PYTHON.exists() or name == _OURS else " (make bench-peers)"
        return {"name": name, "error": f"{said}{hint}".replace(str(_ROOT), "..")[:300]}
    return {"name": name, **json.loads(done.stdout)}


def measure(stage: Stage) -> list[dict[str, Any]]:
    """Measure every cleaner, ours first; one that fails becomes a row with its error."""
    texts = json.dumps(
        {
            "ascii": _repeated(ANSWER.decode() + "\n", stage.scaled(40) / 10),
            "mixed": _repeated(MIXED, stage.scaled(10) / 10),
            "answer": ANSWER.decode(),
            "count": stage.scaled(5_000),
        }
    )
    rows, ours = [], [_run(_OURS, texts)]
    for name in _NAMES:
        try:
            row = _run(name, texts)
        except Exception as error:  # noqa: BLE001 - one that fails must not cost the others
            row = {"name": name, "error": type(error).__name__}
        ours.append(_run(_OURS, texts))
        if "error" not in row and not any("error" in each for each in ours[-2:]):
            row["ours"] = {rate: statistics.mean(each[rate] for each in ours[-2:]) for rate in _RATES}
        rows.append(row)
    rows.insert(0, ours[-1])
    if not any("error" in each for each in ours):
        rows[0] |= {rate: statistics.mean(each[rate] for each in ours) for rate in _RATES}
    for row in rows:
        print(json.dumps(row, ensure_ascii=False), file=sys.stderr)
    return rows
