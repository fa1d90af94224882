"""The worked examples of the design, row by row, and the text that must never change its meaning (canonical.md sections 5 to 9).

Every row has the text as it comes in and what ``safe`` gives, written out; an empty string stands for "stays as it is".
"""

from __future__ import annotations

import pytest
from test_canon_hidden_bytes import manifest

from apostille.core.canon import apply_edits, canonicalize

SAFE = [
    ("5 one pass is not enough", "\u0dd9\u034f\u0dca\u200d\u0dbb", "\u0dda\u0dbb"),
    # 6.1
    ("6.1 ZWNJ between letters", "\u0645\u06cc\u200c\u062e", ""),
    ("6.1 ZWNJ after a letter that does not join on", "\u0631\u200c\u062f", "\u0631\u062f"),
    ("6.1 ZWNJ at word end", "\u0645\u06cc\u200c \u062e", "\u0645\u06cc \u062e"),
    ("6.1 ZWNJ in Latin", "shelf\u200cful", "shelfful"),
    ("6.1 ZWNJ after a virama", "\u0915\u094d\u200c\u0937", ""),
    ("6.1 word-final ZWNJ", "\u0d23\u0d4d\u200c.", "\u0d23\u0d4d."),
    ("6.1 after U+103A", "\u1000\u103a\u200c\u1000", "\u1000\u103a\u1000"),
    ("6.1 ZWJ in an emoji", "\U0001f469\u200d\U0001f4bb", ""),
    ("6.1 other emoji ZWJ", "\U0001f600\u200d\U0001f4a1", "\U0001f600\U0001f4a1"),
    ("6.1 Arabic abbreviation", "\u0647\u200d", ""),
    ("6.1 ZWJ between two joining letters", "\u0647\u200d\u0645", "\u0647\u0645"),
    ("6.1 Sinhala", "\u0dc1\u0dca\u200d\u0dbb", ""),
    ("6.1 half form", "\u0915\u094d\u200d", ""),
    ("6.1 Bengali", "\u09b0\u200d\u09cd\u09af", ""),
    ("6.1 Bengali re-spelt", "\u09b0\u200c\u09cd\u09af", "\u09b0\u200d\u09cd\u09af"),
    ("6.1 old chillu 0D28", "\u0d28\u0d4d\u200d", "\u0d7b"),
    ("6.1 old chillu 0D23", "\u0d23\u0d4d\u200d", "\u0d7a"),
    ("6.1 old chillu 0D30", "\u0d30\u0d4d\u200d", "\u0d7c"),
    ("6.1 old chillu 0D32", "\u0d32\u0d4d\u200d", "\u0d7d"),
    ("6.1 old chillu 0D33", "\u0d33\u0d4d\u200d", "\u0d7e"),
    ("6.1 ZWNJ never shows in Sinhala", "\u0d9a\u0dca\u200c\u0d9a", "\u0d9a\u0dca\u0d9a"),
    # 6.2
    ("6.2 VS listed", "\u2764\ufe0f", ""),
    ("6.2 VS not listed", "a\ufe01", "a"),
    ("6.2 redundant emoji VS", "\u231a\ufe0f", "\u231a"),
    ("6.2 keycap", "1\ufe0f\u20e3", ""),
    ("6.2 no keycap", "1\ufe0f", "1"),
    ("6.2 IVS in the IVD", "\u845b\U000e0100", ""),
    ("6.2 IVS on an emoji", "\U0001f600\U000e0141", "\U0001f600"),
    ("6.2 FVS isolate", "\u1820\u180b", ""),
    ("6.2 FVS medial", "\u1828\u1820\u180b\u1828", ""),
    ("6.2 FVS final", "\u1828\u1820\u180b", ""),
    ("6.2 FVS initial", "\u1820\u180b\u1828", "\u1820\u1828"),
    ("6.2 MVS", "\u1820\u180e\u1828", ""),
    ("6.2 flag of England", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", ""),
    ("6.2 tags", "Hi\U000e0048", "Hi"),
    ("6.2 CGJ in Hebrew", "\u05d0\u05b7\u034f\u05b4", ""),
    ("6.2 CGJ in Latin", "a\u034fb", "ab"),
    ("6.2 jamo filler", "\u115f\u1161", ""),
    ("6.2 jamo filler alone", "a\u1160", "a"),
    ("6.2 emoji qualification", "\u2764\u200d\U0001f525", "\u2764\ufe0f\u200d\U0001f525"),
    ("6.2 C2PA manifest", f"a{manifest(b'jumb')}", "a"),
    # 6.3
    ("6.3 ZWSP", "a\u200bb", "ab"),
    ("6.3 soft hyphen", "co\u00adop", "coop"),
    ("6.3 annotation: the text stays", "\ufff9a\ufffab\ufffb", "ab"),
    ("6.3 Duployan control in Latin", "a\U0001bca0", "a"),
    ("6.3 prepended sign", "\u06dd\u0661", ""),
    ("6.3 blank Braille cell", "a\u2800b", "a b"),
    ("6.3 rest without ink", "a\U0001d159b", "ab"),
    ("6.3 private use, noncharacter", "a\ue000\ufdd0", "a"),
    ("6.3 unassigned", "\u0378", ""),
    ("6.3 mark of another script", "a\u0483", "a"),
    ("6.3 dotted circle", "\u25cc\u0483", ""),
    ("6.3 Nivkh", "\u0440\u030c", ""),
    ("6.3 thirty marks", "x" + "\u0316" * 40, "x" + "\u0316" * 30),
    ("6.3 NFC", "e\u0301", "\u00e9"),
    ("6.3 singleton", "\u212a", "K"),
    # 6.4
    ("6.4 ANSI", "\x1b[8mx", "x"),
    ("6.4 overstrike", "_\ba", "a"),
    ("6.4 cp1252 quote", "it\x92s", "its"),
    ("6.4 line end", "a\r\nb", "a\nb"),
    ("6.4 tail", "a \t\nb", "a\nb"),
    ("6.4 end", "a\n\n", "a"),
    # 6.5
    ("6.5 a mark that moves", "I said \u05e9\u05dc!\u200f and", ""),
    ("6.5 a mark that moves nothing", "\u05e9\u200f\u05dc", "\u05e9\u05dc"),
    ("6.5 a mark in English", "Hello\u200f world", "Hello world"),
    ("6.5 isolates in English", "an \u2068x\u2069 here", "an x here"),
    ("6.5 override", "a\u202ecb\u202cd", "acbd"),
    ("6.5 unmatched closer", "a\u2069b", "ab"),
]

# Never a change of meaning: doses, formulas, orthographies, typography. The same under both profiles where the last column is "".
MEANING = [
    ("half a milligram", "1\u00bd mg", ""),
    ("a count of colonies", "10\u2075 CFU", ""),
    ("micrograms, micro sign", "50 \u00b5g", ""),
    ("rial sign", "\ufdfc 5", ""),
    ("Persian", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", ""),
    ("Hindi", "\u0915\u094d\u200d\u0937\u0947\u0924\u094d\u0930 \u0928\u092e\u0938\u094d\u0924\u0947", None),
    ("Malayalam", "\u0d2e\u0d32\u0d2f\u0d3e\u0d33\u0d02 \u0d05\u0d35\u0d7b", ""),
    ("Mongolian", "\u182e\u1823\u1829\u182d\u1823\u182f \u1820\u180e\u1828", ""),
    ("old Hangul", "\u1112\u119e\u11ab \u115f\u1161", ""),
    ("Hebrew points", "\u05d1\u05b0\u05bc\u05e8\u05b5\u05d0\u05e9\u05b4\u05c1\u05d9\u05ea", None),
    ("IPA", "[\u02c8f\u0252n\u0259t\u026aks] \u0251\u0303 t\u0361\u0283", ""),
    ("mathematics", "\u2200x \u2208 \u211d: f\u2032(x) \u2260 0, \u2211 x\u1d62", None),
    ("a USB cable in Russian", "USB-\u043a\u0430\u0431\u0435\u043b\u044c", ""),
    ("a difference", "\u0394x = 5", ""),
    ("frequency", "h\u03bd", ""),
    ("metres, Greek mu", "\u03bcm", ""),
    ("French", "\u00ab\u00a0oui\u00a0\u00bb\u00a0: 1\u202f000\u00a0\u20ac", None),
    ("Swiss", "1\u2019000.\u2013 Fr.", None),
    ("superscripts and ordinals", "x\u00b2 y\u207b\u00b9 1\u00aa", ""),
]

STRICT = [
    ("7 mixed word", "p\u0430ypal", "paypal"),
    ("7 whole-script word", "The word \u0441\u043e\u0440\u0435 in English text", "The word cope in English text"),
    ("7 technical letter", "p\u0251ss", "pass"),
    ("7 styled letter", "\U0001d41a", "a"),
    ("7 never a dose", "10\u2075 1\u00bd", ""),
    ("7 digits of Persian", "\u06f4 \u0661", "\u06f4 \u06f1"),
    ("7 kana and Han", "\u30ab\u4e00\u30c9", "\u30ab\u30fc\u30c9"),
    ("7 a Han word stays", "\u53e3", ""),
    ("7 spaces", "a\u2003b", "a b"),
    ("7 punctuation", "http\u2236", "http:"),
    ("7 typography", "so\u2026", "so..."),
    ("7 doubled mark", "n\u0323\u0323", "\u1e47"),
]


def check(text, expected, profile):
    found = canonicalize(text, profile=profile)
    assert ascii(found.bytes.decode()) == ascii(expected or text)
    assert apply_edits(text.encode(), found.findings) == found.bytes
    assert canonicalize(found.bytes, profile=profile).bytes == found.bytes


@pytest.mark.parametrize(("row", "text", "expected"), SAFE, ids=[row[0] for row in SAFE])
def test_a_worked_example(row, text, expected):
    del row
    check(text, expected, "safe")


@pytest.mark.parametrize(("what", "text", "strict"), MEANING, ids=[row[0] for row in MEANING])
def test_the_meaning_stays(what, text, strict):
    del what
    check(text, "", "safe")
    if strict is not None:
        check(text, strict, "strict")


@pytest.mark.parametrize(("row", "text", "expected"), STRICT, ids=[row[0] for row in STRICT])
def test_a_worked_example_of_look_alikes(row, text, expected):
    """``safe`` keeps what it reports."""
    del row
    check(text, expected, "strict")
    if "\u0323" not in text:
        check(text, "", "safe")


def test_urls_and_numbers():
    """Section 9: a host of Cyrillic twins, and a number that no double holds."""
    from apostille.core.canon import urls
    from apostille.errors import CanonicalizationError

    assert urls.parse_url("https://\u0430pple.com/").host == "xn--pple-43d.com"
    with pytest.raises(CanonicalizationError):
        canonicalize("9007199254740993", media_type="application/json")
    hidden = canonicalize('{"a":"x\\u200by"}', media_type="application/json")
    assert hidden.bytes == b'{"a":"xy"}'
