"""Receipts are made from the store: bundle, key chain from genesis, the canonical salt and no other.

Spec: formats.md section 10; trust.md section 4 (openings that were erased).
"""

from __future__ import annotations

import base64
import json

import pytest
from service_kit import SAID, alter, leaf, quiet_keeper

from apostille.core.digest import sha256
from apostille.core.keys import spki_ed25519
from apostille.core.receipt import PendingReceipt, parse_receipt
from apostille.core.strict import canonical_json
from apostille.errors import IncompleteError, MalformedError
from apostille.services import receipts
from apostille.services.verifier import verify_receipt
from tests.simulators.world import World


@pytest.fixture
def world():
    return World()


@pytest.fixture
def keeper(world):
    made = quiet_keeper(world)
    yield made
    made.close()


def say(keeper, **options) -> int:
    run = keeper.open_run(agent="claims-agent", on_behalf_of="desk")
    index = run.output(b"raw", SAID, profile="opaque", media_type="text/plain", **options).committed(5).index
    keeper.publish()
    return index


def build(world, index, **options) -> bytes:
    return receipts.build_receipt(world.store, world.vault, world.store.checkpoint(), world.signer.vkeys[0], index, **options)


def test_what_a_receipt_holds(world, keeper):
    index = say(keeper)
    value = json.loads(build(world, index))
    item = leaf(world, index)
    assert set(value) == {"type", "bundle", "keys", "salt", "attributes"}
    assert [key["index"] for key in value["keys"]] == [0, 1, 2], "genesis, keeper, agent"
    assert base64.b64decode(value["salt"]) == item.openings["canonical"][:32]
    assert base64.b64decode(value["attributes"]) == item.openings["attributes"]
    text = json.dumps(value)
    for name in ("raw", "attributes"):
        assert base64.b64encode(item.openings[name][:32]).decode() not in text.replace(value["attributes"], "")
    assert canonical_json(value["bundle"]) in build(world, index), "NAME.sigstore.json is the bundle inside, byte for byte"
    parse_receipt(build(world, index))


def test_a_plain_commitment_needs_no_salt(world, keeper):
    index = say(keeper, commitment="plain")
    receipt = build(world, index)
    assert b'"salt"' not in receipt
    assert verify_receipt(receipt, world.policy(), artifact=SAID).is_content_compared


@pytest.mark.parametrize("how", ["key", "unit", "opening"])
def test_what_is_erased_is_left_out(world, keeper, how):
    """The receipt is still made, and still verifies but for the content that nobody can compare any more."""
    index = say(keeper)
    changes = {
        "key": {"wrapped_key": None},
        "unit": {"unit": b"?" * 16},
        "opening": {"openings": tuple(o for o in world.store.record(index).openings if o.name == "raw")},
    }
    alter(world, index, **changes[how])
    receipt = build(world, index)
    assert b'"salt"' not in receipt
    assert b'"attributes"' not in receipt
    with pytest.raises(IncompleteError, match="does not disclose the salt, or it was erased"):
        verify_receipt(receipt, world.policy(), artifact=SAID)


@pytest.mark.parametrize("lost", [1, 2])
def test_a_key_chain_that_does_not_reach_genesis(world, keeper, lost):
    index = say(keeper)
    alter(world, lost, certifies=None)
    with pytest.raises(MalformedError, match="does not reach genesis"):
        build(world, index)


def test_a_key_chain_that_runs_in_a_circle(world, keeper):
    """A column that claims that a key has certified itself ends in an error, not in an endless loop."""
    say(keeper)
    mine = world.keeper_key.spki
    alter(world, 1, certifies=None)
    alter(world, 2, certifies=sha256(mine))
    with pytest.raises(MalformedError, match="does not reach genesis"):
        receipts.key_chain(world.store, mine)


def test_the_pending_form(world, keeper):
    run = keeper.open_run(agent="a")
    said = run.output(SAID, SAID, profile="opaque", media_type="text/plain").committed(5)
    pending = parse_receipt(receipts.build_pending(world.store, said.index))
    assert isinstance(pending, PendingReceipt)
    assert pending.index == said.index
    assert pending.envelope.unverified_payload == world.store.record(said.index).statement


def test_the_envelope_is_the_stored_statement(world, keeper):
    index = say(keeper)
    envelope, spki = receipts.envelope_of(world.store.record(index))
    assert envelope.unverified_payload == world.store.record(index).statement
    assert envelope.keyid == leaf(world, index).fields["key_id"]
    assert receipts.key_chain(world.store, spki) == [0, 1, 2]


def test_trusted_root_for_foreign_tools(world):
    log = world.signer.vkeys[0]
    value = json.loads(receipts.trusted_root(log, spki_ed25519(log.public)))
    (tlog,) = value["tlogs"]
    assert tlog["baseUrl"] == "https://" + world.signer.origin
    assert tlog["publicKey"]["keyDetails"] == "PKIX_ED25519"
    assert base64.b64decode(tlog["publicKey"]["rawBytes"]).endswith(log.public)
    assert base64.b64decode(tlog["logId"]["keyId"])[:4] == log.key_id
    assert tlog["checkpointKeyId"] == tlog["logId"]
    assert [value[name] for name in ("certificateAuthorities", "ctlogs", "timestampAuthorities")] == [[], [], []]
