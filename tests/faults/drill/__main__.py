"""The command line of the drill."""

from __future__ import annotations

import argparse
import contextlib
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from apostille.errors import ApostilleError
from tests.faults.drill import VICTIMS, Broken, Drill

_REPORT_SECONDS = 15


def main() -> int:
    """Drill, and print what was done."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.drill", description="The kill drill.")
    parser.add_argument("--victim", choices=VICTIMS, action="append")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument(
        "--disk", type=int, metavar="KILOBYTES", help="A small disk for the store, to be full now and then (root)."
    )
    parser.add_argument("--keep", type=Path, help="Work here, and leave everything for a look at it.")
    arguments = parser.parse_args()
    for victim in arguments.victim or VICTIMS:
        started = time.monotonic()
        with contextlib.ExitStack() as stack:
            place = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="apostille-drill-")))
            drill = Drill(place / victim, random.Random(f"{arguments.seed} {victim}"), disk_kilobytes=arguments.disk)
            shown = [0.0]

            def report(counts: dict[str, int], shown: list[float] = shown, victim: str = victim) -> None:
                if time.monotonic() - shown[0] > _REPORT_SECONDS:
                    shown[0] = time.monotonic()
                    sys.stderr.write(
                        f"{victim}: {counts.get('kills', 0)} kills, {counts.get('whole answers', 0)} whole answers\n"
                    )

            try:
                drill.drill(victim, arguments.kills, report=report)
            except (Broken, ApostilleError, subprocess.SubprocessError) as error:
                sys.stdout.write(f"{victim}: BROKEN after {drill.counts} (seed {arguments.seed}): {error}\n")
                return 1
        counts = ", ".join(f"{value} {name}" for name, value in sorted(drill.counts.items()))
        sys.stdout.write(f"{victim}: {counts}; seed {arguments.seed}, {time.monotonic() - started:.0f} s\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
