"""The unmodified OpenAI SDK for Python in an agent under ``apostille run``: what it received is what the log holds.

gateway.md sections 2, 5, 6, 7 and 14, formats.md section 10: a real agent in a process of its own, whole answers and streams, a
tool loop, hidden characters planted by the upstream in text and in arguments; exit statuses, signals, and an upstream that is down.
Nothing of the agent is changed but OPENAI_BASE_URL.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import openai
import pytest
from live_kit import (
    AGENTS,
    ARGUMENTS,
    CLEAN_ARGUMENTS,
    CLEAN_FINAL,
    Agent,
    Ended,
    Home,
    Started,
    check_attested,
    check_receipts,
    hidden_in,
    loop_streamed,
    loop_whole,
    outcome_of,
    run_agent,
    sent,
    sim,
    verify_run,
)

from apostille.core import predicates

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.interop, pytest.mark.slow]

AGENT = Agent("python", AGENTS / "agent.py", Path(sys.executable).parent)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    found = Home(tmp_path_factory.mktemp("live-python"))
    found.cli("init")
    return found


@pytest.fixture
def upstream() -> Iterator[sim.OpenAIUpstream]:
    with sim.OpenAIUpstream() as found:
        yield found


@dataclass(frozen=True)
class Loops:
    """Two tool loops of one agent in one run, the first whole and the second streamed."""

    ended: Ended
    scripted: list[sim.Scripted]
    asked: list[sim.Asked]


@pytest.fixture(scope="module")
def loops(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Loops:
    scripted = [*loop_whole(), *loop_streamed()]
    with sim.OpenAIUpstream() as upstream:
        upstream.script(*scripted)
        ended = run_agent(home, AGENT, upstream.url, tmp_path_factory.mktemp("loops") / "a", "whole", "stream")
    return Loops(ended, scripted, upstream.asked)


def test_the_agent_works_and_sees_nothing_hidden(loops: Loops) -> None:
    assert loops.ended.status == 0, loops.ended.talk
    # The tool knows the order by its clean number only: had anything hidden reached it, it would not have found it.
    expected = {"text": CLEAN_FINAL, "tools": [CLEAN_ARGUMENTS]}
    assert loops.ended.said == [expected, expected]
    planted = set(map(ord, "".join(ARGUMENTS.values()))) - set(map(ord, "A-17urgent"))
    assert all(hidden_in(sent(said)) for said in loops.scripted)
    assert set().union(*(hidden_in(sent(said)) for said in loops.scripted)) == planted


def test_the_upstream_is_asked_as_without_us(loops: Loops) -> None:
    assert [(asked.method, asked.path) for asked in loops.asked] == [("POST", "/v1/chat/completions")] * 4
    for asked in loops.asked:
        assert asked.headers["authorization"] == "Bearer sk-test"
        assert asked.headers["user-agent"] == f"OpenAI/Python {openai.__version__}"
    for asked in (loops.asked[1], loops.asked[3]):
        roles = [message["role"] for message in asked.json["messages"]]
        assert roles == ["system", "user", "assistant", "tool"]
        assert asked.json["messages"][-1] == {"role": "tool", "tool_call_id": "call_1", "content": "42 EUR"}


def test_bytes_received_are_bytes_attested(home: Home, loops: Loops) -> None:
    leaves = check_attested(home, loops.ended, loops.scripted)
    assert all("findings" in leaf.statement.subjects for leaf in leaves)
    types = [leaf.attributes["media_type"] for leaf in leaves]
    assert types == ["application/json"] * 2 + ["text/event-stream"] * 2
    for leaf in (leaves[0], leaves[2]):
        assert leaf.content("part/choice/0/arguments/0") == b'{"note":"urgent","order_id":"A-17"}'
    for leaf in (leaves[1], leaves[3]):
        assert leaf.content("part/choice/0/text") == CLEAN_FINAL.encode()


def test_inputs_are_in_the_run(home: Home, loops: Loops) -> None:
    inputs = home.leaves(loops.ended.run, predicates.INPUT)
    kinds = [leaf.attributes["source"]["kind"] for leaf in inputs]
    # The offered tools and the system message, the user's, the agent's own words given back, the tool's result. The second loop
    # repeats them all, and nothing is stated twice.
    assert sorted(kinds) == ["agent", "system", "system", "tool", "user"] or sorted(kinds) == ["model", "system", "system", "tool", "user"]
    (result,) = [leaf for leaf in inputs if leaf.attributes["source"]["kind"] == "tool"]
    assert b"42 EUR" in result.content("raw")


def test_run_and_receipts_verify(home: Home, loops: Loops, tmp_path: Path) -> None:
    verify_run(home, loops.ended.run)
    assert outcome_of(home, loops.ended.run) == "completed"
    assert "UNWITNESSED" in loops.ended.talk
    assert "4 outputs attested" in loops.ended.talk
    assert "isolation: none" in loops.ended.talk
    check_receipts(home, check_attested(home, loops.ended, loops.scripted), tmp_path / "receipts")


# --- how a run ends ---------------------------------------------------------------------------------------------------


def test_the_programs_own_failing_status_is_passed_through(home: Home, upstream: sim.OpenAIUpstream, tmp_path: Path) -> None:
    """With a proxy set for the outside, too: loopback traffic must not go there."""
    proxies = {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}
    said = sim.text(f"Hello{sim.TAGS}.")
    upstream.script(said)
    ended = run_agent(home, AGENT, upstream.url, tmp_path / "a", "once", "exit=3", **proxies)
    assert (ended.status, ended.said) == (3, [{"text": "Hello."}]), ended.talk
    assert outcome_of(home, ended.run) == "errored"
    check_attested(home, ended, [said])
    verify_run(home, ended.run)


def test_a_program_that_asks_no_model_gives_a_loud_warning(home: Home, upstream: sim.OpenAIUpstream, tmp_path: Path) -> None:
    ended = run_agent(home, AGENT, upstream.url, tmp_path / "a")
    assert (ended.status, ended.said, ended.answers) == (0, [], [])
    assert "WARNING: no answer came through the gateway." in ended.talk
    assert upstream.asked == []
    assert outcome_of(home, ended.run) == "completed"
    verify_run(home, ended.run)


def test_a_program_that_cannot_be_started_leaves_no_open_run(home: Home, tmp_path: Path) -> None:
    agent = Agent("no-such-program", AGENT.script, AGENT.path)
    ended = run_agent(home, agent, "http://127.0.0.1:1/v1", tmp_path / "a")
    assert ended.status != 0
    assert "can't be started" in ended.talk
    assert outcome_of(home, ended.run) == "errored"
    verify_run(home, ended.run)


@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
def test_ctrl_c_ends_cleanly(home: Home, upstream: sim.OpenAIUpstream, tmp_path: Path, again: bool) -> None:
    said = sim.stream(f"Hel{sim.TAGS}lo.")
    upstream.script(said)
    started = Started(home, AGENT, upstream.url, tmp_path / "a", "once", "wait")
    started.wait_until_ready()
    started.signal_group(signal.SIGINT)
    if again:
        # An impatient user: the second one comes when the program has gone and the run is being closed.
        started.wait_until(lambda: not _children(started.process.pid), "the agent ends")
        started.signal_group(signal.SIGINT)
    ended = started.end()
    assert ended.status == 128 + signal.SIGINT, ended.talk
    assert "KeyboardInterrupt" in ended.talk
    assert "VERIFIED, UNWITNESSED" in ended.talk
    assert outcome_of(home, ended.run) == "errored"
    verify_run(home, ended.run)


def _children(pid: int) -> list[str]:
    """The running children of a process; a zombie has gone as far as anybody else is concerned."""
    tasks = Path(f"/proc/{pid}/task")
    pids = [child for task in tasks.iterdir() for child in (task / "children").read_text().split()]
    return [child for child in pids if ") Z" not in Path(f"/proc/{child}/stat").read_text()]


def test_ctrl_c_while_the_model_speaks(home: Home, upstream: sim.OpenAIUpstream, tmp_path: Path) -> None:
    """What the upstream had said is kept; nothing of it was released, and the call upstream is ended."""
    hold = threading.Event()
    first = sent(sim.text("Hello.")) [:40]
    upstream.script(sim.Scripted([first, hold]))
    started = Started(home, AGENT, upstream.url, tmp_path / "a", "once")
    started.wait_until(lambda: upstream.asked, "the model is asked")
    started.wait_until(lambda: upstream.playing.wait(5), "the model speaks") if hasattr(upstream, "playing") else None
    started.signal_group(signal.SIGINT)
    ended = started.end()
    hold.set()
    assert ended.status == 128 + signal.SIGINT, ended.talk
    assert ended.answers == []
    for leaf in home.leaves(ended.run, predicates.OUTPUT):
        assert leaf.statement.predicate["outcome"] == "client_abort"
        assert (leaf.content("raw"), leaf.content("canonical")) == (first, b"")
    assert outcome_of(home, ended.run) == "errored"
    verify_run(home, ended.run)


def test_sigterm_is_passed_on(home: Home, upstream: sim.OpenAIUpstream, tmp_path: Path) -> None:
    """As a service manager ends it: the signal comes to apostille alone."""
    started = Started(home, AGENT, upstream.url, tmp_path / "a", "once", "wait")
    started.wait_until_ready()
    started.process.send_signal(signal.SIGTERM)
    ended = started.end()
    assert ended.status == 128 + signal.SIGTERM, ended.talk
    assert outcome_of(home, ended.run) == "errored"
    verify_run(home, ended.run)


def test_a_killed_program_is_an_errored_run(home: Home, upstream: sim.OpenAIUpstream, tmp_path: Path) -> None:
    said = sim.text(f"Hello{sim.TAGS}.")
    upstream.script(said)
    ended = run_agent(home, AGENT, upstream.url, tmp_path / "a", "once", "kill")
    assert ended.status == 128 + signal.SIGKILL == 137
    assert outcome_of(home, ended.run) == "errored"
    check_attested(home, ended, [said])
    verify_run(home, ended.run)


# --- an upstream that fails -------------------------------------------------------------------------------------------


def _closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_upstream_down(home: Home, tmp_path: Path) -> None:
    ended = run_agent(home, AGENT, f"http://127.0.0.1:{_closed_port()}/v1", tmp_path / "a", "once")
    assert ended.status == 0, ended.talk
    (said,) = ended.said
    assert (said["status"], said["code"]) == (502, "upstream_unreachable")
    # Nothing was said, so nothing is attested, and that is said aloud.
    assert home.leaves(ended.run, predicates.OUTPUT) == []
    assert "WARNING: no answer came through the gateway." in ended.talk
    verify_run(home, ended.run)


def test_upstream_error_is_attested_too(home: Home, upstream: sim.OpenAIUpstream, tmp_path: Path) -> None:
    refused = sim.error(500, f"It broke{sim.TAGS}.", kind="server_error")
    upstream.script(refused)
    ended = run_agent(home, AGENT, upstream.url, tmp_path / "a", "once")
    assert ended.status == 0, ended.talk
    (said,) = ended.said
    assert said["status"] == 500
    assert "It broke." in said["message"]
    (leaf,) = check_attested(home, ended, [refused])
    assert leaf.statement.predicate["outcome"] == "upstream_error"
    verify_run(home, ended.run)


def test_upstream_that_hangs_up_on_a_large_request(home: Home, tmp_path: Path) -> None:
    """The gateway is still writing when the other side has gone: an error for the agent, not the end of the keeper."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_hang_up, args=(server,), daemon=True).start()
        ended = run_agent(home, AGENT, f"http://127.0.0.1:{server.getsockname()[1]}/v1", tmp_path / "a", "large")
    assert ended.status == 0, ended.talk
    (said,) = ended.said
    assert said["status"] == 502
    verify_run(home, ended.run)
