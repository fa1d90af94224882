"""Entries that are wrong in themselves, in a tree that holds: one single check remains to find each, and it does.

Spec: formats.md sections 3.2 to 3.6 (chain, keys, erasure), 12 step 11; trust.md sections 3 (threats 3, 5, 26), 4 (exit codes).
"""

from __future__ import annotations

from typing import Any

import pytest
from insider_kit import WRONG, Insider, erasure, formed, signed, unknown_signer
from service_kit import alter, examine

from apostille.core import predicates
from apostille.services.attester import utc_text


@pytest.fixture
def insider():
    made = Insider()
    yield made
    made.keeper.close()


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_entry_in_a_sound_tree(insider, name):
    act, code, message = WRONG[name]
    index = act(insider)
    insider.keeper.publish()
    found = examine(insider.world)
    assert found.code == code
    assert len(found.failures) == 1, found.failures
    assert found.failures[0].index == index
    assert found.failures[0].message.startswith(f"leaf {index}: ")
    assert message in found.failures[0].message


@pytest.mark.parametrize(
    "statement",
    [b"{}", b"", b"\xff", b'{"_type":"https://in-toto.io/Statement/v1"}', b"[" * 1000],
    ids=["empty object", "nothing", "not UTF-8", "half", "deep"],
)
def test_a_signed_statement_that_is_none(insider, statement):
    """Whoever has a key can sign anything: what is no statement is 65 (or has no key to name), and the rest is still examined."""
    index = insider.put(signed(insider.agent, statement))
    other = unknown_signer(insider)
    insider.keeper.publish()
    found = examine(insider.world)
    assert found.code == 65
    assert [(f.index, f.code) for f in found.failures][-1] == (other, "untrusted")
    assert {f.index for f in found.failures} == {index, other}


def test_a_statement_of_a_later_version(insider):
    insider.put(formed(insider, insider.agent, "urn:apostille:output:v2", {}))
    insider.keeper.publish()
    found = examine(insider.world)
    assert (found.code, [f.code for f in found.failures]) == (65, ["unsupported-version"])


RUN = {"run": "ab" * 16, "seq": 0, "previous": "00" * 32}
LIFE = {"not_before": utc_text(0), "not_after": utc_text(1), "issuer": "00" * 32}
BARE = bytes(32)
# What an attester refuses to sign because it does not go together: type, fields, subjects before and behind the attributes.
CONTRADICTORY: dict[str, tuple[str, dict[str, Any], list[tuple[str, bytes]], list[tuple[str, bytes]]]] = {
    "run closed with a word of its own": (predicates.RUN_CLOSE, {**RUN, "count": 1, "outcome": "cancelled"}, [], []),
    "statement key held by nobody": (predicates.KEY, {**LIFE, "event": "certify", "usage": "statement"}, [("spki", BARE)], []),
    "gap that ends before it begins": (predicates.GAP, {"from": utc_text(2), "to": utc_text(1)}, [], []),
    "input cleaned by nobody": (predicates.INPUT, {**RUN, "commitment": "salted"}, [("raw", BARE), ("canonical", BARE)], []),
    "erasure of a leaf that it does not name": (
        predicates.ERASURE,
        {"effective_at": utc_text(0), "erases": [{"index": 1, "openings": ["raw"]}], "method": "row"},
        [],
        [("leaf/2", BARE)],
    ),
}


@pytest.mark.parametrize("name", CONTRADICTORY)
def test_a_signed_statement_that_contradicts_itself(insider, name):
    """The auditor refuses what no attester of ours would have signed, and reads on."""
    kind, fields, before, behind = CONTRADICTORY[name]
    index = insider.put(formed(insider, insider.agent, kind, fields, before=before, behind=behind))
    other = unknown_signer(insider)
    insider.keeper.publish()
    found = examine(insider.world)
    assert found.code == 65
    assert [(f.index, f.code) for f in found.failures] == [(index, "malformed"), (other, "untrusted")]


def test_open_runs_are_named(insider):
    insider.open("aa" * 16)
    insider.open("bb" * 16)
    insider.close(1, insider.open("cc" * 16), "cc" * 16)
    insider.keeper.publish()
    found = examine(insider.world)
    assert found.code == 4
    assert [f.message for f in found.failures] == [f"run {name * 16} is not closed: 1 statements so far" for name in ("aa", "bb")]


def test_a_gap_is_incomplete(insider):
    insider.say(insider.agent, predicates.GAP, {"from": utc_text(0), "to": utc_text(90_000), "lost": 3})
    insider.keeper.publish()
    found = examine(insider.world)
    assert (found.code, len(found.failures), found.audit.gaps) == (4, 1, 1)
    assert "GAP: nothing was captured from 1970-01-01T00:00:00.000Z to 1970-01-01T00:01:30.000Z" in found.failures[0].message


# --- erasure


ALL = ["attributes", "canonical", "raw"]


def erased_output(i: Insider, openings: list[str], *, lose: list[str] | None = None, **more: Any) -> int:
    """An output, an erasure of some of its openings by a certified erasure key, and then the loss."""
    index = i.output(i.agent)
    key = i.new_key("eraser")
    i.certify(i.root, key, 0, usage="erasure", held_by=None)
    erasure(i, key, index, openings, **more)
    i.keeper.publish()
    record = i.world.store.record(index)
    gone = openings if lose is None else lose
    alter(i.world, index, openings=tuple(o for o in record.openings if o.name not in gone))
    return index


@pytest.mark.parametrize("openings", [ALL, ["canonical", "raw"], ["raw"]])
def test_erased_is_not_missing(insider, openings):
    erased_output(insider, openings)
    found = examine(insider.world)
    assert (found.code, found.failures) == (0, [])
    assert (found.audit.openings.erased, found.audit.openings.missing) == (1, 0)


def test_erased_with_its_key(insider):
    index = erased_output(insider, ALL, lose=[])
    alter(insider.world, index, wrapped_key=None)
    found = examine(insider.world)
    assert (found.code, found.audit.openings.erased) == (0, 1)


def test_more_is_gone_than_was_erased(insider):
    index = erased_output(insider, ["raw"], lose=["raw", "canonical"])
    found = examine(insider.world)
    assert (found.code, [f.index for f in found.failures]) == (1, [index])
    assert found.audit.openings.missing == 1


def test_an_erasure_of_another_leaf_covers_nothing(insider):
    """The erasure names the index, but the statement of another leaf: it was meant for something else."""
    other = insider.output(insider.agent)
    index = erased_output(insider, ALL, digest=insider.world.store.record(other).pae_digest)
    found = examine(insider.world)
    assert (found.code, [f.index for f in found.failures]) == (1, [index])


def test_an_erasure_by_the_wrong_key_does_not_help(insider):
    index = insider.output(insider.agent)
    by = erasure(insider, insider.agent, index, ALL)
    insider.keeper.publish()
    alter(insider.world, index, openings=(), wrapped_key=None)
    found = examine(insider.world)
    assert found.code == 1
    assert by in {f.index for f in found.failures}
