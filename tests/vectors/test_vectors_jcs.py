"""RFC 8785 vectors: the one inside the statement profile byte for byte, the five outside refused (formats.md sections 3 and 14)."""

from __future__ import annotations

import json

import pytest
import rfc8785

from apostille.core import strict
from apostille.errors import MalformedJsonError
from tests.vectors.vectors_kit import folder

JCS = folder("jcs")
OUTSIDE = {"arrays": "null", "french": "ASCII", "structures": "number", "values": "number", "weird": "ASCII|canonical form"}


def test_files():
    assert {path.stem for path in (JCS / "input").iterdir()} == {"unicode", *OUTSIDE}


def test_unicode():
    expected = (JCS / "output" / "unicode.json").read_bytes()
    assert bytes.fromhex((JCS / "outhex" / "unicode.txt").read_text()) == expected
    value = json.loads((JCS / "input" / "unicode.json").read_bytes())
    assert strict.canonical_json(value) == expected
    assert strict.canonical_json_value(expected, spec="jcs") == value == {"Unnormalized Unicode": "A\u030a"}


@pytest.mark.parametrize(("name", "why"), OUTSIDE.items(), ids=OUTSIDE)
def test_outside_the_profile(name, why):
    for kind in ("input", "output"):
        data = (JCS / kind / f"{name}.json").read_bytes().strip()
        if (kind, name) == ("output", "structures"):
            continue  # its one float, 56.0, is the integer 56 here
        with pytest.raises(MalformedJsonError, match=why):
            strict.canonical_json_value(data, spec="jcs")


def test_structures_once_its_float_is_an_integer():
    data = (JCS / "output" / "structures.json").read_bytes()
    assert strict.canonical_json(strict.canonical_json_value(data, spec="jcs")) == data


@pytest.mark.parametrize("name", ["unicode", *OUTSIDE])
def test_the_oracle_itself(name):
    """``rfc8785`` reproduces all six, so it may serve as oracle elsewhere."""
    value = json.loads((JCS / "input" / f"{name}.json").read_bytes())
    assert rfc8785.dumps(value) == (JCS / "output" / f"{name}.json").read_bytes()
