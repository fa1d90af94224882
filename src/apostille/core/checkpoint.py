"""Checkpoints, and what each kind of signature line on them signs.

    text = origin LF decimal size LF b64 root LF        no extension lines

| type | signer       | sigfield                       | message                                                  |
|------|--------------|--------------------------------|----------------------------------------------------------|
| 0x01 | log          | Ed25519, 64 B                  | text                                                     |
| 0x04 | witness      | u64be time, Ed25519            | "cosignature/v1" LF "time " decimal LF text              |
| 0x06 | log, witness | u64be time, ML-DSA-44, 2,420 B | "subtree/v1" LF 00, name, time, origin, 0, size, root    |

The log's own 0x06 line has time 0; a witness's time is never 0. Extension lines are refused: 0x06 does not cover them.

Spec: c2sp.org/tlog-checkpoint@v1.0.0; c2sp.org/tlog-cosignature@v1.1.0-rc.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from apostille.core import note, signatures, strict
from apostille.core.digest import SIZE
from apostille.errors import InvalidSignatureError, MalformedCheckpointError, MalformedError

SPEC = "tlog-checkpoint"
_LINES = 3
_RESERVED = "cosignature/v1"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself. Unverified until a policy has opened the note that holds it.

    Attributes:
        origin: The log's name.
        size: Number of leaves.
        root_hash: Root of the tree, 32 bytes.
    """

    origin: str
    size: int
    root_hash: bytes


def format_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Write the three lines of a checkpoint."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{strict.base64_text(checkpoint.root_hash)}\n".encode()


def parse_checkpoint(text: bytes) -> Checkpoint:
    """Read the three lines of a checkpoint.

    Raises:
        MalformedCheckpointError: Any other form; extension lines too.
    """
    try:
        rows = strict.lines(text, spec=SPEC)
        if len(rows) != _LINES or not note.is_name(rows[0]) or rows[0] == _RESERVED:
            raise MalformedError("not an origin, a size and a root, each on a line", spec=SPEC)
        return Checkpoint(rows[0], strict.decimal(rows[1], spec=SPEC), strict.base64_bytes(rows[2], size=SIZE, spec=SPEC))
    except MalformedError as error:
        raise MalformedCheckpointError(str(error)) from error


def cosigned_message(text: bytes, seconds: int) -> bytes:
    """Return what a 0x04 line signs."""
    return b"cosignature/v1\ntime %d\n%b" % (seconds, text)


def subtree_message(name: str, seconds: int, checkpoint: Checkpoint) -> bytes:
    """Return what a 0x06 line signs: each name after its length in one byte, each number as u64be."""
    signer, origin = name.encode(), checkpoint.origin.encode()
    return b"".join(
        (
            b"subtree/v1\n\x00",
            bytes((len(signer),)),
            signer,
            seconds.to_bytes(8, "big"),
            bytes((len(origin),)),
            origin,
            bytes(8),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root_hash,
        )
    )


def verify_line(key: note.VerifierKey, field: bytes, text: bytes, checkpoint: Checkpoint) -> int:
    """Verify one signature line of a checkpoint under the key that it names.

    Returns:
        The time in the line, POSIX seconds; 0 on the log's own lines.

    Raises:
        InvalidSignatureError: It does not verify, or its time is not allowed for its signer.
    """
    if key.kind == note.ED25519:
        signatures.verify_ed25519(key.public, field, text, key_name=key.name)
        return 0
    seconds = int.from_bytes(field[:8], "big")
    by_log = key.kind == note.MLDSA44 and key.name == checkpoint.origin
    if (seconds == 0) != by_log or seconds > strict.MAX_UINT63:
        raise InvalidSignatureError(f"the line of {key.name} has a time that its signer may not use", key_name=key.name)
    if key.kind == note.COSIGNATURE:
        signatures.verify_ed25519(key.public, field[8:], cosigned_message(text, seconds), key_name=key.name)
    else:
        message = subtree_message(key.name, seconds, checkpoint)
        signatures.verify_mldsa44(key.public, field[8:], message, key_name=key.name)
    return seconds
