"""The text rules, one case a rule and its neighbours: what draws nothing, lines, the terminal, composing (canonical.md section 6).

Joiners and selectors are in test_canon_rules.py, bidi controls in test_canon_bidi.py.
"""

from __future__ import annotations

import pytest

from apostille.core.canon import Canonicalizer, apply_edits, canonicalize
from apostille.core.canon.lookalikes import CODES as LOOK_ALIKES
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
    ("micro sign", "50 µg"),
    ("rial sign", "﷼"),
    ("mixed scripts are for another profile", "USB-кабель Δx μm hν"),
    ("French and Swiss typography", "« oui » : 1 000 €, l’été — 1’000.– Fr."),
    ("mathematics", "𝒜 ∈ ℝ², ∑ xᵢ ≠ ∞, f′(x)"),
    ("IPA", "[ˈfɒnətɪks] ɑ̃ t͡ʃ ə˞"),
    ("Nivkh: a mark that many scripts have", "р̌"),
    ("England, Scotland, Wales", f"{ENGLAND}{SCOTLAND} {WALES}"),
    ("Hebrew points", "בְּרֵאשִׁית בָּרָא"),
    ("Thai", "ผู้อยู่"),
    ("Devanagari conjuncts", "स्वतन्त्रता"),
    ("Hangul", "한국어 ᄒ힇"),
    ("old Hangul", "\u1112\u119e\u11ab \u115f\u1161 \u1100\u1160 \u115f\u1160\u11ab"),
    ("prepended signs are seen", "\u06dd\u0661 \u0600\u0661 \u070f\u0710"),
    ("Braille", "\u2801\u2800\u2803 \u2801\u2800\u2800\u2803"),
    ("thirty marks", "x" + "\u0316" * 30),
    ("a mark with nothing below it", "\u0301a"),
    ("a mark on a dotted circle", "\u25cc\u093f\u25cc\u0483"),
    ("empty lines and indentation", "a\n\n\n    b"),
    ("spaces of every kind between words", "a\u00a0b\u2003c\u3000d"),
]

KEPT = [("newer than these tables", "\u0378x\U00050000", [("UNASSIGNED", 2)])]

CHANGED = [
    ("byte order mark at the start", "\ufeffabc", "abc", ["ENC_BOM"]),
    ("a second one is a line break hint", "\ufeff\ufeffabc", "abc", ["ENC_BOM", "ZWSP_DROP"]),
    ("control", "a\x00b", "ab", ["CTRL"]),
    ("delete", "a\x7f", "a", ["CTRL"]),
    ("a quotation mark of another encoding", "a\x92b", "ab", ["CTRL"]),
    ("CR LF", "a\r\nb", "a\nb", ["EOL_FORM"]),
    ("CR", "a\rb", "a\nb", ["EOL_FORM"]),
    ("CR CR LF", "x\r\r\nx", "x\n\nx", ["EOL_FORM"]),
    ("LF CR", "x\n\rx", "x\n\nx", ["EOL_FORM"]),
    ("NEL, VT, FF, LS, PS", "x\x85\v\f\u2028\u2029x", "x" + "\n" * 5 + "x", ["EOL_FORM"]),
    ("CR, a control, LF: the control never stood there", "x\r\x00\nx", "x\nx", ["EOL_FORM", "CTRL", "EOL_FORM"]),
    ("CR, a letter, LF", "x\ra\nx", "x\na\nx", ["EOL_FORM"]),
    ("a line end that goes", "a\r\n", "a", ["WS_END"]),
    ("tail of a line", "a \t\nb", "a\nb", ["WS_TAIL"]),
    ("tail of spaces that are none of ASCII", "a\u00a0\u3000\nb\u2003", "a\nb", ["WS_TAIL", "WS_TAIL"]),
    ("a space that another one stands for", "a\u2000", "a", ["WS_TAIL"]),
    ("line ends at the end", "a\n \n", "a", ["WS_END", "WS_TAIL", "WS_END"]),
    ("only white space", " \n\t", "", ["WS_TAIL", "WS_END", "WS_TAIL"]),
    ("a tail behind something dropped", "a \u200b\nb", "a\nb", ["WS_TAIL", "ZWSP_DROP"]),
    ("a flood of spaces", "a" + " " * 4_100 + "b", "a" + " " * 4_096 + "b", ["WS_FLOOD"]),
    ("noncharacters", "a\ufdd0\ufffeb\U0010ffff", "ab", ["NONCHAR", "NONCHAR"]),
    ("private use", "a\ue000\U000f0000\U0010fffd", "a", ["PUA_DROP"]),
    ("line break hints", "a\u200b\u2060\ufeffb", "ab", ["ZWSP_DROP"]),
    ("soft hyphen", "co\u00adop", "coop", ["DI_DROP"]),
    ("invisible mathematics", "a\u2061\u2062\u2063\u2064b", "ab", ["DI_DROP"]),
    ("deprecated format characters", "a\u206a\u206fb", "ab", ["DI_DROP"]),
    ("annotation marks; the text between stays", "\ufff9漢\ufffaかん\ufffb", "漢かん", ["DI_DROP"] * 3),
    ("musical format characters and a rest without ink", "a\U0001d173\U0001d159b", "ab", ["DI_DROP", "BLANK_GLYPH"]),
    ("Khmer inherent vowels", "\u1780\u17b4\u1780", "\u1780\u1780", ["DI_DROP"]),
    ("Hangul fillers that draw nothing", "a\u3164\uffa0b", "ab", ["DI_DROP"]),
    ("the object character", "a\ufffcb", "ab", ["DI_DROP"]),
    ("reserved ignorables", "a\u2065\U000e0fffb", "ab", ["DI_DROP"]),
    ("Duployan and hieroglyph controls elsewhere", "a\U0001bca0b\U00013430c", "abc", ["DI_DROP", "DI_DROP"]),
    ("blank Braille cell as a space", "a\u2800b", "a b", ["BLANK_GLYPH"]),
    ("beside a space it is nothing", "a\u2800 \u2800b", "a b", ["BLANK_GLYPH", "BLANK_GLYPH"]),
    ("a run of them is one space", "a\u2800\u2800b", "a b", ["BLANK_GLYPH", "BLANK_GLYPH"]),
    ("at the end of a line it is a tail", "a\u2800\nb", "a\nb", ["WS_TAIL"]),
    ("filler without a block", "a\u1160\u115f", "a", ["JAMO_FILLER_DROP"]),
    ("filler before a filler only", "\u115f\u1160x", "x", ["JAMO_FILLER_DROP"]),
    ("tags", "Hi\U000e0048\U000e0069", "Hi", ["TAG_DROP"]),
    ("all that is reserved in the block", "\U000e0000\U000e0002\U000e001f\U000e0001", "", ["DI_DROP", "TAG_DROP"]),
    ("another region's flag", TEXAS, "\U0001f3f4", ["TAG_DROP"]),
    ("flag without its end", ENGLAND[:-1] + "x", "\U0001f3f4x", ["TAG_DROP"]),
    ("flag that goes on", ENGLAND + "\U000e0041", ENGLAND, ["TAG_DROP"]),
    ("letters once more behind a flag", ENGLAND + ENGLAND[1:], ENGLAND, ["TAG_DROP"]),
    ("flag within a flag", ENGLAND[:3] + WALES, "\U0001f3f4" + WALES, ["TAG_DROP"]),
    ("flag after a control", ENGLAND[:3] + "\x00" + ENGLAND[3:], ENGLAND, ["CTRL"]),
    ("flag with an escape in it", ENGLAND[:3] + "\x1b[1m" + ENGLAND[3:], ENGLAND, ["ANSI_SEQ"]),
    ("tag letters without the flag", ENGLAND[1:], "", ["TAG_DROP"]),
    # The terminal.
    ("colour", "\x1b[8mx\x1b[0m", "x", ["ANSI_SEQ", "ANSI_SEQ"]),
    ("title", "a\x1b]0;hidden\x07b", "ab", ["ANSI_SEQ"]),
    ("title, ended properly", "a\x1b]0;hidden\x1b\\b", "ab", ["ANSI_SEQ"]),
    ("device control, C1 form", "a\x90hidden\x9cb", "ab", ["ANSI_SEQ"]),
    ("privacy message", "a\x1b^hidden\x1b\\b", "ab", ["ANSI_SEQ"]),
    ("a bell ends no other string", "a\x1bPhidden\x07\nb", "ahidden\nb", ["ANSI_OPEN", "CTRL"]),
    ("character set", "a\x1b(0b", "ab", ["ANSI_SEQ"]),
    ("two bytes", "a\x1bcb", "ab", ["ANSI_SEQ"]),
    ("C1 form of a sequence", "a\x9b8mb", "ab", ["ANSI_SEQ"]),
    ("a string that does not end loses its introducer", "a\x1b]0;shown\nb", "a0;shown\nb", ["ANSI_OPEN"]),
    ("at the end of the text too", "a\x1b]0;shown", "a0;shown", ["ANSI_OPEN"]),
    ("a string that another one breaks off", "\x1b]shown\x1b[1mx", "shownx", ["ANSI_OPEN", "ANSI_SEQ"]),
    ("a sequence that breaks off", "a\x1b[3é", "a3é", ["ANSI_OPEN"]),
    ("an escape before a letter that is none of its own", "a\x1bé", "aé", ["ANSI_OPEN"]),
    ("an escape at the end", "a\x1b", "a", ["ANSI_OPEN"]),
    ("too long a string", "\x1b]" + "x" * 5_000 + "\x07", "x" * 5_000, ["ANSI_OPEN", "CTRL"]),
    ("bold of manual pages", "N\bNA\bA", "NA", ["OVERSTRIKE", "OVERSTRIKE"]),
    ("underlined", "_\ba", "a", ["OVERSTRIKE"]),
    ("two backspaces strike one", "ab\b\bcd", "acd", ["OVERSTRIKE"]),
    ("a backspace without a letter", "\ba\n\bb\b", "a\nb", ["CTRL", "CTRL", "CTRL"]),
    # Composing.
    ("composes", "e\u0301", "é", ["NFC"]),
    ("reorders", "x\u0301\u0316", "x\u0316\u0301", ["NFC"]),
    ("a composite that goes on composing", "\U00016d63\U00016d68", "\U00016d6a", ["NFC"]),
    ("singleton", "\u212a", "K", ["NFC"]),
    ("composes through what is dropped", "e\u200b\u0301", "é", ["NFC", "ZWSP_DROP", "NFC"]),
    ("composes through a joiner", "e\u200d\u0301", "é", ["NFC", "ZWJ_DROP", "NFC"]),
    ("composes through an override", "e\u202e\u0301", "é", ["NFC", "BIDI_DROP", "NFC"]),
    ("a mark after another form of line end", "x\r\u0301\u0316", "x\n\u0316\u0301", ["EOL_FORM", "NFC"]),
    ("too many marks", "x" + "\u0316" * 31 + "y", "x" + "\u0316" * 30 + "y", ["MARK_FLOOD"]),
    ("counted decomposed", "é" + "\u0316" * 30, "é" + "\u0316" * 29, ["MARK_FLOOD"]),
    ("a mark of another script", "a\u0483b\u093e\u05b0", "ab", ["MARK_FOREIGN", "MARK_FOREIGN"]),
    (
        "a composite that nothing drawn forbids",
        "\u0dd9\u034f\u0dca\u200d\u0dbb",
        "\u0dda\u0dbb",
        ["NFC", "CGJ_DROP", "NFC", "ZWJ_DROP"],
    ),
]


def beside_look_alikes(findings):
    """All but the notes that a character looks like another one: test_canon_lookalikes.py is about those."""
    return [finding for finding in findings if (finding.act, finding.code in LOOK_ALIKES) != ("report", True)]


@pytest.mark.parametrize(("why", "text"), UNCHANGED, ids=[why for why, _ in UNCHANGED])
def test_legitimate_text_stays(why, text):
    found = canonicalize(text)
    assert (found.bytes, beside_look_alikes(found.findings)) == (text.encode(), [])


@pytest.mark.parametrize(("why", "text", "expected", "codes"), CHANGED, ids=[case[0] for case in CHANGED])
def test_rule(why, text, expected, codes):
    found = canonicalize(text)
    assert found.bytes.decode() == expected
    assert [finding.code for finding in beside_look_alikes(found.findings)] == codes
    assert apply_edits(text.encode(), found.findings) == found.bytes
    again = canonicalize(found.bytes)
    assert (again.bytes, beside_look_alikes(again.findings)) == (found.bytes, [])


@pytest.mark.parametrize(("why", "text", "kept"), KEPT, ids=[why for why, _, _ in KEPT])
def test_what_stays_and_is_counted(why, text, kept):
    found = canonicalize(text)
    assert found.bytes == text.encode()
    assert [(finding.code, finding.count) for finding in found.findings] == kept
    assert {finding.act for finding in found.findings} == {"keep"}


ENDINGS = [("a\n", "a\n"), ("a", "a"), ("a\n \n\n", "a\n"), ("a \r\n\r\n", "a\n"), ("a \t", "a"), ("", ""), (" \n", "")]


@pytest.mark.parametrize(("text", "expected"), ENDINGS)
def test_a_file_keeps_one_line_feed(text, expected):
    found = canonicalize(text, is_file=True)
    assert found.bytes.decode() == expected
    assert apply_edits(text.encode(), found.findings) == found.bytes
    assert canonicalize(found.bytes, is_file=True).findings == ()
    assert canonicalize(text).bytes.decode() == expected.rstrip("\n")


def test_white_space_in_a_json_value_is_data():
    raw = b'{"a":", ","b":"x \\n","c":"\\u200b y \\t"}'
    assert canonicalize(raw, media_type="application/json").bytes == b'{"a":", ","b":"x \\n","c":" y \\t"}'


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


def test_report_changes_nothing_and_reports():
    text = "a\x00e\u0301\r\nx"
    found = canonicalize(text, profile="report")
    assert found.bytes == text.encode()
    assert [(finding.code, finding.act) for finding in found.findings] == [
        ("CTRL", "report"),
        ("NFC", "report"),
        ("EOL_FORM", "report"),
    ]
    assert apply_edits(text.encode(), found.findings) == text.encode()
    assert found.profile.startswith("apostille-report/1 ucd=18.0.0 tables=")


def test_code_is_looked_at_and_never_changed():
    found = canonicalize("if x:\u202e\r\n", media_type="text/x-code")
    assert found.bytes == "if x:\u202e\r\n".encode()
    assert [(finding.code, finding.act) for finding in found.findings] == [
        ("BIDI_OVERRIDE", "report"),
        ("WS_END", "report"),
        ("CODE_HIDDEN", "report"),
    ]
    assert found.profile.startswith("apostille-report/1 ")


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


@pytest.mark.parametrize("profile", ["stricter", "", "Safe", "safe/1"])
def test_unknown_profiles(profile):
    with pytest.raises(ConfigurationError, match="unknown"):
        canonicalize("a", profile=profile)


@pytest.mark.parametrize("is_file", [False, True])
def test_a_line_break_of_markdown_stays(is_file):
    """Two spaces at the end of a line are drawn as a break, which is written as a backslash; elsewhere nobody sees them."""
    text = "one  \ntwo\u200b \n"
    found = canonicalize(text, media_type="text/markdown; charset=utf-8", is_file=is_file)
    assert found.bytes == b"one\\\ntwo" + b"\n" * is_file
    assert canonicalize(found.bytes, media_type="text/markdown", is_file=is_file).bytes == found.bytes
    assert canonicalize(text, is_file=is_file).bytes == (b"one\ntwo\n" if is_file else b"one\ntwo")
