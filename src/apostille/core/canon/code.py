"""Code is never changed: what hides in it is reported.

CODE_HIDDEN
    Characters that no editor shows, as the text rules find them: joiners, tags, bidi controls, terminal sequences. White space
    and other spellings of a letter that shows are left to their own codes.
CODE_MIXED
    A word with letters of scripts that look alike: Latin beside Cyrillic, Greek, Armenian or Cherokee.

Spec: canonical.md section 9 "text/x-code".
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from apostille.core.canon import properties
from apostille.core.canon.findings import SEVERITIES, Finding
from apostille.core.canon.lookalikes import CODES

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = frozenset(
    {"CJK_COMPAT", "EMOJI_QUALIFY", "EMOJI_VS", "ENC_BOM", "EOL_FORM", "FINDINGS_CUT", "IVS_KEEP", "JOINER_SPELL", "MARK_FLOOD"}
    | {"MARK_FOREIGN", "NFC", "RESIDUE_QUOTA", "UNASSIGNED", "VS_KEEP", "WS_END", "WS_FLOOD", "WS_TAIL"}
    | CODES
)
_ALIKE = frozenset({"Latin", "Cyrillic", "Greek", "Armenian", "Cherokee", "Coptic", "Lisu"})
_WORD = re.compile("[A-Za-z0-9_\u00aa-\U0010ffff]+")
_LATIN = re.compile("[A-Za-z]")


def hidden_in_code(findings: Iterable[Finding]) -> Finding | None:
    """Sum up the findings about hidden characters; nothing if there are none."""
    hidden = [finding for finding in findings if finding.code not in _SHOWN and finding.severity != "e"]
    if not hidden:
        return None
    count = sum(finding.count for finding in hidden)
    first = min(finding.position for finding in hidden)
    return Finding("CODE_HIDDEN", SEVERITIES["CODE_HIDDEN"], "report", first, 0, count=count)


class MixedWords:
    """Counts words of mixed scripts in code that arrives in pieces of bytes, wherever it is cut."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")  # what is no UTF-8 is refused elsewhere
        self._offset = 0  # in bytes, of the next piece
        self._start = -1  # of the word that is being read
        self._scripts: set[str] = set()
        self._first = 0
        self._count = 0

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        text = self._decoder.decode(data)
        done = 0
        for run in _WORD.finditer(text):
            if run.start():
                self._end()
            self._offset += len(text[done : run.start()].encode("utf-8"))
            self._take(run.group())
            done = run.end()
        if done < len(text):
            self._end()
        self._offset += len(text[done:].encode("utf-8"))

    def finding(self) -> Finding | None:
        """Give one finding for all of them, at the first; the code ends here."""
        self._end()
        if not self._count:
            return None
        return Finding("CODE_MIXED", SEVERITIES["CODE_MIXED"], "report", self._first, 0, count=self._count)

    def _take(self, run: str) -> None:
        if run.isascii():
            self._start = self._offset if self._start < 0 else self._start
            if _LATIN.search(run):
                self._scripts.add("Latin")
            self._offset += len(run)
            return
        for char in run:
            point = ord(char)
            if properties.is_letter(point):
                self._start = self._offset if self._start < 0 else self._start
                self._scripts.add(properties.script(point))
            elif not char.isascii() and properties.script(point) != properties.INHERITED:
                self._end()
            self._offset += len(char.encode("utf-8"))

    def _end(self) -> None:
        if len(self._scripts & _ALIKE) > 1:
            self._first = self._first if self._count else self._start
            self._count += 1
        self._start = -1
        self._scripts.clear()
