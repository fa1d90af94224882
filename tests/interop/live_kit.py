"""What the live tests stand on: a user with a store, the real command line, agents under it, and another reader of proofs."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import foreign
import pytest

sys.path.insert(0, str(foreign.REPO / "tests" / "simulators"))

import openai_upstream as sim

from apostille import wiring
from apostille.core import predicates
from apostille.core.commitment import SALT_BYTES
from apostille.core.keys import public_pem
from apostille.core.statement import Statement, parse_statement
from apostille.services.vault import open_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

AGENTS = foreign.HERE / "agents"
PATIENCE_SECONDS = 60
_RUN_LINE = re.compile(r"^run ([0-9a-f]{32}): ", re.MULTILINE)
_FOREIGN_TO_TESTS = ("OPENAI_", "APOSTILLE_", "XDG_")


# --- a user -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Home:
    """One user with one store, and folders of their own for trust and remembered heads."""

    path: Path

    @property
    def store(self) -> wiring.StoreFolder:
        return wiring.StoreFolder(self.path / "store")

    def _folders(self) -> dict[str, str]:
        return {"XDG_CONFIG_HOME": str(self.path / "config"), "XDG_STATE_HOME": str(self.path / "state")}

    @contextlib.contextmanager
    def inside(self) -> Iterator[wiring.StoreFolder]:
        """Be this user, in this process."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self._folders().items():
                patch.setenv(name, value)
            yield self.store

    def environment(self, **more: str) -> dict[str, str]:
        """Give the environment of this user's programs: no proxy, and no settings of whoever runs the tests."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(_FOREIGN_TO_TESTS) and not name.lower().endswith("_proxy")
        }
        return {**kept, **self._folders(), "APOSTILLE_STORE": str(self.store.path), **more}

    def cli(self, *words: str | Path, status: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``apostille`` and insist on its exit status."""
        done = subprocess.run(
            [apostille(), *map(str, words)],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
            env=self.environment(),
            cwd=cwd or self.path,
        )
        assert done.returncode == status, f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *words: str | Path, status: int = 0) -> Any:
        """Run a command with ``--json`` and give its document."""
        return json.loads(self.cli(*words, "--json", status=status).stdout)

    def leaves(self, run: str | None = None, kind: str | None = None) -> list[Leaf]:
        """Read the store's leaves, opened; each opening is checked against its digest on the way."""
        with self.inside() as folder:
            reader, vault = wiring.open_reader(folder), wiring.open_vault(folder)
            try:
                found = []
                for index, record in reader.records():
                    said = parse_statement(record.statement)
                    if kind in {None, said.type} and run in {None, said.predicate.get("run")}:
                        receipt_id = record.receipt_id.hex() if record.receipt_id else ""
                        openings = open_record(vault, record, dict(said.subjects)) or {}
                        found.append(Leaf(index, receipt_id, said, openings))
                return found
            finally:
                reader.close()


@dataclass(frozen=True)
class Leaf:
    """One leaf, opened by the store's own keys."""

    index: int
    receipt_id: str
    statement: Statement
    openings: dict[str, bytes]

    def content(self, name: str) -> bytes:
        """Give what the subject ``name`` commits to, without the salt."""
        return self.openings[name][SALT_BYTES:]

    @property
    def attributes(self) -> Any:
        return json.loads(self.content("attributes"))


def apostille() -> str:
    """Give the path of the command that was installed with the package."""
    path = Path(sys.executable).with_name("apostille")
    assert path.is_file(), f"no command {path}: install the package"
    return str(path)


# --- an agent under apostille run -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Agent:
    """How an agent script is called.

    Attributes:
        program: ``python`` or ``node``, found by PATH.
        script: The script.
        path: Folders to put in front of PATH.
    """

    program: str
    script: Path
    path: Path


@dataclass(frozen=True)
class Answer:
    """One HTTP response as the agent received it."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Ended:
    """An ``apostille run`` that has ended.

    Attributes:
        status: Exit status of the call.
        said: The JSON lines that the agent printed.
        talk: What apostille printed on stderr, with what the agent printed there.
        run: Id of the run.
        answers: What the agent received, in order.
    """

    status: int
    said: list[Any]
    talk: str
    run: str
    answers: list[Answer]


class Started:
    """An ``apostille run`` that has begun, in a process group of its own as a shell would make it."""

    def __init__(self, home: Home, agent: Agent, upstream: str, folder: Path, *steps: str, **environment: str) -> None:
        folder.mkdir()
        self.folder = folder
        values = {
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": upstream,
            "PATH": f"{agent.path}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            **environment,
        }
        self.process = subprocess.Popen(
            [apostille(), "run", "--", agent.program, str(agent.script), str(folder), *steps],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=home.environment(**values),
            cwd=folder,
            start_new_session=True,
        )

    def wait_until(self, condition: Any, what: str) -> None:
        """Wait until something has happened."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.end()
                pytest.fail(f"{what}: did not happen")
            time.sleep(0.02)

    def wait_until_ready(self) -> None:
        """Wait for the agent's step ``wait``."""
        self.wait_until((self.folder / "ready").exists, "the agent waits")

    def signal_group(self, number: int) -> None:
        """Send a signal to all processes, as a terminal does for Ctrl-C."""
        os.killpg(self.process.pid, number)

    def end(self) -> Ended:
        """Wait for the end. Nothing of it may be left over."""
        try:
            out, talk = self.process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.signal_group(signal.SIGKILL)
            out, talk = self.process.communicate()
            pytest.fail(f"apostille run did not end:\n{out}\n{talk}")
        found = _RUN_LINE.search(talk)
        said = [json.loads(line) for line in out.splitlines()]
        return Ended(self.process.returncode, said, talk, found[1] if found else "", _answers(self.folder))


def run_agent(home: Home, agent: Agent, upstream: str, folder: Path, *steps: str, **environment: str) -> Ended:
    """Run an agent under ``apostille run`` to its end."""
    return Started(home, agent, upstream, folder, *steps, **environment).end()


def _answers(folder: Path) -> list[Answer]:
    found = []
    for path in sorted(folder.glob("*.head.json")):
        head = json.loads(path.read_bytes())
        body = path.with_name(path.name.replace(".head.json", ".body"))
        found.append(Answer(head["status"], head["headers"], body.read_bytes() if body.exists() else b""))
    return found


# --- what the model says, with hidden characters ----------------------------------------------------------------------

ARGUMENTS = {"note": f"{sim.SELECTORS}urg{sim.OVERRIDE}ent", "order_id": f"A-17{sim.TAGS}"}
CLEAN_ARGUMENTS = {"note": "urgent", "order_id": "A-17"}
FINAL = ("Order A-", f"17{sim.TAGS[:3]}", f"{sim.TAGS[3:]} costs {sim.OVERRIDE}42 ", f"EUR{sim.SELECTORS}.")
CLEAN_FINAL = "Order A-17 costs 42 EUR."


def loop_whole() -> list[sim.Scripted]:
    """Script a tool loop: hidden characters stand as they are in the arguments' text."""
    arguments = json.dumps(ARGUMENTS, ensure_ascii=False)
    return [sim.tools(sim.call("lookup_order", arguments)), sim.text("".join(FINAL))]


def loop_streamed() -> list[sim.Scripted]:
    """Script a streamed tool loop: hidden characters are escapes in the arguments' text, cut anywhere."""
    return [sim.tool_stream("lookup_order", sim.escaped(ARGUMENTS), size=3), sim.stream(*FINAL)]


def sent(scripted: sim.Scripted) -> bytes:
    """Give the body that a scripted answer puts on the wire."""
    return b"".join(scripted.steps)


def hidden_in(body: bytes) -> set[int]:
    """Find the planted code points in any string of a JSON body or stream of events, however deep or escaped it is."""
    text = body.decode()
    values = [text] if text.startswith("{") else [row[6:] for row in text.split("\n") if row.startswith("data: {")]
    joined = "".join(_strings(json.loads(value)) for value in values)
    # Arguments that were streamed are whole, and so JSON, only after they are joined.
    joined += "".join(chr(int(code, 16)) for code in re.findall(r"\\u([0-9a-f]{4})", joined)).encode(
        "utf-16", "surrogatepass"
    ).decode("utf-16", "replace")
    planted = set(map(ord, sim.TAGS + sim.SELECTORS + sim.OVERRIDE))
    return planted & set(map(ord, joined))


def _strings(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(map(_strings, [*value, *value.values()]))
    if isinstance(value, list):
        return "".join(map(_strings, value))
    return value if isinstance(value, str) else ""


# --- what must hold of it ---------------------------------------------------------------------------------------------


def verify_run(home: Home, run: str) -> Any:
    """Verify a run on the command line: it must be verified, and say that nobody else vouches for it."""
    verdict = home.json("verify", run)
    assert (verdict["exit"], verdict["verdict"]) == (0, "VERIFIED, UNWITNESSED")
    assert verdict["failures"] == []
    return verdict


def outcome_of(home: Home, run: str) -> str:
    """Give the outcome that a run was closed with."""
    last = home.leaves(run)[-1].statement
    assert last.type == predicates.RUN_CLOSE, f"the run {run} is not closed"
    return str(last.predicate["outcome"])


def check_attested(home: Home, ended: Ended, scripted: Sequence[sim.Scripted]) -> list[Leaf]:
    """Check that what the agent received is what the log committed to, byte by byte, and nothing more or less.

    Args:
        home: Whose store it is.
        ended: The run.
        scripted: What the upstream said, in order.

    Returns:
        The output of each answer.
    """
    outputs = home.leaves(ended.run, predicates.OUTPUT)
    assert len(ended.answers) == len(outputs) == len(scripted) > 0
    found = []
    for answer, said in zip(ended.answers, scripted, strict=True):
        (leaf,) = [leaf for leaf in outputs if leaf.content("canonical") == answer.body]
        assert leaf.content("raw") == sent(said)
        assert answer.headers["content-digest"] == f"sha-256=:{base64.b64encode(bytes.fromhex(foreign.sha256sum(answer.body))).decode()}:"
        assert answer.headers["apostille-id"] == leaf.receipt_id
        assert answer.headers["apostille-bundle"].endswith(f"/receipts/{leaf.receipt_id}")
        assert leaf.statement.predicate["assurance"] == "bound"
        assert hidden_in(answer.body) == set()
        found.append(leaf)
    assert len({leaf.index for leaf in found}) == len(outputs)
    # The same, as the command line tells it.
    shown = {item["receipt_id"]: item for item in home.json("show", ended.run) if item["type"] == "output"}
    assert [shown[leaf.receipt_id]["canonical"].encode() for leaf in found] == [answer.body for answer in ended.answers]
    return found


def check_receipts(home: Home, leaves: Sequence[Leaf], folder: Path) -> None:
    """Check each output's receipt with our verifier, @sigstore/verify and sha256sum; one changed byte is refused."""
    folder.mkdir()
    with home.inside() as store:
        keeper = wiring.open_keeper(store)
        try:
            receipts = [keeper.receipt(leaf.receipt_id) for leaf in leaves]
        finally:
            keeper.close()
    root = trusted_root(home)
    for number, (leaf, (state, receipt)) in enumerate(zip(leaves, receipts, strict=True)):
        assert state == "published"
        body = leaf.content("canonical")
        value = json.loads(receipt)
        (entry,) = value["bundle"]["verificationMaterial"]["tlogEntries"]
        assert int(entry["logIndex"]) == leaf.index
        bundle = json.dumps(value["bundle"]).encode()
        assert foreign.verify_bundle(bundle, root, signer_pem(value["bundle"]))["index"] == leaf.index
        subjects = statement_of(value["bundle"])["subject"]
        digests = {subject["name"]: subject["digest"]["sha256"] for subject in subjects}
        assert foreign.sha256sum(base64.b64decode(value["salt"]) + body) == digests["canonical"]
        (folder / f"{number}").write_bytes(body)
        (folder / f"{number}.receipt.json").write_bytes(receipt)
        (folder / f"{number}.changed").write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    names = [folder / f"{number}.receipt.json" for number in range(len(leaves))]
    verdicts = home.cli("verify", *names).stdout
    assert verdicts.count("VERIFIED, UNWITNESSED") == len(leaves)
    assert verdicts.count("content    matches") == len(leaves)
    home.cli("verify", names[0], "--artifact", folder / "0.changed", status=1)


# --- evidence ---------------------------------------------------------------------------------------------------------


def payload_of(bundle: Any) -> bytes:
    """Give the bytes of the statement inside a bundle."""
    return base64.b64decode(bundle["dsseEnvelope"]["payload"])


def statement_of(bundle: Any) -> Any:
    """Give the statement inside a bundle."""
    return json.loads(payload_of(bundle))


def pae(payload: bytes) -> bytes:
    """Give what is signed, built from the text of the DSSE specification and not by the product."""
    return b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload)


def leaf_of(bundle: Any) -> bytes:
    """Give the log entry inside a bundle."""
    return base64.b64decode(bundle["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"])


def signer_pem(bundle: Any) -> bytes:
    """Give the key that a bundle's entry names, as PEM."""
    verifier = json.loads(leaf_of(bundle))["spec"]["hashedRekordV002"]["signature"]["verifier"]
    return public_pem(base64.b64decode(verifier["publicKey"]["rawBytes"]))


def trusted_root(home: Home) -> bytes:
    """Give what ``apostille log export`` writes for Sigstore's tools."""
    out = home.path / "export"
    if not out.exists():
        home.cli("log", "export", "--out", out)
    return (out / "trusted_root.json").read_bytes()


def check_proof(proof: bytes, entry: bytes, vkey: str, folder: Path) -> dict[str, Any]:
    """Check a tlog-proof with golang.org/x/mod/sumdb.

    Returns:
        ``origin``, ``index``, ``size``, ``root`` (base64) and ``hashes`` (how many).
    """
    paths = [folder / "proof", folder / "entry"]
    for path, content in zip(paths, (proof, entry), strict=True):
        path.write_bytes(content)
    done = foreign._run([_checkproof(), *paths, vkey])
    return foreign._json_or_refusal("checkproof", done, "checkproof: ")


@cache
def _checkproof() -> Path:
    """Build the program as the setup script builds checklog, where it is not built yet."""
    foreign.require_go()
    source = foreign.HERE / "go" / "checkproof"
    build = foreign.build_folder()
    program = build / "bin" / "checkproof"
    if not program.is_file() or program.stat().st_mtime < (source / "main.go").stat().st_mtime:
        settings = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "", "GOPROXY": "off"}
        settings |= {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOCACHE": str(build / "go-cache")}
        fresh = program.with_name(f"checkproof.{os.getpid()}")
        command = [foreign.require_program("go"), "build", "-trimpath", "-o", str(fresh), "."]
        subprocess.run(command, check=True, cwd=source, env={**os.environ, **settings}, timeout=foreign.TIMEOUT_SECONDS)
        fresh.touch()
        fresh.replace(program)
    return program
