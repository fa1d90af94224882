"""``apostille log export``: the whole log as static files, for whoever has no store.

    OUT/log/             C2SP tiles and ``checkpoint``: what monitors and x/mod read
    OUT/statements/      every leaf's statement, permanent and without content
    OUT/keys/            the envelopes of all key statements: statement and signature
    OUT/vkey             the key to pin, if its fingerprint came another way too
    OUT/trusted_root.json   the same for Sigstore's tools

No opening and no key of ours is in it. The ``checkpoint`` comes last: a folder with one is whole. An export into the same folder
goes on from there; it never puts a file in the place of another one that says something else.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from apostille import wiring
from apostille.core import dsse, note, predicates, strict, tiles
from apostille.core.checkpoint import parse_checkpoint
from apostille.core.digest import sha256
from apostille.core.entry import parse_entry
from apostille.core.evidence import envelope_json
from apostille.core.keys import spki_ed25519
from apostille.core.note import MAX_NOTE_BYTES, parse_note
from apostille.core.statement import parse_statement
from apostille.core.tree import EMPTY, TILE_WIDTH, Head, append_leaves, leaf_hashes, root_at
from apostille.errors import ConflictError, DigestMismatchError, NotFoundError, RollbackError, VerificationError
from apostille.faces.cli.store import newest_checkpoint
from apostille.faces.cli.terminal import Terminal, plain
from apostille.ports import Reader, Record, SignedCheckpoint
from apostille.services.publisher import tile_data
from apostille.services.receipts import envelope_of, trusted_root
from apostille.storage import files

_MAX_FILE_BYTES = 32 * 2**20


def log_export(terminal: Terminal, out: Path) -> int:
    """Write the whole log up to its newest checkpoint; what is there already is kept."""
    folder = terminal.folder
    origin = folder.origin()
    logs = [key for key in wiring.load_policy().logs if key.name == origin]
    if not logs:
        raise NotFoundError(f"the trust file names no log {origin}; add it first, so that the export says which key to pin")
    reader = wiring.open_reader(folder, is_snapshot=True)
    written = 0
    try:
        signed = newest_checkpoint(reader)
        _check_continues(reader, signed, out, origin)
        tree, batch = EMPTY, []
        with terminal.progress("exporting") as progress:
            for index, record in reader.records():
                if index >= signed.size:
                    break
                written += _write_leaf(out, index, record)
                batch.append(record.entry)
                if len(batch) == TILE_WIDTH or index == signed.size - 1:
                    tree, count = _write_bundle(out, tree, batch)
                    written, batch = written + count, []
                    if progress is not None:
                        progress(index + 1, signed.size)
        if tree.size != signed.size or tree.root_hash != signed.root_hash:
            raise VerificationError(
                "the entries do not lead to the newest checkpoint: the store was altered; nothing is completed"
            )
        for tile in tiles.tiles_of(0, signed.size):
            if tile.level is not None:
                written += _write(out / "log" / tiles.format_tile_path(tile), tile_data(reader, tile))
    finally:
        reader.close()
    _replace(out / "vkey", (note.format_vkey(logs[0]) + "\n").encode())
    _replace(out / "trusted_root.json", trusted_root(logs[0], spki_ed25519(logs[0].public)))
    os.sync()  # all of it, once, before the checkpoint that says it is there
    files.replace_file(out / "log" / "checkpoint", signed.note, mode=files.PUBLIC_FILE)
    terminal.document({"out": str(out), "size": signed.size, "origin": origin, "written": written})
    terminal.show(f"exported {signed.size} leaves of {plain(origin)} to {plain(out)} ({written} files are new)")
    return 0


def _check_continues(reader: Reader, signed: SignedCheckpoint, out: Path, origin: str) -> None:
    """See that an export which is there already is the beginning of this one."""
    data = files.read_file(out / "log" / "checkpoint", limit=MAX_NOTE_BYTES)
    if data is None:
        return
    there = parse_checkpoint(parse_note(data).text)
    if there.origin != origin:
        raise ConflictError(f"{out} holds an export of another log, {there.origin}")
    if there.size > signed.size:
        raise RollbackError(f"HALT_ROLLBACK: {there.size} leaves were exported to {out}, {signed.size} are signed here")
    if root_at(there.size, reader.hashes) != there.root_hash:
        raise RollbackError(f"REWRITE before size {there.size}: history is not the one that was exported to {out}")


def _write_leaf(out: Path, index: int, record: Record) -> int:
    """Write the statement of a leaf, and of a key statement the envelope."""
    if sha256(dsse.pae(record.statement)) != parse_entry(record.entry).pae_digest:
        raise DigestMismatchError(f"leaf {index}: the statement is not the one that the log entry commits to")
    kind = parse_statement(record.statement).type
    name = kind.split(":")[2]
    count = _write(out / "statements" / f"{index // 1000:06d}" / f"{index:09d}.{name}.json", record.statement)
    if kind == predicates.KEY:
        envelope: dict[str, Any] = envelope_json(envelope_of(record)[0])
        count += _write(out / "keys" / f"{index:09d}.dsse.json", strict.canonical_json(envelope))
    return count


def _write_bundle(out: Path, tree: Head, batch: list[bytes]) -> tuple[Head, int]:
    tile = tiles.Tile(None, tree.size // TILE_WIDTH, len(batch))
    count = _write(out / "log" / tiles.format_tile_path(tile), tiles.format_entry_bundle(batch))
    return append_leaves(tree, leaf_hashes(batch)).head, count


def _write(path: Path, data: bytes) -> int:
    """Write a file that never changes; return how many were written.

    Raises:
        ConflictError: Other bytes are there.
    """
    there = files.read_file(path, limit=_MAX_FILE_BYTES)
    if there == data:
        return 0
    if there is not None and len(there) >= len(data):
        raise ConflictError(f"{path} holds other bytes than this log: move it away, or export to another folder")
    _replace(path, data)
    return 1


def _replace(path: Path, data: bytes) -> None:
    files.make_folder(path.parent)
    files.replace_file(path, data, mode=files.PUBLIC_FILE, is_durable=False)
