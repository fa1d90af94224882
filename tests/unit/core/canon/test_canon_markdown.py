"""Markdown: what is not drawn goes, what is drawn stays (canonical.md section 9 "text/markdown"; ADR 0016)."""

from __future__ import annotations

import time

import pytest

from apostille.core.canon import apply_edits, canonicalize, profile_id
from apostille.core.canon.markdown import MAX_BYTES
from apostille.core.canon.policy import SOURCE, Policy
from apostille.errors import CanonicalizationError


def _clean(text, **options):
    found = canonicalize(text, media_type="text/markdown", **options)
    assert apply_edits(text.encode(), found.findings) == found.bytes
    again = canonicalize(found.bytes, media_type="text/markdown", **options)
    assert again.bytes == found.bytes
    assert not [finding for finding in again.findings if finding.act in ("drop", "replace")]
    return found


def _codes(found):
    return [finding.code for finding in found.findings]


FORMS = [
    ("a comment in a line", "a <!-- x --> b", "a b", ["MD_COMMENT"]),
    ("a comment between paragraphs", "a\n\n<!-- x\ny -->\n\nb", "a\n\nb", ["MD_COMMENT"]),
    ("a comment that parts two lines parts them still", "a\n<!-- x -->\nb", "a\n\nb", ["MD_COMMENT"]),
    ("a comment that parts two lists becomes the one fixed comment", "- a\n\n<!-- x -->\n\n- b", "- a\n\n<!-- -->\n\n- b", ["MD_COMMENT"]),
    ("a comment between stars too", "*<!-- x -->*foo**", "*<!-- -->*foo**", ["MD_COMMENT"]),
    ("in a list item", "- a\n  <!-- x -->\n- b", "- a\n- b", ["MD_COMMENT"]),
    ("in a quote over lines", "> a <!-- x\n> y --> b", "> a b", ["MD_COMMENT"]),
    ("in a cell", "|a <!-- x -->|b|\n|-|-|", "|a |b|\n|-|-|", ["MD_COMMENT"]),
    ("instructions, declarations, CDATA", "a <?x?><!Y z><![CDATA[q]]>b", "a b", ["MD_COMMENT"]),
    ("a hidden element", "a <span hidden>x <b>y</b></span> b", "a b", ["MD_HIDDEN"]),
    ("by style", 'a <i style="color:red; DISPLAY : none!important">x</i> b', "a b", ["MD_HIDDEN"]),
    ("of zero size", '<img src="a.png" width=0> b', "b", ["MD_HIDDEN"]),
    ("over blocks", "<div style='opacity:0'>\n\nx\n\n- y\n\n</div>\n\nb", "b", ["MD_HIDDEN"]),
    ("that never ends reaches to the end of its line of text", "a <i hidden>x\ny\n\nb", "a\n\nb", ["WS_TAIL", "MD_HIDDEN"]),
    ("a script", "a\n\n<script>\nif (a < b) {}\n</script>\n\nb", "a\n\nb", ["MD_HIDDEN"]),
    ("visible sizes stay", "<p style='width:0.5em;opacity:.1'>a</p>", "<p style='width:0.5em;opacity:.1'>a</p>", ["MD_HTML"] * 2),
    ("an unused definition", "[//]: # (x)\n\na [b]\n\n[b]: /c\n[b]: /d\n[e]:\n/f\n'g'", "a [b]\n\n[b]: /c", ["MD_REF_UNUSED", "WS_END", "MD_REF_UNUSED"]),
    ("a hard break", "a  \nb   \nc \nd  ", "a\\\nb\\\nc\nd", ["WS_TAIL"] * 4),
    ("a backslash before a hard break stays one", "a\\   \nb", "a\\\\\\\nb", ["WS_TAIL"]),
    ("where a backslash would start emphasis, two spaces stay", "**    \nb*", "**  \nb*", ["WS_TAIL"]),
    ("an image from elsewhere", "![al*t*_x](http://E.com/p?q=1 't')", "alt\\_x (e.com)", ["MD_IMAGE_HOST"]),
    ("without words", "[a]![](//e.com)", "[a]image (e.com)", ["MD_IMAGE_HOST"]),
    ("by reference", "![a][b]\n\n[b]: http://e.com/x", "a (e.com)", ["MD_IMAGE_HOST", "WS_END", "MD_REF_UNUSED"]),
    ("in a link", "[![a](http://e.com/x)](/c)", "[a (e.com)](/c)", ["MD_IMAGE_HOST"]),
    ("data", "![a](data:image/png;base64,AA)", "a (data)", ["MD_IMAGE_HOST"]),
    ("by HTML", '<img alt="a*b" srcset="/x 1x, //e.com/y 2x"> c', "a&#42;b (e.com) c", ["MD_IMAGE_HOST"]),
    ("by backslashes, as browsers read them", r"![a](\\\\e.com/x)", "a (e.com)", ["MD_IMAGE_HOST"]),
    ("an image beside the text stays", "![a](b.png)", "![a](b.png)", []),
    ("a query is reported", "[a](http://b.com/?c=d)", "[a](http://b.com/?c=d)", ["MD_LINK_QUERY"]),
    ("another host is reported", "[http://b.com](http://c.com)", "[http://b.com](http://c.com)", ["MD_LINK_MISMATCH"]),
    ("the same host is not", "[www.b.com](http://b.com/x)", "[www.b.com](http://b.com/x)", []),
    ("a file is no host", "[setup.py](http://b.com/x)", "[setup.py](http://b.com/x)", []),
    ("a user in a link is reported", "<http://b.com@c.com>", "<http://b.com@c.com>", ["URL_USERINFO"]),
    ("a host of two scripts is reported", "[a](http://p\u0430ypal.com)", "[a](http://p\u0430ypal.com)", ["URL_IDN", "MIXED_SCRIPT"]),
    ("other HTML is reported", "a <b>c</b>", "a <b>c</b>", ["MD_HTML", "MD_HTML"]),
    ("the text rules", "a\u200b**b\U000e0041**", "a**b**", ["ZWSP_DROP", "TAG_DROP"]),
    ("not in code", "`a\u200b` \u200b\n\n```\nb\u200b \n```\n\n    c\u200b", "`a\u200b`\n\n```\nb\u200b \n```\n\n    c\u200b", ["WS_TAIL", "ZWSP_DROP"] + ["CODE_HIDDEN"] * 3),
    ("but where a fence is named", "```p\u200by\na\n```", "```py\na\n```", ["ZWSP_DROP"]),
    ("mixed words in code", "`p\u0430y`", "`p\u0430y`", ["CODE_MIXED"]),
    ("an entity that is struck out is none", "&#8203;\bx &zwj;\b\by", "&#8203x &zwjy", ["OVERSTRIKE"] * 2),
    ("hidden characters in entities", "a&#8203;b&zwj;c e&#x301; &amp; \\&#8203;", "abc é &amp; \\&#8203;", ["ZWSP_DROP", "ZWJ_DROP", "NFC"]),
    ("line ends, also in code", "a\r\nb\n\n```\r\nc\r```", "a\nb\n\n```\nc\n```", ["EOL_FORM"] * 3),
    ("a blob", "`" + "a1" * 40 + "`", "`" + "a1" * 40 + "`", ["BLOB_OPAQUE"]),
    ("no cut makes another comment", "a <!-<!-- y -->- x --> b", "a <!-<!-- -->- x --> b", ["MD_COMMENT"]),
    ("a byte order mark", "\ufeff# a", "# a", ["ENC_BOM"]),
    ("nothing", "", "", []),
]


@pytest.mark.parametrize(("why", "text", "expected", "codes"), FORMS, ids=[form[0] for form in FORMS])
def test_forms(why, text, expected, codes):
    found = _clean(text)
    assert found.bytes.decode() == expected
    assert codes is None or _codes(found) == codes


@pytest.mark.parametrize(("text", "expected"), [("a\n\n", "a\n"), ("a", "a"), ("a \n \n", "a\n"), (" \n", ""), ("```\na\n\n\n", "```\na\n"), ("<!-- x -->\n", "")])
def test_a_file_keeps_one_line_feed(text, expected):
    assert _clean(text, is_file=True).bytes.decode() == expected


@pytest.mark.parametrize("why", [form[0] for form in FORMS])
def test_report_changes_nothing_and_says_the_same(why):
    _, text, _, codes = next(form for form in FORMS if form[0] == why)
    found = canonicalize(text, media_type="text/markdown", profile="report")
    assert found.bytes == text.encode()
    assert {finding.act for finding in found.findings} <= {"report", "keep"}
    assert codes is None or _codes(found) == codes


def test_the_policy_lets_images_through_and_is_named_in_the_profile():
    policy = Policy(image_hosts=("e.com", "*.f.org"))
    text = "![a](http://e.com/x) ![b](https://x.y.f.org/z) ![c](http://f.org/)"
    found = _clean(text, policy=policy)
    assert found.bytes.decode() == "![a](http://e.com/x) ![b](https://x.y.f.org/z) c (f.org)"
    assert found.profile.startswith(profile_id() + " markdown=4.3.")
    assert found.profile.endswith(policy.suffix)
    assert " policy=" not in _clean(text).profile
    assert canonicalize(text, policy=policy).profile == profile_id(), "plain text knows no images"


QUERIES = [
    ("[a](http://b.c/d(e)?f#g 'h')", "[a](http://b.c/d%28e%29)"),
    ("[a ](b] [a](\n<http://B.c/?f>)", "[a ](b] [a](\nhttp://b.c/)"),
    ("<http://b.c?d>", "<http://b.c>"),
    ("[a]\n\n[a]: http://b.c/?d 'e'", "[a]\n\n[a]: http://b.c/"),
    ("> [a]\n>\n> [a]:\n> http://b.c/?d", "> [a]\n>\n> [a]: http://b.c/"),
    ("[a](http://x.kept.org/?b#c 'd')", "[a](http://x.kept.org/?b#c 'd')"),
    ("[a](/b?c)", "[a](/b?c)"),
    ("[a](http://b.c/)", "[a](http://b.c/)"),
]


@pytest.mark.parametrize(("text", "expected"), QUERIES)
def test_queries_go_if_the_policy_says_so(text, expected):
    found = _clean(text, policy=Policy(link_hosts=("*.kept.org",), queries="drop"))
    assert found.bytes.decode() == expected
    assert ("replace" in {finding.act for finding in found.findings}) == (text != expected)


def test_sources_keep_their_markup():
    """Comments and images of a file that somebody keeps are theirs; hidden characters are not."""
    text = "a <!-- x\u200b -->  \n![y](//e.com) `z\u200b`\n"
    found = _clean(text, policy=SOURCE, is_file=True)
    assert found.bytes.decode() == "a <!-- x -->  \n![y](//e.com) `z\u200b`\n"
    assert _codes(found) == ["ZWSP_DROP", "CODE_HIDDEN"]


def test_positions_count_bytes_of_the_raw_text():
    text = "\ufeffé <!-- x -->\r\nü [a](http://b.c/?d)"
    found = _clean(text)
    raw = text.encode()
    assert [(f.code, raw[f.position : f.position + f.length].decode()) for f in found.findings] == [
        ("ENC_BOM", "\ufeff"),
        ("WS_TAIL", " "),
        ("MD_COMMENT", "<!-- x -->"),
        ("EOL_FORM", "\r\n"),
        ("MD_LINK_QUERY", "[a](http://b.c/?d)"),
    ]


def test_what_stays_is_counted():
    found = _clean("می\u200cخواهم `می\u200cخواهم`")
    assert found.residue.channels[0][:2] == ("ZWNJ_KEEP", 1)
    assert [f.position for f in found.findings if f.code == "ZWNJ_KEEP"] == [4]


def test_pieces_give_the_same():
    text = "a <!-- é -->\n\n![x](http://y.z)\n".encode()
    from apostille.core.canon import Canonicalizer

    whole = canonicalize(text, media_type="text/markdown")
    for cut in range(len(text)):
        machine = Canonicalizer(media_type="text/markdown")
        given = machine.feed(text[:cut]) + machine.feed(text[cut:]) + machine.flush()
        assert (given, machine.findings, machine.profile) == (whole.bytes, whole.findings, whole.profile)


REFUSED = [
    ("too large", "a" * (MAX_BYTES + 1), "LIMIT_SIZE"),
    ("brackets", "[" * 100_000, "LIMIT_DEPTH"),
    ("quotes", ">" * 100_000, "LIMIT_DEPTH"),
    ("lists", "+ " * 100_000, "LIMIT_DEPTH"),
    ("images", "![" * 100_000, "LIMIT_DEPTH"),
    ("tables that unfold", ("|" + "a|" * 60 + "\n|" + "-|" * 60 + "\n" + "|\n" * 600 + "\n") * 9, "LIMIT_SIZE"),
    ("comments without end", "<!-- x -->a\n\n" * 5_000, "LIMIT_SIZE"),
]


@pytest.mark.parametrize(("why", "text", "code"), REFUSED, ids=[case[0] for case in REFUSED])
def test_refused(why, text, code):
    started = time.thread_time()
    with pytest.raises(CanonicalizationError) as caught:
        _clean(text)
    assert [finding.code for finding in caught.value.findings] == [code]
    assert time.thread_time() - started < 5


def test_not_utf8():
    with pytest.raises(CanonicalizationError) as caught:
        canonicalize(b"# a\xff", media_type="text/markdown")
    assert [(finding.code, finding.position) for finding in caught.value.findings] == [("ENC_INVALID", 3)]


HOSTILE = {
    "images": "![a](http://x.y/z?q=1) ",
    "links": "[a](http://b.c?q) ",
    "tags": "<b x='1'>",
    "open quotes": '<div a="',
    "open comments": "<!--a\n",
    "open comments in lines": "a <!--b ",
    "hidden in hidden": "<i hidden>",
    "short links": "[a] ",
    "line ends": "a  \n",
    "backslashes": "\\",
    "joiners": "a\u200b",
    "code": "`\u200b` ",
    "entities": "&#8203;",
    "backticks": "`a``",
    "stars": "*a**b",
    "letters": "a",
    "data": "data:",
    "parentheses": "[a](b",
    "instructions": "a <?",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_the_cost_grows_with_the_text(name):
    """Four times the text takes about four times the time, not sixteen (canonical.md section 13 "cost"); on the thread's clock."""

    def cost(size):
        text = HOSTILE[name] * (size // len(HOSTILE[name]))
        found = []
        for _ in range(3):
            started = time.thread_time()
            canonicalize(text, media_type="text/markdown")
            found.append(time.thread_time() - started)
        return min(found)

    assert cost(40_000) <= 8 * cost(10_000) + 0.01
