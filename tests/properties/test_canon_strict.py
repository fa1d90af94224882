"""Properties of profile ``strict`` (canonical.md sections 5, 7 and 13): the same laws as for ``safe``, on texts of look-alikes.

Total, idempotent, NFC by another implementation, edits lead from raw to canonical, no cut shows, whatever ``safe`` reports it
leaves as it is.
"""

from __future__ import annotations

import unicodedata2
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_canon import hold_for_every_cut, hostile

from apostille.core.canon import apply_edits, canonicalize
from apostille.core.canon import lookalikes as look
from apostille.core.canon.alphabet import KINDS, UNASSIGNED

LAWS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

POOLS = [
    "aаαеeopсcxу bdжяфλ",
    "АAΑВBСCЕEНHОOРPТTХX δДZ",
    "pаypal ɑɡſᴄʜɪ ə/[ ",
    " \t\n\u00a0\u2003\u3000\u202f\u1680漢a",
    ":\u2236/\u2215\u2024.\u01c3!\uff1a\uff0fab1漢\u2011-",
    "\u064a\u06cc\u0643\u06a9\u0628\u0629\u067e\u200c",
    "\u0660\u0661\u0664\u06f0\u06f1\u06f4 5",
    "カ一ドーへヘベべロ口エ工漢ひ",
    "𝐚𝟏ＡａﬁⅧﻻﻙﺑ\u2f00\u2e81",
    "“”‘’—–…«» ",
    "n\u0323\u0301\u0308ṇé\u0315\u0306\u0307",
    "❤\ufe0f\ufe0e\u200d🔥1\u20e3👩葛\U000e0100\u2268\ufe00",
    "\u0378\u200f\u200e\u2067\u2069\u05d0\u0628(1)",
    "ԁⲟꓮᎪՕսո",
    "ꮁгrⲅᴦbЬбνmахpρκкĸtAΔTF",
    "oഠ०\u05e1ჿ\U0001042cfkഠക०१ ",
]
_fold = st.sampled_from([chr(point) for point in look.FOLDS][::5])
_unassigned = st.sampled_from([chr(point) for point in range(0x110000) if KINDS[point] == UNASSIGNED][::50_000])
_piece = st.one_of(*(st.text(pool, max_size=10) for pool in POOLS), _fold, _unassigned)
alike = st.lists(_piece, max_size=14).map("".join)
texts = st.one_of(alike, st.tuples(alike, hostile, alike).map("".join))


def changes(findings):
    return [finding for finding in findings if finding.act in ("drop", "replace")]


@settings(LAWS, max_examples=500)
@given(texts, st.booleans())
@example("pɑуpal is a bad word", False)
@example("x：∶漢 a：∶x", False)
@example("\ufbec\ufbec", False)
@example("\u1d1b\u029c\u1d07 \u0430\u043e", False)
@example("ꮁ гора οꮁ \u0430\u043e", False)
@example("\u05e1IJ\u1680", False)
def test_every_text_keeps_the_laws(text, is_file):
    raw = text.encode()
    found = canonicalize(raw, profile="strict", is_file=is_file)
    assert unicodedata2.normalize("NFC", found.bytes.decode()) == found.bytes.decode()
    assert apply_edits(raw, found.findings) == found.bytes
    assert bool(changes(found.findings)) == (found.bytes != raw)
    again = canonicalize(found.bytes, profile="strict", is_file=is_file)
    assert (again.bytes, changes(again.findings)) == (found.bytes, [])
    # What strict gives is canonical under safe too.
    assert canonicalize(found.bytes, is_file=is_file).bytes == found.bytes


@settings(LAWS, max_examples=300)
@given(texts, st.sampled_from(["strict", "safe"]), st.data())
def test_no_cut_shows(text, profile, data):
    hold_for_every_cut(text, profile, data)


@settings(LAWS, max_examples=200)
@given(texts)
def test_markdown_and_json_strings_keep_the_laws(text):
    found = canonicalize(text, media_type="text/markdown", profile="strict")
    assert apply_edits(text.encode(), found.findings) == found.bytes
    assert canonicalize(found.bytes, media_type="text/markdown", profile="strict").bytes == found.bytes


@settings(LAWS, max_examples=200)
@given(texts)
def test_safe_reports_look_alikes_and_keeps_them(text):
    found = canonicalize(text)
    assert {finding.act for finding in found.findings if finding.code in look.CODES} <= {"report"}
