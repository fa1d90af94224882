"""One sentence for each finding code, and the manual has the same.

Spec: canonical.md section 8.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from apostille.core.canon import canonicalize
from apostille.core.canon.findings import SEVERITIES, Finding
from apostille.faces.cli.meanings import LEVELS, MEANINGS, codes_in_use, level, meaning, read_finding, what_became

PAGE = Path(__file__).resolve().parents[4] / "docs" / "manual" / "scan.md"


@pytest.mark.parametrize("code", sorted(SEVERITIES))
def test_every_code_has_a_sentence(code):
    """A code that a profile begins to give needs an entry in ``MEANINGS``."""
    assert code in MEANINGS
    assert re.fullmatch(r"[A-Z][^.\[\]\\{}]*\.", meaning(code)), "one sentence, and nothing that markup or SARIF would act on"
    assert level(SEVERITIES[code]) in LEVELS


def test_sentences_tell_codes_apart():
    assert len(set(MEANINGS.values())) == len(MEANINGS)
    assert codes_in_use() == tuple(sorted(SEVERITIES))


def test_codes_and_letters_that_are_unknown():
    assert meaning("NEW_KEEP") == "Optional characters that were kept; counted as residue."
    assert meaning("NEW") == "A finding of a newer profile."
    assert level("?") == "warning"


def test_the_manual_has_the_same_table():
    """Every code that can be given is there, with its level and this sentence; none is there that can not."""
    rows = re.findall(r"^\| ([A-Z0-9_]+) \| (\w+) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    table = {code: (grade, text) for code, grade, text in rows}
    assert {code: (level(SEVERITIES[code]), meaning(code)) for code in SEVERITIES} == table


# --- findings that somebody recorded


def test_a_recorded_finding_is_read_as_it_was_written():
    for text in ("a\u200bb\u202ec e\u0301 \r\n", "a" + "\u200b" * 40, "a\U000e0048\U000e0069"):
        for finding in canonicalize(text).findings:
            again = read_finding(json.loads(json.dumps(finding.as_json())))
            assert again is not None
            assert (again.as_json(), what_became(again)) == (
                {name: value for name, value in finding.as_json().items() if not name.endswith("_sha256")},
                what_became(finding),
            )


GOOD = {"code": "TAG_DROP", "sev": "h", "act": "drop", "pos": 0, "len": 4, "n": 1, "was": [917569], "now": []}


@pytest.mark.parametrize(
    "change",
    [
        {"code": None},
        {"code": 7},
        {"sev": []},
        {"pos": "0"},
        {"pos": -1},
        {"pos": True},
        {"len": 1.5},
        {"n": None},
        {"was": 5},
        {"was": ["U+200B"]},
        {"was": [-1]},
        {"now": {}},
        {"pointer": 5},
    ],
)
def test_what_is_no_finding_is_not_read(change):
    assert read_finding(GOOD) is not None
    assert read_finding(GOOD | change) is None
    assert read_finding([GOOD]) is None


def test_what_became_of_it():
    """Code points only, the first eight, and how often."""
    assert what_became(Finding("X", "w", "drop", 0, 9, (0x200B,) * 9, (), 9)) == " ".join(["U+200B"] * 8) + " .. -> removed (9 times)"
    assert what_became(Finding("X", "i", "replace", 0, 3, (0x65, 0x301), (0xE9,))) == "U+0065 U+0301 -> U+00E9"
    assert what_became(Finding("LIMIT_SIZE", "e", "refuse", 0, 0)) == "LIMIT_SIZE -> refused"
    assert what_became(Finding("X_KEEP", "i", "keep", 0, 0, (0x200C,), count=3)) == "U+200C -> kept, counted (3 times)"


HI = {"hex": "4869", "len": 2, "sha256": "0" * 64}


@pytest.mark.parametrize(
    "change", [{"hex": 5}, {"hex": "4"}, {"hex": "zz"}, {"hex": "00" * 65}, {"len": -1}, {"len": "2"}, {"sha256": None}, {"sha256": "0" * 63}]
)
def test_bytes_that_are_not_written_as_we_write_them_are_left_out(change):
    assert read_finding(GOOD | {"decoded": HI}).decoded is not None
    assert read_finding(GOOD | {"decoded": HI | change}).decoded is None
    assert read_finding(GOOD | {"decoded": "4869"}).decoded is None


def test_bytes_are_told_as_hex_and_as_text_where_they_are_ascii():
    def told(text):
        return what_became(canonicalize(text).findings[0]).partition(", spells ")[2]

    tags = "".join(chr(0xE0000 + byte) for byte in b'say "[hi]"')
    assert told(f"a{tags}") == '10 bytes: 73617920225b68695d22 "say \\"[hi]\\""'
    assert told("a\ufe01\ufe02") == "2 bytes: 0102"
    assert told("a" + "\U000e0141" * 40) == f"40 bytes: {'51' * 32} .. {json.dumps('Q' * 32)} .."
    assert told("a\ufe01") == ""
    assert told("a\U000e0141\ufe0f") == '2 bytes: 510f "Q"'
    assert told("a\ufe0e\ufe0f") == "2 bytes: 0e0f"
