"""A client of the gateway that asks until it is killed, and keeps every byte that it is given before it looks at it.

    python client.py FOLDER [THREADS]

It asks at ``$OPENAI_BASE_URL`` with ``$DRILL_KEY``. Each connection has a file of its own in FOLDER: what came is appended before
the next piece is waited for, so that no kill takes back what was handed out. Where an answer names its receipt, that is fetched
and kept too. It knows nothing of apostille but those two headers.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 20.0


def keep(path: Path, host: str, port: int, request: bytes) -> bytes:
    """Send a request; append what comes to a file as it comes; return all of it."""
    whole = b""
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS) as connection:
            connection.sendall(request)
            while piece := connection.recv(65536):
                os.write(out, piece)
                whole += piece
    except OSError:
        pass  # the gateway was killed: what came until then counts
    finally:
        os.close(out)
    return whole


def header(answer: bytes, name: bytes) -> str | None:
    for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        key, _, value = line.partition(b": ")
        if key.lower() == name:
            return value.decode()
    return None


def ask(folder: Path, number: int, until: float) -> None:
    base = urlsplit(os.environ["OPENAI_BASE_URL"])
    host, port = base.hostname or "", base.port or 80
    dice = random.Random(f"{os.getpid()} {number}")
    common = f"Host: {host}\r\nAuthorization: Bearer {os.environ.get('DRILL_KEY', 'none')}\r\nConnection: close\r\n"
    turn = 0
    while time.monotonic() < until:
        turn += 1
        said = f"{folder.name} thread {number} turn {turn} " + "x" * dice.choice((0, 0, 0, 100, 5000, 200_000))
        value = {"model": "m", "messages": [{"role": "user", "content": said}], "stream": dice.random() < 0.4}
        body = json.dumps(value).encode()
        head = f"POST {base.path}/chat/completions HTTP/1.1\r\n{common}Content-Type: application/json\r\n"
        name = f"{number}-{turn:05d}"
        answer = keep(folder / f"{name}.answer", host, port, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        if not answer:
            time.sleep(0.02)
        place = header(answer, b"apostille-bundle")
        if place is not None and dice.random() < 0.5:
            if dice.random() < 0.1:
                time.sleep(1.1)  # until it is published
            at = urlsplit(place)
            keep(folder / f"{name}.receipt", host, port, f"GET {at.path} HTTP/1.1\r\n{common}\r\n".encode())


def main() -> None:
    folder = Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 6
    until = time.monotonic() + 300
    threads = [threading.Thread(target=ask, args=(folder, number, until), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    (folder / "begun").touch()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
