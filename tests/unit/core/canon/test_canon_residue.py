"""Residue: the bound on what kept optional characters could carry, its sentence and its quota (canonical.md sections 1 and 10)."""

from __future__ import annotations

from math import comb

import pytest

from apostille.core.canon import Canonicalizer, Residue, canonicalize
from apostille.core.canon.residue import QUOTA, QUOTAS, Tally, measure

PERSIAN = "می\u200cخواهم "


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


def test_ordinary_text_is_under_the_quota():
    for text in (PERSIAN * 3 + "سلام دوست من این یک متن است " * 4, "Well done 👩\u200d💻 ❤\ufe0f!", "I said שלום!\u200f and that was it."):
        assert "RESIDUE_QUOTA" not in {finding.code for finding in canonicalize(text).findings}


def test_more_than_ordinary_is_reported():
    text = "\u0628\u200c\u0628" * 400
    found = canonicalize(text)
    assert found.residue.over_quota == ("ZWNJ_KEEP",)
    (quota,) = [finding for finding in found.findings if finding.code == "RESIDUE_QUOTA"]
    assert (quota.act, quota.severity, quota.count) == ("report", "w", 400)
    assert QUOTAS["ZWNJ_KEEP"] > QUOTA


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
