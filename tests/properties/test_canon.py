"""Properties of the canonicalizer (canonical.md section 1 decisions 3 and 4, section 4 "Law", section 13).

A naive model of profile /0, written from the rules over whole strings and with the normalizer of unicodedata2, must agree with the
engine on hostile text; and every text must keep the laws: total, idempotent, NFC, edits lead from raw to canonical, no cut shows.
Closure: a clean text with hidden characters put in cleans to its own bytes.
"""

from __future__ import annotations

import json
import re

import unicodedata2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apostille.core.canon import Canonicalizer, apply_edits, canonicalize, format_findings
from apostille.core.canon.alphabet import ATTENTION, is_clean
from apostille.errors import ApostilleError

# A busy machine draws slowly; that is no fault of the code.
LAWS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef\u180b-\u180d\u180f"
FLAGS = "|".join(
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
)

POOLS = [
    "ab \n\t-",
    "\r\n\v\f\x85\u2028\u2029\x00\x1b\x7f\x9b",
    "ea\u0301\u0323\u0308\u0344\u0316\u0338\u05b7\u05b4\u05d0\u093c\u0928",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e007f\U000e0041\U000e0001",
    "\ufe0f\ufe00\U000e0100\u180b\u2764x",
    "\u202a\u202b\u202c\u202c\u202d\u202e\u2066\u2067\u2069\u200f",
    "\ufeff\ufdd0\U0001ffff\u200b\u034f",
    "\u1100\u1161\u11a8가각\u1175\u11a7",
    "\U00016d63\U00016d67\U00016d68\U00016d69\u09c7\u09be\u0dd9\u0dca\u0ddc\u0dcf\u0f43\ufb2c\u212a\U0002f800\U0001d160\u0f71\u0f73\u1ec5\u1e0a",
    "한é漢字👩\u200d💻½⁵",
]
_special = st.sampled_from(sorted(char for char in ATTENTION if not "\ud800" <= char <= "\udfff"))
_flag = st.sampled_from(FLAGS.split("|"))
_marks = st.text("\u0301\u0323\u0344\ufe0f\u0316", min_size=20, max_size=45)
_piece = st.one_of(*(st.text(pool, max_size=6) for pool in POOLS), _special, _flag, _marks, st.text(max_size=3))
hostile = st.lists(_piece, max_size=12).map("".join)


def model(text):
    """Apply the rules of profile /0 one after another to the whole text."""
    dropped = r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufdd0-\ufdef" + "".join(
        chr(plane + low) for plane in range(0, 0x110000, 0x10000) for low in (0xFFFE, 0xFFFF)
    )
    text = re.sub(dropped + "]", "", text)
    text = re.sub("\r\n|[\r\v\f\x85\u2028\u2029]", "\n", text)
    text = "\n".join(map(_without_overrides, text.split("\n")))
    text = re.sub(f"({FLAGS})|[\U000e0000-\U000e007f]", lambda match: match[1] or "", text)
    text = re.sub(f"[{SELECTORS}]{{2,}}", "", text)
    return unicodedata2.normalize("NFC", _capped(text.lstrip("\ufeff")))


def _without_overrides(paragraph):
    stack, out = [], []
    for char in paragraph:
        if char in "\u202a\u202b\u2066\u2067\u2068":
            stack.append("isolate" if char >= "\u2066" else "embedding")
        elif char in "\u202d\u202e":
            stack.append("override")
            continue
        elif char == "\u202c":
            if stack and stack[-1] != "isolate" and stack.pop() == "override":
                continue
        elif char == "\u2069" and "isolate" in stack:
            while stack.pop() != "isolate":
                pass
        out.append(char)
    return "".join(out)


def _capped(text):
    out, weight, flooded = [], 0, False
    for char in text:
        inner = sum(unicodedata2.category(part)[0] == "M" for part in unicodedata2.normalize("NFD", char))
        if unicodedata2.category(char)[0] == "M":
            flooded = flooded or weight + inner > 30
            if flooded:
                continue
            weight += inner
        else:
            weight, flooded = inner, False
        out.append(char)
    return "".join(out)


@settings(LAWS, max_examples=400)
@given(hostile)
def test_the_engine_is_the_model_and_keeps_the_laws(text):
    raw = text.encode()
    found = canonicalize(raw)
    assert found.bytes == model(text).encode()
    assert unicodedata2.normalize("NFC", found.bytes.decode()) == found.bytes.decode()
    assert apply_edits(raw, found.findings) == found.bytes
    assert bool(found.findings) == (found.bytes != raw)
    again = canonicalize(found.bytes)
    assert (again.bytes, again.findings) == (found.bytes, ())
    if is_clean(text):
        assert found.findings == ()
    json.loads(format_findings(found.findings))


@settings(LAWS, max_examples=200)
@given(hostile, st.sampled_from(["safe", "report"]), st.data())
def test_no_cut_shows(text, profile, data):
    raw = text.encode()
    whole = canonicalize(raw, profile=profile)
    for cuts in ([data.draw(st.integers(0, len(raw)))], sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))):
        stream = Canonicalizer(profile=profile)
        given, start = b"", 0
        for cut in (*cuts, len(raw)):
            given += stream.feed(raw[start:cut])
            start = cut
        given += stream.flush()
        assert (given, stream.findings) == (whole.bytes, whole.findings)


@settings(LAWS, max_examples=100)
@given(hostile)
def test_report_changes_nothing_and_sees_the_same(text):
    safe, report = canonicalize(text), canonicalize(text, profile="report")
    assert report.bytes == text.encode()
    assert {finding.act for finding in report.findings} <= {"report"}
    assert {finding.code for finding in report.findings} == {finding.code for finding in safe.findings}
    assert apply_edits(report.bytes, report.findings) == report.bytes


@settings(LAWS, max_examples=200)
@given(
    st.one_of(st.binary(max_size=40), st.text(st.characters(), max_size=20), hostile),
    st.sampled_from(["text/plain", "application/json"]),
)
def test_any_input_gives_a_value_or_an_error_of_ours(data, media_type):
    try:
        found = canonicalize(data, media_type=media_type)
    except ApostilleError:
        return
    again = canonicalize(found.bytes, media_type=media_type)
    assert again.bytes == found.bytes


# Things that hide a message; none may stand next to a selector, a flag or a line end of the cover, where a rule looks at neighbors.
_hidden = st.one_of(
    st.text(st.characters(min_codepoint=0xE0020, max_codepoint=0xE007E), min_size=1, max_size=8),
    st.text("\ufe00\ufe01\ufe0f\U000e0100\U000e01ef\u180b", min_size=2, max_size=8),
    st.sampled_from(["\u202e", "\u202d", "\u202e\u202d", "\x00", "\x1b\x07", "\x9b", "\ufdd0", "\U0010ffff"]),
)
COVER = [
    "The refund is 42 EUR.",
    "Все люди рождаются свободными",
    "می\u200cخواهم",
    "सभी मनुष्यों को",
    "Tất cả mọi người",
    "בְּרֵאשִׁית בָּרָא",
    "모든 인간은",
    "人人生而自由，在",
    "ผู้อยู่",
    "👩\u200d💻 😀 👍🏽",
    "1½ × 10⁵",
]


@settings(LAWS, max_examples=200)
@given(
    st.lists(st.sampled_from(COVER), min_size=1, max_size=4), st.lists(st.tuples(st.integers(0), _hidden), min_size=1, max_size=8)
)
def test_what_is_hidden_leaves_no_trace(lines, hidden):
    cover = unicodedata2.normalize("NFC", "\n".join(lines))
    places = {place % (len(cover) + 1): what for place, what in hidden}
    dirty = "".join(places.get(index, "") + char for index, char in enumerate(cover)) + places.get(len(cover), "")
    assert canonicalize(dirty).bytes == cover.encode()


@settings(LAWS, max_examples=100)
@given(
    st.recursive(
        st.one_of(hostile, st.none(), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    )
)
def test_json_strings_have_the_text_rules(value):
    def clean(item):
        if isinstance(item, str):
            return model(item)
        if isinstance(item, list):
            return [clean(inner) for inner in item]
        return {key: clean(inner) for key, inner in item.items()} if isinstance(item, dict) else item

    raw = json.dumps(value).encode()
    try:
        found = canonicalize(raw, media_type="application/json")
    except ApostilleError as error:
        # Random keys may be equal after cleaning.
        assert "JSON_KEY_TWIN" in [finding.code for finding in error.findings]
        return
    assert json.loads(found.bytes) == clean(value)
    assert apply_edits(raw, found.findings, canonical=found.bytes) == found.bytes
