"""A log with one run in it, and every way to alter a row behind its keeper's back, with what must be said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from service_kit import alter, talk

from apostille.core import keys, note
from apostille.core.policy import Policy, parse_policy
from apostille.ports import SealedOpening
from apostille.services.keeper import KEYS_UNIT
from apostille.services.publisher import LogSigner
from tests.simulators.world import World, seed

AGENT_KEY, OPENED, SAID, SAID_TOO, CLOSED = 2, 3, 4, 5, 6  # the leaves of one run, after genesis and the keeper's key


def lived() -> World:
    world = World()
    keeper = world.keeper()
    talk(keeper, 2)
    keeper.publish()
    keeper.close()
    assert world.store.count() == 7
    return world


def flip(data: bytes, at: int = 10) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def row(world: World, index: int):
    return world.store.record(index)


def opening(world: World, index: int, place: int, **changes: Any) -> tuple[SealedOpening, ...]:
    all_of_them = list(row(world, index).openings)
    all_of_them[place] = replace(all_of_them[place], **changes)
    return tuple(all_of_them)


def swap(world: World) -> None:
    one, two = row(world, SAID), row(world, SAID_TOO)
    world.store._records[SAID], world.store._records[SAID_TOO] = two, one


ALTERED: dict[str, tuple[Callable[[World], None], str, int]] = {
    "entry": (lambda w: alter(w, SAID, entry=flip(row(w, SAID).entry, 200)), "not the leaf hash that is stored", SAID),
    "entry and its hash": (
        lambda w: alter(w, SAID, entry=row(w, SAID_TOO).entry, leaf_hash=row(w, SAID_TOO).leaf_hash),
        "not the one that the log entry commits to",
        SAID,
    ),
    "leaf hash": (lambda w: alter(w, SAID, leaf_hash=bytes(32)), "not the leaf hash that is stored", SAID),
    "statement": (
        lambda w: alter(w, SAID, statement=row(w, SAID).statement.replace(b'"seq":1', b'"seq":2')),
        "not the one that the log entry commits to",
        SAID,
    ),
    "another's statement": (
        lambda w: alter(w, SAID, statement=row(w, SAID_TOO).statement),
        "not the one that the log entry commits to",
        SAID,
    ),
    "nonce": (lambda w: alter(w, SAID, nonce=bytes(16)), "files it under another receipt id", SAID),
    "run taken away": (lambda w: alter(w, SAID, run=None), "files it under another run", SAID),
    "run given": (lambda w: alter(w, AGENT_KEY, run=row(w, SAID).run), "files it under another run", AGENT_KEY),
    "certified key": (lambda w: alter(w, AGENT_KEY, certifies=bytes(32)), "files it under another key", AGENT_KEY),
    "output that certifies": (lambda w: alter(w, SAID, certifies=bytes(32)), "files it under another key", SAID),
    "wrapped key": (lambda w: alter(w, SAID, wrapped_key=flip(row(w, SAID).wrapped_key)), "record key does not unwrap", SAID),
    "another's wrapped key": (
        lambda w: alter(w, SAID, wrapped_key=row(w, SAID_TOO).wrapped_key),
        "sealed opening does not decrypt",
        SAID,
    ),
    "ciphertext": (
        lambda w: alter(w, SAID, openings=opening(w, SAID, 1, ciphertext=flip(row(w, SAID).openings[1].ciphertext))),
        "sealed opening does not decrypt",
        SAID,
    ),
    "ciphertext cut": (
        lambda w: alter(w, SAID, openings=opening(w, SAID, 1, ciphertext=b"cut")),
        "sealed opening does not decrypt",
        SAID,
    ),
    "ciphertext emptied, as by an erasure": (
        lambda w: alter(w, SAID, openings=opening(w, SAID, 1, ciphertext=b"")),
        "openings are missing that no erasure names",
        SAID,
    ),
    "another's openings": (lambda w: alter(w, SAID, openings=row(w, SAID_TOO).openings), "sealed opening does not decrypt", SAID),
    "foreign opening": (
        lambda w: alter(w, SAID, openings=(*row(w, SAID).openings, SealedOpening("findings", b"x" * 40))),
        "an opening is stored that the statement does not name",
        SAID,
    ),
    "one opening lost": (
        lambda w: alter(w, SAID, openings=row(w, SAID).openings[:-1]),
        "openings are missing that no erasure names: attributes",
        SAID,
    ),
    "openings lost": (
        lambda w: alter(w, SAID, openings=(), wrapped_key=None),
        "openings are missing that no erasure names: attributes, canonical, raw",
        SAID,
    ),
    "key lost": (
        lambda w: alter(w, SAID, wrapped_key=None),
        "openings are missing that no erasure names: attributes, canonical, raw",
        SAID,
    ),
    "unit of another": (
        lambda w: alter(w, SAID, unit=b"?" * 16),
        "openings are missing that no erasure names: attributes, canonical, raw",
        SAID,
    ),
    "unit of the log": (lambda w: alter(w, SAID, unit=KEYS_UNIT), "record key does not unwrap", SAID),
}


def other_signer(world: World) -> LogSigner:
    return LogSigner(world.signer.origin, keys.Ed25519Key(seed("thief")), keys.MlDsa44Key(seed("thief")))


def policies(world: World) -> dict[str, Policy]:
    first, second = (note.format_vkey(key) for key in world.signer.vkeys)
    thief = note.format_vkey(other_signer(world).vkeys[0])
    unsigned = note.format_vkey(other_signer(world).vkeys[1])
    texts = {
        "nothing pinned": "quorum none\n",
        "another key under its name": f"log {thief}\nquorum none\n",
        "quorum met": f"log {first}\nwitness pq {second}\nquorum pq\n",
        "quorum unmet": f"log {first}\nwitness pq {unsigned}\nquorum pq\n",
    }
    return {name: parse_policy(text.encode()) for name, text in texts.items()}
