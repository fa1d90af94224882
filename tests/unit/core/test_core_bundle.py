"""The Sigstore bundle: closed members, strict values, redundant members kept for comparison (formats.md sections 2.6 and 10)."""

from __future__ import annotations

import copy
import json

import pytest

from apostille.core import bundle, evidence, strict
from apostille.core.digest import sha256
from apostille.errors import MalformedError
from tests.unit.core.core_kit import AGENT, LOG, LOG_ED, ORIGIN, example

VALUE = example().bundle_value()


def objects(value, path=()):
    """Every object inside a JSON value, with its path."""
    if isinstance(value, dict):
        yield path, value
        for name, item in value.items():
            yield from objects(item, (*path, name))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from objects(item, (*path, place))


def at(value, path):
    for step in path:
        value = value[step]
    return value


MEMBERS = [(path, name) for path, found in objects(VALUE) for name in found]


def test_round_trip():
    read = bundle.parse_bundle(VALUE)
    assert read.envelope == example().envelopes[4]
    assert (read.index, read.leaf, read.hashes, read.note) == (4, example().leaves[4], example().proof(4), example().note)
    again = evidence.format_bundle(
        read.envelope, read.leaf, read.index, read.hashes, read.note, LOG, example().checkpoint.root_hash, 6
    )
    assert again == VALUE
    data = strict.canonical_json(VALUE)
    assert strict.canonical_json_value(data, spec="x") == VALUE


def test_redundant_members():
    read = bundle.parse_bundle(VALUE)
    assert read.redundant == bundle.derive_redundant(AGENT.key_id, LOG, 4, example().checkpoint.root_hash, 6)
    log_id = sha256(ORIGIN.encode() + b"\n\x01" + LOG_ED.public)
    assert read.redundant["logId"] == strict.base64_text(log_id)
    assert log_id[:4] == LOG.key_id
    assert set(read.redundant) == {
        "hint",
        "logId",
        "logIndex",
        "inclusionProof.logIndex",
        "rootHash",
        "treeSize",
        "integratedTime",
        "keyid",
    }


@pytest.mark.parametrize(
    ("path", "member"),
    [
        (("verificationMaterial", "publicKey"), "hint"),
        (("verificationMaterial", "tlogEntries", 0, "logId"), "keyId"),
        (("verificationMaterial", "tlogEntries", 0), "integratedTime"),
        (("verificationMaterial", "tlogEntries", 0, "inclusionProof"), "logIndex"),
        (("verificationMaterial", "tlogEntries", 0, "inclusionProof"), "rootHash"),
        (("verificationMaterial", "tlogEntries", 0, "inclusionProof"), "treeSize"),
    ],
)
def test_each_redundant_member_is_seen(path, member):
    value = copy.deepcopy(VALUE)
    at(value, path)[member] = "7"
    read, good = bundle.parse_bundle(value), bundle.parse_bundle(VALUE)
    assert [name for name in good.redundant if read.redundant[name] != good.redundant[name]] != []
    assert (read.index, read.envelope, read.leaf) == (good.index, good.envelope, good.leaf), "it decides nothing"


def test_members_of_the_specification():
    assert len(MEMBERS) == 26
    assert json.dumps(VALUE).count("application/vnd.dev.sigstore.bundle.v0.3+json") == 1


@pytest.mark.parametrize(("path", "name"), MEMBERS, ids=str)
def test_members_are_a_closed_set(path, name):
    for change in (
        lambda found: found.pop(name),
        lambda found: found.update({name + "x": found[name]}),
        lambda found: found.update({"x": 1}),
    ):
        value = copy.deepcopy(VALUE)
        change(at(value, path))
        with pytest.raises(MalformedError):
            bundle.parse_bundle(value)


@pytest.mark.parametrize(("path", "name"), MEMBERS, ids=str)
def test_types(path, name):
    good = at(VALUE, path)[name]
    for wrong in (None, True, 4, "text", [], {}, [good], {"x": good}):
        if type(wrong) is type(good) and wrong != [good] and wrong != {"x": good}:
            continue
        value = copy.deepcopy(VALUE)
        at(value, path)[name] = wrong
        with pytest.raises(MalformedError):
            bundle.parse_bundle(value)


def test_a_tree_of_one_leaf_has_an_empty_proof():
    assert bundle.parse_bundle(with_proof(hashes=[])).hashes == ()


@pytest.mark.parametrize(
    "index", ["+4", "04", "4_0", "-4", " 4", "4 ", "4.0", "٤", str(2**63), "", "0x4", "4" * 65], ids=lambda text: repr(text)[:12]
)
def test_log_index(index):
    value = copy.deepcopy(VALUE)
    value["verificationMaterial"]["tlogEntries"][0]["logIndex"] = index
    with pytest.raises(MalformedError):
        bundle.parse_bundle(value)


def with_entry(**changes):
    value = copy.deepcopy(VALUE)
    value["verificationMaterial"]["tlogEntries"][0].update(changes)
    return value


def with_proof(**changes):
    value = copy.deepcopy(VALUE)
    value["verificationMaterial"]["tlogEntries"][0]["inclusionProof"].update(changes)
    return value


HASH = strict.base64_text(bytes(32))
ENTRY = VALUE["verificationMaterial"]["tlogEntries"][0]


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {**VALUE, "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.3"},
        {**VALUE, "mediaType": "application/vnd.dev.sigstore.bundle.v0.4+json"},
        {**VALUE, "messageSignature": {}},
        {**VALUE, "verificationMaterial": {**VALUE["verificationMaterial"], "tlogEntries": []}},
        {**VALUE, "verificationMaterial": {**VALUE["verificationMaterial"], "tlogEntries": [ENTRY, ENTRY]}},
        {**VALUE, "verificationMaterial": {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": [ENTRY]}},
        with_entry(kindVersion={"kind": "hashedrekord", "version": "0.0.1"}),
        with_entry(kindVersion={"kind": "dsse", "version": "0.0.2"}),
        with_entry(inclusionPromise={"signedEntryTimestamp": "AAAA"}),
        with_entry(canonicalizedBody="AAA"),
        with_proof(hashes=[HASH] * 64),
        with_proof(hashes=[HASH[:-1]]),
        with_proof(hashes=["AAAA"]),
        with_proof(hashes=[""]),
        with_proof(hashes=HASH),
        with_proof(hashes={"0": HASH}),
        with_proof(checkpoint={"envelope": "n" * (128 * 1024 + 1)}),
        with_proof(rootHash="A" * 65),
    ],
)
def test_refused(value):
    with pytest.raises(MalformedError):
        bundle.parse_bundle(value)


def test_63_hashes():
    assert len(bundle.parse_bundle(with_proof(hashes=[HASH] * 63)).hashes) == 63


def test_64_characters_of_a_redundant_member():
    """As long as may be, it is there to be compared; longer, it is no bundle."""
    value = copy.deepcopy(VALUE)
    value["verificationMaterial"]["publicKey"]["hint"] = "a" * 64
    assert bundle.parse_bundle(value).redundant["hint"] == "a" * 64
    value["verificationMaterial"]["publicKey"]["hint"] = "a" * 65
    with pytest.raises(MalformedError, match="at most 64 characters"):
        bundle.parse_bundle(value)
