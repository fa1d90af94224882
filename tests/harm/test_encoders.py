"""Published encoders of hidden messages: their own decoders find them in the raw text, and nothing after cleaning (section 13).

Those that hide in what draws nothing are undone by ``safe``. Those that swap letters or spaces for look-alikes are reported by
``safe``, which leaves what is seen; ``strict`` undoes spaces, and letters in part.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess

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
# Seen in both: part of what they swap stays, and with it part of the bits.
OPEN = "strict does not undo every look-alike: characters outside its table, with the rest of their word, and some Greek letters"
# Room for a bit in each space.
LONG = " ".join([SENTENCE] * 10)


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


@pytest.mark.interop
@pytest.mark.parametrize(
    "name",
    [
        "pyUnicodeSteganography spaces",
        pytest.param(
            "pyUnicodeSteganography lookalike", marks=pytest.mark.xfail(strict=True, raises=AssertionError, reason=OPEN)
        ),
        pytest.param("silverspeak", marks=pytest.mark.xfail(strict=True, raises=AssertionError, reason=OPEN)),
    ],
)
def test_swapped_characters_come_back_under_strict(name):
    """Silverspeak replaces a fifth of the characters and has no decoder: a secret is which ones, and by what."""
    raws = [speak(name=name, cover=LONG, secret=secret) for secret in SECRETS]
    assert len({*raws, LONG}) == 3, "the encoder works"
    assert [strict(raw) for raw in raws] == [strict(LONG)] * 2
