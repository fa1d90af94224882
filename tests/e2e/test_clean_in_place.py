"""``apostille clean --in-place`` and the hooks of ``.pre-commit-hooks.yaml``, called as pre-commit calls them, and by pre-commit itself.

Spec: product.md, "Commands"; https://pre-commit.com, "Creating new hooks".
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ("tests.e2e.cli_kit",)

HIDDEN = "pay\U000e0041 4\u200b2\n".encode()
CLEAN = b"pay 42\n"
REPOSITORY = Path(__file__).resolve().parents[2]
APOSTILLE = str(Path(sys.executable).with_name("apostille"))
MANIFEST = REPOSITORY / ".pre-commit-hooks.yaml"
GIT = shutil.which("git")
PRE_COMMIT = os.environ.get("APOSTILLE_PRE_COMMIT") or shutil.which("pre-commit")


def clean(home, *words, **options):
    return home.run("clean", "--in-place", *words, **options).clear()


def test_only_what_is_not_clean_is_written(fresh):
    """1 where something was changed, and a second time 0; a clean file is not touched at all."""
    dirty, fine = fresh.file("a.md", HIDDEN), fresh.file("b.txt", CLEAN)
    before = fine.stat()
    result = clean(fresh, "a.md", "b.txt")
    assert (result.code, result.text) == (1, "cleaned a.md: TAG_DROP 1, ZWSP_DROP 1\n")
    assert (dirty.read_bytes(), fine.read_bytes()) == (CLEAN, CLEAN)
    assert (fine.stat().st_ino, fine.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    again = clean(fresh, "a.md", "b.txt", "--json")
    assert (again.code, again.json) == (0, [{"file": "a.md", "changed": False}, {"file": "b.txt", "changed": False}])
    assert not [name for name in os.listdir(fresh.work) if name.endswith(".tmp")]


def test_code_and_json_stay(fresh):
    """Code is changed in no profile; JSON becomes one line only where that was asked for."""
    for name in ("a.py", "Makefile", "c.json"):
        fresh.file(name, b'{\n "a": "' + HIDDEN[:-1] + b'"\n}\n')
    result = clean(fresh, "a.py", "Makefile", "c.json")
    assert (result.code, result.text) == (0, "")
    assert "c.json is JSON, left as it is" in result.talk
    assert clean(fresh, "c.json", "--media-type", "application/json").code == 1
    assert (fresh.work / "c.json").read_bytes() == b'{"a":"pay 42"}'
    assert HIDDEN[:-1] in (fresh.work / "a.py").read_bytes()


def test_permissions_and_links_stay(fresh):
    """The mode of the file; a link goes on leading to the file that was cleaned."""
    target = fresh.file("deep/a.txt", HIDDEN)
    target.chmod(0o2751)
    (fresh.work / "link.txt").symlink_to("deep/a.txt")
    assert clean(fresh, "link.txt").code == 1
    assert (fresh.work / "link.txt").is_symlink()
    assert target.read_bytes() == CLEAN
    assert stat.S_IMODE(target.stat().st_mode) == 0o2751


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_stays(fresh):
    target = fresh.file("a.txt", HIDDEN)
    os.chown(target, 12345, 54321)
    assert clean(fresh, "a.txt").code == 1
    assert (target.stat().st_uid, target.stat().st_gid) == (12345, 54321)


def test_what_can_not_be_cleaned(fresh):
    """It stays as it is and is named; the others are cleaned; the gravest code counts."""
    fresh.file("a.txt", b"caf\xe9\n")
    fresh.file("b.txt", HIDDEN)
    os.mkfifo(fresh.work / "pipe")
    result = clean(fresh, "a.txt", "missing", ".", "pipe", "b.txt", "--json")
    assert result.code == 1
    assert [document.get("code") or document["changed"] for document in result.json] == [
        "canonicalization-refused",
        "not-found",
        "not-found",
        "not-found",
        True,
    ]
    assert (fresh.work / "a.txt").read_bytes() == b"caf\xe9\n"
    assert (fresh.work / "b.txt").read_bytes() == CLEAN
    assert clean(fresh, "a.txt").code == 65
    assert clean(fresh, "missing").code == 2


@pytest.mark.parametrize("words", [[], ["-"], ["a.txt", "-"], ["a.txt", "--findings", "f"]])
def test_in_place_needs_files(fresh, words):
    fresh.file("a.txt", HIDDEN)
    assert clean(fresh, *words).code == 2
    assert (fresh.work / "a.txt").read_bytes() == HIDDEN


def test_a_file_that_changes_meanwhile_is_not_overwritten(fresh, monkeypatch):
    """What somebody wrote between our reading and our writing is not lost."""
    from apostille.faces.cli import clean_files as module
    from apostille.faces.cli.terminal import Terminal

    target = fresh.file("a.txt", HIDDEN)
    read = module.read_input

    def slow(name):
        data = read(name)
        target.write_bytes(b"newer, and longer than before\n")
        return data

    monkeypatch.setattr(module, "read_input", slow)
    assert module.clean_files(Terminal(is_quiet=True), [str(target)], profile="safe", media_type=None) == 69
    assert target.read_bytes() == b"newer, and longer than before\n"


# --- hooks


def hooks() -> dict[str, list[str]]:
    """The command line of each hook: entry and arguments, as pre-commit joins them with the names of the files."""
    found = {}
    for item in MANIFEST.read_text(encoding="utf-8").split("- id: ")[1:]:
        entry = re.search(r"^  entry: (.*)$", item, re.MULTILINE).group(1)
        args = json.loads(re.search(r"^  args: (.*)$", item, re.MULTILINE).group(1))
        found[item.split()[0]] = [*shlex.split(entry), *args]
    return found


def call(home, hook: str, *files: str):
    program, *words = hooks()[hook]
    assert program == "apostille"
    return home.run(*words, *files).clear()


def test_hooks_called_by_hand(fresh):
    """Fails on hidden characters, and the other one removes them; a file named like an option is a file."""
    assert set(hooks()) == {"apostille-scan", "apostille-clean"}
    for name in ("a.md", "--fail-on=never", "-"):
        fresh.file(name, HIDDEN)
    fresh.file("fine.txt", CLEAN)
    assert call(fresh, "apostille-scan", "fine.txt").code == 0
    assert call(fresh, "apostille-scan", "fine.txt", "a.md").code == 1
    assert call(fresh, "apostille-scan", "--fail-on=never").code == 1
    assert call(fresh, "apostille-clean", "fine.txt", "a.md").code == 1
    assert call(fresh, "apostille-clean", "fine.txt", "a.md").code == 0
    assert (fresh.work / "a.md").read_bytes() == CLEAN


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


@pytest.mark.skipif(GIT is None, reason="no git")
@pytest.mark.skipif(not PRE_COMMIT, reason="no pre-commit: pip install pre-commit, or name one in APOSTILLE_PRE_COMMIT")
def test_hooks_under_pre_commit(fresh):
    """A real commit in a real repository: stopped, cleaned, and then made. The program is ours, already installed."""
    source = fresh.path / "apostille"
    source.mkdir()
    shutil.copy(MANIFEST, source)
    git(source, "init")
    git(source, "add", ".")
    git(source, "commit", "-m", "hooks")
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=source, capture_output=True, text=True, check=True).stdout.strip()
    hook = "      - id: {0}\n        language: system\n        entry: {1}\n"
    texts = {name: " ".join([APOSTILLE, *words[1:-1]]) for name, words in hooks().items()}
    config = f"repos:\n  - repo: {source}\n    rev: {revision}\n    hooks:\n"
    fresh.file(".pre-commit-config.yaml", (config + "".join(hook.format(*item) for item in texts.items())).encode())
    work = fresh.work
    git(work, "init")
    for name, data in {"a.md": HIDDEN, "--fail-on=never.txt": HIDDEN, "code.py": b"x = 1\n", "image.png": b"\x89PNG\0" + HIDDEN}.items():
        fresh.file(name, data)
    git(work, "add", ".")

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run([PRE_COMMIT, "run"], cwd=work, env=fresh.env, capture_output=True, text=True, check=False)

    first = run()
    assert first.returncode == 1, first.stdout + first.stderr
    assert "a.md:1:4: TAG_DROP" in first.stdout
    assert "--fail-on=never.txt:1:4: TAG_DROP" in first.stdout
    assert "cleaned a.md" in first.stdout
    git(work, "add", ".")
    second = run()
    assert second.returncode == 0, second.stdout + second.stderr
    assert (work / "a.md").read_bytes() == CLEAN
    assert (work / "image.png").read_bytes() == b"\x89PNG\0" + HIDDEN
