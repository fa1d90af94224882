"""Residue: the bound on what kept optional characters could carry, its sentence and its quota (canonical.md sections 1 and 10)."""

from __future__ import annotations

from math import comb

import pytest

from apostille.core.canon import Canonicalizer, Residue, canonicalize
from apostille.core.canon.residue import QUOTA, Tally, measure, quota
from apostille.core.canon.tables import quotas

PERSIAN = "می\u200cخواهم "

ORDINARY = {
    "Persian": (
        "تمام افراد بشر آزاد به دنیا می\u200cآیند و از لحاظ حیثیت و حقوق با هم برابرند. همه دارای عقل و وجدان هستند و باید نسبت به یکدیگر با روح "
        "برادری رفتار کنند. کتاب\u200cهای شهر هر روز در دسترس است و هر کس می\u200cتواند آنها را به خانه ببرد. "
    ),
    "Hindi": (
        "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है। उन्हें बुद्धि और अन्तरात्मा की देन प्राप्त है "
        "और परस्पर उन्हें भाईचारे के भाव से बर्ताव करना चाहिए। यह वाक्\u200dय ठीक है। "
    ),
    "Malayalam": (
        "മനുഷ്യരെല്ലാവരും തുല്യാവകാശങ്ങളോടും അന്തസ്സോടും സ്വാതന്ത്ര്യത്തോടുംകൂടി ജനിച്ചവരാണ്. അന്യോന്യം ഭ്രാതൃഭാവത്തോടെ പെരുമാറുവാനാണ് മനുഷ്യന് "
        "വിവേകബുദ്ധിയും മനസ്സാക്ഷിയും സിദ്ധമായിരിക്കുന്നത്. സോഫ്റ്റ്\u200cവെയര് പുതുക്കുക. "
    ),
    "Sinhala": "සියලු මනුෂ්\u200dයයෝ නිදහස්ව උපත ලබා ඇත. ගරුත්වයෙන් හා අයිතිවාසිකම්වලින් සමාන වෙති. ශ්\u200dරී ලංකාව සහ ප්\u200dරජාව. ",
    "chat": (
        "Hey, are you coming tonight? 🎉 I\u2019ll bring the cake ❤\ufe0f and Sam brings music 🎵😂😂 See you at eight! 👩\u200d💻 is still at work, "
        "poor thing 😅 but she comes later 👍🏽 Say hi to the family 👨\u200d👩\u200d👧\u200d👦 and take care ☀\ufe0f "
    ),
    "Hebrew in English": "I said שלום!\u200f and he said it back, then we walked home along the river and talked about the weather. ",
}


def test_a_text_without_optional_characters_has_none():
    found = canonicalize("The refund is 42 EUR. Grüße.")
    assert found.residue == Residue(0, (), 28, ())
    assert str(found.residue) == (
        "format residue 0 bits (optional characters kept in this text); linguistic residue not bounded"
    )


def test_the_bound_counts_alternatives_and_places():
    found = canonicalize("می\u200cخواهم")
    # One joiner, there or not, behind one of eight characters.
    assert found.residue.channels == (("ZWNJ_KEEP", 1, 1 + (8).bit_length() + 2),)
    assert found.residue.characters == 8


@pytest.mark.parametrize("characters", [1, 2, 10, 63, 64, 500])
def test_the_bound_is_never_below_the_choice_of_places(characters):
    for kept in range(1, characters + 1):
        (channel,) = measure({"ZWNJ_KEEP": Tally(kept, 0, 0, 0)}, characters).channels
        assert 2 ** channel[2] >= comb(characters, kept)


def test_selectors_carry_the_choice_among_those_listed():
    han = canonicalize("\u845b\U000e0100").residue
    dotted = canonicalize("\u2229\ufe00").residue
    assert han.bits > dotted.bits > 0


@pytest.mark.parametrize("name", ORDINARY)
@pytest.mark.parametrize("times", [1, 3, 40])
def test_ordinary_text_of_a_script_is_under_its_quota(name, times):
    found = canonicalize(ORDINARY[name] * times)
    assert found.residue.bits > 0, "it keeps something"
    assert found.residue.over_quota == ()


def hidden_everywhere(text):
    """Put U+200C into every place of a text where it stays."""
    shown = "".join(f"{char}\u200c" for char in text.replace("\u200c", ""))
    return canonicalize(shown).bytes.decode()


@pytest.mark.parametrize("name", ["Persian", "Hindi", "Malayalam"])
def test_a_message_in_every_legal_place_is_over_the_quota(name):
    """The text draws otherwise at every place, so that nobody would write it; a quarter of the places is too much as well."""
    cover = ORDINARY[name] * 5
    full = hidden_everywhere(cover)
    assert full.count("\u200c") > 4 * cover.count("\u200c")
    assert "ZWNJ_KEEP" in canonicalize(full).residue.over_quota
    parts = full.split("\u200c")
    quarter = "".join(part + ("\u200c" if number % 4 == 0 else "") for number, part in enumerate(parts))
    assert "ZWNJ_KEEP" in canonicalize(quarter).residue.over_quota


def test_a_script_does_not_lend_its_quota_to_another_one():
    """What is ordinary in Persian is not in Hindi, also where both stand in one text."""
    rate = "क्\u200cष एक वाक्य है जो लम्बा है। "
    assert canonicalize(rate * 30).residue.over_quota == ("ZWNJ_KEEP",)
    assert canonicalize(rate * 30 + ORDINARY["Persian"] * 2).residue.over_quota == ("ZWNJ_KEEP",)


def test_the_quotas_are_those_of_the_table():
    rows = [word.split(":") for word in quotas.QUOTAS.split(" ")]
    assert len(rows) >= 8
    for code, script, bits in rows:
        assert quota(code, "" if script == "*" else script) == int(bits) > QUOTA
    assert quota("ZWNJ_KEEP", "Devanagari") == quota("CGJ_KEEP", "Hebrew") == QUOTA
    assert quota("ZWJ_KEEP", "Common") > QUOTA


def test_what_is_counted_by_script_is_what_is_counted():
    text = ORDINARY["Persian"] + ORDINARY["Sinhala"] + ORDINARY["chat"]
    for media_type in ("text/plain", "text/markdown"):
        found = canonicalize(text, media_type=media_type)
        counts = {finding.code: finding.count for finding in found.findings if finding.act == "keep"}
        assert counts["ZWNJ_KEEP"] == text.count("\u200c")
        assert counts["ZWJ_KEEP"] == text.count("\u200d")
    tally = Tally(0, 0, 0x200C, 0)
    for bits, script in ((1, "Arabic"), (2, "Arabic"), (4, "")):
        tally.add(bits, script)
    assert (tally.count, tally.bits, tally.scripts) == (3, 7, {"Arabic": (2, 3), "": (1, 4)})


def test_ordinary_text_is_under_the_quota():
    for text in (PERSIAN * 3 + "سلام دوست من این یک متن است " * 4, "Well done 👩\u200d💻 ❤\ufe0f!", "I said שלום!\u200f and that was it."):
        assert "RESIDUE_QUOTA" not in {finding.code for finding in canonicalize(text).findings}


def test_more_than_ordinary_is_reported():
    text = "\u0628\u200c\u0628" * 400
    found = canonicalize(text)
    assert found.residue.over_quota == ("ZWNJ_KEEP",)
    (over,) = [finding for finding in found.findings if finding.code == "RESIDUE_QUOTA"]
    assert (over.act, over.severity, over.count) == ("report", "w", 400)
    assert quota("ZWNJ_KEEP", "Arabic") > QUOTA


def test_it_does_not_depend_on_cuts_and_media_types():
    text = (PERSIAN * 50).encode()
    stream = Canonicalizer()
    for start in range(0, len(text), 7):
        stream.feed(text[start : start + 7])
    assert stream.residue is None
    stream.flush()
    assert stream.residue == canonicalize(text).residue
    inside = canonicalize(b'{"a":"' + text + b'"}', media_type="application/json").residue
    assert inside.channels[0][:2] == ("ZWNJ_KEEP", 50)
    assert canonicalize(b"\xff", media_type="image/png").residue is None


def test_what_is_kept_twice_is_one_finding():
    found = canonicalize(PERSIAN * 3 + ".")
    (kept,) = found.findings
    assert (kept.code, kept.act, kept.count, kept.position, kept.length) == ("ZWNJ_KEEP", "keep", 3, 4, 0)
