"""Killed with signal 9 at a random moment, twenty times over: every byte that was released has its entry.

Spec: trust.md section 3 (threat 9) and scenario 3; invariant I1; formats.md section 9.
"""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from apostille import wiring
from apostille.core.policy import parse_policy
from apostille.core.statement import parse_statement
from apostille.services.vault import open_record
from apostille.services.verifier import verify_receipt

pytest_plugins = ("tests.e2e.cli_kit",)

ROUNDS = 20
SEED = 20261124


def kill_one(home, dice) -> tuple[str, list[list[bytes]]]:
    """One life of the program: its run, and the whole lines that it printed before it was killed."""
    reading, writing = os.pipe()
    request = {
        "argv": ["appender", str(home.store)],
        "env": home.env,
        "cwd": str(home.work),
        "call": "tests.faults.appender:main",
    }
    with open(os.devnull, "rb") as nothing, os.fdopen(writing, "wb") as out, open(home.path / "errors", "ab") as errors:
        pid = home.zygote.start(request, (nothing, out, errors))
    with os.fdopen(reading, "rb") as lines:
        first = lines.readline()
        time.sleep(dice.uniform(0, 0.08))
        os.kill(pid, signal.SIGKILL)
        assert home.zygote.wait() == -signal.SIGKILL
        printed = [line.split() for line in lines.read().split(b"\n")[:-1]]
    assert first.startswith(b"run "), (home.path / "errors").read_bytes().decode()
    return first.split()[1].decode(), printed


@pytest.mark.slow
def test_killed_at_random_moments(home, monkeypatch):
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, home.env[name])
    dice = random.Random(SEED)
    runs: list[str] = []
    printed: list[list[bytes]] = []
    for _ in range(ROUNDS):
        run, lines = kill_one(home, dice)
        runs.append(run)
        printed += lines
    assert len(printed) > ROUNDS, "the program was killed before it had said anything"
    assert len({line[0] for line in printed}) == len(printed), "an index was given twice"

    folder = wiring.store_folder(home.store)
    reader, vault = wiring.open_reader(folder), wiring.open_vault(folder)
    for index, receipt_id, digest, content in printed:
        record = reader.record(int(index))
        assert record.pae_digest.hex().encode() == digest
        assert record.nonce.hex().encode() == receipt_id
        assert reader.index_of_receipt(record.nonce) == int(index)
        said = parse_statement(record.statement)
        assert open_record(vault, record, dict(said.subjects))["canonical"][32:].hex().encode() == content
    reader.close()

    # Nothing is wrong with the store but that its last run was cut off, and it says which. Each keeper has closed the one before.
    result = home.run("--json", "verify").clear()
    assert result.code == 4
    found = [failure["message"] for failure in result.json["failures"]]
    unclosed = [message for message in found if "is not closed" in message]
    assert [message.split()[1] for message in unclosed] == runs[-1:]
    assert all("PENDING" in message for message in found if message not in unclosed)

    # The next keeper goes on, publishes what was left, and hands out the receipts of what the dead ones had released.
    keeper = wiring.open_keeper(folder)
    keeper.publish()
    policy = parse_policy(home.known_logs.read_bytes())
    for index, receipt_id, digest, content in dice.sample(printed, 20):
        state, receipt = keeper.receipt(receipt_id.decode())
        assert state == "published"
        verified = verify_receipt(receipt, policy, artifact=bytes.fromhex(content.decode()))
        assert (verified.index, verified.digest.hex().encode()) == (int(index), digest)
    keeper.close()
    # Every run was cut off, and every one is declared to have been.
    result = home.run("--json", "verify").clear()
    assert result.code == 0
    outcomes = {run["run"]: run["outcome"] for run in result.json["audit"]["runs"]}
    assert {run: outcomes[run] for run in runs} == dict.fromkeys(runs, "crash")
    assert "open" not in outcomes.values()
