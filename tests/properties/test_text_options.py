"""Properties of the text rules under every set of options: the laws hold as without (canonical.md section 1 decision 4; ADR 0019)."""

from __future__ import annotations

import unicodedata2
from hypothesis import given, settings
from hypothesis import strategies as st
from test_canon import LAWS, changes, hold_for_every_cut, hostile

from apostille.core.canon import apply_edits, canonicalize
from apostille.core.canon.options import OPTIONS, TextOptions
from apostille.core.canon.policy import Policy

ICONS = (0xE000, 0xE010)
options = st.builds(
    TextOptions,
    pua_allow=st.sampled_from([(), (ICONS,)]),
    **{option.name: st.sampled_from(option.values) for option in OPTIONS if option.values},
)


def selectors(data):
    return "".join(chr(0xFE00 + byte) if byte < 16 else chr(0xE0100 + byte - 16) for byte in data)


HEADER = b"C2PATXT\0\1"
_manifest = st.binary(max_size=4).map(lambda data: "\ufeff" + selectors(HEADER + len(data).to_bytes(4, "big") + data))
_padding = st.lists(st.sampled_from([0, 255, 7]), max_size=5).map(selectors)
POOLS = [
    "\u200b\u0e01\u0e35\u0e49\u1000\u1039\u1780\u17d2 a1",
    "\u200b\u200c\u200d\u0e01\u0e02\b\u202e\u200f\u05d0",
    "\u200c\u200d\u0d23\u0d28\u0d4d\u0d3e\u0b15\u0b4d\u0b30. a",
    "\ue000\ue00f\ue011\u0301\u0316\u200f\u05d0\ufe0f\u200d\b",
    "\uf900\U0002f800\U0002f81e\ufe00\ufe01\U000e0100\u0301\u200d",
    "\r\n\x00\u2028 \ta",
    "\u00ab\u00bb\u00a0:;?! \u202f\na",
    " \n\t\u200b\ufeff\ue000",
]
_piece = st.one_of(*(st.text(pool, max_size=8) for pool in POOLS), _manifest, _padding, hostile)
texts = st.lists(_piece, max_size=8).map("".join)


@settings(LAWS, max_examples=600)
@given(texts, options, st.sampled_from(["safe", "strict"]), st.booleans())
def test_every_text_keeps_the_laws_under_every_option(text, how, profile, is_file):
    raw, policy = text.encode(), Policy(text=how)
    found = canonicalize(raw, profile=profile, is_file=is_file, policy=policy)
    clean = found.bytes.decode()
    assert unicodedata2.normalize("NFC", clean) == clean
    assert apply_edits(raw, found.findings) == found.bytes
    assert bool(changes(found.findings)) == (found.bytes != raw)
    again = canonicalize(found.bytes, profile=profile, is_file=is_file, policy=policy)
    assert (again.bytes, changes(again.findings)) == (found.bytes, [])
    assert again.residue == found.residue


@settings(LAWS, max_examples=300)
@given(texts, options, st.sampled_from(["safe", "strict", "report"]), st.data())
def test_no_cut_shows_under_any_option(text, how, profile, data):
    hold_for_every_cut(text, profile, data, Policy(text=how))


_markup = st.sampled_from(["*", "`", "\n\n", "# ", "> ", "<!-- x -->", "[a](b)", "&#xE000;", "&#8203;", "&#xFEFF;", "&zwj;"])


@settings(LAWS, max_examples=150)
@given(st.lists(st.one_of(texts, _markup), max_size=6).map("".join), options, st.booleans())
def test_markdown_keeps_the_laws_under_every_option(text, how, is_file):
    raw, policy = text.encode(), Policy(text=how)
    found = canonicalize(raw, media_type="text/markdown", is_file=is_file, policy=policy)
    assert apply_edits(raw, found.findings) == found.bytes
    again = canonicalize(found.bytes, media_type="text/markdown", is_file=is_file, policy=policy)
    assert (again.bytes, changes(again.findings)) == (found.bytes, [])
