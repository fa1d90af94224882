"""Receipts: JCS, closed members, both forms (formats.md section 10)."""

from __future__ import annotations

import copy
import json

import pytest

from apostille.core import evidence, receipt, strict
from apostille.core.commitment import RecordSeed
from apostille.errors import MalformedError, MalformedJsonError, TooLargeError, UnsupportedVersionError
from tests.unit.core.core_kit import AGENT, ATTRIBUTES, CANONICAL, example, jcs, random_bytes
from tests.unit.core.test_core_bundle import at, objects

DATA = example().receipt()
VALUE = json.loads(DATA)
PENDING = receipt.PendingReceipt(example().envelopes[4], 4, AGENT.spki)
PENDING_DATA = evidence.format_pending(PENDING)
SALT = RecordSeed(random_bytes("seed4")).salt("canonical")


def test_published():
    read = receipt.parse_receipt(DATA)
    assert isinstance(read, receipt.Receipt)
    assert read.bundle.envelope == example().envelopes[4]
    assert read.keys == tuple(example().key_proofs())
    assert read.salt == SALT
    assert read.attributes is not None
    assert read.attributes[32:] == ATTRIBUTES
    assert read.head is not None
    assert read.head.size == 3


def test_size_of_the_example():
    """formats.md: 11.7 KB with three key statements, of which the bundle 6.4 and the keys 4.7."""
    without_head = evidence.format_receipt(
        example().bundle_value(),
        example().key_proofs(),
        salt=SALT,
        attributes=RecordSeed(random_bytes("seed4")).salt("attributes") + ATTRIBUTES,
    )
    assert 11_000 < len(without_head) < 13_000
    assert 6_000 < len(strict.canonical_json(VALUE["bundle"])) < 8_000


def test_round_trip():
    read = receipt.parse_receipt(DATA)
    assert isinstance(read, receipt.Receipt)
    again = evidence.format_receipt(
        example().bundle_value(), read.keys, salt=read.salt, attributes=read.attributes, head=read.head
    )
    assert again == DATA


@pytest.mark.parametrize("member", ["salt", "attributes", "head"])
def test_optional_members(member):
    value = {name: found for name, found in VALUE.items() if name != member}
    read = receipt.parse_receipt(jcs(value))
    assert getattr(read, member) is None


def test_the_raw_salt_is_not_in_it():
    raw_salt = RecordSeed(random_bytes("seed4")).salt("raw")
    assert strict.base64_text(raw_salt).encode() not in DATA
    assert strict.base64_text(SALT).encode() in DATA
    assert CANONICAL not in DATA


def test_pending():
    assert receipt.parse_receipt(PENDING_DATA) == PENDING
    assert json.loads(PENDING_DATA).keys() == {"type", "pending"}


MEMBERS = [(path, name) for path, found in objects(VALUE) for name in found if "bundle" not in path]
PENDING_VALUE = json.loads(PENDING_DATA)
PENDING_MEMBERS = [(path, name) for path, found in objects(PENDING_VALUE) for name in found]
OPTIONAL = {"salt", "attributes", "head"}


@pytest.mark.parametrize(
    ("whole", "path", "name"),
    [(VALUE, *place) for place in MEMBERS] + [(PENDING_VALUE, *place) for place in PENDING_MEMBERS],
    ids=[str(place) for place in MEMBERS] + [f"pending {place}" for place in PENDING_MEMBERS],
)
def test_members_are_a_closed_set(whole, path, name):
    value = copy.deepcopy(whole)
    at(value, path)["x"] = 1
    with pytest.raises(MalformedError):
        receipt.parse_receipt(jcs(value))
    if path or name not in OPTIONAL:
        value = copy.deepcopy(whole)
        del at(value, path)[name]
        with pytest.raises(MalformedError):
            receipt.parse_receipt(jcs(value))
    for wrong in (True, 2**53 - 1, [], {}, ["x"], {"x": 1}, "\u00e9"):
        good = at(whole, path)[name]
        if (wrong == [] and name == "hashes") or (type(wrong) is int and type(good) is int):
            continue
        value = copy.deepcopy(whole)
        at(value, path)[name] = wrong
        with pytest.raises(MalformedError):
            receipt.parse_receipt(jcs(value))


def changed(**changes) -> bytes:
    return jcs({**VALUE, **changes})


KEY, HEAD = VALUE["keys"][0], VALUE["head"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"7",
        DATA + b"\n",
        b" " + DATA,
        b"\xef\xbb\xbf" + DATA,
        DATA[:-1],
        DATA[:1] + b" " + DATA[1:],
        DATA.replace(b'{"attributes"', b'{"attributes":"AAAA","attributes"'),
        json.dumps(VALUE, indent=1).encode(),
        json.dumps(VALUE, separators=(",", ":")).encode().replace(b'"type"', b'"typ\\u0065"'),
        jcs({**VALUE, **PENDING_VALUE}),
        changed(keys=[]),
        changed(keys=[KEY] * 65),
        changed(keys={"0": KEY}),
        changed(keys=[{**KEY, "index": -1}]),
        changed(keys=[{**KEY, "index": "0"}]),
        changed(keys=[{**KEY, "index": True}]),
        changed(keys=[{**KEY, "hashes": ["AAAA"]}]),
        changed(salt="AAAA"),
        changed(salt=SALT.hex()),
        changed(salt=""),
        changed(attributes="A"),
        changed(head={**HEAD, "size": 0}),
        changed(head={**HEAD, "size": -3}),
        changed(head={**HEAD, "root": "AAAA"}),
        changed(head=[]),
        jcs({"type": receipt.TYPE, "pending": {**PENDING_VALUE["pending"], "index": -1}}),
        jcs({"type": receipt.TYPE, "pending": []}),
        b"[" * 100_000,
    ],
)
def test_refused(data):
    with pytest.raises(MalformedError):
        receipt.parse_receipt(data)


def test_not_canonical():
    with pytest.raises(MalformedJsonError, match="canonical"):
        receipt.parse_receipt(json.dumps(VALUE, sort_keys=True).encode())


@pytest.mark.parametrize("kind", ["urn:apostille:receipt:v2", "", "urn:apostille:receipt:v1 "])
def test_version(kind):
    with pytest.raises(UnsupportedVersionError) as caught:
        receipt.parse_receipt(changed(type=kind))
    assert caught.value.version == kind


def test_limit():
    with pytest.raises(TooLargeError) as caught:
        receipt.parse_receipt(b" " * (4 * 2**20 + 1))
    assert caught.value.limit == 4 * 2**20


def test_as_large_as_may_be():
    """The limit itself is allowed, one byte more is not."""
    value = copy.deepcopy(VALUE)
    value["attributes"] = ""
    for digits in range(1, 5):  # base64 grows by four: the rest is made up by the digits of a number
        value["head"]["size"] = 10 ** (digits - 1)
        room = receipt.MAX_RECEIPT_BYTES - len(jcs(value))
        if room % 4 == 0:
            value["attributes"] = strict.base64_text(bytes(room // 4 * 3))
            break
    data = jcs(value)
    assert len(data) == receipt.MAX_RECEIPT_BYTES
    assert isinstance(receipt.parse_receipt(data), receipt.Receipt)
    with pytest.raises(TooLargeError):
        receipt.parse_receipt(data + b"\n")


def test_as_many_keys_as_may_be():
    value = copy.deepcopy(VALUE)
    value["keys"] = value["keys"][:1] * receipt.MAX_KEYS
    read = receipt.parse_receipt(jcs(value))
    assert isinstance(read, receipt.Receipt)
    assert len(read.keys) == receipt.MAX_KEYS
    value["keys"] = value["keys"][:1] * (receipt.MAX_KEYS + 1)
    with pytest.raises(MalformedError, match="1 to 64"):
        receipt.parse_receipt(jcs(value))
    value["keys"] = []
    with pytest.raises(MalformedError, match="1 to 64"):
        receipt.parse_receipt(jcs(value))
