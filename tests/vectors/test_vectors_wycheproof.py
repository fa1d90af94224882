"""Wycheproof verdicts for ECDSA P-256 (DER), Ed25519 and ML-DSA-44 (formats.md sections 4, 7 and 14)."""

from __future__ import annotations

import pytest

from apostille.core import signatures
from apostille.errors import ApostilleError, InvalidSignatureError
from tests.vectors.vectors_kit import folder, load

WYCHEPROOF = folder("wycheproof")


def verdicts(name: str, accept):
    """Compare all cases of a file; return how many are (valid, invalid, skipped)."""
    counts = {"valid": 0, "invalid": 0, "skipped": 0}
    wrong = []
    for group in load(WYCHEPROOF / name)["testGroups"]:
        for case in group["tests"]:
            if case.get("ctx"):
                counts["skipped"] += 1
                continue
            counts[case["result"]] += 1
            if accept(group, bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"])) != (case["result"] == "valid"):
                wrong.append((case["tcId"], case["result"], case["comment"]))
    assert wrong == []
    return tuple(counts.values())


def is_accepted(verify) -> bool:
    """Any error must be one of ours, and of the right kind."""
    try:
        verify()
    except InvalidSignatureError:
        return False
    return True


def test_ecdsa_p256_der():
    longest = 0

    def accept(group, signature, message):
        nonlocal longest
        found = is_accepted(
            lambda: signatures.verify_statement_signature(bytes.fromhex(group["publicKeyDer"]), signature, message)
        )
        longest = max(longest, len(signature)) if found else longest
        return found

    assert verdicts("ecdsa_secp256r1_sha256_test.json", accept) == (174, 310, 0)
    assert longest <= 72, "no valid DER signature of P-256 is longer"


def test_ed25519():
    def accept(group, signature, message):
        spki, public = bytes.fromhex(group["publicKeyDer"]), bytes.fromhex(group["publicKey"]["pk"])
        by_spki = is_accepted(lambda: signatures.verify_statement_signature(spki, signature, message))
        assert by_spki == is_accepted(lambda: signatures.verify_ed25519(public, signature, message, key_name="k"))
        return by_spki

    assert verdicts("ed25519_test.json", accept) == (88, 63, 0)


def test_mldsa44():
    """Eight cases bring a context, one of them the empty one, which is ours; seven say nothing about it."""

    def accept(group, signature, message):
        public = bytes.fromhex(group["publicKey"])
        return is_accepted(lambda: signatures.verify_mldsa44(public, signature, message, key_name="k"))

    assert verdicts("mldsa_44_verify_test.json", accept) == (75, 98, 7)


def test_mldsa44_with_a_context_is_refused():
    """What was signed under a context does not verify without it."""
    for group in load(WYCHEPROOF / "mldsa_44_verify_test.json")["testGroups"]:
        for case in group["tests"]:
            if case.get("ctx"):
                with pytest.raises(ApostilleError):
                    signatures.verify_mldsa44(
                        bytes.fromhex(group["publicKey"]), bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"]), key_name="k"
                    )
