"""The trust file and what opens under it (formats.md section 8; c2sp.org/tlog-policy)."""

from __future__ import annotations

import itertools

import pytest

from apostille.core import checkpoint, evidence, keys, note
from apostille.core.policy import MAX_POLICY_BYTES, Group, Policy, open_checkpoint, parse_policy
from apostille.errors import (
    InvalidSignatureError,
    MalformedCheckpointError,
    MalformedError,
    MalformedNoteError,
    TooLargeError,
    UntrustedError,
)
from tests.simulators.world import seed
from tests.unit.core.core_kit import LOG, LOG_06, LOG_ED, LOG_PQ, ORIGIN, example

PRIVATE = {name: keys.Ed25519Key(seed(name)) for name in ("w1", "w2", "w3")}
KEYS = {name: note.VerifierKey(f"witness.example/{name}", note.COSIGNATURE, key.public) for name, key in PRIVATE.items()}
LOG_LINE = f"log {note.format_vkey(LOG)}"
WITNESS = {name: f"witness {name} {note.format_vkey(key)}" for name, key in KEYS.items()}
OTHER_LOG = note.VerifierKey("other.example/log", note.ED25519, keys.Ed25519Key(seed("other")).public)


def policy(*rows: str) -> Policy:
    return parse_policy(("\n".join(rows) + "\n").encode())


THREE = (LOG_LINE, *WITNESS.values())


def test_example_of_the_specification():
    w1_pq = note.VerifierKey("witness.example/w1", note.MLDSA44, keys.MlDsa44Key(seed("w1-pq")).public)
    read = policy(
        "# a comment",
        "",
        LOG_LINE,
        WITNESS["w1"].replace(" w1 ", " w1-ed "),
        f"witness w1-pq {note.format_vkey(w1_pq)}",
        WITNESS["w2"],
        "group w1 any w1-ed w1-pq",
        "group both all w1 w2",
        "quorum both",
    )
    assert read.logs == (LOG,)
    assert read.witnesses == {"w1-ed": KEYS["w1"], "w1-pq": w1_pq, "w2": KEYS["w2"]}
    assert read.groups == {"w1": Group(1, ("w1-ed", "w1-pq")), "both": Group(2, ("w1", "w2"))}
    assert read.quorum == "both"


@pytest.mark.parametrize(
    "rows",
    [
        ("quorum none",),
        (LOG_LINE, "quorum none"),
        (LOG_LINE + " https://log.example/", "quorum none"),
        (LOG_LINE, f"log {note.format_vkey(OTHER_LOG)}", "quorum none"),
        (WITNESS["w1"] + " https://w1.example/", "quorum w1"),
        (f"\twitness  w1\t \t{note.format_vkey(KEYS['w1'])}  ", " quorum\tw1 "),
        ("  # indented comment", "#comment", "\t", "quorum none"),
        (*WITNESS.values(), "group g 2 w1 w2 w3", "quorum g"),
        ("quorum none", LOG_LINE),
        ("witness log-pq " + note.format_vkey(LOG_06), "quorum log-pq"),
    ],
    ids=["no log", "log", "log URL", "two logs", "witness URL", "blanks", "comments", "threshold", "order", "log's 0x06 key"],
)
def test_accepted(rows):
    assert policy(*rows).quorum in {"none", "w1", "g", "log-pq"}


def test_no_final_lf():
    assert parse_policy(b"quorum none") == parse_policy(b"quorum none\n")


MANY = tuple(f"group g{i} any w{i}" for i in (1, 2))
SAME_KEY = note.format_vkey(note.VerifierKey("sock.puppet/w", note.COSIGNATURE, PRIVATE["w1"].public))
SAME_LOG_KEY = note.format_vkey(note.VerifierKey("second.name/log", note.ED25519, LOG_ED.public))
BAD = {
    "empty": (),
    "no quorum": (LOG_LINE,),
    "two quorums": (LOG_LINE, "quorum none", "quorum none"),
    "quorum of nothing": ("quorum",),
    "quorum of two": (*THREE, "quorum w1 w2"),
    "quorum not defined": (LOG_LINE, "quorum w9"),
    "quorum defined below": (LOG_LINE, "quorum w1", WITNESS["w1"]),
    "quorum is a key name": (*THREE, "quorum witness.example/w1"),
    "unknown word": (LOG_LINE, "trust me", "quorum none"),
    "upper-case word": (LOG_LINE.replace("log", "LOG"), "quorum none"),
    "log without key": ("log", "quorum none"),
    "log with a name": (f"log name {note.format_vkey(LOG)} url", "quorum none"),
    "log, broken key": (LOG_LINE[:-1], "quorum none"),
    "log of type 0x04": (f"log {note.format_vkey(KEYS['w1'])}", "quorum none"),
    "log of type 0x06": (f"log {note.format_vkey(LOG_06)}", "quorum none"),
    "log twice": (LOG_LINE, LOG_LINE, "quorum none"),
    "log key under two names": (LOG_LINE, f"log {SAME_LOG_KEY}", "quorum none"),
    "witness without key": ("witness w1", "quorum none"),
    "witness without name": (f"witness {note.format_vkey(KEYS['w1'])}", "quorum none"),
    "witness with too much": (WITNESS["w1"] + " url more", "quorum none"),
    "witness of type 0x01": (f"witness w {note.format_vkey(LOG)}", "quorum none"),
    "witness named none": (f"witness none {note.format_vkey(KEYS['w1'])}", "quorum none"),
    "witness name twice": (WITNESS["w1"], WITNESS["w2"].replace(" w2 ", " w1 "), "quorum none"),
    "witness key twice": (WITNESS["w1"], WITNESS["w1"].replace(" w1 ", " w2 "), "quorum none"),
    "witness key under two key names, two votes": (WITNESS["w1"], f"witness w2 {SAME_KEY}", "group g 2 w1 w2", "quorum g"),
    "group without members": (*THREE, "group g any", "quorum g"),
    "group without threshold": (*THREE, "group g w1 w2", "quorum g"),
    "group named none": (*THREE, "group none any w1", "quorum none"),
    "group named like a witness": (*THREE, "group w1 any w2", "quorum w1"),
    "group name twice": (*THREE, "group g any w1", "group g any w2", "quorum g"),
    "member not defined": (*THREE, "group g any w1 w9", "quorum g"),
    "member none": (*THREE, "group g any none", "quorum g"),
    "member defined below": (LOG_LINE, "group g any w1", WITNESS["w1"], "quorum g"),
    "group in itself": (*THREE, "group g any g", "quorum g"),
    "member twice": (*THREE, "group g 2 w1 w1", "quorum g"),
    "member of two groups": (*THREE, "group g any w1", "group h any w1 w2", "quorum h"),
    "group in two groups": (*THREE, *MANY, "group g any g1", "group h any g1 g2", "quorum h"),
    "threshold 0": (*THREE, "group g 0 w1 w2", "quorum g"),
    "threshold above the members": (*THREE, "group g 3 w1 w2", "quorum g"),
    "threshold with a sign": (*THREE, "group g +1 w1 w2", "quorum g"),
    "threshold with a leading zero": (*THREE, "group g 01 w1 w2", "quorum g"),
    "threshold in Arabic-Indic digits": (*THREE, "group g ١ w1 w2", "quorum g"),
    "threshold ALL": (*THREE, "group g ALL w1 w2", "quorum g"),
    "no-break space": (LOG_LINE, "quorum\u00a0none"),
}


@pytest.mark.parametrize("rows", BAD.values(), ids=BAD)
def test_refused(rows):
    with pytest.raises(MalformedError):
        policy(*rows)


def test_the_line_is_named():
    with pytest.raises(MalformedError, match=r"line 3: .*not defined above"):
        policy(LOG_LINE, "# comment", "quorum nobody")


def test_bytes_refused():
    with pytest.raises(MalformedError):
        parse_policy(b"\xffquorum none\n")
    with pytest.raises(MalformedError, match="1,048,576"):
        parse_policy(b"#" * (2**20 + 1))


@pytest.mark.parametrize(
    ("rows", "quorum", "met"),
    [
        ((), "w1", lambda s: "w1" in s),
        (("group g any w1 w2 w3",), "g", lambda s: len(s) >= 1),
        (("group g all w1 w2 w3",), "g", lambda s: len(s) == 3),
        (("group g 2 w1 w2 w3",), "g", lambda s: len(s) >= 2),
        (("group g any w1 w2", "group h all g w3"), "h", lambda s: bool(s & {"w1", "w2"}) and "w3" in s),
        (("group g all w1 w2", "group h any g w3"), "h", lambda s: s >= {"w1", "w2"} or "w3" in s),
    ],
)
def test_quorums(rows, quorum, met):
    read = policy(*THREE, *rows, f"quorum {quorum}")
    for count in range(4):
        for signed in itertools.combinations(WITNESS, count):
            assert read.is_met(quorum, frozenset(signed)) == met(set(signed)), signed


def test_deep_groups():
    """A chain of groups as long as the size limit allows ends in a value, not in a RecursionError."""
    rows = [WITNESS["w1"], "group g0 all w1", *(f"group g{i} all g{i - 1}" for i in range(1, 20_000)), "quorum g19999"]
    read = policy(*rows)
    assert read.is_met("g19999", frozenset({"w1"}))
    assert not read.is_met("g19999", frozenset())


# Opening checkpoints -------------------------------------------------------------------------------------------------

POINT = example().checkpoint
TEXT = checkpoint.format_checkpoint(POINT)
LINE_01, LINE_06 = note.parse_note(example().note).unverified_signatures


def cosign(name: str, seconds: int = 1_795_489_204) -> note.NoteSignature:
    signature = PRIVATE[name].sign(checkpoint.cosigned_message(TEXT, seconds))
    return note.NoteSignature(KEYS[name].name, KEYS[name].key_id, seconds.to_bytes(8, "big") + signature)


def broken(line: note.NoteSignature) -> note.NoteSignature:
    return note.NoteSignature(line.name, line.key_id, line.field[:-1] + bytes((line.field[-1] ^ 1,)))


def signed(*lines: note.NoteSignature, text: bytes = TEXT) -> bytes:
    return note.format_note(note.Note(text, lines))


NO_WITNESS = policy(LOG_LINE, "quorum none")
TWO_OF_THREE = policy(*THREE, "group g 2 w1 w2 w3", "quorum g")


def test_published():
    opened = open_checkpoint(example().note, NO_WITNESS)
    assert opened.checkpoint == POINT
    assert opened.log == LOG
    assert (opened.witnesses, opened.quorum, opened.is_quorum_met) == ((), "none", False)


def test_witnessed():
    opened = open_checkpoint(signed(LINE_01, LINE_06, cosign("w2", 7), cosign("w1", 9)), TWO_OF_THREE)
    assert opened.witnesses == (("w2", 7), ("w1", 9))
    assert opened.is_quorum_met


def test_quorum_not_met():
    opened = open_checkpoint(signed(LINE_01, cosign("w1")), TWO_OF_THREE)
    assert not opened.is_quorum_met
    assert opened.quorum == "g"


def test_witnesses_without_the_log_are_nothing():
    with pytest.raises(UntrustedError):
        open_checkpoint(signed(cosign("w1"), cosign("w2"), cosign("w3")), TWO_OF_THREE)


def test_the_logs_0x06_line_can_be_required():
    read = policy(LOG_LINE, f"witness log-pq {note.format_vkey(LOG_06)}", "quorum log-pq")
    assert open_checkpoint(example().note, read).is_quorum_met
    assert not open_checkpoint(signed(LINE_01), read).is_quorum_met
    with pytest.raises(InvalidSignatureError):
        open_checkpoint(signed(LINE_01, broken(LINE_06)), read)
    with pytest.raises(UntrustedError):
        open_checkpoint(signed(LINE_06), read)


def test_unknown_lines_are_ignored():
    stranger = note.NoteSignature("stranger.example", b"1234", b"anything")
    same_name = note.NoteSignature(ORIGIN, b"1234", bytes(64))
    same_id = note.NoteSignature("stranger.example", LOG.key_id, bytes(64))
    witness_not_named = broken(cosign("w3"))
    note_bytes = signed(stranger, same_name, same_id, LINE_01, broken(LINE_06), witness_not_named, stranger)
    assert open_checkpoint(note_bytes, NO_WITNESS).checkpoint == POINT


@pytest.mark.parametrize(
    "lines",
    [
        (broken(LINE_01),),
        (LINE_01, broken(cosign("w1"))),
        (LINE_01, cosign("w1"), cosign("w2"), broken(cosign("w3"))),
        (LINE_01, note.NoteSignature(KEYS["w1"].name, KEYS["w1"].key_id, cosign("w2").field)),
        (LINE_01, note.NoteSignature(KEYS["w1"].name, KEYS["w1"].key_id, b"x")),
        (LINE_01, cosign("w1", 0)),
    ],
    ids=["log", "one witness", "third witness, quorum met without it", "another witness's signature", "one byte", "time 0"],
)
def test_a_known_line_that_fails_rejects_the_note(lines):
    with pytest.raises(InvalidSignatureError):
        open_checkpoint(signed(*lines), TWO_OF_THREE)


@pytest.mark.parametrize(
    "lines",
    [(LINE_01, LINE_01), (LINE_01, cosign("w1"), cosign("w1")), (LINE_01, cosign("w1"), cosign("w1", 8))],
    ids=["log twice", "witness twice", "witness at two times"],
)
def test_two_lines_of_one_key(lines):
    with pytest.raises(MalformedNoteError):
        open_checkpoint(signed(*lines), TWO_OF_THREE)


def test_untrusted():
    with pytest.raises(UntrustedError) as caught:
        open_checkpoint(example().note, policy(f"log {note.format_vkey(OTHER_LOG)}", "quorum none"))
    assert caught.value.unverified == ORIGIN
    with pytest.raises(UntrustedError):
        open_checkpoint(example().note, policy("quorum none"))
    with pytest.raises(UntrustedError, match="another key may have signed"):
        open_checkpoint(signed(LINE_06), NO_WITNESS)


def test_another_key_under_the_logs_name():
    """Somebody who signs under the log's name with a key of his own is unknown, not a bad signature."""
    thief = keys.Ed25519Key(seed("thief"))
    line, _ = evidence.log_lines(POINT, thief, LOG_PQ)
    with pytest.raises(UntrustedError):
        open_checkpoint(signed(line), NO_WITNESS)


def test_of_several_logs_the_origin_chooses():
    both = policy(f"log {note.format_vkey(OTHER_LOG)}", LOG_LINE, "quorum none")
    assert open_checkpoint(example().note, both).log == LOG
    other = checkpoint.Checkpoint(OTHER_LOG.name, POINT.size, POINT.root_hash)
    text = checkpoint.format_checkpoint(other)
    foreign = note.NoteSignature(ORIGIN, LOG.key_id, LOG_ED.sign(text))
    with pytest.raises(UntrustedError):
        open_checkpoint(signed(foreign, text=text), both), "a pinned log can't sign for another one"


@pytest.mark.parametrize(
    "text", [TEXT + b"extension\n", b"x\n", TEXT.replace(b"\n6\n", b"\n06\n")], ids=["extension line", "no checkpoint", "size"]
)
def test_not_a_checkpoint(text):
    with pytest.raises(MalformedCheckpointError):
        open_checkpoint(signed(note.NoteSignature(ORIGIN, LOG.key_id, LOG_ED.sign(text)), text=text), NO_WITNESS)


def test_not_a_note():
    with pytest.raises(MalformedNoteError):
        open_checkpoint(TEXT, NO_WITNESS)


@pytest.mark.parametrize("char", ["\x00", "\x07", "\x0b", "\r", "\x7f", "\x85", "\u2028", "\u2029"])
def test_nothing_that_some_readers_take_for_a_line_end(char):
    """In a comment too: what one reader passes over as a comment may be a line to another."""
    with pytest.raises(MalformedError, match="line 1"):
        parse_policy(f"# {char}\nquorum none\n".encode())


def test_the_largest_trust_file():
    head = b"quorum none\n#"
    assert parse_policy(head + b"x" * (MAX_POLICY_BYTES - len(head))) == Policy(())
    with pytest.raises(TooLargeError):
        parse_policy(head + b"x" * (MAX_POLICY_BYTES - len(head) + 1))
