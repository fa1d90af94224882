"""Properties of the canonicalizer (canonical.md section 1 decisions 3 and 4, section 4 "Law", section 13).

Every text keeps the laws: total, idempotent, NFC by another implementation, edits lead from raw to canonical, no cut shows, report
changes nothing. Closure: a clean text with hidden characters put in cleans to its own bytes, whatever the characters were.
Texts are drawn from pools that meet each other's rules, and from every Unicode property that a rule looks at.
"""

from __future__ import annotations

import json

import unicodedata2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apostille.core.canon import Canonicalizer, apply_edits, canonicalize, format_findings
from apostille.core.canon.alphabet import KINDS, PLAIN, is_clean
from apostille.core.canon.findings import Ledger
from apostille.core.canon.policy import DEFAULT
from apostille.core.canon.text import TextEngine
from apostille.errors import ApostilleError

# A busy machine draws slowly; that is no fault of the code.
LAWS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

FLAGS = [
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
]

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
    "\u200c\u200d\u0645\u06cc\u0631\u0627\u064e\u0651 ",
    "\u200c\u200d\u0915\u094d\u0937\u093c\u0930\u0d28\u0d4d\u0dca\u0dbb\u09b0\u09cd\u09af",
    "\u200d\ufe0f\ufe0e👩❤🔥💋👨🏽🏴\u2640",
    "\u1820\u1828\u180b\u180c\u180e\u200d\u202f",
    "\u05d0\u05d1\u05b4\u05b7\u034f\u200f\u200e\u2067\u2069!(a1) ",
    "\u202a\u202b\u202c\u2068\u2069\u061c\u0627\u0661-%/.\n",
    "\x1b[]8;m\x07\\P\x9b\x9d\x9c\x08ab_",
    " \t\n\r\u3000\u00a0\u2000\u2800\u2801",
    "\u115f\u1160\u1100\u1161\u11a8\ua960\ud7b0",
    "0#1\ufe0f\u20e3葛\U000e0100\U000e0101\u2268\ufe00",
    "\ue000\U000f0000\u0378\U0001d159\u00ad\u2061\ufffc\u3164",
    "\U0001bc00\U0001bca0\U00013000\U00013430\U00013437",
    "\ufeff\U000e0133\U000e0122\U000e0140\U000e0131\U000e0144\U000e0148\ufe00\ufe01",
    "aб\u0483\u093e\u064b\u05b0\u0e31",
]
_special = st.sampled_from(
    [chr(point) for point in range(0x110000) if KINDS[point] != PLAIN and not 0xD800 <= point < 0xE000][::7]
)
_flag = st.sampled_from(FLAGS)
_marks = st.text("\u0301\u0323\u0344\ufe0f\u0316", min_size=20, max_size=45)
_piece = st.one_of(*(st.text(pool, max_size=8) for pool in POOLS), _special, _flag, _marks, st.text(max_size=3))
hostile = st.lists(_piece, max_size=12).map("".join)


def changes(findings):
    """The findings that say something was changed."""
    return [finding for finding in findings if finding.act in ("drop", "replace")]


@settings(LAWS, max_examples=400)
@given(hostile)
def test_every_text_keeps_the_laws(text):
    raw = text.encode()
    found = canonicalize(raw)
    assert unicodedata2.normalize("NFC", found.bytes.decode()) == found.bytes.decode()
    assert apply_edits(raw, found.findings) == found.bytes
    assert bool(changes(found.findings)) == (found.bytes != raw)
    again = canonicalize(found.bytes)
    assert (again.bytes, changes(again.findings)) == (found.bytes, [])
    if is_clean(text):
        # Look-alikes are reported in clean text too, and stay.
        assert {finding.code for finding in found.findings if finding.act != "report"} <= {"WS_TAIL", "WS_END"}
    json.loads(format_findings(found.findings))


def hold_for_every_cut(text, profile, data, policy=DEFAULT):
    """Bytes and findings are those of the whole text, wherever it is cut."""
    raw = text.encode()
    whole = canonicalize(raw, profile=profile, policy=policy)
    for cuts in ([data.draw(st.integers(0, len(raw)))], sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))):
        stream = Canonicalizer(profile=profile, policy=policy)
        given, start = b"", 0
        for cut in (*cuts, len(raw)):
            given += stream.feed(raw[start:cut])
            start = cut
        given += stream.flush()
        assert (given, stream.findings) == (whole.bytes, whole.findings)


@settings(LAWS, max_examples=200)
@given(hostile, st.sampled_from(["safe", "report"]), st.data())
def test_no_cut_shows(text, profile, data):
    hold_for_every_cut(text, profile, data)


@settings(LAWS, max_examples=100)
@given(hostile)
def test_report_changes_nothing_and_sees_the_same(text):
    safe, report = canonicalize(text), canonicalize(text, profile="report")
    assert report.bytes == text.encode()
    assert {finding.act for finding in report.findings} <= {"report", "keep"}
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


# Things that hide a message, and draw nothing wherever they stand in these lines.
_payload = st.one_of(
    st.text(st.characters(min_codepoint=0xE0020, max_codepoint=0xE007E), min_size=1, max_size=8),
    st.text("\ufe07\ufe08\ufe09\U000e01c0\U000e01ef", min_size=1, max_size=8),
    st.text("\u200b\u2060\ufeff\u00ad\u2061\u2062\u2063\u2064\u3164\uffa0\u180e\u034f", min_size=1, max_size=8),
    st.text("\u202e\u202d", min_size=1, max_size=3),
    st.text("\ue000\U000f1234\ufdd0\U0010ffff\ufffc\ufff9\U0001d159", min_size=1, max_size=3),
    st.sampled_from(["\x00", "\x1b[8m", "\x9b1m", "\x1b]0;secret\x07", "\x07"]),
)
COVER = [
    "The refund is 42 EUR.",
    "Все люди рождаются свободными",
    "می\u200cخواهم",
    "सभी मनुष्यों को",
    "ക്ഷമ ചില്ല്",
    "Tất cả mọi người",
    "בְּרֵאשִׁית בָּרָא",
    "모든 인간은",
    "人人生而自由，在",
    "ผู้อยู่",
    "👩\u200d💻 😀 👍🏽 ❤\ufe0f\u200d🔥 1\ufe0f\u20e3",
    "1½ × 10⁵",
]


@settings(LAWS, max_examples=300)
@given(
    st.lists(st.sampled_from(COVER), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0), _payload), min_size=1, max_size=8),
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
            engine = TextEngine(Ledger(), "data")
            return (engine.feed_text(item) + engine.flush()).decode()
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
