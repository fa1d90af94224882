"""The command line as a user who owns nothing."""

from __future__ import annotations

import os

from apostille.faces.cli import main as run


def main() -> None:
    """Give up all rights, then run."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    run()
