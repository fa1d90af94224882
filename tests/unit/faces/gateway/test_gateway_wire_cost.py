"""Reading a request's JSON costs time in proportion to its length, whatever its bytes are."""

from __future__ import annotations

import time

import pytest

from apostille.core import strict
from apostille.errors import MalformedJsonError
from apostille.faces.gateway import wire

READERS = {
    "requests": wire.read_request_json,
    "answers": lambda data: wire.read_upstream_json(data + b"\\ud800", spec="x"),
    "statements": lambda data: strict.canonical_json_value(data, spec="x"),
}


def spent(read, data: bytes) -> float:
    began = time.process_time()
    with pytest.raises(MalformedJsonError):
        read(data)
    return time.process_time() - began


@pytest.mark.parametrize("name", READERS)
def test_a_string_that_never_ends(name):
    """A quadratic search for its end took seconds for these sizes; twice the length may take twice the time and some noise."""
    read = READERS[name]
    for size in (200_000, 400_000):
        assert spent(read, b"[]" * 129 + b'"' + b'\\"' * size) < 1
