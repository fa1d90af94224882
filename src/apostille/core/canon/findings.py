"""What the canonicalizer changed, kept or saw: findings, their list, and its bytes.

A finding is written as the JSON object::

    {"act":"drop","code":"TAG_DROP","len":8,"n":2,"now":[],"pos":5,"sev":"h","was":[917576,917577]}

``pos`` and ``len`` count bytes of the raw value, ``was`` and ``now`` are code points, ``n`` says how many neighbouring findings
of one code were merged. Four keys appear only where they are needed:

``was_sha256``, ``now_sha256``
    ``was`` or ``now`` is longer than 32 code points and was cut to the first 32; this is the SHA-256 (hex) of the whole in
    UTF-8.
``pointer``
    The finding lies inside a JSON document: a JSON Pointer (RFC 6901) to the string or member. ``pos`` and ``len`` then count
    bytes of the *decoded* string, because the same characters may be spelt with escapes. It explains the whole-value edit
    ``JSON_FORM`` and is not an edit of its own. Pointers over 1,024 characters are cut and end in U+2026.
``decoded``
    The characters of a VS_RUN, TAG_DROP or C2PA_TEXT spell bytes (``hidden_bytes``): ``{"hex":"6869","len":2,"sha256":".."}``,
    the first 64 of them, how many there are, and the SHA-256 of all.

Edits of a text never overlap. A cluster that is interrupted by dropped characters is reported in pieces: the first piece
becomes the composed text, the others become nothing.

Optional characters that stay are counted, not listed: one finding per kind (``ZWNJ_KEEP``, act ``keep``) behind the changes, with
the place of the first one, ``len`` 0 and the count in ``n``.

Over 10,000 findings the rest is only counted: one finding per code with ``len`` 0 and the count in ``n``, and FINDINGS_CUT,
whose ``n`` is the number of findings left out. The full list can be recomputed from the raw bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from apostille.core.canon.hidden_bytes import C2PA_START, Decoded, decoder
from apostille.core.canon.jcs import format_json
from apostille.core.canon.residue import Residue, Tally, measure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SHOWN = 32
MAX_FINDINGS = 10_000

_DIGEST_POINTS = 1_024

# i note, w warning, h payload-shaped, e error. Codes are never renamed or reused.
_NOTES = (
    "CGJ_KEEP CJK_COMPAT DI_KEEP EMOJI_QUALIFY EMOJI_VS ENC_BOM EOL_FORM FINDINGS_CUT FVS_KEEP IVS_KEEP JOINER_SPELL JSON_FORM "
    "MVS_KEEP NFC VS_KEEP WS_END ZWJ_KEEP ZWNJ_KEEP BLOB_OPAQUE MD_FORM C2PA_KEEP PUA_KEEP SPACE_KEEP ZWSP_KEEP "
    "ARABIC_LETTER DIGIT_SET EMOJI_STYLE KANA_HAN MARK_DUP PUNCT_TWIN RADICAL SPACE_VARIANT STYLED TECH_LETTER TYPOGRAPHY"
)
_WARNINGS = (
    "BLANK_GLYPH C2PA_TEXT CGJ_DROP CTRL DI_DROP EMOJI_ZWJ FVS_DROP IVS_DROP JAMO_FILLER_DROP MARK_FLOOD MARK_FOREIGN MVS_DROP "
    "OVERSTRIKE PUA_DROP RESIDUE_QUOTA UNASSIGNED UNSTABLE_RUN VS_DROP WS_FLOOD WS_TAIL ZWJ_DROP ZWNJ_DROP ZWSP_DROP BIDI_DROP "
    "BIDI_UNBALANCED CODE_MIXED MIXED_SCRIPT WHOLE_SCRIPT MD_HTML MD_LINK_QUERY MD_REF_UNUSED URL_IDN"
)
_PAYLOADS = (
    "ANSI_OPEN ANSI_SEQ BIDI_OVERRIDE BIDI_REORDER JOINER_RUN NONCHAR TAG_DROP VS_RUN CODE_HIDDEN MD_COMMENT MD_HIDDEN "
    "MD_IMAGE_HOST MD_LINK_MISMATCH URL_USERINFO"
)
_ERRORS = "ENC_INVALID JSON_DUP_KEY JSON_KEY_TWIN JSON_NUMBER LIMIT_DEPTH LIMIT_SIZE"
SEVERITIES = {
    code: severity
    for severity, codes in (("i", f"{_NOTES} BIDI_KEEP"), ("w", _WARNINGS), ("h", _PAYLOADS), ("e", _ERRORS))
    for code in codes.split(" ")
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One change, or one thing that was kept, reported or refused.

    Attributes:
        code: Stable word, for example ``"TAG_DROP"``.
        severity: ``i`` note, ``w`` warning, ``h`` payload-shaped, ``e`` error.
        act: ``drop``, ``replace``, ``keep``, ``report`` or ``refuse``.
        position: Byte offset in the raw value, or in the decoded string if there is a pointer.
        length: Bytes concerned there.
        was: The code points found, at most the first 32.
        now: The code points that replace them, at most the first 32.
        count: How many neighbouring findings of this code and act were merged.
        pointer: JSON Pointer, for findings inside a JSON document.
        was_sha256: Hex digest of the whole of ``was`` if it was cut.
        now_sha256: Hex digest of the whole of ``now`` if it was cut.
        decoded: The bytes that the characters spell.
    """

    code: str
    severity: str
    act: str
    position: int
    length: int
    was: tuple[int, ...] = ()
    now: tuple[int, ...] = ()
    count: int = 1
    pointer: str | None = None
    was_sha256: str | None = None
    now_sha256: str | None = None
    decoded: Decoded | None = None

    def as_json(self) -> dict[str, object]:
        """Give the JSON object of this finding (module docstring)."""
        value: dict[str, object] = {
            "act": self.act,
            "code": self.code,
            "len": self.length,
            "n": self.count,
            "now": list(self.now),
            "pos": self.position,
            "sev": self.severity,
            "was": list(self.was),
        }
        optional = {
            "decoded": None if self.decoded is None else self.decoded.as_json(),
            "now_sha256": self.now_sha256,
            "pointer": self.pointer,
            "was_sha256": self.was_sha256,
        }
        return value | {key: one for key, one in optional.items() if one is not None}


def format_findings(findings: Iterable[Finding]) -> bytes:
    """Write findings as the bytes that are committed to.

    Args:
        findings: In the order in which the canonicalizer gave them.

    Returns:
        A JSON list in RFC 8785 form.

    Spec: canonical.md section 4.
    """
    return format_json([finding.as_json() for finding in findings])


def excerpt(text: str) -> tuple[tuple[int, ...], str | None]:
    """Give the first 32 code points of a text, and the SHA-256 of its UTF-8 bytes if that is not all of it."""
    shown = tuple(map(ord, text[:SHOWN]))
    return shown, None if len(text) <= SHOWN else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class _Run:
    """Neighbouring findings of one code that are becoming one."""

    __slots__ = ("_decoder", "_digest", "_undigested", "act", "code", "count", "end", "now", "pointer", "position", "was")

    def __init__(self, code: str, act: str, position: int, pointer: str | None) -> None:
        self.code = code
        self.act = act
        self.position = position
        self.end = position
        self.pointer = pointer
        self.was: list[int] = []
        self.now: list[int] = []
        self.count = 0
        # Once there is more than is shown: the digest of all of it, and what has not gone in yet.
        self._digest: hashlib._Hash | None = None
        self._undigested: list[int] = []
        self._decoder = decoder(code)

    def takes(self, act: str, position: int, was: Sequence[int], now: Sequence[int]) -> bool:
        """Tell whether one more finding may join.

        A replacement stays within 32 code points, so that the list alone is enough to apply it; a drop may be of any length. Each
        C2PA manifest is one finding.
        """
        if self.act != act or self.end != position or (self.code == "C2PA_TEXT" and was[:1] == (C2PA_START,)):
            return False
        if not now and not self.now:
            return True
        return len(self.now) + len(now) <= SHOWN and len(self.was) + len(was) <= SHOWN and self._digest is None

    def join(self, length: int, was: Sequence[int], now: Sequence[int], count: int) -> None:
        self.end += length
        self.count += count
        self.now += now
        if self._decoder is not None:
            self._decoder.feed(was)
        if self._digest is None:
            if len(self.was) + len(was) <= SHOWN:
                self.was += was
                return
            self._digest = hashlib.sha256(_utf8(self.was))
            self.was += was[: SHOWN - len(self.was)]
        self._undigested += was
        if len(self._undigested) >= _DIGEST_POINTS:
            self._digest.update(_utf8(self._undigested))
            self._undigested.clear()

    def finding(self) -> Finding:
        if self._digest is not None:
            self._digest.update(_utf8(self._undigested))
            self._undigested.clear()
        return Finding(
            code=self.code,
            severity=SEVERITIES[self.code],
            act=self.act,
            position=self.position,
            length=self.end - self.position,
            was=tuple(self.was),
            now=tuple(self.now),
            count=max(self.count, 1),
            pointer=self.pointer,
            was_sha256=None if self._digest is None else self._digest.hexdigest(),
            decoded=None if self._decoder is None else self._decoder.decoded(),
        )


def _utf8(points: Sequence[int]) -> bytes:
    return "".join(map(chr, points)).encode("utf-8", "surrogatepass")


class Ledger:
    """Collects findings while a value is read; merges neighbours and bounds the list.

    Each code is recorded in ascending position, different codes in any order: passes hold back different amounts of input.

    Args:
        is_report: Nothing is changed; every act is written as ``report``.

    Attributes:
        refused: Something was recorded for which the value is refused.
        characters: Length of the canonical text.
    """

    def __init__(self, *, is_report: bool = False) -> None:
        self._is_report = is_report
        self._runs: dict[tuple[str, int], _Run] = {}
        self._findings: list[Finding] = []
        self._value_start = 0
        self._left_out: dict[str, tuple[int, int]] = {}
        self._pointer: str | None = None
        self._value_is_report = is_report
        self._kept: dict[str, Tally] = {}
        self._noted: dict[str, Finding] = {}
        self.refused = False
        self.characters = 0

    def begin_value(self, pointer: str | None, *, is_report: bool = False) -> None:
        """Start on another string of a JSON document; findings never merge across strings.

        Args:
            pointer: Where the string is.
            is_report: This one is only looked at.
        """
        self.end_value()
        self._pointer = pointer
        self._value_is_report = self._is_report or is_report

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
        """Take one finding.

        Args:
            code: A key of ``SEVERITIES``.
            act: What was done; ``refuse`` makes ``refused`` true unless this ledger only reports.
            position: Byte offset.
            length: Bytes.
            was: Code points found there.
            now: What they become.
            count: 0 for the second half of something already counted.
            lane: Findings of one code are in order, and merge, within a lane.
        """
        if self._value_is_report:
            act = "report"
        self.refused = self.refused or act == "refuse"
        if not length and now:
            self._end_before(position, (code, lane))
        run = self._runs.get((code, lane))
        if run is None or not run.takes(act, position, was, now):
            if run is not None:
                self._close(run)
            run = self._runs[code, lane] = _Run(code, act, position, self._pointer)
        run.join(length, was, now, count)

    def keep(self, code: str, point: int, position: int, *, bits: int = 1, script: str = "") -> None:
        """Count an optional character that stays; there is one finding for all of a kind.

        Args:
            code: Of the kind, for example ``"ZWNJ_KEEP"``.
            point: The character.
            position: Byte offset.
            bits: What the choice among its alternatives could carry.
            script: Of what it stands behind, where that matters to how many are ordinary.
        """
        tally = self._kept.get(code)
        if tally is None:
            tally = self._kept[code] = Tally(0, 0, point, position)
        tally.add(bits, script)

    def take(self, code: str, tally: Tally, position: int) -> None:
        """Count optional characters that another ledger counted in the same text.

        Args:
            code: Of the kind.
            tally: The other one's.
            position: Byte offset of the first one.
        """
        self._kept[code] = replace(tally, position=position)

    def kept(self) -> dict[str, Tally]:
        """Give what was counted by ``keep``, by kind."""
        return dict(self._kept)

    def note(self, code: str, position: int, text: str, count: int) -> None:
        """Take what was seen and stays: one finding for all of a code, or for all of it in one string of a JSON document.

        Args:
            code: A key of ``SEVERITIES``.
            position: Byte offset of the first one.
            text: The first one.
            count: How many there are.
        """
        noted = self._noted.get(code)
        if noted is None:
            points = tuple(map(ord, text))
            length = len(text.encode("utf-8"))
            self._noted[code] = Finding(code, SEVERITIES[code], "report", position, length, points, (), count, self._pointer)
        else:
            self._noted[code] = replace(noted, count=noted.count + count)

    def residue(self) -> Residue:
        """Give what the kept characters could carry."""
        return measure(self._kept, self.characters)

    def _keeps(self) -> list[Finding]:
        found = [
            Finding(code, SEVERITIES[code], "keep", tally.position, 0, (tally.first,), count=tally.count)
            for code, tally in sorted(self._kept.items())
        ]
        found += [self._noted[code] for code in sorted(self._noted)]
        over = self.residue().over_quota
        if over:
            count = sum(self._kept[code].count for code in over)
            found.append(Finding("RESIDUE_QUOTA", SEVERITIES["RESIDUE_QUOTA"], "report", 0, 0, count=count))
        return found

    def add(self, finding: Finding) -> None:
        """Take a finding that is already whole, in its place before what follows."""
        self.end_value()
        if self._is_report:
            finding = replace(finding, act="report")
        self.refused = self.refused or finding.act == "refuse"
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(finding)
        else:
            self._leave_out(finding.code, finding.position)
        self._value_start = len(self._findings)

    def _close(self, run: _Run) -> None:
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(run.finding())
        else:
            self._leave_out(run.code, run.position)

    def _end_before(self, position: int, inserted: tuple[str, int]) -> None:
        """What is put in at a place parts the replacements before it from those behind it."""
        ended = [key for key, run in self._runs.items() if run.end == position and run.act == "replace" and key != inserted]
        for key in ended:
            self._close(self._runs.pop(key))

    def _leave_out(self, code: str, position: int) -> None:
        first, count = self._left_out.get(code, (position, 0))
        self._left_out[code] = (first, count + 1)

    def end_value(self) -> None:
        """Close what is open and put the findings of this value in the order of their positions."""
        for run in sorted(self._runs.values(), key=lambda run: run.position):
            self._close(run)
        self._runs.clear()
        self._findings[self._value_start :] = sorted(self._findings[self._value_start :], key=lambda finding: finding.position)
        self._value_start = len(self._findings)

    def finish(self) -> tuple[Finding, ...]:
        """Give all findings; what was kept comes behind the changes, and the counters of those left out come last."""
        self.end_value()
        found = [*self._findings, *self._keeps()]
        if not self._left_out:
            return tuple(found)
        counters = [
            Finding(code, SEVERITIES[code], "report", first, 0, count=count)
            for code, (first, count) in sorted(self._left_out.items())
        ]
        total = sum(finding.count for finding in counters)
        cut = Finding("FINDINGS_CUT", SEVERITIES["FINDINGS_CUT"], "report", 0, 0, count=total)
        return (*found, *counters, cut)


class Lane(Ledger):
    """One of several rows of passes that write into one ledger: each in ascending order, but not together.

    Args:
        ledger: Takes everything.
        lane: Number of the row.
        is_last: What stays here is counted; behind an earlier row it may still go.
    """

    def __init__(self, ledger: Ledger, lane: int, *, is_last: bool) -> None:
        super().__init__()
        self._ledger = ledger
        self._lane = lane
        self._is_last = is_last

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
        """Take one finding."""
        self._ledger.record(code, act, position, length, was, now, count, lane or self._lane)

    def beside(self) -> Lane:
        """Give another lane for the same row: findings in the two do not merge."""
        return Lane(self._ledger, self._lane + 1, is_last=self._is_last)

    def keep(self, code: str, point: int, position: int, *, bits: int = 1, script: str = "") -> None:
        """Count an optional character that stays."""
        if self._is_last:
            self._ledger.keep(code, point, position, bits=bits, script=script)
