"""What is run after an attack, on which machine, what must come out, and what that rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apostille import wiring
from apostille.adapters.system import SystemRandom
from apostille.core import keys, note
from apostille.errors import ApostilleError
from apostille.faces import codes
from apostille.faces.cli.attest import attest_files
from apostille.faces.cli.audit import audit as audit_store
from apostille.faces.cli.demo.site import LATER, OUTPUT, Site, say
from apostille.faces.cli.demo.stage import Recorder
from apostille.faces.cli.log import log_fsck
from apostille.faces.cli.trust import trust_add
from apostille.faces.cli.verify import verify_targets

SIGNATURE = "the signature under the statement"
CHAIN = "the signed chain of the run"
TREE = "the signed head above it"
MEMORY = "this machine's head memory"
OTHERS_MEMORY = "the verifier's own head memory"
RECEIPT = "the head in a receipt given away earlier"
KEY_CHAIN = "the key chain from genesis"
PINNED = "the pinned key of the log"
ROOT_HASH = "the root key's hash in the log's name"
COMMITMENT = "the commitment in the signed statement"
CONTENT = "the digests in the signed statement"
KEY_FILE = "the unit keys, a file apart from the database"
KEEPER = "the head in the running keeper's memory"
PUBLISHED = "the published checkpoint"
QUORUM = "the witness that the verifier demands"
NOTHING = "NOT COVERED without an outsider"
OPEN_RUN = "the run that the cut left open; where runs end, nothing"
NOBODY = "nothing: a false capture is captured faithfully"
_SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class Check:
    """One look at the site after an attack.

    Attributes:
        command: What is typed, in words.
        machine: Where: ``clinic`` owns the store; others know its public key only.
        code: The exit code that must come out.
        says: What the verdict or one of its reasons must say, alternatives split by ``|``; ``{signed}`` is the first signed head
            above the attacked output.
        rests_on: What the verdict rests on.
        run: The command itself.
        index: The first index that must be named, if one must be.
    """

    command: str
    machine: str
    code: int
    says: str
    rests_on: str
    run: Callable[[Site, Recorder], int]
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What came out of one check.

    Attributes:
        check: The check.
        verdict: Words of the verdict, or the code of an error.
        reasons: What is wrong, in the product's words.
        code: The exit code.
        says: What had to be said, one of these.
        indexes: The indexes that were named, in order.
        is_expected: Whether verdict, code and index are the promised ones, and nothing was signed or remembered here.
    """

    check: Check
    verdict: str
    reasons: tuple[str, ...]
    code: int
    says: tuple[str, ...]
    indexes: tuple[int, ...]
    is_expected: bool

    @property
    def telling(self) -> str:
        """The reason that the promise names, else the first one, else the verdict."""
        named = [reason for reason in self.reasons if any(part in reason for part in self.says)]
        return (*named, *self.reasons, self.verdict)[0]


def look(check: Check, site: Site, words: dict[str, str]) -> Seen:
    """Run a check and hold what comes out against what must."""
    before = site.signed()
    verdict, reasons, code, indexes = _ask(check, site)
    says = tuple(check.says.format_map(words).split("|"))
    is_expected = (
        code == check.code
        and any(part in " ".join((verdict, *reasons)) for part in says)
        and (check.index is None or (bool(indexes) and indexes[0] == min(indexes) == check.index))
        and (check.machine != "clinic" or site.signed() == before)
    )
    return Seen(check, verdict, reasons, code, says, indexes, is_expected)


def _ask(check: Check, site: Site) -> tuple[str, tuple[str, ...], int, tuple[int, ...]]:
    machine = site.machine(check.machine)
    is_new = not machine.path.exists()
    recorder = Recorder(store=str(site.folder.path))
    try:
        if is_new:
            vkey = site.vkey()
            with machine.at_work():
                trust_add(Recorder(), vkey)
        with machine.at_work():
            code = check.run(site, recorder)
    except ApostilleError as error:
        return error.code, (str(error),), codes.exit_code(error), ()
    document: Any = recorder.documents[0] if recorder.documents else {}
    found: dict[str, Any] = document if isinstance(document, dict) else {}  # ``attest`` lists what it made
    failures = found.get("failures", [])
    indexes = tuple(failure["index"] for failure in failures if "index" in failure)
    return found.get("verdict", "done"), tuple(failure["message"] for failure in failures), code, indexes


def _verify(target: Callable[[Site], Path], log: Callable[[Site], Path] | None = None) -> Callable[[Site, Recorder], int]:
    def run(site: Site, recorder: Recorder) -> int:
        shown = str(log(site)) if log is not None else None
        return verify_targets(recorder, [str(target(site))], artifact=None, log=shown, trust=None)

    return run


def _folder(site: Site) -> Path:
    return site.folder.path


def store(says: str, rests_on: str, *, code: int = codes.ALTERED, index: int | None = None, machine: str = "clinic") -> Check:
    """Verify the store."""
    return Check("verify STORE", machine, code, says, rests_on, _verify(_folder), index)


def audit(says: str, rests_on: str, *, index: int | None = None, machine: str = "clinic") -> Check:
    """Audit all of the store."""

    def run(site: Site, recorder: Recorder) -> int:
        return audit_store(recorder, site.folder.path, is_full=True, is_following=False, interval_seconds=0, trust=None)

    return Check("audit --full", machine, codes.ALTERED, says, rests_on, run, index)


def fsck(says: str, rests_on: str, *, index: int | None = None, machine: str = "clinic") -> Check:
    """Derive everything in the store again."""

    def run(site: Site, recorder: Recorder) -> int:
        del site
        return log_fsck(recorder, is_fast=False, is_rewriting=False, trust=None)

    return Check("log fsck", machine, codes.ALTERED, says, rests_on, run, index)


def honest(rests_on: str = NOTHING, machine: str = "newcomer") -> Check:
    """Verify the store where nothing can show the attack: 0, and the verdict says UNWITNESSED."""
    return store("VERIFIED, UNWITNESSED", rests_on, code=codes.VERIFIED, machine=machine)


def true_store(machine: str) -> Check:
    """Verify the store as it was before the attack, kept in ``true``."""
    run = _verify(lambda site: site.path / "true")
    return Check("verify STORE, as it was", machine, codes.VERIFIED, "VERIFIED, UNWITNESSED", SIGNATURE, run)


def receipt(says: str, rests_on: str, *, code: int = codes.ALTERED, name: object = OUTPUT, machine: str = "recipient") -> Check:
    """Verify a receipt by itself."""
    return Check("verify RECEIPT", machine, code, says, rests_on, _verify(lambda site: site.receipt(name)))


def still_good() -> Check:
    """Verify a receipt that was given away earlier: it still shows what it did."""
    return receipt("VERIFIED, UNWITNESSED", SIGNATURE + ", and the proof in the receipt", code=codes.VERIFIED)


def against_log(says: str, rests_on: str = RECEIPT, *, name: object = OUTPUT, is_published: bool = False) -> Check:
    """Compare a receipt that was given away earlier with the log as it is shown now."""
    run = _verify(lambda site: site.receipt(name), lambda site: site.folder.log if is_published else site.folder.path)
    words = "verify RECEIPT --log " + ("TILES" if is_published else "STORE")
    return Check(words, "recipient", codes.ALTERED, says, rests_on, run)


def exchanged(says: str, rests_on: str) -> Check:
    """Verify a receipt beside the output of another."""

    def run(site: Site, recorder: Recorder) -> int:
        other = str(site.inbox / f"{LATER}.txt")
        return verify_targets(recorder, [str(site.receipt(OUTPUT))], artifact=other, log=None, trust=None)

    return Check("verify RECEIPT --artifact OTHER", "recipient", codes.ALTERED, says, rests_on, run)


def quorum() -> Check:
    """Verify the store under a policy that demands a witness."""

    def run(site: Site, recorder: Recorder) -> int:
        witness = note.VerifierKey(
            "witness.example/w", note.COSIGNATURE, keys.Ed25519Key(SystemRandom().token(_SEED_BYTES)).public
        )
        trust = site.path / "policy"
        trust.write_text(f"log {site.vkey()}\nwitness w {note.format_vkey(witness)}\nquorum w\n")
        return verify_targets(recorder, [str(site.folder.path)], artifact=None, log=None, trust=trust)

    says = "QUORUM: 'w' has not signed"
    return Check("verify STORE --trust POLICY", "demanding", codes.INCOMPLETE, says, QUORUM, run)


def one_run(says: str, rests_on: str) -> Check:
    """Verify the first run of the store."""

    def run(site: Site, recorder: Recorder) -> int:
        reader = wiring.open_reader(site.folder)
        first = reader.runs()[0].hex()
        reader.close()
        return verify_targets(recorder, [first], artifact=None, log=None, trust=None)

    return Check("verify RUN", "clinic", codes.ALTERED, says, rests_on, run)


def start(says: str, rests_on: str, *, code: int = codes.ALTERED, machine: str = "clinic") -> Check:
    """Go on with the store: whatever needs the keeper must refuse, and sign nothing."""

    def run(site: Site, recorder: Recorder) -> int:
        return attest_files(
            recorder,
            [str(site.inbox / f"{OUTPUT}.txt")],
            media_type=None,
            agent="a",
            principal=None,
            profile="safe",
            is_salted=False,
            out=site.path / "attested",
        )

    return Check("attest FILE", machine, code, says, rests_on, run)


def at_work(says: str, rests_on: str, code: int) -> Check:
    """Let the keeper that was at work during the attack go on."""

    def run(site: Site, recorder: Recorder) -> int:
        del recorder
        keeper = site.keeper
        if keeper is None:
            raise RuntimeError("this attack goes on behind a keeper at work")
        try:
            say(keeper, "first", 1)
        finally:
            close_quietly(site)
        return codes.VERIFIED

    return Check("(keeper at work) next statement", "clinic", code, says, rests_on, run)


def close_quietly(site: Site) -> None:
    """Close the keeper that was at work; it may have stopped."""
    if site.keeper is None:
        return
    try:
        site.keeper.close()
    except ApostilleError:
        pass
    finally:
        site.keeper = None
