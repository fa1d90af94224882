"""An upgrade of the schema that is killed, loses its power, or fails at any write: the store is the old one or the new one, whole.

And nobody gets around it: a reader upgrades nothing, a newer schema is refused by every command, an older copy is taken up.

Spec: ADR 0010; style.md section 8 (``faults/``).
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal

import apsw
import pytest
from device import MODES, Device
from extent import IS_ALL, some
from hostile import User, make_base

from apostille.errors import ApostilleError
from apostille.storage.sqlite import SqliteStore
from tests.unit.storage.old_store import write_schema_1

SEED = 20261124
STRIDE = 17


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A home with a store of schema 1, and what its leaves are."""
    base = make_base(tmp_path_factory.mktemp("upgrade") / "home")
    kept = base.database.with_name("kept.sqlite")
    base.database.rename(kept)
    write_schema_1(kept, base.database)
    db = apsw.Connection(str(base.database))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    store = SqliteStore(kept, read_only=True)
    records, head = dict(store.records()), store.head()
    store.close()
    for path in kept.parent.glob("kept.sqlite*"):
        path.unlink()
    return base, records, head


def version_of(path) -> str:
    db = apsw.Connection(str(path))  # as the next process would: what the WAL holds counts
    found = db.execute("SELECT value FROM meta WHERE name = 'schema'").get
    assert db.execute("PRAGMA integrity_check").get == "ok"
    db.close()
    return found


def is_whole(path, records, head) -> None:
    """Whatever it is now, the next one who opens it has all of it, in today's schema."""
    assert version_of(path) in {"1", "2"}
    store = SqliteStore(path)
    try:
        assert (dict(store.records()), store.head()) == (records, head)
    finally:
        store.close()
    assert version_of(path) == "2"


def database_alone(old, path):
    path.mkdir()
    shutil.copyfile(old[0].database, path / "store.sqlite")
    return path / "store.sqlite"


def events_of(old, path) -> list:
    database = database_alone(old, path)
    with Device(path).on() as device:
        SqliteStore(database).close()
    return device.events


@pytest.mark.parametrize("mode", MODES)
def test_every_write_of_an_upgrade_fails_once(old, tmp_path, mode):
    count = len(events_of(old, tmp_path / "honest"))
    assert count > 50
    first = 0 if IS_ALL else random.Random(f"{SEED} {mode}").randrange(STRIDE)
    for number in some(range(first, count), STRIDE):
        folder = tmp_path / f"{number}"
        database = database_alone(old, folder)
        device = Device(folder, strike=number, mode=mode)
        with device.on():
            try:
                store = SqliteStore(database)
            except ApostilleError:
                shutil.copytree(folder, tmp_path / "killed")  # as a kill at this moment would leave it
            else:
                assert (dict(store.records()), store.head()) == old[1:]
                with contextlib.suppress(ApostilleError):
                    store.close()
        assert device.struck is not None
        try:
            is_whole(database, *old[1:])
            if (tmp_path / "killed").exists():
                is_whole(tmp_path / "killed" / "store.sqlite", *old[1:])
                shutil.rmtree(tmp_path / "killed")
        except BaseException as error:
            error.add_note(f"event {number} of {count}: {device.struck}, which {mode}")
            raise
        shutil.rmtree(folder)


def test_power_is_lost_before_every_write_of_an_upgrade(old, tmp_path):
    folder = tmp_path / "store"
    database = database_alone(old, folder)
    luck = random.Random(SEED)
    images = []

    def lose(number: int) -> None:
        if number not in some(range(10_000), STRIDE):
            return
        for kind, chance in (("bare", None), ("lucky", luck)):
            device.image(tmp_path / f"{number}-{kind}", chance)
            images.append(tmp_path / f"{number}-{kind}")

    device = Device(folder, before=lose)
    with device.on():
        SqliteStore(database).close()
    assert len(images) > 20
    for image in images:
        try:
            is_whole(image / "store.sqlite", *old[1:])
        except BaseException as error:
            error.add_note(f"{image.name} of {len(device.events)}")
            raise
        shutil.rmtree(image)


def test_a_kill_at_every_write_of_an_upgrade(old, tmp_path):
    """A real process, a real signal 9, in the middle of SQLite's own calls."""
    count = len(events_of(old, tmp_path / "honest"))
    for number in some(range(count), STRIDE * 2):
        folder = tmp_path / f"{number}"
        database = database_alone(old, folder)

        def kill(at: int, number=number) -> None:
            if at == number:
                os.kill(os.getpid(), signal.SIGKILL)

        device = Device(folder, before=kill)
        pid = os.fork()
        if pid == 0:
            try:
                with device.on():
                    SqliteStore(database).close()
            finally:
                os._exit(7)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, number
        is_whole(database, *old[1:])
        shutil.rmtree(folder)


# --- Nobody gets around it --------------------------------------------------------------------------------------------


READERS = (
    ("log", "info"),
    ("log", "fsck"),
    ("log", "fsck", "--rewrite-tiles"),
    ("log", "proof", "3"),
    ("log", "receipt", "4", "--out", "r"),
    ("log", "export", "--out", "exported"),
    ("audit",),
    ("audit", "--full"),
    ("verify",),
    ("show",),
    ("show", "4"),
    ("backup", "--out", "saved"),
)
WRITERS = (
    ("attest", "answer.txt", "--out", "a"),
    ("erase", "--index", "4", "--opening", "attributes", "--yes"),
    ("keeper",),
    ("serve", "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0"),
    ("run", "--", "true"),
)


def home_of(old, path) -> User:
    shutil.copytree(old[0].path, path)
    return User(path)


@pytest.mark.parametrize("is_read_only", [False, True])
def test_readers_of_an_old_store_say_what_to_do_and_change_nothing(old, tmp_path, is_read_only):
    user = home_of(old, tmp_path / "home")
    database = user.store / "store.sqlite"
    if is_read_only:
        database.chmod(0o400)
        user.store.chmod(0o500)
    before = database.read_bytes()
    try:
        for words in READERS:
            code, found = user.json(*words)
            assert code == 65, (words, found)
            said = found if "message" in found else found["failures"][0]
            assert said["code"] == "unsupported-version", (words, found)
            assert "schema 1; its keeper upgrades it to 2" in said["message"], (words, found)
            assert "apostille serve" in said["message"]
            assert database.read_bytes() == before
    finally:
        user.store.chmod(0o700)


def newer(path) -> bytes:
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE later (x BLOB) STRICT; UPDATE meta SET value = '3' WHERE name = 'schema'")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return path.read_bytes()


@pytest.mark.parametrize("start", ["1", "2"])
def test_a_newer_schema_is_refused_by_every_command(old, tmp_path, start):
    """And no write happens: an older program never changes what it does not know."""
    user = home_of(old, tmp_path / "home")
    database = user.store / "store.sqlite"
    if start == "2":
        SqliteStore(database).close()
    assert user.json("serve", "--add-client", "a")[0] == 0
    before = newer(database)
    for words in (*READERS, *WRITERS):
        code, found = user.json(*words)
        assert code == 65, (words, found)
        said = found if "message" in found else found["failures"][0]
        assert said["code"] == "unsupported-version", (words, found)
        assert "schema 3" in said["message"], (words, said)
        assert "newer apostille" in said["message"], (words, said)
        assert database.read_bytes() == before, words


def test_there_is_no_way_back(old, tmp_path):
    """A store of today that says schema 1 is refused: its tables are others, and nothing is read as what it is not."""
    user = home_of(old, tmp_path / "home")
    database = user.store / "store.sqlite"
    SqliteStore(database).close()
    db = apsw.Connection(str(database))
    db.execute("UPDATE meta SET value = '1' WHERE name = 'schema'")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    before = database.read_bytes()
    assert user.json("serve", "--add-client", "a")[0] == 0
    for words in (*READERS, *WRITERS):
        code, found = user.json(*words)
        assert code == 65, (words, found)
        assert database.read_bytes() == before, words


def test_a_backup_of_an_old_store_is_taken_up(old, tmp_path):
    """Schema 1 saved by hand (its own program is gone), restored by today's: upgraded, and it signs on."""
    user = home_of(old, tmp_path / "home")
    assert user.json("attest", "answer.txt", "--out", "a")[0] == 0
    assert version_of(user.store / "store.sqlite") == "2"
    assert user.json("backup", "--out", "saved", "--with-keys")[0] == 0
    assert version_of(user.work / "saved" / "store.sqlite") == "2"
    assert user.json("--store", "again", "restore", "saved")[0] == 0
    assert user.json("--store", "again", "attest", "answer.txt", "--out", "b")[0] == 0
    assert user.json("--store", "again", "log", "fsck")[0] == old[0].code
