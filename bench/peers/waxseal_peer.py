"""waxseal: an SQLite trail (WAL, SQLite's default synchronous FULL), each entry signed with an injected Ed25519 key."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import common
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from waxseal.adapters.attest import FileAttestor
from waxseal.log.facade import AuditLog

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TYPE = "application/vnd.bench.answer+json"


class Signer:
    algorithm, key_id = "ed25519", "bench"

    def sign(self, data: bytes) -> bytes:
        return KEY.sign(data)


class Verifier:
    algorithm, key_id = "ed25519", "bench"

    def verify(self, data: bytes, signature: bytes, *_: object) -> bool:
        try:
            KEY.public_key().verify(signature, data)
        except Exception:  # noqa: BLE001 - any refusal is a no
            return False
        return True


class Peer:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "trail.db"
        self.log = AuditLog.open(self.path, attestor=FileAttestor(self.path, signer=Signer()))

    def append(self, text: str) -> None:
        self.log.append(payload={"answer": text}, payload_type=TYPE)

    def verdict(self) -> str:
        chain = self.log.verify()
        seals = self.log.verify_attestations(verifier=Verifier())
        return "no" if chain.ok and seals.ok else f"its verifier: {chain.reason or seals.reason}"


def truncation(folder: Path) -> str:
    peer = Peer(folder)
    for number in range(6):
        peer.append(f"answer {number}")
    db = sqlite3.connect(peer.path)
    db.execute("DELETE FROM entries WHERE seq >= 4")
    db.commit()
    db.close()
    # Whoever cuts the trail cuts the file of signatures beside it, too.
    attest = peer.path.with_name(peer.path.name + ".attest")
    attest.write_text("".join(attest.read_text().splitlines(keepends=True)[:4]))
    return Peer(folder).verdict()


def rewritten(folder: Path) -> str:
    peer = Peer(folder)
    for number in range(6):
        peer.append(f"answer {number}")
    shutil.rmtree(folder)
    peer = Peer(folder)
    for number in range(6):
        peer.append(f"another answer {number}")
    return peer.verdict()


def hidden(folder: Path) -> str:
    peer = Peer(folder)
    peer.append(common.HIDDEN)
    payload = next(iter(peer.log.entries())).payload
    return "yes" if json.loads(payload)["answer"] == common.HIDDEN else "changed"


if __name__ == "__main__":
    common.run(
        "waxseal",
        Peer,
        facts={
            "signs": "yes (Ed25519, sidecar file)",
            "note": "SQLite trail with its own settings, FileAttestor with an Ed25519 signer. Its keyed-hash aggregate, which is no signature, is said to see a cut tail; not probed.",
        },
        probes={"truncation": truncation, "rewrite_with_key": rewritten, "hidden": hidden},
    )
