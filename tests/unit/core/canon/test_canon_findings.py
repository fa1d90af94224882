"""Findings: their JSON, merging, the bound of the list, and the edit law (canonical.md section 4)."""

from __future__ import annotations

import hashlib
import json

import pytest

from apostille.core.canon import Canonicalizer, Finding, apply_edits, canonicalize, format_findings
from apostille.core.canon.findings import MAX_FINDINGS
from apostille.errors import DigestMismatchError, IncompleteError, MalformedError


def test_the_json_of_a_finding():
    found = canonicalize("Hi\U000e0048\U000e0069!")
    spelt = f'{{"hex":"4869","len":2,"sha256":"{hashlib.sha256(b"Hi").hexdigest()}"}}'
    expected = f'[{{"act":"drop","code":"TAG_DROP","decoded":{spelt},"len":8,"n":2,"now":[],"pos":2,"sev":"h","was":[917576,917609]}}]'
    assert format_findings(found.findings) == expected.encode()
    assert format_findings(()) == b"[]"


def test_was_is_cut_after_32_and_hashed():
    tags = "\U000e0041" * 5_000
    (finding,) = canonicalize("a" + tags).findings
    assert (finding.length, finding.count, finding.was) == (20_000, 5_000, (0xE0041,) * 32)
    assert finding.was_sha256 == hashlib.sha256(tags.encode()).hexdigest()
    assert finding.as_json()["was_sha256"] == finding.was_sha256
    (exact,) = canonicalize("a" + "\U000e0041" * 32).findings
    assert (len(exact.was), exact.was_sha256) == (32, None)
    (one_more,) = canonicalize("a" + "\U000e0041" * 33).findings
    assert (len(one_more.was), one_more.was_sha256) == (32, hashlib.sha256(("\U000e0041" * 33).encode()).hexdigest())


def test_neighbours_of_one_code_merge_and_others_do_not():
    found = canonicalize("\x00\x00\ufdd0\x00a\x00")
    assert [(f.code, f.position, f.length, f.count) for f in found.findings] == [
        ("CTRL", 0, 2, 2),
        ("NONCHAR", 2, 3, 1),
        ("CTRL", 5, 1, 1),
        ("CTRL", 7, 1, 1),
    ]


def test_replacements_stay_applicable_however_many():
    raw = ("e\u0301" * 1_000 + "\U0001d160" * 1_000 + "\r" * 1_000).encode()
    found = canonicalize(raw)
    assert all(len(finding.now) <= 32 and finding.now_sha256 is None for finding in found.findings)
    assert sum(finding.count for finding in found.findings if finding.act != "report") == 3_000
    assert apply_edits(raw, found.findings) == found.bytes


def test_a_long_unit_keeps_the_law():
    """Three letters that become one syllable, with 30 marks: more than 32 code points become 31."""
    raw = ("\u1112\u1161\u11ab" + "\u0301\u0316" * 15).encode()
    found = canonicalize(raw)
    finding, noted = found.findings
    assert (noted.code, noted.act) == ("MARK_DUP", "report")
    assert (len(finding.was), finding.was_sha256 is None, len(finding.now)) == (32, False, 31)
    assert apply_edits(raw, found.findings) == found.bytes


def test_over_ten_thousand_are_counted():
    many = MAX_FINDINGS + 5
    raw = ("a\x00" * many + "b\U000e0041").encode()
    found = canonicalize(raw)
    assert found.bytes == b"a" * many + b"b"
    assert len(found.findings) == MAX_FINDINGS + 3
    kept, (controls, tags, cut) = found.findings[:MAX_FINDINGS], found.findings[MAX_FINDINGS:]
    assert {finding.code for finding in kept} == {"CTRL"}
    assert (controls.code, controls.count, controls.length, controls.position) == ("CTRL", 5, 0, 2 * MAX_FINDINGS + 1)
    assert (tags.code, tags.count, tags.severity) == ("TAG_DROP", 1, "h")
    assert (cut.code, cut.count, cut.severity, cut.act) == ("FINDINGS_CUT", 6, "i", "report")
    with pytest.raises(IncompleteError) as caught:
        apply_edits(raw, found.findings)
    assert caught.value.missing == ("findings",)
    stream = Canonicalizer()
    for start in range(0, len(raw), 1_001):
        stream.feed(raw[start : start + 1_001])
    stream.flush()
    assert stream.findings == found.findings


def test_exactly_ten_thousand_are_listed():
    found = canonicalize("a\x00" * MAX_FINDINGS)
    assert len(found.findings) == MAX_FINDINGS
    assert apply_edits(b"a\x00" * MAX_FINDINGS, found.findings) == found.bytes


def test_edits_of_another_text_are_refused():
    findings = canonicalize("a\x00b").findings
    with pytest.raises(DigestMismatchError):
        apply_edits(b"ab\x00", findings)
    long = canonicalize("\U000e0041" * 40).findings
    with pytest.raises(DigestMismatchError):
        apply_edits(("\U000e0041" * 39 + "\U000e0042").encode(), long)


def test_edits_outside_or_twice_are_malformed():
    drop = Finding("CTRL", "w", "drop", 0, 1, (0,))
    with pytest.raises(MalformedError):
        apply_edits(b"\x00", [drop, drop])
    with pytest.raises(MalformedError):
        apply_edits(b"", [drop])


def test_a_rewritten_value_needs_its_bytes():
    raw = json.dumps({"key": "e\u0301" * 20, "a": [1, 2]}).encode()
    found = canonicalize(raw, media_type="application/json")
    assert (found.findings[0].code, found.findings[0].position, found.findings[0].length) == ("JSON_FORM", 0, len(raw))
    with pytest.raises(IncompleteError) as caught:
        apply_edits(raw, found.findings)
    assert caught.value.missing == ("canonical",)
    assert apply_edits(raw, found.findings, canonical=found.bytes) == found.bytes
    with pytest.raises(DigestMismatchError):
        apply_edits(raw, found.findings, canonical=found.bytes + b" ")
    with pytest.raises(DigestMismatchError):
        apply_edits(raw[:-1] + b" ", found.findings, canonical=found.bytes)


def test_a_short_rewritten_value_does_not():
    raw = b'{"b": 1.0, "a": "\\u00e9"}'
    found = canonicalize(raw, media_type="application/json")
    assert apply_edits(raw, found.findings) == found.bytes == '{"a":"é","b":1}'.encode()


def test_a_cut_list_does_not_matter_to_a_rewritten_value():
    raw = json.dumps(["\x00"] * (MAX_FINDINGS + 1)).encode()
    found = canonicalize(raw, media_type="application/json")
    assert (found.findings[0].code, found.findings[-1].code, found.findings[-1].count) == ("JSON_FORM", "FINDINGS_CUT", 1)
    assert apply_edits(raw, found.findings, canonical=found.bytes) == found.bytes
