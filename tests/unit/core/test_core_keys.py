"""Keys and signatures: RFC 6979 A.2.5, RFC 8032 7.1, key ids of the vectors' README, and SPKI in one form (formats.md 3.1, 4)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from apostille.core import entry, keys, signatures
from apostille.errors import ConfigurationError, InvalidSignatureError, MalformedError
from tests.simulators.world import seed
from tests.unit.core.core_kit import AGENT, LOG_ED, LOG_PQ, flips

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
RFC6979_SCALAR = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
ED_SPKI = keys.spki_ed25519(LOG_ED.public)
P256_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


def rfc6979_key() -> keys.StatementKey:
    # from_seed takes seed mod (n - 1) + 1
    return keys.StatementKey.from_seed((RFC6979_SCALAR - 1).to_bytes(48, "big"))


def test_rfc6979_public_key():
    assert rfc6979_key().spki == P256_HEAD + bytes.fromhex(
        "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
        "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
    )


@pytest.mark.parametrize(
    ("message", "r", "s"),
    [
        (
            b"sample",
            0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
            0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
        ),
        (
            b"test",
            0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
            0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
        ),
    ],
)
def test_rfc6979_signatures(message, r, s):
    key = rfc6979_key()
    signature = key.sign(message)
    assert decode_dss_signature(signature) == (r, s)
    assert key.sign(message) == signature, "deterministic"
    signatures.verify_statement_signature(key.spki, signature, message)


def test_agent_key_id():
    assert AGENT.key_id == "NzX2w8ab7QULwGz3ErPjWJP/e300MomimW+ofX1Cga8="
    assert signatures.key_id(AGENT.spki) == AGENT.key_id


@pytest.mark.parametrize(
    ("number", "scalar"), [(0, 1), (1, 2), (ORDER - 2, ORDER - 1), (ORDER - 1, 1), (ORDER, 2), (2**384 - 1, None)]
)
def test_scalar_is_never_zero(number, scalar):
    key = keys.StatementKey.from_seed(number.to_bytes(48, "big"))
    if scalar is not None:
        assert key.spki == keys.StatementKey(ec.derive_private_key(scalar, ec.SECP256R1())).spki


def test_rfc8032_test_1():
    key = keys.Ed25519Key(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert key.public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    signature = key.sign(b"")
    assert signature.hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    signatures.verify_ed25519(key.public, signature, b"", key_name="rfc")
    signatures.verify_statement_signature(keys.spki_ed25519(key.public), signature, b"")


def test_key_details():
    assert signatures.key_details(AGENT.spki) == entry.P256
    assert signatures.key_details(ED_SPKI) == entry.ED25519


def point(kind: serialization.PublicFormat) -> bytes:
    public = ec.derive_private_key(RFC6979_SCALAR, ec.SECP256R1()).public_key()
    return public.public_bytes(serialization.Encoding.X962, kind)


def spki_of(public) -> bytes:
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


UNCOMPRESSED = point(serialization.PublicFormat.UncompressedPoint)
COMPRESSED = point(serialization.PublicFormat.CompressedPoint)
BAD_SPKI = {
    "empty": b"",
    "head alone": P256_HEAD,
    "head and form alone": P256_HEAD + b"\x04",
    "Ed25519 head alone": ED_SPKI[:12],
    "not DER": b"hello world",
    "cut": P256_HEAD + UNCOMPRESSED[:-1],
    "a byte more": P256_HEAD + UNCOMPRESSED + b"\x00",
    "compressed point under the same head": P256_HEAD + COMPRESSED,
    "compressed point, right lengths": bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + COMPRESSED,
    "hybrid point": P256_HEAD + bytes((6 + (UNCOMPRESSED[-1] & 1),)) + UNCOMPRESSED[1:],
    "point at infinity": P256_HEAD + b"\x00",
    "zeros": P256_HEAD + b"\x04" + bytes(64),
    "not on the curve": P256_HEAD + UNCOMPRESSED[:-1] + bytes((UNCOMPRESSED[-1] ^ 1,)),
    "coordinate not below p": P256_HEAD + b"\x04" + b"\xff" * 64,
    "P-384": spki_of(ec.derive_private_key(5, ec.SECP384R1()).public_key()),
    "secp256k1": spki_of(ec.derive_private_key(5, ec.SECP256K1()).public_key()),
    "Ed25519, 31 bytes": ED_SPKI[:-1],
    "Ed25519, 33 bytes": ED_SPKI + b"\x00",
    "Ed25519, with NULL parameters": bytes.fromhex("302c300706032b65700500032100") + LOG_ED.public,
    "X25519": bytes.fromhex("302a300506032b656e032100") + LOG_ED.public,
    "long-form length": bytes.fromhex("308159301306072a8648ce3d020106082a8648ce3d030107034200") + UNCOMPRESSED,
    "point without SPKI": UNCOMPRESSED,
    "PEM": keys.public_pem(AGENT.spki),
}


@pytest.mark.parametrize("spki", BAD_SPKI.values(), ids=BAD_SPKI)
def test_spki_refused(spki):
    for attempt in (signatures.key_details, keys.public_pem, lambda key: signatures.verify_statement_signature(key, b"", b"")):
        with pytest.raises(MalformedError):
            attempt(spki)


@pytest.mark.parametrize("what", ["not on the curve", "head and form alone", "Ed25519, 31 bytes"])
def test_a_key_of_a_kind_that_we_take_is_said_to_be_no_point(what):
    """Not to be of a foreign kind: the head was right, what follows it is not."""
    with pytest.raises(MalformedError, match="not a point of the curve"):
        signatures.key_details(BAD_SPKI[what])


def refuse(spki: bytes, signature: bytes, message: bytes) -> None:
    with pytest.raises(InvalidSignatureError) as caught:
        signatures.verify_statement_signature(spki, signature, message)
    assert caught.value.key_name == signatures.key_id(spki)


def test_p256_signature():
    message = b"message"
    signature = AGENT.sign(message)
    signatures.verify_statement_signature(AGENT.spki, signature, message)
    refuse(AGENT.spki, signature, b"massage")
    refuse(rfc6979_key().spki, signature, message)
    for _, flipped in flips(signature):
        refuse(AGENT.spki, flipped, message)


def test_p256_high_s_is_accepted():
    """No low-S rule: equality with the leaf binds the bytes (formats.md section 4)."""
    r, s = decode_dss_signature(AGENT.sign(b"m"))
    signatures.verify_statement_signature(AGENT.spki, encode_dss_signature(r, ORDER - s), b"m")


def test_p256_only_strict_der():
    signature = AGENT.sign(b"m")
    r, s = decode_dss_signature(signature)

    def integer(number: int, lead: bytes = b"") -> bytes:
        body = lead + number.to_bytes((number.bit_length() + 8) // 8, "big")
        return b"\x02" + bytes((len(body),)) + body

    def sequence(body: bytes) -> bytes:
        return b"\x30" + bytes((len(body),)) + body

    assert sequence(integer(r) + integer(s)) == signature
    for bad in (
        b"",
        b"\x30\x00",
        signature + b"\x00",
        signature[:-1],
        b"\x30\x81" + signature[1:],
        b"\x30\x80" + signature[2:] + b"\x00\x00",
        sequence(integer(r, b"\x00") + integer(s)),
        sequence(integer(r) + integer(s) + b"\x05\x00"),
        sequence(integer(r) + integer(s + ORDER)),
        sequence(integer(0) + integer(s)),
        sequence(integer(r) + integer(0)),
        sequence(integer(1) + integer(1)),
        r.to_bytes(32, "big") + s.to_bytes(32, "big"),
        signature + bytes(100),
    ):
        refuse(AGENT.spki, bad, b"m")


def test_ed25519_signature():
    signature = LOG_ED.sign(b"m")
    signatures.verify_ed25519(LOG_ED.public, signature, b"m", key_name="log")
    signatures.verify_statement_signature(ED_SPKI, signature, b"m")
    for bad in (b"", signature[:-1], signature + b"\x00", bytes(64), *(flipped for _, flipped in flips(signature))):
        refuse(ED_SPKI, bad, b"m")
        with pytest.raises(InvalidSignatureError) as caught:
            signatures.verify_ed25519(LOG_ED.public, bad, b"m", key_name="log")
        assert caught.value.key_name == "log"
    for bad_key in (b"", LOG_ED.public[:-1], LOG_ED.public + b"\x00"):
        with pytest.raises(InvalidSignatureError):
            signatures.verify_ed25519(bad_key, signature, b"m", key_name="log")


def test_mldsa44_signature():
    assert len(LOG_PQ.public) == 1312
    signature = LOG_PQ.sign(b"m")
    assert len(signature) == 2420
    signatures.verify_mldsa44(LOG_PQ.public, signature, b"m", key_name="log")
    assert keys.MlDsa44Key(seed("log-pq")).public == LOG_PQ.public, "equal seeds, equal keys"
    bad_signatures = [b"", signature[:-1], signature + b"\x00", bytes(2420), *(f for _, f in flips(signature, 401))]
    for bad in bad_signatures:
        with pytest.raises(InvalidSignatureError):
            signatures.verify_mldsa44(LOG_PQ.public, bad, b"m", key_name="log")
    with pytest.raises(InvalidSignatureError):
        signatures.verify_mldsa44(LOG_PQ.public, signature, b"n", key_name="log")
    for bad_key in (b"", LOG_PQ.public[:-1], LOG_PQ.public + b"\x00", bytes(1312)):
        with pytest.raises(InvalidSignatureError):
            signatures.verify_mldsa44(bad_key, signature, b"m", key_name="log")


def test_pem_round_trip():
    again = keys.StatementKey.from_pem(AGENT.to_pem())
    assert (again.spki, again.key_id, again.sign(b"m")) == (AGENT.spki, AGENT.key_id, AGENT.sign(b"m"))


def test_public_pem():
    public = serialization.load_pem_public_key(keys.public_pem(AGENT.spki))
    assert spki_of(public) == AGENT.spki
    assert keys.public_pem(AGENT.spki) == public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def pem(key, protection=None) -> bytes:
    protection = protection or serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


P256_PRIVATE = ec.derive_private_key(5, ec.SECP256R1())
UNKNOWN_OID = (
    b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2V5BCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----\n"
)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a key",
        keys.public_pem(AGENT.spki),
        AGENT.to_pem()[:-40],
        pem(P256_PRIVATE, serialization.BestAvailableEncryption(b"secret")),
        pem(ec.derive_private_key(5, ec.SECP384R1())),
        pem(ec.derive_private_key(5, ec.SECP256K1())),
        pem(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))),
        UNKNOWN_OID,
    ],
    ids=["empty", "text", "public key", "cut", "encrypted", "P-384", "secp256k1", "Ed25519", "unknown algorithm"],
)
def test_pem_refused(data):
    with pytest.raises(ConfigurationError):
        keys.StatementKey.from_pem(data)


def test_private_keys_are_not_shown():
    scalar = AGENT._key.private_numbers().private_value
    for key in (AGENT, LOG_ED, LOG_PQ):
        assert not hasattr(key, "__dict__")
        assert f"{scalar:x}" not in repr(key)
