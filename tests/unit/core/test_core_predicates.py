"""Fields and subjects of every type of statement: closed sets, one table (formats.md sections 3.1, 3.2, 3.5, 3.6).

The tables of the specification stand in ``core_kit.TYPES``, written down apart from the code that is tested.
"""

from __future__ import annotations

import itertools

import pytest

from apostille.core import predicates
from apostille.core.predicates import FIELDS, SHAPES, check_fields, check_subjects
from apostille.errors import MalformedError
from tests.unit.core.core_kit import CHAIN, DIGEST, KEY_ID, PROFILE, TIME, TYPES, fullest, with_optional

ALL_VALUES = {
    name: value for required, optional, *_ in TYPES.values() for name, value in {**CHAIN, **required, **optional}.items()
}


def test_types():
    assert set(SHAPES) == set(TYPES)
    assert set(ALL_VALUES) == set(FIELDS)


@pytest.mark.parametrize("kind", TYPES)
def test_required_fields(kind):
    required, optional, *_ = TYPES[kind]
    check_fields(kind, required)
    for predicate in fullest(kind):
        check_fields(kind, predicate)
    assert {name for predicate in fullest(kind) for name in predicate} == {*required, *optional}
    for name in required:
        with pytest.raises(MalformedError):
            check_fields(kind, {field: value for field, value in required.items() if field != name})


@pytest.mark.parametrize("kind", TYPES)
def test_each_optional_field_alone(kind):
    for name in TYPES[kind][1]:
        check_fields(kind, with_optional(kind, name))


@pytest.mark.parametrize("kind", TYPES)
def test_no_other_field(kind):
    required, optional, *_ = TYPES[kind]
    chain = CHAIN if kind == predicates.OUTPUT else {}
    for name, value in {**ALL_VALUES, "agent": "x", "model": {}, "media_type": "text/plain", "": 1}.items():
        if name not in {**required, **optional, **chain}:
            with pytest.raises(MalformedError):
                check_fields(kind, {**required, name: value})


@pytest.mark.parametrize("predicate", [None, [], "x", 7, True])
def test_predicate_is_an_object(predicate):
    with pytest.raises(MalformedError):
        check_fields(predicates.GAP, predicate)


def test_chain_is_all_or_nothing():
    """Outputs may stand alone; then all three are absent."""
    required = TYPES[predicates.OUTPUT][0]
    check_fields(predicates.OUTPUT, {**required, **CHAIN})
    for count in (1, 2):
        for names in itertools.combinations(CHAIN, count):
            with pytest.raises(MalformedError):
                check_fields(predicates.OUTPUT, {**required, **{name: CHAIN[name] for name in names}})


BAD_HEX = ["", "00", DIGEST.upper(), DIGEST[:-1], DIGEST + "00", "g" * 64, " " + DIGEST[1:], DIGEST[:-1] + "\n", "٣" * 64, 7]
BAD_ID = ["", DIGEST, "0" * 31, "0" * 33, "A" * 32, "626E7ACCA2DF7C28B39163140AD367EA"]
BAD_TIME = [
    "2026-11-24T03:00:02Z",
    "2026-11-24T03:00:02.12Z",
    "2026-11-24T03:00:02.1250Z",
    "2026-11-24T03:00:02.125+00:00",
    "2026-11-24T03:00:02.125z",
    "2026-11-24 03:00:02.125Z",
    "2026-11-24T24:00:00.000Z",
    "2026-11-24T03:60:00.000Z",
    "2026-11-24T03:00:60.000Z",
    "2026-13-24T03:00:02.125Z",
    "2026-00-24T03:00:02.125Z",
    "2026-11-32T03:00:02.125Z",
    "2026-11-00T03:00:02.125Z",
    "26-11-24T03:00:02.125Z",
    "+002026-11-24T03:00:02.125Z",
    "٢٠٢٦-11-24T03:00:02.125Z",
    "2026-11-24T03:00:02.125Z\n",
    "",
    1_795_489_202_125,
]
BAD_COUNT = [-1, 2**53, 1.5, "3", True, [], "٣"]
BAD_KEY_ID = ["", KEY_ID[:-1], KEY_ID[:-2] + "9=", KEY_ID + "\n", DIGEST, "AAAA", 7]
BAD_REFERENCES = [[], "", DIGEST, [DIGEST[:-1]], [DIGEST, None], [[DIGEST]], {"0": DIGEST}, [DIGEST] * 65_537]
BAD_WORD = ["", "Word", "two words", "a-b", "_a", "a" * 33, "word\n", "é", "1a", 7]
BAD_FIELDS = {
    "assurance": ["", "Bound", "bound ", "trusted", True, ["bound"]],
    "captured_at": BAD_TIME,
    "certify": [False, 1, "true", []],
    "commitment": ["", "Salted", "none", ["salted"]],
    "compromised_since": BAD_TIME,
    "count": BAD_COUNT,
    "delegation": BAD_HEX,
    "effective_at": BAD_TIME,
    "erases": [
        [],
        {},
        "4",
        [4],
        [{"index": 4}],
        [{"openings": ["raw"]}],
        [{"index": 4, "openings": ["raw"], "reason": "x"}],
        [{"index": 4, "openings": []}],
        [{"index": 4, "openings": "raw"}],
        [{"index": 4, "openings": ["raw", "canonical"]}],
        [{"index": 4, "openings": ["raw", "raw"]}],
        [{"index": 4, "openings": [7]}],
        [{"index": 4, "openings": ["r" * 256]}],
        [{"index": "4", "openings": ["raw"]}],
        [{"index": -1, "openings": ["raw"]}],
        [{"index": True, "openings": ["raw"]}],
        [{"index": 5, "openings": ["raw"]}, {"index": 4, "openings": ["raw"]}],
        [{"index": 4, "openings": ["raw"]}, {"index": 4, "openings": ["raw"]}],
        [{"index": i, "openings": ["raw"]} for i in range(1_001)],
    ],
    "event": ["", "Genesis", "rotate", 7],
    "from": BAD_TIME,
    "head": [[], {}, {"root": DIGEST}, {"size": 1}, {"root": DIGEST, "size": 1, "x": 1}, {"root": "00", "size": 1}]
    + [{"root": DIGEST, "size": size} for size in BAD_COUNT],
    "held_by": ["", "root", "person", ["agent"]],
    "inputs": BAD_REFERENCES,
    "isolation": ["", "None", "docker", ["none"]],
    "issuer": BAD_HEX,
    "key_id": BAD_KEY_ID,
    "log": [[], DIGEST, [DIGEST[:-1]], [DIGEST] * 9],
    "lost": BAD_COUNT,
    "method": ["", "shred", "Key"],
    "next": BAD_HEX,
    "nonce": BAD_ID,
    "not_after": BAD_TIME,
    "not_before": BAD_TIME,
    "origin": [7, [], "o" * 256],
    "outcome": BAD_WORD,
    "parents": BAD_REFERENCES,
    "previous": BAD_HEX,
    "profile": [
        "",
        "safe",
        "Opaque",
        "opaque ",
        PROFILE + " ",
        PROFILE.upper(),
        PROFILE.replace("ucd=18.0.0", "ucd=18.0"),
        PROFILE.replace("apostille", "other"),
        PROFILE[:-1],
        PROFILE.replace("/1 ", "/٣ "),
        PROFILE.replace(" ucd", "  ucd"),
        7,
    ],
    "replaces": BAD_KEY_ID,
    "run": BAD_ID,
    "seq": BAD_COUNT,
    "status": ["", "allowed", "Denied"],
    "to": BAD_TIME,
    "usage": ["", "agent", "Root", ["root"]],
}


def test_bad_table_is_complete():
    assert set(BAD_FIELDS) == set(FIELDS)


@pytest.mark.parametrize("name", BAD_FIELDS)
def test_bad_values(name):
    kind = next(kind for kind, (required, optional, *_) in TYPES.items() if name in {**CHAIN, **required, **optional})
    if name in CHAIN:
        kind = predicates.RUN_OPEN
    good = next(predicate for predicate in fullest(kind) if name in predicate)
    check_fields(kind, good)
    for bad in [*BAD_FIELDS[name], None]:
        with pytest.raises(MalformedError, match=r"^(?!.*do not go together)"):
            check_fields(kind, {**good, name: bad})
            pytest.fail(f"{name}: {str(bad)[:60]!r}")


GOOD_FIELDS = {
    "captured_at": ["0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"],
    "assurance": ["bound", "observed"],
    "commitment": ["salted", "plain"],
    "count": [0, 2**53 - 1],
    "event": ["genesis", "certify", "retire", "revoke"],
    "held_by": ["agent", "gateway", "keeper"],
    "head": [{"root": DIGEST, "size": 0}],
    "isolation": ["none", "landlock", "netns", "uid", "host"],
    "log": [[DIGEST] * 8],
    "method": ["key", "row"],
    "outcome": ["completed", "aborted", "errored", "crash", "client_abort", "upstream_error", "log_error", "drain", "a" * 32],
    "profile": [
        "opaque",
        "apostille-safe/0 ucd=18.0.0 tables=" + "0" * 64,
        "apostille-safe/1 ucd=18.0.0 tables=" + "0" * 64 + " markdown=4.3.0 policy=" + "1" * 64,
    ],
    "status": ["dispatched", "denied", "blocked"],
    "usage": ["root", "log", "statement", "erasure"],
    "erases": [
        [{"index": i, "openings": ["raw"]} for i in range(1_000)],
        [{"index": 0, "openings": ["attributes", "canonical", "raw"]}, {"index": 2**53 - 1, "openings": ["part/choice/0/text"]}],
    ],
    "inputs": [[DIGEST] * 65_536],
}


@pytest.mark.parametrize("name", GOOD_FIELDS)
def test_good_values(name):
    for value in GOOD_FIELDS[name]:
        FIELDS[name](value)


# Subjects ------------------------------------------------------------------------------------------------------------

ALL_SUBJECTS = ["raw", "canonical", "spki", "attributes", "findings", "part/choice/0/text", "leaf/4"]


@pytest.mark.parametrize("kind", TYPES)
def test_subjects(kind):
    *_, required, optional = TYPES[kind]
    ordered = [name for name in ALL_SUBJECTS if name in {*required, *optional}]
    check_subjects(kind, required)
    check_subjects(kind, ordered)
    for name in required:
        with pytest.raises(MalformedError):
            check_subjects(kind, [other for other in ordered if other != name])
    for name in ALL_SUBJECTS:
        if name not in {*required, *optional}:
            with pytest.raises(MalformedError):
                check_subjects(kind, [other for other in ALL_SUBJECTS if other in {*required, name}])
    for name in ordered:
        with pytest.raises(MalformedError):
            check_subjects(kind, sorted([*ordered, name], key=ALL_SUBJECTS.index))


def test_one_order():
    for names in itertools.permutations(["raw", "canonical", "attributes", "findings"]):
        if names == ("raw", "canonical", "attributes", "findings"):
            check_subjects(predicates.OUTPUT, list(names))
        else:
            with pytest.raises(MalformedError):
                check_subjects(predicates.OUTPUT, list(names))


@pytest.mark.parametrize(
    "name",
    [
        "part/choice/0/text",
        "part/item/12/refusal",
        "part/block/3/reasoning",
        "part/choice/0/arguments/0",
        "part/choice/0/arguments/17",
        "part/choice/999999999/opaque",
    ],
)
def test_parts(name):
    check_subjects(predicates.OUTPUT, ["raw", "canonical", "attributes", name])


@pytest.mark.parametrize(
    "name",
    [
        "",
        "part/",
        "part",
        "part/choice/0",
        "part/choice/0/",
        "part/choice/0/text/",
        "part/choice/0/text/1/2",
        "part/choice/00/text",
        "part/choice/-1/text",
        "part/choice/+1/text",
        "part/choice/٣/text",
        "part/choice/1000000000/text",
        "part/choice/0/text/01",
        "part/choice/0/image",
        "part/message/0/text",
        "part/choice/0/text\n",
        "part/choice//text",
        "Part/choice/0/text",
        "part/call_abc123/0/text",
        "leaf/4",
        "leaf/",
        "stream",
        "Raw",
        "raw ",
        "tool/search",
    ],
)
def test_parts_refused(name):
    with pytest.raises(MalformedError):
        check_subjects(predicates.OUTPUT, ["raw", "canonical", "attributes", name])


@pytest.mark.parametrize("name", ["leaf/0", "leaf/4", f"leaf/{2**53 - 1}"])
def test_leaves(name):
    check_subjects(predicates.ERASURE, ["attributes", name])


@pytest.mark.parametrize(
    "name",
    ["leaf/", "leaf/04", "leaf/-4", "leaf/+4", "leaf/٤", "leaf/4/raw", "leaf/4\n", f"leaf/{2**53}", "leaf/" + "9" * 19, "leaf"],
)
def test_leaves_refused(name):
    with pytest.raises(MalformedError):
        check_subjects(predicates.ERASURE, ["attributes", name])


def test_limits_of_what_one_erasure_names():
    """4,096 openings of a leaf, of names of 255 characters; not one more."""
    most = [f"{number:0255}" for number in range(4096)]
    FIELDS["erases"]([{"index": 0, "openings": most}])
    for openings in ([*most, "x"], ["x" * 256]):
        with pytest.raises(MalformedError):
            FIELDS["erases"]([{"index": 0, "openings": openings}])


def test_messages_quote_little():
    for attempt in (
        lambda: check_fields(predicates.OUTPUT, {**TYPES[predicates.OUTPUT][0], "outcome": "x y" * 10_000}),
        lambda: check_subjects(predicates.OUTPUT, ["raw", "secret" * 10_000]),
    ):
        with pytest.raises(MalformedError) as caught:
            attempt()
        assert len(str(caught.value)) < 200
    assert TIME in str(TYPES[predicates.GAP][0])
