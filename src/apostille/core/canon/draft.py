"""A text that is edited in rounds, and what every edit means for the raw text.

Each round changes the text that the round before left. ``Draft`` composes the rounds into one list of edits of the raw text
that do not overlap, so that the edit law holds (canonical.md section 4): an edit that covers what an earlier one wrote takes its
place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apostille.core.canon.findings import SHOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from apostille.core.canon.findings import Ledger


@dataclass(frozen=True, slots=True)
class Edit:
    """``text[start:end]`` becomes ``now``.

    Attributes:
        start: Index of a character.
        end: Index behind the last one.
        now: What stands there then.
        code: Of the finding.
        count: How many things of this code that is.
    """

    start: int
    end: int
    now: str
    code: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that is reported and stays: ``text[start:end]``."""

    start: int
    end: int
    code: str
    count: int = 1


class Draft:
    """A text under way.

    Args:
        raw: The text as it came in.

    Attributes:
        text: As it is now.
    """

    def __init__(self, raw: str) -> None:
        self._raw = raw
        self._edits: list[Edit] = []  # of the raw text
        self.text = raw

    def apply(self, edits: Sequence[Edit]) -> None:
        """Make one round of edits of the text as it is now, in ascending order and without overlap."""
        waiting = self._edits[::-1]
        done: list[Edit] = []
        shift = 0  # an index now, minus the index in the raw text, between two edits
        out: list[str] = []
        copied = 0
        for edit in edits:
            out += (self.text[copied : edit.start], edit.now)
            copied = edit.end
            shift = self._pass(edit.start, shift, waiting, done, is_kept=True)
            start = edit.start - shift
            shift = self._pass(edit.end, shift, waiting, done, is_kept=False)
            _put(done, Edit(start, edit.end - shift, edit.now, edit.code, edit.count))
        for edit in reversed(waiting):
            _put(done, edit)
        self._edits = done
        self.text = "".join((*out, self.text[copied:]))

    @staticmethod
    def _pass(index: int, shift: int, waiting: list[Edit], done: list[Edit], *, is_kept: bool) -> int:
        """Go on to an index of the text as it is now; keep the edits before it, or let them go into the one that covers them."""
        while waiting:
            old = waiting[-1]
            start = old.start + shift
            if start > index or (start == index and (old.now or not is_kept)):
                break
            waiting.pop()
            if start + len(old.now) > index:
                # The old edit reaches over the index: its rest becomes an insertion behind the characters it replaced.
                waiting.append(Edit(old.end, old.end, old.now[index - start :], old.code, 0))
                old = Edit(old.start, old.end, old.now[: index - start], old.code, old.count)
            shift += len(old.now) - (old.end - old.start)
            if is_kept:
                _put(done, old)
        return shift

    def source(self, index: int) -> int:
        """Give the byte offset in the raw text of a character as it is now."""
        return len(self._raw[: _Sources(self._edits).find(index)].encode("utf-8", "surrogatepass"))

    def record(self, ledger: Ledger, remarks: Iterable[Remark] = ()) -> None:
        """Tell a ledger what was done to the raw text, in bytes, and what stays and is reported."""
        place = _Bytes(self._raw)
        for edit in self._edits:
            start, length = place.find(edit.start), place.length(edit.start, edit.end)
            was = tuple(map(ord, self._raw[edit.start : edit.end]))
            now = tuple(map(ord, edit.now))
            act = "replace" if now else "drop"
            while len(now) > SHOWN:  # the list alone has to be enough to apply it
                ledger.record(edit.code, act, start, 0, (), now[:SHOWN], 0)
                now = now[SHOWN:]
            ledger.record(edit.code, act, start, length, was, now, edit.count)
        place = _Bytes(self._raw)
        sources = _Sources(self._edits)
        for remark in sorted(remarks, key=lambda remark: (remark.start, remark.end)):
            first, last = sources.find(remark.start), sources.end(remark.end)
            was = tuple(map(ord, self.text[remark.start : remark.end]))
            start = place.find(first)
            ledger.end_value()  # neighbours that are only reported stay apart
            ledger.record(remark.code, "report", start, place.length(first, max(first, last)), was, (), remark.count)


def _put(done: list[Edit], edit: Edit) -> None:
    """Append an edit; an insertion joins the edit behind it: no two begin at one place, so their order can not be lost."""
    last = done[-1] if done else None
    if last is not None and last.start == last.end == edit.start:
        done[-1] = Edit(edit.start, edit.end, last.now + edit.now, edit.code, max(last.count, edit.count))
    elif edit.start != edit.end or edit.now:
        done.append(edit)


class _Bytes:
    """Byte offsets of ascending indexes of a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._index = 0
        self._offset = 0

    def find(self, index: int) -> int:
        if index < self._index:
            self._index = self._offset = 0
        self._offset += self.length(self._index, index)
        self._index = index
        return self._offset

    def length(self, start: int, end: int) -> int:
        return len(self._text[start:end].encode("utf-8", "surrogatepass"))


class _Sources:
    """Indexes in the raw text of ascending indexes of the text as it is now."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits = edits
        self._next = 0
        self._shift = 0

    def find(self, index: int) -> int:
        while self._next < len(self._edits):
            edit = self._edits[self._next]
            if edit.start + self._shift + len(edit.now) > index:
                return min(index - self._shift, edit.start)
            self._shift += len(edit.now) - (edit.end - edit.start)
            self._next += 1
        return index - self._shift

    def end(self, index: int) -> int:
        """Give the index behind the character before this one."""
        after = _Sources(self._edits)
        after._next, after._shift = self._next, self._shift
        start = after.find(max(index - 1, 0))
        is_new = after._next < len(self._edits) and self._edits[after._next].start <= start
        return self._edits[after._next].end if is_new else start + (index > 0)
