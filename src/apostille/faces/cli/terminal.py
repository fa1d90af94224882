"""What a command prints and where: data and verdicts on stdout, talk on stderr, one JSON document with ``--json``.

Text that came from an agent is never printed as it is: hidden and control characters are drawn as ``⟦U+202E⟧``.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from apostille import wiring
from apostille.errors import NotFoundError, StorageUnavailableError, TooLargeError
from apostille.storage import files

# Shown as they are beyond ASCII: letters, digits and signs of general use. Everything that hides, joins or turns is drawn, and so
# are the spaces that look like others. A test holds this against what the canonicalizer drops.
_HIDDEN = (
    (0x00, 0x08),
    (0x0B, 0x1F),
    (0x7F, 0xA0),
    (0xAD, 0xAD),
    (0x34F, 0x34F),
    (0x61C, 0x61C),
    (0x115F, 0x1160),
    (0x1680, 0x1680),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x2000, 0x200F),
    (0x2028, 0x202F),
    (0x205F, 0x206F),
    (0x2800, 0x2800),
    (0x3164, 0x3164),
    (0xD800, 0xF8FF),
    (0xFDD0, 0xFDEF),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFC),
    (0xFFFE, 0xFFFF),
    (0x13430, 0x1343F),
    (0x1BCA0, 0x1BCA3),
    (0x1D159, 0x1D159),
    (0x1D173, 0x1D17A),
    (0x27E6, 0x27E7),  # the brackets themselves: whoever writes them can't forge a drawing
    (0xE0000, 0x10FFFF),
)
# What means something in markup is carried through it by private characters, which ``visible`` never lets pass; escaping with
# backslashes is not exact where backslashes stand before a bracket already.
_STAND_IN = {ord("["): "\ue000", ord("\\"): "\ue001"}
_LITERAL = {0xE000: "[", 0xE001: "\\"}
_TAIL = re.compile(r"[ \t]+(?=\n|\Z)")
STDIN = "-"
MAX_INPUT_BYTES = 2**30


@dataclass(slots=True)
class Terminal:
    """The global options of one call, and the two streams.

    Attributes:
        store: The store's folder, as given.
        as_json: One JSON document on stdout instead of text.
        is_quiet: No talk on stderr.
        documents: Where documents wait while several become one.
        is_stdout_taken: Stdout belongs to a program that we run: documents go to stderr, a line each.
        is_lines: Each document on a line of its own, as soon as it is there.
    """

    store: str | None = None
    as_json: bool = False
    is_quiet: bool = False
    documents: list[Any] | None = None
    is_stdout_taken: bool = False
    is_lines: bool = False

    @property
    def folder(self) -> wiring.StoreFolder:
        """The store that is meant."""
        return wiring.store_folder(self.store)

    def say(self, text: str = "") -> None:
        """Talk to a person on stderr. Rich markup is taken: what comes from elsewhere goes through ``plain`` or ``marked``."""
        if not self.is_quiet:
            _print(sys.stderr, text)

    def show(self, text: str = "") -> None:
        """Print a result for a person on stdout; markup as in ``say``."""
        if not self.as_json:
            _print(sys.stdout, text)

    def complain(self, text: str) -> None:
        """Tell a person of an error on stderr, however quiet it was to be."""
        if not self.as_json:
            _print(sys.stderr, text)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Make one document, a list, of all that are printed inside this."""
        self.documents = []
        try:
            yield
        finally:
            found, self.documents = self.documents, None
        self.document(found)

    @contextmanager
    def streamed(self) -> Iterator[None]:
        """Print each document inside this on a line of its own, at once."""
        self.is_lines = True
        try:
            yield
        finally:
            self.is_lines = False

    def document(self, value: Any) -> None:
        """Print the one JSON document of a command, if it was asked for."""
        if self.documents is not None:
            self.documents.append(value)
        elif self.as_json and self.is_stdout_taken:
            sys.stderr.write(json.dumps(value) + "\n")
        elif self.as_json and self.is_lines:
            sys.stdout.write(json.dumps(value) + "\n")
            sys.stdout.flush()
        elif self.as_json:
            # A terminal would act on what it is shown; a program reads escapes just as well.
            text = json.dumps(value, ensure_ascii=sys.stdout.isatty(), indent=2)
            try:
                text.encode(sys.stdout.encoding or "ascii")
            except UnicodeEncodeError:  # lone surrogates (names of files are bytes), or a stream that is not UTF-8
                text = json.dumps(value, indent=2)
            sys.stdout.write(text + "\n")

    @contextmanager
    def progress(self, what: str) -> Iterator[Any]:
        """Yield a function of (done, total) that draws a bar on a terminal and nothing elsewhere."""
        if self.is_quiet or not sys.stderr.isatty():
            yield None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=_console(sys.stderr), transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


def _console(stream: Any) -> Console:
    return Console(file=stream, stderr=stream is sys.stderr)


def _print(stream: Any, markup: str) -> None:
    _console(stream).print(_drawn(markup), highlight=False, soft_wrap=True)


def _drawn(markup: str) -> Text:
    # No emoji: ``:warning:`` in what somebody said is nine characters, not one.
    text = Text.from_markup(markup, emoji=False)
    text.plain = text.plain.translate(_LITERAL)
    return text


def without_colors(markup: str) -> str:
    """Return what ``Terminal.show`` would print, as text for a file."""
    return _drawn(markup).plain


def ignore_broken_pipes() -> None:
    """Let a peer that goes away be an error from now on, and not the end of the process."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def visible(text: str) -> str:
    """Draw hidden, turning and control characters as ``⟦U+XXXX⟧``; LF and TAB stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"⟦U+{ord(c):04X}⟧" if _is_hidden(ord(c)) else c for c in text)


def _is_hidden(point: int) -> bool:
    return (
        any(low <= point <= high for low, high in _HIDDEN) or point & 0xFFFE == 0xFFFE
    )  # the last two of a plane are no characters


def marked(text: str, *, with_tails: bool = False) -> str:
    """Like ``visible``, taken literally inside markup, and with what is hidden in red.

    Args:
        text: From elsewhere.
        with_tails: Draw white space at the end of lines too, which nobody sees either.
    """
    drawn = visible(text)
    if with_tails:
        drawn = _TAIL.sub(lambda match: "".join(f"⟦U+{ord(c):04X}⟧" for c in match.group()), drawn)
    return drawn.translate(_STAND_IN).replace("⟦", "[bold red]⟦").replace("⟧", "⟧[/]")


def plain(text: object, *, limit: int = 300) -> str:
    """Make a short text from elsewhere safe to print inside markup, where it is taken literally."""
    return visible(str(text)[:limit]).replace("\n", " ").translate(_STAND_IN)


def is_folder(path: Path) -> bool:
    """Tell whether there is a folder; a name that is too long or not allowed is none."""
    return os.path.isdir(path)  # noqa: PTH112 - ``Path.is_dir`` raises for such a name


def is_file(path: Path) -> bool:
    """Tell whether there is a file; a name that is too long or not allowed is none."""
    return os.path.isfile(path)  # noqa: PTH113 - ``Path.is_file`` raises for such a name


def read_input(name: str) -> bytes:
    """Return the bytes of a file, or of stdin for ``-``.

    Raises:
        NotFoundError: There is no such file.
        StorageUnavailableError: It can't be read.
        TooLargeError: It is larger than 1 GiB.
    """
    try:
        if name == STDIN:
            data = files.read_up_to(sys.stdin.buffer, MAX_INPUT_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = files.read_up_to(file, MAX_INPUT_BYTES + 1)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}:
            raise NotFoundError(f"there is no file {name}") from error
        raise StorageUnavailableError(f"{name} can't be read: {error.strerror}") from error
    if len(data) > MAX_INPUT_BYTES:
        raise TooLargeError(f"{name} is too large", limit=MAX_INPUT_BYTES)
    return data


def write_output(path: Path, data: bytes) -> None:
    """Write a file for the user, atomically."""
    files.make_folder(path.parent)
    files.replace_file(path, data, mode=files.PUBLIC_FILE)
