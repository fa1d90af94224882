"""Published encoders of hidden messages: their own decoders find them in the raw text, and nothing after cleaning (section 13).

Those that hide in what draws nothing are undone by ``safe``. Those that swap letters or spaces for look-alikes are reported by
``safe``, which leaves what is seen; ``strict`` undoes all of it but for what seen.txt lists with a reason.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from apostille.core.canon import canonicalize
from tests.harm.test_harm import FOLDER, REPO, unavailable

PYTHON = FOLDER / "encoders" / "bin" / "python"
STEGSNOW = FOLDER / "small" / "usr" / "bin" / "stegsnow"
MODULES = FOLDER / "node" / "node_modules"
SENTENCE = "The committee met on Tuesday and approved the budget of 4,200 EUR for the coming year without further discussion."
COVER = f"{SENTENCE} {SENTENCE}"
SECRETS = ("attack at dawn", "stay where you")
# What is to be left of the text.
ENCODERS = {
    "zwsp-steg-py": COVER,
    "steganographr": COVER,
    "blindtag": COVER,
    "emojito-py": COVER + "\U0001f600",
    "c2pa-text": COVER,
    "pyUnicodeSteganography zw": COVER,
    "pyUnicodeSteganography snow": COVER,
    "stegcloak": COVER,
    "stegcloak encrypted": COVER,
    "@vercel/stega": COVER,
}
# An encoder and the finding with which ``safe`` says so.
SWAPPERS = {"pyUnicodeSteganography lookalike": "MIXED_SCRIPT", "pyUnicodeSteganography spaces": "SPACE_VARIANT"}
# Room for a bit in each space.
LONG = " ".join([SENTENCE] * 10)
SEEN = Path(__file__).parent / "seen.txt"


def speak(**order):
    """Have one encoder hide (``cover``, ``secret``) or read (``text``), in a process of its own."""
    if order["name"].startswith(("stegcloak", "@vercel")):
        node = shutil.which("node")
        if node is None or not (MODULES / "stegcloak").is_dir() or not (MODULES / "@vercel" / "stega").is_dir():
            unavailable("the encoders from npm are not here: run tools/harm-setup.sh")
        command = [node, REPO / "tests/harm/encoder.cjs"]
    elif PYTHON.is_file():
        command = [PYTHON, REPO / "tests/harm/encoder.py"]
    else:
        unavailable("the encoders are not here: run tools/harm-setup.sh")
    environment = {**os.environ, "NODE_PATH": str(MODULES)}
    done = subprocess.run(
        command, input=json.dumps(order), capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    return json.loads(done.stdout)


def strict(text):
    return canonicalize(text, profile="strict").bytes.decode()


@pytest.mark.interop
@pytest.mark.parametrize("name", ENCODERS)
def test_its_own_decoder_finds_nothing_after_cleaning(name):
    cleaned = []
    for secret in SECRETS:
        raw = speak(name=name, cover=COVER, secret=secret)
        assert secret in speak(name=name, text=raw), "the encoder works"
        cleaned.append(canonicalize(raw).bytes.decode())
        assert secret not in (speak(name=name, text=cleaned[-1]) or "")
    assert cleaned == [ENCODERS[name]] * 2


@pytest.mark.interop
@pytest.mark.parametrize(("name", "code"), [("emojito-py", "VS_RUN"), ("blindtag", "TAG_DROP"), ("c2pa-text", "C2PA_TEXT")])
def test_the_finding_holds_what_was_hidden(name, code):
    """Emojito closes its row with the style of the emoji."""
    for secret in SECRETS:
        (found,) = canonicalize(speak(name=name, cover=COVER, secret=secret)).findings
        hidden = secret.encode() + (b"\x0f" if name == "emojito-py" else b"")
        decoded = found.decoded
        assert (found.code, decoded.first, decoded.length) == (code, hidden, len(hidden))
        assert decoded.sha256 == hashlib.sha256(hidden).hexdigest()


@pytest.mark.interop
def test_stegsnow_finds_nothing_after_cleaning(tmp_path):
    """White space at the ends of lines, which is a channel of files."""
    if not STEGSNOW.is_file():
        unavailable("stegsnow is not here: run tools/harm-setup.sh")
    cover = f"{SENTENCE}\n" * 30
    plain, hidden, cleaned = (tmp_path / name for name in ("plain", "hidden", "cleaned"))
    plain.write_text(cover)
    for secret in SECRETS:
        subprocess.run([STEGSNOW, "-m", secret, plain, hidden], check=True, capture_output=True, timeout=60)
        read = subprocess.run([STEGSNOW, hidden], check=True, capture_output=True, timeout=60).stdout
        assert read == secret.encode(), "the encoder works"
        cleaned.write_bytes(canonicalize(hidden.read_bytes(), is_file=True).bytes)
        assert subprocess.run([STEGSNOW, cleaned], check=True, capture_output=True, timeout=60).stdout == b""
        assert cleaned.read_text() == cover


@pytest.mark.interop
@pytest.mark.parametrize("name", SWAPPERS)
def test_safe_reports_swapped_characters_and_leaves_them(name):
    raw = speak(name=name, cover=LONG, secret=SECRETS[0])
    assert SECRETS[0] in speak(name=name, text=raw), "the encoder works"
    found = canonicalize(raw)
    assert found.bytes == raw.encode()
    assert SWAPPERS[name] in {finding.code for finding in found.findings}


@pytest.mark.interop
def test_safe_reports_what_silverspeak_replaces():
    raw = speak(name="silverspeak", cover=LONG, secret=SECRETS[0])
    assert raw != LONG, "the encoder works"
    assert "MIXED_SCRIPT" in {finding.code for finding in canonicalize(raw).findings}


@pytest.mark.interop
@pytest.mark.parametrize("name", SWAPPERS)
def test_its_own_decoder_does_not_find_the_secret_after_strict(name):
    for secret in SECRETS:
        raw = speak(name=name, cover=LONG, secret=secret)
        assert secret in speak(name=name, text=raw), "the encoder works"
        assert secret not in (speak(name=name, text=strict(raw)) or "")


def seen():
    """What silverspeak puts in the place of a character and strict does not take back, by that character."""
    found = {}
    for line in SEEN.read_text("utf-8").split("\n"):
        char, *ranges = line.partition("#")[0].split() or [""]
        if char:
            bounds = [(word.partition("..")[0], word.rpartition("..")[2]) for word in ranges]
            found[chr(int(char, 16))] = {chr(point) for first, last in bounds for point in range(int(first, 16), int(last, 16) + 1)}
    return found


def frame(char, other):
    """Write another character where this one stands in a sentence."""
    if char.isdigit():
        return f"It is known that they take 1{other}3 of them at most."
    if char.isalpha():
        return f"It is known that they take {'' if char.isupper() else 'ma'}{other}akt of them at most."
    return f"It is known that they take 4{other}2 of them{other} at most."


@pytest.mark.interop
@pytest.mark.parametrize("name", ["pyUnicodeSteganography spaces", "pyUnicodeSteganography lookalike"])
def test_swapped_characters_come_back_under_strict(name):
    raws = [speak(name=name, cover=LONG, secret=secret) for secret in SECRETS]
    assert len({*raws, LONG}) == 3, "the encoder works"
    assert [strict(raw) for raw in raws] == [strict(LONG)] * 2


@pytest.mark.interop
def test_a_digit_for_a_letter_is_seen_and_hides_nothing_else():
    """The table of pyUnicodeSteganography has 1 for l; all other places are as in the cover."""
    cover = f"All shall call at full will; all in all, a small bill. {LONG}"
    for secret in SECRETS:
        raw = speak(name="pyUnicodeSteganography lookalike", cover=cover, secret=secret)
        places = [index for index, char in enumerate(raw) if char == "1"]
        assert places, "the encoder works"
        assert all(cover[index] == "l" for index in places)
        expected = "".join("1" if index in places else char for index, char in enumerate(cover))
        assert strict(raw) == strict(expected)


@pytest.mark.interop
def test_silverspeak_is_undone_but_for_what_a_reader_sees():
    """It replaces a fifth of the characters and has no decoder: a secret is which ones, and by what."""
    known = seen()
    raws = [speak(name="silverspeak", cover=LONG, secret=secret) for secret in (*SECRETS, "abc def", "zzzz xx yy w", "Hello!")]
    assert len({*raws, LONG}) == len(raws) + 1, "the encoder works"
    for raw in raws:
        assert len(raw) == len(LONG)
        pairs = list(zip(LONG, raw, strict=True))
        assert sum(cover != char and char not in known.get(cover, ()) for cover, char in pairs) > 100
        back = "".join(cover if char in known.get(cover, ()) else char for cover, char in pairs)
        assert strict(back) == strict(LONG)


@pytest.mark.interop
def test_all_that_silverspeak_may_write_is_undone_or_listed():
    table = speak(name="silverspeak", text="")
    known = seen()
    stays = {}
    for char in filter(str.isascii, table):
        if char.isalnum() or char in ",. ":
            stays[char] = {other for other in table[char] if strict(frame(char, other)) != strict(frame(char, char))}
    assert sum(map(len, table.values())) > 1_400, "the table is there"
    assert {char: found for char, found in stays.items() if found} == known
