"""Verifying a receipt: each way in which each step can fail, what is then said, and which verdict outweighs which.

Spec: formats.md section 12 (steps 1 to 10) and rules 2.6, 2.7; trust.md section 4 (exit codes, precedence 1, 65, 3, 4, 5, 0).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from insider_kit import (
    Insider,
    broken_signature,
    key_with_a_broken_signature,
    life_begins_before_the_issuer,
    names_another_key,
    resigned,
    said_after_its_key_ended,
    unknown_signer,
)
from service_kit import SAID, exit_of

from apostille.core import dsse, keys, note, predicates
from apostille.core.checkpoint import parse_checkpoint, subtree_message
from apostille.core.digest import sha256
from apostille.core.opening import SALT_BYTES
from apostille.core.policy import Policy, parse_policy
from apostille.core.receipt import parse_receipt
from apostille.core.statement import parse_statement
from apostille.core.strict import canonical_json
from apostille.errors import ApostilleError, IncompleteError, MalformedError, PolicyError, UntrustedError, VerificationError
from apostille.faces import codes
from apostille.services import keeper as keeper_module
from apostille.services import verifier
from apostille.services.attester import Draft, utc_text
from apostille.services.examination import Examination
from apostille.services.genesis import genesis
from apostille.services.keeper import KEYS_UNIT, Keeper
from apostille.services.publisher import LogSigner
from apostille.services.receipts import build_pending
from apostille.services.verifier import VerifiedReceipt, examine_receipt, verify_receipt
from tests.simulators.world import World, seed
from tests.unit.core import core_kit


@dataclass(frozen=True)
class Evidence:
    """One log with three outputs in it, and the receipt of each."""

    world: World
    salted: bytes
    other: bytes
    plain: bytes
    pending: bytes
    opened: bytes
    key: bytes


@pytest.fixture(scope="module")
def evidence():
    world = World()
    keeper = world.keeper()
    run = keeper.open_run(agent="claims-agent")
    options = {"profile": "opaque", "media_type": "text/plain"}
    salted = run.output(SAID, SAID, **options).committed(5).index
    other = run.output(b"another", b"another", **options).committed(5).index
    plain = run.output(SAID, SAID, commitment="plain", **options).committed(5).index
    run.close().committed(5)
    keeper.publish()
    first = run.opened.committed(5).index
    made = [keeper.receipt_at(index, since=2)[1] for index in (salted, other, plain)]
    no_output = [keeper.receipt_at(index)[1] for index in (first, 2)]
    late = keeper.open_run(agent="late").output(SAID, SAID, **options).committed(5).index
    pending = build_pending(world.store, late)
    keeper.close()
    return Evidence(world, *made, pending, *no_output)


def judge(data: bytes, policy: Policy, artifact: bytes | None = SAID) -> tuple[int, Examination, VerifiedReceipt | None]:
    examination = Examination()
    found = examine_receipt(examination, data, policy, artifact=artifact)
    return exit_of(examination), examination, found


def changed(receipt: bytes, change: Callable[[Any], Any]) -> bytes:
    """The receipt with something changed in it, in canonical form again."""
    value = json.loads(receipt)
    result = change(value)
    return canonical_json(value if result is None else result)


def entry_of(value: Any) -> Any:
    return value["bundle"]["verificationMaterial"]["tlogEntries"][0]


def put(target: Any, name: Any, value: Any) -> None:
    target[name] = value


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def flipped(text: str) -> str:
    """Base64 of other bytes of the same length."""
    data = bytearray(base64.b64decode(text))
    data[0] ^= 1
    return b64(bytes(data))


# --- what holds


def test_a_sound_receipt(evidence):
    code, examination, found = judge(evidence.salted, evidence.world.policy())
    assert code == 0
    assert [step.number for step in examination.steps] == [1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10]
    assert {step.outcome for step in examination.steps} == {"passed", "not checked"}
    assert found.is_content_compared
    assert found.attributes == {"agent": "claims-agent", "media_type": "text/plain"}
    assert found.strength == "UNWITNESSED"
    assert found.signer.held_by == "agent"
    assert any("UNWITNESSED" in text for text in examination.notices)
    assert any("head not compared" in text for text in examination.notices)
    assert any("revocation not checked" in text for text in examination.notices)


def test_a_plain_receipt(evidence):
    code, _, found = judge(evidence.plain, evidence.world.policy())
    assert code == 0
    assert found.is_content_compared


def test_attributes_may_be_withheld(evidence):
    data = changed(evidence.salted, lambda v: put(v, "attributes", None) or {k: x for k, x in v.items() if k != "attributes"})
    code, examination, found = judge(data, evidence.world.policy())
    assert (code, found.attributes) == (0, None)
    assert any("attributes not disclosed" in text for text in examination.notices)


def test_the_log_is_no_witness_of_its_own(evidence):
    """Its second line may be demanded; whoever holds the log key has made both."""
    first, second = (note.format_vkey(key) for key in evidence.world.signer.vkeys)
    policy = parse_policy(f"log {first}\nwitness pq {second}\nquorum pq\n".encode())
    code, examination, found = judge(evidence.salted, policy)
    assert (code, found.strength) == (0, "UNWITNESSED")
    assert any("UNWITNESSED" in text for text in examination.notices)


WITNESS = keys.MlDsa44Key(seed("witness"))
WITNESS_KEY = note.VerifierKey("witness.example/w1", note.MLDSA44, WITNESS.public)


def cosigned(receipt: bytes, seconds: int = 1_795_489_300) -> bytes:
    """The receipt with a witness's line on its checkpoint."""

    def change(value: Any) -> None:
        proof = entry_of(value)["inclusionProof"]
        opened = note.parse_note(proof["checkpoint"]["envelope"].encode())
        message = subtree_message(WITNESS_KEY.name, seconds, parse_checkpoint(opened.text))
        line = note.NoteSignature(WITNESS_KEY.name, WITNESS_KEY.key_id, seconds.to_bytes(8, "big") + WITNESS.sign(message))
        proof["checkpoint"]["envelope"] = note.format_note(note.Note(opened.text, (*opened.unverified_signatures, line))).decode()

    return changed(receipt, change)


def test_a_quorum_that_is_met(evidence):
    first = note.format_vkey(evidence.world.signer.vkeys[0])
    policy = parse_policy(f"log {first}\nwitness w {note.format_vkey(WITNESS_KEY)}\nquorum w\n".encode())
    code, examination, found = judge(cosigned(evidence.salted), policy)
    assert (code, found.strength) == (0, "witnessed by w")
    assert not any("UNWITNESSED" in text for text in examination.notices)
    assert judge(cosigned(evidence.salted, 0), policy)[0] == 1, "a witness's time is never 0"
    assert judge(evidence.salted, policy)[0] == 4


# --- one thing wrong at a time: (what, change, exit code, step, words)


def break_note(value: Any) -> None:
    proof = entry_of(value)["inclusionProof"]
    text = proof["checkpoint"]["envelope"]
    body, _, lines = text.partition("\n\n")
    first, rest = lines.split("\n", 1)
    head, sig = first.rsplit(" ", 1)
    raw = bytearray(base64.b64decode(sig))
    raw[10] ^= 1
    proof["checkpoint"]["envelope"] = f"{body}\n\n{head} {b64(bytes(raw))}\n{rest}"


def double_line(value: Any) -> None:
    proof = entry_of(value)["inclusionProof"]
    body, _, lines = proof["checkpoint"]["envelope"].partition("\n\n")
    proof["checkpoint"]["envelope"] = body + "\n\n" + lines.split("\n")[0] + "\n" + lines


def another_signature(value: Any) -> None:
    """The same statement, signed again by the same key: valid, but not the signature that is in the log."""
    envelope = value["bundle"]["dsseEnvelope"]
    message = dsse.pae(base64.b64decode(envelope["payload"]))
    envelope["signatures"][0]["sig"] = b64(KEY_OF["agent"].sign(message, ec.ECDSA(hashes.SHA256())))


KEY_OF: dict[str, Any] = {}
WRONG: dict[str, tuple[Callable[[Any], Any], int, int, str]] = {
    # 1: form
    "an unknown member": (lambda v: put(v, "note", "x"), 65, 1, "unknown: ['note']"),
    "a version that is not known": (lambda v: put(v, "type", "urn:apostille:receipt:v2"), 65, 1, "not a receipt of version 1"),
    "no keys": (lambda v: put(v, "keys", []), 65, 1, "not 1 to 64 key statements"),
    "a key index below zero": (lambda v: put(v["keys"][0], "index", -1), 65, 1, "not an integer from 0"),
    "a salt that is too short": (lambda v: put(v, "salt", b64(bytes(31))), 65, 1, "31 bytes of base64 where 32 belong"),
    "two signatures": (
        lambda v: v["bundle"]["dsseEnvelope"]["signatures"].append(v["bundle"]["dsseEnvelope"]["signatures"][0]),
        65,
        1,
        "exactly one signature",
    ),
    "another payload type": (lambda v: put(v["bundle"]["dsseEnvelope"], "payloadType", "text/plain"), 65, 1, "payloadType"),
    "not an object": (lambda _: [], 65, 1, "not a receipt"),
    # 2: checkpoint
    "a broken log signature": (break_note, 1, 2, "signature of"),
    "two lines of the log": (double_line, 65, 2, "two lines of"),
    "a note that is none": (lambda v: put(entry_of(v)["inclusionProof"]["checkpoint"], "envelope", "hello"), 65, 2, ""),
    # 3: redundant members
    "hint": (
        lambda v: put(v["bundle"]["verificationMaterial"]["publicKey"], "hint", b64(bytes(32))),
        1,
        3,
        "not what the verified data says",
    ),
    "keyid": (
        lambda v: put(v["bundle"]["dsseEnvelope"]["signatures"][0], "keyid", b64(bytes(32))),
        1,
        3,
        "not what the verified data says",
    ),
    "logId": (lambda v: put(entry_of(v)["logId"], "keyId", b64(bytes(32))), 1, 3, "not what the verified data says"),
    "integratedTime": (lambda v: put(entry_of(v), "integratedTime", "1"), 1, 3, "not what the verified data says"),
    "rootHash": (lambda v: put(entry_of(v)["inclusionProof"], "rootHash", b64(bytes(32))), 1, 3, "not what the verified"),
    "treeSize": (lambda v: put(entry_of(v)["inclusionProof"], "treeSize", "5"), 1, 3, "not what the verified data says"),
    "inner logIndex": (lambda v: put(entry_of(v)["inclusionProof"], "logIndex", "1"), 1, 3, "not what the verified"),
    # 4: inclusion
    "a hash of the proof": (lambda v: put(entry_of(v)["inclusionProof"]["hashes"], 0, b64(bytes(32))), 1, 4, "not at index"),
    "a hash too few": (lambda v: entry_of(v)["inclusionProof"]["hashes"].pop() and None, 1, 4, "too short"),
    "a hash too many": (lambda v: entry_of(v)["inclusionProof"]["hashes"].append(b64(bytes(32))), 1, 4, "too long"),
    # 5: the entry is this statement's
    "another valid signature": (another_signature, 1, 5, "another signature's"),
    # 8: keys
    "no genesis": (lambda v: v["keys"].pop(0) and None, 3, 8, "does not begin with a genesis"),
    "no agent's key": (lambda v: v["keys"].pop() and None, 3, 8, "leads to another key than the one that signed"),
    "the genesis alone": (lambda v: put(v, "keys", v["keys"][:1]), 3, 8, "leads to another key than the one that signed"),
    "no keeper's key": (lambda v: v["keys"].pop(1) and None, 3, 8, "not signed by the key before it"),
    "a key twice": (lambda v: v["keys"].append(v["keys"][2]), 3, 8, "not signed by the key before it"),
    "keys out of order": (lambda v: v["keys"].reverse(), 3, 8, "does not begin with a genesis"),
    "another place for a key": (lambda v: put(v["keys"][1], "index", 2), 1, 8, "not at index 2"),
    "a hash of a key's proof": (lambda v: put(v["keys"][1]["hashes"], 0, b64(bytes(32))), 1, 8, "not at index 1"),
    "a key statement that was altered": (
        lambda v: put(
            v["keys"][1]["envelope"],
            "payload",
            b64(base64.b64decode(v["keys"][1]["envelope"]["payload"]).replace(b"keeper", b"agent")),
        ),
        1,
        8,
        "signature of the key statement at index 1 does not verify",
    ),
    "keyid of a key's envelope": (
        lambda v: put(v["keys"][1]["envelope"]["signatures"][0], "keyid", b64(bytes(32))),
        1,
        8,
        "is not its signer's",
    ),
    # 9: openings
    "another salt": (lambda v: put(v, "salt", b64(bytes(SALT_BYTES))), 1, 9, "its bytes differ"),
    "no salt": (lambda v: {k: x for k, x in v.items() if k != "salt"}, 4, 9, "does not disclose the salt"),
    "other attributes": (lambda v: put(v, "attributes", flipped(v["attributes"])), 1, 9, "the attributes are not the ones"),
    # 10: head
    "another old root": (lambda v: put(v["head"], "root", b64(bytes(32))), 1, 10, "does not begin with the tree"),
    "another old size": (lambda v: put(v["head"], "size", 1), 1, 10, ""),
    "an old size beyond the tree": (lambda v: put(v["head"], "size", 1000), 1, 10, "can't have this form"),
    "a hash of the consistency proof": (lambda v: put(v["head"]["hashes"], 0, b64(bytes(32))), 1, 10, "does not begin with"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_thing_wrong(evidence, name):
    """The failure is found by the step that is there for it, and nothing else is accused."""
    change, expected, step, words = WRONG[name]
    KEY_OF["agent"] = agent_key(evidence)
    data = changed(evidence.salted, change)
    code, examination, found = judge(data, evidence.world.policy())
    assert code == expected
    assert [f.step for f in examination.failures] == [step], examination.failures
    assert words in examination.failures[0].message
    assert found is None or expected == 4
    failed = [s.number for s in examination.steps if s.outcome == "failed" or (s.outcome == "not checked" and step == 9)]
    assert step in failed
    with pytest.raises(ApostilleError) as caught:
        verify_receipt(data, evidence.world.policy(), artifact=SAID)
    assert codes.exit_code(caught.value) == expected


def agent_key(evidence: Evidence):
    """The agent's private key: the world's randomness repeats, so it can be drawn again."""
    world = World()
    keeper = world.keeper()
    key = keeper.attester("claims-agent", held_by="agent").key
    keeper.close()
    spki = json.loads(evidence.salted)["bundle"]["verificationMaterial"]["publicKey"]["hint"]
    assert key.key_id == spki
    return key._key


MALFORMED_BYTES = [
    ("nothing", lambda r: b""),
    ("cut", lambda r: r[:-1]),
    ("half", lambda r: r[: len(r) // 2]),
    ("a line end behind it", lambda r: r + b"\n"),
    ("white space", lambda r: r.replace(b",", b", ", 1)),
    ("BOM", lambda r: b"\xef\xbb\xbf" + r),
    ("duplicate key", lambda r: b'{"type":"x",' + r[1:]),
    (
        "another order",
        lambda r: canonical_json(dict(reversed(json.loads(r).items()))).replace(b'{"attributes"', b'{"zz":1,"attributes"', 1),
    ),
    ("null", lambda r: r.replace(b'"type"', b'"a":null,"type"', 1)),
    ("float", lambda r: r.replace(b'"index":0', b'"index":0.0', 1)),
    ("NaN", lambda r: r.replace(b'"index":0', b'"index":NaN', 1)),
    ("a number of 5000 digits", lambda r: r.replace(b'"index":0', b'"index":' + b"9" * 5000, 1)),
    ("lone surrogate", lambda r: r.replace(b'"type":"urn', b'"type":"\\ud800urn', 1)),
    ("not UTF-8", lambda r: r.replace(b'"type":"urn', b'"type":"\xffurn', 1)),
    ("NUL", lambda r: r.replace(b'"type":"urn', b'"type":"\x00urn', 1)),
    ("deep", lambda r: b"[" * 100_000),
    ("deep objects", lambda r: b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    ("garbage", lambda r: bytes(range(256)) * 20),
    ("5 MiB", lambda r: b"[" + b"1," * (5 * 2**19) + b"1]"),
    ("another kind of JSON", lambda r: b'"text"'),
]


@pytest.mark.parametrize(("name", "change"), MALFORMED_BYTES, ids=[name for name, _ in MALFORMED_BYTES])
def test_bytes_that_are_no_receipt(evidence, name, change):
    data = change(evidence.salted)
    assert data != evidence.salted
    code, examination, found = judge(data, evidence.world.policy())
    assert (code, found) == (65, None)
    assert [f.step for f in examination.failures] == [1]
    with pytest.raises(MalformedError):
        verify_receipt(data, evidence.world.policy(), artifact=SAID)


def policies(world: World) -> dict[str, Policy]:
    first, second = (note.format_vkey(key) for key in world.signer.vkeys)
    thief = LogSigner(world.signer.origin, keys.Ed25519Key(seed("thief")), keys.MlDsa44Key(seed("thief")))
    other_log, other_pq = (note.format_vkey(key) for key in thief.vkeys)
    texts = {
        "nothing pinned": "quorum none\n",
        "another log": f"log {note.format_vkey(World('other-').signer.vkeys[0])}\nquorum none\n",
        "another key under its name": f"log {other_log}\nquorum none\n",
        "quorum unmet": f"log {first}\nwitness pq {other_pq}\nquorum pq\n",
        "both keys under its name": f"log {other_log}\nlog {first}\nquorum none\n",
        "sound": f"log {first}\nwitness pq {second}\nquorum none\n",
    }
    return {name: parse_policy(text.encode()) for name, text in texts.items()}


@pytest.mark.parametrize(
    ("name", "code", "step", "words"),
    [
        ("nothing pinned", 3, 2, "the trust file names no log"),
        ("another log", 3, 2, "the trust file names no log"),
        ("another key under its name", 3, 2, "no signature by the pinned key"),
        ("quorum unmet", 4, 2, "QUORUM: 'pq' is not met; signed: none"),
        ("both keys under its name", 0, None, ""),
        ("sound", 0, None, ""),
    ],
)
def test_the_trust_file_decides(evidence, name, code, step, words):
    found, examination, value = judge(evidence.salted, policies(evidence.world)[name])
    assert found == code
    assert [f.step for f in examination.failures] == ([] if step is None else [step])
    assert all(words in f.message for f in examination.failures)
    assert (value is None) == (code == 3)


def test_a_perfect_forgery_with_the_attackers_keys(evidence):
    """Threat 24: all of it made with fresh keys, under the victim's name. Nothing in it can vouch for itself."""
    thief = World("thief-")
    keeper = thief.keeper()
    index = keeper.open_run(agent="claims-agent").output(b"x", b"x", profile="opaque", media_type="text/plain").committed(5).index
    keeper.publish()
    _, receipt = keeper.receipt_at(index)
    keeper.close()
    assert judge(receipt, thief.policy(), b"x")[0] == 0
    assert judge(receipt, evidence.world.policy(), b"x")[0] == 3


def test_the_log_key_can_not_replace_the_root(evidence, monkeypatch):
    """Threat (b): the thief has the log key and founds a second genesis under the pinned name. The name holds the root's hash."""
    mine = evidence.world.signer
    thief = World("thief-")
    thief.store = type(thief.store)()
    stolen = LogSigner(mine.origin, mine.ed25519, mine.mldsa44)
    parts = replace(thief.parts, store=thief.store, signer=stolen)
    monkeypatch.setattr(keeper_module, "guard", lambda *_: None)  # a thief's keeper asks nobody
    genesis(parts, thief.root, keys.StatementKey.from_seed(seed("next")))
    keeper = Keeper(parts, publish_interval_seconds=0.01)
    index = keeper.open_run(agent="a").output(b"x", b"x", profile="opaque", media_type="text/plain").committed(5).index
    keeper.publish()
    _, receipt = keeper.receipt_at(index)
    keeper.close()
    code, examination, _ = judge(receipt, evidence.world.policy(), b"x")
    assert code == 3
    assert [(f.step, "root key of the genesis" in f.message) for f in examination.failures] == [(8, True)]


# --- the content


def test_another_output(evidence):
    code, examination, _ = judge(evidence.salted, evidence.world.policy(), SAID + b" ")
    assert (code, [f.step for f in examination.failures]) == (1, [9])


def test_swapped_receipts(evidence):
    """Threat 10: a receipt for something else that was really said."""
    assert judge(evidence.other, evidence.world.policy(), SAID)[0] == 1
    assert judge(evidence.other, evidence.world.policy(), b"another")[0] == 0


def test_content_that_is_not_given(evidence):
    code, examination, found = judge(evidence.salted, evidence.world.policy(), None)
    assert code == 4
    assert "content not compared" in examination.failures[0].message
    assert found is not None
    assert not found.is_content_compared
    with pytest.raises(IncompleteError) as caught:
        verify_receipt(evidence.salted, evidence.world.policy())
    assert caught.value.missing


def test_a_salt_beside_a_plain_commitment(evidence):
    data = changed(evidence.plain, lambda v: put(v, "salt", b64(bytes(SALT_BYTES))))
    code, examination, _ = judge(data, evidence.world.policy())
    assert (code, [f.message for f in examination.failures]) == (1, ["a plain commitment has no salt"])


def test_a_statement_without_output(evidence):
    """A receipt of a run-open or of a key says nothing about any artifact."""
    code, examination, _ = judge(evidence.opened, evidence.world.policy())
    assert code == 1
    assert [f.message for f in examination.failures] == ["this statement commits to no output"]
    code, examination, _ = judge(evidence.key, evidence.world.policy())
    assert code == 1
    assert any("not for a key statement" in f.message for f in examination.failures)


def test_a_pending_receipt(evidence):
    code, examination, found = judge(evidence.pending, evidence.world.policy())
    assert (code, found) == (4, None)
    assert "PENDING" in examination.failures[0].message


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda v: put(v["pending"]["envelope"]["signatures"][0], "keyid", b64(bytes(32))), 1),
        (lambda v: put(v["pending"]["envelope"]["signatures"][0], "sig", b64(bytes(70))), 1),
        (lambda v: put(v["pending"], "spki", b64(World("x").root.spki)), 1),
        (lambda v: put(v["pending"], "spki", b64(b"no key")), 1),
        (lambda v: put(v["pending"], "more", 1), 65),
        (lambda v: put(v, "salt", b64(bytes(32))), 65),
        (lambda v: put(v["pending"]["envelope"], "payload", b64(b"{}")), 1),
    ],
)
def test_an_altered_pending_receipt(evidence, change, code):
    """Never better than pending: altered is still altered."""
    assert judge(changed(evidence.pending, change), evidence.world.policy())[0] == code


def test_the_steps_of_a_pending_receipt(evidence):
    examination = Examination()
    altered = changed(evidence.pending, lambda v: put(v["pending"]["envelope"]["signatures"][0], "keyid", b64(bytes(32))))
    examine_receipt(examination, altered, evidence.world.policy())
    assert [(step.number, step.outcome) for step in examination.steps] == [
        (1, "passed"),
        (3, "failed"),
        (6, "passed"),
        (7, "passed"),
        (2, "failed"),
    ]


def test_a_statement_as_old_as_the_limit_is_pending_still(evidence):
    said_at = parse_statement(parse_receipt(evidence.pending).envelope.unverified_payload).predicate["captured_at"]
    for limit, word in ((said_at, "PENDING"), (said_at[:-1] + "~", "OVERDUE")):
        examination = Examination()
        examine_receipt(examination, evidence.pending, evidence.world.policy(), overdue_before=limit)
        assert examination.missing[0].message.startswith(word)


@pytest.mark.parametrize("is_bound", [True, False])
def test_a_log_whose_name_does_not_bind_its_root_key_is_said_to_be_one(monkeypatch, is_bound):
    origin = core_kit.ORIGIN if is_bound else "log.example/plain"
    log = note.VerifierKey(origin, note.ED25519, core_kit.LOG_ED.public)
    monkeypatch.setattr(core_kit, "ORIGIN", origin)
    monkeypatch.setattr(core_kit, "LOG", log)
    receipt = core_kit.example.__wrapped__().receipt()
    examination = Examination()
    assert examine_receipt(examination, receipt, Policy((log,)), artifact=core_kit.CANONICAL) is not None
    notice = "the log's name does not bind its root key: the log key alone could replace it"
    assert (notice in examination.notices) is not is_bound


def test_a_key_statement_names_the_key_that_signed_it():
    """Its signer is who may certify; the name that it gives itself is compared all the same."""
    fields = {"event": "certify", "usage": "statement", "held_by": "agent", "issuer": "0" * 64}
    for key, is_taken in ((core_kit.KEEPER, True), (core_kit.AGENT, False)):
        text = core_kit._key_statement(2, core_kit.KEEPER, core_kit.AGENT.spki, {**fields, "key_id": key.key_id})
        envelope = core_kit.sign(core_kit.KEEPER, text)
        if is_taken:
            assert verifier._read_key_statement(envelope, core_kit.KEEPER.spki, 2)[0].predicate["key_id"] == key.key_id
            continue
        with pytest.raises(PolicyError, match="names another key"):
            verifier._read_key_statement(envelope, core_kit.KEEPER.spki, 2)


def test_overdue(evidence):
    examination = Examination()
    examine_receipt(examination, evidence.pending, evidence.world.policy(), overdue_before=utc_text(2**41))
    assert exit_of(examination) == 4
    assert any("OVERDUE" in f.message for f in examination.failures)


# --- what an insider can put into the tree


def receipt_of(insider: Insider, index: int) -> bytes:
    insider.keeper.publish()
    return insider.keeper.receipt_at(index)[1]


@pytest.fixture
def insider():
    made = Insider()
    yield made
    made.keeper.close()


@pytest.mark.parametrize(
    ("act", "step", "words"),
    [
        (broken_signature, 6, "signature of the statement does not verify"),
        (names_another_key, 7, "names another key than the one that signed it"),
        (said_after_its_key_ended, 8, "outside its key's life"),
    ],
)
def test_a_wrong_entry_in_a_sound_tree(insider, act, step, words):
    """Inclusion proves that it was logged, not that it is right: the steps behind it still have to hold."""
    index = act(insider)
    code, examination, _ = judge(receipt_of(insider, index), insider.world.policy(), None if step < 8 else b"x")
    assert code == 1
    found = [f for f in examination.failures if f.code != "incomplete"]
    assert [f.step for f in found] == [step], found
    assert words in found[0].message


def test_a_certificate_that_somebody_else_signed(insider):
    """It is in the tree, and still the keeper has not signed it."""
    index = key_with_a_broken_signature(insider)
    code, examination, _ = judge(receipt_of(insider, index), insider.world.policy(), b"x")
    assert (code, [f.step for f in examination.failures]) == (1, [8])
    assert "the signature of the key statement at index 3 does not verify" in examination.failures[0].message


def test_no_receipt_for_a_stranger(insider):
    """The store can't lead from a stranger's key to genesis, so there is no receipt that could be believed."""
    with pytest.raises(MalformedError, match="does not reach genesis"):
        receipt_of(insider, unknown_signer(insider))


def test_a_key_with_a_life_that_its_issuer_could_not_give(insider):
    index = life_begins_before_the_issuer(insider)
    key = insider.new_key("x")
    assert insider.world.store.index_of_key(insider.world.store.record(index).certifies) == index
    said = insider.output(key)
    code, examination, _ = judge(receipt_of(insider, said), insider.world.policy(), b"x")
    assert (code, [f.step for f in examination.failures]) == (1, [8])
    assert "not inside its issuer's" in examination.failures[0].message


@pytest.mark.parametrize(
    ("attributes", "code"), [(b"[]", 65), (b"not JSON", 65), (b'{"a":1.5}', 65), (b'{"b":1,"a":1}', 65), (b"", 65)]
)
def test_attributes_that_are_no_object(insider, attributes, code):
    """The opening matches its digest, and still it is not what attributes are."""
    fields = {"assurance": "bound", "commitment": "plain", "profile": "opaque"}
    entry = insider.agent.attest(Draft(predicates.OUTPUT, fields, {}, [("raw", SAID), ("canonical", SAID)]), unit=KEYS_UNIT)
    old = next(o for o in entry.openings if o.name == "attributes")
    content = bytes(32) + attributes
    new = replace(old, content=content, digest=sha256(content))
    openings = tuple(new if o is old else o for o in entry.openings)
    said = entry.statement.replace(old.digest.hex().encode(), new.digest.hex().encode())
    index = insider.put(replace(resigned(entry, insider.agent, said), openings=openings))
    found, examination, _ = judge(receipt_of(insider, index), insider.world.policy())
    assert found == code
    assert [f.step for f in examination.failures] == [9]


# --- many things at once


def test_every_failure_is_reported(evidence):
    """One alteration does not hide another: each is listed, with its step."""

    def change(value: Any) -> None:
        put(value["bundle"]["verificationMaterial"]["publicKey"], "hint", b64(bytes(32)))
        put(entry_of(value)["inclusionProof"]["hashes"], 0, b64(bytes(32)))
        put(value["keys"][1], "index", 2)
        put(value, "attributes", flipped(value["attributes"]))
        put(value["head"], "root", b64(bytes(32)))

    data = changed(evidence.salted, change)
    code, examination, _ = judge(data, evidence.world.policy(), b"something else")
    assert code == 1
    assert [f.step for f in examination.failures] == [3, 4, 8, 9, 9, 10]
    with pytest.raises(VerificationError, match=r"and 5 more") as caught:
        verify_receipt(data, evidence.world.policy(), artifact=b"something else")
    assert [f.step for f in caught.value.failures] == [3, 4, 8, 9, 9, 10]
    assert len({f.code for f in caught.value.failures}) >= 4


ALTER = ("altered", lambda v: put(v, "attributes", flipped(v["attributes"])), 1)
MALFORM = ("malformed", lambda v: put(v["keys"][0], "spki", b64(b"no key")), 65)
DISTRUST = ("untrusted", lambda v: v["keys"].pop() and None, 3)
WITHHOLD = ("incomplete", lambda v: v.pop("salt") and None, 4)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([ALTER, WITHHOLD], 1),
        ([ALTER, MALFORM, WITHHOLD], 1),
        ([ALTER, DISTRUST], 1),
        ([MALFORM, WITHHOLD], 65),
        ([DISTRUST, WITHHOLD], 3),
        ([WITHHOLD], 4),
    ],
    ids=lambda value: "+".join(kind[0] for kind in value) if isinstance(value, list) else str(value),
)
def test_the_gravest_verdict_counts(evidence, kinds, expected):
    def change(value: Any) -> None:
        for _, one, _ in kinds:
            one(value)

    data = changed(evidence.salted, change)
    code, examination, _ = judge(data, evidence.world.policy())
    assert code == expected
    assert len(examination.failures) == len(kinds)


@pytest.mark.parametrize(
    ("artifact", "expected", "kind"), [(SAID, 3, UntrustedError), (b"other", 1, VerificationError), (None, 3, UntrustedError)]
)
def test_untrusted_and_more(evidence, artifact, expected, kind):
    """A log that nobody has pinned does not hide that the bytes differ; and it outweighs what is only missing."""
    policy = policies(evidence.world)["nothing pinned"]
    assert judge(evidence.salted, policy, artifact)[0] == expected
    with pytest.raises(kind) as caught:
        verify_receipt(evidence.salted, policy, artifact=artifact)
    assert len(caught.value.failures) == (1 if artifact == SAID else 2)
    assert codes.as_json(caught.value)["failures"]
