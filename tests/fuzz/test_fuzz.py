"""A few seconds of the hammer in every test run: all parsers, all commands, the same inputs each time."""

from __future__ import annotations

import random

import pytest

from tests.fuzz import hammer as hammering
from tests.fuzz.commands import COMMANDS
from tests.fuzz.hammer import HangError, bounded, hammer
from tests.fuzz.mutate import inputs
from tests.fuzz.targets import MIB, TARGETS, Target

SECONDS = 0.08
COMMAND_SECONDS = 0.25


@pytest.mark.parametrize("name", TARGETS)
def test_valid_inputs_are_taken(name):
    target = TARGETS[name]
    for seed in target.seeds:
        assert target.run(seed), f"{name}: {seed[:80]!r}"


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_under_the_hammer(name):
    """Only documented errors, what is taken is written back, and no input takes long."""
    tally = hammer(TARGETS[name], MIB, "test", seconds=SECONDS)
    print(tally)
    assert not tally.faults, tally
    assert tally.inputs > 5


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_under_the_hammer(name):
    """Only documented exit codes; never a trace, never 70."""
    tally = hammer(COMMANDS[name], MIB, "test", seconds=COMMAND_SECONDS)
    print(tally)
    assert not tally.faults, tally


def test_the_hammer_sees_a_fault_and_a_hang(tmp_path, monkeypatch):
    monkeypatch.setattr(hammering, "_KEPT", tmp_path)

    def careless(data: bytes) -> bytes:
        return {97: data}[data[0]]

    def endless(_: bytes) -> None:
        while True:
            pass

    tally = hammer(Target("careless", careless, (b"abc",)), 1, "test", seconds=1)
    assert any("KeyError" in fault for fault in tally.faults)
    assert any(path.suffix == ".txt" for path in tmp_path.iterdir())
    with bounded(0.05) as restart, pytest.raises(HangError):
        restart()
        endless(b"")
    lossy = Target("lossy", bytes.strip, (b"abc",), lambda value: value)
    assert any("other bytes" in fault for fault in hammer(lossy, 1, "test", seconds=1).faults)


def test_mutants_reach_into_json_and_base64():
    """The point of the mutator: canonical JSON again, with a change deep inside of base64."""
    target = TARGETS["receipt"]
    made = [data for data, _ in zip(inputs(target.seeds, target.size, random.Random(7)), range(3000), strict=False)]
    taken = [data for data in made if data not in target.seeds and target.run(data)]
    payloads = {repr(target.parse(data)) for data in taken}
    assert len(payloads) > 100
