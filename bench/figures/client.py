"""One client process of ``writing.two_processes``: ``python -m figures.client STORE COUNT``."""

from __future__ import annotations

import asyncio
import sys
import time

import apostille
from figures.machine import ANSWER

_IN_FLIGHT = 512


async def _main(path: str, count: int) -> None:
    text = ANSWER.decode()
    async with apostille.open(path) as store, store.run(agent="bench-client") as run:
        await run.output(text)
        print("READY", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        left = iter(range(count))

        async def worker() -> None:
            for _ in left:
                await run.output(text)

        began = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(_IN_FLIGHT)))
        print(time.perf_counter() - began, flush=True)


asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
