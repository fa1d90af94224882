"""``apostille init`` and ``apostille log receipt``: making a store, and handing on what it attests."""

from __future__ import annotations

from pathlib import Path

from apostille import wiring
from apostille.core import note
from apostille.core.checkpoint import parse_checkpoint
from apostille.core.opening import SALT_BYTES
from apostille.core.predicates import ID_BYTES
from apostille.core.statement import parse_statement
from apostille.core.strict import hex_bytes
from apostille.errors import IncompleteError, NotFoundError, VerificationError
from apostille.faces.cli.terminal import Terminal, plain, write_output
from apostille.faces.cli.trust import pin_own_log
from apostille.ports import Reader, SignedCheckpoint
from apostille.services.attester import SALTED
from apostille.services.receipts import build_receipt
from apostille.services.vault import open_record
from apostille.storage.sqlite import SqliteStore

_PROMISES = """
What this protects against, with the policy as it is now ([bold]quorum none[/]):
  who has the database alone        caught: edits, deletions, reordering, truncation, an old copy put back
  who has the database and log key  caught on this machine, which remembers heads, and by anybody who kept a receipt
  root with all of this machine     [bold]not caught[/] without an outsider who remembers a head
Until an independent witness is added every verdict says UNWITNESSED. One SQLite file survives power loss, not its disk.
"""


def init(terminal: Terminal, origin: str) -> int:
    """Make a store and pin its log for this user."""
    folder = terminal.folder
    wiring.load_policy()  # a trust file that can't be read can't take the new log: better said before there is one
    is_continued = folder.unfinished.exists()
    signer = wiring.init_store(folder, origin_base=origin, is_finished=False)
    pin_own_log(signer.vkeys)
    keeper = wiring.open_keeper(folder, is_new=True)
    keeper.close()  # publishes the first checkpoint
    wiring.finish_init(folder)
    if is_continued:
        terminal.say("An earlier init was interrupted here; this one has completed it.")
    vkey = note.format_vkey(signer.vkeys[0])
    terminal.document(
        {"store": str(folder.path), "origin": signer.origin, "vkey": vkey, "trust_file": str(wiring.known_logs_path())}
    )
    terminal.show(f"store    {plain(folder.path)}")
    terminal.show(f"log      {plain(signer.origin)}")
    terminal.show(f"vkey     {plain(vkey)}")
    terminal.say(f"This log is pinned in {plain(wiring.known_logs_path())}. Others pin it with: apostille trust add VKEY")
    offline = ", ".join(str(folder.key(name)) for name in ("root.pem", "root-next.pem", wiring.ERASURE_KEY))
    terminal.say(f"Take these keys offline now, daily work needs none of them: {plain(offline, limit=2000)}")
    terminal.say(_PROMISES)
    return 0


def newest_checkpoint(reader: Reader) -> SignedCheckpoint:
    """Return the newest signed checkpoint; ``IncompleteError`` if there is none."""
    signed = reader.checkpoint()
    if signed is None:
        raise IncompleteError("no checkpoint has been signed yet")
    return checked(signed)


def checked(signed: SignedCheckpoint) -> SignedCheckpoint:
    """Return a checkpoint whose note says what its row says: an altered one is not handed on.

    Raises:
        VerificationError: They differ.
        MalformedError: It is no note of a checkpoint.
    """
    said = parse_checkpoint(note.parse_note(signed.note).text)
    if (said.size, said.root_hash) != (signed.size, signed.root_hash):
        raise VerificationError(f"the checkpoint of size {signed.size} was altered: its note says another size or root")
    return signed


def log_receipt(terminal: Terminal, what: str, out: Path) -> int:
    """Write the receipt of an output, and the output itself, so that they can be handed on."""
    folder = terminal.folder
    if not out.name:
        raise NotFoundError(f"{out} names no file")
    logs = [key for key in wiring.load_policy().logs if key.name == folder.origin()]
    if not logs:
        raise NotFoundError(f"the trust file names no log {folder.origin()}")
    reader = wiring.open_reader(folder)
    try:
        vault, signed = wiring.open_vault(folder), newest_checkpoint(reader)
        is_index = what.isascii() and what.isdigit() and len(what) < 20
        index = int(what) if is_index else _index_of(reader, what)
        if index >= reader.head().size:
            raise NotFoundError(f"there is no leaf {index}")
        if index >= signed.size:
            raise IncompleteError(f"leaf {index} is not published yet")
        record = reader.record(index)
        receipt = build_receipt(reader, vault, signed, logs[0], index)
    finally:
        reader.close()
    said = parse_statement(record.statement)
    opened = open_record(vault, record, dict(said.subjects)) or {}
    salt = SALT_BYTES if said.predicate.get("commitment") == SALTED else 0
    target = out.with_name(out.name + ".receipt.json")
    write_output(target, receipt)
    if "canonical" in opened:
        write_output(out, opened["canonical"][salt:])
    terminal.document({"index": index, "receipt": str(target), "artifact": str(out) if "canonical" in opened else None})
    terminal.show(f"wrote {plain(target)}" + (f" and {plain(out)}" if "canonical" in opened else ""))
    return 0


def _index_of(reader: SqliteStore, receipt_id: str) -> int:
    index = reader.index_of_receipt(hex_bytes(receipt_id, ID_BYTES, spec="receipt id"))
    if index is None:
        raise NotFoundError(f"no output has the receipt id {receipt_id}")
    return index
