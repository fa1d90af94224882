"""The sample evidence of the shared vectors, and small tools to change it in one place."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from foreign import REPO, unavailable

VECTORS = REPO.parent / "shared" / "vectors"
TESSERA_VKEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"


def vector(name: str) -> Path:
    """Give the path of a vector, or skip the test where the shared vectors are not beside the checkout."""
    if not VECTORS.is_dir():
        unavailable("the shared vectors are not beside the checkout")
    return VECTORS / name


def read(name: str) -> bytes:
    """Give the bytes of a vector."""
    return vector(name).read_bytes()


def vkey(log: str, key: str) -> str:
    """Give a vkey of a sample log by the name that its vkey list has."""
    if log == "tessera-log":
        return TESSERA_VKEY
    if log == "sample-4":
        value: str = json.loads(read("sample-4/vkeys.json"))[key]
        return value
    return read("sample-700/vkeys").decode().splitlines()[["log-ed", "w1-ed", "w2-pq"].index(key)]


def flip(data: bytes, place: int, mask: int = 0x01) -> bytes:
    """Change one byte; a negative place counts from the end."""
    changed = bytearray(data)
    changed[place] ^= mask
    return bytes(changed)


def flip_base64(text: str, place: int = 0) -> str:
    """Change one byte of what a base64 text stands for."""
    return base64.b64encode(flip(base64.b64decode(text), place)).decode()


def note_lines(note: bytes) -> tuple[str, list[str]]:
    """Split a note into its text, with the final LF, and its signature lines."""
    text, _, signatures = note.decode().rpartition("\n\n")
    return text + "\n", signatures.split("\n")[:-1]


def join_note(text: str, lines: list[str]) -> bytes:
    """Undo ``note_lines``."""
    return (text + "\n" + "".join(line + "\n" for line in lines)).encode()


def change_line(note: bytes, key: str, change: Any) -> bytes:
    """Change the bytes (key ID, then signature) in the note's line of the key with this vkey."""
    name, key_id, _ = key.split("+", 2)
    text, lines = note_lines(note)
    found = 0
    for i, line in enumerate(lines):
        _, owner, field = line.split(" ")
        raw = base64.b64decode(field)
        if owner == name and raw[:4].hex() == key_id:
            lines[i] = f"\u2014 {owner} {base64.b64encode(change(raw)).decode()}"
            found += 1
    assert found == 1, f"{found} lines of {name}+{key_id}"
    return join_note(text, lines)
