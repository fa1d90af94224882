"""Inclusion and consistency verdicts of transparency-dev/merkle: all 196 files (formats.md section 14)."""

from __future__ import annotations

import pytest

from apostille.core import merkle
from apostille.core.digest import sha256
from apostille.errors import ConsistencyError, InclusionError
from tests.vectors.vectors_kit import folder, load, unb64

MERKLE = folder("merkle")


def files(kind: str):
    found = sorted((MERKLE / kind).rglob("*.json"))
    return pytest.mark.parametrize("path", found, ids=[str(path.relative_to(MERKLE / kind)) for path in found])


def hash_of(text: str) -> bytes:
    """Some files say "WrongRoot" or "don't care": a hash stands in, so that not the length alone decides (12 bytes are no hash here)."""
    data = unb64(text)
    return data if len(data) in {0, 32} else sha256(data)


def proof_of(case) -> list[bytes]:
    return [unb64(text) for text in case["proof"] or []]


@files("inclusion")
def test_inclusion(path):
    case = load(path)

    def check():
        merkle.check_inclusion(
            case["leafIdx"], case["treeSize"], hash_of(case["leafHash"]), proof_of(case), hash_of(case["root"])
        )

    if case["wantErr"]:
        with pytest.raises(InclusionError):
            check()
    else:
        check()


@files("consistency")
def test_consistency(path):
    case = load(path)

    def check():
        merkle.check_consistency(case["size1"], hash_of(case["root1"]), case["size2"], hash_of(case["root2"]), proof_of(case))

    if case["wantErr"]:
        with pytest.raises(ConsistencyError):
            check()
    else:
        check()


def test_count():
    counts = {}
    for kind in ("inclusion", "consistency"):
        cases = [load(path) for path in (MERKLE / kind).rglob("*.json")]
        counts[kind] = (len(cases), sum(not case["wantErr"] for case in cases))
    assert counts == {"inclusion": (98, 6), "consistency": (98, 6)}
