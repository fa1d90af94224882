"""``apostille attacks``: perform every attack on throw-away stores, and show what came out and what that rests on."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apostille.errors import NotFoundError
from apostille.faces import codes
from apostille.faces.cli.demo.attacks import DATABASE, LOG_KEY, ROOT
from apostille.faces.cli.demo.cases import CASES, Case
from apostille.faces.cli.demo.checks import NOTHING, Seen, close_quietly, look
from apostille.faces.cli.demo.site import Site, make_site
from apostille.faces.cli.terminal import Terminal, plain

CLASSES = {
    DATABASE: "database access, read and write, and what is handed on; no key",
    LOG_KEY: "database and log key, with the keeper's statement key beside it",
    ROOT: "root, with all local state: keys, unit keys, head memory",
}


def play(case: Case, template: Site, path: Path) -> list[Seen]:
    """Perform one attack on a copy of a site and run its checks."""
    shutil.copytree(template.path, path)
    site = Site(path)
    words = {"signed": str(site.first_signed())}
    try:
        case.attack(site)
        return [look(check, site, words) for check in case.checks]
    finally:
        close_quietly(site)


def attack_table(terminal: Terminal, attacker: str | None) -> int:
    """Perform the attacks of one class, or of all.

    Returns:
        0 if everything came out as promised, else 70: the promise, or this build, is broken.

    Raises:
        NotFoundError: There is no such class.
    """
    if attacker is not None and attacker not in CLASSES:
        raise NotFoundError(f"there is no attacker class {attacker[:32]!r}; there are {', '.join(CLASSES)}")
    started = time.monotonic()
    chosen = [case for case in CASES if attacker in {None, case.attacker}]
    rows: list[dict[str, Any]] = []
    last = ""
    with _folder() as place, terminal.progress("attacking") as progress:
        template = make_site(place / "template")
        for number, case in enumerate(chosen):
            if case.attacker != last:
                last = case.attacker
                terminal.show(f"\n[bold cyan]({last}) {CLASSES[last]}[/]")
            seen = play(case, template, place / str(number))
            shutil.rmtree(place / str(number))
            _show(terminal, case, seen)
            rows += [_as_json(case, one) for one in seen]
            if progress is not None:
                progress(number + 1, len(chosen))
    wrong = [row for row in rows if not row["is_expected"]]
    seconds = round(time.monotonic() - started, 1)
    code = codes.INTERNAL if wrong else codes.VERIFIED
    uncovered = sum(row["rests_on"] == NOTHING for row in rows)
    terminal.document({"rows": rows, "attacks": len(chosen), "wrong": len(wrong), "seconds": seconds, "exit": code})
    counts = f"{len(chosen)} attacks, {len(rows)} checks, {len(wrong)} not as promised"
    terminal.show(f"\n{counts}. {seconds} s")
    terminal.show(
        f"{uncovered} checks pass after an attack, as promised: there only an outsider who remembers a head would notice."
    )
    return code


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="apostille-attacks-") as made:
        yield Path(made)


def _show(terminal: Terminal, case: Case, seen: list[Seen]) -> None:
    terminal.show(f"\n  [bold]{plain(case.name)}[/]")
    for one in seen:
        color = "green" if one.is_expected else "bold red"
        where = f"{one.check.machine}: {one.check.command}"
        terminal.show(f"    {plain(where):<44} [{color}]exit {one.code:<2}[/]  {plain(one.verdict)}")
        lines = [plain(one.telling, limit=110)] if one.reasons else []
        lines.append(f"[dim]rests on: {plain(one.check.rests_on)}[/]")
        if not one.is_expected:
            lines.append(f"[bold red]expected: exit {one.check.code}, {plain(one.check.says)}[/]")
        for line in lines:
            terminal.show(f"{'':<58}{line}")


def _as_json(case: Case, one: Seen) -> dict[str, Any]:
    check = one.check
    return {
        "class": case.attacker,
        "attack": case.name,
        "machine": check.machine,
        "check": check.command,
        "verdict": one.verdict,
        "said": one.telling,
        "reasons": list(one.reasons),
        "exit": one.code,
        "expected": {"exit": check.code, "says": check.says} | ({} if check.index is None else {"index": check.index}),
        "rests_on": check.rests_on,
        "is_expected": one.is_expected,
    }
