"""What somebody with the log key does: rebuild the whole log, so that every signature in it is good.

The root key is out of this attacker's reach, and the log's name holds its hash: leaves 0 and 1 stay as they are, byte for byte.
Everything after them is made again with the product itself: fresh statement keys, certified by the keeper's key, sign a history
of the same shape and size that says something else. The log key signs its head. Times are taken from the old statements: a clock
is an assertion of the signer. Receipt ids stay, so that whoever asks for one gets an answer.

What others remember is out of reach too: the attacker's keeper starts with a head memory of its own, which is empty. Contents are
sealed with the unit keys that lie beside the log key. Without that file they are sealed under other keys, and whoever has the
file sees it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime

from apostille import wiring
from apostille.adapters.system import SystemClock, SystemRandom
from apostille.core import keys, predicates, strict
from apostille.core.canon import profile_id
from apostille.core.checkpoint import Checkpoint
from apostille.core.statement import Statement, parse_statement
from apostille.core.tree import EMPTY, append_leaves
from apostille.errors import ConfigurationError
from apostille.faces.cli.demo import attacks
from apostille.faces.cli.demo.attacks import LOG_KEY, ROOT, Attack
from apostille.ports import Record, Vault
from apostille.services.attester import Attester
from apostille.services.genesis import genesis
from apostille.services.keeper import Keeper, KeeperParts
from apostille.services.publisher import LogSigner
from apostille.services.runs import Run, output_draft
from apostille.services.vault import KEYS_UNIT
from apostille.storage.sqlite import SqliteStore
from apostille.storage.tiles import TileFolder

FOUNDED = 3  # entries that found a log: genesis, the keeper's certificate and the erasure key's, signed by the root
_TIMEOUT_SECONDS = 30.0


class _OldClock(SystemClock):
    """Tells the time of whatever is being forged."""

    def __init__(self) -> None:
        self.now = SystemClock().now_ms()

    def now_ms(self) -> int:
        return self.now


class OwnHeads:
    """A head memory that begins with nothing."""

    def __init__(self) -> None:
        self._head: Checkpoint | None = None

    def recall(self, origin: str) -> Checkpoint | None:
        """Return what was remembered last."""
        del origin
        return self._head

    def remember(self, checkpoint: Checkpoint) -> None:
        """Remember it."""
        self._head = checkpoint


class _Forger:
    """Says each old statement again, with other content."""

    def __init__(self, keeper: Keeper, clock: _OldClock, text: Callable[[int], str]) -> None:
        self._keeper = keeper
        self._clock = clock
        self._text = text
        self._attesters: dict[str, Attester] = {}
        self._runs: dict[str, Run] = {}

    def say_again(self, index: int, record: Record) -> None:
        said = parse_statement(record.statement)
        fields = said.predicate
        self._clock.now = int(datetime.fromisoformat(fields["captured_at"]).timestamp() * 1000)
        if said.type == predicates.KEY:
            made = self._keeper.attester(f"{fields['held_by']} {index}", held_by=fields["held_by"])
            self._attesters[strict.base64_text(said.subjects["spki"])] = made
        elif said.type == predicates.RUN_OPEN:
            attester = self._attesters[fields["key_id"]]
            self._runs[fields["run"]] = Run(
                self._keeper, lambda: attester, attester.random, agent="agent", isolation=fields["isolation"]
            )
        elif said.type == predicates.RUN_CLOSE:
            self._runs.pop(fields["run"]).close(fields["outcome"])
        else:
            self._content(index, record, said)

    def _content(self, index: int, record: Record, said: Statement) -> None:
        fields, text = said.predicate, self._text(index).encode()
        run = self._runs.get(fields.get("run", ""))
        receipt_id = record.nonce.hex()
        if said.type == predicates.INPUT and run is not None:
            run.input(text, source={"kind": "user"})
        elif said.type == predicates.TOOL_CALL and run is not None:
            run.tool_call(text, text, tool="tool", profile=profile_id(), status=fields["status"])
        elif said.type == predicates.OUTPUT and run is not None:
            run.output(text, text, profile=profile_id(), media_type="text/plain", receipt_id=receipt_id)
        elif said.type == predicates.OUTPUT:
            draft = output_draft(
                text,
                text,
                profile=profile_id(),
                media_type="text/plain",
                attributes={"agent": "agent"},
                assurance=fields["assurance"],
                commitment=fields["commitment"],
            )
            attester = self._attesters[fields["key_id"]]
            self._keeper.submit(attester.attest(draft, unit=KEYS_UNIT, nonce=record.nonce)).wait(_TIMEOUT_SECONDS)
        else:
            raise ConfigurationError(f"leaf {index} is of a kind that this attack does not know: {said.type}")


def stolen_signer(folder: wiring.StoreFolder) -> LogSigner:
    """Take the log's keys out of their files, as anybody who can read them does."""
    first, second = (strict.base64_bytes(folder.key(n).read_text().strip(), spec=n) for n in ("log.ed25519", "log.mldsa44"))
    return LogSigner(folder.origin(), keys.Ed25519Key(first), keys.MlDsa44Key(second))


def sign_again(folder: wiring.StoreFolder) -> Attack:
    """Sign whatever head the store has now, drop every other signed head, and leave nothing published."""
    store = SqliteStore(folder.database, read_only=True)
    head = store.head()
    store.close()
    attacks.forget_checkpoints(folder, 0)
    shutil.rmtree(folder.log, ignore_errors=True)
    store = SqliteStore(folder.database)
    store.add_checkpoint(stolen_signer(folder).sign(head))
    store.close()
    return Attack("sign_again", LOG_KEY, f"signed a head of size {head.size} with the real log key, and dropped all others")


def rebuild(
    folder: wiring.StoreFolder, text: Callable[[int], str], *, vault: Vault | None = None, is_founded_anew: bool = False
) -> Attack:
    """Rebuild a log with its real keys: same name, same size, same shape, other content.

    Args:
        folder: The store; no keeper has it open.
        text: Index of a leaf to what it shall have said.
        vault: Unit keys to seal with; by default the store's own, for an attacker who has that file too.
        is_founded_anew: Make the founding entries again too, with the root key: that attacker is root.

    Raises:
        ConfigurationError: A kind of statement that this attack does not know.
    """
    place = folder.path / "rebuilt"
    place.mkdir()
    forged, clock, random = wiring.StoreFolder(place), _OldClock(), SystemRandom()
    old = SqliteStore(folder.database, read_only=True)
    try:
        store = SqliteStore.create(forged.database)
        keeper_key = keys.StatementKey.from_pem(folder.key("keeper.pem").read_bytes())
        parts = KeeperParts(
            store,
            vault or wiring.open_vault(folder),
            stolen_signer(folder),
            keeper_key,
            OwnHeads(),
            TileFolder(forged.log),
            clock,
            random,
        )
        if is_founded_anew:
            root, later = (keys.StatementKey.from_pem(folder.key(n).read_bytes()) for n in ("root.pem", "root-next.pem"))
            erasure = folder.key("erasure.pem")
            genesis(parts, root, later, keys.StatementKey.from_pem(erasure.read_bytes()) if erasure.exists() else None)
        else:
            kept = [old.record(index) for index in range(FOUNDED)]
            store.commit(EMPTY, kept, append_leaves(EMPTY, [record.leaf_hash for record in kept]))
        keeper = Keeper(parts)
        try:
            forger = _Forger(keeper, clock, text)
            for index, record in old.records(FOUNDED):
                forger.say_again(index, record)
        finally:
            keeper.close()
        size = old.head().size
    finally:
        old.close()
    _take_place(folder, forged)
    first = 0 if is_founded_anew else FOUNDED
    signed = "signed the head with the real log key"
    did = f"rebuilt entries {first} to {size - 1} with other content and fresh keys, and {signed}"
    return Attack("rebuild", ROOT if is_founded_anew else LOG_KEY, did)


def _take_place(folder: wiring.StoreFolder, forged: wiring.StoreFolder) -> None:
    for path in folder.path.glob(folder.database.name + "*"):
        path.unlink()
    forged.database.rename(folder.database)
    shutil.rmtree(folder.log, ignore_errors=True)
    shutil.move(forged.log, folder.log)
    shutil.rmtree(forged.path)
