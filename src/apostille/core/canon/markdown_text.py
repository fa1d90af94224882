"""The text rules on Markdown: everywhere but in code, where they only look.

The whole text goes through the engine in one piece, with a letter in the place of every character of code: so a rule that looks
at its neighbours, or at the direction of a paragraph, sees that something stands there. White space at line ends is left to
Markdown (``tails``): two spaces break a line there.

Characters that need a look are also taken out of entities (``&#8203;``): the page that is made of the text has the character.

Spec: canonical.md section 9 "text/markdown", "text/x-code, code in Markdown".
"""

from __future__ import annotations

import html
import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from apostille.core.canon import alphabet as a
from apostille.core.canon.code import MixedWords, hidden_in_code
from apostille.core.canon.draft import Edit, Remark
from apostille.core.canon.findings import Ledger
from apostille.core.canon.properties import WHITE_SPACE
from apostille.core.canon.seams import line_drawing
from apostille.core.canon.text import TextEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apostille.core.canon.markdown_parse import Parsed
    from apostille.core.canon.options import TextOptions
    from apostille.core.canon.residue import Tally
    from apostille.core.canon.tails import Ending

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_NOT_LF = re.compile("[^\n]")
_BLANKS = "".join(map(chr, sorted(WHITE_SPACE - {a.LF})))
_TAIL = re.compile(f"(?<![{_BLANKS}])[{_BLANKS}]+(?=\n|\\Z)")


class Code:
    """The places of code in a text.

    Args:
        parsed: The text.
    """

    def __init__(self, parsed: Parsed) -> None:
        spans = [(i.start, i.end) for i in parsed.inlines if i.token.type == "code_inline"]
        for token in parsed.tokens:
            if token.type == "code_block":
                spans.append(parsed.span(token))
            elif token.type == "fence" and token.map is not None:
                first = token.map[0] + 1
                count = token.content.count("\n") + (not token.content.endswith("\n") if token.content else 0)
                last = len(parsed.lines) - 1
                spans.append((parsed.lines[min(first, last)], parsed.lines[min(first + count, last)]))
        self.spans = sorted(span for span in spans if span[0] < span[1])
        self._starts = [start for start, _ in self.spans]

    def holds(self, index: int) -> bool:
        """Tell that a character is code."""
        found = bisect_right(self._starts, index) - 1
        return found >= 0 and index < self.spans[found][1]


@dataclass(slots=True)
class Looked:
    """What the text rules say.

    Attributes:
        edits: Ascending, without overlap.
        remarks: What stays and is reported.
        kept: Optional characters that stay: kind, tally, index of the first.
    """

    edits: list[Edit]
    remarks: list[Remark]
    kept: list[tuple[str, Tally, int]]


class _Sink(Ledger):
    """Takes all findings of the engine, however many."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, int, str, str, str, int]] = []
        self.notes: list[tuple[str, int, int]] = []

    def note(self, code: str, position: int, text: str, count: int) -> None:
        del text
        self.notes.append((code, position, count))

    def record(
        self,
        code: str,
        act: str,
        position: int,
        length: int,
        was: Sequence[int] = (),
        now: Sequence[int] = (),
        count: int = 1,
        lane: int = 0,
    ) -> None:
        del lane
        last = self.found[-1] if self.found else None
        is_same = last is not None and last[2:4] == (code, act) and act == "drop" and last[1] == position
        if last is not None and is_same and not (code == "C2PA_TEXT" and was[:1] == (a.BOM,)):
            self.found[-1] = (last[0], position + length, code, act, "", last[5] + count)
            return
        self.found.append((position, position + length, code, act, "".join(map(chr, now)), count))


def look_at_text(text: str, code: Code, options: TextOptions) -> Looked:
    """Ask the text rules about a text; the edits leave all code as it is."""
    out: list[str] = []
    done = 0
    for start, end in code.spans:
        out += (text[done:start], _NOT_LF.sub("x", text[start:end]))
        done = end
    masked = "".join((*out, text[done:]))
    sink = _Sink()
    engine = TextEngine(sink, "data", options=options)
    engine.feed_text(masked)
    engine.flush()
    index = _indexes(masked)
    looked = Looked([], [], [])
    for first, behind, name, act, now, count in sorted(sink.found):
        start, end = index(first), index(behind)
        if code.holds(start):
            continue  # a run of line feeds
        if act in ("drop", "replace"):
            looked.edits.append(Edit(start, end, now, name, count))
        else:
            looked.remarks.append(Remark(start, end, name, count))
    for name, place, count in sink.notes:
        looked.remarks.append(Remark(index(place), index(place), name, count))
    looked.kept = [(name, tally, index(tally.position)) for name, tally in sorted(sink.kept().items())]
    starts = [edit.start for edit in looked.edits]
    for entity in _entities(text, code):
        # One whose last character is struck out is none.
        before = bisect_left(starts, entity.end) - 1
        if before < 0 or looked.edits[before].end <= entity.start:
            looked.edits.append(entity)
    looked.edits.sort(key=lambda edit: edit.start)
    return looked


def _indexes(text: str) -> Callable[[int], int]:
    """Give a function from a byte offset of a text to the index of the character."""
    if text.isascii():
        return lambda offset: offset
    step = 4_096
    marks = [0]
    for start in range(0, len(text), step):
        marks.append(marks[-1] + len(text[start : start + step].encode("utf-8")))
    data = text.encode("utf-8")

    def index(offset: int) -> int:
        block = bisect_right(marks, offset) - 1
        return block * step + len(data[marks[block] : offset].decode("utf-8"))

    return index


def _entities(text: str, code: Code) -> list[Edit]:
    found = []
    for match in _ENTITY.finditer(text):
        start = match.start()
        decoded = html.unescape(match.group())
        kinds = [a.KINDS[ord(char)] for char in decoded]
        if decoded == match.group() or not any(kind >= a.MARK or (kind == a.SPACE and not decoded.isascii()) for kind in kinds):
            continue
        if not _is_open(text, start) and not code.holds(start):
            now = " " if any(ord(char) in a.CONTROLS | a.LINE_ENDS for char in decoded) else decoded
            found.append(Edit(start, match.end(), now, "MD_FORM"))
    return found


def _is_open(text: str, index: int) -> bool:
    """Tell that the character at an index stands behind a backslash that is not escaped itself."""
    start = index
    while start > 0 and text[start - 1] == "\\":
        start -= 1
    return (index - start) % 2 == 1


def tails(parsed: Parsed, code: Code, ending: Ending) -> list[Edit]:
    """Close the white space at line ends: a hard break of spaces becomes a backslash, all other white space goes.

    Where a backslash would change what is drawn, since stars before it count it as punctuation, two spaces stay in the paragraph.
    """
    text = parsed.text
    breaks = {i.start: i for i in parsed.inlines if i.token.type in ("hardbreak", "softbreak") and text[i.start] == "\n"}
    last = len(text.rstrip(_BLANKS + "\n"))
    edits: list[Edit] = []
    hard: dict[int, list[Edit]] = {}
    for match in _TAIL.finditer(text):
        start, end = match.span()
        if code.holds(start) or start >= last:
            continue
        inline = breaks.get(end)
        # A backslash that stands before the spaces must not become the one that breaks the line.
        now = "\\" if inline is not None and _is_open(text, start) else ""
        if inline is not None and inline.token.type == "hardbreak":
            hard.setdefault(inline.block, []).append(Edit(start, end, now + "\\", "WS_TAIL"))
        else:
            edits.append(Edit(start, end, now, "WS_TAIL"))
    for block, breaking in hard.items():
        token = parsed.tokens[block]
        rows = token.content.split("\n")
        for edit in breaking:
            row = parsed.line(edit.start) - (token.map or [0])[0]
            rows[row] = rows[row].rstrip(_BLANKS) + edit.now
        is_same = line_drawing("\n".join(rows), parsed) == line_drawing(token.content, parsed)
        edits += breaking if is_same else [replace(edit, now="  ") for edit in breaking if text[edit.start : edit.end] != "  "]
    return [*sorted(edits, key=lambda edit: edit.start), *_end(text, code, ending)]


def _end(text: str, code: Code, ending: Ending) -> list[Edit]:
    """Close the end of the text: no line feed behind a message, at most one behind a file."""
    last = len(text.rstrip("\n" if code.holds(len(text) - 1) else _BLANKS + "\n"))
    feed = text.find("\n", last)
    if ending == "file" and last > 0 and feed >= 0:
        spare = text.count("\n", feed + 1)
        edits = [Edit(last, feed, "", "WS_TAIL"), Edit(feed + 1, len(text), "", "WS_END" if spare else "WS_TAIL", spare or 1)]
    else:
        spare = text.count("\n", last)
        edits = [Edit(last, len(text), "", "WS_END" if spare else "WS_TAIL", spare or 1)]
    return [edit for edit in edits if edit.start < edit.end]


def look_at_code(text: str, code: Code) -> list[Remark]:
    """Report hidden characters and mixed words in code."""
    remarks = []
    for start, end in code.spans:
        piece = text[start:end]
        if piece.isascii() and a.is_clean(piece):
            continue
        ledger = Ledger(is_report=True)
        engine = TextEngine(ledger, "data")
        engine.feed_text(piece)
        engine.flush()
        hidden = hidden_in_code(ledger.finish())
        if hidden:
            remarks.append(Remark(start, end, "CODE_HIDDEN", hidden.count))
        words = MixedWords()
        words.feed(piece.encode("utf-8"))
        mixed = words.finding()
        if mixed:
            remarks.append(Remark(start, end, "CODE_MIXED", mixed.count))
    return remarks
