"""Ordinary text of some hundred languages looks after ``safe`` as it did before, and code stays (canonical.md section 13).

Each corpus is cleaned and shaped by ``sweep`` in a process of its own, with other people's programs and fonts. Every difference is
either none or one of those named here; docs/manual/hidden-channels.md lists the intended repairs with their counts.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from apostille.core.canon import canonicalize

REPO = Path(__file__).parents[2]
FOLDER = REPO / (os.environ.get("APOSTILLE_BUILD") or ".build") / "harm"
PYTHON = FOLDER / "venv" / "bin" / "python"

# What may look different: language and findings, with how many lines do.
SEEN = {
    ("declarations", "jav_java", "ZWSP_DROP"): 4,  # U+200B behind punctuation keeps the next letter from being set closer to it
    ("catalogues", "ml", "JOINER_SPELL ZWJ_DROP"): 1,  # a stray U+200D before the sign of a vowel breaks a ligature in one font
}
TURNED = {
    ("catalogues", "fa", "BIDI_DROP"): 1,  # an embedding before a bracket, on a line that is forced to run from left to right
}
# For each corpus the least it has to hold: lines, languages, lines that change.
LEAST = {"declarations": (40_000, 500, 1_500), "catalogues": (500_000, 150, 9_000), "annotations": (700_000, 140, 3_000)}


def unavailable(reason: str) -> NoReturn:
    if os.environ.get("APOSTILLE_REQUIRE_INTEROP") == "1":
        pytest.fail(f"APOSTILLE_REQUIRE_INTEROP=1, but {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.mark.slow
@pytest.mark.interop
@pytest.mark.timeout(900)
@pytest.mark.parametrize("corpus", LEAST)
def test_nothing_that_was_seen_looks_different(corpus):
    if not (FOLDER / "unpacked").is_file() or not (FOLDER / "venv" / "installed").is_file():
        unavailable("fonts and texts are not here: run tools/harm-setup.sh")
    command = [PYTHON, "-m", "tests.harm.sweep", FOLDER, corpus, "--json"]
    environment = {**os.environ, "PYTHONPATH": f"{REPO / 'src'}{os.pathsep}{REPO}"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=800, cwd=REPO, env=environment)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)[corpus]
    brief = {key: value for key, value in report.items() if key not in ("glyphs", "order")}
    print(corpus, brief)
    found = (report["lines"], report["places"], report["changed"])
    assert all(number >= least for number, least in zip(found, LEAST[corpus], strict=True)), brief
    assert sum(report["uncovered"].values()) < 100, brief
    for key, known in (("glyphs", SEEN), ("order", TURNED)):
        left = dict(known)
        unknown = []
        for place, codes, *rest in report[key]:
            left[corpus, place, codes] = left.get((corpus, place, codes), 0) - 1
            if left[corpus, place, codes] < 0:
                unknown.append((place, codes, *rest))
        assert not unknown, f"{key}: {unknown[:10]}"


@pytest.mark.interop
def test_every_fully_qualified_emoji_keeps_its_bytes():
    """All of emoji-test.txt as Debian has it: alone, within words, and one behind the other."""
    path = FOLDER / "small/usr/share/unicode/emoji/emoji-test.txt"
    if not path.is_file():
        unavailable("emoji-test.txt is not here: run tools/harm-setup.sh")
    rows = (line.split(";") for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#"))
    emoji = ["".join(chr(int(word, 16)) for word in row[0].split()) for row in rows if row[1].split()[0] == "fully-qualified"]
    assert len(emoji) > 3_500
    for text in (*emoji, *(f"a{one}b {one}{one}" for one in emoji), " ".join(emoji), "".join(emoji)):
        assert canonicalize(text).bytes == text.encode(), ascii(text[:50])


def test_code_of_this_repository_stays():
    for path in (path for folder in ("src", "tools", "bench") for path in (REPO / folder).rglob("*.py")):
        data = path.read_bytes()
        assert canonicalize(data, media_type="text/x-code").bytes == data, path
        # Nothing in it would have to change either if it were read as text.
        assert canonicalize(data, media_type="text/plain", is_file=True).bytes == data, path
