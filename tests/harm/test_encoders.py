"""Published encoders of hidden messages: their own decoders find them in the raw text, and nothing after ``safe`` (section 13)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from apostille.core.canon import canonicalize
from tests.harm.test_harm import unavailable

PYTHON = Path(__file__).parents[2] / (os.environ.get("APOSTILLE_BUILD") or ".build") / "harm" / "encoders" / "bin" / "python"
COVER = "The committee met on Tuesday and approved the budget of 4,200 EUR for the coming year without further discussion. " * 2
COVER = COVER.strip()
ENCODERS = {
    "zwsp-steg-py": COVER,
    "steganographr": COVER,
    "blindtag": COVER,
    "emojito-py": COVER + "\U0001f600",
    "c2pa-text": COVER,
    "pyUnicodeSteganography zw": COVER,
    "pyUnicodeSteganography snow": COVER,
}


def speak(**order):
    if not PYTHON.is_file():
        unavailable("the encoders are not here: run tools/harm-setup.sh")
    program = Path(__file__).with_name("encoder.py")
    done = subprocess.run([PYTHON, program], input=json.dumps(order), capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


@pytest.mark.interop
@pytest.mark.parametrize("name", ENCODERS)
def test_its_own_decoder_finds_nothing_after_cleaning(name):
    cleaned = []
    for secret in ("attack at dawn", "stay where you"):
        raw = speak(name=name, cover=COVER, secret=secret)
        assert secret in speak(name=name, text=raw), "the encoder works"
        cleaned.append(canonicalize(raw).bytes.decode())
        assert secret not in (speak(name=name, text=cleaned[-1]) or "")
    assert cleaned == [ENCODERS[name]] * 2
