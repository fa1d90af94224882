"""Checkpoints, and the three messages that their lines sign (formats.md section 7; tlog-checkpoint, tlog-cosignature)."""

from __future__ import annotations

import struct

import pytest

from apostille.core import checkpoint, evidence, keys, note
from apostille.core.checkpoint import Checkpoint, verify_line
from apostille.core.digest import sha256
from apostille.core.merkle import EMPTY_ROOT
from apostille.errors import InvalidSignatureError, MalformedCheckpointError
from tests.simulators.world import seed
from tests.unit.core.core_kit import LOG, LOG_06, LOG_ED, LOG_PQ, ORIGIN, example

ROOT = sha256(b"root")
POINT = Checkpoint(ORIGIN, 700, ROOT)
TEXT = checkpoint.format_checkpoint(POINT)
B64_ROOT = TEXT.decode().split("\n")[2]
W1, W1_PQ = keys.Ed25519Key(seed("w1")), keys.MlDsa44Key(seed("w1-pq"))
WITNESS = note.VerifierKey("witness.example/w1", note.COSIGNATURE, W1.public)
WITNESS_06 = note.VerifierKey("witness.example/w1", note.MLDSA44, W1_PQ.public)


def test_text():
    assert f"{ORIGIN}\n700\n{B64_ROOT}\n".encode() == TEXT
    assert checkpoint.parse_checkpoint(TEXT) == POINT


@pytest.mark.parametrize("size", [0, 1, 2**53, 2**63 - 1])
def test_sizes(size):
    point = Checkpoint("example.com/log", size, EMPTY_ROOT)
    assert checkpoint.parse_checkpoint(checkpoint.format_checkpoint(point)) == point


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"{ORIGIN}\n",
        f"{ORIGIN}\n700\n",
        f"{ORIGIN}\n700\n{B64_ROOT}",
        f"{ORIGIN}\n700\n{B64_ROOT}\nextension\n",
        f"{ORIGIN}\n700\n{B64_ROOT}\n\n",
        f"\n700\n{B64_ROOT}\n",
        f"cosignature/v1\n700\n{B64_ROOT}\n",
        f"go.sum database tree\n700\n{B64_ROOT}\n",
        f"a+b\n700\n{B64_ROOT}\n",
        f"{'n' * 256}\n700\n{B64_ROOT}\n",
        f"a\u00a0b\n700\n{B64_ROOT}\n",
        f"a\x7fb\n700\n{B64_ROOT}\n",
        f"{ORIGIN} \n700\n{B64_ROOT}\n",
        *(f"{ORIGIN}\n{size}\n{B64_ROOT}\n" for size in ("", "+5", "1_0", " 7", "7 ", "007", "-3", "٣", "0x10", "1e3", 2**63)),
        f"{ORIGIN}\n700\n\n",
        f"{ORIGIN}\n700\n{B64_ROOT[:-1]}\n",
        f"{ORIGIN}\n700\n{B64_ROOT} \n",
        f"{ORIGIN}\n700\n{'A' * 40}\n",
        f"{ORIGIN}\n700\n{'A' * 44}\n",
        f"{ORIGIN}\n700\n{ROOT.hex()}\n",
        f"{ORIGIN}\r\n700\r\n{B64_ROOT}\r\n",
    ],
    ids=lambda text: repr(text.replace(B64_ROOT, "ROOT").replace(ORIGIN, "ORIGIN"))[:48],
)
def test_refused(text):
    with pytest.raises(MalformedCheckpointError):
        checkpoint.parse_checkpoint(text.encode())


def test_not_utf8():
    with pytest.raises(MalformedCheckpointError):
        checkpoint.parse_checkpoint(b"\xff" + TEXT)


def test_cosigned_message():
    assert checkpoint.cosigned_message(TEXT, 1_795_489_204) == b"cosignature/v1\ntime 1795489204\n" + TEXT


def test_subtree_message():
    name = "witness.example/é"
    expected = struct.pack(
        f">12sB18sQB{len(ORIGIN)}sQQ32s",
        b"subtree/v1\n\0",
        18,
        name.encode(),
        1_795_489_204,
        len(ORIGIN),
        ORIGIN.encode(),
        0,
        700,
        ROOT,
    )
    assert checkpoint.subtree_message(name, 1_795_489_204, POINT) == expected


def test_subtree_message_of_the_longest_names():
    point = Checkpoint("o" * 255, 2**63 - 1, ROOT)
    message = checkpoint.subtree_message("n" * 255, 2**63 - 1, point)
    assert len(message) == 12 + 256 + 8 + 256 + 8 + 8 + 32


def time_field(seconds: int, signature: bytes) -> bytes:
    return seconds.to_bytes(8, "big") + signature


def ed_line(seconds: int, *, message_seconds: int | None = None) -> bytes:
    return time_field(
        seconds, W1.sign(checkpoint.cosigned_message(TEXT, seconds if message_seconds is None else message_seconds))
    )


def pq_line(key: note.VerifierKey, private: keys.MlDsa44Key, seconds: int, point: Checkpoint = POINT) -> bytes:
    return time_field(seconds, private.sign(checkpoint.subtree_message(key.name, seconds, point)))


def test_good_lines():
    assert verify_line(LOG, LOG_ED.sign(TEXT), TEXT, POINT) == 0
    assert verify_line(LOG_06, pq_line(LOG_06, LOG_PQ, 0), TEXT, POINT) == 0
    assert verify_line(WITNESS, ed_line(1_795_489_204), TEXT, POINT) == 1_795_489_204
    assert verify_line(WITNESS_06, pq_line(WITNESS_06, W1_PQ, 2**63 - 1), TEXT, POINT) == 2**63 - 1


OTHER = Checkpoint(ORIGIN, 701, ROOT)
BAD_LINES = {
    "log signs another text": (LOG, LOG_ED.sign(TEXT + b"x\n")),
    "log, empty": (LOG, b""),
    "log, with a time": (LOG, bytes(8) + LOG_ED.sign(TEXT)),
    "log signs without the final LF": (LOG, LOG_ED.sign(TEXT[:-1])),
    "witness signs the bare text": (WITNESS, time_field(5, W1.sign(TEXT))),
    "witness at time 0": (WITNESS, ed_line(0)),
    "witness after 2^63 - 1": (WITNESS, ed_line(2**63)),
    "witness, another time in the message": (WITNESS, ed_line(5, message_seconds=6)),
    "witness without time": (WITNESS, ed_line(5)[8:]),
    "witness, empty": (WITNESS, b""),
    "witness, seven bytes": (WITNESS, bytes(7)),
    "log 0x06 with a time": (LOG_06, pq_line(LOG_06, LOG_PQ, 5)),
    "log 0x06 over another size": (LOG_06, pq_line(LOG_06, LOG_PQ, 0, OTHER)),
    "log 0x06 over another root": (LOG_06, pq_line(LOG_06, LOG_PQ, 0, Checkpoint(ORIGIN, 700, sha256(b"other")))),
    "log 0x06 over another origin": (LOG_06, pq_line(LOG_06, LOG_PQ, 0, Checkpoint("other", 700, ROOT))),
    "log 0x06 over the text": (LOG_06, bytes(8) + LOG_PQ.sign(TEXT)),
    "log 0x06 under another name": (LOG_06, time_field(0, LOG_PQ.sign(checkpoint.subtree_message("other", 0, POINT)))),
    "log 0x06, empty": (LOG_06, b""),
    "witness 0x06 at time 0": (WITNESS_06, pq_line(WITNESS_06, W1_PQ, 0)),
    "witness 0x06 after 2^63 - 1": (WITNESS_06, pq_line(WITNESS_06, W1_PQ, 2**63)),
    "witness 0x06, another time": (WITNESS_06, time_field(6, pq_line(WITNESS_06, W1_PQ, 5)[8:])),
    "witness 0x06, cut": (WITNESS_06, pq_line(WITNESS_06, W1_PQ, 5)[:-1]),
    "witness 0x06 by another key": (WITNESS_06, pq_line(WITNESS_06, LOG_PQ, 5)),
}


@pytest.mark.parametrize(("key", "field"), BAD_LINES.values(), ids=BAD_LINES)
def test_bad_lines(key, field):
    with pytest.raises(InvalidSignatureError) as caught:
        verify_line(key, field, TEXT, POINT)
    assert caught.value.key_name == key.name


def test_log_lines():
    first, second = evidence.log_lines(POINT, LOG_ED, LOG_PQ)
    assert (first.name, first.key_id) == (ORIGIN, LOG.key_id)
    assert (second.name, second.key_id) == (ORIGIN, LOG_06.key_id)
    assert second.field[:8] == bytes(8)
    assert verify_line(LOG, first.field, TEXT, POINT) == verify_line(LOG_06, second.field, TEXT, POINT) == 0


def test_worked_example():
    text, *_ = example().note.partition(b"\n\n")
    assert checkpoint.parse_checkpoint(text + b"\n") == example().checkpoint
