"""Attacks in several steps, on a site."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from apostille import wiring
from apostille.adapters.system import SystemRandom
from apostille.core.checkpoint import Checkpoint
from apostille.faces.cli.demo import attacks, forge
from apostille.faces.cli.demo.rebuild import rebuild, stolen_signer
from apostille.faces.cli.demo.site import FORGED, OUTPUT, SIZE, Site, make_site
from apostille.storage.vault import MemoryVault

FORGED_RECEIPT = "forged"


def nothing(site: Site) -> None:
    """Do nothing: what is wrong is in what is handed over."""
    del site


def cut_behind_published(site: Site) -> None:
    """Cut the database and forget every signed head in it; what was published is still there."""
    attacks.truncate(site.folder, grade="head")
    attacks.forget_checkpoints(site.folder, SIZE - 10)


def restore(site: Site, *, with_memory: bool = False) -> None:
    """Let the store grow, hand out a receipt of that, then put the old copy back; with the memory of then, if asked."""
    copy = attacks.copy_store(site.folder, site.path / "copy")
    memory = site.path / "memory"
    shutil.copytree(site.heads("clinic"), memory)
    site.say("first", 4)
    site.hand_out(SIZE + 4, "answer 1 of first")
    attacks.restore_copy(site.folder, copy)
    if with_memory:
        shutil.rmtree(site.heads("clinic"))
        shutil.copytree(memory, site.heads("clinic"))


def inner_hash(site: Site) -> None:
    """Let the store grow past its first full tile, and change the hash that stands for it."""
    site.say("first", 120)  # past the first full tile, so that there is such a hash
    attacks.set_columns(site.folder, "hash = zeroblob(32)", table="subtree")


def behind(attack: Callable[[Site], object], site: Site) -> None:
    """Do something to the file while a keeper has it open."""
    with site.machine("clinic").at_work():
        site.keeper = wiring.open_keeper(site.folder)
    attack(site)


def mix(theirs: int, change: Callable[[forge.Receipt, forge.Receipt], None], site: Site) -> None:
    """Put something of another receipt into ours; our output lies beside it."""
    forge.mixed_receipt(site.receipt(OUTPUT), site.receipt(theirs), change, site.receipt(FORGED_RECEIPT))
    shutil.copy(site.inbox / f"{OUTPUT}.txt", site.inbox / f"{FORGED_RECEIPT}.txt")


def foreign_keys(site: Site) -> None:
    """Take the key chain of another agent's receipt."""
    site.say("other", 1)
    index = SIZE + 3  # a key, the opening of the run, an input
    site.hand_out(index, "answer 0 of other")
    mix(index, forge.swap("keys"), site)


def forge_receipt(site: Site, *, has_our_name: bool, has_our_key: bool = False) -> None:
    """Hand over a receipt of a log that an attacker has founded: under our name, or not; signed with our log key, or not."""
    origin = site.folder.origin() if has_our_name else None
    signer = stolen_signer(site.folder) if has_our_key else None
    site.receipt(FORGED_RECEIPT).write_bytes(forge.perfect_receipt(FORGED.encode(), origin, signer))
    (site.inbox / f"{FORGED_RECEIPT}.txt").write_text(FORGED)


def other_store(site: Site) -> None:
    """Put a sound store of an attacker's own in place of ours."""
    other = make_site(site.path / "attacker")
    shutil.rmtree(site.folder.path)
    shutil.copytree(other.folder.path, site.folder.path)


def own_unit_keys() -> MemoryVault:
    """Return unit keys of the attacker's own, with one for the log's own unit."""
    vault = MemoryVault(SystemRandom().token)
    vault.ensure(bytes(16))  # a key of the attacker's own for the log's own unit
    return vault


def two_views(site: Site) -> None:
    """Keep the true store in ``true`` beside one that was rebuilt."""
    attacks.copy_store(site.folder, site.path / "true")
    rebuild(site.folder, lambda _: FORGED)


def rebuild_and_remember(site: Site, *, is_founded_anew: bool = False) -> None:
    """Rebuild everything, and let this machine remember the forged head."""
    rebuild(site.folder, lambda _: FORGED, is_founded_anew=is_founded_anew)
    shutil.rmtree(site.heads("clinic"))
    clinic = site.machine("clinic")
    reader = wiring.open_reader(site.folder)
    signed = reader.checkpoint()
    reader.close()
    if signed is None:
        raise RuntimeError("a rebuilt log is published")
    with clinic.at_work():
        wiring.head_memory().remember(Checkpoint(site.folder.origin(), signed.size, signed.root_hash))


def lose_unit_key(site: Site) -> None:
    """Destroy the unit key of the first run."""
    path = site.folder.key("units")
    lines = path.read_text().splitlines(keepends=True)
    # The first line is the log's own unit, the second one the first run's.
    path.write_text("".join(line for number, line in enumerate(lines) if number != 1))
