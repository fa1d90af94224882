"""Each attack does what it says, and a thorough one leaves a store that agrees with itself: only signatures and memory are left.

Were an attack clumsier than it claims, the end-to-end tests would show too much. Spec: trust.md section 3, classes (a) and (b).
"""

from __future__ import annotations

import pytest

from apostille import wiring
from apostille.core import predicates
from apostille.core.canon import profile_id
from apostille.core.entry import parse_entry
from apostille.core.merkle import leaf_hash
from apostille.core.statement import parse_statement
from apostille.core.tree import root_at
from apostille.errors import ApostilleError, ConfigurationError
from apostille.faces.cli.demo import attacks
from apostille.faces.cli.demo.rebuild import rebuild
from apostille.services.attester import Draft
from apostille.services.runs import output_draft

ANSWERS = 260  # more than one tile, so that a row of ``subtree`` is involved
OUTPUT = 5
RUN_SIZE = 2 * ANSWERS + 2


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A store with an agent's run, and the output of a file that belongs to none."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = wiring.StoreFolder(tmp_path / "store")
    wiring.init_store(made)
    keeper = wiring.open_keeper(made)
    run = keeper.open_run(agent="agent")
    call = run.tool_call(b"{}", b"{}", tool="send", profile=profile_id())
    for number in range(ANSWERS):
        run.output(b"%d" % number, b"%d" % number, profile=profile_id(), media_type="text/plain", parents=[call.digest])
    run.close()
    attester = keeper.attester("agent", held_by="agent")
    draft = output_draft(
        b"file",
        b"file",
        profile=profile_id(),
        media_type="text/plain",
        findings=(),
        parts=(),
        attributes={"agent": "agent"},
        references={},
        outcome=None,
        assurance="observed",
        commitment="plain",
    )
    keeper.submit(attester.attest(draft, unit=bytes(16), nonce=bytes(16))).wait(10)
    keeper.close()
    return made


def read(folder):
    reader = wiring.open_reader(folder)
    try:
        rows = dict(reader.records())
        head = reader.head()
        assert list(rows) == list(range(head.size))
        assert reader.count() == head.size
        assert all(leaf_hash(row.entry) == row.leaf_hash for row in rows.values())
        assert root_at(head.size, reader.hashes) == head.root_hash
        assert len(reader.hashes(1, 0, head.size // 256)) == head.size // 256
        return rows, head, list(reader.checkpoints_from(0))
    finally:
        reader.close()


THOROUGH = [
    (lambda f: attacks.edit_entry(f, OUTPUT, "other", is_thorough=True), 0),
    (lambda f: attacks.delete_leaf(f, OUTPUT, is_thorough=True), -1),
    (lambda f: attacks.swap_leaves(f, OUTPUT, 9, is_thorough=True), 0),
    (lambda f: attacks.insert_leaf(f, 9, is_thorough=True), 1),
    (lambda f: attacks.insert_leaf(f, is_thorough=True), 1),
    (lambda f: attacks.truncate(f, grade="head"), -10),
    (attacks.truncate, -10),
]


@pytest.mark.parametrize(("attack", "grown"), THOROUGH)
def test_a_thorough_attack_leaves_a_store_that_agrees_with_itself(folder, attack, grown):
    before, was, _ = read(folder)
    done = attack(folder)
    after, now, _ = read(folder)
    assert done.attacker == "a"
    assert now.size == was.size + grown
    assert now.root_hash != was.root_hash
    assert {row.entry for row in after.values()} != {row.entry for row in before.values()} or done.name == "swap_leaves"


def test_naive_attacks_touch_what_they_name_and_nothing_else(folder):
    before, was, _ = read(folder)
    attacks.edit_statement(folder, OUTPUT)
    attacks.edit_opening(folder, 7)
    after, now, _ = read(folder)
    assert now == was
    assert [index for index in before if before[index] != after[index]] == [OUTPUT, 7]
    old, new = (parse_statement(rows[OUTPUT].statement) for rows in (before, after))
    assert {name for name in old.predicate if old.predicate[name] != new.predicate[name]} == {"captured_at"}
    assert [a == b for a, b in zip(before[7].openings, after[7].openings, strict=True)] == [True, False, True]


def test_an_edited_entry_commits_to_the_other_text_under_the_old_signature(folder):
    before, _, _ = read(folder)
    attacks.edit_entry(folder, OUTPUT, "other", is_thorough=True)
    after, _, _ = read(folder)
    old, new = (parse_entry(rows[OUTPUT].entry) for rows in (before, after))
    assert (old.signature, old.spki) == (new.signature, new.spki)
    assert old.pae_digest != new.pae_digest == after[OUTPUT].pae_digest


def test_truncation_leaves_no_trace_but_what_was_signed_before(folder):
    attacks.truncate(folder)
    _, head, signed = read(folder)
    assert all(claim.size <= head.size for claim in signed)
    assert not folder.log.exists()


def test_an_old_copy_is_the_old_copy(folder, tmp_path):
    copy = attacks.copy_store(folder, tmp_path / "copy")
    before = read(folder)
    attacks.truncate(folder)
    attacks.restore_copy(folder, copy)
    assert read(folder) == before


def test_a_rebuilt_log_is_its_twin_and_says_something_else(folder):
    before, was, _ = read(folder)
    done = rebuild(folder, lambda index: f"rebuilt {index}")
    after, now, signed = read(folder)
    assert (done.attacker, now.size, signed[-1].size) == ("b", was.size, was.size)
    assert [before[index] for index in (0, 1, 2)] == [after[index] for index in (0, 1, 2)]
    for index in range(3, now.size):
        old, new = (parse_statement(rows[index].statement) for rows in (before, after))
        assert old.type == new.type
        assert old.predicate["captured_at"] == new.predicate["captured_at"]
        assert old.predicate["key_id"] != new.predicate["key_id"] or old.type == predicates.KEY
        assert old.subjects.keys() == new.subjects.keys()
        assert before[index].entry != after[index].entry
        if old.type == predicates.OUTPUT:
            assert before[index].nonce == after[index].nonce


def test_rebuilding_stops_at_what_it_does_not_know(folder):
    keeper = wiring.open_keeper(folder)
    attester = keeper.attester("agent", held_by="agent")
    fields = {"from": "2026-11-24T03:00:00.000Z", "to": "2026-11-24T03:00:01.000Z"}
    gap = attester.attest(Draft(predicates.GAP, fields, {"route": "r", "reason": "r"}), unit=bytes(16))
    keeper.submit(gap).wait(10)
    keeper.close()
    with pytest.raises(ConfigurationError, match="does not know: urn:apostille:gap:v1"):
        rebuild(folder, lambda _: "rebuilt")
    # What was there is still there.
    assert read(folder)[0][0]
    wiring.open_keeper(folder).close()


def test_a_store_that_is_not_there(tmp_path):
    with pytest.raises(ApostilleError):
        rebuild(wiring.StoreFolder(tmp_path), lambda _: "rebuilt")
