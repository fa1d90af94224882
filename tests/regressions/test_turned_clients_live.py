"""What one connection of a turned client could cost a keeper, as a process, before a hostile review looked."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from apostille import wiring
from apostille.core import frames, predicates
from apostille.faces.keeper_api import become_keeper
from tests.e2e.test_keeper_process import started
from tests.e2e.test_turned_agent import OUTPUT, Turned

pytest_plugins = ["tests.e2e.cli_kit"]
MEBIBYTES = 1024


def memory(pid: int) -> int:
    """Return the most memory that a process has had, in KiB."""
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("VmHWM"))


def test_receipts_that_nobody_takes_are_not_kept(home) -> None:
    """A thousand receipts were made beforehand: 1.3 GB for statements of one MiB, and contents have no such limit."""
    with started(home) as keeper:
        turned = Turned(home)
        parents = [secrets.token_hex(32) for _ in range(14_000)]
        said = turned.sign(predicates.OUTPUT, {**OUTPUT, "parents": parents}, contents=(("raw", b"x"), ("canonical", b"x")))
        assert turned.codes(said) == ["taken"]
        index = turned.store.head().size - 1
        before = memory(keeper.pid)
        for number in range(500):
            turned.link.send(frames.AskReceipt(number, None, index, 0))
        time.sleep(1.0)
        assert memory(keeper.pid) - before < 100 * MEBIBYTES
        assert isinstance(turned.link.receive(), frames.ReceiptIs)
        turned.link.close()
        turned.store.close()


def test_a_receipt_that_no_frame_has_room_for_ends_no_connection(home) -> None:
    """A client came back and asked again, for half a minute, with all else that it had under way."""
    with started(home):
        turned = Turned(home)
        said = turned.sign(predicates.OUTPUT, OUTPUT, contents=(("raw", b"x"), ("canonical", b"x")), note="n" * (51 * 2**20))
        assert turned.codes(said) == ["taken"]
        asked = frames.AskReceipt(2, None, turned.store.head().size - 1, 0)
        deadline = time.monotonic() + 20
        while turned.failed(asked) != "too-large":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert turned.failed(frames.AskHead(3)) == "HeadIs"
        turned.link.close()
        turned.store.close()


def test_waits_of_those_who_are_gone_are_forgotten(home, monkeypatch) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, home.env[name])
    keeper = become_keeper(wiring.store_folder(home.store))
    try:
        turned = Turned(home)
        turned.link._socket.sendall(
            b"".join(frames.format_frame(frames.Wait(number, 2**62, frames.PUBLISHED)) for number in range(100))
        )
        deadline = time.monotonic() + 20
        while len(keeper.server._waits._waiting) < 100:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        turned.link.close()
        while waiting := keeper.server._waits._waiting:
            assert time.monotonic() < deadline, len(waiting)
            time.sleep(0.02)
        turned.store.close()
    finally:
        keeper.close()


def test_waits_of_those_who_are_gone_hold_up_nobody(home) -> None:
    """They were kept for a minute, and their end took time by the square of their number: the keeper stood still for minutes."""
    with started(home) as keeper:
        turned = Turned(home)
        data = b"".join(frames.format_frame(frames.Wait(number, 2**62, frames.PUBLISHED)) for number in range(1000))
        before = memory(keeper.pid)
        for _ in range(60):
            turned.connect()
            turned.ask(frames.Hello(1, turned.key.spki, turned.key.sign(frames.hello_message(turned.origin, turned.challenge))))
            turned.link._socket.sendall(data)
        turned.connect()
        turned.ask(frames.Hello(1, turned.key.spki, turned.key.sign(frames.hello_message(turned.origin, turned.challenge))))
        began = time.monotonic()
        assert turned.failed(frames.Wait(2, 0, frames.PUBLISHED)) == "HeadIs"
        assert time.monotonic() - began < 5
        assert memory(keeper.pid) - before < 60 * MEBIBYTES
        turned.link.close()
        turned.store.close()
