"""Signed notes and verifier keys.

    note  = text (ends in LF) || LF || lines: U+2014 SP name SP b64(keyID[4] || sigfield) LF
    keyID = SHA-256(name || LF || type || pubkey)[:4]
    vkey  = name "+" hex8(keyID) "+" b64(type || pubkey)

Reading a note verifies nothing; ``core.policy`` decides which lines count. Name *and* key id are compared.

Spec: c2sp.org/signed-note@v1.0.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from apostille.core import strict
from apostille.core.digest import sha256
from apostille.errors import MalformedError, MalformedNoteError, TooLargeError

ED25519 = 0x01
COSIGNATURE = 0x04
MLDSA44 = 0x06
PUBLIC_KEY_BYTES = {ED25519: 32, COSIGNATURE: 32, MLDSA44: 1312}
MAX_NOTE_BYTES = 128 * 1024
MAX_SIGNATURES = 32
SPEC = "signed-note"
_MAX_NAME_BYTES = 255
_DASH = "\u2014 "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")  # C0 but LF
# White_Space of Unicode; pinned, because str.isspace follows the interpreter.
_SPACES = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {chr(c) for c in range(0x2000, 0x200B)}


def is_name(name: str) -> bool:
    """Tell whether a text may name a key: 1 to 255 bytes, no Unicode space, no ``+``."""
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:  # lone surrogates: how Python hands on bytes of a command line that are not UTF-8
        return False
    return 0 < size <= _MAX_NAME_BYTES and "+" not in name and not _SPACES & set(name)


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key for notes: what ``name+hex+base64`` says.

    Attributes:
        name: The signer.
        kind: Signature type byte: ``ED25519``, ``COSIGNATURE`` or ``MLDSA44``.
        public: The raw public key.
    """

    name: str
    kind: int
    public: bytes

    @property
    def hash(self) -> bytes:
        """SHA-256(name || LF || type || pubkey), 32 bytes; its first four are the key id."""
        return sha256(self.name.encode() + b"\n" + bytes((self.kind,)) + self.public)

    @property
    def key_id(self) -> bytes:
        """The four bytes that a signature line begins with."""
        return self.hash[:4]


def format_vkey(key: VerifierKey) -> str:
    """Write a verifier key as text."""
    return f"{key.name}+{key.key_id.hex()}+{strict.base64_text(bytes((key.kind,)) + key.public)}"


def parse_vkey(text: str) -> VerifierKey:
    """Read a verifier key.

    Raises:
        MalformedNoteError: Another form, an unknown type, a key id that is not the key's.
    """
    name, _, rest = text.partition("+")
    id_text, _, data_text = rest.partition("+")
    try:
        given = strict.hex_bytes(id_text, 4, spec="vkey")
        data = strict.base64_bytes(data_text, spec="vkey")
    except MalformedError as error:
        raise MalformedNoteError(f"not a verifier key: {text[:64]!r}", spec="vkey") from error
    if not is_name(name) or not data or len(data) - 1 != PUBLIC_KEY_BYTES.get(data[0]):
        raise MalformedNoteError(f"not a verifier key of a known type: {text[:64]!r}", spec="vkey")
    key = VerifierKey(name, data[0], data[1:])
    if key.key_id != given:
        raise MalformedNoteError(f"the key id of {name!r} is {key.key_id.hex()}, not {id_text}", spec="vkey")
    return key


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line, unverified.

    Attributes:
        name: The signer that the line names.
        key_id: Four bytes.
        field: The signature, in the form that its type has.
    """

    name: str
    key_id: bytes
    field: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A text and its signature lines, unverified.

    Attributes:
        text: The signed text as bytes, with its final LF.
        unverified_signatures: In the order of the note.
    """

    text: bytes
    unverified_signatures: tuple[NoteSignature, ...]


def format_note(note: Note) -> bytes:
    """Write a note."""
    rows = [f"{_DASH}{s.name} {strict.base64_text(s.key_id + s.field)}\n" for s in note.unverified_signatures]
    return note.text + b"\n" + "".join(rows).encode()


def parse_note(data: bytes) -> Note:
    """Read a note.

    Raises:
        MalformedNoteError: Any byte that ``format_note`` would not write back.
        TooLargeError: Over 128 KiB or 32 signature lines.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise TooLargeError(f"a note of {len(data):,} bytes", limit=MAX_NOTE_BYTES, spec=SPEC)
    try:
        whole = strict.utf8(data, spec=SPEC)
    except MalformedError as error:
        raise MalformedNoteError("not UTF-8", spec=SPEC, offset=error.offset) from error
    if _CONTROL.search(whole) or not whole.endswith("\n"):
        raise MalformedNoteError("a control character, or no LF at the end", spec=SPEC)
    # The LAST blank line divides text from signatures.
    text, mark, rest = whole.rpartition("\n\n")
    if not mark:
        raise MalformedNoteError("no blank line before the signatures", spec=SPEC)
    rows = rest[:-1].split("\n")
    if len(rows) > MAX_SIGNATURES:
        raise TooLargeError(f"{len(rows)} signature lines", limit=MAX_SIGNATURES, spec=SPEC)
    signatures: list[NoteSignature] = []
    for row in rows:
        name, _, value = row[len(_DASH) :].partition(" ")
        if not row.startswith(_DASH) or not is_name(name):
            raise MalformedNoteError(f"not a signature line: {row[:48]!r}", spec=SPEC)
        try:
            field = strict.base64_bytes(value, spec=SPEC)
        except MalformedError as error:
            raise MalformedNoteError(f"not a signature line: {row[:48]!r}", spec=SPEC) from error
        if len(field) <= 4:
            raise MalformedNoteError(f"an empty signature: {row[:48]!r}", spec=SPEC)
        signatures.append(NoteSignature(name, field[:4], field[4:]))
    return Note((text + "\n").encode(), tuple(signatures))
