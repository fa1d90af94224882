"""The canonicalizer: bytes a second, and one answer."""

from __future__ import annotations

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


def measure(stage: Stage) -> None:
    """Measure them all."""
    ascii_text = ANSWER.decode() + "\n"
    for name, text, megabytes, least in (("ASCII", ascii_text, 16, 200), ("mixed languages", MIXED, 4, 10)):
        stage.measure(
            f"canonicalized text, {name}",
            "MB/s CPU",
            lambda text=text, megabytes=megabytes: _throughput(text, megabytes),
            goal=Goal(f"{least} MB/s", lambda value, _, least=least: value >= least),
        )
    stage.measure("canonicalize a 1 KB answer", "µs CPU", lambda: _one_answer(5_000), ratio=in_signatures)
