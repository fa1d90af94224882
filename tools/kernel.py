"""Count the trust kernel: the modules that one has to read to believe the verification of a receipt.

    python tools/kernel.py

The kernel is ``apostille.services.verifier`` and all that it imports, directly or not, as the import graph says (imports inside
functions too), with the ``__init__`` files of the packages on the way, because Python runs them. A code line holds something
other than white space, comments and docstrings. What is not ours is listed beside it: third party by name, the rest of the
standard library.

The goal is ``GOAL`` code lines, and it is **not reached yet**. ``REACHED`` is a ratchet: the code lines that there are now, which the
kernel may not exceed. Whoever makes the kernel smaller lowers it; nobody raises it.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path

import grimp

PACKAGE = "apostille"
ROOT = "apostille.services.verifier"
GOAL = 1_200
REACHED = 1_403
_SILENT = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}


@dataclass(frozen=True, slots=True)
class Module:
    """One file of the kernel.

    Attributes:
        name: Dotted name; a package stands for its ``__init__`` file.
        path: The file.
        total: All lines.
        code: Lines that are not blank, comment or docstring.
    """

    name: str
    path: Path
    total: int
    code: int


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel, and what it leans on.

    Attributes:
        modules: Our modules, by name.
        third_party: Top-level names from outside that are not of the standard library.
        standard: Top-level names of the standard library.
    """

    modules: tuple[Module, ...]
    third_party: frozenset[str]
    standard: frozenset[str]

    @property
    def total(self) -> int:
        """All lines."""
        return sum(module.total for module in self.modules)

    @property
    def code(self) -> int:
        """All code lines."""
        return sum(module.code for module in self.modules)


def count_code_lines(source: str) -> int:
    """Count the lines of ``source`` that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                lines.difference_update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return len(lines)


def packages_of(names: set[str]) -> set[str]:
    """Return the packages that the modules ``names`` are in."""
    return {name.rsplit(".", depth)[0] for name in names for depth in range(1, name.count(".") + 1)}


def measure(source: Path) -> Kernel:
    """Measure the kernel of the package in the folder ``source`` (the one that holds ``apostille/``)."""
    graph = grimp.build_graph(PACKAGE, include_external_packages=True, cache_dir=None)
    reached = graph.find_upstream_modules(ROOT) | {ROOT}
    ours = {name for name in reached if name.split(".")[0] == PACKAGE}
    outside = {name.split(".")[0] for name in reached - ours}
    modules: list[Module] = []
    for name in sorted(ours | packages_of(ours)):
        path = source.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        text = path.read_text(encoding="utf-8")
        modules.append(Module(name, path, len(text.splitlines()), count_code_lines(text)))
    standard = outside & set(sys.stdlib_module_names)
    return Kernel(tuple(modules), frozenset(outside - standard), frozenset(standard))


def table(kernel: Kernel) -> str:
    """Return the kernel as a table for people."""
    rows = [f"{'module':<36}{'lines':>7}{'code':>7}"]
    rows += [f"{m.name:<36}{m.total:>7,}{m.code:>7,}" for m in kernel.modules]
    rows += [
        f"{len(kernel.modules)} modules{'':<26}{kernel.total:>7,}{kernel.code:>7,}",
        f"code lines: {kernel.code:,}; reached: {REACHED:,}; goal: {GOAL:,}",
        f"third party: {', '.join(sorted(kernel.third_party))}",
        f"standard library: {', '.join(sorted(kernel.standard))}",
    ]
    return "\n".join(rows)


def main() -> int:
    """Print the table; 1 if the kernel is larger than what was reached."""
    kernel = measure(Path(__file__).resolve().parents[1] / "src")
    print(table(kernel))
    return int(kernel.code > REACHED)


if __name__ == "__main__":
    sys.exit(main())
