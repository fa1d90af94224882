"""Who is killed: one life each of a start, a load, and a ``kill -9`` at a moment that the dice decide.

| victim | what is killed | who keeps what was handed out |
|---|---|---|
| gateway | ``apostille serve``, half the time with the keeper that it started, which else stops in good order | a client process of its own: every byte as it came |
| run | ``apostille run``, the supervisor of the client, half the time with its keeper | that client |
| client | the client of a gateway that goes on; at the end of its life the gateway is stopped in good order | the client, until its last moment |
| sdk | a program with the SDK, which is the keeper too | the program itself, until its last moment |
| keeper | ``apostille keeper``, beside a gateway and two programs; often the next one comes at once, and they go on | all of them |
| program | one of two programs that use a keeper's socket; the keeper goes on, and is stopped in good order | both |
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.drill.place import CLI, CLIENT, PATIENCE_SECONDS, insist, state_of
from tests.faults.drill.promises import Watched


def live(drill: Watched, victim: str, number: int, upstream: str) -> Path:
    """One life of a victim. Returns where the clients kept what they got."""
    kept = drill.place / "kept" / f"{number:05d}-{victim}"
    kept.mkdir(parents=True)
    _LIVES[victim](drill, kept, upstream)
    return kept


def _sdk(drill: Watched, kept: Path, upstream: str) -> None:
    del upstream
    process = drill.start_program(kept)
    _let_live(drill, process, kept / "begun")
    drill.kill(process)


def _run(drill: Watched, kept: Path, upstream: str) -> None:
    words = ["--store", str(drill.store), "run", "--agent", "drill", "--", sys.executable, str(CLIENT), str(kept)]
    process = drill.start(*CLI, *words, log="run.log", OPENAI_BASE_URL=upstream)
    _let_live(drill, process, kept / "begun")
    drill.kill(process, is_alone=True, takes_keeper=drill.dice.random() < 0.5)
    time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # the program loses its gateway, and keeps what it had until then


def _gateway(drill: Watched, kept: Path, upstream: str) -> None:
    gateway, before = drill.start_gateway(upstream)
    takes_keeper = drill.dice.random() < 0.5
    if drill.dice.random() < 0.12:
        time.sleep(drill.dice.uniform(0, 1.2))  # at its start, when it recovers from the kill before
        drill.count("killed while starting")
        drill.kill(gateway, takes_keeper=takes_keeper)
        return
    client = _client_of(drill, gateway, before, kept)
    drill.kill(gateway, takes_keeper=takes_keeper)
    if client is not None:
        time.sleep(0.05)
        drill.kill(client, is_counted=False)


def _client(drill: Watched, kept: Path, upstream: str) -> None:
    gateway, before = drill.start_gateway(upstream)
    client = _client_of(drill, gateway, before, kept)
    if client is None:
        drill.kill(gateway)
        return
    drill.kill(client)
    if drill.dice.random() < 0.5:
        drill.stop(gateway)
    else:
        drill.kill(gateway, is_counted=False)
        drill.count("gateways killed besides")


def _client_of(drill: Watched, gateway: subprocess.Popen[bytes], before: int, kept: Path) -> subprocess.Popen[bytes] | None:
    """Start a client once its gateway serves, and let it live for a while; none where a full disk has ended the gateway."""
    url = drill.url(gateway, before)
    if url is None:
        return None
    client = drill.start_client(kept, url)
    _let_live(drill, client, kept / "begun")
    return client


def _keeper(drill: Watched, kept: Path, upstream: str) -> None:
    """Kill the keeper under a gateway with a client and two programs; half the time the next one comes, and is killed too."""
    keeper = drill.start_keeper()
    if keeper is None:
        drill.count("ended by a full disk")
        return
    gateway, before = drill.start_gateway(upstream)
    programs = [_program_of(drill, kept, name) for name in ("one", "two")]
    survivors = [gateway, *(process for process, _ in programs)]
    client = _client_of(drill, gateway, before, kept)
    if client is not None:
        survivors.append(client)
    for process, begun in programs:
        _let_live(drill, process, begun)
    drill.kill(keeper)
    while drill.dice.random() < 0.5:
        keeper = drill.start_keeper()
        if keeper is None:
            drill.count("ended by a full disk")
            break
        drill.count("keepers that came at once")
        time.sleep(drill.dice.choice((0.05, 0.3, 1.0, 4.5)) * drill.dice.random())  # past the time of grace, too
        drill.kill(keeper)
    drill.count("clients alive at the end", sum(process.poll() is None for process in survivors))
    for process in survivors:
        drill.kill(process, is_counted=False)


def _program(drill: Watched, kept: Path, upstream: str) -> None:
    """Kill a program; another one goes on with the same keeper, which then stops in good order."""
    del upstream
    keeper = drill.start_keeper()
    first, second = (_program_of(drill, kept, name) for name in ("one", "two"))
    _let_live(drill, *second)
    _let_live(drill, *first)
    drill.kill(first[0])
    time.sleep(drill.dice.random() * 0.3)
    insist(second[0].poll() is None, "a program ended because another one was killed")
    if drill.dice.random() < 0.5:
        drill.kill(second[0])
    drill.stop(keeper)
    drill.kill(second[0], is_counted=False)


def _program_of(drill: Watched, kept: Path, name: str) -> tuple[subprocess.Popen[bytes], Path]:
    place = kept / name
    place.mkdir()
    return drill.start_program(place, "2"), place / "begun"


def _let_live(drill: Watched, process: subprocess.Popen[bytes], begun: Path) -> None:
    """Wait until the load has begun, then for a moment that the dice decide."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not begun.exists() and time.monotonic() < end:
        if drill.may_have_ended(process):
            return
        time.sleep(0.005)
    insist(begun.exists(), f"the load did not begin; its process is {state_of(process)}")
    moment = time.monotonic() + drill.dice.choice((0.02, 0.2, 0.5, 1.4)) * drill.dice.random()
    while time.monotonic() < moment:
        drill.watch_checkpoint()
        time.sleep(0.02)


_LIVES: dict[str, Callable[[Watched, Path, str], None]] = {
    "gateway": _gateway,
    "run": _run,
    "client": _client,
    "sdk": _sdk,
    "keeper": _keeper,
    "program": _program,
}
VICTIMS = tuple(_LIVES)
