"""A program with the SDK that says things until it is killed, and keeps what it was given in files of its own.

    python program.py FOLDER STORE [THREADS]

For each output: its bytes and the id of its receipt are kept once the SDK has released it, its receipt as soon as there is one.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from pathlib import Path

import apostille


def keep(path: Path, data: bytes) -> None:
    """Keep a file whole or not at all; a kill loses nothing that the kernel has."""
    new = path.with_suffix(".new")
    new.write_bytes(data)
    os.replace(new, path)


def speak(folder: Path, run: apostille.Run, number: int) -> None:
    dice = random.Random(f"{os.getpid()} {number}")
    turn = 0
    while True:
        turn += 1
        name = f"{number}-{turn:05d}"
        asked = run.input(f"{name} of {folder.name}", source="user")
        said = run.output(f"{folder.name} {name} " + "y" * dice.choice((0, 0, 0, 100, 50_000)), derived_from=[asked])
        keep(folder / f"{name}.said", json.dumps({"id": said.receipt_id, "text": said.data.decode()}).encode())
        if dice.random() < 0.05:
            said.published(timeout=20).write(folder / f"{name}.published")


def main() -> None:
    folder, store = Path(sys.argv[1]), sys.argv[2]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 4
    with apostille.open(store) as opened, opened.run(agent="drill-sdk") as run:
        threads = [threading.Thread(target=speak, args=(folder, run, number), daemon=True) for number in range(count)]
        for thread in threads:
            thread.start()
        (folder / "begun").touch()
        threads[0].join()


if __name__ == "__main__":
    main()
