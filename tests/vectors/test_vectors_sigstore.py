"""Sigstore's conformance bundles as parser input: a value or a MalformedError, never anything else (formats.md section 14)."""

from __future__ import annotations

import pytest

from apostille.core import bundle, receipt, strict
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
    with pytest.raises(MalformedError):
        bundle.parse_bundle(strict.json_value(data, spec="bundle", max_depth=128))
    with pytest.raises(MalformedError):
        receipt.parse_receipt(data)
