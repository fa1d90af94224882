"""The unmodified OpenAI SDK for Python in an agent under ``apostille run``: what it received is what the log holds.

gateway.md sections 2, 5, 6 and 7, formats.md section 10: an agent in a process of its own, whole answers and streams, a tool
loop, hidden characters planted by the upstream in text and in arguments; exit statuses, signals, and upstreams that fail.
Nothing of the agent is changed but OPENAI_BASE_URL.
"""

from __future__ import annotations

import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import openai
import pytest
from live_agents import (
    AGENTS,
    VERIFIED,
    Agent,
    Loops,
    Started,
    check_attested,
    check_loops_attested,
    check_nothing_hidden_arrived,
    check_receipts,
    check_upstream_was_asked_as_without_us,
    outcome_of,
    run_agent,
    run_loops,
    sent,
    verify_run,
)
from live_kit import Home, sim

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


@pytest.fixture(scope="module")
def loops(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Loops:
    return run_loops(home, AGENT, tmp_path_factory.mktemp("loops") / "a")


# --- a tool loop, whole and streamed ----------------------------------------------------------------------------------


def test_the_agent_works_and_sees_nothing_hidden(loops: Loops) -> None:
    check_nothing_hidden_arrived(loops)


def test_the_upstream_is_asked_as_without_us(loops: Loops) -> None:
    check_upstream_was_asked_as_without_us(loops, f"OpenAI/Python {openai.__version__}")


def test_bytes_received_are_bytes_attested(home: Home, loops: Loops) -> None:
    check_loops_attested(home, loops)


def test_run_and_receipts_verify(home: Home, loops: Loops, tmp_path: Path) -> None:
    verify_run(home, loops.ended.run)
    assert outcome_of(home, loops.ended.run) == "completed"
    assert "4 outputs attested" in loops.ended.talk
    assert "isolation: none" in loops.ended.talk
    assert VERIFIED in loops.ended.talk
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
    assert VERIFIED in ended.talk


def test_a_program_that_asks_no_model_gives_a_loud_warning(home: Home, upstream: sim.OpenAIUpstream, tmp_path: Path) -> None:
    ended = run_agent(home, AGENT, upstream.url, tmp_path / "a")
    assert (ended.status, ended.said, ended.answers) == (0, [], [])
    assert "WARNING: no answer came through the gateway." in ended.talk
    assert upstream.asked == []
    assert outcome_of(home, ended.run) == "completed"
    assert VERIFIED in ended.talk


def test_a_program_that_cannot_be_started_leaves_no_open_run(home: Home, tmp_path: Path) -> None:
    agent = Agent("no-such-program", AGENT.script, AGENT.path)
    ended = run_agent(home, agent, "http://127.0.0.1:1/v1", tmp_path / "a")
    assert ended.status != 0
    assert "can't be started" in ended.talk
    assert outcome_of(home, ended.run) == "aborted"
    verify_run(home, ended.run)


def test_ctrl_c_ends_cleanly(home: Home, upstream: sim.OpenAIUpstream, tmp_path: Path) -> None:
    said = sim.text(f"Hello{sim.SELECTORS}.")
    upstream.script(said)
    started = Started(home, AGENT, upstream.url, tmp_path / "a", "once", "wait")
    started.wait_until_ready()
    started.signal_group(signal.SIGINT)
    ended = started.end()
    assert (ended.status, ended.said) == (128 + signal.SIGINT, [{"text": "Hello."}]), ended.talk
    assert "KeyboardInterrupt" in ended.talk  # the agent's own end, as without us
    assert outcome_of(home, ended.run) == "errored"
    check_attested(home, ended, [said])
    assert VERIFIED in ended.talk


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_leaves_no_open_run(
    home: Home, upstream: sim.OpenAIUpstream, tmp_path: Path, second: signal.Signals
) -> None:
    """An impatient user, or service manager: it comes when the program has gone and its run is being closed."""
    started = Started(home, AGENT, upstream.url, tmp_path / "a", "once", "wait")
    started.wait_until_ready()
    started.signal_group(signal.SIGINT)
    started.wait_until(lambda: not _children(started.process.pid), "the agent ends")
    started.signal_group(second)
    ended = started.end()
    # The program's status, or the second signal's where it came after the run was closed and published.
    assert ended.status in {128 + signal.SIGINT, 128 + second, -second}, ended.talk
    assert outcome_of(home, ended.run) == "errored"
    verify_run(home, ended.run)


def _children(pid: int) -> list[str]:
    """The running children of a process; a zombie has gone as far as anybody else is concerned."""
    tasks = Path(f"/proc/{pid}/task")
    try:
        pids = [child for task in tasks.iterdir() for child in (task / "children").read_text().split()]
        return [child for child in pids if ") Z" not in Path(f"/proc/{child}/stat").read_text()]
    except FileNotFoundError:  # ended while we looked
        return _children(pid) if tasks.exists() else []


class Pause(threading.Event):
    """A step of the upstream that says when it is reached: what stands before it is on its way."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.reached.set()
        return super().wait(timeout)


def test_ctrl_c_while_the_model_speaks(home: Home, upstream: sim.OpenAIUpstream, tmp_path: Path) -> None:
    """What the upstream had said is kept; nothing of it was released, and the call upstream is ended."""
    pause = Pause()
    first = sent(sim.text("Hello."))[:40]
    upstream.script(sim.Scripted([first, pause]))
    try:
        started = Started(home, AGENT, upstream.url, tmp_path / "a", "once")
        started.wait_until(pause.reached.is_set, "the model speaks")
        time.sleep(1)  # for the gateway to read it
        started.signal_group(signal.SIGINT)
        ended = started.end()
        assert upstream.aborted_by_client.wait(10)
    finally:
        pause.set()
    assert ended.status == 128 + signal.SIGINT, ended.talk
    assert ended.answers == []
    (leaf,) = home.leaves(ended.run, predicates.OUTPUT)
    assert leaf.statement.predicate["outcome"] == "client_abort"
    assert (leaf.content("raw"), leaf.content("canonical")) == (first, b"")
    assert outcome_of(home, ended.run) == "errored"
    assert VERIFIED in ended.talk


def test_sigterm_is_passed_on(home: Home, upstream: sim.OpenAIUpstream, tmp_path: Path) -> None:
    """As a service manager ends it: the signal comes to apostille alone."""
    started = Started(home, AGENT, upstream.url, tmp_path / "a", "once", "wait")
    started.wait_until_ready()
    started.process.send_signal(signal.SIGTERM)
    ended = started.end()
    assert ended.status == 128 + signal.SIGTERM, ended.talk
    assert outcome_of(home, ended.run) == "errored"
    assert VERIFIED in ended.talk


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
    assert VERIFIED in ended.talk


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
    assert VERIFIED in ended.talk


def _hang_up(server: socket.socket) -> None:
    """Take a connection, read a little, and reset it, until the server is closed."""
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        connection.recv(1000)
        time.sleep(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def test_upstream_that_hangs_up_on_a_large_request(home: Home, tmp_path: Path) -> None:
    """The gateway is still writing when the other side has gone: an error for the agent, not the end of the keeper."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_hang_up, args=(server,), daemon=True).start()
        ended = run_agent(home, AGENT, f"http://127.0.0.1:{server.getsockname()[1]}/v1", tmp_path / "a", "large")
    assert ended.status == 0, ended.talk
    (said,) = ended.said
    assert said["status"] == 502
    assert VERIFIED in ended.talk
