"""Somebody who holds certified keys, or the root's, and appends entries that are wrong in themselves to a sound tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from apostille.core import dsse, keys, predicates, strict
from apostille.core.digest import sha256
from apostille.core.forms import format_statement
from apostille.core.opening import SALT_BYTES, opening_digest
from apostille.ports import OpeningText, PendingEntry
from apostille.services.attester import Attester, Draft, utc_text
from apostille.services.keeper import KEYS_UNIT
from tests.simulators.world import World, seed


class Insider:
    """Somebody who can append what he likes: certified keys in hand, or the root's, with the keeper's help."""

    def __init__(self) -> None:
        self.world = World()
        self.keeper = self.world.keeper()
        self.agent = self.keeper.attester("a", held_by="agent")
        self.keeper.wait_published(2, 10)  # its certificate is leaf 2
        self.root = Attester(self.world.root, self.world.clock, self.world.random)
        self.mine = Attester(self.world.keeper_key, self.world.clock, self.world.random)
        self.last = -1

    def new_key(self, label: str) -> Attester:
        return Attester(keys.StatementKey.from_seed(seed(label)), self.world.clock, self.world.random)

    def put(self, entry) -> int:
        self.last = self.keeper.submit(entry).wait(5)
        return self.last

    def digest(self, index: int) -> str:
        return self.world.store.record(index).pae_digest.hex()

    def say(self, tool: Attester, kind: str, fields: dict[str, Any], **more: Any) -> int:
        run = bytes.fromhex(fields["run"]) if "run" in fields else None
        spki = dict(more.get("digests", ())).get("spki")
        contents = [("raw", b"x"), ("canonical", b"x")] if kind == predicates.OUTPUT else []
        made = tool.attest(Draft(kind, fields, {"agent": "a"}, contents, **more), unit=KEYS_UNIT, run=run, certifies=spki)
        return self.put(made)

    def certify(self, by: Attester, key: Attester, issuer: int, **fields: Any) -> int:
        life = {"not_before": utc_text(self.world.clock.now), "not_after": utc_text(self.world.clock.now + 10**6)}
        values = {"event": "certify", "usage": "statement", "held_by": "agent", "issuer": self.digest(issuer), **life, **fields}
        wanted = {name: value for name, value in values.items() if value is not None}
        return self.say(by, predicates.KEY, wanted, digests=(("spki", sha256(key.key.spki)),))

    def output(self, by: Attester, **fields: Any) -> int:
        return self.say(by, predicates.OUTPUT, {"assurance": "bound", "commitment": "salted", "profile": "opaque", **fields})

    def chained(self, kind: str, seq: int, previous: int | None, run: str = "ab" * 16, **fields: Any) -> int:
        before = self.digest(previous) if previous is not None else "00" * 32
        more = {"isolation": "none"} if kind == predicates.RUN_OPEN else {}
        if kind == predicates.OUTPUT:
            more = {"assurance": "bound", "commitment": "salted", "profile": "opaque"}
        return self.say(self.agent, kind, {"run": run, "seq": seq, "previous": before, **more, **fields})

    def open(self, run: str = "ab" * 16) -> int:
        return self.chained(predicates.RUN_OPEN, 0, None, run)

    def close(self, seq: int, previous: int, run: str = "ab" * 16, *, count: int | None = None) -> int:
        counted = seq + 1 if count is None else count
        return self.chained(predicates.RUN_CLOSE, seq, previous, run, count=counted, outcome="completed")


def unknown_signer(i: Insider) -> int:
    return i.output(i.new_key("stranger"))


def used_before_certified(i: Insider) -> int:
    key = i.new_key("early")
    index = i.output(key)
    i.certify(i.mine, key, 1)
    return index


def ended(event: str) -> Callable[[Insider], int]:
    def act(i: Insider) -> int:
        key = i.new_key("ended")
        i.certify(i.mine, key, 1)
        i.output(key)
        i.certify(i.root, key, 0, event=event)
        return i.output(key)

    return act


def ended_by_keeper(i: Insider) -> int:
    return i.certify(i.mine, i.agent, 1, event="retire")


def certified_twice(i: Insider) -> int:
    return i.certify(i.mine, i.agent, 1)


def agent_certifies(i: Insider) -> int:
    return i.certify(i.agent, i.new_key("x"), 2)


def keeper_certifies_keeper(i: Insider) -> int:
    return i.certify(i.mine, i.new_key("x"), 1, held_by="keeper", certify=True)


def keeper_certifies_erasure(i: Insider) -> int:
    return i.certify(i.mine, i.new_key("x"), 1, usage="erasure", held_by=None)


def second_root(i: Insider) -> int:
    return i.certify(i.root, i.new_key("x"), 0, usage="root", held_by=None)


def wrong_issuer(i: Insider) -> int:
    return i.certify(i.mine, i.new_key("x"), 0)


def second_genesis(i: Insider) -> int:
    key, signer = i.new_key("x"), i.world.signer
    named = {"origin": signer.origin, "log": [vkey.hash.hex() for vkey in signer.vkeys], "next": "00" * 32}
    return i.certify(i.root, key, 0, event="genesis", usage="root", held_by=None, **named)


def longer_life_than_the_issuer(i: Insider) -> int:
    return i.certify(i.mine, i.new_key("x"), 1, not_after="2099-01-01T00:00:00.000Z")


def life_begins_before_the_issuer(i: Insider) -> int:
    return i.certify(i.mine, i.new_key("x"), 1, not_before="2020-01-01T00:00:00.000Z")


def life_that_ends_before_it_begins(i: Insider) -> int:
    now = i.world.clock.now
    return i.certify(i.mine, i.new_key("x"), 1, not_before=utc_text(now + 2), not_after=utc_text(now + 1))


def said_before_its_key_began(i: Insider) -> int:
    i.world.clock.now -= 10_000
    return i.output(replace(i.agent, not_before_ms=0))  # an attester of ours would say the begin of the key's life


def said_after_its_key_ended(i: Insider) -> int:
    i.world.clock.now += 25 * 3600 * 1000
    return i.output(i.agent)


def erasure_key_speaks(i: Insider) -> int:
    key = i.new_key("eraser")
    i.certify(i.root, key, 0, usage="erasure", held_by=None)
    return i.output(key)


def erasure(i: Insider, by: Attester, index: int, openings: list[str], *, digest: bytes | None = None) -> int:
    what = digest or i.world.store.record(index).pae_digest
    fields = {"effective_at": utc_text(i.world.clock.now), "erases": [{"index": index, "openings": openings}], "method": "row"}
    # An attester writes bare digests before the attributes; the leaves of an erasure stand behind them.
    return i.put(formed(i, by, predicates.ERASURE, fields, behind=[(f"leaf/{index}", what)]))


def signed(by: Attester, statement: bytes, openings: tuple[OpeningText, ...] = (), **more: bytes | None) -> PendingEntry:
    """Any bytes under a good signature: whoever has a key needs no attester, which would refuse to sign most of them."""
    message = dsse.pae(statement)
    nonce = re.search(rb'"nonce":"([0-9a-f]{32})"', statement)
    return PendingEntry(
        statement,
        sha256(message),
        by.key.sign(message),
        by.key.spki,
        openings,
        KEYS_UNIT,
        bytes.fromhex(nonce[1].decode()) if nonce else bytes(16),
        **more,
    )


def formed(
    i: Insider,
    by: Attester,
    kind: str,
    fields: dict[str, Any],
    *,
    before: Sequence[tuple[str, bytes]] = (),
    behind: Sequence[tuple[str, bytes]] = (),
) -> PendingEntry:
    """A statement with an opening of attributes, signed whether a reader takes it or not.

    Args:
        before: Bare digests that stand before the attributes.
        behind: Those that stand behind them.
    """
    salt, described = i.world.random.token(SALT_BYTES), strict.canonical_json({"agent": "a", "reason": "asked"})
    attributes = OpeningText("attributes", opening_digest(salt, described), salt + described)
    common = {
        "captured_at": utc_text(i.world.clock.now_ms()),
        "key_id": by.key.key_id,
        "nonce": i.world.random.token(predicates.ID_BYTES).hex(),
    }
    text = format_statement(kind, {**common, **fields}, [*before, (attributes.name, attributes.digest), *behind])
    run = bytes.fromhex(fields["run"]) if "run" in fields else None
    return signed(by, text, (attributes,), run=run, certifies=dict(before).get("spki"))


def resigned(entry, by: Attester, statement: bytes):
    message = dsse.pae(statement)
    return replace(entry, statement=statement, pae_digest=sha256(message), signature=by.key.sign(message))


def agent_erases(i: Insider) -> int:
    index = i.output(i.agent)
    return erasure(i, i.agent, index, ["raw"])


def names_another_key(i: Insider) -> int:
    entry = i.agent.attest(
        Draft(
            predicates.OUTPUT,
            {"assurance": "bound", "commitment": "salted", "profile": "opaque"},
            {},
            [("raw", b""), ("canonical", b"")],
        ),
        unit=KEYS_UNIT,
    )
    other = i.new_key("other").key.key_id.encode()
    return i.put(resigned(entry, i.agent, entry.statement.replace(i.agent.key.key_id.encode(), other)))


def broken_signature(i: Insider) -> int:
    entry = i.agent.attest(
        Draft(
            predicates.OUTPUT,
            {"assurance": "bound", "commitment": "salted", "profile": "opaque"},
            {},
            [("raw", b""), ("canonical", b"")],
        ),
        unit=KEYS_UNIT,
    )
    return i.put(replace(entry, signature=i.agent.key.sign(b"something else")))


def put_in_again(i: Insider) -> int:
    """A statement of no run, once more: no chain shows it."""
    draft = Draft(
        predicates.OUTPUT,
        {"assurance": "bound", "commitment": "salted", "profile": "opaque"},
        {},
        [("raw", b""), ("canonical", b"")],
    )
    entry = i.agent.attest(draft, unit=KEYS_UNIT)
    i.put(entry)
    return i.put(entry)


def key_with_a_broken_signature(i: Insider) -> int:
    """A certificate that somebody else has signed in the keeper's name, and its key at work. Returns what the key said."""
    key, now = i.new_key("forged"), i.world.clock.now
    fields = {"event": "certify", "usage": "statement", "held_by": "agent", "issuer": i.digest(1)}
    fields |= {"not_before": utc_text(now), "not_after": utc_text(now + 10**6)}
    spki = sha256(key.key.spki)
    entry = i.mine.attest(Draft(predicates.KEY, fields, {}, digests=(("spki", spki),)), unit=KEYS_UNIT, certifies=spki)
    i.put(replace(entry, signature=key.key.sign(dsse.pae(entry.statement))))
    return i.output(key)


def in_a_run(*kinds: tuple[str, int, int | None]) -> Callable[[Insider], int]:
    """A run of (kind, seq, which earlier statement it names as previous); returns the index of the last but the close."""

    def act(i: Insider) -> int:
        found: list[int] = []
        for kind, seq, previous in kinds:
            found.append(i.chained(kind, seq, None if previous is None else found[previous]))
        return found[-1]

    return act


OPEN, OUT = predicates.RUN_OPEN, predicates.OUTPUT


def closed_with_wrong_count(i: Insider) -> int:
    first = i.open()
    return i.close(1, first, count=3)


def goes_on_after_its_end(i: Insider) -> int:
    first = i.open()
    last = i.close(1, first)
    return i.chained(OUT, 2, last)


def closed_twice(i: Insider) -> int:
    first = i.open()
    last = i.close(1, first)
    return i.close(2, last)


def closing(act: Callable[[Insider], int], seq: int) -> Callable[[Insider], int]:
    """The same, and then the run is closed properly behind it: only the fault itself is left to be found."""

    def both(i: Insider) -> int:
        index = act(i)
        i.close(seq, index)
        i.last = index
        return index

    return both


WRONG: dict[str, tuple[Callable[[Insider], int], int, str]] = {
    "unknown signer": (unknown_signer, 3, "certified by no earlier statement"),
    "key used before it was certified": (used_before_certified, 3, "certified by no earlier statement"),
    "retired key": (ended("retire"), 3, "retired or revoked before"),
    "revoked key": (ended("revoke"), 3, "retired or revoked before"),
    "retired by the keeper": (ended_by_keeper, 1, "only the root may end a key"),
    "certified twice": (certified_twice, 1, "certified before"),
    "an agent certifies": (agent_certifies, 1, "may not certify"),
    "the keeper certifies a keeper": (keeper_certifies_keeper, 1, "may not certify"),
    "the keeper certifies an erasure key": (keeper_certifies_erasure, 1, "may not certify"),
    "a second root": (second_root, 1, "may not certify"),
    "an issuer that is not the signer's": (wrong_issuer, 1, "names an issuer"),
    "a second genesis": (second_genesis, 1, "only index 0 founds a log"),
    "life longer than the issuer's": (longer_life_than_the_issuer, 1, "not inside its issuer's"),
    "life before the issuer's": (life_begins_before_the_issuer, 1, "not inside its issuer's"),
    "life that ends before it begins": (life_that_ends_before_it_begins, 1, "not inside its issuer's"),
    "said before its key's life": (said_before_its_key_began, 1, "outside its key's life"),
    "said after its key's life": (said_after_its_key_ended, 1, "outside its key's life"),
    "an erasure key speaks": (erasure_key_speaks, 1, "a erasure key may not sign this type"),
    "an agent erases": (agent_erases, 1, "a statement key may not sign this type"),
    "names another key": (names_another_key, 1, "names another key than the one that signed it"),
    "broken signature": (broken_signature, 1, "signature of the statement does not verify"),
    "put in again": (put_in_again, 1, "stands in the log twice"),
    "a statement left out": (closing(in_a_run((OPEN, 0, None), (OUT, 1, 0), (OUT, 3, 1)), 4), 1, "statement 2 is missing"),
    "a number used twice": (closing(in_a_run((OPEN, 0, None), (OUT, 1, 0), (OUT, 1, 1)), 2), 1, "statement 2 is missing"),
    "another one before it": (closing(in_a_run((OPEN, 0, None), (OUT, 1, 0), (OUT, 2, 0)), 3), 1, "another one stood here"),
    "begins without run-open": (closing(in_a_run((OUT, 0, None)), 1), 1, "does not begin with run-open"),
    "begins in the middle": (closing(in_a_run((OUT, 5, None)), 6), 1, "statement 0 is missing"),
    "opened twice": (closing(in_a_run((OPEN, 0, None), (OPEN, 1, 0)), 2), 1, "opens twice"),
    "closed with a wrong count": (closed_with_wrong_count, 1, "was closed with 3 statements, 2 are here"),
    "goes on after its end": (goes_on_after_its_end, 1, "goes on after it was closed"),
    "closed twice": (closed_twice, 1, "goes on after it was closed"),
}
