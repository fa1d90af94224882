"""Every parser that takes bytes from outside, once: its name, how it is called, inputs that our own writers made, what must hold.

Three drivers use this list: ``atheris_driver.py`` (guided by coverage), ``hammer.py`` (random and mutated bytes, as many as one
likes) and ``test_fuzz.py`` (a few seconds, for every test run). What must hold for every input:

- total: a value, or an error of the classes that ``errors`` names; nothing else, and in bounded time;
- byte-exact, where ``write`` is given: what was read is written back to the same bytes;
- whatever ``check`` says of an accepted value.
"""

from __future__ import annotations

import json
import os
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apostille import wiring
from apostille.core import (
    bundle,
    checkpoint,
    dsse,
    entry,
    evidence,
    forms,
    frames,
    keychain,
    keys,
    note,
    opening,
    policy,
    predicates,
    proof,
    receipt,
    sealing,
    signatures,
    statement,
    strict,
    tiles,
)
from apostille.core.canon import Canonicalizer, apply_edits, canonicalize, format_findings, urls
from apostille.core.digest import sha256
from apostille.errors import (
    ApostilleError,
    CanonicalizationError,
    ConfigurationError,
    InvalidSignatureError,
    MalformedError,
    UnavailableError,
    UntrustedError,
    VerificationError,
)
from apostille.faces.cli.main import hoist_global_options
from apostille.faces.gateway import app, chat, chat_read, chat_write, inputs, problems, sse, upstream, wire
from apostille.faces.gateway.cleaning import Cleaning
from apostille.services.audit import AuditState, RunState, format_state, parse_state
from apostille.services.verifier import verify_receipt
from apostille.storage.folder import StoreFolder, canon_policy, gateway_settings, keeper_settings
from apostille.storage.heads import FolderHeadMemory
from apostille.storage.vault import FileVault
from tests.unit.core import core_kit as kit

Errors = tuple[type[ApostilleError], ...]
KIB, MIB = 2**10, 2**20


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        name: For people and command lines.
        parse: Takes bytes; raises one of ``errors``, or returns a value.
        seeds: Valid inputs, made by our own writers.
        write: Inverse of ``parse``.
        is_exact: Whether ``write`` must give the same bytes, and not only bytes that are read again to the same value.
        errors: The documented classes.
        check: Called with the input and an accepted value; asserts.
        size: Largest input worth trying: a little above the parser's own limit.
    """

    name: str
    parse: Callable[[bytes], Any]
    seeds: tuple[bytes, ...]
    write: Callable[[Any], bytes] | None = None
    is_exact: bool = True
    errors: Errors = (MalformedError,)
    check: Callable[[bytes, Any], None] | None = None
    size: int = 16 * KIB

    def run(self, data: bytes) -> bool:
        """Hold the parser to its promises for one input; tell whether it took it."""
        try:
            value = self.parse(data)
        except self.errors as error:
            if len(str(error)) > 4096 or "\n" in str(error):
                raise AssertionError(f"{self.name}: an error of {len(str(error))} characters, or of several lines") from error
            return False
        if self.write is not None:
            again = self.write(value)
            if self.is_exact:
                assert again == data, f"{self.name}: written back as other bytes"
            else:
                assert self.parse(again) == value, f"{self.name}: written back as another value"
        if self.check is not None:
            self.check(data, value)
        return True


EXAMPLE = kit.example()
POLICY = policy.parse_policy(f"log {note.format_vkey(kit.LOG)}\nquorum none\n".encode())
POLICY_06 = policy.parse_policy(
    f"log {note.format_vkey(kit.LOG)}\nwitness pq {note.format_vkey(kit.LOG_06)}\nquorum pq\n".encode()
)
PROOF = proof.format_proof(proof.LogProof(4, EXAMPLE.proof(4), EXAMPLE.note))
PENDING = evidence.format_pending(receipt.PendingReceipt(EXAMPLE.envelopes[4], 4, kit.AGENT.spki))
TRUST_FILE = (
    f"# comment\nlog {note.format_vkey(kit.LOG)} https://log.example/\nwitness w {note.format_vkey(kit.LOG_06)}\n"
    "group g all w\nquorum g\n"
).encode()
BUNDLE_BYTES = strict.canonical_json(EXAMPLE.bundle_value())
CHECKPOINT = checkpoint.format_checkpoint(EXAMPLE.checkpoint)
STATEMENTS = tuple(kit.said(kind) for kind in kit.TYPES)


def json_bundle(data: bytes) -> Any:
    return bundle.parse_bundle(strict.canonical_json_value(data, spec="bundle"))


def json_envelope(data: bytes) -> Any:
    return dsse.parse_envelope(strict.canonical_json_value(data, spec="dsse"))


def text_of(parse: Callable[[str], Any]) -> Callable[[bytes], Any]:
    """Feed bytes to a parser of text the way a command line does: what is not UTF-8 becomes lone surrogates."""
    return lambda data: parse(data.decode("utf-8", "surrogateescape"))


def write_statement(said: statement.Statement) -> bytes:
    return forms.format_statement(said.type, said.predicate, said.subjects.items())


def write_receipt(value: receipt.Receipt | receipt.PendingReceipt) -> bytes:
    """What a receipt was read to, written again; the redundant members of a bundle are taken as they were read."""
    if isinstance(value, receipt.PendingReceipt):
        return evidence.format_pending(value)
    made = evidence.format_bundle(
        value.bundle.envelope,
        value.bundle.leaf,
        value.bundle.index,
        value.bundle.hashes,
        value.bundle.note,
        kit.LOG,
        bytes(32),
        1,
    )
    log_entry = made["verificationMaterial"]["tlogEntries"][0]
    again = value.bundle.redundant
    made["verificationMaterial"]["publicKey"]["hint"] = again["hint"]
    log_entry["logId"]["keyId"], log_entry["integratedTime"] = again["logId"], again["integratedTime"]
    log_entry["inclusionProof"] |= {
        "logIndex": again["inclusionProof.logIndex"],
        "rootHash": again["rootHash"],
        "treeSize": again["treeSize"],
    }
    return evidence.format_receipt(made, value.keys, salt=value.salt, attributes=value.attributes, head=value.head)


_HANDED = frames.Handed(EXAMPLE.statements[4], kit.AGENT.sign(b"m"), bytes(16), (b"raw", b"canonical", b""))
FRAMES = (
    frames.Challenge(0, frames.VERSION, bytes(32)),
    frames.Hello(1, kit.AGENT.spki, kit.AGENT.sign(b"m")),
    frames.Enrol(2, kit.AGENT.spki, kit.AGENT.sign(b"m"), "agent", "agent", bytes(32), bytes(32)),
    frames.Welcome(2, "2026-11-24T03:00:00.000Z", "2026-11-25T03:00:00.000Z", "none"),
    frames.Lease(3, bytes(16)),
    frames.Leased(3, 7, bytes(32)),
    frames.Append(4, (_HANDED, _HANDED)),
    frames.Appended(4, (5, frames.REFUSED), (frames.Refusal(1, "conflict", "taken"),)),
    frames.Wait(5, 5, frames.PUBLISHED),
    frames.AskHead(6),
    frames.HeadIs(6, 9, 8, bytes(32), EXAMPLE.note),
    frames.AskReceipt(7, bytes(16), 0, 0),
    frames.ReceiptIs(7, "committed", PENDING),
    frames.HandOver(8),
    frames.Failed(9, "untrusted", "not certified"),
)
SIGNED: Errors = (MalformedError, InvalidSignatureError)
CORE = (
    Target("decimal", text_of(strict.decimal), (b"20852163",), lambda value: str(value).encode(), size=64),
    Target("hex", text_of(lambda text: strict.hex_bytes(text, 4)), (b"00ff10ab",), lambda value: value.hex().encode(), size=64),
    Target("base64", text_of(strict.base64_bytes), (b"AAECAw==",), lambda value: strict.base64_text(value).encode()),
    Target(
        "lines",
        lambda data: strict.lines(data, spec="x"),
        (b"one\ntwo\n",),
        lambda rows: "".join(f"{row}\n" for row in rows).encode(),
    ),
    Target("json", lambda data: strict.canonical_json_value(data, spec="x", max_depth=128), (BUNDLE_BYTES, *STATEMENTS), size=64 * KIB),
    Target(
        "canonical json",
        lambda data: strict.canonical_json_value(data, spec="x"),
        (BUNDLE_BYTES, *STATEMENTS),
        strict.canonical_json,
        size=64 * KIB,
    ),
    Target(
        "vkey",
        text_of(note.parse_vkey),
        (note.format_vkey(kit.LOG).encode(), note.format_vkey(kit.LOG_06).encode()),
        lambda key: note.format_vkey(key).encode(),
    ),
    Target("note", note.parse_note, (EXAMPLE.note,), note.format_note, size=140 * KIB),
    Target("checkpoint", checkpoint.parse_checkpoint, (CHECKPOINT,), checkpoint.format_checkpoint),
    Target("trust file", policy.parse_policy, (TRUST_FILE,), size=64 * KIB),
    Target(
        "opened note",
        lambda data: policy.open_checkpoint(data, POLICY_06),
        (EXAMPLE.note,),
        errors=(*SIGNED, UntrustedError),
        check=lambda _, value: _same(value.checkpoint, EXAMPLE.checkpoint),
        size=140 * KIB,
    ),
    Target("tlog-proof", proof.parse_proof, (PROOF,), proof.format_proof, size=140 * KIB),
    Target("keeper frame", frames.parse_frame, tuple(map(frames.format_frame, FRAMES)), frames.format_frame, size=64 * KIB),
    Target("entry", entry.parse_entry, EXAMPLE.leaves, entry.format_entry, size=2 * KIB),
    Target(
        "envelope",
        json_envelope,
        tuple(strict.canonical_json(evidence.envelope_json(made)) for made in EXAMPLE.envelopes),
        lambda value: strict.canonical_json(evidence.envelope_json(value)),
        is_exact=False,
        size=64 * KIB,
    ),
    Target("bundle", json_bundle, (BUNDLE_BYTES,), size=64 * KIB),
    Target("receipt", receipt.parse_receipt, (EXAMPLE.receipt(), PENDING), write_receipt, size=64 * KIB),
    Target("pending receipt", receipt.parse_receipt, (PENDING,), write_receipt),
    Target("statement", statement.parse_statement, (EXAMPLE.statements[4], *STATEMENTS), write_statement),
    Target("key statement", statement.parse_statement, (EXAMPLE.statements[0], *EXAMPLE.statements[1:3]), write_statement),
    Target(
        "tile path",
        text_of(tiles.parse_tile_path),
        (b"tile/0/x001/234.p/188", b"tile/entries/x001/234"),
        lambda tile: tiles.format_tile_path(tile).encode(),
        size=256,
    ),
    Target(
        "entry bundle",
        lambda data: tiles.parse_entry_bundle(data, 3),
        (tiles.format_entry_bundle([b"one", b"", b"three"]),),
        tiles.format_entry_bundle,
        size=200 * KIB,
    ),
    Target("hash tile", lambda data: tiles.parse_hash_tile(data, 2), (bytes(64),), b"".join, size=256),
    Target("opening", opening.split_opening, (bytes(32) + b"content",), b"".join),
    Target("spki", signatures.key_details, (kit.AGENT.spki,), size=KIB),
    Target(
        "signature",
        lambda data: signatures.verify_statement_signature(kit.AGENT.spki, data, b"m"),
        (kit.AGENT.sign(b"m"),),
        errors=SIGNED,
        size=256,
    ),
    Target(
        "signer",
        lambda data: signatures.verify_statement_signature(data, kit.AGENT.sign(b"m"), b"m"),
        (kit.AGENT.spki,),
        errors=SIGNED,
        size=256,
    ),
    Target(
        "private key",
        keys.StatementKey.from_pem,
        (kit.AGENT.to_pem(),),
        errors=(ConfigurationError,),
        check=lambda _, key: _same(keys.StatementKey.from_pem(key.to_pem()).spki, key.spki),
        size=4 * KIB,
    ),
    Target(
        "sealed",
        lambda data: sealing.unseal(bytes(32), 0, b"d", data),
        (sealing.seal(bytes(32), [(b"d", b"opening")])[0],),
        lambda content: sealing.seal(bytes(32), [(b"d", content)])[0],
        errors=(MalformedError, VerificationError),
    ),
    Target(
        "wrapped",
        lambda data: sealing.unwrap(bytes(32), data),
        (sealing.wrap(bytes(32), bytes(range(32))),),
        lambda key: sealing.wrap(bytes(32), key),
        errors=(MalformedError, VerificationError),
        size=256,
    ),
)


def _same(found: object, wanted: object) -> None:
    assert found == wanted, f"{found!r:.200} is not {wanted!r:.200}"


# The verdict on a receipt ------------------------------------------------------------------------------------------------

_VERIFIED = verify_receipt(EXAMPLE.receipt(), POLICY, artifact=kit.CANONICAL)


def _verdict(data: bytes) -> Any:
    return verify_receipt(data, POLICY, artifact=kit.CANONICAL)


def _no_other_verdict(_: bytes, found: Any) -> None:
    """A changed receipt may lose an optional member or a stranger's line; what is verified of it stays what was signed."""
    for name in ("statement", "index", "digest", "signer", "is_content_compared"):
        _same(getattr(found, name), getattr(_VERIFIED, name))
    _same(found.checkpoint.checkpoint, _VERIFIED.checkpoint.checkpoint)
    assert found.attributes in (None, _VERIFIED.attributes)
    assert not found.checkpoint.is_witnessed


_GENESIS = keychain.read_genesis(statement.parse_statement(EXAMPLE.statements[0]), 0, bytes(32), kit.ROOT.spki, kit.LOG)


def _key_chain(data: bytes) -> Any:
    """Take one statement in each place of a chain; the first error counts."""
    said = statement.parse_statement(data)
    found: list[object] = []
    for step in (
        lambda: keychain.read_genesis(said, 0, bytes(32), kit.ROOT.spki, kit.LOG),
        lambda: keychain.read_certificate(said, 1, bytes(32), _GENESIS),
        lambda: keychain.check_signer(said, 1, _GENESIS),
    ):
        try:
            found.append(step())
        except VerificationError as error:
            found.append(error)
    return found


def _fields(data: bytes) -> Any:
    """Take fields for every type of statement; refused where no type takes them."""
    value = strict.canonical_json_value(data, spec="fields")
    refused: list[MalformedError] = []
    for kind in predicates.SHAPES:
        try:
            predicates.check_fields(kind, value)
        except MalformedError as error:
            refused.append(error)
    if len(refused) == len(predicates.SHAPES):
        raise refused[0]
    return None


# The canonicalizer -------------------------------------------------------------------------------------------------------


def _clean(media_type: str, profile: str = "safe") -> Callable[[bytes], Any]:
    return lambda data: canonicalize(data, media_type=media_type, profile=profile)


def _stream(data: bytes) -> Any:
    """In pieces whose lengths come from the data itself."""
    machine = Canonicalizer()
    out, at, step = [], 0, 1 + (len(data) % 61)
    while at < len(data):
        out.append(machine.feed(data[at : at + step]))
        at, step = at + step, 1 + (step * 7 + data[min(at, len(data) - 1)]) % 257
    out.append(machine.flush())
    return b"".join(out), machine.findings


def _check_text(data: bytes, found: Any) -> None:
    _same(canonicalize(found.bytes).bytes, found.bytes)
    if not any(item.code == "TRUNCATED" for item in found.findings) and len(found.findings) < 9_000:
        _same(apply_edits(data, found.findings, canonical=found.bytes), found.bytes)
    read = strict.canonical_json_value(format_findings(found.findings), spec="findings") if found.findings else []
    assert len(read) == len(found.findings)


def _check_stream(data: bytes, found: Any) -> None:
    batch = canonicalize(data)
    _same(found, (batch.bytes, batch.findings))


def _check_json(_: bytes, found: Any) -> None:
    _same(canonicalize(found.bytes, media_type="application/json").bytes, found.bytes)


def _check_markdown(data: bytes, found: Any) -> None:
    again = canonicalize(found.bytes, media_type="text/markdown")
    _same(again.bytes, found.bytes)
    if len(found.findings) < 9_000:
        _same(apply_edits(data, found.findings), found.bytes)


def _check_code(data: bytes, found: Any) -> None:
    _same(found.bytes, data)
    half = Canonicalizer(media_type="text/x-code")
    half.feed(data[: len(data) // 2])
    half.feed(data[len(data) // 2 :])
    half.flush()
    _same(half.findings, found.findings)


def _check_url(_: bytes, found: Any) -> None:
    if found is not None:
        _same(str(urls.parse_url(str(found))), str(found))


CLEAN: Errors = (CanonicalizationError, MalformedError)
MARKDOWNS = (
    b"# A *b*\n\n<!-- c -->\n- d  \n  `e` ![f](http://g.h/?i)\n\n[j]: /k 'l'\n[m]: /n\n\n[j] <i hidden>o</i>\n",
    b"> |p|q|\n> |-|-|\n> |\\||<!--r-->|\n\n```s\nt\n```\n<div style='display:none'>\n\nu\n\n</div>\n&#8203;<img src=//v.w>\n",
)
URLS = (b"HTTP://u:p@EXAMPLE.com:80/a/./b/../%7ec?d=%2f#e", "https://\u0430pple.com\\x".encode(), b"//0x7f.1/..")
TEXTS = (
    "The refund is 42\u200b EUR.\n".encode(),
    "\ufeffa\u202eb\u202c\r\nc\u0301\u0327 \U000e0041\ufe0f\ufe0f e\u0301 \u1100\u1161\u11a8".encode(),
    (
        "x\u0301" + "\u0316" * 40 + "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f\u2067\u05d0\u2069"
    ).encode(),
)
JSONS = (
    b'{"a":[1,2.5,-0.0,1e21,"\\u00e9\\ud83d\\ude00"],"b":{"\\n":null,"c":true},"z":""}',
    '{"hidden":"a\\u200bb\\u202e","k\u0301":[[[]]],"n":9007199254740991}'.encode(),
    BUNDLE_BYTES,
)


# The gateway -------------------------------------------------------------------------------------------------------------

LIMITS = wire.Limits()
_REQUEST = json.dumps(
    {
        "model": "m",
        "stream": True,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "messages": [
            {"role": "system", "content": "be\u200b kind"},
            {"role": "user", "content": [{"type": "text", "text": "42?"}]},
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "1"},
        ],
    }
).encode()
_ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_795_000_000,
    "model": "m-1",
    "service_tier": "default",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "a\u200bb",
                "refusal": None,
                "reasoning_content": "why",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
            },
        },
        {"index": 1, "finish_reason": "stop", "message": {"role": "assistant", "content": "\U0001f600"}},
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "prompt_tokens_details": {"cached_tokens": 1}},
}
_BODY = json.dumps(_ANSWER).encode()
_READING = chat_read.read_body(_BODY, limits=LIMITS)
_RECEIPT_MEMBER = {"id": "0" * 32}
_STREAM_BODY = chat_write.write_stream(_READING, _RECEIPT_MEMBER)


def _rewritten(reading: chat_read.Reading, *, streamed: bool) -> chat_read.Reading:
    write, read = (chat_write.write_stream, chat_read.read_stream) if streamed else (chat_write.write_body, chat_read.read_body)
    return read(write(reading, _RECEIPT_MEMBER), limits=wire.Limits(response_bytes=2**30, event_bytes=2**30))


def _check_reading(*, streamed: bool) -> Callable[[bytes, Any], None]:
    def check(_: bytes, reading: chat_read.Reading) -> None:
        """What we write is read again to the same texts, calls and reasons: nothing is lost or joined on the way."""
        again = _rewritten(reading, streamed=streamed)
        # A stream can't say an empty text or list apart from an absent one; everything else must be equal.
        told = [
            [
                (c.index, c.content or "", c.refusal or "", tuple(r for r in c.reasoning if r[1]), c.tool_calls, c.finish_reason)
                for c in x.choices
            ]
            for x in (again, reading)
        ]
        told = [[(i, a, b, dict(r), [(t.id, t.name, t.arguments) for t in calls], f) for i, a, b, r, calls, f in x] for x in told]
        _same(told[0], told[1])
        _same((again.id, again.model, again.extras), (reading.id, reading.model, reading.extras))

    return check


def _answer(*, streamed: bool) -> Callable[[bytes], Any]:
    return lambda data: chat.answer(data, streamed=streamed, receipt=_RECEIPT_MEMBER, fallback_id="x", limits=LIMITS, cleaning=Cleaning())


def _events(data: bytes) -> Any:
    return sse.read_events(data)


def _check_events(data: bytes, found: Any) -> None:
    """Every split of the same bytes gives the same events."""
    reader = sse.EventReader()
    step, got = 1 + len(data) % 7, []
    for at in range(0, min(len(data), 4096), step):
        got += reader.feed(data[at : min(at + step, 4096)])
    got += reader.feed(data[4096:])
    _same((got, reader.finish()), found)


def _problem(data: bytes) -> Any:
    """The first two bytes choose the status; the rest is the body of an upstream's error."""
    status = int.from_bytes(data[:2], "big") % 700
    received = upstream.Received(called=True, status=status, body=bytearray(data[2:]))
    refusal, _ = problems.upstream_problem(received, Cleaning())
    strict.utf8(refusal.body(), spec="refusal")
    assert 400 <= refusal.status <= 599
    return refusal.headers()


def _request_head(data: bytes) -> Any:
    """A request's path, query and headers, as the server hands them on: a line each."""
    path, query, *rows = [*data.decode("latin-1").split("\n"), "", ""][:64]
    headers = dict(row.partition(":")[::2] for row in rows)
    found = app._SECRET.fullmatch(path)
    upstream_path = app._upstream_path(found.group(2) if found else path)
    assert upstream_path is None or (upstream_path.endswith("/chat/completions") and "/../" not in upstream_path)
    return app._bearer(headers), app._refused_head(headers, query)


def _upstream_headers(data: bytes) -> Any:
    rows = [row.partition(":")[::2] for row in data.decode("latin-1").split("\n")]
    passed, retry = upstream._passed(rows)
    assert retry is None or 0 <= retry <= 10**9
    assert all(name.isascii() and value.isascii() and not set(value) & set("\r\n\0") for name, value in passed.items())
    return passed


# Files of a store and of a user --------------------------------------------------------------------------------------------


class Place:
    """One file in memory-backed storage that is written and read again and again."""

    def __init__(self, name: str) -> None:
        shared = Path("/dev/shm")
        self._held = tempfile.TemporaryDirectory(dir=shared if shared.is_dir() and os.access(shared, os.W_OK) else None)
        self.folder = Path(self._held.name)
        self.path = self.folder / name

    def put(self, data: bytes) -> Path:
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(handle, data)
        os.close(handle)
        return self.path


_UNITS = Place("units")
_UNIT_ROWS = b"".join(b"%032x 0 %b\n" % (n, strict.base64_text(bytes([n]) * 32).encode()) for n in range(3))
_SETTINGS = Place("apostille.toml")
_TOML = b"""# A store of apostille.
format = 1
origin = "apostille.invalid/be49c62b0e29563a178a1ed3af8cbb91"
[gateway]
upstream = "https://api.example/v1"
listen = "127.0.0.1:8464"
answers = "text/markdown"
profile = "strict"
[clients]
"0000000000000000000000000000000000000000000000000000000000000000" = "agent"
[keeper]
socket = "/run/apostille/keeper.sock"
mode = "0660"
allow_uids = [1001]
"""
_HEAD = Place(sha256(kit.ORIGIN.encode()).hex())
_TRUST = Place("known_logs")

_AUDITED = format_state(
    AuditState(
        origin=kit.ORIGIN,
        size=9,
        root_hash=bytes(32),
        has_keys=True,
        places=bytes((1, 1, 1, 2, 1, 1, 3, 1, 4)),
        gaps=(4,),
        erasures=(5, 7),
        open_erasures=(7,),
        run_count=3,
        runs=(RunState("ab" * 16, "none", 2, "cd" * 32),),
        ended={bytes(32): 6},
        replaced={bytes(32): 6, b"\1" * 32: 8},
    )
)


def _units(data: bytes) -> Any:
    vault = FileVault(_UNITS.put(data), bytes)
    return vault.key(bytes(15) + b"\1")


def _settings(data: bytes) -> Any:
    _SETTINGS.put(data)
    found = gateway_settings(StoreFolder(_SETTINGS.folder))
    wiring.split_address(found.listen)
    return found, keeper_settings(StoreFolder(_SETTINGS.folder)), canon_policy(StoreFolder(_SETTINGS.folder))


def _head(data: bytes) -> Any:
    _HEAD.put(data)
    return FolderHeadMemory(_HEAD.folder).recall(kit.ORIGIN)


def _words(data: bytes) -> Any:
    words = [word for word in data.decode("utf-8", "surrogateescape").split("\n") if word]
    found = hoist_global_options(words)
    assert sorted(found) == sorted(words), "no word of a command line is lost"
    return found


OUTER = (
    Target(
        "verdict",
        _verdict,
        (EXAMPLE.receipt(),),
        errors=(MalformedError, VerificationError),
        check=_no_other_verdict,
        size=64 * KIB,
    ),
    Target("key chain", _key_chain, (*EXAMPLE.statements[:3], *STATEMENTS), errors=(MalformedError,)),
    Target("subjects and fields", _fields, tuple(strict.canonical_json(kit.TYPES[kind][0]) for kind in kit.TYPES)),
    Target("clean text", _clean("text/plain"), TEXTS, errors=CLEAN, check=_check_text, size=64 * KIB),
    Target("clean text, report", _clean("text/plain", "report"), TEXTS, errors=CLEAN, size=64 * KIB),
    Target("clean markdown", _clean("text/markdown"), MARKDOWNS, errors=CLEAN, check=_check_markdown, size=16 * KIB),
    Target("clean code", _clean("text/x-code"), TEXTS, errors=CLEAN, check=_check_code, size=64 * KIB),
    Target("url", lambda data: urls.parse_url(data.decode("utf-8", "surrogateescape")), URLS, check=_check_url, size=4 * KIB),
    Target("clean stream", _stream, TEXTS, errors=CLEAN, check=_check_stream, size=16 * KIB),
    Target("clean json", _clean("application/json"), JSONS, errors=CLEAN, check=_check_json, size=64 * KIB),
    Target("clean json, report", _clean("application/json", "report"), JSONS, errors=CLEAN, size=64 * KIB),
    Target("request json", lambda data: wire.stable_json(wire.read_request_json(data)), (_REQUEST, *JSONS), size=64 * KIB),
    Target("chat request", lambda data: inputs.read_request(data, limits=LIMITS), (_REQUEST,), size=64 * KIB),
    Target("upstream json", lambda data: wire.read_upstream_json(data, spec="x"), (_BODY, *JSONS), size=64 * KIB),
    Target(
        "chat answer",
        lambda data: chat_read.read_body(data, limits=LIMITS),
        (_BODY,),
        errors=(*CLEAN, UnavailableError),
        check=_check_reading(streamed=False),
        size=64 * KIB,
    ),
    Target(
        "chat stream",
        lambda data: chat_read.read_stream(data, limits=LIMITS),
        (_STREAM_BODY,),
        errors=(*CLEAN, UnavailableError),
        check=_check_reading(streamed=True),
        size=64 * KIB,
    ),
    Target("clean chat answer", _answer(streamed=False), (_BODY,), errors=(*CLEAN, UnavailableError), size=64 * KIB),
    Target("clean chat stream", _answer(streamed=True), (_STREAM_BODY,), errors=(*CLEAN, UnavailableError), size=64 * KIB),
    Target(
        "server-sent events",
        _events,
        (_STREAM_BODY, b": c\r\nevent: x\r\ndata: 1\rdata:2\n\n"),
        check=_check_events,
        size=64 * KIB,
    ),
    Target("upstream error", _problem, (b"\1\x94" + b'{"error":{"message":"no\\u200b","type":"x","code":404}}',), size=64 * KIB),
    Target(
        "request head",
        _request_head,
        (b"/r/abc/v1/chat/completions\nx=1\nauthorization:Bearer k\ncontent-type:application/json; charset=utf-8\n",),
        size=16 * KIB,
    ),
    Target("upstream headers", _upstream_headers, (b"retry-after:3\nx-ratelimit-remaining-requests:7\nopenai-version:1\n",)),
    Target("unit keys", _units, (_UNIT_ROWS,), size=16 * KIB),
    Target("settings", _settings, (_TOML,), errors=(MalformedError, ConfigurationError), size=16 * KIB),
    Target("head memory", _head, (CHECKPOINT,), size=5 * KIB),
    Target(
        "audit state", parse_state, (_AUDITED,), format_state, is_exact=False, check=lambda _, found: found.begin(), size=64 * KIB
    ),
    Target("known_logs", lambda data: wiring.load_policy(_TRUST.put(data)), (TRUST_FILE,), size=64 * KIB),
    Target(
        "listen address",
        text_of(wiring.split_address),
        (b"127.0.0.1:8464", b"[::1]:80"),
        errors=(ConfigurationError,),
        size=8 * KIB,
    ),
    Target("command line", _words, (b"--json\nrun\n--agent\na\n--\nx\n--store\ny", b"verify\n--store\nx\n-q"), size=4 * KIB),
)

TARGETS: dict[str, Target] = {target.name: target for target in (*CORE, *OUTER)}
assert len(TARGETS) == len(CORE) + len(OUTER)
assert tomllib.loads(_TOML.decode())["format"] == 1
