"""Commitments and salts: known answers of formats.md sections 1 and 3.4; RFC 5869 with another implementation as oracle."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from apostille.core.commitment import RecordSeed
from apostille.core.digest import sha256
from apostille.core.opening import opening_digest, split_opening
from apostille.errors import MalformedError
from tests.unit.core.core_kit import ATTRIBUTES, CANONICAL, FINDINGS, RAW, random_bytes

SEED = random_bytes("seed4")


def ends(data: bytes) -> str:
    return f"{data.hex()[:8]}..{data.hex()[-4:]}"


@pytest.mark.parametrize(
    ("name", "salt", "content", "size", "digest"),
    [
        ("raw", "1391e196..fa04", RAW, 57, "e83195d7..0eaf"),
        ("canonical", "c4123ac7..1347", CANONICAL, 54, "a3b832c6..4549"),
        ("attributes", "0c197d37..53dd", ATTRIBUTES, 212, "e932ddae..9db4"),
        ("findings", "4c9156fb..491f", FINDINGS, 122, "d4ea39ac..6afa"),
    ],
)
def test_worked_example(name, salt, content, size, digest):
    assert ends(SEED) == "3c0aacc4..ba25"
    salted = RecordSeed(SEED).salt(name)
    assert ends(salted) == salt
    opening = salted + content
    assert len(opening) == size
    assert ends(sha256(opening)) == digest
    assert opening_digest(salted, content) == sha256(opening), "sha256sum NAME.opening"
    assert split_opening(opening) == (salted, content), "tail -c +33 NAME.opening"


def test_whole_digests():
    """In full, so that a change in the middle of a digest is seen too."""
    salts = RecordSeed(SEED)
    raw = opening_digest(salts.salt("raw"), RAW).hex()
    assert raw == "e83195d7f975a2b4c1ce57a69632e4ad3f8a0ac7228180fda0323def84d10eaf"
    canonical = opening_digest(salts.salt("canonical"), CANONICAL).hex()
    assert canonical == "a3b832c60f476256188c72e720f5b1d4b3f8e2737930dc16b12e14df8b574549"


@pytest.mark.parametrize("name", ["raw", "part/choice/0/text", "part/item/12/arguments/3", "leaf/4", "n" * 255, ""])
def test_salt_is_hkdf(name):
    oracle = HKDF(hashes.SHA256(), length=32, salt=b"apostille/opening/v1", info=name.encode())
    assert RecordSeed(SEED).salt(name) == oracle.derive(SEED)


def test_salts_differ():
    names = ["raw", "canonical", "attributes", "findings", "part/choice/0/text", "part/choice/1/text"]
    salts = {RecordSeed(value).salt(name) for name in names for value in (SEED, random_bytes("seed5"))}
    assert len(salts) == 2 * len(names)


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_seed_has_32_bytes(size):
    with pytest.raises(ValueError, match="32 bytes"):
        RecordSeed(bytes(size))


def test_seed_is_not_shown():
    assert SEED.hex() not in repr(RecordSeed(SEED))
    assert not hasattr(RecordSeed(SEED), "__dict__")


def test_plain_commitment_is_sha256sum():
    assert opening_digest(b"", CANONICAL) == sha256(CANONICAL)


def test_split():
    assert split_opening(bytes(32)) == (bytes(32), b""), "32 bytes: the empty output"
    for size in (0, 1, 31):
        with pytest.raises(MalformedError):
            split_opening(bytes(size))
