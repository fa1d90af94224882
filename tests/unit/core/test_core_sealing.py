"""Sealing: RFC 3394 section 4.6, AES-256-GCM test cases 13 and 14, the layout, and every change refused (formats.md section 11)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apostille.core import sealing
from apostille.core.digest import sha256
from apostille.errors import DigestMismatchError
from tests.unit.core.core_kit import ATTRIBUTES, CANONICAL, RAW, flips

KEK = bytes(range(32))
DEK = bytes.fromhex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f")
WRAPPED = bytes.fromhex("28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21")
OPENINGS = [(sha256(text), text) for text in (RAW, CANONICAL, ATTRIBUTES, b"")]


def test_rfc3394():
    """4.6: 256 bits of key data under a 256-bit KEK."""
    assert sealing.wrap(KEK, DEK) == WRAPPED
    assert len(WRAPPED) == 40
    assert sealing.unwrap(KEK, WRAPPED) == DEK


def test_gcm_known_answers():
    assert sealing.seal(bytes(32), [(b"", b"")])[0].hex() == "530f8afbc74536b9a963b4f1c4cb738b"
    assert sealing.seal(bytes(32), [(b"", bytes(16))])[0].hex() == (
        "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
    )


def test_layout():
    """Nonce = u96be(place), additional data = subject digest, 16 bytes more than the opening."""
    sealed = sealing.seal(DEK, OPENINGS)
    assert [len(text) for text in sealed] == [len(opening) + 16 for _, opening in OPENINGS]
    for place, ((digest, opening), text) in enumerate(zip(OPENINGS, sealed, strict=True)):
        assert AESGCM(DEK).decrypt(bytes(11) + bytes((place,)), text, digest) == opening
        assert sealing.unseal(DEK, place, digest, text) == opening


def test_places_have_their_own_nonces():
    same = [(b"d" * 32, b"opening")] * 3
    assert len(set(sealing.seal(DEK, same))) == 3
    assert sealing.unseal(DEK, 2**32 + 5, b"", AESGCM(DEK).encrypt((2**32 + 5).to_bytes(12, "big"), b"x", b"")) == b"x"


def test_every_flip_is_refused():
    digest, opening = OPENINGS[1]
    sealed = sealing.seal(DEK, [(digest, opening)])[0]
    for _, flipped in flips(sealed):
        with pytest.raises(DigestMismatchError):
            sealing.unseal(DEK, 0, digest, flipped)
    for _, flipped in flips(digest, 5):
        with pytest.raises(DigestMismatchError):
            sealing.unseal(DEK, 0, flipped, sealed)
    for _, flipped in flips(DEK, 5):
        with pytest.raises(DigestMismatchError):
            sealing.unseal(flipped, 0, digest, sealed)
    for place in (1, 2, 2**32):
        with pytest.raises(DigestMismatchError):
            sealing.unseal(DEK, place, digest, sealed)


@pytest.mark.parametrize("ciphertext", [b"", b"x", bytes(15), bytes(16), bytes(1_000)])
def test_no_ciphertext(ciphertext):
    with pytest.raises(DigestMismatchError):
        sealing.unseal(DEK, 0, bytes(32), ciphertext)


@pytest.mark.parametrize("size", [0, 1, 31, 33])
def test_key_of_another_size(size):
    digest, opening = OPENINGS[0]
    with pytest.raises(DigestMismatchError):
        sealing.unseal(bytes(size), 0, digest, sealing.seal(DEK, [(digest, opening)])[0])


def test_every_flip_of_a_wrapped_key_is_refused():
    for _, flipped in flips(WRAPPED):
        with pytest.raises(DigestMismatchError):
            sealing.unwrap(KEK, flipped)
    for _, flipped in flips(KEK, 3):
        with pytest.raises(DigestMismatchError):
            sealing.unwrap(flipped, WRAPPED)


@pytest.mark.parametrize("wrapped", [b"", b"x", WRAPPED[:-1], WRAPPED[:-8], WRAPPED + bytes(8), bytes(40)])
def test_not_a_wrapped_key(wrapped):
    with pytest.raises(DigestMismatchError):
        sealing.unwrap(KEK, wrapped)


def test_units_nest():
    """Several units: one wrap inside the other."""
    outer = bytes(32)
    assert sealing.unwrap(KEK, sealing.unwrap(outer, sealing.wrap(outer, WRAPPED))) == DEK
