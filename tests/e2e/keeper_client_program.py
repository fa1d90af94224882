"""A program with an agent in it: says things through whichever keeper is there, and prints what it was told is committed.

argv: folder, name of the agent, how many outputs, seconds between two.
"""

from __future__ import annotations

import sys
import time

import apostille


def main() -> None:
    folder, agent, count, pause = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    with apostille.open(folder) as store, store.run(agent=agent) as run:
        print("run", run.id, type(store._keeper).__name__, flush=True)
        for number in range(count):
            said = run.output(f"{agent} says {number}")
            print("said", number, said.index, said.receipt_id, flush=True)
            time.sleep(pause)
    print("done", flush=True)


if __name__ == "__main__":
    main()
