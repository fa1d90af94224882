"""Cleaners of text: ``python cleaners_peer.py NAME`` reads the texts as JSON from stdin and prints one JSON line.

The same program measures ours, in our environment: bytes in, bytes out, CPU time of the process, the best of three.
Each peer is called as its documentation says for text that is to be shown; disarm also by its entry point for untrusted input.
"""

from __future__ import annotations

import json
import platform
import sys
import time
import unicodedata
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from cleaner_samples import LINES, PAIRS

Clean = Callable[[bytes], bytes]


def _of_text(clean: Callable[[str], str]) -> Clean:
    return lambda data: clean(data.decode()).encode()


def _apostille() -> tuple[str, Clean]:
    from apostille.core.canon import canonicalize

    return version("apostille"), lambda data: canonicalize(data, media_type="text/plain", profile="safe").bytes


def _zerowidth() -> tuple[str, Clean]:
    from zerowidth import strip_invisible

    return version("zerowidth"), _of_text(lambda text: strip_invisible(text, keep_emoji=True, keep_joiners=True))


def _disarm_format() -> tuple[str, Clean]:
    from disarm import strip_format

    return version("disarm"), _of_text(strip_format)


def _disarm_canonicalize() -> tuple[str, Clean]:
    from disarm import canonicalize

    return version("disarm"), _of_text(canonicalize)


def _ftfy() -> tuple[str, Clean]:
    from ftfy import fix_text

    return version("ftfy"), _of_text(fix_text)


def _nfc() -> tuple[str, Clean]:
    return f"{unicodedata.unidata_version}, Python {platform.python_version()}", _of_text(
        lambda text: unicodedata.normalize("NFC", text)
    )


CLEANERS: dict[str, Callable[[], tuple[str, Clean]]] = {
    "apostille": _apostille,
    "zerowidth": _zerowidth,
    "disarm.strip_format": _disarm_format,
    "disarm.canonicalize": _disarm_canonicalize,
    "ftfy": _ftfy,
    "NFC": _nfc,
}


def _seconds(clean: Clean, data: bytes, count: int = 1) -> float:
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        for _ in range(count):
            clean(data)
        best = min(best, time.process_time() - began)
    return best / count


def _said(clean: Clean, text: str) -> str:
    """Return the text after cleaning, in NFC so that spellings of one character do not count."""
    return unicodedata.normalize("NFC", clean(text.encode()).decode())


def _is_changed(clean: Clean, text: str) -> bool:
    # A line feed at the end of a message is no harm.
    return _said(clean, text).rstrip("\n") != unicodedata.normalize("NFC", text).rstrip("\n")


def measured(name: str, texts: dict[str, Any]) -> dict[str, Any]:
    """Measure one cleaner on ``ascii``, ``mixed`` and ``answer`` (1 KB, ``count`` times), and on the samples."""
    release, clean = CLEANERS[name]()
    rates = {}
    for kind in ("ascii", "mixed"):
        data = texts[kind].encode()
        rates[kind] = len(data) / _seconds(clean, data) / 1e6
    return {
        "version": release,
        **rates,
        "answer_us": _seconds(clean, texts["answer"].encode(), texts["count"]) * 1e6,
        # Not in NFC: one of the channels is the spelling itself.
        "left": [what for what, (one, other) in PAIRS.items() if clean(one.encode()) != clean(other.encode())],
        "pairs": len(PAIRS),
        "changed": [what for what, line in LINES.items() if _is_changed(clean, line)],
        "lines": len(LINES),
    }


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], json.load(sys.stdin))))
