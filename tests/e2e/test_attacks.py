"""Every attack of the one list on a real store, and what the product says of each: exit code and words, as the design promises them.

Spec: trust.md section 3 (attacker classes; threats 1, 2, 10, 14, 24, 26), section 4 (exit codes), section 12 (scenarios 2, 3, 5, 9);
formats.md section 9 (restore guard).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace

import pytest

from apostille import wiring
from apostille.errors import ApostilleError, NotFoundError, RollbackError
from apostille.faces import codes
from apostille.faces.cli.demo import acts, attacks, checks, table
from apostille.faces.cli.demo.cases import CASES
from apostille.faces.cli.demo.checks import look
from apostille.faces.cli.demo.rebuild import rebuild
from apostille.faces.cli.demo.site import FORGED, OUTPUT, SIZE, TEXTS, Site, make_site
from apostille.faces.cli.demo.stage import Recorder
from apostille.faces.cli.terminal import Terminal
from apostille.faces.cli.verify import verify_targets
from tests.e2e import attack_manual

IDS = [f"{case.attacker}: {case.name}" for case in CASES]
APOSTILLE = [sys.executable, "-c", "from apostille.faces.cli import main; main()"]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A store of two runs, and the receipts that were handed out."""
    return make_site(tmp_path_factory.mktemp("attacks") / "template")


@pytest.fixture
def site(template, tmp_path):
    shutil.copytree(template.path, tmp_path / "site")
    return Site(tmp_path / "site")


def ask(site, machine, *targets, log=None):
    """Verify on a machine; the document of the verdict."""
    recorder = Recorder()
    with site.machine(machine).at_work():
        code = verify_targets(recorder, [str(t) for t in targets], artifact=None, log=str(log) if log else None, trust=None)
    assert recorder.documents[0]["exit"] == code
    return recorder.documents[0]


def test_the_store_is_good_before(site):
    found = ask(site, "clinic", site.folder.path)
    assert (found["exit"], found["verdict"], found["failures"]) == (0, "VERIFIED, UNWITNESSED", [])
    assert found["audit"]["size"] == SIZE
    assert found["audit"]["openings"] == {"opened": SIZE, "sealed": 0, "erased": 0, "missing": 0}
    for index in TEXTS:
        found = ask(site, "clinic", site.receipt(index))
        assert (found["exit"], found["verdict"], found["receipt"]["is_content_compared"]) == (0, "VERIFIED, UNWITNESSED", True)
        assert ask(site, "clinic", site.receipt(index), log=site.folder.path)["exit"] == 0


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_each_attack_comes_out_as_promised(case, template, tmp_path):
    for seen in table.play(case, template, tmp_path / "site"):
        assert seen.is_expected, seen
        # A refusal is about the evidence, never a fault of ours.
        assert seen.code != codes.INTERNAL


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_without_the_attack_the_promise_does_not_hold(case, site):
    """No check shows an attack that did not happen: whatever is not 0 comes from the attack."""
    if case.name == "hand over the output of another receipt":
        return  # the check itself hands it over
    words = {"signed": str(site.first_signed())}
    shutil.copytree(site.folder.path, site.path / "true")
    site.receipt("forged").write_bytes(site.receipt(OUTPUT).read_bytes())
    (site.inbox / "forged.txt").write_bytes((site.inbox / f"{OUTPUT}.txt").read_bytes())
    if case.attacker == "a" and case.name.startswith("behind a keeper"):
        acts.behind(lambda _: None, site)
    for check in case.checks:
        if check.code != 0 and check.rests_on != checks.QUORUM:
            with contextlib.suppress(OSError, ApostilleError):  # a receipt that only the attack hands out
                assert not look(check, site, words).is_expected, check
    checks.close_quietly(site)


NOT_HALTED = [
    case for case in CASES if case.checks[0].command == "verify STORE" and len(case.checks) == 1 and case.attacker == "a"
]


@pytest.mark.parametrize("case", NOT_HALTED, ids=[case.name for case in NOT_HALTED])
def test_a_keeper_started_meanwhile_heals_nothing(case, site):
    words = {"signed": str(site.first_signed())}
    case.attack(site)
    before = look(case.checks[0], site, words)
    with site.machine("clinic").at_work(), contextlib.suppress(ApostilleError):
        wiring.open_keeper(site.folder).close()
    after = look(case.checks[0], site, words)
    assert before.is_expected
    assert (after.code, after.reasons) == (before.code, before.reasons)


def test_many_of_each_class():
    count = {attacker: sum(case.attacker == attacker for case in CASES) for attacker in table.CLASSES}
    assert count["a"] >= 53
    assert count["b"] >= 9
    assert count["c"] >= 5
    assert len(set(IDS)) == len(IDS)
    for case in CASES:
        assert case.checks
        for check in case.checks:
            assert check.rests_on
            assert check.code == 0 or check.says


def test_what_is_not_covered_is_shown_as_it_is():
    """Class (c), and a fresh verifier in class (b): exit 0, UNWITNESSED, and never any other word for it."""
    bare = [(case.attacker, check) for case in CASES for check in case.checks if check.rests_on == checks.NOTHING]
    assert {(attacker, check.machine) for attacker, check in bare} == {("b", "newcomer"), ("c", "newcomer"), ("c", "clinic")}
    for _, check in bare:
        assert (check.code, check.says) == (0, "VERIFIED, UNWITNESSED")


# --- More than a row can say ------------------------------------------------------------------------------------------------------


def test_a_fresh_machine_sees_nothing_and_says_unwitnessed(site, template):
    """The honest limit: whoever holds only the pinned key can't tell two histories apart."""
    rebuild(site.folder, lambda _: FORGED)
    assert look(checks.honest(), site, {"signed": ""}).is_expected
    # From then on it remembers the forged head, and the true history is the one that differs.
    found = ask(site, "newcomer", site.folder.path)
    assert found["exit"] == 0
    assert any(line.startswith("UNWITNESSED: no independent witness") for line in found["not_checked"])
    found = ask(site, "newcomer", template.folder.path)
    assert (found["exit"], found["failures"][0]["message"][: len(f"REWRITE before size {SIZE}")]) == (
        1,
        f"REWRITE before size {SIZE}",
    )


def test_a_first_look_says_that_nothing_is_remembered(site):
    rebuild(site.folder, lambda _: FORGED)
    assert look(checks.still_good(), site, {}).is_expected
    found = ask(site, "recipient", site.folder.path)
    assert found["exit"] == 0
    assert any("no head of this log is remembered" in line for line in found["not_checked"])
    found = ask(site, "recipient", site.receipt(OUTPUT))
    assert any(line.startswith("head not compared") for line in found["not_checked"])


def test_without_any_unit_key_what_is_sealed_is_counted(site):
    site.folder.key("units").unlink()
    assert ask(site, "clinic", site.folder.path)["audit"]["openings"]["sealed"] == SIZE


def test_a_shorter_history_is_called_no_rollback_by_whoever_knows_none(site):
    attacks.truncate(site.folder)
    seen = look(checks.store("INCOMPLETE", "", code=4, machine="newcomer"), site, {})
    assert seen.is_expected
    assert not any("ROLLBACK" in line or "REWRITE" in line for line in seen.reasons)


def test_no_keeper_makes_a_strange_leaf_its_own(site):
    attacks.insert_leaf(site.folder, is_thorough=True)
    before = site.signed()
    with site.machine("clinic").at_work():
        for _ in range(2):
            with pytest.raises(RollbackError, match=r"signed by no certified key|does not reach genesis"):
                wiring.open_keeper(site.folder)
            assert site.signed() == before


def test_a_real_process_says_the_same(site):
    attacks.edit_entry(site.folder, OUTPUT, FORGED, is_thorough=True)
    with site.machine("clinic").at_work():
        done = subprocess.run([*APOSTILLE, "verify", str(site.folder.path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("NOT VERIFIED")
    assert f"leaf {OUTPUT}: the signature of the statement does not verify" in done.stdout
    assert "Traceback" not in done.stderr


# --- The command ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Folders of a user's own, in which anything that is touched would show."""
    for name in ("config", "state", "tmp"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv({"tmp": "TMPDIR"}.get(name, f"XDG_{name.upper()}_HOME"), str(tmp_path / name))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


def test_the_command_shows_every_row_and_touches_nothing(mine):
    done = subprocess.run([*APOSTILLE, "attacks", "--json"], capture_output=True, text=True, timeout=60, check=False, cwd=mine)
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert (shown["exit"], shown["wrong"], shown["attacks"]) == (0, 0, len(CASES))
    assert [(r["class"], r["attack"], r["check"], r["machine"], r["exit"], r["rests_on"]) for r in shown["rows"]] == [
        (case.attacker, case.name, c.command, c.machine, c.code, c.rests_on) for case in CASES for c in case.checks
    ]
    assert all(row["is_expected"] and row["verdict"] and row["said"] for row in shown["rows"])
    assert sorted(path.name for path in mine.rglob("*")) == ["config", "state", "tmp"]


def test_one_class_for_people(mine, capsys):
    assert table.attack_table(Terminal(), "c") == 0
    text = capsys.readouterr().out
    assert "(c) root" in text
    assert "(b)" not in text
    assert "exit 0   VERIFIED, UNWITNESSED" in text
    assert "rests on: NOT COVERED without an outsider" in text
    for word in ("tamper-proof", "immutable", "compliant"):
        assert word not in text
    with pytest.raises(NotFoundError, match="there are a, b, c"):
        table.attack_table(Terminal(), "d")


@pytest.mark.parametrize("change", [{"code": 0}, {"says": "something else"}, {"index": 3}])
def test_a_broken_promise_ends_with_70(mine, monkeypatch, capsys, change):
    """Never 1: that this build does not keep its word says nothing about anybody's evidence."""
    del mine
    case = CASES[0]
    monkeypatch.setattr(table, "CASES", (replace(case, checks=(replace(case.checks[0], **change),)),))
    assert table.attack_table(Terminal(), None) == codes.INTERNAL
    assert "1 not as promised" in capsys.readouterr().out


def test_a_check_that_signs_is_never_as_promised(site):
    """Were a refusal to sign or remember something all the same, the row would say so."""

    def run(site, recorder):
        del recorder
        site.say("first", 1)
        return 0

    assert not look(checks.Check("x", "clinic", 0, "", "x", run), site, {}).is_expected


def test_the_manual_is_written_from_the_list():
    page = attack_manual.PAGE.read_text("utf-8")
    assert page.partition(attack_manual.BEGIN + "\n")[2] == attack_manual.table(), "run: python -m tests.e2e.attack_manual"
