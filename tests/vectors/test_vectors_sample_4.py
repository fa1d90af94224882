"""sample-4, made by an independent implementation: envelope, leaves, note, lines, proofs, openings (formats.md sections 3 to 8, 10).

Its statements and profile ids are of an older form, so the statement reader must refuse them; all around them is of today's form.
"""

from __future__ import annotations

import json

import pytest

from apostille.core import (
    bundle,
    checkpoint,
    dsse,
    entry,
    evidence,
    keys,
    merkle,
    note,
    opening,
    proof,
    signatures,
    statement,
    strict,
    tiles,
    tree,
)
from apostille.core.digest import sha256
from apostille.core.policy import open_checkpoint, parse_policy
from apostille.errors import InvalidSignatureError, MalformedError, UntrustedError
from tests.simulators.world import seed
from tests.vectors.vectors_kit import folder, load, unb64

SAMPLE = folder("sample-4")
ORIGIN = "log.example.com/agents"
VKEYS = load(SAMPLE / "vkeys.json")
POLICY = parse_policy((SAMPLE / "policy.txt").read_bytes())


def data(name: str) -> bytes:
    return (SAMPLE / name).read_bytes()


BUNDLE_VALUE = json.loads(data("output.sigstore.json"))
BUNDLE = bundle.parse_bundle(BUNDLE_VALUE)
ENTRIES = [data(f"entry.{i}.json") for i in range(4)]
LEAVES = [merkle.leaf_hash(text) for text in ENTRIES]
AGENT = keys.StatementKey.from_seed(seed("agent"))


def read(level, start, count):
    assert level == 0
    return LEAVES[start : start + count]


# Keys ----------------------------------------------------------------------------------------------------------------


def test_keys_are_the_ones_of_the_readme():
    assert AGENT.key_id == "NzX2w8ab7QULwGz3ErPjWJP/e300MomimW+ofX1Cga8="
    assert keys.public_pem(AGENT.spki) == data("agent.pem")
    assert keys.public_pem(keys.spki_ed25519(keys.Ed25519Key(seed("log")).public)) == data("log.pem")


@pytest.mark.parametrize(
    ("label", "vkey", "name", "kind"),
    [
        ("log", "log-ed", ORIGIN, note.ED25519),
        ("log-pq", "log-pq", ORIGIN, note.MLDSA44),
        ("w1", "w1-ed", "witness.example/w1", note.COSIGNATURE),
        ("w1-pq", "w1-pq", "witness.example/w1", note.MLDSA44),
        ("w2", "w2-ed", "witness.example/w2", note.COSIGNATURE),
    ],
)
def test_vkeys(label, vkey, name, kind):
    made = keys.MlDsa44Key(seed(label)) if kind == note.MLDSA44 else keys.Ed25519Key(seed(label))
    assert note.parse_vkey(VKEYS[vkey]) == note.VerifierKey(name, kind, made.public)
    assert note.format_vkey(note.parse_vkey(VKEYS[vkey])) == VKEYS[vkey]


# Envelope and leaf ---------------------------------------------------------------------------------------------------


def test_pae_and_signature():
    message = dsse.pae(data("statement.2.json"))
    assert message == data("output.pae")
    signatures.verify_statement_signature(AGENT.spki, data("output.sig"), message)
    assert AGENT.sign(message) == data("output.sig"), "RFC 6979: reproduced byte for byte"


def test_envelope():
    made = dsse.Envelope(data("statement.2.json"), AGENT.key_id, data("output.sig"))
    assert BUNDLE.envelope == made
    assert evidence.envelope_json(made) == BUNDLE_VALUE["dsseEnvelope"]


def test_the_archive_envelope_has_two_signatures():
    value = json.loads(data("output.archive.dsse.json"))
    with pytest.raises(MalformedError, match="exactly one signature"):
        dsse.parse_envelope(value)


@pytest.mark.parametrize("index", range(4))
def test_leaves(index):
    read_entry = entry.parse_entry(ENTRIES[index])
    assert entry.format_entry(read_entry) == ENTRIES[index]
    message = dsse.pae(data(f"statement.{index}.json"))
    assert read_entry.pae_digest == sha256(message)
    assert read_entry.spki == AGENT.spki
    assert read_entry.signature == AGENT.sign(message)
    signatures.verify_statement_signature(read_entry.spki, read_entry.signature, message)
    assert len(ENTRIES[index]) in {485, 489}


@pytest.mark.parametrize("index", range(4))
def test_older_statements_are_refused(index):
    text = data(f"statement.{index}.json")
    assert strict.canonical_json(strict.canonical_json_value(text, spec="x")) == text
    with pytest.raises(MalformedError):
        statement.parse_statement(text)


# Commitments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "subject"), [("raw", 0), ("canonical", 1)])
def test_openings(name, subject):
    salt, content = opening.split_opening(data(f"{name}.opening.bin"))
    assert content == data(f"{name}.bin")
    assert salt == sha256(b"apostille test random: salt " + name.encode())
    said = json.loads(data("statement.2.json"))["subject"][subject]
    assert said["name"] == name
    assert opening.opening_digest(salt, content).hex() == said["digest"]["sha256"]


# Tree, tiles, proofs -------------------------------------------------------------------------------------------------


def test_tree():
    head = tree.append_leaves(tree.EMPTY, LEAVES).head
    opened = open_checkpoint(data("log/checkpoint"), POLICY).checkpoint
    assert opened == checkpoint.Checkpoint(ORIGIN, 4, head.root_hash)
    assert checkpoint.format_checkpoint(opened) == data("checkpoint.4.body")
    older = open_checkpoint(data("checkpoint.2"), POLICY).checkpoint
    assert older == checkpoint.Checkpoint(ORIGIN, 2, tree.root_at(2, read))


def test_tiles():
    assert tiles.parse_hash_tile(data("log/tile/0/000.p/4"), 4) == LEAVES
    assert tiles.parse_entry_bundle(data("log/tile/entries/000.p/4"), 4) == ENTRIES
    assert tiles.format_entry_bundle(ENTRIES) == data("log/tile/entries/000.p/4")
    stored = {str(path.relative_to(SAMPLE / "log")) for path in (SAMPLE / "log").rglob("*") if path.is_file()}
    assert stored == {"checkpoint", *(tiles.format_tile_path(tile) for tile in tiles.tiles_of(0, 4))}


def test_tlog_proof():
    read_proof = proof.parse_proof(data("output.tlog-proof"))
    assert proof.format_proof(read_proof) == data("output.tlog-proof")
    assert read_proof.note == data("log/checkpoint")
    assert read_proof.hashes == tree.prove_inclusion(2, 4, read) == BUNDLE.hashes
    root = open_checkpoint(read_proof.note, POLICY).checkpoint.root_hash
    merkle.check_inclusion(read_proof.index, 4, LEAVES[2], read_proof.hashes, root)


def test_bundle():
    root = tree.append_leaves(tree.EMPTY, LEAVES).head.root_hash
    log = note.parse_vkey(VKEYS["log-ed"])
    assert BUNDLE.redundant == bundle.derive_redundant(AGENT.key_id, log, 2, root, 4)
    assert (BUNDLE.index, BUNDLE.leaf, BUNDLE.note) == (2, ENTRIES[2], data("log/checkpoint"))
    again = evidence.format_bundle(BUNDLE.envelope, BUNDLE.leaf, 2, BUNDLE.hashes, BUNDLE.note, log, root, 4)
    assert again == BUNDLE_VALUE


def test_witness_request():
    """The proof in it leads from 2 to 4, and its note is the checkpoint with the log's lines."""
    head, _, rest = data("add-checkpoint.request").partition(b"\n\n")
    first, *rows = head.decode().split("\n")
    assert first == "old 2"
    hashes = [strict.base64_bytes(row, size=32) for row in rows]
    assert tuple(hashes) == tree.prove_consistency(2, 4, read)
    root = open_checkpoint(rest, POLICY).checkpoint.root_hash
    merkle.check_consistency(2, tree.root_at(2, read), 4, root, hashes)


# Notes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["log/checkpoint", "checkpoint.2"])
def test_note_is_witnessed(name):
    signed = note.parse_note(data(name))
    assert note.format_note(signed) == data(name)
    opened = open_checkpoint(data(name), POLICY)
    assert opened.is_quorum_met
    assert [witness for witness, _ in opened.witnesses] == ["w1-ed", "w1-pq", "w2"]
    assert opened.log == note.parse_vkey(VKEYS["log-ed"])
    times = {seconds for _, seconds in opened.witnesses}
    assert all(1_795_000_000 < seconds < 1_796_000_000 for seconds in times)


def test_every_line_by_itself():
    signed = note.parse_note(data("log/checkpoint"))
    point = checkpoint.parse_checkpoint(signed.text)
    known = {(key.name, key.key_id): key for key in map(note.parse_vkey, VKEYS.values())}
    kinds = []
    for line in signed.unverified_signatures:
        key = known[line.name, line.key_id]
        seconds = checkpoint.verify_line(key, line.field, signed.text, point)
        assert (seconds == 0) == (key.name == ORIGIN)
        kinds.append((key.name == ORIGIN, key.kind))
        for wrong in (line.field[:-1], line.field[:-1] + bytes((line.field[-1] ^ 1,)), line.field + b"\0"):
            with pytest.raises(InvalidSignatureError):
                checkpoint.verify_line(key, wrong, signed.text, point)
    assert kinds == [(True, 1), (True, 6), (False, 4), (False, 6), (False, 4)]


def test_subtree_message():
    signed = note.parse_note(data("log/checkpoint"))
    w1 = note.parse_vkey(VKEYS["w1-pq"])
    line = next(line for line in signed.unverified_signatures if line.key_id == w1.key_id)
    seconds = int.from_bytes(line.field[:8], "big")
    message = checkpoint.subtree_message(w1.name, seconds, checkpoint.parse_checkpoint(signed.text))
    assert message == data("w1.subtree-message.bin")


def test_witness_response():
    """Its lines, put on the note that was asked about, verify."""
    request_note = data("add-checkpoint.request").partition(b"\n\n")[2]
    opened = open_checkpoint(request_note + data("add-checkpoint.w1.response"), POLICY)
    assert {name for name, _ in opened.witnesses} >= {"w1-ed"}
    assert not opened.is_quorum_met, "w2 has not signed"


def test_another_log_key_does_not_open_it():
    other = note.VerifierKey(ORIGIN, note.ED25519, keys.Ed25519Key(bytes(32)).public)
    with pytest.raises(UntrustedError):
        open_checkpoint(data("log/checkpoint"), parse_policy(f"log {note.format_vkey(other)}\nquorum none\n".encode()))


def test_proofs_decode():
    assert unb64(BUNDLE_VALUE["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"]) == ENTRIES[2]
