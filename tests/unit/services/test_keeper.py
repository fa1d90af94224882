"""The keeper: it refuses a store that was rolled back, rewritten or is another's, certifies statement keys, hands out receipts.

Spec: formats.md sections 3.5 (keys), 8 (head memory), 9 (store order); trust.md section 6 (restore guard) and threats 2, 14.
"""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from insider_kit import Insider
from service_kit import SAID, alter, copy_store, cut, examine, leaf, quiet_keeper, talk

from apostille.core import keys, predicates
from apostille.core.checkpoint import Checkpoint
from apostille.core.digest import sha256
from apostille.errors import (
    ConfigurationError,
    IncompleteError,
    NotFoundError,
    OutcomeUnknownError,
    RollbackError,
    StorageUnavailableError,
    UnavailableError,
)
from apostille.services.attester import utc_text
from apostille.services.keeper import STATEMENT_KEY_LIFE_MS, Keeper
from apostille.services.publisher import LogSigner
from apostille.services.verifier import verify_receipt
from apostille.storage.vault import MemoryVault
from tests.simulators.world import MemorySink, World, seed


@pytest.fixture
def world():
    return World()


def lived(world: World, outputs: int = 3) -> None:
    keeper = world.keeper()
    talk(keeper, outputs)
    keeper.close()


def refused(world: World, error: type[Exception], match: str, **parts) -> None:
    """Opening a keeper raises, and neither the store nor head memory nor the tiles have changed: nothing was signed."""
    store = parts.get("store", world.store)

    def seen():
        return list(store.checkpoints_from(0)), store.head(), store.count(), dict(world.heads.heads), dict(world.sink.files)

    before, threads = seen(), threading.active_count()
    with pytest.raises(error, match=match):
        Keeper(replace(world.parts, **parts))
    assert seen() == before, "a keeper that refused has signed or written something"
    assert threading.active_count() == threads, "a keeper that refused has left a thread"


# --- the restore guard


def test_a_store_that_is_as_it_was_is_taken(world):
    lived(world)
    lived(world)
    assert world.store.checkpoint().size == world.store.head().size == world.heads.heads[world.signer.origin].size


def test_an_old_copy_is_refused(world):
    """Threat 14: a backup from before the last published entries, the machine's head memory intact."""
    lived(world)
    backup = copy_store(world.store)
    lived(world)
    refused(world, RollbackError, "remembered on this machine: an old copy was restored", store=backup, sink=MemorySink())
    assert list(backup.checkpoints_from(0)) != list(world.store.checkpoints_from(0))


def test_history_rewritten_under_the_remembered_head(world):
    """Threat 2: the log rebuilt with the real keys, as long as before; only head memory tells."""
    lived(world, 3)
    other = World()
    lived(other, 1)
    lived(other, 4)
    assert other.store.count() >= world.store.count()
    refused(world, RollbackError, "remembered on this machine: it was rewritten", store=other.store, sink=MemorySink())


def test_longer_history_that_continues_is_taken(world):
    lived(world)
    ahead = copy_store(world.store)
    longer = World(store=ahead, heads=world.heads)
    longer.parts = replace(longer.parts, vault=world.vault)
    lived(longer)
    assert ahead.count() > world.store.count()
    Keeper(replace(world.parts, store=ahead)).close()


def test_own_checkpoint_beyond_the_head(world):
    """Truncated behind what was signed, head row mended, head memory lost: the store's own checkpoint tells."""
    lived(world)
    cut(world.store, world.store.count() - 1)
    world.heads.heads.clear()
    refused(world, RollbackError, r"was signed: an old copy")


def test_own_checkpoint_of_another_tree(world):
    lived(world)
    world.heads.heads.clear()
    newest = world.store.checkpoint()
    world.store._checkpoints[newest.size] = replace(newest, root_hash=bytes(32))
    refused(world, RollbackError, "signed: it was rewritten")


def test_a_leaf_hash_that_was_altered(world):
    lived(world)
    alter(world, 2, leaf_hash=bytes(32))
    refused(world, RollbackError, "rewritten")


def test_an_unpublished_tail_that_was_altered(world):
    """Nothing signed covers it; the head row does."""
    keeper = world.keeper()
    talk(keeper)
    keeper.close()
    quiet = quiet_keeper(world)
    quiet.publish()
    signed = world.store.checkpoint().size
    talk(quiet, 2)
    size = world.store.count()
    quiet._sequencer.close()
    world.store._checkpoints = {s: c for s, c in world.store._checkpoints.items() if s <= signed}
    world.heads.heads = {world.signer.origin: Checkpoint(world.signer.origin, signed, world.store.checkpoint().root_hash)}
    assert size > signed
    alter(world, size - 1, leaf_hash=bytes(32))
    refused(world, RollbackError, "its own head")


def killed(keeper: Keeper) -> None:
    """What is left of a keeper that was killed: what it committed, and nothing published since."""
    keeper._sequencer.close()


def test_a_sound_tail_is_published_at_the_next_start(world):
    quiet = quiet_keeper(world)
    talk(quiet, 2)
    killed(quiet)
    assert world.store.checkpoint() is None
    keeper = world.keeper()
    assert keeper.wait_published(world.store.count() - 1, 5).size == world.store.count()
    keeper.close()


def test_a_tail_that_nobody_certified_has_signed(world):
    """Rows that somebody put behind the last signed head while no keeper ran: signing them would make them ours."""
    insider = Insider()
    world = insider.world
    insider.keeper.publish()
    with insider.keeper._publisher._signing:
        insider.output(insider.new_key("stranger"))
        killed(insider.keeper)
        refused(world, RollbackError, "does not reach genesis")


def test_behind_what_was_published(world):
    """Head memory is lost, the store is an old copy: the published tiles still tell."""
    lived(world)
    backup = copy_store(world.store)
    lived(world)
    world.heads.heads.clear()
    refused(world, RollbackError, "published: an old copy was restored", store=backup)


def test_a_head_memory_of_another_log_says_nothing(world):
    lived(world)
    world.heads.heads["another.example/log"] = Checkpoint("another.example/log", 10**6, bytes(32))
    world.keeper().close()


# --- keys


def test_the_log_key_of_another_store(world):
    other = World("other-")
    refused(world, ConfigurationError, "genesis", signer=other.signer)


@pytest.mark.parametrize("which", ["ed25519", "mldsa44"])
def test_one_log_key_exchanged(world, which):
    mine = world.signer
    other = {"ed25519": keys.Ed25519Key(seed("x")), "mldsa44": keys.MlDsa44Key(seed("x"))}[which]
    both = {"ed25519": mine.ed25519, "mldsa44": mine.mldsa44, which: other}
    refused(world, ConfigurationError, "genesis", signer=LogSigner(mine.origin, **both))


def test_the_same_log_keys_under_another_name(world):
    mine = world.signer
    refused(world, ConfigurationError, "genesis", signer=LogSigner("else.example/log", mine.ed25519, mine.mldsa44))


def test_the_keeper_key_of_another_store(world):
    refused(world, ConfigurationError, "not certified", key=World("other-").keeper_key)


def test_unit_keys_that_are_lost(world):
    """The key file of the store is gone, or another's: nothing is sealed under a new key in its place."""
    lived(world)
    refused(world, ConfigurationError, "put it back", vault=MemoryVault(world.random.token))


def test_a_key_is_used_again_for_its_holder(world):
    keeper = world.keeper()
    first = keeper.attester("a", held_by="agent")
    assert keeper.attester("a", held_by="agent") is first
    others = [keeper.attester("b", held_by="agent"), keeper.attester("a", held_by="gateway")]
    assert len({tool.key.key_id for tool in (first, *others)}) == 3
    keeper.close()
    assert world.store.count() == 2 + 3


def test_what_a_certificate_says(world):
    keeper = world.keeper()
    tool = keeper.attester("Ann Smith", held_by="agent")
    keeper.close()
    index = world.store.index_of_key(sha256(tool.key.spki))
    item = leaf(world, index)
    assert item.said.type == predicates.KEY
    assert (item.fields["event"], item.fields["usage"], item.fields["held_by"]) == ("certify", "statement", "agent")
    assert item.fields["issuer"] == world.store.record(1).pae_digest.hex()
    assert item.said.subjects["spki"] == sha256(tool.key.spki)
    assert item.attributes == {"holder": "Ann Smith"}
    assert b"Ann" not in world.store.record(index).statement
    begin = item.fields["not_before"]
    assert begin <= item.fields["captured_at"]
    ends = {
        utc_text(ms + STATEMENT_KEY_LIFE_MS) for ms in range(world.clock.now - 100, world.clock.now + 1) if utc_text(ms) == begin
    }
    assert {item.fields["not_after"]} == ends
    assert "certify" not in item.fields, "an agent's key certifies nothing"


def test_half_a_life_later_there_is_a_new_key(world):
    keeper = world.keeper()
    first = keeper.attester("a", held_by="agent")
    world.clock.now += STATEMENT_KEY_LIFE_MS // 2 - 60_000
    assert keeper.attester("a", held_by="agent") is first
    world.clock.now += 120_000
    assert keeper.attester("a", held_by="agent") is not first
    keeper.close()


DAY_MS = 24 * 3600 * 1000


@pytest.mark.parametrize("step", [-1_000, -10_000, -DAY_MS, -400 * DAY_MS, 13 * 3600 * 1000, 25 * 3600 * 1000, 400 * DAY_MS])
@pytest.mark.parametrize("when", ["before the key", "in the run", "before the start"])
def test_a_clock_that_was_set_makes_no_evidence_that_fails(step, when):
    """Back or forth, by seconds or by days: what is signed can be verified by everybody, and the next keeper starts on it.

    With a clock that is far behind what the log has said no keeper starts; it does when the clock is set right.
    """
    world = World()
    if when == "before the start":
        world.clock.now += step
        if step < -60_000:
            with pytest.raises(UnavailableError, match="clock stop"):
                quiet_keeper(world)
            return
    keeper = quiet_keeper(world)
    if when == "before the key":
        world.clock.now += step
    run = keeper.open_run(agent="a")
    run.output(SAID, SAID, profile="opaque", media_type="text/plain").committed(5)
    if when == "in the run":
        world.clock.now += step
    said = run.output(SAID, SAID, profile="opaque", media_type="text/plain").committed(5)
    run.close().committed(5)
    killed(keeper)
    if step < -60_000:
        with pytest.raises(UnavailableError, match="clock stop"):
            world.keeper()
        world.clock.now -= step
    second = world.keeper()
    second.publish()
    verify_receipt(second.receipt_at(said.index)[1], world.policy(), artifact=SAID)
    second.close()
    assert examine(world).failures == []


def test_a_keeper_whose_certificate_has_ended(world):
    keeper = world.keeper()
    world.clock.now += 3650 * DAY_MS - 3600 * 1000
    run = keeper.open_run(agent="a")
    run.close().committed(5)
    world.clock.now += 3600 * 1000
    with pytest.raises(ConfigurationError, match="has ended"):
        keeper.open_run(agent="a")
    keeper.close()
    assert examine(world).failures == []


def test_the_key_is_certified_before_it_signs(world):
    keeper = world.keeper()
    run = keeper.open_run(agent="a")
    index = run.opened.committed(5).index
    keeper.close()
    signer = sha256(run._attester().key.spki)
    assert world.store.index_of_key(signer) < index


# --- receipts


def test_pending_then_published(world):
    quiet = quiet_keeper(world)
    quiet.publish()
    run = quiet.open_run(agent="a")
    said = run.output(SAID, SAID, profile="opaque", media_type="text/plain")
    done = said.committed(5)
    assert quiet.newest_checkpoint.size <= done.index
    for index in range(quiet.newest_checkpoint.size, world.store.count()):
        assert quiet.receipt_at(index)[0] == "committed"
    state, pending = quiet.receipt(said.receipt_id)
    assert state == "committed"
    with pytest.raises(IncompleteError, match="PENDING"):
        verify_receipt(pending, world.policy(), artifact=SAID)
    quiet.publish()
    state, receipt = quiet.receipt(said.receipt_id)
    assert state == "published"
    verified = verify_receipt(receipt, world.policy(), artifact=SAID)
    assert (verified.index, verified.digest) == (done.index, said.digest)
    assert verified.attributes["agent"] == "a"
    assert quiet.receipt_at(done.index) == (state, receipt)
    quiet.close()


@pytest.mark.parametrize("since", [1, 2, 3])
def test_since_proves_consistency(world, since):
    keeper = world.keeper()
    run = keeper.open_run(agent="a")
    said = run.output(SAID, SAID, profile="opaque", media_type="text/plain").committed(5)
    keeper.publish()
    _, receipt = keeper.receipt_at(said.index, since=since)
    assert b'"head":{' in receipt
    verify_receipt(receipt, world.policy(), artifact=SAID)
    keeper.close()


@pytest.mark.parametrize("since", [None, 0, -1, 10**6])
def test_since_that_is_no_head_of_ours(world, since):
    """A size that this log has not signed yet gives no proof, and no error: the recipient sees that there is none."""
    keeper = world.keeper()
    said = keeper.open_run(agent="a").output(SAID, SAID, profile="opaque", media_type="text/plain").committed(5)
    keeper.publish()
    _, receipt = keeper.receipt_at(said.index, since=since)
    assert b'"head":{' not in receipt
    keeper.close()


@pytest.mark.parametrize("name", ["", "xyz", "ab" * 15, "AB" * 16, "ab" * 17, "0" * 32, "é" * 32])
def test_no_such_receipt(world, name):
    keeper = world.keeper()
    with pytest.raises(NotFoundError):
        keeper.receipt(name)
    keeper.close()


def test_bundle_waits_for_publication(world):
    keeper = world.keeper()
    said = keeper.open_run(agent="a").output(SAID, SAID, profile="opaque", media_type="text/plain").committed(5)
    bundle = keeper.bundle_at(said.index)
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    keeper.close()


# --- readiness and closing


def test_ready_while_all_is_well(world):
    keeper = world.keeper()
    talk(keeper)
    keeper.publish()
    keeper.ready()
    keeper.close()


def test_not_ready_when_publication_lags(world):
    """The maximum merge delay is 60 s: beyond it nothing more is accepted."""

    class Full:
        def recall(self, origin):
            return None

        def remember(self, checkpoint):
            raise StorageUnavailableError("the disk of head memory is full")

    keeper = Keeper(replace(world.parts, heads=Full()), publish_interval_seconds=0.01)
    talk(keeper)
    with pytest.raises(OutcomeUnknownError, match="head memory is full"):
        keeper.wait_published(world.store.count() - 1, 0.2)
    world.clock.now += 59_000
    keeper.ready()
    world.clock.now += 2_000
    with pytest.raises(UnavailableError, match="head memory is full"):
        keeper.ready()
    with pytest.raises(StorageUnavailableError):
        keeper.close()


def test_not_ready_when_the_log_has_stopped(world):
    keeper = world.keeper()
    talk(keeper)

    def broken(*_):
        raise StorageUnavailableError("disk full")

    world.store.commit = broken
    with pytest.raises(StorageUnavailableError, match="disk full"):
        keeper.open_run(agent="b").opened.committed(5)
    with pytest.raises(StorageUnavailableError, match="stopped"):
        keeper.ready()
    keeper.close()
    assert world.store.checkpoint().size == world.store.head().size, "what is durable is published all the same"


def test_close_commits_and_publishes(world):
    keeper = Keeper(world.parts, publish_interval_seconds=3600)
    run = keeper.open_run(agent="a")
    pending = [run.output(b"%d" % i, b"%d" % i, profile="opaque", media_type="text/plain") for i in range(50)]
    keeper.close()
    assert [p.committed(0).index for p in pending] == list(range(4, 54))
    assert world.store.checkpoint().size == world.store.count() == 54
    assert world.heads.heads[world.signer.origin].size == 54
    assert world.sink.size == 54
    with pytest.raises(StorageUnavailableError, match="closed"):
        run.output(b"x", b"x", profile="opaque", media_type="text/plain")


def test_waiting_for_publication_has_an_end(world):
    keeper = Keeper(world.parts, publish_interval_seconds=3600)
    with pytest.raises(OutcomeUnknownError, match=r"not published after 0\.05 s"):
        keeper.wait_published(10**6, 0.05)
    keeper.close()


def test_a_genesis_that_is_damaged(world):
    lived(world)
    alter(world, 0, statement=b"not a statement")
    refused(world, RollbackError, "altered or is damaged: statement")
