"""The story, in seven scenes. All of it is real but the model: servers, processes, store, signatures, attacks, verdicts."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from apostille import wiring
from apostille.core import predicates, strict
from apostille.core.opening import split_opening
from apostille.core.statement import parse_statement
from apostille.errors import (
    ConflictError,
    MalformedError,
    MisbehaviourError,
    StorageUnavailableError,
    UnavailableError,
    VerificationError,
)
from apostille.faces import codes
from apostille.faces.cli.demo import attacks, hidden
from apostille.faces.cli.demo.model import INJECTION, MODEL, POISONED, Outside
from apostille.faces.cli.demo.rebuild import rebuild
from apostille.faces.cli.demo.stage import Machine, Stage
from apostille.faces.cli.run import OPENAI_API, run_program
from apostille.faces.cli.store import init
from apostille.faces.cli.terminal import Terminal, marked, plain
from apostille.faces.cli.trust import trust_add
from apostille.services.vault import open_record

_LIMITS = (
    "An answer that is right, safe or meant well: nothing here judges that.",
    "Messages in the choice of words. Characters that nobody sees are closed, language is not.",
    "What the agent says past the gateway: this run was not confined (isolation: none).",
    "Root on the whole machine, who also rewrites what it remembers: only an outsider's memory catches that.",
    "The time: it is this machine's clock, an assertion.",
)
_NEXT = (
    "apostille init                          make a store of your own",
    "apostille run -- python your_agent.py   no change in the agent",
    "apostille verify                        at any time, offline",
    "README.md: what it is, in ten minutes",
)
_NOWHERE = "http://127.0.0.1:9/v1"  # never asked: the store is refused before
_ANSWER = f"answer-{POISONED}.json"


@dataclass(frozen=True, slots=True)
class _Said:
    """One answer as the log has it."""

    index: int
    raw: str
    canonical: str
    body: bytes
    codes: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Model:
    """Which model is asked."""

    url: str | None
    name: str

    @property
    def is_scripted(self) -> bool:
        return self.url is None


def demo(terminal: Terminal, *, out: Path | None, upstream: str | None, model: str) -> int:
    """Tell the story.

    Args:
        terminal: Where.
        out: Keep the store, the files and the attacked copies here.
        upstream: Base URL of a real model API; with ``OPENAI_API_KEY`` set, OpenAI's.
        model: Model to ask there.

    Returns:
        0 if every verdict is the promised one, else 70.

    Raises:
        ConflictError: ``out`` is not empty.
        UnavailableError: The real model does not answer.
    """
    started = time.monotonic()
    asked = _chosen(upstream, model)
    stage = Stage(terminal)
    with _folder(out) as place:
        if not terminal.is_quiet:
            terminal.show("apostille demo: a story in seven scenes. It works in folders of its own and touches nothing of yours.")
        try:
            _Story(stage, place, asked).tell()
        except (VerificationError, MisbehaviourError, MalformedError) as error:
            # Not a verdict on anything of the user's: the demo broke.
            raise RuntimeError(f"the demo broke: {error}") from error
    seconds = round(time.monotonic() - started, 1)
    wrong = [outcome for outcome in stage.outcomes if not outcome.is_expected]
    code = codes.INTERNAL if wrong else codes.VERIFIED
    _end(terminal, seconds, out)
    terminal.document(
        {
            "scenes": stage.as_json(),
            "model": asked.name,
            "is_scripted": asked.is_scripted,
            "not_shown": list(_LIMITS),
            "seconds": seconds,
            "exit": code,
        }
    )
    for outcome in wrong:
        terminal.is_quiet = False  # a fault of ours is never quiet
        terminal.say(
            f"[bold red]the demo failed[/] in scene {outcome.scene}: {plain(outcome.command)} on {plain(outcome.machine)} "
            f"said {plain(outcome.verdict)} (exit {outcome.code}), which is not what this demo promises. Please report it."
        )
    return code


def _chosen(upstream: str | None, model: str) -> _Model:
    if upstream is None and not os.environ.get("OPENAI_API_KEY"):
        return _Model(None, MODEL)
    return _Model(upstream or os.environ.get("OPENAI_BASE_URL") or OPENAI_API, model)


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    if out is None:
        with tempfile.TemporaryDirectory(prefix="apostille-demo-") as made:
            yield Path(made)
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise ConflictError(f"{out} is not empty; the demo writes into a folder of its own")
    except OSError as error:
        raise StorageUnavailableError(f"{out} can't be used: {error.strerror}") from error
    yield out.absolute()


def _end(terminal: Terminal, seconds: float, out: Path | None) -> None:
    if terminal.is_quiet:
        return
    terminal.show("\n[bold cyan]What this does not show[/]")
    for line in _LIMITS:
        terminal.show(f"   - {line}")
    terminal.show("\n[bold cyan]What to do next[/]")
    for line in _NEXT:
        terminal.show(f"   {line}")
    if out is not None:
        terminal.show(f"\n   Everything is kept in {plain(out)}. To look at it as the clinic does, set")
        terminal.show(f"   XDG_CONFIG_HOME={plain(out / 'clinic' / 'config')} XDG_STATE_HOME={plain(out / 'clinic' / 'state')}")
        terminal.show(f"   and then: apostille --store {plain(out / 'store')} show")
    terminal.show(f"\n[dim]{seconds} s[/]")


class _Story:
    """The scenes, and what they hand on to each other."""

    def __init__(self, stage: Stage, place: Path, model: _Model) -> None:
        self._stage = stage
        self._place = place
        self._model = model
        self._clinic = Machine("clinic", place / "clinic")
        self._recipient = Machine("recipient", place / "recipient")
        self._newcomer = Machine("newcomer", place / "newcomer")
        self._store = wiring.StoreFolder(place / "store")
        self._vkey = ""

    def tell(self) -> None:
        """Tell all of it."""
        self._make_store()
        self._run_agent()
        said = self._show_answer()
        receipt = self._hand_over(said)
        self._edit(said)
        self._truncate()
        self._rebuild(receipt)

    def _make_store(self) -> None:
        stage = self._stage
        stage.scene("A clinic makes a store")
        stage.tell("A clinic lets an AI agent answer letters, and wants to be able to show later\nwhat the agent really said.")
        made = stage.run(self._clinic, "apostille init", lambda it: init(it, "apostille.invalid"), store=self._store.path)
        self._vkey = made.documents[0]["vkey"]
        stage.fact("origin", made.documents[0]["origin"])
        stage.draw(f"[dim]log {plain(made.documents[0]['origin'])}[/]")
        stage.tell(
            "The store keeps a log. One number, its head, depends on every entry in it:\n"
            "whoever changes anything gets another head. The clinic signs each new head,\n"
            "and its machine remembers the last one outside the store."
        )

    def _run_agent(self) -> None:
        stage, name = self._stage, "scripted model, offline" if self._model.is_scripted else f"{self._model.name}, a real model"
        stage.scene("The agent reads a poisoned letter")
        stage.tell(
            f"The agent answers four letters with the help of a model ({name}).\n"
            "One letter has a part in it that people do not see:"
        )
        for line in textwrap.wrap(INJECTION, 74):
            stage.draw(f"  [yellow]{plain(line)}[/]")
        outbox = self._place / "outbox"
        outbox.mkdir()
        with Outside() as outside:
            program = [sys.executable, "-I", str(Path(__file__).with_name("agent.py")), str(outbox), self._model.name]
            recorder = stage.run(
                self._clinic,
                "apostille run -- python agent.py",
                lambda it: run_program(
                    it,
                    program + outside.letters,
                    agent="letters-agent",
                    principal="front-desk@clinic.example",
                    upstream=self._model.url or f"{outside.url}/v1",
                ),
                store=self._store.path,
            )
        status = recorder.documents[-1]["exit"]
        if status and not self._model.is_scripted:
            raise UnavailableError(f"the model at {self._model.url} did not answer every letter; the agent ended with {status}")
        if status:
            raise RuntimeError(f"the agent ended with {status}: {recorder.talk}")
        for line in recorder.talk:
            if "outputs attested" in line:
                stage.draw(f"[dim]|[/] {line}")
        stage.tell(
            "Every answer went through apostille's gateway: its hidden characters were taken out,\n"
            "it was signed and written to the log, and only then did it leave."
        )

    def _leaf(self) -> _Said:
        """Read the third answer from the store, as ``apostille show`` does."""
        with self._clinic.at_work():
            reader, vault = wiring.open_reader(self._store), wiring.open_vault(self._store)
            try:
                found = [(i, r, parse_statement(r.statement)) for i, r in reader.records()]
            finally:
                reader.close()
        index, record, said = [item for item in found if item[2].type == predicates.OUTPUT][POISONED - 1]
        openings = open_record(vault, record, dict(said.subjects))
        if openings is None:
            raise RuntimeError("the clinic's own key file opens its own answer")
        raw, body, attributes = (split_opening(openings[name])[1] for name in ("raw", "canonical", "attributes"))
        changes = strict.canonical_json_value(attributes, spec="attributes").get("changes", {})
        return _Said(index, _text(raw), _text(body), body, changes)

    def _show_answer(self) -> _Said:
        stage, said = self._stage, self._leaf()
        stage.scene("What the model said, and what the recipient got")
        stage.tell("Hidden characters are drawn here as their numbers.")
        rows = max(said.raw.count("\n"), said.canonical.count("\n")) + 1
        left, right = said.raw.split("\n"), said.canonical.split("\n")
        for row in range(min(rows, 8)):
            stage.draw(f"[red]model [/] {marked(left[row][:200]) if row < len(left) else ''}")
            stage.draw(f"[green]sent  [/] {marked(right[row][:200]) if row < len(right) else ''}")
        before, after = hidden.decode(said.raw), hidden.decode(said.canonical)
        stage.fact("hidden", {"model": before.as_json(), "sent": after.as_json()})
        stage.fact("findings", said.codes)
        stage.tell("A decoder, as the letter's author would have one, finds")
        stage.draw(f"[red]in the model's text[/]  {_found(before)}")
        stage.draw(f"[green]in what was sent[/]     {_found(after)}")
        stage.draw(f"in the record        {plain(', '.join(f'{c} {n}' for c, n in said.codes.items()) or 'no findings')}")
        if self._model.is_scripted and (not before.tags or not before.selectors or not before.turned or after or not said.codes):
            raise RuntimeError(f"the story does not hold: {before}, {after}, {said.codes}")
        if not before:
            stage.tell("This model hid nothing that the decoder knows. The record says what was there.")
        return said

    def _hand_over(self, said: _Said) -> Path:
        stage = self._stage
        stage.scene("The recipient verifies it, offline")
        stage.tell(
            "The recipient got two files, the answer and its receipt. The clinic's public key\n"
            "came another way (a contract, a phone call), and is pinned once:"
        )
        files = self._place / "inbox"
        files.mkdir()
        for name in (_ANSWER, f"{_ANSWER}.receipt.json"):
            shutil.copy(self._place / "outbox" / name, files / name)
        if (files / _ANSWER).read_bytes() != said.body:
            raise RuntimeError("the answer that left is not the one in the log")
        stage.run(self._recipient, "apostille trust add apostille.invalid/..", lambda it: trust_add(it, self._vkey))
        receipt = files / f"{_ANSWER}.receipt.json"
        stage.verify(
            self._recipient,
            receipt,
            expected=codes.VERIFIED,
            word="UNWITNESSED",
            rests_on="the pinned key, and signatures that lead from it to this answer",
            is_whole=True,
        )
        stage.tell(
            "Integrity: these bytes are the bytes that were committed to in the log.\n"
            f"Origin: the clinic's gateway captured and signed them. Order: entry {said.index} of the log.\n"
            "UNWITNESSED: nobody outside the clinic watches this log yet. Scene 7 shows why that counts."
        )
        return receipt

    def _copy(self, name: str) -> wiring.StoreFolder:
        return attacks.copy_store(self._store, self._place / name)

    def _edit(self, said: _Said) -> None:
        stage, folder = self._stage, self._copy("store-edited")
        stage.scene("Somebody with access to the database changes that answer")
        done = attacks.edit_entry(folder, said.index, "We never wrote to you.", is_thorough=True)
        self._did(done, "This attacker may write every row of the database, but has no key.")
        stage.verify(
            self._clinic,
            folder.path,
            expected=codes.ALTERED,
            word=f"leaf {said.index}",
            rests_on="the gateway's signature under the answer, and the signed heads",
        )
        stage.tell(
            "The signature belongs to the old answer, the next entry names the old one,\n"
            "and so does every head that was signed since."
        )

    def _truncate(self) -> None:
        stage, folder = self._stage, self._copy("store-truncated")
        stage.scene("The same attacker cuts off the last ten entries instead")
        done = attacks.truncate(folder)
        self._did(done, "Nothing that is left in the store is wrong. It is only too short.")
        memory = "the head that this machine remembers, outside the store"
        stage.verify(self._clinic, folder.path, expected=codes.ALTERED, word="HALT_ROLLBACK", rests_on=memory)
        stage.tell("A machine that never saw the later head could not tell. This one remembers it.")
        stage.tell("The agent can't go on with it either: nothing starts, nothing is signed.")
        program = [sys.executable, "-c", "pass"]
        stage.refuse(
            self._clinic,
            "apostille run -- python agent.py",
            lambda it: run_program(it, program, agent=None, principal=None, upstream=_NOWHERE),
            folder.path,
            rests_on=memory,
        )

    def _rebuild(self, receipt: Path) -> None:
        stage, folder = self._stage, self._copy("store-rebuilt")
        stage.scene("Somebody with the log's signing key rebuilds everything")
        with self._clinic.at_work():
            done = rebuild(folder, lambda _: "We never wrote to you.")
        self._did(done, "Every signature in it is good: they are made with the clinic's real keys.")
        stage.tell("On the clinic's machine, which remembers the head:")
        stage.verify(
            self._clinic,
            folder.path,
            expected=codes.ALTERED,
            word="REWRITE",
            rests_on="the head that this machine remembers, outside the store",
        )
        stage.tell("On a new machine, which knows the clinic's public key and nothing else:")
        stage.run(self._newcomer, "apostille trust add apostille.invalid/..", lambda it: trust_add(it, self._vkey))
        stage.verify(
            self._newcomer,
            folder.path,
            expected=codes.VERIFIED,
            word="UNWITNESSED",
            rests_on="the log's key alone, and the attacker has it",
        )
        stage.tell("It passes. That is what UNWITNESSED warns of: a key alone can't tell two histories apart.")
        stage.tell("But whoever kept a receipt from before remembers too:")
        stage.verify(
            self._recipient,
            receipt,
            log=folder.path,
            expected=codes.ALTERED,
            word="REWRITE",
            rests_on="the signed head in the receipt that was handed out before",
        )
        stage.tell(
            "A log like this is tamper-evident: it does not keep anybody from rewriting history,\n"
            "it keeps them from doing so unnoticed by anybody who remembers. A witness is\n"
            "somebody whose job it is to remember."
        )

    def _did(self, attack: attacks.Attack, comment: str) -> None:
        self._stage.fact("attack", {"name": attack.name, "attacker": attack.attacker, "did": attack.did})
        self._stage.tell(f"On a copy of the store the attacker\n{attack.did}.\n{comment}")


def _text(body: bytes) -> str:
    return str(orjson.loads(body)["choices"][0]["message"]["content"])


def _found(found: hidden.Found) -> str:
    if not found:
        return "nothing"
    parts = [
        f"in {name}: [bold]{plain(text)}[/]" for name, text in (("tags", found.tags), ("selectors", found.selectors)) if text
    ]
    parts += [f"people read [bold]{plain(read)}[/], stored is [bold]{plain(stored)}[/]" for stored, read in found.turned]
    return "; ".join(parts)
