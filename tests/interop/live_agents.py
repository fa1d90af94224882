"""Agents under ``apostille run``, what their model says, and what must hold of it afterwards."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import foreign
import pytest
from live_kit import PATIENCE_SECONDS, Home, Leaf, apostille, signer_pem, sim, statement_of, trusted_root

from apostille import wiring
from apostille.core import predicates

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

AGENTS = foreign.HERE / "agents"
VERIFIED = "VERIFIED, UNWITNESSED"
_RUN_LINE = re.compile(r"^run ([0-9a-f]{32}): ", re.MULTILINE)


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
    found = [item for value in values for item in _strings(json.loads(value))]
    # Arguments are JSON inside a string, and in a stream whole only after their pieces are joined.
    arguments = "".join(string for key, string in found if key == "arguments")
    if arguments:
        found += _strings(json.loads(arguments))
    return set(map(ord, sim.TAGS + sim.SELECTORS + sim.OVERRIDE)) & {ord(c) for item in found for c in "".join(item)}


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _strings(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, key)
    else:
        yield key, value if isinstance(value, str) else ""


# --- tool loops -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loops:
    """Two tool loops of one agent in one run, the first whole and the second streamed."""

    ended: Ended
    scripted: list[sim.Scripted]
    asked: list[sim.Asked]


def run_loops(home: Home, agent: Agent, folder: Path) -> Loops:
    """Run both loops against an upstream that hides characters in text and arguments."""
    scripted = [*loop_whole(), *loop_streamed()]
    for said in scripted:
        assert hidden_in(sent(said)) > {ord(sim.OVERRIDE)}
    with sim.OpenAIUpstream() as upstream:
        upstream.script(*scripted)
        ended = run_agent(home, agent, upstream.url, folder, "whole", "stream")
    assert ended.status == 0, ended.talk
    return Loops(ended, scripted, upstream.asked)


def check_nothing_hidden_arrived(loops: Loops) -> None:
    """Check the SDK's values. The tool knows the order by its clean number only: a hidden character would lead elsewhere."""
    expected = {"text": CLEAN_FINAL, "tools": [CLEAN_ARGUMENTS]}
    assert loops.ended.said == [expected, expected]


def check_upstream_was_asked_as_without_us(loops: Loops, user_agent: str) -> None:
    """Check the four requests as they reached the model."""
    assert [(asked.method, asked.path) for asked in loops.asked] == [("POST", "/v1/chat/completions")] * 4
    for asked in loops.asked:
        assert asked.headers["authorization"] == "Bearer sk-test"
        assert asked.headers["user-agent"] == user_agent
    for asked in (loops.asked[1], loops.asked[3]):
        messages = asked.json["messages"]
        assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool"]
        assert json.loads(messages[2]["tool_calls"][0]["function"]["arguments"]) == CLEAN_ARGUMENTS
        assert messages[3] == {"role": "tool", "tool_call_id": "call_1", "content": "42 EUR"}


def check_loops_attested(home: Home, loops: Loops) -> list[Leaf]:
    """Check bytes, parts, findings and inputs of the run."""
    leaves = check_attested(home, loops.ended, loops.scripted)
    # The same, as the command line tells it.
    shown = {item["receipt_id"]: item for item in home.json("show", loops.ended.run) if item["type"] == "output"}
    assert [shown[leaf.receipt_id]["canonical"].encode() for leaf in leaves] == [answer.body for answer in loops.ended.answers]
    assert all("findings" in leaf.statement.subjects for leaf in leaves)
    assert [leaf.attributes["media_type"] for leaf in leaves] == ["application/json"] * 2 + ["text/event-stream"] * 2
    for leaf in (leaves[0], leaves[2]):
        assert leaf.content("part/choice/0/arguments/0") == b'{"note":"urgent","order_id":"A-17"}'
    for leaf in (leaves[1], leaves[3]):
        assert leaf.content("part/choice/0/text") == CLEAN_FINAL.encode()
    inputs = [(leaf.attributes["source"]["kind"], leaf) for leaf in home.leaves(loops.ended.run, predicates.INPUT)]
    # Tools and system message, the user's, the agent's own words given back, the tool's result. The second loop begins with the
    # same ones, and nothing is stated twice.
    assert {kind for kind, _ in inputs} == {"system", "user", "agent", "tool"}
    assert [kind for kind, _ in inputs].count("user") == 1
    (result,) = [leaf for kind, leaf in inputs if kind == "tool"]
    assert json.loads(result.content("raw"))["content"] == "42 EUR"
    return leaves


# --- what must hold of it ---------------------------------------------------------------------------------------------


def verify_run(home: Home, run: str) -> Any:
    """Verify a run on the command line: it must be verified, and say that nobody else vouches for it."""
    verdict = home.json("verify", run)
    assert (verdict["exit"], verdict["verdict"]) == (0, VERIFIED)
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
        digest = base64.b64encode(bytes.fromhex(foreign.sha256sum(answer.body))).decode()
        assert answer.headers["content-digest"] == f"sha-256=:{digest}:"
        assert answer.headers["apostille-id"] == leaf.receipt_id
        assert answer.headers["apostille-bundle"].endswith(f"/receipts/{leaf.receipt_id}")
        assert leaf.statement.predicate["assurance"] == "bound"
        assert hidden_in(answer.body) == set()
        found.append(leaf)
    assert len({leaf.index for leaf in found}) == len(outputs)
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
    assert verdicts.count(VERIFIED) == len(leaves)
    assert verdicts.count("content    matches") == len(leaves)
    home.cli("verify", names[0], "--artifact", folder / "0.changed", status=1)
