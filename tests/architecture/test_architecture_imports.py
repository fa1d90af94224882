"""The import contracts of pyproject.toml hold, and each of them notices a violation (style.md section 2).

Every contract is tried on a copy of the package with one forbidden import planted: at the top of a module or inside a function.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LINT = Path(sys.executable).parent / "lint-imports"
CONTRACTS = (
    "layers",
    "faces: only cli composes them",
    "pure-core: no I/O, clock, randomness, threads, logging, Unicode tables of the host",
    "crypto-door: core.signatures verifies, core.keys signs, core.sealing encrypts",
    "database-door",
    "never",
    "fast-json-door: orjson in adapters and faces only",
    "offline-verifier",
    "core-acyclic",
)

if not LINT.exists():
    pytest.skip("import-linter is not installed", allow_module_level=True)


def lint(folder: Path) -> tuple[dict[str, str], str]:
    """Run import-linter on the package in ``folder``; return each contract's verdict, and the report."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "400", "NO_COLOR": "1"}
    done = subprocess.run(
        [str(LINT), "--no-cache", "--no-logo", "--config", str(folder / "pyproject.toml")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    verdicts = dict(re.findall(r"^(.+?) (KEPT|BROKEN)(?: \(.*\))?$", done.stdout, re.MULTILINE))
    assert (done.returncode == 0) == (bool(verdicts) and set(verdicts.values()) == {"KEPT"}), done.stdout + done.stderr
    return verdicts, done.stdout + done.stderr


def test_contracts_are_kept():
    verdicts, report = lint(REPOSITORY)
    assert verdicts == dict.fromkeys(CONTRACTS, "KEPT"), report


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(REPOSITORY / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def lazily(line: str) -> str:
    return f"\n\ndef _planted() -> None:\n    {line}\n"


# contract -> (module to plant in, what, the chain that must be reported)
PLANTED = {
    "layers, services import storage": (
        "layers",
        "services/genesis.py",
        "\nfrom apostille.storage.memory import MemoryStore\n",
        "apostille.services.genesis -> apostille.storage.memory",
    ),
    "layers, core imports services, inside a function": (
        "layers",
        "core/merkle.py",
        lazily("import apostille.services.verifier"),
        "apostille.core.merkle -> apostille.services.verifier",
    ),
    "layers, ports import storage": (
        "layers",
        "ports.py",
        "\nimport apostille.storage\n",
        "apostille.ports -> apostille.storage",
    ),
    "faces, the gateway imports the SDK": (
        "faces: only cli composes them",
        "faces/gateway/wire.py",
        lazily("import apostille.faces.sdk"),
        "apostille.faces.gateway.wire -> apostille.faces.sdk",
    ),
    "pure-core, a clock inside a function": (
        "pure-core",
        "core/digest.py",
        lazily("import time"),
        "apostille.core.digest -> time",
    ),
    "pure-core, randomness": ("pure-core", "core/commitment.py", "\nimport secrets\n", "apostille.core.commitment -> secrets"),
    "pure-core, files": ("pure-core", "errors.py", "\nfrom pathlib import Path\n", "apostille.errors -> pathlib"),
    "crypto-door, another core module": (
        "crypto-door",
        "core/merkle.py",
        lazily("from cryptography.hazmat.primitives import hashes"),
        "apostille.core.merkle -> cryptography",
    ),
    "crypto-door, a service": (
        "crypto-door",
        "services/runs.py",
        "\nimport cryptography\n",
        "apostille.services.runs -> cryptography",
    ),
    "database-door": ("database-door", "storage/memory.py", lazily("import apsw"), "apostille.storage.memory -> apsw"),
    "database-door, the wrong library": (
        "database-door",
        "storage/sqlite.py",
        "\nimport sqlite3\n",
        "apostille.storage.sqlite -> sqlite3",
    ),
    "never, Unicode tables of the host": (
        "never",
        "faces/gateway/wire.py",
        lazily("import unicodedata"),
        "apostille.faces.gateway.wire -> unicodedata",
    ),
    "fast-json-door": ("fast-json-door", "services/receipts.py", "\nimport orjson\n", "apostille.services.receipts -> orjson"),
    "offline-verifier, storage inside a function": (
        "offline-verifier",
        "services/verifier.py",
        lazily("import apostille.storage.files"),
        "apostille.services.verifier -> apostille.storage.files",
    ),
    "offline-verifier, a socket behind an import": (
        "offline-verifier",
        "services/examination.py",
        "\nimport socket\n",
        "apostille.services.examination -> socket",
    ),
    "core-acyclic": (
        "core-acyclic",
        "core/digest.py",
        "\nfrom apostille.core import commitment\n",
        "apostille.core.digest -> apostille.core.commitment",
    ),
}


@pytest.mark.parametrize(("contract", "module", "code", "chain"), PLANTED.values(), ids=PLANTED)
def test_a_planted_violation_is_noticed(copy, contract, module, code, chain):
    path = copy / "src" / "apostille" / module
    with path.open("a", encoding="utf-8") as file:
        file.write(code)
    verdicts, report = lint(copy)
    broken = {name for name, verdict in verdicts.items() if verdict == "BROKEN"}
    assert any(name.startswith(contract) for name in broken), report
    if contract != "core-acyclic":  # its report names the packages of the cycle, not a chain
        assert chain in report


def test_every_contract_has_a_planted_violation():
    tried = {name for name in CONTRACTS for contract, *_ in PLANTED.values() if name.startswith(contract)}
    assert tried == set(CONTRACTS)


def test_a_new_room_must_be_placed(copy):
    """No ``utils.py``: a new top-level module or a new face without a layer is refused."""
    (copy / "src" / "apostille" / "utils.py").write_text('"""Odds and ends."""\n')
    verdicts, report = lint(copy)
    assert "KEPT" not in verdicts.values() or verdicts["layers"] == "BROKEN", report
    assert "utils" in report
