"""What somebody said, named or recorded never acts on the terminal, whatever command prints it.

Spec: product.md, "Commands" (show: hidden characters made visible); trust.md section 3 (threat 25); canonical.md section 4.
"""

from __future__ import annotations

import os
import pty
import subprocess

import pytest

pytest_plugins = ("tests.e2e.cli_kit",)

# Escapes in both forms, a title, a hidden letter, overrides and marks of direction, tags, a forged drawing, markup.
HOSTILE = "\x1b]0;x\x07\x1b[8m\x9b31m\u202eb\u2066\u200f\u061c\u200b\U000e0041\u2028\r⟦U+200B⟧[red]x[/] \ufdd0\x7f\x08"
NEVER = set("\x1b\x07\x9b\u202e\u2066\u200f\u061c\u200b\U000e0041\u2028\r\ufdd0\x7f\x08")


def harmless(result) -> None:
    assert not NEVER & set(result.text + result.talk), (result.text, result.talk)


@pytest.fixture
def spoken(home):
    """A store in which everything that can be named or said is hostile."""
    home.file("said.txt", (HOSTILE + "  \nend\n").encode())
    (made,) = home.ok("--json", "attest", "said.txt", "--agent", HOSTILE, "--principal", HOSTILE).json
    home.made = made
    return home


def test_no_command_lets_it_through(spoken):
    """For people and as JSON, of what is in the store, in a receipt, in names of files, and in errors."""
    index = str(spoken.made["index"])
    odd = spoken.file(HOSTILE.replace("/", "") + ".txt", b"\xff" + HOSTILE.encode())
    receipt = "said.canonical.txt.receipt.json"
    commands = [
        ["show"],
        ["show", index],
        ["show", index, "--whole"],
        ["show", spoken.made["receipt_id"]],
        ["show", HOSTILE],
        ["verify"],
        ["verify", receipt],
        ["verify", receipt, "--artifact", odd.name],
        ["verify", odd.name],
        ["verify", HOSTILE],
        ["audit"],
        ["audit", "--full"],
        ["log", "info"],
        ["log", "fsck"],
        ["log", "proof", HOSTILE],
        ["trust", "list"],
        ["trust", "remove", HOSTILE],
        ["trust", "add", odd.name],
        ["attest", odd.name],
        ["clean", odd.name],
        ["clean", "said.txt", "--json"],
        ["clean", "--in-place", odd.name, "missing" + HOSTILE],
        ["scan", odd.name, "said.txt", "missing" + HOSTILE],
        ["scan", "--include", HOSTILE],
        ["scan", "--media-type", HOSTILE],
        ["--store", HOSTILE, "show"],
        [HOSTILE],
        ["scan", "--" + HOSTILE],
    ]
    for words in commands:
        harmless(spoken.run(*words).clear())


def test_json_on_a_terminal(spoken):
    """A pipe gets the characters themselves; a terminal gets their escapes."""
    index = str(spoken.made["index"])
    assert "\u202e" in spoken.ok("--json", "show", index).text
    mine, theirs = pty.openpty()
    with spoken.popen("--json", "show", index, stdout=theirs, stderr=subprocess.DEVNULL):
        os.close(theirs)
        out = b""
        try:
            while piece := os.read(mine, 65_536):
                out += piece
        except OSError:  # the other end is closed
            pass
    os.close(mine)
    assert b"\\u202e" in out
    assert not {c for c in NEVER - {"\r"} if c.encode() in out}


def test_show_draws_what_was_hidden_and_where(spoken):
    """Raw beside canonical, every hidden character drawn, a forged drawing told apart; each finding with its place."""
    text = spoken.ok("show", str(spoken.made["index"])).text
    raw = next(line for line in text.splitlines() if line.strip().startswith("raw"))
    assert "⟦U+001B⟧]0;x⟦U+0007⟧⟦U+001B⟧[8m⟦U+009B⟧31m⟦U+202E⟧b⟦U+2066⟧⟦U+200F⟧⟦U+061C⟧⟦U+200B⟧⟦U+E0041⟧⟦U+2028⟧⟦U+000D⟧" in raw
    assert "⟦U+27E6⟧U+200B⟦U+27E7⟧[red]x[/] ⟦U+FDD0⟧⟦U+007F⟧⟦U+0008⟧⟦U+0020⟧⟦U+0020⟧" in raw
    assert "    ANSI_SEQ hidden at 1:1: U+001B" in text
    assert "    TAG_DROP hidden at 1:21: U+E0041 -> removed" in text


def test_many_findings_are_cut(home):
    """The list for people is bounded, and says how much it leaves out."""
    home.file("many.txt", "a\u200b".encode() * 150)
    (made,) = home.ok("--json", "attest", "many.txt").json
    text = home.ok("show", str(made["index"])).text
    assert text.count("ZWSP_DROP warning at 1:") == 100
    assert "and 50 findings more; --json lists all" in text
    assert len(home.ok("--json", "show", str(made["index"])).json[0]["findings"]) == 150


def test_findings_are_in_the_receipt(spoken):
    """The receipt commits to the findings and carries their counts; ``verify`` prints them."""
    verified = spoken.run("verify", "said.canonical.txt.receipt.json").clear()
    cleaned = next(line for line in verified.text.splitlines() if "cleaned" in line)
    assert "TAG_DROP 1 (hidden)" in cleaned
    assert "BIDI_OVERRIDE 1 (hidden)" in cleaned
    assert "cleaned    nothing was found" in spoken.ok("verify", "answer.txt.receipt.json").text
    document = spoken.run("--json", "verify", "said.canonical.txt.receipt.json").json
    assert document["receipt"]["attributes"]["changes"]["TAG_DROP"] == 1
    assert document["receipt"]["commits_to_findings"] is True
