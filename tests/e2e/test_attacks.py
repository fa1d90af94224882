"""Attacks on a real store, and what `apostille verify` says of each: exit code and words, as the design promises them.

Spec: trust.md section 3 (attacker classes; threats 1, 2, 10, 14, 24, 26), section 4 (exit codes), section 12 (scenarios 2, 3, 5, 9);
formats.md section 9 (restore guard).
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from apostille import wiring
from apostille.core import keys, note
from apostille.core.canon import profile_id
from apostille.core.digest import sha256
from apostille.core.strict import canonical_json
from apostille.errors import ApostilleError, MalformedError, RollbackError
from apostille.faces.cli.demo import attacks
from apostille.faces.cli.demo.rebuild import rebuild
from apostille.faces.cli.trust import pin_own_log
from apostille.services.genesis import genesis
from apostille.services.keeper import Keeper, KeeperParts
from apostille.services.publisher import LogSigner
from apostille.storage.memory import MemoryStore
from apostille.storage.vault import MemoryVault
from tests.simulators.world import CountingRandom, FixedClock, MemoryHeads, MemorySink

main = importlib.import_module("apostille.faces.cli.main")
SIZE = 28  # 3 founding leaves, 1 key, 2 runs of 12
OUTPUT = 8
FORGED = "nothing of the kind was said"


@dataclass
class Place:
    """One machine with a store on it: the store, this user's trust and head memory."""

    path: Path
    monkeypatch: Any
    capsys: Any

    @property
    def folder(self) -> wiring.StoreFolder:
        return wiring.StoreFolder(self.path / "store")

    def receipt(self, index: int) -> Path:
        return self.path / "inbox" / f"{index}.txt.receipt.json"

    def become(self, name: str) -> None:
        """Use another machine's trust and memory; a new name is a new machine."""
        self.monkeypatch.setenv("XDG_CONFIG_HOME", str(self.path / name / "config"))
        self.monkeypatch.setenv("XDG_STATE_HOME", str(self.path / name / "state"))

    def become_newcomer(self) -> None:
        """A machine that knows the log's public key and remembers nothing."""
        log = wiring.load_policy().logs[0]
        self.become("newcomer")
        assert self.cli("trust", "add", note.format_vkey(log))[0] == 0

    def cli(self, *words: object) -> tuple[int, dict[str, Any]]:
        self.capsys.readouterr()
        code = main._run(main.hoist_global_options(["--json", "--quiet", *map(str, words)]))
        return code, json.loads(self.capsys.readouterr().out)

    def verify(self, *words: object) -> tuple[int, list[str], dict[str, Any]]:
        """Exit code, the verdict and all failures as text, and the document."""
        code, document = self.cli("verify", *words)
        assert document["exit"] == code
        if "verdict" not in document:
            return code, [document["message"]], document
        return code, [document["verdict"], *(failure["message"] for failure in document["failures"])], document

    def verify_store(self) -> tuple[int, list[str], dict[str, Any]]:
        return self.verify(self.folder.path)

    def signed(self) -> list[bytes]:
        """Everything that was ever signed or remembered here."""
        reader = wiring.open_reader(self.folder)
        try:
            notes = [signed.note for signed in reader.checkpoints()]
        finally:
            reader.close()
        shown = self.folder.log / "checkpoint"
        heads = sorted((self.path / "clinic" / "state").rglob("heads/*"))
        return [*notes, shown.read_bytes() if shown.exists() else b"", *(head.read_bytes() for head in heads)]


def say(keeper: Keeper, agent: str, answers: int = 5) -> None:
    run = keeper.open_run(agent=agent, held_by="agent" if agent == "other" else "gateway")
    for number in range(answers):
        asked = run.input(f"question {number}".encode(), source={"kind": "user"})
        text = f"answer {number} of {agent}".encode()
        run.output(text, text, profile=profile_id(), media_type="text/plain", inputs=[asked.digest])
    run.close().committed(10)
    keeper.publish()


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A store of 28 leaves, and the receipts that were handed out."""
    path = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(path / "clinic" / "config"))
        patch.setenv("XDG_STATE_HOME", str(path / "clinic" / "state"))
        folder = wiring.StoreFolder(path / "store")
        pin_own_log(wiring.init_store(folder).vkeys)
        keeper = wiring.open_keeper(folder)
        say(keeper, "first")
        say(keeper, "second")
        inbox = path / "inbox"
        inbox.mkdir()
        for index, text in ((OUTPUT, "answer 1 of first"), (10, "answer 2 of first"), (18, "answer 0 of second")):
            (inbox / f"{index}.txt").write_text(text)
            (inbox / f"{index}.txt.receipt.json").write_bytes(keeper.receipt_at(index)[1])
        assert keeper.head.size == SIZE
        keeper.close()
    return path


@pytest.fixture
def place(template, tmp_path, monkeypatch, capsys):
    shutil.copytree(template, tmp_path / "place")
    made = Place(tmp_path / "place", monkeypatch, capsys)
    made.become("clinic")
    return made


def test_the_store_is_good_before(place):
    code, words, document = place.verify_store()
    assert (code, words) == (0, ["VERIFIED, UNWITNESSED"])
    assert document["audit"]["openings"] == {"opened": SIZE, "sealed": 0, "erased": 0, "missing": 0}
    for index in (OUTPUT, 10, 18):
        assert place.verify(place.receipt(index))[:2] == (0, ["VERIFIED, UNWITNESSED"])
        assert place.verify(place.receipt(index), "--log", place.folder.path)[0] == 0


# name, attack, exit code, what must be said, the first bad index, whether no keeper may start on it.
DATABASE = [
    ("edit a statement", lambda f: attacks.edit_statement(f, OUTPUT), "leaf 8: the statement is not the one", OUTPUT, False),
    (
        "edit a statement and the digest beside it",
        lambda f: attacks.edit_statement(f, OUTPUT, is_thorough=True),
        "leaf 8: the statement is not the one",
        OUTPUT,
        False,
    ),
    (
        "edit an entry",
        lambda f: attacks.edit_entry(f, OUTPUT, FORGED),
        "leaf 8: the entry has not the leaf hash",
        OUTPUT,
        False,
    ),
    (
        "edit an entry and all hashes",
        lambda f: attacks.edit_entry(f, OUTPUT, FORGED, is_thorough=True),
        "REWRITE before size {signed}: the entries do not lead",
        OUTPUT,
        True,
    ),
    ("edit an opening", lambda f: attacks.edit_opening(f, OUTPUT), "leaf 8: a sealed opening does not decrypt", OUTPUT, False),
    ("delete an opening", lambda f: attacks.delete_opening(f, OUTPUT), "leaf 8: openings are missing", OUTPUT, False),
    ("delete a leaf", lambda f: attacks.delete_leaf(f, OUTPUT), "leaf 8 is missing", OUTPUT, True),
    (
        "delete a leaf and close the gap",
        lambda f: attacks.delete_leaf(f, OUTPUT, is_thorough=True),
        "REWRITE before size {signed}: the entries do not lead",
        OUTPUT,
        True,
    ),
    ("swap leaves of one run", lambda f: attacks.swap_leaves(f, OUTPUT, 10), "leaf 8: run", OUTPUT, True),
    ("swap leaves of two runs", lambda f: attacks.swap_leaves(f, OUTPUT, 20), "leaf 8: run", OUTPUT, True),
    (
        "swap leaves and all hashes",
        lambda f: attacks.swap_leaves(f, OUTPUT, 9, is_thorough=True),
        "REWRITE before size {signed}: the entries do not lead",
        OUTPUT,
        True,
    ),
    ("cut off the rows", lambda f: attacks.truncate(f, grade="rows"), "leaf 18 is missing", 18, True),
    ("cut off rows and head", lambda f: attacks.truncate(f, grade="head"), "TRUNCATED: a checkpoint of size 28", None, True),
    ("cut off everything", attacks.truncate, "HALT_ROLLBACK: a head of size 28 is remembered", None, True),
    ("add a row", attacks.insert_leaf, "the store holds 29 leaves, its head says 28", None, False),
    ("slip in a leaf", lambda f: attacks.insert_leaf(f, 10), "leaf 10: its signer's key is certified by no earlier", None, True),
    (
        "slip in a leaf and all hashes",
        lambda f: attacks.insert_leaf(f, 10, is_thorough=True),
        "leaf 10: its signer's key is certified by no earlier",
        None,
        True,
    ),
]


@pytest.mark.parametrize(("attack", "words", "index", "halts"), [case[1:] for case in DATABASE], ids=[c[0] for c in DATABASE])
def test_database_access_is_caught(place, attack, words, index, halts):
    reader = wiring.open_reader(place.folder)
    # The first signed head above the output: which sizes were published depends on the time that the machine took.
    words = words.replace("{signed}", str(min(signed.size for signed in reader.checkpoints() if signed.size > OUTPUT)))
    reader.close()
    done = attack(place.folder)
    assert done.attacker == "a"
    before = place.signed()
    code, said, document = place.verify_store()
    assert (code, said[0]) == (1, "NOT VERIFIED")
    assert any(words in line for line in said), said
    if index is not None:
        named = [failure["index"] for failure in document["failures"] if "index" in failure]
        assert named[0] == min(named) == index
    # A verdict of 1 moves no remembered head, so that it stays 1.
    assert place.signed() == before
    if halts:
        with pytest.raises((RollbackError, MalformedError)):
            wiring.open_keeper(place.folder)
        assert place.signed() == before
    else:
        with contextlib.suppress(ApostilleError):
            wiring.open_keeper(place.folder).close()
    # A keeper that was started meanwhile heals nothing.
    assert place.verify_store()[1] == said


# The keeper's own word where history is behind, or another than, what was signed or remembered.
ROLLED_BACK = [
    (lambda f: attacks.truncate(f, grade="head"), "a head of size 28 was signed"),
    (attacks.truncate, "a head of size 28 was remembered on this machine"),
    (lambda f: attacks.edit_entry(f, OUTPUT, FORGED, is_thorough=True), "before size 28 is not the one that was signed"),
    (lambda f: rebuild(f, lambda _: FORGED), "before size 28 is not the one that was remembered on this machine"),
]


@pytest.mark.parametrize(("attack", "words"), ROLLED_BACK)
def test_the_restore_guard_signs_nothing(place, attack, words):
    attack(place.folder)
    before = place.signed()
    with pytest.raises(RollbackError, match=words):
        wiring.open_keeper(place.folder)
    # Every command that needs the keeper ends so.
    code, document = place.cli("--store", place.folder.path, "attest", "--agent", "a", place.path / "inbox" / "8.txt")
    assert (code, document["code"]) == (1, "HALT_ROLLBACK")
    assert place.signed() == before


# While a keeper is at work: it holds its own head against the store's at every commit, and what it signed at every publication.
@pytest.mark.parametrize(
    "attack",
    [
        lambda f: attacks.truncate(f, grade="head"),
        lambda f: attacks.edit_entry(f, OUTPUT, FORGED, is_thorough=True),
        lambda f: attacks.swap_leaves(f, OUTPUT, 9),
        lambda f: attacks.insert_leaf(f, is_thorough=True),
    ],
)
def test_behind_a_keeper_at_work(place, attack):
    keeper = wiring.open_keeper(place.folder)
    attack(place.folder)
    before = place.signed()
    with pytest.raises(ApostilleError, match=r"another writer has moved the head|is not the one that was signed"):
        say(keeper, "first", 1)
    with contextlib.suppress(ApostilleError):
        keeper.close()
    assert place.signed() == before


def test_a_leaf_of_an_own_key_at_the_end_is_named(place):
    """Above the last signed head there is no signature to break; the key that nobody certified gives it away."""
    attacks.insert_leaf(place.folder, is_thorough=True)
    for _ in range(2):
        code, said, document = place.verify_store()
        assert (code, said[0]) == (3, "TRUST ANCHOR NOT CONFIRMED")
        assert said[1] == f"leaf {SIZE}: its signer's key is certified by no earlier statement"
        assert document["failures"][0]["index"] == SIZE
        # No keeper makes the attacker's leaf its own by signing a head above it.
        before = place.signed()
        with pytest.raises(RollbackError, match=r"signed by no certified key|does not reach genesis"):
            wiring.open_keeper(place.folder)
        assert place.signed() == before


def test_a_published_head_is_a_memory_too(place):
    """The database is cut and the machine's memory is gone, but the published checkpoint is still there."""
    attacks.truncate(place.folder, grade="head")
    _sql(place.folder, "DELETE FROM checkpoint WHERE size > ?", SIZE - 10)
    place.become("newcomer")
    with pytest.raises(RollbackError, match=f"a head of size {SIZE} was published"):
        wiring.open_keeper(place.folder)


def _sql(folder: wiring.StoreFolder, sql: str, *values: object) -> None:
    with attacks._database(folder) as db:
        db.execute(sql, values)


# What a column says that no statement covers must be what the statement says, or the content is lost.
COLUMNS = [
    ("unit = randomblob(16)", "leaf 8: openings are missing that no erasure names: attributes, canonical, raw"),
    ("unit = zeroblob(16)", "leaf 8: a record key does not unwrap"),
    ("wrapped_key = zeroblob(40)", "leaf 8: a record key does not unwrap"),
    ("wrapped_key = NULL", "leaf 8: openings are missing that no erasure names: attributes, canonical, raw"),
    ("run = zeroblob(16)", "leaf 8: the store files it under another run"),
    ("certifies = zeroblob(32)", "leaf 8: the store files it under another key"),
    ("pae_digest = zeroblob(32)", "leaf 8: the statement is not the one"),
    ("leaf_hash = zeroblob(32)", "leaf 8: the entry has not the leaf hash"),
]


@pytest.mark.parametrize(("change", "words"), COLUMNS)
def test_columns_are_held_against_the_statement(place, change, words):
    _sql(place.folder, f"UPDATE leaf SET {change} WHERE idx = {OUTPUT}")
    code, said, document = place.verify_store()
    assert code == 1
    assert any(words in line for line in said), said
    assert next(f["index"] for f in document["failures"] if "index" in f) == OUTPUT


def test_a_stored_hash_that_its_entries_do_not_lead_to(place):
    keeper = wiring.open_keeper(place.folder)
    say(keeper, "first", 120)
    keeper.close()
    assert place.verify_store()[0] == 0
    _sql(place.folder, "UPDATE subtree SET hash = zeroblob(32)")
    code, said, _ = place.verify_store()
    assert (code, said[1]) == (1, "the stored hash 0 of level 1 is not the one that its entries lead to")
    with pytest.raises(RollbackError):
        wiring.open_keeper(place.folder)


def test_a_unit_key_that_is_gone_without_an_erasure(place):
    """Threat 26: destroying a key destroys evidence, unless an erasure was committed first."""
    path = place.folder.key("units")
    lines = path.read_text().splitlines(keepends=True)
    assert lines[0].startswith("0" * 32)
    path.write_text("".join(line for number, line in enumerate(lines) if number != 1))
    code, said, _ = place.verify_store()
    assert code == 1
    assert any("openings are missing that no erasure names" in line for line in said)
    # Without any key, as on another machine, nothing can be told sealed from lost: counted, and 0.
    path.unlink()
    code, said, document = place.verify_store()
    assert (code, document["audit"]["openings"]["sealed"]) == (0, SIZE)


def test_an_old_copy_put_back(place):
    copy = attacks.copy_store(place.folder, place.path / "copy")
    keeper = wiring.open_keeper(place.folder)
    say(keeper, "first", 4)
    assert keeper.head.size == SIZE + 11  # a key, as each keeper makes its own, and a run of 10
    keeper.close()
    attacks.restore_copy(place.folder, copy)
    before = place.signed()
    code, said, _ = place.verify_store()
    assert (code, said[0]) == (1, "NOT VERIFIED")
    assert said[1] == f"HALT_ROLLBACK: a head of size {SIZE + 11} is remembered, the first {SIZE} leaves are here"
    with pytest.raises(RollbackError, match=f"a head of size {SIZE + 11} was remembered on this machine: an old copy"):
        wiring.open_keeper(place.folder)
    assert place.signed() == before


def test_a_truncated_store_is_never_good_and_its_verdict_is_honest(place):
    """Without memory a shorter history is only what it is: an open run here, and UNWITNESSED anyway."""
    attacks.truncate(place.folder)
    place.become_newcomer()
    code, said, _ = place.verify_store()
    assert (code, said[0]) == (4, "INCOMPLETE")
    assert not any("ROLLBACK" in line or "REWRITE" in line for line in said)
    # A receipt from before remembers.
    code, said, _ = place.verify(place.receipt(18), "--log", place.folder.path)
    assert code == 1
    assert any("HALT_ROLLBACK: a head of size 28 is in the receipt, the log shows" in line for line in said), said


class TestRebuilt:
    """Class (b): the log key, and the keeper's key beside it."""

    @pytest.fixture
    def rebuilt(self, place):
        done = rebuild(place.folder, lambda index: f"{FORGED} at {index}")
        assert (done.name, done.attacker) == ("rebuild", "b")
        return place

    def test_this_machine_remembers(self, rebuilt):
        code, said, _ = rebuilt.verify_store()
        assert (code, said[0]) == (1, "NOT VERIFIED")
        assert said[1:] == [f"REWRITE before size {SIZE}: history is not the one that this machine remembers"]

    def test_a_run_on_this_machine_too(self, rebuilt):
        reader = wiring.open_reader(rebuilt.folder)
        run = reader.runs()[0].hex()
        reader.close()
        code, said, _ = rebuilt.verify("--store", rebuilt.folder.path, run)
        assert code == 1
        assert any(f"REWRITE before size {SIZE}" in line for line in said)

    def test_a_fresh_machine_sees_nothing_and_says_unwitnessed(self, rebuilt, template):
        """The honest limit: whoever holds only the pinned key can't tell two histories apart."""
        rebuilt.become_newcomer()
        code, said, document = rebuilt.verify_store()
        assert (code, said) == (0, ["VERIFIED, UNWITNESSED"])
        assert any(line.startswith("UNWITNESSED: no independent witness") for line in document["not_checked"])
        assert any("no head of this log is remembered" in line for line in document["not_checked"])
        # From then on it remembers the forged head, and the true history is the one that differs.
        assert rebuilt.verify_store()[0] == 0
        code, said, _ = rebuilt.verify(template / "store")
        assert (code, said[1][:22]) == (1, f"REWRITE before size {SIZE}")

    def test_a_quorum_makes_it_incomplete(self, rebuilt, tmp_path):
        log = wiring.load_policy().logs[0]
        witness = note.VerifierKey("witness.example/w", note.COSIGNATURE, keys.Ed25519Key(bytes(range(32))).public)
        trust = tmp_path / "trust"
        trust.write_text(f"log {note.format_vkey(log)}\nwitness w {note.format_vkey(witness)}\nquorum w\n")
        rebuilt.become("newcomer")
        code, said, _ = rebuilt.verify(rebuilt.folder.path, "--trust", trust)
        assert code == 4
        assert any("QUORUM: 'w' has not signed" in line for line in said)

    @pytest.mark.parametrize("published", [False, True])
    def test_an_earlier_receipt_catches_it(self, rebuilt, published):
        rebuilt.become_newcomer()
        shown = rebuilt.folder.log if published else rebuilt.folder.path
        code, said, _ = rebuilt.verify(rebuilt.receipt(OUTPUT), "--log", shown)
        assert (code, said[0]) == (1, "NOT VERIFIED")
        assert any(line.startswith("REWRITE before size") and line.endswith("under the head in the receipt") for line in said)
        # By itself it still shows what it always did, and says what it does not compare.
        code, said, document = rebuilt.verify(rebuilt.receipt(OUTPUT))
        assert (code, said) == (0, ["VERIFIED, UNWITNESSED"])
        assert any(line.startswith("head not compared") for line in document["not_checked"])

    def test_no_keeper_starts(self, rebuilt):
        before = rebuilt.signed()
        with pytest.raises(RollbackError, match="it was rewritten"):
            wiring.open_keeper(rebuilt.folder)
        assert rebuilt.signed() == before

    def test_without_the_unit_keys_the_key_file_shows_it(self, place):
        """Strictly class (b): who has not the unit keys can't seal under the log's own unit, memory or not."""
        vault = MemoryVault(CountingRandom().token)
        vault.ensure(bytes(16))  # a key of the attacker's own for the log's own unit
        rebuild(place.folder, lambda _: FORGED, vault=vault)
        place.become_newcomer()
        code, said, document = place.verify_store()
        assert code == 1
        assert document["failures"][0]["index"] == 3
        assert "leaf 3: a record key does not unwrap" in said[1]


def test_a_real_process_says_the_same(place):
    attacks.edit_entry(place.folder, OUTPUT, FORGED, is_thorough=True)
    command = [sys.executable, "-c", "from apostille.faces.cli import main; main()", "verify", str(place.folder.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("NOT VERIFIED")
    assert "leaf 8: the signature of the statement does not verify" in done.stdout
    assert "Traceback" not in done.stderr


# --- Receipts that are not what they seem ---------------------------------------------------------------------------------------


def _swapped(place: Place, mine: int, theirs: int, change: Any) -> Path:
    """My receipt, with something of another's in it; my output lies beside it."""
    ours, other = (json.loads(place.receipt(index).read_bytes()) for index in (mine, theirs))
    change(ours, other)
    path = place.path / "inbox" / "swapped.txt.receipt.json"
    path.write_bytes(canonical_json(ours))
    shutil.copy(place.path / "inbox" / f"{mine}.txt", path.with_name("swapped.txt"))
    return path


def _entry(receipt: dict[str, Any]) -> dict[str, Any]:
    return receipt["bundle"]["verificationMaterial"]["tlogEntries"][0]


def _swap(*names: str) -> Any:
    def change(ours: dict[str, Any], other: dict[str, Any]) -> None:
        for name in names:
            ours[name] = other[name]

    return change


def _swap_envelope(ours: dict[str, Any], other: dict[str, Any]) -> None:
    ours["bundle"]["dsseEnvelope"] = other["bundle"]["dsseEnvelope"]


def _swap_entry(ours: dict[str, Any], other: dict[str, Any]) -> None:
    ours["bundle"]["verificationMaterial"] = other["bundle"]["verificationMaterial"]


def _swap_index(ours: dict[str, Any], other: dict[str, Any]) -> None:
    _entry(ours)["logIndex"] = _entry(ours)["inclusionProof"]["logIndex"] = _entry(other)["logIndex"]


SWAPPED = [
    ("salt", _swap("salt"), "the output is not the one that was committed to"),
    ("attributes", _swap("attributes"), "the attributes are not the ones that were committed to"),
    ("bundle", _swap("bundle"), "the output is not the one that was committed to"),
    ("bundle and salt", _swap("bundle", "salt", "attributes"), "the output is not the one that was committed to"),
    ("statement", _swap_envelope, "the log entry is another statement's"),
    ("log entry", _swap_entry, "the log entry is another statement's"),
    ("place", _swap_index, "inclusion"),
]


@pytest.mark.parametrize(("change", "words"), [case[1:] for case in SWAPPED], ids=[case[0] for case in SWAPPED])
def test_a_receipt_with_parts_of_another(place, change, words):
    for theirs in (10, 18):
        code, said, document = place.verify(_swapped(place, OUTPUT, theirs, change))
        assert (code, said[0]) == (1, "NOT VERIFIED")
        assert any(words in line for line in (*said, *(failure["code"] for failure in document["failures"]))), said


def test_the_output_of_another_receipt(place):
    code, said, _ = place.verify(place.receipt(OUTPUT), "--artifact", place.path / "inbox" / "10.txt")
    assert (code, said[1]) == (1, "the output is not the one that was committed to: its bytes differ")


def test_the_keys_of_another_agent(place):
    keeper = wiring.open_keeper(place.folder)
    say(keeper, "other", 1)
    (place.path / "inbox" / "40.txt").write_text("answer 0 of other")
    place.receipt(40).write_bytes(keeper.receipt_at(keeper.head.size - 2)[1])
    keeper.close()
    assert place.verify(place.receipt(40))[0] == 0
    # Their proofs lead to another checkpoint: inclusion fails before trust is asked for.
    assert place.verify(_swapped(place, OUTPUT, 40, _swap("keys")))[0] == 1

    def other_chain(ours: dict[str, Any], other: dict[str, Any]) -> None:
        del other
        ours["keys"] = ours["keys"][:-1]

    code, said, _ = place.verify(_swapped(place, OUTPUT, 40, other_chain))
    assert (code, said[0]) == (3, "TRUST ANCHOR NOT CONFIRMED")
    assert "the key chain leads to another key than the one that signed the statement" in said[1]


# --- Forgeries in which everything fits, with keys of the attacker's own --------------------------------------------------------


def _forge(origin: str | None, log: tuple[bytes, bytes]) -> bytes:
    """A perfect receipt of a log that was founded by an attacker's root key."""
    random = CountingRandom("attacker")
    root, later, mine = (keys.StatementKey.from_seed(random.token(keys.P256_SEED_BYTES)) for _ in range(3))
    name = origin or f"apostille.invalid/{sha256(root.spki)[:16].hex()}"
    signer = LogSigner(name, keys.Ed25519Key(log[0]), keys.MlDsa44Key(log[1]))
    vault = MemoryVault(random.token)
    parts = KeeperParts(MemoryStore(), vault, signer, mine, MemoryHeads(), MemorySink(), FixedClock(), random)
    genesis(parts, root, later)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apostille.services.keeper.guard", lambda *_: None)  # an attacker's program has no restore guard
        keeper = Keeper(parts, publish_interval_seconds=0.01)
    try:
        run = keeper.open_run(agent="first", held_by="gateway")
        said = run.output(b"forged", b"forged", profile=profile_id(), media_type="text/plain").committed(10)
        run.close().committed(10)
        keeper.publish()
        return keeper.receipt_at(said.index)[1]
    finally:
        keeper.close()


def _log_seeds(folder: wiring.StoreFolder) -> tuple[bytes, bytes]:
    first, second = (base64.b64decode(folder.key(name).read_bytes()) for name in ("log.ed25519", "log.mldsa44"))
    return first, second


OWN = (b"\x01" * 32, b"\x02" * 32)
FORGERIES = [
    ("own log under an own name", False, False, "the trust file names no log"),
    ("own log under our name", True, False, "no signature by the pinned key of"),
    ("our name and log key, own root", True, True, "the root key of the genesis is not the one"),
]


@pytest.mark.parametrize(("our_name", "our_key", "words"), [case[1:] for case in FORGERIES], ids=[case[0] for case in FORGERIES])
def test_a_perfect_forgery_with_own_keys(place, our_name, our_key, words):
    origin = place.folder.origin() if our_name else None
    path = place.path / "inbox" / "forged.txt.receipt.json"
    path.write_bytes(_forge(origin, _log_seeds(place.folder) if our_key else OWN))
    path.with_name("forged.txt").write_bytes(b"forged")
    code, said, document = place.verify(path)
    assert (code, said[0]) == (3, "TRUST ANCHOR NOT CONFIRMED")
    assert words in said[1]
    assert {failure["code"] for failure in document["failures"]} == {"untrusted"}


def test_a_perfect_store_with_own_keys(place, tmp_path):
    forged = wiring.StoreFolder(tmp_path / "forged")
    wiring.init_store(forged)
    keeper = wiring.open_keeper(forged)
    say(keeper, "first", 2)
    keeper.close()
    place.become("newcomer")
    code, said, _ = place.verify(forged.path)
    assert (code, said[0]) == (3, "TRUST ANCHOR NOT CONFIRMED")
    assert any("the trust file names no log" in line for line in said)
