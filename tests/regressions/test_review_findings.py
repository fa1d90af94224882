"""Faults that a hostile review of the first version found, one test each, so that none comes back."""

from __future__ import annotations

import json
import shutil
from importlib import import_module

import apsw
import pytest

from apostille import wiring
from apostille.core import note
from apostille.core.canon import canonicalize
from apostille.core.entry import parse_entry
from apostille.core.policy import parse_policy
from apostille.core.statement import parse_statement
from apostille.core.tree import append_leaves
from apostille.errors import (
    CanonicalizationError,
    IncompleteError,
    MalformedError,
    MalformedNoteError,
    RollbackError,
    UnsupportedVersionError,
    VerificationError,
)
from apostille.faces.cli import trust
from apostille.faces.cli.terminal import Terminal
from apostille.faces.gateway import chat, wire
from apostille.faces.gateway.cleaning import Cleaning
from apostille.services import auditor, run_audit
from apostille.services.examination import Examination
from apostille.services.verifier import verify_receipt
from apostille.storage.sqlite import SqliteStore
from tests.simulators import openai_upstream as sim
from tests.simulators.world import World

cli = import_module("apostille.faces.cli.main")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def store(home, name="store"):
    folder = wiring.StoreFolder(home / name)
    signer = wiring.init_store(folder)
    trust.pin_own_log(signer.vkeys)
    keeper = wiring.open_keeper(folder)
    return folder, keeper


# --- a character that is taken out must not turn text into JSON whose escapes nobody has cleaned

HIDING = ["\x01", "\x0b", "\x0c", "\x1b[0m", "\x7f", "\x85", "\u2028", "\ufdd0", "\U000e0041", "\u202e", "\ufe0f\ufe0f"]


@pytest.mark.parametrize("character", HIDING)
@pytest.mark.parametrize(
    "arguments", ['{X"cmd":"ls\\udb40\\udc65"}', '{"a":1,X"a":2}', '{"n":1,X"m":1e999}', 'X{"cmd":"\\u202e"}', '["\\u200b",X]']
)
def test_arguments_that_become_json_by_cleaning(character, arguments):
    upstream = sim.tools(sim.call("run", arguments.replace("X", character)))
    body = b"".join(step for step in upstream.steps if isinstance(step, bytes))
    with pytest.raises(CanonicalizationError):
        chat.answer(body, streamed=False, receipt={"v": 1}, fallback_id="x", limits=wire.Limits(), cleaning=Cleaning())


def test_arguments_that_are_just_no_json_pass_as_text():
    upstream = sim.tools(sim.call("run", "ls -l /tmp"))
    body = b"".join(step for step in upstream.steps if isinstance(step, bytes))
    made = chat.answer(body, streamed=False, receipt={"v": 1}, fallback_id="x", limits=wire.Limits(), cleaning=Cleaning())
    assert made.attributes["invalid_json"] == ["choice/0/arguments/0"]


@pytest.mark.parametrize("arguments", ['{"a":1,\x1b"a":2}', '{"n":1,\x1b"m":1e999}'])
def test_an_escape_takes_its_letters_along(arguments):
    """ESC, a quote and a letter are one terminal escape (ECMA-35, nF): without it this is no JSON, and passes as text."""
    upstream = sim.tools(sim.call("run", arguments))
    body = b"".join(step for step in upstream.steps if isinstance(step, bytes))
    made = chat.answer(body, streamed=False, receipt={"v": 1}, fallback_id="x", limits=wire.Limits(), cleaning=Cleaning())
    assert made.attributes["invalid_json"] == ["choice/0/arguments/0"]
    with pytest.raises(ValueError, match="Unterminated string"):
        json.loads(canonicalize(arguments).bytes)


# --- a run is verified under its own log's checkpoint, not under that of another pinned log


def test_the_checkpoint_of_another_log():
    mine, other = World("a"), World("b")
    for world in (mine, other):
        keeper = world.keeper()
        run = keeper.open_run(agent="a")
        run.close().committed(5)
        keeper.close()
    signed = other.store.checkpoint()
    mine.store._checkpoints = {signed.size: signed}
    policy = parse_policy(
        "".join(f"log {note.format_vkey(world.signer.vkeys[0])}\n" for world in (mine, other)).encode() + b"quorum none\n"
    )
    examination = Examination()
    run = mine.store.runs()[0].hex()
    run_audit.examine_run(examination, mine.store, policy, origin=mine.signer.origin, run=run, vault=mine.vault)
    with pytest.raises(VerificationError, match="another log's"):
        examination.conclude()


# --- a trust file means to `trust add` what it means to its reader


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_a_line_hidden_in_a_comment(home, separator):
    evil = note.format_vkey(World("evil").signer.vkeys[0])
    path = home / "policy"
    path.write_text(f"# reviewed{separator}log {evil}\nquorum none\n", newline="")
    with pytest.raises(MalformedError):
        trust.trust_add(Terminal(), str(path))
    assert wiring.load_policy().logs == ()


def test_remove_finds_what_list_shows(home):
    key = note.format_vkey(World().signer.vkeys[0])
    wiring.known_logs_path().parent.mkdir(parents=True)
    wiring.known_logs_path().write_text(f"log\t{key}\nquorum none\n")
    trust.trust_remove(Terminal(is_quiet=True), World().signer.origin)
    assert wiring.load_policy().logs == ()


# --- the log's own keys are never witnesses


def test_own_keys_do_not_witness():
    world = World()
    keeper = world.keeper()
    said = keeper.open_run(agent="a").output(b"x", b"x", profile="opaque", media_type="text/plain").committed(5)
    keeper.publish()
    receipt = keeper.receipt_at(said.index)[1]
    keeper.close()
    first, second = (note.format_vkey(key) for key in world.signer.vkeys)
    policy = parse_policy(f"log {first}\nwitness pq {second}\ngroup own all pq\nquorum own\n".encode())
    assert verify_receipt(receipt, policy, artifact=b"x").strength == "UNWITNESSED"
    examination = Examination()
    audit = auditor.examine_store(examination, world.store, policy, origin=world.signer.origin, vault=world.vault)
    assert not audit.checkpoint.is_witnessed


def test_one_key_is_not_log_and_witness():
    world = World()
    first = world.signer.vkeys[0]
    again = note.VerifierKey("w.example", note.COSIGNATURE, first.public)
    text = f"log {note.format_vkey(first)}\nwitness w {note.format_vkey(again)}\nquorum w\n"
    with pytest.raises(MalformedError, match="twice"):
        parse_policy(text.encode())


# --- a keeper signs nothing that was put into its store again


def test_replayed_leaves_are_not_signed(home):
    folder, keeper = store(home)
    run = keeper.open_run(agent="a")
    said = run.output(b"x", b"x", profile="opaque", media_type="text/plain").committed(5)
    run.close().committed(5)
    keeper.close()
    for index in (said.index, said.index + 1):
        copy = wiring.StoreFolder(home / f"copy{index}")
        shutil.copytree(folder.path, copy.path)
        writer = SqliteStore(copy.database)
        record = writer.record(index)
        head = writer.head()
        writer.commit(head, [record], append_leaves(head, [record.leaf_hash]))
        signed = writer.checkpoint()
        writer.close()
        with pytest.raises(RollbackError):
            wiring.open_keeper(copy)
        assert wiring.open_reader(copy).checkpoint() == signed


def test_the_issuer_is_read_from_the_leaf(home):
    """Columns that say something else of the keeper's certificate must not get into new certificates."""
    folder, keeper = store(home)
    keeper.close()
    issuer = keeper_certificate(folder)
    db = apsw.Connection(str(folder.database))
    db.execute("UPDATE leaf SET nonce = zeroblob(16), certifies = zeroblob(32) WHERE idx = 1")
    db.close()
    keeper = wiring.open_keeper(folder)
    keeper.open_run(agent="a").close().committed(10)
    keeper.close()
    reader = wiring.open_reader(folder)
    said = [parse_statement(record.statement).predicate for _, record in reader.records(2)]
    assert [fields["issuer"] for fields in said if fields.get("held_by") == "agent"][-1] == issuer


def keeper_certificate(folder) -> str:
    reader = wiring.open_reader(folder)
    found = parse_entry(reader.record(1).entry).pae_digest.hex()
    reader.close()
    return found


# --- who demands witnesses remembers no head that they have not seen


def test_an_unwitnessed_head_is_not_remembered():
    world = World()
    keeper = world.keeper()
    keeper.close()
    other = World("w").signer.vkeys[0]
    witness = note.VerifierKey("w.example", note.COSIGNATURE, other.public)
    text = f"log {note.format_vkey(world.signer.vkeys[0])}\nwitness w {note.format_vkey(witness)}\nquorum w\n"
    world.heads.heads.clear()
    examination = Examination()
    auditor.examine_store(examination, world.store, parse_policy(text.encode()), origin=world.signer.origin, heads=world.heads)
    assert world.heads.heads == {}


# --- a file that brings its own views and triggers is no store


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE meta; CREATE VIEW meta AS WITH RECURSIVE x(name, value) AS (SELECT 'schema','1' UNION ALL SELECT * FROM x) SELECT * FROM x",
        "CREATE TRIGGER t AFTER INSERT ON leaf BEGIN DELETE FROM leaf WHERE idx = 0; END",
        "CREATE TABLE more (x)",
        "DROP INDEX leaf_run",
    ],
)
def test_another_schema(home, sql):
    folder, keeper = store(home)
    keeper.close()
    db = apsw.Connection(str(folder.database))
    db.execute(sql)
    db.close()
    for read_only in (True, False):
        with pytest.raises(MalformedError, match="tables of a store"):
            SqliteStore(folder.database, read_only=read_only)


def test_text_that_is_no_utf8(home):
    folder, keeper = store(home)
    keeper.close()
    db = apsw.Connection(str(folder.database))
    db.execute("UPDATE opening SET sealed = x'0001ff00000000' WHERE idx = 1")
    db.close()
    reader = SqliteStore(folder.database, read_only=True)
    with pytest.raises(MalformedError, match="UTF-8"):
        list(reader.records())


# --- what others write is never a fault of ours


def test_attributes_of_another_kind(home, capsys, monkeypatch):
    """Attributes are what the signer asserts: whatever they are, a receipt is verified and shown."""
    folder, keeper = store(home)
    run = keeper.open_run(agent="a")
    attributes = {"changes": ["X"], "model": "m", "usage": 7}
    said = run.output(b"x", b"x", profile="opaque", media_type="text/plain", attributes=attributes).committed(5)
    run.close().committed(5)
    keeper.publish()
    path = home / "x.receipt.json"
    path.write_bytes(keeper.receipt_at(said.index)[1])
    keeper.close()
    (home / "x").write_bytes(b"x")
    assert cli._run(["--store", str(folder.path), "verify", str(path)]) == 0
    assert cli._run(["--store", str(folder.path), "show", str(said.index)]) == 0
    cli._terminal.as_json = False


def test_options_that_would_be_ignored(home, capsys):
    folder, keeper = store(home)
    keeper.close()
    assert cli._run(["verify", str(folder.path), "--log", "/nonexistent"]) == 2
    assert cli._run(["verify", str(folder.path), "--artifact", "/nonexistent"]) == 2


def test_a_note_with_a_terminal_sequence(home, capsys):
    folder, keeper = store(home)
    keeper.close()
    db = apsw.Connection(str(folder.database))
    db.execute("UPDATE checkpoint SET note = CAST(replace(CAST(note AS TEXT), '— ', char(27) || ']0;pwn') AS BLOB)")
    db.close()
    cli._run(["--store", str(folder.path), "log", "proof", "0"])
    assert "\x1b]0;" not in capsys.readouterr().out


# --- what an export holds, a program's own status, a folder that others can write


def test_an_export_is_made_from_the_store(home):
    """Not from the published folder, which a keeper at work, or somebody else, changes meanwhile."""
    folder, keeper = store(home)
    keeper.close()
    before = (folder.log / "checkpoint").read_bytes()
    shutil.rmtree(folder.log)
    folder.log.mkdir()
    (folder.log / "planted").symlink_to("/etc/passwd")
    assert cli._run(["--store", str(folder.path), "--quiet", "log", "export", "--out", str(home / "out")]) == 0
    assert (home / "out" / "log" / "checkpoint").read_bytes() == before
    assert (home / "out" / "log" / "tile" / "entries" / "000.p" / "3").is_file()
    assert not (home / "out" / "log" / "planted").exists()


def test_the_programs_own_status_wins(home, monkeypatch, capsys):
    """Even where the run can't be published afterwards."""
    from apostille.errors import StorageUnavailableError
    from apostille.faces.cli import run
    from apostille.services.client import KeeperClient

    folder, keeper = store(home)
    keeper.close()

    def full(self):
        raise StorageUnavailableError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(KeeperClient, "publish", full)
        terminal = Terminal(store=str(folder.path))
        assert run.run_program(terminal, ["sh", "-c", "exit 3"], agent=None, principal=None, upstream="http://127.0.0.1:1") == 3
    assert "the disk is full" in capsys.readouterr().err


def test_a_planted_link_is_not_followed(tmp_path, monkeypatch):
    """Who can write the folder and foresee the temporary name still gets nothing written elsewhere."""
    from apostille.errors import StorageUnavailableError
    from apostille.storage import files

    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    monkeypatch.setattr("os.urandom", bytes)
    (tmp_path / f".x.{bytes(8).hex()}.tmp").symlink_to(victim)
    with pytest.raises(StorageUnavailableError):
        files.replace_file(tmp_path / "x", b"theirs")
    assert victim.read_bytes() == b"mine"


# A conclusion keeps what was found -------------------------------------------------------------------------------------


def test_a_malformed_receipt_keeps_class_code_and_all_failures():
    """``conclude`` raised a bare MalformedError: code and failures were lost to whoever caught it."""
    examination = Examination()
    with examination.step(1, "version"):
        raise UnsupportedVersionError("not version 1", version="v9", spec="receipt")
    with examination.step(5, "entry"):
        raise MalformedNoteError("not a note", spec="signed-note")
    with examination.step(9, "content"):
        raise IncompleteError("not given")
    with pytest.raises(UnsupportedVersionError) as caught:
        examination.conclude()
    assert (caught.value.code, caught.value.version, caught.value.spec) == ("unsupported-version", "v9", "receipt")
    assert [(f.code, f.step) for f in caught.value.failures] == [
        ("unsupported-version", 1),
        ("malformed-note", 5),
        ("incomplete", 9),
    ]
    assert str(caught.value) == "receipt: not version 1 (and 2 more)"


def test_a_receipt_of_another_version_says_so_to_a_program():
    data = b'{"type":"urn:apostille:receipt:v2"}'
    with pytest.raises(UnsupportedVersionError) as caught:
        verify_receipt(data, parse_policy(b"quorum none\n"))
    assert [(f.code, f.step) for f in caught.value.failures] == [("unsupported-version", 1)]
    assert caught.value.version == "urn:apostille:receipt:v2"


def test_a_reader_alone_has_no_failures():
    with pytest.raises(MalformedError) as caught:
        parse_policy(b"")
    assert caught.value.failures == ()


def test_a_member_nested_almost_too_deep_to_be_written_is_malformed():
    """A message that quotes what it refuses must not recurse into it."""
    for depth in (17, 300, 900, 960, 990, 100_000):
        deep = b"[" * depth + b"]" * depth
        for data in (
            b'{"bundle":%b,"keys":[],"type":"urn:apostille:receipt:v1"}' % deep,
            b'{"pending":{"envelope":%b,"index":0,"spki":""},"type":"urn:apostille:receipt:v1"}' % deep,
            b'{"bundle":{},"keys":%b,"type":"urn:apostille:receipt:v1"}' % deep,
            b'{"type":%b}' % deep,
        ):
            with pytest.raises(MalformedError):
                verify_receipt(data, parse_policy(b"quorum none\n"))
