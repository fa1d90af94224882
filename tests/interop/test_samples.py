"""Every foreign tool accepts the sample evidence and refuses it after one change, for the reason expected.

formats.md sections 3, 4, 10 and 13: bundles, envelopes, statements, signatures, time tokens and openings. The changes
prove that an acceptance means something: a harness that ran no check would accept them too. Where a tool lets a change
pass, that is written down here as well, since those checks are then ours alone.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from foreign import (
    ForeignRejection,
    in_toto_parse,
    openssl_ts_verify,
    openssl_verify,
    securesystemslib_verify,
    sha256sum,
    verify_bundle,
)
from interop_samples import change_line, flip, flip_base64, note_lines, read, vkey

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.interop


# --- bundles: @sigstore/verify ----------------------------------------------------------------------------------------

_BUNDLES = {"sample-4": "output.sigstore.json", "sample-700": "x.sigstore.json"}


@pytest.mark.parametrize(("log", "index", "size"), [("sample-4", 2, 4), ("sample-700", 123, 700)])
def test_bundle_is_accepted(log: str, index: int, size: int) -> None:
    bundle = read(f"{log}/{_BUNDLES[log]}")
    result = verify_bundle(bundle, read(f"{log}/trusted_root.json"), read(f"{log}/agent.pem"))
    payload = base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"])
    text, _ = note_lines(read(f"{log}/log/checkpoint"))
    assert (result["index"], result["size"], result["kind"]) == (index, size, "hashedrekord/0.0.2")
    assert result["payloadSha256"] == sha256sum(payload)
    assert text == f"{result['origin']}\n{size}\n{result['root']}\n"


def _at(bundle: dict[str, Any], path: str) -> tuple[Any, Any]:
    """Give the container and the key that a path such as ``dsseEnvelope/signatures/0/sig`` names."""
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    for part in parents:
        bundle = bundle[part]
    return bundle, last


_ENTRY = "verificationMaterial/tlogEntries/0"
_PROOF = f"{_ENTRY}/inclusionProof"
_NOTE = f"{_PROOF}/checkpoint/envelope"


def _change_log_line(note: str) -> str:
    return change_line(note.encode(), vkey("sample-4", "log-ed"), lambda raw: flip(raw, -1)).decode()


_BUNDLE_CHANGES: list[tuple[str, str, Callable[[Any], Any], str]] = [
    # why, place, change, what the tool says
    ("payload", "dsseEnvelope/payload", flip_base64, "TLOG_BODY_ERROR: digest mismatch"),
    ("payload type", "dsseEnvelope/payloadType", lambda t: t + "x", "TLOG_BODY_ERROR: digest mismatch"),
    ("signature", "dsseEnvelope/signatures/0/sig", lambda s: flip_base64(s, -1), "TLOG_BODY_ERROR: signature mismatch"),
    ("second signature", "dsseEnvelope/signatures", lambda s: s * 2, r"invalid bundle \(content.dsse"),
    ("no signature", "dsseEnvelope/signatures", lambda s: [], r"invalid bundle \(content.dsse"),
    ("hint", "verificationMaterial/publicKey/hint", flip_base64, "PUBLIC_KEY_ERROR: key not found"),
    ("media type", "mediaType", lambda t: "application/json", r"invalid bundle \(mediaType"),
    ("no entry", "verificationMaterial/tlogEntries", lambda e: [], "TLOG_ERROR: expected 1 tlog entries, got 0"),
    ("entry twice", "verificationMaterial/tlogEntries", lambda e: e * 2, "TLOG_ERROR: duplicate tlog entry"),
    ("log ID", f"{_ENTRY}/logId/keyId", flip_base64, "INCLUSION_PROOF_ERROR: invalid checkpoint signature"),
    ("kind", f"{_ENTRY}/kindVersion/kind", lambda k: "dsse", "TLOG_BODY_ERROR: kind/version mismatch"),
    ("version", f"{_ENTRY}/kindVersion/version", lambda v: "0.0.1", "TLOG_BODY_ERROR: kind/version mismatch"),
    ("leaf", f"{_ENTRY}/canonicalizedBody", lambda b: flip_base64(b, -20), "calculated root hash does not match"),
    ("inclusion hash", f"{_PROOF}/hashes/0", flip_base64, "calculated root hash does not match"),
    ("last inclusion hash", f"{_PROOF}/hashes/1", flip_base64, "calculated root hash does not match"),
    ("hash lost", f"{_PROOF}/hashes", lambda h: h[:-1], "invalid hash count"),
    ("hash added", f"{_PROOF}/hashes", lambda h: [*h, h[0]], "invalid hash count"),
    ("index", f"{_PROOF}/logIndex", lambda i: "3", "calculated root hash does not match"),
    ("index outside", f"{_PROOF}/logIndex", lambda i: "4", "invalid index"),
    ("size in the checkpoint", _NOTE, lambda n: n.replace("\n4\n", "\n5\n"), "invalid checkpoint signature"),
    ("root in the checkpoint", _NOTE, lambda n: n.replace("\nUIku", "\nUIkv"), "invalid checkpoint signature"),
    ("origin in the checkpoint", _NOTE, lambda n: n.replace("s\n4\n", "z\n4\n"), "invalid checkpoint signature"),
    ("log line", _NOTE, _change_log_line, "invalid checkpoint signature"),
]


@pytest.mark.parametrize(
    ("path", "change", "says"), [pytest.param(path, change, says, id=why) for why, path, change, says in _BUNDLE_CHANGES]
)
def test_changed_bundle_is_refused(path: str, change: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(ForeignRejection, match=says):
        verify_bundle(_changed_bundle(path, change), read("sample-4/trusted_root.json"), read("sample-4/agent.pem"))


@pytest.mark.parametrize(
    ("root", "key", "says"),
    [("sample-700", "sample-4", "invalid checkpoint signature"), ("sample-4", "sample-700", "key not found")],
)
def test_bundle_is_refused_under_other_trust(root: str, key: str, says: str) -> None:
    with pytest.raises(ForeignRejection, match=says):
        verify_bundle(read("sample-4/output.sigstore.json"), read(f"{root}/trusted_root.json"), read(f"{key}/agent.pem"))


@pytest.mark.parametrize(
    ("why", "change", "says"),
    [
        ("no log", lambda log: None, "invalid checkpoint signature"),
        ("other base URL", lambda log: log | {"baseUrl": "https://elsewhere.example"}, "invalid checkpoint signature"),
        (
            "other checkpoint key ID",
            lambda log: log | {"checkpointKeyId": {"keyId": flip_base64(log["logId"]["keyId"])}},
            "invalid checkpoint signature",
        ),
        ("no key", lambda log: {k: v for k, v in log.items() if k != "publicKey"}, "TypeError"),
    ],
)
def test_changed_trusted_root_is_refused(why: str, change: Callable[[dict[str, Any]], Any], says: str) -> None:
    root = json.loads(read("sample-4/trusted_root.json"))
    changed = change(root["tlogs"][0])
    root["tlogs"] = [] if changed is None else [changed]
    with pytest.raises(ForeignRejection, match=says):
        verify_bundle(read("sample-4/output.sigstore.json"), json.dumps(root).encode(), read("sample-4/agent.pem"))


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("dsseEnvelope/signatures/0/keyid", flip_base64),
        (f"{_ENTRY}/logIndex", lambda i: "3"),
        (f"{_ENTRY}/integratedTime", lambda t: "1795489204"),
        (f"{_PROOF}/rootHash", flip_base64),
        (f"{_PROOF}/treeSize", lambda s: "5"),
    ],
)
def test_redundant_fields_that_sigstore_does_not_compare(path: str, change: Callable[[Any], Any]) -> None:
    """Our own verifier must refuse each of these (formats.md section 2, rule 6): nobody else does."""
    verify_bundle(_changed_bundle(path, change), read("sample-4/trusted_root.json"), read("sample-4/agent.pem"))


def _changed_bundle(path: str, change: Callable[[Any], Any]) -> bytes:
    bundle = json.loads(read("sample-4/output.sigstore.json"))
    container, key = _at(bundle, path)
    before = container[key]
    container[key] = change(before)
    assert container[key] != before
    return json.dumps(bundle).encode()


# --- envelopes: securesystemslib --------------------------------------------------------------------------------------


def _envelope(name: str = "sample-4/output.sigstore.json") -> dict[str, Any]:
    value: dict[str, Any] = json.loads(read(name))
    return value.get("dsseEnvelope", value)


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("sample-4/output.sigstore.json", "sample-4/statement.2.json"),
        ("sample-4/output.archive.dsse.json", "sample-4/statement.2.json"),
    ],
)
def test_envelope_is_accepted(name: str, statement: str) -> None:
    payload = securesystemslib_verify(json.dumps(_envelope(name)).encode(), read("sample-4/agent.pem"))
    assert payload == read(statement)


@pytest.mark.parametrize(
    ("path", "change", "says"),
    [
        ("payload", flip_base64, "Found: 0, Expected 1"),
        ("payloadType", lambda t: t + "x", "Found: 0, Expected 1"),
        ("signatures/0/sig", lambda s: flip_base64(s, -1), "Found: 0, Expected 1"),
        ("signatures/0/keyid", flip_base64, "Found: 0, Expected 1"),
        ("signatures", lambda s: [], "Found: 0, Expected 1"),
        ("signatures", lambda s: s * 2, "Multiple signatures"),
    ],
)
def test_changed_envelope_is_refused(path: str, change: Callable[[Any], Any], says: str) -> None:
    envelope = _envelope()
    container, key = _at(envelope, path)
    container[key] = change(container[key])
    with pytest.raises(ForeignRejection, match=says):
        securesystemslib_verify(json.dumps(envelope).encode(), read("sample-4/agent.pem"))


def test_envelope_is_refused_under_another_key() -> None:
    with pytest.raises(ForeignRejection, match="Found: 0, Expected 1"):
        securesystemslib_verify(json.dumps(_envelope()).encode(), read("sample-700/agent.pem"))


# --- statements: in-toto-attestation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(4))
def test_statement_is_accepted(index: int) -> None:
    statement = read(f"sample-4/statement.{index}.json")
    parsed = in_toto_parse(statement)
    assert parsed == json.loads(statement)


@pytest.mark.parametrize(
    ("why", "change", "says"),
    [
        ("other type", lambda s: s | {"_type": "https://in-toto.io/Statement/v0.1"}, "Wrong statement type"),
        ("no subject", lambda s: s | {"subject": []}, "At least one subject"),
        ("subject without digest", lambda s: s | {"subject": [{"name": "raw"}]}, "At least one digest"),
        ("subject without anything", lambda s: s | {"subject": [{}]}, "At least one of name, URI, or digest"),
        ("no predicate type", lambda s: s | {"predicateType": ""}, "Predicate type required"),
        ("empty predicate", lambda s: s | {"predicate": {}}, "Predicate object required"),
        ("unknown member", lambda s: s | {"more": 1}, 'no field named "more"'),
    ],
)
def test_changed_statement_is_refused(why: str, change: Callable[[dict[str, Any]], Any], says: str) -> None:
    with pytest.raises(ForeignRejection, match=says):
        in_toto_parse(json.dumps(change(json.loads(read("sample-4/statement.2.json")))).encode())


@pytest.mark.parametrize(
    ("why", "change", "says"),
    [
        ("cut short", lambda b: b[:-1], "Failed to load JSON"),
        ("duplicate member", lambda b: b.replace(b'{"_type"', b'{"subject":[],"_type"'), "duplicate key subject"),
    ],
)
def test_malformed_statement_is_refused(why: str, change: Callable[[bytes], bytes], says: str) -> None:
    with pytest.raises(ForeignRejection, match=says):
        in_toto_parse(change(read("sample-4/statement.2.json")))


# --- openssl and sha256sum --------------------------------------------------------------------------------------------


def _log_line() -> tuple[bytes, bytes]:
    """Give the log's Ed25519 signature and the text that it signs."""
    signatures: list[bytes] = []
    note = read("sample-4/log/checkpoint")
    change_line(note, vkey("sample-4", "log-ed"), lambda raw: signatures.append(raw[4:]) or raw)
    return signatures[0], note_lines(note)[0].encode()


@pytest.mark.parametrize(("folder", "name"), [("sample-4", "output"), ("sample-700", "x")])
def test_openssl_accepts_the_signature_over_the_pae(folder: str, name: str) -> None:
    openssl_verify(read(f"{folder}/agent.pem"), read(f"{folder}/{name}.sig"), read(f"{folder}/{name}.pae"))


def test_openssl_accepts_the_log_line() -> None:
    openssl_verify(read("sample-4/log.pem"), *_log_line())


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("signature", lambda signature, data: (flip(signature, -1), data)),
        ("data", lambda signature, data: (signature, flip(data, 0))),
        ("short data", lambda signature, data: (signature, data[:-1])),
        ("no signature", lambda signature, data: (b"", data)),
    ],
)
def test_openssl_refuses_changes(why: str, change: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> None:
    with pytest.raises(ForeignRejection, match=r"(?i)fail|error"):
        openssl_verify(read("sample-4/agent.pem"), *change(read("sample-4/output.sig"), read("sample-4/output.pae")))
    with pytest.raises(ForeignRejection, match=r"(?i)fail|error"):
        openssl_verify(read("sample-4/log.pem"), *change(*_log_line()))


def test_openssl_accepts_the_time_token_over_the_checkpoint_text() -> None:
    body = read("sample-4/checkpoint.4.body")
    assert body.decode() == note_lines(read("sample-4/log/checkpoint"))[0]
    openssl_ts_verify(read("sample-4/checkpoint.4.tsr"), body, read("sample-4/tsa-ca.pem"))


@pytest.mark.parametrize(
    ("token_change", "data_change"),
    [(lambda t: flip(t, -1), lambda d: d), (lambda t: t, lambda d: flip(d, -3)), (lambda t: t[:-1], lambda d: d)],
    ids=["token signature", "data", "token cut short"],
)
def test_openssl_refuses_a_changed_time_token(
    token_change: Callable[[bytes], bytes], data_change: Callable[[bytes], bytes]
) -> None:
    token = token_change(read("sample-4/checkpoint.4.tsr"))
    data = data_change(read("sample-4/checkpoint.4.body"))
    with pytest.raises(ForeignRejection, match=r"(?i)fail|error"):
        openssl_ts_verify(token, data, read("sample-4/tsa-ca.pem"))


@pytest.mark.parametrize(("opening", "subject"), [("raw", 0), ("canonical", 1)])
def test_sha256sum_opens_the_subject_digests(opening: str, subject: int) -> None:
    subjects = json.loads(read("sample-4/statement.2.json"))["subject"]
    content = read(f"sample-4/{opening}.opening.bin")
    assert subjects[subject]["name"] == opening
    assert sha256sum(content) == subjects[subject]["digest"]["sha256"]
    assert content[32:] == read(f"sample-4/{opening}.bin")
    assert sha256sum(flip(content, 0)) != subjects[subject]["digest"]["sha256"]
