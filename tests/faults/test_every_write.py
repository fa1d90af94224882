"""Every single write below the product fails, is torn, or has its effect and reports an error all the same; and power is lost at each.

The disk is watched from below: SQLite's own writes and syncs, each line of the unit keys, head memory, every tile, the checkpoint
file, every rename and sync of a folder, from opening a keeper to closing it, around a tile's border. No list of writes is kept by
hand: an honest life is recorded first, and then each of its events is made to fail.

Spec: style.md section 8 (``faults/``); architecture.md, invariants I1, I3; formats.md section 9; trust.md section 3 (threat 9).
"""

from __future__ import annotations

import copy
import random
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from device import MODES, Device
from extent import IS_ALL
from faulty import Ledger
from lives import audit, check_after, check_tiles, found, parts_of, quiet

from apostille.errors import ApostilleError
from apostille.storage import files
from tests.simulators.world import FixedClock

SIZES = range(254, 259)  # of the log when the first output is on record: 256 is a tile's border
SEED = 20261124
MAY_MISS = 6


@dataclass
class Seen:
    """What the callers of one keeper saw."""

    ledger: Ledger
    released: list[tuple[int, bytes]] = field(default_factory=list)
    errors: list[ApostilleError] = field(default_factory=list)


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Logs that are three entries short of each size, made when they are asked for."""
    made: dict[int, tuple[Path, int]] = {}

    def base(size: int) -> tuple[Path, int]:
        if size not in made:
            folder = tmp_path_factory.mktemp("base")
            made[size] = folder, found(folder, size - 3)
        return made[size]

    return base


def live(folder: Path, clock: FixedClock, seen: Seen, *, after_error=None) -> None:
    """Open a keeper, say two things, publish each, ask for receipts, close. An error ends nothing but what it belongs to."""

    def attempt(act):
        try:
            return act()
        except ApostilleError as error:
            seen.errors.append(error)
            if after_error is not None and len(seen.errors) == 1:
                after_error()
            return None

    keeper = attempt(lambda: quiet(parts_of(folder, clock, seen.ledger)))
    if keeper is None:
        return
    # One after the other, so that the same events come in the same order in every life.
    attempt(lambda: settle(keeper))
    run = attempt(lambda: keeper.open_run(agent="a"))
    if run is not None:
        attempt(lambda: run.opened.committed(5))
    for content in (b"first", b"second") if run is not None else ():
        done = attempt(
            lambda content=content: run.output(content, content, profile="opaque", media_type="text/plain").committed(5)
        )
        if done is None:
            continue
        seen.released.append((done.index, done.digest))
        attempt(keeper.publish)
        given = attempt(lambda done=done: keeper.receipt_at(done.index))
        if given is not None and given[0] == "published":
            seen.ledger.receipts.append((done.index, content, given[1]))
    if run is not None:
        attempt(lambda: run.close().committed(5))
    attempt(keeper.close)


def settle(keeper) -> None:
    """Have the agent's key certified, and wait for that."""
    keeper.attester("a", held_by="agent")
    end = time.monotonic() + 5
    while keeper._sequencer.waiting and time.monotonic() < end:
        time.sleep(0.0005)


def check(folder: Path, clock: FixedClock, seen: Seen) -> None:
    """The next keeper takes it up where it is; nothing that was released is missing; then all of it is audited."""
    ledger = seen.ledger
    keeper = quiet(parts_of(folder, clock, ledger))
    size = keeper.head.size  # with the closes of runs that were cut off, if there were any
    run = keeper.open_run(agent="b")
    said = run.output(b"after", b"after", profile="opaque", media_type="text/plain").committed(5)
    run.close().committed(5)
    keeper.publish()
    receipt = keeper.receipt_at(said.index)[1]
    keeper.close()
    ledger.receipts.append((said.index, b"after", receipt))
    try:
        check_after(folder, seen)
    finally:
        ledger.receipts.pop()
    assert check_tiles(folder) == size + 4
    assert audit(folder).failures == ()


def record(base: tuple[Path, int], folder: Path) -> list:
    """Live honestly and return every event."""
    shutil.copytree(base[0], folder)
    seen = Seen(Ledger())
    with Device(folder).on() as device:
        live(folder, FixedClock(base[1]), seen)
    assert seen.errors == []
    assert len(seen.released) == 2
    return device.events


def test_the_record_holds_every_kind_of_write(bases, tmp_path):
    """What this file breaks: were a kind of write not seen, it would not be tested."""
    named = {str(event) for event in record(bases(256), tmp_path / "store")}
    for wanted in (
        *("write store.sqlite-wal", "sync store.sqlite-wal", "write store.sqlite", "sync store.sqlite"),
        *("write units", "sync units"),
        *(
            f"{call} log/checkpoint{new}"
            for call, new in (("make", " (new)"), ("write", " (new)"), ("sync", " (new)"), ("rename to", ""))
        ),
        *("sync log", "write log/tile/entries/000 (new)", "rename to log/tile/entries/000", "sync log/tile/entries"),
        *("rename to log/tile/0/000", "make folder log/tile/1", "rename to log/tile/1/000.p/1"),
        "sync heads",
    ):
        assert wanted in named, (wanted, sorted(named))
    assert any(name.startswith("rename to heads/") for name in named)


# Some at every size for every commit; all of them with APOSTILLE_FAULTS=all, a quarter of an hour.
STRIDES = [(size, 1) for size in SIZES] if IS_ALL else [(256, 9)]
SLOW = [] if IS_ALL else [(256, 2), *((size, 9) for size in SIZES if size != 256)]
CHOSEN = [*STRIDES, *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("size", "stride"), CHOSEN)
def test_every_write_fails_once(bases, tmp_path, size, stride, mode):
    base = bases(size)
    count = len(record(base, tmp_path / "honest"))
    silent = []
    missed = 0
    for number in range(random.Random(f"{SEED} {size} {mode}").randrange(stride), count, stride):
        folder, killed = tmp_path / f"{number}", tmp_path / f"{number}-killed"
        shutil.copytree(base[0], folder)
        clock, seen = FixedClock(base[1]), Seen(Ledger())
        device = Device(folder, strike=number, mode=mode)
        then: list[Seen] = []

        def kill_here(folder=folder, killed=killed, seen=seen, then=then) -> None:
            shutil.copytree(folder, killed)
            then.append(copy.deepcopy(seen))

        with device.on():
            live(folder, clock, seen, after_error=kill_here)
        if device.struck is None:
            missed += 1  # random ids lie on other pages: a life may write a page or two fewer
            shutil.rmtree(folder)
            continue
        try:
            if not seen.errors:
                silent.append(str(device.struck))
            # As its process left it when it ended itself, and as a kill at the moment of the error would have left it.
            check(folder, clock, seen)
            if then:
                check(killed, clock, then[0])
        except BaseException as error:
            error.add_note(f"event {number} of {count}: {device.struck}, which {mode}; the callers saw {seen.errors}")
            raise
        shutil.rmtree(folder)
        shutil.rmtree(killed, ignore_errors=True)
    assert missed <= MAY_MISS
    # An error that nobody is told of may only be one after which nothing is amiss.
    assert all(may_be_silent(name) for name in silent), silent


def may_be_silent(name: str) -> bool:
    """SQLite's own copying from the WAL into the file: the WAL keeps it until that has succeeded. A folder that is there is there."""
    return name.partition(" ")[2] in {"store.sqlite", "store.sqlite-wal"} or name.startswith("make folder")


@pytest.mark.parametrize(("size", "stride"), CHOSEN)
def test_power_is_lost_before_every_write(bases, tmp_path, size, stride):
    """Nothing that was not synced survives; or some sectors of it do. What was released has its entry all the same."""
    base = bases(size)
    folder = tmp_path / "store"
    shutil.copytree(base[0], folder)
    clock, seen = FixedClock(base[1]), Seen(Ledger())
    luck = random.Random(SEED + size)
    first = random.Random(f"{SEED} {size}").randrange(stride)
    images: list[tuple[Path, int, int]] = []

    def lose(number: int) -> None:
        if number % stride != first:
            return
        for kind, chance in (("bare", None), ("lucky", luck)):
            target = tmp_path / f"{number}-{kind}"
            device.image(target, chance)
            images.append((target, len(seen.released), len(seen.ledger.receipts)))

    device = Device(folder, before=lose)
    with device.on():
        live(folder, clock, seen)
    assert seen.errors == []
    assert len(images) == 2 * len(range(first, len(device.events), stride)) > 0
    for target, released, receipts in images:
        then = Ledger()
        # What was signed for nobody is signed again with the same root, or was lost with all that it covers.
        then.receipts = seen.ledger.receipts[:receipts]
        try:
            check(target, clock, Seen(then, seen.released[:released]))
        except BaseException as error:
            number = int(target.name.partition("-")[0])
            error.add_note(f"{target.name}, before event {number} of {len(device.events)}: {device.events[number]}")
            raise
        shutil.rmtree(target)


def test_a_file_in_a_new_folder_survives_with_the_folder(tmp_path):
    """Tiles once lay in folders whose own names were never synced, and the checkpoint named tiles that were gone."""
    root, lost = tmp_path / "root", tmp_path / "lost"
    root.mkdir()
    with Device(root).on() as device:
        files.make_folder(root / "tile" / "1")
        files.replace_file(root / "tile" / "1" / "000", b"hashes")
        device.image(lost, None)
    assert (lost / "tile" / "1" / "000").read_bytes() == b"hashes"
