"""One stored leaf by itself, and many in order.

Spec: formats.md section 5; section 12 steps 5 to 7.
"""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from service_kit import alter, talk

from apostille.core.entry import ED25519, format_entry, parse_entry
from apostille.core.merkle import leaf_hash
from apostille.errors import DigestMismatchError, InvalidSignatureError, MalformedError
from apostille.services.binding import bind, read_leaf, read_leaves
from tests.simulators.world import World


@pytest.fixture(scope="module")
def world():
    made = World()
    keeper = made.keeper()
    talk(keeper, 200)
    keeper.close()
    return made


def test_an_entry_that_names_another_algorithm(world):
    """A valid signature under a key that the entry calls by another name: foreign tools would read another leaf."""
    record = world.store.record(4)
    entry = format_entry(replace(parse_entry(record.entry), key_details=ED25519))
    with pytest.raises(DigestMismatchError, match="another algorithm than that of its key"):
        bind(replace(record, entry=entry, leaf_hash=leaf_hash(entry)))


def test_fast_leaves_out_the_signature_and_nothing_else(world):
    record = world.store.record(4)
    entry = parse_entry(record.entry)
    forged = format_entry(replace(entry, signature=entry.signature[:-1] + bytes([entry.signature[-1] ^ 1])))
    altered = replace(record, entry=forged, leaf_hash=leaf_hash(forged))
    with pytest.raises(InvalidSignatureError):
        bind(altered)
    assert bind(altered, is_fast=True)[0].signature != entry.signature
    with pytest.raises(DigestMismatchError):
        bind(replace(altered, statement=record.statement + b" "), is_fast=True)


@pytest.mark.parametrize("start", [0, 1, 63, 64, 65, 203, 204, 300])
def test_leaves_come_in_order_from_where_they_are_asked_for(world, start):
    found = list(read_leaves(world.store, start))
    assert [leaf.index for leaf in found] == list(range(start, world.store.count()))
    for leaf in found[:3]:
        assert (leaf.entry, leaf.said) == (read_leaf(world.store, leaf.index).entry, read_leaf(world.store, leaf.index).said)
        assert leaf.error is None


def test_a_leaf_that_can_not_be_read_says_why_and_the_next_follow(world):
    old = world.store.record(70)
    alter(world, 70, statement=b"{}")
    try:
        found = list(read_leaves(world.store, 0))
    finally:
        world.store._records[70] = old
    assert [leaf.index for leaf in found if leaf.error is not None] == [70]
    assert len(found) == world.store.count()


def test_what_was_read_before_a_fault_of_the_store_is_still_yielded(world):
    class Faulty:
        def records(self, start=0):
            for index, record in world.store.records(start):
                if index == 100:
                    raise MalformedError("a page is damaged", spec="store")
                yield index, record

    seen: list[int] = []
    with pytest.raises(MalformedError, match="a page is damaged"):
        for leaf in read_leaves(Faulty(), 0):
            seen.append(leaf.index)
    assert seen == list(range(100))


def test_its_threads_end_with_it(world):
    leaves = read_leaves(world.store, 0)
    next(leaves)
    leaves.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("apostille-bind")]
