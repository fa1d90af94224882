"""A place of its own for a drill: a store, its user's trust and memory, the processes at work there, maybe a small disk."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apostille import wiring
from apostille.faces import codes

REPOSITORY = Path(__file__).resolve().parents[3]
CLIENT = Path(__file__).with_name("client.py")
PROGRAM = Path(__file__).with_name("program.py")
CLI = [sys.executable, "-c", "from apostille.faces.cli import main; main()"]
PATIENCE_SECONDS = 120.0  # machines can be busy; what ends sooner is seen at once
_ROOM_BYTES = 2**19


class Broken(AssertionError):
    """A promise was broken."""


def insist(is_so: object, what: str) -> None:
    if not is_so:
        raise Broken(what)


@dataclass
class Place:
    """A folder of its own, and the processes that were started there.

    Attributes:
        place: The folder.
        disk_kilobytes: Size of a file system of its own for the store, which fills up now and then, and is then made larger.
        counts: What was done and seen.
    """

    place: Path
    disk_kilobytes: int | None = field(default=None, kw_only=True)
    counts: dict[str, int] = field(default_factory=dict, kw_only=True)
    client_key: str = field(default="", kw_only=True)
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list, kw_only=True)

    @property
    def store(self) -> Path:
        return self.place / "store"

    @property
    def folder(self) -> wiring.StoreFolder:
        return wiring.store_folder(self.store)

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("APOSTILLE", "OPENAI", "XDG"))}
        python = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), str(REPOSITORY)]))
        places = {"XDG_CONFIG_HOME": self.place / "config", "XDG_STATE_HOME": self.place / "state", "HOME": self.place}
        return kept | {"PYTHONPATH": python} | {name: str(path) for name, path in places.items()}

    def count(self, what: str, by: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + by

    @contextlib.contextmanager
    def at_home(self) -> Iterator[None]:
        """Let this process have the same user's trust and memory."""
        names = ("XDG_CONFIG_HOME", "XDG_STATE_HOME")
        before = {name: os.environ.get(name) for name in names}
        os.environ.update({name: self.env[name] for name in names})
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    # --- Processes ----------------------------------------------------------------------------------------------------

    def cli(self, *words: object) -> tuple[int, Any]:
        """Run a command to its end; code and JSON document."""
        command = [*CLI, "--store", str(self.store), "--json", *map(str, words)]
        done = subprocess.run(command, env=self.env, capture_output=True, timeout=600, check=False)
        insist(b"Traceback" not in done.stderr, done.stderr.decode("utf-8", "replace"))
        return done.returncode, json.loads(done.stdout) if done.stdout else None

    def start(self, *command: str, log: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a process in a group of its own, so that it is killed alone or with its children, as it is wanted."""
        with (self.place / log).open("ab") as out:
            process = subprocess.Popen(command, env={**self.env, **env}, stdout=out, stderr=out, start_new_session=True)
        self._started.append(process)
        return process

    def start_gateway(self, upstream: str, *tracer: str) -> tuple[subprocess.Popen[bytes], int]:
        """Start a gateway; with it comes how much its log held before."""
        before = self._size_of("serve.log")
        words = ["--store", str(self.store), "serve", "--listen", "127.0.0.1:0", "--upstream", upstream]
        return self.start(*tracer, *CLI, *words, log="serve.log"), before

    def url(self, gateway: subprocess.Popen[bytes], before: int) -> str | None:
        """Wait until a gateway serves; none if it ended for want of room."""
        found = self.wait_for_line(gateway, "serve.log", before, rb"serving \S+ on (http://127\.0\.0\.1:\d+/v1)")
        return found[1].decode() if found else None

    def start_keeper(self) -> subprocess.Popen[bytes] | None:
        """Start a keeper, and wait until it listens; none if it ended for want of room."""
        before = self._size_of("keeper.log")
        keeper = self.start(*CLI, "--store", str(self.store), "keeper", log="keeper.log")
        return keeper if self.wait_for_line(keeper, "keeper.log", before, rb"keeping ") else None

    def start_client(self, kept: Path, url: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a client of a gateway, which keeps what it gets in a folder."""
        command = [sys.executable, str(CLIENT), str(kept), *words]
        return self.start(*command, log="client.log", OPENAI_BASE_URL=url, DRILL_KEY=self.client_key)

    def start_program(self, kept: Path, *words: str) -> subprocess.Popen[bytes]:
        """Start a program with the SDK, which keeps what it gets in a folder."""
        return self.start(sys.executable, str(PROGRAM), str(kept), str(self.store), *words, log="sdk.log")

    def wait_for_line(self, process: subprocess.Popen[bytes], log: str, before: int, line: bytes) -> re.Match[bytes] | None:
        """Wait for what a process says when it begins; none if it ended for want of room."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            said = (self.place / log).read_bytes()[before:]
            found = re.search(line, said)
            if found:
                return found
            if self.may_have_ended(process, said):
                return None
            time.sleep(0.01)
        raise Broken(f"no {line.decode()!r} was said; the process is {state_of(process)}")

    def _size_of(self, log: str) -> int:
        path = self.place / log
        return path.stat().st_size if path.exists() else 0

    def may_have_ended(self, process: subprocess.Popen[bytes], said: bytes = b"") -> bool:
        """Tell whether a process ended by itself, which only a full disk is a reason for."""
        if process.poll() in {None, -signal.SIGKILL}:
            return False
        is_full = self.disk_kilobytes is not None and process.returncode in {1, codes.UNAVAILABLE}
        insist(is_full, f"a process ended by itself with {process.returncode}: {process.args} {said[-500:]!r}")
        return True

    def kill(
        self, process: subprocess.Popen[bytes], *, is_alone: bool = False, is_counted: bool = True, takes_keeper: bool = False
    ) -> None:
        """Kill a process, with its group unless it ``is_alone``; a keeper that it started is in a group of its own."""
        for keeper in keepers_of(process) if takes_keeper else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(keeper, signal.SIGKILL)
                self.count("keepers killed with their parents")
        if is_alone:
            process.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_SECONDS)
        if is_counted and self.may_have_ended(process):
            self.count("ended by a full disk")
        elif is_counted:
            self.count("kills")

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Tell a process to stop, and wait until it has, in good order; on a full disk it must say so."""
        process.terminate()
        code = process.wait(PATIENCE_SECONDS)
        if self.disk_kilobytes is not None and code == codes.UNAVAILABLE:
            self.count("stopped on a full disk")
        else:
            insist(code == 0, f"a process that was told to stop ended with {code}: {process.args}")

    def end_all(self) -> None:
        """Kill what is still there, after a promise was broken for example."""
        for process in self._started:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(PATIENCE_SECONDS)
        self._started.clear()

    # --- A disk that fills up -----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def disk(self) -> Iterator[None]:
        """Give the store its small file system, if it is to have one."""
        if self.disk_kilobytes is None:
            yield
            return
        self.store.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.disk_kilobytes}k", "none", self.store], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", self.store], check=True)

    def has_room(self) -> bool:
        return self.disk_kilobytes is None or shutil.disk_usage(self.store).free >= _ROOM_BYTES

    def make_room(self) -> None:
        """Make the store's disk larger where it is full."""
        if not self.has_room():
            self.count("times the disk was full")
            self.enlarge()

    def enlarge(self) -> None:
        self.disk_kilobytes = (self.disk_kilobytes or 0) + 2048
        subprocess.run(["mount", "-o", f"remount,size={self.disk_kilobytes}k", self.store], check=True)


def keepers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """The keepers that a process has started; it is not asked."""
    found = []
    for path in Path(f"/proc/{process.pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # gone meanwhile
            children = [int(child) for child in path.read_text().split()]
            found += [child for child in children if b"\0keeper\0" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return found


def state_of(process: subprocess.Popen[bytes]) -> str:
    """What the kernel says of a process: whether it waits or runs, on what, and for how much CPU time it has run."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        waits = Path(f"/proc/{process.pid}/wchan").read_text()
    except OSError:
        return f"gone ({process.poll()})"
    return f"{fields[0]}, waits in {waits}, {fields[11]}+{fields[12]} ticks of CPU, nice {fields[16]}"
