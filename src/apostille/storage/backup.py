"""Backups of a store: a folder, or one tar file, of a manifest and the files that it names.

    manifest.json    JCS: type, origin, size, root, schema, made_at, and name, bytes, sha256 of each file
    apostille.toml   format and origin           store.sqlite   the database, as it was at one moment
    keys/units       the keys of erasure units   keys/..        private keys, only if they were asked for

The manifest is not signed: it shows that a copy is whole, not who has made it; the log's own signatures say what it is worth.
A backup appears under its name when it is complete, never before. Tiles are not in it: the keeper writes them again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Self

from apostille.core import strict
from apostille.core.digest import SIZE
from apostille.errors import ConflictError, DigestMismatchError, MalformedError, NotFoundError, StorageUnavailableError
from apostille.storage import files

TYPE = "urn:apostille:backup:v1"
MANIFEST = "manifest.json"
CONFIG, DATABASE, UNITS = "apostille.toml", "store.sqlite", "keys/units"
PRIVATE = tuple(f"keys/{n}" for n in ("keeper.pem", "log.ed25519", "log.mldsa44", "root.pem", "root-next.pem", "erasure.pem"))
_SPEC = "backup manifest"
_NEEDED = (CONFIG, DATABASE, UNITS)
MAX_MANIFEST_BYTES = 64 * 1024
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself.

    Attributes:
        origin: The log's name.
        size: Leaves in the database.
        root_hash: Root of their tree.
        schema: Schema of the database.
        made_at: UTC text.
        files: Name to (bytes, SHA-256).
    """

    origin: str
    size: int
    root_hash: bytes
    schema: str
    made_at: str
    files: Mapping[str, tuple[int, bytes]]

    @property
    def has_keys(self) -> bool:
        """Whether private keys are in it."""
        return any(name in self.files for name in PRIVATE)


def format_manifest(manifest: Manifest) -> bytes:
    """Write a manifest."""
    listed = [{"name": n, "bytes": size, "sha256": digest.hex()} for n, (size, digest) in sorted(manifest.files.items())]
    return strict.canonical_json(
        {
            "type": TYPE,
            "origin": manifest.origin,
            "size": manifest.size,
            "root": manifest.root_hash.hex(),
            "schema": manifest.schema,
            "made_at": manifest.made_at,
            "files": listed,
        }
    )


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        MalformedError: Not one, or it names files that no backup has.
    """
    value = strict.canonical_json_value(data, spec=_SPEC)
    strict.exact_members(value, {"type", "origin", "size", "root", "schema", "made_at", "files"}, spec=_SPEC)
    if value["type"] != TYPE or not isinstance(value["files"], list):
        raise MalformedError("not the manifest of a backup", spec=_SPEC)
    listed: dict[str, tuple[int, bytes]] = {}
    for item in value["files"]:
        strict.exact_members(item, {"name", "bytes", "sha256"}, spec=_SPEC)
        name = strict.string(item["name"], spec=_SPEC)
        if name not in (*_NEEDED, *PRIVATE) or name in listed:
            raise MalformedError(f"an unknown file, or one named twice: {strict.quote(name)}", spec=_SPEC)
        listed[name] = strict.integer(item["bytes"], spec=_SPEC), strict.hex_bytes(item["sha256"], SIZE, spec=_SPEC)
    missing = [name for name in _NEEDED if name not in listed]
    if missing:
        raise MalformedError(f"it names no {missing[0]}", spec=_SPEC)
    return Manifest(
        strict.string(value["origin"], spec=_SPEC, limit=255),
        strict.integer(value["size"], spec=_SPEC),
        strict.hex_bytes(value["root"], SIZE, spec=_SPEC),
        strict.string(value["schema"], spec=_SPEC),
        strict.string(value["made_at"], spec=_SPEC),
        listed,
    )


def _digest(path: Path) -> tuple[int, bytes]:
    total, made = 0, sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total += len(chunk)
            made.update(chunk)
    return total, made.digest()


def list_files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return size and SHA-256 of all files of a backup that lie in a folder."""
    return {name: _digest(folder / name) for name in (*_NEEDED, *PRIVATE) if (folder / name).exists()}


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give a private folder that becomes ``target`` when this ends well, and is gone when it does not.

    Raises:
        ConflictError: Something is there already.
        StorageUnavailableError: It can't be written.
    """
    if not target.name or _is_something(target):
        raise ConflictError(f"there is something in {target} already")
    files.make_folder(target.absolute().parent)
    work = target.absolute().with_name(f".{target.name}.{os.urandom(8).hex()}.tmp")
    try:
        work.mkdir(mode=files.PRIVATE_FOLDER)
        try:
            yield work
            for path in (*work.rglob("*"), work):
                if path.is_dir():
                    files.sync_folder(path)
            if _is_something(target):  # somebody else was faster
                raise ConflictError(f"there is something in {target} already")
            work.rename(target)
            files.sync_folder(target.absolute().parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise StorageUnavailableError(f"{target} can't be written: {error.strerror}") from error


def _is_something(target: Path) -> bool:
    try:
        return any(target.iterdir()) if target.is_dir() else os.path.lexists(target)
    except OSError as error:
        raise StorageUnavailableError(f"{target} can't be read: {error.strerror}") from error


def pack(folder: Path, target: Path) -> None:
    """Write a folder that is complete as one tar file, manifest first.

    Raises:
        ConflictError: Something is there already.
        StorageUnavailableError: It can't be written.
    """
    if os.path.lexists(target):
        raise ConflictError(f"there is something in {target} already")
    work = target.absolute().with_name(f".{target.name}.{os.urandom(8).hex()}.tmp")
    names = [MANIFEST, *sorted(list_files(folder))]
    try:
        handle = os.open(work, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, files.PRIVATE_FILE)
        try:
            with os.fdopen(handle, "wb") as out, tarfile.open(fileobj=out, mode="w") as tar:
                for name in names:
                    member = tarfile.TarInfo(name)
                    member.size, member.mode = (folder / name).stat().st_size, files.PRIVATE_FILE
                    with (folder / name).open("rb") as file:
                        tar.addfile(member, file)
            files.sync_file(work)
            work.rename(target)
            files.sync_folder(target.absolute().parent)
        finally:
            work.unlink(missing_ok=True)
    except OSError as error:
        raise StorageUnavailableError(f"{target} can't be written: {error.strerror}") from error


class Backup:
    """A backup that is read: its manifest, and its files as streams.

    Raises:
        NotFoundError: There is none.
        MalformedError: Not a backup.
        StorageUnavailableError: It can't be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tar: tarfile.TarFile | None = None
        try:
            if path.is_dir():
                data = files.read_file(path / MANIFEST, limit=MAX_MANIFEST_BYTES)
            elif path.is_file():
                self._tar = tarfile.open(path, mode="r:")  # noqa: SIM115 - closed by ``close``
                with self._open(MANIFEST) as file:
                    data = file.read(MAX_MANIFEST_BYTES + 1)
            else:
                raise NotFoundError(f"there is no backup {path}")
        except tarfile.TarError as error:
            raise MalformedError(f"{path.name} is no backup: {error}", spec=_SPEC) from error
        except OSError as error:
            raise StorageUnavailableError(f"{path.name} can't be read: {error.strerror}") from error
        if data is None:
            raise MalformedError(f"{path.name} has no {MANIFEST}: it is no backup, or one that was never completed", spec=_SPEC)
        self.manifest = parse_manifest(data)

    def _open(self, name: str) -> IO[bytes]:
        if self._tar is None:
            return (self._path / name).open("rb")
        try:
            member = self._tar.getmember(name)
            found = self._tar.extractfile(member) if member.isreg() else None
        except KeyError:
            found = None
        if found is None:
            raise MalformedError(f"{name} is missing", spec=_SPEC)
        return found

    def copy(self, name: str, target: Path) -> None:
        """Copy one file out, and compare what was written with the manifest.

        Raises:
            DigestMismatchError: It is another file than the manifest names.
            MalformedError: It is missing.
            StorageUnavailableError: It can't be read or written.
        """
        size, digest = self.manifest.files[name]
        total, made = 0, sha256()
        try:
            target.parent.mkdir(mode=files.PRIVATE_FOLDER, parents=True, exist_ok=True)
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, files.PRIVATE_FILE)
            with os.fdopen(handle, "wb") as out, self._open(name) as file:
                while total <= size and (chunk := file.read(_CHUNK)):
                    total += len(chunk)
                    made.update(chunk)
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())
        except FileNotFoundError as error:
            raise MalformedError(f"{name} is missing", spec=_SPEC) from error
        except tarfile.TarError as error:
            raise MalformedError(f"{name} can't be read: {error}", spec=_SPEC) from error
        except OSError as error:
            raise StorageUnavailableError(f"{name} can't be copied: {error.strerror}") from error
        if (total, made.digest()) != (size, digest):
            raise DigestMismatchError(f"{name} is not the file that the backup's manifest names: the backup is damaged")

    def close(self) -> None:
        """Close the file."""
        if self._tar is not None:
            self._tar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
