"""Run the command line with a clock that is some seconds off: the port is another, nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

from apostille import wiring
from apostille.adapters.system import SystemClock
from apostille.faces.cli import keeper
from apostille.faces.cli.main import main as command


def main() -> None:
    """Arguments: seconds to add to the clock, then the words of the command."""
    shift = int(sys.argv[1])
    sys.argv = ["apostille", *sys.argv[2:]]

    class Shifted(SystemClock):
        def now_ms(self) -> int:
            return super().now_ms() + shift * 1000

    wiring.SystemClock = Shifted
    # A keeper that is started as a child is on the same machine.
    repository = str(Path(__file__).resolve().parents[2])
    keeper._PROGRAM = (
        f"import sys; sys.path.insert(0, {repository!r}); sys.argv[1:1] = ['{shift}']; "
        "from tests.faults.late_clock import main; main()"
    )
    command()
