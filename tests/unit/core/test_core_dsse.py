"""DSSE: the protocol's own PAE example, lengths in bytes, and the closed envelope (formats.md section 4; DSSE 1.0.2)."""

from __future__ import annotations

import pytest

from apostille.core import dsse, evidence, strict
from apostille.errors import MalformedEnvelopeError
from tests.unit.core.core_kit import AGENT, example, said, sign


@pytest.mark.parametrize(
    ("body", "kind", "encoded"),
    [
        (b"hello world", "http://example.com/HelloWorld", b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"),
        (b"", "", b"DSSEv1 0  0 "),
        ("té".encode(), "té", b"DSSEv1 3 t\xc3\xa9 3 t\xc3\xa9"),
        ("\U0001f602".encode(), "x", b"DSSEv1 1 x 4 \xf0\x9f\x98\x82"),
        (b"a b", "a b", b"DSSEv1 3 a b 3 a b"),
        (b"\x00\xff\n", "x", b"DSSEv1 1 x 3 \x00\xff\n"),
        (b"0123456789", "0123456789", b"DSSEv1 10 0123456789 10 0123456789"),
    ],
    ids=["protocol.md", "empty", "non-ASCII: té is 3 bytes", "four bytes", "spaces", "not text", "two digits"],
)
def test_pae(body, kind, encoded):
    assert dsse.pae(body, kind) == encoded


def test_pae_of_a_statement():
    text = example().statements[4]
    assert dsse.pae(text) == b"DSSEv1 28 application/vnd.in-toto+json 958 " + text
    assert len(dsse.pae(text)) == 1001


def test_pae_is_injective_where_concatenation_is_not():
    assert dsse.pae(b"b c", "a") != dsse.pae(b"c", "a b")


def test_round_trip():
    envelope = sign(AGENT, said("urn:apostille:output:v1"))
    value = evidence.envelope_json(envelope)
    assert dsse.parse_envelope(value) == envelope
    assert list(value) == ["payload", "payloadType", "signatures"]
    assert evidence.envelope_json(dsse.parse_envelope(strict.canonical_json_value(strict.canonical_json(value), spec="x"))) == value


GOOD = {"payload": "e30=", "payloadType": dsse.PAYLOAD_TYPE, "signatures": [{"keyid": AGENT.key_id, "sig": "MAA="}]}
SIGNATURE = GOOD["signatures"][0]


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "",
        {},
        {**GOOD, "extra": 1},
        {name: GOOD[name] for name in ("payload", "payloadType")},
        {**GOOD, "payloadType": "text/plain"},
        {**GOOD, "payloadType": "application/vnd.in-toto+json "},
        {**GOOD, "payloadType": None},
        {**GOOD, "payload": "e30"},
        {**GOOD, "payload": "_-8="},
        {**GOOD, "payload": "e31="},
        {**GOOD, "payload": {}},
        {**GOOD, "signatures": []},
        {**GOOD, "signatures": [SIGNATURE, SIGNATURE]},
        {**GOOD, "signatures": SIGNATURE},
        {**GOOD, "signatures": [None]},
        {**GOOD, "signatures": [{"sig": "MAA="}]},
        {**GOOD, "signatures": [{**SIGNATURE, "cert": "MAA="}]},
        {**GOOD, "signatures": [{**SIGNATURE, "keyid": ""}]},
        {**GOOD, "signatures": [{**SIGNATURE, "keyid": "AAAA"}]},
        {**GOOD, "signatures": [{**SIGNATURE, "keyid": "37" * 32}]},
        {**GOOD, "signatures": [{**SIGNATURE, "keyid": 7}]},
        {**GOOD, "signatures": [{**SIGNATURE, "sig": "MAA"}]},
        {**GOOD, "signatures": [{**SIGNATURE, "sig": None}]},
    ],
    ids=[
        "nothing",
        "list",
        "text",
        "empty",
        "unknown member",
        "no signatures member",
        "foreign payloadType",
        "payloadType with a space",
        "no payloadType",
        "payload without padding",
        "payload URL-safe",
        "payload with trailing bits",
        "payload is an object",
        "no signature",
        "two signatures",
        "signatures is an object",
        "signature is nothing",
        "no keyid",
        "unknown member in the signature",
        "empty keyid",
        "short keyid",
        "keyid in hex",
        "keyid is a number",
        "sig without padding",
        "sig is nothing",
    ],
)
def test_refused(value):
    assert dsse.parse_envelope(GOOD)
    with pytest.raises(MalformedEnvelopeError):
        dsse.parse_envelope(value)
