"""Every command that reads input, called in this process: the exit code is a documented one, and never 70.

A command gets a home of its own with a store that our own program made. An input stands in for one file of it (or for stdin, or
for words of the command line); afterwards the file is put back, so that inputs don't add up.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.fuzz.targets import EXAMPLE, TEXTS, TRUST_FILE, kit

cli = importlib.import_module("apostille.faces.cli.main")  # the package names a function so

DOCUMENTED = {0, 1, 2, 3, 4, 5, 65, 69, 78}
ARTIFACT = "answer.txt"
RECEIPT = "answer.txt.receipt.json"
_STORE = ".apostille"


@dataclass
class Ended:
    """How a call ended and what it printed."""

    code: int
    out: bytes
    err: bytes


class Home:
    """A user with a store, made on first use by the program itself, in memory-backed storage."""

    def __init__(self) -> None:
        shared = "/dev/shm"
        self.path = Path(tempfile.mkdtemp(prefix="apostille-", dir=shared if os.access(shared, os.W_OK) else None))
        owner = os.getpid()
        atexit.register(lambda: shutil.rmtree(self.path, ignore_errors=True) if os.getpid() == owner else None)
        self.work = self.path / "work"
        self.work.mkdir()
        (self.work / ARTIFACT).write_bytes(kit.CANONICAL)
        with self.entered():
            for words in (["init"], ["attest", ARTIFACT], ["attest", "--salted", "--out", "salted", ARTIFACT], ["audit"]):
                ended = self.call(words)
                assert ended.code == 0, (words, ended)
        self.kept = self.path / "kept"
        shutil.copytree(self.work, self.kept / "work")
        shutil.copytree(self.path / "state", self.kept / "state")

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be this user for a while."""
        before, folder = dict(os.environ), Path.cwd()
        os.environ.update(
            HOME=str(self.path), XDG_CONFIG_HOME=str(self.path / "config"), XDG_STATE_HOME=str(self.path / "state"), COLUMNS="200"
        )
        os.environ.pop("APOSTILLE_STORE", None)
        os.chdir(self.work)
        try:
            yield
        finally:
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(before)

    def call(self, words: list[str], stdin: Path | None = None) -> Ended:
        """Run a command as ``main`` does, with streams of our own."""
        kept = sys.stdin, sys.stdout, sys.stderr
        out, err = io.BytesIO(), io.BytesIO()
        with open(stdin or os.devnull, encoding="utf-8", errors="surrogateescape") as source:
            sys.stdin = source
            sys.stdout = io.TextIOWrapper(out, encoding="utf-8", errors="backslashreplace")
            sys.stderr = io.TextIOWrapper(err, encoding="utf-8", errors="backslashreplace")
            try:
                code = cli._run(cli.hoist_global_options(words))
                sys.stdout.flush()
                sys.stderr.flush()
                return Ended(code, out.getvalue(), err.getvalue())
            finally:
                sys.stdin, sys.stdout, sys.stderr = kept

    def put(self, name: str, data: bytes) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def restore(self) -> None:
        """Put the folder back as it was."""
        for name in ("work", "state"):  # a head that is remembered from a store that is gone would be a rollback
            shutil.rmtree(self.path / name)
            shutil.copytree(self.kept / name, self.path / name)
        os.chdir(self.work)


_homes: dict[int, Home] = {}


def home() -> Home:
    """The home of this process."""
    if os.getpid() not in _homes:
        _homes[os.getpid()] = Home()
    return _homes[os.getpid()]


@dataclass
class Command:
    """One way in.

    Attributes:
        name: For people.
        file: What the input stands in for, below the user's home; ``@stdin`` or ``@words``.
        calls: Commands to run with it.
        given: Valid inputs; else the file as it is.
        size: Largest input.
        is_changing: Whether the store must be made anew afterwards.
    """

    name: str
    file: str
    calls: tuple[tuple[str, ...], ...]
    given: tuple[bytes, ...] = ()
    size: int = 2 * 2**20
    is_changing: bool = False
    codes: frozenset[int] = field(default_factory=lambda: frozenset(DOCUMENTED))

    @cached_property
    def seeds(self) -> tuple[bytes, ...]:
        if self.given:
            return self.given
        if "*" in self.file:
            (found,) = home().path.glob(self.file)
            self.file = str(found.relative_to(home().path))
        return (home().path.joinpath(self.file).read_bytes(),)

    def run(self, data: bytes) -> bool:
        """Run the commands; tell whether the last one ended with 0."""
        seeds, mine = self.seeds, home()
        code = 1
        with mine.entered():
            try:
                if self.file == "@words":
                    code = self._one([word for word in _arguments(data) if word], None)
                else:
                    path = mine.put("input" if self.file == "@stdin" else self.file, data)
                    for words in self.calls:
                        code = self._one(list(words), path if self.file == "@stdin" else None)
            finally:
                if self.is_changing:
                    mine.restore()
                if not self.given:
                    mine.put(self.file, seeds[0])
        return code == 0

    def _one(self, words: list[str], stdin: Path | None) -> int:
        ended = home().call(words, stdin)
        assert ended.code in self.codes, f"exit code {ended.code} of {words!r}: {ended.err[-2000:]!r}"
        assert b"Traceback" not in ended.err
        assert b"internal fault" not in ended.err + ended.out
        if ended.code not in {0, 1, 3, 4, 5}:
            assert ended.err or ended.out, f"{words!r} ended with {ended.code} and without a word"
        return ended.code


def _arguments(data: bytes) -> list[str]:
    """Words as a shell hands them on: no NUL, bytes that are not UTF-8 as lone surrogates. No command that starts something."""
    words = data.replace(b"\0", b"").decode("utf-8", "surrogateescape").split("\n")
    return [
        word
        for word in words
        if word not in {"run", "serve", "demo", "init", "keeper", "--follow", "--help", "--install-completion"}
    ]


_SIZE = 7  # leaves of the store: three founding ones, and two files with the key of the process that attested each
READING = (("verify",), ("show",), ("log", "info"), ("log", "fsck"))
_LIST: tuple[Command, ...] = (
    Command("verify RECEIPT", f"work/{RECEIPT}", (("verify", RECEIPT), ("--json", "verify", RECEIPT))),
    Command("verify --artifact", f"work/{ARTIFACT}", (("verify", RECEIPT),)),
    Command("verify --trust", "trust", (("verify", RECEIPT, "--trust", "../trust"),), given=(TRUST_FILE,)),
    Command(
        "verify many",
        "work/other.receipt.json",
        (("--json", "verify", RECEIPT, "other.receipt.json"),),
        given=(EXAMPLE.receipt(),),
    ),
    Command("verify --log", f"work/{_STORE}/log/checkpoint", (("verify", RECEIPT, "--log", f"{_STORE}/log"), ("verify",))),
    Command("clean FILE", "work/in.txt", (("clean", "in.txt"), ("--json", "clean", "in.txt")), given=TEXTS),
    Command("clean < FILE", "@stdin", (("clean", "--findings", "found.json"),), given=TEXTS),
    Command(
        "clean JSON",
        "work/in.json",
        (("clean", "in.json", "--media-type", "application/json"),),
        given=(b'{"a":[1,"\\u200b"]}', EXAMPLE.receipt()),
    ),
    Command(
        "clean --in-place",
        "work/in.md",
        (("clean", "--in-place", "in.md"), ("clean", "--in-place", "in.md", "--media-type", "text/markdown", "--json")),
        given=TEXTS,
    ),
    Command(
        "scan FILE",
        "work/scanned/in.txt",
        (
            ("scan", "scanned"),
            ("--json", "scan", "scanned", "--fail-on", "note"),
            ("scan", "scanned/in.txt", "--format", "sarif", "--media-type", "text/markdown"),
            ("scan", "scanned", "--media-type", "text/x-code", "--fail-on", "never", "--output", "report"),
        ),
        given=TEXTS,
    ),
    Command(
        "scan JSON",
        "work/scanned/in.json",
        (("scan", "scanned/in.json"), ("--json", "scan", "scanned/in.json"), ("scan", "scanned/in.json", "--format", "sarif")),
        given=(b'{"a":[1,"\\u200b"],"a\\u202e":"\\udb40\\udc41"}', b'{"a":1,"a":2}', EXAMPLE.receipt()),
    ),
    Command("scan < FILE", "@stdin", (("scan", "-", "--format", "sarif"),), given=TEXTS),
    Command("attest FILE", "work/in.txt", (("attest", "in.txt"),), given=TEXTS, is_changing=True),
    Command(
        "attest < FILE",
        "@stdin",
        (("attest", "--media-type", "application/json"),),
        given=(b'{"a":[1,"\\u200b"]}',),
        is_changing=True,
    ),
    Command("trust add FILE", "trust", (("trust", "add", "../trust"), ("trust", "list")), given=(TRUST_FILE,)),
    Command("known_logs", "config/apostille/known_logs", (("trust", "list"), ("trust", "remove", "x"), ("verify", RECEIPT))),
    Command("head memory", "state/apostille/heads/*", (("verify",), ("trust", "list"), ("verify", RECEIPT, "--log", _STORE))),
    Command("audit state", "state/apostille/audits/*", (("audit",), ("--json", "audit", "--full"), ("audit",)), is_changing=True),
    Command(
        "published tile",
        f"work/{_STORE}/log/tile/0/000.p/{_SIZE}",
        (("audit", "--full"), ("log", "fsck"), ("--json", "log", "fsck", "--rewrite-tiles")),
        is_changing=True,
    ),
    Command(
        "published entries",
        f"work/{_STORE}/log/tile/entries/000.p/{_SIZE}",
        (("--json", "log", "fsck"), ("log", "fsck", "--rewrite-tiles")),
        is_changing=True,
    ),
    Command(
        "published checkpoint",
        f"work/{_STORE}/log/checkpoint",
        (("audit",), ("log", "fsck", "--rewrite-tiles")),
        is_changing=True,
    ),
    Command("apostille.toml", f"work/{_STORE}/apostille.toml", (*READING, ("serve",))),
    Command("keys/units", f"work/{_STORE}/keys/units", (*READING, ("log", "receipt", "2", "--out", "x"))),
    Command("keys/keeper.pem", f"work/{_STORE}/keys/keeper.pem", (("attest", ARTIFACT),), is_changing=True),
    Command("keys/log.ed25519", f"work/{_STORE}/keys/log.ed25519", (("attest", ARTIFACT),), is_changing=True),
    Command("keys/log.mldsa44", f"work/{_STORE}/keys/log.mldsa44", (("attest", ARTIFACT),), is_changing=True),
    Command(
        "store.sqlite",
        f"work/{_STORE}/store.sqlite",
        (
            *READING,
            ("show", "3"),
            ("log", "proof", "1"),
            ("log", "receipt", "2", "--out", "x"),
            ("log", "export", "--out", "y"),
            ("log", "fsck", "--fast", "--rewrite-tiles"),
            ("audit",),
            ("attest", ARTIFACT),
        ),
        is_changing=True,
    ),
    Command(
        "words",
        "@words",
        (),
        given=(
            f"verify\n{RECEIPT}\n--artifact\n{ARTIFACT}\n--json".encode(),
            b"--store\n.apostille\nshow\n3\n--whole",
            b"log\nproof\n2\n--quiet",
            b"log\nreceipt\n2\n--out\nx",
            b"trust\nadd\n" + kit.note.format_vkey(kit.LOG).encode(),
            b"trust\nremove\nx",
            b"clean\nanswer.txt\n--profile\nreport\n--media-type\ntext/markdown\n--findings\nf",
            b"clean\n--in-place\nanswer.txt\nmissing",
            b"scan\nanswer.txt\n--exclude\n*.md\n--include\n[a-\n--fail-on\nhidden\n--format\nsarif",
            b"log\ninfo\n--json",
            b"log\nfsck\n--fast\n--rewrite-tiles",
            b"log\nproof\n2\n--size\n5\n--since\n3",
            b"audit\n.apostille\n--full\n--interval\n1",
        ),
        size=256 * 2**10,
        is_changing=True,
    ),
)
COMMANDS: dict[str, Command] = {f"$ {command.name}": command for command in _LIST}
for _name, _command in COMMANDS.items():
    _command.name = _name
