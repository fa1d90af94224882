"""What ``apostille attest`` writes is accepted by other people's verifiers, and refused by them after one change.

formats.md sections 3, 4, 5, 7, 10 and 13, from the command line to the foreign tool: NAME.sigstore.json and trusted_root.json by
@sigstore/verify; the envelope by securesystemslib; the statement by in-toto-attestation; the signature over the PAE, with
NAME.pub.pem, and the checkpoint's 0x01 line by openssl; its 0x06 line by @noble/post-quantum; openings by sha256sum and tail; the
tlog-proof and the exported log by golang.org/x/mod.
"""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import foreign
import pytest
from foreign import (
    ForeignRejection,
    check_log,
    in_toto_parse,
    openssl_verify,
    securesystemslib_verify,
    sha256sum,
    verify_bundle,
    verify_mldsa,
)
from interop_samples import flip, flip_base64, note_lines
from live_kit import Home, check_proof, leaf_of, pae, payload_of, sim, statement_of

from apostille import wiring
from apostille.core.keys import public_pem
from apostille.core.note import format_vkey
from apostille.core.strict import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.interop, pytest.mark.slow]

CLEAN = "The refund is 42 EUR.\n"
# name, what is in the file, options of attest, what NAME is
FILES = [
    ("plain.txt", CLEAN, [], "plain.txt"),
    ("salted.txt", CLEAN, ["--salted"], "salted.txt"),
    ("dirty.txt", f"The refund{sim.TAGS} is {sim.OVERRIDE}42 EUR.\n", [], "dirty.canonical.txt"),
    ("turned.md", f"# Due{sim.SELECTORS}\n\nThe refund is 42 EUR.\n", ["--salted"], "turned.canonical.md"),
    ("order.json", f'{{"to": "Z\\u00fcrich{sim.TAGS}", "amount": 4.20}}', [], "order.canonical.json"),
    ("photo.bin", "\x00\x01\x02", ["--salted", "--media-type", "application/octet-stream"], "photo.bin"),
]
NAMES = [name for _, _, _, name in FILES]
SALTED = [name for _, _, options, name in FILES if "--salted" in options]


@dataclass(frozen=True)
class Desk:
    """A user who has attested the files, and has exported the log.

    Attributes:
        home: The user.
        pq: The vkey of the log's 0x06 line, as ``apostille trust list`` names it.
    """

    home: Home
    pq: str

    def file(self, name: str) -> bytes:
        return (self.home.path / name).read_bytes()

    def bundle(self, name: str) -> Any:
        return json.loads(self.file(f"{name}.sigstore.json"))

    def digests(self, name: str) -> dict[str, str]:
        return {s["name"]: s["digest"]["sha256"] for s in statement_of(self.bundle(name))["subject"]}

    @property
    def root(self) -> bytes:
        return self.file("export/trusted_root.json")

    @property
    def vkey(self) -> str:
        return self.file("export/vkey").decode().strip()

    @property
    def checkpoint(self) -> bytes:
        return self.file("export/log/checkpoint")

    def verify(self, name: str, bundle: bytes | None = None, root: bytes | None = None) -> dict[str, Any]:
        given = bundle if bundle is not None else self.file(f"{name}.sigstore.json")
        return verify_bundle(given, root or self.root, self.file(f"{name}.pub.pem"))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    home = Home(tmp_path_factory.mktemp("live-bundle"))
    home.cli("init")
    calls: dict[tuple[str, ...], list[str]] = {}
    for name, content, options, _ in FILES:
        (home.path / name).write_bytes(content.encode())
        calls.setdefault(tuple(options), []).append(name)
    for given, names in calls.items():
        home.cli("attest", *names, *given)
    home.cli("log", "export", "--out", "export")
    (pq,) = home.json("trust", "list")["witnesses"].values()
    return Desk(home, pq)


# --- bundles: @sigstore/verify ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_bundle_is_accepted(desk: Desk, name: str) -> None:
    result = desk.verify(name)
    bundle = desk.bundle(name)
    (entry,) = bundle["verificationMaterial"]["tlogEntries"]
    assert result["payloadType"] == "application/vnd.in-toto+json"
    assert result["payloadSha256"] == sha256sum(payload_of(bundle))
    assert (result["kind"], str(result["index"])) == ("hashedrekord/0.0.2", entry["logIndex"])
    assert f"{result['origin']}+" == desk.vkey[: len(result["origin"]) + 1]
    # The receipt holds the same bundle, byte by byte.
    assert desk.file(f"{name}.sigstore.json") in desk.file(f"{name}.receipt.json")


def test_bundle_of_an_old_leaf_under_a_new_checkpoint(desk: Desk) -> None:
    """What the keeper gives later for the same leaf: a longer proof, the same statement."""
    with desk.home.inside() as folder:
        keeper = wiring.open_keeper(folder)
        try:
            for name in NAMES:
                index = desk.verify(name)["index"]
                bundle = keeper.bundle_at(index)
                result = desk.verify(name, canonical_json(bundle))
                assert (result["index"], result["size"]) == (index, keeper.head.size)
                assert payload_of(bundle) == payload_of(desk.bundle(name))
        finally:
            keeper.close()


_ENTRY = "verificationMaterial/tlogEntries/0"
_PROOF = f"{_ENTRY}/inclusionProof"
_NOTE = f"{_PROOF}/checkpoint/envelope"


def _note_line(note: str, kind: int) -> str:
    """Flip the last byte of one of the two signatures."""
    text, lines = note_lines(note.encode())
    _, name, field = lines[kind].split(" ")
    lines[kind] = f"\u2014 {name} {flip_base64(field, -1)}"
    return text + "\n" + "".join(line + "\n" for line in lines)


def _next_size(note: str) -> str:
    origin, size, rest = note.split("\n", 2)
    return f"{origin}\n{int(size) + 1}\n{rest}"


def _other_root(note: str) -> str:
    origin, size, root, rest = note.split("\n", 3)
    return f"{origin}\n{size}\n{flip_base64(root)}\n{rest}"


_BUNDLE_CHANGES: list[tuple[str, str, Callable[[Any], Any], str]] = [
    # why, place, change, what the tool says
    ("payload byte", "dsseEnvelope/payload", lambda p: flip_base64(p, 300), "TLOG_BODY_ERROR: digest mismatch"),
    ("payload type", "dsseEnvelope/payloadType", lambda t: t + "x", "TLOG_BODY_ERROR: digest mismatch"),
    ("signature", "dsseEnvelope/signatures/0/sig", lambda s: flip_base64(s, -1), "TLOG_BODY_ERROR: signature mismatch"),
    ("hint", "verificationMaterial/publicKey/hint", flip_base64, "PUBLIC_KEY_ERROR: key not found"),
    ("log ID", f"{_ENTRY}/logId/keyId", flip_base64, "INCLUSION_PROOF_ERROR: invalid checkpoint signature"),
    ("leaf: key", f"{_ENTRY}/canonicalizedBody", lambda b: flip_base64(b, -20), "calculated root hash does not match"),
    ("proof hash", f"{_PROOF}/hashes/0", flip_base64, "calculated root hash does not match"),
    ("last proof hash", f"{_PROOF}/hashes", lambda h: [*h[:-1], flip_base64(h[-1])], "calculated root hash does not match"),
    ("hash lost", f"{_PROOF}/hashes", lambda h: h[:-1], "invalid hash count"),
    ("index", f"{_PROOF}/logIndex", lambda i: str(int(i) - 1), "calculated root hash does not match|invalid hash count"),
    ("note: size", _NOTE, _next_size, "invalid checkpoint signature"),
    ("note: root", _NOTE, _other_root, "invalid checkpoint signature"),
    ("note: 0x01 signature", _NOTE, lambda n: _note_line(n, 0), "invalid checkpoint signature"),
]


@pytest.mark.parametrize(
    ("path", "change", "says"), [pytest.param(path, change, says, id=why) for why, path, change, says in _BUNDLE_CHANGES]
)
def test_changed_bundle_is_refused(desk: Desk, path: str, change: Callable[[Any], Any], says: str) -> None:
    name = "turned.canonical.md"
    with pytest.raises(ForeignRejection, match=says):
        desk.verify(name, json.dumps(_changed(desk.bundle(name), path, change)).encode())


def test_bundle_with_another_leaf_of_the_same_log_is_refused(desk: Desk) -> None:
    """All that is in it is genuine and in the log, but it does not belong together."""
    mine, other = desk.bundle("plain.txt"), desk.bundle("salted.txt")
    mine["verificationMaterial"]["tlogEntries"] = other["verificationMaterial"]["tlogEntries"]
    with pytest.raises(ForeignRejection, match=r"TLOG_BODY_ERROR: (digest|signature) mismatch"):
        desk.verify("plain.txt", json.dumps(mine).encode())


def test_bundle_is_refused_under_another_trusted_root(desk: Desk, tmp_path: Path) -> None:
    other = Home(tmp_path)
    other.cli("init")
    other.cli("log", "export", "--out", "export")
    root = (tmp_path / "export" / "trusted_root.json").read_bytes()
    with pytest.raises(ForeignRejection, match="invalid checkpoint signature"):
        desk.verify("plain.txt", root=root)
    # The other log's key under our log's name.
    mine, theirs = json.loads(desk.root), json.loads(root)
    mine["tlogs"][0]["publicKey"] = theirs["tlogs"][0]["publicKey"]
    with pytest.raises(ForeignRejection, match="invalid checkpoint signature"):
        desk.verify("plain.txt", root=json.dumps(mine).encode())


def test_bundle_is_refused_under_the_key_of_another_signer(desk: Desk) -> None:
    with pytest.raises(ForeignRejection, match="PUBLIC_KEY_ERROR: key not found"):
        verify_bundle(desk.file("plain.txt.sigstore.json"), desk.root, desk.file("salted.txt.pub.pem"))


def _changed(value: Any, path: str, change: Callable[[Any], Any]) -> Any:
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    place = value
    for part in parents:
        place = place[part]
    before = place[last]
    place[last] = change(before)
    assert place[last] != before
    return value


# --- envelopes and statements: securesystemslib, in-toto-attestation, openssl -----------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_envelope_and_statement_are_accepted(desk: Desk, name: str) -> None:
    bundle, pem = desk.bundle(name), desk.file(f"{name}.pub.pem")
    payload = securesystemslib_verify(json.dumps(bundle["dsseEnvelope"]).encode(), pem)
    parsed = in_toto_parse(payload)
    assert parsed == json.loads(payload)
    assert parsed["predicateType"] == "urn:apostille:output:v1"
    assert parsed["predicate"]["commitment"] == ("salted" if name in SALTED else "plain")
    openssl_verify(pem, base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"]), pae(payload))


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("payload", lambda p: flip_base64(p, 300)),
        ("payloadType", lambda t: t + "x"),
        ("signatures/0/sig", lambda s: flip_base64(s, -1)),
        ("signatures/0/keyid", flip_base64),
    ],
)
def test_changed_envelope_is_refused(desk: Desk, path: str, change: Callable[[Any], Any]) -> None:
    envelope = _changed(desk.bundle("plain.txt")["dsseEnvelope"], path, change)
    with pytest.raises(ForeignRejection, match="Found: 0, Expected 1"):
        securesystemslib_verify(json.dumps(envelope).encode(), desk.file("plain.txt.pub.pem"))


def test_envelope_is_refused_under_the_key_of_another_signer(desk: Desk) -> None:
    envelope = json.dumps(desk.bundle("plain.txt")["dsseEnvelope"]).encode()
    with pytest.raises(ForeignRejection, match="Found: 0, Expected 1"):
        securesystemslib_verify(envelope, _other_pem(desk))


def _other_pem(desk: Desk) -> bytes:
    """The keeper's key, which is in the log as well."""
    keys = json.loads(desk.file("plain.txt.receipt.json"))["keys"]
    return public_pem(base64.b64decode(keys[-1]["spki"]))


@pytest.mark.parametrize(
    ("why", "change", "says"),
    [
        ("other type", lambda s: s | {"_type": "https://in-toto.io/Statement/v0.1"}, "Wrong statement type"),
        ("no subject", lambda s: s | {"subject": []}, "At least one subject"),
        ("no predicate type", lambda s: s | {"predicateType": ""}, "Predicate type required"),
        ("no digest", lambda s: s | {"subject": [{"name": "raw"}]}, "At least one digest"),
        ("unknown member", lambda s: s | {"more": 1}, 'no field named "more"'),
    ],
)
def test_changed_statement_is_refused(desk: Desk, why: str, change: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(ForeignRejection, match=says):
        in_toto_parse(json.dumps(change(statement_of(desk.bundle("plain.txt")))).encode())


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("signature", lambda signature, data: (flip(signature, -1), data)),
        ("first byte", lambda signature, data: (signature, flip(data, 0))),
        ("last byte", lambda signature, data: (signature, flip(data, -1))),
        ("without its type", lambda signature, data: (signature, data[data.index(b"{") :])),
    ],
)
def test_openssl_refuses_changes(desk: Desk, why: str, change: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> None:
    bundle = desk.bundle("plain.txt")
    signature = base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"])
    with pytest.raises(ForeignRejection, match=r"(?i)fail|error"):
        openssl_verify(desk.file("plain.txt.pub.pem"), *change(signature, pae(payload_of(bundle))))


def test_key_statements_of_a_receipt_are_envelopes_too(desk: Desk) -> None:
    """Genesis signs itself, each further key is certified by the one before: each envelope under its signer's key."""
    receipt = json.loads(desk.file("salted.txt.receipt.json"))
    signers = [public_pem(base64.b64decode(key["spki"])) for key in receipt["keys"]]
    assert [key["index"] for key in receipt["keys"]][:2] == [0, 1]
    for key, pem in zip(receipt["keys"], signers, strict=True):
        said = in_toto_parse(securesystemslib_verify(json.dumps(key["envelope"]).encode(), pem))
        assert said["predicateType"] == "urn:apostille:key:v1"
    with pytest.raises(ForeignRejection, match="Found: 0, Expected 1"):
        securesystemslib_verify(json.dumps(receipt["keys"][-1]["envelope"]).encode(), signers[0])
    # The last of them certifies the key that signed the output.
    last = json.loads(base64.b64decode(receipt["keys"][-1]["envelope"]["payload"]))
    (spki,) = [s["digest"]["sha256"] for s in last["subject"] if s["name"] == "spki"]
    assert statement_of(receipt["bundle"])["predicate"]["key_id"] == base64.b64encode(bytes.fromhex(spki)).decode()


# --- openings: sha256sum and tail -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "content", "options", "name"), FILES, ids=NAMES)
def test_sha256sum_opens_what_was_attested(desk: Desk, source: str, content: str, options: list[str], name: str) -> None:
    digests = desk.digests(name)
    if "--salted" in options:
        opening = desk.home.path / f"{name}.opening"
        assert sha256sum(opening.read_bytes()) == digests["canonical"]
        assert _tail(opening) == desk.file(name)
        assert sha256sum(flip(opening.read_bytes(), 0)) != digests["canonical"]
        # Without the salt nobody can try a guess, and the raw bytes' salt is not handed out.
        assert sha256sum(desk.file(name)) not in digests.values()
        assert sha256sum(content.encode()) not in digests.values()
    else:
        assert not (desk.home.path / f"{name}.opening").exists()
        assert sha256sum(desk.file(name)) == digests["canonical"]
        assert sha256sum(content.encode()) == digests["raw"]
        assert sha256sum(flip(desk.file(name), 0)) != digests["canonical"]
    assert ("findings" in digests) is (source != name)
    assert desk.file(name) == (content.encode() if source == name else _cleaned(source))


def _cleaned(source: str) -> bytes:
    return {
        "dirty.txt": CLEAN.encode(),
        "turned.md": b"# Due\n\nThe refund is 42 EUR.\n",
        "order.json": '{"amount":4.2,"to":"Zürich"}'.encode(),
    }[source]


def _tail(path: Path) -> bytes:
    return subprocess.run([foreign.require_program("tail"), "-c", "+33", str(path)], check=True, capture_output=True).stdout


# --- the log: golang.org/x/mod, openssl, @noble/post-quantum ----------------------------------------------------------


def test_exported_log_is_accepted(desk: Desk) -> None:
    """Tiles and checkpoint, and every statement has the digest that its entry signs: nothing in the log goes unsaid."""
    result = check_log(desk.home.path / "export" / "log", desk.vkey)
    statements = sorted((desk.home.path / "export" / "statements").rglob("*.json"))
    assert result["checked"] == len(statements) > len(FILES)
    bundle = (desk.home.path / "export" / "log" / "tile" / "entries" / "000.p" / str(result["size"])).read_bytes()
    for path in statements:
        length = int.from_bytes(bundle[:2], "big")
        entry, bundle = json.loads(bundle[2 : 2 + length]), bundle[2 + length :]
        digest = base64.b64decode(entry["spec"]["hashedRekordV002"]["data"]["digest"]).hex()
        assert sha256sum(pae(path.read_bytes())) == digest, path.name
    assert bundle == b""


def test_exported_checkpoint_lines(desk: Desk) -> None:
    text, lines = note_lines(desk.checkpoint)
    result = verify_mldsa(desk.checkpoint, desk.pq)
    assert text.startswith(f"{result['origin']}\n{result['size']}\n")
    assert (result["time"], len(lines)) == (0, 2)
    key = json.loads(desk.root)["tlogs"][0]["publicKey"]
    pem = public_pem(base64.b64decode(key["rawBytes"]))
    signature = base64.b64decode(lines[0].split(" ")[2])[4:]
    openssl_verify(pem, signature, text.encode())
    with pytest.raises(ForeignRejection, match=r"(?i)fail"):
        openssl_verify(pem, signature, flip(text.encode(), -3))


@pytest.mark.parametrize(
    ("why", "change", "says"),
    [
        ("signature", lambda n: _note_line(n, 1), "signature is invalid"),
        ("size", _next_size, "signature is invalid"),
        ("root", _other_root, "signature is invalid"),
        ("line lost", lambda n: n[: n.rindex("\u2014")], "0 lines of key"),
    ],
)
def test_changed_checkpoint_is_refused_by_mldsa(desk: Desk, why: str, change: Callable[[str], str], says: str) -> None:
    with pytest.raises(ForeignRejection, match=says):
        verify_mldsa(change(desk.checkpoint.decode()).encode(), desk.pq)


@pytest.mark.parametrize("name", [NAMES[0], NAMES[-1]])
def test_tlog_proof_is_accepted(desk: Desk, name: str, tmp_path: Path) -> None:
    proof, index = _proof(desk, name)
    result = check_proof(proof, leaf_of(desk.bundle(name)), desk.vkey, tmp_path)
    text, _ = note_lines(desk.checkpoint)
    assert result["index"] == index
    assert text == f"{result['origin']}\n{result['size']}\n{result['root']}\n"


def test_tlog_proof_on_stdout_is_the_same_to_the_last_byte(desk: Desk) -> None:
    proof, index = _proof(desk, "plain.txt")
    assert desk.home.cli("log", "proof", str(index)).stdout.encode() == proof


def _line(proof: bytes, number: int, change: Callable[[str], str]) -> bytes:
    lines = proof.decode().split("\n")
    lines[number] = change(lines[number])
    return "\n".join(lines).encode()


_PROOF_CHANGES: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("version", lambda p: _line(p, 0, lambda t: t[:-1] + "2"), "not a tlog-proof of version 1"),
    ("index", lambda p: _line(p, 1, lambda t: f"index {int(t[6:]) - 1}"), "inclusion of entry"),
    ("index outside", lambda p: _line(p, 1, lambda t: "index 999"), "outside a tree of size"),
    ("index with a zero", lambda p: _line(p, 1, lambda t: t.replace(" ", " 0")), "not an index"),
    ("first hash", lambda p: _line(p, 2, flip_base64), "inclusion of entry"),
    ("hash lost", lambda p: p.replace(p.split(b"\n")[2] + b"\n", b"", 1), "inclusion of entry"),
    ("hash twice", lambda p: _line(p, 2, lambda t: t + "\n" + t), "inclusion of entry"),
    ("size", lambda p: _in_note(p, _next_size), "invalid signature for key"),
    ("root", lambda p: _in_note(p, _other_root), "invalid signature for key"),
    ("signature", lambda p: _in_note(p, lambda n: _note_line(n, 0)), "invalid signature for key"),
    ("cut short", lambda p: p[:-1], "malformed note"),
]


def _in_note(proof: bytes, change: Callable[[str], str]) -> bytes:
    head, _, note = proof.decode().partition("\n\n")
    return f"{head}\n\n{change(note)}".encode()


@pytest.mark.parametrize(("change", "says"), [pytest.param(change, says, id=why) for why, change, says in _PROOF_CHANGES])
def test_changed_tlog_proof_is_refused(desk: Desk, change: Callable[[bytes], bytes], says: str, tmp_path: Path) -> None:
    proof, _ = _proof(desk, "plain.txt")
    assert change(proof) != proof
    with pytest.raises(ForeignRejection, match=says):
        check_proof(change(proof), leaf_of(desk.bundle("plain.txt")), desk.vkey, tmp_path)


def test_tlog_proof_is_for_one_entry_of_one_log(desk: Desk, tmp_path: Path) -> None:
    proof, _ = _proof(desk, "plain.txt")
    with pytest.raises(ForeignRejection, match="inclusion of entry"):
        check_proof(proof, leaf_of(desk.bundle("salted.txt")), desk.vkey, tmp_path)
    with Home(tmp_path / "other").inside() as store:
        other = wiring.init_store(store)
    with pytest.raises(ForeignRejection, match="no verifiable signatures"):
        check_proof(proof, leaf_of(desk.bundle("plain.txt")), format_vkey(other.vkeys[0]), tmp_path)


def test_changed_0x06_line_does_not_concern_who_reads_0x01(desk: Desk, tmp_path: Path) -> None:
    """x/mod skips lines of keys that it was not given: the ML-DSA line is for who asks for it."""
    proof, index = _proof(desk, "plain.txt")
    changed = _in_note(proof, lambda n: _note_line(n, 1))
    assert check_proof(changed, leaf_of(desk.bundle("plain.txt")), desk.vkey, tmp_path)["index"] == index


def _proof(desk: Desk, name: str) -> tuple[bytes, int]:
    index = int(desk.bundle(name)["verificationMaterial"]["tlogEntries"][0]["logIndex"])
    path = desk.home.path / f"{name}.tlog-proof"
    if not path.exists():
        desk.home.cli("log", "proof", str(index), "--out", path)
    return path.read_bytes(), index
