"""Clean ordinary text of many languages and look at every change: does anything that was seen look different?

    python -m tests.harm.sweep FOLDER [CORPUS ..] [--json]

FOLDER is what tools/harm-setup.sh has made; run it with the Python of its environment. Lines that the canonicalizer does not
change cannot look different. A line that it changes is shaped before and after (``shaping``), unless one of its findings is an
intended repair of something that is seen or a command to a terminal (``INTENDED``): those are counted.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from apostille.core.canon import canonicalize
from tests.harm import corpora
from tests.harm.shaping import INVISIBLE, TURNS, Fonts, runs, visible_order

# What these name is taken away on purpose where it shows: commands to a terminal, and overrides that turn letters around.
INTENDED = frozenset({"CTRL", "ANSI_SEQ", "ANSI_OPEN", "OVERSTRIKE", "BIDI_OVERRIDE", "BIDI_REORDER"})


_TAIL = re.compile(rf"(?:{INVISIBLE.pattern}|\s)+$")


@dataclass
class Report:
    """What was seen in one corpus.

    Attributes:
        lines: Different lines, white space at both ends left aside.
        places: Languages or files that they come from.
        changed: Lines that the canonicalizer changes.
        shaped: Changed lines that were shaped before and after, whole.
        pairs: Pairs of different runs that were shaped, each in up to four fonts.
        uncovered: Runs that no font covers, by place.
        changes: Changed lines by finding.
        repairs: Lines that were not compared, by the intended repair.
        glyphs: Lines that look different: place, codes, before, after, font.
        order: Lines whose visible characters come in another order: place, codes, before, after, base direction.
    """

    lines: int = 0
    places: int = 0
    changed: int = 0
    shaped: int = 0
    pairs: int = 0
    uncovered: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    repairs: Counter[str] = field(default_factory=Counter)
    glyphs: list[tuple[str, ...]] = field(default_factory=list)
    order: list[tuple[str, ...]] = field(default_factory=list)


def singletons(text: str) -> str:
    """Replace characters that are another single character by definition: a font may draw the two differently all the same."""
    parts = {char: unicodedata.decomposition(char) for char in set(text)}
    return "".join(char if "<" in parts[char] or len(parts[char].split()) != 1 else chr(int(parts[char], 16)) for char in text)


def in_parts(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def direction_alone(text: str) -> str:
    """Name why a mark that only said which way a whole line runs does not stay, or give nothing.

    A line is judged as it is drawn on its own. These are pieces that a program puts together (``{0}: {1}``), or a mark that says
    what the first letter says anyway: it shows only where the line is forced to run from left to right.
    """
    if not any(unicodedata.bidirectional(char) in ("R", "AL") for char in INVISIBLE.sub("", text)):
        return "no letter from right to left"
    return "opening mark" if INVISIBLE.match(text) else ""


class Sweep:
    """Holds the fonts, and what was found out about each pair of runs."""

    def __init__(self, fonts: Fonts) -> None:
        self.fonts = fonts
        self.known: dict[tuple[str, str], tuple[str, ...]] = {}

    def difference(self, before: str, after: str, report: Report, place: str) -> tuple[str, ...]:
        """Give the first two runs that look different and the font in which they do, or nothing."""
        first, second = list(runs(before)), list(runs(after))
        if len(first) != len(second):
            return (before, after, "cut into other runs")
        for pair in zip(first, second, strict=True):
            if pair[0] != pair[1]:
                if pair not in self.known:
                    self.known[pair] = self._shape(*pair, report, place)
                if self.known[pair]:
                    return self.known[pair]
        return ()

    def _shape(self, before: str, after: str, report: Report, place: str) -> tuple[str, ...]:
        words = before.split(" "), after.split(" ")
        if len(words[0]) == len(words[1]) > 1:
            found = (self._shape(*pair, report, place) for pair in zip(*words, strict=True) if pair[0] != pair[1])
            return next((font for font in found if font), ())
        fonts = self.fonts.covering(before + after)
        if not fonts:
            report.uncovered[place] += 1
        report.pairs += 1
        names = " ".join(font.name for font in fonts if font.shape(before) != font.shape(after))
        if names and all(font.shape(singletons(before)) == font.shape(after) for font in fonts):
            report.repairs["singleton"] += 1
            return ()
        return (before, after, names) if names else ()

    def run(self, lines: object) -> Report:
        report = Report()
        seen: set[str] = set()
        places: set[str] = set()
        for place, line in lines:
            text = line.strip(" \t\r\n")
            places.add(place)
            if text in seen:
                continue
            seen.add(text)
            report.lines += 1
            if not text.isascii() or not text.isprintable():
                self._look(place, text, report)
        report.places = len(places)
        return report

    def _look(self, place: str, before: str, report: Report) -> None:
        cleaned = canonicalize(before)
        after = cleaned.bytes.decode()
        if after == before:
            return
        codes = {finding.code for finding in cleaned.findings if finding.act in ("drop", "replace")}
        report.changed += 1
        report.changes.update(codes)
        if codes & INTENDED:
            report.repairs.update(codes & INTENDED)
            return
        report.shaped += 1
        words = " ".join(sorted(codes))
        if not INVISIBLE.sub("", before).strip():
            return
        if "WS_TAIL" in codes or "WS_END" in codes:
            # Behind the last visible character nothing is seen.
            before = _TAIL.sub("", before)
        found = self.difference(before, after, report, place)
        if found:
            report.glyphs.append((place, words, *map(ascii, found)))
        if TURNS.search(before):
            for base in (None, "L"):
                # Both in parts: the program for the order does not keep marks behind their letters.
                if visible_order(in_parts(before), base) != visible_order(in_parts(after), base):
                    known = direction_alone(before)
                    if known:
                        report.repairs[known] += 1
                        break
                    report.order.append((place, words, ascii(before), ascii(after), base or "auto"))
                    break


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("corpus", nargs="*", choices=[[], *corpora.CORPORA])
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    fonts = Fonts(options.folder / "deb/usr/share/fonts")
    sweep = Sweep(fonts)
    reports = {}
    for name in options.corpus or corpora.CORPORA:
        report = reports[name] = sweep.run(corpora.CORPORA[name](options.folder))
        if not options.json:
            print(
                f"{name}: {report.lines:,} lines in {report.places} languages; {report.changed:,} changed, {report.shaped:,} of them"
                f" shaped ({report.pairs:,} pairs of runs), {sum(report.uncovered.values())} runs without a font;"
                f" {len(report.glyphs)} look different, {len(report.order)} in another order"
            )
            print("  changes:", dict(report.changes.most_common()), " repairs:", dict(report.repairs), " no font:", dict(report.uncovered))
            for row in (*report.glyphs[:400], *report.order[:100]):
                print("  ", *row, sep=" | ")
    if options.json:
        print(json.dumps({name: vars(report) for name, report in reports.items()}))
    return 1 if any(report.glyphs or report.order for report in reports.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
