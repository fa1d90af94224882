"""Many at once: keepers that start on one store, connections by the thousand, users who take all that there is.

Spec: formats.md section 9 (one keeper); docs/manual/keeper.md (back-pressure); docs/manual/limits.md.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from apostille.storage.lock import StoreLock
from tests.e2e.test_keeper_process import started

pytest_plugins = ["tests.e2e.cli_kit"]

IS_ALL = os.environ.get("APOSTILLE_FAULTS") == "all"
ROUNDS = 40 if IS_ALL else 3
CROWD = 10_000


@pytest.mark.parametrize("number", range(ROUNDS))
def test_keepers_that_start_at_once(home, number) -> None:
    """One gets the store. The others say whose it is, and end with 69; nothing is forked, and nothing waits for ever."""
    luck = random.Random(number)
    processes = []
    for _ in range(3):
        processes.append(home.popen("--json", "keeper", stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        time.sleep(luck.choice((0.0, 0.0, luck.uniform(0.0, 0.3))))
    try:
        first = [process.stdout.readline() for process in processes]
        (owner,) = [process for process, line in zip(processes, first, strict=True) if b'"ready"' in line]
        for process, line in zip(processes, first, strict=True):
            if process is not owner:
                found = json.loads(line + process.stdout.read())
                assert (process.wait(30), found["code"]) == (69, "storage-unavailable")
                assert "another keeper (process " in found["message"]
        assert home.run("attest", "answer.txt", "--out", "a").clear().code == 0
        assert owner.poll() is None
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
            process.wait(30)
            assert b"internal fault" not in process.stderr.read()
            process.stdout.close()
            process.stderr.close()
    assert owner.returncode == 0
    assert home.run("--json", "log", "fsck").clear().code == 0


def test_a_keeper_that_takes_no_clients_is_said_to_be_that(home) -> None:
    """Not only that it is another's store: a keeper that is full is no reason to stop it."""
    lock = StoreLock(home.store / "keeper.lock")
    try:
        result = home.run("attest", "answer.txt", "--out", "a").clear()
    finally:
        lock.release()
    assert result.code == 69
    assert f"another keeper (process {os.getpid()}) owns this store" in result.talk
    assert "it takes no client at the moment: " in result.talk


def memory_of(pid: int) -> int:
    """Largest resident size so far, bytes."""
    (line,) = [row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


TAKER = """
import os, socket, sys, time
path, uid, count, again = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
if uid:
    os.setgroups([]); os.setuid(uid)
held = []
end = time.monotonic() + again
while True:
    while len(held) < count:
        one = socket.socket(socket.AF_UNIX)
        try:
            one.connect(path)  # it waits where the backlog is full; with a time-out the kernel would refuse at once
        except OSError:
            one.close()
            break
        held.append(one)
    print(len(held), flush=True)
    if time.monotonic() >= end:
        break
    time.sleep(0.05)
    for one in held[:]:
        one.setblocking(False)
        try:
            data = one.recv(65536)
        except BlockingIOError:
            continue
        except OSError:
            data = b""
        if not data:
            one.close()
            held.remove(one)
sys.stdin.readline()
"""


@contextmanager
def taker(path, *, uid: int = 0, count: int, seconds: float = 0.0):
    """A process that takes connections, and takes new ones for those that were ended."""
    words = [sys.executable, "-c", TAKER, str(path), str(uid), str(count), str(seconds)]
    process = subprocess.Popen(words, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)
        process.stdin.close()
        process.stdout.close()


def test_ten_thousand_connections(home) -> None:
    """Who is at work goes on; memory stays where it was; and as soon as they are gone, or have shown no key, others are let in."""
    with started(home) as keeper:
        before = memory_of(keeper.pid)
        assert home.run("attest", "answer.txt", "--out", "a").clear().code == 0
        with taker(home.store / "keeper.sock", count=CROWD) as crowd:
            assert int(crowd.stdout.readline()) >= CROWD // 2
            assert memory_of(keeper.pid) - before < 64 * 2**20
            time.sleep(6)  # those who have shown no key in 5 s are sent away
            assert home.run("attest", "answer.txt", "--out", "b").clear().code == 0
        assert len(os.listdir(f"/proc/{keeper.pid}/fd")) < 64
    assert home.run("--json", "log", "fsck").clear().code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_users_who_take_all_connections_leave_some_to_the_others(home) -> None:
    """Two who may come in take what they get, again and again: the keeper's own user is served meanwhile."""
    folder = Path("/tmp") / f"apostille-crowd-{os.getpid()}"
    folder.mkdir(mode=0o755)
    config = home.store / "apostille.toml"
    path = folder / "keeper.sock"
    config.write_text(config.read_text() + f'\n[keeper]\nsocket = "{path}"\nmode = "0660"\nallow_uids = [65533, 65534]\n')
    try:
        with started(home):
            path.chmod(0o666)
            with taker(path, uid=65533, count=200, seconds=30) as one, taker(path, uid=65534, count=200, seconds=30) as two:
                for process in (one, two):
                    assert int(process.stdout.readline()) > 0
                time.sleep(1)
                began = time.monotonic()
                for number in range(3):
                    home.file("more.txt", b"%d" % number)
                    assert home.run("attest", "more.txt", "--out", "a").clear().code == 0
                assert time.monotonic() - began < 20
    finally:
        folder.rmdir()
