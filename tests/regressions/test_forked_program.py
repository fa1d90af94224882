"""A child that was forked off and left the ``with`` block took the keeper's socket along, and hung: its threads had stayed behind."""

from __future__ import annotations

import subprocess
import sys

pytest_plugins = ("tests.e2e.cli_kit",)

PROGRAM = """
import os, signal, sys
import apostille
from apostille import wiring
from apostille.errors import ConfigurationError
with apostille.open(sys.argv[1]) as store:
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        try:
            store.run(agent="child")
        except ConfigurationError:
            sys.exit(7)
        sys.exit(8)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    folder = wiring.store_folder(sys.argv[1])
    wiring.connect_keeper(folder, holder="b", held_by="agent").close()
    with store.run(agent="a") as run:
        run.output("still there")
"""


def test_a_forked_child_takes_nothing_along(home) -> None:
    words = [sys.executable, "-c", PROGRAM, str(home.store)]
    done = subprocess.run(words, check=False, env=home.env, cwd=home.work, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"7\n"), done.stderr
    assert home.run("verify").clear().code == 0
