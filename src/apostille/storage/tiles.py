"""Tiles in a folder, as monitors read them: immutable files, and ``checkpoint`` written last.

They are a projection of the store; nothing is ever overwritten with other bytes. To have lost tiles written again, remove
``checkpoint`` too: the next publication then begins at zero.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from apostille.core import tiles
from apostille.core.checkpoint import parse_checkpoint
from apostille.core.note import MAX_NOTE_BYTES, parse_note
from apostille.core.tree import TILE_WIDTH
from apostille.errors import MalformedError, StorageUnavailableError
from apostille.storage import files

_MAX_TILE_BYTES = TILE_WIDTH * (tiles.MAX_ENTRY_BYTES + 2)


class TileFolder:
    """Writes and reads the tiles of one log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def published_size(self) -> int:
        """Return the size that the tiles cover, 0 if there are none."""
        note = self.checkpoint()
        return parse_checkpoint(parse_note(note).text).size if note is not None else 0

    def write(self, path: str, data: bytes) -> None:
        """Write one tile; the same bytes again do nothing.

        Raises:
            StorageUnavailableError: Not writable, or other bytes are there already.
        """
        target = self.folder / path
        known = files.read_file(target, limit=_MAX_TILE_BYTES)
        if known == data:
            return
        if known is not None:
            raise StorageUnavailableError(f"the published tile {path} holds other bytes than the store: it was altered")
        files.make_folder(target.parent)
        files.replace_file(target, data, mode=files.PUBLIC_FILE)

    def write_checkpoint(self, note: bytes, size: int) -> None:
        """Replace ``checkpoint``. It comes last, so that a reader who sees it finds every tile that it needs."""
        del size
        files.make_folder(self.folder)
        files.replace_file(self.folder / "checkpoint", note, mode=files.PUBLIC_FILE)

    def checkpoint(self) -> bytes | None:
        """Return the newest published note, unverified; ``None`` if nothing is published here."""
        return files.read_file(self.folder / "checkpoint", limit=MAX_NOTE_BYTES)

    def paths(self) -> Iterator[str]:
        """Yield the paths of all files there, but ``checkpoint``, in order."""
        for folder, folders, names in os.walk(self.folder):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name).relative_to(self.folder).as_posix()
                if path != "checkpoint":
                    yield path

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, ``None`` if there is none; of a file larger than a tile can be, its beginning."""
        try:
            with (self.folder / path).open("rb") as file:
                return files.read_up_to(file, _MAX_TILE_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise StorageUnavailableError(f"{path} can't be read: {error.strerror}") from error

    def mend(self, path: str, data: bytes) -> None:
        """Replace one file, atomically and durably, whatever it holds."""
        target = self.folder / path
        files.make_folder(target.parent)
        files.replace_file(target, data, mode=files.PUBLIC_FILE)

    def hashes(self, size: int, level: int, start: int, count: int) -> Sequence[bytes]:
        """Return ``count`` hashes of a level from the tiles of a log of ``size`` leaves, unverified.

        Raises:
            MalformedError: A tile is missing or has the wrong length.
        """
        found: list[bytes] = []
        available = size // TILE_WIDTH**level
        for number in range(start // TILE_WIDTH, (start + count - 1) // TILE_WIDTH + 1):
            width = min(TILE_WIDTH, available - number * TILE_WIDTH)
            path = tiles.format_tile_path(tiles.Tile(level, number, width))
            data = files.read_file(self.folder / path, limit=_MAX_TILE_BYTES)
            if data is None:
                raise MalformedError(f"the tile {path} is missing", spec="tlog-tiles")
            found += tiles.parse_hash_tile(data, width)
        offset = start % TILE_WIDTH
        return found[offset : offset + count]
