"""Go's checksum database code and @noble/post-quantum accept the sample logs and refuse them after one change.

formats.md sections 5 to 7 and 13: entry bundles, tiles and checkpoint lines 0x01 (golang.org/x/mod), lines 0x06
(noble). The changes prove that an acceptance means something: a harness that ran no check would accept them too. Each
is refused for the reason expected.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from foreign import ForeignRejection, check_log, sha256sum, verify_mldsa
from interop_samples import change_line, flip, flip_base64, join_note, note_lines, read, vector, vkey
from plain_log import LogKey, checkpoint_text, write_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.interop

LOG_FOLDERS = {"sample-4": "sample-4/log", "sample-700": "sample-700/log", "tessera-log": "tessera-log"}


# --- the log: golang.org/x/mod ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "size", "tiles", "inclusion"), [("sample-4", 4, 1, 2), ("sample-700", 700, 4, 4), ("tessera-log", 15, 1, 2)]
)
def test_sample_log_is_accepted(log: str, size: int, tiles: int, inclusion: int) -> None:
    result = check_log(vector(LOG_FOLDERS[log]), vkey(log, "log-ed"))
    text, _ = note_lines(read(f"{LOG_FOLDERS[log]}/checkpoint"))
    assert text == f"{result['origin']}\n{size}\n{result['root']}\n"
    assert (result["checked"], result["tiles"], result["inclusion"]) == (size, tiles, inclusion)


@pytest.mark.parametrize("size", range(1, 16))
def test_each_size_of_a_foreign_log_is_accepted_with_all_older_ones(size: int, tmp_path: Path) -> None:
    folder = _copy_log("tessera-log", tmp_path)
    shutil.copyfile(folder / f"checkpoint.{size}", folder / "checkpoint")
    older = [folder / f"checkpoint.{n}" for n in range(1, size)]
    result = check_log(folder, vkey("tessera-log", "log-ed"), *older)
    assert (result["size"], result["checked"]) == (size, size)


def test_a_foreign_empty_log_is_accepted(tmp_path: Path) -> None:
    shutil.copyfile(vector("tessera-log/checkpoint.0"), tmp_path / "checkpoint")
    assert check_log(tmp_path, vkey("tessera-log", "log-ed"))["checked"] == 0


def test_sample_log_extends_its_older_checkpoint() -> None:
    older = vector("sample-4/checkpoint.2")
    alone = check_log(vector("sample-4/log"), vkey("sample-4", "log-ed"))
    result = check_log(vector("sample-4/log"), vkey("sample-4", "log-ed"), older)
    assert result["consistency"] == alone["consistency"] + 1


_LOG_CHANGES: list[tuple[str, str, str, Callable[[bytes], bytes] | None, str]] = [
    # log, file, why, change (None deletes the file), what the tool says
    ("sample-4", "tile/entries/000.p/4", "bit in the first entry", lambda b: flip(b, 100), "entry 0 does not have"),
    ("sample-4", "tile/entries/000.p/4", "bit in the last entry", lambda b: flip(b, -10), "entry 3 does not have"),
    ("sample-4", "tile/entries/000.p/4", "shorter first entry", lambda b: flip(b, 1), "ends inside entry 1"),
    ("sample-4", "tile/entries/000.p/4", "endless first entry", lambda b: flip(b, 0, 0x80), "ends inside entry 0"),
    ("sample-4", "tile/entries/000.p/4", "byte after the last entry", lambda b: b + b"\0", "after its last entry"),
    ("sample-4", "tile/entries/000.p/4", "last byte lost", lambda b: b[:-1], "ends inside entry 3"),
    ("sample-4", "tile/entries/000.p/4", "emptied", lambda b: b"", "ends after 0 of 4"),
    ("sample-4", "tile/entries/000.p/4", "deleted", None, "no such file"),
    ("sample-4", "tile/0/000.p/4", "bit in the first hash", lambda b: flip(b, 0), "inconsistent tile"),
    ("sample-4", "tile/0/000.p/4", "bit in the last hash", lambda b: flip(b, -1), "inconsistent tile"),
    ("sample-4", "tile/0/000.p/4", "hash too many", lambda b: b + bytes(32), "160 bytes, not 128"),
    ("sample-4", "tile/0/000.p/4", "last byte lost", lambda b: b[:-1], "127 bytes, not 128"),
    ("sample-4", "tile/0/000.p/4", "deleted", None, "no such file"),
    ("sample-4", "checkpoint", "size", lambda b: b.replace(b"\n4\n", b"\n3\n"), "invalid signature for key"),
    ("sample-4", "checkpoint", "root", lambda b: b.replace(b"\nUIku", b"\nUIkv"), "invalid signature for key"),
    ("sample-4", "checkpoint", "origin", lambda b: b.replace(b"agents\n4", b"agentz\n4"), "invalid signature for key"),
    ("sample-4", "checkpoint", "no final LF", lambda b: b[:-1], "malformed note"),
    ("sample-4", "checkpoint", "no blank line", lambda b: b.replace(b"\n\n", b"\n"), "malformed note"),
    ("sample-4", "checkpoint", "deleted", None, "no such file"),
    ("sample-700", "tile/entries/000", "bit in a full bundle", lambda b: flip(b, 2), "entry 0 does not have"),
    ("sample-700", "tile/entries/001", "bit in a full bundle", lambda b: flip(b, -1), "entry 511 does not have"),
    ("sample-700", "tile/entries/002.p/188", "bit in the last", lambda b: flip(b, -1), "entry 699 does not have"),
    ("sample-700", "tile/entries/001", "deleted", None, "no such file"),
    # Not "inconsistent tile": x/mod before 0.40.0 does not authenticate these two (GO-2026-6179); checklog does.
    ("sample-700", "tile/0/000", "bit in a full tile", lambda b: flip(b, 4000), "entry 125 does not have"),
    ("sample-700", "tile/0/001", "hashes swapped", lambda b: b[32:64] + b[:32] + b[64:], "entry 256 does not have"),
    ("sample-700", "tile/0/001", "deleted", None, "no such file"),
    ("sample-700", "tile/0/002.p/188", "bit in the last tile", lambda b: flip(b, 0), "inconsistent tile"),
    ("sample-700", "tile/1/000.p/2", "bit one level up", lambda b: flip(b, 40), "inconsistent tile"),
    ("sample-700", "tile/1/000.p/2", "deleted", None, "no such file"),
]


@pytest.mark.parametrize(
    ("log", "name", "change", "says"),
    [pytest.param(log, name, change, says, id=f"{log}: {name}: {why}") for log, name, why, change, says in _LOG_CHANGES],
)
def test_changed_log_is_refused(log: str, name: str, change: Callable[[bytes], bytes] | None, says: str, tmp_path: Path) -> None:
    folder = _copy_log(log, tmp_path)
    path = folder / name
    if change is None:
        path.unlink()
    else:
        before = path.read_bytes()
        path.write_bytes(change(before))
        assert path.read_bytes() != before
    with pytest.raises(ForeignRejection, match=says):
        check_log(folder, vkey(log, "log-ed"))


def test_swapped_entries_are_refused(tmp_path: Path) -> None:
    folder = _copy_log("tessera-log", tmp_path)
    path = folder / "tile" / "entries" / "000.p" / "15"
    one_two = b"\x00\x03one\x00\x03two"
    assert path.read_bytes().startswith(one_two)
    path.write_bytes(b"\x00\x03two\x00\x03one" + path.read_bytes()[len(one_two) :])
    with pytest.raises(ForeignRejection, match="entry 0 does not have"):
        check_log(folder, vkey("tessera-log", "log-ed"))


@pytest.mark.parametrize(
    ("why", "change", "says"),
    [
        ("bit in the signature", lambda raw: flip(raw, -1), "invalid signature for key"),
        ("bit in the key ID", lambda raw: flip(raw, 0), "no verifiable signatures"),
        ("short signature", lambda raw: raw[:-1], "invalid signature for key"),
    ],
)
def test_changed_log_line_is_refused(why: str, change: Callable[[bytes], bytes], says: str, tmp_path: Path) -> None:
    folder = _copy_log("sample-4", tmp_path)
    key = vkey("sample-4", "log-ed")
    path = folder / "checkpoint"
    path.write_bytes(change_line(path.read_bytes(), key, change))
    with pytest.raises(ForeignRejection, match=says):
        check_log(folder, key)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (vkey_text, says)
        for vkey_text, says in [
            ("log.example.com/agents", "malformed verifier id"),
            ("log.example.com/agents+30936a74+Acpe1MraMjJQfr+fi2U7AqWrZxLpDeyTiOgVCqlRK4ZN", "invalid verifier hash"),
            (LogKey("log.example.com/agents").vkey, "no verifiable signatures"),
        ]
    ],
)
def test_wrong_log_key_is_refused(key: str, says: str) -> None:
    with pytest.raises(ForeignRejection, match=says):
        check_log(vector("sample-4/log"), key)


def test_mldsa_log_key_is_not_for_this_tool() -> None:
    with pytest.raises(ForeignRejection, match="unknown verifier algorithm"):
        check_log(vector("sample-4/log"), vkey("sample-4", "log-pq"))


def test_older_checkpoint_of_another_history_is_refused(tmp_path: Path) -> None:
    key = LogKey("plain.example/log")
    write_log(tmp_path / "ours", [b"one", b"two", b"three"], key)
    write_log(tmp_path / "theirs", [b"one", b"2"], key)
    with pytest.raises(ForeignRejection, match="consistency from size 2"):
        check_log(tmp_path / "ours", key.vkey, tmp_path / "theirs" / "checkpoint")
    with pytest.raises(ForeignRejection, match="no proof from size 3 to size 2"):
        check_log(tmp_path / "theirs", key.vkey, tmp_path / "ours" / "checkpoint")


@pytest.mark.parametrize(
    ("why", "change", "says"),
    [
        ("leading zero", lambda text: text.replace("\n3\n", "\n03\n"), "not a tree size"),
        ("sign", lambda text: text.replace("\n3\n", "\n+3\n"), "not a tree size"),
        ("negative", lambda text: text.replace("\n3\n", "\n-3\n"), "not a tree size"),
        ("over 63 bits", lambda text: text.replace("\n3\n", "\n9223372036854775808\n"), "not a tree size"),
        ("extension line", lambda text: text + "more\n", "not three lines"),
        ("two lines", lambda text: text.rsplit("\n", 2)[0] + "\n", "not three lines"),
        ("short root", lambda text: text.rsplit("\n", 2)[0] + "\nAAAA\n", "not a root hash"),
        ("spare bits in the root", lambda text: text[:-3] + chr(ord(text[-3]) + 1) + "=\n", "not a root hash"),
        ("origin of another log", lambda text: text.replace("/log\n", "/lag\n"), "but the key is of"),
        ("root of nothing", lambda _: checkpoint_text("plain.example/log", 3, bytes(32)), "inconsistent tile"),
        ("smaller size", lambda text: text.replace("\n3\n", "\n2\n"), "no such file"),
        ("larger size", lambda text: text.replace("\n3\n", "\n4\n"), "no such file"),
        ("size 0 with a root", lambda text: text.replace("\n3\n", "\n0\n"), "root of size 0"),
    ],
)
def test_signed_but_wrong_checkpoint_is_refused(why: str, change: Callable[[str], str], says: str, tmp_path: Path) -> None:
    key = LogKey("plain.example/log")
    write_log(tmp_path, [b"one", b"two", b"three"], key)
    assert check_log(tmp_path, key.vkey)["checked"] == 3
    text, _ = note_lines((tmp_path / "checkpoint").read_bytes())
    assert change(text) != text
    (tmp_path / "checkpoint").write_bytes(key.sign(change(text)))
    with pytest.raises(ForeignRejection, match=says):
        check_log(tmp_path, key.vkey)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 513, 1027])
def test_sizes_at_tile_borders_are_accepted(size: int, tmp_path: Path) -> None:
    key = LogKey("plain.example/log")
    write_log(tmp_path, [b"entry %d" % i for i in range(size)], key)
    assert check_log(tmp_path, key.vkey)["checked"] == size


def test_full_tile_stands_in_for_a_partial_one(tmp_path: Path) -> None:
    """A log that has grown may drop partial tiles: a checkpoint of 200 is then read from tiles of 256."""
    key = LogKey("plain.example/log")
    entries = [b"entry %d" % i for i in range(300)]
    write_log(tmp_path / "old", entries[:200], key)
    write_log(tmp_path / "new", entries, key)
    shutil.copyfile(tmp_path / "old" / "checkpoint", tmp_path / "new" / "checkpoint")
    assert check_log(tmp_path / "new", key.vkey)["checked"] == 200


@pytest.mark.slow
def test_large_log_with_three_levels_of_tiles(tmp_path: Path) -> None:
    key = LogKey("plain.example/log")
    write_log(tmp_path, [b"entry %d" % i for i in range(70_000)], key)
    assert (tmp_path / "tile" / "2" / "000.p" / "1").is_file()
    result = check_log(tmp_path, key.vkey)
    # 273 full and 1 partial at level 0, 1 full and 1 partial at level 1, 1 partial at level 2
    assert (result["checked"], result["tiles"], result["inclusion"]) == (70_000, 277, 274)
    # tile/1/000 is the parent of full tiles and itself a child.
    for name in ("tile/2/000.p/1", "tile/1/001.p/17", "tile/1/000", "tile/0/000", "tile/0/273.p/112"):
        path = tmp_path / name
        before = path.read_bytes()
        for place in (0, len(before) // 2, -1):
            path.write_bytes(flip(before, place))
            with pytest.raises(ForeignRejection, match="tile"):
                check_log(tmp_path, key.vkey)
        path.write_bytes(before)
    assert check_log(tmp_path, key.vkey) == result


def _copy_log(log: str, tmp_path: Path) -> Path:
    folder = tmp_path / "log"
    shutil.copytree(vector(LOG_FOLDERS[log]), folder)
    return folder


# --- ML-DSA lines: @noble/post-quantum --------------------------------------------------------------------------------

_MLDSA_LINES = [("sample-4", "log-pq"), ("sample-4", "w1-pq"), ("sample-700", "w2-pq")]


@pytest.mark.parametrize(("log", "key"), _MLDSA_LINES)
def test_mldsa_line_is_accepted(log: str, key: str) -> None:
    result = verify_mldsa(read(f"{log}/log/checkpoint"), vkey(log, key))
    assert result["size"] == {"sample-4": 4, "sample-700": 700}[log]
    assert (result["time"] == 0) is (key == "log-pq")


def test_mldsa_message_is_the_sample_one() -> None:
    result = verify_mldsa(read("sample-4/log/checkpoint"), vkey("sample-4", "w1-pq"))
    assert result["messageSha256"] == sha256sum(read("sample-4/w1.subtree-message.bin"))


@pytest.mark.parametrize(("log", "key"), _MLDSA_LINES)
@pytest.mark.parametrize(
    ("why", "change", "says"),
    [
        ("first bit of the signature", lambda raw: flip(raw, 12), "signature is invalid"),
        ("middle of the signature", lambda raw: flip(raw, 1200), "signature is invalid"),
        ("end of the signature", lambda raw: flip(raw, -1), "signature is invalid"),
        ("high bit of the time", lambda raw: flip(raw, 4, 0x40), "signature is invalid|time .* on a line"),
        ("key ID", lambda raw: flip(raw, 3), "0 lines of key"),
        ("short signature", lambda raw: raw[:-1], "bytes"),
        ("long signature", lambda raw: raw + b"\0", "bytes"),
    ],
)
def test_changed_mldsa_line_is_refused(log: str, key: str, why: str, change: Callable[[bytes], bytes], says: str) -> None:
    note = change_line(read(f"{log}/log/checkpoint"), vkey(log, key), change)
    with pytest.raises(ForeignRejection, match=says):
        verify_mldsa(note, vkey(log, key))


@pytest.mark.parametrize(
    ("why", "change", "says"),
    [
        ("size", lambda note: note.replace(b"\n4\n", b"\n5\n"), "signature is invalid"),
        ("root", lambda note: note.replace(b"\nUIku", b"\nUIkv"), "signature is invalid"),
        ("origin", lambda note: note.replace(b"agents\n4\n", b"agentz\n4\n"), "signature is invalid|time 0 on"),
        ("extension line", lambda note: note.replace(b"\n\n", b"\nmore\n\n"), "three lines"),
        ("size with a zero", lambda note: note.replace(b"\n4\n", b"\n04\n"), "not a tree size"),
        ("no final LF", lambda note: note[:-1], "not a signed note"),
        ("junk between lines", lambda note: note + b"junk\n", "not a signature line"),
    ],
)
@pytest.mark.parametrize("key", ["log-pq", "w1-pq"])
def test_changed_checkpoint_is_refused_by_mldsa(key: str, why: str, change: Callable[[bytes], bytes], says: str) -> None:
    note = read("sample-4/log/checkpoint")
    assert change(note) != note
    with pytest.raises(ForeignRejection, match=says):
        verify_mldsa(change(note), vkey("sample-4", key))


def test_missing_and_repeated_mldsa_lines_are_refused() -> None:
    text, lines = note_lines(read("sample-4/log/checkpoint"))
    key = vkey("sample-4", "log-pq")
    with pytest.raises(ForeignRejection, match="0 lines of key"):
        verify_mldsa(join_note(text, lines[:1]), key)
    with pytest.raises(ForeignRejection, match="2 lines of key"):
        verify_mldsa(join_note(text, [*lines, lines[1]]), key)


@pytest.mark.parametrize(
    ("why", "change", "says"),
    [
        ("Ed25519 key", lambda _: vkey("sample-4", "w1-ed"), "type 4, not 6"),
        ("other key ID", lambda key: key.replace("+873dcb23+", "+873dcb24+"), "wrong key ID"),
        ("other name", lambda key: key.replace("/w1+", "/w2+"), "wrong key ID"),
        ("bit in the key", lambda key: key[:-8] + flip_base64(key[-8:]), "wrong key ID"),
        ("key of another witness", lambda _: vkey("sample-700", "w2-pq"), "0 lines of key"),
        ("nothing", lambda _: "", "not a vkey"),
    ],
)
def test_wrong_mldsa_key_is_refused(why: str, change: Callable[[str], str], says: str) -> None:
    with pytest.raises(ForeignRejection, match=says):
        verify_mldsa(read("sample-4/log/checkpoint"), change(vkey("sample-4", "w1-pq")))
