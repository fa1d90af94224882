"""The published tiles, compared with the leaves that they are a projection of.

They were never signed, so what is missing or torn can be written again (``rewrite_tiles``). A tile of the right length that says
something else is evidence, and stays.

Spec: formats.md section 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from apostille.core import tiles
from apostille.core.policy import Policy, open_checkpoint
from apostille.core.tree import TILE_HEIGHT, TILE_WIDTH
from apostille.errors import IncompleteError, MalformedError, MalformedTilePathError, NotFoundError, VerificationError
from apostille.ports import Reader, TileShelf
from apostille.services.examination import Examination
from apostille.services.publisher import tile_data

MAX_NAMED = 100
CHECKPOINT = "checkpoint"


@dataclass(slots=True)
class Paths:
    """Paths of one kind: the first ones by name, all of them by number."""

    named: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, path: str) -> None:
        """Count a path."""
        self.count += 1
        if len(self.named) < MAX_NAMED:
            self.named.append(path)

    def __str__(self) -> str:
        more = f" and {self.count - 3} more" if self.count > 3 else ""
        return ", ".join(self.named[:3]) + more


@dataclass(slots=True)
class TileReport:
    """What was found where tiles are published.

    Attributes:
        size: The size that the published checkpoint covers.
        checked: Files compared.
        missing: Tiles that should be there.
        torn: Files of another length than the tile has.
        altered: Files of the right length with other bytes, and where they differ first.
        foreign: Files that are no tile.
        ahead: Tiles of committed leaves that the published checkpoint does not cover yet.
        beyond: Tiles of leaves that are not in the store.
        is_behind: Whether the store has signed more than is published.
    """

    size: int = 0
    checked: int = 0
    missing: Paths = field(default_factory=Paths)
    torn: Paths = field(default_factory=Paths)
    altered: Paths = field(default_factory=Paths)
    foreign: Paths = field(default_factory=Paths)
    ahead: Paths = field(default_factory=Paths)
    beyond: Paths = field(default_factory=Paths)
    is_behind: bool = False


def examine_published(
    examination: Examination, reader: Reader, policy: Policy, shelf: TileShelf, note: bytes, *, start: int, size: int
) -> None:
    """Compare the tiles that leaves from ``start`` on have brought, up to the published checkpoint.

    One that is missing is said and no more: the keeper writes it again. It does **not** look for files that should not be there.
    """
    found = TileReport()
    with examination.step(11, "the published tiles are those of the leaves") as step:
        try:
            found.size = min(open_checkpoint(note, policy).checkpoint.size, size)
        except (MalformedError, VerificationError):
            step.outcome = "not checked"  # the note itself is a finding already
            return
        for tile in tiles.tiles_of(min(start, found.size), found.size):
            _compare(reader, shelf, tile, found)
        if found.missing.count:
            examination.notices.append(
                f"{found.missing.count} published tiles are missing: {found.missing} (log fsck mends them)"
            )
            found.missing = Paths()
        file_report(examination, found)
        step.detail = f"size {found.size}, {found.checked} files"
        if found.torn.count or found.altered.count:
            step.outcome = "failed"


def compare_all(
    reader: Reader, policy: Policy, shelf: TileShelf, note: bytes | None, again: Callable[[], Reader], size: int
) -> TileReport:
    """Compare all files that should be there, and all that are.

    Args:
        reader: The store.
        policy: The trust file.
        shelf: Where tiles are published.
        note: The published note; ``None`` where there is none.
        again: Opens the store as it is when asked, for what a keeper at work has published meanwhile.
        size: Leaves of ``reader`` that were examined.
    """
    found = TileReport()
    signed = reader.checkpoint()
    signed_size = signed.size if signed is not None else 0
    try:
        found.size = open_checkpoint(note, policy).checkpoint.size if note is not None else signed_size
    except VerificationError:
        found.size = signed_size  # the note itself is a finding already
    found.size = min(found.size, size)
    found.is_behind = signed_size > found.size
    for wanted in tiles.tiles_of(0, found.size):
        _compare(reader, shelf, wanted, found)
    beyond = [tile for path in shelf.paths() if (tile := _look_at_file(reader, shelf, path, found, size)) is not None]
    if beyond:
        _look_again(again(), shelf, beyond, found)
    return found


def _required(tile: tiles.Tile, size: int) -> bool:
    hashes = size // _span(tile)
    return tile.width == min(TILE_WIDTH, hashes - tile.number * TILE_WIDTH)


def _end(tile: tiles.Tile) -> int:
    """Return how many leaves there must be for a tile to be."""
    return (tile.number * TILE_WIDTH + tile.width) * _span(tile)


def _span(tile: tiles.Tile) -> int:
    return 1 << TILE_HEIGHT * (tile.level or 0)


def _look_at_file(reader: Reader, shelf: TileShelf, path: str, found: TileReport, size: int) -> tiles.Tile | None:
    """Look at a file that is there; return it where the store has no such leaves."""
    try:
        tile = tiles.parse_tile_path(path)
    except MalformedTilePathError:
        found.foreign.add(path)
        return None
    if _end(tile) > size:
        return tile if len(found.beyond.named) < MAX_NAMED else None
    if _end(tile) > found.size:
        found.ahead.add(path)
        _compare(reader, shelf, tile, found)
    elif not _required(tile, found.size):
        _compare(reader, shelf, tile, found)  # of an earlier publication
    return None


def _look_again(reader: Reader, shelf: TileShelf, beyond: list[tiles.Tile], found: TileReport) -> None:
    """A keeper at work may have committed and published more since the store was opened: look at it as it is now."""
    size = reader.head().size
    for tile in beyond:
        if _end(tile) > size:
            found.beyond.add(tiles.format_tile_path(tile))
        else:
            found.ahead.add(tiles.format_tile_path(tile))
            _compare(reader, shelf, tile, found)


def _compare(reader: Reader, shelf: TileShelf, tile: tiles.Tile, found: TileReport) -> None:
    path = tiles.format_tile_path(tile)
    there = shelf.read(path)
    found.checked += 1
    if there is None:
        found.missing.add(path)
        return
    try:
        wanted = tile_data(reader, tile)
    except (NotFoundError, VerificationError):
        return  # leaves or hashes are missing, which is a finding of its own
    if there == wanted:
        return
    if len(there) != len(wanted):
        found.torn.add(path)
        return
    found.altered.add(f"{path} ({_first_difference(tile, there, wanted)})")


def _first_difference(tile: tiles.Tile, there: bytes, wanted: bytes) -> str:
    start = tile.number * TILE_WIDTH
    if tile.level is None:
        try:
            pairs = zip(tiles.parse_entry_bundle(there, tile.width), tiles.parse_entry_bundle(wanted, tile.width), strict=True)
        except MalformedError:
            return "not a bundle of entries"
        return f"first at leaf {start + next(i for i, (a, b) in enumerate(pairs) if a != b)}"
    at = next(i for i in range(len(wanted)) if there[i] != wanted[i]) // 32
    return f"first at leaf {start + at}" if tile.level == 0 else f"first at hash {start + at}"


def file_report(examination: Examination, found: TileReport) -> None:
    """File what was found, each path by name."""
    for paths, what in (
        (found.altered, "says something else than the leaves"),
        (found.torn, "has not the length of its tile: torn"),
        (found.beyond, "is of leaves that are not in the store"),
    ):
        for path in paths.named:
            examination.file(VerificationError(f"published: {path} {what}"), 11)
    for path in found.missing.named:
        examination.file(IncompleteError(f"published: {path} is missing"), 11)
    named = MAX_NAMED
    for paths, what in ((found.missing, "missing"), (found.torn, "torn"), (found.altered, "altered"), (found.beyond, "beyond")):
        if paths.count > named:
            examination.notices.append(f"{paths.count - named} more published files that are {what} are not listed")
    if found.foreign.count:
        examination.notices.append(f"{found.foreign.count} files among the tiles are none of the log: {found.foreign}")
    if found.ahead.count:
        examination.notices.append(f"{found.ahead.count} tiles are of leaves behind the published checkpoint: {found.ahead}")
    if found.is_behind:
        examination.notices.append(
            f"published up to size {found.size}; more is signed: the keeper publishes it at its next start or checkpoint"
        )


def rewrite_tiles(
    reader: Reader, policy: Policy, shelf: TileShelf, report: TileReport, *, is_without_note: bool = False
) -> list[str]:
    """Write again the published tiles that are missing or torn, and ``checkpoint`` if it is; return what was written.

    Only leaves that are committed and covered by a checkpoint that the pinned log key has signed are written. A file of the right
    length that says something else is left alone.

    Raises:
        VerificationError: The store has no such checkpoint.
        StorageUnavailableError: A file can't be written.
    """
    signed = reader.checkpoint()
    if signed is None:
        return []
    opened = open_checkpoint(signed.note, policy).checkpoint
    if (opened.size, opened.root_hash) != (signed.size, signed.root_hash):
        raise VerificationError("the newest checkpoint says something else than the store: nothing is written")
    written: dict[str, None] = {}
    # Asked of the files again: the lists of a report are cut.
    names = (tiles.format_tile_path(tile) for tile in tiles.tiles_of(0, min(report.size, opened.size)))
    for path in (*names, *report.torn.named):
        tile = tiles.parse_tile_path(path)
        if path in written or _end(tile) > opened.size:
            continue
        wanted, there = tile_data(reader, tile), shelf.read(path)
        if there is None or len(there) != len(wanted):
            shelf.mend(path, wanted)
            written[path] = None
    if is_without_note and not report.altered.count:
        shelf.write_checkpoint(signed.note, signed.size)
        written[CHECKPOINT] = None
    return list(written)


def is_damaged(note: bytes, policy: Policy) -> bool:
    """Tell whether this is no note that can be read. One that somebody else has signed is evidence."""
    try:
        open_checkpoint(note, policy)
    except MalformedError:
        return True
    except VerificationError:
        return False
    return False
