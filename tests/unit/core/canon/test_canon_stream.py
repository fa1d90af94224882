"""Piece by piece is the whole, for every cut; little is held back; the work is linear (canonical.md sections 11 and 12)."""

from __future__ import annotations

import sys

import pytest

from apostille.core.canon import Canonicalizer, canonicalize
from apostille.core.canon.json_values import MAX_BYTES
from apostille.errors import CanonicalizationError, ConfigurationError

HOSTILE = [
    "\ufeff\ufeffé\u0301\r\n\r\x00\na\ufe0f\x01\ufe0f",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f🏴\U000e0067\U000e0062\x00",
    "e\U000e0041\u0316\u202e\u0301\u0323\u202c한ᄒ\u1161\u11ab\u11ab",
    "\u202a\u202d\u2066\u202c\u2069\u202c\u202c\u2028\u202e\n\u202c",
    "\U00016d63\U00016d68\U00016d67\u0dd9\u0dcf\u0dca\u09c7\U000e0001\u09be",
    "\ufb2c\u212a\u0f73\u0344\U0001d160\U0002f800\ufdd0\U0010ffff\x85\v",
    "a" + "\u0301\u0344" * 17 + "b\u180b\U000e0100c",
]


def _pieces(data, *cuts, **kinds):
    stream = Canonicalizer(**kinds)
    given, start = b"", 0
    for cut in (*cuts, len(data)):
        given += stream.feed(data[start:cut])
        start = cut
    assert stream.findings == ()
    given += stream.flush()
    return given, stream.findings, stream.profile


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("profile", ["safe", "report"])
def test_every_two_way_split(text, profile):
    data = text.encode()
    whole = canonicalize(data, profile=profile)
    expected = (whole.bytes, whole.findings, whole.profile)
    for cut in range(len(data) + 1):
        assert _pieces(data, cut, profile=profile) == expected, cut


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_byte_by_byte(text):
    data = text.encode()
    whole = canonicalize(data)
    assert _pieces(data, *range(len(data))) == (whole.bytes, whole.findings, whole.profile)


@pytest.mark.parametrize("filler", ["x", "é", "字"])
def test_cuts_inside_the_engine_do_not_show(filler):
    """The engine reads chunks of 64 KiB: put each hostile text across that border."""
    for text in HOSTILE:
        data = text.encode()
        for before in range(0, len(data), 3):
            padding = (filler * 65_536).encode()[: 65_536 - before]
            padding = padding.decode("utf-8", "ignore").encode()
            padding += b"-" * (65_536 - before - len(padding))
            found = canonicalize(padding + data)
            parts = _pieces(padding + data, len(padding) - 1)
            assert (found.bytes, found.findings) == parts[:2]
            assert found.bytes.startswith(padding[:-1])


def test_json_is_held_to_its_end():
    data = b'{"b":"e\\u0301", "a":1.0}'
    whole = canonicalize(data, media_type="application/json")
    for cut in range(len(data) + 1):
        assert _pieces(data, cut, media_type="application/json") == (whole.bytes, whole.findings, whole.profile)
    stream = Canonicalizer(media_type="application/json")
    assert stream.feed(data) == b""


def test_json_over_the_limit():
    big = b'"' + b"x" * MAX_BYTES + b'"'
    for call in (
        lambda: canonicalize(big, media_type="application/json"),
        lambda: _pieces(big, 5, media_type="application/json"),
    ):
        with pytest.raises(CanonicalizationError) as caught:
            call()
        assert [(finding.code, finding.act, finding.position) for finding in caught.value.findings] == [
            ("LIMIT_SIZE", "refuse", MAX_BYTES)
        ]
    whole = canonicalize(big, media_type="application/json", profile="report")
    assert whole.bytes == big
    assert [(finding.code, finding.act) for finding in whole.findings] == [("LIMIT_SIZE", "report")]
    for cuts in ((5, 50), (5, len(big) - 1), (len(big),)):
        assert _pieces(big, *cuts, media_type="application/json", profile="report")[:2] == (whole.bytes, whole.findings)


def test_opaque_bytes_pass_at_once():
    stream = Canonicalizer(media_type="application/octet-stream")
    assert stream.feed(b"\xff\x00") == b"\xff\x00"
    assert (stream.flush(), stream.findings, stream.profile) == (b"", (), "opaque")


def test_all_but_the_last_character_goes_out_at_once():
    stream = Canonicalizer()
    assert stream.feed(b"one\n") == b"one"
    assert stream.feed("twö".encode()) == b"\ntw"
    assert stream.feed(b"\r") == b""
    assert stream.feed(b"\nx") == "ö".encode()
    assert stream.flush() == b"\nx"


def test_after_the_end_nothing_is_taken():
    stream = Canonicalizer()
    stream.flush()
    for call in (stream.flush, lambda: stream.feed(b"")):
        with pytest.raises(RuntimeError):
            call()


def test_the_profile_is_checked_at_once():
    with pytest.raises(ConfigurationError):
        Canonicalizer(profile="stricter")


ENDLESS = [
    ("marks", "\u0301"),
    ("marks of four bytes", "\U0001e944"),
    ("marks that decompose", "\u0344"),
    ("spacing marks that compose", "\u0dd9\u0dcf\u0dca"),
    ("selectors", "\ufe0f"),
    ("tags", "\U000e0041"),
    ("flag starts", "\U0001f3f4\U000e0067\U000e0062"),
    ("overrides", "\u202e"),
    ("embeddings", "\u202a"),
    ("isolates", "\u2066"),
    ("isolate ends", "\u2069"),
    ("returns", "\r"),
    ("controls", "\x00"),
    ("vowels of Hangul", "\u1161"),
    ("syllables and finals", "각\u11a8"),
    ("vowel signs that are letters", "\U00016d67"),
    ("decomposed text", "e\u0323\u0302"),
    ("starts of the file", "\ufeff"),
    ("letters and controls", "a\x00"),
    ("selectors and controls", "\ufe0f\x00"),
    ("plain", "é"),
]


@pytest.mark.parametrize(("why", "unit"), ENDLESS, ids=[why for why, _ in ENDLESS])
def test_little_is_held_back(why, unit):
    stream = Canonicalizer()
    stream.feed((unit * 5_000).encode())
    # One base and 30 marks of at most four bytes, one selector, six tag characters.
    assert len(stream.flush()) <= 4 * (1 + 30 + 1 + 6)


@pytest.mark.parametrize(("why", "unit"), ENDLESS, ids=[why for why, _ in ENDLESS])
def test_the_work_is_linear(why, unit):
    """Counted in function calls, which do not depend on the machine."""

    def calls(times):
        count = 0

        def counter(_frame, event, _argument):
            nonlocal count
            count += event in ("call", "c_call")

        data = (unit * times).encode()
        before = sys.getprofile()
        sys.setprofile(counter)
        try:
            canonicalize(data)
        finally:
            sys.setprofile(before)
        return count

    small, large = calls(2_000), calls(4_000)
    assert large <= 2.1 * small + 500


@pytest.mark.parametrize("unit", ["\u0301", "a\u0301", "\ufe0f", "\U000e0041", "\u202e", "🏴\U000e0067"])
def test_a_million_hostile_characters(unit):
    """No bound in time, which would depend on the machine: what is quadratic here would not end within the suite's limit."""
    text = "x" + unit * (1_000_000 // len(unit) // (10 if len(unit) > 1 else 4)) + "y"
    found = canonicalize(text)
    assert found.bytes.startswith(b"x")
    assert found.bytes.endswith(b"y")
    assert found.findings
