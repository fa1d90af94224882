"""The keeper's socket, and becoming the keeper that listens there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from apostille import wiring
from apostille.errors import StorageUnavailableError, UnavailableError
from apostille.faces.keeper_api.connection import Limits
from apostille.faces.keeper_api.server import KeeperServer
from apostille.services.admission import Admission
from apostille.services.client import KeeperClient
from apostille.services.keeper import Keeper
from apostille.storage.folder import keeper_settings
from apostille.storage.sqlite import SqliteStore

AnyKeeper: TypeAlias = Keeper | KeeperClient
_START_SECONDS = 5.0
_PAUSE_SECONDS = 0.05


class ListeningKeeper(wiring.OwnedKeeper):
    """A keeper that other processes reach by its socket."""

    server: KeeperServer | None = None
    view: SqliteStore | None = None
    _is_shut = False

    def close(self, *, is_hand_over: bool = False) -> None:
        """Send clients away, then close the keeper and release the store. A second call does nothing."""
        if self._is_shut:
            return
        self._is_shut = True
        try:
            if self.server is not None:
                self.server.close(is_hand_over=is_hand_over)
        finally:
            if self.view is not None:
                self.view.close()
            super().close()


def become_keeper(
    folder: wiring.StoreFolder,
    *,
    tokens: Sequence[bytes] = (),
    on_hand_over: Callable[[], None] | None = None,
    limits: Limits | None = None,
) -> ListeningKeeper:
    """Become the keeper of a store, and listen.

    Args:
        folder: The store.
        tokens: SHA-256 of one-time tokens that are out.
        on_hand_over: Called once when another keeper asks for the store; without it the store is kept.
        limits: Bounds.

    Raises:
        StorageUnavailableError: Another process owns it, or the socket can't be made.
        RollbackError, ConfigurationError, NotFoundError: As ``wiring.open_keeper``.
    """
    settings = keeper_settings(folder)
    keeper = wiring.open_keeper_as(ListeningKeeper, folder, has_clients=True)
    try:
        keeper.view = wiring.open_reader(folder)
        admission = Admission(keeper, keeper.view, keeper.clock, tokens=tokens)
        keeper.server = KeeperServer(
            keeper,
            admission,
            settings.socket,
            mode=settings.mode,
            allow_uids=settings.allow_uids,
            limits=limits,
            on_hand_over=on_hand_over,
        )
    except BaseException:
        keeper.close()
        raise
    return keeper


def open_log(folder: wiring.StoreFolder, *, holder: str, held_by: str) -> AnyKeeper:
    """Use the keeper that is at work on a store; where there is none, become it.

    Raises:
        NotFoundError: There is no store here.
        StorageUnavailableError: Another process owns it, and does not answer.
        RollbackError, ConfigurationError: As ``wiring.open_keeper``.
    """
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return wiring.connect_keeper(folder, holder=holder, held_by=held_by)
        except UnavailableError as error:
            refused = error
        try:
            return become_keeper(folder)
        except StorageUnavailableError as error:
            # Somebody else has just become the keeper, or is about to let the store go.
            if time.monotonic() > deadline:
                raise StorageUnavailableError(f"{error} (it takes no client at the moment: {refused})") from error
            time.sleep(_PAUSE_SECONDS)
