"""A program that says things until the disk refuses, prints each only after it was committed, and how it was refused.

    python speaker.py STORE [FILE_SIZE_LIMIT]

One line of JSON an event. With a limit, no file may grow beyond so many bytes (``RLIMIT_FSIZE``).
"""

from __future__ import annotations

import json
import os
import resource
import sys

from apostille import wiring
from apostille.errors import ApostilleError


def tell(**event: object) -> None:
    os.write(1, json.dumps(event).encode() + b"\n")


def main() -> None:
    store = sys.argv[1]
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
    keeper = None
    try:
        keeper = wiring.open_keeper(wiring.store_folder(store), publish_interval_seconds=0.05)
        run = keeper.open_run(agent="speaker")
        for number in range(100_000):
            content = b"%d " % number + b"z" * 3000
            done = run.output(content, content, profile="opaque", media_type="text/plain").committed(30)
            tell(index=done.index, id=done.receipt_id, content=content.decode())
    except ApostilleError as error:
        tell(refused=error.code, says=str(error))
        try:
            if keeper is not None:
                keeper.ready()
                tell(ready=True)
        except ApostilleError as again:
            tell(ready=False, says=str(again))
    finally:
        if keeper is not None:
            try:
                keeper.close()
            except ApostilleError as error:
                tell(at_close=error.code, says=str(error))


if __name__ == "__main__":
    main()
