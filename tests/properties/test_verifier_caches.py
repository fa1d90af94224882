"""What receipts share is verified once; no verdict may depend on what was verified before.

Each receipt, good or altered, is judged twice: with every cache empty, and warm after the good one and all altered ones before
it. Steps, failures, notices and the verified value must be equal.
"""

from __future__ import annotations

import functools
import gc
import random

import pytest

from apostille.core import note
from apostille.core.policy import open_checkpoint, parse_policy
from apostille.core.receipt import parse_receipt
from apostille.errors import ApostilleError
from apostille.services.examination import Examination
from apostille.services.verifier import examine_receipt, verify_receipt
from tests.simulators.world import World

SAID = b"The refund is 42 EUR.\n"
MUTATIONS = 500


@pytest.fixture(scope="module")
def evidence():
    world = World()
    keeper = world.keeper()
    run = keeper.open_run(agent="claims-agent")
    said = run.output(SAID, SAID, profile="opaque", media_type="text/plain").committed(5).index
    early = []
    for _ in range(3):
        keeper.publish()
        early.append(keeper.receipt_at(said)[1])
        run.output(b"more", b"more", profile="opaque", media_type="text/plain").committed(5)
    run.close().committed(5)
    keeper.publish()
    receipt = keeper.receipt_at(said, since=2)[1]
    keeper.close()
    return world, receipt, early


def caches():
    """Every cache of the kernel, found by its type, so that one that is added later is tested too."""
    kind = type(parse_receipt.__globals__["_keys"])
    assert kind is functools._lru_cache_wrapper
    found = [item for item in gc.get_objects() if type(item) is kind]
    places = ("apostille.core.", "apostille.services.")
    return [c for c in found if c.__module__.startswith(places) and not c.__module__.startswith("apostille.core.canon")]


def clear():
    for cache in caches():
        cache.cache_clear()


def judge(data, policy):
    examination = Examination()
    found = examine_receipt(examination, data, policy, artifact=SAID)
    return found, examination.failures, examination.notices, [(s.number, s.outcome, s.detail) for s in examination.steps]


def mutated(receipt: bytes, dice: random.Random) -> bytes:
    """A byte changed, a stretch cut out, doubled or moved, or a text exchanged for another of the receipt."""
    at, size = dice.randrange(len(receipt)), dice.randrange(1, 40)
    how = dice.randrange(5)
    if how == 0:
        return receipt[:at] + bytes((receipt[at] ^ 1 << dice.randrange(8),)) + receipt[at + 1 :]
    if how == 1:
        return receipt[:at] + receipt[at + size :]
    if how == 2:
        return receipt[:at] + receipt[at : at + size] + receipt[at:]
    if how == 3:
        return receipt[:at] + dice.choice(b"ABCabc019+/").to_bytes(1, "big") + receipt[at + 1 :]
    texts = receipt.split(b'"')
    first, second = dice.randrange(1, len(texts), 2), dice.randrange(1, len(texts), 2)
    texts[first] = texts[second]
    return b'"'.join(texts)


@pytest.mark.parametrize("with_post_quantum", [False, True])
def test_cold_is_warm(evidence, with_post_quantum):
    world, receipt, _ = evidence
    policy = world.policy(with_post_quantum=with_post_quantum)
    dice = random.Random(20261124)
    inputs = [receipt, *(mutated(receipt, dice) for _ in range(MUTATIONS)), receipt]
    cold = []
    for data in inputs:
        clear()
        cold.append(judge(data, policy))
    clear()
    warm = []
    for data in inputs:
        judge(receipt, policy)  # all that it shares with the next is in the caches
        warm.append(judge(data, policy))
    for before, after in zip(cold, warm, strict=True):
        assert before == after
    assert cold[0][1] == ()
    assert sum(bool(failures) for _, failures, _, _ in cold) > MUTATIONS // 2


def test_a_warm_cache_does_not_bring_trust_to_another_trust_file(evidence):
    """The key holds the trust file: what one file trusts, another does not."""
    world, receipt, _ = evidence
    other = World(label="other ").policy()
    demanding = parse_policy(
        f"log {note.format_vkey(world.signer.vkeys[0])}\n"
        f"witness w {note.format_vkey(World(label='w ').signer.vkeys[1])}\nquorum w\n".encode()
    )
    clear()
    for _ in range(2):
        assert judge(receipt, world.policy())[1] == ()
        assert [f.code for f in judge(receipt, other)[1]] == ["untrusted"]
        assert [f.code for f in judge(receipt, demanding)[1]] == ["incomplete"]


def test_a_trust_file_that_is_changed_in_place_counts_as_it_is_now(evidence):
    """The key holds the trust file's content, not the object."""
    world, receipt, _ = evidence
    policy = world.policy(with_post_quantum=True)
    assert [name for name, _ in verify_receipt(receipt, policy, artifact=SAID).checkpoint.witnesses] == ["log-pq"]
    policy.witnesses.clear()
    assert verify_receipt(receipt, policy, artifact=SAID).checkpoint.witnesses == ()


def test_a_proof_of_one_checkpoint_does_not_serve_another(evidence):
    """The chain is verified against the checkpoint at hand, not against the one before."""
    world, receipt, early = evidence
    policy = world.policy()
    clear()
    parsed = [verify_receipt(data, policy, artifact=SAID) for data in (*early, receipt)]
    assert len({found.checkpoint.checkpoint.size for found in parsed}) == 4
    start, end = early[0].index(b'"keys":'), early[0].index(b',"salt"')
    other = receipt.index(b'"keys":'), receipt.index(b',"salt"')
    mixed = early[0][:start] + receipt[other[0] : other[1]] + early[0][end:]
    for _ in range(2):
        assert [f.code for f in judge(mixed, policy)[1]] == ["inclusion"]


def test_failures_are_not_kept_and_caches_are_bounded(evidence):
    world, receipt, _ = evidence
    policy = world.policy()
    clear()
    dice = random.Random(7)
    for _ in range(200):
        with pytest.raises(ApostilleError):
            verify_receipt(mutated(receipt, dice)[:-1], policy, artifact=SAID)
    line = receipt.index(b"\\u2014") if b"\\u2014" in receipt else receipt.index("\u2014".encode())
    broken = receipt[: line - 20] + (b"A" if receipt[line - 20 : line - 19] != b"A" else b"B") + receipt[line - 19 :]
    with pytest.raises(ApostilleError):
        verify_receipt(broken, policy, artifact=SAID)
    opened = open_checkpoint.__globals__["_open"].cache_info()
    assert opened.currsize == 0, "a note that failed is kept"
    assert all(cache.cache_info().maxsize is not None for cache in caches())
