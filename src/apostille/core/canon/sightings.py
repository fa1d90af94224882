"""Profiles ``safe`` and ``report``: look-alikes are found and reported, and the bytes stay.

Text goes on at once; what is looked at is a copy, in *stretches* that end behind a space, a line feed or an ideographic stop, at
most 4,096 characters where not all is ASCII. No rule here looks over the end of one, so it does not matter how the text came in.
What in a stretch is not ASCII says what there is to look for; most of what is seen is told by that alone. One finding for each
code says where the first place is and how many there are; words with letters of another script are reported one by one. Of runs
of white space only the first counts, and it is the place of its finding.

Where only the whole text can tell (words all of whose letters have twins, two sets of digits), the decision comes at its end.

Spec: canonical.md section 7 "safe: finding".
"""

from __future__ import annotations

import re
from bisect import bisect_right, insort
from collections import Counter
from functools import cache
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING

from apostille.core.canon import lookalikes as look
from apostille.core.canon import properties as p
from apostille.core.canon.alphabet import ASTRAL, char_class
from apostille.core.canon.findings import SHOWN
from apostille.core.canon.normalize import COMBINING, DECOMPOSITIONS, decompose
from apostille.core.canon.quiet import ENOUGH, any_letter, count_free, letters
from apostille.core.canon.words import GREEK_LETTERS, MAX_LETTERS, mixed_target, whole_target

if TYPE_CHECKING:
    from apostille.core.canon.findings import Ledger
    from apostille.core.canon.tails import TailPass
    from apostille.core.canon.units import Piece

MAX_STRETCH = 4_096
_MAX_WORDS = 32
_MAX_INDEX = 1 << 62  # more than any byte offset
_ENDS = " \n\u3001\u3002"
_SPACES = " \t\n\u3000"  # no stretch begins with one: what it is depends on what stands before it

_MARKS = "\u0300-\u036f"
_ALNUM = "0-9A-Za-z"
_COMMON_SCRIPTS = ("Latin", "Cyrillic", "Greek")
_SCRIPTS = (*_COMMON_SCRIPTS, *sorted(look.SCRIPTS.difference(_COMMON_SCRIPTS)))

_ASCII = bytes(range(0x80))
# The Latin letters of ASCII that are evidence.
_FREE = bytes(point for point in range(0x80) if look.evidence(point))


@cache
def _script_class(script: str) -> str:
    return char_class(letters(script))


@cache
def _has(*scripts: str) -> re.Pattern[str]:
    return re.compile(f"[{''.join(map(_script_class, scripts))}]")


@cache
def _stray() -> re.Pattern[str]:
    """Match a stray beside a Latin letter."""
    return re.compile(f"[{_script_class(look.STRAY)}](?:(?<=[A-Za-z].)|(?=[A-Za-z]))")


@cache
def _twin_words(script: str) -> re.Pattern[str]:
    twins = char_class(filter(look.is_twin, letters(script)))
    return re.compile(f"[{twins}](?<![{any_letter()}].)[{twins}]{{1,{MAX_LETTERS - 1}}}+(?![{any_letter()}])")


@cache
def _whole_words() -> re.Pattern[str]:
    """Match words of one script each and what is between them: up to a word of several, or to the end."""
    words = "|".join(f"[{_script_class(script)}{_MARKS}]++(?![{any_letter()}])" for script in (*_SCRIPTS, look.STRAY))
    others = f"[^{any_letter()}{_MARKS}]*+"
    return re.compile(f"{others}(?:(?:{words}){others})*+")


@cache
def _word() -> re.Pattern[str]:
    return re.compile(f"[{any_letter()}{_MARKS}]+")


# Runs of white space by how they begin, those with TABs last: a search for a few fixed characters is fast.
_RUNS = (
    re.compile("  (?<=[^ \t\n]  )[ \t]*+(?!\n)"),
    re.compile("\n\n\n\n*"),
    re.compile("\t(?<=[^ \t\n]\t)[ \t]*+(?!\n)"),
    re.compile(" \t(?<=[^ \t\n] \t)[ \t]*+(?!\n)"),
)

_HE = [*look.KANA, *(parts[0] for parts in look.KANA.values())]
_HAN = [parts[0] for parts in look.HAN.values()]
_NEAR = [*look.SPACES, *look.PUNCTUATION, *look.FULLWIDTH, *look.TECHNICAL, *COMBINING, *_HE, *_HAN, 0xFE0E, 0xFE0F]
_MARKED = {*COMBINING, *(point for point, parts in DECOMPOSITIONS.items() if not COMBINING.keys().isdisjoint(parts))}
# One class first, with all that is outside the BMP as one range: a search for it runs without interpreting the pattern, and the
# class is a bitmap and one comparison.
_SIGHT = re.compile(
    f"[{char_class(_NEAR, is_bmp=True)}{ASTRAL}](?:(?<=[{char_class(COMBINING)}])(?<=[{char_class(_MARKED)}].)(?P<mark>)"
    f"|(?<![{char_class(COMBINING)}])(?:"
    f"(?<=[{char_class(look.SPACES)}])(?P<space>)"
    f"|(?<=[{char_class(look.PUNCTUATION)}])(?:(?<=[A-Za-z].)|(?=[A-Za-z]))(?P<punctuation>)"
    f"|(?<=[{char_class(look.FULLWIDTH)}])(?<=[{_ALNUM}].)(?=[{_ALNUM}])(?P<fullwidth>)"
    f"|(?<=[{char_class(look.TECHNICAL)}])(?:(?<=[a-z].)|(?=[a-z]))(?P<technical>)"
    f"|(?<=[\ufe0e\ufe0f])(?<!\u200d..)(?![\u200d\u20e3])(?P<style>)"
    f"|(?<=[\u30a1-\u30fa\u30fc][{char_class(_HAN)}])(?=[\u30a1-\u30fa\u30fc])(?P<kana>)"
    f"|(?<=[{char_class(_HE)}])(?P<he>)))",
    re.DOTALL,
)
_CODES = {
    "punctuation": "PUNCT_TWIN",
    "fullwidth": "PUNCT_TWIN",
    "technical": "TECH_LETTER",
    "style": "EMOJI_STYLE",
    "kana": "KANA_HAN",
}
_ARABIC_SETS = {
    ("DIGIT_SET", "ar"): frozenset(map(chr, look.ARABIC_DIGITS)),
    ("DIGIT_SET", "fa"): frozenset(map(chr, look.PERSIAN_DIGITS)),
    ("ARABIC_LETTER", "ar"): frozenset(map(chr, look.ARABIC_LETTERS)),
    ("ARABIC_LETTER", "fa"): frozenset(map(chr, look.PERSIAN_LETTERS)),
}
# What is a sight wherever it stands, and its code; what its neighbors make one; and all that has to be looked at for either or
# for the two sets.
_ALONE = {chr(point): code for point, (code, _) in look.FOLDS.items()}
_BESIDE = frozenset(map(chr, _NEAR))
_SETS = frozenset().union(*_ARABIC_SETS.values())
_LOUD = re.compile(f"[{char_class(map(ord, {*_ALONE, *_BESIDE, *_SETS}), is_bmp=True)}{ASTRAL}]")


def code_alone(char: str) -> str | None:
    """Give the code of a character that is a sight wherever it stands, empty if it is never one; nothing if others have a say."""
    is_told = char not in _BESIDE and char not in _SETS and look.word_script(ord(char)) in ("", "Latin")
    return _ALONE.get(char, "") if is_told else None


def find_run(text: str) -> re.Match[str] | None:
    """Find the first run of white space behind something visible that is no single space, or of empty lines."""
    found = (pattern.search(text) for pattern in (_RUNS if "\t" in text else _RUNS[:2]))
    return min(filter(None, found), key=re.Match.start, default=None)


def may_look_alike(text: str) -> bool:
    """Tell that a text in which white space is data may hold look-alikes. False means that there is nothing to look for."""
    return not text.isascii()


class Sightings:
    """Look at a text that comes in order.

    Args:
        ledger: Takes the findings.
        is_plain: White space is layout.
    """

    def __init__(self, ledger: Ledger, *, is_plain: bool) -> None:
        self._ledger = ledger
        self._is_plain = is_plain
        self._run: tuple[int, str] | None = None  # the first run of white space: byte, text
        self._held: list[str] = []
        self._size = 0
        # Where in what is held a piece starts, its byte in the raw value, and how many bytes there, if it stands for others.
        self._places: list[tuple[int, int, int]] = []
        self._text = ""  # what is looked at
        self._totals = dict.fromkeys(_SCRIPTS, 0)
        self._notes: dict[str, tuple[int, str, int]] = {}  # by code: byte, text, how many
        self._words: dict[str, list[tuple[str, tuple[int, int]]]] = {}  # by script: all twins, with no evidence of it so far
        self._sets: dict[tuple[str, str], tuple[int, str]] = {}  # the first of each set

    def see(self, text: str, position: int, size: int = 0) -> None:
        """Take text.

        Args:
            text: What comes next.
            position: Its first byte in the raw value.
            size: How many bytes it stands for there; 0 if for its own.
        """
        if len(text) >= MAX_STRETCH and text.isascii():
            text, position = self._see_ascii(text, position)
        if not text:
            return
        self._places.append((self._size, position, size))
        self._held.append(text)
        self._size += len(text)
        if self._size >= MAX_STRETCH:
            self._look(is_end=False, is_last=False)

    def end(self) -> None:
        """Record what was found: the text ends here."""
        self._look(is_end=True, is_last=True)
        found = [word for script, words in self._words.items() if not self._totals[script] for word in words]
        for word, place in sorted(found, key=itemgetter(1)):
            target = whole_target([ord(char) for char in word], Counter(self._totals))
            if target:
                self._report("WHOLE_SCRIPT", word, place, target)
        for code in ("DIGIT_SET", "ARABIC_LETTER"):
            seen = [self._sets[code, language] for language in ("ar", "fa") if (code, language) in self._sets]
            if len(seen) > 1:
                self._notes[code] = (*max(seen), 1)
        if self._run is not None:
            self._notes["TYPOGRAPHY"] = (*self._run, self._notes.get("TYPOGRAPHY", (0, "", 0))[2] + 1)
        for code, (first, text, count) in self._notes.items():
            self._ledger.note(code, first, text, count)

    def _see_ascii(self, text: str, position: int) -> tuple[str, int]:
        """Look at most of a long text at once; give the rest."""
        half = MAX_STRETCH // 2
        if any(not _has_end(text, start, start + half) for start in range(0, len(text), half)):
            return text, position  # a stretch may be cut by its length
        first, last = _last_end(text, 0, half), _last_end(text, 0, len(text))
        self.see(text[:first], position)
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
        return self._places[bisect_right(self._places, (index, _MAX_INDEX, 0)) - 1]

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
        if self._is_plain and self._run is None:
            run = find_run(text.rstrip(" \t\n") if is_last else text)
            self._run = (self._place(start + run.start()), run.group()[:8]) if run else None
        if not text.isascii() or self._totals["Latin"] < ENOUGH:
            data = text.encode("utf-8")
            others = data.translate(None, _ASCII).decode("utf-8")
            if self._totals["Latin"] < ENOUGH:
                free = len(data) - len(data.translate(None, _FREE)) + count_free("Latin", others)
                self._count("Latin", free, text, start)
            if others:
                self._see_others(others, text, start)

    def _see_others(self, others: str, text: str, start: int) -> None:
        """Look at a stretch by what in it is not ASCII."""
        loud = Counter(_LOUD.findall(others))
        firsts: dict[str, int] = {}
        counts: Counter[str] = Counter()
        for char in _ALONE.keys() & loud.keys():
            code, index = _ALONE[char], text.index(char)
            firsts[code] = min(index, firsts.get(code, index))
            counts[code] += loud[char]
        for hit in () if _BESIDE.isdisjoint(loud) else _SIGHT.finditer(text):
            code = _code_of(text, hit)
            if code:
                firsts.setdefault(code, hit.start())
                counts[code] += 1
        for code, index in firsts.items():
            first, sight, count = self._notes.get(code) or (self._place(start + index), text[index], 0)
            self._notes[code] = (first, sight, count + counts[code])
        for key, chars in _ARABIC_SETS.items() if loud else ():
            if key not in self._sets and not chars.isdisjoint(loud):
                index = min(text.index(char) for char in chars & loud.keys())
                self._sets[key] = (self._place(start + index), text[index])
        scripts = _foreign_scripts(others)
        for script in scripts:
            if self._totals[script] < ENOUGH:
                self._count(script, count_free(script, others), text, start)
        if scripts or _stray().search(text):
            self._see_mixed(text, start)

    def _count(self, script: str, free: int, text: str, start: int) -> None:
        """Count evidence, and note the words that stand before any of their script."""
        self._totals[script] = min(self._totals[script] + free, ENOUGH)
        words = self._words.setdefault(script, [])
        if not self._totals[script]:
            for hit in islice(_twin_words(script).finditer(text), _MAX_WORDS - len(words)):
                words.append((hit.group(), self._span(start + hit.start(), hit.group())))

    def _see_mixed(self, text: str, start: int) -> None:
        """Report words with letters of several scripts."""
        index = 0
        while (index := _end(_whole_words().match(text, index))) < len(text):
            word = text[index : _end(_word().match(text, index))]
            points = [ord(char) for char in word if look.word_script(ord(char))]
            scripts = set(map(look.word_script, points))
            target = mixed_target(points, Counter())
            # Formulas: a Greek letter beside one or two Latin ones.
            is_formula = len(points) < GREEK_LETTERS and "Greek" in scripts and target in ("", "Greek")
            if not is_formula and (look.STRAY not in scripts or target):
                self._report("MIXED_SCRIPT", word, self._span(start + index, word), target)
            index += len(word)


class SightingPass:
    """Look at text on its way to the tails.

    Args:
        ledger: Takes the findings.
        following: Takes the text.
        is_plain: White space is layout.
    """

    def __init__(self, ledger: Ledger, following: TailPass, *, is_plain: bool) -> None:
        self._sightings = Sightings(ledger, is_plain=is_plain)
        self._next = following

    def push(self, piece: Piece) -> None:
        """Take a piece."""
        self._next.push(piece)
        if not piece.code:
            self._sightings.see(piece.text, piece.position)
            return
        for char in piece.text:  # each of them stands for all the raw bytes
            self._sightings.see(char, piece.position, piece.length)

    def text(self, text: str, position: int) -> None:
        """Take text that stands at this byte."""
        self._next.text(text, position)
        self._sightings.see(text, position)

    def span(self, text: str, position: int) -> None:
        """Take text that stands at this byte."""
        self._next.span(text, position)
        self._sightings.see(text, position)

    def end(self, position: int) -> None:
        """End the text."""
        self._sightings.end()
        self._next.end(position)


def _twin(point: int, script: str) -> tuple[int, ...]:
    return look.in_script(point, script) if look.word_script(point) else (point,)


def _foreign_scripts(others: str) -> tuple[str, ...]:
    """Give the scripts but Latin of which there are letters."""
    absent, index = _SCRIPTS[1:], 0
    while absent and (hit := _has(*absent).search(others, index)):
        script, index = look.word_script(ord(hit.group())), hit.end()
        absent = tuple(other for other in absent if other != script)
    return tuple(script for script in _SCRIPTS[1:] if script not in absent)


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


def _end(hit: re.Match[str] | None) -> int:
    return hit.end() if hit else 0  # a pattern that matches anywhere


def _has_end(text: str, start: int, end: int) -> bool:
    found = text.find(" ", start, end) + 1
    return 0 < found < len(text) and text[found] not in _SPACES


def _code_of(text: str, hit: re.Match[str]) -> str:
    """Give the code of what was met, or nothing if it is in order where it stands."""
    index, kind = hit.start(), hit.lastgroup or ""
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
