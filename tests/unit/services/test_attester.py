"""The attester: what a statement says, what its openings hold, and that one salt tells nothing of another.

Spec: formats.md sections 3.1 (fields, subjects), 3.3, 3.4 (commitments and salts), 4 (PAE); limits of section 2.
"""

from __future__ import annotations

import hashlib
import json

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from apostille.core import dsse, keys, predicates, signatures
from apostille.core.statement import MAX_STATEMENT_BYTES, parse_statement
from apostille.core.strict import canonical_json_value
from apostille.errors import MalformedError, TooLargeError
from apostille.services.attester import PLAIN, SALTED, Attester, Draft, utc_text
from tests.simulators.world import CountingRandom, FixedClock, seed

UNIT = b"u" * 16
KEY = keys.StatementKey.from_seed(seed("agent"))
MADE = {"assurance": "bound", "commitment": SALTED, "profile": "opaque"}
PARTS = [("part/choice/0/text", b"forty-two"), ("part/choice/0/arguments/0", b"{}")]
CONTENTS = [("raw", b"raw bytes"), ("canonical", b"canonical bytes"), *PARTS]


def attester(label: str = "") -> Attester:
    return Attester(KEY, FixedClock(), CountingRandom(label))


def draft(commitment: str = SALTED, **more) -> Draft:
    values = {
        "type": predicates.OUTPUT,
        "fields": {**MADE, "commitment": commitment},
        "attributes": {"agent": "claims-agent", "media_type": "text/plain"},
        "contents": CONTENTS,
        "findings": b"[]",
    }
    return Draft(**(values | more))


def test_what_the_statement_says():
    entry = attester().attest(draft(), unit=UNIT, run=b"r" * 16, nonce=b"i" * 16)
    said = parse_statement(entry.statement)
    assert said.type == predicates.OUTPUT
    assert dict(said.predicate) == {
        **MADE,
        "captured_at": utc_text(1_795_489_202_126),
        "key_id": KEY.key_id,
        "nonce": (b"i" * 16).hex(),
    }
    assert list(said.subjects) == ["raw", "canonical", "attributes", "findings", *[name for name, _ in PARTS]]
    assert (entry.unit, entry.run, entry.certifies, entry.nonce) == (UNIT, b"r" * 16, None, b"i" * 16)
    assert entry.spki == KEY.spki
    drawn = attester().attest(draft(), unit=UNIT)
    assert parse_statement(drawn.statement).predicate["nonce"] == CountingRandomTokens(2)
    assert drawn.nonce.hex() == CountingRandomTokens(2), "the nonce is drawn once, and is the receipt id"


class CountingRandomTokens:
    """Equal to the hex of the n-th token of the simulated randomness."""

    def __init__(self, which: int) -> None:
        source = CountingRandom()
        for _ in range(which - 1):
            source.token(32)
        self.value = source.token(16).hex()

    def __eq__(self, other: object) -> bool:
        return self.value == other

    __hash__ = None


def test_nothing_descriptive_is_permanent():
    """Names, media types and texts are in openings only; no salt and no seed is in the statement."""
    entry = attester().attest(draft(attributes={"agent": "Ann Smith", "media_type": "text/plain"}), unit=UNIT)
    for secret in (b"Ann Smith", b"text/plain", b"canonical bytes", b"raw bytes", b"forty-two"):
        assert secret not in entry.statement
    seed_bytes = CountingRandom().token(32)
    for opening in entry.openings:
        assert opening.content[:32].hex().encode() not in entry.statement
        assert seed_bytes not in opening.content
    assert seed_bytes.hex().encode() not in entry.statement


def test_signature_and_digest():
    entry = attester().attest(draft(), unit=UNIT)
    message = dsse.pae(entry.statement)
    assert message == b"DSSEv1 28 application/vnd.in-toto+json %d " % len(entry.statement) + entry.statement
    assert entry.pae_digest == hashlib.sha256(message).digest()
    signatures.verify_statement_signature(entry.spki, entry.signature, message)


@pytest.mark.parametrize("commitment", [SALTED, PLAIN])
def test_each_opening_opens_its_subject(commitment):
    entry = attester().attest(draft(commitment), unit=UNIT)
    said = parse_statement(entry.statement)
    assert [opening.name for opening in entry.openings] == list(said.subjects)
    contents = dict(CONTENTS) | {"findings": b"[]", "attributes": None}
    for opening in entry.openings:
        assert hashlib.sha256(opening.content).digest() == opening.digest == said.subjects[opening.name]
        is_salted = commitment == SALTED or opening.name in {"attributes", "findings"}
        bare = opening.content[32:] if is_salted else opening.content
        if opening.name == "attributes":
            assert json.loads(bare) == {"agent": "claims-agent", "media_type": "text/plain"}
        else:
            assert bare == contents[opening.name]


def test_plain_is_what_sha256sum_says():
    said = parse_statement(attester().attest(draft(PLAIN), unit=UNIT).statement)
    assert said.subjects["canonical"] == hashlib.sha256(b"canonical bytes").digest()
    assert said.subjects["attributes"] != hashlib.sha256(b'{"agent":"claims-agent","media_type":"text/plain"}').digest()


def test_salts_are_independent():
    """Each salt is HKDF of the record's seed and the subject's name; none equals another, within a record or between two."""
    tool = attester()
    records = [tool.attest(draft(), unit=UNIT) for _ in range(5)]
    salts = [opening.content[:32] for entry in records for opening in entry.openings]
    assert len(set(salts)) == len(salts) == 5 * 6
    first = {opening.name: opening.content[:32] for opening in records[0].openings}
    record_seed = CountingRandom().token(32)
    for name, salt in first.items():
        oracle = HKDF(SHA256(), 32, salt=b"apostille/opening/v1", info=name.encode())
        assert oracle.derive(record_seed) == salt


def test_equal_content_is_not_seen_to_be_equal():
    tool = attester()
    one, two = (parse_statement(tool.attest(draft(), unit=UNIT).statement) for _ in range(2))
    assert not set(one.subjects.values()) & set(two.subjects.values())
    assert one.predicate["nonce"] != two.predicate["nonce"]


def test_empty_output_and_no_findings():
    entry = attester().attest(draft(contents=[("raw", b""), ("canonical", b"")], findings=b""), unit=UNIT)
    assert list(parse_statement(entry.statement).subjects) == ["raw", "canonical", "attributes"]
    assert len(entry.openings[0].content) == 32


def test_digests_without_opening():
    key = draft(
        type=predicates.KEY,
        fields={
            "event": "certify",
            "usage": "statement",
            "held_by": "agent",
            "issuer": "00" * 32,
            "not_before": utc_text(0),
            "not_after": utc_text(1),
        },
        contents=(),
        findings=b"",
        digests=(("spki", b"s" * 32),),
    )
    entry = attester().attest(key, unit=UNIT, certifies=b"s" * 32)
    said = parse_statement(entry.statement)
    assert dict(said.subjects)["spki"] == b"s" * 32
    assert list(said.subjects) == ["spki", "attributes"]
    assert [opening.name for opening in entry.openings] == ["attributes"]


def with_inputs(count: int) -> Draft:
    return draft(fields={**MADE, "inputs": [f"{i:064x}" for i in range(count)]})


def test_one_mebibyte_is_the_limit():
    """The largest statement that fits is taken and read back; one more reference, of 67 bytes, is refused."""
    base = len(attester().attest(with_inputs(1), unit=UNIT).statement)
    most = (MAX_STATEMENT_BYTES - base) // 67 + 1
    entry = attester().attest(with_inputs(most), unit=UNIT)
    assert MAX_STATEMENT_BYTES - 67 < len(entry.statement) <= MAX_STATEMENT_BYTES
    assert len(parse_statement(entry.statement).predicate["inputs"]) == most
    with pytest.raises(TooLargeError, match="1,048,576"):
        attester().attest(with_inputs(most + 1), unit=UNIT)


def test_a_name_that_is_no_text():
    with pytest.raises(MalformedError, match="lone surrogate"):
        attester().attest(draft(attributes={"agent": "bad\udcff"}), unit=UNIT)


REFUSED_VALUES = {
    "float": 1.5,
    "whole float": 1.0,
    "minus zero": -0.0,
    "not a number": float("nan"),
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "null": None,
    "2**53": 2**53,
    "-2**53": -(2**53),
    "googol": 10**100,
    "lone high surrogate": "\ud800",
    "lone low surrogate": "a\udfffb",
    "key that is not ASCII": {"naïve": 1},
    "key that is a lone surrogate": {"\udcff": 1},
}


def nested(value):
    return {"plain": value, "in a list": [1, [value]], "in an object": {"a": {"b": value}}}


@pytest.mark.parametrize("name", REFUSED_VALUES)
def test_attributes_that_no_reader_takes(name):
    """Outside the profile of JSON that receipts are read in: signed once, such attributes could not be shown to anybody."""
    for where, value in nested(REFUSED_VALUES[name]).items():
        with pytest.raises(MalformedError):
            attester().attest(draft(attributes={"agent": "a", "x": value}), unit=UNIT)
            pytest.fail(where)


@pytest.mark.parametrize("name", ["naïve", "ключ", "\U0001f600", "bad\udcff"])
def test_attribute_keys_that_no_reader_takes(name):
    with pytest.raises(MalformedError):
        attester().attest(draft(attributes={"agent": "a", name: 1}), unit=UNIT)


def test_attributes_that_are_too_deep():
    def deep(levels: int):
        value: object = 1
        for _ in range(levels):
            value = [value]
        return draft(attributes={"x": value})

    attester().attest(deep(15), unit=UNIT)
    with pytest.raises(MalformedError, match="deeper"):
        attester().attest(deep(16), unit=UNIT)


@pytest.mark.parametrize(
    "value", [0, 2**53 - 1, -(2**53 - 1), True, False, "", "null", "NaN", "1.5", "naïve", "\U0001f600", [], {}, ["null", {}]]
)
def test_attributes_that_are_taken(value):
    """The edge of the refusals: it is about values, not about words that look like them."""
    entry = attester().attest(draft(attributes={"x": value}), unit=UNIT)
    opening = next(opening for opening in entry.openings if opening.name == "attributes")
    assert canonical_json_value(opening.content[32:], spec="attributes") == {"x": value}


FOUNDED = {"event": "certify", "usage": "statement", "held_by": "agent", "issuer": "00" * 32}
KEY_DRAFT = {
    "type": predicates.KEY,
    "fields": {**FOUNDED, "not_before": utc_text(0), "not_after": utc_text(1)},
    "contents": (),
    "findings": b"",
    "digests": (("spki", b"s" * 32),),
}
CLOSING = {"run": "ab" * 16, "seq": 1, "previous": "cd" * 32, "count": 2, "outcome": "completed"}
INPUT = {"run": "ab" * 16, "seq": 1, "previous": "cd" * 32, "commitment": SALTED}
RAW_ONLY = [("raw", b"x")]


def keyed(**changes) -> Draft:
    return draft(**(KEY_DRAFT | {"fields": KEY_DRAFT["fields"] | changes}))


def closing(**changes) -> Draft:
    return draft(type=predicates.RUN_CLOSE, fields={**CLOSING, **changes}, contents=(), findings=b"")


def given(contents, **changes) -> Draft:
    return draft(type=predicates.INPUT, fields={**INPUT, **changes}, contents=contents, findings=b"")


REFUSED_DRAFTS = {
    "a field too few": draft(fields={"assurance": "bound", "commitment": SALTED}),
    "a field too many": draft(fields={**MADE, "model": "x"}),
    "an outcome that is no word": draft(fields={**MADE, "outcome": "Bad Word!"}),
    "an outcome that is null": draft(fields={**MADE, "outcome": None}),
    "a number that is a float": closing(seq=1.0),
    "a number that is too large": closing(count=2**53),
    "a number that is true": closing(seq=True),
    "part of a chain": draft(fields={**MADE, "run": "ab" * 16}),
    "run closed with a word of its own": closing(outcome="cancelled"),
    "statement key that nobody holds": keyed(usage="erasure"),
    "agent that certifies": keyed(certify=True),
    "compromised though not revoked": keyed(compromised_since=utc_text(0)),
    "origin without genesis": keyed(origin="log.example/x"),
    "gap that ends before it begins": draft(
        type=predicates.GAP, fields={"from": utc_text(1), "to": utc_text(0)}, contents=(), findings=b""
    ),
    "canonical form without profile": given(CONTENTS[:2]),
    "profile without canonical form": given(RAW_ONLY, profile="opaque"),
    "a subject too few": draft(contents=RAW_ONLY),
    "a subject too many": draft(type=predicates.RUN_CLOSE, fields=CLOSING, contents=RAW_ONLY, findings=b""),
    "subjects out of order": draft(contents=[("canonical", b""), ("raw", b"")]),
    "a subject that is doubled": draft(contents=[*CONTENTS, PARTS[0]]),
    "a part without a sound path": draft(contents=[*CONTENTS, ("part/choice/00/text", b"")]),
    "a key statement without its key": draft(**(KEY_DRAFT | {"digests": ()})),
}


class CountingKey:
    """The real key, and how often it has signed."""

    def __init__(self) -> None:
        self.key_id, self.spki, self.signed = KEY.key_id, KEY.spki, 0

    def sign(self, message: bytes) -> bytes:
        self.signed += 1
        return KEY.sign(message)


@pytest.mark.parametrize("name", REFUSED_DRAFTS)
def test_what_no_reader_takes_is_not_signed(name):
    key = CountingKey()
    tool = Attester(key, FixedClock(), CountingRandom())
    with pytest.raises(MalformedError):
        tool.attest(REFUSED_DRAFTS[name], unit=UNIT)
    assert key.signed == 0
    tool.attest(draft(), unit=UNIT)
    assert key.signed == 1, "it goes on"


@pytest.mark.parametrize(
    "made",
    [
        draft(),
        draft(PLAIN),
        draft(contents=CONTENTS[:2], findings=b""),
        keyed(),
        keyed(held_by="keeper", certify=True),
        keyed(event="revoke", compromised_since=utc_text(0)),
        closing(),
        closing(outcome="crash"),
        given(RAW_ONLY),
        given(CONTENTS[:2], profile="opaque"),
    ],
)
def test_what_is_signed_is_read(made):
    """The neighbours of the refused drafts."""
    entry = attester().attest(made, unit=UNIT)
    assert parse_statement(entry.statement).type == made.type


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (999, "1970-01-01T00:00:00.999Z"),
        (1_795_489_202_125, "2026-11-24T03:00:02.125Z"),
        (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_utc_text(milliseconds, text):
    assert utc_text(milliseconds) == text
