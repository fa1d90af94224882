"""Every number of the manual's page of limits is the one in the code; what is larger is refused with it."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from apostille.core import note, policy, receipt, strict
from apostille.errors import MalformedError, TooLargeError
from apostille.faces import codes
from apostille.faces.gateway import inputs, sse, wire

PAGE = Path(__file__).resolve().parents[3] / "docs" / "manual" / "limits.md"
ROWS = re.findall(r"^\| (.+?) \| ([\d,]+) \| `([\w.]+)` \| (.+?) \|$", PAGE.read_text(), re.MULTILINE)


@pytest.mark.parametrize(("what", "number", "name", "beyond"), ROWS)
def test_the_manual_says_what_the_code_does(what, number, name, beyond):
    module, _, constant = name.partition(".Limits.")
    found = importlib.import_module("apostille." + (module if constant else name.rpartition(".")[0]))
    found = found.Limits() if constant else found
    assert getattr(found, constant or name.rpartition(".")[2]) == int(number.replace(",", "")), what
    assert beyond


def test_the_page_is_read():
    assert len(ROWS) > 20


@pytest.mark.parametrize(
    ("call", "limit"),
    [
        (lambda: receipt.parse_receipt(b" " * (receipt.MAX_RECEIPT_BYTES + 1)), receipt.MAX_RECEIPT_BYTES),
        (lambda: note.parse_note(b" " * (note.MAX_NOTE_BYTES + 1)), note.MAX_NOTE_BYTES),
        (lambda: sse.read_events(b"a" * (wire.Limits().event_bytes + 1)), wire.Limits().event_bytes),
        (lambda: inputs.read_request(b'{"messages":[%s]}' % b",".join([b"1"] * 10_001), limits=wire.Limits()), 10_000),
        (lambda: policy.parse_policy(b" " * (policy.MAX_POLICY_BYTES + 1)), policy.MAX_POLICY_BYTES),
    ],
)
def test_beyond_a_limit_the_error_says_it(call, limit):
    with pytest.raises(TooLargeError) as caught:
        call()
    assert caught.value.limit == limit
    assert f"{limit:,}" in str(caught.value)
    assert codes.exit_code(caught.value) == codes.MALFORMED


def test_depth():
    with pytest.raises(MalformedError, match="deeper than 16"):
        strict.canonical_json_value(b"[" * 17 + b"]" * 17, spec="x")
