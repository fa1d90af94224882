"""Profiles ``safe`` and ``report``: look-alikes are found and reported, and the bytes stay.

Text goes on at once; what is looked at is a copy, in *stretches* that end behind a space, a line feed or an ideographic stop, at
most 4,096 characters. No rule here looks over the end of one, so it does not matter how the text came in. One finding for each
code says where the first place is and how many there are; words with letters of another script are reported one by one.

Where only the whole text can tell (words all of whose letters have twins, two sets of digits), the decision comes at its end.

Spec: canonical.md section 7 "safe: finding".
"""

from __future__ import annotations

import re
from bisect import bisect_right, insort
from collections import Counter
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING

from apostille.core.canon import lookalikes as look
from apostille.core.canon import properties as p
from apostille.core.canon.alphabet import char_class
from apostille.core.canon.findings import SHOWN
from apostille.core.canon.normalize import COMBINING, decompose
from apostille.core.canon.quiet import ENOUGH, any_letter, count_free, letters
from apostille.core.canon.words import GREEK_LETTERS, MAX_LETTERS, mixed_target, whole_target

if TYPE_CHECKING:
    from apostille.core.canon.findings import Ledger
    from apostille.core.canon.tails import TailPass
    from apostille.core.canon.units import Piece

MAX_STRETCH = 4_096
MAX_INDEX = 1 << 62
_MAX_WORDS = 32
_ENDS = " \n\u3001\u3002"
_SPACES = " \t\n"

_MARKS = "\u0300-\u036f"
_ALNUM = "0-9A-Za-z"
_COMMON_SCRIPTS = ("Latin", "Cyrillic", "Greek")


@cache
def _script_class(script: str) -> str:
    return char_class(letters(script))


@cache
def _has(*scripts: str) -> re.Pattern[str]:
    return re.compile(f"[{''.join(map(_script_class, scripts))}]")


@cache
def _foreign() -> re.Pattern[str]:
    return _has(*sorted(look.SCRIPTS - {"Latin"}))


@cache
def _stray() -> re.Pattern[str]:
    """Match a stray beside a Latin letter."""
    return re.compile(f"[{_script_class(look.STRAY)}](?:(?<=[A-Za-z].)|(?=[A-Za-z]))")


@cache
def _rare() -> re.Pattern[str]:
    return _has(*sorted(look.SCRIPTS.difference(_COMMON_SCRIPTS)))


@cache
def _twin_words(script: str) -> re.Pattern[str]:
    twins = char_class(filter(look.is_twin, letters(script)))
    return re.compile(f"(?<![{any_letter()}])[{twins}]{{2,{MAX_LETTERS}}}+(?![{any_letter()}])")


@cache
def _mixed_words() -> re.Pattern[str]:
    """Match the beginning of a word up to where its second script begins."""
    runs = "|".join(f"[{_script_class(script)}{_MARKS}]++" for script in (*_COMMON_SCRIPTS, *sorted(look.SCRIPTS), look.STRAY))
    return re.compile(f"(?<![{any_letter()}{_MARKS}])(?:{runs})(?=[{any_letter()}])")


@cache
def _word() -> re.Pattern[str]:
    return re.compile(f"[{any_letter()}{_MARKS}]+")


# One class first, with all that is outside the BMP as one range: a search for it runs without interpreting the pattern, and the
# class is a bitmap and one comparison.
_HE = [*look.KANA, *(parts[0] for parts in look.KANA.values())]
_HAN = [parts[0] for parts in look.HAN.values()]
_ALL = [*look.FOLDS, *look.SPACES, *look.PUNCTUATION, *look.FULLWIDTH, *look.TECHNICAL, *COMBINING, *_HE, *_HAN, 0xFE0E, 0xFE0F]
_SIGHT = re.compile(
    f"[{char_class(_ALL, is_bmp=True)}\U00010000-\U0010ffff](?:(?<=[{char_class(look.FOLDS)}])"
    f"|(?<=[{char_class(look.SPACES)}])(?P<space>)"
    f"|(?<=[{char_class(look.PUNCTUATION)}])(?:(?<=[A-Za-z].)|(?=[A-Za-z]))(?P<punctuation>)"
    f"|(?<=[{char_class(look.FULLWIDTH)}])(?<=[{_ALNUM}].)(?=[{_ALNUM}])(?P<fullwidth>)"
    f"|(?<=[{char_class(look.TECHNICAL)}])(?:(?<=[a-z].)|(?=[a-z]))(?P<technical>)"
    f"|(?<=[\ufe0e\ufe0f])(?<!\u200d..)(?![\u200d\u20e3])(?P<style>)"
    f"|(?<=[{char_class(COMBINING)}])(?P<mark>)"
    f"|(?<=[\u30a1-\u30fa\u30fc][{char_class(_HAN)}])(?=[\u30a1-\u30fa\u30fc])(?P<kana>)"
    f"|(?<=[{char_class(_HE)}])(?P<he>))",
    re.DOTALL,
)
_RUN = re.compile(r"(?<=[^ \t\n])(?: {2,}| *\t[ \t]*)(?=[^ \t\n]|\Z)|\n{3,}")
_CODES = {
    "punctuation": "PUNCT_TWIN",
    "fullwidth": "PUNCT_TWIN",
    "technical": "TECH_LETTER",
    "style": "EMOJI_STYLE",
    "kana": "KANA_HAN",
}
_ARABIC = re.compile("[\u0643\u064a\u0660-\u0669\u06a9\u06cc\u06f0-\u06f9]")
_ARABIC_SETS = {
    ("DIGIT_SET", "ar"): re.compile("[\u0660-\u0669]"),
    ("DIGIT_SET", "fa"): re.compile("[\u06f0-\u06f9]"),
    ("ARABIC_LETTER", "ar"): re.compile("[\u0643\u064a]"),
    ("ARABIC_LETTER", "fa"): re.compile("[\u06a9\u06cc]"),
}


def may_look_alike(text: str) -> bool:
    """Tell that a text in which white space is data may hold look-alikes. False means that there is nothing to look for."""
    return not text.isascii()


class Sightings:
    """Look at text on its way to the tails.

    Args:
        ledger: Takes the findings.
        following: Takes the text.
        is_plain: White space is layout.
    """

    def __init__(self, ledger: Ledger, following: TailPass, *, is_plain: bool) -> None:
        self._ledger = ledger
        self._is_plain = is_plain
        self._next = following
        self._held: list[str] = []
        self._size = 0
        # Where in what is held a piece starts, its byte in the raw value, and how many bytes there, if it stands for others.
        self._places: list[tuple[int, int, int]] = []
        self._text = ""  # what is looked at
        self._totals: Counter[str] = Counter()
        self._notes: dict[str, tuple[int, str, int]] = {}  # by code: byte, text, how many
        self._words: dict[str, list[tuple[str, tuple[int, int]]]] = {}  # by script: all twins, with no evidence of it so far
        self._sets: dict[tuple[str, str], tuple[int, str]] = {}  # the first of each set

    def push(self, piece: Piece) -> None:
        """Take a piece."""
        self._next.push(piece)
        if not piece.code:
            self._see(piece.text, piece.position)
            return
        for char in piece.text:  # each of them stands for all the raw bytes
            self._see(char, piece.position, piece.length)

    def text(self, text: str, position: int) -> None:
        """Take text that stands at this byte."""
        self._next.text(text, position)
        self._see(text, position)

    def span(self, text: str, position: int) -> None:
        """Take text that stands at this byte."""
        self._next.span(text, position)
        self._see(text, position)

    def end(self, position: int) -> None:
        """End the text."""
        self._look(is_end=True, is_last=True)
        for word, place in sorted((word for words in self._words.values() for word in words), key=itemgetter(1)):
            target = whole_target([ord(char) for char in word], self._totals)
            if target:
                self._report("WHOLE_SCRIPT", word, place, target)
        for code in ("DIGIT_SET", "ARABIC_LETTER"):
            seen = [self._sets[code, language] for language in ("ar", "fa") if (code, language) in self._sets]
            if len(seen) > 1:
                self._notes[code] = (*max(seen), 1)
        for code, (first, text, count) in self._notes.items():
            self._ledger.note(code, first, text, count)
        self._next.end(position)

    def _see(self, text: str, position: int, size: int = 0) -> None:
        if len(text) >= MAX_STRETCH and text.isascii():
            text, position = self._see_ascii(text, position)
        if not text:
            return
        self._places.append((self._size, position, size))
        self._held.append(text)
        self._size += len(text)
        if self._size >= MAX_STRETCH:
            self._look(is_end=False, is_last=False)

    def _see_ascii(self, text: str, position: int) -> tuple[str, int]:
        """Look at most of a long text at once; give the rest."""
        half = MAX_STRETCH // 2
        if any(not _has_end(text, start, start + half) for start in range(0, len(text), half)):
            return text, position  # a stretch may be cut by its length
        first, last = _last_end(text, 0, half), _last_end(text, 0, len(text))
        self._see(text[:first], position)
        self._look(is_end=True, is_last=False)
        self._text, self._places = text, [(0, position, 0)]
        self._stretch(first, last, is_last=False)
        self._places = []
        return text[last:], position + last

    def _look(self, *, is_end: bool, is_last: bool) -> None:
        """Look at the stretches that are whole; at all that is held, if a stretch or the text ends here."""
        text = self._text = "".join(self._held)
        start = 0
        while len(text) - start >= MAX_STRETCH or (is_end and start < len(text)):
            end = min(start + MAX_STRETCH, len(text))
            if not is_end or end < len(text):
                end = _last_end(text, start, end)
            self._stretch(start, end, is_last=is_last and end == len(text))
            if end < len(text):
                insort(self._places, (end, self._place(end), self._raw(end)[2]))
            start = end
        self._held, self._size = [text[start:]], len(text) - start
        self._places = [(index - start, byte, size) for index, byte, size in self._places if index >= start]

    def _place(self, index: int) -> int:
        """Give the byte in the raw value of a character."""
        start, byte, _ = self._raw(index)
        return byte + len(self._text[start:index].encode("utf-8"))

    def _raw(self, index: int) -> tuple[int, int, int]:
        return self._places[bisect_right(self._places, (index, MAX_INDEX, 0)) - 1]

    def _note(self, code: str, start: int, text: str) -> None:
        noted = self._notes.get(code)
        self._notes[code] = (self._place(start), text, 1) if noted is None else (noted[0], noted[1], noted[2] + 1)

    def _span(self, start: int, word: str) -> tuple[int, int]:
        """Give the bytes of a word in the raw value; what was dropped inside it is between them."""
        last = start + len(word) - 1
        place = self._place(start)
        return place, self._place(last) + (self._raw(last)[2] or len(word[-1].encode("utf-8"))) - place

    def _report(self, code: str, word: str, place: tuple[int, int], target: str) -> None:
        points = [ord(char) for char in word]
        now = [part for point in points for part in _twin(point, target)] if target else []
        self._ledger.record(code, "report", *place, points, now[:SHOWN])

    def _stretch(self, start: int, end: int, *, is_last: bool) -> None:
        text = self._text[start:end]
        if self._is_plain and "TYPOGRAPHY" not in self._notes and ("  " in text or "\t" in text or "\n\n\n" in text):
            found = _RUN.search(text.rstrip(" \t\n") if is_last else text)
            if found:
                self._note("TYPOGRAPHY", start + found.start(), found.group()[:8])
        if text.isascii():
            self._count(text, start, ("Latin",))
            return
        is_foreign = bool(_foreign().search(text) or _stray().search(text))
        self._count(text, start, _scripts_of(text) if is_foreign else ("Latin",))
        for hit in _SIGHT.finditer(text):
            code = _code_of(text, hit)
            if code:
                self._note(code, start + hit.start(), hit.group())
        if is_foreign and _mixed_words().search(text):
            self._mixed(text, start)
        for key, pattern in _ARABIC_SETS.items() if _ARABIC.search(text) else ():
            found = None if key in self._sets else pattern.search(text)
            if found:
                self._sets[key] = (self._place(start + found.start()), found.group())

    def _count(self, text: str, start: int, scripts: tuple[str, ...]) -> None:
        """Count evidence, and note the words that stand before any of their script."""
        for script in scripts:
            if self._totals[script] < ENOUGH:
                self._totals[script] = min(self._totals[script] + count_free(script, text), ENOUGH)
        for script in scripts:
            words = self._words.setdefault(script, [])
            if self._totals[script]:
                words.clear()
                continue
            for hit in _twin_words(script).finditer(text):
                if len(words) < _MAX_WORDS:
                    words.append((hit.group(), self._span(start + hit.start(), hit.group())))

    def _mixed(self, text: str, start: int) -> None:
        for hit in _word().finditer(text):
            letters = [ord(char) for char in hit.group() if look.word_script(ord(char))]
            scripts = set(map(look.word_script, letters))
            if len(scripts) == 1:
                continue
            target = mixed_target(letters, Counter())
            is_formula = len(letters) < GREEK_LETTERS and "Greek" in scripts and target in ("", "Greek")
            if not is_formula and (look.STRAY not in scripts or target):
                self._report("MIXED_SCRIPT", hit.group(), self._span(start + hit.start(), hit.group()), target)


def _twin(point: int, script: str) -> tuple[int, ...]:
    return look.in_script(point, script) if look.word_script(point) else (point,)


def _scripts_of(text: str) -> tuple[str, ...]:
    rare = sorted(look.SCRIPTS) if _rare().search(text) else _COMMON_SCRIPTS
    return tuple(script for script in rare if _has(script).search(text))


def _last_end(text: str, start: int, end: int) -> int:
    """Give the last index up to an end where a stretch may end, no run of white space cut; the end if there is none."""
    before = end
    while before > start:
        found = max(text.rfind(char, start, before) for char in _ENDS) + 1
        if found <= start:
            break
        if found < len(text) and text[found] not in _SPACES:
            return found
        before = start + len(text[start : found - 1].rstrip(_SPACES))
    return end


def _has_end(text: str, start: int, end: int) -> bool:
    found = text.find(" ", start, end) + 1
    return 0 < found < len(text) and text[found] not in _SPACES


def _code_of(text: str, hit: re.Match[str]) -> str:
    """Give the code of what was met, or nothing if it is in order where it stands."""
    index, kind = hit.start(), hit.lastgroup
    if kind is None:
        return look.FOLDS[ord(hit.group())][0]
    before, after = (ord(char) if char else 0x20 for char in (text[index - 1 : index], text[index + 1 : index + 2]))
    point = ord(hit.group())
    if kind == "space":
        return _space_code(point, before, after)
    if kind == "mark":
        row = [mark for mark in decompose(before) if COMBINING.get(mark, 0) == COMBINING[point]]
        return "MARK_DUP" if row[-1:] == [point] else ""
    if kind == "he":
        kinds = {_is_katakana(before), _is_katakana(after)}
        return "KANA_HAN" if len(kinds) == 1 and (point in look.KANA) in kinds else ""
    return _CODES[kind]


def _space_code(point: int, before: int, after: int) -> str:
    is_kept = (
        (point == look.IDEOGRAPHIC_SPACE and (look.is_wide(before) or look.is_wide(after)))
        or (point == look.NARROW_SPACE and p.script(after) == "Mongolian")
        or (point == look.OGHAM_SPACE and "Ogham" in (p.script(before), p.script(after)))
    )
    return "" if is_kept else "SPACE_VARIANT"


def _is_katakana(point: int) -> bool | None:
    return 0x30A1 <= point <= 0x30FA if 0x3041 <= point <= 0x30FA else None
