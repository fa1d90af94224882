"""signet-auth: a SigningAgent whose ``sign`` appends the Ed25519 receipt to its hash-chained audit file."""

from __future__ import annotations

import shutil
from pathlib import Path

import common
from signet_auth import SigningAgent


class Peer:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.agent = SigningAgent.create("bench", owner="bench", signet_dir=str(folder))

    def append(self, text: str) -> None:
        self.agent.sign("answer", params={"text": text})

    def verdict(self) -> str:
        chain, signed = self.agent.audit_verify_chain(), self.agent.audit_verify_signatures()
        return f"chain {'valid' if chain.valid else 'broken'} ({chain.total_records}), signatures {signed.valid}/{signed.total}"


def truncation(folder: Path) -> str:
    peer = Peer(folder)
    for number in range(6):
        peer.append(f"answer {number}")
    for path in (folder / "audit").rglob("*.jsonl"):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))
    return _seen(peer.verdict(), "chain valid (4), signatures 4/4")


def rewritten(folder: Path) -> str:
    peer = Peer(folder)
    for number in range(6):
        peer.append(f"answer {number}")
    shutil.rmtree(folder / "audit")
    for number in range(6):
        peer.append(f"another answer {number}")
    return _seen(peer.verdict(), "chain valid (6), signatures 6/6")


def _seen(verdict: str, clean: str) -> str:
    return "no" if verdict == clean else f"its verifier: {verdict}"


def hidden(folder: Path) -> str:
    peer = Peer(folder)
    peer.append(common.HIDDEN)
    text = "".join(path.read_text(encoding="utf-8") for path in (folder / "audit").rglob("*.jsonl"))
    return "yes" if "\u200b" in text or "\\u200b" in text else "changed"


if __name__ == "__main__":
    common.run(
        "signet-auth",
        Peer,
        facts={"signs": "yes (Ed25519)", "note": "SigningAgent.sign with its audit file; it offers no setting for durability."},
        probes={"truncation": truncation, "rewrite_with_key": rewritten, "hidden": hidden},
    )
