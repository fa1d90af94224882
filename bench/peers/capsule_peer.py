"""capsule-emit: ``seal`` into a ledger store, which it says syncs each append, with its persisted producer key; no witness named."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import common
from capsule_emit import seal
from capsule_emit.ledger import read_ledger
from capsule_emit.signing import verify_store_signed


class Peer:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ledger = folder / "capsule-ledger"
        self.count = 0

    def append(self, text: str) -> None:
        self.count += 1
        seal(
            {"answer": self.count},
            action="answer",
            operator="bench",
            developer="bench@v1",
            agent_output={"text": text, "number": str(self.count)},
            ledger=str(self.ledger),
        )

    def verdict(self) -> str:
        results = verify_store_signed(read_ledger(self.ledger), require_signature=True)
        bad = [finding.code for result in results for finding in result.findings if finding.severity == "error"]
        return f"{len(results)} capsules, {'all valid' if all(result.ok for result in results) else bad}"[:160]


def _filled(folder: Path, word: str) -> Peer:
    peer = Peer(folder)
    for number in range(6):
        peer.append(f"{word} {number}")
    return peer


def truncation(folder: Path) -> str:
    peer = _filled(folder, "answer")
    cut = 0
    for path in (peer.ledger / "segments").rglob("*.jsonl"):
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[:-2]))
        cut += 1
    verdict = peer.verdict()
    return "no" if "all valid" in verdict and cut else f"its verifier: {verdict}"


def rewritten(folder: Path) -> str:
    peer = _filled(folder, "answer")
    keys = [path for path in folder.rglob("*") if path.is_file() and b"PRIVATE" in path.read_bytes()[:64]]
    saved = [(path, path.read_bytes()) for path in keys]
    shutil.rmtree(peer.ledger)
    for path, data in saved:
        if peer.ledger not in path.parents:
            path.write_bytes(data)
    again = _filled(folder, "another answer")
    verdict = again.verdict()
    return "no" if "all valid" in verdict else f"its verifier: {verdict}"


def hidden(folder: Path) -> str:
    peer = Peer(folder)
    peer.append(common.HIDDEN)
    return "yes, as a digest of what came in; the text is not kept" if "all valid" in peer.verdict() else peer.verdict()


if __name__ == "__main__":
    os.environ["CAPSULE_WITNESS"] = "off"  # nothing leaves this machine
    common.run(
        "capsule-emit",
        Peer,
        facts={"signs": "yes (producer key)", "note": "seal() into a ledger store, no witness named (that needs a network)."},
        probes={"truncation": truncation, "rewrite_with_key": rewritten, "hidden": hidden},
    )
