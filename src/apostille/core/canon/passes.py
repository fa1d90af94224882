"""The shape of the early passes, and three of them: escapes; controls and line ends; fillers, blanks and tags.

An early pass takes one *token* at a time and hands on what stays: a code point with its place in the raw bytes, and, if it
stands for something else, the raw code points and the finding that says so. That finding is recorded when the token leaves, so
that a later pass can still drop it. A pass that holds something back because it depends on what follows says so
(``is_waiting``); then every character comes through it, until ``end``. What is dropped context-free (``drops``) goes before any
pass that looks at neighbours.

Spec: canonical.md section 5, P1 to P3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from apostille.core.canon import alphabet as a

if TYPE_CHECKING:
    from collections.abc import Callable

    from apostille.core.canon.findings import Ledger

    Push = Callable[["Token"], None]

BS, ESC, BEL = 0x08, 0x1B, 0x07
STRING_TERMINATOR = 0x9C
MAX_ESCAPE = 4_096


class Token(NamedTuple):
    """A code point on its way.

    Attributes:
        point: What stands here now.
        position: Byte offset in the raw value.
        length: Bytes there.
        was: The raw code points, if they are not ``point`` alone.
        code: The finding to record when it leaves; empty if nothing was replaced.
    """

    point: int
    position: int
    length: int
    was: tuple[int, ...] = ()
    code: str = ""

    @property
    def raw(self) -> tuple[int, ...]:
        """The raw code points; none for what was put in."""
        return self.was or ((self.point,) if self.length else ())


class Pass(Protocol):
    """One step before the units."""

    @property
    def is_waiting(self) -> bool:
        """Something is held back."""

    def push(self, token: Token) -> None:
        """Take a token."""

    def end(self) -> None:
        """Decide about everything held: the text ends here."""


def drop(ledger: Ledger, code: str, token: Token) -> None:
    """Record that a token goes; what was put in goes without a trace."""
    if token.length:
        ledger.record(code, "drop", token.position, token.length, token.raw)


class EscapePass:
    """Drop terminal sequences (ANSI_SEQ): CSI, OSC, DCS, SOS, PM, APC, nF and two-byte escapes, with ESC or in C1 form.

    One that breaks off, by a character that cannot stand in it, at a line end or after 4,096 characters, loses only its
    introducer (ANSI_OPEN); the rest is text.

    Spec: ECMA-48 sections 5.3 to 5.6; canonical.md section 6.4 "ANSI".
    """

    _STRINGS = frozenset(map(ord, "]PX^_"))
    _C1_STRINGS = frozenset({0x90, 0x98, 0x9D, 0x9E, 0x9F})
    _C1_CSI = 0x9B
    _OSC = frozenset({ord("]"), 0x9D})

    def __init__(self, ledger: Ledger, push: Push) -> None:
        self._ledger = ledger
        self._push = push
        self._state = ""
        self._held: list[Token] = []
        self._takes_bell = False

    @property
    def is_waiting(self) -> bool:
        """A sequence is open."""
        return bool(self._state)

    def push(self, token: Token) -> None:
        """Take a token."""
        point = token.point
        if not self._state:
            if point == ESC:
                self._state = "escape"
            elif point == self._C1_CSI:
                self._state = "csi"
            elif point in self._C1_STRINGS:
                self._state, self._takes_bell = "string", point in self._OSC
            else:
                self._push(token)
                return
            self._held.append(token)
            return
        step = self._step(point)
        if step == "broken" or len(self._held) >= MAX_ESCAPE:
            self._break(token)
            return
        self._held.append(token)
        if step == "done":
            for held in self._held:
                drop(self._ledger, "ANSI_SEQ", held)
            self._held.clear()
            self._state = ""

    def end(self) -> None:
        """Let an open sequence become text."""
        if self._state:
            self._break(None)

    def _step(self, point: int) -> str:
        if self._state == "escape":
            return self._after_escape(point)
        if self._state == "string":
            return self._in_string(point)
        if self._state == "string escape":
            return "done" if point == ord("\\") else "broken"
        if 0x20 <= point < (0x40 if self._state == "csi" else 0x30):
            return "more"
        return "done" if 0x30 <= point < 0x7F else "broken"

    def _after_escape(self, point: int) -> str:
        if point == ord("["):
            self._state = "csi"
        elif point in self._STRINGS:
            self._state, self._takes_bell = "string", point in self._OSC
        elif 0x20 <= point < 0x30:
            self._state = "nf"
        else:
            return "done" if 0x30 <= point < 0x7F else "broken"
        return "more"

    def _in_string(self, point: int) -> str:
        if point == STRING_TERMINATOR or (point == BEL and self._takes_bell):
            return "done"
        if point == ESC:
            self._state = "string escape"
            return "more"
        return "broken" if point == a.LF or point in a.LINE_ENDS or 0x80 <= point < 0xA0 else "more"

    def _break(self, token: Token | None) -> None:
        held, self._held = self._held, []
        is_two = held[0].point == ESC and self._state in ("csi", "string", "string escape")
        self._state = ""
        introducer = 2 if is_two else 1
        for dropped in held[:introducer]:
            drop(self._ledger, "ANSI_OPEN", dropped)
        for replayed in held[introducer:]:
            self.push(replayed)
        if token is not None:
            self.push(token)
        elif self._state:
            # The escape inside a string, at the end of the text.
            self._break(None)


class Striker(Protocol):
    """Who holds the last character: it may still be struck out."""

    def can_strike(self, position: int) -> bool:
        """Tell that the last character ends at this byte and nothing depends on it."""

    def strike(self) -> None:
        """Drop it (OVERSTRIKE)."""


class EntryPass:
    """Drop controls (CTRL); write every line end as LF (EOL_FORM); X BS Y becomes Y (OVERSTRIKE).

    Spec: canonical.md section 6.4 "overstrike", "controls", "line ends".
    """

    _STRIKES = frozenset({a.PLAIN, a.SINGLETON, a.UNASSIGNED, a.SPACE})

    def __init__(self, ledger: Ledger, push: Push, unit: Striker) -> None:
        self._ledger = ledger
        self._push = push
        self._unit = unit
        self._return: Token | None = None
        self._backspaces: list[Token] = []

    @property
    def is_waiting(self) -> bool:
        """A carriage return may be half a line end, or a backspace may strike out a character."""
        return self._return is not None or bool(self._backspaces)

    def push(self, token: Token) -> None:
        """Take a token."""
        point = token.point
        if self._backspaces:
            if self._goes_on(token):
                return
            self._strike(token)
        if point == a.CR:
            self.end()
            self._return = token
        elif point == a.LF and self._return is not None:
            self._end_line(token)
        elif point in a.LINE_ENDS:
            self.end()
            self._push(token._replace(point=a.LF, was=(point,), code="EOL_FORM"))
        elif point == BS and self._return is None and self._unit.can_strike(token.position):
            self._backspaces = [token]
        elif point in a.CONTROLS:
            drop(self._ledger, "CTRL", token)
        else:
            self.end()
            self._push(token)

    def end(self) -> None:
        """Let a carriage return end a line by itself, and a backspace go."""
        if self._backspaces:
            self._strike(None)
        if self._return is not None:
            held, self._return = self._return, None
            self._push(held._replace(point=a.LF, was=(a.CR,), code="EOL_FORM"))

    def _end_line(self, token: Token) -> None:
        held, self._return = self._return, None
        if held is None:
            return
        if held.position + held.length == token.position:
            self._push(Token(a.LF, held.position, held.length + token.length, (a.CR, a.LF), "EOL_FORM"))
            return
        # Something dropped stood between the two: they are one line end all the same.
        self._push(held._replace(point=a.LF, was=(a.CR,), code="EOL_FORM"))
        self._ledger.record("EOL_FORM", "replace", token.position, token.length, (a.LF,), count=0)

    def _goes_on(self, token: Token) -> bool:
        last = self._backspaces[-1]
        if token.point != BS or last.position + last.length != token.position or len(self._backspaces) >= MAX_ESCAPE:
            return False
        self._backspaces.append(token)
        return True

    def _strike(self, token: Token | None) -> None:
        held, self._backspaces = self._backspaces, []
        strikes = (
            token is not None
            and token.position == held[-1].position + held[-1].length
            and token.point not in (a.LF, 0x09)
            and a.KINDS[token.point] in self._STRIKES
        )
        if strikes:
            self._unit.strike()
        for backspace in held:
            drop(self._ledger, "OVERSTRIKE" if strikes else "CTRL", backspace)


class NeighborPass:
    """Decide about what may stay only directly beside a certain neighbour: fillers, blank Braille cells, tags.

    ======================  ==============================================================================================
    U+115F, U+1160          stay where they complete a Hangul block with a real letter (JAMO_FILLER_DROP)
    U+2800                  stays beside Braille cells; elsewhere a run of them is a space, or nothing beside one (BLANK_GLYPH)
    tag characters          stay in the flags of England, Scotland and Wales (TAG_DROP)
    ======================  ==============================================================================================

    Holds back one run of one of them, at most 16 characters.

    Spec: canonical.md sections 6.2 and 6.3; UTS #51 ED-14a (RGI emoji tag sequence set).
    """

    def __init__(self, ledger: Ledger, push: Push, last: Callable[[], int]) -> None:
        self._ledger = ledger
        self._push = push
        self._last = last
        self._held: list[Token] = []

    @property
    def is_waiting(self) -> bool:
        """A run is held."""
        return bool(self._held)

    def push(self, token: Token) -> None:
        """Take a token."""
        if self._held:
            if self._continues(token):
                return
            self._release(token.point)
        kind = a.KINDS[token.point]
        if kind == a.FILLER:
            self._filler(token)
        elif kind == a.BRAILLE_BLANK and not 0x2800 <= self._last() < 0x2900:
            self._held.append(token)
        elif kind == a.TAG:
            self._tag(token)
        else:
            self._push(token)

    def end(self) -> None:
        """Decide about a run at the end of the text."""
        if self._held:
            self._release(a.LF)

    def _filler(self, token: Token) -> None:
        if token.point == a.L_FILLER:
            self._held.append(token)
        elif self._last() in _LEADING:
            self._push(token)
        else:
            drop(self._ledger, "JAMO_FILLER_DROP", token)

    def _tag(self, token: Token) -> None:
        if self._last() == a.BLACK_FLAG and (token.point,) in _FLAG_STARTS:
            self._held.append(token)
        else:
            drop(self._ledger, "TAG_DROP", token)

    def _continues(self, token: Token) -> bool:
        """Take a token that belongs to the held run; tell whether it did."""
        held = tuple(item.point for item in self._held)
        spelt = (*held, token.point)
        if spelt in _FLAG_STARTS or spelt == (a.L_FILLER, a.V_FILLER):
            self._held.append(token)
            return True
        if held[0] == a.BLANK and token.point == a.BLANK:
            if len(held) < MAX_HELD:
                self._held.append(token)
            else:
                drop(self._ledger, "BLANK_GLYPH", token)
            return True
        if spelt in FLAGS or _completes_block(held, token.point) or (held[0] == a.BLANK and 0x2800 < token.point < 0x2900):
            for item in (*self._held, token):
                self._push(item)
            self._held.clear()
            return True
        return False

    def _release(self, following: int) -> None:
        held, self._held = self._held, []
        kind = a.KINDS[held[0].point]
        if kind == a.BRAILLE_BLANK and a.SP not in (following, self._last()):
            self._push(held[0]._replace(point=a.SP, was=(a.BLANK,), code="BLANK_GLYPH"))
            del held[0]
        code = {a.FILLER: "JAMO_FILLER_DROP", a.TAG: "TAG_DROP"}.get(kind, "BLANK_GLYPH")
        for token in held:
            drop(self._ledger, code, token)


MAX_HELD = 16

_LEADING = frozenset({*range(0x1100, 0x115F), *range(0xA960, 0xA97D)})
_VOWELS = frozenset({*range(0x1161, 0x11A8), *range(0xD7B0, 0xD7C7)})
_TRAILING = frozenset({*range(0x11A8, 0x1200), *range(0xD7CB, 0xD7FC)})

_TAG_BASE = 0xE0000
_TAG_END = 0xE007F
# England, Scotland, Wales: after the black flag, the tag letters of the region and the end tag.
FLAGS = frozenset((*(_TAG_BASE + ord(letter) for letter in region), _TAG_END) for region in ("gbeng", "gbsct", "gbwls"))
_FLAG_STARTS = frozenset(flag[:length] for flag in FLAGS for length in range(1, len(flag)))


def _completes_block(held: tuple[int, ...], point: int) -> bool:
    if held == (a.L_FILLER,):
        return point in _VOWELS
    return held == (a.L_FILLER, a.V_FILLER) and point in _TRAILING
