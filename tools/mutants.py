"""Break the trust kernel on purpose, one place at a time, and see whether a test notices.

    python tools/mutants.py [--sample N] [--seconds S] [MODULE ...]

Each mutant is one change in one module: a comparison swapped, a number off by one, ``and`` for ``or``, a condition negated, a
``raise`` taken out. It is run from a copy of ``src`` in a temporary folder against the fast tests of that module. A mutant that no
test notices is a survivor: either a test is missing, or the change makes no difference and ``docs/manual/mutation-testing.md`` says why.
A mutant whose tests do not end in many times what the unchanged module takes counts as noticed, and is printed too.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import cryptography.hazmat.primitives.asymmetric.mldsa  # noqa: F401 - see is_noticed
import hypothesis  # noqa: F401
import pytest

HOME = Path(__file__).resolve().parents[1]
HONEST_SECONDS = 600  # for the tests of a module without any change
LEAST_SECONDS, TIMES = 60, 5  # a mutant may take so long, or so many times what the unchanged module took
# In the order of the files, whichever plugin would shuffle them: most mutants are noticed by the first, which is the quickest.
# A test that runs for a minute has met a loop without end.
_ORDER = ("-p", "no:cacheprovider", "-p", "no:randomly", "--timeout", "60")
_QUIET = ("-x", "-q", *_ORDER, "-W", "ignore::pytest.PytestAssertRewriteWarning")
# Module to the tests that judge it, the quickest first; the verifier's own tests judge all of them.
COMMON = ("tests/unit/services/test_verifier.py", "tests/properties/test_verifier_caches.py")
MODULES = {
    "services/verifier": (),
    "services/examination": ("tests/unit/services/test_examination.py",),
    "core/policy": ("tests/unit/core/test_core_policy.py",),
    "core/merkle": ("tests/unit/core/test_core_merkle.py", "tests/properties/test_merkle_model.py"),
    "core/signatures": ("tests/unit/core/test_core_keys.py",),
    "core/keychain": ("tests/unit/core/test_core_keychain.py",),
    "core/receipt": ("tests/unit/core/test_core_receipt.py",),
    "core/bundle": ("tests/unit/core/test_core_bundle.py",),
    "core/dsse": ("tests/unit/core/test_core_dsse.py",),
    "core/note": ("tests/unit/core/test_core_note.py",),
    "core/checkpoint": ("tests/unit/core/test_core_checkpoint.py",),
    "core/entry": ("tests/unit/core/test_core_entry.py",),
    "core/strict": ("tests/unit/core/test_core_strict.py",),
    "core/statement": ("tests/unit/core/test_core_statement.py",),
    "core/opening": ("tests/unit/core/test_core_commitment.py",),
    "core/digest": ("tests/unit/core/test_core_digest.py",),
    "core/forms": ("tests/unit/core/test_core_forms.py",),
    "core/predicates": ("tests/unit/core/test_core_predicates.py", "tests/unit/core/test_core_together.py"),
}
_SWAPS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change.

    Attributes:
        module: Path below ``apostille`` without suffix.
        line: Where.
        what: The change, for people.
        source: The whole changed module.
    """

    module: str
    line: int
    what: str
    source: str


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield each change of one node: what it is, and the node that takes its place."""
    if isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            changed = copy.deepcopy(node)
            changed.ops[at] = _SWAPS[type(operator)]()
            yield f"{ast.unparse(node)} -> {ast.unparse(changed)}", changed
    elif isinstance(node, ast.BoolOp):
        changed_bool = copy.deepcopy(node)
        changed_bool.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield f"{ast.unparse(node)} -> {ast.unparse(changed_bool)}", changed_bool
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield f"{ast.unparse(node)} -> without not", node.operand
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        for step in (1, -1):
            yield f"{node.value} -> {node.value + step}", ast.Constant(node.value + step)
    elif isinstance(node, ast.If):
        changed_if = copy.deepcopy(node)
        changed_if.test = ast.UnaryOp(ast.Not(), changed_if.test)
        yield f"if {ast.unparse(node.test)} -> negated", changed_if
    elif isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield f"{ast.unparse(node)} -> pass", ast.Pass()


def mutants(module: str) -> list[Mutant]:
    """Make every mutant of a module."""
    tree = ast.parse((HOME / "src" / "apostille" / f"{module}.py").read_text(encoding="utf-8"))
    found: list[Mutant] = []
    for parent in _walk(tree):
        for name, value in ast.iter_fields(parent):
            for at, child in enumerate(value if isinstance(value, list) else [value]):
                if not isinstance(child, ast.AST):
                    continue
                for what, changed in changes(child):
                    _put(parent, name, at, ast.fix_missing_locations(ast.copy_location(changed, child)))
                    found.append(Mutant(module, getattr(child, "lineno", 0), what, ast.unparse(tree)))
                    _put(parent, name, at, child)
    return found


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield nodes as ``ast.walk``, but none inside a message: how much of a refused value it shows is a test's of its own."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.JoinedStr):
            yield from _walk(child)


def _put(parent: ast.AST, name: str, at: int, child: ast.AST) -> None:
    value = getattr(parent, name)
    if isinstance(value, list):
        value[at] = child
    else:
        setattr(parent, name, child)


def is_noticed(mutant: Mutant, folder: Path, limit_seconds: float = HONEST_SECONDS) -> bool:
    """Run the tests of a mutant; a failure, and a run that does not end, is noticed."""
    path = folder / "apostille" / f"{mutant.module}.py"
    good = path.read_text(encoding="utf-8")
    path.write_text(mutant.source, encoding="utf-8")
    try:
        # A fork of this process has pytest and all foreign packages already, and nothing of ours.
        child = os.fork()
        if not child:
            _run_tests([*MODULES[mutant.module], *COMMON], folder)
        end = time.monotonic() + limit_seconds
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                print(f"not at its end after {limit_seconds:.0f} s: {mutant.module}.py:{mutant.line}: {mutant.what}", flush=True)
                return True
            time.sleep(0.02)
    finally:
        path.write_text(good, encoding="utf-8")
    return ended[1] != 0


def _run_tests(tests: list[str], folder: Path) -> NoReturn:
    os.setsid()
    os.chdir(HOME)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.environ |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(folder), str(HOME)]
    code = 70
    try:
        for test in tests:
            code = int(pytest.main([*_QUIET, test]))
            if code:
                break
    finally:
        os._exit(code)


def main() -> int:
    """Run the mutants that are asked for; 1 if one survives."""
    reader = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    reader.add_argument("modules", nargs="*", metavar="MODULE", choices=[*MODULES, []], help="as in core/merkle; all by default")
    reader.add_argument("--sample", type=int, default=0, help="at most so many mutants of each module; 0 is all")
    reader.add_argument("--seconds", type=float, default=float("inf"), help="begin no mutant after so many seconds")
    asked = reader.parse_args()
    dice, began, ran, survivors = random.Random(7), time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "src"
        shutil.copytree(HOME / "src", folder, ignore=shutil.ignore_patterns("__pycache__"))
        for module in asked.modules or MODULES:
            every = mutants(module)
            chosen = dice.sample(every, min(asked.sample or len(every), len(every)))
            good = Mutant(module, 0, "nothing", (HOME / "src" / "apostille" / f"{module}.py").read_text(encoding="utf-8"))
            began_module = time.monotonic()
            if is_noticed(good, folder):
                sys.exit(f"{module}: its tests fail without any change, so they would notice every mutant")
            limit_seconds = max(LEAST_SECONDS, TIMES * (time.monotonic() - began_module))
            for mutant in chosen:
                if time.monotonic() - began > asked.seconds:
                    break
                ran += 1
                if not is_noticed(mutant, folder, limit_seconds):
                    survivors += 1
                    print(f"SURVIVED {mutant.module}.py:{mutant.line}: {mutant.what}", flush=True)
            print(f"{module}: {len(every)} mutants, {len(chosen)} chosen; so far {ran} ran, {survivors} survived", flush=True)
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
