"""URLs in plain text are reported, not changed: a user before the host, a host of other letters.

Looks at words between ASCII white space, wherever the text is cut; a text without ``://`` costs a search. Words over
``MAX_WORD`` bytes are no addresses that a reader would follow, and are passed by.

Spec: canonical.md section 9 "URL".
"""

from __future__ import annotations

import re

from apostille.core.canon.findings import SEVERITIES, Finding, excerpt
from apostille.core.canon.urls import find_urls, parse_url, remarks_on

MAX_WORD = 2_048
_MAX_LISTED = 100

_WORD = re.compile(rb"[^ \t\n\r\f\v]+")
_SPACE = re.compile(rb"[ \t\n\r\f\v]")


class UrlWatch:
    """Reads a text that arrives in pieces of bytes, and gives findings at its end."""

    def __init__(self) -> None:
        self._word = b""  # the last word, which may go on; at most a byte over the limit of it
        self._size = 0  # of the whole of it
        self._offset = 0  # of the next piece
        self._found: list[Finding] = []

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        first = _WORD.match(data) if self._size else None
        end = first.end() if first else 0
        if first:
            self._grow(first.group())
        if end < len(data):
            self._look(self._word, self._offset + end - self._size)
            last = _last_word(data, end, len(data))
            at = data.find(b"://", end, last) if _may_tell(data) else -1
            while at >= 0:
                # No farther back than a word may be long.
                start = _last_word(data, max(end, at - MAX_WORD - 1), at)
                space = _SPACE.search(data, at, last)
                stop = space.start() if space else last
                self._look(data[start:stop], self._offset + start)
                at = data.find(b"://", stop, last)
            self._word, self._size = b"", 0
            self._grow(data[last:])
        self._offset += len(data)

    def findings(self) -> tuple[Finding, ...]:
        """Give what was found; the text ends here."""
        self._look(self._word, self._offset - self._size)
        self._word, self._size = b"", 0
        return tuple(self._found)

    def _grow(self, data: bytes) -> None:
        self._size += len(data)
        self._word += data[: MAX_WORD + 1 - len(self._word)]

    def _look(self, word: bytes, offset: int) -> None:
        if len(word) > MAX_WORD or not _may_tell(word):
            return
        text = word.decode("utf-8", "replace")  # what is no UTF-8 is refused elsewhere
        for start, end in find_urls(text):
            url = parse_url(text[start:end])
            for code in remarks_on(text[start:end], url) if url is not None else ():
                if code != "URL_FORM" and len(self._found) < _MAX_LISTED:
                    position = offset + len(text[:start].encode("utf-8"))
                    was, was_sha256 = excerpt(text[start:end])
                    length = len(text[start:end].encode("utf-8"))
                    self._found.append(Finding(code, SEVERITIES[code], "report", position, length, was, was_sha256=was_sha256))


def _may_tell(data: bytes) -> bool:
    """Tell quickly that there may be a URL with a user, or with a host of other letters."""
    return b"/" in data and b"://" in data and (not data.isascii() or b"@" in data or b"%" in data or b"xn--" in data.lower())


def _last_word(data: bytes, start: int, end: int) -> int:
    """Give where the last word between two places begins, which may be at the end."""
    spaces = max(data.rfind(space, start, end) for space in (b" ", b"\n", b"\t", b"\r", b"\f", b"\v"))
    return max(spaces + 1, start)
