"""What audits leave in the user's state folder, outside every store.

    audits/<hex SHA-256(origin)>                       what the last audit without findings has come to
    evidence/<hex SHA-256(origin)>/<digest>/first      heads of one log that contradict each other, as they were seen
    evidence/<hex SHA-256(origin)>/<digest>/second

The first is a convenience: without it an audit reads everything. The second is never replaced nor removed by us.
"""

from __future__ import annotations

from pathlib import Path

from apostille.core.digest import sha256
from apostille.storage import files


class FolderAuditMemory:
    """Audit memory in a folder, made on first use; a state has at most ``limit`` bytes."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit

    def _path(self, origin: str) -> Path:
        return self._folder / "audits" / sha256(origin.encode()).hex()

    def recall(self, origin: str) -> bytes | None:
        """Return what was remembered last, unread.

        Raises:
            StorageUnavailableError: It can't be read.
            TooLargeError: It is none of ours.
        """
        return files.read_file(self._path(origin), limit=self._limit)

    def remember(self, origin: str, state: bytes) -> None:
        """Replace what was remembered, durably and atomically.

        Raises:
            StorageUnavailableError: It can't be written.
        """
        path = self._path(origin)
        files.make_folder(path.parent, mode=files.PRIVATE_FOLDER)
        files.replace_file(path, state)

    def keep_evidence(self, origin: str, first: bytes, second: bytes) -> Path:
        """Keep two heads that contradict each other; the same two again change nothing. Return the folder.

        Raises:
            StorageUnavailableError: They can't be written.
        """
        name = sha256(sha256(first) + sha256(second)).hex()[:32]
        folder = self._folder / "evidence" / sha256(origin.encode()).hex() / name
        files.make_folder(folder, mode=files.PRIVATE_FOLDER)
        for path, data in ((folder / "first", first), (folder / "second", second)):
            if not path.exists():
                files.replace_file(path, data)
        return folder
