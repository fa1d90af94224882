"""Head memory: the last head that this user has seen of each log, outside every store.

A file ``<hex SHA-256(origin)>`` holds the three lines of a checkpoint text, unsigned. It is state, not trust, and never a
witness: whoever can write it can make it forget. Its size never falls.
"""

from __future__ import annotations

from pathlib import Path

from apostille.core.checkpoint import Checkpoint, format_checkpoint, parse_checkpoint
from apostille.core.digest import sha256
from apostille.errors import MalformedError, RollbackError
from apostille.storage import files


class FolderHeadMemory:
    """Head memory in a folder, made on first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, origin: str) -> Path:
        return self._folder / sha256(origin.encode()).hex()

    def recall(self, origin: str) -> Checkpoint | None:
        """Return the remembered head.

        Raises:
            MalformedError: The file is damaged. It is never taken for "nothing remembered".
        """
        data = files.read_file(self._path(origin), limit=4096)
        if data is None:
            return None
        found = parse_checkpoint(data)
        if found.origin != origin:
            raise MalformedError("the remembered head is another log's", spec="head memory")
        return found

    def remember(self, checkpoint: Checkpoint) -> None:
        """Replace the remembered head.

        Raises:
            RollbackError: A larger head, or another root of the same size, is remembered.
        """
        files.make_folder(self._folder, mode=files.PRIVATE_FOLDER)
        # A keeper and an auditor may both write: without the lock the slower one could make the size fall.
        with files.locked_folder(self._folder):
            known = self.recall(checkpoint.origin)
            if known == checkpoint:
                return
            if known is not None and known.size >= checkpoint.size:
                raise RollbackError(
                    f"a head of size {known.size} is remembered for {checkpoint.origin}; size {checkpoint.size} can't replace it",
                    evidence=(format_checkpoint(known), format_checkpoint(checkpoint)),
                )
            files.replace_file(self._path(checkpoint.origin), format_checkpoint(checkpoint))
