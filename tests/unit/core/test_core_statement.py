"""Statements: the worked example byte for byte, sizes, and the strict reader (formats.md sections 1, 3 and 3.1)."""

from __future__ import annotations

import json

import pytest

from apostille.core import entry, forms, predicates, statement, strict
from apostille.core.digest import sha256
from apostille.errors import MalformedError, MalformedJsonError, TooLargeError, UnsupportedVersionError
from tests.unit.core.core_kit import AGENT, COMMON, DIGEST, MADE, PROFILE, RUN, TYPES, example, jcs, pae_digest, said

OUTPUT = example().statements[4]


def test_worked_example():
    """Section 1: 958 bytes; H(PAE) 4b899e30..6120; previous bfa02ecf..33de, which is the run-open statement."""
    assert len(OUTPUT) == 958
    assert pae_digest(OUTPUT).hex() == "4b899e307793051fd46b0cf03c6f3662b3bf33f19741d71253f03114cb3b6120"
    opened = pae_digest(example().statements[3]).hex()
    assert opened == "bfa02ecf35f17c1e265119c940b2e9a01e40768f94609eb64639082b4fd333de"
    read = statement.parse_statement(OUTPUT)
    assert read.type == "urn:apostille:output:v1"
    assert read.predicate["previous"] == opened
    assert read.predicate["nonce"] == "0dc44351b9a184fe4a634fd18ac9f2e1"
    assert read.predicate["run"] == RUN == "626e7acca2df7c28b39163140ad367ea"
    assert len(PROFILE) == 99
    assert [(name, digest.hex()[:8]) for name, digest in read.subjects.items()] == [
        ("raw", "e83195d7"),
        ("canonical", "a3b832c6"),
        ("attributes", "e932ddae"),
        ("findings", "d4ea39ac"),
    ]


def test_genesis_has_926_bytes():
    genesis, keeper, *_ = example().statements
    assert len(genesis) == 926
    assert len(keeper) == 687
    assert json.loads(genesis)["predicate"]["origin"] == "apostille.invalid/be49c62b0e29563a178a1ed3af8cbb91"


FIELDS = {**COMMON, **MADE, "previous": DIGEST, "run": RUN, "seq": 1}
SUBJECTS = ("raw", "canonical", "attributes")


def size(extra=None, subjects=SUBJECTS) -> int:
    data = forms.format_statement(predicates.OUTPUT, {**FIELDS, **(extra or {})}, [(name, bytes(32)) for name in subjects])
    statement.parse_statement(data)
    return len(data)


def test_sizes():
    """Section 3.1, "Size"."""
    base = size()
    assert base == 851
    assert size(subjects=(*SUBJECTS, "findings")) == base + 107
    assert size({"inputs": [DIGEST]}) == base + 78
    assert size({"inputs": [DIGEST] * 3}) == base + 78 + 2 * 67
    assert size({"delegation": DIGEST}) == base + 80
    assert size(subjects=(*SUBJECTS, "part/choice/0/text")) == base + 117
    assert size({"inputs": [DIGEST]}, (*SUBJECTS, "part/choice/0/text")) == 1046


def test_entry_of_the_example():
    envelope = example().envelopes[4]
    made = entry.Entry(pae_digest(OUTPUT), envelope.signature, AGENT.spki)
    assert entry.format_entry(made) == example().leaves[4]
    assert len(example().leaves[4]) == 489


def test_no_content_in_it():
    """A statement is permanent: nothing that the attributes hold may stand in it."""
    for word in (b"refund", b"claims", b"gemma", b"clinic", b"text/plain", b"ZWSP"):
        assert word not in OUTPUT


@pytest.mark.parametrize("text", example().statements, ids=["genesis", "keeper", "agent", "run-open", "output", "run-close"])
def test_round_trip(text):
    read = statement.parse_statement(text)
    assert forms.format_statement(read.type, read.predicate, read.subjects.items()) == text


VALUE = json.loads(OUTPUT)
RAW, CANONICAL, ATTRIBUTES, FINDINGS = VALUE["subject"]


def changed(**changes) -> bytes:
    return jcs({**VALUE, **changes})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b'"statement"',
        OUTPUT + b"\n",
        b" " + OUTPUT,
        b"\xef\xbb\xbf" + OUTPUT,
        OUTPUT[:-1],
        OUTPUT.replace(b'"seq":1', b'"seq": 1'),
        OUTPUT.replace(b'"seq":1', b'"seq":1.0'),
        OUTPUT.replace(b'"seq":1', b'"seq":1,"seq":1'),
        OUTPUT.replace(b'"seq":1', b'"seq":null'),
        OUTPUT.replace(b'"seq":1', b'"seq":9007199254740992'),
        OUTPUT.replace(b'"bound"', b'"\\u0062ound"'),
        json.dumps(VALUE, separators=(",", ":"))[::-1].encode(),
        jcs({name: VALUE[name] for name in VALUE if name != "_type"}),
        jcs({name: VALUE[name] for name in VALUE if name != "subject"}),
        changed(extra=1),
        changed(_type="https://in-toto.io/Statement/v0.1"),
        changed(_type=["https://in-toto.io/Statement/v1"]),
        changed(predicateType=7),
        changed(predicateType=["urn:apostille:output:v1"]),
        changed(predicate=[]),
        changed(predicate="x"),
        changed(subject={}),
        changed(subject=7),
        changed(subject=True),
        changed(subject=[]),
        changed(subject=[RAW, CANONICAL, "attributes"]),
        changed(subject=[{**RAW, "uri": "x"}, CANONICAL, ATTRIBUTES]),
        changed(subject=[{"name": "raw"}, CANONICAL, ATTRIBUTES]),
        changed(subject=[{**RAW, "digest": {}}, CANONICAL, ATTRIBUTES]),
        changed(subject=[{**RAW, "digest": {**RAW["digest"], "sha512": "00"}}, CANONICAL, ATTRIBUTES]),
        changed(subject=[{**RAW, "digest": {"sha256": RAW["digest"]["sha256"].upper()}}, CANONICAL, ATTRIBUTES]),
        changed(subject=[{**RAW, "digest": {"sha256": RAW["digest"]["sha256"][:-2]}}, CANONICAL, ATTRIBUTES]),
        changed(subject=[{**RAW, "digest": "sha256:00"}, CANONICAL, ATTRIBUTES]),
        changed(subject=[{**RAW, "name": 7}, CANONICAL, ATTRIBUTES]),
        changed(subject=[{**RAW, "name": "r" * 256}, CANONICAL, ATTRIBUTES]),
        changed(subject=[RAW, RAW, CANONICAL, ATTRIBUTES]),
        changed(subject=[CANONICAL, RAW, ATTRIBUTES]),
    ],
)
def test_refused(data):
    with pytest.raises(MalformedError):
        statement.parse_statement(data)


def test_deep():
    deep: object = 1
    for _ in range(20):
        deep = [deep]
    with pytest.raises(MalformedJsonError, match="deeper"):
        statement.parse_statement(changed(predicate=deep))


def test_not_canonical():
    with pytest.raises(MalformedJsonError, match="canonical"):
        statement.parse_statement(json.dumps(VALUE, separators=(",", ":")).encode().replace(b'{"_type"', b'{ "_type"'))


@pytest.mark.parametrize(
    "kind",
    ["urn:apostille:output:v2", "urn:apostille:unknown:v1", "", "https://slsa.dev/provenance/v1", "urn:apostille:output:v1 "],
)
def test_unknown_type(kind):
    with pytest.raises(UnsupportedVersionError) as caught:
        statement.parse_statement(changed(predicateType=kind))
    assert caught.value.version == kind


def test_limit():
    with pytest.raises(TooLargeError) as caught:
        statement.parse_statement(b" " * (2**20 + 1))
    assert caught.value.limit == 2**20
    full = {"inputs": [sha256(bytes(i)).hex() for i in range(15_000)]}
    data = said(predicates.OUTPUT, full)
    assert 2**20 - 80_000 < len(data) <= 2**20
    assert statement.parse_statement(data).predicate["inputs"] == full["inputs"]


@pytest.mark.parametrize("kind", TYPES)
def test_every_type(kind):
    data = said(kind)
    read = statement.parse_statement(data)
    assert read.type == kind
    assert dict(read.predicate) == TYPES[kind][0]
    assert list(read.subjects) == TYPES[kind][2]
    assert strict.canonical_json(json.loads(data)) == data


def test_as_large_as_may_be():
    """The limit itself is allowed, one byte more is not."""
    chain = {"run": RUN, "previous": DIGEST}
    sizes = {
        len(data): data
        for parents in ([DIGEST], [DIGEST] * 2)  # references in steps of 67 bytes, the rest by the digits and letters of two fields
        for digits in (0, 8, 15)
        for letters in range(1, 33)
        for data in [said(predicates.OUTPUT, {**chain, "parents": parents, "seq": 10**digits, "outcome": "a" * letters})]
    }
    step = len(DIGEST) + 3
    size = next(size for size in sorted(sizes) if (2**20 - size) % step == 0)
    value = json.loads(sizes[size])
    value["predicate"]["parents"] += [DIGEST] * ((2**20 - size) // step)
    data = jcs(value)
    assert len(data) == 2**20
    assert len(statement.parse_statement(data).predicate["parents"]) > 15_000
    value["predicate"]["outcome"] += "a" if len(value["predicate"]["outcome"]) < 32 else ""
    value["predicate"]["seq"] += 0 if len(jcs(value)) > 2**20 else 9 * value["predicate"]["seq"]
    assert len(jcs(value)) > 2**20
    with pytest.raises(TooLargeError):
        statement.parse_statement(jcs(value))


def test_what_does_not_go_together_is_refused():
    """An input that names a profile and has no canonical form; see also test_core_together."""
    value = json.loads(said(predicates.INPUT))
    value["subject"] = [item for item in value["subject"] if item["name"] != "canonical"]
    value["predicate"].pop("profile", None)
    assert statement.parse_statement(jcs(value)).type == predicates.INPUT
    value["predicate"]["profile"] = PROFILE
    with pytest.raises(MalformedError, match="canonical form"):
        statement.parse_statement(jcs(value))


def test_what_an_error_shows_is_short():
    with pytest.raises(UnsupportedVersionError) as caught:
        statement.parse_statement(changed(predicateType="u" * 1000))
    assert caught.value.version == "u" * 64
    assert "u" * 64 in str(caught.value)
    assert "u" * 65 not in str(caught.value)
