"""A disk that fills up, a limit on the size of files, a database that may not grow, a disk that is read-only.

Whatever was said before has its entry, what is refused is refused with a sentence and a stopped log, and with room again the next
keeper goes on as if nothing had been.

Spec: style.md section 8 (``faults/``); trust.md section 3 (threat 9), section 4 (69: a dependency is unavailable).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from extent import some

from apostille import wiring
from apostille.errors import ApostilleError, OutcomeUnknownError, StorageUnavailableError
from apostille.storage.sqlite import SqliteStore
from tests.faults.drill import Answer, Drill

pytestmark = pytest.mark.slow
SPEAKER = str(Path(__file__).with_name("speaker.py"))


@pytest.fixture
def drill(tmp_path):
    """A user with a place of his own."""
    return Drill(tmp_path / "drill", random.Random(1))


@pytest.fixture
def disk(tmp_path):
    """A real file system of one and a half megabytes; it can be made larger or read-only."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=1500k", "none", place], capture_output=True, check=False)
    if not made or made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.decode()[:100] if made else 'no mount'}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


def init(drill: Drill) -> None:
    drill.place.mkdir(exist_ok=True)
    assert drill.cli("init")[0] == 0


def speak(drill: Drill, *words: object) -> tuple[list[Answer], list[dict]]:
    """Let the program speak to its end; what it was given, and how it was refused."""
    done = subprocess.run(
        [sys.executable, SPEAKER, str(drill.store), *map(str, words)],
        env=drill.env,
        capture_output=True,
        timeout=280,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    events = [json.loads(line) for line in done.stdout.splitlines()]
    said = [Answer(f"output {e['index']}", e["id"], e["content"].encode(), is_whole=True) for e in events if "id" in e]
    return said, [event for event in events if "id" not in event]


def refused_well(ends: list[dict]) -> None:
    """The program was told, and the log does not pretend to be ready."""
    assert ends[0]["refused"] in {StorageUnavailableError.code, OutcomeUnknownError.code}
    assert not any(event.get("ready") for event in ends)
    assert all(word not in json.dumps(ends) for word in ("internal fault", "Error("))


def goes_on(drill: Drill, said: list[Answer]) -> None:
    """With room again all of it is there, and more can be said."""
    drill.answers = said
    drill.audit()
    with drill.at_home():
        keeper = wiring.open_keeper(drill.folder)
        keeper.open_run(agent="after").close().committed(10)
        keeper.close()
    drill.audit()


def test_a_disk_fills_up(drill, disk):
    drill.place = disk / "drill"
    init(drill)
    said, ends = speak(drill)
    assert len(said) > 20
    refused_well(ends)
    # Full as it is: what was said can be read and verified, and nothing new starts.
    drill.check_answers(said)
    second, again = speak(drill)
    refused_well(again)
    assert second == []
    remount(disk, "size=32m")
    goes_on(drill, said)


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(handle, b"x" * 4096)
    os.close(handle)


def test_a_command_on_a_full_disk(drill, disk):
    """69, a sentence, and no half receipt."""
    drill.place = disk / "drill"
    init(drill)
    file = drill.place / "answer.txt"
    file.write_bytes(b"The refund is 42 EUR.\n")
    fill(disk / "filler")
    code, found = drill.cli("attest", file)
    assert (code, found["exit"]) == (69, 69)
    assert not list(drill.place.glob("answer.txt.*"))
    (disk / "filler").unlink()
    assert drill.cli("attest", file)[0] == 0
    drill.audit()


@pytest.mark.parametrize("room", some([0, 1, 3, 40, 41, 97], 4))
def test_no_file_may_grow(drill, room):
    """Without any mount: a limit on the size of files, so many kilobytes above what is there."""
    init(drill)
    limit = (drill.folder.database.stat().st_size // 4096 + room) * 4096 + 100
    said, ends = speak(drill, limit)
    refused_well(ends)
    goes_on(drill, said)


def test_a_store_on_a_read_only_disk(drill, disk):
    """It verifies, no keeper starts, and the message names the file."""
    remount(disk, "size=32m")
    place = disk / "drill"
    drill.place = place
    init(drill)
    remount(disk, "ro")
    drill_home = Drill(place.parent.parent / "other", random.Random(1))
    shutil.copytree(place / "config", drill_home.place / "config")
    with drill_home.at_home():
        assert wiring.open_reader(drill.folder).head().size > 0
        with pytest.raises((StorageUnavailableError, OutcomeUnknownError)) as caught:
            wiring.open_keeper(drill.folder)
    assert "keeper.lock" in str(caught.value) or "store" in str(caught.value)
    remount(disk, "rw")


@pytest.mark.parametrize("pages", some([1, 2, 5, 20, 60], 3))
def test_the_database_may_not_grow(drill, pages):
    """SQLite's own limit: the statement that does not fit is rolled back whole, and the log stops."""
    init(drill)
    said = []
    with drill.at_home():
        keeper = wiring.open_keeper(drill.folder)
        store = keeper.reader
        assert isinstance(store, SqliteStore)
        count = store._db.execute("PRAGMA page_count").get
        store._db.execute(f"PRAGMA max_page_count = {count + pages}")
        run = keeper.open_run(agent="a")
        with pytest.raises((StorageUnavailableError, OutcomeUnknownError)):
            for number in range(10_000):
                content = b"%d " % number + b"y" * 2000
                done = run.output(content, content, profile="opaque", media_type="text/plain").committed(10)
                said.append(Answer(f"output {number}", done.receipt_id, content, is_whole=True))
        with pytest.raises(ApostilleError):
            keeper.ready()
        try:
            keeper.close()
        except ApostilleError as error:
            assert isinstance(error, (StorageUnavailableError, OutcomeUnknownError))
    goes_on(drill, said)
