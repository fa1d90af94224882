"""Findings hold the bytes that invisible characters spell: selectors, tags, C2PA manifests (canonical.md section 6.2)."""

from __future__ import annotations

import hashlib

import pytest

from apostille.core.canon import Canonicalizer, apply_edits, canonicalize
from apostille.core.canon.hidden_bytes import SHOWN_BYTES, Decoded
from apostille.core.canon.units import MAX_INVISIBLE, MAX_ROW

SECRET = b"attack at dawn"


def selectors(data):
    return "".join(chr(0xFE00 + byte) if byte < 16 else chr(0xE0100 + byte - 16) for byte in data)


def tags(data):
    return "".join(chr(0xE0000 + byte) for byte in data)


def manifest(data, *, declared=None):
    length = len(data) if declared is None else declared
    return "\ufeff" + selectors(b"C2PATXT\0\1" + length.to_bytes(4, "big") + data)


def spelt(data):
    return Decoded(len(data), hashlib.sha256(data).hexdigest(), data[:SHOWN_BYTES])


def decoded(text, **how):
    return [(f.code, f.decoded) for f in canonicalize(text, **how).findings if f.code not in ("ENC_BOM", "JSON_FORM")]


def in_pieces(text, size):
    stream = Canonicalizer()
    data = text.encode()
    given = b"".join(stream.feed(data[start : start + size]) for start in range(0, len(data), size)) + stream.flush()
    return given, stream.findings


@pytest.mark.parametrize("data", [SECRET, bytes(range(256)), b"\0" * 40, b"\xff\0", SECRET * 200])
@pytest.mark.parametrize("base", ["x", "\U0001f600", ""])
def test_a_row_of_selectors_is_one_finding_with_its_bytes(base, data):
    text = f"{base}{selectors(data)}."
    found = canonicalize(text)
    assert found.bytes.decode() == f"{base}."
    assert [(f.code, f.count, f.decoded) for f in found.findings] == [("VS_RUN", len(data), spelt(data))]
    assert apply_edits(text.encode(), found.findings) == found.bytes
    for size in (1, 7, 4096):
        assert in_pieces(text, size) == (found.bytes, found.findings)


def test_what_is_listed_stays_and_is_no_part_of_the_bytes():
    text = f"\u2764{selectors(bytes([15]) + SECRET)}"
    assert decoded(text)[0] == ("VS_RUN", spelt(SECRET))
    assert canonicalize(text).bytes.decode() == "\u2764\ufe0f"


@pytest.mark.parametrize("length", [MAX_INVISIBLE, MAX_INVISIBLE + 1, MAX_INVISIBLE + MAX_ROW])
def test_all_of_a_row_is_read(length):
    data = bytes(number % 251 for number in range(length))
    assert decoded("x" + selectors(data) + "y") == [("VS_RUN", spelt(data))]


def test_a_row_is_read_up_to_a_bound():
    """What is held is bounded: the rest goes as it comes, and spells nothing."""
    bound = MAX_INVISIBLE + MAX_ROW
    data = bytes(16 + number % 200 for number in range(bound + 500))
    text = "x" + selectors(data) + "y"
    found = canonicalize(text)
    assert [(f.code, f.count, f.decoded) for f in found.findings] == [
        ("VS_RUN", bound, spelt(data[:bound])),
        ("IVS_DROP", 500, None),
    ]
    assert found.bytes == b"xy"
    assert apply_edits(text.encode(), found.findings) == found.bytes
    assert in_pieces(text, 1_001) == (found.bytes, found.findings)


def test_other_invisible_characters_do_not_reach_the_row():
    """Sixteen bidi controls fill a place; a mark takes them away, and a selector comes behind."""
    for text in ("\u2066" * 16 + "\u034f\ufe01\ufe02", "\u202a" * 17 + "\ufe01" * 20, "\u0627" + "\u200f" * 16 + "\u034f" * 3 + "\ufe01\ufe02"):
        found = canonicalize(text)
        assert apply_edits(text.encode(), found.findings) == found.bytes
        assert canonicalize(found.bytes).bytes == found.bytes


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (tags(SECRET), SECRET),
        ("\U000e0001" + tags(b"en") + "\U000e007f", b"en"),
        ("\U0001f3f4" + tags(b"ustx") + "\U000e007f", b"ustx"),
    ],
)
def test_tags_are_ascii(text, data):
    assert decoded(f"a{text}")[-1] == ("TAG_DROP", spelt(data))


def test_a_tag_that_is_no_letter_spells_nothing():
    assert decoded("a\U000e0001") == [("TAG_DROP", None)]


@pytest.mark.parametrize("data", [b"", b"jumb", SECRET, bytes(range(256)) * 300])
def test_a_manifest_gives_its_length_and_digest(data):
    text = f"a{manifest(data)}b"
    found = canonicalize(text)
    assert found.bytes == b"ab"
    assert [(f.code, f.act, f.decoded) for f in found.findings] == [("C2PA_TEXT", "drop", spelt(data))]
    assert found.findings[0].count == 14 + len(data)
    assert in_pieces(text, 5) == (found.bytes, found.findings)


def test_a_manifest_that_breaks_off_gives_what_is_there():
    assert decoded(f"a{manifest(SECRET, declared=1_000)}b") == [("C2PA_TEXT", spelt(SECRET))]


@pytest.mark.parametrize("media_type", ["text/plain", "text/markdown", "text/html"])
def test_two_manifests_are_two_findings(media_type):
    text = f"a{manifest(b'one')}{manifest(b'second')}b"
    assert decoded(text, media_type=media_type) == [("C2PA_TEXT", spelt(b"one")), ("C2PA_TEXT", spelt(b"second"))]


def test_what_stands_behind_a_manifest_is_a_row_of_its_own():
    assert decoded(f"a{manifest(b'one')}{selectors(SECRET)}") == [("C2PA_TEXT", spelt(b"one")), ("VS_RUN", spelt(SECRET))]


def test_in_json_and_in_code():
    assert decoded(f'{{"a":"x{selectors(SECRET)}"}}', media_type="application/json") == [("VS_RUN", spelt(SECRET))]
    (seen, _) = decoded(f"x = '{tags(SECRET)}'", media_type="text/x-code")
    assert seen == ("TAG_DROP", spelt(SECRET))


def test_the_json_form_is_bounded():
    (finding,) = canonicalize("x" + selectors(SECRET * 100)).findings
    value = finding.as_json()["decoded"]
    assert value == {"hex": (SECRET * 100)[:64].hex(), "len": 1_400, "sha256": hashlib.sha256(SECRET * 100).hexdigest()}
