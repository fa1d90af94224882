"""The log entry: exact sizes, the one template, nothing besides it (formats.md section 5)."""

from __future__ import annotations

import json

import pytest

from apostille.core import entry, keys, strict
from apostille.core.digest import sha256
from apostille.errors import MalformedError
from tests.unit.core.core_kit import AGENT, LOG_ED, example

DIGEST = sha256(b"x")
ED_SPKI = keys.spki_ed25519(LOG_ED.public)


@pytest.mark.parametrize(
    ("size", "signature", "spki", "details"),
    [
        (489, bytes(72), AGENT.spki, entry.P256),
        (489, bytes(70), AGENT.spki, entry.P256),
        (485, bytes(69), AGENT.spki, entry.P256),
        (485, bytes(67), AGENT.spki, entry.P256),
        (406, bytes(64), ED_SPKI, entry.ED25519),
    ],
)
def test_sizes(size, signature, spki, details):
    made = entry.Entry(DIGEST, signature, spki, details)
    data = entry.format_entry(made)
    assert len(data) == size
    assert data.isascii()
    assert entry.parse_entry(data) == made


def test_worked_example():
    data = example().leaves[4]
    assert len(data) == 489
    read = entry.parse_entry(data)
    assert read.pae_digest.hex().startswith("4b899e30")
    assert read.pae_digest.hex().endswith("6120")
    assert read.spki == AGENT.spki


def test_it_is_canonical_json():
    """The template is JCS, as foreign readers of ``canonicalizedBody`` expect."""
    data = example().leaves[4]
    value = json.loads(data)
    assert strict.canonical_json(value) == data
    assert (value["apiVersion"], value["kind"]) == ("0.0.2", "hashedrekord")
    record = value["spec"]["hashedRekordV002"]
    assert record["data"]["algorithm"] == "SHA2_256"
    assert record["signature"]["verifier"]["keyDetails"] == "PKIX_ECDSA_P256_SHA_256"


def changed(old: str, new: str) -> bytes:
    text = example().leaves[4].decode()
    assert old in text
    return text.replace(old, new, 1).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        example().leaves[4][:-1],
        example().leaves[4] + b"\n",
        b" " + example().leaves[4],
        b"\xef\xbb\xbf" + example().leaves[4],
        changed("0.0.2", "0.0.1"),
        changed("hashedrekord", "dsse"),
        changed("SHA2_256", "SHA2_512"),
        changed("PKIX_ECDSA_P256_SHA_256", "PKIX_ECDSA_P384_SHA_256"),
        changed("PKIX_ECDSA_P256_SHA_256", ""),
        changed('"digest":"', '"digest": "'),
        changed('"digest":"', '"digest":"!'),
        changed('"digest":"S', '"digest":"\\u0053'),
        changed("=", ""),
        changed("publicKey", "x509Certificate"),
        changed('"}}}}}}', '"},"x":1}}}}}'),
        changed('{"apiVersion"', '{"a":1,"apiVersion"'),
        changed("0.0.2", "é"),
        entry.format_entry(entry.Entry(b"short", b"sig", AGENT.spki)),
        entry.format_entry(entry.Entry(DIGEST, b"sig", AGENT.spki, "PKIX_ML_DSA_65")),
    ],
    ids=[
        "empty",
        "empty object",
        "cut",
        "LF at the end",
        "space before",
        "byte order mark",
        "other version",
        "other kind",
        "other hash",
        "other key type",
        "no key type",
        "white space",
        "stray byte in base64",
        "escaped letter",
        "padding gone",
        "certificate",
        "unknown member at the end",
        "unknown member at the start",
        "not ASCII",
        "digest of another size",
        "unknown key details",
    ],
)
def test_refused(data):
    with pytest.raises(MalformedError):
        entry.parse_entry(data)


def test_a_value_that_holds_the_next_marker():
    """Values are base64, so a marker inside one can't shift the fields."""
    text = changed('"},"signature":{"content":"', '"},"signature":{"content":"AAAA"},"signature":{"content":"')
    with pytest.raises(MalformedError):
        entry.parse_entry(text)
