"""Encoders of our own for every invisible channel: what they hide in a text leaves no trace in its canonical form (section 13).

Each encoder writes the same 40 bits into a cover; two payloads must clean to the same bytes, and those are the bytes of the cover.
"""

from __future__ import annotations

import pytest

from apostille.core.canon import canonicalize

COVER = {
    "English": "The committee met on Tuesday and approved the budget of 4,200 EUR for the coming year without further discussion.",
    "Persian": "تمام افراد بشر آزاد به دنیا می\u200cآیند و از لحاظ حیثیت و حقوق با هم برابر می\u200cشوند و همه دارای عقل و وجدان هستند.",
    "Hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है और उन्हें बुद्धि मिली है।",
    "Malayalam": "മനുഷ്യരെല്ലാവരും തുല്യാവകാശങ്ങളോടും അന്തസ്സോടും സ്വാതന്ത്ര്യത്തോടുംകൂടി ജനിച്ചവരാണ് എന്നവർ പറഞ്ഞു കൊണ്ടിരുന്നു.",
    "Hebrew": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם וכולם חוננו בתבונה ובמצפון לפיכך חובה עליהם לנהוג איש ברעהו.",
    "Chinese": "人人生而自由在尊严和权利上一律平等他们赋有理性和良心并应以兄弟关系的精神相对待人人有资格享有本宣言所载的一切权利和自由不分种族",
    "Emoji": "Deploy went fine 👩\u200d💻 thanks ❤\ufe0f to all of you 👍🏽 and see you 🏳\ufe0f\u200d🌈 again on Monday 1\ufe0f\u20e3 as we said before today.",
}


def _between(one, zero=""):
    """Hide a bit behind each of the first characters."""
    return lambda cover, bits: "".join(char + (one if bit == "1" else zero) for char, bit in zip(cover, bits, strict=False)) + cover[len(bits) :]


def _at_spaces(one):
    """Hide a bit at each space, from the first one on."""

    def encode(cover, bits):
        words = cover.split(" ")
        out = [words[0]]
        for index, word in enumerate(words[1:]):
            out.append((one if index < len(bits) and bits[index] == "1" else "") + " " + word)
        return "".join(out)

    return encode


def _behind(hidden):
    return lambda cover, bits: cover + hidden(bits)


def _selectors(bits):
    return "".join(chr(0xE0100 + byte - 16) if byte >= 16 else chr(0xFE00 + byte) for byte in _bytes(bits))


def _bytes(bits):
    return int(bits, 2).to_bytes(5, "big")


CHANNELS = {
    "zero width space": _between("\u200b"),
    "word joiner and inner byte order mark": _between("\u2060", "\ufeff"),
    "soft hyphen": _between("\u00ad"),
    "invisible operators": _between("\u2062", "\u2063"),
    "deprecated format characters": _between("\u206a", "\u206b"),
    "Hangul filler": _between("\u3164"),
    "vowel separator": _between("\u180e"),
    "unlisted selector": _between("\ufe0a"),
    "ideographic selector": _between("\U000e01ef"),
    "Mongolian selector": _between("\u180d"),
    "tags": _behind(lambda bits: "".join(chr(0xE0020 + byte % 0x5F) for byte in _bytes(bits))),
    "bytes in selectors": _behind(_selectors),
    "C2PA-like wrapper": _behind(lambda bits: "\ufeff" + _selectors("0" * 40) + _selectors(bits)),
    "annotation marks": _between("\ufff9"),
    "private use": _between("\ue123"),
    "noncharacter": _between("\ufdd3"),
    "override and its closer": _between("\u202d\u202c"),
    "empty isolate": _between("\u2066\u2069"),
    "control": _between("\x02"),
    "terminal sequence": _between("\x1b[0m", "\x1b[m"),
    "title of a terminal": _behind(lambda bits: f"\x1b]0;{bits}\x07"),
    "trailing spaces": _behind(lambda bits: bits.replace("1", "\t").replace("0", " ")),
    "line ends": lambda cover, bits: "".join(("\r\n" if bit == "1" else "\u2028") for bit in bits) + cover,
    "spaces at line ends": lambda cover, bits: cover + "".join("\n" + (" " if bit == "1" else "") for bit in bits),
    "blank Braille cells at spaces": _at_spaces("\u2800"),
    "soft hyphens at spaces": _at_spaces("\u00ad"),
}
# Where a joiner draws nothing: not in these covers' own places.
CHANNELS_OF = {
    "joiners": (("English", "Chinese", "Hebrew"), _between("\u200c", "\u200d")),
    "direction marks": (("English", "Chinese"), _between("\u200e", "\u200f")),
    "direction marks in Hebrew": (("Hebrew",), _between("\u200f", "")),
    "grapheme joiner": (("English", "Persian", "Hindi", "Chinese", "Emoji"), _between("\u034f")),
    "canonical order": (("English",), lambda cover, bits: "".join("a\u0323\u0301" if bit == "1" else "a\u0301\u0323" for bit in bits) + cover),
    "singletons": (("English",), lambda cover, bits: "".join("\u212b" if bit == "1" else "A\u030a" for bit in bits) + cover),
}
ONE, TWO = "1011001110001111010110100101101001011010", "0100110001110000101001011010010110100101"


def _cases():
    for name, encode in CHANNELS.items():
        for language in COVER:
            if language != "Chinese" or "at spaces" not in name:  # there are none
                yield name, language, encode
    for name, (languages, encode) in CHANNELS_OF.items():
        for language in languages:
            yield name, language, encode


@pytest.mark.parametrize(("name", "language", "encode"), [pytest.param(*case, id=f"{case[0]}-{case[1]}") for case in _cases()])
def test_two_payloads_clean_to_one_text(name, language, encode):
    cover = COVER[language]
    first, second = encode(cover, ONE), encode(cover, TWO)
    assert first != second
    cleaned = canonicalize(first).bytes
    assert cleaned == canonicalize(second).bytes
    if name not in ("line ends", "spaces at line ends", "canonical order", "singletons"):
        assert cleaned.decode() == cover


@pytest.mark.parametrize("language", COVER)
def test_the_covers_are_canonical(language):
    assert canonicalize(COVER[language]).bytes.decode() == COVER[language]
