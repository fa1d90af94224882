"""What a text looks like, by other people's programs: glyphs and places by HarfBuzz, order by the Rust crate unicode-bidi.

Two texts draw the same if every run of one script gives the same glyphs in the same places, in each font that covers it, once
glyphs without ink or width are left out; and if their visible characters come in the same order.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import uharfbuzz as hb
from bidi import get_display

# Default_Ignorable_Code_Point as the Unicode standard lists it: a copy of our own tables would agree with them whatever they say.
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    "\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
# What stands from right to left, or may turn the order: nothing else can come in another order.
TURNS = re.compile("[\u0590-\u08ff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
_FONTS_A_RUN = 4
_COMMON = {"Zyyy", "Zinh", "Zzzz", None}

Glyphs = tuple[tuple[int, ...], ...]


class _Pen:
    """Notes down how an outline is drawn."""

    def __init__(self) -> None:
        self.strokes: list[object] = []

    def __getattr__(self, name: str) -> object:
        return lambda *points: self.strokes.append((name, points))


class Font:
    """One face of one file."""

    def __init__(self, path: Path, index: int = 0) -> None:
        self.name = path.stem
        face = hb.Face(hb.Blob.from_file_path(str(path)), index)
        self.font = hb.Font(face)
        self.covered = frozenset(face.unicodes)
        self._empty: dict[int, bool] = {}
        self._outlines: dict[int, int] = {}
        self._first: dict[str, int] = {}

    def covers(self, text: str) -> bool:
        """Tell that there is a glyph for all that is visible, composed or in parts."""
        for char in set(INVISIBLE.sub("", text)):
            parts = unicodedata.normalize("NFD", char)
            if ord(char) not in self.covered and (parts == char or not self.covered >= set(map(ord, parts))):
                return False
        return True

    def shape(self, text: str) -> Glyphs:
        """Give glyphs with ink or width, each with its place, and the width of all."""
        buffer = hb.Buffer()
        buffer.add_str(text)
        buffer.guess_segment_properties()
        buffer.flags = hb.BufferFlags.REMOVE_DEFAULT_IGNORABLES
        hb.shape(self.font, buffer)
        found = []
        x = 0
        for info, position in zip(buffer.glyph_infos or (), buffer.glyph_positions or (), strict=True):
            if position.x_advance or not self._is_empty(info.codepoint):
                found.append((self._outline(info.codepoint), x + position.x_offset, position.y_offset))
            x += position.x_advance
        return (*found, (x,))

    def _outline(self, glyph: int) -> int:
        """Give the first glyph that was seen with the same outline: fonts hold some glyphs twice."""
        if glyph not in self._outlines:
            pen = _Pen()
            self.font.draw_glyph_with_pen(glyph, pen)
            self._outlines[glyph] = self._first.setdefault(repr(pen.strokes), glyph)
        return self._outlines[glyph]

    def _is_empty(self, glyph: int) -> bool:
        if glyph not in self._empty:
            extents = self.font.get_glyph_extents(glyph)
            self._empty[glyph] = extents is None or (extents.width == 0 and extents.height == 0)
        return self._empty[glyph]


class Fonts:
    """The reference fonts: of a family the regular weight of the sans and the serif, and fonts of independent makers."""

    def __init__(self, folder: Path) -> None:
        self.fonts = [Font(path) for path in sorted(folder.rglob("*.[to]t[fc]")) if "Emoji" not in path.name]
        # What a run needs is looked up again and again.
        self._of = lru_cache(maxsize=4096)(self._find)

    def _find(self, needed: frozenset[str]) -> tuple[Font, ...]:
        text = "".join(needed)
        found = [font for font in self.fonts if font.covers(text)]
        # Independent makers first.
        found.sort(key=lambda font: font.name.startswith("Noto"))
        return tuple(found[:_FONTS_A_RUN])

    def covering(self, text: str) -> tuple[Font, ...]:
        """Give up to four fonts with all that is visible in a text."""
        return self._of(frozenset(INVISIBLE.sub("", text)))


@lru_cache(maxsize=65536)
def _script(char: str) -> str | None:
    buffer = hb.Buffer()
    buffer.add_str(char)
    buffer.guess_segment_properties()
    return buffer.script


def runs(text: str) -> Iterator[str]:
    """Cut a text where its script changes; what belongs to no script stays with what is before it."""
    start = 0
    script: str | None = None
    for index, char in enumerate(text):
        found = _script(char)
        if found in _COMMON or INVISIBLE.match(char):
            continue
        if script is not None and found != script:
            yield text[start:index]
            start = index
        script = found
    if start < len(text):
        yield text[start:]


def visible_order(text: str, base: str | None) -> str:
    """Give the visible characters from left to right; ``base`` is ``"L"``, or nothing for the direction of the first letter."""
    return INVISIBLE.sub("", get_display(text, base_dir=base) if base else get_display(text))
