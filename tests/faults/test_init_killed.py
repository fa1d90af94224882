"""``init`` killed at every change that it makes to the file system: the next ``init`` completes it or makes it anew.

Spec: formats.md section 9; a store that is finished is never overwritten.
"""

from __future__ import annotations

import re
import shutil
import signal

import pytest

pytest_plugins = ("tests.e2e.cli_kit",)

CALL = "tests.faults.killed:main"


def killed(home, step: int):
    return home.run(str(step), "--store", ".apostille", "init", call=CALL)


@pytest.mark.slow
def test_killed_at_every_change(fresh):
    counted = killed(fresh, 0)
    assert counted.code == 0, counted.talk
    changes = int(re.search(r"changes (\d+)", counted.talk)[1])
    assert changes > 30, "every file is made, renamed and synced one by one"
    kept = replaced = 0
    for step in range(1, changes + 1):
        for name in ("work", "config", "state"):
            shutil.rmtree(fresh.path / name, ignore_errors=True)
        fresh.work.mkdir()
        ended = killed(fresh, step).code
        if ended == 0 and step > changes - 12:
            continue  # how many files are published depends on when the publisher wakes
        assert ended == -signal.SIGKILL, step
        was = (fresh.store / "apostille.toml").read_bytes() if (fresh.store / "apostille.toml").exists() else None
        is_done = was is not None and not (fresh.store / "init.unfinished").exists()
        if was is not None and not is_done:
            used = fresh.run("attest", "-", stdin=b"x").clear()
            assert (used.code, "complete it with: apostille init" in used.talk) == (78, True), step
        again = fresh.run("init").clear()
        assert again.code == (69 if is_done else 0), (step, again.talk)
        if was is not None:
            kept += 1
            assert (fresh.store / "apostille.toml").read_bytes() == was, "what stands is never made again"
        else:
            replaced += 1
        assert fresh.known_logs.read_text().count("\nlog ") == 1, step
        # Half a published tile may lie there: it is public, and nobody reads it. Half a key may not.
        assert not list((fresh.store / "keys").glob(".*")), step
        assert {path.name for path in fresh.store.iterdir()} == {"apostille.toml", "keeper.lock", "keys", "log", "store.sqlite"}
        assert fresh.run("verify").clear().code == 0, step
    assert kept > 3
    assert replaced > 10


@pytest.mark.parametrize("lost", ["apostille.toml", "store.sqlite", "keys/root.pem"])
def test_a_store_that_has_lost_a_file_is_not_overwritten(home, lost):
    (home.store / lost).unlink()
    before = {path: path.read_bytes() for path in home.store.rglob("*") if path.is_file()}
    refused = home.run("init").clear()
    assert (refused.code, "already" in refused.talk) == (69, True)
    assert {path: path.read_bytes() for path in home.store.rglob("*") if path.is_file()} == before


def test_a_folder_with_other_things_in_it_may_become_a_store(fresh):
    fresh.file(".apostille/lost+found/x", b"not ours")
    fresh.ok("init")
    assert (fresh.store / "lost+found" / "x").read_bytes() == b"not ours"
