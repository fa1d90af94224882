"""Who may sign what: succession, retirement, revocation, and a revocation that reaches back.

Spec: formats.md section 3.5; trust.md section 5 and threats 3, 4.
"""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from insider_kit import Insider
from service_kit import examine

from apostille.core import keys, note
from apostille.core.checkpoint import Checkpoint, cosigned_message, format_checkpoint
from apostille.core.digest import sha256
from apostille.core.policy import parse_policy
from apostille.services.attester import utc_text
from tests.simulators.world import seed


@pytest.fixture
def insider():
    made = Insider()
    yield made
    made.keeper.close()


def next_root(i: Insider):
    return i.new_key("root-next")


def key_id(tool) -> str:
    return base64.b64encode(sha256(tool.key.spki)).decode()


def spki(tool) -> str:
    return sha256(tool.key.spki).hex()


def succeed(i: Insider, by, key, *, issuer: int = 0, **fields) -> int:
    """The statement of a root's successor."""
    said = {"usage": "root", "held_by": None, "replaces": key_id(i.root), "next": spki(i.new_key("third"))}
    said["not_after"] = utc_text(i.world.clock.now + 10**9)
    return i.certify(by, key, issuer, **{**said, **fields})


def code_of(i: Insider, index: int | None = None) -> tuple[int, list[str]]:
    i.keeper.publish()
    found = examine(i.world)
    return found.code, [f.message for f in found.failures if index is None or f.index == index]


# --- succession


@pytest.mark.parametrize("by", ["root", "successor"])
def test_the_root_is_followed_by_the_key_that_it_names(insider, by):
    """Whoever still has the root, or has lost it and has the pre-rotated key, can go on; the successor certifies."""
    successor = next_root(insider)
    index = succeed(insider, insider.root if by == "root" else successor, successor)
    assert code_of(insider) == (0, [])
    key = insider.new_key("by the new root")
    insider.certify(successor, key, index)
    insider.output(key)
    assert code_of(insider) == (0, [])


def test_a_root_that_was_replaced_signs_no_more(insider):
    succeed(insider, insider.root, next_root(insider))
    index = insider.certify(insider.root, insider.new_key("late"), 0)
    code, messages = code_of(insider, index)
    assert code == 3
    assert "retired or revoked before" in messages[0]


@pytest.mark.parametrize(
    ("who", "fields", "message"),
    [
        ("stranger", {}, "only the key that the replaced one names as next"),
        ("successor", {"replaces": None}, "unless it is the one that follows it"),
        ("successor", {"next": None}, "names that root's statement as issuer, and the key that is to follow"),
        ("successor", {"issuer": 1}, "names that root's statement as issuer"),
        ("successor", {"not_before": "2099-01-01T00:00:00.000Z"}, "ends before it begins"),
    ],
)
def test_a_root_is_followed_by_nobody_else(insider, who, fields, message):
    key = next_root(insider) if who == "successor" else insider.new_key("thief")
    index = succeed(insider, insider.root, key, **fields)
    code, messages = code_of(insider, index)
    assert code == 1
    assert message in messages[0]


def test_a_root_is_not_followed_by_word_of_a_keeper(insider):
    index = succeed(insider, insider.mine, next_root(insider))
    code, messages = code_of(insider, index)
    assert code == 1
    assert "by that root, or by itself" in messages[0]


def test_a_statement_key_is_replaced_by_one_of_its_kind(insider):
    key = insider.new_key("second")
    insider.certify(insider.mine, key, 1, replaces=key_id(insider.agent))
    insider.output(key)
    insider.output(insider.agent)  # what was on its way when the new one came
    assert code_of(insider) == (0, [])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"held_by": "gateway"}, "only replace one of its own kind"),
        ({"replaces": "unknown"}, "replace one that this log never certified"),
        ({"replaces": "twice"}, "was replaced before, at"),
    ],
)
def test_a_statement_key_that_may_not_replace_another(insider, fields, message):
    values = {"replaces": key_id(insider.agent), **fields}
    if values["replaces"] == "unknown":
        values["replaces"] = key_id(insider.new_key("nobody"))
    if values["replaces"] == "twice":
        values["replaces"] = key_id(insider.agent)
        insider.certify(insider.mine, insider.new_key("first heir"), 1, replaces=key_id(insider.agent))
    index = insider.certify(insider.mine, insider.new_key("heir"), 1, **values)
    code, messages = code_of(insider, index)
    assert code == 1
    assert message in messages[0]


def test_a_key_with_a_next_is_followed_by_that_one_only(insider):
    first, heir = insider.new_key("first"), insider.new_key("heir")
    insider.certify(insider.mine, first, 1, next=spki(heir))
    wrong = insider.certify(insider.mine, insider.new_key("other"), 1, replaces=key_id(first))
    insider.certify(insider.mine, heir, 1, replaces=key_id(first))
    code, messages = code_of(insider)
    assert code == 1
    assert messages == [f"leaf {wrong}: only the key that the replaced one names as next may follow it"]


# --- the end of a key


def test_a_key_is_ended_by_the_one_that_is_to_follow_it(insider):
    """The root is offline, or the root itself is what was stolen."""
    successor = next_root(insider)
    insider.certify(successor, insider.root, 0, event="revoke", usage="root", held_by=None)
    index = insider.certify(insider.root, insider.new_key("late"), 0)
    code, messages = code_of(insider)
    assert code == 3
    assert messages == [f"leaf {index}: its signer's key was retired or revoked before, at {index - 1}"]


@pytest.mark.parametrize("event", ["retire", "revoke"])
def test_a_key_never_ends_itself(insider, event):
    index = insider.certify(insider.root, insider.root, 0, event=event, usage="root", held_by=None)
    code, messages = code_of(insider, index)
    assert code == 1
    assert "only the root may end a key, or the key that is named to follow it" in messages[0]


def test_a_key_that_nobody_knows_is_not_ended(insider):
    index = insider.certify(insider.root, insider.new_key("nobody"), 0, event="revoke")
    code, messages = code_of(insider, index)
    assert code == 1
    assert "never certified" in messages[0]


# --- a revocation that reaches back


WITNESS = keys.Ed25519Key(seed("witness"))


def witnessed(i: Insider, seconds: int) -> None:
    """A witness has signed the newest checkpoint."""
    key = note.VerifierKey("w.example", note.COSIGNATURE, WITNESS.public)
    signed = i.world.store.checkpoint()
    text = format_checkpoint(Checkpoint(i.world.signer.origin, signed.size, signed.root_hash))
    opened = note.parse_note(signed.note)
    field = seconds.to_bytes(8, "big") + WITNESS.sign(cosigned_message(text, seconds))
    line = note.NoteSignature(key.name, key.key_id, field)
    i.world.store._checkpoints[signed.size] = replace(
        signed, note=note.format_note(note.Note(opened.text, (*opened.unverified_signatures, line)))
    )


def policy_of(i: Insider):
    key = note.format_vkey(note.VerifierKey("w.example", note.COSIGNATURE, WITNESS.public))
    return parse_policy(f"log {note.format_vkey(i.world.signer.vkeys[0])}\nwitness w {key}\nquorum w\n".encode())


def compromised(i: Insider) -> tuple[int, int, int]:
    """An agent says something before and after its key was stolen. Returns both indexes and the second when it was stolen."""
    before = i.output(i.agent)
    i.keeper.publish()
    stolen = i.world.clock.now // 1000 + 100
    i.world.clock.now = (stolen + 100) * 1000
    after = i.output(i.agent)
    i.keeper.publish()
    return before, after, stolen


def revoke(i: Insider, stolen: int) -> int:
    spoken = i.certify(
        i.root,
        i.agent,
        0,
        event="revoke",
        compromised_since=utc_text(stolen * 1000),
        not_after=utc_text(i.world.clock.now + 10**6),
    )
    i.keeper.publish()
    return spoken


def test_what_nobody_has_dated_before_the_compromise_does_not_count(insider):
    """The log's own clock and the statement's decide nothing: without a witness all that the key has signed is untrusted."""
    before, after, stolen = compromised(insider)
    revoke(insider, stolen)
    found = examine(insider.world)
    assert found.code == 3
    assert {f.index for f in found.failures} == {before, after}
    assert all("compromised since" in f.message for f in found.failures)


def test_what_a_witness_has_dated_before_the_compromise_stands(insider):
    quiet = insider.keeper
    before = insider.output(insider.agent)
    quiet.publish()
    stolen = insider.world.clock.now // 1000 + 100
    witnessed(insider, stolen - 50)
    insider.world.clock.now = (stolen + 100) * 1000
    after = insider.output(insider.agent)
    quiet.publish()
    witnessed(insider, stolen + 150)
    index = revoke(insider, stolen)
    witnessed(insider, stolen + 200)
    found = examine(insider.world, policy=policy_of(insider))
    assert found.code == 3
    assert [f.index for f in found.failures if f.code == "untrusted"] == [after]
    assert any(f"revoked at {index}" in text and f"below size {before + 1}" in text for text in found.notices)


def test_without_a_date_a_revocation_reaches_forward_only(insider):
    insider.output(insider.agent)
    insider.certify(insider.root, insider.agent, 0, event="revoke")
    assert code_of(insider) == (0, [])
