"""Run the command line, and kill it with signal 9 at the n-th change that it makes to the file system below its home."""

from __future__ import annotations

import os
import signal
import sys

from apostille.faces.cli.main import main as command

_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.link", "os.truncate", "shutil.move"}


def main() -> None:
    """Arguments: the number of the change, then the words of the command. 0 counts the changes and prints them to stderr."""
    wanted, home = int(sys.argv[1]), os.environ["HOME"]
    sys.argv = ["apostille", *sys.argv[2:]]
    seen = 0

    def watch(event: str, args: tuple[object, ...]) -> None:
        nonlocal seen
        if event == "open":
            flags = args[2] if isinstance(args[2], int) else 0
            is_change = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        elif event == "sqlite-commit":
            is_change = True
        else:
            is_change = event in _CHANGES
        if not is_change or isinstance(args[0], int):
            return
        if event != "sqlite-commit" and not os.path.abspath(os.fsdecode(args[0])).startswith(home):
            return
        seen += 1
        if seen == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    # The database writes by itself, unseen by Python: before and after each of its transactions is a change too.
    from apostille.storage.sqlite import SqliteStore

    for name in ("create", "commit", "add_checkpoint"):
        inner = getattr(SqliteStore, name)

        def around(*words, _inner=inner, **options):
            sys.audit("sqlite-commit", "")
            done = _inner(*words, **options)
            sys.audit("sqlite-commit", "")
            return done

        setattr(SqliteStore, name, around)
    sys.addaudithook(watch)
    try:
        command()
    finally:
        if not wanted:
            os.write(2, b"changes %d\n" % seen)
