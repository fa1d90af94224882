"""Randomness that comes in blocks: nothing is handed out twice, by no thread and in no child process."""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings

import pytest

from apostille.adapters import system
from apostille.adapters.system import SystemRandom


@pytest.mark.parametrize("size", [0, 1, 12, 16, 31, 32, 33, 48, 4096, 5000])
def test_as_many_bytes_as_asked_for(size):
    found = [SystemRandom().token(size) for _ in range(500)]
    assert {len(token) for token in found} == {size}
    assert size < 12 or len(set(found)) == 500


def slow_random(urandom):
    """The system's randomness, with time for others to come in between."""

    def draw(size: int) -> bytes:
        time.sleep(0.0002)
        return urandom(size)

    return draw


def test_no_token_twice_in_many_threads(monkeypatch):
    switch = sys.getswitchinterval()
    monkeypatch.setattr(system.os, "urandom", slow_random(os.urandom))
    found: list[bytes] = []
    gate = threading.Barrier(8)

    def work() -> None:
        mine = []
        gate.wait()
        for _ in range(3000):
            mine.append(SystemRandom().token(16))
        found.extend(mine)

    threads = [threading.Thread(target=work) for _ in range(8)]
    sys.setswitchinterval(1e-6)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(switch)
    # Overlapping slices would share bytes without being equal.
    assert len({token[:8] for token in found} | {token[8:] for token in found}) == 2 * len(found) == 48_000


def test_a_forked_child_has_bytes_of_its_own():
    SystemRandom().token(16)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pytest may have threads
        child = os.fork()
    if child == 0:
        os.write(writing, b"".join(SystemRandom().token(16) for _ in range(20)))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 1000)
    ours = b"".join(SystemRandom().token(16) for _ in range(20))
    for end in (reading, writing):
        os.close(end)
    assert len(theirs) == len(ours) == 320
    assert not {theirs[i : i + 8] for i in range(0, 320, 8)} & {ours[i : i + 8] for i in range(0, 320, 8)}


def test_what_was_taken_is_wiped_and_a_rest_is_not_kept(monkeypatch):
    block = system._Block()
    now = [100.0]
    monkeypatch.setattr(system.time, "monotonic", lambda: now[0])
    first = block.take(16)
    assert first not in bytes(block._bytes)
    rest = bytes(block._bytes[16:])
    assert block.take(16) == rest[:16]
    now[0] += 1
    assert block.take(16) != rest[16:32], "a rest that is older than some milliseconds is thrown away"
