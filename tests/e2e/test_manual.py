"""Every command of the manual's pages for whoever keeps a store runs as it stands there; only its examples of paths and numbers are ours.

The README's are in ``test_readme``.
"""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

pytest_plugins = ["tests.e2e.cli_kit"]

MANUAL = Path(__file__).resolve().parents[2] / "docs" / "manual"
PAGES = ("operations", "backup", "erasure", "hidden-channels")  # the attacks are in ``test_attacks``
ENDLESS = re.compile(r"--follow|apostille keeper")
CODES = {"apostille verify RUN": 5}  # as the comment behind it says


def lines_of(page: str) -> list[str]:
    text = (MANUAL / f"{page}.md").read_text("utf-8")
    lines = [line.split("  #")[0].strip() for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("make")]


def test_the_pages_hold_commands():
    assert sum(len(lines_of(page)) for page in (*PAGES, "keeper")) > 14


def ours(home, line: str) -> str:
    """The line with paths and numbers of this store."""
    runs = home.ok("--json", "show").json
    sizes = [str(home.ok("--json", "log", "info").json["published_size"])]
    words = {
        "/media/disk": "disk",
        "/media/stick/erasure.pem": ".apostille/keys/erasure.pem",
        "4711": "3",
        "5000": sizes[0],
        "4000": "4",
        "--index 12": "--index 4",
        "--opening findings": "--opening canonical",
        "--store NEW": "--store new",
        "RUN": runs[0]["run"],
        "DIR": "exported",
    }
    for old, new in words.items():
        line = line.replace(old, new)
    return line


def watch(home, line: str) -> None:
    """Start a command that ends only with Ctrl-C, see that it says something, and end it so."""
    process = home.popen(*line.split()[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        stream = process.stdout if "audit" in line else process.stderr
        assert stream.readline(), process.stderr.read()
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, (line, out, err)
    assert b"Traceback" not in err


@pytest.mark.parametrize("page", PAGES)
def test_each_command_of_a_page(home, page):
    if page == "backup":
        (home.work / "disk").mkdir()
    for line in lines_of(page):
        if ENDLESS.search(line):
            watch(home, line)
            continue
        done = home.shell(ours(home, line) + (" --yes" if "erase" in line.split()[1:2] else ""))
        assert done.code == CODES.get(line, 0), (line, done.text, done.talk)
        done.clear()


def test_the_keepers_page(home):
    """The second takes over from the first."""
    first, second = lines_of("keeper")
    process = home.popen(*first.split()[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert b"stop with Ctrl-C" in process.stderr.readline()
    watch(home, second)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, b"")
    assert b"handed over" in err
