"""A text that needs no engine gets the findings that the engine gives (canonical.md section 12)."""

from __future__ import annotations

import pytest

from apostille.core.canon import Canonicalizer, canonicalize
from apostille.core.canon.glance import glance

CANONICAL = [
    ("nothing", ""),
    ("ASCII", "The refund was approved.\n\n- one\n  - two\n\tthree"),
    ("two spaces, a TAB, empty lines", "a  b\tc\n\n\nd"),
    ("empty lines first", "a\n\n\nb  c"),
    ("a TAB behind a space", "a \tb\tc"),
    ("indentation", "a\n    b\n\tc\n  \td"),
    ("quotation marks and dashes", "\u201cIt\u2019s done\u201d \u2014 he said\u2026"),
    ("a run behind quotation marks", "\u201cdone\u201d and  more"),
    ("emoji", "Thank you \U0001f642\U0001f44d\U0001f3fd!"),
    ("Latin letters", "\u00dcberweisung na\u00efve T\u1ea5t"),
    ("styled letters beside Roman numerals", "\U0001d41a\U0001d41b x \u2160 and many letters of no other kind \uff21"),
    ("Russian", "\u0412\u0441\u0435 \u043b\u044e\u0434\u0438 \u2014 \u0431\u0440\u0430\u0442\u044c\u044f"),
    ("one word of two scripts in English", "pay with p\u0430ypal as ever before, and not otherwise"),
    ("a word of twins in English", "the \u0441\u043e\u0440\u0435 of the work is what we have found so far"),
    ("a dot that is none, between letters", "a well\u2010known colon\u2236x in many more words than that"),
    ("technical letters", "the p\u0251ss of a mountain that is not so far away"),
    ("two sets of digits", "\u0661\u0662 and \u06f1\u06f2 in a longer English text of some words"),
    ("a no-break space", "5\u00a0km and some more words of English beside it"),
    ("Hindi", "\u0938\u092d\u0940 \u092e\u0928\u0941\u0937\u094d\u092f\u094b\u0902 \u0915\u094b"),
    ("a doubled mark", "q\u0316\u0316 and some more words of English beside it"),
    ("URLs", "see https://user@example.com/ and http://\u0430pple.com/ \u2014 not https://example.com/"),
    ("Japanese", "\u7533\u8acb\u306f\u627f\u8a8d\u3055\u308c\u307e\u3057\u305f\u3002\u30a8\u30ed\u30fc"),
]  # fmt: skip
OTHERS = [
    ("a control", "a\x07b"),
    ("a line tail", "a \nb"),
    ("a TAB before a line end", "a\t\nb"),
    ("a space at the end", "a "),
    ("a carriage return", "a\r\nb"),
    ("a joiner", "a\u200db"),
    ("a selector", "\u2764\ufe0f"),
    ("a decomposed letter", "e\u0301 and some more words of English beside it"),
    ("a no-break space at the end", "5\u00a0km and some more words of English beside it\u00a0"),
    ("too many spaces for one glance", "a" + "\u2003" * 4_100 + "b"),
    ("a control of bidi", "a\u200fb"),
    ("an unassigned character", "a\u0378b and some more words of English beside it"),
    ("a long run", "a" + " " * 4_100 + "b"),
]  # fmt: skip


def _by_the_engine(data, **kinds):
    machine = Canonicalizer(**kinds)
    given = machine.feed(data) + machine.flush()
    return given, machine.findings, machine.profile, machine.residue


@pytest.mark.parametrize(("why", "text"), [*CANONICAL, *OTHERS], ids=[why for why, _ in [*CANONICAL, *OTHERS]])
@pytest.mark.parametrize("end", ["", "\n", ".\n\n"])
@pytest.mark.parametrize("media_type", ["text/plain", "text/csv", "text/x-code"])
def test_the_engine_gives_the_same(media_type, end, why, text):
    for profile in ("safe", "report", "strict"):
        for is_file in (False, True):
            kinds = {"media_type": media_type, "profile": profile, "is_file": is_file}
            found = canonicalize(text + end, **kinds)
            assert (found.bytes, found.findings, found.profile, found.residue) == _by_the_engine((text + end).encode(), **kinds)


@pytest.mark.parametrize(("why", "text"), CANONICAL, ids=[why for why, _ in CANONICAL])
def test_what_is_canonical_needs_no_engine(why, text):
    assert glance(text.encode(), "message", is_strict=False, is_plain=True) is not None
    if text:
        assert glance(text.encode() + b"\n", "file", is_strict=False, is_plain=True) is not None
        assert glance(text.encode() + b"\n", "message", is_strict=False, is_plain=True) is None


@pytest.mark.parametrize(("why", "text"), OTHERS, ids=[why for why, _ in OTHERS])
def test_what_a_pass_may_change_is_left_to_the_engine(why, text):
    assert glance(text.encode(), "message", is_strict=False, is_plain=True) is None


def test_invalid_bytes_are_left_to_the_engine():
    """Without the ASCII between them these bytes would be a character."""
    assert glance(b"\xe2a\x80\x99", "message", is_strict=False, is_plain=True) is None
