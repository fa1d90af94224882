"""What the fields and subjects of a statement may not say together, though each is sound (formats.md sections 3.1, 3.2, 3.5, 3.6).

Every rule is tried on both of its sides, and the reader of statements is shown to apply it.
"""

from __future__ import annotations

import itertools

import pytest

from apostille.core import predicates, statement
from apostille.core.predicates import FIELDS, check_fields, check_subjects, check_together
from apostille.errors import MalformedError
from tests.unit.core.core_kit import BY_GENESIS, CHAIN, DIGEST, LATER, NOW, PROFILE, TIME, TYPES, said

KEY_FIELDS = TYPES[predicates.KEY][0]
EVENTS = ("genesis", "certify", "retire", "revoke")
USAGES = ("root", "log", "statement", "erasure")
HOLDERS = ("agent", "gateway", "keeper")


def refused_together(kind, fields):
    """Each field is sound by itself; together they are refused."""
    for name, value in fields.items():
        FIELDS[name](value)
    with pytest.raises(MalformedError, match=f"fields of {kind} that do not go together"):
        check_fields(kind, fields)
    with pytest.raises(MalformedError, match="do not go together"):
        statement.parse_statement(said(kind, {name: fields.get(name) for name in {*TYPES[kind][0], *fields}}))


def taken_together(kind, fields):
    check_fields(kind, fields)
    assert (
        statement.parse_statement(said(kind, {name: fields.get(name) for name in {*TYPES[kind][0], *fields}})).predicate == fields
    )


def without(fields, name):
    return {other: value for other, value in fields.items() if other != name}


def of_event(event: str) -> dict[str, object]:
    return BY_GENESIS if event == "genesis" else {"event": event}


# Runs ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["completed", "aborted", "errored", "crash"])
def test_how_a_run_ended(word):
    taken_together(predicates.RUN_CLOSE, {**TYPES[predicates.RUN_CLOSE][0], "outcome": word})


@pytest.mark.parametrize(
    "word", ["client_abort", "upstream_error", "log_error", "drain", "cancelled", "complete", "crashed", "a", "completed_"]
)
def test_a_run_ends_in_one_of_four_words(word):
    """An output may be incomplete for any reason."""
    taken_together(predicates.OUTPUT, {**TYPES[predicates.OUTPUT][0], "outcome": word})
    refused_together(predicates.RUN_CLOSE, {**TYPES[predicates.RUN_CLOSE][0], "outcome": word})


# Keys ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("usage", USAGES)
def test_statement_keys_have_a_holder(event, usage):
    """A holder is named if and only if the key signs statements, whatever happens to it."""
    fields = {**KEY_FIELDS, **of_event(event), "usage": usage}
    is_statement = usage == "statement"
    for holder in HOLDERS:
        (taken_together if is_statement else refused_together)(predicates.KEY, {**fields, "held_by": holder})
    (refused_together if is_statement else taken_together)(predicates.KEY, fields)


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("names", [(), ("log",), ("origin",), ("log", "origin")])
def test_only_genesis_names_the_log(event, names):
    fields = {**KEY_FIELDS, "event": event, "usage": "root", "next": DIGEST, **{name: BY_GENESIS[name] for name in names}}
    wanted = ("log", "origin") if event == "genesis" else ()
    (taken_together if names == wanted else refused_together)(predicates.KEY, fields)


@pytest.mark.parametrize("event", EVENTS)
def test_genesis_names_the_next_root(event):
    """Any key statement may name a successor; genesis has to."""
    fields = {**KEY_FIELDS, **of_event(event), "usage": "root", "next": DIGEST}
    taken_together(predicates.KEY, fields)
    (refused_together if event == "genesis" else taken_together)(predicates.KEY, without(fields, "next"))


@pytest.mark.parametrize("event", EVENTS)
def test_only_keepers_certify(event):
    fields = {**KEY_FIELDS, **of_event(event), "usage": "statement", "certify": True}
    taken_together(predicates.KEY, {**fields, "held_by": "keeper"})
    for holder in ("agent", "gateway"):
        refused_together(predicates.KEY, {**fields, "held_by": holder})
    for usage in ("root", "log", "erasure"):
        refused_together(predicates.KEY, {**fields, "usage": usage})


@pytest.mark.parametrize("event", EVENTS)
def test_compromise_goes_with_revocation(event):
    fields = {**KEY_FIELDS, **of_event(event), "compromised_since": TIME}
    (taken_together if event == "revoke" else refused_together)(predicates.KEY, fields)
    taken_together(predicates.KEY, without(fields, "compromised_since"))


# Gaps ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begin", "end", "holds"),
    [
        (NOW, LATER, True),
        (NOW, NOW, True),
        ("0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", True),
        (LATER, NOW, False),
        ("2026-11-24T03:00:02.125Z", "2026-11-24T03:00:02.124Z", False),
        ("9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00.000Z", False),
    ],
)
def test_a_gap_does_not_end_before_it_begins(begin, end, holds):
    fields = {**TYPES[predicates.GAP][0], "from": begin, "to": end}
    (taken_together if holds else refused_together)(predicates.GAP, fields)


def test_a_gap_names_a_run_without_being_in_its_chain():
    fields = {**TYPES[predicates.GAP][0], "run": CHAIN["run"]}
    taken_together(predicates.GAP, fields)
    for name in ("seq", "previous"):
        with pytest.raises(MalformedError):
            check_fields(predicates.GAP, {**fields, name: CHAIN[name]})


# Fields and subjects -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("named", "cleaned"), list(itertools.product([False, True], repeat=2)))
def test_a_profile_goes_with_a_canonical_form(named, cleaned):
    fields = {**TYPES[predicates.INPUT][0], **({"profile": PROFILE} if named else {})}
    names = ["raw", "canonical", "attributes"] if cleaned else ["raw", "attributes"]
    together(predicates.INPUT, fields, names, holds=named == cleaned, why="a profile is named if and only if")


@pytest.mark.parametrize(
    ("erased", "leaves", "holds"),
    [
        ([4], [4], True),
        ([0], [0], True),
        ([3, 4, 10], [3, 4, 10], True),
        ([2**53 - 1], [2**53 - 1], True),
        ([4], [5], False),
        ([4], [3, 4], False),
        ([3, 4], [4], False),
        ([3, 4], [3], False),
        ([3, 4], [4, 3], False),
        ([3, 10], [10, 3], False),
        ([2**53 - 1], [2**53 - 2], False),
    ],
)
def test_erased_leaves_are_the_ones_that_are_named(erased, leaves, holds):
    """In the order of their numbers, not of their digits."""
    fields = {**TYPES[predicates.ERASURE][0], "erases": [{"index": index, "openings": ["raw"]} for index in erased]}
    names = ["attributes", *(f"leaf/{index}" for index in leaves)]
    together(predicates.ERASURE, fields, names, holds=holds, why="not the ones that are erased")


def together(kind, fields, names, *, holds, why):
    check_fields(kind, fields)
    check_subjects(kind, names)
    text = said(kind, fields, names=names)
    if holds:
        check_together(kind, fields, names)
        assert list(statement.parse_statement(text).subjects) == names
    else:
        with pytest.raises(MalformedError, match=why):
            check_together(kind, fields, names)
        with pytest.raises(MalformedError, match=why):
            statement.parse_statement(text)


@pytest.mark.parametrize("kind", TYPES)
def test_nothing_else_is_asked_of_them(kind):
    required, _, subjects, _ = TYPES[kind]
    check_together(kind, required, subjects)
