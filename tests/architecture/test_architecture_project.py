"""The project's own promises about itself: one version, typed, errors from one tree."""

from __future__ import annotations

import ast
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = sorted((REPOSITORY / "src" / "apostille").rglob("*.py"))
CORE = [path for path in SOURCES if path.is_relative_to(REPOSITORY / "src" / "apostille" / "core") and "tables" not in path.parts]


def test_version():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata.version("apostille") == project["version"]
    assert metadata.metadata("apostille")["Requires-Python"] == ",".join(sorted(project["requires-python"].split(",")))


def raised(tree: ast.AST) -> set[str]:
    """Names of the classes that are raised anywhere in a module."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            target = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(target, ast.Name) and target.id[0].isupper():
                found.add(target.id)
    return found


@pytest.mark.parametrize("path", CORE, ids=[str(path.relative_to(REPOSITORY / "src" / "apostille")) for path in CORE])
def test_core_raises_from_the_one_tree(path):
    """Errors of ours, or ``ValueError``, ``RuntimeError`` for misuse (``ValueError`` also inside a parser that turns it into one of ours); nothing else."""
    from apostille import errors

    allowed = {name for name in vars(errors) if name.endswith("Error")} | {
        "ValueError",
        "RuntimeError",
        "AssertionError",
        "InvalidSignature",
    }
    assert raised(ast.parse(path.read_text(encoding="utf-8"))) <= allowed


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(REPOSITORY / "src")) for path in SOURCES])
def test_every_module_says_what_it_is(path):
    if "tables" not in path.parts:
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
