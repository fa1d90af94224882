"""The stage of the demo: machines that know nothing of each other, real commands whose words are kept, and the narrator.

A *machine* is a user's two folders: what it trusts, and which heads it remembers. Nothing of the user who runs the demo is read
or written. A command is the real one; only its words are caught, so that they can be told and checked.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apostille.errors import ApostilleError, RollbackError
from apostille.faces import codes
from apostille.faces.cli.terminal import Terminal, plain
from apostille.faces.cli.verify import verify_targets

PAUSE_SECONDS = 3.0
_SHOWN_FAILURES = 3
_FOLDERS = ("XDG_CONFIG_HOME", "XDG_STATE_HOME")


@dataclass(frozen=True, slots=True)
class Machine:
    """A user's machine: its trust file and its head memory."""

    name: str
    path: Path

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let commands run on this machine."""
        before = {name: os.environ.get(name) for name in _FOLDERS}
        os.environ.update({name: str(self.path / name.split("_")[1].lower()) for name in _FOLDERS})
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


@dataclass(slots=True)
class Recorder(Terminal):
    """A terminal that keeps the words of a command instead of printing them.

    Attributes:
        lines: What would be printed, as markup.
        talk: What would be said on stderr.
        documents: What ``--json`` would print.
    """

    is_quiet: bool = True
    lines: list[str] = field(default_factory=list)
    talk: list[str] = field(default_factory=list)
    documents: list[Any] = field(default_factory=list)

    def say(self, text: str = "") -> None:
        """Keep talk."""
        self.talk.append(text)

    def show(self, text: str = "") -> None:
        """Keep a result."""
        self.lines.append(text)

    def document(self, value: Any) -> None:
        """Keep a document."""
        self.documents.append(value)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One verdict: what was asked, what came out, and what that rests on.

    Attributes:
        scene: Number of the scene.
        machine: Where it was asked.
        command: What was typed.
        verdict: The words of the verdict.
        code: The exit code.
        reasons: What is wrong, in the verifier's words.
        rests_on: What the verdict rests on.
        is_expected: Whether it is the verdict that this demo promises.
    """

    scene: int
    machine: str
    command: str
    verdict: str
    code: int
    reasons: tuple[str, ...]
    rests_on: str
    is_expected: bool

    def as_json(self) -> dict[str, Any]:
        """Return its JSON object."""
        return {
            "machine": self.machine,
            "command": self.command,
            "verdict": self.verdict,
            "exit": self.code,
            "reasons": list(self.reasons),
            "rests_on": self.rests_on,
            "is_expected": self.is_expected,
        }


@dataclass(slots=True)
class _Scene:
    number: int
    title: str
    told: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class Stage:
    """Tells the story and keeps what it told."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._scenes: list[_Scene] = []
        # A pause is for people: it needs a terminal to see it and a keyboard to skip it.
        is_watched = sys.stdout.isatty() and sys.stdin.isatty() and not os.environ.get("CI")
        self._is_paced = is_watched and not terminal.is_quiet and not terminal.as_json

    @property
    def outcomes(self) -> list[Outcome]:
        """Every verdict so far."""
        return [outcome for scene in self._scenes for outcome in scene.outcomes]

    def as_json(self) -> list[dict[str, Any]]:
        """Return the scenes as JSON objects."""
        return [
            {"scene": s.number, "title": s.title, "told": s.told, **s.facts, "verdicts": [o.as_json() for o in s.outcomes]}
            for s in self._scenes
        ]

    def scene(self, title: str) -> None:
        """Begin a scene, after a pause if somebody watches."""
        if self._scenes and self._is_paced:
            self._terminal.show("[dim]   (Enter to go on)[/]")
            ready, _, _ = select.select([sys.stdin], [], [], PAUSE_SECONDS)
            if ready:
                sys.stdin.readline()
        self._scenes.append(_Scene(len(self._scenes) + 1, title))
        self._print(f"\n[bold cyan]{len(self._scenes)}  {title}[/]")

    def tell(self, text: str) -> None:
        """Say something in plain words, one line of text a line."""
        for line in text.splitlines():
            self._scenes[-1].told.append(line)
            self._print(f"   {plain(line)}")

    def draw(self, markup: str) -> None:
        """Print markup that is only for the eye."""
        self._print(f"   {markup}")

    def fact(self, name: str, value: Any) -> None:
        """Add to the scene's JSON object."""
        self._scenes[-1].facts[name] = value

    def run(self, machine: Machine, words: str, command: Callable[[Recorder], int], *, store: Path | None = None) -> Recorder:
        """Run a command on a machine and keep its words."""
        recorder = Recorder(store=str(store) if store else None)
        self._print(f"   [bold]{plain(machine.name)} $[/] {plain(words)}")
        with machine.at_work():
            code = command(recorder)
        recorder.documents.append({"exit": code})
        return recorder

    def verify(
        self,
        machine: Machine,
        target: Path,
        *,
        log: Path | None = None,
        expected: int,
        word: str,
        rests_on: str,
        is_whole: bool = False,
    ) -> None:
        """Verify with the real command, tell the verdict and hold it against the promised one.

        Args:
            machine: Where.
            target: A receipt or a store.
            log: The log to compare a receipt with.
            expected: The exit code that this demo promises.
            word: What the verdict or its reasons must say.
            rests_on: What the verdict rests on, for people.
            is_whole: Print all lines of the verdict.
        """
        words = f"apostille verify {target.name}" + (f" --log {log.name}" if log else "")
        recorder = self.run(
            machine, words, lambda it: verify_targets(it, [str(target)], artifact=None, log=str(log) if log else None, trust=None)
        )
        found, code = recorder.documents[0], recorder.documents[-1]["exit"]
        reasons = tuple(failure["message"] for failure in found["failures"])
        is_expected = code == expected and word in " ".join((found["verdict"], *reasons))
        self._keep(Outcome(len(self._scenes), machine.name, words, found["verdict"], code, reasons, rests_on, is_expected))
        if is_whole:
            for line in recorder.lines:
                self._print(f"   [dim]|[/] {line}")
        else:
            self._result(found["verdict"], code, reasons)
        self._print(f"   [dim]rests on: {plain(rests_on)}[/]")

    def refuse(self, machine: Machine, words: str, command: Callable[[Recorder], int], store: Path, *, rests_on: str) -> None:
        """Run a command that must refuse to work with a store, and tell what it says."""
        verdict, reason, code = "STARTED", "", codes.VERIFIED
        try:
            self.run(machine, words, command, store=store)
        except ApostilleError as error:
            verdict, reason, code = error.code, str(error), codes.exit_code(error)
        is_expected = verdict == RollbackError.code
        self._keep(Outcome(len(self._scenes), machine.name, words, verdict, code, (reason,), rests_on, is_expected))
        self._result(verdict, code, (reason,))
        self._print(f"   [dim]rests on: {plain(rests_on)}[/]")

    def _result(self, verdict: str, code: int, reasons: tuple[str, ...]) -> None:
        color = "green" if code == codes.VERIFIED else "red"
        self._print(f"   [bold {color}]{plain(verdict)}[/]  (exit {code})")
        shown = reasons[:_SHOWN_FAILURES]
        for reason in shown:
            self._print(f"     [red]![/] {plain(reason)}")
        if len(reasons) > len(shown):
            self._print(f"     [dim]and {len(reasons) - len(shown)} more[/]")

    def _keep(self, outcome: Outcome) -> None:
        self._scenes[-1].outcomes.append(outcome)
        # A verdict is shown even to those who want no talk.
        if self._terminal.is_quiet:
            self._terminal.show(f"{outcome.scene}  {outcome.code}  {plain(outcome.verdict)}")

    def _print(self, markup: str) -> None:
        if not self._terminal.is_quiet:
            self._terminal.show(markup)
