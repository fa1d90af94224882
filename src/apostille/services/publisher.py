"""PUBLISH: sign the committed head, keep the checkpoint, remember the head, write the tiles.

It runs at most once a second while there is something new, on demand, and at close. It only ever sees committed heads, so it
can't sign two roots for one size. A signature of ML-DSA-44 costs up to 2.4 ms: here, never inside a commit.

What happens if we crash: before the checkpoint is kept, nothing was signed for anybody; after it, tiles and head memory are
brought up again from the store at the next publication.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from apostille.core import checkpoint as cp
from apostille.core import evidence, keys, note, tiles
from apostille.core.tree import TILE_WIDTH, Head, root_at
from apostille.errors import ApostilleError, OutcomeUnknownError, RollbackError, UnavailableError
from apostille.ports import Clock, HeadMemory, Reader, SignedCheckpoint, Store, TileSink


@dataclass(frozen=True, slots=True)
class LogSigner:
    """The log's two keys and its name."""

    origin: str
    ed25519: keys.Ed25519Key
    mldsa44: keys.MlDsa44Key

    @property
    def vkeys(self) -> tuple[note.VerifierKey, note.VerifierKey]:
        """The verifier keys of the 0x01 and the 0x06 line."""
        return (
            note.VerifierKey(self.origin, note.ED25519, self.ed25519.public),
            note.VerifierKey(self.origin, note.MLDSA44, self.mldsa44.public),
        )

    def sign(self, head: Head) -> SignedCheckpoint:
        """Sign a committed head."""
        checkpoint = cp.Checkpoint(self.origin, head.size, head.root_hash)
        lines = evidence.log_lines(checkpoint, self.ed25519, self.mldsa44)
        return SignedCheckpoint(head.size, head.root_hash, note.format_note(note.Note(cp.format_checkpoint(checkpoint), lines)))


def tile_data(reader: Reader, tile: tiles.Tile) -> bytes:
    """Return the content of a tile, from a store."""
    start = tile.number * TILE_WIDTH
    if tile.level is None:
        return tiles.format_entry_bundle(reader.entries(start, tile.width))
    return b"".join(reader.hashes(tile.level, start, tile.width))


class Publisher:
    """Publishes the heads of one store on a thread of its own.

    Args:
        store: The one writer's store.
        signer: The log's keys.
        heads: This user's head memory.
        sink: Where tiles go.
        clock: For the pace.
        committed: Returns the committed head that the keeper holds in memory.
        interval_seconds: Shortest time between two publications that nobody asked for.
    """

    def __init__(
        self,
        store: Store,
        signer: LogSigner,
        heads: HeadMemory,
        sink: TileSink,
        clock: Clock,
        committed: Callable[[], Head],
        *,
        interval_seconds: float = 1.0,
    ) -> None:
        self._store = store
        self._signer = signer
        self._heads = heads
        self._sink = sink
        self._clock = clock
        self._committed = committed
        self._interval = interval_seconds
        self._signing = threading.Lock()
        self._changed = threading.Condition()
        self._published = store.checkpoint()
        self._failure: ApostilleError | None = None
        self._behind_since: float | None = None
        self._is_closing = False
        self._is_asked = False
        self._thread = threading.Thread(target=self._work, name="apostille-publisher", daemon=True)

    def start(self) -> None:
        """Begin to publish on a thread."""
        self._thread.start()

    @property
    def newest(self) -> SignedCheckpoint | None:
        """The newest signed checkpoint."""
        return self._published

    def lag_seconds(self) -> float:
        """Return for how long something committed has been waiting for its checkpoint."""
        since = self._behind_since
        return 0.0 if since is None else self._clock.monotonic() - since

    @property
    def failure(self) -> ApostilleError | None:
        """What went wrong at the last attempt."""
        return self._failure

    def notice(self, head: Head) -> None:
        """Learn of a new committed head."""
        del head
        with self._changed:
            if self._behind_since is None:
                self._behind_since = self._clock.monotonic()
                self._changed.notify_all()

    def publish_now(self) -> SignedCheckpoint | None:
        """Sign and publish the committed head; return the newest checkpoint.

        Raises:
            RollbackError: The tree under the last signed or remembered head has changed.
            StorageUnavailableError, ConflictError: It can't be kept.
        """
        with self._signing:
            began = self._clock.monotonic()
            head = self._committed()
            last = self._published
            if head.size and (last is None or head.size > last.size):
                self._check(head, last)
                signed = self._signer.sign(head)
                self._store.add_checkpoint(signed)
                self._heads.remember(cp.Checkpoint(self._signer.origin, signed.size, signed.root_hash))
                with self._changed:
                    self._published = last = signed
                    # What was committed since then has been waiting since then, not since before.
                    self._behind_since = None if self._committed().size == signed.size else began
                    self._changed.notify_all()
            if last is not None:
                self._project(last)
            self._failure = None
            return last

    def _check(self, head: Head, last: SignedCheckpoint | None) -> None:
        """See that ``head`` continues what was signed here, and what this machine remembers: a copy may have signed since."""
        known = self._heads.recall(self._signer.origin)
        claims = {(last.size, last.root_hash): "signed"} if last is not None else {}
        if known is not None:
            claims.setdefault((known.size, known.root_hash), "remembered on this machine")
        for (size, root), how in claims.items():
            if size > head.size or root_at(size, self._store.hashes) != root:
                raise RollbackError(f"the tree of size {size} is not the one that was {how}")

    def _project(self, signed: SignedCheckpoint) -> None:
        done = self._sink.published_size()
        if done >= signed.size:
            return
        for tile in tiles.tiles_of(done, signed.size):
            self._sink.write(tiles.format_tile_path(tile), tile_data(self._store, tile))
        self._sink.write_checkpoint(signed.note, signed.size)

    def wait(self, size: int, timeout_seconds: float | None) -> SignedCheckpoint:
        """Wait for a checkpoint of at least ``size`` leaves, and ask for it now.

        Raises:
            OutcomeUnknownError: There is none after ``timeout_seconds``.
        """
        with self._changed:
            self._is_asked = True
            self._changed.notify_all()
            ready = self._changed.wait_for(lambda: self._published and self._published.size >= size, timeout_seconds)
            if not ready or self._published is None:
                raise OutcomeUnknownError(
                    f"not published after {timeout_seconds} s" + (f": {self._failure}" if self._failure else "")
                )
            return self._published

    def close(self) -> None:
        """Publish what is committed, then stop.

        Raises:
            ApostilleError: What kept it from being published.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        self.publish_now()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing or self._is_asked or self._behind_since is not None)
                if self._is_closing:
                    return
                self._is_asked = False
            try:
                self.publish_now()
            except ApostilleError as error:
                self._failure = error
            except Exception as error:  # noqa: BLE001 - a bug here must show in readiness, not end publication unseen
                self._failure = UnavailableError(f"internal fault while publishing: {error!r}")
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing or self._is_asked, self._interval)
