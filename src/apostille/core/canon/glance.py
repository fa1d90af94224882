"""A whole text in which no pass would change anything: it needs no engine, only a look at what is reported in it.

Most answers are such texts: letters, digits, punctuation, single emoji, line ends and indentation. What is told here is what
``TextEngine`` and ``UrlWatch`` tell, for a fraction of the time that it takes to make one. Where only a few characters are not
ASCII, and each is reported wherever it stands or never (quotation marks, dashes, emoji, Latin letters), they are counted.

Spec: canonical.md section 12.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from apostille.core.canon.alphabet import KINDS, LF, MODIFIER, PLAIN, SP, is_clean
from apostille.core.canon.findings import SEVERITIES, Finding, Ledger
from apostille.core.canon.properties import WHITE_SPACE
from apostille.core.canon.sightings import Sightings, code_alone, find_run
from apostille.core.canon.tails import MAX_RUN
from apostille.core.canon.text import CHUNK_BYTES, ORDINARY, are_lines_clean, needs_no_pass
from apostille.core.canon.url_watch import UrlWatch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from apostille.core.canon.tails import Ending

# Profile strict writes what begins so in another form, where white space is layout.
_LAYOUT = ("  ", "\t", "\n\n\n", "\n ")
# To be counted, at most one of so many characters is not ASCII.
_FEW = 3


def glance(raw: bytes, ending: Ending, *, is_strict: bool, is_plain: bool) -> tuple[Finding, ...] | None:
    """Give the findings about a text that is canonical as it is, or nothing where the passes have to look.

    Args:
        raw: Any bytes.
        ending: What the end of the text is; not ``data``.
        is_strict: Under profile ``strict``; else ``safe`` or ``report``.
        is_plain: Runs of white space inside it are layout.
    """
    if not _ends_visibly(raw, ending) or (len(raw) > CHUNK_BYTES and not raw.isascii()):
        return None  # the engine looks at a long text in pieces
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    others = raw.translate(None, ORDINARY).decode("utf-8")
    if is_strict and (others or any(layout in text for layout in _LAYOUT)):
        return None
    codes = {char: _code(char) for char in set(others)} if len(others) * _FEW <= len(text) else {"": None}
    is_told = None not in codes.values()
    if not (are_lines_clean(raw) if is_told else needs_no_pass(raw) or _is_in_order(text)):
        return None
    found = _count(text, others, codes, is_plain=is_plain) if is_told else _look(text, is_plain=is_plain)
    has_url = "/" in text and "://" in text  # a search for one byte is the fastest there is
    return (*found, *_look_at_urls(raw)) if has_url else tuple(found)


def _ends_visibly(raw: bytes, ending: Ending) -> bool:
    """Tell that no ASCII white space or control ends the text, but one line feed where it is a file."""
    if ending == "file" and len(raw) > 1 and raw[-1] == LF:
        return raw[-2] > SP
    return not raw or raw[-1] > SP


def _is_in_order(text: str) -> bool:
    """Tell that marks and spaces are where they may be, in a text that is too short for too many spaces."""
    return len(text) <= MAX_RUN and is_clean(text) and ord(text.rstrip("\n")[-1]) not in WHITE_SPACE


@lru_cache(maxsize=4_096)
def _code(char: str) -> str | None:
    """Give the code under which a character is reported, empty for none; nothing if its neighbors have a say."""
    return code_alone(char) if KINDS[ord(char)] in (PLAIN, MODIFIER) else None


def _count(text: str, others: str, codes: Mapping[str, str | None], *, is_plain: bool) -> Sequence[Finding]:
    """Report what is reported wherever it stands, and runs of white space."""
    found: list[Finding] = []
    run = find_run(text.rstrip("\n")) if is_plain else None
    if run is None and not codes:
        return ()
    for code in sorted({code for code in codes.values() if code} | ({"TYPOGRAPHY"} if run else set())):
        chars = [char for char in codes if codes[char] == code]
        count = sum(map(others.count, chars))
        if run and code == "TYPOGRAPHY":
            first, sight, count = run.start(), run.group()[:8], count + 1
        else:
            first = min(map(text.index, chars))
            sight = text[first]
        place, length = len(text[:first].encode("utf-8")), len(sight.encode("utf-8"))
        found.append(Finding(code, SEVERITIES[code], "report", place, length, tuple(map(ord, sight)), count=count))
    return found


def _look(text: str, *, is_plain: bool) -> Sequence[Finding]:
    ledger = Ledger()
    sightings = Sightings(ledger, is_plain=is_plain)
    sightings.see(text, 0)
    sightings.end()
    return ledger.finish()


def _look_at_urls(raw: bytes) -> tuple[Finding, ...]:
    watch = UrlWatch()
    watch.feed(raw)
    return watch.findings()
