"""Every parser is total, every byte-exact format is written back to the same bytes (formats.md section 2, rules 1, 5 and 7).

- total: any bytes, any text, any JSON value give a value or an ``ApostilleError``, nothing else;
- byte-exact: what parses is written back to the bytes that were read, also after mutation, so no two spellings mean the same;
- checked: a single mutation of signed or keyed evidence is refused or opens to the same value.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
import rfc8785
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apostille.core import (
    bundle,
    checkpoint,
    dsse,
    entry,
    evidence,
    forms,
    note,
    policy,
    predicates,
    proof,
    receipt,
    sealing,
    statement,
    strict,
    tiles,
    tree,
)
from apostille.core.digest import sha256
from apostille.errors import ApostilleError, MalformedError
from tests.fuzz.targets import CORE, EXAMPLE, POLICY, POLICY_06
from tests.unit.core import core_kit as kit

settings.register_profile(
    "parsers", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
PROFILE = settings.get_profile("parsers")

PARSERS: dict[str, tuple[Callable[[bytes], Any], bytes, Callable[[Any], bytes] | None]] = {
    target.name: (target.parse, target.seeds[0], target.write if target.is_exact else None) for target in CORE
}
# A PEM file may have other line lengths and text around it, so it is not byte-exact.
BYTE_EXACT = {name: row for name, row in PARSERS.items() if row[2] is not None and name != "private key"}
# Decided by a signature, a key id or an authentication tag: no mutation may change what comes out.
CHECKED = ("vkey", "signature", "signer", "sealed", "wrapped")


def attempt(parse: Callable[[bytes], Any], data: bytes) -> tuple[bool, Any]:
    """Return whether it parsed, and the value; anything but an ``ApostilleError`` goes through and fails the test."""
    try:
        return True, parse(data)
    except ApostilleError as error:
        assert str(error).isprintable() or "\n" not in str(error)
        return False, None


def test_the_valid_inputs_are_valid():
    for name, (parse, valid, write) in PARSERS.items():
        parsed, value = attempt(parse, valid)
        assert parsed, name
        if write is not None:
            assert write(value) == valid, name


# Mutations ------------------------------------------------------------------------------------------------------------

INTERESTING = [
    *(
        b"",
        b"\0",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"\x7f",
        b"\x85",
        b"\xc2\x85",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\xd9\xa3",
    ),
    *(
        b"+",
        b"-",
        b"_",
        b"=",
        b"==",
        b"/",
        b'"',
        b"\\",
        b"\\u0061",
        b"\\ud800",
        b",",
        b":",
        b"{",
        b"}",
        b"[",
        b"]",
        b"null",
        b"1e400",
    ),
    *(b"00", b"0", b"9" * 20, b"NaN", b"\n\n", "— ".encode(), b"A" * 70, b"x999/"),
]


def mutate(data: bytes, dice: random.Random) -> bytes:
    """Change one place of ``data``."""
    if not data:
        return dice.choice(INTERESTING)
    at, end = sorted((dice.randrange(len(data) + 1), dice.randrange(len(data) + 1)))
    place = dice.randrange(len(data))
    kind = dice.randrange(7)
    if kind == 0:
        return data[:place] + bytes((data[place] ^ 1 << dice.randrange(8),)) + data[place + 1 :]
    if kind == 1:
        return data[:place] + bytes((dice.randrange(256),)) + data[place + 1 :]
    if kind == 2:
        return data[:place] + dice.choice(INTERESTING) + data[place:]
    if kind == 3:
        return data[:place] + dice.choice(INTERESTING) + data[place + 1 :]
    if kind == 4:
        return data[:at] + data[min(end, at + 40) :]
    if kind == 5:
        return data[:at]
    return data[:end] + data[at : min(end, at + 200)] + data[end:]


@pytest.mark.parametrize("name", PARSERS)
def test_mutations(name):
    """Total, and byte-exact where the format is: an accepted mutant is written back as it was read."""
    parse, valid, write = PARSERS[name]
    _, good = attempt(parse, valid)
    dice = random.Random(f"mutations of {name}")
    rounds = 250 if len(valid) > 4_000 or name in CHECKED else 1_200
    for _ in range(rounds):
        mutant = mutate(valid, dice)
        while mutant == valid:
            mutant = mutate(valid, dice)
        if dice.random() < 0.2:
            mutant = mutate(mutant, dice)
        parsed, value = attempt(parse, mutant)
        if parsed and name in BYTE_EXACT:
            assert write is not None
            assert write(value) == mutant
            if mutant != valid:
                assert value != good, "two spellings of one value"


@pytest.mark.parametrize("name", CHECKED)
def test_single_flips_are_refused(name):
    parse, valid, _ = PARSERS[name]
    for bit, flipped in kit.flips(valid):
        parsed, _ = attempt(parse, flipped)
        assert not parsed, f"bit {bit}"


def test_single_flips_of_an_opened_note():
    """Refused, or the same checkpoint with no stronger verdict: a flip may only turn a witness's line into a stranger's."""
    good = policy.open_checkpoint(EXAMPLE.note, POLICY_06)
    assert good.is_quorum_met
    weaker = 0
    for bit, flipped in kit.flips(EXAMPLE.note, 7):
        parsed, value = attempt(lambda data: policy.open_checkpoint(data, POLICY_06), flipped)
        if parsed:
            weaker += 1
            assert (value.checkpoint, value.log) == (good.checkpoint, good.log), f"bit {bit}"
            assert (value.witnesses, value.is_quorum_met) == ((), False), f"bit {bit}"
    assert 0 < weaker < 100


def test_flips_of_a_note_that_names_one_key_only():
    """Flips inside the line of a key that the trust file does not name are ignored with it; all others are refused."""
    good = policy.open_checkpoint(EXAMPLE.note, POLICY)
    foreign = EXAMPLE.note.rindex("— ".encode())
    accepted = 0
    for bit, flipped in kit.flips(EXAMPLE.note, 11):
        parsed, value = attempt(lambda data: policy.open_checkpoint(data, POLICY), flipped)
        if parsed:
            accepted += 1
            assert value == good
            assert bit // 8 > foreign, f"bit {bit}"
    assert accepted > 100


# Any bytes, any text, any value -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PARSERS)
@settings(PROFILE)
@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass"))))
@example(data=b"")
@example(data=b"\n\n")
@example(data=b"[" * 2_000)
def test_any_bytes(name, data):
    parse, _, write = PARSERS[name]
    parsed, value = attempt(parse, data)
    if parsed and name in BYTE_EXACT:
        assert write is not None
        assert write(value) == data


SAFE_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LEAF_VALUES = st.one_of(
    st.booleans(), st.integers(-(2**53), 2**53), SAFE_TEXT, st.just(kit.DIGEST), st.just(kit.TIME), st.just("AAAA"), st.none()
)
MEMBER_NAMES = [
    "payload",
    "payloadType",
    "signatures",
    "keyid",
    "sig",
    "mediaType",
    "index",
    "root",
    "size",
    "openings",
    "sha256",
    "name",
]
VALUES = st.recursive(
    LEAF_VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(MEMBER_NAMES) | SAFE_TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(PROFILE, max_examples=150)
@given(value=VALUES)
def test_any_value(value):
    """What the strict reader may hand to the readers of objects."""
    for parse in (dsse.parse_envelope, bundle.parse_bundle, lambda found: bundle.read_hashes(found, spec="x")):
        attempt(parse, value)
    for kind in predicates.SHAPES:
        attempt(lambda found, kind=kind: predicates.check_fields(kind, found), value)
    for check in predicates.FIELDS.values():
        attempt(check, value)


@settings(PROFILE, max_examples=150)
@given(name=st.sampled_from(sorted(predicates.FIELDS)), kind=st.sampled_from(sorted(predicates.SHAPES)), value=VALUES)
def test_any_field_of_a_statement(name, kind, value):
    """A statement with one field replaced parses to exactly that, or is malformed."""
    fields = {**kit.TYPES[kind][0], name: value}
    data = json.dumps(
        {
            "_type": statement.STATEMENT_TYPE,
            "predicate": fields,
            "predicateType": kind,
            "subject": [{"digest": {"sha256": kit.DIGEST}, "name": subject} for subject in kit.TYPES[kind][2]],
        },
        sort_keys=True,
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
    parsed, said = attempt(statement.parse_statement, data)
    if parsed:
        assert said.predicate == fields
        assert forms.format_statement(said.type, said.predicate, said.subjects.items()) == data


@settings(PROFILE, max_examples=100)
@given(
    names=st.lists(
        st.sampled_from(["raw", "canonical", "attributes", "findings", "spki", "part/choice/0/text", "leaf/4", "part/", ""])
        | SAFE_TEXT,
        max_size=6,
    )
)
def test_any_subjects(names):
    for kind, (_, _, required, optional) in kit.TYPES.items():
        parsed, _ = attempt(lambda found, kind=kind: predicates.check_subjects(kind, found), names)
        assert not parsed or (set(required) <= set(names) and len(names) == len(set(names)))
        assert not parsed or {name.partition("/")[0] for name in names} <= {n.partition("/")[0] for n in (*required, *optional)}


# Round trips from values --------------------------------------------------------------------------------------------

NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters="+"), min_size=1, max_size=20
).filter(note.is_name)
HASHES = st.binary(min_size=32, max_size=32)
INDEXES = st.integers(0, 2**63 - 1)
KINDS = st.sampled_from(sorted(note.PUBLIC_KEY_BYTES))
SIGNATURES = st.builds(note.NoteSignature, NAMES, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=80))
PROFILE_VALUES = st.recursive(
    st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(max_codepoint=0x7F), max_size=6), inner, max_size=4)
    ),
    max_leaves=15,
)


@settings(PROFILE)
@given(value=PROFILE_VALUES)
def test_json_round_trip(value):
    """Inside the profile our writer is RFC 8785, with another implementation as oracle."""
    data = strict.canonical_json(value)
    assert data == rfc8785.dumps(value)
    assert strict.canonical_json_value(data, spec="x", max_depth=64) == value


@settings(PROFILE)
@given(name=NAMES, kind=KINDS, filler=st.binary(min_size=1, max_size=8))
def test_vkey_round_trip(name, kind, filler):
    size = note.PUBLIC_KEY_BYTES[kind]
    key = note.VerifierKey(name, kind, (filler * size)[:size])
    assert note.parse_vkey(note.format_vkey(key)) == key


@settings(PROFILE)
@given(
    text=st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="".join(map(chr, range(32)))) | st.just("\n"), max_size=60
    ),
    lines=st.lists(SIGNATURES, min_size=1, max_size=4),
)
def test_note_round_trip(text, lines):
    made = note.Note((text + "\n").encode(), tuple(lines))
    assert note.parse_note(note.format_note(made)) == made


@settings(PROFILE)
@given(origin=NAMES.filter(lambda name: not any(0x7F <= ord(c) <= 0x9F for c in name)), size=INDEXES, root=HASHES)
def test_checkpoint_round_trip(origin, size, root):
    made = checkpoint.Checkpoint(origin, size, root)
    if origin != "cosignature/v1":
        assert checkpoint.parse_checkpoint(checkpoint.format_checkpoint(made)) == made


@settings(PROFILE)
@given(index=INDEXES, hashes=st.lists(HASHES, max_size=63), rest=st.binary(max_size=40))
def test_proof_round_trip(index, hashes, rest):
    made = proof.LogProof(index, tuple(hashes), rest)
    assert proof.parse_proof(proof.format_proof(made)) == made


@settings(PROFILE)
@given(
    digest=HASHES,
    signature=st.binary(max_size=80),
    spki=st.binary(max_size=100),
    details=st.sampled_from([entry.P256, entry.ED25519]),
)
def test_entry_round_trip(digest, signature, spki, details):
    made = entry.Entry(digest, signature, spki, details)
    assert entry.parse_entry(entry.format_entry(made)) == made


@settings(PROFILE)
@given(payload=st.binary(max_size=100), keyid=HASHES, signature=st.binary(max_size=80), index=st.integers(0, 2**53 - 1))
def test_envelope_and_pending_round_trip(payload, keyid, signature, index):
    envelope = dsse.Envelope(payload, strict.base64_text(keyid), signature)
    assert dsse.parse_envelope(evidence.envelope_json(envelope)) == envelope
    pending = receipt.PendingReceipt(envelope, index, payload)
    assert receipt.parse_receipt(evidence.format_pending(pending)) == pending


@settings(PROFILE)
@given(one=st.binary(max_size=30), two=st.binary(max_size=30), kind=SAFE_TEXT, other=SAFE_TEXT)
def test_pae_is_injective(one, two, kind, other):
    assert (dsse.pae(one, kind) == dsse.pae(two, other)) == ((one, kind) == (two, other))


@settings(PROFILE)
@given(
    index=st.integers(0, 2**53 - 1),
    hashes=st.lists(HASHES, max_size=4),
    salt=st.none() | HASHES,
    attributes=st.none() | st.binary(max_size=40),
    head=st.none() | st.builds(receipt.OldHead, st.integers(1, 2**53 - 1), HASHES, st.lists(HASHES, max_size=3).map(tuple)),
)
def test_receipt_round_trip(index, hashes, salt, attributes, head):
    made = [receipt.KeyProof(index, EXAMPLE.envelopes[0], kit.ROOT.spki, tuple(hashes))]
    data = evidence.format_receipt(EXAMPLE.bundle_value(), made, salt=salt, attributes=attributes, head=head)
    read = receipt.parse_receipt(data)
    assert isinstance(read, receipt.Receipt)
    assert (list(read.keys), read.salt, read.attributes, read.head) == (made, salt, attributes, head)


@settings(PROFILE)
@given(level=st.none() | st.integers(0, 63), number=st.integers(0, 10**18), width=st.integers(1, 256))
def test_tile_path_round_trip(level, number, width):
    tile = tiles.Tile(level, number, width)
    path = tiles.format_tile_path(tile)
    assert tiles.parse_tile_path(path) == tile
    *_, last = path.partition(".p/")[0].split("/")
    assert len(last) == 3


@settings(PROFILE)
@given(entries=st.lists(st.binary(max_size=50), max_size=6))
def test_entry_bundle_round_trip(entries):
    data = tiles.format_entry_bundle(entries)
    assert tiles.parse_entry_bundle(data, len(entries)) == entries
    for width in (len(entries) + 1, len(entries) - 1):
        with pytest.raises(MalformedError):
            tiles.parse_entry_bundle(data, width)


@settings(PROFILE)
@given(edge=st.lists(HASHES, max_size=10))
def test_edge_round_trip(edge):
    assert tree.unpack_edge(tree.pack_edge(edge)) == tuple(edge)


@settings(PROFILE)
@given(dek=HASHES, kek=HASHES, openings=st.lists(st.binary(max_size=40), max_size=4))
def test_sealing_round_trip(dek, kek, openings):
    pairs = [(sha256(content), content) for content in openings]
    for place, (sealed, (digest, content)) in enumerate(zip(sealing.seal(dek, pairs), pairs, strict=True)):
        assert sealing.unseal(dek, place, digest, sealed) == content
    assert sealing.unwrap(kek, sealing.wrap(kek, dek)) == dek
