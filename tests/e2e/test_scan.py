"""``apostille scan`` as its users have it: files, folders, pipes; three forms; exit codes; nothing is changed.

Spec: product.md, "Commands"; canonical.md sections 1, 4, 8, 9.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest_plugins = ("tests.e2e.cli_kit",)

APOSTILLE = str(Path(sys.executable).with_name("apostille"))
RESIDUE = "format residue 0 bits (optional characters kept in this text); linguistic residue not bounded"
HIDDEN = "pay\U000e0041 4\u200b2\nfine\n  x\u202e y\n"


def scan(home, *words, **options):
    return home.run("scan", *words, **options).clear()


def found(result) -> list[str]:
    """Place and code of what is listed for people."""
    return [line.split(" ")[0] + line.split(" ")[1] for line in result.text.splitlines() if re.match(r"\S+:\d+:\d+: ", line)]


# --- findings


def test_a_text_file(fresh):
    """Path, line, column in characters, code, level, and what clean would do; the sentence about residue."""
    fresh.file("é.txt", HIDDEN.encode())
    result = scan(fresh, "é.txt")
    assert result.code == 1
    assert result.text.splitlines()[:3] == [
        'é.txt:1:4: TAG_DROP hidden: U+E0041 -> removed, spells 1 byte: 41 "A"',
        "é.txt:1:7: ZWSP_DROP warning: U+200B -> removed",
        "é.txt:3:4: BIDI_OVERRIDE hidden: U+202E -> removed",
    ]
    assert "2 hidden, 1 warning found in 1 file" in result.text
    assert result.text.splitlines()[-1] == RESIDUE
    assert not {"\U000e0041", "\u200b", "\u202e"} & set(result.text)
    assert (fresh.work / "é.txt").read_bytes() == HIDDEN.encode()


def test_nothing_is_found(fresh):
    fresh.file("a.txt", "grüße, עברית, می‌خواهم ❤️\n".encode())
    result = scan(fresh, "a.txt")
    assert (result.code, found(result)) == (0, [])
    assert re.search(r"format residue [1-9][0-9]* bits", result.text), "what is kept is counted"


def test_stdin(fresh):
    assert found(scan(fresh, "-", stdin=HIDDEN.encode())) == ["stdin:1:4:TAG_DROP", "stdin:1:7:ZWSP_DROP", "stdin:3:4:BIDI_OVERRIDE"]
    result = scan(fresh, "-", "--json", "--media-type", "application/json", stdin=b'{"a": "\\u200b"}')
    (finding,) = [f for f in result.json["files"][0]["findings"] if f["code"] == "ZWSP_DROP"]
    assert (finding["line"], finding["column"], finding["bytes"], finding["pointer"]) == (1, 8, 6, "/a")


def test_kinds_of_files(fresh):
    """JSON is parsed, Markdown keeps its line breaks, code is only reported on, and so is what has no known ending."""
    fresh.file("a.json", b'{"a":"x\\u200by"}')
    fresh.file("b.md", "a  \nb\u200b\n".encode())
    fresh.file("c.py", "x = '\u200b'\n".encode())
    fresh.file("Makefile", "all:\u200b\n".encode())
    files = {file["file"]: file for file in scan(fresh, "--json").json["files"]}
    assert {name: file["media_type"] for name, file in files.items()} == {
        "a.json": "application/json",
        "b.md": "text/markdown",
        "c.py": "text/x-code",
        "Makefile": "text/x-code",
    }
    acts = {name: [f["act"] for f in file["findings"] if f["code"] == "ZWSP_DROP"] for name, file in files.items()}
    assert acts == {"a.json": ["drop"], "b.md": ["drop"], "c.py": ["report"], "Makefile": ["report"]}
    assert [f["code"] for f in files["b.md"]["findings"]] == ["ZWSP_DROP"]
    assert {file["media_type"] for file in scan(fresh, "--json", "--media-type", "text/plain").json["files"]} == {"text/plain"}


def test_json_that_is_none(fresh):
    """Settings with comments are looked at as code, and it is said that their escapes are not."""
    fresh.file("tsconfig.json", '{"a": 1, // "\u200b"\n}'.encode())
    result = scan(fresh, "tsconfig.json")
    assert (result.code, found(result)) == (1, ["tsconfig.json:1:14:ZWSP_DROP", "tsconfig.json:1:14:CODE_HIDDEN"])
    assert "tsconfig.json: is no JSON" in result.text


def test_json_that_is_refused(fresh):
    fresh.file("a.json", b'{"a":1,"a":2}')
    result = scan(fresh, "a.json")
    assert (result.code, found(result)) == (1, ["a.json:1:9:JSON_DUP_KEY"])


def test_bytes_that_are_not_utf8(fresh):
    """A finding (nothing can be said of the text), not an end of the scan."""
    fresh.file("a.txt", b"one\ncaf\xe9\n")
    fresh.file("b.txt", b"\xff\xfeh\0i\0")
    result = scan(fresh, "a.txt", "b.txt")
    assert (result.code, found(result)) == (1, ["a.txt:2:4:ENC_INVALID", "b.txt:1:1:ENC_INVALID"])


def test_what_stands_before_bytes_that_are_not_utf8(fresh):
    """It is looked at, in every type; white space before the bad byte is no end of a line, and what comes behind is not looked at."""
    hidden = "a\u200b b \u0645\u06cc ".encode() + b"\xff" + "\u200b \n".encode()
    for name, codes in (
        ("a.txt", ["ZWSP_DROP"]),
        ("a.md", ["ZWSP_DROP"]),
        ("a.py", ["ZWSP_DROP", "CODE_HIDDEN"]),
    ):
        fresh.file(name, b"first\n" + hidden)
        result = scan(fresh, "--fail-on", "note", name)
        assert found(result) == [*(f"{name}:2:2:{code}" for code in codes), f"{name}:2:9:ENC_INVALID"]
        assert result.code == 1
    fresh.file("a.json", b'{"a":"x\xe2\x80\x8by\xff"}')
    assert found(scan(fresh, "a.json")) == ["a.json:1:8:ZWSP_DROP", "a.json:1:8:CODE_HIDDEN", "a.json:1:10:ENC_INVALID"]
    fresh.file("long.txt", ("\u0645" * 40_000 + "\u200bx").encode() + b"\xc3")
    assert found(scan(fresh, "long.txt")) == ["long.txt:1:40001:ZWSP_DROP", "long.txt:1:40003:ENC_INVALID"]


def test_a_file_that_is_named_like_stdin(fresh):
    """With its folder it is a file, named or found."""
    fresh.file("-", "a\u200b\n".encode())
    assert found(scan(fresh, "./-")) == ["./-:1:2:ZWSP_DROP", "./-:1:2:CODE_HIDDEN"]
    result = scan(fresh, ".", stdin="b\u202e\n".encode())
    assert found(result) == ["./-:1:2:ZWSP_DROP", "./-:1:2:CODE_HIDDEN"]
    assert fresh.ok("clean", "./-").out == b"a\n"


def test_markers_in_names_are_harmless(fresh):
    """A file name with escapes, turning characters and markup is drawn, never passed on."""
    name = "\x1b]0;x\x07\u202e[red]\n⟦U+200B⟧.txt"
    fresh.file(name, HIDDEN.encode())
    for words in ([], ["--json"], ["--format", "sarif"], [name]):
        result = scan(fresh, *words)
        assert result.code == 1
        assert not {"\x1b", "\x07", "\u202e"} & set(result.text + result.talk)
    assert "⟦U+001B⟧]0;x⟦U+0007⟧⟦U+202E⟧[red] ⟦U+27E6⟧U+200B⟦U+27E7⟧.txt:1:4:" in scan(fresh).text
    os.rename(os.fsencode(fresh.work / name), os.fsencode(fresh.work) + b"/\xff\xfe.txt")
    assert scan(fresh, "--json").json["files"][0]["file"] == "\udcff\udcfe.txt"
    assert scan(fresh, "--format", "sarif").json["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "%FF%FE.txt"


# --- folders


def test_a_folder(fresh):
    """Recursive and sorted; .git, binary files, links and special files are left out, counted, and the reason is said."""
    for name in ("b.txt", "a/z.txt", "a/B.txt", "a.txt", ".git/c.txt", "sub/.git/c.txt"):
        fresh.file(name, HIDDEN.encode())
    fresh.file("image", b"\x89PNG\0\0\xe2\x80\x8b")
    fresh.file("source.py", "x\0 = '\u200b'\n".encode())
    outside = fresh.path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text(HIDDEN)
    (fresh.work / "link").symlink_to(outside)
    (fresh.work / "link.txt").symlink_to(outside / "secret.txt")
    (fresh.work / "loop").symlink_to(".")
    os.mkfifo(fresh.work / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(fresh.work / "socket"))
        result = scan(fresh)
    assert result.code == 1
    files = list(dict.fromkeys(place.split(":")[0] for place in found(result)))
    assert files == ["a.txt", "b.txt", "source.py", "a/B.txt", "a/z.txt"]
    assert "not looked at: .git folders (2), binary (1), links (3), no regular files (2)" in result.text
    assert found(scan(fresh, "link/secret.txt")), "what the user names is opened, through links too"
    assert list(dict.fromkeys(place.split(":")[0] for place in found(scan(fresh, "./a")))) == ["./a/B.txt", "./a/z.txt"]
    assert scan(fresh, "a", "a/z.txt", "a", "--json").json["scanned"] == 2, "each file once"


def test_include_and_exclude(fresh):
    for name in ("a.md", "b.txt", "node_modules/x/c.md", "docs/d.md", "docs/deep/e.md"):
        fresh.file(name, HIDDEN.encode())

    def names(*words):
        return [file["file"] for file in scan(fresh, "--json", *words).json["files"]]

    assert names("--exclude", "node_modules") == ["a.md", "b.txt", "docs/d.md", "docs/deep/e.md"]
    assert names("--include", "*.md", "--exclude", "docs/") == ["a.md", "node_modules/x/c.md"]
    assert names("--exclude", "docs/deep", "--exclude", "node_*") == ["a.md", "b.txt", "docs/d.md"]
    assert names("docs", "--exclude", "deep/e.md") == ["docs/d.md"]
    assert names("a.md", "b.txt", "--exclude", "*.txt") == ["a.md"]
    assert scan(fresh, "--exclude", "*").code == 0
    assert "left out by --include or --exclude (4)" in scan(fresh, "--exclude", "*").text


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything; the next test shows the same with a file that goes away")
def test_a_file_without_permission(fresh):
    fresh.file("a.txt", b"x").chmod(0)
    assert scan(fresh).code == 69


def test_what_can_not_be_read(fresh):
    """It is named, the others are scanned still, and the exit code says it: 2 for no such file, 1 where there are findings too."""
    fresh.file("a.txt", b"fine\n")
    fresh.file("b.txt", HIDDEN.encode())
    missing = scan(fresh, "missing", "a.txt")
    assert missing.code == 2
    assert "error (not-found): missing" in missing.talk
    assert "found in 1 file" in missing.text
    both = scan(fresh, "missing", "b.txt", "--json")
    assert (both.code, both.json["exit"], both.json["scanned"]) == (1, 1, 1)
    assert [(f["file"], f["code"]) for f in both.json["failed"]] == [("missing", "not-found")]
    assert scan(fresh, "n" * 300).code == 2
    memory = scan(fresh, "/proc/self/mem", "b.txt", "--fail-on", "never")
    assert memory.code == 69
    assert "/proc/self/mem: it can't be read" in memory.talk
    assert "b.txt:1:4: TAG_DROP" in memory.text


# --- options


def test_fail_on(fresh):
    """The level decides what is shown to people and what the exit code is; programs get everything."""
    fresh.file("hidden.txt", "\U000e0041\n".encode())
    fresh.file("warning.txt", "\u200b\n".encode())
    fresh.file("note.txt", b"a\r\n")
    fresh.file("error.txt", b"\xff")
    codes = {}
    for level in ("note", "warning", "hidden", "error", "never"):
        codes[level] = [scan(fresh, f"{name}.txt", "--fail-on", level).code for name in ("note", "warning", "hidden", "error")]
    assert codes == {
        "note": [1, 1, 1, 1],
        "warning": [0, 1, 1, 1],
        "hidden": [0, 0, 1, 1],
        "error": [0, 0, 0, 1],
        "never": [0, 0, 0, 0],
    }
    assert found(scan(fresh, "note.txt", "warning.txt")) == ["warning.txt:1:1:ZWSP_DROP"]
    assert "1 below warning not listed" in scan(fresh, "note.txt").text
    assert found(scan(fresh, "note.txt", "--fail-on", "never")) == ["note.txt:1:2:EOL_FORM"]
    assert scan(fresh, "--json", "note.txt", "--fail-on", "hidden").json["files"][0]["findings"][0]["level"] == "note"
    assert scan(fresh, "--fail-on", "sometimes").code == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--media-type", "image/png"], 78),
        (["--profile", "nonsense"], 78),
        (["--format", "xml"], 2),
        (["--output", "/no/such/folder/x"], 69),
        (["--output", "."], 69),
    ],
)
def test_options_that_are_wrong(fresh, words, code):
    fresh.file("a.txt", b"x")
    result = scan(fresh, "a.txt", *words)
    assert result.code == code or (os.geteuid() == 0 and words[1] == "/no/such/folder/x")
    assert result.err or result.code == 0


def test_output(fresh):
    """Every form into a file; the exit code stays."""
    fresh.file("a.txt", HIDDEN.encode())
    for form in ("human", "json", "sarif"):
        printed = scan(fresh, "a.txt", "--format", form)
        written = scan(fresh, "a.txt", "--format", form, "--output", "out")
        assert (written.code, written.out) == (1, b"")
        assert (fresh.work / "out").read_bytes() == printed.out
    assert scan(fresh, "a.txt", "--json").json == scan(fresh, "a.txt", "--format", "json").json
    assert "runs" in scan(fresh, "a.txt", "--json", "--format", "sarif").json


# --- much of it


def test_many_findings_are_cut(fresh):
    """What is printed is bounded and says how much it leaves out; what is counted is not."""
    fresh.file("a.txt", "a\u200b".encode() * 12_000)
    for at in range(12):
        fresh.file(f"many/{at}.txt", "a\u200b\n".encode() * 150)
    result = scan(fresh, "a.txt", "many")
    assert len(found(result)) == 1_000
    assert "a.txt: and 11900 findings more, not listed" in result.text
    assert "13800 warning" in result.text
    whole = scan(fresh, "a.txt", "many", "--json").json
    assert whole["counts"]["warning"] == 13_800
    assert len(whole["files"][0]["findings"]) == 10_002, "the canonicalizer's own limit, with its counters"
    assert sum(len(file["findings"]) for file in whole["files"]) == 10_002 + 1_800


@pytest.mark.slow
def test_large_files_stream(fresh):
    """200 MB, as a file and from stdin, in bounded memory; a finding behind them is placed rightly."""
    line = b"The quick brown fox jumps over the lazy dog. " * 22 + b".\n"
    with (fresh.work / "big.txt").open("wb") as file:
        for _ in range(200):
            file.write(line * 1_000)
        file.write("x\u200b\n".encode())
    for name in ("big.txt", "-"):
        with (fresh.work / "big.txt").open("rb") as stdin:
            process = fresh.popen("scan", name, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        peak = 0
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = max(peak, *map(int, re.findall(r"VmHWM:\s+(\d+) kB", status)), 0)
            time.sleep(0.05)
        out, err = process.communicate()
        assert (process.returncode, err) == (1, b"")
        assert b":200001:2: ZWSP_DROP" in out
        assert 0 < peak < 128 * 1024, f"{peak} KiB"


def test_ctrl_c(fresh):
    """130 and a word, whatever is being read."""
    process = fresh.popen("scan", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b"more than a pipe holds\n" * 20_000)
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"interrupted after 0 of 1 files; nothing is reported\n")


def test_a_reader_that_goes_away(fresh):
    fresh.file("a.txt", "a\u200b\n".encode() * 12_000)
    result = fresh.shell("apostille scan --json a.txt | head -c 20; code=${PIPESTATUS[0]}; echo; echo $code")
    assert result.text.splitlines()[-1] in {"141", "1"}
    assert result.err == b""
    full = fresh.shell("apostille scan a.txt > /dev/full")
    assert (full.code, "can't be written" in full.talk) == (69, True)


def test_progress_on_a_terminal(fresh):
    """A bar on stderr where that is a terminal, and the findings on stdout all the same, for a file as for a terminal."""
    import pty

    fresh.file("a.txt", HIDDEN.encode())
    mine, theirs = pty.openpty()
    with subprocess.Popen(
        [APOSTILLE, "scan"],
        cwd=fresh.work,
        env={**fresh.env, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        out = process.stdout.read()
        seen = b""
        try:
            while piece := os.read(mine, 65_536):
                seen += piece
        except OSError:  # the other end is closed
            pass
        os.close(mine)
    assert process.returncode == 1
    assert b'a.txt:1:4: TAG_DROP hidden: U+E0041 -> removed, spells 1 byte: 41 "A"\n' in out
    assert b"scanning" in seen


# --- SARIF


def sarif_faults(document) -> list[str]:
    """Hold a document against the parts of the SARIF 2.1.0 schema that we use: which members there are, of which kind, in which range."""
    level = {"none", "note", "warning", "error"}
    text = {"text": str}
    artifact = {"uri": str, "uriBaseId": str, "description": text}
    region = dict.fromkeys(("startLine", "startColumn", "endLine", "endColumn"), 1) | {"byteOffset": 0, "byteLength": 0}
    location = {"physicalLocation": {"artifactLocation": artifact, "region": region}}
    rule = {
        "id!": str,
        "shortDescription": {"text!": str},
        "fullDescription": {"text!": str},
        "help": {"text!": str},
        "defaultConfiguration": {"level": level},
        "properties": dict,
    }
    result = {"ruleId": str, "ruleIndex": 0, "level": level, "message!": text, "locations": [location], "properties": dict}
    notice = {"level": level, "message!": text, "locations": [location]}
    shape = {
        "$schema": str,
        "version!": {"2.1.0"},
        "runs!": [
            {
                "tool!": {"driver!": {"name!": str, "version": str, "semanticVersion": str, "rules": [rule]}},
                "columnKind": {"utf16CodeUnits", "unicodeCodePoints"},
                "newlineSequences": [str],
                "originalUriBaseIds": dict,
                "invocations": [{"executionSuccessful!": bool, "exitCode": 0, "toolExecutionNotifications": [notice]}],
                "results": [result],
                "properties": dict,
            }
        ],
    }
    faults: list[str] = []

    def check(value, want, where):
        if isinstance(want, list):
            if not isinstance(value, list):
                faults.append(f"{where} is no list")
                return
            for at, item in enumerate(value):
                check(item, want[0], f"{where}[{at}]")
        elif isinstance(want, dict):
            if not isinstance(value, dict):
                faults.append(f"{where} is no object")
                return
            known = {name.rstrip("!"): kind for name, kind in want.items()}
            faults.extend(f"{where}.{name} is unknown" for name in set(value) - set(known))
            faults.extend(f"{where}.{name} is missing" for name in want if name.endswith("!") and name[:-1] not in value)
            for name in set(value) & set(known):
                check(value[name], known[name], f"{where}.{name}")
        elif isinstance(want, set):
            if value not in want:
                faults.append(f"{where} is {value!r}")
        elif isinstance(want, int) and not isinstance(want, bool):
            if type(value) is not int or value < want:
                faults.append(f"{where} is {value!r}")
        elif not isinstance(value, want):
            faults.append(f"{where} is {value!r}")

    check(document, shape, "$")
    return faults


def official_faults(document) -> list[str]:
    """Hold a document against the official schema, where one is at hand (it is not ours to ship)."""
    schema = os.environ.get("APOSTILLE_SARIF_SCHEMA")
    if not schema:
        return []
    jsonschema = pytest.importorskip("jsonschema", reason="APOSTILLE_SARIF_SCHEMA is set, but there is no jsonschema")
    return [error.message for error in jsonschema.Draft4Validator(json.loads(Path(schema).read_text())).iter_errors(document)]


def test_sarif(fresh):
    """Rules with help, levels, regions in lines, columns and bytes, URIs that are relative and percent-encoded."""
    fresh.file("a b/ü#.txt", HIDDEN.encode())
    fresh.file("c.json", b'{"a":"\\u200b",\n"a":1}')
    fresh.file("bin", b"\0")
    fresh.file("no.json", b"nothing")
    outside = fresh.path / "outside.txt"
    outside.write_text(HIDDEN)
    result = scan(fresh, ".", outside, "-", "missing", "--format", "sarif", stdin=b"a\x08b")
    document = result.json
    assert (sarif_faults(document), official_faults(document)) == ([], [])
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    from apostille.core.canon.findings import SEVERITIES

    assert [rule["id"] for rule in rules] == sorted(SEVERITIES)
    results = run["results"]
    assert all(rules[r["ruleIndex"]]["id"] == r["ruleId"] for r in results)
    by_file = {}
    for r in results:
        place = r["locations"][0]["physicalLocation"]
        by_file.setdefault(place["artifactLocation"]["uri"], []).append((r["ruleId"], r["level"], tuple(place["region"].values())))
    assert set(by_file) == {"a%20b/%C3%BC%23.txt", "c.json", f"file://{outside}", "stdin"}
    assert by_file["a%20b/%C3%BC%23.txt"] == [
        ("TAG_DROP", "error", (1, 4, 1, 5, 3, 4)),
        ("ZWSP_DROP", "warning", (1, 7, 1, 8, 9, 3)),
        ("BIDI_OVERRIDE", "error", (3, 4, 3, 5, 22, 3)),
    ]
    assert ("JSON_DUP_KEY", "error", (2, 2, 2, 3, 16, 1)) in by_file["c.json"]
    (invocation,) = run["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"], result.code) == (False, 1, 1)
    said = "\n".join(notice["message"]["text"] for notice in invocation["toolExecutionNotifications"])
    assert "binary (1)" in said
    assert "missing" in said
    assert "is no JSON" in said
    fine = scan(fresh, "bin", "--format", "sarif")
    assert (sarif_faults(fine.json), fine.json["runs"][0]["results"], fine.code) == ([], [], 0)


def test_the_check_of_sarif_finds_faults(fresh):
    """The check above is worth something: each of these is a fault by the schema."""
    fresh.file("a.txt", HIDDEN.encode())
    good = scan(fresh, "--format", "sarif").json

    def broken(change) -> bool:
        document = json.loads(json.dumps(good))
        change(document["runs"][0])
        return bool(sarif_faults(document))

    assert not sarif_faults(good)
    assert broken(lambda run: run["results"][0].pop("message"))
    assert broken(lambda run: run["results"][0].update(level="hidden"))
    assert broken(lambda run: run["results"][0]["locations"][0]["physicalLocation"]["region"].update(startColumn=0))
    assert broken(lambda run: run["tool"]["driver"]["rules"][0].update(sentence="x"))
    assert broken(lambda run: run["tool"].pop("driver"))
    assert broken(lambda run: run.update(columnKind="bytes"))
