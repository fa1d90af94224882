"""A log of 70,000 entries that the product itself has written, read by Go's checksum database code.

formats.md sections 5 to 7, 9, 10 and 13: the folder STORE/log that ``init_store`` and the keeper have made is a tlog-tiles log;
every older checkpoint is still served by the tiles and still leads to the newest one. Three levels of tiles, partial tiles of
older sizes beside full ones. Each change is refused, for the reason expected, so an acceptance means something.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

import foreign
import pytest
from foreign import ForeignRejection, check_log, openssl_verify, sha256sum, verify_bundle, verify_mldsa
from interop_samples import change_line, flip, note_lines
from live_kit import Home, check_proof, payload_of, signer_pem

from apostille import wiring
from apostille.core.digest import sha256
from apostille.core.keys import public_pem, spki_ed25519
from apostille.core.note import format_vkey
from apostille.core.strict import canonical_json
from apostille.core.tree import Head
from apostille.errors import BackPressureError
from apostille.services.publisher import LogSigner
from apostille.services.receipts import build_bundle, trusted_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from apostille.services.runs import Pending, Run

pytestmark = [pytest.mark.interop, pytest.mark.slow]

SIZE = 70_000
# On both sides of the borders of tiles, on all levels, and in the middle of tiles.
OLDER = (5, 255, 256, 257, 700, 65_535, 65_536, 65_537, 69_999)
# What only an older size needs: hash tile and entry bundle that end where the log ended then.
OLD_PARTIAL = {
    4: "000.p/4",
    255: "000.p/255",
    257: "001.p/1",
    700: "002.p/188",
    65_535: "255.p/255",
    65_537: "256.p/1",
    69_999: "273.p/111",
}


@dataclass(frozen=True)
class LiveLog:
    """The log as published, and what was kept of its past."""

    home: Home
    signer: LogSigner

    @property
    def folder(self) -> Path:
        return self.home.store.log

    @property
    def vkey(self) -> str:
        return format_vkey(self.signer.vkeys[0])

    @property
    def checkpoint(self) -> bytes:
        return (self.folder / "checkpoint").read_bytes()

    def older(self, size: int) -> Path:
        """The file ``checkpoint`` as it was published at that size."""
        return self.home.path / f"checkpoint.{size}"

    def copy(self, folder: Path) -> Path:
        """A copy of the log whose files may be replaced, but not written into."""
        shutil.copytree(self.folder, folder, copy_function=os.link)
        return folder


def _grow(run: Run, size: int, target: int) -> Pending:
    """Add statements of several kinds until the log has ``target`` entries."""
    last = run.opened
    kinds = cycle(range(10))
    while size < target:
        kind = next(kinds)
        try:
            if kind == 0:
                last = run.input(b"And this one?", source={"kind": "user"})
            elif kind == 1:
                last = run.tool_call(b"{}", b"{}", tool="lookup", profile="opaque", parents=[last.digest])
            else:
                last = run.output(b"It is fine.", b"It is fine.", profile="opaque", media_type="text/plain")
        except BackPressureError:
            last.committed()
            continue
        size += 1
    return last


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveLog]:
    """The log, made once: about 17 s on an idle core."""
    foreign.require_go()
    home = Home(tmp_path_factory.mktemp("live-log"))
    with home.inside() as store:
        signer = wiring.init_store(store)
        log = LiveLog(home, signer)
        # So long an interval that the keeper publishes by itself only once, at its start.
        keeper = wiring.open_keeper(store, publish_interval_seconds=3600)
        try:
            run = keeper.open_run(agent="bulk")
            assert run.opened.committed().index == 4
            for size in OLDER:
                last = _grow(run, keeper.head.size, size)
                last.committed()
                published = keeper.publish()
                assert published is not None
                assert (keeper.head.size, published.size) == (size, size)
                shutil.copyfile(log.folder / "checkpoint", log.older(size))
            assert run.close().committed().index == SIZE - 1
        finally:
            keeper.close()  # publishes the last of it
    yield log
    shutil.rmtree(home.path)


def test_the_log_is_accepted_and_extends_every_older_checkpoint(live: LiveLog) -> None:
    alone = check_log(live.folder, live.vkey)
    result = check_log(live.folder, live.vkey, *map(live.older, OLDER))
    text, lines = note_lines(live.checkpoint)
    assert text == f"{live.signer.origin}\n{SIZE}\n{result['root']}\n"
    assert len(lines) == 2
    # 273 full and 1 partial at level 0, 1 full and 1 partial at level 1, 1 partial at level 2
    assert (result["checked"], result["tiles"], result["inclusion"]) == (SIZE, 277, 274)
    assert result["consistency"] == alone["consistency"] + len(OLDER)


@pytest.mark.parametrize("size", OLDER)
def test_an_older_checkpoint_is_still_served(live: LiveLog, size: int, tmp_path: Path) -> None:
    """Published tiles are never taken back: who is still at an older checkpoint can check all of it."""
    if size in OLD_PARTIAL:
        for kind in ("0", "entries"):
            assert (live.folder / "tile" / kind / OLD_PARTIAL[size]).is_file()
    folder = live.copy(tmp_path / "log")
    _replace(folder / "checkpoint", live.older(size).read_bytes())
    known = [live.older(n) for n in OLDER if n <= size]
    assert check_log(folder, live.vkey, *known)["checked"] == size


def test_the_partial_tiles_of_higher_levels_are_there(live: LiveLog) -> None:
    for name in ("1/000.p/1", "1/000.p/2", "1/000.p/255", "1/000", "1/001.p/17", "2/000.p/1"):
        assert (live.folder / "tile" / name).is_file(), name
    # Nothing but tiles and the checkpoint: no temporary file is left behind.
    names = [path.name for path in live.folder.rglob("*") if path.is_file()]
    assert all(name == "checkpoint" or name.isdigit() for name in names)


def _other_size(note: bytes) -> bytes:
    return note.replace(b"\n70000\n", b"\n69999\n")


def _other_root(note: bytes) -> bytes:
    text, _ = note_lines(note)
    root = text.split("\n")[2]
    return note.replace(root.encode(), (("B" if root[0] != "B" else "C") + root[1:]).encode())


_CHANGES: list[tuple[str, str, Callable[[bytes], bytes] | None, str]] = [
    # file, why, change (None deletes the file), what the tool says
    ("tile/entries/000", "genesis", lambda b: flip(b, 200), "entry 0 does not have"),
    ("tile/entries/000", "an entry", lambda b: flip(b, 60_000), "entry 1[0-9]{2} does not have"),
    ("tile/entries/255", "the last entry below a full tile of level 1", lambda b: flip(b, -10), "entry 65535 does not have"),
    ("tile/entries/273.p/112", "the last entry", lambda b: flip(b, -10), "entry 69999 does not have"),
    ("tile/entries/100", "length of an entry", lambda b: flip(b, 1), "ends inside entry|does not have|bytes after"),
    ("tile/entries/200", "deleted", None, "no such file"),
    ("tile/0/000", "level 0", lambda b: flip(b, 0), "does not have|inconsistent tile|does not hold"),
    ("tile/0/200", "level 0", lambda b: flip(b, 4000), "does not have|inconsistent tile|does not hold"),
    ("tile/0/273.p/112", "level 0, partial", lambda b: flip(b, -1), "inconsistent tile"),
    ("tile/0/255", "deleted", None, "no such file"),
    ("tile/1/000", "level 1", lambda b: flip(b, 100), "inconsistent tile|does not hold"),
    ("tile/1/000", "level 1, two hashes swapped", lambda b: b[32:64] + b[:32] + b[64:], "inconsistent tile|does not hold"),
    ("tile/1/001.p/17", "level 1, partial", lambda b: flip(b, -1), "inconsistent tile"),
    ("tile/2/000.p/1", "level 2", lambda b: flip(b, 31), "inconsistent tile"),
    ("tile/2/000.p/1", "deleted", None, "no such file"),
    ("checkpoint", "size", _other_size, "invalid signature for key"),
    ("checkpoint", "root", _other_root, "invalid signature for key"),
    ("checkpoint", "origin", lambda b: flip(b, 2), "invalid signature for key"),
    ("checkpoint", "deleted", None, "no such file"),
]


@pytest.mark.parametrize(
    ("name", "change", "says"), [pytest.param(name, change, says, id=f"{name}: {why}") for name, why, change, says in _CHANGES]
)
def test_a_changed_log_is_refused(
    live: LiveLog, name: str, change: Callable[[bytes], bytes] | None, says: str, tmp_path: Path
) -> None:
    folder = live.copy(tmp_path / "log")
    path = folder / name
    before = path.read_bytes()
    path.unlink()
    if change is not None:
        assert change(before) != before
        path.write_bytes(change(before))
    with pytest.raises(ForeignRejection, match=says):
        check_log(folder, live.vkey)


@pytest.mark.parametrize(
    ("why", "change", "says"),
    [
        ("first byte of the signature", lambda raw: flip(raw, 4), "invalid signature for key"),
        ("last byte of the signature", lambda raw: flip(raw, -1), "invalid signature for key"),
        ("key ID", lambda raw: flip(raw, 0), "no verifiable signatures"),
    ],
)
def test_a_changed_log_line_is_refused(
    live: LiveLog, why: str, change: Callable[[bytes], bytes], says: str, tmp_path: Path
) -> None:
    folder = live.copy(tmp_path / "log")
    _replace(folder / "checkpoint", change_line(live.checkpoint, live.vkey, change))
    with pytest.raises(ForeignRejection, match=says):
        check_log(folder, live.vkey)


def test_swapped_entry_bundles_are_refused(live: LiveLog, tmp_path: Path) -> None:
    folder = live.copy(tmp_path / "log")
    one, two = folder / "tile" / "entries" / "010", folder / "tile" / "entries" / "011"
    first, second = one.read_bytes(), two.read_bytes()
    _replace(one, second)
    _replace(two, first)
    with pytest.raises(ForeignRejection, match="entry 2560 does not have"):
        check_log(folder, live.vkey)


def test_the_key_of_another_log_is_refused(live: LiveLog, tmp_path: Path) -> None:
    with Home(tmp_path).inside() as store:
        other = wiring.init_store(store)
    with pytest.raises(ForeignRejection, match="no verifiable signatures"):
        check_log(live.folder, format_vkey(other.vkeys[0]))
    # The same name with a key of another log's: whoever took the name still lacks the key.
    name_only = LogSigner(live.signer.origin, other.ed25519, other.mldsa44)
    with pytest.raises(ForeignRejection, match="no verifiable signatures"):
        check_log(live.folder, format_vkey(name_only.vkeys[0]))


def test_another_history_under_the_logs_own_key_is_refused(live: LiveLog, tmp_path: Path) -> None:
    """Database and log key together (attacker class b): well signed, and refused by whoever holds another checkpoint."""
    forged = tmp_path / "checkpoint.700"
    forged.write_bytes(live.signer.sign(Head(700, (sha256(b"another history"),) * (700).bit_count())).note)
    with pytest.raises(ForeignRejection, match="consistency from size 700"):
        check_log(live.folder, live.vkey, forged)
    longer = tmp_path / "checkpoint.70001"
    longer.write_bytes(live.signer.sign(Head(SIZE + 1, (sha256(b"a tail"),) * (SIZE + 1).bit_count())).note)
    with pytest.raises(ForeignRejection, match="no proof from size 70001 to size 70000"):
        check_log(live.folder, live.vkey, longer)


@pytest.mark.parametrize("size", [5, 65_536, SIZE])
def test_both_lines_of_each_checkpoint(live: LiveLog, size: int) -> None:
    """0x06 by @noble/post-quantum, 0x01 by openssl: the third and fourth implementation."""
    note = live.checkpoint if size == SIZE else live.older(size).read_bytes()
    text, _ = note_lines(note)
    pq = format_vkey(live.signer.vkeys[1])
    result = verify_mldsa(note, pq)
    assert (result["origin"], result["size"], result["time"]) == (live.signer.origin, size, 0)
    with pytest.raises(ForeignRejection, match="signature is invalid"):
        verify_mldsa(change_line(note, pq, lambda raw: flip(raw, 1000)), pq)
    signatures: list[bytes] = []
    change_line(note, live.vkey, lambda raw: signatures.append(raw[4:]) or raw)
    pem = public_pem(spki_ed25519(live.signer.vkeys[0].public))
    openssl_verify(pem, signatures[0], text.encode())
    with pytest.raises(ForeignRejection, match=r"(?i)fail"):
        openssl_verify(pem, signatures[0], text.replace(f"\n{size}\n", f"\n{size + 1}\n").encode())


_DEEP = [0, 255, 65_535, 65_536, SIZE - 1]


@pytest.mark.parametrize("index", _DEEP)
def test_bundles_and_proofs_out_of_a_large_tree(live: LiveLog, index: int, tmp_path: Path) -> None:
    log = live.signer.vkeys[0]
    reader = wiring.open_reader(live.home.store)
    try:
        signed = reader.checkpoint()
        assert signed is not None
        bundle = build_bundle(reader, signed, log, index)
        entry = reader.record(index).entry
    finally:
        reader.close()
    root = trusted_root(log, spki_ed25519(log.public))
    result = verify_bundle(canonical_json(bundle), root, signer_pem(bundle))
    assert (result["index"], result["size"], result["origin"]) == (index, SIZE, live.signer.origin)
    assert result["payloadSha256"] == sha256sum(payload_of(bundle))
    live.home.cli("log", "proof", str(index), "--out", tmp_path / "out")
    proof = (tmp_path / "out").read_bytes()
    found = check_proof(proof, entry, live.vkey, tmp_path)
    assert (found["index"], found["size"], found["root"]) == (index, SIZE, result["root"])
    with pytest.raises(ForeignRejection, match=f"inclusion of entry {index}"):
        check_proof(proof, flip(entry, 300), live.vkey, tmp_path)
    neighbour = index ^ 1
    with pytest.raises(ForeignRejection, match=f"inclusion of entry {neighbour}"):
        check_proof(proof.replace(b"\nindex %d\n" % index, b"\nindex %d\n" % neighbour), entry, live.vkey, tmp_path)


def _replace(path: Path, content: bytes) -> None:
    # The file may be a link to the real one: never write into it.
    path.unlink()
    path.write_bytes(content)
