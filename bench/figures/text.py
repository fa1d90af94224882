"""The canonicalizer: bytes a second, and one answer."""

from __future__ import annotations

import subprocess
import sys
import time

from figures.machine import ANSWER
from figures.stage import Goal, Stage, in_signatures

MIXED = (  # many scripts on purpose
    "Der Überweisung über 42 € wurde zugestimmt. Η αίτηση εγκρίθηκε σήμερα. Заявка одобрена. "  # noqa: RUF001
    "طلبك مقبول رقم 118. 申請は承認されました。신청이 승인되었습니다. आवेदन स्वीकृत है। Thank you 🙂 for asking — “done”.\n"
)


def _throughput(text: str, megabytes: float) -> float:
    from apostille.core.canon import canonicalize

    data = (text * (int(megabytes * 1e6) // len(text.encode()) + 1)).encode()
    best = float("inf")
    for _ in range(3):
        began = time.thread_time()
        canonicalize(data, media_type="text/plain", profile="safe")
        best = min(best, time.thread_time() - began)
    return len(data) / best / 1e6


def _one_answer(count: int) -> float:
    from apostille.core.canon import canonicalize

    began = time.thread_time()
    for _ in range(count):
        canonicalize(ANSWER, media_type="text/plain", profile="safe")
    return (time.thread_time() - began) / count * 1e6


DECOMPOSED = "Ta\u0302\u0301t ca\u0309 mo\u0323i ngu\u031bo\u031b\u0300i sinh ra \u0111e\u0302\u0300u \u0111u\u031bo\u031b\u0323c tu\u031b\u0323 do. "
JOINED = "تمام افراد بشر آزاد به دنیا می\u200cآیند و با هم برابر می\u200cشوند. Ok 👩\u200d💻 ❤\ufe0f 👍🏽 .\n"

_STREAM = """
import sys
from apostille.core.canon import Canonicalizer
piece, machine = sys.stdin.buffer.read(), Canonicalizer()
for _ in range(int(sys.argv[1])):
    machine.feed(piece)
machine.flush()
# Not ru_maxrss: that starts with what the parent had.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def _stream_megabytes(megabytes: int) -> float:
    """Feed that much text of many languages piece by piece in a process of its own; give the largest memory it had, in MB."""
    piece = (MIXED * (65_536 // len(MIXED.encode()))).encode()
    command = [sys.executable, "-c", _STREAM, str(megabytes * 1_000_000 // len(piece))]
    done = subprocess.run(command, input=piece, capture_output=True, check=True)
    return int(done.stdout) * 1024 / 1e6


def measure(stage: Stage) -> None:
    """Measure them all."""
    ascii_text = ANSWER.decode() + "\n"
    for name, text, megabytes, least in (
        ("ASCII", ascii_text, 16, 200),
        ("mixed languages", MIXED, 4, 10),
        ("joiners and joined emoji", JOINED, 1, 0),
        ("decomposed Vietnamese", DECOMPOSED, 1, 0),
    ):
        stage.measure(
            f"canonicalized text, {name}",
            "MB/s CPU",
            lambda text=text, megabytes=megabytes: _throughput(text, megabytes),
            goal=Goal(f"{least} MB/s", lambda value, _, least=least: value >= least) if least else None,
        )
    stage.measure("canonicalize a 1 KB answer", "µs CPU", lambda: _one_answer(5_000), ratio=in_signatures)
    megabytes = stage.scaled(1_000)
    stage.measure(
        f"memory of a stream of {megabytes:,} MB, mixed languages",
        "MB",
        lambda: _stream_megabytes(megabytes),
        goal=Goal("under 64 MB", lambda value, _: value < 64),
    )
