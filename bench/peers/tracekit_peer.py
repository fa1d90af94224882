"""tracekit-ai: its signer service in this process with ``ack-on-fsync``, and the Python client over a Unix socket.

One answer is one ``observe`` in a run: a signed record with a commitment, never the value.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path

import common
from tracekit.sdk.client import Client
from tracekit.signer.service import Limits, SignerService, fsck
from tracekit.storage.base import ACK_ON_FSYNC
from tracekit.transport import answering_hello, hello
from tracekit.transport.unix import UnixServer


class Peer:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.service = SignerService(
            str(folder / "data"), isolation="same-user", durability=ACK_ON_FSYNC, fsck_every_s=0, limits=UNLIMITED
        )
        # A socket's path must be short.
        self.short = tempfile.TemporaryDirectory(prefix="tk-")
        path = f"{self.short.name}/s"
        self.server = UnixServer(path, answering_hello(self.service.handle_frame, hello()))
        threading.Thread(target=self.server.serve_forever, args=(0.2,), daemon=True).start()
        self.client = Client(path)
        self.run = self.client.run(agent="bench")

    def append(self, text: str) -> None:
        self.run.observe(text, "bench", trust="untrusted")

    def close(self) -> None:
        self.client.close()
        self.server.shutdown()
        self.server.server_close()
        self.service.close()


# Its default of 200 events a second would be what is measured.
UNLIMITED = Limits(events_per_s=1e6, burst=1_000_000)


def _filled(folder: Path, word: str) -> Path:
    peer = Peer(folder)
    for number in range(6):
        peer.append(f"{word} {number}")
    peer.run.close()
    peer.close()
    return folder / "data"


def _verdict(data: Path) -> str:
    problems = fsck(str(data))
    return f"its fsck: {problems[0]}"[:160] if problems else "no"


def truncation(folder: Path) -> str:
    data = _filled(folder, "answer")
    path = data / "store" / "records.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-3]))
    return _verdict(data)


def rewritten(folder: Path) -> str:
    data = _filled(folder, "answer")
    shutil.rmtree(data / "store")
    # The keys stay; there is no witness on this machine that remembers the first history.
    return _verdict(_filled(folder, "another answer"))


def hidden(folder: Path) -> str:
    peer = Peer(folder)
    peer.append(common.HIDDEN)
    peer.close()
    return "yes, as a commitment to what came in; the text is not kept"


if __name__ == "__main__":
    common.run(
        "tracekit-ai",
        Peer,
        facts={
            "signs": "yes (Ed25519)",
            "note": "SignerService(durability=ack-on-fsync) and its client over a Unix socket, its limit of 200 events/s lifted; observe().",
        },
        probes={"truncation": truncation, "rewrite_with_key": rewritten, "hidden": hidden},
    )
