"""What the live tests stand on: a user with a store, the real command line, and another reader of proofs."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import foreign
import pytest

sys.path.insert(0, str(foreign.REPO / "tests" / "simulators"))

import openai_upstream as sim  # noqa: F401 - for the tests

from apostille import wiring
from apostille.core.keys import public_pem
from apostille.core.opening import SALT_BYTES
from apostille.core.statement import Statement, parse_statement
from apostille.services.vault import open_record

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_SECONDS = 60
_FOREIGN_TO_TESTS = ("OPENAI_", "APOSTILLE_", "XDG_")


# --- a user -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Home:
    """One user with one store, and folders of their own for trust and remembered heads."""

    path: Path

    @property
    def store(self) -> wiring.StoreFolder:
        return wiring.StoreFolder(self.path / "store")

    def _folders(self) -> dict[str, str]:
        return {"XDG_CONFIG_HOME": str(self.path / "config"), "XDG_STATE_HOME": str(self.path / "state")}

    @contextlib.contextmanager
    def inside(self) -> Iterator[wiring.StoreFolder]:
        """Be this user, in this process."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self._folders().items():
                patch.setenv(name, value)
            yield self.store

    def environment(self, **more: str) -> dict[str, str]:
        """Give the environment of this user's programs: no proxy, and no settings of whoever runs the tests."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(_FOREIGN_TO_TESTS) and not name.lower().endswith("_proxy")
        }
        return {**kept, **self._folders(), "APOSTILLE_STORE": str(self.store.path), **more}

    def cli(self, *words: str | Path, status: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``apostille`` and insist on its exit status."""
        done = subprocess.run(
            [apostille(), *map(str, words)],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
            env=self.environment(),
            cwd=cwd or self.path,
        )
        assert done.returncode == status, f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *words: str | Path, status: int = 0) -> Any:
        """Run a command with ``--json`` and give its document."""
        return json.loads(self.cli(*words, "--json", status=status).stdout)

    def leaves(self, run: str | None = None, kind: str | None = None) -> list[Leaf]:
        """Read the store's leaves, opened; each opening is checked against its digest on the way."""
        with self.inside() as folder:
            reader, vault = wiring.open_reader(folder), wiring.open_vault(folder)
            try:
                found = []
                for index, record in reader.records():
                    said = parse_statement(record.statement)
                    if kind in {None, said.type} and run in {None, said.predicate.get("run")}:
                        receipt_id = record.nonce.hex()
                        openings = open_record(vault, record, dict(said.subjects)) or {}
                        found.append(Leaf(index, receipt_id, said, openings))
                return found
            finally:
                reader.close()


@dataclass(frozen=True)
class Leaf:
    """One leaf, opened by the store's own keys."""

    index: int
    receipt_id: str
    statement: Statement
    openings: dict[str, bytes]

    def content(self, name: str) -> bytes:
        """Give what the subject ``name`` commits to, without the salt."""
        return self.openings[name][SALT_BYTES:]

    @property
    def attributes(self) -> Any:
        return json.loads(self.content("attributes"))


def apostille() -> str:
    """Give the path of the command that was installed with the package."""
    path = Path(sys.executable).with_name("apostille")
    assert path.is_file(), f"no command {path}: install the package"
    return str(path)


# --- evidence ---------------------------------------------------------------------------------------------------------


def payload_of(bundle: Any) -> bytes:
    """Give the bytes of the statement inside a bundle."""
    return base64.b64decode(bundle["dsseEnvelope"]["payload"])


def statement_of(bundle: Any) -> Any:
    """Give the statement inside a bundle."""
    return json.loads(payload_of(bundle))


def pae(payload: bytes) -> bytes:
    """Give what is signed, built from the text of the DSSE specification and not by the product."""
    return b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload)


def leaf_of(bundle: Any) -> bytes:
    """Give the log entry inside a bundle."""
    return base64.b64decode(bundle["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"])


def signer_pem(bundle: Any) -> bytes:
    """Give the key that a bundle's entry names, as PEM."""
    verifier = json.loads(leaf_of(bundle))["spec"]["hashedRekordV002"]["signature"]["verifier"]
    return public_pem(base64.b64decode(verifier["publicKey"]["rawBytes"]))


def trusted_root(home: Home) -> bytes:
    """Give what ``apostille log export`` writes for Sigstore's tools."""
    out = home.path / "export"
    if not out.exists():
        home.cli("log", "export", "--out", out)
    return (out / "trusted_root.json").read_bytes()


def check_proof(proof: bytes, entry: bytes, vkey: str, folder: Path) -> dict[str, Any]:
    """Check a tlog-proof with golang.org/x/mod/sumdb.

    Returns:
        ``origin``, ``index``, ``size``, ``root`` (base64) and ``hashes`` (how many).
    """
    paths = [folder / "proof", folder / "entry"]
    for path, content in zip(paths, (proof, entry), strict=True):
        path.write_bytes(content)
    done = foreign._run([_checkproof(), *paths, vkey])
    return foreign._json_or_refusal("checkproof", done, "checkproof: ")


@cache
def _checkproof() -> Path:
    """Build the program as the setup script builds checklog, where it is not built yet."""
    foreign.require_go()
    source = foreign.HERE / "go" / "checkproof"
    build = foreign.build_folder()
    program = build / "bin" / "checkproof"
    if not program.is_file() or program.stat().st_mtime < (source / "main.go").stat().st_mtime:
        settings = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "", "GOPROXY": "off"}
        settings |= {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOCACHE": str(build / "go-cache")}
        fresh = program.with_name(f"checkproof.{os.getpid()}")
        command = [foreign.require_program("go"), "build", "-trimpath", "-o", str(fresh), "."]
        subprocess.run(command, check=True, cwd=source, env={**os.environ, **settings}, timeout=foreign.TIMEOUT_SECONDS)
        fresh.touch()
        fresh.replace(program)
    return program
