"""The canonical bytes and findings are the same on every supported Python (canonical.md section 1, decision 3).

CPython 3.12 and 3.13 are those of Pyodide, compiled to WebAssembly, with the standard library and Unicode tables of their own.
"""

from __future__ import annotations

from pathlib import Path

import foreign
import markdown_it
import pytest

from tests.unit.core.canon.canon_golden import DIGEST, markdown_digest

CORPUS = foreign.REPO / "tests" / "unit" / "core" / "canon"

pytestmark = [pytest.mark.interop, pytest.mark.slow]


@pytest.fixture(scope="module")
def markdown() -> str:
    return markdown_digest()


@pytest.mark.parametrize(("package", "version"), [("pyodide-312", "3.12."), ("pyodide-313", "3.13.")])
def test_another_python_gives_the_same_bytes(package: str, version: str, markdown: str) -> None:
    found = foreign.canonicalize_golden(package, CORPUS, Path(markdown_it.__file__).parents[1])
    assert found.pop("python").startswith(version)
    assert found == {"text": DIGEST, "markdown": markdown}
