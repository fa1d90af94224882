"""The text rules of profile /0, one case a rule and its neighbours (canonical.md sections 5, 6.2 to 6.5, as far as /0 goes)."""

from __future__ import annotations

import pytest

from apostille.core.canon import Canonicalizer, apply_edits, canonicalize
from apostille.core.canon.bidi import MAX_DEPTH
from apostille.errors import CanonicalizationError, ConfigurationError

ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
WALES = "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f"
TEXAS = "\U0001f3f4\U000e0075\U000e0073\U000e0074\U000e0078\U000e007f"

UNCHANGED = [
    ("ASCII, tab, line feed", "The refund is 42 EUR.\n\tok"),
    ("nothing", ""),
    ("a fraction is not a compatibility form", "1½ mg"),
    ("superscripts", "10⁵ CFU"),
    ("England, Scotland, Wales", f"{ENGLAND}{SCOTLAND} {WALES}"),
    ("keycap", "1\ufe0f\u20e3"),
    ("emoji family with joiners", "👨\u200d👩\u200d👧\u200d👦 ❤\ufe0f\u200d🔥"),
    ("one ideographic selector", "葛\U000e0100"),
    ("Mongolian selector", "\u1820\u180b"),
    ("Persian with ZWNJ", "می\u200cخواهم"),
    ("Hebrew points", "בְּרֵאשִׁית בָּרָא"),
    ("Thai", "ผู้อยู่"),
    ("Devanagari conjuncts", "क्\u200dष स्वतन्त्रता"),
    ("Hangul", "한국어 ᄒ힇"),
    ("grapheme joiner is for the next profile", "a\u034fb"),
    ("zero width space is for the next profile", "a\u200bb"),
    ("U+FEFF inside", "a\ufeffb"),
    ("marks and isolates", "\u2068x\u2069 \u200f"),
    ("embedding", "\u202aabc\u202c"),
    ("stray closers", "a\u202c\u2069\u202c"),
    ("private use and unassigned", "\ue000\u0378"),
    ("thirty marks", "x" + "\u0316" * 30),
    ("a mark with nothing below it", "\u0301a"),
]

CHANGED = [
    ("mark at the start", "\ufeffabc", "abc", ["ENC_BOM"]),
    ("two marks at the start, or the output would change again", "\ufeff\ufeffabc", "abc", ["ENC_BOM"]),
    ("mark after something dropped", "\x00\ufeffa", "a", ["CTRL", "ENC_BOM"]),
    ("control", "a\x00b", "ab", ["CTRL"]),
    ("escape", "\x1b[8mx", "[8mx", ["CTRL"]),
    ("delete", "a\x7f", "a", ["CTRL"]),
    ("C1", "a\x92b", "ab", ["CTRL"]),
    ("CR LF", "a\r\nb", "a\nb", ["EOL_FORM"]),
    ("CR", "a\rb", "a\nb", ["EOL_FORM"]),
    ("CR CR LF", "\r\r\n", "\n\n", ["EOL_FORM"]),
    ("LF CR", "\n\r", "\n\n", ["EOL_FORM"]),
    ("NEL, VT, FF, LS, PS", "\x85\v\f\u2028\u2029", "\n" * 5, ["EOL_FORM"]),
    ("CR, a control, LF: the control never stood there", "\r\x00\n", "\n", ["EOL_FORM", "CTRL", "EOL_FORM"]),
    ("CR, a letter, LF", "\ra\n", "\na\n", ["EOL_FORM"]),
    ("noncharacters", "a\ufdd0\ufffeb\U0010ffff", "ab", ["NONCHAR", "NONCHAR"]),
    ("tags", "Hi\U000e0048\U000e0069", "Hi", ["TAG_DROP"]),
    ("all of the block", "\U000e0000\U000e0002\U000e001f\U000e0001", "", ["TAG_DROP"]),
    ("another region's flag", TEXAS, "\U0001f3f4", ["TAG_DROP"]),
    ("flag without its end", ENGLAND[:-1] + "x", "\U0001f3f4x", ["TAG_DROP"]),
    ("flag that goes on", ENGLAND + "\U000e0041", ENGLAND, ["TAG_DROP"]),
    ("letters once more behind a flag", ENGLAND + ENGLAND[1:], ENGLAND, ["TAG_DROP"]),
    ("flag within a flag", ENGLAND[:3] + WALES, "\U0001f3f4" + WALES, ["TAG_DROP"]),
    ("flag after a control", ENGLAND[:3] + "\x00" + ENGLAND[3:], ENGLAND, ["CTRL"]),
    ("tag letters without the flag", ENGLAND[1:], "", ["TAG_DROP"]),
    ("selector between flag and letters", "\U0001f3f4\ufe0f" + ENGLAND[1:], "\U0001f3f4\ufe0f", ["TAG_DROP"]),
    ("two selectors", "a\ufe0f\ufe0fb", "ab", ["VS_RUN"]),
    ("many, mixed", "a\ufe01\U000e01ef\u180b\u180f\U000e0100b", "ab", ["VS_RUN"]),
    ("the emoji keeps its place", "❤\ufe0f\ufe00\u200d🔥", "❤\u200d🔥", ["VS_RUN"]),
    ("selectors that a control parts", "a\ufe0f\x00\ufe0fb", "ab", ["VS_RUN", "CTRL", "VS_RUN"]),
    ("selectors that a tag parts", "a\ufe0f\U000e0041\ufe0fb", "ab", ["VS_RUN", "TAG_DROP", "VS_RUN"]),
    ("selectors that an override parts", "a\ufe0f\u202e\ufe0fb", "ab", ["VS_RUN", "BIDI_OVERRIDE", "VS_RUN"]),
    ("override", "a\u202eb\u202cc", "abc", ["BIDI_OVERRIDE", "BIDI_OVERRIDE"]),
    ("override without end", "\u202da", "a", ["BIDI_OVERRIDE"]),
    ("an embedding's own closer stays", "\u202aa\u202db\u202cc\u202cd", "\u202aabc\u202cd", ["BIDI_OVERRIDE"] * 2),
    ("an isolate shields", "\u202ea\u2066b\u202cc\u2069d\u202c", "a\u2066b\u202cc\u2069d", ["BIDI_OVERRIDE"] * 2),
    ("closing an isolate closes what is in it", "\u2066a\u202eb\u2069c\u202c", "\u2066ab\u2069c\u202c", ["BIDI_OVERRIDE"]),
    ("a paragraph ends it", "\u202ea\nb\u202c", "a\nb\u202c", ["BIDI_OVERRIDE"]),
    ("so does a line end of another form", "\u202ea\u2028b\u202c", "a\nb\u202c", ["BIDI_OVERRIDE", "EOL_FORM"]),
    ("composes", "e\u0301", "é", ["NFC"]),
    ("reorders", "x\u0301\u0316", "x\u0316\u0301", ["NFC"]),
    ("a composite that goes on composing", "\U00016d63\U00016d68", "\U00016d6a", ["NFC"]),
    ("singleton", "\u212a", "K", ["NFC"]),
    ("composes through a dropped tag", "e\U000e0041\u0301", "é", ["NFC", "TAG_DROP", "NFC"]),
    ("composes through a dropped override", "e\u202e\u0301", "é", ["NFC", "BIDI_OVERRIDE", "NFC"]),
    ("a selector keeps base and mark apart", "e\ufe0f\u0316\u0301\u0323", "e\ufe0f\u0316\u0323\u0301", ["NFC"]),
    ("a mark after another form of line end", "\r\u0301\u0316", "\n\u0316\u0301", ["EOL_FORM", "NFC"]),
    ("too many marks", "x" + "\u0316" * 31 + "y", "x" + "\u0316" * 30 + "y", ["MARK_FLOOD"]),
    ("counted decomposed", "é" + "\u0316" * 30, "é" + "\u0316" * 29, ["MARK_FLOOD"]),
]


@pytest.mark.parametrize(("why", "text"), UNCHANGED, ids=[why for why, _ in UNCHANGED])
def test_legitimate_text_stays(why, text):
    found = canonicalize(text)
    assert (found.bytes, found.findings) == (text.encode(), ())


@pytest.mark.parametrize(("why", "text", "expected", "codes"), CHANGED, ids=[case[0] for case in CHANGED])
def test_rule(why, text, expected, codes):
    found = canonicalize(text)
    assert found.bytes.decode() == expected
    assert [finding.code for finding in found.findings] == codes
    assert apply_edits(text.encode(), found.findings) == found.bytes
    again = canonicalize(found.bytes)
    assert (again.bytes, again.findings) == (found.bytes, ())


def test_bytes_and_str_are_the_same():
    assert canonicalize("e\u0301\x00") == canonicalize(b"e\xcc\x81\x00")


BAD_UTF8 = [
    ("stray continuation", b"ab\x80", 2, 1),
    ("overlong", b"a\xc0\xaf", 1, 1),
    ("surrogate", b"\xed\xa0\x80", 0, 1),
    ("over U+10FFFF", b"x\xf4\x90\x80\x80", 1, 1),
    ("cut in the middle", b"\xe2\x82a", 0, 2),
    ("cut at the end", "é€".encode()[:-1], 2, 2),
    ("after good text", "é".encode() * 40_000 + b"\xff", 80_000, 1),
]


@pytest.mark.parametrize(("why", "data", "position", "length"), BAD_UTF8, ids=[case[0] for case in BAD_UTF8])
@pytest.mark.parametrize("profile", ["safe", "report"])
def test_invalid_utf8_is_refused_with_its_offset(why, data, position, length, profile):
    with pytest.raises(CanonicalizationError) as caught:
        canonicalize(data, profile=profile)
    (finding,) = caught.value.findings
    assert (finding.code, finding.severity, finding.act) == ("ENC_INVALID", "e", "refuse")
    assert (finding.position, finding.length) == (position, length)
    for cut in {*range(max(0, position - 3), min(len(data), position + 5)), len(data)}:
        stream = Canonicalizer(profile=profile)
        with pytest.raises(CanonicalizationError) as streamed:
            stream.feed(data[:cut])
            stream.feed(data[cut:])
            stream.flush()
        assert streamed.value.findings == caught.value.findings
        with pytest.raises(RuntimeError):
            stream.flush()


def test_lone_surrogate_is_refused_with_its_byte_offset():
    with pytest.raises(CanonicalizationError) as caught:
        canonicalize("é\ud83dx")
    (finding,) = caught.value.findings
    assert (finding.code, finding.position, finding.length, finding.was) == ("ENC_INVALID", 2, 3, (0xD83D,))


def test_the_bidi_stack_is_bounded():
    """Beyond 125 open controls an override still goes; only its closer stays (core.canon.bidi)."""
    inside = "\u202a" * (MAX_DEPTH - 1) + "\u202ex\u202c"
    assert canonicalize(inside).bytes.decode() == "\u202a" * (MAX_DEPTH - 1) + "x"
    beyond = "\u202a" * MAX_DEPTH + "\u202ex\u202c"
    assert canonicalize(beyond).bytes.decode() == "\u202a" * MAX_DEPTH + "x\u202c"
    # Closing an isolate closes the surplus inside it.
    embeddings = "\u2066" + "\u202a" * MAX_DEPTH + "\u2069"
    assert canonicalize(embeddings + "\u202ex\u202c").bytes.decode() == embeddings + "x"
    # What is opened inside a surplus isolate is not counted against what is outside.
    full = "\u2066" + "\u202e" * (MAX_DEPTH - 1) + "\u2066\u202a\u2069\u202c"
    assert canonicalize(full).bytes.decode() == "\u2066\u2066\u202a\u2069"
    # Inside a surplus isolate no closer reaches out.
    shielded = "\u2066" + "\u202e" * (MAX_DEPTH - 1) + "\u2066\u202c\u2069\u202c"
    assert canonicalize(shielded).bytes.decode() == "\u2066\u2066\u202c\u2069"
    # After the surplus is closed, pairing goes on as before.
    closed = "\u2066" * (MAX_DEPTH + 2) + "\u2069" * 3 + "\u202ex\u202c"
    assert canonicalize(closed).bytes.decode() == "\u2066" * (MAX_DEPTH + 2) + "\u2069" * 3 + "x"


def test_report_changes_nothing_and_reports():
    text = "a\x00e\u0301\r\n"
    found = canonicalize(text, profile="report")
    assert found.bytes == text.encode()
    assert [(finding.code, finding.act) for finding in found.findings] == [
        ("CTRL", "report"),
        ("NFC", "report"),
        ("EOL_FORM", "report"),
    ]
    assert apply_edits(text.encode(), found.findings) == text.encode()
    assert found.profile.startswith("apostille-report/0 ucd=18.0.0 tables=")


def test_code_is_looked_at_and_never_changed():
    found = canonicalize("if x:\u202e\r\n", media_type="text/x-code")
    assert found.bytes == "if x:\u202e\r\n".encode()
    assert [(finding.code, finding.act) for finding in found.findings] == [("BIDI_OVERRIDE", "report"), ("EOL_FORM", "report")]
    assert found.profile.startswith("apostille-report/0 ")


@pytest.mark.parametrize(
    "media_type", ["application/octet-stream", "image/png", "", "text", "application/json5", "TEX\u212a/plain"]
)
def test_other_types_are_opaque(media_type):
    data = b"\xff\x00\r\n"
    found = canonicalize(data, media_type=media_type)
    assert (found.bytes, found.findings, found.profile) == (data, (), "opaque")


@pytest.mark.parametrize("media_type", ["text/plain", "text/markdown", "TEXT/Plain; charset=utf-8", "text/html ;x=y"])
def test_every_text_type_has_the_text_rules(media_type):
    assert canonicalize("a\x00", media_type=media_type).bytes == b"a"


@pytest.mark.parametrize("profile", ["strict", "", "Safe", "safe/1"])
def test_unknown_profiles(profile):
    with pytest.raises(ConfigurationError, match="does not exist yet" if profile == "strict" else "unknown"):
        canonicalize("a", profile=profile)
