"""Bidi controls (canonical.md section 6.5), and the algorithm that is asked about them against the Unicode test files."""

from __future__ import annotations

from pathlib import Path

import pytest

from apostille.core.canon import apply_edits, canonicalize
from apostille.core.canon.bidi import MAX_CONTROLS, MAX_WINDOW
from apostille.core.canon.uax9 import MAX_DEPTH, paragraph_levels, reorder

SHALOM = "שלום"

KEPT = [
    ("the exclamation mark moves", f"I said {SHALOM}!\u200f and"),
    ("a mark that opens a paragraph the other way", f"\u200fHello {SHALOM}"),
    ("also left to right", f"\u200e{SHALOM} hi"),
    ("a percent sign", "\u05e2\u05dc\u05d4 \u05dc-5\u200f%"),
    ("an isolated name", f"{SHALOM} \u2066C++\u2069 {SHALOM}"),
    ("a mark parts two numbers", f"{SHALOM} 1\u200f2"),
    ("a mark behind one that opens the paragraph", f"\u200f%s / \u200f%s {SHALOM}"),
    ("an embedding that is another order than an isolate", "\u0641 fstat\u202a()\u202c\u200f: %s"),
    ("an isolate around digits", f"{SHALOM} \u20661-2-3\u2069."),
]

CHANGED = [
    ("between two letters of one direction", "\u05e9\u200f\u05dc", "\u05e9\u05dc", ["BIDI_DROP"]),
    ("in English", "Hello\u200f world", "Hello world", ["BIDI_DROP"]),
    ("an isolate in English", "\u2068x\u2069 ok", "x ok", ["BIDI_DROP", "BIDI_DROP"]),
    ("an embedding in English", "\u202ax\u202c ok", "x ok", ["BIDI_DROP", "BIDI_DROP"]),
    ("one that moves English", "ab \u2067cd!\u2069", "ab cd!", ["BIDI_REORDER", "BIDI_REORDER"]),
    ("a mark opens a paragraph of its direction", f"\u200f{SHALOM}", SHALOM, ["BIDI_DROP"]),
    ("a mark opens a paragraph without letters that need it", "\u200fHello", "Hello", ["BIDI_DROP"]),
    ("override", "a\u202eb\u202cc", "abc", ["BIDI_OVERRIDE", "BIDI_OVERRIDE"]),
    ("override without end", "\u202da", "a", ["BIDI_OVERRIDE"]),
    ("override around Hebrew", f"{SHALOM}\u202e{SHALOM}\u202c", SHALOM * 2, ["BIDI_OVERRIDE", "BIDI_OVERRIDE"]),
    (
        "an isolate shields",
        "\u202ea\u2066b\u202cc\u2069d\u202c",
        "abcd",
        ["BIDI_OVERRIDE", "BIDI_DROP", "BIDI_UNBALANCED", "BIDI_DROP", "BIDI_OVERRIDE"],
    ),
    ("closers of nothing", "a\u202c\u2069\u202c", "a", ["BIDI_UNBALANCED"]),
    ("a paragraph ends it", "\u202ea\nb\u202c", "a\nb", ["BIDI_OVERRIDE", "BIDI_UNBALANCED"]),
    ("closed at the end of the paragraph", f"\u2067abc {SHALOM}\nx", f"\u2067abc {SHALOM}\u2069\nx", ["BIDI_UNBALANCED"]),
    ("closed at the end of the text", f"\u2067abc {SHALOM}", f"\u2067abc {SHALOM}\u2069", ["BIDI_UNBALANCED"]),
    (
        "embeddings become isolates",
        f"He said \u202b{SHALOM}!\u202c now",
        f"He said \u2067{SHALOM}!\u2069 now",
        ["BIDI_DROP", "BIDI_DROP"],
    ),
    (
        "first-strong isolates get their direction",
        f"{SHALOM} \u2068C++\u2069 {SHALOM}",
        f"{SHALOM} \u2066C++\u2069 {SHALOM}",
        ["BIDI_DROP"],
    ),
    ("its direction without what goes inside", "\u0660\u2068;\u061c\u0660\u2069", "\u0660\u2066;\u0660\u2069", ["BIDI_DROP", "BIDI_DROP"]),
    ("one of two marks", f"I said {SHALOM}!\u200f\u200f and", f"I said {SHALOM}!\u200f and", ["BIDI_DROP"]),
    ("a control between a letter and its mark", "\u05e9\u200f\u05bc\u05dc", "\u05e9\u05bc\u05dc", ["BIDI_DROP"]),
]


@pytest.mark.parametrize(("why", "text"), KEPT, ids=[why for why, _ in KEPT])
def test_what_moves_something_stays(why, text):
    found = canonicalize(text)
    assert found.bytes == text.encode()
    assert "BIDI_KEEP" in {finding.code for finding in found.findings}


@pytest.mark.parametrize(("why", "text", "expected", "codes"), CHANGED, ids=[case[0] for case in CHANGED])
def test_what_moves_nothing_goes(why, text, expected, codes):
    found = canonicalize(text)
    assert ascii(found.bytes.decode()) == ascii(expected)
    assert [finding.code for finding in found.findings if finding.act in ("drop", "replace")] == codes
    assert apply_edits(text.encode(), found.findings) == found.bytes
    assert canonicalize(found.bytes).bytes == found.bytes


@pytest.mark.parametrize("control", [chr(p) for p in (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))])
@pytest.mark.parametrize("place", range(12))
def test_no_control_leaves_a_trace_in_text_of_one_direction(control, place):
    for cover in ("Good morning", "\u05d1\u05d5\u05e7\u05e8\u05d8\u05d5\u05d1\u05dc\u05db\u05dd\u05d0\u05d1"):
        if control == "\u200e" and place == 0 and cover[0] > "z":
            continue  # it opens a paragraph the other way
        dirty = cover[:place] + control + cover[place:]
        assert canonicalize(dirty).bytes.decode() == cover


def test_depth_is_bounded():
    """Beyond 125 open controls openers go, and as many closers."""
    deep = f"{SHALOM} " + "\u2067a" * (MAX_DEPTH + 3) + "!" + "b\u2069" * (MAX_DEPTH + 3) + f" {SHALOM}"
    found = canonicalize(deep)
    assert canonicalize(found.bytes).bytes == found.bytes
    assert "BIDI_UNBALANCED" in {finding.code for finding in found.findings}


@pytest.mark.parametrize("unit", ["!\u200f", "\u2067!", "\u2067\u05d0", "\u05d0\u2069", "!\u200e!\u200f", "\u202b(", "\u061c1"])
def test_windows_are_bounded(unit):
    text = "\u05d0" + unit * 2_000 + "\u05d0\n"
    found = canonicalize(text)
    assert canonicalize(found.bytes).bytes == found.bytes
    assert "UNSTABLE_RUN" not in {finding.code for finding in found.findings}
    assert MAX_CONTROLS * 2 < MAX_WINDOW


def test_a_full_window_and_one_without_end_lose_their_marks():
    """32 controls without a letter, or 256 characters behind one: not judged one by one, and no mark stays."""
    full = "\u05d0" + "!\u200e?\u200f" * MAX_CONTROLS + " a"
    assert canonicalize(full).bytes.decode() == "\u05d0" + "!?" * MAX_CONTROLS + " a"
    kept = "\u05d0!\u200e" + "-" * (MAX_WINDOW - 2) + "a"
    endless = "\u05d0!\u200e" + "-" * (MAX_WINDOW + 2) + "a"
    assert canonicalize(kept).bytes.decode() == kept
    assert canonicalize(endless).bytes.decode() == endless.replace("\u200e", "")


def test_a_mark_that_opens_a_paragraph_and_a_full_window():
    text = "\u200f" + "\u202a" * 10 + "-" + "\u202a" * 12 + "\u200f" + "-" + "\u202a" * 12
    assert canonicalize(canonicalize(text).bytes).bytes == canonicalize(text).bytes


FILES = Path("/usr/share/unicode")


def _levels(text):
    return [-1 if word == "x" else int(word) for word in text.split()]


@pytest.mark.skipif(not (FILES / "BidiCharacterTest.txt").exists(), reason="needs the Debian package unicode-data")
def test_bidi_character_test_15():
    for line in (FILES / "BidiCharacterTest.txt").read_text("utf-8").split("\n"):
        if line and not line.startswith("#"):
            points, direction, _, levels, order = line.split(";")
            found = paragraph_levels([int(word, 16) for word in points.split()], {"0": 0, "1": 1, "2": None}[direction])
            assert found == _levels(levels), line
            drawn = [index for index, level in enumerate(found) if level >= 0]
            assert [drawn[index] for index in reorder([found[index] for index in drawn])] == [int(word) for word in order.split()]


# A row of each rule from BidiCharacterTest 15.0.0, for machines without the file: code points, base, levels.
ROWS = [
    ("0061 0028 0062 0029 0063", 0, "0 0 0 0 0"),
    ("0061 0028 05D0 0029 0062", 0, "0 0 1 0 0"),
    ("05D0 0028 0061 0029 05D1", 1, "1 1 2 1 1"),
    ("05D0 202A 05D1 202C 0020 0031 0020 0032", 0, "1 x 3 x 0 0 0 0"),
    ("05D0 0020 0031 002D 0032", 0, "1 1 2 2 2"),
    ("0627 0020 0031 002C 0032", 1, "1 1 2 2 2"),
    ("0061 2067 05D0 2069 0062", 0, "0 0 1 0 0"),
]


@pytest.mark.parametrize(("points", "base", "levels"), ROWS)
def test_the_algorithm(points, base, levels):
    assert paragraph_levels([int(word, 16) for word in points.split()], base) == _levels(levels)
