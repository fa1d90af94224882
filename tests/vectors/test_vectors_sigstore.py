"""Sigstore's conformance bundles as parser input: a value or a MalformedError, never anything else (formats.md section 14)."""

from __future__ import annotations

import json

import pytest

from apostille.core import bundle, receipt
from apostille.errors import MalformedError
from tests.vectors.vectors_kit import folder

CASES = folder("sigstore-conformance/bundle-verify")
BUNDLES = sorted(CASES.glob("*/bundle.sigstore.json"))


def test_count():
    assert len(BUNDLES) == 70


@pytest.mark.parametrize("path", BUNDLES, ids=[path.parent.name for path in BUNDLES])
def test_total(path):
    """None of them is in our form (managed key, DSSE, hashedrekord 0.0.2 at once), so each must be refused as malformed."""
    data = path.read_bytes().strip()
    try:
        value = json.loads(data)
    except ValueError:  # one of them is meant not to be JSON
        value = None
    with pytest.raises(MalformedError):
        bundle.parse_bundle(value)
    with pytest.raises(MalformedError):
        receipt.parse_receipt(data)
