"""What was promised, held against the log as a crash left it."""

from __future__ import annotations

import json
import random
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from apostille import wiring
from apostille.core import note
from apostille.core.checkpoint import parse_checkpoint
from apostille.core.digest import sha256
from apostille.core.entry import parse_entry
from apostille.core.policy import Policy
from apostille.core.receipt import PendingReceipt, parse_receipt
from apostille.core.statement import parse_statement
from apostille.core.tree import root_at
from apostille.errors import OutcomeUnknownError, StorageUnavailableError
from apostille.ports import Record, Vault
from apostille.services.receipts import envelope_of
from apostille.services.vault import open_record
from apostille.services.verifier import verify_receipt
from tests.faults.drill.handed_out import Answer, head_of, read_answers
from tests.faults.drill.place import CLI, PATIENCE_SECONDS, Broken, Place, insist

_MOST_REFUSALS = 12


@dataclass
class Watched(Place):
    """A store with all that was seen of it from outside, and the checks of both against each other.

    Attributes:
        dice: Decides what is looked at, where not everything is.
        heads: Root by size, of every head that was ever seen.
        answers: Everything that was handed out.
        indexes: Who was given an index.
    """

    dice: random.Random
    heads: dict[int, bytes] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    indexes: dict[int, str] = field(default_factory=dict)

    def collect(self, kept: Path) -> list[Answer]:
        """Read what the clients of one life have kept."""
        found = read_answers(self, kept)
        self.answers += found
        return found

    def watch_checkpoint(self) -> None:
        """Note what is published, as a monitor does."""
        try:
            data = (self.folder.log / "checkpoint").read_bytes()
        except FileNotFoundError:
            return
        self.note_head(data)

    def note_head(self, data: bytes) -> None:
        seen = parse_checkpoint(note.parse_note(data).text)
        known = self.heads.setdefault(seen.size, seen.root_hash)
        insist(known == seen.root_hash, f"size {seen.size} was signed with two roots")

    # --- What must hold -----------------------------------------------------------------------------------------------

    def check_answers(self, answers: list[Answer], *, is_again: bool = False) -> None:
        """Hold what was handed out against the log as it is now."""
        counts = dict(self.counts)
        with self.at_home():
            policy = wiring.load_policy()
        reader, vault = wiring.open_reader(self.folder), wiring.open_vault(self.folder)
        try:
            for answer in answers:
                index = reader.index_of_receipt(bytes.fromhex(answer.receipt_id))
                insist(index is not None, f"{answer.source}: handed out, and not in the log")
                other = self.indexes.setdefault(index, answer.source)
                insist(other == answer.source, f"index {index} was given to {other} and to {answer.source}")
                record = reader.record(index)
                self._check_bytes(answer, record, vault)
                self._check_receipts(answer, index, record, policy)
        finally:
            reader.close()
        if is_again:
            self.counts = counts

    def _check_bytes(self, answer: Answer, record: Record, vault: Vault) -> None:
        said = dict(parse_statement(record.statement).subjects)
        openings = open_record(vault, record, said)
        insist(openings is not None, f"{answer.source}: what was handed out can't be opened")
        salt, content = openings["canonical"][:32], openings["canonical"][32:]
        insist(sha256(salt + content) == said["canonical"], f"{answer.source}: the leaf commits to something else")
        is_same = content == answer.body if answer.is_whole else content.startswith(answer.body)
        insist(is_same, f"{answer.source}: other bytes than the leaf's were handed out")
        self.count("whole answers" if answer.is_whole else "cut answers")

    def _check_receipts(self, answer: Answer, index: int, record: Record, policy: Policy) -> None:
        envelope, _ = envelope_of(record)
        if answer.promised is not None:
            insist(answer.promised["index"] == index, f"{answer.source}: promised another index")
            is_promised = answer.promised["h"] == parse_entry(record.entry).pae_digest.hex()
            insist(is_promised, f"{answer.source}: promised another statement")
        for data in answer.receipts:
            receipt = parse_receipt(data)
            if isinstance(receipt, PendingReceipt):
                is_ours = (receipt.index, receipt.envelope) == (index, envelope)
                insist(is_ours, f"{answer.source}: the pending receipt is not of its leaf")
                self.count("pending receipts")
                continue
            verified = verify_receipt(data, policy, artifact=answer.body)
            insist(verified.index == index, f"{answer.source}: the receipt is of another leaf")
            self.note_head(head_of(data))
            self.count("published receipts")

    def check_heads(self) -> None:
        """Every head that was ever seen must be one of this log."""
        reader = wiring.open_reader(self.folder)
        try:
            for signed in reader.checkpoints_from(0):
                self.note_head(signed.note)
            size = reader.head().size
            for seen, root in self.heads.items():
                insist(seen <= size and root_at(seen, reader.hashes) == root, f"the head of size {seen} is of another log")
            self.count("heads compared", len(self.heads))
        finally:
            reader.close()

    def ask_for_receipts(self, count: int = 40) -> None:
        """Whoever has an answer from before a kill gets its receipt afterwards."""
        with self.at_home():
            policy = wiring.load_policy()
            keeper = self._open_keeper()
            try:
                for answer in self.dice.sample(self.answers, min(count, len(self.answers))):
                    state, data = keeper.receipt(answer.receipt_id)
                    insist(state == "published", f"{answer.source}: no receipt was published")
                    if answer.is_whole:
                        verify_receipt(data, policy, artifact=answer.body)
                    self.note_head(head_of(data))
                    self.count("receipts asked for afterwards")
            finally:
                keeper.close()

    def audit(self) -> None:
        """Take it up, then verify everything from outside, with commands of their own."""
        self.recover()
        self.watch_checkpoint()
        self.check_answers(self.answers, is_again=True)
        self.check_heads()
        self.ask_for_receipts()
        code, found = self.cli("verify")
        insist(code == 0, f"the store does not verify: {code} {json.dumps(found)[:2000]}")
        runs = found["audit"]["runs"]
        insist(all(run["outcome"] in {"completed", "errored", "aborted", "crash"} for run in runs), "a run is open")
        self.counts["runs closed by the keeper"] = sum(run["outcome"] == "crash" for run in runs)
        self.counts["runs"], self.counts["leaves"] = len(runs), found["audit"]["size"]
        if "fsck" in self._help("log"):
            code, found = self.cli("log", "fsck")
            insist(code == 0, f"fsck: {code} {json.dumps(found)[:2000]}")
            self.count("fsck")
        self.count("audits")

    def _help(self, group: str) -> str:
        done = subprocess.run([*CLI, group, "--help"], env=self.env, capture_output=True, text=True, check=False)
        return done.stdout

    # --- Recovery -----------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Let a keeper take it up, complete what the crash left, and publish; on a disk of its own that may fail for want of room."""
        for _ in range(_MOST_REFUSALS):
            try:
                self._recover()
                return
            except (StorageUnavailableError, OutcomeUnknownError) as error:
                insist(self.disk_kilobytes is not None, f"a keeper could not take it up: {error}")
            # Copying from the WAL into the file wants room again for what is in the WAL: that may be 16 MB.
            self.count("recoveries that the disk refused")
            self.enlarge()
        raise Broken("no keeper could take it up with a larger disk")

    def _recover(self) -> None:
        with self.at_home():
            keeper = self._open_keeper()
            try:
                keeper.publish()
            finally:
                keeper.close()

    def _open_keeper(self) -> wiring.OwnedKeeper:
        """Become the keeper; one that was started by a killed parent may still be on its way out."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return wiring.open_keeper(self.folder)
            except StorageUnavailableError as error:
                if "another keeper" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(0.05)
