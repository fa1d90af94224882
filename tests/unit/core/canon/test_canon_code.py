"""Code is looked at and never changed (canonical.md section 9 "text/x-code")."""

from __future__ import annotations

import pytest

from apostille.core.canon import Canonicalizer, canonicalize

CASES = [
    ("hidden characters", "x = 'a\u200bb\U000e0041'", [("CODE_HIDDEN", 6, 2)]),
    ("bidi controls", "if a: # \u202e\u2066", [("CODE_HIDDEN", 8, 2)]),
    ("a joiner that shows is hidden too", "می\u200cخواهم", [("CODE_HIDDEN", 4, 1)]),
    ("Cyrillic in a Latin name", "p\u0430y = _p\u0430y9 + pay", [("CODE_MIXED", 0, 2)]),
    ("Greek too, with a mark", "x o\u0301\u03bf", [("CODE_MIXED", 2, 1)]),
    ("whole words are no mixture", "слово = word + λόγος", []),
    ("Han beside Latin is no mixture", "get漢字", []),
    ("parted by a sign", "a\u2014б, a\u00b7б", []),
    ("white space and line ends", "a \r\nb\t", []),
    ("plain", "x = 1\n", []),
]


@pytest.mark.parametrize(("why", "text", "expected"), CASES, ids=[case[0] for case in CASES])
def test_reported_wherever_it_is_cut(why, text, expected):
    data = text.encode()
    found = canonicalize(data, media_type="text/x-code")
    assert found.bytes == data
    assert [(f.code, f.position, f.count) for f in found.findings if f.code.startswith("CODE")] == expected
    assert {f.act for f in found.findings} <= {"report", "keep"}
    for cut in range(len(data)):
        machine = Canonicalizer(media_type="text/x-code")
        given = machine.feed(data[:cut]) + machine.feed(data[cut : cut + 1]) + machine.feed(data[cut + 1 :]) + machine.flush()
        assert (given, machine.findings) == (data, found.findings), cut
