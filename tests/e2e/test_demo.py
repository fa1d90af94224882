"""The demo tells the whole story offline, in seconds, in folders of its own, and only claims what really happened.

Spec: product.md ("Two commands", "Words"); trust.md section 3 (what each attacker can), section 4 (exit codes).
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from apostille.errors import ConflictError, RollbackError, StorageUnavailableError, UnavailableError
from apostille.faces.cli.demo import attacks, demo
from apostille.faces.cli.demo.model import LETTERS
from apostille.faces.cli.terminal import Terminal
from apostille.faces.cli.verify import verify_targets
from tests.simulators import openai_upstream as sim

APOSTILLE = [sys.executable, "-c", "from apostille.faces.cli import main; main()"]
HIDDEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\U000e0000-\U000e01ef]")
MEMORY = "the head that this machine remembers, outside the store"
# scene, machine, verdict, exit code, what must be said, what it rests on.
PROMISED = [
    (4, "recipient", "VERIFIED, UNWITNESSED", 0, "", "the pinned key, and signatures that lead from it to this answer"),
    (5, "clinic", "NOT VERIFIED", 1, "leaf 11: the signature", "the gateway's signature under the answer, and the signed heads"),
    (6, "clinic", "NOT VERIFIED", 1, "HALT_ROLLBACK: a head of size 15 is remembered, the first 5 leaves", MEMORY),
    (6, "clinic", "HALT_ROLLBACK", 1, "a head of size 15 was remembered on this machine: an old copy was restored", MEMORY),
    (7, "clinic", "NOT VERIFIED", 1, "REWRITE before size 15: history is not the one that this machine remembers", MEMORY),
    (7, "newcomer", "VERIFIED, UNWITNESSED", 0, "", "the log's key alone, and the attacker has it"),
    (
        7,
        "recipient",
        "NOT VERIFIED",
        1,
        "under the head in the receipt",
        "the signed head in the receipt that was handed out before",
    ),
]


def environment(home: Path) -> dict[str, str]:
    """No model API, no settings of anybody, and a temporary folder in which leftovers would show."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI", "APOSTILLE", "XDG"))}
    for name in ("config", "state", "tmp"):
        (home / name).mkdir()
    paths = {"XDG_CONFIG_HOME": home / "config", "XDG_STATE_HOME": home / "state", "TMPDIR": home / "tmp", "HOME": home}
    return env | {name: str(path) for name, path in paths.items()}


def tell(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    started = time.monotonic()
    done = subprocess.run(
        [*APOSTILLE, "demo", *words], capture_output=True, text=True, env=environment(home), cwd=home, timeout=60, check=False
    )
    assert time.monotonic() - started < 60
    return done


@pytest.fixture
def nobody(tmp_path, monkeypatch):
    """This process, with no settings of anybody's."""
    for name in list(os.environ):
        if name.startswith(("OPENAI", "XDG")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_every_verdict_is_the_promised_one(tmp_path):
    done = tell(tmp_path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    story = json.loads(done.stdout)
    assert (story["exit"], story["is_scripted"], len(story["scenes"])) == (0, True, 7)
    verdicts = [(scene["scene"], verdict) for scene in story["scenes"] for verdict in scene["verdicts"]]
    assert len(verdicts) == len(PROMISED)
    for (number, verdict), (scene, machine, words, code, reason, rests_on) in zip(verdicts, PROMISED, strict=True):
        assert (number, verdict["machine"], verdict["verdict"], verdict["exit"]) == (scene, machine, words, code)
        assert reason in " ".join(verdict["reasons"])
        assert (verdict["rests_on"], verdict["is_expected"]) == (rests_on, True)
    hidden = story["scenes"][2]["hidden"]
    assert hidden["model"] == {
        "tag_characters": "4711-0815",
        "variation_selectors": "4711-0815",
        "overrides": [{"stored": "941", "read": "149"}],
    }
    assert hidden["sent"] == {"tag_characters": "", "variation_selectors": "", "overrides": []}
    assert story["scenes"][2]["findings"] == {"BIDI_OVERRIDE": 2, "TAG_DROP": 9, "VS_RUN": 9}
    assert [scene["attack"]["attacker"] for scene in story["scenes"][4:]] == ["a", "a", "b"]
    assert any("isolation: none" in line for line in story["not_shown"])
    # Nothing of the user's was touched, nothing is left.
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["config", "state", "tmp"]


def test_the_story_for_people(tmp_path):
    done = tell(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert not HIDDEN.search(done.stdout)
    assert "\x1b" not in done.stdout
    assert "Enter" not in done.stdout
    text = done.stdout.lower()
    for word in ("tamper-proof", "immutable", "compliant", "court-admissible", "the model signed"):
        assert word not in text
    for word in ("tamper-evident", "unwitnessed", "what this does not show", "what to do next", "⟦u+202e⟧941⟦u+202c⟧", "readme"):
        assert word in text
    # What we tell is short; what the product says is as long as it is.
    told = [line for line in done.stdout.splitlines() if not line.lstrip().startswith(("|", "!", "model ", "sent "))]
    assert max(map(len, told)) <= 110


def test_quiet_says_the_verdicts_only(nobody, capfd):
    assert demo(Terminal(is_quiet=True), out=None, upstream=None, model="m") == 0
    said = capfd.readouterr()
    assert said.err == ""
    assert said.out.splitlines() == [f"{scene}  {code}  {words}" for scene, _, words, code, *_ in PROMISED]


@pytest.mark.parametrize("is_ci", [False, True])
def test_pauses_are_for_people_who_can_skip_them(tmp_path, is_ci):
    env = environment(tmp_path) | {"TERM": "xterm"}
    env.pop("CI", None)
    ours, theirs = pty.openpty()
    try:
        command = subprocess.Popen(
            [*APOSTILLE, "demo"], stdin=theirs, stdout=theirs, stderr=theirs, env=env | ({"CI": "1"} if is_ci else {})
        )
        os.close(theirs)
        os.write(ours, b"\n" * 6)
        seen = b""
        with contextlib.suppress(OSError):  # so a terminal ends
            while piece := os.read(ours, 65536):
                seen += piece
        assert command.wait(60) == 0
    finally:
        os.close(ours)
    assert seen.count(b"(Enter to go on)") == (0 if is_ci else 6)
    assert b"\x1b[1;36m" in seen


def test_out_keeps_everything(nobody, monkeypatch):
    kept = nobody / "kept"
    assert demo(Terminal(is_quiet=True), out=kept, upstream=None, model="m") == 0
    for name in ("CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(kept / "clinic" / name.lower()))
    for store, code in (("store", 0), ("store-edited", 1), ("store-truncated", 1), ("store-rebuilt", 1)):
        found = verify_targets(Terminal(is_quiet=True), [str(kept / store)], artifact=None, log=None, trust=None)
        assert found == code
    assert len(list((kept / "outbox").glob("*.receipt.json"))) == len(LETTERS)
    with pytest.raises(ConflictError, match="not empty"):
        demo(Terminal(is_quiet=True), out=kept, upstream=None, model="m")


def test_out_that_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailableError):
        demo(Terminal(is_quiet=True), out=tmp_path / "file", upstream=None, model="m")


def test_a_model_that_does_not_obey(nobody, capsys, monkeypatch):
    """With a real API the story is told as it happens; nothing depends on what the model does."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-demo")
    with sim.OpenAIUpstream() as upstream:
        monkeypatch.setenv("OPENAI_BASE_URL", upstream.url)
        assert demo(Terminal(as_json=True), out=None, upstream=None, model="sim-1") == 0
    story = json.loads(capsys.readouterr().out)
    assert (story["is_scripted"], story["model"], story["exit"]) == (False, "sim-1", 0)
    assert story["scenes"][2]["hidden"]["model"] == story["scenes"][2]["hidden"]["sent"]
    assert "This model hid nothing that the decoder knows. The record says what was there." in story["scenes"][2]["told"]
    assert all(verdict["is_expected"] for scene in story["scenes"] for verdict in scene["verdicts"])
    # The letters reached it, with the user's key, through the gateway.
    assert len(upstream.asked) == len(LETTERS)
    assert {asked.headers["authorization"] for asked in upstream.asked} == {"Bearer sk-demo"}


def test_a_model_that_hides_more_than_was_asked(nobody, capsys):
    text = "yes" + sim.TAGS + "\n" * 30 + sim.OVERRIDE + "\x1b[31mred\x07"
    with sim.OpenAIUpstream() as upstream:
        upstream.script(*(sim.text(text) for _ in LETTERS))
        assert demo(Terminal(), out=None, upstream=upstream.url, model="sim-1") == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert not HIDDEN.search(out)
    assert "id4711" in out


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9/v1"])
def test_a_model_that_refuses(nobody, capfd, url):
    with sim.OpenAIUpstream() as upstream:
        upstream.script(*(sim.error(401, "no such key") for _ in LETTERS))
        with pytest.raises(UnavailableError, match="did not answer every letter"):
            demo(Terminal(is_quiet=True), out=None, upstream=url or upstream.url, model="sim-1")
    said = capfd.readouterr()
    assert said.err.startswith("agent: completions said ")
    assert list(nobody.iterdir()) == []


def test_an_error_that_escapes_is_no_verdict(nobody, monkeypatch):
    """Exit 1 would read as "altered"."""

    def fail(*_, **__):
        raise RollbackError("not of the user's log")

    monkeypatch.setattr(attacks, "truncate", fail)
    with pytest.raises(RuntimeError, match="the demo broke"):
        demo(Terminal(is_quiet=True), out=None, upstream=None, model="m")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_verdict_that_is_not_the_promised_one_is_our_fault(nobody, capsys, monkeypatch, as_json):
    """An attack that fails to do anything: the demo may not pretend that it was caught."""
    nothing = attacks.Attack("edit_entry", "a", "did nothing")
    monkeypatch.setattr(attacks, "edit_entry", lambda *_, **__: nothing)
    assert demo(Terminal(is_quiet=True, as_json=as_json), out=None, upstream=None, model="m") == 70
    said = capsys.readouterr()
    assert "the demo failed in scene 5" in said.err
    if as_json:
        assert json.loads(said.out)["exit"] == 70
