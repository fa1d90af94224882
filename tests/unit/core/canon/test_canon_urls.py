"""URLs in one form, read as browsers read them (WHATWG URL; canonical.md section 9 "URL")."""

from __future__ import annotations

import random

import pytest

from apostille.core.canon import Canonicalizer, canonicalize
from apostille.core.canon.urls import find_urls, parse_url, remarks_on

FORMS = [
    ("HTTP://EXAMPLE.com:80/a/./b/../%7ec?Q=%41%2f", "http://example.com/a/~c?Q=A%2F"),
    ("https://a.b:443", "https://a.b"),
    ("https://a.b:0080/", "https://a.b:80/"),
    ("https://a.b:/", "https://a.b/"),
    ("http:\\\\a.b\\c", "http://a.b/c"),
    ("http:a.b", "http://a.b"),
    ("http:///a.b/", "http://a.b/"),
    ("//a.b/c", "//a.b/c"),
    ("\\\\a.b/c", "//a.b/c"),
    ("ht\ntp://a\t.b/ ", "http://a.b/"),
    ("http://u:p@a@b.c/", "http://u:p@a@b.c/"),
    ("http://a.b./", "http://a.b/"),
    ("http://a%2eb/", "http://a.b/"),
    ("http://0x7f.1/", "http://127.0.0.1/"),
    ("http://2130706433/", "http://127.0.0.1/"),
    ("http://0300.0250.1/", "http://192.168.0.1/"),
    ("http://1.2.3.4.5/", "http://1.2.3.4.5/"),
    ("http://[::1]:80/", "http://[::1]/"),
    ("http://a.b/é?ü#ö", "http://a.b/%C3%A9?%C3%BC#%C3%B6"),
    ("http://a.b/x/..", "http://a.b/"),
    ("http://a.b/../../x/.", "http://a.b/x/"),
    ("http://a.b?q", "http://a.b?q"),
    ("http://\u0430pple.com", "http://xn--pple-43d.com"),
    ("http://\u0430\u0441\u0435.com", "http://xn--80ak9a.com"),
    ("http://яндекс.рф/", "http://яндекс.рф/"),
    ("http://例え。jp/", "http://例え.jp/"),
    ("http://bücher.de", "http://bücher.de"),
    ("ftp://a.b:21/x", "ftp://a.b/x"),
    ("git+ssh://A.b:22/x", "git+ssh://a.b:22/x"),
]


@pytest.mark.parametrize(("text", "expected"), FORMS)
def test_one_form(text, expected):
    url = parse_url(text)
    assert str(url) == expected
    assert str(parse_url(expected)) == expected


@pytest.mark.parametrize("text", ["", "a.png", "/a", "mailto:a@b.c", "data:,x", "#a", "?a", "javascript:alert(1)", "c:\\x"])
def test_no_host(text):
    assert parse_url(text) is None


def test_any_text_gives_a_value_that_is_read_back():
    pieces = ["http:", "//", "/", "\\", "a", ".", "..", "%2", "%41", "@", ":", "8", "[", "]", "?", "#", "\u0430", "é", "\ud800", "\0", " ", "xn--", "0x"]
    rng = random.Random(3986)
    for _ in range(20_000):
        text = "http://" + "".join(rng.choice(pieces) for _ in range(rng.randrange(12)))
        url = parse_url(text)
        assert url is None or str(parse_url(str(url))) == str(url), text


def test_what_is_said_about_it():
    assert remarks_on("http://a.b/", parse_url("http://a.b/")) == []
    assert remarks_on("http://A.b/", parse_url("http://A.b/")) == ["URL_FORM"]
    assert remarks_on("http://u@xn--80ak6aa92e.com", parse_url("http://u@xn--80ak6aa92e.com")) == ["URL_IDN", "URL_USERINFO"]


def test_places_in_a_text():
    text = "See http://a.b/c, (https://d.e/f_(g)) and x://y. <http://h.i> a:// ://"
    assert [text[start:end] for start, end in find_urls(text)] == ["http://a.b/c", "https://d.e/f_(g)", "http://h.i"]


def test_plain_text_reports_and_keeps():
    """A user before the host and a host of other letters, wherever the text is cut."""
    text = "é see https://a.b/c, http://bank.com@evil.com/x and\n(http://p\u0430ypal.com) http://u@" + "x" * 9_000 + " end http://v@w.x"
    data = text.encode()
    whole = canonicalize(data)
    assert whole.bytes == data
    assert [(f.code, f.act, data[f.position : f.position + f.length].decode()) for f in whole.findings] == [
        ("MIXED_SCRIPT", "report", "p\u0430ypal"),
        ("URL_USERINFO", "report", "http://bank.com@evil.com/x"),
        ("URL_IDN", "report", "http://p\u0430ypal.com"),
        ("URL_USERINFO", "report", "http://v@w.x"),
    ]
    for cut in (*range(120), len(data) - 9_005, *range(len(data) - 20, len(data))):
        machine = Canonicalizer()
        for piece in (data[:cut], data[cut : cut + 1], data[cut + 1 :]):
            machine.feed(piece)
        machine.flush()
        assert machine.findings == whole.findings, cut
