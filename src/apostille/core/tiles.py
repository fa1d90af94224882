"""Tiles: how a log is published as plain immutable files.

    checkpoint                     the newest published note
    tile/<L>/<N>[.p/<W>]           W hashes of 32 bytes; full tiles hold 256
    tile/entries/<N>[.p/<W>]       W times u16be length, entry

L is 0 to 63; N in groups of three digits, all but the last with an ``x`` before them; W is 1 to 255.

Spec: c2sp.org/tlog-tiles.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from apostille.core import strict
from apostille.core.digest import SIZE
from apostille.core.tree import TILE_WIDTH
from apostille.errors import MalformedError, MalformedTilePathError, TooLargeError

MAX_ENTRY_BYTES = 65_535
_MAX_LEVEL = 63
_SPEC = "tlog-tiles"


@dataclass(frozen=True, slots=True)
class Tile:
    """The place of a tile.

    Attributes:
        level: 0 to 63; ``None`` for an entry bundle.
        number: Which tile of its level, from 0.
        width: Hashes or entries in it, 1 to 256.
    """

    level: int | None
    number: int
    width: int = TILE_WIDTH


def format_tile_path(tile: Tile) -> str:
    """Write the path of a tile, with ``/`` between its parts."""
    groups = [f"{tile.number % 1000:03d}"]
    rest = tile.number // 1000
    while rest:
        groups.insert(0, f"x{rest % 1000:03d}")
        rest //= 1000
    level = "entries" if tile.level is None else str(tile.level)
    partial = "" if tile.width == TILE_WIDTH else f".p/{tile.width}"
    return f"tile/{level}/{'/'.join(groups)}{partial}"


def parse_tile_path(path: str) -> Tile:
    """Read the path of a tile.

    Raises:
        MalformedTilePathError: Any spelling but the one that ``format_tile_path`` writes.
    """
    try:
        head, _, rest = path.partition("/")
        level_text, _, rest = rest.partition("/")
        number_text, mark, width_text = rest.partition(".p/")
        level = None if level_text == "entries" else strict.decimal(level_text)
        number = strict.decimal(number_text.replace("/", "").replace("x", "").lstrip("0") or "0")
        tile = Tile(level, number, strict.decimal(width_text) if mark else TILE_WIDTH)
    except MalformedError as error:
        raise MalformedTilePathError(f"not the path of a tile: {path[:64]!r}", spec=_SPEC) from error
    in_range = (tile.level is None or tile.level <= _MAX_LEVEL) and (not mark or 1 <= tile.width < TILE_WIDTH)
    if head != "tile" or not in_range or format_tile_path(tile) != path:
        raise MalformedTilePathError(f"not the path of a tile: {path[:64]!r}", spec=_SPEC)
    return tile


def tiles_of(old_size: int, size: int) -> Iterable[Tile]:
    """Name the tiles that a tree of ``size`` leaves has and one of ``old_size`` had not, entry bundles first.

    The partial width at each level is ``floor(size / 256**level) mod 256``; there are no empty tiles.
    """
    for level in (None, *range(_MAX_LEVEL + 1)):
        step = TILE_WIDTH ** (level or 0)
        count, old = size // step, old_size // step
        if not count:
            return
        for number in range(old // TILE_WIDTH, (count + TILE_WIDTH - 1) // TILE_WIDTH):
            tile = Tile(level, number, min(TILE_WIDTH, count - number * TILE_WIDTH))
            if number * TILE_WIDTH + tile.width > old:
                yield tile


def format_entry_bundle(entries: Iterable[bytes]) -> bytes:
    """Write an entry bundle.

    Raises:
        TooLargeError: An entry longer than 65,535 bytes.
    """
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise TooLargeError(f"a log entry of {len(entry):,} bytes", limit=MAX_ENTRY_BYTES, spec=_SPEC)
        parts += (len(entry).to_bytes(2, "big"), entry)
    return b"".join(parts)


def parse_entry_bundle(data: bytes, width: int) -> list[bytes]:
    """Read an entry bundle of exactly ``width`` entries.

    Raises:
        MalformedError: More, fewer, or a cut entry.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise MalformedError("an entry bundle ends inside an entry", spec=_SPEC, offset=at)
        entries.append(data[at + 2 : end])
        at = end
    if len(entries) != width:
        raise MalformedError(f"an entry bundle of {len(entries)} entries where {width} belong", spec=_SPEC)
    return entries


def parse_hash_tile(data: bytes, width: int) -> list[bytes]:
    """Read a hash tile of exactly ``width`` hashes.

    Raises:
        MalformedError: Another length.
    """
    if len(data) != width * SIZE:
        raise MalformedError(f"a tile of {len(data)} bytes where {width} hashes belong", spec=_SPEC)
    return [data[i : i + SIZE] for i in range(0, len(data), SIZE)]
