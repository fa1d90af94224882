"""A process that has everything imported and forks itself for each call: a real process a call, at a tenth of the time.

It reads JSON requests from a socket, each with the three standard streams of the child, answers with the child's process id and, when the
child has ended, with its wait status.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import socket
import sys

PRELOADED = (
    "apostille.faces.cli.main",
    "apostille.faces.cli.attest",
    "apostille.faces.cli.backup",
    "apostille.faces.cli.clean",
    "apostille.faces.cli.clean_files",
    "apostille.faces.cli.erase",
    "apostille.faces.cli.run",
    "apostille.faces.cli.scan",
    "apostille.faces.cli.serve",
    "apostille.faces.cli.show",
    "apostille.faces.cli.store",
    "apostille.faces.cli.trust",
    "apostille.faces.cli.verify",
    "apostille.faces.sdk",
    "typer.completion",
    "typer.rich_utils",
)


def serve(channel: socket.socket) -> dict | None:
    """Answer requests until there are no more; in a child, return its request."""
    while True:
        data, handles, _, _ = socket.recv_fds(channel, 1 << 20, 3)
        if not data:
            return None
        request = json.loads(data)
        pid = os.fork()
        if pid == 0:
            channel.close()
            for number, handle in enumerate(handles):
                os.dup2(handle, number)
                os.close(handle)
            return request
        for handle in handles:
            os.close(handle)
        channel.sendall(b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        channel.sendall(b"%d\n" % status)


def become(request: dict) -> None:
    """Take over the environment, the folder and the arguments, and run."""
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = [os.fsdecode(os.fsencode(word)) for word in request["argv"]]
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), encoding="utf-8")
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), encoding="utf-8", write_through=True)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    module, _, name = request["call"].partition(":")
    code = 0
    try:
        getattr(importlib.import_module(module), name)()
    except SystemExit as end:
        code = end.code or 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # taking the interpreter down costs more than most commands; the installed program itself is tested too


def warm_up() -> None:
    """Load what is loaded on first use: tables, the algorithms of the cryptographic library, the terminal's colours."""
    from apostille.core import canon, keys

    for key in (keys.Ed25519Key(bytes(32)), keys.MlDsa44Key(bytes(32)), keys.StatementKey.from_seed(bytes(48))):
        key.sign(b"")
    canon.canonicalize(b"warm")
    main = sys.modules["apostille.faces.cli.main"]
    sys.stdout = io.StringIO()
    for words in (["--help"], ["verify", "--help"], ["verify", "/nothing"]):
        sys.stderr = io.StringIO()
        main._run(words)


if __name__ == "__main__":
    for name in PRELOADED:
        importlib.import_module(name)
    warm_up()
    gc.collect()
    gc.freeze()  # what is here already is not looked at again in every child, so its pages stay shared
    wanted = serve(socket.socket(fileno=int(sys.argv[1])))
    if wanted is not None:
        become(wanted)
