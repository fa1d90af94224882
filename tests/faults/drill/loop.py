"""Life after life, with all checks after each."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from typing import Any

from tests.faults.drill.place import insist
from tests.faults.drill.promises import Watched
from tests.faults.drill.victims import live
from tests.simulators import openai_upstream as sim

_AUDIT_EVERY = 50


class Echo(sim.OpenAIUpstream):
    """An upstream that says back what it was told, with a number; whole or streamed, and sometimes with hidden characters."""

    count = 0

    async def _answer(self, request: Any) -> Any:
        asked = json.loads(await request.read())
        self.count += 1
        said = f"answer {self.count} to {asked['messages'][-1]['content']}" + (sim.TAGS if self.count % 5 == 0 else "")
        return await self._play(request, sim.stream(said[:7], said[7:]) if asked.get("stream") else sim.text(said))


class Drill(Watched):
    """One store, its processes, and all that was seen from outside."""

    def drill(self, victim: str, kills: int, *, report: Callable[[dict[str, int]], None] | None = None) -> None:
        """Kill so many times, with all checks."""
        self.place.mkdir(parents=True, exist_ok=True)
        with self.disk():
            try:
                self._drill(victim, kills, report)
            finally:
                self.end_all()

    def _drill(self, victim: str, kills: int, report: Callable[[dict[str, int]], None] | None) -> None:
        code, _ = self.cli("init")
        insist(code == 0, "init")
        self.client_key = self.cli("serve", "--add-client", "drill")[1]["key"]
        logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # whoever asked it was killed: no news
        with Echo() as upstream:
            number = 0
            while self.counts.get("kills", 0) < kills:
                number += 1
                kept = live(self, victim, number, upstream.url)
                if self.dice.random() < 0.5 or self.counts.get("ended by a full disk", 0) > number // 2:
                    self.make_room()
                if self.dice.random() < 0.5 and self.has_room():
                    self.recover()  # else the next life is the first that sees what is left
                self.check_answers(self.collect(kept))
                shutil.rmtree(kept)
                if number % _AUDIT_EVERY == 0:
                    self.make_room()
                    self.audit()
                if report is not None:
                    report(self.counts)
        self.make_room()
        self.audit()
