"""Bad input for every command that reads something: a documented exit code, a sentence, never a trace, and nothing is lost.

Spec: formats.md section 2 (rules for every parser); trust.md sections 3 (threats 18, 20, 25), 4 (exit codes).
"""

from __future__ import annotations

import json
import os
import shutil

import pytest

pytest_plugins = ("tests.e2e.cli_kit",)

DOCUMENTED = {0, 1, 2, 3, 4, 5, 65, 69, 78}
RECEIPT = "answer.txt.receipt.json"
MIB = 2**20

# Bytes that break something somewhere: (what, bytes)
BAD: dict[str, bytes] = {
    "nothing": b"",
    "one NUL": b"\x00",
    "NULs": bytes(4096),
    "not UTF-8": b"abc\xff\xfe\x80def",
    "overlong UTF-8": b"\xc0\xaf\xe0\x80\x80",
    "CESU surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "UTF-16": "hello".encode("utf-16"),
    "BOM": b"\xef\xbb\xbf{}",
    "lone surrogate": b'{"a":"\\ud800"}',
    "lone surrogate in a key": b'{"\\udc00":1}',
    "duplicate keys": b'{"a":1,"a":2}',
    "NaN": b'{"a":NaN}',
    "Infinity": b"[-Infinity]",
    "huge number": b'{"a":' + b"9" * 5000 + b"}",
    "huge exponent": b'{"a":1e999999}',
    "beyond 2**53": b'{"a":9007199254740993}',
    "deep arrays": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "open string": b'{"a":"' + b'\\"' * 50_000,
    "trailing": b'{"a":1} {"b":2}',
    "NUL in text": b'{"a":"\x00"}',
    "CR only": b"a\rb\r",
    "a long line": b"a" * (2 * MIB),
    "many marks": b"a" + "\u0301".encode() * 100_000,
    "escape sequences": b"\x1b]0;title\x07\x1b[31m",
    "markup": b"[bold red]x[/] [/] [link=http://x]y\\",
    "garbage": bytes(range(256)) * 64,
}


def seen(result) -> None:
    """Documented, said in words, and without a trace."""
    result.clear()
    assert result.code in DOCUMENTED, (result.code, result.talk)
    if result.code not in {0, 1, 3, 4, 65}:
        assert b"error (" in result.err or b"Error: " in result.err


CHUNKS = [list(BAD)[at::6] for at in range(6)]


@pytest.mark.parametrize("names", CHUNKS, ids=", ".join)
def test_content(home, names):
    """As an artifact, as a receipt, as a trust file, as text to clean and to attest, by every way in."""
    for name in names:
        data = BAD[name]
        for file in ("bad.txt", "bad.json", "bad.receipt.json", "plain"):
            home.file(file, data)
        home.file("plain.receipt.json", (home.work / RECEIPT).read_bytes())
        verified = home.run("--json", "verify", "bad.receipt.json", "plain.receipt.json")
        seen(verified)
        assert [item["exit"] for item in verified.json] == [65, 1], name
        assert home.run("verify", RECEIPT, "--trust", "bad.txt").clear().code == 65, name
        seen(home.run("clean", stdin=data))
        seen(home.run("clean", "--media-type", "application/json", "bad.txt", "--json"))
        for file in ("bad.txt", "bad.json"):
            seen(home.run("attest", file))
    seen(home.run("trust", "add", "bad.txt"))
    home.is_sound()


@pytest.mark.parametrize("name", ["nothing", "garbage", "a long line"])
def test_files_of_the_store(home, name):
    """Each file of the store, and of the user's own state, replaced by something else: an error, and back again all is well."""
    data = BAD[name]
    (head,) = home.heads.iterdir()
    places = {
        "apostille.toml": (home.store / "apostille.toml", [78, 65]),
        "units": (home.store / "keys" / "units", [65, 78]),
        "keeper.pem": (home.store / "keys" / "keeper.pem", [78, 65]),
        "log.ed25519": (home.store / "keys" / "log.ed25519", [65]),
        "store.sqlite": (home.store / "store.sqlite", [1, 65]),
        "checkpoint": (home.store / "log" / "checkpoint", [1, 65]),
        "known_logs": (home.known_logs, [0]),
        "head memory": (head, [65]),
    }
    for place, (path, codes) in places.items():
        kept = path.read_bytes()
        path.write_bytes(data)
        seen(home.run("verify"))
        seen(home.run("trust", "list") if path == head else home.run("show"))
        if path == home.known_logs:
            assert home.run("trust", "remove", "x").clear().code in {2, 65}
        result = home.run("attest", "answer.txt")
        seen(result)
        assert result.code in codes, (place, result.code, result.talk)
        path.unlink(missing_ok=True)
        for sidecar in (home.store / "store.sqlite-wal", home.store / "store.sqlite-shm"):
            if place == "store.sqlite":
                sidecar.unlink(missing_ok=True)
        path.write_bytes(kept)
    home.is_sound()


def test_nothing_is_made_that_could_not_be_pinned(fresh):
    """A trust file that can't be read is said before there is a store, so that mending it and trying again is all there is to do."""
    fresh.known_logs.parent.mkdir(parents=True)
    fresh.known_logs.write_bytes(BAD["garbage"])
    assert fresh.run("init").clear().code == 65
    assert not fresh.store.exists()
    fresh.known_logs.unlink()
    fresh.ok("init")
    assert fresh.run("verify").clear().code == 0


def test_folders_where_files_belong(home):
    home.file("folder/x", b"")
    for words in (
        ["attest", "folder"],
        ["clean", "folder"],
        ["verify", RECEIPT, "--artifact", "folder"],
        ["verify", RECEIPT, "--trust", "folder"],
        ["verify", RECEIPT, "--log", "folder"],
        ["verify", "folder"],
        ["trust", "add", "folder"],
        ["log", "proof", "4", "--out", "folder"],
        ["log", "receipt", "4", "--out", "folder"],
        ["log", "export", "--out", "answer.txt"],
        ["clean", "answer.txt", "--findings", "folder"],
        ["attest", "answer.txt", "--out", "answer.txt"],
        ["--store", "folder", "log", "info"],
        ["--store", "answer.txt", "init"],
        ["attest", "/dev/null/x"],
        ["clean", "loop"],
        ["attest", "loop"],
        ["verify", "loop"],
        ["verify", "loop.receipt.json"],
    ):
        for name in ("loop", "loop.receipt.json"):
            if not (home.work / name).is_symlink():
                (home.work / name).symlink_to(name)
        result = home.run(*words)
        seen(result)
        assert result.code != 0, words
    home.is_sound()


def test_folders_in_the_place_of_the_stores_files(home):
    (head,) = home.heads.iterdir()
    for path in (
        home.store / "apostille.toml",
        home.store / "store.sqlite",
        home.store / "keys" / "units",
        home.store / "keys" / "keeper.pem",
        home.store / "keeper.lock",
        home.store / "log" / "checkpoint",
        home.known_logs,
        head,
    ):
        aside = path.with_name("aside")
        shutil.move(path, aside)
        path.mkdir()
        for words in (["attest", "answer.txt"], ["verify"], ["log", "info"]):
            result = home.run(*words)
            seen(result)
        assert home.run("attest", "answer.txt").code != 0 or path == home.known_logs, path
        path.rmdir()
        shutil.move(aside, path)
    home.is_sound()


def test_files_that_may_not_be_read(home, tmp_path_factory):
    """As another user: what he may not read is named, in words."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    home.file("secret.txt", b"secret").chmod(0o600)
    home.file("secret.receipt.json", b"{}").chmod(0o600)
    ours = tmp_path_factory.getbasetemp().parent
    for folder in (home.work, *home.work.parents):
        if folder.is_relative_to(ours):
            folder.chmod(folder.stat().st_mode | 0o055)
    call = "tests.e2e.nobody:main"
    for words, code in (
        (["clean", "secret.txt"], 69),
        (["verify", "secret.receipt.json"], 69),
        (["attest", "secret.txt"], 69),
        (["verify"], 2),
        (["log", "info"], 2),
        (["init", "--store", "mine"], 69),
        (["verify", RECEIPT, "--trust", "secret.txt"], 69),
    ):
        result = home.run(*words, call=call)
        seen(result)
        assert result.code in {code, 2, 69}, (words, result.code, result.talk)
    home.is_sound()


@pytest.mark.parametrize("twentieth", range(20))
def test_a_database_that_is_cut(home, twentieth):
    """At twenty lengths: the store does not verify, no keeper starts on it, and the rest of the machine is as it was."""
    path = home.store / "store.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * twentieth // 20])
    verdict = home.run("--json", "verify")
    seen(verdict)
    assert verdict.code in {1, 65}
    json.loads(verdict.out)
    started = home.run("attest", "answer.txt")
    seen(started)
    assert started.code in {1, 65}
    path.write_bytes(whole)
    if twentieth % 5 == 0:
        assert home.run("verify").clear().code == 0


@pytest.mark.slow
def test_a_large_answer(home):
    """32 MB through ``attest`` and ``clean``: taken whole, and read back byte for byte."""
    line = "The quick brown fox jumps over the lazy dog. Grüße.\n".encode()
    data = line * (32 * MIB // len(line))
    home.file("large.txt", data)
    (made,) = home.ok("--json", "attest", "large.txt").json
    assert home.run("verify", "large.txt.receipt.json").clear().code == 0
    assert home.ok("clean", "large.txt", "--quiet").out == data
    home.ok("log", "receipt", str(made["index"]), "--out", "again.txt")
    assert (home.work / "again.txt").read_bytes() == data


def test_names(home):
    """Names that are long, hidden, or look like something else."""
    long_name = "n" * 255
    home.file(long_name, b"x")
    seen(home.run("attest", long_name))
    for name in ("\u202egnp.exe", "a\nb", "a\x1b[31mb", "\udcff", " ", "~", "$(id)", "[/]", "⟧"):
        home.file(name, b"x")
        made = home.run("attest", name)
        seen(made)
        assert made.code == 0
        assert b"\x1b[31m" not in made.out + made.err
        assert "\u202e".encode() not in made.out + made.err
        assert home.run("verify", f"{name}.receipt.json").clear().code == 0
    home.is_sound()


ODD = ["", "\udcff", "a\nb", "x" * 100_000, "[/]", "\u202e", "\x1b[31m"]


@pytest.mark.parametrize("option", ["--agent", "--principal", "--media-type", "--profile"])
def test_options(home, option):
    for value in ODD if option == "--agent" else ODD[1:4]:
        result = home.run("attest", "answer.txt", option, value)
        seen(result)
        assert b"\x1b[31m" not in result.out + result.err
        if result.code == 0:
            shown = home.run("verify", RECEIPT)
            seen(shown)
            assert shown.code == 0
            assert b"\x1b[31m" not in shown.out
    home.is_sound()


def test_of_several_files_all_are_attested_or_none(home):
    """One that is missing and one that can't be cleaned are both named, the gravest code counts, and no statement was made."""
    before = home.ok("--json", "log", "info").json["committed_size"]
    home.file("a.txt", b"a\n")
    home.file("bad.txt", b"\xff\xfe")
    result = home.run("attest", "a.txt", "missing.txt", "bad.txt", "-", stdin=b"s\n").clear()
    assert result.code == 65
    assert "missing.txt" in result.talk
    assert "bad.txt" in result.talk
    told = home.run("--json", "attest", "a.txt", "missing.txt").clear()
    assert told.code == 2
    assert [item["file"] for item in told.json] == ["missing.txt"]
    assert home.ok("--json", "log", "info").json["committed_size"] == before
    assert not (home.work / "a.txt.receipt.json").exists()
    home.ok("attest", "a.txt", "-", stdin=b"s\n")
    assert (home.work / "stdin").read_bytes() == b"s\n"
    home.ok("attest", "-", "a.txt", stdin=b"")


def test_the_program_that_is_run_has_stdout_for_itself(home):
    """With --json too: its bytes alone on stdout, our document as the last line of stderr, errors included."""
    result = home.run("--json", "run", "--", "echo", "mine").clear()
    assert result.out == b"mine\n"
    assert json.loads(result.talk.splitlines()[-1])["exit"] == result.code
    assert len(result.talk.splitlines()) == 1
    missing = home.run("--json", "run", "--", "./no-such-program").clear()
    assert (missing.code, missing.out) == (2, b"")
    assert json.loads(missing.talk.splitlines()[-1])["code"] == "not-found"
