"""vaara: an SQLite trail (it sets WAL and synchronous NORMAL itself); each answer is recorded as an execution's result.

Its hash chain carries no signature a record; signed are decisions (a receipt file each) and the export of a whole trail.
"""

from __future__ import annotations

import sqlite3
import zipfile
from pathlib import Path

import common
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from vaara.audit.export import export_signed
from vaara.audit.sqlite_backend import SQLiteAuditBackend
from vaara.audit.verify import verify_signed

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class Peer:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "audit.db"
        self.backend = SQLiteAuditBackend(self.path)
        self.trail = self.backend.load_trail()
        self.count = 0

    def append(self, text: str) -> None:
        self.count += 1
        self.trail.record_execution(f"action-{self.count}", "bench", "answer", {"text": text})


def _filled(folder: Path, word: str) -> Peer:
    peer = Peer(folder)
    for number in range(6):
        peer.append(f"{word} {number}")
    return peer


def _verdict(path: Path) -> str:
    trail = SQLiteAuditBackend(path).load_trail()
    checked = trail.verify_chain()
    return f"{'intact' if checked is None or checked is True else checked}"[:160]


def truncation(folder: Path) -> str:
    peer = _filled(folder, "answer")
    db = sqlite3.connect(peer.path)
    db.execute("DELETE FROM audit_records WHERE seq >= (SELECT max(seq) - 1 FROM audit_records)")
    db.commit()
    db.close()
    return f"its verifier: {_verdict(peer.path)}"


def rewritten(folder: Path) -> str:
    peer = _filled(folder, "another answer")
    out = folder / "trail.zip"
    export_signed(peer.trail, out, signer_key=KEY)
    result = verify_signed(out, KEY.public_key())
    return "no" if result.ok else f"its verifier: {result.errors}"[:160]


def hidden(folder: Path) -> str:
    peer = Peer(folder)
    peer.append(common.HIDDEN)
    out = folder / "trail.zip"
    export_signed(peer.trail, out, signer_key=KEY)
    with zipfile.ZipFile(out) as archive:
        text = archive.read("trail.jsonl").decode()
    return "yes" if "\u200b" in text or "\\u200b" in text else "changed"


if __name__ == "__main__":
    common.run(
        "vaara",
        Peer,
        facts={
            "signs": "no; the export is signed (Ed25519)",
            "note": "AuditTrail.record_execution over SQLiteAuditBackend, which fixes synchronous NORMAL: in WAL mode a commit is "
            "not synced. The head that shows a cut tail stands in the same file; the probe leaves it there.",
        },
        probes={"truncation": truncation, "rewrite_with_key": rewritten, "hidden": hidden},
    )
