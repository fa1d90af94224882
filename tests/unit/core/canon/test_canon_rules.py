"""Joiners, selectors and other characters that a neighbour decides about: both columns of canonical.md sections 6.1 and 6.2."""

from __future__ import annotations

import pytest

from apostille.core.canon import apply_edits, canonicalize
from apostille.core.canon import sequences as q

KEPT = [
    ("Persian", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", {"ZWNJ_KEEP": 1}),
    ("Persian with marks before the joiner", "\u0645\u06cc\u064e\u200c\u062e", {"ZWNJ_KEEP": 1}),
    ("Syriac", "\u0712\u200c\u0712", {"ZWNJ_KEEP": 1}),
    ("Mongolian", "\u1828\u200c\u1828", {"ZWNJ_KEEP": 1}),
    ("N'Ko", "\u07ca\u200c\u07ca", {"ZWNJ_KEEP": 1}),
    ("explicit virama", "\u0915\u094d\u200c\u0937", {"ZWNJ_KEEP": 1}),
    ("Arabic abbreviation", "\u0647\u200d", {"ZWJ_KEEP": 1}),
    ("final form of a letter that does not join on", "\u0631\u200d\u0631", {"ZWJ_KEEP": 1}),
    ("initial form alone", "\u0647\u200d \u200d\u0647", {"ZWJ_KEEP": 2}),
    ("Sinhala", "\u0dc1\u0dca\u200d\u0dbb\u0dd3", {"ZWJ_KEEP": 1}),
    ("half form", "\u0915\u094d\u200d", {"ZWJ_KEEP": 1}),
    ("Bengali ya-phalaa", "\u09b0\u200d\u09cd\u09af", {"ZWJ_KEEP": 1}),
    ("Marathi: a sign of a vowel beside a vowel", "\u0905\u200d\u0945\u0915", {"ZWJ_KEEP": 1}),
    ("Gujarati: the same", "\u0a85\u200d\u0ac5\u0a95", {"ZWJ_KEEP": 1}),
    ("Malayalam nta: no chillu", "\u0d05\u0d24\u0d3f\u0d28\u0d4d\u200d\u0d31\u0d46", {"ZWJ_KEEP": 1}),
    ("Kannada: behind stacked consonants", "\u0c86\u0c97\u0cb8\u0ccd\u0c9f\u0ccd\u200d", {"ZWJ_KEEP": 1}),
    ("Kannada: the same before a letter", "\u0c8e\u0c95\u0ccd\u0cb8\u0ccd\u200d\u0caa", {"ZWJ_KEEP": 1}),
    ("Telugu: behind stacked consonants", "\u0c2a\u0c32\u0c4d\u0c38\u0c4d\u200d", {"ZWJ_KEEP": 1}),
    ("Odia: behind a letter with a repha", "\u0b39\u0b3e\u0b30\u0b4d\u0b1f\u0b4d\u200d", {"ZWJ_KEEP": 1}),
    ("joined emoji", "\U0001f469\u200d\U0001f4bb", {"ZWJ_KEEP": 1}),
    ("family", "👨\u200d👩\u200d👧\u200d👦", {"ZWJ_KEEP": 3}),
    ("skin tone", "👨🏽\u200d🚀", {"ZWJ_KEEP": 1}),
    ("heart on fire", "❤\ufe0f\u200d🔥", {"VS_KEEP": 1, "ZWJ_KEEP": 1}),
    ("kiss", "👩\u200d❤\ufe0f\u200d💋\u200d👨", {"VS_KEEP": 1, "ZWJ_KEEP": 3}),
    ("rainbow flag", "🏳\ufe0f\u200d🌈", {"VS_KEEP": 1, "ZWJ_KEEP": 1}),
    ("emoji style, text style", "\u2764\ufe0f \u2764\ufe0e", {"VS_KEEP": 2}),
    ("text style of an emoji", "\u231a\ufe0e", {"VS_KEEP": 1}),
    ("keycap", "1\ufe0f\u20e3", {"VS_KEEP": 1}),
    ("mathematics", "\u2229\ufe00", {"VS_KEEP": 1}),
    ("Myanmar", "\u1000\ufe00", {"VS_KEEP": 1}),
    ("a Han name", "\u845b\U000e0100", {"IVS_KEEP": 1}),
    ("Mongolian selector, isolate", "\u1820\u180b", {"FVS_KEEP": 1}),
    ("Mongolian selector, medial", "\u1828\u1820\u180b\u1828", {"FVS_KEEP": 1}),
    ("Mongolian selector, final", "\u1828\u1820\u180b", {"FVS_KEEP": 1}),
    ("Mongolian vowel separator", "\u1820\u180e\u1828", {"MVS_KEEP": 1}),
    ("Hebrew points in another order", "\u05d0\u05b7\u034f\u05b4", {"CGJ_KEEP": 1}),
    ("Duployan", "\U0001bc00\U0001bca0\U0001bc01", {"DI_KEEP": 1}),
    ("hieroglyphs", "\U00013000\U00013430\U00013001", {"DI_KEEP": 1}),
]

CHANGED = [
    ("after a letter that does not join on", "\u0631\u200c\u062e", "\u0631\u062e", ["ZWNJ_DROP"]),
    ("at the end of a word", "\u0645\u06cc\u200c \u0645", "\u0645\u06cc \u0645", ["ZWNJ_DROP"]),
    ("in Latin", "a\u200cb\u200dc", "abc", ["ZWNJ_DROP", "ZWJ_DROP"]),
    ("letters of two scripts", "\u0712\u200c\u0645", "\u0712\u0645", ["ZWNJ_DROP"]),
    ("word-final after a virama", "\u0d23\u0d4d\u200c.", "\u0d23\u0d4d.", ["ZWNJ_DROP"]),
    ("after a killer that only kills", "\u1000\u103a\u200c\u1000", "\u1000\u103a\u1000", ["ZWNJ_DROP"]),
    ("between two letters that join", "\u0645\u200d\u0645", "\u0645\u0645", ["ZWJ_DROP"]),
    ("between two that do not", "\u0621\u200d\u0621", "\u0621\u0621", ["ZWJ_DROP"]),
    ("elsewhere in Indic text", "\u0915\u200d\u0937\u200c\u0915", "\u0915\u0937\u0915", ["ZWJ_DROP", "ZWNJ_DROP"]),
    ("old chillus", "\u0d28\u0d4d\u200d \u0d30\u0d4d\u200d", "\u0d7b \u0d7c", ["JOINER_SPELL"] * 4),
    ("Sinhala: U+200C never shows", "\u0d9a\u0dca\u200c\u0d9a", "\u0d9a\u0dca\u0d9a", ["ZWNJ_DROP"]),
    ("Odia: both draw alike", "\u0b15\u0b4d\u200d\u0b15", "\u0b15\u0b4d\u200c\u0b15", ["JOINER_SPELL"] * 2),
    ("Bengali: both draw alike", "\u09b0\u200c\u09cd\u09af", "\u09b0\u200d\u09cd\u09af", ["JOINER_SPELL"] * 2),
    ("beside a vowel both joiners draw alike", "\u0905\u200c\u0945", "\u0905\u200d\u0945", ["JOINER_SPELL"] * 2),
    ("Kannada: behind one consonant", "\u0c9f\u0ccd\u200d\u0c97", "\u0c9f\u0ccd\u200c\u0c97", ["JOINER_SPELL"] * 2),
    ("Odia: stacked without a repha", "\u0b1f\u0b4d\u0b1f\u0b4d\u200d", "\u0b1f\u0b4d\u0b1f\u0b4d", ["ZWJ_DROP"]),
    ("Malayalam: at the end of a word", "\u0d23\u0d4d\u200c", "\u0d23\u0d4d", ["ZWNJ_DROP"]),
    ("Tamil", "\u0b95\u0bcd\u200d\u0b95", "\u0b95\u0bcd\u0b95", ["ZWJ_DROP"]),
    ("a second joiner", "\u0645\u06cc\u200c\u200c\u062e", "\u0645\u06cc\u200c\u062e", ["JOINER_RUN"]),
    ("another joiner before it", "\u0645\u06cc\u200d\u200c\u062e", "\u0645\u06cc\u200c\u062e", ["ZWJ_DROP"]),
    ("a joiner before the marks of its letter", "\u0645\u200c\u064e\u062e", "\u0645\u064e\u200c\u062e", ["JOINER_SPELL"] * 2),
    ("emoji that are not joined", "\U0001f600\u200d\U0001f4bb", "\U0001f600\U0001f4bb", ["EMOJI_ZWJ"]),
    ("an emoji joined to a letter", "👩\u200dx", "👩x", ["EMOJI_ZWJ"]),
    ("a joiner too many in an emoji", "👩\u200d\u200d💻", "👩\u200d💻", ["JOINER_RUN"]),
    ("hidden in an emoji", "👩\u200c\u200d\u034f💻", "👩\u200d💻", ["JOINER_RUN", "CGJ_DROP"]),
    ("the longest one counts", "👩\u200d💻\u200d🔥", "👩\u200d💻🔥", ["EMOJI_ZWJ"]),
    ("the second pair is one", "😀\u200d👩\u200d💻", "😀👩\u200d💻", ["EMOJI_ZWJ"]),
    ("not fully qualified", "\u2764\u200d\U0001f525", "\u2764\ufe0f\u200d\U0001f525", ["EMOJI_QUALIFY"]),
    ("qualified at its end", "🏃\u200d♂", "🏃\u200d♂\ufe0f", ["EMOJI_QUALIFY"]),
    ("an emoji that is shown as one anyway", "\u231a\ufe0f", "\u231a", ["EMOJI_VS"]),
    ("a digit that is no keycap", "1\ufe0f", "1", ["EMOJI_VS"]),
    ("style before a skin tone", "☝\ufe0f🏽", "☝🏽", ["EMOJI_VS"]),
    ("not listed", "a\ufe01", "a", ["VS_DROP"]),
    ("not registered", "\U0001f600\U000e0141", "\U0001f600", ["IVS_DROP"]),
    ("two in a row: the listed one stays", "❤\ufe0f\ufe00", "❤\ufe0f", ["VS_RUN"]),
    ("also behind another one", "❤\ufe00\ufe0f", "❤\ufe0f", ["VS_RUN"]),
    ("a message in selectors", "a\ufe01\U000e01ef\U000e0100b", "ab", ["VS_RUN"]),
    ("a selector behind something dropped", "❤\u200b\ufe0f", "❤\ufe0f", ["ZWSP_DROP"]),
    ("a selector behind a joiner", "❤\u200c\ufe0f", "❤\ufe0f", ["ZWNJ_DROP"]),
    ("a base that is composed first", "\U0002f800\ufe00\u212a\ufe00", "\u4e3d\ufe00K", ["CJK_COMPAT", "NFC", "VS_DROP"]),
    ("Mongolian selector where it is not listed", "\u1820\u180b\u1828", "\u1820\u1828", ["FVS_DROP"]),
    ("Mongolian selector on nothing", "a\u180b\u180f", "a", ["VS_RUN"]),
    ("vowel separator elsewhere", "a\u180eb \u1820\u180e ", "ab \u1820", ["MVS_DROP", "MVS_DROP", "WS_TAIL"]),
    ("grapheme joiner elsewhere", "a\u034fb \u05d0\u05b4\u034f\u05b7", "ab \u05d0\u05b4\u05b7", ["CGJ_DROP", "CGJ_DROP"]),
    ("more than one in a place", "\u05d0\u05b7\u034f\u034f\u05b4", "\u05d0\u05b7\u034f\u05b4", ["CGJ_DROP"]),
    ("a flood of invisible characters", "a" + "\u200d" * 40, "a", ["ZWJ_DROP", "JOINER_RUN"]),
    (
        "C2PA text manifest",
        "\ufeff" + "".join(chr(0xFE00 + b) if b < 16 else chr(0xE0100 + b - 16) for b in b"C2PATXT\0\1\0\0\0\4jumb") + "x",
        "x",
        ["C2PA_TEXT"],
    ),
    (
        "something like one",
        "\ufeff" + "".join(chr(0xFE00 + b) if b < 16 else chr(0xE0100 + b - 16) for b in b"C2PATXX\0") + "x",
        "x",
        ["ENC_BOM", "VS_RUN"],
    ),
]


@pytest.mark.parametrize(("why", "text", "kept"), KEPT, ids=[why for why, _, _ in KEPT])
def test_what_shows_stays_and_is_counted(why, text, kept):
    found = canonicalize(text)
    assert found.bytes == text.encode()
    assert {finding.code: finding.count for finding in found.findings if finding.act == "keep"} == kept
    assert not [finding for finding in found.findings if finding.act in ("drop", "replace")]


@pytest.mark.parametrize(("why", "text", "expected", "codes"), CHANGED, ids=[case[0] for case in CHANGED])
def test_what_does_not_show_goes(why, text, expected, codes):
    found = canonicalize(text)
    assert ascii(found.bytes.decode()) == ascii(expected)
    changed = [finding.code for finding in found.findings if finding.act in ("drop", "replace")]
    if codes[0] == "JOINER_SPELL":
        assert set(changed) == {"JOINER_SPELL"}
    elif why.startswith("a flood"):
        assert set(changed) <= {"ZWJ_DROP", "JOINER_RUN"}
    else:
        assert changed == codes
    assert apply_edits(text.encode(), found.findings) == found.bytes
    again = canonicalize(found.bytes)
    assert again.bytes == found.bytes
    assert {finding.act for finding in again.findings} <= {"keep", "report"}


def _emoji_test():
    import pathlib

    path = pathlib.Path(__file__).parents[4] / "tools" / "unicode" / "properties-18.0.0.txt"
    rows = path.read_text("utf-8").split("@Emoji_Test\n")[1].split("\n")
    return ["".join(chr(int(word, 16)) for word in row.split()) for row in rows if row]


def test_every_emoji_of_18_survives():
    """Recommended forms keep their bytes; the forms that lack U+FE0F become the recommended one, in joined emoji."""
    forms = _emoji_test()
    assert len(forms) > 5_000
    plain = {}
    for form in forms:
        longest = plain.get(form.replace("\ufe0f", ""), "")
        plain[form.replace("\ufe0f", "")] = max(longest, form, key=len)
    for form in forms:
        best = plain[form.replace("\ufe0f", "")]
        found = canonicalize(f"{form} {form}{form}").bytes.decode()
        if form == best or "\u200d" in form:
            assert found == f"{best} {best}{best}", ascii(form)
        else:
            assert found.replace("\ufe0f", "") == f"{form} {form}{form}".replace("\ufe0f", "")


def test_every_listed_variation_stays():
    for selector, bases in q._variants().items():
        if selector == 0xFE0F:
            continue
        for base in bases:
            text = f"x {chr(base)}{chr(selector)} x" if chr(base) not in "0123456789#*" or selector != 0xFE0E else "x"
            found = canonicalize(text).bytes.decode()
            assert found == text or base in range(0xF900, 0xFB00), ascii(text)


def test_every_registered_ideograph_stays():
    for base, count in list(q._ideographic().items())[::50]:
        text = "".join(chr(base) + chr(0xE0100 + number) for number in range(count))
        assert canonicalize(text).bytes.decode() == text
        assert canonicalize(chr(base) + chr(0xE0100 + count)).bytes.decode() == chr(base)
