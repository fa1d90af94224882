"""Which files a scan looks at, and which it leaves out and why.

A folder is read recursively, names in the order of their bytes. What the user named is opened whatever it is, through links too;
inside a folder no link is followed, so that a scan never leaves it.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from apostille.errors import ApostilleError, NotFoundError, StorageUnavailableError
from apostille.faces.cli.terminal import STDIN

LINK = "links"
SPECIAL = "no regular files"
BINARY = "binary"
LEFT_OUT = "left out by --include or --exclude"
GIT = ".git folders"
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}


@dataclass(frozen=True, slots=True)
class Target:
    """One file to look at.

    Attributes:
        name: As it is printed; ``-`` is stdin.
        size: Bytes, as far as known.
        is_named: The user named it; else it was found in a folder.
    """

    name: str
    size: int
    is_named: bool


@dataclass(slots=True)
class Walk:
    """What was found.

    Attributes:
        targets: To be looked at, in order.
        skipped: Why others are not, and how many.
        failed: What could not be read, with the error.
    """

    targets: list[Target] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, ApostilleError]] = field(default_factory=list)


class Globs:
    """What ``--include`` and ``--exclude`` say.

    A pattern stands for a path as it is printed, for one relative to the folder that was named, or for any one name in it.
    """

    def __init__(self, include: Iterable[str], exclude: Iterable[str]) -> None:
        self._include = [re.compile(fnmatch.translate(glob.rstrip("/"))) for glob in include]
        self._exclude = [re.compile(fnmatch.translate(glob.rstrip("/"))) for glob in exclude]

    def excludes(self, name: str, relative: str) -> bool:
        """Tell whether ``--exclude`` names this file or folder."""
        return _matches(self._exclude, name, relative)

    def takes(self, name: str, relative: str) -> bool:
        """Tell whether this file is wanted, after what ``--exclude`` says."""
        return not self._include or _matches(self._include, name, relative)


def _matches(globs: list[re.Pattern[str]], name: str, relative: str) -> bool:
    shapes = {name, relative, os.path.normpath(name), os.path.basename(name)}  # noqa: PTH119 - names, not files
    return any(glob.fullmatch(shape) for glob in globs for shape in shapes)


def walk(paths: Iterable[str], globs: Globs) -> Walk:
    """Find the files below some paths; each is looked at once, where it is first named."""
    found = Walk()
    seen: set[str] = set()
    for path in paths:
        if path in seen:
            continue
        seen.add(path)
        if path == STDIN:
            found.targets.append(Target(path, 0, is_named=True))
            continue
        try:
            status = os.stat(path)  # noqa: PTH116 - a Path would drop a leading "./", and the name is printed as it was given
        except (OSError, ValueError) as error:
            found.failed.append((path, unreadable(path, error)))
            continue
        if stat.S_ISDIR(status.st_mode):
            _walk_folder(path, globs, found, seen)
        elif globs.excludes(path, path) or not globs.takes(path, path):
            found.skipped[LEFT_OUT] += 1
        else:
            found.targets.append(Target(path, status.st_size, is_named=True))
    return found


def unreadable(name: str, error: OSError | ValueError) -> ApostilleError:
    """Turn the system's error into one of ours."""
    if isinstance(error, ValueError) or error.errno in _MISSING:
        return NotFoundError(f"there is no file {name[:300]}")
    return StorageUnavailableError(f"it can't be read: {error.strerror}")


def _walk_folder(top: str, globs: Globs, found: Walk, seen: set[str]) -> None:
    stack = [top]
    while stack:
        path = stack.pop()
        try:
            with os.scandir(path) as entries:
                items = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            found.failed.append((path, unreadable(path, error)))
            continue
        folders: list[str] = []
        for item in items:
            # A file that is named as stdin is given keeps the folder before its name.
            is_here = path == "." and item.name != STDIN
            name = item.name if is_here else os.path.join(path, item.name)  # noqa: PTH118 - as above
            _take(item, name, os.path.relpath(name, top), globs, found, seen, folders)
        stack += reversed(folders)


def _take(
    item: os.DirEntry[str], name: str, relative: str, globs: Globs, found: Walk, seen: set[str], folders: list[str]
) -> None:
    try:
        status = item.stat(follow_symlinks=False)
    except OSError as error:
        found.failed.append((name, unreadable(name, error)))
        return
    if stat.S_ISDIR(status.st_mode):
        if item.name == ".git":
            found.skipped[GIT] += 1
        elif globs.excludes(name, relative):
            found.skipped[LEFT_OUT] += 1
        else:
            folders.append(name)
    elif globs.excludes(name, relative) or not globs.takes(name, relative):
        found.skipped[LEFT_OUT] += 1
    elif stat.S_ISLNK(status.st_mode):
        found.skipped[LINK] += 1
    elif not stat.S_ISREG(status.st_mode):
        found.skipped[SPECIAL] += 1
    elif name not in seen:
        seen.add(name)
        found.targets.append(Target(name, status.st_size, is_named=False))
