"""Frames: what a keeper and its clients say to each other over a socket.

    frame = u32be length || u8 type || body      length counts type and body, 64 MiB at most
    body  = u32be request || fields              an answer carries the request's number; 0 is nobody's

| no | frame | from | fields |
|---|---|---|---|
| 1 | ``Challenge`` | keeper, first | version u8, challenge[32]: all that a peer without a key ever gets |
| 2 | ``Hello`` | client | SPKI, signature over ``hello_message``; once for each of its keys -> ``Welcome`` |
| 3 | ``Enrol`` | client | SPKI, proof, holder, held_by, O token, O SPKI hash of the key that it replaces -> ``Welcome`` |
| 4 | ``Welcome`` | keeper | life of the key (begin, end), the best isolation that its runs may claim |
| 5 | ``Lease`` | client | run[16] -> ``Leased`` |
| 6 | ``Leased`` | keeper | u64 seq, previous[32]: where the run goes on |
| 7 | ``Append`` | client | entries: statement, signature, unit[16], openings in the order of their subjects -> ``Appended`` |
| 8 | ``Appended`` | keeper | an index each, all durable; and those that were refused, by place |
| 9 | ``Wait`` | client | u64 index, level 0 committed or 1 published -> ``HeadIs`` |
| 10 | ``AskHead`` | client | nothing -> ``HeadIs``; an error where the keeper is not ready |
| 11 | ``HeadIs`` | keeper | u64 committed size, newest checkpoint: u64 size, root[32], note (size 0: none) |
| 12 | ``AskReceipt`` | client | O id[16], u64 index (where there is no id), u64 since (0: none) -> ``ReceiptIs`` |
| 13 | ``ReceiptIs`` | keeper | state, JSON |
| 14 | ``HandOver`` | both | with the keeper's key: let the store go; from the keeper: it goes, come back to the next one |
| 15 | ``Failed`` | keeper | code and message of an error of ``apostille.errors`` |
| 16 | reserved | | ``JOURNAL``, for segmented streams |

Numbers are 2**63 - 1 at most. Strings and bytes carry their length (u16be, or u32be where they may be long); O = u8 0, or u8 1
and the value; lists carry u32be. One spelling each, nothing behind the last field: what parses is written back to the same bytes.

Spec: ``gateway.md`` section 1.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NoReturn, TypeAlias

from apostille import errors
from apostille.core.digest import SIZE
from apostille.core.predicates import ID_BYTES
from apostille.core.strict import MAX_UINT63
from apostille.errors import ApostilleError, MalformedError, TooLargeError

VERSION = 1
MAX_FRAME_BYTES = 64 * 2**20
MAX_UNPROVEN_BYTES = 4096  # of a peer that has not shown a key yet
MAX_HANDED = 8192  # statements of one frame: 26 bytes each, millions would fit, and each has a refusal of its own
MAX_OPENINGS = 16_384  # of one statement; its own limit leaves no room for more subjects
HEADER_BYTES = 4
CHALLENGE_BYTES = 32
TOKEN_BYTES = 32
COMMITTED, PUBLISHED = 0, 1
REFUSED = 2**64 - 1
SPEC = "keeper frame"
_HELLO = b"apostille keeper hello v1\n"
_U16, _U32, _U64 = struct.Struct(">H"), struct.Struct(">I"), struct.Struct(">Q")


def hello_message(origin: str, challenge: bytes) -> bytes:
    """Return what a client signs to show that it holds a key: it binds the log and this one connection."""
    return _HELLO + origin.encode() + b"\n" + challenge


@dataclass(frozen=True, slots=True)
class Challenge:
    """The keeper's first words."""

    request: int
    version: int
    challenge: bytes


@dataclass(frozen=True, slots=True)
class Hello:
    """A client shows that it holds a certified key."""

    request: int
    spki: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Enrol:
    """A client asks for a certificate for a new key that it holds."""

    request: int
    spki: bytes
    signature: bytes
    holder: str
    held_by: str
    token: bytes | None = None
    replaces: bytes | None = None


@dataclass(frozen=True, slots=True)
class Welcome:
    """The key may be used."""

    request: int
    not_before: str
    not_after: str
    isolation: str


@dataclass(frozen=True, slots=True)
class Lease:
    """A client wants to go on with a run."""

    request: int
    run: bytes


@dataclass(frozen=True, slots=True)
class Leased:
    """Its next place and the digest of the statement before it."""

    request: int
    seq: int
    previous: bytes


@dataclass(frozen=True, slots=True)
class Handed:
    """One statement in an ``Append``. Its run, nonce, key and the digests of its openings stand in the statement."""

    statement: bytes
    signature: bytes
    unit: bytes
    openings: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Append:
    """Statements to be committed, in this order."""

    request: int
    entries: tuple[Handed, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the statement at ``place`` was not taken."""

    place: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Appended:
    """Where the statements of an ``Append`` are; ``REFUSED`` for those among ``refusals``."""

    request: int
    indexes: tuple[int, ...]
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Tell me when a leaf is committed, or published."""

    request: int
    index: int
    level: int


@dataclass(frozen=True, slots=True)
class AskHead:
    """Is the keeper ready, and where is its log?"""

    request: int


@dataclass(frozen=True, slots=True)
class HeadIs:
    """The committed size and the newest checkpoint."""

    request: int
    committed: int
    size: int
    root_hash: bytes
    note: bytes


@dataclass(frozen=True, slots=True)
class AskReceipt:
    """The receipt of a leaf, by receipt id or index."""

    request: int
    receipt_id: bytes | None
    index: int
    since: int


@dataclass(frozen=True, slots=True)
class ReceiptIs:
    """``committed`` or ``published``, and the receipt."""

    request: int
    state: str
    data: bytes


@dataclass(frozen=True, slots=True)
class HandOver:
    """The store changes hands."""

    request: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A request, or with number 0 the connection, failed."""

    request: int
    code: str
    message: str


Frame: TypeAlias = (
    Challenge | Hello | Enrol | Welcome | Lease | Leased | Append | Appended | Wait | AskHead | HeadIs | AskReceipt | ReceiptIs
    | HandOver | Failed
)  # fmt: skip


class _Reader:
    """Takes fields off a body, and never more than is there."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def take(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        if self._at > len(self._data):
            _malformed("it ends within a field")
        return self._data[start : self._at]

    def number(self, kind: struct.Struct) -> int:
        return int(kind.unpack(self.take(kind.size))[0])

    def count(self, least: int, limit: int | None = None) -> int:
        """Read the length of a list whose items take at least ``least`` bytes: a lie about it costs no memory."""
        count = self.number(_U32)
        if limit is not None and count > limit:
            raise TooLargeError(f"a list of {count:,}", limit=limit, spec=SPEC)
        if count * least > len(self._data) - self._at:
            _malformed("a list that is longer than its frame")
        return count

    def end(self) -> None:
        if self._at != len(self._data):
            _malformed("more behind its last field")


def _malformed(why: str) -> NoReturn:
    raise MalformedError(why, spec=SPEC)


_Codec: TypeAlias = tuple[Callable[[Any], bytes], Callable[[_Reader], Any]]


def _fixed(size: int) -> _Codec:
    def write(value: bytes) -> bytes:
        if len(value) != size:
            _malformed(f"{len(value)} bytes where {size} belong")
        return value

    return write, lambda reader: reader.take(size)


def _integer(kind: struct.Struct) -> _Codec:
    def write(value: int) -> bytes:
        try:
            return kind.pack(value)
        except struct.error as error:
            raise MalformedError(f"a number out of range: {value}", spec=SPEC) from error

    return write, lambda reader: reader.number(kind)


def _count() -> _Codec:
    """A number of our formats: at most 2**63 - 1."""
    write_number, read_number = _integer(_U64)

    def bounded(value: int) -> int:
        if value > MAX_UINT63:
            _malformed("a number over 2**63 - 1")
        return value

    return lambda value: write_number(bounded(value)), lambda reader: bounded(read_number(reader))


def _sized(kind: struct.Struct) -> _Codec:
    write_length, _ = _integer(kind)
    return lambda value: write_length(len(value)) + value, lambda reader: reader.take(reader.number(kind))


def _text() -> _Codec:
    write_bytes, read_bytes = _sized(_U16)

    def write(value: str) -> bytes:
        try:
            return write_bytes(value.encode())
        except UnicodeEncodeError as error:
            raise MalformedError("a text that is not Unicode", spec=SPEC) from error

    def read(reader: _Reader) -> str:
        try:
            return str(read_bytes(reader), "utf-8")
        except UnicodeDecodeError as error:
            raise MalformedError("a text that is not UTF-8", spec=SPEC) from error

    return write, read


def _optional(codec: _Codec) -> _Codec:
    def read(reader: _Reader) -> Any:
        flag = reader.take(1)[0]
        if flag > 1:
            _malformed("neither there nor absent")
        return codec[1](reader) if flag else None

    return lambda value: b"\0" if value is None else b"\1" + codec[0](value), read


def _list(codec: _Codec, least: int, limit: int | None = None) -> _Codec:
    def write(values: tuple[Any, ...]) -> bytes:
        if limit is not None and len(values) > limit:
            raise TooLargeError(f"a list of {len(values):,}", limit=limit, spec=SPEC)
        return _U32.pack(len(values)) + b"".join(map(codec[0], values))

    return write, lambda reader: tuple([codec[1](reader) for _ in range(reader.count(least, limit))])


def _record(kind: type[Any], *codecs: _Codec) -> _Codec:
    names = [field.name for field in fields(kind)]

    def write(value: Any) -> bytes:
        return b"".join([codec[0](getattr(value, name)) for name, codec in zip(names, codecs, strict=True)])

    return write, lambda reader: kind(*[codec[1](reader) for codec in codecs])


def _handed() -> _Codec:
    # By hand: there may be thousands a second.
    write_length, _ = _integer(_U16)

    def write(value: Handed) -> bytes:
        if len(value.unit) != ID_BYTES:
            _malformed(f"an erasure unit has {ID_BYTES} bytes")
        if len(value.openings) > MAX_OPENINGS:
            raise TooLargeError(f"{len(value.openings):,} openings of a statement", limit=MAX_OPENINGS, spec=SPEC)
        return b"".join(
            (
                _U32.pack(len(value.statement)),
                value.statement,
                write_length(len(value.signature)),
                value.signature,
                value.unit,
                _U32.pack(len(value.openings)),
                *[part for opening in value.openings for part in (_U32.pack(len(opening)), opening)],
            )
        )

    def read(reader: _Reader) -> Handed:
        statement = reader.take(reader.number(_U32))
        signature = reader.take(reader.number(_U16))
        unit = reader.take(ID_BYTES)
        return Handed(
            statement,
            signature,
            unit,
            tuple([reader.take(reader.number(_U32)) for _ in range(reader.count(_U32.size, MAX_OPENINGS))]),
        )

    return write, read


_u8, _u63, _u64 = _integer(struct.Struct("B")), _count(), _integer(_U64)
_short, _long, _words = _sized(_U16), _sized(_U32), _text()
_LEAST_HANDED = 4 + 2 + ID_BYTES + 4  # bytes of one with nothing in it
_SHAPES: dict[type[Any], tuple[int, tuple[_Codec, ...]]] = {
    Challenge: (1, (_u8, _fixed(CHALLENGE_BYTES))),
    Hello: (2, (_short, _short)),
    Enrol: (3, (_short, _short, _words, _words, _optional(_fixed(TOKEN_BYTES)), _optional(_fixed(SIZE)))),
    Welcome: (4, (_words, _words, _words)),
    Lease: (5, (_fixed(ID_BYTES),)),
    Leased: (6, (_u63, _fixed(SIZE))),
    Append: (7, (_list(_handed(), _LEAST_HANDED, MAX_HANDED),)),
    Appended: (8, (_list(_u64, 8), _list(_record(Refusal, _integer(_U32), _words, _words), 8))),
    Wait: (9, (_u63, _u8)),
    AskHead: (10, ()),
    HeadIs: (11, (_u63, _u63, _fixed(SIZE), _long)),
    AskReceipt: (12, (_optional(_fixed(ID_BYTES)), _u63, _u63)),
    ReceiptIs: (13, (_words, _long)),
    HandOver: (14, ()),
    Failed: (15, (_words, _words)),
}
JOURNAL = 16  # reserved
_CODECS = {kind: (number, _record(kind, _integer(_U32), *codecs)) for kind, (number, codecs) in _SHAPES.items()}
_READERS = {number: codec[1] for number, codec in _CODECS.values()}


def format_frame(frame: Frame) -> bytes:
    """Write a frame, length and all.

    Raises:
        MalformedError: A field that its frame has no room for.
        TooLargeError: Over 64 MiB, or more statements or openings than are taken.
    """
    number, codec = _CODECS[type(frame)]
    body = codec[0](frame)
    _check_length(len(body) + 1, MAX_FRAME_BYTES)
    return b"".join((_U32.pack(len(body) + 1), bytes((number,)), body))


def frame_length(header: bytes, *, limit: int = MAX_FRAME_BYTES) -> int:
    """Read the length that a frame's first four bytes announce.

    Raises:
        TooLargeError: Over ``limit``.
        MalformedError: No frame is as short.
    """
    length = int(_U32.unpack(header)[0])
    _check_length(length, limit)
    return length


def _check_length(length: int, limit: int) -> None:
    if length > limit:
        raise TooLargeError(f"a frame of {length:,} bytes", limit=limit, spec=SPEC)
    if length < 5:
        _malformed("a frame without type and request")


def parse_payload(payload: bytes) -> Frame:
    """Read type and body of a frame; its length has been read.

    Raises:
        MalformedError: No frame that we know, or not in its one form.
        TooLargeError: Over 64 MiB, or more statements or openings than are taken.
    """
    _check_length(len(payload), MAX_FRAME_BYTES)
    read = _READERS.get(payload[0])
    if read is None:
        _malformed(f"an unknown type {payload[0]}")
    reader = _Reader(payload, 1)
    frame: Frame = read(reader)
    reader.end()
    return frame


def parse_frame(data: bytes) -> Frame:
    """Read one whole frame and nothing else; raises as ``frame_length`` and ``parse_payload``."""
    if len(data) < HEADER_BYTES or frame_length(data[:HEADER_BYTES]) != len(data) - HEADER_BYTES:
        _malformed("not as long as it says")
    return parse_payload(data[HEADER_BYTES:])


def _classes(root: type[ApostilleError]) -> list[type[ApostilleError]]:
    return [root] + [kind for child in root.__subclasses__() for kind in _classes(child)]


_ERRORS = {kind.code: kind for kind in _classes(ApostilleError)}
_MORE: dict[type[ApostilleError], dict[str, Any]] = {
    errors.TooLargeError: {"limit": MAX_FRAME_BYTES},
    errors.UnsupportedVersionError: {"version": ""},
    errors.InvalidSignatureError: {"key_name": ""},
}


def error_words(error: BaseException) -> tuple[str, str]:
    """Return code and message of an error, for the wire. Of a fault of our own nothing but that it is one."""
    if isinstance(error, ApostilleError):
        return error.code, str(error)[:1024].encode("utf-8", "replace").decode()
    return "internal", "internal fault of the keeper; nothing is known of what was asked"


def error_of(code: str, message: str) -> ApostilleError:
    """Return the error that came over the wire, in its own class; a fault of the keeper is ``OutcomeUnknownError``."""
    kind = _ERRORS.get(code, errors.OutcomeUnknownError)
    made = kind(message, **_MORE.get(kind, {}))
    made.args = (message,)
    return made
