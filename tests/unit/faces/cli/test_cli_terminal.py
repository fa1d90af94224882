"""What is printed: hidden characters drawn, markup of others taken literally, one JSON document whatever is in it.

Spec: product.md, "Commands" (streams); trust.md section 3 (threat 25).
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apostille.core.canon import canonicalize
from apostille.errors import NotFoundError, StorageUnavailableError
from apostille.faces.cli import terminal as module
from apostille.faces.cli.clean import describe
from apostille.faces.cli.terminal import (
    Terminal,
    ignore_broken_pipes,
    is_file,
    is_folder,
    marked,
    plain,
    read_input,
    visible,
    write_output,
)

DRAWN = [
    ("plain", "plain"),
    ("grüße 文 עברית 😀", "grüße 文 עברית 😀"),
    ("a\nb\tc", "a\nb\tc"),
    ("\x00\x1b[31m\x7f\x85", "⟦U+0000⟧⟦U+001B⟧[31m⟦U+007F⟧⟦U+0085⟧"),
    ("\r", "⟦U+000D⟧"),
    ("\u200b\u200e\u202e\u2066\u2028\ufeff", "⟦U+200B⟧⟦U+200E⟧⟦U+202E⟧⟦U+2066⟧⟦U+2028⟧⟦U+FEFF⟧"),
    ("\U000e0041\U000e01ef\ufe0f\u180e\u3164\u00ad", "⟦U+E0041⟧⟦U+E01EF⟧⟦U+FE0F⟧⟦U+180E⟧⟦U+3164⟧⟦U+00AD⟧"),
    ("\ue000\U0010ffff\ud800", "⟦U+E000⟧⟦U+10FFFF⟧⟦U+D800⟧"),
    ("⟦U+202E⟧", "⟦U+27E6⟧U+202E⟦U+27E7⟧"),
]


@pytest.mark.parametrize(("text", "drawn"), DRAWN)
def test_hidden_characters_are_drawn(text, drawn):
    assert visible(text) == drawn


@given(st.text())
def test_nothing_hidden_is_left(text):
    """Whatever was said: no control, no turned text, no surrogate, and the brackets stand for drawings only."""
    drawn = visible(text)
    drawn.encode("utf-8")
    assert not any(ord(c) < 0x20 and c not in "\n\t" for c in drawn)
    assert not set(drawn) & set("\x7f\u202e\u202d\u2066\u200b\ufeff")
    assert drawn.count("⟦") == drawn.count("⟧")


def printed(text: str) -> str:
    stream = io.StringIO()
    module._print(stream, text)
    return stream.getvalue()


@given(st.text(alphabet=st.sampled_from(list("[]/\\:boldred smile=#@⟦⟧\u202e\x1bx\n"))))
def test_markup_of_others_is_taken_literally(text):
    """Between our own marks, at their edges, with backslashes before them: what is printed is what was said."""
    assert printed(f"[bold]{plain(text, limit=10**6)}[/] end") == visible(text).replace("\n", " ") + " end\n"
    assert printed(marked(text)).removesuffix("\n") == visible(text)


def test_plain_is_short():
    assert plain("x" * 1000) == "x" * 300
    assert plain(b"bytes") == "b'bytes'"
    assert printed(plain(":warning: [red] \\")) == ":warning: [red] \\\n"
    assert printed(":warning: :smile:") == ":warning: :smile:\n"


# --- documents


@pytest.fixture
def stdout(monkeypatch):
    def use(encoding: str = "utf-8") -> io.BytesIO:
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, write_through=True))
        return raw

    return use


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("value", ["plain", "grüße", "\udcff", "\ud83d", "😀", "\u202e", "⟦", "\x00"])
def test_a_document_is_json_in_every_encoding(stdout, encoding, value):
    raw = stdout(encoding)
    Terminal(as_json=True).document({"name": value})
    assert json.loads(raw.getvalue().decode(encoding)) == {"name": value}


def test_without_json_there_is_no_document(stdout):
    raw = stdout()
    Terminal().document({"name": 1})
    assert raw.getvalue() == b""


def test_several_documents_become_one(stdout):
    raw = stdout()
    screen = Terminal(as_json=True)
    with screen.collected():
        screen.document({"a": 1})
        screen.document({"b": 2})
        assert raw.getvalue() == b""
    assert json.loads(raw.getvalue()) == [{"a": 1}, {"b": 2}]
    screen.document({"c": 3})
    assert raw.getvalue().count(b'"c"') == 1


def test_a_fault_while_collecting(stdout):
    """What was collected is dropped: the error's own document is then the only one."""
    raw = stdout()
    screen = Terminal(as_json=True)
    with pytest.raises(ZeroDivisionError), screen.collected():
        screen.document({"a": 1})
        raise ZeroDivisionError
    screen.document({"code": "internal"})
    assert json.loads(raw.getvalue()) == {"code": "internal"}


def test_talk_and_results(capsys):
    Terminal().say("talk")
    Terminal().show("result")
    Terminal(is_quiet=True).say("talk")
    Terminal(is_quiet=True).show("result")
    Terminal(as_json=True).show("result")
    Terminal(is_quiet=True).complain("error")
    Terminal(as_json=True).complain("error")
    out, err = capsys.readouterr()
    assert (out, err) == ("result\nresult\n", "talk\nerror\n")


def test_long_lines_are_not_wrapped(capsys):
    Terminal().show("x" * 500)
    assert capsys.readouterr().out == "x" * 500 + "\n"


def test_progress_is_for_terminals():
    with Terminal().progress("working") as step:
        assert step is None
    with Terminal(is_quiet=True).progress("working") as step:
        assert step is None


def test_progress_on_a_terminal(monkeypatch):
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with Terminal().progress("verifying") as step:
        step(1, 2)
        step(2, 2)
    assert "verifying" in screen.getvalue()


# --- files


def test_reading(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"data")
    assert read_input(str(tmp_path / "file")) == b"data"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\x00")))
    assert read_input("-") == b"\xff\x00"
    for name in ("missing", "file/below", "n" * 300):
        with pytest.raises(NotFoundError):
            read_input(str(tmp_path / name))
    for name in (".", "loop"):
        (tmp_path / "loop").is_symlink() or (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(StorageUnavailableError):
            read_input(str(tmp_path / name))


def test_writing(tmp_path):
    write_output(tmp_path / "a" / "b", b"data")
    assert (tmp_path / "a" / "b").read_bytes() == b"data"
    assert (tmp_path / "a" / "b").stat().st_mode & 0o444 == 0o444
    for path in (tmp_path, tmp_path / "a" / "b" / "c", tmp_path / ("n" * 300), type(tmp_path)("/")):
        with pytest.raises(StorageUnavailableError):
            write_output(path, b"data")


def test_what_is_there(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert (is_file(tmp_path / "file"), is_folder(tmp_path / "file")) == (True, False)
    assert (is_file(tmp_path), is_folder(tmp_path)) == (False, True)
    for name in ("missing", "n" * 300, "file/below", "nul\x00"):
        assert (is_file(tmp_path / name), is_folder(tmp_path / name)) == (False, False)


# --- pipes and findings


def test_broken_pipes():
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        elsewhere = threading.Thread(target=ignore_broken_pipes)  # signals are for the main thread alone
        elsewhere.start()
        elsewhere.join()
        assert signal.getsignal(signal.SIGPIPE) == signal.SIG_DFL
        ignore_broken_pipes()
        assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
        reading, writing = os.pipe()
        os.close(reading)
        with pytest.raises(BrokenPipeError):
            os.write(writing, b"x")
        os.close(writing)
    finally:
        signal.signal(signal.SIGPIPE, before)


def test_findings_in_words():
    lines = describe(canonicalize("a\u202eb".encode()).findings)
    assert lines == ["[red]BIDI_OVERRIDE[/] drop at byte 1: U+202E (1)"]
    many = canonicalize(("\u202ea" * 80).encode()).findings
    if len(many) > 50:
        assert describe(many)[-1] == f"and {len(many) - 50} findings more"


@pytest.mark.parametrize("first", range(0, 0x20000, 0x4000))
def test_whatever_is_dropped_is_drawn(first):
    """No character that the canonicalizer takes out between two letters is one that a terminal would be sent as it is."""
    for point in (*range(first, first + 0x4000), *range(0xE0000, 0xE0200)):
        if 0xD800 <= point < 0xE000 or chr(point) in "\n\t":
            continue
        made = canonicalize(f"a{chr(point)}b")
        if made.bytes == b"ab":
            assert visible(chr(point)) == f"⟦U+{point:04X}⟧" or made.findings[0].code == "MARK_FOREIGN"


def test_white_space_at_line_ends_is_drawn():
    assert printed(marked("a \t\nb c \n d  ", with_tails=True)) == "a⟦U+0020⟧⟦U+0009⟧\nb c⟦U+0020⟧\n d⟦U+0020⟧⟦U+0020⟧\n"
    assert printed(marked("a \n")) == "a \n\n"
    assert visible("a\u00a0b\u2003c\u3000d") == "a⟦U+00A0⟧b⟦U+2003⟧c\u3000d"
