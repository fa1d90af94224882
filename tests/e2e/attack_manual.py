"""Writes the table of docs/manual/attacks.md from the list of attacks: ``python -m tests.e2e.attack_manual``."""

from __future__ import annotations

from pathlib import Path

from apostille.faces.cli.demo.cases import CASES
from apostille.faces.cli.demo.table import CLASSES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "manual" / "attacks.md"
BEGIN = "<!-- the table: python -m tests.e2e.attack_manual -->"


def table() -> str:
    rows: list[str] = []
    last = ""
    for case in CASES:
        if case.attacker != last:
            last = case.attacker
            rows += [
                "",
                f"## ({last}) {CLASSES[last]}",
                "",
                "| attack | checked with | exit | says | rests on |",
                "|---|---|---|---|---|",
            ]
        name = case.name
        for check in case.checks:
            says = check.says.format(signed="N").replace("|", " / ")
            rows.append(f"| {name} | {check.machine}: `{check.command}` | {check.code} | {says} | {check.rests_on} |")
            name = ""
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text("utf-8").partition(BEGIN)[0] + BEGIN + "\n" + table(), "utf-8")
