"""Verifying a store whose rows were altered behind the keeper's back: found, under the index where it stands.

The attacker has the database (class a), the heads that others remember, or the trust file is another; ``test_auditor_entries.py`` has the
attacker with keys.

Spec: trust.md sections 3 (threats 1, 2, 14, 26), 4 (exit codes); formats.md sections 8, 12 step 11.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from altered_rows import ALTERED, SAID, SAID_TOO, lived, other_signer, policies, row, swap
from service_kit import alter, cut, examine, quiet_keeper, talk

from apostille.core.checkpoint import Checkpoint
from apostille.core.tree import Head
from apostille.storage.memory import MemoryStore
from tests.simulators.world import World


@pytest.fixture
def world():
    return lived()


def test_a_sound_store(world):
    found = examine(world)
    assert (found.code, found.failures) == (0, [])
    assert str(found.audit.openings) == "7 leaves = 7 opened + 0 sealed + 0 erased + 0 missing"
    (run,) = found.audit.runs.values()
    assert (run.count, run.outcome, run.isolation) == (4, "completed", "none")
    assert found.audit.checkpoint.checkpoint.size == found.audit.size == 7
    assert any("UNWITNESSED" in text for text in found.notices)
    assert all(step.outcome == "passed" for step in found.steps)


def test_without_keys_openings_are_counted_as_sealed(world):
    found = examine(world, vault=None)
    assert found.code == 0
    assert str(found.audit.openings) == "7 leaves = 0 opened + 7 sealed + 0 erased + 0 missing"


def test_progress_is_told(world):
    seen: list[tuple[int, int]] = []
    examine(world, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (7, 7)


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_row(world, name):
    change, message, index = ALTERED[name]
    change(world)
    found = examine(world)
    assert found.code == 1
    assert any(message in text for text in found.at(index)), found.failures
    assert found.first_index == index
    assert world.heads.heads[world.signer.origin].size == 7


@pytest.mark.parametrize("name", [n for n in ALTERED if "entry" not in n])
def test_an_altered_row_is_the_only_thing_wrong(world, name):
    """What does not touch the tree is one finding: nothing else is accused with it."""
    change, _, index = ALTERED[name]
    change(world)
    found = examine(world)
    others = [f for f in found.failures if f.index != index]
    # A leaf that can't be read leaves a hole in its run; the leaf behind it says so.
    assert all("has a hole" in f.message for f in others), others


def test_swapped_leaves(world):
    swap(world)
    found = examine(world)
    assert found.code == 1
    assert found.first_index == SAID
    assert any("has a hole" in f.message for f in found.failures)
    assert any("do not lead to" in f.message for f in found.failures)


class LossyStore(MemoryStore):
    """A store that has lost leaves: their rows are gone, nothing else is."""

    lost: frozenset[int] = frozenset()

    def count(self):
        return super().count() - len(self.lost)

    def records(self, start=0):
        return (pair for pair in super().records(start) if pair[0] not in self.lost)


@pytest.mark.parametrize("lost", [0, 1, SAID, 6])
def test_a_missing_leaf(lost):
    world = World(store=LossyStore())
    keeper = world.keeper()
    talk(keeper, 2)
    keeper.close()
    assert examine(world).code == 0
    world.store.lost = frozenset({lost})
    found = examine(world)
    assert found.code == 1
    assert found.at(lost) == [f"leaf {lost} is missing from the store"]


def test_a_leaf_outside_the_tree(world):
    world.store._records.append(row(world, SAID))
    found = examine(world)
    assert (found.code, [f.message for f in found.failures]) == (1, ["the store holds 8 leaves, its head says 7"])


def test_a_stored_subtree_that_is_not_the_entries():
    world = World()
    keeper = world.keeper()
    talk(keeper, 260)
    keeper.close()
    assert examine(world).code == 0
    world.store._subtrees[1, 0] = bytes(32)
    found = examine(world)
    assert found.code == 1
    assert any("stored hash 0 of level 1" in f.message for f in found.failures)


def test_a_head_row_that_is_not_the_entries(world):
    edge = world.store.head().edge
    world.store._head = Head(7, (*edge[:-1], bytes(32)))
    found = examine(world)
    assert (found.code, [f.message for f in found.failures]) == (1, ["the entries do not lead to the store's own head of size 7"])


def test_truncated(world):
    cut(world.store, SAID_TOO)
    found = examine(world)
    assert found.code == 1
    assert any("TRUNCATED: a checkpoint of size 7" in f.message for f in found.failures)
    assert any("HALT_ROLLBACK: a head of size 7 is remembered" in f.message for f in found.failures)


def truncated_with_its_checkpoints(world: World) -> None:
    cut(world.store, SAID_TOO)
    world.store._checkpoints = {s: c for s, c in world.store._checkpoints.items() if s <= SAID_TOO}


def test_truncated_with_its_checkpoints(world):
    """All that the store itself could tell is gone: head memory tells, and so does what was published."""
    published = world.store.checkpoint().note
    world.store.add_checkpoint(world.signer.sign(Head(7, world.store.head().edge)))
    truncated_with_its_checkpoints(world)
    found = examine(world)
    assert found.code == 1
    assert [f.code for f in found.failures if f.code == "HALT_ROLLBACK"]
    world.heads.heads.clear()
    found = examine(world, published=published)
    assert found.code == 1
    assert any("published checkpoint of size 7 is not one that this store has signed" in f.message for f in found.failures)


def test_truncated_where_nobody_remembers(world):
    """What a database alone can't show is said, not hidden: no head is remembered, the run is open."""
    truncated_with_its_checkpoints(world)
    world.heads.heads.clear()
    found = examine(world)
    assert found.code == 4
    assert any("no head of this log is remembered" in text for text in found.notices)


# --- checkpoints


def test_a_checkpoint_with_another_root(world):
    for size in sorted(world.store._checkpoints):
        sound = world.store._checkpoints[size]
        world.store._checkpoints[size] = replace(sound, root_hash=bytes(32))
        found = examine(world)
        assert found.code == 1
        assert any(f"REWRITE before size {size}" in f.message for f in found.failures)
        world.store._checkpoints[size] = sound
    assert examine(world).code == 0


def newest_note(world: World, data: bytes) -> None:
    newest = world.store.checkpoint()
    world.store._checkpoints[newest.size] = replace(newest, note=data)


def test_a_note_of_another_size(world):
    newest_note(world, world.signer.sign(Head(6, world.store.head().edge)).note)
    found = examine(world)
    assert found.code == 1
    assert any("says something else than the store" in f.message for f in found.failures)


def test_a_note_of_another_log(world):
    newest_note(world, World("other-").signer.sign(world.store.head()).note)
    found = examine(world)
    assert (found.code, len(found.failures)) == (3, 1)
    assert "the trust file names no log" in found.failures[0].message


def test_a_note_by_another_key(world):
    newest_note(world, other_signer(world).sign(world.store.head()).note)
    found = examine(world)
    assert (found.code, len(found.failures)) == (3, 1)
    assert "no signature by the pinned key" in found.failures[0].message


def test_a_note_with_a_broken_signature(world):
    data = world.store.checkpoint().note
    text, _, rest = data.partition(b"\n\n")
    sig = rest.split(b" ")[2]
    broken = rest.replace(sig, sig[:8] + (b"A" if sig[8:9] != b"A" else b"B") + sig[9:], 1)
    newest_note(world, text + b"\n\n" + broken)
    found = examine(world)
    assert (found.code, [f.code for f in found.failures]) == (1, ["invalid-signature"])


def test_a_note_that_is_none(world):
    newest_note(world, b"garbage")
    assert examine(world).code == 65


def test_no_checkpoint(world):
    world.store._checkpoints.clear()
    world.heads.heads.clear()
    found = examine(world)
    assert (found.code, len(found.failures)) == (4, 1)
    assert "PENDING: no checkpoint has been signed yet" in found.failures[0].message


def test_an_unpublished_tail(world):
    quiet = quiet_keeper(world)
    quiet.publish()
    signed = world.store.checkpoint().size
    talk(quiet)
    found = examine(world)
    assert [f.message for f in found.failures if f.step == 2] == [
        f"PENDING: {world.store.count() - signed} leaves are committed but not published yet"
    ]
    assert found.code == 4
    quiet.close()


# --- heads that others hold


@pytest.mark.parametrize(
    ("size", "root", "message"),
    [
        (8, None, "HALT_ROLLBACK: a head of size 8 is remembered, the first 7 leaves are here"),
        (7, bytes(32), "REWRITE before size 7: history is not the one that this machine remembers"),
        (3, bytes(32), "REWRITE before size 3: history is not the one that this machine remembers"),
    ],
)
def test_the_remembered_head(world, size, root, message):
    remembered = Checkpoint(world.signer.origin, size, root or world.store.head().root_hash)
    world.heads.heads[world.signer.origin] = remembered
    found = examine(world)
    assert (found.code, [f.message for f in found.failures]) == (1, [message])
    assert found.failures[0].code == "HALT_ROLLBACK"
    assert world.heads.heads[world.signer.origin] == remembered, "head memory moved although something is wrong"


def test_head_memory_moves_forward_only_on_a_sound_store(world):
    world.heads.heads.clear()
    alter(world, SAID, statement=b"{}")
    examine(world)
    assert world.heads.heads == {}
    sound = lived()
    sound.heads.heads.clear()
    examine(sound)
    assert sound.heads.heads[sound.signer.origin].size == 7


def test_without_head_memory_the_verdict_says_so(world):
    found = examine(world, heads=None)
    assert found.code == 0
    assert any("no head memory was asked" in text for text in found.notices)


def test_the_published_checkpoint(world):
    assert examine(world, published=world.store.checkpoint().note).code == 0
    other = World("other-")
    assert examine(world, published=other.signer.sign(world.store.head()).note).code == 3
    assert examine(world, published=b"garbage").code == 65
    ahead = world.signer.sign(Head(8, (bytes(32),)))
    found = examine(world, published=ahead.note)
    assert (found.code, [f.code for f in found.failures]) == (1, ["HALT_ROLLBACK"])


# --- the trust file


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("nothing pinned", 3, "the trust file names no log"),
        ("another key under its name", 3, "the genesis names another log, or another log key"),
        ("quorum met", 0, ""),
        ("quorum unmet", 4, "QUORUM: 'pq' has not signed"),
    ],
)
def test_the_trust_file_decides(world, name, code, message):
    found = examine(world, policy=policies(world)[name])
    assert found.code == code
    assert any(message in f.message for f in found.failures) == bool(message)
    assert bool(found.at(0)) == (code == 3), "the genesis is not this log's, and that is said of it"
    assert any("UNWITNESSED" in text for text in found.notices) == (code in {0, 4}), "the log is no witness of its own"
