"""Every file of a store cut short, or with a torn last sector: an error that says so, or a recovery in which nothing is missing.

Never a third thing: a keeper that goes on, an audit that finds nothing, and an acknowledged statement that is gone. The one
exception is the tail that no signed head covers yet, a second's worth at most; whoever holds its pending receipt sees it.

Spec: trust.md section 3 (class (a): "the committed but unpublished tail"), section 4; formats.md section 9.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from device import SECTOR
from extent import some
from faulty import Ledger
from lives import audit, found, kill, parts_of, quiet

from apostille.core.statement import parse_statement
from apostille.errors import ApostilleError
from apostille.services.vault import open_record
from apostille.storage.sqlite import SqliteStore
from apostille.storage.vault import FileVault
from tests.simulators.world import FixedClock

pytestmark = pytest.mark.slow
SIZE = 254
PUBLISHED, UNPUBLISHED = 4, 2


@dataclass
class Left:
    """What a killed keeper has left, and what it had released: index, content, whether a signed head covers it."""

    folder: Path
    now: int
    released: list[tuple[int, bytes, bool]]


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """A log over a tile's border, killed with a full WAL beside the file, published up to its last two statements."""
    living, folder = tmp_path_factory.mktemp("living"), tmp_path_factory.mktemp("left") / "store"
    clock = FixedClock(found(living, SIZE))
    keeper = quiet(parts_of(living, clock))
    run = keeper.open_run(agent="a")
    released = []
    for number in range(PUBLISHED + UNPUBLISHED):
        content = b"said %d" % number
        done = run.output(content, content, profile="opaque", media_type="text/plain").committed(5)
        if number < PUBLISHED:
            keeper.publish()
        released.append((done.index, content, number < PUBLISHED))
    shutil.copytree(living, folder)
    kill(keeper)
    assert (folder / "store.sqlite-wal").stat().st_size > 100_000
    return Left(folder, clock.now, released)


@pytest.fixture(scope="module")
def closed(left, tmp_path_factory):
    """The same store after a keeper took it up and closed it: all of it in one file, and published."""
    folder = tmp_path_factory.mktemp("closed") / "store"
    shutil.copytree(left.folder, folder)
    clock = FixedClock(left.now)
    quiet(parts_of(folder, clock)).close()
    assert not (folder / "store.sqlite-wal").exists()
    assert audit(folder).failures == ()
    return Left(folder, clock.now, [(index, content, True) for index, content, _ in left.released])


def look(folder: Path, state: Left) -> tuple[str, list[str]]:
    """Let the next keeper take it up, and audit: what came out, and which acknowledged statements are gone unsaid."""
    clock = FixedClock(state.now)
    before = audit_words(folder)
    try:
        keeper = quiet(parts_of(folder, clock, Ledger()))
        run = keeper.open_run(agent="b")
        run.output(b"after", b"after", profile="opaque", media_type="text/plain").committed(5)
        run.close().committed(5)
        keeper.close()
    except ApostilleError as error:
        return f"refused: {error.code}: {error}", []
    words = before + audit_words(folder)
    if words:
        return "found: " + "; ".join(words)[:300], []
    store, vault = SqliteStore(folder / "store.sqlite", read_only=True), FileVault(folder / "units", lambda _: b"")
    gone = []
    for index, content, is_covered in state.released:
        if not holds(store, vault, index, content):
            gone.append(f"{index} {'published' if is_covered else 'pending'}")
    store.close()
    return "clean", gone


def holds(store: SqliteStore, vault: FileVault, index: int, content: bytes) -> bool:
    try:
        record = store.record(index)
    except ApostilleError:
        return False
    said = dict(parse_statement(record.statement).subjects)
    openings = open_record(vault, record, said) or {}
    return openings.get("canonical", b"")[32:] == content


def audit_words(folder: Path) -> list[str]:
    try:
        return [f.message for f in audit(folder).failures if "is not closed" not in f.message and "PENDING" not in f.message]
    except ApostilleError as error:
        return [str(error)]


def lengths(size: int, borders: int) -> list[int]:
    """Nothing, one byte, around the middle and the end, and some borders of pages or lines."""
    wanted = {0, 1, size // 2, size - 1, size - SECTOR, size - 100, 32, 31, *(size * n // 7 for n in range(1, 7))}
    wanted |= {n * borders for n in range(1, 4)} | {size // borders * borders - borders * n for n in range(3)}
    return sorted(length for length in wanted if 0 <= length < size)


def cut(path: Path, length: int) -> None:
    with path.open("r+b") as file:
        file.truncate(length)


def tear(path: Path, sectors: int, filler: bytes) -> None:
    """Overwrite the last sectors."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(max(0, size - sectors * SECTOR))
        file.write((filler * SECTOR * sectors)[: min(size, sectors * SECTOR)])


def each_cut(state: Left, name: str, tmp_path: Path, borders: int):
    """Yield the name of each damage and the folder that has it."""
    path = state.folder / name
    size = path.stat().st_size
    damages = [(f"cut to {length} of {size}", lambda p, length=length: cut(p, length)) for length in lengths(size, borders)]
    for sectors in (1, 3, 8):
        for filler in (b"\0", b"\xff", b"7"):
            damages.append(
                (f"last {sectors} sectors {filler!r}", lambda p, sectors=sectors, filler=filler: tear(p, sectors, filler))
            )
    for number, (how, damage) in enumerate(some(damages, 4)):
        folder = tmp_path / str(number)
        shutil.copytree(state.folder, folder)
        damage(folder / name)
        yield f"{name} {how}", folder
        shutil.rmtree(folder)


FILES = {
    "store.sqlite-wal": 4096 + 24,
    "units": 80,
    "log/checkpoint": 100,
    "log/tile/0/000": 32,
    "log/tile/entries/000": 480,
    "log/tile/1/000.p/1": 16,
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_a_killed_keeper_is_torn(left, tmp_path, name):
    results = {}
    for how, folder in each_cut(left, name, tmp_path, FILES[name]):
        result, gone = look(folder, left)
        assert not [one for one in gone if "published" in one], (how, result, gone)
        if name != "store.sqlite-wal":
            assert gone == [], (how, result, gone)
        results[how] = result
    assert len(results) >= 5
    # What is torn is no news only where the next publication writes it anyway.
    kinds = {result.split(":")[0] for result in results.values()}
    assert kinds <= {"clean", "refused", "found"}, results


def test_head_memory_is_torn(left, tmp_path):
    """A damaged memory is never taken for an empty one."""
    name = str(next((left.folder / "heads").iterdir()).relative_to(left.folder))
    for how, folder in each_cut(left, name, tmp_path, 20):
        result, _ = look(folder, left)
        assert result.startswith("refused"), (how, result)


@pytest.mark.parametrize("name", ["store.sqlite", "units", "log/checkpoint"])
def test_a_file_of_a_closed_store_is_torn(closed, tmp_path, name):
    for how, folder in each_cut(closed, name, tmp_path, 4096 if name == "store.sqlite" else 80):
        result, gone = look(folder, closed)
        assert gone == [], (how, result, gone)


def test_all_of_the_wal_is_gone(left, tmp_path):
    """Whoever removes it, or copies the file without it, has an old copy: the guard says so, and nothing is signed."""
    folder = tmp_path / "store"
    shutil.copytree(left.folder, folder)
    (folder / "store.sqlite-wal").unlink()
    result, _ = look(folder, left)
    assert result.startswith("refused: HALT_ROLLBACK"), result


def test_the_undamaged_store_is_clean(left, closed, tmp_path):
    for number, state in enumerate((left, closed)):
        shutil.copytree(state.folder, tmp_path / str(number))
        assert look(tmp_path / str(number), state) == ("clean", [])


def test_these_checks_can_fail(left, tmp_path):
    """A state with something that was never said: it is named as gone."""
    shutil.copytree(left.folder, tmp_path / "store")
    other = Left(left.folder, left.now, [*left.released, (left.released[0][0], b"never said", True)])
    assert look(tmp_path / "store", other) == ("clean", [f"{left.released[0][0]} published"])
