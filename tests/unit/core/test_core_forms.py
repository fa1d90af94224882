"""The fast writer of statements writes what the plain one writes, and refuses what readers refuse.

Spec: RFC 8785; core.predicates.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apostille.core import forms, predicates, strict
from apostille.core.forms import format_statement, write_statement, write_texts
from apostille.core.statement import parse_statement
from apostille.errors import MalformedError

DIGEST = "ab" * 32
OWN = {"captured_at": "2026-11-24T03:00:02.125Z", "key_id": "NzX2w8ab7QULwGz3ErPjWJP/e300MomimW+ofX1Cga8=", "nonce": "0d" * 16}
CHAIN = {"run": "01" * 16, "seq": 7, "previous": DIGEST}
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
LISTS = st.lists(DIGESTS, min_size=1, max_size=3)
PARTS = st.lists(st.integers(0, 99).map(lambda n: f"part/choice/{n}/text"), unique=True, max_size=4)


def fields(required, optional):
    return st.fixed_dictionaries(required, optional=optional)


COMMON = {"commitment": st.sampled_from(["salted", "plain"])}
SAID = {**COMMON, "assurance": st.sampled_from(["bound", "observed"]), "profile": st.just("opaque")}
KINDS = st.one_of(
    st.tuples(
        st.just(predicates.OUTPUT),
        fields(SAID, {"inputs": LISTS, "parents": LISTS, "outcome": st.from_regex("[a-z][a-z_]{0,31}", fullmatch=True)}),
        PARTS.map(lambda parts: ["raw", "canonical", "attributes", "findings", *parts]),
        st.booleans(),
    ),
    st.tuples(st.just(predicates.INPUT), fields(COMMON, {"parents": LISTS}), st.just(["raw", "attributes"]), st.just(True)),
    st.tuples(
        st.just(predicates.RUN_OPEN),
        fields({"isolation": st.just("none")}, {"head": fields({"root": DIGESTS, "size": st.integers(0, 2**53 - 1)}, {})}),
        st.just(["attributes"]),
        st.just(True),
    ),
    st.tuples(
        st.just(predicates.KEY),
        fields(
            {
                "event": st.just("certify"),
                "usage": st.just("statement"),
                "held_by": st.just("keeper"),
                "issuer": DIGESTS,
                "not_before": st.just(OWN["captured_at"]),
                "not_after": st.just(OWN["captured_at"]),
            },
            {"certify": st.just(True)},
        ),
        st.just(["spki", "attributes"]),
        st.just(False),
    ),
)


@given(KINDS, st.binary(min_size=32, max_size=32))
def test_the_same_bytes_as_the_plain_writer(drawn, digest):
    kind, given_fields, names, is_chained = drawn
    own = {**(CHAIN if is_chained else {}), **OWN}
    subjects = [(name, digest) for name in names]
    for _ in range(3):  # checked in full the first time, by its shape then, or on a blank
        made = write_statement(kind, given_fields, own, subjects)
        assert made == format_statement(kind, {**given_fields, **own}, subjects)
        assert parse_statement(made).subjects == dict(subjects)


OUTPUT = {"assurance": "bound", "commitment": "salted", "profile": "opaque"}
SUBJECTS = [(name, bytes(32)) for name in ("raw", "canonical", "attributes")]
REFUSED = {
    "assurance": ["sure", "", 1, None, ["bound"], 1.5],
    "commitment": ["Salted", True],
    "profile": ["apostille-safe", "opaque\n", "opaque "],
    "outcome": ["Done", "x" * 33, "ä"],
    "inputs": [[], "ab" * 32, ["AB" * 32], [DIGEST, 1], (DIGEST,)],
    "parents": [[""], {"0": DIGEST}],
    "delegation": ["ab", None],
    "more": ["field"],
    "missing": None,
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values or [None]])
@pytest.mark.parametrize("is_warm", [False, True])
def test_what_readers_refuse_is_not_written(name, value, is_warm):
    """Whether or not a statement of that shape was written before."""
    forms._forms.clear()
    forms._blanks.clear()
    good = {"outcome": "done", "inputs": [DIGEST], "parents": [DIGEST], "delegation": DIGEST}
    known = {**OUTPUT, **({name: good[name]} if name in good else {})}
    if is_warm:
        write_statement(predicates.OUTPUT, known, {**CHAIN, **OWN}, SUBJECTS)
    bad = {**OUTPUT, name: value}
    if name == "missing":
        bad = {key: value for key, value in OUTPUT.items() if key != "profile"}
    for _ in range(2):
        with pytest.raises(MalformedError):
            write_statement(predicates.OUTPUT, bad, {**CHAIN, **OWN}, SUBJECTS)


@pytest.mark.parametrize(
    "names",
    [
        ["raw", "attributes"],
        ["canonical", "raw", "attributes"],
        ["raw", "raw", "canonical", "attributes"],
        ["raw", "canonical", "attributes", "%s"],
    ],
)
def test_subjects_that_readers_refuse_are_not_written(names):
    write_statement(predicates.OUTPUT, OUTPUT, {**CHAIN, **OWN}, SUBJECTS)
    with pytest.raises(MalformedError):
        write_statement(predicates.OUTPUT, OUTPUT, {**CHAIN, **OWN}, [(name, bytes(32)) for name in names])


@pytest.mark.parametrize("lost", ["run", "seq", "previous"])
def test_half_a_place_in_a_run_is_not_written(lost):
    chain = {name: value for name, value in CHAIN.items() if name != lost}
    with pytest.raises(MalformedError):
        write_statement(predicates.OUTPUT, OUTPUT, {**chain, **OWN}, SUBJECTS)


def test_types_whose_values_must_fit_together_are_checked_each_time():
    own = {**CHAIN, **OWN, "count": 8}
    write_statement(predicates.RUN_CLOSE, {"outcome": "completed"}, own, [("attributes", bytes(32))])
    with pytest.raises(MalformedError):
        write_statement(predicates.RUN_CLOSE, {"outcome": "vanished"}, own, [("attributes", bytes(32))])


@pytest.mark.parametrize("is_warm", [False, True])
def test_fields_and_subjects_that_contradict_each_other_are_not_written(is_warm):
    """A profile without a canonical form; the erasure of another leaf than the one that its subjects name."""
    forms._forms.clear()
    forms._blanks.clear()
    said = {"commitment": "salted", "profile": "opaque"}
    erasure = {"effective_at": OWN["captured_at"], "erases": [{"index": 4, "openings": ["raw"]}], "method": "key"}
    if is_warm:
        write_statement(predicates.INPUT, said, {**CHAIN, **OWN}, SUBJECTS)
        write_statement(predicates.ERASURE, erasure, OWN, [("attributes", bytes(32)), ("leaf/4", bytes(32))])
    for _ in range(2):
        with pytest.raises(MalformedError, match="canonical form"):
            write_statement(predicates.INPUT, said, {**CHAIN, **OWN}, [("raw", bytes(32)), ("attributes", bytes(32))])
        with pytest.raises(MalformedError, match="not the ones that are erased"):
            write_statement(predicates.ERASURE, erasure, OWN, [("attributes", bytes(32)), ("leaf/5", bytes(32))])
        with pytest.raises(MalformedError, match="not the ones that are erased"):
            other = {**erasure, "erases": [{"index": 5, "openings": ["raw"]}]}
            write_statement(predicates.ERASURE, other, OWN, [("attributes", bytes(32)), ("leaf/4", bytes(32))])


def test_shapes_and_blanks_are_kept_and_do_not_pile_up():
    forms._forms.clear()
    forms._blanks.clear()
    kept = []
    for number in range(3 * forms._MAX_SHAPES):
        subjects = [*SUBJECTS, (f"part/choice/{number}/text", bytes(32))]
        write_statement(predicates.OUTPUT, OUTPUT, {**CHAIN, **OWN}, subjects)
        kept.append((len(forms._forms), len(forms._blanks)))
    assert max(shapes for shapes, _ in kept) == max(blanks for _, blanks in kept) == forms._MAX_SHAPES


def test_a_blank_is_for_its_own_texts_only():
    """Also where a text looks like a slot."""
    profile = "apostille-safe/1 ucd=15.0.0 tables=" + "0" * 64 + " links=%s%d%%"
    for _ in range(2):
        for given_fields in (OUTPUT, {**OUTPUT, "assurance": "observed"}, {**OUTPUT, "profile": profile}):
            for seq in (0, 2**53 - 1):
                own = {**CHAIN, **OWN, "seq": seq}
                made = write_statement(predicates.OUTPUT, given_fields, own, SUBJECTS)
                assert made == format_statement(predicates.OUTPUT, {**given_fields, **own}, SUBJECTS)


class Text(str):
    """A text that is not quite one."""

    __slots__ = ()


VALUES = st.one_of(
    st.text(), st.text('ab"\\\x00\x7f/'), st.integers(), st.none(), st.just(Text("x")), st.lists(st.text(max_size=1), max_size=1)
)


@given(st.dictionaries(st.one_of(st.text('abc_"\x01é', max_size=4), st.integers()), VALUES, max_size=4))
def test_texts_are_written_as_canonical_json_or_not_at_all(value):
    made = write_texts(value)
    is_plain = all(type(k) is str and type(v) is str and (k + v).isascii() for k, v in value.items())
    assert (made is not None) == is_plain
    if made is not None:
        assert made == strict.canonical_json(value)
        assert strict.canonical_json_value(made, spec="test") == value
