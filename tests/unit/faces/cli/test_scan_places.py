"""Where findings are: lines and columns of byte offsets, and raw places of what stands inside JSON strings.

Spec: canonical.md section 4 (``pos``, ``pointer``); SARIF 2.1.0 section 3.30 (regions).
"""

from __future__ import annotations

import io
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apostille.core.canon import canonicalize
from apostille.core.canon.findings import Finding
from apostille.errors import CanonicalizationError
from apostille.faces.cli.scan import places as module
from apostille.faces.cli.scan.json_places import find_spans
from apostille.faces.cli.scan.places import find_places

TEXTS = st.text(alphabet=st.sampled_from(list("ab\n\r\té€😀\u200b\ufeff")), max_size=40)


def naive(data: bytes, offset: int) -> tuple[int, int]:
    """By the definition, for an offset at the beginning of a character."""
    text = data[:offset].decode().removeprefix("\ufeff")
    return text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1


@given(TEXTS, st.integers(1, 7))
def test_places_are_those_of_the_definition(text, chunk):
    """For every character of a text, however the file is cut into pieces."""
    data = text.encode()
    offsets = [len(text[:at].encode()) for at in range(len(text) + 1)]
    before, module._CHUNK = module._CHUNK, max(chunk, 3)
    try:
        found = find_places(io.BytesIO(data), offsets)
    finally:
        module._CHUNK = before
    assert {offset: tuple(place) for offset, place in found.items()} == {offset: naive(data, offset) for offset in offsets}


def test_offsets_behind_the_end():
    assert find_places(io.BytesIO(b"a\nb"), [3, 99]) == {3: (2, 2), 99: (2, 2)}
    assert find_places(io.BytesIO(b""), [0, 5]) == {0: (1, 1), 5: (1, 1)}
    assert find_places(io.BytesIO(b"abc"), []) == {}


def test_no_more_is_read_than_needed():
    file = io.BytesIO(b"x" * 1_000_000)
    find_places(file, [10])
    assert file.tell() == 65_536


def spans(text: str, profile: str = "safe") -> list[tuple[str, str | None, str]]:
    """Code, pointer and the raw bytes that are shown for it."""
    data = text.encode()
    try:
        findings = canonicalize(data, media_type="application/json", profile=profile).findings
    except CanonicalizationError as error:
        findings = error.findings
    found = find_spans(data, findings)
    return [(f.code, f.pointer, data[slice(*found[f])].decode()) for f in findings if f in found]


INSIDE = [
    ('"a\u200bb"', [("ZWSP_DROP", "", "\u200b")]),
    (r'"a\u200bb"', [("ZWSP_DROP", "", r"\u200b")]),
    (r'{"k":["x",{"y":"\ud83d\ude00\u202e\n"}]}', [("BIDI_OVERRIDE", "/k/1/y", r"\u202e")]),
    (r'{"k\u200b":"plain"}', [("ZWSP_DROP", "/k\u200b", r"\u200b")]),
    (r'{"k\u200b":"v\u200b\u200b"}', [("ZWSP_DROP", "/k\u200b", r"\u200b"), ("ZWSP_DROP", "/k\u200b", r"\u200b\u200b")]),
    (r'{"a/b~":"\udb40\udc41x"}', [("TAG_DROP", "/a~1b~0", r"\udb40\udc41")]),
    ('{"a":1,"a":2}', [("JSON_DUP_KEY", "/a", "a")]),
    (r'{"a":"\u200b","a":"\u202e"}', [("ZWSP_DROP", "/a", r"\u200b"), ("JSON_DUP_KEY", "/a", "a"), ("BIDI_OVERRIDE", "/a", r"\u202e")]),
    (r'[[],{},"\\\"\u200b"]', [("ZWSP_DROP", "/2", r"\u200b")]),
    (r'"\ud800"', [("ENC_INVALID", "", r"\ud800")]),
    (r'[{"a":[1]},[{"b":"e\u200b"}],"f"]', [("ZWSP_DROP", "/1/0/b", r"\u200b")]),
]


@pytest.mark.parametrize(("text", "shown"), INSIDE, ids=[text for text, _ in INSIDE])
def test_places_inside_json(text, shown):
    """Escapes, pairs of them, keys and values of one pointer, keys that stand twice."""
    assert spans(text) == shown


VALUES = st.recursive(
    st.text(alphabet=st.sampled_from(list('a"\\/~\n\u200b\u202eé😀\U000e0041')), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet="ab~/\u200b", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_every_finding_in_json_is_shown_where_it_is(value, is_ascii, indent):
    """Whatever is nested in what and however it is spelt: the bytes that are shown mean what was found."""
    text = json.dumps(value, ensure_ascii=is_ascii, indent=indent)
    data = text.encode()
    try:
        findings = canonicalize(data, media_type="application/json").findings
    except CanonicalizationError as error:
        findings = error.findings
    found = find_spans(data, findings)
    for finding in findings:
        if finding.pointer is None:
            continue
        start, end = found[finding]
        if finding.length and not finding.was_sha256:
            meant = json.loads(b'"' + data[start:end] + b'"', strict=False)
            assert meant == "".join(map(chr, finding.was))


def test_pointers_that_name_nothing():
    """A pointer that was cut, or that is of another document: left out, never an error."""
    lost = Finding("ZWSP_DROP", "w", "drop", 5, 3, (0x200B,), pointer="/x" * 500 + "\u2026")
    assert find_spans(b'{"a":"b"}', [lost]) == {}
    assert find_spans(b"", [lost]) == {}
    beyond = Finding("ZWSP_DROP", "w", "drop", 50, 3, (0x200B,), pointer="/a")
    assert find_spans(b'{"a":"b"}', [beyond]) == {beyond: (7, 7)}


def test_the_cost_grows_with_the_document_only():
    """Ten thousand findings in one string: it is walked through once, not once for each."""

    def cost(count: int) -> float:
        data = b'"' + b"a\\u200b" * count + b'"'
        findings = canonicalize(data, media_type="application/json").findings
        best = 9.0
        for _ in range(3):
            start = time.thread_time()
            assert len(find_spans(data, findings)) >= min(count, 10_000)
            best = min(best, time.thread_time() - start)
        return best

    cost(100)
    assert cost(8_000) < 5 * cost(4_000) + 0.01
