"""The keeper as a process of its own, with clients in others: killed, handed over, abandoned. Everything here is a real process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.simulators import openai_upstream as upstream

pytest_plugins = ["tests.e2e.cli_kit"]

PROGRAM = str(Path(__file__).with_name("keeper_client_program.py"))


@contextmanager
def started(home, *words):
    """A keeper that listens."""
    process = home.popen("--json", "keeper", *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        assert json.loads(line)["pid"] == process.pid
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)
        said = process.stderr.read()
        process.stdout.close()
        process.stderr.close()
    assert b"internal fault" not in said
    assert b"Traceback" not in said


class Program:
    """A client program; what it prints goes to a file, so that nothing of it is lost in a buffer."""

    def __init__(self, home, agent: str, count: int, pause: float = 0.0) -> None:
        self.agent, self.count = agent, count
        self._out = home.work / f"{agent}.out"
        words = [sys.executable, PROGRAM, str(home.store), agent, str(count), str(pause)]
        with self._out.open("w") as out:
            self.process = subprocess.Popen(words, env=home.env, cwd=home.work, stdout=out, stderr=subprocess.PIPE)
        self.wait_for("run")

    @property
    def lines(self) -> list[list[str]]:
        return [line.split() for line in self._out.read_text().split("\n")[:-1]]

    def wait_for(self, word: str) -> None:
        deadline = time.monotonic() + 30
        while not any(line[0] == word for line in self.lines):
            assert time.monotonic() < deadline
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.02)

    @property
    def run(self) -> str:
        return self.lines[0][1]

    @property
    def kind(self) -> str:
        return self.lines[0][2]

    @property
    def said(self) -> list[tuple[int, int, str]]:
        """Number, index and receipt id of what it was told is committed."""
        return [(int(line[1]), int(line[2]), line[3]) for line in self.lines if line[0] == "said"]

    def end(self) -> None:
        """Wait for its good end."""
        _, err = self.process.communicate(timeout=120)
        assert (self.process.returncode, err) == (0, b"")
        assert self.lines[-1] == ["done"]

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def check(home, program: Program) -> None:
    """What the program was told is in the log: once, in order, where it was told, under the receipt id that it got."""
    run, said, count = program.run, program.said, program.count
    assert [number for number, _, _ in said] == list(range(count))
    (shown,) = [one for one in home.ok("--json", "show").json if one["run"] == run]
    assert (shown["statements"], shown["outcome"]) == (count + 2, "completed")
    items = [item for item in home.ok("--json", "show", run).json if item["type"] == "output"]
    assert [item["canonical"] for item in items] == [f"{program.agent} says {number}" for number in range(count)]
    assert [(item["index"], item["receipt_id"]) for item in items] == [(index, receipt) for _, index, receipt in said]
    for _, _, receipt in (said[0], said[-1]):
        home.ok("log", "receipt", receipt, "--out", f"{receipt}.txt")
        assert home.run("verify", f"{receipt}.txt.receipt.json").clear().code == 0


def outcomes(home) -> dict[str, str]:
    result = home.run("--json", "verify").clear()
    assert result.code == 0, result.text
    return {run["run"]: run["outcome"] for run in result.json["audit"]["runs"]}


def test_two_programs_and_a_keeper(home) -> None:
    with started(home) as keeper:
        assert (home.store / "keeper.sock").stat().st_mode & 0o777 == 0o600
        programs = [Program(home, name, 50) for name in ("a", "b")]
        for program in programs:
            program.end()
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(30) == 0
    for program in programs:
        assert program.kind == "KeeperClient"
        check(home, program)
    assert not (home.store / "keeper.sock").exists()


def test_two_programs_and_a_gateway_on_one_keeper(home) -> None:
    """Three processes write one log; the gateway's answers are in it, and the audit finds one sound store."""
    client_key = home.ok("--json", "serve", "--add-client", "desk").json["key"]
    with started(home) as keeper, upstream.OpenAIUpstream() as model:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        gateway = home.popen("serve", "--upstream", model.url, "--listen", address, stderr=subprocess.PIPE)
        programs = [Program(home, name, 40, 0.01) for name in ("a", "b")]
        try:
            for number in range(5):
                model.script(upstream.text(f"answer {number}"))
                assert f"answer {number}" in ask(f"http://{address}/v1", client_key, gateway)
            for program in programs:
                program.end()
        finally:
            gateway.terminate()
            said = gateway.communicate(timeout=30)[1]
        assert gateway.returncode == 0, said
        assert keeper.poll() is None, "its clients end, and it does not"
    for program in programs:
        check(home, program)
    own = {program.run for program in programs}
    others = [one["run"] for one in home.ok("--json", "show").json if one["run"] not in own]
    items = [item for run in others for item in home.ok("--json", "show", run).json if item["type"] == "output"]
    assert [number for number, item in enumerate(items) if f"answer {number}" in item["canonical"]] == [0, 1, 2, 3, 4]
    assert set(outcomes(home).values()) == {"completed"}


def ask(url: str, key: str, gateway: subprocess.Popen[bytes]) -> str:
    """Ask the model through the gateway, as soon as it listens."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{url}/chat/completions", body, headers), timeout=30) as answer:
                return answer.read().decode()
        except urllib.error.URLError as error:
            assert not isinstance(error, urllib.error.HTTPError), error.read()
            assert gateway.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_interrupted(home) -> None:
    with started(home) as keeper:
        keeper.send_signal(signal.SIGINT)
        assert keeper.wait(30) == 0
        assert b"Traceback" not in keeper.stderr.read()


@pytest.mark.parametrize("method", ["key", "row"])
def test_erased_beside_a_keeper_at_work(home, method) -> None:
    """The statement goes to the keeper by its socket; it commits, publishes and destroys. A program that is writing goes on."""
    run = home.ok("--json", "show").json[0]["run"]
    with started(home):
        program = Program(home, "a", 100, 0.01)
        program.wait_for("said")
        refused = home.run("--json", "erase", "--run", program.run, "--yes").clear()
        assert (refused.code, refused.json["code"]) == (2, "not-found")  # it is not closed
        result = home.ok("--json", "erase", "--run", run, "--method", method, "--reason", "asked", "--yes").json
        assert result["state"] == "erased"
        assert (result["keys_destroyed"] > 0, result["openings_destroyed"] > 0) == (method == "key", method == "row")
        again = home.ok("--json", "erase", "--run", run, "--method", method, "--yes").json
        assert (again["statements"], again["keys_destroyed"], again["openings_destroyed"]) == ([], 0, 0)
        later = home.ok("--json", "erase", "--index", str(program.said[0][1]), "--effective-at", "2036-01-01", "--yes").json
        assert later["state"] == "scheduled"
        assert home.run("verify", run).clear().code == 5
        program.end()
    check(home, program)
    assert home.run("verify", run).clear().code == 5


def test_an_erasure_key_that_the_keeper_does_not_take(home) -> None:
    with started(home):
        result = home.run("--json", "erase", "--index", "5", "--erasure-key", ".apostille/keys/keeper.pem", "--yes").clear()
        assert (result.code, result.json["code"]) == (78, "configuration")
        assert home.run("verify").clear().code == 0


def test_a_second_keeper_is_refused_and_the_first_goes_on(home) -> None:
    with started(home) as keeper:
        result = home.run("--json", "keeper").clear()
        assert (result.code, result.json["code"]) == (69, "storage-unavailable")
        assert str(keeper.pid) in result.json["message"]
        home.ok("attest", "answer.txt")


@pytest.mark.slow
def test_killed_under_load(home) -> None:
    """kill -9 in the middle, three times; the programs go on with the next keeper; nothing is lost, nothing is doubled."""
    with started(home) as keeper:
        programs = [Program(home, name, 300, 0.005) for name in ("a", "b")]
        keepers = [keeper]
        for _ in range(3):
            time.sleep(0.5)
            keepers[-1].kill()
            keepers[-1].wait(30)
            assert (home.store / "keeper.sock").exists(), "it lies there still, and is nobody's"
            time.sleep(0.2)
            again = home.popen("--json", "keeper", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            assert again.stdout.readline()
            keepers.append(again)
        for program in programs:
            program.end()
        keepers[-1].terminate()
        assert keepers[-1].wait(30) == 0
        for one in keepers[1:]:
            one.stdout.close()
            one.stderr.close()
    runs = outcomes(home)
    for program in programs:
        assert runs[program.run] == "completed"
        check(home, program)


def test_handed_over_under_load(home) -> None:
    with started(home) as first:
        program = Program(home, "a", 200, 0.005)
        program.wait_for("said")
        with started(home, "--take-over"):
            assert first.wait(30) == 0
            assert program.process.poll() is None, "the hand-over came in the middle"
            program.end()
    assert outcomes(home)[program.run] == "completed"
    check(home, program)


def test_a_client_that_was_held_up_while_the_keeper_was_exchanged_goes_on(home) -> None:
    """It lives, so the new keeper waits for it: its run is not closed at the start of the keeper, nor before its time."""
    with started(home) as first:
        program = Program(home, "a", 100, 0.01)
        program.wait_for("said")
        program.process.send_signal(signal.SIGSTOP)
        first.kill()
        first.wait(30)
        with started(home):
            time.sleep(1)
            program.process.send_signal(signal.SIGCONT)
            program.end()
    assert outcomes(home)[program.run] == "completed"
    check(home, program)


def test_back_pressure(home) -> None:
    """A keeper that stands still takes nothing; the client's memory is bounded, and when it goes on nothing is missing."""
    script = (
        "import apostille, sys\n"
        "from apostille.errors import BackPressureError\n"
        "from apostille.services import window\n"
        "window.MAX_ENTRIES = 2000\n"
        "window.Window.__init__.__kwdefaults__['max_entries'] = 2000\n"
        "store = apostille.open(sys.argv[1])\n"
        "run = store._keeper.open_run(agent='a')\n"
        "said = [run.opened]\n"
        "said[0].committed(20)\n"
        "print(run.id, flush=True)\n"
        "sys.stdin.readline()\n"
        "try:\n"
        "    while True:\n"
        "        said.append(run.output(b'x' * 100, b'x' * 100, profile='opaque', media_type='text/plain'))\n"
        "except BackPressureError as error:\n"
        "    print(len(said), error.code, flush=True)\n"
        "sys.stdin.readline()\n"
        "indexes = [one.committed(60).index for one in said]\n"
        "said.append(run.close())\n"
        "said[-1].committed(20)\n"
        "print(len(set(indexes)), indexes == sorted(indexes), flush=True)\n"
        "store.close()\n"
    )
    with started(home) as keeper:
        words = [sys.executable, "-c", script, str(home.store)]
        process = subprocess.Popen(words, env=home.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        run = process.stdout.readline().strip()
        keeper.send_signal(signal.SIGSTOP)
        process.stdin.write("fill\n")
        process.stdin.flush()
        count, code = process.stdout.readline().split()
        keeper.send_signal(signal.SIGCONT)
        out, _ = process.communicate("go on\n", timeout=120)
    assert code == "back-pressure"
    assert int(count) == 2001  # the run-open was answered before
    assert out.split() == [count, "True"]
    (shown,) = [one for one in home.ok("--json", "show").json if one["run"] == run]
    assert (shown["statements"], shown["outcome"]) == (int(count) + 1, "completed")


def test_a_program_that_is_killed_has_its_run_closed_as_a_crash(home) -> None:
    with started(home) as keeper:
        program = Program(home, "a", 1000, 0.01)
        program.wait_for("said")
        program.kill()
        time.sleep(1)
        assert home.run("verify", program.run).clear().code == 4, "not at once: its client might come back"
        deadline = time.monotonic() + 15
        while home.run("verify", program.run).clear().code != 0 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert keeper.poll() is None
    assert outcomes(home)[program.run] == "crash"


def test_a_program_that_opens_the_store_keeps_it_for_others(home) -> None:
    """``apostille.open()`` becomes the keeper where there is none; a second program attaches."""
    first = Program(home, "first", 200, 0.01)
    second = Program(home, "second", 20)
    assert (first.kind, second.kind) == ("ListeningKeeper", "KeeperClient")
    second.end()
    first.end()
    check(home, first)
    check(home, second)
    assert set(outcomes(home).values()) == {"completed"}


def test_nobody_keeps_the_store_any_more(home) -> None:
    """The keeper is gone for good: after the time-out the program gets a clear error, and what it was told before is there."""
    script = (
        "import apostille, sys\n"
        "from apostille.errors import ApostilleError\n"
        "from apostille import wiring\n"
        f"client = wiring.connect_keeper(wiring.store_folder({str(home.store)!r}), holder='a', held_by='agent', patience_seconds=2)\n"
        "run = client.open_run(agent='a')\n"
        "first = run.output(b'x', b'x', profile='opaque', media_type='text/plain').committed(20)\n"
        "print(first.index, flush=True)\n"
        "sys.stdin.readline()\n"
        "try:\n"
        "    run.output(b'y', b'y', profile='opaque', media_type='text/plain').committed(30)\n"
        "except ApostilleError as error:\n"
        "    print(error.code, flush=True)\n"
        "try:\n"
        "    run.output(b'z', b'z', profile='opaque', media_type='text/plain')\n"
        "except ApostilleError as error:\n"
        "    print(error.code, flush=True)\n"
        "client.close()\n"
    )
    with started(home) as keeper:
        process = subprocess.Popen(
            [sys.executable, "-c", script], env=home.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        index = int(process.stdout.readline())
        keeper.kill()
        keeper.wait(30)
        out, _ = process.communicate("\n", timeout=60)
    assert out.split() == ["storage-unavailable", "unavailable"]
    home.ok("attest", "answer.txt")
    assert home.run("--json", "show").json
    assert index > 0
    assert "crash" in outcomes(home).values()


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_an_agent_of_another_user_is_recorded_as_such(home, tmp_path) -> None:
    """It reaches the socket and nothing else: not the store, not a key. Its runs say ``isolation: uid``, and the verdict shows it."""
    socket = Path("/tmp") / f"apostille-test-{os.getpid()}" / "keeper.sock"
    socket.parent.mkdir(mode=0o755)
    config = home.store / "apostille.toml"
    config.write_text(config.read_text() + f'\n[keeper]\nsocket = "{socket}"\nmode = "0660"\nallow_uids = [65534]\n')
    script = (
        "import os, sys, apostille, apostille.faces.sdk, apostille.faces.keeper_api\n"
        "os.setgroups([]); os.setuid(int(sys.argv[3]))\n"
        "from apostille.errors import ApostilleError\n"
        "try:\n"
        "    open(sys.argv[4] + '/keys/keeper.pem')\n"
        "except PermissionError:\n"
        "    print('denied', flush=True)\n"
        "try:\n"
        "    with apostille.open(socket=sys.argv[1], origin=sys.argv[2]) as store, store.run(agent='other') as run:\n"
        "        said = run.output('from another user')\n"
        "        print(run.id, flush=True)\n"
        "        said.published(10)\n"
        "except ApostilleError as error:\n"
        "    print(error.code, flush=True)\n"
    )
    origin = home.ok("--json", "log", "info").json["origin"]

    def other(uid: int) -> list[str]:
        words = [sys.executable, "-c", script, str(socket), origin, str(uid), str(home.store)]
        done = subprocess.run(words, env=home.env, cwd="/", capture_output=True, text=True, timeout=60, check=False)
        assert done.stderr == ""
        return done.stdout.split()

    try:
        with started(home):
            denied, run = other(65534)
            assert denied == "denied"
            assert other(65533) == ["denied", "untrusted"], "the list of users does not name it"
            time.sleep(1.5)  # run-close is published within a second
            result = home.run("--json", "verify", run).clear()
            assert result.code == 0
            (shown,) = [one for one in result.json["audit"]["runs"] if one["run"] == run]
            assert shown["isolation"] == "uid"
            assert "isolation: uid" in home.ok("verify", run).text
    finally:
        socket.parent.rmdir()
