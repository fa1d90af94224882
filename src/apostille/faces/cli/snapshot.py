"""One moment of a store, for whoever looks at all of it beside a keeper at work.

A keeper writes in the order commit, sign, remember, publish. Who looks reads in the opposite order: whatever was remembered or
published before the moment is in it, so a keeper at work is never accused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from apostille import wiring
from apostille.services.attester import utc_text
from apostille.services.auditor import Recalled
from apostille.storage.sqlite import SqliteStore
from apostille.storage.tiles import TileFolder
from apostille.storage.vault import FileVault


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A store as it was at one moment.

    Attributes:
        folder: Where it is.
        recalled: What head memory said before that moment.
        shelf: Where tiles are published.
        published: The published note, read before that moment.
        vault: Unit keys; those that are destroyed meanwhile stay known.
        reader: The store.
        now: UTC text.
    """

    folder: wiring.StoreFolder
    recalled: Recalled
    shelf: TileFolder
    published: bytes | None
    vault: FileVault
    reader: SqliteStore
    now: str
    _stack: ExitStack = field(repr=False)

    def again(self) -> SqliteStore:
        """Open the store as it is when this is called; it is closed with the snapshot."""
        fresh = wiring.open_reader(self.folder, is_snapshot=True)
        self._stack.callback(fresh.close)
        return fresh


@contextmanager
def open_snapshot(folder: wiring.StoreFolder, origin: str) -> Iterator[Snapshot]:
    """Take a snapshot. What an audit remembers is to be recalled before.

    Raises:
        MalformedError, StorageUnavailableError, ..: As opening a store does.
    """
    recalled = Recalled(wiring.head_memory().recall(origin))
    shelf = TileFolder(folder.log)
    published = shelf.checkpoint()
    vault = wiring.open_vault(folder, is_snapshot=True)
    with ExitStack() as stack:
        reader = wiring.open_reader(folder, is_snapshot=True)
        stack.callback(reader.close)
        now = utc_text(int(wiring.posix_seconds() * 1000))
        yield Snapshot(folder, recalled, shelf, published, vault, reader, now, stack)
