"""What was handed out, read from the files that clients and programs kept while it came."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.drill.place import Place, insist


@dataclass
class Answer:
    """What a client was handed out: maybe only a part of the body, maybe without its receipt."""

    source: str
    receipt_id: str
    body: bytes
    is_whole: bool
    promised: dict[str, Any] | None = None
    receipts: list[bytes] = field(default_factory=list)


def read_answers(place: Place, kept: Path) -> list[Answer]:
    """Read what the clients of one life have kept; it is counted in ``place``."""
    found = []
    for path in sorted(kept.glob("*.answer")):
        answer = _parse_answer(path)
        place.count("answers with a byte" if path.stat().st_size else "requests without an answer")
        if answer is None:
            insist(_parse_http(path.read_bytes())[0] != 200, f"{path}: an answer without a receipt")
            continue
        for receipt in kept.glob(f"{path.stem}.receipt"):
            state, body, is_whole = _parse_http(receipt.read_bytes())
            if is_whole and state in {200, 202}:
                answer.receipts.append(body)
        found.append(answer)
    for path in sorted(kept.rglob("*.said")):
        value = json.loads(path.read_bytes())
        answer = Answer(str(path), value["id"], value["text"].encode(), is_whole=True)
        answer.receipts += [published.read_bytes() for published in path.parent.glob(f"{path.stem}.published")]
        found.append(answer)
    return found


def head_of(receipt: bytes) -> bytes:
    """Return the checkpoint in a published receipt."""
    bundle = json.loads(receipt)["bundle"]["verificationMaterial"]["tlogEntries"][0]
    return str(bundle["inclusionProof"]["checkpoint"]["envelope"]).encode()


def _parse_http(data: bytes) -> tuple[int, bytes, bool]:
    """Status, body as far as it came, and whether it is whole."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return 0, b"", False
    lines = head.split(b"\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines[1:])}
    length = int(headers.get(b"content-length", b"-1"))
    return int(lines[0].split()[1]), body, len(body) == length


def _parse_answer(path: Path) -> Answer | None:
    """Return what names a receipt: from then on the answer has been handed out. A refusal names none."""
    data = path.read_bytes()
    status, body, is_whole = _parse_http(data)
    head = data.partition(b"\r\n\r\n")[0]
    # Even a head that was cut has a name in it, if it came so far.
    found = re.search(rb"\r\napostille-id: ([0-9a-f]{32})\r\n", head + (b"\r\n" if status else b""))
    if found is None:
        return None
    packed = re.search(rb"\r\napostille-receipt: ([A-Za-z0-9_-]+)\r\n", head + (b"\r\n" if status else b""))
    promised = json.loads(base64.urlsafe_b64decode(packed[1] + b"=" * (-len(packed[1]) % 4))) if packed else None
    return Answer(str(path), found[1].decode(), body, is_whole, promised)
