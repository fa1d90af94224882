"""A program that says things until it is killed, and prints each only after it was committed."""

from __future__ import annotations

import os
import sys
import threading

from apostille import wiring


def speak(run, number: int) -> None:
    """Say one thing after another; each line is printed in one write, so that it is there whole or not at all."""
    turn = 0
    while True:
        turn += 1
        content = b"thread %d turn %d" % (number, turn)
        done = run.output(content, content, profile="opaque", media_type="text/plain").committed()
        os.write(1, b"%d %s %s %s\n" % (done.index, done.receipt_id.encode(), done.digest.hex().encode(), content.hex().encode()))


def main() -> None:
    """Open the store named in the arguments, and one run in it for four threads."""
    keeper = wiring.open_keeper(wiring.store_folder(sys.argv[1]), publish_interval_seconds=0.02)
    run = keeper.open_run(agent="appender")
    run.opened.committed()
    os.write(1, b"run %s\n" % run.id.encode())
    threads = [threading.Thread(target=speak, args=(run, number), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    threads[0].join()
