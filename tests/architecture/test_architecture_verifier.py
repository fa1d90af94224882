"""What importing the verifier loads, and how large the trust kernel is (style.md section 2).

The import graph can't see what an eager ``__init__`` pulls in, so one test starts an interpreter and looks at ``sys.modules``; the
other reads the graph; a third compares the two.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
VERIFIER = {
    "apostille",
    "apostille.core",
    "apostille.core.bundle",
    "apostille.core.checkpoint",
    "apostille.core.digest",
    "apostille.core.dsse",
    "apostille.core.entry",
    "apostille.core.keychain",
    "apostille.core.merkle",
    "apostille.core.note",
    "apostille.core.opening",
    "apostille.core.policy",
    "apostille.core.predicates",
    "apostille.core.receipt",
    "apostille.core.signatures",
    "apostille.core.statement",
    "apostille.core.strict",
    "apostille.errors",
    "apostille.services",
    "apostille.services.examination",
    "apostille.services.verifier",
}
# ``cryptography`` brings its binding to OpenSSL and cffi's runtime along; they are part of it, not of us.
THIRD_PARTY = {"cryptography", "_cffi_backend", "_openssl"}
# Modules of the standard library that reach outside the process, read the host's Unicode tables, or hold state of an application.
FORBIDDEN = {
    *("_socket", "asyncio", "ftplib", "http", "imaplib", "poplib", "select", "selectors", "smtplib", "socket", "socketserver"),
    *("_ssl", "ssl", "urllib", "xmlrpc", "webbrowser", "telnetlib"),
    *("_posixsubprocess", "concurrent", "multiprocessing", "pty", "sched", "subprocess"),
    *("_sqlite3", "dbm", "fileinput", "glob", "mmap", "pathlib", "pickle", "shelve", "shutil", "sqlite3", "tempfile"),
    *("_ctypes", "ctypes", "unicodedata", "locale", "gettext", "logging", "secrets", "uuid", "datetime", "zoneinfo"),
}
APPLICATION = {"aiohttp", "apsw", "httptools", "landlock", "orjson", "psycopg", "rich", "starlette", "typer", "uvicorn", "uvloop"}

LOADED = """
import json, sys
before = set(sys.modules)
import {module}
print(json.dumps([sorted(before), sorted(set(sys.modules) - before)]))
"""


def load(module: str) -> tuple[set[str], set[str]]:
    """Import a module in an interpreter of its own; return what was loaded before, and what came with it."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADED.format(module=module)], capture_output=True, text=True, check=True, timeout=60
    )
    before, new = json.loads(done.stdout)
    return set(before), set(new)


@pytest.fixture(scope="module")
def loaded():
    return load("apostille.services.verifier")


def test_our_modules(loaded):
    _, new = loaded
    assert {name for name in new if name.split(".")[0] == "apostille"} == VERIFIER


def test_no_other_library(loaded):
    _, new = loaded
    outside = {name.split(".")[0] for name in new} - set(sys.stdlib_module_names) - {"apostille"}
    assert outside == THIRD_PARTY


def test_no_network_no_files_no_processes(loaded):
    before, new = loaded
    everything = {name.split(".")[0] for name in before | new}
    assert everything & FORBIDDEN == set()
    assert everything & APPLICATION == set()


def test_the_list_would_notice():
    """The same look at the SDK, which has a database, finds what the verifier must not have."""
    _, new = load("apostille.faces.sdk")
    assert "apsw" in new
    assert "apostille.storage.sqlite" in new
    assert {name.split(".")[0] for name in new} & FORBIDDEN


def test_importing_apostille_loads_nothing_of_ours():
    _, new = load("apostille")
    assert {name for name in new if name.split(".")[0] in {"apostille", "cryptography"}} == {"apostille"}


# The kernel ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("kernel", REPOSITORY / "tools" / "kernel.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["kernel"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["kernel"]


@pytest.fixture(scope="module")
def kernel(tool):
    return tool.measure(REPOSITORY / "src")


def test_kernel_is_what_is_loaded(kernel):
    """Graph and interpreter agree: nothing is imported lazily, nothing is pulled in behind the graph's back."""
    assert {module.name for module in kernel.modules} == VERIFIER


def test_kernel_external_set(kernel):
    assert kernel.third_party == {"cryptography"}
    assert kernel.standard <= set(sys.stdlib_module_names)
    assert kernel.standard & FORBIDDEN == set()


def test_kernel_size(tool, kernel):
    """The lines of code between an auditor and the verification of a receipt grow no more.

    The goal of 1,200 is not reached yet: this holds what is won, and prints what is left to do.
    """
    print(tool.table(kernel))
    print(f"total lines: {kernel.total:,}; code lines: {kernel.code:,}; reached: {tool.REACHED:,}; goal: {tool.GOAL:,}")
    assert tool.GOAL == 1_200
    assert kernel.code <= tool.REACHED, f"\n{tool.table(kernel)}"


@pytest.mark.parametrize(("slack", "status"), [(0, 0), (1, 0), (-1, 1)])
def test_the_tool_fails_when_the_kernel_has_grown(tool, kernel, monkeypatch, capsys, slack, status):
    monkeypatch.setattr(tool, "REACHED", kernel.code + slack)
    assert tool.main() == status
    assert f"reached: {kernel.code + slack:,}; goal: 1,200" in capsys.readouterr().out


def test_the_manual_and_the_readme_say_what_the_tool_says(tool, kernel):
    """The walk through the kernel lists each module and the tool's own output; the README states the same sum."""
    manual = (REPOSITORY / "docs" / "manual" / "trust-kernel.md").read_text(encoding="utf-8")
    assert f"```\n{tool.table(kernel)}\n```" in manual, "run tools/kernel.py and copy its output into the manual"
    for module in kernel.modules:
        assert f"`{module.name}`" in manual or f"`{module.name.removeprefix('apostille.')}`" in manual, module.name
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert f"a kernel of {len(kernel.modules)} modules and {kernel.code:,} lines of code" in readme


def test_counting(tool):
    source = '''"""Module
docstring."""

# comment
import os  # counts


class A:
    """Docstring."""

    x = 1; y = 2

    def f(self):
        """Docstring
        of three lines.
        """
        return """text
that is
not a docstring"""


async def g(
    a,
):
    "one-line docstring"
    # comment
    return [
        a,

        # comment inside
        os,
    ]
'''
    # import; class; x; def; return (3 lines); def g (3); return [ a, os, ] (4)
    assert tool.count_code_lines(source) == 1 + 1 + 1 + 1 + 3 + 3 + 4
    assert tool.count_code_lines("") == 0
    assert tool.count_code_lines('"""Only a docstring."""\n') == 0


def test_packages(tool):
    assert tool.packages_of({"a.b.c", "a.d"}) == {"a", "a.b"}


def test_it_runs_as_a_script(tool, kernel):
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "tools" / "kernel.py")], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"code lines: {kernel.code:,}; reached: {tool.REACHED:,}; goal: 1,200" in done.stdout
    assert f"{kernel.total:,}" in done.stdout
    assert f"{kernel.code:,}" in done.stdout
    assert "third party: cryptography" in done.stdout
    assert all(name in done.stdout for name in VERIFIER)
