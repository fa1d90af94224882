"""One sentence for each finding code, and the manual has the same.

Spec: canonical.md section 8.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from apostille.core.canon.findings import SEVERITIES
from apostille.faces.cli.meanings import LEVELS, MEANINGS, codes_in_use, level, meaning

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
