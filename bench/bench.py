"""Figures, as ratios to what this machine can do in the same run; see docs/manual/performance.md.

    r   P-256 signatures a second on one core (RFC 6979, 1 KB): no attested output can cost less than one of these
    c   durable SQLite commits of one 1 KB row a second, on the same file system

Each figure is measured between two measurements of r, since machines drift. Nothing here passes or fails. Everything is sealed
and durable. ``--quick`` for a look (a tenth of the work, logs up to 100,000 entries), ``--json FILE`` for a machine,
``--results FILE`` writes the page. Peers are measured where ``make bench-peers`` has installed them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

import report
from figures import cleaners, gateway, growth, machine, peers, profiles, reading, text, writing
from figures.stage import Stage

_KINDS = {"writing": writing, "reading": reading, "text": text, "gateway": gateway, "growth": growth}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--only", choices=[*_KINDS, "peers", "profiles"], help="one kind of figures")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write one JSON document")
    parser.add_argument("--results", metavar="FILE", type=Path, help="write the results page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="apostille-bench-") as name:
        folder = Path(name)
        os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        described = machine.describe(folder)
        r, commit = machine.signing_rate(1.0), statistics.median(machine.commit_seconds(folder))
        print(
            f"r = {r:,.0f} signatures/s; c = {1 / commit:,.0f} commits/s ({commit * 1000:.2f} ms); {described}", file=sys.stderr
        )
        stage = Stage(folder, is_quick=options.quick)

        def wanted(kind: str) -> bool:
            return options.only in {None, kind}

        for kind, module in _KINDS.items():
            if wanted(kind):
                module.measure(stage)
        document = {
            "quick": options.quick,
            "machine": described,
            "r": round(r),
            "c": round(1 / commit),
            "figures": stage.as_json(),
            "cleaners": cleaners.measure(stage) if wanted("text") else [],
            "peers": peers.measure(stage) if wanted("peers") else [],
            "profiles": profiles.measure(stage) if wanted("profiles") else {},
        }
    if options.json:
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if options.results:
        options.results.write_text(report.page(document), encoding="utf-8")


if __name__ == "__main__":
    main()
