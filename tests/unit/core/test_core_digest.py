"""SHA-256 and its printed forms: known answers of FIPS 180-4 (formats.md, head: H)."""

from __future__ import annotations

import pytest

from apostille.core import digest


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
    ],
)
def test_sha256(data, expected):
    assert digest.sha256(data).hex() == expected
    assert len(digest.sha256(data)) == digest.SIZE


def test_zero():
    assert bytes(digest.SIZE).hex() == digest.ZERO_HEX
