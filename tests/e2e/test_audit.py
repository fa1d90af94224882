"""``apostille audit``: the monitor on the command line, what it remembers, and when it raises the alarm.

Spec: product.md (commands); trust.md sections 3, 4, 8, 11 and scenarios 2, 3.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time

import apsw
import pytest

from apostille import wiring
from apostille.faces.cli.demo import attacks
from apostille.faces.cli.demo.rebuild import rebuild
from apostille.services.audit import MAX_STATE_BYTES

pytest_plugins = ("tests.e2e.cli_kit",)

SIZE = 8
OUTPUT = 4


def audit(home, *words: str):
    result = home.run("--json", "audit", *words).clear()
    return result.code, result.json


def messages(document) -> list[str]:
    return [failure["message"] for failure in document["failures"]]


def newly(document) -> int:
    return document["audit"]["newly_checked"]


def memory(home):
    (path,) = (home.path / "state" / "apostille" / "audits").iterdir()
    return path


def test_what_is_new_since_the_last_time(home):
    code, first = audit(home)
    assert (code, newly(first), first["audit"]["size"]) == (0, SIZE, SIZE)
    code, again = audit(home)
    assert (code, newly(again), again["audit"]["openings"]["opened"]) == (0, 0, SIZE)
    home.ok("attest", "answer.txt", "--out", "again")
    code, more = audit(home)
    assert (code, newly(more), more["audit"]["openings"]["opened"]) == (0, 2, SIZE + 2)
    assert newly(audit(home, "--full")[1]) == SIZE + 2


def test_text_for_people(home):
    text = home.ok("audit").text
    assert text.startswith("VERIFIED, UNWITNESSED  audit")
    assert f"{SIZE} leaves = {SIZE} opened + 0 sealed + 0 erased + 0 missing" in text
    home.ok("attest", "answer.txt", "--out", "again")
    assert f"new        2 leaves; {SIZE} were read by an earlier audit" in home.ok("audit").text


def test_a_store_by_name(home):
    assert audit(home, ".apostille")[0] == 0
    assert home.run("audit", "nowhere").clear().code == 2


def test_a_lost_memory_is_a_full_audit(home):
    audit(home)
    memory(home).write_bytes(b"{}")
    code, found = audit(home)
    assert (code, newly(found)) == (0, SIZE)
    assert any("everything is read again" in text for text in found["not_checked"])
    memory(home).unlink()
    assert newly(audit(home)[1]) == SIZE


def test_a_rewrite_with_the_real_log_key(home, monkeypatch):
    """REWRITE, exit 1, and both heads are kept where the store's owner does not write."""
    audit(home)
    with monkeypatch.context() as inside:
        for name, value in home.env.items():
            inside.setenv(name, value)
        rebuild(wiring.StoreFolder(home.store), lambda _: "The refund is 43 EUR.\n")
    remembered = memory(home).read_bytes()
    for words in ((), ("--full",), ()):
        code, found = audit(home, *words)
        assert code == 1
        assert f"REWRITE before size {SIZE}: history is not the one that was audited" in messages(found)
        assert f"REWRITE before size {SIZE}: history is not the one that this machine remembers" in messages(found)
        (evidence,) = {json.dumps(item) for item in found["evidence"]}
    evidence = json.loads(evidence)
    kept = wiring.Path(evidence["kept"])
    assert kept.is_relative_to(home.path / "state")
    assert {path.name for path in kept.iterdir()} == {"first", "second"}
    assert (kept / "first").read_text() == evidence["first"]
    assert (kept / "second").read_text() == evidence["second"]
    assert evidence["first"].split("\n")[:2] == evidence["second"].split("\n")[:2]
    assert evidence["first"].split("\n")[2] != evidence["second"].split("\n")[2]
    assert memory(home).read_bytes() == remembered
    assert "both heads are kept in" in home.run("audit").clear().talk


def test_an_old_copy_put_back(home):
    copy = home.path / "copy"
    shutil.copytree(home.store, copy)
    home.ok("attest", "answer.txt", "--out", "again")
    audit(home)
    shutil.rmtree(home.store)
    shutil.copytree(copy, home.store)
    code, found = audit(home)
    assert code == 1
    assert f"HALT_ROLLBACK: {SIZE + 2} leaves were audited, the first {SIZE} are here" in messages(found)


def test_truncated(home):
    audit(home)
    attacks.truncate(wiring.StoreFolder(home.store), 2)
    code, found = audit(home)
    assert code == 1
    assert any(text.startswith("HALT_ROLLBACK") for text in messages(found))


def test_an_old_leaf_is_for_a_full_audit_and_fsck(home):
    audit(home)
    attacks.edit_statement(wiring.StoreFolder(home.store), OUTPUT)
    assert audit(home)[0] == 0
    code, found = audit(home, "--full")
    assert code == 1
    assert found["failures"][0]["index"] == OUTPUT


@pytest.mark.parametrize("words", [("audit",), ("audit", "--full"), ("log", "fsck"), ("verify",)])
def test_a_close_hidden_by_its_column_is_named(home, words):
    """Whoever has the database alone makes a closed run look open, while no keeper runs."""
    database = apsw.Connection(str(home.store / "store.sqlite"))
    hide = "UPDATE leaf SET run = NULL WHERE instr(statement, 'urn:apostille:run-close:v1') > 0 RETURNING idx"
    ((hidden,),) = database.execute(hide).fetchall()
    database.close()
    result = home.run("--json", *words).clear()
    assert result.code == 1
    assert [(failure["index"], failure["message"]) for failure in result.json["failures"]] == [
        (hidden, f"leaf {hidden}: column 'run' was altered: the store files it under another run than the statement names")
    ]


def test_a_state_that_is_no_state_of_ours_is_a_full_audit(home):
    """Junk where the state was, even more than a state may have: it says so, and the store is not blamed for it."""
    audit(home)
    with memory(home).open("wb") as file:
        file.truncate(MAX_STATE_BYTES + 1)
    code, found = audit(home)
    assert (code, newly(found)) == (0, SIZE)
    assert any("everything is read again" in text for text in found["not_checked"])
    assert newly(audit(home)[1]) == 0


def test_without_the_unit_keys_nothing_is_lost_and_nothing_compared(home):
    (home.store / "keys" / "units").unlink()
    code, found = audit(home)
    assert (code, found["audit"]["openings"]["sealed"]) == (0, SIZE)


# --- again and again


def follow(home, *words: str) -> subprocess.Popen[bytes]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return home.popen("--json", "audit", "--follow", "--interval", "0.2", *words, **pipes)


def test_following_until_it_is_interrupted(home):
    """One document a line; what comes meanwhile is audited; the exit code is that of the last audit."""
    process = follow(home)
    first = json.loads(process.stdout.readline())
    assert (first["exit"], first["audit"]["size"]) == (0, SIZE)
    home.ok("attest", "answer.txt", "--out", "again")
    deadline = time.monotonic() + 60
    while (found := json.loads(process.stdout.readline()))["audit"]["size"] != SIZE + 2:
        assert time.monotonic() < deadline
    assert found["exit"] in {0, 4}
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    last = json.loads(out.splitlines()[-1]) if out else found
    assert process.returncode == last["exit"]
    assert b"Traceback" not in err


def test_following_raises_the_alarm_and_goes_on(home):
    process = follow(home)
    assert json.loads(process.stdout.readline())["exit"] == 0
    attacks.truncate(wiring.StoreFolder(home.store), 2)
    while (found := json.loads(process.stdout.readline()))["exit"] == 0:
        pass
    assert found["exit"] == 1
    assert any("HALT_ROLLBACK" in failure["message"] for failure in found["failures"])
    json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 1


@pytest.mark.parametrize("interval", ["0", "-1", "x"])
def test_an_interval_that_is_none(home, interval):
    assert home.run("audit", "--follow", "--interval", interval).clear().code == 2


# --- what is published


@pytest.mark.parametrize("words", [("audit",), ("audit", "--full"), ("verify",)])
def test_a_published_tile_that_says_something_else(home, words):
    path = home.store / "log" / "tile" / "0" / "000.p" / str(SIZE)
    path.write_bytes(bytes(SIZE * 32))
    result = home.run("--json", *words).clear()
    assert result.code == 1
    assert any(f"tile/0/000.p/{SIZE} (first at leaf 0) says something else" in text for text in messages(result.json))
    path.unlink()
    result = home.run("--json", *words).clear()
    assert result.code == 0
    assert any("1 published tiles are missing" in text for text in result.json["not_checked"])


def test_only_new_tiles_are_compared_by_an_increment(home):
    assert audit(home)[0] == 0
    (home.store / "log" / "tile" / "0" / "000.p" / str(SIZE)).write_bytes(bytes(SIZE * 32))
    assert audit(home)[0] == 0
    assert audit(home, "--full")[0] == 1
