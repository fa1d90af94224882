"""Measure where joiners beside a virama show, by shaping, and write tools/unicode/joiners.txt.

    python tools/joiner_table.py FONTS

FONTS is a folder with the font files that the written file names, of the Debian packages fonts-noto-core, fonts-noto-extra,
fonts-lohit-*, fonts-smc-*, fonts-lklug-sinhala, fonts-sil-annapurna, fonts-yrsa-rasa, fonts-gargi, fonts-nakula and
fonts-navilu. Needs the Python package uharfbuzz; the written file is committed.

For each consonant and each letter of its script behind it, five spellings are shaped in every font that has both letters: virama,
virama U+200C, virama U+200D, U+200D virama, U+200C virama. Two spellings are one if they give the same glyphs in the same places
in every font. Each is represented by the first one, in this order, that is one with it. The same is done at the end of a word.
"""

from __future__ import annotations

import hashlib
import sys
from itertools import groupby
from pathlib import Path

import uharfbuzz as hb

sys.path.insert(0, str(Path(__file__).resolve().parent))
import canon_tables

OUT = canon_tables.DATA / "joiners.txt"
SCRIPTS = {
    "Devanagari": 0x94D,
    "Bengali": 0x9CD,
    "Gurmukhi": 0xA4D,
    "Gujarati": 0xACD,
    "Oriya": 0xB4D,
    "Tamil": 0xBCD,
    "Telugu": 0xC4D,
    "Kannada": 0xCCD,
    "Malayalam": 0xD4D,
    "Sinhala": 0xDCA,
}
ZWNJ, ZWJ = "\u200c", "\u200d"

HEADER = """\
# Where joiners beside a virama show. Written by tools/joiner_table.py with HarfBuzz {version}; do not edit.
# Section: script and virama; then the consonants before it, the letters behind it, and for each consonant one row of patterns,
# one letter for each letter behind it and a last one for the end of a word; a run of a letter is written with its length.
# A pattern says of the spellings virama, virama U+200C, virama U+200D, U+200D virama, U+200C virama which one stands for it.
"""


def spellings(virama: str) -> list[str]:
    return [virama, virama + ZWNJ, virama + ZWJ, ZWJ + virama, ZWNJ + virama]


class Font:
    def __init__(self, path: Path) -> None:
        self.path = path
        data = path.read_bytes()
        self.digest = hashlib.sha256(data).hexdigest()
        self.font = hb.Font(hb.Face(data))
        self.covered = set(self.font.face.unicodes)

    def shape(self, text: str) -> tuple[tuple[int, ...], ...]:
        buffer = hb.Buffer()
        buffer.add_str(text)
        buffer.guess_segment_properties()
        buffer.flags = hb.BufferFlags.REMOVE_DEFAULT_IGNORABLES
        hb.shape(self.font, buffer)
        found = []
        x = 0
        for info, position in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
            found.append((info.codepoint, x + position.x_offset, position.y_offset))
            x += position.x_advance
        return (*found, (x,))


def pattern(fonts: list[Font], first: str, virama: str, second: str) -> tuple[int, ...] | None:
    """For each spelling the one that stands for it; nothing if no font has the letters."""
    drawn = [
        [font.shape(first + spelling + second) for spelling in spellings(virama)]
        for font in fonts
        if {ord(char) for char in first + virama + second} <= font.covered
    ]
    if not drawn:
        return None
    return tuple(next(a for a in range(5) if all(row[a] == row[b] for row in drawn)) for b in range(5))


def runs(text: str) -> str:
    return "".join(char + (str(length) if length > 1 else "") for char, length in ((c, len(list(g))) for c, g in groupby(text)))


def main() -> int:
    fonts = [Font(path) for path in sorted(Path(sys.argv[1]).rglob("*.[to]tf"))]
    data = canon_tables.parse_dump(canon_tables.DUMP.read_text("utf-8"))
    properties = canon_tables.parse_dump(canon_tables.PROPERTIES.read_text("utf-8"))
    points = canon_tables.points_of
    letters = {point for row in data["category"] if row[1].startswith("L") for point in points(row[0])}
    consonants = {point for row in properties["indic"] if row[1] == "Consonant" for point in points(row[0])}
    patterns: dict[tuple[int, ...], str] = {}
    body: list[str] = []
    used: set[str] = set()
    for script, virama in SCRIPTS.items():
        of_script = {point for row in properties["script"] if row[1] == script for point in points(row[0])}
        with_script = [font for font in fonts if virama in font.covered and len(font.covered & of_script) > 30]
        firsts, seconds = sorted(of_script & consonants), sorted(of_script & letters)
        rows = []
        for first in firsts:
            row = ""
            for second in (*map(chr, seconds), ""):
                found = pattern(with_script, chr(first), chr(virama), second)
                row += "." if found is None else patterns.setdefault(found, chr(ord("a") + len(patterns)))
            rows.append(f"{first:04X} {runs(row)}")
        used.update(f"{font.path.name} {font.digest}" for font in with_script)
        body += [f"@{script} {virama:04X}", " ".join(f"{point:04X}" for point in seconds), *rows]
        print(script, len(with_script), len(firsts), len(seconds), file=sys.stderr)
    if len(patterns) > 26:
        raise SystemExit(f"{len(patterns)} patterns")
    lines = [HEADER.format(version=hb.version_string()).rstrip("\n")]
    lines += ["# Fonts, with the SHA-256 of each file:", *(f"#   {name}" for name in sorted(used))]
    lines += ["@patterns", *(f"{letter} {''.join(map(str, found))}" for found, letter in patterns.items())]
    OUT.write_text("\n".join((*lines, *body)) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
