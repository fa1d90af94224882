"""Random and mutated input for every parser and every command, as much as one likes. Needs nothing but the standard library.

    python -m tests.fuzz.hammer --megabytes 100                  every parser, then every command
    python -m tests.fuzz.hammer --megabytes 10 --only "clean json"

Each input must give a value or a documented error, in bounded time (CPU seconds of one input) and bounded memory (address space).
What breaks that is written to ``.build/hammer/`` and the end is a line for each target and exit status 1. The same ``--seed``
gives the same inputs.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tests.fuzz.commands import COMMANDS, Command
from tests.fuzz.mutate import inputs
from tests.fuzz.targets import TARGETS, Target

CPU_SECONDS = 5.0  # one input: the slowest allowed, many times what the slowest needs
ADDRESS_SPACE = 4 * 2**30
PEAK_MIB = 1024
_KEPT = Path(__file__).resolve().parents[2] / ".build" / "hammer"
_MAX_FAULTS = 5
# A call of a command takes some 20 ms, whatever it is given: most of its megabytes come in large inputs.
_LARGE_OF_PARSERS, _LARGE_OF_COMMANDS = 0.05, 0.3


class HangError(BaseException):
    """One input took longer than allowed. No ``Exception``, so that nobody takes it for an error of the parser."""


@dataclass
class Tally:
    """What one target was given, and how it stood it."""

    name: str
    inputs: int = 0
    bytes: int = 0
    accepted: int = 0
    cpu_seconds: float = 0.0
    slowest: float = 0.0
    faults: tuple[str, ...] = ()
    peak_mib: int = 0

    def __str__(self) -> str:
        return (
            f"{self.name:24} {self.bytes / 1e6:8.1f} MB {self.inputs:9,} inputs {self.accepted:9,} accepted "
            f"{self.cpu_seconds:7.1f} s, slowest {self.slowest * 1000:6.1f} ms, peak {self.peak_mib} MiB"
            + "".join(f"\n    FAULT {fault}" for fault in self.faults)
        )


@contextmanager
def bounded(seconds: float = CPU_SECONDS) -> Iterator[Callable[[], None]]:
    """Raise ``HangError`` where something takes too much CPU time; yields what restarts the clock."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGPROF, stop)
    try:
        yield lambda: signal.setitimer(signal.ITIMER_PROF, seconds)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def hammer(target: Target | Command, megabytes: float, seed: str, *, seconds: float = float("inf"), large: float = 0.02) -> Tally:
    """Give a target that many bytes, or for that many CPU seconds."""
    tally = Tally(target.name)
    dice = random.Random(f"{seed} {target.name}")
    begun = time.process_time()
    with bounded() as restart:
        for data in inputs(target.seeds, target.size, dice, large=large):
            started = time.process_time()
            restart()
            try:
                tally.accepted += target.run(data)
            except (Exception, HangError) as error:
                tally.faults += (_keep(target.name, data, error),)
                if len(tally.faults) >= _MAX_FAULTS:
                    break
            ended = time.process_time()
            tally.slowest = max(tally.slowest, ended - started)
            tally.inputs += 1
            tally.bytes += len(data)
            if tally.bytes >= megabytes * 1e6 or ended - begun >= seconds:
                break
    tally.cpu_seconds = time.process_time() - begun
    tally.peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if tally.peak_mib > PEAK_MIB:
        tally.faults += (f"used {tally.peak_mib} MiB of memory; {PEAK_MIB} are allowed",)
    return tally


def _keep(name: str, data: bytes, error: BaseException) -> str:
    _KEPT.mkdir(parents=True, exist_ok=True)
    path = _KEPT / f"{name.replace(' ', '_')}-{random.Random(data).randrange(16**8):08x}"
    path.write_bytes(data)
    path.with_suffix(".txt").write_text("".join(traceback.format_exception(error)))
    return f"{type(error).__name__}: {str(error)[:160]!r} from {len(data):,} bytes, kept in {path}"


def _work(name: str, megabytes: float, seed: str, seconds: float) -> Tally:
    if name not in TARGETS:
        return hammer(COMMANDS[name], megabytes, seed, seconds=seconds, large=_LARGE_OF_COMMANDS)
    # A command maps its database: there what is really used is counted.
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    return hammer(TARGETS[name], megabytes, seed, seconds=seconds, large=_LARGE_OF_PARSERS)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=100.0, help="for each target")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="at most so many CPU seconds for each target")
    parser.add_argument("--only", action="append", default=[], help="name of a target; may be repeated")
    parser.add_argument("--what", choices=("parsers", "commands", "all"), default="all")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", default="1")
    words = parser.parse_args()
    chosen = {"parsers": list(TARGETS), "commands": list(COMMANDS), "all": [*TARGETS, *COMMANDS]}[words.what]
    names = words.only or chosen
    tallies: list[Tally] = []
    # A process for each target: what one leaves in memory is not counted for the next.
    with ProcessPoolExecutor(words.processes, max_tasks_per_child=1) as pool:
        for done in as_completed(pool.submit(_work, name, words.megabytes, words.seed, words.seconds) for name in names):
            tallies.append(done.result())
            print(tallies[-1], flush=True)
    faults = sum(len(tally.faults) for tally in tallies)
    total, count = sum(tally.bytes for tally in tallies), sum(tally.inputs for tally in tallies)
    print(f"{len(tallies)} targets, {total / 1e6:,.0f} MB, {count:,} inputs, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
