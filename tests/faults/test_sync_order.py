"""What the kernel was told, and in which order: nothing leaves before it is on disk, nothing is published before it is kept.

A trace of the system calls of a real ``apostille serve``, not of what our own code believes that it does.

Spec: formats.md section 9 (order of COMMIT and PUBLISH); architecture.md, invariants I1, I3; trust.md section 1, rule 6.
"""

from __future__ import annotations

import bisect
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.drill import Drill, Echo

pytestmark = pytest.mark.slow
STRACE = shutil.which("strace")
CALLS = (
    "openat,pwrite64,write,writev,fsync,fdatasync,ftruncate,rename,renameat,renameat2,unlink,sendto,sendmsg,recvfrom,recvmsg,read"
)
CALL = re.compile(r"^(?P<start>\d+\.\d+) (?P<name>\w+)\((?P<args>.*)\) += (?P<result>-?\d+|\?).*<(?P<took>\d+\.\d+)>$")
FIRST_FILE = re.compile(r"^\d+<(?P<path>[^>]*)>")
QUOTED = re.compile(r'"(?P<text>[^"]*)"')
WAL = "store.sqlite-wal"


@dataclass(frozen=True)
class Call:
    """One system call that succeeded."""

    thread: int
    name: str
    path: str
    start: float
    end: float
    args: str

    @property
    def is_sync(self) -> bool:
        return self.name in {"fsync", "fdatasync"}

    @property
    def is_write(self) -> bool:
        return self.name in {"write", "pwrite64", "writev"}


@dataclass(frozen=True)
class Trace:
    """All calls, in order of their beginning."""

    calls: list[Call]

    def of(self, end: str, *names: str) -> list[Call]:
        return [call for call in self.calls if call.path.endswith(end) and call.name in names]

    def between(self, first: float, last: float) -> list[Call]:
        starts = [call.start for call in self.calls]
        return [c for c in self.calls[bisect.bisect_left(starts, first) : bisect.bisect_right(starts, last)] if c.end <= last]

    def sends(self) -> list[Call]:
        return [c for c in self.calls if c.name in {"sendto", "sendmsg", "write", "writev"} and '"HTTP/1.1 200' in c.args]


def written(call: Call) -> bytes:
    """The bytes of a write, of which strace shows those that do not print as escapes of C."""
    text = call.args.partition('"')[2].rpartition('"')[0]
    return text.encode("ascii").decode("unicode_escape").encode("latin-1")


def read_trace(folder: Path) -> Trace:
    calls = []
    for path in folder.glob("trace.*"):
        thread = int(path.suffix[1:])
        for line in path.read_text("utf-8", "replace").splitlines():
            found = CALL.match(line)
            if not found or found["result"].startswith("-"):
                continue
            file = FIRST_FILE.match(found["args"])
            names = [quoted["text"] for quoted in QUOTED.finditer(found["args"])]
            path_name = names[-1] if found["name"].startswith(("rename", "unlink")) and names else file["path"] if file else ""
            start = float(found["start"])
            calls.append(Call(thread, found["name"], path_name, start, start + float(found["took"]), found["args"]))
    return Trace(sorted(calls, key=lambda call: call.start))


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """A gateway that answers some requests, one after the other, publishes, and is stopped in good order."""
    if STRACE is None:
        pytest.skip("strace is not installed (apt install strace)")
    place = tmp_path_factory.mktemp("trace")
    try:
        subprocess.run([STRACE, "-o", str(place / "probe"), "true"], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"processes can't be traced here: {error.stderr.decode()[:200]}")
    drill = Drill(place / "drill", random.Random(1))
    drill.place.mkdir()
    assert drill.cli("init")[0] == 0
    drill.client_key = drill.cli("serve", "--add-client", "traced")[1]["key"]
    with Echo() as upstream:
        command = [STRACE, "-ff", "-ttt", "-T", "-y", "-s", "4096", "-e", f"trace={CALLS}", "-o", str(place / "trace")]
        gateway, before = drill.start_gateway(upstream.url, *command)
        url = drill.url(gateway, before)
        kept = place / "kept"
        kept.mkdir()
        asker = drill.start_client(kept, url, "1")
        end = time.monotonic() + 60
        while len(list(kept.glob("*.answer"))) < 15 and time.monotonic() < end:
            time.sleep(0.05)
        asker.kill()
        asker.wait()
        time.sleep(1.2)
        (traced,) = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()
        os.kill(int(traced), signal.SIGTERM)
        assert gateway.wait(60) in {0, -signal.SIGTERM}, (drill.place / "serve.log").read_text()
    drill.answers = drill.collect(kept)
    assert len(drill.answers) >= 10
    drill.audit()
    return read_trace(place)


def committer(trace: Trace) -> int:
    """The thread that commits: the one that writes most of the WAL. Publication writes a row now and then."""
    return Counter(call.thread for call in trace.of(WAL, "pwrite64")).most_common(1)[0][0]


def test_bytes_leave_after_their_commit_was_synced(trace):
    """Between a request and its answer the WAL was written by the committing thread, and synced after its last write."""
    sends = trace.sends()
    assert len(sends) >= 10
    thread = committer(trace)
    before = 0.0
    answered = 0
    for send in sends:
        window = [c for c in trace.between(before, send.start) if c.thread == thread and c.path.endswith(WAL)]
        before = send.start
        writes, syncs = [c for c in window if c.is_write], [c for c in window if c.is_sync]
        if not writes:
            continue  # a receipt that was fetched: nothing new was said
        answered += 1
        assert syncs, "an answer left although its commit was never synced"
        assert max(c.start for c in writes) < max(c.start for c in syncs), "the last sync came before the last write"
        assert max(c.end for c in syncs) <= send.start, "an answer left while its commit was still being synced"
    assert answered >= 10


def test_a_unit_key_is_synced_before_what_it_wraps_is_written(trace):
    """The first page of the WAL that names the unit is written after its key was synced."""
    keys = trace.of("keys/units", "pwrite64", "write")
    assert keys
    for key in keys:
        unit = bytes.fromhex(written(key).split(b" ")[0].decode())
        synced = [c.end for c in trace.of("keys/units", "fsync", "fdatasync") if c.start >= key.end]
        named = [c.start for c in trace.of(WAL, "pwrite64") if unit in written(c)]
        assert synced and named, "a key, or what it wraps, never became durable"
        assert synced[0] <= named[0]


RENAMES = ("rename", "renameat", "renameat2")


def test_every_rename_is_between_the_file_s_sync_and_its_folder_s(trace):
    # All but the keeper's socket: a name to knock at, of which nothing has to last.
    renames = [c for c in trace.calls if c.name in RENAMES and "/drill/" in c.path and not c.path.endswith(".sock")]
    assert len([c for c in renames if c.path.endswith("/log/checkpoint")]) >= 2
    assert any("/log/tile/" in call.path for call in renames)
    assert any("/heads/" in call.path for call in renames)
    for rename in renames:
        source = QUOTED.search(rename.args)["text"]
        written = [c for c in trace.of(source, "write") if c.end <= rename.start]
        synced = [c for c in trace.of(source, "fsync") if c.end <= rename.start]
        assert synced and written and synced[-1].start >= written[-1].end, rename
        folder = str(Path(rename.path).parent)
        after = [c for c in trace.of(folder, "fsync") if c.thread == rename.thread and c.start >= rename.end]
        following = [c for c in trace.calls if c.thread == rename.thread and c.start >= rename.end and c.name != "openat"]
        assert after and following[0] == after[0], (rename, following[:2])


def test_a_head_is_kept_before_it_is_remembered_and_shown(trace):
    """The checkpoint's row is durable, then head memory, then tiles, and the file ``checkpoint`` last."""
    shown = [call for call in trace.calls if call.name in RENAMES and call.path.endswith("/log/checkpoint")]
    before = 0.0
    for checkpoint in shown:
        mine = [c for c in trace.between(before, checkpoint.end) if c.thread == checkpoint.thread]
        before = checkpoint.end
        rows = [c for c in mine if c.path.endswith(WAL)]
        remembered = [c for c in mine if c.name in RENAMES and "/heads/" in c.path]
        tiles = [c for c in mine if c.name in RENAMES and "/log/tile/" in c.path]
        assert rows and remembered and tiles, "one publication, one thread"
        assert rows[-1].is_sync
        assert rows[-1].end <= remembered[0].start
        assert remembered[-1].end <= tiles[0].start
        assert tiles[-1].end <= checkpoint.start
