"""The chain of keys from genesis: who may certify and sign what, and each refusal (formats.md section 3.5)."""

from __future__ import annotations

import pytest

from apostille.core import keychain, note, predicates, statement
from apostille.core.digest import ZERO_HEX, sha256
from apostille.core.keychain import Certificate
from apostille.errors import MalformedError, PolicyError, UntrustedError
from tests.unit.core.core_kit import (
    AGENT,
    DIGEST,
    KEEPER,
    LATER,
    LOG,
    LOG_06,
    LOG_PQ,
    NOW,
    ORIGIN,
    ROOT,
    TYPES,
    example,
    pae_digest,
    said,
)

NEVER = "2126-11-24T03:00:00.000Z"


def read(kind: str, changes=None, *, spki: bytes = AGENT.spki):
    text = said(kind, changes)
    made = statement.parse_statement(text)
    if "spki" in made.subjects:
        made = statement.Statement(made.type, made.predicate, {**made.subjects, "spki": sha256(spki)})
    return made


def unread(changes, *, spki: bytes = AGENT.spki):
    """A key statement that no reader hands over: its fields do not go together. The chain must not lean on that."""
    with pytest.raises(MalformedError, match="do not go together"):
        read(predicates.KEY, changes, spki=spki)
    fields = {name: value for name, value in {**TYPES[predicates.KEY][0], **changes}.items() if value is not None}
    return statement.Statement(predicates.KEY, fields, {"spki": sha256(spki), "attributes": bytes(32)})


# Genesis -------------------------------------------------------------------------------------------------------------

GENESIS = {"event": "genesis", "usage": "root", "issuer": ZERO_HEX, "origin": ORIGIN, "log": [LOG.hash.hex()], "next": DIGEST}


def genesis(changes=None, *, spki: bytes = ROOT.spki):
    return read(predicates.KEY, {**GENESIS, **(changes or {})}, spki=spki)


def test_genesis():
    made = keychain.read_genesis(genesis(), 0, b"d" * 32, ROOT.spki, LOG)
    assert made == Certificate(0, b"d" * 32, sha256(ROOT.spki), "root", "", False, NOW, LATER)


def test_binds_origin():
    assert keychain.binds_origin(ORIGIN, ROOT.spki)
    assert not keychain.binds_origin(ORIGIN, AGENT.spki)
    assert not keychain.binds_origin("log.example.com/agents", ROOT.spki)
    assert not keychain.binds_origin(ORIGIN + "/x", ROOT.spki)
    assert keychain.binds_origin(ORIGIN.rpartition("/")[2], ROOT.spki)


@pytest.mark.parametrize(
    ("changes", "index", "why"),
    [
        ({"event": "certify", "origin": None, "log": None}, 0, "does not begin with a genesis"),
        ({"event": "revoke", "origin": None, "log": None}, 0, "does not begin with a genesis"),
        ({"usage": "statement", "held_by": "keeper"}, 0, "does not begin with a genesis"),
        ({"usage": "erasure"}, 0, "does not begin with a genesis"),
        ({}, 1, "does not begin with a genesis"),
        ({"issuer": DIGEST}, 0, "not signed by the key that it names"),
        ({"origin": "log.example.com/agents"}, 0, "another log"),
        ({"log": [DIGEST]}, 0, "another log key"),
        ({"log": [LOG_06.hash.hex()]}, 0, "another log key"),
    ],
)
def test_genesis_refused(changes, index, why):
    with pytest.raises(UntrustedError, match=why):
        keychain.read_genesis(genesis(changes), index, bytes(32), ROOT.spki, LOG)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"event": "certify"}, "does not begin with a genesis"),
        ({"event": "revoke"}, "does not begin with a genesis"),
        ({"usage": "statement"}, "does not begin with a genesis"),
        ({"origin": None}, "another log"),
        ({"log": None}, "another log key"),
    ],
)
def test_genesis_refused_twice(changes, why):
    """The reader of statements refuses these already; the chain would too."""
    with pytest.raises(UntrustedError, match=why):
        keychain.read_genesis(unread({**GENESIS, **changes}, spki=ROOT.spki), 0, bytes(32), ROOT.spki, LOG)


def test_genesis_is_a_key_statement():
    with pytest.raises(UntrustedError, match="does not begin"):
        keychain.read_genesis(read(predicates.OUTPUT), 0, bytes(32), ROOT.spki, LOG)


def test_genesis_is_self_signed():
    with pytest.raises(UntrustedError, match="not signed by the key that it names"):
        keychain.read_genesis(genesis(), 0, bytes(32), AGENT.spki, LOG)


def test_another_root_under_the_same_name():
    """The log key alone can't swap the genesis: the log's name was made from the root key."""
    with pytest.raises(UntrustedError, match="not the one that the log's name was made from"):
        keychain.read_genesis(genesis(spki=AGENT.spki), 0, bytes(32), AGENT.spki, LOG)


def test_an_origin_that_binds_nothing_is_accepted():
    """``--origin``: no binding, and the verifier says so."""
    log = note.VerifierKey("log.example.com/agents", note.ED25519, LOG.public)
    founded = genesis({"origin": log.name, "log": [DIGEST, log.hash.hex()]})
    assert keychain.read_genesis(founded, 0, bytes(32), ROOT.spki, log).usage == "root"


# Certificates --------------------------------------------------------------------------------------------------------


def issuer(**changes) -> Certificate:
    fields = {
        "index": 1,
        "digest": bytes.fromhex(DIGEST),
        "spki_digest": sha256(KEEPER.spki),
        "usage": "root",
        "held_by": "",
        "may_certify": False,
        "not_before": NOW,
        "not_after": LATER,
    }
    return Certificate(**{**fields, **changes})


BY_ROOT = issuer()
BY_KEEPER = issuer(usage="statement", held_by="keeper", may_certify=True)


OF_AN_AGENT = {"usage": "statement", "held_by": "agent"}


def certificate(changes=None, *, index=2, by=BY_ROOT):
    return keychain.read_certificate(read(predicates.KEY, {**OF_AN_AGENT, **(changes or {})}), index, b"c" * 32, by)


def test_certificate():
    made = certificate({"held_by": "agent"}, by=BY_KEEPER)
    assert made == Certificate(2, b"c" * 32, sha256(AGENT.spki), "statement", "agent", False, NOW, LATER)
    assert certificate({"held_by": "keeper", "certify": True}).may_certify


@pytest.mark.parametrize(
    ("by", "changes"),
    [
        (BY_ROOT, {"held_by": "keeper", "certify": True}),
        (BY_ROOT, {"held_by": "agent"}),
        (BY_ROOT, {"usage": "erasure", "held_by": None}),
        (BY_ROOT, {"usage": "log", "held_by": None}),
        (BY_KEEPER, {"held_by": "agent"}),
        (BY_KEEPER, {"held_by": "gateway"}),
    ],
)
def test_may_certify(by, changes):
    assert certificate(changes, by=by).usage == changes.get("usage", "statement")


@pytest.mark.parametrize(
    ("by", "changes"),
    [
        (BY_ROOT, {"usage": "root", "held_by": None}),
        (BY_KEEPER, {"usage": "root", "held_by": None}),
        (BY_KEEPER, {"held_by": "keeper"}),
        (BY_KEEPER, {"held_by": "keeper", "certify": True}),
        (BY_KEEPER, {"usage": "erasure", "held_by": None}),
        (BY_KEEPER, {"usage": "log", "held_by": None}),
        (issuer(usage="statement", held_by="keeper"), {"held_by": "agent"}),
        (issuer(usage="statement", held_by="agent"), {"held_by": "agent"}),
        (issuer(usage="statement", held_by="agent", may_certify=True), {"held_by": "agent"}),
        (issuer(usage="statement", held_by="gateway", may_certify=True), {"held_by": "agent"}),
        (issuer(usage="erasure"), {"held_by": "agent"}),
        (issuer(usage="erasure", held_by="keeper", may_certify=True), {"held_by": "agent"}),
        (issuer(usage="log", held_by="keeper", may_certify=True), {"held_by": "agent"}),
        (issuer(usage="log"), {"held_by": "agent"}),
    ],
)
def test_may_not_certify(by, changes):
    with pytest.raises(PolicyError, match="may not certify"):
        certificate(changes, by=by)


@pytest.mark.parametrize(
    "changes",
    [{"held_by": "agent", "certify": True}, {"usage": "erasure", "held_by": "agent"}, {"held_by": None}],
    ids=["an agent that certifies", "an eraser that an agent holds", "held by nobody"],
)
def test_may_not_certify_twice(changes):
    """The reader of statements refuses these already; the chain would too."""
    with pytest.raises(PolicyError, match="may not certify"):
        keychain.read_certificate(unread({**OF_AN_AGENT, **changes}), 2, bytes(32), BY_KEEPER)


@pytest.mark.parametrize(
    "changes",
    [{"event": "retire"}, {"event": "revoke"}, {**GENESIS, "issuer": DIGEST, "held_by": None}],
    ids=["retire", "revoke", "genesis"],
)
def test_only_certify_certifies(changes):
    with pytest.raises(PolicyError, match="certifies no key"):
        certificate(changes)


def test_only_key_statements_certify():
    with pytest.raises(PolicyError, match="certifies no key"):
        keychain.read_certificate(read(predicates.OUTPUT), 2, bytes(32), BY_ROOT)


@pytest.mark.parametrize(
    ("changes", "index"),
    [({"issuer": "cd" * 32}, 2), ({"issuer": ZERO_HEX}, 2), ({}, 1), ({}, 0)],
    ids=["another issuer", "no issuer", "same index", "before its issuer"],
)
def test_issuer_is_the_earlier_statement(changes, index):
    with pytest.raises(PolicyError, match="earlier statement"):
        certificate(changes, index=index)


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("2026-11-24T02:59:59.999Z", LATER),
        (NOW, "2027-11-24T03:00:00.001Z"),
        (NOW, NEVER),
        ("2027-01-01T00:00:00.000Z", "2026-12-31T23:59:59.999Z"),
    ],
    ids=["begins a millisecond before", "ends a millisecond after", "ends a century after", "ends before it begins"],
)
def test_life_is_inside_the_issuers(begin, end):
    with pytest.raises(PolicyError, match="life"):
        certificate({"not_before": begin, "not_after": end})


@pytest.mark.parametrize("when", ["2026-11-24T02:59:59.999Z", "2027-11-24T03:00:00.001Z", NEVER])
def test_certified_in_the_issuers_life(when):
    """An expired keeper key certifies nobody, however short the life that it grants."""
    with pytest.raises(PolicyError, match="outside its issuer's life"):
        certificate({"captured_at": when, "held_by": "agent"}, by=BY_KEEPER)
    for good in (NOW, LATER):
        assert certificate({"captured_at": good, "held_by": "agent"}, by=BY_KEEPER).held_by == "agent"


def test_life_of_one_moment():
    assert certificate({"not_before": LATER, "not_after": LATER}).not_before == LATER


# Signing -------------------------------------------------------------------------------------------------------------

SIGNER = issuer(usage="statement", held_by="agent")
ERASER = issuer(usage="erasure")
SPOKEN = [kind for kind in TYPES if kind not in {predicates.KEY, predicates.ERASURE}]


@pytest.mark.parametrize("kind", SPOKEN)
def test_signer(kind):
    keychain.check_signer(read(kind), 2, SIGNER)
    for usage in ("root", "log", "erasure"):
        with pytest.raises(PolicyError, match=f"a {usage} key may not sign"):
            keychain.check_signer(read(kind), 2, issuer(usage=usage))


def test_erasure_signer():
    keychain.check_signer(read(predicates.ERASURE), 2, ERASER)
    for held_by in ("agent", "gateway", "keeper"):
        with pytest.raises(PolicyError, match="may not sign"):
            keychain.check_signer(read(predicates.ERASURE), 2, issuer(usage="statement", held_by=held_by))
    with pytest.raises(PolicyError, match="may not sign"):
        keychain.check_signer(read(predicates.ERASURE), 2, issuer(usage="root"))


def test_key_statements_are_not_said():
    for usage in ("root", "statement"):
        with pytest.raises(PolicyError, match="checked as a certificate"):
            keychain.check_signer(read(predicates.KEY), 2, issuer(usage=usage))


@pytest.mark.parametrize("index", [0, 1])
def test_signed_before_certified(index):
    with pytest.raises(PolicyError, match="before it was certified"):
        keychain.check_signer(read(predicates.OUTPUT), index, SIGNER)


@pytest.mark.parametrize(
    ("when", "holds"),
    [("2026-11-24T02:59:59.999Z", False), (NOW, True), (LATER, True), ("2027-11-24T03:00:00.001Z", False), (NEVER, False)],
)
def test_signed_in_its_life(when, holds):
    spoken = read(predicates.OUTPUT, {"captured_at": when})
    if holds:
        keychain.check_signer(spoken, 2, SIGNER)
    else:
        with pytest.raises(PolicyError, match="outside its key's life"):
            keychain.check_signer(spoken, 2, SIGNER)


def test_worked_example():
    """Genesis, keeper, agent, output, as a verifier walks them."""
    made = example()
    texts = [statement.parse_statement(text) for text in made.statements]
    root = keychain.read_genesis(texts[0], 0, pae_digest(made.statements[0]), ROOT.spki, LOG)
    keeper = keychain.read_certificate(texts[1], 1, pae_digest(made.statements[1]), root)
    agent = keychain.read_certificate(texts[2], 2, pae_digest(made.statements[2]), keeper)
    assert (keeper.held_by, keeper.may_certify, agent.held_by, agent.may_certify) == ("keeper", True, "agent", False)
    assert agent.spki_digest == sha256(AGENT.spki)
    for index in (3, 4, 5):
        keychain.check_signer(texts[index], index, agent)
    assert LOG_PQ.public == LOG_06.public
