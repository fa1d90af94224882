"""The stage: temporary stores, and figures that stand between two measurements of r.

A figure that can not be had (a command that is not there yet, a fault) becomes a row that says why; it never ends the run.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from figures.machine import ANSWER, signing_rate


class NotAvailableError(Exception):
    """A figure can not be had here; the text says why."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What the design asks for.

    Attributes:
        text: As the design says it.
        met: From the value and r to whether it is reached.
    """

    text: str
    met: Callable[[float, float], bool]


@dataclass(slots=True)
class Row:
    """One figure.

    Attributes:
        name: What was measured.
        unit: Of the value.
        value: ``None`` where it is not available.
        r: Mean of r before and after.
        ratio: To r, to a signature's time, or to a commit, in words.
        goal: The design's goal; empty for none.
        reached: ``yes``, ``no``, or empty without a goal.
        note: How it was measured, or why it is not there.
    """

    name: str
    unit: str
    value: float | None
    r: float
    ratio: str = ""
    goal: str = ""
    reached: str = ""
    note: str = ""


def of_r(value: float, r: float) -> str:
    """A rate as a part of r."""
    return f"{value / r:.3f} r"


def in_signatures(value_us: float, r: float) -> str:
    """A time in microseconds as so many signatures."""
    return f"{value_us * r / 1e6:.2f} signatures"


class Stage:
    """Where figures are measured and kept."""

    def __init__(self, folder: Path, *, is_quick: bool) -> None:
        self.folder = folder
        self.is_quick = is_quick
        self.rows: list[Row] = []
        self._count = 0

    def scaled(self, count: int) -> int:
        """Return a tenth of a count for a quick look."""
        return count // 10 if self.is_quick else count

    def new_folder(self, name: str) -> Path:
        """Return a fresh folder."""
        self._count += 1
        path = self.folder / f"{name}{self._count}"
        path.mkdir()
        return path

    def store(self) -> Any:
        """Make a store and return its folder object."""
        from apostille import wiring

        folder = wiring.store_folder(self.new_folder("store") / "s")
        wiring.init_store(folder)
        return folder

    def keeper(self) -> Any:
        """Return the keeper of a new store."""
        from apostille import wiring

        return wiring.open_keeper(self.store())

    def measure(
        self,
        name: str,
        unit: str,
        work: Callable[[], float | tuple[float, str]],
        *,
        ratio: Callable[[float, float], str] | None = None,
        goal: Goal | None = None,
        note: str = "",
    ) -> float | None:
        """Measure one figure between two of r, print it, keep it."""
        before = signing_rate(0.3)
        value: float | None
        try:
            result = work()
            value, more = result if isinstance(result, tuple) else (result, "")
            note = "; ".join(text for text in (more, note) if text)
        except Exception as error:  # noqa: BLE001 - one figure that fails must not cost the others
            value, note = None, f"not available: {error if isinstance(error, NotAvailableError) else repr(error)}"
        r = statistics.mean((before, signing_rate(0.3)))
        row = Row(name, unit, value, r, note=note, goal=goal.text if goal else "")
        if value is not None:
            row.ratio = ratio(value, r) if ratio else ""
            if goal:
                row.reached = "yes" if goal.met(value, r) else "no"
        self.rows.append(row)
        shown = "not available" if value is None else f"{value:,.2f} {unit}"
        print(
            f"{name:<62} {shown:>24}  {row.ratio:<18} {row.goal:<26} {row.reached} {note if value is None else ''}",
            file=sys.stderr,
        )
        return value

    def as_json(self) -> list[dict[str, Any]]:
        """Return the rows for a JSON document."""
        return [asdict(row) for row in self.rows]


def collected(keeper: Any, count: int) -> list[Any]:
    """Sign ``count`` outputs of 1 KB, and return the signed statements instead of handing them to the log."""
    taken: list[Any] = []

    class Collector:
        def submit(self, entry: Any) -> Any:
            taken.append(entry.signed())
            return None

    run = keeper.open_run(agent="bench")
    run.opened.committed()
    run._log = Collector()
    for _ in range(count):
        run.output(ANSWER, ANSWER, profile="opaque", media_type="text/plain")
    return taken
