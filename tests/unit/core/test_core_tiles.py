"""Tiles: paths, the list of tiles of a tree, entry bundles (formats.md section 6; c2sp.org/tlog-tiles)."""

from __future__ import annotations

import pytest

from apostille.core import tiles
from apostille.core.tiles import Tile
from apostille.errors import MalformedError, MalformedTilePathError, TooLargeError

PATHS = {
    "tile/0/000": Tile(0, 0),
    "tile/0/001.p/188": Tile(0, 1, 188),
    "tile/0/999": Tile(0, 999),
    "tile/0/x001/000": Tile(0, 1_000),
    "tile/0/x001/x234/067": Tile(0, 1_234_067),
    "tile/63/x999/x999/x999/x999/x999/999.p/255": Tile(63, 10**18 - 1, 255),
    "tile/1/000.p/2": Tile(1, 0, 2),
    "tile/entries/000.p/4": Tile(None, 0, 4),
    "tile/entries/x123/456": Tile(None, 123_456),
}


@pytest.mark.parametrize(("path", "tile"), PATHS.items(), ids=PATHS)
def test_paths(path, tile):
    assert tiles.parse_tile_path(path) == tile
    assert tiles.format_tile_path(tile) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile//000",
        "/tile/0/000",
        "tile/0/000/",
        "tiles/0/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/1000",
        "tile/0/x000/001",
        "tile/0/001/001",
        "tile/0/x001",
        "tile/0/x001/x001",
        "tile/0/x01/001",
        "tile/0/X001/001",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/ 1/000",
        "tile/٣/000",
        "tile/0/٣٣٣",
        "tile/0/x٠٠١/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000.p/1/2",
        "tile/0/000.p/1.p/1",
        "tile/0/000.p/1\n",
        "tile/0/.p/1",
        "tile/entry/000",
        "tile/Entries/000",
        "tile/entries/000.P/4",
        "tile/data/000",
        "tile/0/../000",
        "tile/0/x001/../000",
        "tile\\0\\000",
        "tile/0/" + "x999/" * 7 + "999",
        "tile/0/" + "x999/" * 100_000 + "999",
        "tile/0/\ud800",
    ],
    ids=lambda path: repr(path[:40]),
)
def test_paths_refused(path):
    with pytest.raises(MalformedTilePathError):
        tiles.parse_tile_path(path)


SIZES = [0, 1, 2, 255, 256, 257, 511, 512, 700, 65_535, 65_536, 65_537, 66_100]


def naive(size):
    """All tiles of a tree: partial width = floor(size / 256**level) mod 256, no empty ones."""
    found = set()
    for level in (None, *range(64)):
        count = size // 256 ** (level or 0)
        found |= {Tile(level, number) for number in range(count // 256)}
        if count % 256:
            found.add(Tile(level, count // 256, count % 256))
    return found


@pytest.mark.parametrize("size", SIZES)
def test_tiles_of(size):
    listed = list(tiles.tiles_of(0, size))
    assert set(listed) == naive(size)
    assert len(listed) == len(set(listed))
    levels = [-1 if tile.level is None else tile.level for tile in listed]
    assert levels == sorted(levels), "entry bundles first, then level by level"


@pytest.mark.parametrize("old", SIZES)
@pytest.mark.parametrize("size", SIZES)
def test_new_tiles(old, size):
    if old <= size:
        assert set(tiles.tiles_of(old, size)) == naive(size) - naive(old)


def test_entry_bundle():
    entries = [b"one", b"", b"x" * 65_535]
    data = tiles.format_entry_bundle(entries)
    assert data[:5] == b"\x00\x03one"
    assert data[5:7] == b"\x00\x00"
    assert data[7:9] == b"\xff\xff"
    assert tiles.parse_entry_bundle(data, 3) == entries
    assert tiles.parse_entry_bundle(b"", 0) == []
    with pytest.raises(TooLargeError) as caught:
        tiles.format_entry_bundle([b"x" * 65_536])
    assert caught.value.limit == 65_535


@pytest.mark.parametrize(
    ("data", "width"),
    [
        (b"", 1),
        (b"\x00", 1),
        (b"\x00\x01", 1),
        (b"\x00\x03on", 1),
        (b"\x00\x03one", 0),
        (b"\x00\x03one", 2),
        (b"\x00\x03one\x00", 1),
        (b"\x00\x03one\x00", 2),
        (b"\x00\x03one\x00\x00", 1),
        (b"\xff\xff", 1),
    ],
)
def test_entry_bundle_refused(data, width):
    with pytest.raises(MalformedError):
        tiles.parse_entry_bundle(data, width)


def test_hash_tile():
    data = bytes(range(96))
    assert tiles.parse_hash_tile(data, 3) == [data[:32], data[32:64], data[64:]]
    assert tiles.parse_hash_tile(b"", 0) == []
    for wrong in (data[:-1], data + b"x", b""):
        with pytest.raises(MalformedError):
            tiles.parse_hash_tile(wrong, 3)
    for width in (0, 2, 4, 256):
        with pytest.raises(MalformedError):
            tiles.parse_hash_tile(data, width)
