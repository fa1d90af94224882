"""Opening the store's SQLite file: how it is written, and what SQLite's errors mean.

SQLite comes with ``apsw``: releases before 3.51.3 can corrupt a WAL under concurrent connections, so an older one is refused (the
pin is 3.54).
"""

from __future__ import annotations

from pathlib import Path

import apsw

from apostille.errors import ApostilleError, ConfigurationError, MalformedError, StorageUnavailableError
from apostille.storage import schema

MINIMUM_SQLITE = (3, 54)
# STRICT does not ask whether text is UTF-8, and whoever edits the file puts text where he likes: any read can find it.
FAULTS = (apsw.Error, UnicodeDecodeError)
_SPEC = "store"
_STATEMENTS = 256  # kept compiled: an insert for each number of rows


def check_library() -> None:
    """Refuse an SQLite that is too old.

    Raises:
        ConfigurationError: Before 3.54.
    """
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split(".")[:2])
    if version < MINIMUM_SQLITE:
        raise ConfigurationError(f"SQLite {apsw.sqlite_lib_version()} is too old; 3.54 or later is needed (package apsw)")


def translate(error: apsw.Error | UnicodeDecodeError, path: Path) -> ApostilleError:
    """Return the error of ours that one of SQLite's means."""
    if isinstance(error, UnicodeDecodeError):
        return MalformedError(f"{path.name} holds text that is not UTF-8", spec=_SPEC)
    if isinstance(error, (apsw.NotADBError, apsw.CorruptError, apsw.FormatError)):
        return MalformedError(f"{path.name} is damaged or no database of ours: {error}", spec=_SPEC)
    if isinstance(error, apsw.SQLError):
        return MalformedError(f"{path.name} has not the tables of a store: {error}", spec=_SPEC)
    return StorageUnavailableError(f"{path.name}: {error}")


def open_file(path: Path, *, read_only: bool) -> tuple[apsw.Connection, int]:
    """Open the file and find its schema number; what SQLite raises is left to the caller."""
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    db = apsw.Connection(str(path), flags=flags, statementcachesize=_STATEMENTS)
    try:
        db.set_busy_timeout(5000)
        version = schema.find_version(db)
        if not read_only:
            prepare(db)
    except apsw.CantOpenError:
        db.close()
        # A copy on read-only media: WAL mode wants to make a file beside it. Nobody can write there, so none is needed.
        if not read_only or path.with_name(path.name + "-wal").exists():
            raise
        db = apsw.Connection(path.absolute().as_uri() + "?immutable=1", flags=flags | apsw.SQLITE_OPEN_URI)
        return db, schema.find_version(db)
    except (apsw.Error, ApostilleError):
        db.close()
        raise
    return db, version


def prepare(db: apsw.Connection) -> None:
    """Set how a file is written: durable with each commit, and what goes is overwritten."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    # From the first row on: what the tree moves from page to page would else lie about after an erasure.
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA wal_autocheckpoint = 4000")
