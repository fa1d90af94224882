"""Lives of a keeper on a real folder: what its callers saw, and what must hold of the store after it is gone.

Spec: architecture.md, invariants I1, I3; formats.md section 9.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

from faulty import Fault, Faulty, Ledger, WatchedSigner

from apostille.adapters.system import SystemRandom
from apostille.core import keys, note, tiles
from apostille.core.checkpoint import parse_checkpoint
from apostille.core.entry import parse_entry
from apostille.core.merkle import leaf_hash
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


def check_after(folder, life: Any) -> None:
    """What must hold whatever has happened."""
    store = SqliteStore(folder / "store.sqlite", read_only=True)
    entries = [record.entry for _, record in store.records()]
    head = store.head()
    derived = append_leaves(EMPTY, [leaf_hash(entry) for entry in entries]).head
    assert derived == head, "the store does not derive the same tree again"
    for index, digest in life.released:
        assert parse_entry(store.record(index).entry).pae_digest == digest, "something was released without its entry"
    for size, roots in life.ledger.roots.items():
        assert len(roots) == 1, f"size {size} was signed with two roots"
        assert size <= head.size, "a head was signed that is not committed"
    assert life.ledger.signed == sorted(life.ledger.signed)
    for signed in store.checkpoints_from(0):
        assert life.ledger.roots.get(signed.size, {signed.root_hash}) == {signed.root_hash}
    for _, content, receipt in life.ledger.receipts:
        verify_receipt(receipt, WORLD.policy(), artifact=content)
    store.close()


def found(folder: Path, size: int) -> int:
    """Make a log of ``size`` leaves, published and closed: genesis, keeper, agent, and one closed run. Return its time."""
    clock = FixedClock()
    SqliteStore.create(folder / "store.sqlite").close()
    parts = parts_of(folder, clock)
    genesis(parts, WORLD.root, keys.StatementKey.from_seed(seed("next")))
    keeper = quiet(parts)
    run = keeper.open_run(agent="base")
    for number in range(size - 5):
        run.output(b"%d" % number, b"%d" % number, profile="opaque", media_type="text/plain")
    run.close().committed(10)
    keeper.close()
    return clock.now


def audit(folder: Path) -> Examination:
    """Examine everything, as ``apostille verify STORE`` does on the machine that remembers."""
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
    return examination
