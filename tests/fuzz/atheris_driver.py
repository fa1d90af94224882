"""Fuzzing guided by coverage: ``python -m tests.fuzz.atheris_driver "receipt" --seconds 600``, or without a name all in turn.

Needs atheris (requirements/fuzz.txt, ``make fuzz``); atheris has wheels for CPython 3.11 to 3.13 on Linux. The corpus of each target
grows in ``.build/fuzz/NAME/``; a crash is written there as ``crash-..`` and the process ends with an error.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".build" / "fuzz"


def _fuzz(name: str, seconds: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["apostille"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    corpus = FOLDER / name.replace(" ", "_")
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = (
        f"-max_total_time={seconds}",
        f"-max_len={target.size}",
        "-timeout=10",
        "-rss_limit_mb=4096",
        "-print_final_stats=1",
    )
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={corpus}/", str(corpus)], lambda data: _one(target, data))
    atheris.Fuzz()


def _one(target: object, data: bytes) -> None:
    target.run(data)  # type: ignore[attr-defined]


def main() -> int:
    """Fuzz one target in this process, or each in one of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    words = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("no atheris for this Python: use the driver without coverage instead, make hammer", file=sys.stderr)
        return 3
    if words.name:
        _fuzz(words.name, words.seconds)
        return 0
    from tests.fuzz.targets import TARGETS

    failed = []
    for name in TARGETS:
        print(f"== {name}", flush=True)
        call = [sys.executable, "-m", "tests.fuzz.atheris_driver", name, "--seconds", str(words.seconds)]
        if subprocess.run(call, check=False).returncode:
            failed.append(name)
    print(f"{len(TARGETS)} targets, failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
