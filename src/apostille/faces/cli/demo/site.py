"""The place of an attack: a throw-away store of two closed runs, and the machines around it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from apostille import wiring
from apostille.core import note
from apostille.core.canon import profile_id
from apostille.errors import ApostilleError
from apostille.faces.cli.demo.rebuild import FOUNDED
from apostille.faces.cli.demo.stage import Machine
from apostille.faces.cli.trust import pin_own_log
from apostille.services.keeper import Keeper
from apostille.services.receipts import build_receipt

RUN = 12  # entries of a run of five answers
SIZE = FOUNDED + 1 + 2 * RUN  # one key, two runs
CLOSE = FOUNDED + RUN  # the last entry of the first run
OUTPUT, LATER = FOUNDED + 5, FOUNDED + 7  # outputs of the first run of which receipts were handed out,
FOREIGN = FOUNDED + 1 + RUN + 2  # and one of the second
TEXTS = {OUTPUT: "answer 1 of first", LATER: "answer 2 of first", FOREIGN: "answer 0 of second"}
FORGED = "nothing of the kind was said"
_TIMEOUT_SECONDS = 30.0


@dataclass(slots=True)
class Site:
    """One copy of the store, and the machines: ``clinic`` owns it, ``recipient`` and ``newcomer`` know its public key only."""

    path: Path
    keeper: Keeper | None = None

    @property
    def folder(self) -> wiring.StoreFolder:
        """The store."""
        return wiring.StoreFolder(self.path / "store")

    @property
    def inbox(self) -> Path:
        """Where a recipient keeps what was handed out."""
        return self.path / "inbox"

    def receipt(self, name: object) -> Path:
        """The receipt of an output that was handed out."""
        return self.inbox / f"{name}.txt.receipt.json"

    def machine(self, name: str) -> Machine:
        """A machine; a name that was not used before is a machine that remembers nothing."""
        return Machine(name, self.path / name)

    def heads(self, name: str) -> Path:
        """The head memory of a machine."""
        return self.path / name / "state" / "apostille" / "heads"

    def vkey(self) -> str:
        """The log's public key, as it is pinned on the store's machine."""
        with self.machine("clinic").at_work():
            return note.format_vkey(wiring.load_policy().logs[0])

    def first_signed(self) -> int:
        """Size of the first signed head above the output that is attacked; it depends on the pace of the machine."""
        reader = wiring.open_reader(self.folder)
        try:
            return min(signed.size for signed in reader.checkpoints_from(0) if signed.size > OUTPUT)
        finally:
            reader.close()

    def say(self, agent: str, answers: int) -> None:
        """Let an agent say more, with a keeper that runs just for that."""
        with self.machine("clinic").at_work():
            keeper = wiring.open_keeper(self.folder)
            try:
                say(keeper, agent, answers)
            finally:
                keeper.close()

    def hand_out(self, index: int, text: str) -> None:
        """Write a receipt and its output to the inbox."""
        reader, vault = wiring.open_reader(self.folder), wiring.open_vault(self.folder)
        try:
            signed = reader.checkpoint()
            if signed is None:
                raise RuntimeError("the store that the attacks are made on was published")
            with self.machine("clinic").at_work():
                log = wiring.load_policy().logs[0]
            self.receipt(index).write_bytes(build_receipt(reader, vault, signed, log, index))
        finally:
            reader.close()
        (self.inbox / f"{index}.txt").write_text(text)

    def signed(self) -> list[bytes]:
        """Everything that is signed, published or remembered here; a verdict of 1 must not change it."""
        found = [path.read_bytes() for path in (self.folder.log / "checkpoint",) if path.exists()]
        found += [head.read_bytes() for head in sorted(self.heads("clinic").glob("*"))]
        try:
            reader = wiring.open_reader(self.folder)
        except ApostilleError:
            return found
        try:
            return found + [signed.note for signed in reader.checkpoints_from(0)]
        finally:
            reader.close()


def say(keeper: Keeper, agent: str, answers: int) -> None:
    """Let an agent answer some questions in one run."""
    run = keeper.open_run(agent=agent, held_by="agent" if agent == "other" else "gateway")
    for number in range(answers):
        asked = run.input(f"question {number}".encode(), source={"kind": "user"})
        text = f"answer {number} of {agent}".encode()
        run.output(text, text, profile=profile_id(), media_type="text/plain", inputs=[asked.digest])
    run.close().committed(_TIMEOUT_SECONDS)
    keeper.publish()


def make_site(path: Path) -> Site:
    """Make the store that all attacks are made on copies of, pin its log on its own machine, and hand out three receipts."""
    site = Site(path)
    path.mkdir()
    with site.machine("clinic").at_work():
        pin_own_log(wiring.init_store(site.folder).vkeys)
        keeper = wiring.open_keeper(site.folder)
        try:
            for agent in ("first", "second"):
                say(keeper, agent, 5)
        finally:
            keeper.close()
    site.inbox.mkdir()
    for index, text in TEXTS.items():
        site.hand_out(index, text)
    return site
