"""NFC from our own tables is NFC of Unicode 18.0.0, and the tables are what the generator gives (canonical.md section 3).

Oracles: unicodedata2 18.0.0 on every code point, on every pair that may compose and on NormalizationTest 15.0.0.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path

import pytest
import unicodedata2

from apostille.core.canon import alphabet as a
from apostille.core.canon import canonicalize, profile_id, sequences
from apostille.core.canon import normalize as n
from apostille.core.canon import properties as p
from apostille.core.canon.passes import FLAGS
from apostille.core.canon.tables import digest

ROOT = Path(__file__).parents[4]
UNICODE = ROOT.parent / "shared" / "unicode"
SURROGATES = range(0xD800, 0xE000)


def _oracle(text):
    return unicodedata2.normalize("NFC", text)


def _nfc(text):
    return "".join(map(chr, n.nfc(list(map(ord, text)))))


def _compare(texts):
    wrong = [(ascii(text), ascii(_nfc(text))) for text in texts if _nfc(text) != _oracle(text)]
    assert not wrong, wrong[:5]


def test_the_oracle_has_our_version():
    assert unicodedata2.unidata_version == digest.UCD_VERSION == "18.0.0"


def test_every_code_point_alone_and_decomposed():
    for point in range(0x110000):
        char = chr(point)
        decomposed = char if point in SURROGATES else unicodedata2.normalize("NFD", char)
        # A character that no table names composes to itself by construction; the others are compared.
        if decomposed != char or a.KINDS[point] in (a.MARK, a.COMPOSES, a.SINGLETON):
            _compare([char, decomposed])
        else:
            assert _oracle(char) == char


def test_every_mark_behind_every_kind_of_base():
    """What may compose backwards, directly behind each character that may take it, and behind one more mark."""
    bases = sorted(point for point in n.TAKES_MORE if not 0xAC00 <= point < 0xD7A4)
    after = sorted(n.MAY_COMPOSE)
    _compare(chr(x) + chr(y) for x in bases[::3] for y in after[::2])
    _compare(chr(x) + "\u0316" + chr(y) + "\u0334" for x in bases[::40] for y in after[::3])
    _compare(chr(x) + chr(y) for x in range(0xAC00, 0xD7A4, 97) for y in after)
    _compare(chr(x) + chr(y) + chr(z) for x in (0x1100, 0x1112, 0x1113) for y in (0x1161, 0x1176) for z in range(0x11A6, 0x11C4))


def test_the_quick_look_calls_clean_only_what_is_nfc():
    marks = [chr(point) for point in range(0x110000) if a.KINDS[point] in (a.MARK, a.COMPOSES)][::7]
    for base in ("a", "é", "क", "\u09c7", "\U00011099", "ễ", "\U0001f600"):
        for index, mark in enumerate(marks):
            text = base + mark + marks[(index * 31) % len(marks)] + "x"
            if a.is_clean(text):
                assert {finding.code for finding in canonicalize(text).findings} <= {"MARK_DUP"}  # reported, and stays
                assert _oracle(text) == text
            else:
                assert 0 <= a.find_trouble(text) < len(text)


def test_the_engine_composes_like_the_function():
    """Marks in any order on letters of several scripts, long ones too; nothing else in these texts has a rule."""
    marks = "\u0301\u0323\u0308\u0316\u0338\u0327"
    for number in range(3_000):
        text = "e" + "".join(marks[(number // 6**place) % 6] for place in range(number % 6)) + "ạ\u1100\u1161"
        assert canonicalize(text).bytes.decode() == _oracle(text)


def test_normalization_test_15():
    path = UNICODE / "ucd-15.0.0" / "NormalizationTest.txt"
    if not path.exists():
        pytest.skip("needs the shared Unicode data")
    count = 0
    for line in path.read_text("utf-8").split("\n"):
        if line and not line.startswith(("#", "@")):
            c1, c2, c3, c4, c5 = ("".join(chr(int(word, 16)) for word in field.split(" ")) for field in line.split(";")[:5])
            assert _nfc(c1) == _nfc(c2) == _nfc(c3) == c2
            assert _nfc(c4) == _nfc(c5) == c4
            count += 1
    assert count > 19_000


def test_what_the_passes_rely_on():
    """Facts of the data that comments and bounds in the code state."""
    inner = {point: sum(part in n.MARKS for part in n.decompose(point)) for point in n.DECOMPOSITIONS}
    assert max(inner.values()) == 3
    assert max(len(n.decompose(point)) for point in n.MARKS) == 3
    assert not n.NEVER_COMPOSED & {0x0A, 0x1F3F4}
    assert n.COMBINING.keys() <= n.MARKS
    assert a.SELECTORS <= n.MARKS
    # What is decided about before a text is composed is the same afterwards.
    invisible = a.CONTEXTUAL | a.BIDI_CONTROLS
    assert not invisible & (n.COMBINING.keys() | n.MAY_COMPOSE | n.NEVER_COMPOSED | n.TAKES_MORE)
    for point in n.DECOMPOSITIONS:
        first = n.decompose(point)[0]
        if p.is_letter(point):
            assert p.joining(point) == p.joining(first)
        if p.is_letter(point) and p.is_letter(first):
            assert p.script(point) == p.script(first)
    # A base that takes marks of its script still does when it is composed.
    assert not [point for point in p.EXPLICIT_MARKS if p.script(point) in ("Common", "Inherited")]
    # Chillus, emoji and their places in a unit.
    assert not {0x0D23, 0x0D28, 0x0D30, 0x0D32, 0x0D33} & (n.TAKES_MORE | n.MAY_COMPOSE)
    joined = {ord(char) for form in sequences._emoji()[1] for char in form}
    assert not joined & (n.MAY_COMPOSE | n.NEVER_COMPOSED)


def test_no_kind_is_forgotten():
    """Each code point that some rule names is one that the engine looks at."""
    named = a.CONTEXTUAL | a.BIDI_CONTROLS | a.DROPPED | a.TAGS | a.CONTROLS | a.LINE_ENDS | a.NONCHARACTERS | p.IGNORABLE
    assert not [hex(point) for point in named if a.KINDS[point] in (a.PLAIN, a.SPACE, a.MARK, a.COMPOSES)]
    assert not [point for point in named if a.is_clean("x" + chr(point) + "x")]
    assert not [point for first, last in p.unassigned_ranges() for point in (first, last) if a.KINDS[point] == a.PLAIN]


def test_the_flags_are_those_of_the_emoji_data(generator):
    rows = generator.parse_dump(generator.PROPERTIES.read_text("utf-8"))["RGI_Emoji_Tag_Sequence"]
    assert {tuple(int(word, 16) for word in row) for row in rows} == {(0x1F3F4, *flag) for flag in FLAGS}


def test_properties_of_18_are_those_of_15_for_its_characters():
    """Another source: the data files of 15.0, for scripts, joining types, bidi classes and ignorables of old characters."""
    folder = UNICODE / "ucd-15.0.0"
    if not folder.exists():
        pytest.skip("needs the shared Unicode data")
    rows = [line.partition("#")[0].split(";") for line in (folder / "DerivedJoiningType.txt").read_text("utf-8").split("\n")]
    different = []
    for words in rows:
        if len(words) == 2:
            first, _, last = words[0].strip().partition("..")
            for point in range(int(first, 16), int(last or first, 16) + 1):
                if p.joining(point) != words[1].strip():
                    different.append(hex(point))
    assert len(different) <= 10, different
    rows = [line.partition("#")[0].split(";") for line in (folder / "Scripts.txt").read_text("utf-8").split("\n")]
    different = []
    for words in rows:
        if len(words) == 2:
            first, _, last = words[0].strip().partition("..")
            for point in range(int(first, 16), int(last or first, 16) + 1):
                if p.script(point) != words[1].strip():
                    different.append(hex(point))
    assert len(different) <= 30, different


def test_the_lists_of_sequences():
    path = UNICODE / "ivd" / "IVD_Sequences.txt"
    assert sequences.is_ideographic_variant(0x845B, 0xE0100)
    assert not sequences.is_ideographic_variant(0x845B, 0xE01EF)
    assert not sequences.is_ideographic_variant(ord("a"), 0xE0100)
    if not path.exists():
        pytest.skip("needs the shared Unicode data")
    listed = {
        tuple(int(word, 16) for word in line.split(";")[0].split())
        for line in path.read_text("utf-8").split("\n")
        if line and not line.startswith("#")
    }
    assert all(sequences.is_ideographic_variant(*pair) for pair in listed)
    assert sum(sequences.ideographic_count(base) for base in {base for base, _ in listed}) == len(listed)


# The generated tables.


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("canon_tables", ROOT / "tools" / "canon_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_regenerating_gives_the_committed_modules(generator):
    rendered = generator.render()
    assert {path.stem for path in generator.TABLES.glob("*.py")} == {"__init__", *rendered}
    for name, text in rendered.items():
        assert (generator.TABLES / f"{name}.py").read_bytes() == text.encode(), name


def test_the_dump_is_what_unicodedata2_says(generator):
    assert generator.dump().encode() == generator.DUMP.read_bytes()


def test_the_profile_id_names_the_tables(generator):
    text = json.dumps(generator.tables(), sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == digest.SHA256
    assert profile_id() == profile_id("safe") == f"apostille-safe/1 ucd=18.0.0 tables={digest.SHA256}"
    assert profile_id("report") == f"apostille-report/1 ucd=18.0.0 tables={digest.SHA256}"


def test_a_changed_table_changes_the_digest(generator, monkeypatch):
    changed = generator.tables()
    changed["sequences"]["EMOJI_JOINED"] += " 1f600+200d+1f601"
    monkeypatch.setattr(generator, "tables", lambda: changed)
    assert digest.SHA256 not in generator.render()["digest"]


def test_the_licence_is_beside_both(generator):
    assert (generator.TABLES / "LICENSE-UNICODE.txt").read_bytes() == (generator.DUMP.parent / "LICENSE-UNICODE.txt").read_bytes()
