"""Options of the text rules: what each keeps or writes, what it leaves, and that the profile id is bound to them (ADR 0019)."""

from __future__ import annotations

import hashlib
from dataclasses import fields

import pytest
from test_canon_hidden_bytes import manifest, selectors, spelt

from apostille.core.canon import Canonicalizer, apply_edits, canonicalize
from apostille.core.canon.options import DEFAULT_TEXT, MAX_RANGES, OPTIONS, TextOptions, parse_text_options, parse_words
from apostille.core.canon.policy import DEFAULT, Policy, format_policy
from apostille.core.canon.units import MAX_INVISIBLE
from apostille.errors import ConfigurationError


def policy(**settings):
    return Policy(text=parse_text_options(settings))


def clean(text, how, **kind):
    """Canonicalize, and hold the text against the laws: edits, a second run, cuts."""
    data = text.encode()
    found = canonicalize(data, policy=how, **kind)
    media_type = kind.get("media_type", "text/plain")
    if media_type != "application/json":
        assert apply_edits(data, found.findings) == found.bytes
    again = canonicalize(found.bytes, policy=how, **kind)
    assert again.bytes == found.bytes
    assert {finding.act for finding in again.findings} <= {"keep", "report"}
    for size in (1, 5):
        stream = Canonicalizer(policy=how, **kind)
        given = b"".join(stream.feed(data[start : start + size]) for start in range(0, len(data), size)) + stream.flush()
        assert (given, stream.findings, stream.residue) == (found.bytes, found.findings, found.residue)
    return found


CASES = [
    ("Thai", {"sea_zwsp": "keep"}, "ไทย\u200bไทย", "ไทย\u200bไทย", {"ZWSP_KEEP": 1}),
    ("Khmer, Lao and Myanmar", {"sea_zwsp": "keep"}, "ក\u200bក ລ\u200bລ မ\u200bမ", "ក\u200bក ລ\u200bລ မ\u200bမ", {"ZWSP_KEEP": 3}),
    ("behind a sign of a vowel", {"sea_zwsp": "keep"}, "ที่\u200bดี", "ที่\u200bดี", {"ZWSP_KEEP": 1}),
    ("one in a place", {"sea_zwsp": "keep"}, "ไทย\u200b\u200b\u2060\u200bไทย", "ไทย\u200bไทย", {"ZWSP_KEEP": 1}),
    ("not beside a space, Latin or a digit", {"sea_zwsp": "keep"}, "ไทย\u200b ก\u200ba\u200b1\u200bก", "ไทย กa1ก", {}),
    ("not at either end", {"sea_zwsp": "keep"}, "\u200bก\u200b", "ก", {}),
    ("not behind a virama that stacks", {"sea_zwsp": "keep"}, "က\u1039\u200bက", "က\u1039က", {}),
    ("not behind a joiner", {"sea_zwsp": "keep"}, "ก\u200d\u200bก", "กก", {}),
    ("a joiner behind it goes", {"sea_zwsp": "keep"}, "ก\u200b\u200d\u200cก", "ก\u200bก", {"ZWSP_KEEP": 1}),
    ("not of a letter that is struck out", {"sea_zwsp": "keep"}, "ก\u200bก\ba", "ก\u200bกa", {"ZWSP_KEEP": 1}),
    ("a flood", {"sea_zwsp": "keep"}, "ก" + "\u200b" * 40 + "ก", "ก\u200bก", {"ZWSP_KEEP": 1}),
    ("word-final in Malayalam", {"indic_final_zwnj": "keep"}, "\u0d23\u0d4d\u200c. \u0d23\u0d4d\u200c", "\u0d23\u0d4d\u200c. \u0d23\u0d4d\u200c", {"ZWNJ_KEEP": 2}),
    ("Odia before Latin", {"indic_final_zwnj": "keep"}, "\u0b15\u0b4d\u200ca", "\u0b15\u0b4d\u200ca", {"ZWNJ_KEEP": 1}),
    ("one in a place, behind a nukta too", {"indic_final_zwnj": "keep"}, "\u0915\u093c\u094d\u200c\u200c ", "\u0915\u093c\u094d\u200c", {"ZWNJ_KEEP": 1}),
    ("not after a virama on nothing", {"indic_final_zwnj": "keep"}, "\u094d\u200c x\u094d\u200c", "\u094d x", {}),
    ("not in the middle where it does not show", {"indic_final_zwnj": "keep"}, "\u0d9a\u0dca\u200c\u0d9a", "\u0d9a\u0dca\u0d9a", {}),
    ("not before a sign of a vowel", {"indic_final_zwnj": "keep"}, "\u0d23\u0d4d\u200c\u0d3e", "\u0d23\u0d4d\u0d3e", {}),
    ("not U+200D", {"indic_final_zwnj": "keep"}, "\u0b1f\u0b4d\u200d.", "\u0b1f\u0b4d.", {}),
    ("old chillus", {"chillu": "keep"}, "\u0d28\u0d4d\u200d \u0d30\u0d4d\u200d", "\u0d28\u0d4d\u200d \u0d30\u0d4d\u200d", {"ZWJ_KEEP": 2}),
    ("one joiner in a chillu", {"chillu": "keep"}, "\u0d28\u0d4d\u200d\u200d", "\u0d28\u0d4d\u200d", {"ZWJ_KEEP": 1}),
    ("behind two consonants it is none", {"chillu": "keep"}, "\u0d15\u0d4d\u0d23\u0d4d\u200d", None, {"ZWJ_KEEP": 1}),
    ("an icon", {"pua_allow": ["U+E0A0-U+E0D4"]}, "a\ue0a0b\ue0d5", "a\ue0a0b", {"PUA_KEEP": 1}),
    ("one code point, another plane", {"pua_allow": ["U+F8FF", "U+100000"]}, "\uf8ff\U00100000\U00100001", "\uf8ff\U00100000", {"PUA_KEEP": 2}),
    ("a mark on an icon", {"pua_allow": ["U+E000"]}, "\ue000\u0301\u0316\ue000\ue001\u0301", "\ue000\u0316\u0301\ue000\u0301", {"PUA_KEEP": 2}),
    ("an icon is not struck out", {"pua_allow": ["U+E000"]}, "\ue000\bx", "\ue000x", {"PUA_KEEP": 1}),
    ("a compatibility ideograph", {"cjk_compat": "vs"}, "\U0002f800", "\u4e3d\ufe00", {"VS_KEEP": 1}),
    ("two of one ideograph", {"cjk_compat": "vs"}, "\U0002f81e\U0002f81f", None, {"VS_KEEP": 2}),
    ("its selector is the one", {"cjk_compat": "vs"}, "\U0002f800\ufe00\U000e0100", "\u4e3d\ufe00", {"VS_KEEP": 1}),
    ("a kelvin sign is none", {"cjk_compat": "vs"}, "\u212a", "K", {}),
    ("every line end", {"eol": "crlf"}, "a\nb\r\nc\rd\u2028e\x85\n\nf", "a\r\nb\r\nc\r\nd\r\ne\r\n\r\n\r\nf", {}),
    ("text that is clean but for that", {"eol": "crlf"}, "a\nb", "a\r\nb", {}),
    ("tails go as ever", {"eol": "crlf"}, "a \t\r\nb\n\n", "a\r\nb", {}),
    ("nothing hides in a line end", {"eol": "crlf"}, "a\r\u200b\nb\r\x00\nc", "a\r\n\r\nb\r\nc", {}),
]  # fmt: skip


@pytest.mark.parametrize(("why", "settings", "text", "expected", "kept"), CASES, ids=[case[0] for case in CASES])
def test_an_option(why, settings, text, expected, kept):
    del why
    found = clean(text, policy(**settings))
    if expected is not None:
        assert ascii(found.bytes.decode()) == ascii(expected)
    assert {f.code: f.count for f in found.findings if f.act == "keep"} == kept
    assert bool(found.residue.bits) == bool(kept)


@pytest.mark.parametrize(("why", "settings", "text", "expected", "kept"), CASES, ids=[case[0] for case in CASES])
def test_an_option_under_strict_and_in_json(why, settings, text, expected, kept):
    """The laws hold; selectors of ideographs go under strict."""
    del why, expected, kept
    clean(text, policy(**settings), profile="strict")
    quoted = "".join(f"\\u{unit:04x}" for unit in memoryview(text.encode("utf-16-le")).cast("H"))
    clean(f'{{"a":"{quoted}"}}', policy(**settings), media_type="application/json")


# No option of line ends acts in Markdown, and what is struck out there is not what is struck out in text.
IN_MARKDOWN = [case for case in CASES if "eol" not in case[1] and "\b" not in case[2]]


@pytest.mark.parametrize(("why", "settings", "text", "expected", "kept"), IN_MARKDOWN, ids=[case[0] for case in IN_MARKDOWN])
def test_an_option_in_markdown(why, settings, text, expected, kept):
    del why
    found = clean(f"x {text} y *z*", policy(**settings), media_type="text/markdown")
    if expected is not None and not text.startswith("\u200b"):
        assert {f.code: f.count for f in found.findings if f.act == "keep"} == kept


def test_every_compatibility_ideograph_is_the_standardized_sequence():
    """By the file that the tables are made of: 1,002 of them."""
    import pathlib

    path = pathlib.Path(__file__).parents[4] / "tools" / "unicode" / "standardized-variants-15.0.0.txt"
    rows = [line.split(";") for line in path.read_text("utf-8").split("\n") if "CJK COMPATIBILITY IDEOGRAPH-" in line]
    how = policy(cjk_compat="vs")
    assert len(rows) == 1_002
    for sequence, name, *_ in rows:
        point = int(name.strip().rpartition("-")[2], 16)
        found = canonicalize(chr(point), policy=how)
        assert found.bytes.decode() == "".join(chr(int(word, 16)) for word in sequence.split())
        assert [finding.code for finding in found.findings] == ["CJK_COMPAT", "VS_KEEP"]
        lost = canonicalize(f"x{chr(point)}\u0301")
        assert [finding.code for finding in lost.findings if finding.act == "replace"] == ["CJK_COMPAT"]
        assert lost.bytes.decode() == f"x{chr(int(sequence.split()[0], 16))}\u0301"


def test_a_lost_variant_is_a_finding():
    (finding,) = canonicalize("\u8c48 \uf900").findings
    assert (finding.code, finding.severity, finding.act, finding.was, finding.now) == ("CJK_COMPAT", "i", "replace", (0xF900,), (0x8C48,))
    (whole,) = canonicalize("\uf900", media_type="text/markdown").findings
    assert (whole.code, whole.act) == ("CJK_COMPAT", "replace")


FRENCH = [
    ("\u00ab\u00a0oui\u00a0\u00bb\u00a0: 5\u00a0%\u00a0; quoi\u00a0? non\u00a0!", "\u00ab\u00a0oui\u00a0\u00bb\u00a0: 5\u00a0%\u00a0; quoi\u00a0? non\u00a0!", 7),
    ("a\u00a0b 10\u00a0000\u00a0\u20ac", "a b 10 000 \u20ac", 0),
    ("a\u00a0 \u00a0:", "a\u00a0:", 1),
    ("\u00ab\u00a0\nx\u00a0", "\u00ab\nx", 0),
    ("a\u202f:\u2003!", "a : !", 0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected", "count"), FRENCH)
def test_no_break_spaces_of_french_under_strict(text, expected, count):
    found = clean(text, policy(nbsp="french"), profile="strict")
    assert ascii(found.bytes.decode()) == ascii(expected)
    assert sum(finding.count for finding in found.findings if finding.code == "SPACE_KEEP") == count
    assert b"\xc2\xa0" not in canonicalize(text, profile="strict").bytes
    assert canonicalize(text, policy=policy(nbsp="french")).bytes == canonicalize(text).bytes
    table = clean(text, policy(nbsp="french"), profile="strict", media_type="text/csv")
    assert table.bytes.decode().replace("  ", " ").count("\u00a0") >= count


# --- C2PA text manifests

KEEP = policy(c2pa="keep")
M = manifest(b"jumbf \0\x0f\x10\xff")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"abc{M}", f"abc{M}"),
        (f"abc{M}\n \t\r\n", f"abc{M}"),
        (f"abc\n{M}", f"abc{M}"),
        (M, M),
        (f"abc{manifest(b'')}", f"abc{manifest(b'')}"),
        (f"abc{M}{selectors(bytes([0, 0, 0, 255, 255]))}", f"abc{M}{selectors(bytes([0, 0, 0, 255, 255]))}"),
        (f"abc{M}{selectors(bytes([255, 0, 255, 7, 255]))}", f"abc{M}{selectors(bytes([255]))}"),
        (f"abc{M}{selectors(bytes(5))}", f"abc{M}{selectors(bytes(3))}"),
        (f"abc{M}\u200b\ue000\x00", f"abc{M}"),
        # A manifest goes that is followed by text, is another one's, of another version, cut short, or in pieces.
        (f"abc{M}d", "abcd"),
        (f"abc{M} \nd", "abc\nd"),
        (f"abc{M}\u200c", "abc"),
        (f"abc{M}{manifest(b'two')}", f"abc{manifest(b'two')}"),
        (f"abc{M}\ufeff", "abc"),
        (f"abc{M.replace(chr(0xFE01), chr(0xFE02), 1)}", "abc"),
        (f"abc{M[:-1]}", "abc"),
        (f"abc{M[:16]}", "abc"),
        (f"abc{M[:16]}x{M[16:]}", "abcx"),
        (f"abc{M[:4]}\x00{M[4:]}", "abc"),
        (f"abc{M[:18]}\x1b[8m{M[18:]}", "abc"),
        (f"abc{M[:18]}\x00{M[18:]}\n", "abc"),
    ],
)
@pytest.mark.parametrize("profile", ["safe", "strict"])
def test_one_manifest_stays_at_the_end(text, expected, profile):
    found = clean(text, KEEP, profile=profile)
    assert ascii(found.bytes.decode()) == ascii(expected)
    stays = "\ufeff" in expected
    assert [(f.code, f.act) for f in found.findings if f.act == "keep"] == [("C2PA_TEXT", "keep"), ("C2PA_KEEP", "keep")] * stays
    assert canonicalize(text, profile=profile).bytes.decode() == expected.partition("\ufeff")[0]


@pytest.mark.parametrize("kind", [{}, {"profile": "strict"}, {"is_file": True}, {"media_type": "text/markdown"}])
@pytest.mark.parametrize("end", ["", " \n"])
def test_what_is_open_is_closed_before_the_manifest(end, kind):
    """An embedding that shows becomes an isolate, and the text ends inside it."""
    found = clean(f"\u202b/\u2640{M}{end}", KEEP, **kind)
    assert ascii(found.bytes.decode()) == ascii(f"\u2067/\u2640\u2069{M}")


def test_a_kept_manifest_is_on_record_and_counted():
    found = clean(f"abc{M}{selectors(bytes([0, 255, 255, 255]))}", KEEP)
    first, counted = found.findings
    assert (first.code, first.act, first.position, first.length, first.decoded) == (
        "C2PA_TEXT",
        "keep",
        3,
        len(found.bytes) - 3,
        spelt(b"jumbf \0\x0f\x10\xff"),
    )
    assert (counted.code, counted.count) == ("C2PA_KEEP", 1)
    ((code, count, bits),) = found.residue.channels
    assert (code, count) == ("C2PA_KEEP", 1)
    assert bits >= 8 * 10 + 1 + 2
    assert found.residue.over_quota == (), "an operator has chosen it"


def test_the_last_line_feed_of_a_file_is_before_the_manifest():
    assert clean(f"abc\n{M}\n", KEEP, is_file=True).bytes.decode() == f"abc\n{M}"
    assert clean(f"abc{M}\n", KEEP, is_file=True).bytes.decode() == f"abc{M}"


def test_in_a_json_string_white_space_behind_it_is_data():
    raw = f'{{"a":"abc{M} ","b":"abc{M}d"}}'
    assert clean(raw, KEEP, media_type="application/json").bytes.decode() == f'{{"a":"abc{M} ","b":"abcd"}}'
    kept = clean(f"*abc*\n\n{M}\n", KEEP, media_type="text/markdown", is_file=True)
    assert kept.bytes.decode() == f"*abc*\n\n{M}\n"


@pytest.mark.parametrize(("text", "expected"), [(M, M), (M + M, M), (f"{M}a", "a"), (f"\ufeff{M}", M), (f"{M[:10]}a", "a")])
def test_a_manifest_that_opens_markdown(text, expected):
    """The U+FEFF before it is no byte order mark."""
    assert ascii(clean(text, KEEP, media_type="text/markdown").bytes.decode()) == ascii(expected)
    found = canonicalize(text, media_type="text/markdown")
    assert found.bytes.decode() == expected.replace(M, "")
    assert [finding.code for finding in found.findings].count("C2PA_TEXT") == text.count(M)


def test_white_space_behind_it_is_bounded():
    found = clean(f"abc{M}{' ' * 5_000}", KEEP)
    assert found.bytes == b"abc"
    assert clean(f"abc{M}{' ' * 4_096}", KEEP).bytes.decode() == f"abc{M}"


def test_a_manifest_over_the_limit_goes():
    limit = 1_048_576
    for size, stays in ((limit - 13, True), (limit - 12, False)):
        text = f"abc{manifest(bytes(size))}"
        found = canonicalize(text, policy=KEEP)
        assert found.bytes == (text.encode() if stays else b"abc")
    text = f"abc{manifest(bytes(limit - 15))}" + selectors(bytes([255] * 5))
    assert canonicalize(text, policy=KEEP).bytes.decode() == text[:-3]


# --- the table, and what is signed


def test_the_table_is_the_one_list():
    assert [option.name for option in OPTIONS] == [field.name for field in fields(TextOptions)]
    for option in OPTIONS:
        assert getattr(DEFAULT_TEXT, option.name) == (option.values[0] if option.values else ())
        assert option.does


def test_the_manual_has_the_same_table():
    import pathlib
    import re

    page = (pathlib.Path(__file__).parents[4] / "docs" / "manual" / "hidden-channels.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", page, re.MULTILINE)
    expected = [(o.name, ", ".join(f"`{value}`" for value in o.values) or "ranges", o.does) for o in OPTIONS]
    assert rows == expected


def test_the_profile_id_names_what_is_not_the_default():
    how = policy(sea_zwsp="keep", pua_allow=["e0d0..E0D4", "U+E0A0-U+E0CF"])
    data = (
        b'{"image_hosts":[],"link_hosts":[],"markup":"clean","queries":"keep",'
        b'"text":{"pua_allow":["U+E0A0-U+E0D4"],"sea_zwsp":"keep"}}'
    )
    assert format_policy(how) == data
    suffix = f" policy={hashlib.sha256(data).hexdigest()}"
    plain = canonicalize("a").profile
    for media_type in ("text/plain", "application/json", "text/csv"):
        assert canonicalize("1", media_type=media_type, policy=how).profile == plain + suffix
        assert Canonicalizer(media_type=media_type, policy=how).profile == plain + suffix
        assert canonicalize("1", media_type=media_type, policy=Policy(("a.b",))).profile == plain, "no links in it"
    assert canonicalize("a", media_type="text/markdown", policy=how).profile.endswith(suffix)
    assert canonicalize("a", media_type="image/png", policy=how).profile == "opaque"
    assert canonicalize("a", media_type="text/x-code", policy=how).profile == canonicalize("a", media_type="text/x-code").profile
    assert policy() == DEFAULT


def test_each_value_is_another_id():
    settings = [{}, {"pua_allow": ["U+E000"]}, {"pua_allow": ["U+E001"]}]
    settings += [{option.name: value} for option in OPTIONS for value in option.values[1:]]
    ids = [canonicalize("a\n.", policy=policy(**one)).profile for one in settings]
    assert len(set(ids)) == len(settings) == 10


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"zwsp": "keep"}, "there are: c2pa, chillu, cjk_compat, eol, indic_final_zwnj, nbsp, pua_allow, sea_zwsp"),
        ({"sea_zwsp": "yes"}, "sea_zwsp is drop or keep"),
        ({"sea_zwsp": True}, "sea_zwsp is drop or keep"),
        ({"eol": "cr"}, "eol is lf or crlf"),
        ({"nbsp": ""}, "nbsp is space or french"),
        ({"c2pa": []}, "c2pa is strip or keep"),
        ({"pua_allow": "U+E000"}, "is a list of ranges"),
        ({"pua_allow": [5]}, "is a list of ranges"),
        ({"pua_allow": ["E0"]}, "write it as U[+]E0A0-U[+]E0D4"),
        ({"pua_allow": ["U+E000-"]}, "write it as"),
        ({"pua_allow": ["U+0041-U+E000"]}, "no range of private use"),
        ({"pua_allow": ["U+E001-U+E000"]}, "no range of private use"),
        ({"pua_allow": ["U+E000-U+F900"]}, "no range of private use"),
        ({"pua_allow": ["U+FFFFE"]}, "no range of private use"),
        ({"pua_allow": ["U+E000"] * (MAX_RANGES + 1)}, "over 64 ranges"),
    ],
)
def test_wrong_options_say_what_is_allowed(settings, says):
    with pytest.raises(ConfigurationError, match=says):
        parse_text_options(settings)


def test_words_of_the_command_line():
    assert parse_words(["sea_zwsp=keep", "pua_allow=U+E000", "pua_allow=U+E002"]) == {"sea_zwsp": "keep", "pua_allow": ["U+E000", "U+E002"]}
    for words, says in ((["sea_zwsp"], "no NAME=VALUE"), (["eol=lf", "eol=crlf"], "twice")):
        with pytest.raises(ConfigurationError, match=says):
            parse_words(words)


def test_what_is_not_allowed_goes_however_many():
    """The bound on invisible characters in one place holds with options too."""
    text = "ก" + "\u200c" * MAX_INVISIBLE + "\u200bก"
    assert clean(text, policy(sea_zwsp="keep")).bytes.decode() in ("กก", "ก\u200bก")
