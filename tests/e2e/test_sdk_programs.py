"""Programs that use the SDK as the product page shows it, run by an interpreter of their own.

Spec: product.md, "Python"; trust.md section 4 (a run that is left open is 4); threat 20 (large outputs).
"""

from __future__ import annotations

import sys

import pytest

pytest_plugins = ("tests.e2e.cli_kit",)

BLOCKING = """
from pathlib import Path
import apostille

said_later = []
store = apostille.open()
with store.run(agent="claims-agent", principal="claims-desk@clinic.example") as run:
    page = run.input("<html>pay me</html>", source="web", uri="https://example.org/", label="untrusted")
    said = run.output("The refund is 42 EUR.", media_type="text/markdown", derived_from=[page])
    print(said.text)

    @run.tool
    def refund(order: str, cents: int) -> str:
        return f"{order} {cents}"

    print(refund("A-1", cents=4200))
    Path("answer.md").write_bytes(said.data)
    said.published(timeout=5).write("answer.md.receipt.json")
store.close()
verified = apostille.verify("answer.md.receipt.json", artifact="answer.md")
print(verified.index, verified.strength)
"""
ASYNCHRONOUS = """
import asyncio
from pathlib import Path
import apostille

async def main():
    with apostille.open() as store:
        async with store.run(agent="claims-agent") as run:
            page = await run.input("page", source="web")
            said = await asyncio.gather(*(run.output(f"answer {i}", derived_from=[page]) for i in range(100)))
    print(len({item.index for item in said}))

asyncio.run(main())
"""
CUT_OFF = """
import os
from pathlib import Path
import apostille

store = apostille.open()
run = store.run(agent="cut-off").__enter__()
print(run.output("said before the end").index, flush=True)
os._exit(7)
"""
LARGE = """
import resource
from pathlib import Path
import apostille

text = "The quick brown fox jumps over the lazy dog. Grüße.\\n" * (32 * 2**20 // 52) + "End."
with apostille.open() as store, store.run(agent="large") as run:
    said = run.output(text)
    assert said.text == text
    said.published(30).write("large.receipt.json")
    Path("large").write_bytes(said.data)
print(said.index, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def python(home, program: str):
    home.file("program.py", program.encode())
    return home.shell(f"{sys.executable} -W error program.py")


def test_a_blocking_program(home):
    done = python(home, BLOCKING)
    assert (done.code, done.talk) == (0, "")
    assert done.text.splitlines() == ["The refund is 42 EUR.", "A-1 4200", "11 UNWITNESSED"]
    assert home.run("verify", "answer.md.receipt.json").clear().code == 0
    run = home.ok("--json", "show").json[-1]
    assert (run["agent"], run["statements"], run["outcome"]) == ("claims-agent", 6, "completed")
    assert home.run("verify", run["run"]).clear().code == 0
    assert home.run("verify").clear().code == 0


def test_an_asynchronous_program(home):
    done = python(home, ASYNCHRONOUS)
    assert (done.code, done.text, done.talk) == (0, "100\n", "")
    assert home.ok("--json", "show").json[-1]["statements"] == 103
    assert home.run("verify").clear().code == 0


def test_a_program_that_is_cut_off(home):
    """It ends without a word: what it said is there, its run is named as open, and the next keeper closes it as a crash."""
    done = python(home, CUT_OFF)
    assert done.code == 7
    assert home.ok("--json", "show", done.text.strip()).json[0]["canonical"] == "said before the end"
    result = home.run("--json", "verify").clear()
    assert result.code == 4
    run = home.ok("--json", "show").json[-1]["run"]
    assert f"run {run} is not closed: 2 statements so far" in [f["message"] for f in result.json["failures"]]
    assert home.run("verify", run).clear().code == 4

    home.ok("attest", "answer.txt")
    result = home.run("--json", "verify").clear()
    assert result.code == 0
    assert [(r["run"], r["count"], r["outcome"]) for r in result.json["audit"]["runs"] if r["run"] == run] == [(run, 3, "crash")]
    assert home.run("verify", run).clear().code == 0


@pytest.mark.slow
def test_a_large_answer(home):
    """32 MB of text: taken whole, receipt and all, within memory that does not grow with a copy of it for each step."""
    done = python(home, LARGE)
    assert done.code == 0, done.talk
    megabytes = int(done.text.split()[1])
    assert megabytes < 1000, f"{megabytes} MiB"
    assert home.run("verify", "large.receipt.json").clear().code == 0
