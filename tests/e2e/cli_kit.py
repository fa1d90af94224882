"""What the tests of the command line stand on: a user with a home of his own, real processes, and a store that is copied, not made."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

APOSTILLE = str(Path(sys.executable).with_name("apostille"))
REPOSITORY = Path(__file__).resolve().parents[2]
CLI = "apostille.faces.cli:main"


@dataclass(frozen=True)
class Result:
    """How a process ended and what it printed."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def talk(self) -> str:
        return self.err.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """The one JSON document on stdout: nothing before it, nothing behind it."""
        return json.loads(self.out)

    def clear(self) -> Result:
        """Check that no trace of an exception was printed; every error is a sentence."""
        for stream in (self.out, self.err):
            assert b"Traceback" not in stream, stream.decode("utf-8", "replace")
            assert b"internal fault" not in stream, stream.decode("utf-8", "replace")
        return self


class Zygote:
    """Starts processes quickly; see ``zygote.py``."""

    def __init__(self) -> None:
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # a request is one message, whatever its size
        script = str(Path(__file__).with_name("zygote.py"))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}
        self._process = subprocess.Popen(
            [sys.executable, script, str(theirs.fileno())], pass_fds=[theirs.fileno()], env=environment
        )
        theirs.close()
        self._channel = mine

    def start(self, request: dict[str, Any], streams: tuple[Any, Any, Any]) -> int:
        """Start a child and return its process id; ``wait`` has to follow."""
        socket.send_fds(self._channel, [json.dumps(request).encode()], [s.fileno() for s in streams])
        return int(self._channel.recv(64))

    def wait(self) -> int:
        """Return the exit code of the child, negative for a signal."""
        return os.waitstatus_to_exitcode(int(self._channel.recv(64)))

    def close(self) -> None:
        self._channel.close()
        assert self._process.wait(30) == 0


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    made = Zygote()
    yield made
    made.close()


@dataclass
class Home:
    """A user: a folder to work in, a configuration and a state folder, and no store but what he makes."""

    path: Path
    zygote: Zygote

    @property
    def work(self) -> Path:
        return self.path / "work"

    @property
    def store(self) -> Path:
        return self.work / ".apostille"

    @property
    def known_logs(self) -> Path:
        return self.path / "config" / "apostille" / "known_logs"

    @property
    def heads(self) -> Path:
        return self.path / "state" / "apostille" / "heads"

    @property
    def env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "COVERAGE_PROCESS_START") if name in os.environ}
        return {
            **kept,
            "HOME": str(self.path),
            "XDG_CONFIG_HOME": str(self.path / "config"),
            "XDG_STATE_HOME": str(self.path / "state"),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "COLUMNS": "200",
        }

    def run(self, *words: str | Path, stdin: bytes | Path = b"", call: str = CLI, **env: str) -> Result:
        """Run ``apostille`` with some words and wait for it."""
        request = {"argv": ["apostille", *map(str, words)], "env": {**self.env, **env}, "cwd": str(self.work), "call": call}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, self._input(stdin) as source:
            self.zygote.start(request, (source, out, err))
            code = self.zygote.wait()
            out.seek(0)
            err.seek(0)
            return Result(code, out.read(), err.read())

    @contextmanager
    def _input(self, stdin: bytes | Path) -> Iterator[Any]:
        if isinstance(stdin, Path):
            with stdin.open("rb") as file:
                yield file
            return
        with tempfile.TemporaryFile() as file:
            file.write(stdin)
            file.seek(0)
            yield file

    def ok(self, *words: str | Path, **options: Any) -> Result:
        """Run something that has to succeed."""
        result = self.run(*words, **options).clear()
        assert result.code == 0, (words, result.talk, result.text)
        return result

    def popen(self, *words: str | Path, **options: Any) -> subprocess.Popen[bytes]:
        """Start the installed program itself, as a shell would."""
        return subprocess.Popen([APOSTILLE, *map(str, words)], env=self.env, cwd=self.work, **options)

    def shell(self, script: str, **env: str) -> Result:
        """Run a line of bash with the installed program on the path."""
        path = os.pathsep.join([str(Path(APOSTILLE).parent), self.env.get("PATH", "")])
        done = subprocess.run(
            ["bash", "-c", script], env={**self.env, "PATH": path, **env}, cwd=self.work, capture_output=True, check=False
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def file(self, name: str, data: bytes) -> Path:
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def is_sound(self) -> None:
        """Nothing is lost or altered: the store still verifies, at worst with a run that is still open."""
        result = self.run("--json", "verify", ".apostille").clear()
        assert result.code in {0, 4}, result.text
        assert all("is not closed" in failure["message"] for failure in result.json["failures"]), result.json["failures"]


def new_home(path: Path, zygote: Zygote) -> Home:
    (path / "work").mkdir(parents=True)
    return Home(path, zygote)


@pytest.fixture(scope="session")
def template(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a store: one closed run, one attested file with its receipt. Tests get a copy."""
    home = new_home(tmp_path_factory.mktemp("template") / "home", zygote)
    home.ok("init")
    home.file("answer.txt", b"The refund is 42 EUR.\n")
    home.ok("attest", "answer.txt")
    home.ok("run", "--agent", "a", "--", "true")
    return home


@pytest.fixture
def home(template: Home, tmp_path: Path) -> Home:
    """A user with a store of his own."""
    shutil.copytree(template.path, tmp_path / "home")
    return Home(tmp_path / "home", template.zygote)


@pytest.fixture
def fresh(zygote: Zygote, tmp_path: Path) -> Home:
    """A user with nothing."""
    return new_home(tmp_path / "fresh", zygote)
