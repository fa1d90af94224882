"""NFC from our own tables is NFC of Unicode 18.0.0, and the tables are what the generator gives (canonical.md section 3).

Oracles: unicodedata2 18.0.0 on every code point, on every pair that may compose and on NormalizationTest 15.0.0.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from pathlib import Path

import pytest
import unicodedata2

from apostille.core.canon import canonicalize, profile_id
from apostille.core.canon import normalize as n
from apostille.core.canon.alphabet import ATTENTION, BEFORE_COMPOSER, SELECTORS, _plain_runs, find_trouble, is_clean
from apostille.core.canon.sequences import FLAGS
from apostille.core.canon.tables import ucd

ROOT = Path(__file__).parents[4]
UNICODE = ROOT.parent / "shared" / "unicode"
SURROGATES = range(0xD800, 0xE000)


def _nfc(text):
    return unicodedata2.normalize("NFC", text)


def _compare(lines):
    """Canonicalize many lines at once and compare each with the oracle."""
    found = canonicalize("\n".join(lines)).bytes.decode().split("\n")
    wrong = [(ascii(line), ascii(got)) for line, got in zip(lines, found, strict=True) if got != _nfc(line)]
    assert not wrong, wrong[:5]


def test_the_oracle_has_our_version():
    assert unicodedata2.unidata_version == ucd.UCD_VERSION == "18.0.0"


def test_every_code_point_alone_and_decomposed():
    other_rules = BEFORE_COMPOSER - SELECTORS
    points = [p for p in range(0x110000) if p not in SURROGATES and p not in other_rules]
    lines = []
    for point in points:
        char = chr(point)
        decomposed = unicodedata2.normalize("NFD", char)
        # Plain characters without a decomposition go in together; each other one alone and decomposed.
        if char in ATTENTION or decomposed != char:
            lines += [char, decomposed] if decomposed != char else [char]
    _compare(lines)
    special = set(map(ord, "".join(lines)))
    rest = "".join(chr(point) for point in points if point not in special)
    assert canonicalize(rest).bytes.decode() == rest == _nfc(rest)


def test_every_mark_behind_every_kind_of_base():
    """What may compose backwards, directly behind each character that may take it, and behind one more mark."""
    bases = sorted(point for point in n.TAKES_MORE if not 0xAC00 <= point < 0xD7A4)
    after = sorted(n.MAY_COMPOSE)
    lines = [chr(a) + chr(b) for a in bases[::3] for b in after[::2]]
    lines += [chr(a) + "\u0316" + chr(b) + "\u0334" for a in bases[::40] for b in after[::3]]
    lines += [chr(a) + chr(b) for a in range(0xAC00, 0xD7A4, 97) for b in after]
    lines += [chr(a) + chr(b) + chr(c) for a in (0x1100, 0x1112, 0x1113) for b in (0x1161, 0x1176) for c in range(0x11A6, 0x11C4)]
    _compare(lines)


def test_the_quick_look_calls_clean_only_what_is_nfc():
    marks = sorted(char for char in ATTENTION if ord(char) not in SURROGATES)[::7]
    for base in ("a", "é", "क", "\u09c7", "\U00011099", "ễ", "\U0001f600"):
        for index, mark in enumerate(marks):
            text = base + mark + marks[(index * 31) % len(marks)] + "x"
            if is_clean(text):
                assert canonicalize(text).findings == ()
                assert _nfc(text) == text
            else:
                assert 0 <= find_trouble(text) < len(text)


def test_normalization_test_15():
    path = UNICODE / "ucd-15.0.0" / "NormalizationTest.txt"
    if not path.exists():
        pytest.skip("needs the shared Unicode data")
    columns = [[], [], [], [], []]
    for line in path.read_text("utf-8").split("\n"):
        if line and not line.startswith(("#", "@")):
            for column, field in zip(columns, line.split(";"), strict=False):
                column.append("".join(chr(int(word, 16)) for word in field.split(" ")))
    assert len(columns[0]) > 19_000
    # c2 == toNFC(c1) == toNFC(c2) == toNFC(c3); c4 == toNFC(c4) == toNFC(c5)
    for source, expected in ((0, 1), (1, 1), (2, 1), (3, 3), (4, 3)):
        found = canonicalize("\x1f\n".join(columns[source])).bytes.decode().split("\n")
        assert found == columns[expected]


def test_what_the_passes_rely_on():
    """Facts of the data that comments and bounds in the code state."""
    inner = {p: sum(part in n.MARKS for part in n.decompose(p)) for p in n.DECOMPOSITIONS}
    assert max(inner.values()) == 3
    assert max(len(n.decompose(p)) for p in n.MARKS) == 3
    assert not n.NEVER_COMPOSED & {0x0A, 0x1F3F4}
    assert n.COMBINING.keys() <= n.MARKS
    assert SELECTORS <= n.MARKS
    # The long plain runs hold nothing that a pass has to see.
    assert not [char for char in ATTENTION if re.fullmatch(f"[{_plain_runs()}]", char)]


def test_the_flags_are_those_of_the_emoji_data():
    path = UNICODE / "emoji-15.0" / "emoji-sequences.txt"
    if not path.exists():
        pytest.skip("needs the shared Unicode data")
    listed = {
        tuple(int(word, 16) for word in line.split(";")[0].split())
        for line in path.read_text("utf-8").split("\n")
        if "; RGI_Emoji_Tag_Sequence;" in line
    }
    assert listed == {(0x1F3F4, *flag) for flag in FLAGS}


# The generated tables.


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("canon_tables", ROOT / "tools" / "canon_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_regenerating_gives_the_committed_module(generator):
    assert generator.render(generator.DUMP.read_text("utf-8")).encode() == generator.MODULE.read_bytes()


def test_the_dump_is_what_unicodedata2_says(generator):
    assert generator.dump().encode() == generator.DUMP.read_bytes()


def test_the_profile_id_names_the_tables():
    names = ("MARKS", "COMBINING", "DECOMPOSITIONS", "EXCLUDED")
    text = json.dumps({name: getattr(ucd, name) for name in names}, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == ucd.SHA256
    assert profile_id() == profile_id("safe") == f"apostille-safe/0 ucd=18.0.0 tables={ucd.SHA256}"
    assert profile_id("report") == f"apostille-report/0 ucd=18.0.0 tables={ucd.SHA256}"


def test_the_licence_is_beside_both(generator):
    assert (generator.MODULE.parent / "LICENSE-UNICODE.txt").read_bytes() == (
        generator.DUMP.parent / "LICENSE-UNICODE.txt"
    ).read_bytes()
