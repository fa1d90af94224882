"""A peer that goes away never ends a gateway or a supervisor: found by kill -9 of clients on a full disk (ended by SIGPIPE while it stopped)."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest

from apostille import wiring
from apostille.errors import StorageUnavailableError
from apostille.faces.cli.keeper import keeper_client


@pytest.mark.parametrize("is_failing", [False, True])
def test_while_a_keeper_is_used_and_let_go(monkeypatch, is_failing):
    seen = []

    def note(*_args, **_more):
        seen.append(signal.getsignal(signal.SIGPIPE))
        return SimpleNamespace(close=note)

    monkeypatch.setattr(wiring, "connect_keeper", note)
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        terminal = SimpleNamespace(folder=SimpleNamespace(origin=lambda: "a.example"))
        try:
            with keeper_client(terminal):
                note()
                if is_failing:
                    raise StorageUnavailableError("the disk is full")
        except StorageUnavailableError:
            assert is_failing
        assert seen == [signal.SIG_IGN] * 3, "while it is found, used and let go"
        assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN, "threads of a gateway may still be at work"
    finally:
        signal.signal(signal.SIGPIPE, before)
