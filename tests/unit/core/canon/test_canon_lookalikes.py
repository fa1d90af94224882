"""Look-alikes (canonical.md section 7): what profile strict writes in one form, what safe reports, and what neither touches.

Encoders of our own write the same 40 bits by each channel; two payloads must clean to the same bytes under ``strict``, and under
``safe`` the bytes stay and a finding names the channel.
"""

from __future__ import annotations

import re
import time
from random import Random

import pytest

from apostille.core.canon import Canonicalizer, apply_edits, canonicalize
from apostille.core.canon import lookalikes as look

ENGLISH = (
    "The committee met on Tuesday and approved the budget of 4,200 EUR for the coming year without further discussion. "
    "Copies of the paper are available at the office; please ask for a copy, or for a scan of the old map, at any time."
)
RUSSIAN = (
    "Все люди рождаются свободными и равными в своём достоинстве и правах. Они наделены разумом и совестью и должны поступать "
    "в отношении друг друга в духе братства. Каждый человек должен обладать всеми правами и всеми свободами."
)
# Final kaf differs to the reader, so it stays: none is here.
PERSIAN = "همه افراد بشر آزاد به دنیا می\u200cآیند و چیزی گم نمی\u200cشود؛ کتاب پنج ریال است و کیف هم چند ریال، پس شکر و کاغذ و کار و فکر بود."
JAPANESE = "カードとコードとモードとケーキとデータとページとゲームとルールとサービスとメールとホームとチームとシーズンとニュースとスーパーマン"
ONE, TWO = "1011001110001111010110100101101001011010", "0100110001110000101001011010010110100101"


def swap(pairs):
    """Write a bit at each character that has another form."""

    def encode(cover, bits):
        left = iter(bits)
        return "".join(pairs[char] if char in pairs and next(left, "0") == "1" else char for char in cover)

    return encode


def swap_words(pairs):
    """Write a bit in each word that can be written with other letters only."""

    def encode(cover, bits):
        left = iter(bits)
        words = cover.split(" ")
        return " ".join(
            "".join(pairs[char] for char in word)
            if len(word) > 1 and all(char in pairs for char in word) and next(left, "0") == "1"
            else word
            for word in words
        )

    return encode


def at_spaces(one):
    def encode(cover, bits):
        left = iter(bits)
        return "".join((one if next(left, "0") == "1" else " ") if char == " " else char for char in cover)

    return encode


def _ligatures(cover, bits):
    parts = cover.split("fi")
    bits = bits.ljust(len(parts), "0")
    return parts[0] + "".join(("\ufb01" if bit == "1" else "fi") + part for bit, part in zip(bits, parts[1:], strict=False))


def _romans(cover, bits):
    parts = cover.split("II")
    bits = bits.ljust(len(parts), "0")
    return parts[0] + "".join(("\u2161" if bit == "1" else "II") + part for bit, part in zip(bits, parts[1:], strict=False))


def _lines(cover, bits):
    parts = cover.split("\n\n")
    return parts[0] + "".join(("\n\n\n" if bit == "1" else "\n\n") + part for bit, part in zip(bits, parts[1:], strict=False))


CYRILLIC = dict(zip("aceopxyijs", "асеорхуіјѕ", strict=True))
GREEK = dict(zip("ovABEHIKMNOPTXYZ", "ονΑΒΕΗΙΚΜΝΟΡΤΧΥΖ", strict=True))
LATIN = {cyrillic: latin for latin, cyrillic in CYRILLIC.items()}
MATHS = {chr(0x61 + index): chr(0x1D41A + index) for index in range(26)}
WIDE = {chr(point): chr(point + 0xFEE0) for point in (*range(0x41, 0x5B), *range(0x61, 0x7B), *range(0x30, 0x3A))}
QUOTES = " ".join(f'"word{letter}"' for letter in "bdfghklmnqrtuvwz" * 2)
CHANNELS = {
    "Cyrillic letters in English": (ENGLISH, swap(CYRILLIC), "MIXED_SCRIPT"),
    "Greek letters in English": ("Tables Open Every About Before Method Paper North Kitchen above hover Onto Anvil " * 3, swap(GREEK), "MIXED_SCRIPT"),
    "Latin letters in Russian": (RUSSIAN, swap(LATIN), "MIXED_SCRIPT"),
    "whole words": (ENGLISH + " so see a copy; so is a piece; yes, as a cop is; as so is" * 2, swap_words(CYRILLIC), "WHOLE_SCRIPT"),
    "mathematical letters": (ENGLISH, swap(MATHS), "STYLED"),
    "fullwidth letters and digits": (ENGLISH, swap(WIDE), "STYLED"),
    "ligatures": ("the first fine office fits five flat files " * 5, _ligatures, "STYLED"),
    "technical letters": ("grating large baggage again, " * 6, swap({"a": "\u0251", "g": "\u0261"}), "TECH_LETTER"),
    "small capitals": (ENGLISH, swap({"o": "\u1d0f", "v": "\u1d20", "w": "\u1d21", "z": "\u1d22", "c": "\u1d04"}), "TECH_LETTER"),
    "em spaces": (ENGLISH, at_spaces("\u2003"), "SPACE_VARIANT"),
    "no-break spaces": (ENGLISH, at_spaces("\u00a0"), "SPACE_VARIANT"),
    "ideographic spaces": (ENGLISH, at_spaces("\u3000"), "SPACE_VARIANT"),
    "two spaces": (ENGLISH, at_spaces("  "), "TYPOGRAPHY"),
    "tabs": (ENGLISH, at_spaces("\t"), "TYPOGRAPHY"),
    "blank lines": ("line\n\n" * 45 + "end", _lines, "TYPOGRAPHY"),
    "colons and slashes": ("http://ex.org/a/b " * 20, swap({":": "\u2236", "/": "\u2215"}), "PUNCT_TWIN"),
    "fullwidth punctuation": ("a:b/c;d,e " * 20, swap({":": "\uff1a", "/": "\uff0f", ";": "\uff1b"}), "PUNCT_TWIN"),
    "hyphens": ("well-known re-use " * 25, swap({"-": "\u2010"}), "PUNCT_TWIN"),
    "quotation marks": (QUOTES, swap({'"': "\u201c"}), "TYPOGRAPHY"),
    "ellipses": ("so... " * 45, lambda cover, bits: "".join("so\u2026 " if bit == "1" else "so... " for bit in bits), "TYPOGRAPHY"),
    "doubled marks": ("n\u0323ow " * 45, lambda cover, bits: "".join("n\u0323\u0323ow " if bit == "1" else "n\u0323ow " for bit in bits), "MARK_DUP"),
    "radicals": ("一人大水火山川木 " * 8, swap({"一": "\u2f00", "人": "\u2f08", "大": "\u2f24", "水": "\u2f54"}), "RADICAL"),
    "long sound marks": (JAPANESE * 2, swap({"ー": "一"}), "KANA_HAN"),
    "Persian kaf": (PERSIAN * 8, swap({"\u06a9": "\u0643"}), "ARABIC_LETTER"),
    "Persian digits": ("سال ۱۴۵۶ و ۱۲۳۷۸ چیز " * 6, swap({chr(0x6F0 + d): chr(0x660 + d) for d in (0, 1, 2, 3, 7, 8, 9)}), "DIGIT_SET"),
    "presentation forms": ("سلام کلام " * 25, swap({"م": "\ufee2"}), "ARABIC_LETTER"),
    "emoji style": ("I \u2764 it " * 45, swap({"\u2764": "\u2764\ufe0f"}), "EMOJI_STYLE"),
    "unassigned characters": ("x\u0378 " * 45, swap({"\u0378": "\u0379"}), "UNASSIGNED"),
    "Roman numerals": ("Louis II and Louis II " * 12, _romans, "STYLED"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANNELS)
def test_two_payloads_clean_to_one_text_under_strict(name):
    cover, encode, _ = CHANNELS[name]
    first, second = encode(cover, ONE), encode(cover, TWO)
    assert first != second
    cleaned = canonicalize(first, profile="strict")
    assert cleaned.bytes == canonicalize(second, profile="strict").bytes
    assert apply_edits(first.encode(), cleaned.findings) == cleaned.bytes


@pytest.mark.parametrize("name", CHANNELS)
def test_safe_reports_the_channel_and_keeps_the_text(name):
    cover, encode, code = CHANNELS[name]
    dirty = encode(cover, ONE)
    found = canonicalize(dirty)
    plain = canonicalize(cover)
    assert code in {finding.code for finding in found.findings}
    if name not in ("doubled marks", "unassigned characters"):  # the one composes, the other is there in the cover too
        assert found.bytes == dirty.rstrip().encode()
        assert code not in {finding.code for finding in plain.findings}


MEANING = [
    ("fractions and units", "½ mg and 1½ µg, 5 µm, 3 m², 20 ℃, 2 Ω, 10 ℓ, 1⁄2"),
    ("superscripts and ordinals", "10⁵ CFU, x², H₂O, 1ª, 2º, ᵃ"),
    ("signs", "﷼ ™ № ℗ ℮ § ¶ † ©"),
    ("a word of two scripts with a hyphen", "USB-кабель и CD-диск"),
    ("a Greek letter in a formula", "Δx = hν, μm, λx, Σx, πr²"),
    ("quantities and proteins", "νmax of it, ρgh and Δv and Δp; TNFα, NFκB and IFNγ, PPARγ, PGC1α make it"),
    ("Cyrillic and Greek words of letters that are taken for others", "The word гора is a mountain, and Κατα is not."),
    ("Hindi digits and Hebrew, Georgian letters", "A० बा०, סוף SMS-ყ და ყი, ஃ"),
    ("IPA", "[ɡɑː] /bɪɡ/ ˈfəʊnətɪk ɡæs ʃɑ̃"),
    ("mathematics", "a ∶ b, x ∈ A, 5 − 3, A ∖ B, 2 ∣ 4, a ≤ b"),
    ("Russian that is all twins", "Вот оса, а вот роса: она со всеми, а сор у Саха."),
    ("Ukrainian", "Він її бачить, і вона є тут; поїхав із Києва"),
    ("Greek", "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι"),
    ("Persian", "می\u200cخواهم کتاب ۱۲۳"),
    ("Arabic", "كتاب يوم ١٢٣٤ في"),
    ("Japanese", "一口サイズの力士、エロ、カー。「Ａ」　".rstrip("　").replace("Ａ", "A")),
    ("Chinese with fullwidth punctuation", "使用Python，然后：好（的）！"),
    ("Vietnamese", "Tất cả mọi người sinh ra đều được tự do"),
    ("Hebrew points", "בְּרֵאשִׁית בָּרָא אֱלֹהִים"),
    ("two words in one", "Все жители \u0410\u0445\u044b\u0448\u04d9\u0430GApplication"),
    ("joined emoji and keycaps", "👩\u200d💻 ❤\ufe0f\u200d🔥 1\ufe0f\u20e3 👍🏽 👩\u200d❤\ufe0f\u200d👨 🧑\u200d⚕\ufe0f"),
    ("a letter alone in a text of another script", "Пусть a и c стороны, а класс A и витамин C; " * 3 + "так что да"),
    ("guillemets", "« oui » et ‹ non ›"),
    ("Tibetan", "བོད་སྐད་ཀྱི"),
    ("a flag", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"),
]


@pytest.mark.parametrize(("why", "text"), MEANING, ids=[why for why, _ in MEANING])
@pytest.mark.parametrize("profile", ["strict", "safe"])
def test_meaning_stays(profile, why, text):
    assert canonicalize(text, profile=profile).bytes.decode() == text


MUCH = "the matter took them to the market, took it to the mat, " * 2 + "and"
STRICT = [
    ("the example of a mixed word", "p\u0430ypal", "paypal", ["MIXED_SCRIPT"]),
    ("a whole word in English", "they \u0441\u043e\u0440\u0435 well", "they cope well", ["WHOLE_SCRIPT"]),
    ("a word no one can tell", "д\u0062ж", "д\u0062ж", []),
    ("a letter that looks like one and is none", "the \u042cudget fo\u0433 m\u0e50st", "the budget for most", ["MIXED_SCRIPT"]),
    ("letters of two other scripts", "they take it \u03bf\uab81 not", "they take it or not", ["MIXED_SCRIPT"]),
    ("what stays in a word lets the rest be told", "they \u03b1\u0440\u0440ly TN\u0046\u03b1 \u03a4NF\u03b1", "they \u03b1pply TNF\u03b1 TNF\u03b1", ["MIXED_SCRIPT"]),
    ("capitals and small letters apart", "USB\u043aабель US\u0412\u043aабель", "USB\u043aабель USB\u043aабель", ["MIXED_SCRIPT"]),
    ("an article in a text of Latin", MUCH + " \u0430 car, \u0410 car, \u0406 am, \u04121 and \u00ab\u0430\u00bb \u0432", MUCH + " a car, A car, I am, B1 and \u00ab\u0430\u00bb \u0432", ["WHOLE_SCRIPT"]),
    ("single letters in Russian and Greek", RUSSIAN + " \u1d0e \u13fc \u03ba a C", RUSSIAN + " \u0438 \u0432 \u03ba a C", ["WHOLE_SCRIPT"]),
    ("short words of Greek", "Όλοι οι άνθρωποι μας \u03bd\u0430 κ\u0061ι Δp", "Όλοι οι άνθρωποι μας να και Δp", ["MIXED_SCRIPT"]),
    ("a word of letters of several scripts that nobody mixes", MUCH + " 5 \u2d39\u144c\U000104b4 for", MUCH + " 5 EUR for", ["MIXED_SCRIPT"]),
    ("a letter alone without much evidence", "take \u0430 car", "take \u0430 car", []),
    ("a low quote that is a comma", "one\u201a two \u201aso\u2018", "one, two 'so'", ["PUNCT_TWIN", "TYPOGRAPHY"]),
    ("hyphens and stops between digits", "555\u20101234 1\u20245", "555-1234 1.5", ["PUNCT_TWIN"]),
    ("French spaces", "oui\u00a0: 5\u00a0%\u202f!", "oui : 5 % !", ["SPACE_VARIANT"] * 3),
    ("an ideographic space between Han", "漢\u3000字", "漢\u3000字", []),
    ("a narrow space before Mongolian", "\u1828\u202f\u1828 a\u202fb", "\u1828\u202f\u1828 a b", ["SPACE_VARIANT"]),
    ("typography", "“a” – ‘b’…", "\"a\" - 'b'...", ["TYPOGRAPHY"] * 6),
    ("indentation in steps of two", "a\n\tb\n   c", "a\n    b\n  c", ["TYPOGRAPHY"] * 2),
    ("one blank line at most", "a\n\n\n\nb", "a\n\nb", ["TYPOGRAPHY"]),
    ("four marks", "x\u0316\u0317\u0318\u0319\u031c", "x\u0316\u0317\u0318\u0319", ["MARK_DUP"]),
    ("a selector of mathematics", "\u2268\ufe00", "\u2268", ["VS_DROP"]),
    ("an ideographic selector", "葛\U000e0100", "葛", ["IVS_DROP"]),
    ("a selector of Mongolian", "\u1828\u1820\u180b\u1828", "\u1828\u1820\u180b\u1828", []),
    ("kana between kana", "か\u30d8か カ\u3078カ", "か\u3078か カ\u30d8カ", ["KANA_HAN"] * 2),
    ("an Arabic digit after a Persian one", "\u06f4 \u0661", "\u06f4 \u06f1", ["DIGIT_SET"]),
    ("two sets with evidence of both", "\u06f4 \u0661 \u0664", "\u06f4 \u0661 \u0664", []),
    ("a Greek minority in a short word", "h\u03bd h\u03bfw f\u03bfr \u0397ow", "h\u03bd how for How", ["MIXED_SCRIPT"]),
]  # fmt: skip


@pytest.mark.parametrize(("why", "text", "expected", "codes"), STRICT, ids=[case[0] for case in STRICT])
def test_strict(why, text, expected, codes):
    found = canonicalize(text, profile="strict")
    assert found.bytes.decode() == expected
    assert sorted({f.code for f in found.findings if f.act in ("drop", "replace")}) == sorted(set(codes))
    assert apply_edits(text.encode(), found.findings) == found.bytes
    assert found.profile.startswith("apostille-strict/1 ucd=")


def test_white_space_in_json_and_markdown_is_data():
    text = "if x:\n    y\t= 1\n\n\n\nz  =  2"
    assert canonicalize(text, media_type="text/markdown", profile="strict").bytes.decode() == text
    found = canonicalize('{"a":"x  y\\u2003z \\ud835\\udc1a"}', media_type="application/json", profile="strict")
    assert found.bytes == b'{"a":"x  y z a"}'
    assert [(finding.code, finding.pointer) for finding in found.findings[1:]] == [("SPACE_VARIANT", "/a"), ("STYLED", "/a")]


def test_keys_are_reported_and_stay():
    found = canonicalize('{"\\u0440\\u0430ypal":"\\u0440\\u0430ypal"}', media_type="application/json", profile="strict")
    assert found.bytes.decode() == '{"\u0440\u0430ypal":"paypal"}'


def test_code_is_looked_at_and_stays():
    text = "x = “p\u0430ypal”"
    found = canonicalize(text, media_type="text/x-code", profile="strict")
    assert found.bytes.decode() == text
    assert {finding.code for finding in found.findings} == {"CODE_MIXED", "TYPOGRAPHY"}


GREEK_TEXT = (
    "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. Είναι προικισμένοι με λογική και "
    "συνείδηση, και οφείλουν να συμπεριφέρονται μεταξύ τους με πνεύμα αδελφοσύνης. "
)
WORD = re.compile("[^\\W\\d_]{4,}")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("script", "cover"), [("Latin", ENGLISH * 2), ("Cyrillic", RUSSIAN * 2), ("Greek", GREEK_TEXT * 2)], ids=["en", "ru", "el"]
)
def test_an_encoder_that_has_read_our_classes_carries_nothing(script, cover, seed):
    """Any letter of a word of four letters or more for any other one of its class, half of them, but never a whole word."""
    choices = {}
    for targets, others in look._CLASSES:
        for point in targets:
            if look.word_script(point) == script:
                found = {chr(other) for other in targets + others if look.word_script(other) != script}
                choices.setdefault(chr(point), set()).update(found)
    random = Random(seed)

    def swapped(hit):
        found = "".join(
            random.choice(sorted(choices[char])) if choices.get(char) and random.random() < 0.5 else char for char in hit.group()
        )
        return found if any(map(str.__eq__, found, hit.group())) else hit.group()[0] + found[1:]

    raw = WORD.sub(swapped, cover)
    assert sum(one != other for one, other in zip(raw, cover, strict=True)) > 80
    assert canonicalize(raw, profile="strict").bytes == canonicalize(cover, profile="strict").bytes


@pytest.mark.parametrize("beside", [chr(point) for point in sorted({*look.PUNCTUATION, *look.FULLWIDTH, 0x1680})], ids=ascii)
def test_what_is_written_otherwise_beside_a_letter_changes_nothing_the_second_time(beside):
    """Punctuation that looks like ASCII is written after the words are judged, and some of it has a script of its own."""
    for word in ("l\U0001028aa", "\U0001028ala", "\u0430", "\u0430b\U0001028a"):
        for text in (f"a{beside}{word}", f"{word}{beside}a", f"{word}{beside} a", f"{beside}{word}{beside}", f"{word}{beside}"):
            for before in ("", "much milk, quick kumquat mimicks; " * 4):
                found = canonicalize(before + text, profile="strict").bytes
                assert canonicalize(found, profile="strict").bytes == found, ascii(text)


FOLDED = [
    ("a mark behind one that a letter brings", "\ufd3c\u064b"),
    ("a mark behind one that the last of two letters brings", "\u01c4\u030ca"),
    ("a stray before a numeral", "that quick market took milk. \u15af\u217b\u2caa"),
    ("a word before a letter-like sign", "that quick market took milk. pop\u2111\u2caa"),
]


@pytest.mark.parametrize("text", [text for _, text in FOLDED], ids=[why for why, _ in FOLDED])
def test_what_becomes_letters_and_marks_is_that_the_first_time(text):
    found = canonicalize(text, profile="strict")
    assert canonicalize(found.bytes, profile="strict").bytes == found.bytes
    assert apply_edits(text.encode(), found.findings) == found.bytes


SHORT = [
    "p\u0430y \u0441\u043e",
    "\u2014\u201ca\u2026\u201d\u201ab",
    "a\u2003\t b\n\n\n c ",
    "h\u03bd f\u03bfr \uab81g",
    "e\u0301\u200b\u0430x m\u0d20\u0d20 \u0915\u0966",
    "\u0661\u06f4 \u0643\u06cc\u0628\ufbec\ufbec",
    "\u30ab\u4e00\u30c9 \u3078\u3079\u30d8",
    "x\u2236/y 1\u20102 \ua4f9a\uff0c1",
    "\u2764\ufe0f\u200d\U0001f525 \u2764\ufe0f 1\ufe0f\u20e3",
    "n\u0323\u0323\u0301 \U0001d41a\ufb01\u0301\u2075",
    "\u05d0\u200f! \u2067\u0430b\u2069\u0378",
    "\u0442\u0435x\u1d1b \u0251\u0261\u0259s",
    "USB\u043a\u0430\u0431 US\u0412\u043a\u0430\u0431",
    "\u0430 I",
]


@pytest.mark.parametrize("text", [*SHORT, MUCH[:66] + " \u0430 \u0410 1"], ids=ascii)
def test_no_two_way_split_shows(text):
    """Every cut between two bytes, also inside a character."""
    raw = text.encode()
    whole = canonicalize(raw, profile="strict")
    assert apply_edits(raw, whole.findings) == whole.bytes
    for cut in range(len(raw) + 1):
        stream = Canonicalizer(profile="strict")
        given = stream.feed(raw[:cut]) + stream.feed(raw[cut:]) + stream.flush()
        assert (given, stream.findings) == (whole.bytes, whole.findings), cut


def test_positions_of_findings_are_those_of_the_raw_bytes():
    """Behind dropped characters, in a bidi window, behind a composed letter: the place is still that of the raw value."""
    text = "e\u0301\u200b \u05d0\u200f! \u2067x\u2069 \u200d\u0430b \u200bp\u0430ypal\u2026"
    found = canonicalize(text)
    word = next(finding for finding in found.findings if finding.was[:1] == (ord("p"),))
    assert text.encode()[word.position : word.position + word.length].decode() == "p\u0430ypal"
    noted = next(finding for finding in found.findings if finding.code == "TYPOGRAPHY")
    assert text.encode()[noted.position : noted.position + noted.length].decode() == "\u2026"


# Each is followed by so much ASCII that a whole text is looked at in larger stretches than one that comes in pieces.
ACROSS_STRETCHES = [
    ("a run of spaces behind quotation marks", "x \u201cq\u201d ", "word " * 150 + "a  b "),
    ("an ideographic space behind a stop", " y\u3002\u3000a" + "b" * 3_000 + " ", ""),
    ("words of twins", "\u0441\u043e\u0440\u0435 ", "word "),
    ("two sets of digits", "\u0661 \u06f1 ", "word "),
]


@pytest.mark.parametrize(("why", "text", "more"), ACROSS_STRETCHES, ids=[why for why, _, _ in ACROSS_STRETCHES])
def test_no_cut_shows_in_what_is_seen(why, text, more):
    for before in (0, 4_090, 64_836, 66_615):
        data = ("word " * (before // 5) + text + more + "word " * 15_000 + "end.").encode()
        whole = canonicalize(data)
        for size in (999, 5_000, 70_000):
            machine = Canonicalizer()
            given = [machine.feed(data[start : start + size]) for start in range(0, len(data), size)]
            assert (b"".join([*given, machine.flush()]), machine.findings) == (whole.bytes, whole.findings)


HOSTILE = {
    "words of two scripts": "p\u0430",
    "one long word": "\u0430",
    "twins with no evidence": "\u0430\u0441 ",
    "Arabic digits": "\u0661\u06f1",
    "punctuation": "\u2236\uff1a",
    "spaces": "\u2003 ",
    "styled letters": "\U0001d41a",
    "kana": "\u3078\u30d8",
    "selectors": "\u2764\ufe0f",
    "letters and blank lines": "a\n\n\n",
}


@pytest.mark.parametrize("profile", ["safe", "strict"])
@pytest.mark.parametrize("name", HOSTILE)
def test_twice_the_text_takes_about_twice_the_time(name, profile):
    def cost(size):
        data = (HOSTILE[name] * size)[:size].encode()
        best = 9.0
        for _ in range(3):
            start = time.thread_time()
            canonicalize(data, profile=profile)
            best = min(best, time.thread_time() - start)
        return best

    cost(100)
    size = 20_000 if profile == "strict" else 44_000  # over what may need no engine
    assert cost(2 * size) < 2.6 * cost(size) + 0.02


def test_the_tables_are_in_order():
    """A letter has twins in one class; what something becomes is nothing that becomes something else."""
    points = [point for targets, _ in look._CLASSES for point in targets]
    assert len(points) == len(set(points))
    for _, parts in look.FOLDS.values():
        assert not any(part in look.FOLDS or part in look.TECHNICAL or part in look.PUNCTUATION for part in parts)
    for targets, others in look._CLASSES:
        assert len({*map(look.word_script, targets), *map(look.word_script, others)}) > 1
        assert all(map(look.word_script, targets + others))
        assert not look.STRAYS.intersection(targets)


def test_what_is_evidence_does_not_change():
    """A letter and what it becomes are evidence of the same, signs of phonetic writing stay, and case is kept."""
    points = {point for targets, others in look._CLASSES for point in targets + others}
    for targets, others in look._CLASSES:
        assert len({point in look.PHONETIC for point in targets + others}) == 1
    assert not any(map(look.evidence, points))
    for point, (other,) in look.TECHNICAL.items():
        assert look.evidence(point) == look.evidence(other)
    for point in points - look.STRAYS:
        for script in look.SCRIPTS:
            for other in look.twin(point, script):
                assert look.is_capital(point) == look.is_capital(other), f"U+{point:04X} U+{other:04X}"


def test_white_space_in_tables_is_data():
    """A TAB parts two columns of text/tab-separated-values: the layout rules are for plain text alone."""
    table = "a\tb  c\n1\t2\n"
    for media_type in ("text/tab-separated-values", "text/csv", "text/html"):
        found = canonicalize(table, media_type=media_type, profile="strict", is_file=True)
        assert found.bytes.decode() == table
    assert canonicalize(table, profile="strict", is_file=True).bytes.decode() != table
