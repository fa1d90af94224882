"""Backup and restore: a copy beside a keeper at work; put back at its head it goes on, put back behind it signs nothing.

Spec: trust.md section 3 (threat 14), section 6, scenario 3; formats.md sections 8 and 9.
"""

from __future__ import annotations

import json
import shutil
import tarfile
import threading

import pytest

from apostille import wiring
from apostille.errors import RollbackError

pytest_plugins = ("tests.e2e.cli_kit",)
SAID = b"The refund is 42 EUR.\n"


def info(home, store: str = ".apostille") -> dict:
    return home.ok("--json", "--store", store, "log", "info").json


def say(home, count: int, store: str = ".apostille") -> None:
    for number in range(count):
        home.file(f"said-{number}.txt", SAID + b"%d" % number)
    home.ok("--store", store, "attest", *[f"said-{number}.txt" for number in range(count)])


def lose(home) -> None:
    """The machine's disk has lost the store; head memory is elsewhere and still there."""
    (home.store).rename(home.work / "lost")


def signed(home, store: str = ".apostille") -> list[int]:
    reader = wiring.open_reader(wiring.store_folder(home.work / store))
    try:
        return [checkpoint.size for checkpoint in reader.checkpoints_from(0)]
    finally:
        reader.close()


@pytest.fixture(params=["backup", "backup.tar"])
def out(request) -> str:
    return request.param


def test_put_back_at_its_head_it_goes_on(home, out):
    made = home.ok("--json", "backup", "--out", out, "--with-keys").json
    assert (made["size"], made["has_keys"]) == (info(home)["committed_size"], True)
    lose(home)
    put = home.ok("--json", "restore", out).json
    assert (put["size"], put["recovered_leaves"], put["may_sign"]) == (made["size"], 0, True)
    home.ok("verify")
    say(home, 2)
    home.ok("verify", "said-1.txt.receipt.json")
    home.ok("verify", "answer.txt.receipt.json", "--log", ".apostille")
    assert home.run("verify").clear().code == 0
    modes = {path: path.stat().st_mode & 0o777 for path in home.store.rglob("*") if "log/" not in str(path)}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {mode for path, mode in modes.items() if path.name == "keys"} == {0o700}


def test_the_drill_ten_more_were_published(home, out):
    """Scenario 3: exit 1, HALT_ROLLBACK, no signature."""
    home.ok("backup", "--out", out, "--with-keys")
    say(home, 10)
    size = info(home)["published_size"]
    lose(home)
    halted = home.run("restore", out).clear()
    assert halted.code == 1
    assert "HALT_ROLLBACK" in halted.talk
    assert "11 leaves are missing" in halted.talk, halted.talk  # ten, and the key that has signed them
    assert "--entries-from" in halted.talk
    before = signed(home)
    for words in (("attest", "answer.txt"), ("run", "--", "true"), ("erase", "--index", "4", "--yes")):
        refused = home.run(*words).clear()
        assert (refused.code, "HALT_ROLLBACK" in refused.talk) == (1, True)
    assert signed(home) == before
    assert max(before) < size
    # It can be read, and says itself what is wrong with it.
    home.ok("show")
    found = home.run("--json", "verify").clear()
    assert (found.code, "HALT_ROLLBACK" in found.text) == (1, True)


@pytest.mark.parametrize("source", ["a copy", "an export", "published tiles"])
def test_the_missing_tail_comes_from_elsewhere(home, source):
    home.ok("backup", "--out", "backup", "--with-keys")
    say(home, 10)
    home.ok("--json", "log", "export", "--out", "exported")
    size = info(home)["published_size"]
    lose(home)
    where = {"a copy": "lost", "an export": "exported", "published tiles": "exported/log"}[source]
    put = home.ok("--json", "restore", "backup", "--entries-from", where).json
    assert (put["recovered_leaves"], put["size"], put["may_sign"]) == (11, size, True)
    folders = [wiring.store_folder(home.work / name) for name in (".apostille", "lost")]
    readers = [wiring.open_reader(folder) for folder in folders]
    for index in range(size):
        mine, theirs = (reader.record(index) for reader in readers)
        assert (mine.entry, mine.statement, mine.run, mine.certifies) == (
            theirs.entry,
            theirs.statement,
            theirs.run,
            theirs.certifies,
        )
    for reader in readers:
        reader.close()
    whole = home.run("--json", "verify").clear()
    if source == "a copy":
        assert put["without_openings"] == []
        assert (whole.code, whole.json["audit"]["openings"]["opened"]) == (0, size)
    else:
        assert put["without_openings"] == list(range(size - 11, size))
        assert (whole.code, whole.json["audit"]["openings"]["missing"]) == (1, 11)
    # It goes on, and receipts that were given away before are of this log.
    home.ok("attest", "answer.txt")
    home.ok("verify", "said-9.txt.receipt.json", "--log", ".apostille")


def test_a_tail_of_another_history_is_refused(home):
    home.ok("backup", "--out", "backup", "--with-keys")
    shutil.copytree(home.path, home.path.parent / "twin")
    twin = type(home)(home.path.parent / "twin", home.zygote)
    say(home, 3)
    say(twin, 4)
    twin.store.rename(home.work / "twin")
    lose(home)
    before = set(home.work.iterdir())
    for words in (("twin",), ("backup",)):
        found = home.run("restore", "backup", "--entries-from", *words).clear()
        assert (found.code, "HALT_ROLLBACK" in found.talk) == (1, True), found.talk
        shutil.rmtree(home.store)
    # Somebody has altered the other copy: nothing is put in place.
    import apsw

    with apsw.Connection(str(home.work / "lost" / "store.sqlite")) as db:
        db.execute("UPDATE leaf SET statement = CAST(replace(statement, 'plain', 'salted') AS BLOB) WHERE idx = 9")
    db.close()
    found = home.run("restore", "backup", "--entries-from", "lost").clear()
    assert found.code == 1
    assert set(home.work.iterdir()) == before


def test_a_tail_in_another_order_is_refused(home):
    """Each leaf is one of the log, only their order is not: the signed root says so, and nothing is put in place."""
    import apsw

    home.ok("backup", "--out", "backup", "--with-keys")
    say(home, 3)
    lose(home)
    last = signed(home, "lost")[-1] - 1
    with apsw.Connection(str(home.work / "lost" / "store.sqlite")) as db:
        for old, new in ((last, -1), (last - 1, last), (-1, last - 1)):
            db.execute("UPDATE leaf SET idx = ? WHERE idx = ?", (new, old))
    db.close()
    before = set(home.work.iterdir())
    found = home.run("restore", "backup", "--entries-from", "lost").clear()
    assert (found.code, "does not continue this backup" in found.talk) == (1, True), found.talk
    assert set(home.work.iterdir()) == before


def test_published_heads_are_a_memory_too(home):
    """A new machine, which remembers nothing, is told where the log was published."""
    home.ok("backup", "--out", "backup", "--with-keys")
    say(home, 3)
    shutil.copytree(home.store / "log", home.work / "mirror")
    lose(home)
    shutil.rmtree(home.heads)
    unknowing = home.run("restore", "backup").clear()
    assert unknowing.code == 0, "nobody here knows better: threat 14, not covered"
    shutil.rmtree(home.store)
    shutil.rmtree(home.heads, ignore_errors=True)
    halted = home.run("restore", "backup", "--log", "mirror").clear()
    assert (halted.code, "4 leaves are missing" in halted.talk) == (1, True)
    assert home.run("attest", "answer.txt").clear().code == 1, "and from now on this machine remembers"


def test_what_was_erased_since_the_backup_is_erased_again(home):
    home.ok("run", "--agent", "PLANTED", "--", "true")
    run = home.ok("--json", "show").json[1]["run"]
    home.ok("backup", "--out", "backup", "--with-keys")
    home.ok("erase", "--run", run, "--yes")
    lose(home)
    put = home.ok("--json", "restore", "backup", "--entries-from", "lost").json
    assert put["keys_destroyed"] == 1
    assert run not in (home.store / "keys" / "units").read_text()
    assert home.run("verify").clear().code == 5


def test_private_keys_are_in_it_only_if_asked(home, out):
    home.ok("backup", "--out", out)
    if out == "backup":
        names = {str(path.relative_to(home.work / out)) for path in (home.work / out).rglob("*") if path.is_file()}
    else:
        with tarfile.open(home.work / out) as tar:
            names = set(tar.getnames())
    assert names == {"manifest.json", "apostille.toml", "store.sqlite", "keys/units"}
    keys = home.store / "keys"
    secrets = [path.read_bytes().split(b"\n")[1] or path.read_bytes() for path in keys.iterdir() if path.name != "units"]
    whole = b"".join(path.read_bytes() for path in [home.work / out, *(home.work / out).rglob("*")] if path.is_file())
    assert not any(secret.strip() in whole for secret in secrets)
    loud = home.ok("backup", "--out", "other", "--with-keys")
    assert "private keys" in loud.talk
    lose(home)
    put = home.ok("--json", "restore", out).json
    assert not put["may_sign"]
    home.ok("verify")
    assert home.run("attest", "answer.txt").clear().code == 78
    for path in (home.work / "lost" / "keys").iterdir():
        if path.name != "units":
            shutil.copy(path, home.store / "keys" / path.name)
    home.ok("attest", "answer.txt")


def test_beside_a_keeper_at_work(home, monkeypatch):
    """Every copy is one moment of the log: it verifies, and each leaf in it has its key."""
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, home.env[name])
    keeper = wiring.open_keeper(wiring.store_folder(home.store), publish_interval_seconds=0.01)
    is_done = threading.Event()

    def work() -> None:
        while not is_done.is_set():
            run = keeper.open_run(agent="a")
            run.output(SAID, SAID, profile="opaque", media_type="text/plain").committed(10)
            run.close().committed(10)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        sizes = [home.ok("--json", "backup", "--out", f"copy-{turn}").json["size"] for turn in range(4)]
    finally:
        is_done.set()
        thread.join()
        keeper.close()
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]
    for turn, size in enumerate(sizes):
        assert home.run("--store", f"put-{turn}", "restore", f"copy-{turn}").clear().code == 1  # behind, of course
        audit = home.run("--json", "verify", f"put-{turn}").clear().json["audit"]
        assert (audit["size"], audit["openings"]["missing"]) == (size, 0)


@pytest.mark.parametrize("name", ["store.sqlite", "keys/units", "apostille.toml", "manifest.json"])
@pytest.mark.parametrize("how", ["flipped", "cut", "longer", "gone"])
def test_a_damaged_backup_is_not_put_in_place(home, name, how):
    home.ok("backup", "--out", "backup")
    path = home.work / "backup" / name
    data = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
    else:
        data[len(data) // 2] ^= how == "flipped"
        path.write_bytes({"flipped": data, "cut": data[:-1], "longer": data + b"\n"}[how])
    lose(home)
    before = set(home.work.iterdir())
    found = home.run("restore", "backup").clear()
    assert found.code in {1, 65}, (found.code, found.talk)
    assert set(home.work.iterdir()) == before


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda m: m | {"size": m["size"] - 1}, 1),
        (lambda m: m | {"root": "00" * 32}, 1),
        (lambda m: m | {"origin": "apostille.invalid/other"}, 1),
        (lambda m: m | {"type": "urn:apostille:backup:v2"}, 65),
        (lambda m: m | {"more": 1}, 65),
        (lambda m: m | {"files": m["files"][1:]}, 65),
        (lambda m: m | {"files": [*m["files"], {"name": "../../evil", "bytes": 1, "sha256": "00" * 32}]}, 65),
        (lambda m: m | {"files": [*m["files"], m["files"][0]]}, 65),
    ],
)
def test_a_manifest_that_says_something_else(home, change, code):
    home.ok("backup", "--out", "backup")
    path = home.work / "backup" / "manifest.json"
    text = json.dumps(change(json.loads(path.read_bytes())), sort_keys=True, separators=(",", ":"))
    path.write_text(text)
    lose(home)
    assert home.run("restore", "backup").clear().code == code
    assert not home.store.exists()


def test_nothing_is_overwritten(home, out):
    home.ok("backup", "--out", out)
    again = home.run("backup", "--out", out).clear()
    assert (again.code, "already" in again.talk) == (69, True)
    before = {path: path.read_bytes() for path in home.store.rglob("*") if path.is_file()}
    over = home.run("restore", out).clear()
    assert (over.code, "already" in over.talk) == (69, True)
    assert {path: path.read_bytes() for path in home.store.rglob("*") if path.is_file()} == before
    assert not [path for path in home.work.iterdir() if path.name.endswith((".tmp", ".work"))]


@pytest.mark.parametrize("words", [("restore", "nowhere"), ("--store", "nowhere", "backup", "--out", "x")])
def test_what_is_not_there(home, words):
    assert home.run(*words).clear().code == 2


def test_what_is_no_backup(home):
    home.file("noise.tar", b"noise" * 1000)
    (home.work / "empty").mkdir()
    for name in ("noise.tar", "empty", "answer.txt"):
        assert home.run("--store", "new", "restore", name).clear().code == 65, name
    assert not (home.work / "new").exists()


def test_a_guard_that_is_asked_directly(home, monkeypatch):
    """The wiring itself refuses, whatever the command line does."""
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, home.env[name])
    home.ok("backup", "--out", "backup", "--with-keys")
    say(home, 1)
    lose(home)
    home.run("restore", "backup")
    with pytest.raises(RollbackError):
        wiring.open_keeper(wiring.store_folder(home.store))
