"""A text edited in rounds: the composed edits lead from raw to the last text, whatever the rounds were (canonical.md section 4 "Law")."""

from __future__ import annotations

import random

from apostille.core.canon import apply_edits
from apostille.core.canon.draft import Draft, Edit, Remark
from apostille.core.canon.findings import Ledger

CODES = ["NFC", "MD_COMMENT", "WS_TAIL", "ZWSP_DROP"]


def _round(rng, text):
    edits, at = [], 0
    while True:
        start = at + rng.randrange(4)
        end = start + rng.randrange(4)
        if end > len(text):
            return edits
        now = "".join(rng.choice("xé\u200b\U0001f600") for _ in range(rng.choice((0, 0, 0, 1, 2, 70 if len(text) < 40 else 1))))
        if text[start:end] != now and not (edits and edits[-1].start == edits[-1].end == start == end):
            edits.append(Edit(start, end, now, rng.choice(CODES)))
        at = max(end, start + 1)


def test_rounds_compose():
    for seed in range(1_000):
        rng = random.Random(seed)
        raw = "".join(rng.choice("abcé\u0301\U0001f600\n") for _ in range(rng.randrange(20)))
        draft, expected = Draft(raw), raw
        for _ in range(rng.randrange(5)):
            edits = _round(rng, draft.text)
            for edit in reversed(edits):
                expected = expected[: edit.start] + edit.now + expected[edit.end :]
            draft.apply(edits)
            assert draft.text == expected
        ledger = Ledger()
        draft.record(ledger, [Remark(0, len(draft.text), "MD_HTML")])
        found = ledger.finish()
        assert apply_edits(raw.encode(), found) == draft.text.encode(), seed


def test_a_cut_takes_the_place_of_what_was_edited_in_it():
    draft = Draft("a<!--\u200b-->b")
    draft.apply([Edit(5, 6, "", "ZWSP_DROP")])
    draft.apply([Edit(1, 8, "", "MD_COMMENT")])
    ledger = Ledger()
    draft.record(ledger)
    assert [(f.code, f.position, f.length) for f in ledger.finish()] == [("MD_COMMENT", 1, 10)]


def test_remarks_are_placed_in_the_raw_text():
    draft = Draft("\u200ba\u200bbc")
    draft.apply([Edit(0, 1, "", "ZWSP_DROP"), Edit(2, 3, "", "ZWSP_DROP")])
    ledger = Ledger()
    draft.record(ledger, [Remark(1, 3, "MD_HTML"), Remark(0, 1, "MD_LINK_QUERY")])
    found = [(f.code, f.position, f.length, f.was) for f in ledger.finish() if f.act == "report"]
    assert found == [("MD_LINK_QUERY", 3, 1, (97,)), ("MD_HTML", 7, 2, (98, 99))]
    assert draft.source(1) == 7
