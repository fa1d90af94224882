"""The kill drill: ``kill -9`` at random moments of real processes under load, and then everything that was handed out is held
against the log.

    python -m tests.faults.drill --victim gateway --kills 200 --seed 1

| victim | what is killed | who keeps what was handed out |
|---|---|---|
| gateway | ``apostille serve``, which is the keeper too | a client process of its own: every byte as it came |
| run | ``apostille run``, the supervisor of the client | that client |
| client | the client of a gateway that goes on; at the end of its life the gateway is stopped in good order | the client, until its last moment |
| sdk | a program with the SDK, which is the keeper too | the program itself, until its last moment |
| keeper | ``apostille keeper``, beside a gateway and two programs; often the next one comes at once, and they go on | all of them |
| program | one of two programs that use a keeper's socket; the keeper goes on, and is stopped in good order | both |

After each kill: every answer of which a client got a byte that names a receipt has its leaf, with exactly these bytes; every
receipt verifies, and is of the leaf that the log has; no index was given twice. At the end, and every 50 kills: the whole store
verifies with nothing open or missing, every head that was ever seen is one of this log, and what ``fsck`` checks is in order.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import importlib.util
import json
import logging
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apostille import wiring
from apostille.core import note
from apostille.core.checkpoint import parse_checkpoint
from apostille.core.digest import sha256
from apostille.core.entry import parse_entry
from apostille.core.receipt import PendingReceipt, parse_receipt
from apostille.core.statement import parse_statement
from apostille.core.tree import root_at
from apostille.errors import ApostilleError, OutcomeUnknownError, StorageUnavailableError
from apostille.faces import codes
from apostille.services.receipts import envelope_of
from apostille.services.vault import open_record
from apostille.services.verifier import verify_receipt
from tests.simulators import openai_upstream as sim

REPOSITORY = Path(__file__).resolve().parents[2]
VICTIMS = ("gateway", "run", "client", "sdk", "keeper", "program")
WITH_KEEPER = {"keeper", "program"}  # these need the keeper to be a process of its own
CLI = [sys.executable, "-c", "from apostille.faces.cli import main; main()"]
_AUDIT_EVERY = 50
_ROOM_BYTES = 2**19
_MOST_REFUSALS = 12
_PATIENCE_SECONDS = 120.0  # machines can be busy; what ends sooner is seen at once


class Broken(AssertionError):
    """A promise was broken."""


def insist(is_so: object, what: str) -> None:
    if not is_so:
        raise Broken(what)


class Echo(sim.OpenAIUpstream):
    """An upstream that says back what it was told, with a number; whole or streamed, and sometimes with hidden characters."""

    count = 0

    async def _answer(self, request: Any) -> Any:
        asked = json.loads(await request.read())
        self.count += 1
        said = f"answer {self.count} to {asked['messages'][-1]['content']}" + (sim.TAGS if self.count % 5 == 0 else "")
        return await self._play(request, sim.stream(said[:7], said[7:]) if asked.get("stream") else sim.text(said))


@dataclass
class Answer:
    """What a client was handed out: maybe only a part of the body, maybe without its receipt."""

    source: str
    receipt_id: str
    body: bytes
    is_whole: bool
    promised: dict[str, Any] | None = None
    receipts: list[bytes] = field(default_factory=list)


@dataclass
class Drill:
    """One store, its processes, and all that was seen from outside.

    Attributes:
        place: A folder of its own.
        dice: Decides when and what is killed.
        disk_kilobytes: Size of a file system of its own for the store, which fills up now and then, and is then made larger.
    """

    place: Path
    dice: random.Random
    heads: dict[int, bytes] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    indexes: dict[int, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    disk_kilobytes: int | None = None
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.place / "store"

    @property
    def folder(self) -> wiring.StoreFolder:
        return wiring.store_folder(self.store)

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("APOSTILLE", "OPENAI", "XDG"))}
        python = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), str(REPOSITORY)]))
        places = {"XDG_CONFIG_HOME": self.place / "config", "XDG_STATE_HOME": self.place / "state", "HOME": self.place}
        return kept | {"PYTHONPATH": python} | {name: str(path) for name, path in places.items()}

    def count(self, what: str, by: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + by

    @contextlib.contextmanager
    def at_home(self) -> Iterator[None]:
        """Let this process have the same user's trust and memory."""
        names = ("XDG_CONFIG_HOME", "XDG_STATE_HOME")
        before = {name: os.environ.get(name) for name in names}
        os.environ.update({name: self.env[name] for name in names})
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def cli(self, *words: object) -> tuple[int, Any]:
        """Run a command to its end; code and JSON document."""
        command = [*CLI, "--store", str(self.store), "--json", *map(str, words)]
        done = subprocess.run(command, env=self.env, capture_output=True, timeout=600, check=False)
        insist(b"Traceback" not in done.stderr, done.stderr.decode("utf-8", "replace"))
        return done.returncode, json.loads(done.stdout) if done.stdout else None

    def start(self, *command: str, log: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a process in a group of its own, so that it is killed alone or with its children, as it is wanted."""
        with (self.place / log).open("ab") as out:
            process = subprocess.Popen(command, env={**self.env, **env}, stdout=out, stderr=out, start_new_session=True)
        self._started.append(process)
        return process

    def end_all(self) -> None:
        """Kill what is still there, after a promise was broken for example."""
        for process in self._started:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(_PATIENCE_SECONDS)
        self._started.clear()

    # --- What was handed out ------------------------------------------------------------------------------------------

    def collect(self, kept: Path) -> list[Answer]:
        """Read what the clients of one life have kept."""
        found = []
        for path in sorted(kept.glob("*.answer")):
            answer = _parse_answer(path)
            self.count("answers with a byte" if path.stat().st_size else "requests without an answer")
            if answer is None:
                insist(_parse_http(path.read_bytes())[0] != 200, f"{path}: an answer without a receipt")
                continue
            for receipt in kept.glob(f"{path.stem}.receipt"):
                state, body, is_whole = _parse_http(receipt.read_bytes())
                if is_whole and state in {200, 202}:
                    answer.receipts.append(body)
            found.append(answer)
        for path in sorted(kept.rglob("*.said")):
            value = json.loads(path.read_bytes())
            answer = Answer(str(path), value["id"], value["text"].encode(), is_whole=True)
            answer.receipts += [published.read_bytes() for published in path.parent.glob(f"{path.stem}.published")]
            found.append(answer)
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
                said = dict(parse_statement(record.statement).subjects)
                openings = open_record(vault, record, said)
                insist(openings is not None, f"{answer.source}: what was handed out can't be opened")
                salt, content = openings["canonical"][:32], openings["canonical"][32:]
                insist(sha256(salt + content) == said["canonical"], f"{answer.source}: the leaf commits to something else")
                is_same = content == answer.body if answer.is_whole else content.startswith(answer.body)
                insist(is_same, f"{answer.source}: other bytes than the leaf's were handed out")
                self.count("whole answers" if answer.is_whole else "cut answers")
                envelope, _ = envelope_of(record)
                if answer.promised is not None:
                    insist(answer.promised["index"] == index, f"{answer.source}: promised another index")
                    insist(
                        answer.promised["h"] == parse_entry(record.entry).pae_digest.hex(),
                        f"{answer.source}: promised another statement",
                    )
                for data in answer.receipts:
                    receipt = parse_receipt(data)
                    if isinstance(receipt, PendingReceipt):
                        is_ours = (receipt.index, receipt.envelope) == (index, envelope)
                        insist(is_ours, f"{answer.source}: the pending receipt is not of its leaf")
                        self.count("pending receipts")
                        continue
                    verified = verify_receipt(data, policy, artifact=answer.body)
                    insist(verified.index == index, f"{answer.source}: the receipt is of another leaf")
                    self.note_head(_head_of(data))
                    self.count("published receipts")
        finally:
            reader.close()
        if is_again:
            self.counts = counts

    def check_heads(self) -> None:
        """Every head that was ever seen must be one of this log."""
        reader = wiring.open_reader(self.folder)
        try:
            for signed in reader.checkpoints():
                self.note_head(signed.note)
            size = reader.head().size
            for seen, root in self.heads.items():
                insist(seen <= size and root_at(seen, reader.hashes) == root, f"the head of size {seen} is of another log")
            self.count("heads compared", len(self.heads))
        finally:
            reader.close()

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
            self._enlarge()
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
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return wiring.open_keeper(self.folder)
            except StorageUnavailableError as error:
                if "another keeper" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(0.05)

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
                    self.note_head(_head_of(data))
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

    # --- Lives and deaths ---------------------------------------------------------------------------------------------

    def live(self, victim: str, number: int, upstream: str) -> Path:
        """One life: start, load, kill. Returns where the clients kept what they got."""
        kept = self.place / "kept" / f"{number:05d}-{victim}"
        kept.mkdir(parents=True)
        client = str(Path(__file__).with_name("drill_client.py"))
        if victim == "sdk":
            program = str(Path(__file__).with_name("drill_sdk.py"))
            process = self.start(sys.executable, program, str(kept), str(self.store), log="sdk.log")
            self._let_live(process, kept / "begun")
            self._kill(process)
            return kept
        if victim == "run":
            words = ["--store", str(self.store), "run", "--agent", "drill", "--", sys.executable, client, str(kept)]
            process = self.start(*CLI, *words, log="run.log", OPENAI_BASE_URL=upstream)
            self._let_live(process, kept / "begun")
            self._kill(process, is_alone=True)
            self._end_group(process)  # the program loses its gateway, and keeps what it had until then
            return kept
        if victim in WITH_KEEPER:
            getattr(self, f"_live_{victim}")(kept, upstream)
            return kept
        gateway, log, before = self._start_gateway(upstream)
        url = None
        if self.dice.random() < 0.12 and victim == "gateway":
            time.sleep(self.dice.uniform(0, 1.2))  # at its start, when it recovers from the kill before
            self.count("killed while starting")
        else:
            url = self._url(gateway, log, before)
        asker = None
        if url is not None:
            asker = self.start(
                sys.executable, client, str(kept), log="client.log", OPENAI_BASE_URL=url, DRILL_KEY=self.client_key
            )
            self._let_live(asker, kept / "begun")
        if victim == "client" and asker is not None:
            self._kill(asker)
            if self.dice.random() < 0.5:
                gateway.terminate()
                insist(gateway.wait(_PATIENCE_SECONDS) == 0, "a gateway that was told to stop ended with an error")
            else:
                self._kill(gateway, is_counted=False)
                self.count("gateways killed besides")
        else:
            self._kill(gateway)
            if asker is not None:
                time.sleep(0.05)
                self._kill(asker, is_counted=False)
        return kept

    def _start_gateway(self, upstream: str) -> tuple[subprocess.Popen[bytes], Path, int]:
        log = self.place / "serve.log"
        before = log.stat().st_size if log.exists() else 0
        words = ["--store", str(self.store), "serve", "--listen", "127.0.0.1:0", "--upstream", upstream]
        return self.start(*CLI, *words, log="serve.log"), log, before

    def _start_keeper(self) -> subprocess.Popen[bytes]:
        log = self.place / "keeper.log"
        before = log.stat().st_size if log.exists() else 0
        keeper = self.start(*CLI, "--store", str(self.store), "keeper", log="keeper.log")
        end = time.monotonic() + _PATIENCE_SECONDS
        while b"keeping " not in log.read_bytes()[before:]:
            insist(keeper.poll() is None, f"the keeper ended by itself: {log.read_bytes()[before:].decode()}")
            insist(time.monotonic() < end, "the keeper did not begin")
            time.sleep(0.01)
        return keeper

    def _start_program(self, kept: Path, name: str) -> tuple[subprocess.Popen[bytes], Path]:
        place = kept / name
        place.mkdir()
        program = str(Path(__file__).with_name("drill_sdk.py"))
        return self.start(sys.executable, program, str(place), str(self.store), "2", log="sdk.log"), place / "begun"

    def _live_keeper(self, kept: Path, upstream: str) -> None:
        """Kill the keeper under a gateway with a client and two programs; half the time the next one comes, and is killed too."""
        keeper = self._start_keeper()
        gateway, log, before = self._start_gateway(upstream)
        programs = [self._start_program(kept, name) for name in ("one", "two")]
        url = self._url(gateway, log, before) or ""
        client = str(Path(__file__).with_name("drill_client.py"))
        asker = self.start(sys.executable, client, str(kept), log="client.log", OPENAI_BASE_URL=url, DRILL_KEY=self.client_key)
        for process, begun in (*programs, (asker, kept / "begun")):
            self._let_live(process, begun)
        self._kill(keeper)
        while self.dice.random() < 0.5:
            self.count("keepers that came at once")
            keeper = self._start_keeper()
            time.sleep(self.dice.choice((0.05, 0.3, 1.0, 4.5)) * self.dice.random())  # past the time of grace, too
            self._kill(keeper)
        survivors = [gateway, asker, *(process for process, _ in programs)]
        self.count("clients alive at the end", sum(process.poll() is None for process in survivors))
        for process in survivors:
            self._kill(process, is_counted=False)

    def _live_program(self, kept: Path, upstream: str) -> None:
        """Kill a program; another one goes on with the same keeper, which then stops in good order."""
        del upstream
        keeper = self._start_keeper()
        first, second = (self._start_program(kept, name) for name in ("one", "two"))
        self._let_live(*second)
        self._let_live(*first)
        self._kill(first[0])
        time.sleep(self.dice.random() * 0.3)
        insist(second[0].poll() is None, "a program ended because another one was killed")
        if self.dice.random() < 0.5:
            self._kill(second[0])
        keeper.terminate()
        insist(keeper.wait(_PATIENCE_SECONDS) == 0, f"a keeper that was told to stop ended with {keeper.returncode}")
        self._kill(second[0], is_counted=False)

    def _url(self, gateway: subprocess.Popen[bytes], log: Path, before: int) -> str | None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < end:
            found = re.search(rb"serving \S+ on (http://127\.0\.0\.1:\d+/v1)", log.read_bytes()[before:])
            if found:
                return found[1].decode()
            if self._may_have_ended(gateway):
                return None
            time.sleep(0.01)
        raise Broken(f"the gateway did not begin to serve; it is {_state(gateway)}")

    def _may_have_ended(self, process: subprocess.Popen[bytes]) -> bool:
        """Tell whether a process ended by itself, which only a full disk is a reason for."""
        if process.poll() in {None, -signal.SIGKILL}:
            return False
        is_full = self.disk_kilobytes is not None and process.returncode in {1, codes.UNAVAILABLE}
        insist(is_full, f"a process ended by itself with {process.returncode}: {process.args}")
        return True

    def _let_live(self, process: subprocess.Popen[bytes], begun: Path) -> None:
        """Wait until the load has begun, then for a moment that the dice decide."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while not begun.exists() and time.monotonic() < end:
            if self._may_have_ended(process):
                return
            time.sleep(0.005)
        insist(begun.exists(), f"the load did not begin; its process is {_state(process)}")
        moment = time.monotonic() + self.dice.choice((0.02, 0.2, 0.5, 1.4)) * self.dice.random()
        while time.monotonic() < moment:
            self.watch_checkpoint()
            time.sleep(0.02)

    def _kill(self, process: subprocess.Popen[bytes], *, is_alone: bool = False, is_counted: bool = True) -> None:
        if is_alone:
            process.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait(_PATIENCE_SECONDS)
        if is_counted and self._may_have_ended(process):
            self.count("ended by a full disk")
        elif is_counted:
            self.count("kills")

    def _end_group(self, process: subprocess.Popen[bytes]) -> None:
        time.sleep(0.05)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def drill(self, victim: str, kills: int, *, report: Any = None) -> None:
        """Kill so many times, with all checks."""
        self.place.mkdir(parents=True, exist_ok=True)
        if self.disk_kilobytes is not None:
            self.store.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.disk_kilobytes}k", "none", self.store], check=True)
        try:
            self._drill(victim, kills, report)
        finally:
            self.end_all()
            if self.disk_kilobytes is not None:
                subprocess.run(["umount", "-l", self.store], check=True)

    def _has_room(self) -> bool:
        return self.disk_kilobytes is None or shutil.disk_usage(self.store).free >= _ROOM_BYTES

    def _make_room(self) -> None:
        """Make the store's disk larger where it is full."""
        if not self._has_room():
            self.count("times the disk was full")
            self._enlarge()

    def _enlarge(self) -> None:
        self.disk_kilobytes = (self.disk_kilobytes or 0) + 2048
        subprocess.run(["mount", "-o", f"remount,size={self.disk_kilobytes}k", self.store], check=True)

    def _drill(self, victim: str, kills: int, report: Any) -> None:
        code, _ = self.cli("init")
        insist(code == 0, "init")
        self.client_key = self.cli("serve", "--add-client", "drill")[1]["key"]
        logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # whoever asked it was killed: no news
        with Echo() as upstream:
            number = 0
            while self.counts.get("kills", 0) < kills:
                number += 1
                kept = self.live(victim, number, upstream.url)
                if self.dice.random() < 0.5 or self.counts.get("ended by a full disk", 0) > number // 2:
                    self._make_room()
                if self.dice.random() < 0.5 and self._has_room():
                    self.recover()  # else the next life is the first that sees what is left
                self.check_answers(self.collect(kept))
                shutil.rmtree(kept)
                if number % _AUDIT_EVERY == 0:
                    self._make_room()
                    self.audit()
                if report is not None:
                    report(self.counts)
        self._make_room()
        self.audit()


def has_keeper() -> bool:
    """Tell whether the keeper can be a process of its own."""
    return importlib.util.find_spec("apostille.faces.cli.keeper") is not None


def _state(process: subprocess.Popen[bytes]) -> str:
    """What the kernel says of a process: whether it waits or runs, on what, and for how much CPU time it has run."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        waits = Path(f"/proc/{process.pid}/wchan").read_text()
    except OSError:
        return f"gone ({process.poll()})"
    return f"{fields[0]}, waits in {waits}, {fields[11]}+{fields[12]} ticks of CPU, nice {fields[16]}"


def _head_of(data: bytes) -> bytes:
    bundle = json.loads(data)["bundle"]["verificationMaterial"]["tlogEntries"][0]
    return str(bundle["inclusionProof"]["checkpoint"]["envelope"]).encode()


def _parse_http(data: bytes) -> tuple[int, bytes, bool]:
    """Status, body as far as it came, and whether it is whole."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return 0, b"", False
    lines = head.split(b"\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines[1:])}
    length = int(headers.get(b"content-length", b"-1"))
    return int(lines[0].split()[1]), body, len(body) == length


def _parse_answer(path: Path) -> Answer | None:
    """Return what names a receipt: from then on the answer has been handed out. A refusal names none."""
    data = path.read_bytes()
    status, body, is_whole = _parse_http(data)
    head = data.partition(b"\r\n\r\n")[0]
    # Even a head that was cut has a name in it, if it came so far.
    found = re.search(rb"\r\napostille-id: ([0-9a-f]{32})\r\n", head + (b"\r\n" if status else b""))
    if found is None:
        return None
    packed = re.search(rb"\r\napostille-receipt: ([A-Za-z0-9_-]+)\r\n", head + (b"\r\n" if status else b""))
    promised = json.loads(base64.urlsafe_b64decode(packed[1] + b"=" * (-len(packed[1]) % 4))) if packed else None
    return Answer(str(path), found[1].decode(), body, is_whole, promised)


def main() -> int:
    """Drill, and print what was done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--victim", choices=VICTIMS, action="append")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument(
        "--disk", type=int, metavar="KILOBYTES", help="A small disk for the store, to be full now and then (root)."
    )
    parser.add_argument("--keep", type=Path, help="Work here, and leave everything for a look at it.")
    arguments = parser.parse_args()
    for victim in arguments.victim or VICTIMS:
        if victim in WITH_KEEPER and not has_keeper():
            sys.stdout.write(f"{victim}: skipped, there is no command for a keeper of its own yet\n")
            continue
        started = time.monotonic()
        with contextlib.ExitStack() as stack:
            place = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="apostille-drill-")))
            drill = Drill(place / victim, random.Random(f"{arguments.seed} {victim}"), disk_kilobytes=arguments.disk)
            shown = [0.0]

            def report(counts: dict[str, int], shown: list[float] = shown, victim: str = victim) -> None:
                if time.monotonic() - shown[0] > 15:
                    shown[0] = time.monotonic()
                    sys.stderr.write(
                        f"{victim}: {counts.get('kills', 0)} kills, {counts.get('whole answers', 0)} whole answers\n"
                    )

            try:
                drill.drill(victim, arguments.kills, report=report)
            except (Broken, ApostilleError, subprocess.SubprocessError) as error:
                sys.stdout.write(f"{victim}: BROKEN after {drill.counts} (seed {arguments.seed}): {error}\n")
                return 1
        counts = ", ".join(f"{value} {name}" for name, value in sorted(drill.counts.items()))
        sys.stdout.write(f"{victim}: {counts}; seed {arguments.seed}, {time.monotonic() - started:.0f} s\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
