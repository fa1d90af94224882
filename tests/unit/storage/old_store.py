"""Makes a store of schema 1 out of one of today: the old SQL, the same signed statements, keys and sealed openings."""

from __future__ import annotations

import hashlib
from pathlib import Path

import apsw

from apostille.core.tree import pack_edge
from apostille.storage import schema
from apostille.storage.sqlite import SqliteStore


def write_schema_1(source: Path, target: Path) -> dict[int, bytes]:
    """Write what ``source`` holds in the old form; return index to receipt id, of those that schema 1 gave one."""
    old = SqliteStore(source, read_only=True)
    db = apsw.Connection(str(target))
    db.execute("PRAGMA journal_mode = WAL")
    receipts: dict[int, bytes] = {}
    with db:
        db.execute(schema.step(1))
        for index, record in old.records():
            receipt_id = hashlib.sha256(b"receipt %d" % index).digest()[:16] if record.run else None
            if receipt_id:
                receipts[index] = receipt_id
            db.execute(
                "INSERT INTO leaf VALUES (?,?,?,?,?,?,?,?,?,?)",
                (
                    index,
                    record.leaf_hash,
                    record.entry,
                    record.statement,
                    record.pae_digest,
                    record.unit,
                    record.wrapped_key,
                    record.run,
                    record.certifies,
                    receipt_id,
                ),
            )
            for place, opening in enumerate(record.openings):
                db.execute("INSERT INTO opening VALUES (?,?,?,?)", (index, place, opening.name, opening.ciphertext))
        head = old.head()
        db.execute("INSERT INTO head VALUES (1,?,?,?)", (head.size, head.root_hash, pack_edge(head.edge)))
        for number in range(head.size // 256):
            db.execute("INSERT INTO subtree VALUES (1,?,?)", (number, old.hashes(1, number, 1)[0]))
        for signed in old.checkpoints_from(0):
            db.execute("INSERT INTO checkpoint VALUES (?,?,?)", (signed.size, signed.root_hash, signed.note))
    db.close()
    old.close()
    return receipts
