"""The command line as its users have it: every command, its exit codes, its two streams, and what it does in pipes.

Spec: product.md, "Commands"; trust.md section 4 (exit codes and verdicts).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest

from apostille.core import keys, note
from apostille.core.proof import parse_proof
from apostille.storage import openings

pytest_plugins = ("tests.e2e.cli_kit",)

APOSTILLE = str(Path(sys.executable).with_name("apostille"))

COMMANDS = [
    ["init"],
    ["run"],
    ["serve"],
    ["keeper"],
    ["attest"],
    ["verify"],
    ["show"],
    ["clean"],
    ["scan"],
    ["attacks"],
    ["erase"],
    ["backup"],
    ["restore"],
    ["keys"],
    ["keys", "certify-erasure"],
    ["demo"],
    ["log"],
    ["log", "info"],
    ["log", "proof"],
    ["log", "receipt"],
    ["log", "export"],
    ["log", "fsck"],
    ["audit"],
    ["trust"],
    ["trust", "add"],
    ["trust", "list"],
    ["trust", "remove"],
]
RECEIPT = "answer.txt.receipt.json"


def run_of(home) -> str:
    return home.ok("--json", "show").json[0]["run"]


def vkey_of(home) -> str:
    return home.ok("--json", "log", "info").json["vkey"]


# --- help, version, words


def test_every_command_has_help(fresh):
    listed = fresh.ok("--help").text
    for words in COMMANDS:
        text = fresh.ok(*words, "--help").text
        assert "Usage: apostille " + " ".join(words) in text
        assert words[0] in listed
    assert fresh.ok("-h").text == listed


def test_the_list_of_commands_is_complete():
    """A command that is added has to be added to this file too."""
    import importlib

    main = importlib.import_module("apostille.faces.cli.main")
    found = [[c.name or c.callback.__name__] for c in main.app.registered_commands]
    for group in main.app.registered_groups:
        found.append([group.name])
        found += [[group.name, c.name or c.callback.__name__] for c in group.typer_instance.registered_commands]
    assert sorted(found) == sorted(COMMANDS)


def test_version(fresh):
    assert re.fullmatch(r"apostille \d+\.\d+\.\d+\n", fresh.ok("--version").text)


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["verify", "--nonsense"],
        ["log", "proof"],
        ["log", "proof", "x"],
        ["log", "proof", "9" * 5000],
        ["log", "export"],
        ["trust", "add"],
        ["--store"],
        ["clean", "a", "b"],
        [],
        ["log"],
        ["show", "no-such-thing"],
        ["show", "9" * 5000],
        ["show", "10000000"],
        ["show", "ab" * 16],
        ["log", "proof", "10000000"],
        ["log", "receipt", "10000000", "--out", "x"],
        ["log", "receipt", "ab" * 16, "--out", "x"],
        ["log", "receipt", "4", "--out", "/"],
        ["verify", "missing.receipt.json"],
        ["verify", "ab" * 16],
        ["verify", "n" * 300],
        ["verify", ".."],
        ["verify", RECEIPT, "--artifact", "missing"],
        ["verify", RECEIPT, "--trust", "missing"],
        ["verify", RECEIPT, "--log", "missing"],
        ["attest", "missing"],
        ["clean", "missing"],
        ["trust", "add", "missing"],
        ["trust", "add", "n" * 300],
        ["trust", "remove", "missing"],
        ["--store", "missing", "log", "info"],
        ["--store", "answer.txt", "log", "info"],
        ["--store", "missing", "verify"],
        ["--store", "missing", "attest", "answer.txt"],
        ["--store", "missing", "show"],
        ["run", "--", "/no/such/program"],
    ],
    ids=lambda words: " ".join(words)[:60],
)
def test_usage_errors(home, words):
    result = home.run(*words).clear()
    assert result.code == 2
    assert result.err or not words or words == ["log"]


# --- a life: every command once


def test_a_whole_life(fresh):
    """From nothing to a verdict, everything with ``--json``: one document each time, and nothing but it on stdout."""
    made = fresh.ok("--json", "init").json
    assert made["store"] == ".apostille"
    assert made["origin"].startswith("apostille.invalid/")
    assert (fresh.store / "keys" / "root.pem").stat().st_mode & 0o777 == 0o600
    assert fresh.store.stat().st_mode & 0o777 == 0o700
    assert "quorum none" in fresh.known_logs.read_text()
    again = fresh.run("init").clear()
    assert (again.code, "already" in again.talk) == (69, True)

    fresh.file("said.txt", b"hello\n")
    (attested,) = fresh.ok("attest", "said.txt", "--json").json
    assert attested["index"] == 4
    assert attested["changes"] == {}
    names = {path.name for path in fresh.work.iterdir()} - {".apostille"}
    assert names == {"said.txt", "said.txt.receipt.json", "said.txt.sigstore.json", "said.txt.pub.pem"}

    verdict = fresh.ok("verify", "said.txt.receipt.json", "--json").json
    assert (verdict["verdict"], verdict["exit"], verdict["failures"]) == ("VERIFIED, UNWITNESSED", 0, [])
    assert verdict["receipt"]["is_content_compared"]
    assert verdict["receipt"]["attributes"]["agent"] == "command-line"
    assert verdict["not_checked"]
    assert verdict["limits"]

    ran = fresh.run("--json", "run", "--agent", "tester", "--", "sh", "-c", "exit 7").clear()
    assert (ran.code, ran.out, json.loads(ran.talk)["exit"]) == (7, b"", 0)  # stdout is the program's
    (run,) = fresh.ok("--json", "show").json
    assert (run["agent"], run["statements"], run["outcome"]) == ("tester", 2, "errored")
    assert [item["type"] for item in fresh.ok("--json", "show", run["run"]).json] == ["run-open", "run-close"]
    assert fresh.ok("--json", "verify", run["run"]).json["audit"]["runs"][0]["outcome"] == "errored"
    assert fresh.ok("--json", "show", attested["receipt_id"]).json[0]["canonical"] == "hello\n"

    info = fresh.ok("--json", "log", "info").json
    assert info["committed_size"] == info["published_size"] == info["remembered_size"] == 8
    proof = fresh.ok("--json", "log", "proof", "4").json
    assert (proof["index"], proof["size"]) == (4, 8)
    assert fresh.ok("--json", "log", "export", "--out", "exported").json["size"] == 8
    got = fresh.ok("--json", "log", "receipt", "4", "--out", "again.txt").json
    assert (fresh.work / "again.txt").read_bytes() == b"hello\n"
    assert fresh.ok("--json", "verify", got["receipt"]).json["exit"] == 0
    assert fresh.ok("--json", "clean", "said.txt").json["text"] == "hello\n"
    assert len(fresh.ok("--json", "trust", "list").json["logs"]) == 1
    whole = fresh.ok("--json", "verify").json
    assert whole["audit"]["openings"] == {"opened": 8, "sealed": 0, "erased": 0, "missing": 0}


def test_text_for_people(home):
    """Results on stdout, talk on stderr; ``--quiet`` silences the talk and nothing else."""
    loud, quiet = home.ok("verify", RECEIPT), home.ok("verify", RECEIPT, "--quiet")
    assert loud.text.startswith(f"VERIFIED, UNWITNESSED  {RECEIPT}\n")
    assert loud.text == quiet.text
    assert home.ok("trust", "list").text.startswith("log      apostille.invalid/")
    assert home.ok("-q", "show", run_of(home)).err == b""
    assert b"not verified" in home.ok("show", run_of(home)).err
    error = home.run("--quiet", "verify", "missing")
    assert b"error (not-found)" in error.err
    failed = home.run("--json", "verify", "missing")
    assert (failed.json["code"], failed.json["exit"], failed.err) == ("not-found", 2, b"")


@pytest.mark.parametrize(
    "words",
    [
        ["--store", "{}", "log", "info"],
        ["--store={}", "log", "info"],
        ["log", "--store", "{}", "info"],
        ["log", "info", "--store", "{}"],
        ["log", "info", "--store={}"],
    ],
    ids=" ".join,
)
def test_where_the_store_is_named(home, words):
    shutil.move(home.store, home.path / "elsewhere")
    where = str(home.path / "elsewhere")
    assert home.run("log", "info").code == 2
    named = [word.replace("{}", where) for word in words]
    assert home.ok("--json", *named).json["store"] == where
    assert home.ok(*named, "--json").json["store"] == where
    assert home.ok("--json", "log", "info", APOSTILLE_STORE=where).json["store"] == where


# --- the words of ``run``


def echo(*words: str) -> list[str]:
    return ["printf", r"%s\n", *words]


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (["--"], ["a", "--json"]),
        (["--"], ["a", "--", "b"]),
        ([], ["a", "--json", "-q"]),
        ([], ["a", "-q", "--", "--store", "x"]),
        (["--agent", "bob"], ["--json"]),
        (["--agent", "bob", "--"], ["--store", "x"]),
        (["--quiet", "--principal", "desk"], ["--agent", "x"]),
    ],
    ids=str,
)
def test_the_programs_own_words_stay_with_it(home, before, words):
    """What looks like an option of ours behind the program's name is the program's."""
    result = home.run("run", *before, *echo(*words)).clear()
    assert result.code == 0
    assert result.text.splitlines() == words


def test_options_of_run_in_any_order(home):
    for words in (
        ["run", "--agent", "bob", "--json"],
        ["run", "--json", "--agent", "bob", "--"],
        ["--json", "run", "--agent", "bob"],
    ):
        result = home.run(*words, "true").clear()
        assert (result.code, result.out, json.loads(result.talk)["exit"]) == (0, b"", 0)
    assert {row["agent"] for row in home.ok("--json", "show").json} == {"a", "bob"}


def test_run_records_what_it_ran(home):
    home.run("run", "--principal", "desk@clinic.example", "--", "sh", "-c", "kill -9 $$")
    run = home.ok("--json", "show").json[-1]
    opened = home.ok("--json", "show", run["run"]).json[0]["attributes"]
    assert opened["command"] == ["sh", "-c", "kill -9 $$"]
    assert (opened["agent"], opened["on_behalf_of"], opened["principal_source"]) == ("sh", "desk@clinic.example", "command line")


def test_a_program_that_can_not_be_started(home):
    """Exit 2, and the run that was opened for it is closed: nothing stays incomplete for ever."""
    assert home.run("run", "--", "/no/such/program").clear().code == 2
    assert home.ok("--json", "show").json[-1]["outcome"] == "aborted"
    assert home.run("verify").clear().code == 0


def test_words_that_are_no_text(home):
    """A command line is bytes: what is not UTF-8 is passed on as it is and recorded escaped."""
    result = home.run("run", "--", *echo("bad\udcff")).clear()
    assert (result.code, result.out) == (0, b"bad\xff\n")
    run = home.ok("--json", "show").json[-1]["run"]
    assert home.ok("--json", "show", run).json[0]["attributes"]["command"][-1] == "bad\\udcff"
    home.is_sound()


def test_signals_reach_the_program(home):
    script = "trap 'echo got it; exit 3' TERM; echo up; while true; do sleep 0.05; done"
    with home.popen("run", "--", "bash", "-c", script, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b"got it\n"
        assert process.wait(30) == 3
    assert home.ok("--json", "show").json[-1]["outcome"] == "errored"


# --- exit codes of verify


def test_one_receipt(home):
    assert home.ok("verify", RECEIPT).code == 0
    home.file("other.txt", b"something else\n")
    assert home.run("verify", RECEIPT, "--artifact", "other.txt").clear().code == 1
    moved = home.file("elsewhere/x.receipt.json", (home.work / RECEIPT).read_bytes())
    missing = home.run("verify", moved).clear()
    assert (missing.code, "content not compared" in missing.text) == (4, True)
    assert home.ok("verify", moved, "--artifact", "answer.txt").code == 0
    assert home.run("verify", "-", "--artifact", "answer.txt", stdin=(home.work / RECEIPT).read_bytes()).clear().code == 0
    (home.work / "answer.txt").write_bytes(b"The refund is 43 EUR.\n")
    altered = home.run("--json", "verify", RECEIPT).clear()
    assert (altered.code, altered.json["verdict"]) == (1, "NOT VERIFIED")
    assert [f["step"] for f in altered.json["failures"]] == [9]


def test_a_receipt_of_an_unknown_log(home):
    home.ok("trust", "remove", home.ok("--json", "log", "info").json["origin"])
    result = home.run("--json", "verify", RECEIPT).clear()
    assert (result.code, result.json["verdict"]) == (3, "TRUST ANCHOR NOT CONFIRMED")
    assert home.run("verify").clear().code == 3


def test_a_trust_file_of_ones_own(home):
    home.file("mine", home.known_logs.read_bytes())
    home.known_logs.unlink()
    assert home.run("verify", RECEIPT).clear().code == 3
    assert home.run("verify", RECEIPT, "--trust", "mine").clear().code == 0
    home.file("quorum", (home.work / "mine").read_bytes().replace(b"quorum none", b"quorum pq-missing"))
    assert home.run("verify", RECEIPT, "--trust", "quorum").clear().code == 65


def test_a_quorum_that_is_unmet(home):
    stranger = note.VerifierKey("witness.example", note.MLDSA44, keys.MlDsa44Key(bytes(32)).public)
    rows = home.known_logs.read_text().replace("quorum none", f"witness w {note.format_vkey(stranger)}\nquorum w")
    home.file("strict", rows.encode())
    for target in (RECEIPT, ".apostille", run_of(home)):
        result = home.run("verify", target, "--trust", "strict").clear()
        assert (result.code, "QUORUM" in result.text) == (4, True)


@pytest.mark.parametrize("damage", [b"", b"garbage", b"{}", b"\xff\xfe", None])
def test_a_receipt_that_is_damaged(home, damage):
    whole = (home.work / RECEIPT).read_bytes()
    home.file(RECEIPT, whole[:-1] if damage is None else damage)
    result = home.run("--json", "verify", RECEIPT).clear()
    assert (result.code, result.json["verdict"]) == (65, "MALFORMED")


def test_several_targets(home):
    """Each is verified, whatever became of the one before it; the gravest verdict is the exit code; ``--json`` prints one list."""
    home.file("bad.receipt.json", b"garbage")
    home.file("lone.receipt.json", (home.work / RECEIPT).read_bytes())
    home.file("altered.receipt.json", (home.work / RECEIPT).read_bytes())
    home.file("altered", b"other")
    table = [
        ([RECEIPT, "."], 2),
        ([RECEIPT, ".apostille"], 0),
        ([RECEIPT, run_of(home)], 0),
        (["lone.receipt.json", RECEIPT], 4),
        (["lone.receipt.json", "bad.receipt.json", RECEIPT], 65),
        (["bad.receipt.json", "altered.receipt.json", "lone.receipt.json"], 1),
        (["missing", "altered.receipt.json", "missing"], 1),
        (["missing", RECEIPT], 2),
        (["lone.receipt.json", "missing"], 4),
    ]
    for targets, code in table:
        result = home.run("--json", "verify", *targets).clear()
        assert result.code == code, targets
        assert [item["target"].removeprefix("run ") for item in result.json] == targets
        assert code in {item["exit"] for item in result.json}
    text = home.run("--quiet", "verify", "missing", RECEIPT).clear()
    assert "VERIFIED, UNWITNESSED" in text.text
    assert b"error (not-found): missing" in text.err


def test_a_store_is_compared_with_what_is_remembered(home):
    """An old copy of the store put back: exit 1 in verification, and no keeper starts on it."""
    shutil.copytree(home.store, home.path / "backup")
    home.file("more.txt", b"more")
    home.ok("attest", "more.txt")
    shutil.rmtree(home.store)
    shutil.move(home.path / "backup", home.store)
    verdict = home.run("--json", "verify").clear()
    assert verdict.code == 1
    assert any(f["code"] == "HALT_ROLLBACK" for f in verdict.json["failures"])
    refused = home.run("attest", "more.txt").clear()
    assert (refused.code, b"HALT_ROLLBACK" in refused.err) == (1, True)
    compared = home.run("verify", "more.txt.receipt.json", "--log", ".apostille").clear()
    assert compared.code == 1


def test_a_receipt_against_the_log(home):
    home.file("more.txt", b"more")
    home.ok("attest", "more.txt")
    home.ok("log", "export", "--out", "exported")
    for log in (".apostille", "exported/log", ".apostille/log"):
        result = home.ok("--json", "verify", RECEIPT, "--log", log).json
        assert any(step["title"].startswith("the log that is shown continues") for step in result["steps"])
        assert not any("head not compared" in text for text in result["not_checked"])
    tile = next((home.work / "exported/log/tile/0").rglob("*"), None)
    assert tile is not None
    for path in (home.work / "exported/log/tile/0").rglob("*"):
        if path.is_file():
            path.write_bytes(bytes(len(path.read_bytes())))
    assert home.run("verify", RECEIPT, "--log", "exported/log").clear().code == 1


def test_an_altered_row(home):
    with apsw.Connection(str(home.store / "store.sqlite")) as db:
        db.execute("UPDATE leaf SET statement = CAST(replace(statement, 'plain', 'salted') AS BLOB) WHERE idx = 4")
    db.close()
    result = home.run("--json", "verify").clear()
    assert result.code == 1
    assert result.json["failures"][0]["index"] == 4
    assert result.json["failures"][0]["message"].startswith("leaf 4: ")
    assert home.run("verify", run_of(home)).clear().code == 0, "what is wrong elsewhere is not this run's"


def test_openings_that_are_lost(home):
    with apsw.Connection(str(home.store / "store.sqlite")) as db:
        ((sealed,),) = db.execute("SELECT sealed FROM opening WHERE idx = 4").fetchall()
        kept = openings.pack(opening for opening in openings.unpack(sealed) if opening.name != "attributes")
        db.execute("UPDATE opening SET sealed = ? WHERE idx = 4", (kept,))
    db.close()
    assert home.run("verify").clear().code == 1
    assert home.run("show", "4").clear().code == 0
    assert home.ok("log", "receipt", "4", "--out", "x").code == 0
    assert home.run("verify", "x.receipt.json").clear().code == 0


# --- attest


def test_attest_many_kinds_of_files(home):
    """Binary, CRLF, spaces, letters beyond ASCII, no name at all, an empty file, a JSON value, a file that has to be cleaned."""
    files = {
        "binary.bin": bytes(range(256)),
        "crlf.txt": b"one\r\ntwo\r\n",
        "with spaces and ünïcödé 文.txt": "grüße\n".encode(),
        "noextension": b"\x00\xff",
        "empty.txt": b"",
        "value.json": b'{"b": 1, "a": [1.5, "x"]}',
        "hidden.md": "# a\u202eb\n".encode(),
        "-dash.txt": b"dash",
        "[bold red]x[/].txt": b"markup",
        "a:smile:b.txt": b"emoji",
    }
    for name, data in files.items():
        home.file(name, data)
    result = home.ok("--json", "attest", "--", *files)
    assert [item["file"] for item in result.json] == list(files)
    by_file = {item["file"]: item for item in result.json}
    assert by_file["hidden.md"]["changes"] == {"BIDI_OVERRIDE": 1}
    assert (home.work / "hidden.canonical.md").read_bytes() == b"# ab\n"
    assert (home.work / "hidden.md").read_bytes() == files["hidden.md"], "the file that was given was overwritten"
    receipts = [item["receipt"] for item in result.json]
    verified = home.run("--json", "verify", "--", *receipts).clear()
    assert verified.code == 0, [item["failures"] for item in verified.json]
    text = home.ok("verify", "--", "[bold red]x[/].txt.receipt.json", "a:smile:b.txt.receipt.json").text
    assert "[bold red]x[/].txt.receipt.json" in text
    assert "a:smile:b.txt.receipt.json" in text
    for name in ("binary.bin", "noextension", "empty.txt", "-dash.txt"):
        assert "canonical" not in by_file[name]


def test_attest_stdin(home):
    """The output is written beside its receipt; a second one replaces both, so that they belong together."""
    for said in (b"first\n", b"second\n"):
        home.ok("attest", stdin=said)
        assert (home.work / "stdin").read_bytes() == said
        assert home.run("verify", "stdin.receipt.json").clear().code == 0
    home.ok("attest", "-", "--media-type", "application/json", stdin=b'{"b":1,"a":2}')
    assert home.run("verify", "stdin.canonical.receipt.json").code == 0
    assert (home.work / "stdin.canonical").read_bytes() == b'{"a":2,"b":1}'


def test_attest_salted(home):
    """The digest is hidden; receipt and opening let a recipient check with sha256sum."""
    home.file("secret.txt", b"1234567")
    home.ok("attest", "--salted", "secret.txt")
    opening = (home.work / "secret.txt.opening").read_bytes()
    assert opening[32:] == b"1234567"
    digest = home.shell("sha256sum secret.txt.opening").text.split()[0]
    statement = home.ok("--json", "show", "5").json
    assert statement
    plain = home.shell("sha256sum secret.txt").text.split()[0]
    log = home.shell("cat .apostille/store.sqlite*").out
    assert digest.encode() in log
    assert plain.encode() not in log
    assert home.run("verify", "secret.txt.receipt.json").code == 0


def test_attest_into_a_folder(home):
    home.file("a/x.txt", b"one")
    home.file("b/x.txt", b"two")
    home.ok("attest", "a/x.txt", "--out", "out")
    assert sorted(path.name for path in (home.work / "out").iterdir()) == [
        "x.txt",
        "x.txt.pub.pem",
        "x.txt.receipt.json",
        "x.txt.sigstore.json",
    ]
    clash = home.run("attest", "a/x.txt", "b/x.txt", "--out", "out").clear()
    assert clash.code == 78
    home.ok("attest", "b/x.txt", "--out", "out")
    assert (home.work / "out/x.txt").read_bytes() == b"two"
    assert home.run("verify", "out/x.txt.receipt.json").clear().code == 0


def test_attest_on_behalf(home):
    home.ok("attest", "answer.txt", "--agent", "claims \\ [red]agent", "--principal", "desk@clinic.example")
    text = home.ok("verify", RECEIPT).text
    assert "claims \\ [red]agent, on behalf of desk@clinic.example (asserted by the signer)" in text


def test_foreign_tools_agree(home):
    """openssl verifies the signature in the bundle over the PAE with the key beside it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    import base64

    bundle = json.loads((home.work / "answer.txt.sigstore.json").read_bytes())["dsseEnvelope"]
    payload = base64.b64decode(bundle["payload"])
    home.file("pae", b"DSSEv1 28 application/vnd.in-toto+json %d " % len(payload) + payload)
    home.file("sig", base64.b64decode(bundle["signatures"][0]["sig"]))
    done = home.shell("openssl dgst -sha256 -verify answer.txt.pub.pem -signature sig pae")
    assert (done.code, done.text) == (0, "Verified OK\n")


# --- clean


def test_clean(home):
    result = home.ok("clean", "-", stdin="a\u202eb\u2028c\n".encode())
    assert b"\xe2\x80\xae" not in result.out
    assert b"BIDI_OVERRIDE drop at byte 1: U+202E" in result.err
    assert home.ok("clean", "--findings", "found.json", stdin="a\u202eb".encode()).out == b"ab"
    (finding,) = json.loads((home.work / "found.json").read_bytes())
    assert finding["code"] == "BIDI_OVERRIDE"
    assert home.ok("clean", "answer.txt", "--quiet").out == (home.work / "answer.txt").read_bytes()
    assert home.ok("clean", "--media-type", "application/json", stdin=b'{"b":1, "a":2}').out == b'{"a":2,"b":1}'


def test_clean_markdown(home):
    """By the name of the file, or by the option; hosts of images by options; a wrong host says how it is written."""
    text = b"![x](https://img.e.com/x) <!-- y --> [z](http://q.com/?a)\n"
    home.file("said.md", text)
    assert home.ok("clean", "said.md").out == b"x (img.e.com) [z](http://q.com/?a)\n"
    assert home.ok("clean", stdin=text).out == text
    allowed = home.ok("clean", "--media-type", "text/markdown", "--image-host", "*.e.com", "--queries", "drop", stdin=text)
    assert allowed.out == b"![x](https://img.e.com/x) [z](http://q.com/)\n"
    assert b"MD_COMMENT drop" in allowed.err
    wrong = home.run("clean", "said.md", "--image-host", "https://img.e.com")
    assert wrong.code == 78
    assert b"write it as img.example.com" in wrong.err


def test_clean_with_options(home):
    """Options of the text rules; a wrong one says what is allowed."""
    thai = "ไทย\u200bไทย\n".encode()
    assert home.ok("clean", stdin=thai).out == "ไทยไทย\n".encode()
    kept = home.ok("clean", "--option", "sea_zwsp=keep", "--option", "eol=crlf", stdin=thai)
    assert kept.out == "ไทย\u200bไทย\r\n".encode()
    assert b"ZWSP_KEEP keep at byte 9: U+200B (1)" in kept.err
    home.file("icons.txt", "a\ue0a0\ue000\n".encode())
    assert home.run("clean", "--in-place", "icons.txt", "--option", "pua_allow=U+E0A0-U+E0D4").code == 1
    assert (home.work / "icons.txt").read_bytes() == "a\ue0a0\n".encode()
    for words, says in ((["sea_zwsp=yes"], b"sea_zwsp is drop or keep"), (["zwsp=keep"], b"there are: c2pa, chillu"), (["eol"], b"no NAME=VALUE")):
        wrong = home.run("clean", *[part for word in words for part in ("--option", word)], stdin=b"a")
        assert (wrong.code, says in wrong.err) == (78, True)


def test_attest_by_the_options_of_the_store(fresh):
    """The table [text] acts on what is attested, and the signed profile id names it."""
    fresh.ok("init")
    config = fresh.work / ".apostille" / "apostille.toml"
    fresh.file("said.txt", "ไทย\u200bไทย\ue000\n".encode())
    with config.open("a") as settings:
        settings.write('\n[text]\nsea_zwsp = "keep"\n')
    (made,) = fresh.ok("--json", "attest", "said.txt").json
    assert (fresh.work / "said.canonical.txt").read_bytes() == "ไทย\u200bไทย\n".encode()
    assert re.search(" tables=[0-9a-f]{64} policy=[0-9a-f]{64}$", made["profile"])
    fresh.ok("verify", "said.canonical.txt.receipt.json")
    config.write_text(config.read_text().replace('"keep"', '"yes"'))
    wrong = fresh.run("attest", "said.txt")
    assert (wrong.code, b"[text]: sea_zwsp is drop or keep" in wrong.err) == (78, True)


def test_attest_markdown_by_the_policy_of_the_store(fresh):
    """The table [links] acts on what is attested, and the signed profile id names it."""
    fresh.ok("init")
    config = fresh.work / ".apostille" / "apostille.toml"
    fresh.file("said.md", b"![x](https://e.com/x) ![y](https://f.com/y)\n")
    with config.open("a") as settings:
        settings.write('\n[links]\nimage_hosts = ["e.com"]\n')
    (made,) = fresh.ok("--json", "attest", "said.md").json
    assert (fresh.work / "said.canonical.md").read_bytes() == b"![x](https://e.com/x) y (f.com)\n"
    assert re.search(" markdown=4[.]3[.][0-9]+ policy=[0-9a-f]{64}$", made["profile"])
    fresh.ok("verify", "said.canonical.md.receipt.json")
    config.write_text(config.read_text().replace('"e.com"', '"E.com"'))
    assert fresh.run("attest", "said.md").code == 78
    assert fresh.run("run", "--", sys.executable, "-c", "").code == 78, "the gateway uses it too"


@pytest.mark.slow
def test_clean_streams(home):
    """50 MB through a pipe in bounded memory: what goes in comes out while it comes in."""
    line = b"The quick brown fox jumps over the lazy dog. " * 22 + b".\n"
    script = f"import sys\nfor _ in range(50_000): sys.stdout.buffer.write({line!r})"
    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    cleaner = home.popen("clean", stdin=writer.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    writer.stdout.close()
    size = peak = 0
    while chunk := cleaner.stdout.read(1 << 20):
        size += len(chunk)
        status = Path(f"/proc/{cleaner.pid}/status").read_text()
        peak = max(peak, *map(int, re.findall(r"VmHWM:\s+(\d+) kB", status)), 0)
    cleaner.stdout.close()
    cleaner.stderr.close()
    assert (cleaner.wait(30), writer.wait(30), size) == (0, 0, 50_000 * len(line))
    assert 0 < peak < 128 * 1024, f"{peak} KiB"


# --- the log and whom one trusts


def test_log_proof(home):
    text = home.ok("log", "proof", "4").text
    assert parse_proof(text.encode()).index == 4
    home.ok("log", "proof", "4", "--out", "a/b.tlog-proof")
    assert (home.work / "a/b.tlog-proof").read_text() == text
    assert home.ok("--json", "log", "proof", "4").json["proof"] == text


def test_log_export(home):
    """What others need, and no content: the statements of all leaves, tiles, the key to pin."""
    home.ok("log", "export", "--out", "exported")
    size = home.ok("--json", "log", "info").json["committed_size"]
    assert len(list((home.work / "exported/statements").rglob("*.json"))) == size
    assert (home.work / "exported/log/checkpoint").read_bytes() == (home.store / "log/checkpoint").read_bytes()
    assert (home.work / "exported/vkey").read_text().strip() == vkey_of(home)
    json.loads((home.work / "exported/trusted_root.json").read_bytes())
    for path in (home.work / "exported").rglob("*"):
        assert not path.is_file() or b"refund" not in path.read_bytes()
    home.ok("trust", "remove", vkey_of(home).split("+")[0])
    assert home.run("log", "export", "--out", "again").clear().code == 2


def test_trust(home, tmp_path):
    """Pinned by a key that came another way; a receipt then verifies on a machine that never saw the store."""
    vkey, other = vkey_of(home), home.path / "other"
    shutil.copytree(home.work, other / "work", ignore=shutil.ignore_patterns(".apostille"))
    friend = type(home)(other, home.zygote)
    assert friend.run("verify", RECEIPT).clear().code == 3
    assert "No log is trusted yet" in friend.ok("trust", "list").talk
    added = friend.ok("trust", "add", vkey)
    assert vkey in added.text
    assert "Compare the key" in added.talk
    assert friend.ok("--json", "trust", "add", vkey).json["added"] == []
    assert friend.ok("verify", RECEIPT).code == 0
    friend.ok("trust", "remove", vkey.split("+")[0])
    assert friend.run("verify", RECEIPT).clear().code == 3
    friend.file("trust-file", home.known_logs.read_bytes())
    assert len(friend.ok("--json", "trust", "add", "trust-file").json["added"]) == 2
    assert friend.ok("verify", RECEIPT).code == 0
    assert friend.run("trust", "add", vkey[:-8] + "AAAAAAA=").clear().code == 2
    pq = home.known_logs.read_text().split("witness ")[1].split()[1]
    assert friend.run("trust", "add", pq).clear().code == 65


# --- the environment breaks


def test_a_locked_store(home):
    """One keeper at a time, which others use and read beside; when its parent is killed it ends, and the next one starts."""
    with home.popen("run", "--", "sh", "-c", "echo up; sleep 60", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as holder:
        assert holder.stdout.readline() == b"up\n"
        keeper = int((home.store / "keeper.lock").read_text())
        assert keeper != holder.pid, "the process with the gateway has no log key"
        refused = home.run("keeper").clear()
        assert refused.code == 69
        assert f"process {keeper}) owns this store" in refused.talk
        assert home.run("--json", "keeper").json["code"] == "storage-unavailable"
        home.ok("attest", "answer.txt")
        for words in (["log", "info"], ["show"], ["verify", RECEIPT], ["log", "proof", "4"]):
            home.ok(*words)
        assert home.run("verify").clear().code == 4
        holder.kill()
        holder.wait(30)
    home.ok("attest", "answer.txt")
    assert {run["outcome"] for run in home.ok("--json", "verify").json["audit"]["runs"]} == {"completed", "crash"}


def test_an_internal_fault(home):
    """A bug never looks like a verdict: 70, one sentence, and the trace only where it is asked for."""
    home.file(
        "broken/sitecustomize.py",
        b"from apostille.core import receipt\n"
        b"def planted(data): raise ZeroDivisionError('planted')\n"
        b"receipt.parse_receipt = planted\n",
    )
    path = os.pathsep.join([str(home.work / "broken"), os.environ.get("PYTHONPATH", "")])
    done = home.shell(f"apostille --json verify {RECEIPT}", PYTHONPATH=path)
    assert (done.code, done.json["code"], done.json["exit"]) == (70, "internal", 70)
    assert "planted" not in done.json["message"]
    assert done.err == b""
    done = home.shell(f"apostille verify {RECEIPT}", PYTHONPATH=path, APOSTILLE_DEBUG="1")
    assert (done.code, b"ZeroDivisionError: planted" in done.err) == (70, True)
    assert b"internal fault; it says nothing about the evidence" in done.err


def test_a_configuration_that_can_not_work(home):
    config = home.store / "apostille.toml"
    sound = config.read_text()
    broken = [
        "not toml [",
        'format = 2\norigin = "x"\n',
        "format = 1\n",
        sound.replace("origin = ", "origin = 1 #"),
        "a = " + "[" * 5000,
        "\udcff",
    ]
    for text in broken:
        config.write_bytes(text.encode("utf-8", "surrogateescape"))
        for words in (["log", "info"], ["verify"], ["attest", "answer.txt"]):
            assert home.run(*words).clear().code == 78, text[:20]
    config.write_text(sound.replace("apostille.invalid", "other.invalid"))
    assert home.run("attest", "answer.txt").clear().code in {1, 78}
    config.write_text(sound)
    for name in ("keeper.pem", "log.ed25519", "log.mldsa44"):
        key = home.store / "keys" / name
        kept = key.read_bytes()
        key.unlink()
        assert home.run("attest", "answer.txt").clear().code == 78, name
        key.write_bytes(b"garbage\n")
        assert home.run("attest", "answer.txt").clear().code in {65, 78}, name
        key.write_bytes(kept)
    home.ok("attest", "answer.txt")
    for text in ("gateway = 1\n", "clients = []\n", "[gateway]\nnonsense = 'x'\n", "[gateway]\nlisten = 5\n", "[other]\n"):
        config.write_text(sound + text)
        assert home.run("serve").clear().code == 78, text
    config.write_text(sound)
    assert home.run("init", "--store", "new", "--origin", "a b").clear().code == 78
    assert home.run("init", "--store", "new", "--origin", "a\x01b").clear().code == 78
    assert home.run("init", "--store", "new", "--origin", 'a"b').clear().code == 78
    assert not (home.work / "new").exists()
    home.is_sound()


# --- pipes and streams, with the installed program


def test_in_a_pipe(home):
    done = home.shell(f"apostille verify {RECEIPT} | head -1; exit ${{PIPESTATUS[0]}}")
    assert done.text.startswith("VERIFIED, UNWITNESSED")
    assert done.code in {0, 128 + signal.SIGPIPE}
    assert done.err == b""
    done = home.shell("yes | apostille clean | head -1")
    assert (done.code, done.out, done.err) == (0, b"y\n", b"")
    done = home.shell(f"apostille attest < answer.txt > /dev/null && apostille verify {RECEIPT} < /dev/null | cat | wc -l")
    assert (done.code, int(done.out) > 10) == (0, True)


@pytest.mark.parametrize("where", [">&-", "> /dev/full"])
def test_a_verdict_that_nobody_can_read_is_none(home, where):
    """Where stdout can't be written the exit code is neither "verified" nor Python's own 1, which would read as "altered"."""
    home.file("altered.txt", b"altered")
    expected = 0 if where == ">&-" else 69
    for words in (f"verify {RECEIPT}", f"--json verify {RECEIPT}")[: 1 if where == ">&-" else 2]:
        done = home.shell(f"apostille {words} {where}")
        assert done.code == expected, done.talk
    assert b"Traceback" not in done.err
    assert b"Exception ignored" not in done.err


def test_closed_streams(home):
    done = home.shell("apostille clean <&- && apostille attest - <&- 2>&- && apostille clean answer.txt 2>&-")
    assert done.code == 0, done.talk
    assert b"Traceback" not in done.err


def test_names_and_streams_that_are_no_text(home):
    """A name of bytes that are not UTF-8, and a terminal that can't show what is said: escaped, never an internal fault."""
    home.file(os.fsdecode(b"bad\xffname.txt"), "⟦€⟧".encode())
    done = home.shell(r"apostille --json attest $'bad\xffname.txt'", PYTHONIOENCODING="utf-8:strict")
    assert (done.code, done.json[0]["file"]) == (0, os.fsdecode(b"bad\xffname.txt"))
    index = done.json[0]["index"]
    shown = home.shell(f"apostille show {index}", PYTHONIOENCODING="ascii")
    assert (shown.code, shown.err.count(b"internal")) == (0, 0)
    assert r"\u27e6U+27E6\u27e7\u20ac" in shown.out.decode("ascii")
    assert home.shell(f"apostille --json show {index}", PYTHONIOENCODING="ascii").json[0]["canonical"] == "⟦€⟧"
    assert home.shell(r"apostille attest answer.txt --agent $'\xff'").code == 65
    home.is_sound()


def test_interrupted(home):
    with home.popen("clean", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(b"x" * 100_000)
        process.stdin.flush()
        assert process.stdout.read(1000)
        process.send_signal(signal.SIGINT)
        process.wait(30)
        assert process.returncode == 130
        assert b"Traceback" not in process.stderr.read()


def test_hidden_characters_are_drawn(home):
    """What somebody said can't act on the terminal: no escape sequence, no turned text, no forged drawing, no emoji made of words."""
    said = "a\x1b[31mred\x1b[0m \u202eb \U000e0041 ⟦U+202E⟧ ⟧ :warning: [bold]x[/] \\"
    home.file("odd.txt", said.encode())
    (made,) = home.ok("--json", "attest", "--profile", "report", "odd.txt").json
    text = home.ok("show", str(made["index"])).text
    for hidden in ("\x1b", "\u202e", "\U000e0041"):
        assert hidden not in text
    for drawn in ("⟦U+001B⟧[31mred", "⟦U+202E⟧b", "⟦U+E0041⟧", "⟦U+27E6⟧U+202E⟦U+27E7⟧", ":warning:", "[bold]x[/]"):
        assert drawn in text, drawn


# --- completion


def test_shell_completion(fresh):
    """The script that typer makes, and what it asks of us afterwards: words on stdout and exit 0."""
    shown = fresh.shell("apostille --show-completion bash")
    assert shown.code == 0, shown.talk
    assert "_APOSTILLE_COMPLETE" in shown.text
    words = {"_APOSTILLE_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    done = fresh.shell("apostille", COMP_WORDS="apostille ver", **words)
    assert (done.code, done.text.split()) == (0, ["verify"])
    done = fresh.shell("apostille", COMP_WORDS="apostille --json tr", **(words | {"COMP_CWORD": "2"}))
    assert (done.code, done.text.split()) == (0, ["trust"])
    done = fresh.shell("apostille", COMP_WORDS="apostille trust ", **(words | {"COMP_CWORD": "2"}))
    assert set(done.text.split()) == {"add", "list", "remove"}


def test_the_installed_program_is_the_one_tested():
    done = subprocess.run([APOSTILLE, "--version"], capture_output=True, check=False)
    assert (done.returncode, done.stdout[:10]) == (0, b"apostille ")
    began = time.monotonic()
    subprocess.run([APOSTILLE, "--version"], capture_output=True, check=False)
    assert time.monotonic() - began < 5
