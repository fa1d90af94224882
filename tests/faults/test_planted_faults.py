"""Every external write fails once, before its effect or after it, at every size around a tile border; then the keeper is gone.

After each: the store derives the same tree again, nothing was released without its entry, no size was ever signed with two roots,
and each receipt that was handed out still verifies.

Spec: style.md section 8 (``faults/``); architecture.md, invariants I1, I3; formats.md section 9.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from unittest import mock

import pytest
from faulty import WRITES, Fault, Faulty, Ledger, WatchedSigner

from apostille.adapters.system import SystemRandom
from apostille.core import keys, note, tiles
from apostille.core.checkpoint import parse_checkpoint
from apostille.core.merkle import leaf_hash
from apostille.core.statement import parse_statement
from apostille.core.tree import EMPTY, append_leaves
from apostille.errors import ApostilleError
from apostille.services.auditor import examine_store
from apostille.services.examination import Examination
from apostille.services.genesis import genesis
from apostille.services.keeper import Keeper, KeeperParts
from apostille.services.publisher import Publisher
from apostille.services.verifier import verify_receipt
from apostille.storage.heads import FolderHeadMemory
from apostille.storage.sqlite import SqliteStore
from apostille.storage.tiles import TileFolder
from apostille.storage.vault import FileVault
from tests.simulators.world import FixedClock, World, seed

BASE = 250
WORLD = World()


def parts_of(folder, clock, ledger=None, fault=None) -> KeeperParts:
    """The real storage in a folder, with what watches and breaks it around."""
    ledger, fault = ledger or Ledger(), fault or Fault()
    random = SystemRandom()
    return KeeperParts(
        Faulty(SqliteStore(folder / "store.sqlite"), fault),
        Faulty(FileVault(folder / "units", random.token), fault),
        WatchedSigner(WORLD.signer, ledger),
        WORLD.keeper_key,
        Faulty(FolderHeadMemory(folder / "heads"), fault),
        Faulty(TileFolder(folder / "log"), fault),
        clock,
        random,
    )


def quiet(parts: KeeperParts) -> Keeper:
    """A keeper that publishes when it is told to, so that each fault strikes where it was planted."""
    with mock.patch.object(Publisher, "start"):
        return Keeper(parts)


def kill(keeper: Keeper) -> None:
    """End a keeper without publishing, syncing or closing anything properly."""
    keeper._sequencer.close()
    keeper.reader.close()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A log of 250 leaves, published: genesis, keeper, agent, and one closed run."""
    folder = tmp_path_factory.mktemp("base")
    clock = FixedClock()
    SqliteStore.create(folder / "store.sqlite").close()
    parts = parts_of(folder, clock)
    genesis(parts, WORLD.root, keys.StatementKey.from_seed(seed("next")))
    keeper = quiet(parts)
    run = keeper.open_run(agent="base")
    for number in range(BASE - 5):
        run.output(b"%d" % number, b"%d" % number, profile="opaque", media_type="text/plain")
    run.close().committed(10)
    keeper.close()
    return folder, clock.now


class Life:
    """What one keeper did before it went away, as its callers saw it."""

    def __init__(self, keeper: Keeper, ledger: Ledger) -> None:
        self.keeper = keeper
        self.ledger = ledger
        self.released: list[tuple[int, bytes]] = []
        self.errors: list[ApostilleError] = []
        self.run = keeper.open_run(agent="a")
        self.run.opened.committed(5)

    def say(self, content: bytes, *, anew: bool = False) -> None:
        """Say one thing and ask for its receipt; what fails is an error that the caller sees."""
        try:
            if anew:
                self.run = self.keeper.open_run(agent="a")
                done = self.run.opened.committed(5)
            else:
                done = self.run.output(content, content, profile="opaque", media_type="text/plain").committed(5)
            self.released.append((done.index, done.digest))
            self.keeper.publish()
            state, receipt = self.keeper.receipt_at(done.index)
            if state == "published" and not anew:
                self.ledger.receipts.append((done.index, content, receipt))
        except ApostilleError as error:
            self.errors.append(error)


def check_tiles(folder) -> int:
    """Read the published log as a monitor does: from the checkpoint and the tiles alone."""
    sink = TileFolder(folder / "log")
    shown = parse_checkpoint(note.parse_note(sink.checkpoint()).text)
    leaves: list[bytes] = []
    for tile in tiles.tiles_of(0, shown.size):
        data = (folder / "log" / tiles.format_tile_path(tile)).read_bytes()
        if tile.level is None:
            leaves += [leaf_hash(entry) for entry in tiles.parse_entry_bundle(data, tile.width)]
    assert append_leaves(EMPTY, leaves).head.root_hash == shown.root_hash
    return shown.size


def check_after(folder, life: Life) -> None:
    """What must hold whatever has happened."""
    store = SqliteStore(folder / "store.sqlite", read_only=True)
    entries = [record.entry for _, record in store.records()]
    head = store.head()
    derived = append_leaves(EMPTY, [leaf_hash(entry) for entry in entries]).head
    assert derived == head, "the store does not derive the same tree again"
    for index, digest in life.released:
        assert store.record(index).pae_digest == digest, "something was released without its entry"
    for size, roots in life.ledger.roots.items():
        assert len(roots) == 1, f"size {size} was signed with two roots"
        assert size <= head.size, "a head was signed that is not committed"
    assert life.ledger.signed == sorted(life.ledger.signed)
    for signed in store.checkpoints():
        assert life.ledger.roots.get(signed.size, {signed.root_hash}) == {signed.root_hash}
    for _, content, receipt in life.ledger.receipts:
        verify_receipt(receipt, WORLD.policy(), artifact=content)
    store.close()


@pytest.mark.parametrize("persists", [False, True], ids=["fails", "fails but persists"])
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("target", range(254, 259))
def test_each_write(base, tmp_path, write, persists, target):
    folder, now = tmp_path / "store", base[1]
    shutil.copytree(base[0], folder)
    clock, ledger, fault = FixedClock(now), Ledger(), Fault()
    life = Life(quiet(parts_of(folder, clock, ledger, fault)), ledger)
    assert life.keeper.head.size == BASE + 2
    for size in range(BASE + 3, target + 3):
        if size == target:
            fault.write, fault.persists, fault.calls = write, persists, {}
        life.say(b"%d" % size, anew=size == target and write == "ensure")
    kill(life.keeper)
    assert fault.has_struck
    assert life.errors, "the caller did not learn of it"
    assert str(life.errors[0]) == f"planted: {write}"
    stops = write in {"commit", "ensure"}
    assert len(life.errors) == (3 if stops else 1), "a log that stopped took something, or one that need not stopped"
    check_after(folder, life)

    # The next keeper takes it up where it is, and closes the run that was cut off.
    store = SqliteStore(folder / "store.sqlite", read_only=True)
    size_before, cut_off = store.head().size, store.open_runs()
    store.close()
    second = quiet(parts_of(folder, clock, ledger))
    assert len(cut_off) == 1
    assert second.head.size == size_before + 1
    closing = parse_statement(second.reader.record(size_before).statement).predicate
    assert (closing["run"], closing["outcome"]) == (cut_off[0][0].hex(), "crash")
    run = second.open_run(agent="b")
    said = run.output(b"after", b"after", profile="opaque", media_type="text/plain").committed(5)
    run.close().committed(5)
    second.publish()
    _, receipt = second.receipt_at(said.index, since=BASE)
    ledger.receipts.append((said.index, b"after", receipt))
    second.close()
    check_after(folder, life)
    assert check_tiles(folder) == size_before + 5
    if target != 256:
        return  # the rest is slow, and says no more at the other sizes
    examination = Examination()
    store = SqliteStore(folder / "store.sqlite", read_only=True)
    examine_store(
        examination,
        store,
        WORLD.policy(),
        origin=WORLD.signer.origin,
        heads=FolderHeadMemory(folder / "heads"),
        vault=FileVault(folder / "units", SystemRandom().token),
        published=TileFolder(folder / "log").checkpoint(),
    )
    store.close()
    assert examination.failures == ()


@pytest.mark.parametrize("write", ["add_checkpoint", "remember", "write", "write_checkpoint"])
@pytest.mark.parametrize("persists", [False, True], ids=["fails", "fails but persists"])
def test_a_start_that_fails_in_the_middle(base, tmp_path, write, persists):
    """Killed with an unpublished tail; the next keeper's first publication fails too; the third one mends all of it."""
    folder, now = tmp_path / "store", base[1]
    shutil.copytree(base[0], folder)
    clock, ledger = FixedClock(now), Ledger()
    life = Life(quiet(parts_of(folder, clock, ledger)), ledger)
    for number in range(6):
        life.run.output(b"%d" % number, b"x", profile="opaque", media_type="text/plain").committed(5)
    kill(life.keeper)
    fault = Fault(write, 0, persists)
    second = quiet(parts_of(folder, clock, ledger, fault))
    with pytest.raises(ApostilleError, match="planted"):
        second.publish()
    kill(second)
    check_after(folder, life)
    third = quiet(parts_of(folder, clock, ledger))
    third.close()
    check_after(folder, life)
    # The second keeper's last deed that held was to close the run that the first one's death had cut off.
    assert check_tiles(folder) == BASE + 9
    assert set(ledger.signed) == {BASE + 9}


def test_an_honest_run_is_clean(base, tmp_path):
    """The same without any fault: the checks of this file hold on what is sound, and everything is released."""
    folder, now = tmp_path / "store", base[1]
    shutil.copytree(base[0], folder)
    ledger = Ledger()
    life = Life(quiet(parts_of(folder, FixedClock(now), ledger)), ledger)
    for size in range(BASE + 3, 261):
        life.say(b"%d" % size)
    life.run.close().committed(5)
    life.keeper.close()
    assert life.errors == []
    assert [index for index, _ in life.released] == list(range(BASE + 2, 260))
    assert len(ledger.receipts) == len(life.released)
    check_after(folder, life)
    assert check_tiles(folder) == 261


@pytest.mark.parametrize("broken", ["root", "order", "ahead"])
def test_these_checks_can_fail(base, tmp_path, broken):
    """Break what the ledger saw, and the check of this file says so."""
    folder, now = tmp_path / "store", base[1]
    shutil.copytree(base[0], folder)
    ledger = Ledger()
    life = Life(quiet(parts_of(folder, FixedClock(now), ledger)), ledger)
    life.say(b"x")
    kill(life.keeper)
    check_after(folder, life)
    other = replace(EMPTY, size=0)
    if broken == "root":
        ledger.roots[BASE + 3].add(other.root_hash)
    elif broken == "order":
        ledger.signed.append(1)
    else:
        ledger.roots[10**6] = {other.root_hash}
    with pytest.raises(AssertionError):
        check_after(folder, life)
