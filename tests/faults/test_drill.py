"""The kill drill in its short form: real processes, ``kill -9`` at random moments, everything that was handed out held against the log.

The long form is ``make drill N=200``. Spec: trust.md section 3 (threat 9) and section 12, scenario 3; style.md section 8.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from dataclasses import replace

import pytest
from extent import IS_ALL

from apostille.core import note
from apostille.core.checkpoint import Checkpoint, format_checkpoint
from apostille.errors import ApostilleError
from apostille.faces.cli.demo import attacks
from tests.faults.drill import VICTIMS, Broken, Drill

KILLS = 8 if IS_ALL else 3
SEED = 20261124


@pytest.mark.slow
@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_at_random_moments(victim, tmp_path):
    drill = Drill(tmp_path / "drill", random.Random(f"{SEED} {victim}"))
    drill.drill(victim, KILLS)
    assert drill.counts["kills"] >= KILLS
    assert drill.counts["whole answers"] > KILLS, "they were killed before they had said anything"
    assert drill.counts["audits"] == 1


def can_mount(place) -> bool:
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", place], capture_output=True, check=False).returncode:
        return False
    subprocess.run(["umount", place], check=True)
    return True


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["gateway", "sdk"])
def test_killed_on_a_disk_that_fills_up(victim, tmp_path):
    if not can_mount(tmp_path / "try"):
        pytest.skip("no file system can be mounted here")
    drill = Drill(tmp_path / "drill", random.Random(f"{SEED} {victim}"), disk_kilobytes=1200)
    drill.drill(victim, KILLS)
    assert drill.counts["kills"] >= KILLS
    assert drill.counts["times the disk was full"] >= 1


@pytest.fixture(scope="module")
def drilled(tmp_path_factory):
    """A store after two kills, and what was handed out."""
    drill = Drill(tmp_path_factory.mktemp("drill") / "drill", random.Random(SEED))
    drill.drill("sdk", 2)
    assert len(drill.answers) > 4
    return drill


@pytest.fixture
def after(drilled, tmp_path):
    shutil.copytree(drilled.place, tmp_path / "drill", ignore=shutil.ignore_patterns("*.sock"))
    again = Drill(tmp_path / "drill", random.Random(SEED), dict(drilled.heads), list(drilled.answers), dict(drilled.indexes))
    again.check_answers(again.answers)
    again.check_heads()
    return again


@pytest.mark.slow
class TestTheseChecksCanFail:
    """Break what the drill looks at, and it says so."""

    def test_another_byte(self, after):
        first = after.answers[0]
        after.answers[0] = replace(first, body=first.body[:-1] + b"?")
        with pytest.raises(Broken, match="other bytes than the leaf's"):
            after.check_answers(after.answers)

    def test_a_cut_answer_of_other_bytes(self, after):
        first = after.answers[0]
        after.answers[0] = replace(first, body=b"?", is_whole=False)
        with pytest.raises(Broken, match="other bytes than the leaf's"):
            after.check_answers(after.answers)

    def test_an_answer_that_is_not_in_the_log(self, after):
        attacks.truncate(after.folder, 60)
        with pytest.raises(Broken, match="handed out, and not in the log"):
            after.check_answers(after.answers)

    def test_an_index_given_twice(self, after):
        after.answers.append(replace(after.answers[0], source="somebody else"))
        with pytest.raises(Broken, match="was given to"):
            after.check_answers(after.answers)

    def test_another_root_of_a_size(self, after):
        size = max(after.heads)
        text = format_checkpoint(Checkpoint(after.folder.origin(), size, bytes(32)))
        other = note.format_note(note.Note(text, (note.NoteSignature("x", bytes(4), bytes(64)),)))
        with pytest.raises(Broken, match="was signed with two roots"):
            after.note_head(other)

    def test_a_head_that_the_log_does_not_continue(self, after):
        after.heads[3] = bytes(32)
        with pytest.raises(Broken, match=r"is of another log|two roots"):
            after.check_heads()

    def test_a_leaf_that_was_altered(self, after):
        attacks.edit_entry(after.folder, 8, "other", is_thorough=True)
        with pytest.raises((Broken, ApostilleError)):
            after.audit()
