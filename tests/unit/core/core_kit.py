"""The worked example of formats.md section 1, rebuilt from its labels, and the fields that every type of statement may have.

Nothing here is random but the ML-DSA signature, so the digests that the specification prints must come out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from apostille.core import checkpoint, dsse, entry, evidence, forms, keys, note, predicates, receipt, tree
from apostille.core.commitment import RecordSeed
from apostille.core.digest import ZERO_HEX, sha256
from apostille.core.merkle import leaf_hash
from apostille.core.opening import opening_digest
from tests.simulators.world import seed

RAW = "The refund is 42\u200b EUR.\n".encode()
CANONICAL = b"The refund is 42 EUR.\n"


def random_bytes(label: str) -> bytes:
    """The fixed random values of the vectors' README: SHA-256("apostille test random: " || label)."""
    return hashlib.sha256(b"apostille test random: " + label.encode()).digest()


def jcs(value: Any) -> bytes:
    """JCS inside the statement profile, written here a second time on purpose."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


ATTRIBUTES = jcs(
    {
        "agent": "claims-agent",
        "changes": {"ZWSP_DROP": 1},
        "media_type": "text/plain;charset=utf-8",
        "model": {"name": "gemma-4", "provider": "local"},
        "on_behalf_of": "claims-desk@clinic.example",
    }
)
FINDINGS = jcs([{"act": "drop", "code": "ZWSP_DROP", "len": 3, "n": 1, "now": [], "pos": 16, "sev": "w", "was": [0x200B]}])

ROOT, KEEPER, AGENT = (keys.StatementKey.from_seed(seed(label)) for label in ("root", "keeper", "agent"))
LOG_ED, LOG_PQ = keys.Ed25519Key(seed("log")), keys.MlDsa44Key(seed("log-pq"))
ORIGIN = "apostille.invalid/" + sha256(ROOT.spki)[:16].hex()
LOG = note.VerifierKey(ORIGIN, note.ED25519, LOG_ED.public)
LOG_06 = note.VerifierKey(ORIGIN, note.MLDSA44, LOG_PQ.public)

RUN = random_bytes("run")[:16].hex()
PROFILE = "apostille-safe/1 ucd=18.0.0 tables=" + random_bytes("tables").hex()
TIME = "2026-11-24T03:00:02.125Z"
NOW, LATER = "2026-11-24T03:00:00.000Z", "2027-11-24T03:00:00.000Z"
DIGEST = "ab" * 32
KEY_ID = AGENT.key_id
COMMON = {"captured_at": TIME, "key_id": KEY_ID, "nonce": random_bytes("n4")[:16].hex()}
CHAIN = {"run": RUN, "seq": 1, "previous": DIGEST}
MADE = {"assurance": "bound", "commitment": "salted", "profile": PROFILE}

# What formats.md sections 3.1, 3.2, 3.5 and 3.6 allow: type -> (required fields, optional fields, subjects, optional subjects).
REFERENCES = {"inputs": [DIGEST], "parents": [DIGEST, "cd" * 32]}
TYPES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str], list[str]]] = {
    predicates.OUTPUT: (
        {**COMMON, **MADE},
        {"delegation": DIGEST, **REFERENCES, "outcome": "upstream_error"},
        ["raw", "canonical", "attributes"],
        ["findings", "part/choice/0/text"],
    ),
    predicates.RUN_OPEN: (
        {**COMMON, **CHAIN, "isolation": "netns"},
        {"delegation": DIGEST, "head": {"root": DIGEST, "size": 7}},
        ["attributes"],
        [],
    ),
    predicates.RUN_CLOSE: ({**COMMON, **CHAIN, "count": 3, "outcome": "completed"}, {"delegation": DIGEST}, ["attributes"], []),
    predicates.TOOL_CALL: (
        {**COMMON, **CHAIN, **MADE, "status": "dispatched"},
        {"delegation": DIGEST, **REFERENCES},
        ["raw", "canonical", "attributes"],
        ["findings"],
    ),
    predicates.INPUT: (
        {**COMMON, **CHAIN, "commitment": "salted"},
        {"delegation": DIGEST, "parents": [DIGEST], "profile": PROFILE},
        ["raw", "attributes"],
        ["canonical", "findings"],
    ),
    predicates.KEY: (
        {**COMMON, "event": "certify", "issuer": DIGEST, "not_before": NOW, "not_after": LATER, "usage": "erasure"},
        {
            "certify": True,
            "compromised_since": TIME,
            "held_by": "keeper",
            "log": [DIGEST],
            "next": DIGEST,
            "origin": ORIGIN,
            "replaces": KEY_ID,
        },
        ["spki", "attributes"],
        [],
    ),
    predicates.GAP: ({**COMMON, "from": NOW, "to": TIME}, {"lost": 3, "run": RUN}, ["attributes"], []),
    predicates.ERASURE: (
        {**COMMON, "effective_at": TIME, "erases": [{"index": 4, "openings": ["canonical", "raw"]}], "method": "key"},
        {},
        ["attributes", "leaf/4"],
        [],
    ),
}
# Optional fields of key statements that can't stand alone (section 3.5): field -> what comes with it.
BY_GENESIS = {"event": "genesis", "usage": "root", "log": [DIGEST], "next": DIGEST, "origin": ORIGIN}
COMPANIONS: dict[str, dict[str, Any]] = {
    "certify": {"usage": "statement", "held_by": "keeper"},
    "compromised_since": {"event": "revoke"},
    "held_by": {"usage": "statement"},
    "log": BY_GENESIS,
    "origin": BY_GENESIS,
}


def with_optional(kind: str, name: str) -> dict[str, Any]:
    """The required fields of a type and one optional field, with what has to come with it."""
    required, optional, *_ = TYPES[kind]
    more = COMPANIONS.get(name, {}) if kind == predicates.KEY else {}
    return {**required, **more, name: optional[name]}


def fullest(kind: str) -> list[dict[str, Any]]:
    """Well-formed predicates of a type with all optional fields, each in one of them at least."""
    required, optional, *_ = TYPES[kind]
    if kind != predicates.KEY:
        return [{**required, **optional}]
    anywhere = {name: optional[name] for name in ("next", "replaces")}
    keeper = {"usage": "statement", "held_by": "keeper", "certify": True}
    ended = {"event": "revoke", "compromised_since": TIME}
    return [{**required, **anywhere, **more} for more in (BY_GENESIS, keeper, {**keeper, **ended})]


def said(kind: str, changes: Mapping[str, Any] | None = None, *, names: list[str] | None = None) -> bytes:
    """A well-formed statement of a type, with some fields changed; ``None`` takes a field away."""
    fields = {name: value for name, value in {**TYPES[kind][0], **(changes or {})}.items() if value is not None}
    named = TYPES[kind][2] if names is None else names
    return forms.format_statement(kind, fields, [(name, sha256(name.encode())) for name in named])


def commit(number: int, contents: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    """Salted commitments of the record with this number."""
    salts = RecordSeed(random_bytes(f"seed{number}"))
    return [(name, opening_digest(salts.salt(name), content)) for name, content in contents.items()]


def pae_digest(text: bytes) -> bytes:
    return sha256(dsse.pae(text))


def sign(key: keys.StatementKey, text: bytes) -> dsse.Envelope:
    return dsse.Envelope(text, key.key_id, key.sign(dsse.pae(text)))


def leaf_of(key: keys.StatementKey, envelope: dsse.Envelope) -> bytes:
    return entry.format_entry(entry.Entry(pae_digest(envelope.unverified_payload), envelope.signature, key.spki))


def _key_statement(number: int, signer: keys.StatementKey, subject: bytes, fields: dict[str, Any]) -> bytes:
    nonce = random_bytes(f"n{number}")[:16].hex()
    life = {"not_before": NOW, "not_after": LATER, "captured_at": NOW, "key_id": signer.key_id, "nonce": nonce}
    subjects = [("spki", sha256(subject)), *commit(number, {"attributes": jcs({"holder": f"holder {number}"})})]
    return forms.format_statement(predicates.KEY, {**life, **fields}, subjects)


def _in_run(number: int, kind: str, when: str, fields: dict[str, Any], contents: Mapping[str, bytes]) -> bytes:
    fixed = {"captured_at": when, "key_id": AGENT.key_id, "nonce": random_bytes(f"n{number}")[:16].hex(), "run": RUN}
    return forms.format_statement(kind, {**fixed, **fields}, commit(number, contents))


@dataclass(frozen=True, slots=True)
class Example:
    """Six leaves: genesis, keeper key, agent key, run-open, output, run-close; published."""

    statements: tuple[bytes, ...]
    envelopes: tuple[dsse.Envelope, ...]
    signers: tuple[keys.StatementKey, ...]
    leaves: tuple[bytes, ...]
    head: tree.Head
    checkpoint: checkpoint.Checkpoint
    note: bytes

    def read(self, level: int, start: int, count: int) -> list[bytes]:
        assert level == 0, "six leaves fill no tile"
        return [leaf_hash(leaf) for leaf in self.leaves[start : start + count]]

    def proof(self, index: int) -> tuple[bytes, ...]:
        return tree.prove_inclusion(index, len(self.leaves), self.read)

    def bundle_value(self, index: int = 4) -> dict[str, Any]:
        size, root = self.checkpoint.size, self.checkpoint.root_hash
        return evidence.format_bundle(
            self.envelopes[index], self.leaves[index], index, self.proof(index), self.note, LOG, root, size
        )

    def key_proofs(self) -> list[receipt.KeyProof]:
        return [receipt.KeyProof(i, self.envelopes[i], self.signers[i].spki, self.proof(i)) for i in range(3)]

    def receipt(self) -> bytes:
        older = tree.head_at(3, self.read)
        return evidence.format_receipt(
            self.bundle_value(),
            self.key_proofs(),
            salt=RecordSeed(random_bytes("seed4")).salt("canonical"),
            attributes=RecordSeed(random_bytes("seed4")).salt("attributes") + ATTRIBUTES,
            head=receipt.OldHead(3, older.root_hash, tree.prove_consistency(3, 6, self.read)),
        )


@lru_cache(maxsize=1)
def example() -> Example:
    genesis = _key_statement(
        0,
        ROOT,
        ROOT.spki,
        {
            "event": "genesis",
            "usage": "root",
            "issuer": ZERO_HEX,
            "origin": ORIGIN,
            "log": [LOG.hash.hex(), LOG_06.hash.hex()],
            "next": DIGEST,
        },
    )
    by_root = {"event": "certify", "usage": "statement", "issuer": pae_digest(genesis).hex()}
    keeper = _key_statement(1, ROOT, KEEPER.spki, {**by_root, "held_by": "keeper", "certify": True})
    by_keeper = {"event": "certify", "usage": "statement", "issuer": pae_digest(keeper).hex()}
    agent = _key_statement(2, KEEPER, AGENT.spki, {**by_keeper, "held_by": "agent"})
    who = jcs({"agent": "claims-agent", "on_behalf_of": "claims-desk@clinic.example"})
    opened = _in_run(
        3,
        predicates.RUN_OPEN,
        "2026-11-24T03:00:01.000Z",
        {"isolation": "netns", "previous": ZERO_HEX, "seq": 0},
        {"attributes": who},
    )
    output = _in_run(
        4,
        predicates.OUTPUT,
        TIME,
        {**MADE, "previous": pae_digest(opened).hex(), "seq": 1},
        {"raw": RAW, "canonical": CANONICAL, "attributes": ATTRIBUTES, "findings": FINDINGS},
    )
    closed = _in_run(
        5,
        predicates.RUN_CLOSE,
        "2026-11-24T03:00:03.000Z",
        {"count": 3, "outcome": "completed", "previous": pae_digest(output).hex(), "seq": 2},
        {"attributes": who},
    )
    statements = (genesis, keeper, agent, opened, output, closed)
    signers = (ROOT, ROOT, KEEPER, AGENT, AGENT, AGENT)
    envelopes = tuple(sign(key, text) for key, text in zip(signers, statements, strict=True))
    leaves = tuple(leaf_of(key, envelope) for key, envelope in zip(signers, envelopes, strict=True))
    head = tree.append_leaves(tree.EMPTY, [leaf_hash(leaf) for leaf in leaves]).head
    point = checkpoint.Checkpoint(ORIGIN, head.size, head.root_hash)
    signed = note.Note(checkpoint.format_checkpoint(point), evidence.log_lines(point, LOG_ED, LOG_PQ))
    return Example(statements, envelopes, signers, leaves, head, point, note.format_note(signed))


def flips(data: bytes, step: int = 1):
    """Every ``step``-th single-bit change of ``data``."""
    for bit in range(0, len(data) * 8, step):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bit, bytes(changed)
