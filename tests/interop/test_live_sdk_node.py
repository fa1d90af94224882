"""The unmodified OpenAI SDK for Node in an agent under ``apostille run``: what it received is what the log holds.

gateway.md sections 2, 5, 6 and 7, formats.md section 10. The script stands beside an ordinary ``node_modules`` and says
``import OpenAI from 'openai'``; its streams go through the SDK's helper. Nothing is changed but OPENAI_BASE_URL.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
from typing import TYPE_CHECKING

import foreign
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
    verify_run,
)
from live_kit import Home, sim

from apostille.core import predicates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.interop, pytest.mark.slow]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """The script in a folder as ``npm install openai`` leaves it, and ``node`` in PATH."""
    node = foreign.require_node()
    folder = tmp_path_factory.mktemp("agent")
    shutil.copyfile(AGENTS / "agent.mjs", folder / "agent.mjs")
    (folder / "node_modules").symlink_to(foreign.build_folder() / "node" / "node_modules", target_is_directory=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "node").symlink_to(node)
    return Agent("node", folder / "agent.mjs", folder / "bin")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    found = Home(tmp_path_factory.mktemp("live-node"))
    found.cli("init")
    return found


@pytest.fixture
def upstream() -> Iterator[sim.OpenAIUpstream]:
    with sim.OpenAIUpstream() as found:
        yield found


@pytest.fixture(scope="module")
def loops(home: Home, agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Loops:
    return run_loops(home, agent, tmp_path_factory.mktemp("loops") / "a")


# --- a tool loop, whole and streamed ----------------------------------------------------------------------------------


def test_the_agent_works_and_sees_nothing_hidden(loops: Loops) -> None:
    check_nothing_hidden_arrived(loops)


def test_the_upstream_is_asked_as_without_us(loops: Loops) -> None:
    package = foreign.build_folder() / "node" / "node_modules" / "openai" / "package.json"
    check_upstream_was_asked_as_without_us(loops, f"OpenAI/JS {json.loads(package.read_bytes())['version']}")


def test_bytes_received_are_bytes_attested(home: Home, loops: Loops) -> None:
    check_loops_attested(home, loops)


def test_run_and_receipts_verify(home: Home, loops: Loops, tmp_path: Path) -> None:
    verify_run(home, loops.ended.run)
    assert outcome_of(home, loops.ended.run) == "completed"
    assert "4 outputs attested" in loops.ended.talk
    assert VERIFIED in loops.ended.talk
    check_receipts(home, check_attested(home, loops.ended, loops.scripted), tmp_path / "receipts")


# --- how a run ends ---------------------------------------------------------------------------------------------------


def test_the_programs_own_failing_status_is_passed_through(
    home: Home, agent: Agent, upstream: sim.OpenAIUpstream, tmp_path: Path
) -> None:
    said = sim.text(f"Hello{sim.TAGS}.")
    upstream.script(said)
    ended = run_agent(home, agent, upstream.url, tmp_path / "a", "once", "exit=3")
    assert (ended.status, ended.said) == (3, [{"text": "Hello."}]), ended.talk
    assert outcome_of(home, ended.run) == "errored"
    check_attested(home, ended, [said])
    assert VERIFIED in ended.talk


def test_ctrl_c_ends_cleanly(home: Home, agent: Agent, upstream: sim.OpenAIUpstream, tmp_path: Path) -> None:
    said = sim.text(f"Hello{sim.OVERRIDE}.")
    upstream.script(said)
    started = Started(home, agent, upstream.url, tmp_path / "a", "once", "wait")
    started.wait_until_ready()
    started.signal_group(signal.SIGINT)
    ended = started.end()
    assert (ended.status, ended.said) == (128 + signal.SIGINT, [{"text": "Hello."}]), ended.talk
    assert VERIFIED in ended.talk
    assert outcome_of(home, ended.run) == "errored"
    check_attested(home, ended, [said])
    verify_run(home, ended.run)


def test_a_killed_program_is_an_errored_run(home: Home, agent: Agent, upstream: sim.OpenAIUpstream, tmp_path: Path) -> None:
    ended = run_agent(home, agent, upstream.url, tmp_path / "a", "once", "kill")
    assert ended.status == 128 + signal.SIGKILL == 137
    assert outcome_of(home, ended.run) == "errored"
    verify_run(home, ended.run)


# --- an upstream that fails -------------------------------------------------------------------------------------------


def test_upstream_down(home: Home, agent: Agent, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ended = run_agent(home, agent, f"http://127.0.0.1:{port}/v1", tmp_path / "a", "once")
    assert ended.status == 0, ended.talk
    (said,) = ended.said
    assert (said["status"], said["code"]) == (502, "upstream_unreachable")
    assert home.leaves(ended.run, predicates.OUTPUT) == []
    assert "WARNING: no answer came through the gateway." in ended.talk
    assert VERIFIED in ended.talk


def test_upstream_error_is_attested_too(home: Home, agent: Agent, upstream: sim.OpenAIUpstream, tmp_path: Path) -> None:
    """The SDK sees a status; the log holds what the upstream had said, and what we said instead."""
    refused = sim.error(500, f"It broke{sim.TAGS}.", kind="server_error")
    upstream.script(refused)
    ended = run_agent(home, agent, upstream.url, tmp_path / "a", "once")
    assert ended.status == 0, ended.talk
    (said,) = ended.said
    assert said["status"] == 500
    assert "It broke." in said["message"]
    (leaf,) = check_attested(home, ended, [refused])
    assert leaf.statement.predicate["outcome"] == "upstream_error"
    assert VERIFIED in ended.talk
