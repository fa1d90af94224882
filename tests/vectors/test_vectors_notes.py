"""Verdicts of golang/mod's note and tlog tests, C2SP's example and DSSE's example (formats.md sections 4 and 7)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from apostille.core import checkpoint, dsse, note, signatures
from apostille.core.policy import parse_policy
from apostille.errors import InvalidSignatureError, MalformedCheckpointError, MalformedError, MalformedNoteError
from tests.vectors.vectors_kit import folder, load, unb64

NOTES = folder("notes")
CASES = load(NOTES / "signed-note.json")


@pytest.mark.parametrize("case", CASES["vkeys"], ids=[case["vkey"][:24] + " " + case["expect"] for case in CASES["vkeys"]])
def test_vkeys(case):
    if case["expect"] == "ok":
        assert note.format_vkey(note.parse_vkey(case["vkey"])) == case["vkey"]
    else:
        with pytest.raises(MalformedNoteError):
            note.parse_vkey(case["vkey"])


def verdict(case) -> tuple[str, list[str]]:
    """Open a note whose text is no checkpoint: what ``open_checkpoint`` does, without the checkpoint."""
    try:
        read = note.parse_note(unb64(case["note_base64"]))
    except MalformedError:
        return "malformed", []
    assert note.format_note(read) == unb64(case["note_base64"])
    known = [note.parse_vkey(text) for text in case["vkeys"]]
    verified: list[str] = []
    for line in read.unverified_signatures:
        named = [key for key in known if (key.name, key.key_id) == (line.name, line.key_id)]
        if len(named) > 1:
            return "ambiguous-key", []
        if not named or line.name in verified:  # Go drops further lines of a key that has verified
            continue
        try:
            signatures.verify_ed25519(named[0].public, line.field, read.text, key_name=line.name)
        except InvalidSignatureError:
            return "invalid-signature", []
        verified.append(line.name)
    return ("ok", verified) if verified else ("unverified", [])


@pytest.mark.parametrize("case", CASES["notes"], ids=[case["name"] for case in CASES["notes"]])
def test_notes(case):
    assert verdict(case) == (case["expect"], case["verified"])


def test_ambiguous_keys_never_reach_a_note():
    """A trust file refuses a key that stands there twice, used or not."""
    case = next(case for case in CASES["notes"] if case["expect"] == "ambiguous-key")
    rows = [f"log {text}" for text in case["vkeys"]]
    with pytest.raises(MalformedError, match="twice"):
        parse_policy("\n".join([*rows, "quorum none"]).encode())


def test_checkpoint_bodies():
    """Go takes an origin with spaces; here the origin is a key name, so it has none."""
    cases = load(NOTES / "checkpoint-body.json")
    assert [case["expect"] for case in cases] == ["ok", "bad size", "bad root"]
    for case in cases:
        with pytest.raises(MalformedCheckpointError):
            checkpoint.parse_checkpoint(case["body"].encode())
        body = case["body"].replace("go.sum database tree", "go.sum/database/tree").encode()
        if case["expect"] == "ok":
            read = checkpoint.parse_checkpoint(body)
            assert read.size == 123_456_789_012
            assert checkpoint.format_checkpoint(read) == body
        else:
            with pytest.raises(MalformedCheckpointError):
                checkpoint.parse_checkpoint(body)


def test_dsse():
    case = load(NOTES / "dsse.json")
    encoded = dsse.pae(case["payload"].encode(), case["payloadType"])
    assert encoded == case["pae"].encode()
    x, y = int(case["public_key_p256"]["x"]), int(case["public_key_p256"]["y"])
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raw = unb64(case["sig_raw_r_s_base64"])
    signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    signatures.verify_statement_signature(spki, signature, encoded)
    for wrong in (raw, signature[:-1] + bytes((signature[-1] ^ 1,))):
        with pytest.raises(InvalidSignatureError):
            signatures.verify_statement_signature(spki, wrong, encoded)
