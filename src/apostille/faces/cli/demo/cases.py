"""Every attack that this product has an answer to, what must come out, and what that rests on: the one list.

``apostille attacks`` performs it before the user's eyes, the tests hold every row, and the manual's table is written from it.

Spec: trust.md section 3 (attacker classes), section 4 (exit codes and verdicts), section 12 (scenarios 2, 3, 5, 9).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from apostille.faces import codes
from apostille.faces.cli.demo import acts, attacks, checks, forge
from apostille.faces.cli.demo.attacks import DATABASE, LOG_KEY, ROOT
from apostille.faces.cli.demo.checks import Check, start, store
from apostille.faces.cli.demo.rebuild import rebuild, sign_again
from apostille.faces.cli.demo.site import CLOSE, FOREIGN, FORGED, LATER, OUTPUT, RUN, SIZE, Site


@dataclass(frozen=True, slots=True)
class Case:
    """One attack.

    Attributes:
        attacker: ``a``, ``b`` or ``c``.
        name: What is done.
        attack: It.
        checks: What is run afterwards, in this order.
    """

    attacker: str
    name: str
    attack: Callable[[Site], object]
    checks: tuple[Check, ...]


def _case(attacker: str, name: str, attack: Callable[[Site], object], *looks: Check) -> Case:
    return Case(attacker, name, attack, looks)


_a, _b, _c = (partial(_case, attacker) for attacker in (DATABASE, LOG_KEY, ROOT))

_STATEMENT = f"leaf {OUTPUT}: the statement is not the one"
_LEAF_HASH = f"leaf {OUTPUT}: the entry has not the leaf hash"
_SIGNATURE = f"leaf {OUTPUT}: the signature of the statement does not verify"
_MISSING = f"leaf {OUTPUT}: openings are missing that no erasure names"
_UNWRAP = f"leaf {OUTPUT}: a record key does not unwrap"
_COLUMN = f"leaf {OUTPUT}: column '%s' was altered"
_OTHER_ID = _COLUMN % "nonce"
_HIDDEN_CLOSE = f"leaf {CLOSE}: column 'run' was altered"
_ORDER = f"leaf {OUTPUT}: run"
_UNKNOWN_KEY = "its signer's key is certified by no earlier"
_REWRITE = "REWRITE before size {signed}: the entries do not lead"
_REMEMBERED = f"REWRITE before size {SIZE}: history is not the one that this machine remembers"
_IN_RECEIPT = "under the head in the receipt"
_BEHIND = f"HALT_ROLLBACK: a head of size {SIZE} is remembered"
_BEHIND_RECEIPT = "HALT_ROLLBACK: a head of size"
_NOT_SIGNED = "is not the one that was signed"
_MOVED = "another writer has moved the head"
_GOOD = "VERIFIED, UNWITNESSED"

# Whoever can write the database, but has no key at all.
_EDITS = (
    _a("edit a statement", lambda s: attacks.edit_statement(s.folder, OUTPUT), store(_STATEMENT, checks.SIGNATURE, index=OUTPUT)),
    _a("edit an entry", lambda s: attacks.edit_entry(s.folder, OUTPUT, FORGED), store(_LEAF_HASH, checks.TREE, index=OUTPUT)),
    _a(
        "edit an entry and every hash above it",
        lambda s: attacks.edit_entry(s.folder, OUTPUT, FORGED, is_thorough=True),
        store(_SIGNATURE, checks.SIGNATURE, index=OUTPUT),
        store(_REWRITE, checks.TREE, machine="newcomer"),
        start(f"before size {SIZE} {_NOT_SIGNED}", checks.TREE),
    ),
    _a(
        "edit sealed content",
        lambda s: attacks.edit_opening(s.folder, OUTPUT),
        store(f"leaf {OUTPUT}: a sealed opening does not decrypt", checks.KEY_FILE, index=OUTPUT),
    ),
    _a(
        "delete sealed content without an erasure",
        lambda s: attacks.delete_opening(s.folder, OUTPUT),
        store(f"leaf {OUTPUT}: openings are missing", checks.CONTENT, index=OUTPUT),
    ),
    _a(
        "delete an entry",
        lambda s: attacks.delete_leaf(s.folder, OUTPUT),
        store(f"leaf {OUTPUT} is missing", checks.TREE, index=OUTPUT),
        start("the store", checks.TREE),
    ),
    _a(
        "delete an entry, close the gap, every hash anew",
        lambda s: attacks.delete_leaf(s.folder, OUTPUT, is_thorough=True),
        store(_REWRITE, checks.TREE, index=OUTPUT),
        start(f"the store has {SIZE - 1} leaves, but a head of size {SIZE} was signed", checks.TREE),
    ),
    _a(
        "exchange two entries of one run",
        lambda s: attacks.swap_leaves(s.folder, OUTPUT, LATER),
        store(_ORDER, checks.CHAIN, index=OUTPUT),
        start(_NOT_SIGNED, checks.TREE),
    ),
    _a(
        "exchange entries of two runs",
        lambda s: attacks.swap_leaves(s.folder, OUTPUT, FOREIGN + 2),
        store(_ORDER, checks.CHAIN, index=OUTPUT),
        start(_NOT_SIGNED, checks.TREE),
    ),
    _a(
        "exchange two entries, every hash anew",
        lambda s: attacks.swap_leaves(s.folder, OUTPUT, LATER, is_thorough=True),
        store(_REWRITE, checks.TREE, index=OUTPUT),
        start(_NOT_SIGNED, checks.TREE),
    ),
    _a(
        "cut off the last 10 rows",
        lambda s: attacks.truncate(s.folder, grade="rows"),
        store(f"leaf {SIZE - 10} is missing", checks.TREE, index=SIZE - 10),
        start("the store", checks.TREE),
    ),
    _a(
        "cut off 10 rows and set the head back",
        lambda s: attacks.truncate(s.folder, grade="head"),
        store(f"TRUNCATED: a checkpoint of size {SIZE}", checks.TREE),
        start(f"a head of size {SIZE} was signed", checks.TREE),
    ),
    _a(
        "cut off 10 rows and all that speaks of them",
        lambda s: attacks.truncate(s.folder),
        store(_BEHIND, checks.MEMORY),
        start(f"a head of size {SIZE} was remembered on this machine", checks.MEMORY),
        checks.against_log(f"HALT_ROLLBACK: a head of size {SIZE} is in the receipt, the log shows", name=FOREIGN),
        store("INCOMPLETE", checks.OPEN_RUN, code=codes.INCOMPLETE, machine="newcomer"),
    ),
    _a(
        "cut off 10 rows and every signed head, no memory",
        acts.cut_behind_published,
        start(f"a head of size {SIZE} was published", checks.PUBLISHED, machine="newcomer"),
    ),
    _a(
        "put an old copy of the store back",
        acts.restore,
        store(f"HALT_ROLLBACK: a head of size {SIZE + 11} is remembered, the first {SIZE} leaves are here", checks.MEMORY),
        start(f"a head of size {SIZE + 11} was remembered on this machine: an old copy", checks.MEMORY),
    ),
    _a(
        "add an entry of an own key as a row",
        lambda s: attacks.insert_leaf(s.folder),
        store(f"the store holds {SIZE + 1} leaves, its head says {SIZE}", checks.TREE),
    ),
    _a(
        "add an entry of an own key at the end",
        lambda s: attacks.insert_leaf(s.folder, is_thorough=True),
        store(f"leaf {SIZE}: {_UNKNOWN_KEY}", checks.KEY_CHAIN, code=codes.UNTRUSTED, index=SIZE),
        start("signed by no certified key|does not reach genesis", checks.KEY_CHAIN),
    ),
    _a(
        "slip in an entry of an own key",
        lambda s: attacks.insert_leaf(s.folder, LATER),
        store(f"leaf {LATER}: {_UNKNOWN_KEY}", checks.KEY_CHAIN),
        start("the store", checks.TREE),
    ),
    _a(
        "slip in an entry of an own key, every hash anew",
        lambda s: attacks.insert_leaf(s.folder, LATER, is_thorough=True),
        store(f"leaf {LATER}: {_UNKNOWN_KEY}", checks.KEY_CHAIN),
        start(_NOT_SIGNED, checks.TREE),
    ),
    _a(
        "change a hash of the tree that is stored",
        acts.inner_hash,
        store("the stored hash 0 of level 1 is not the one that its entries lead to", checks.TREE),
        start("the store", checks.TREE),
    ),
)

# What a column says that no statement covers must be what the statement says, or the content is lost.
_COLUMNS = tuple(
    _a(
        f"set {name} of an entry",
        partial(lambda change, s: attacks.set_columns(s.folder, change, where=f"idx = {OUTPUT}"), change),
        store(says, rests_on, index=OUTPUT),
    )
    for name, change, says, rests_on in (
        ("another unit key", "unit = randomblob(16)", _MISSING, checks.CONTENT),
        ("the log's own unit key", "unit = zeroblob(16)", _UNWRAP, checks.KEY_FILE),
        ("another record key", "wrapped_key = zeroblob(40)", _UNWRAP, checks.KEY_FILE),
        ("no record key", "wrapped_key = NULL", _MISSING, checks.CONTENT),
        ("another run", "run = zeroblob(16)", _COLUMN % "run", checks.SIGNATURE),
        ("another key", "certifies = zeroblob(32)", _COLUMN % "certifies", checks.SIGNATURE),
        ("another receipt id", "nonce = zeroblob(16)", _OTHER_ID, checks.SIGNATURE),
        ("another's receipt id", f"nonce = (SELECT nonce FROM leaf WHERE idx = {LATER})", _OTHER_ID, checks.SIGNATURE),  # noqa: S608 - a constant
        ("another leaf hash", "leaf_hash = zeroblob(32)", _LEAF_HASH, checks.TREE),
    )
)
_HIDING = _a(
    "hide by its column that a run was closed",
    lambda s: attacks.set_columns(s.folder, "run = NULL", where=f"idx = {CLOSE}"),
    store(_HIDDEN_CLOSE, checks.SIGNATURE, index=CLOSE),
    checks.audit(_HIDDEN_CLOSE, checks.SIGNATURE, index=CLOSE),
    checks.fsck(_HIDDEN_CLOSE, checks.SIGNATURE, index=CLOSE),
)

_BEHIND_A_KEEPER = tuple(
    _a(f"behind a keeper at work: {name}", partial(acts.behind, attack), checks.at_work(says, rests_on, code))
    for name, attack, says, rests_on, code in (
        ("cut off 10 rows", lambda s: attacks.truncate(s.folder, grade="head"), _MOVED, checks.KEEPER, codes.UNAVAILABLE),
        (
            "edit an entry and every hash",
            lambda s: attacks.edit_entry(s.folder, OUTPUT, FORGED, is_thorough=True),
            _MOVED,
            checks.KEEPER,
            codes.UNAVAILABLE,
        ),
        ("exchange two entries", lambda s: attacks.swap_leaves(s.folder, OUTPUT, LATER), _NOT_SIGNED, checks.TREE, codes.ALTERED),
        (
            "add an entry of an own key",
            lambda s: attacks.insert_leaf(s.folder, is_thorough=True),
            _MOVED,
            checks.KEEPER,
            codes.UNAVAILABLE,
        ),
    )
)

# A receipt that was put together from parts of others, on its way to the recipient.
_MIXED = tuple(
    _a(
        f"receipt with {name} of another of {whose} run",
        partial(acts.mix, theirs, change),
        checks.receipt(says, rests_on, name=acts.FORGED_RECEIPT),
    )
    for name, change, says, rests_on in (
        ("the salt", forge.swap("salt"), "the output is not the one that was committed to", checks.COMMITMENT),
        ("the attributes", forge.swap("attributes"), "the attributes are not the ones that were committed to", checks.COMMITMENT),
        ("the bundle", forge.swap("bundle"), "the output is not the one that was committed to", checks.COMMITMENT),
        (
            "all but the keys",
            forge.swap("bundle", "salt", "attributes"),
            "the output is not the one that was committed to",
            checks.COMMITMENT,
        ),
        ("the statement", forge.swap_envelope, "the log entry is another statement's", checks.SIGNATURE),
        ("the log entry", forge.swap_entry, "the log entry is another statement's", checks.SIGNATURE),
        ("the place", forge.swap_index, "the entry is not at index", checks.TREE),
    )
    for whose, theirs in (("the same", LATER), ("another", FOREIGN))
)

_RECEIPTS = (
    _a(
        "hand over the output of another receipt",
        acts.nothing,
        checks.exchanged("the output is not the one that was committed to: its bytes differ", checks.COMMITMENT),
    ),
    _a(
        "receipt with the keys of another agent",
        acts.foreign_keys,
        checks.receipt("NOT VERIFIED", checks.TREE, name=acts.FORGED_RECEIPT),
    ),
    _a(
        "receipt with the last key left out",
        partial(acts.mix, LATER, forge.cut_chain),
        checks.receipt(
            "the key chain leads to another key than the one that signed the statement",
            checks.KEY_CHAIN,
            code=codes.UNTRUSTED,
            name=acts.FORGED_RECEIPT,
        ),
    ),
    _a(
        "perfect receipt of an own log",
        lambda s: acts.forge_receipt(s, has_our_name=False),
        checks.receipt("the trust file names no log", checks.PINNED, code=codes.UNTRUSTED, name=acts.FORGED_RECEIPT),
    ),
    _a(
        "perfect receipt of an own log under our name",
        lambda s: acts.forge_receipt(s, has_our_name=True),
        checks.receipt("no signature by the pinned key of", checks.PINNED, code=codes.UNTRUSTED, name=acts.FORGED_RECEIPT),
    ),
    _a(
        "perfect store of an own log in place of ours",
        acts.other_store,
        store("the trust file names no log", checks.PINNED, code=codes.UNTRUSTED, machine="newcomer"),
    ),
)

# The log key too, and the keeper's statement key that lies beside it.
_WITH_LOG_KEY = (
    _b(
        "rebuild everything, other content",
        lambda s: rebuild(s.folder, lambda index: f"{FORGED} at {index}"),
        store(_REMEMBERED, checks.MEMORY),
        checks.one_run(f"REWRITE before size {SIZE}", checks.MEMORY),
        start(f"before size {SIZE} is not the one that was remembered on this machine: it was rewritten", checks.MEMORY),
        checks.against_log(_IN_RECEIPT),
        checks.against_log(_IN_RECEIPT, is_published=True),
        checks.quorum(),
        checks.still_good(),
        checks.honest(),
    ),
    _b(
        "the same, without the unit keys",
        lambda s: rebuild(s.folder, lambda _: FORGED, vault=acts.own_unit_keys()),
        store("a record key does not unwrap", checks.KEY_FILE, machine="newcomer"),
    ),
    _b(
        "show two views, one after the other",
        acts.two_views,
        checks.true_store("other"),
        store(_REMEMBERED, checks.OTHERS_MEMORY, machine="other"),
    ),
    _b(
        "edit an entry, sign the new head",
        lambda s: (attacks.edit_entry(s.folder, OUTPUT, FORGED, is_thorough=True), sign_again(s.folder)),
        store(_SIGNATURE, checks.SIGNATURE, index=OUTPUT, machine="newcomer"),
    ),
    _b(
        "exchange two entries, sign the new head",
        lambda s: (attacks.swap_leaves(s.folder, OUTPUT, LATER, is_thorough=True), sign_again(s.folder)),
        store(_ORDER, checks.CHAIN, index=OUTPUT, machine="newcomer"),
    ),
    _b(
        "drop an entry of a run, sign the new head",
        lambda s: (attacks.delete_leaf(s.folder, OUTPUT, is_thorough=True), sign_again(s.folder)),
        store(_ORDER, checks.CHAIN, index=OUTPUT, machine="newcomer"),
    ),
    _b(
        "drop the whole last run, sign the new head",
        lambda s: (attacks.truncate(s.folder, RUN), sign_again(s.folder)),
        store(_BEHIND, checks.MEMORY),
        start(f"a head of size {SIZE} was remembered on this machine", checks.MEMORY),
        checks.against_log(_BEHIND_RECEIPT),
        checks.quorum(),
        checks.honest(),
    ),
    _b("certify a new key and speak with it", lambda s: s.say("an agent that nobody has", 1), checks.honest(checks.NOBODY)),
    _b(
        "found another log under our name and key",
        lambda s: acts.forge_receipt(s, has_our_name=True, has_our_key=True),
        checks.receipt(
            "the root key of the genesis is not the one", checks.ROOT_HASH, code=codes.UNTRUSTED, name=acts.FORGED_RECEIPT
        ),
    ),
)

# Root, with everything that lies on this machine: past it there is only what somebody else remembers.
_AS_ROOT = (
    _c(
        "rebuild everything, change the head memory too",
        acts.rebuild_and_remember,
        checks.honest(machine="clinic"),
        checks.honest(),
        checks.quorum(),
        checks.against_log(_IN_RECEIPT),
        checks.against_log(_IN_RECEIPT, is_published=True),
        checks.still_good(),
    ),
    _c(
        "the same, founded anew with the root key",
        lambda s: acts.rebuild_and_remember(s, is_founded_anew=True),
        checks.honest(machine="clinic"),
        checks.honest(),
        checks.quorum(),
        checks.against_log(_IN_RECEIPT),
        checks.still_good(),
    ),
    _c(
        "put store and head memory back",
        lambda s: acts.restore(s, with_memory=True),
        checks.honest(machine="clinic"),
        checks.honest(),
        checks.against_log(f"HALT_ROLLBACK: a head of size {SIZE + 11} is in the receipt, the log shows", name=SIZE + 4),
    ),
    _c(
        "destroy the unit key of a run without an erasure",
        acts.lose_unit_key,
        store("openings are missing that no erasure names", checks.CONTENT),
    ),
    _c(
        "destroy all unit keys",
        lambda s: s.folder.key("units").unlink(),
        store(_GOOD, "nothing: counted as sealed; a backup of the key file would tell", code=codes.VERIFIED),
        start("the store's own unit key is missing", checks.KEY_FILE, code=codes.CONFIGURATION),
    ),
)

CASES = (*_EDITS, *_COLUMNS, _HIDING, *_BEHIND_A_KEEPER, *_MIXED, *_RECEIPTS, *_WITH_LOG_KEY, *_AS_ROOT)
