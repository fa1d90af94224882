"""``fsck``: everything that can be derived is derived again from the leaves, and compared with what is stored and published.

    the file             pages, indexes, rows that belong to no leaf
    leaves, statements   all that ``services.auditor`` examines in a whole store
    published tiles      each file that should be there, byte for byte; what should not be there is named

Nothing is repaired but published tiles that are missing or torn (``services.published``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from apostille.core.policy import Policy
from apostille.errors import IncompleteError, MalformedError, VerificationError
from apostille.ports import HeadMemory, Reader, TileShelf, Vault
from apostille.services.audit import Audit
from apostille.services.auditor import Progress, Recalled, examine_store
from apostille.services.classification import SEALED, place_of
from apostille.services.examination import Examination
from apostille.services.published import CHECKPOINT, MAX_NAMED, TileReport, compare_all, file_report, is_damaged, rewrite_tiles


@dataclass(slots=True)
class Fsck:
    """What a whole check has come to.

    Attributes:
        audit: What was found in the store; ``None`` where it could not be read at all.
        tiles: What was found where tiles are published.
        unopened: Indexes of records whose openings this reader could not open (the first ones).
        rewritten: Published files that were written again.
    """

    audit: Audit | None = None
    tiles: TileReport | None = None
    unopened: list[int] = field(default_factory=list)
    rewritten: list[str] = field(default_factory=list)


def check_store(
    examination: Examination,
    reader: Reader,
    policy: Policy,
    shelf: TileShelf,
    *,
    origin: str,
    published: bytes | None,
    again: Callable[[], Reader],
    heads: HeadMemory | None = None,
    vault: Vault | None = None,
    now: str | None = None,
    progress: Progress | None = None,
    is_fast: bool = False,
    is_rewriting: bool = False,
    recalled: Recalled | None = None,
) -> Fsck:
    """Derive everything again and compare.

    Args:
        examination: Where findings are filed.
        reader: The store, as it was at one moment.
        policy: The trust file.
        shelf: Where tiles are published.
        origin: The log's name.
        published: The published note, read before that moment.
        again: Opens the store as it is when asked, for tiles that a keeper at work has published meanwhile. It is closed by the
            caller.
        heads: Head memory.
        vault: Unit keys.
        now: UTC text.
        progress: Called with leaves done and leaves in all.
        is_fast: Leave the signatures of statements out.
        is_rewriting: Write published tiles again that are missing or torn, if the store itself is in order; what is reported is
            how it is afterwards.
        recalled: What head memory said before that moment.

    Raises:
        StorageUnavailableError: A tile can't be read or written.
    """
    found = Fsck()
    note = None if published is None or is_damaged(published, policy) else published
    with examination.step(1, "the file's pages, indexes and rows are sound"):
        faults = reader.faults()
        for fault in faults[1:]:
            examination.file(VerificationError(f"store: {fault}"), 1)
        if faults:
            raise VerificationError(f"store: {faults[0]}")
    with examination.step(4, "the head row and its right edge"):
        reader.head()
    if any(step.number == 4 and step.outcome == "failed" for step in examination.steps):
        return found  # without a head there is no saying what should be there
    found.audit = examine_store(
        examination,
        reader,
        policy,
        origin=origin,
        heads=heads,
        vault=vault,
        published=note,
        now=now,
        progress=progress,
        is_fast=is_fast,
        recalled=recalled,
    )
    places = found.audit.openings.places
    at = -1
    while len(found.unopened) < MAX_NAMED and (at := places.find(place_of(SEALED), at + 1)) >= 0:
        found.unopened.append(at)
    is_sound = not (examination.altered or examination.malformed or examination.untrusted)
    with examination.step(11, "the published tiles are those of the leaves") as step:
        found.tiles = compare_all(reader, policy, shelf, note, again, found.audit.size)
        if is_rewriting and is_sound:
            found.rewritten = rewrite_tiles(reader, policy, shelf, found.tiles, is_without_note=note is None)
            if found.rewritten:
                published = note = shelf.checkpoint()
                found.tiles = compare_all(reader, policy, shelf, note, again, found.audit.size)
        elif is_rewriting:
            examination.notices.append("nothing was rewritten: the store is not in order, and what is published may be evidence")
        if note is None and published is not None:
            examination.file(MalformedError(f"published: the file {CHECKPOINT} is no checkpoint"), 11)
        elif note is None and reader.checkpoint() is not None:
            examination.file(IncompleteError(f"published: the file {CHECKPOINT} is missing"), 11)
        file_report(examination, found.tiles)
        step.detail = f"size {found.tiles.size}, {found.tiles.checked} files"
        is_whole = note is not None or reader.checkpoint() is None
        if not is_whole or any(p.count for p in (found.tiles.missing, found.tiles.torn, found.tiles.altered, found.tiles.beyond)):
            step.outcome = "failed"
    return found
