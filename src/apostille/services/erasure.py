"""Erasure: a statement first, signed by the erasure key and committed; then the key or the ciphertext is destroyed.

    method key   the erasure unit's key is destroyed: all that it wraps is gone, in the store and in later copies of its database
    method row   the named openings are overwritten in the store

Leaf, statement and proofs stay and still verify. What is destroyed is decided by the statements in the log alone, never by what a
caller asks: so a crash between statement and destruction is completed by whoever keeps the store next, and nothing is destroyed
that no erasure key has named.

It does **not** reach copies: receipts and outputs that were given away, backups that hold old keys.

Spec: formats.md section 3.6; trust.md section 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apostille.core import keychain, note, predicates, strict
from apostille.core.opening import SALT_BYTES
from apostille.core.statement import Statement, parse_statement
from apostille.errors import NotFoundError, PolicyError
from apostille.ports import PendingEntry, Reader, Record, Store, Vault
from apostille.services.attester import Attester, Draft
from apostille.services.binding import bind
from apostille.services.guard import certificate_of
from apostille.services.vault import KEYS_UNIT, open_record

KEY, ROW = "key", "row"


@dataclass(frozen=True, slots=True)
class Target:
    """What is to go of one leaf.

    Attributes:
        index: The leaf.
        digest: SHA-256 of its statement's PAE.
        openings: Subject names, sorted.
    """

    index: int
    digest: bytes
    openings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one erasure is to destroy, before anybody has signed it.

    Attributes:
        unit: The erasure unit that seals it all.
        method: ``key`` or ``row``.
        targets: Ascending.
    """

    unit: bytes
    method: str
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure statement of the log, its signature and its key's chain verified.

    Attributes:
        index: Its place.
        method: ``key`` or ``row``.
        effective_at: From when on the openings must be gone, UTC text.
        erases: Leaf to the names of the openings and the statement digest that it names for it.
    """

    index: int
    method: str
    effective_at: str
    erases: Mapping[int, tuple[frozenset[str], bytes]]

    def names(self, index: int, digest: bytes) -> frozenset[str]:
        """Return which openings of a leaf it erases."""
        names, named = self.erases.get(index, (frozenset(), b""))
        return names if named == digest else frozenset()


def openings_of(said: Statement) -> tuple[str, ...]:
    """Return the subjects of a statement that have an opening, sorted."""
    return tuple(sorted(name for name in said.subjects if name != "spki" and not name.startswith("leaf/")))


def read_erasure(reader: Reader, index: int, log: note.VerifierKey) -> tuple[Erasure, Record, Statement]:
    """Read an erasure statement and verify who has signed it.

    Raises:
        VerificationError, MalformedError: It is none, or no erasure key that the root certifies has signed it.
    """
    record = reader.record(index)
    entry, said = bind(record)
    if said.type != predicates.ERASURE:
        raise PolicyError(f"leaf {index} is no erasure")
    keychain.check_signer(said, index, certificate_of(reader, entry.spki, index, log))
    fields = said.predicate
    erases = {item["index"]: (frozenset(item["openings"]), said.subjects[f"leaf/{item['index']}"]) for item in fields["erases"]}
    return Erasure(index, fields["method"], fields["effective_at"], erases), record, said


def erasures(reader: Reader, log: note.VerifierKey) -> list[Erasure]:
    """Return all erasures of a log.

    Raises:
        VerificationError, MalformedError: One is not signed as it must be.
    """
    return [read_erasure(reader, index, log)[0] for index in reader.erasures()]


def plan_run(reader: Reader, run: bytes, method: str) -> Plan:
    """Plan the erasure of a whole run.

    Raises:
        NotFoundError: There is no such run, or it can't be erased in this way; the message says in which.
    """
    indexes = reader.run_indexes(run)
    if not indexes:
        raise NotFoundError(f"there is no run {run.hex()}")
    if parse_statement(reader.record(indexes[-1]).statement).type != predicates.RUN_CLOSE:
        raise NotFoundError(f"run {run.hex()} is not closed: what it says next would not be erased; close it first")
    return _plan(reader, indexes, method, ())


def plan_leaf(reader: Reader, index: int, names: Sequence[str], method: str) -> Plan:
    """Plan the erasure of one leaf, or of some of its openings.

    Raises:
        NotFoundError: There is no such leaf or opening, or it can't be erased in this way; the message says in which.
    """
    if not 0 <= index < reader.head().size:
        raise NotFoundError(f"there is no leaf {index}")
    if names and method == KEY:
        raise NotFoundError("a key opens all openings of a leaf: to erase some of them, use --method row")
    return _plan(reader, [index], method, tuple(names))


def _plan(reader: Reader, indexes: Sequence[int], method: str, names: tuple[str, ...]) -> Plan:
    targets: list[Target] = []
    units: set[bytes] = set()
    for index in indexes:
        record = reader.record(index)
        entry, said = bind(record)
        known = openings_of(said)
        unknown = set(names) - set(known)
        if unknown:
            raise NotFoundError(f"leaf {index} has no opening {min(unknown)!r}; it has {', '.join(known)}")
        units.add(record.unit)
        targets.append(Target(index, entry.pae_digest, tuple(sorted(set(names))) or known))
    if len(units) != 1:
        raise NotFoundError("these leaves are sealed under several keys: erase each by itself, with --index")
    (unit,) = units
    if method == KEY:
        if unit == KEYS_UNIT:
            raise NotFoundError("this leaf is sealed under the store's own key, which can't be destroyed; use --method row")
        others = set(reader.unit_indexes(unit)) - set(indexes)
        if others:
            raise NotFoundError(
                f"the key also opens {len(others)} other leaves (the first is {min(others)}); use --method row, or erase the run"
            )
    return Plan(unit, method, tuple(targets))


def open_targets(plan: Plan, known: Sequence[Erasure], effective_at: str) -> tuple[Target, ...]:
    """Return the targets of a plan that no erasure of the log names yet, with this method and at this time or before."""

    def is_named(target: Target) -> bool:
        named = [e for e in known if e.method == plan.method and e.effective_at <= effective_at]
        return set(target.openings) <= {name for erasure in named for name in erasure.names(target.index, target.digest)}

    return tuple(target for target in plan.targets if not is_named(target))


def still_there(reader: Reader, vault: Vault, plan: Plan) -> tuple[int, int]:
    """Return how many unit keys and openings that a plan names are still there, of those that its method destroys."""
    if plan.method == KEY:
        return int(vault.key(plan.unit) is not None), 0
    records = [(reader.record(target.index), target.openings) for target in plan.targets]
    return 0, sum(1 for record, names in records for opening in record.openings if opening.ciphertext and opening.name in names)


def sign_erasure(
    attester: Attester, plan: Plan, targets: Sequence[Target], *, reason: str, effective_at: str
) -> list[PendingEntry]:
    """Write and sign the statements, each for at most 1,000 leaves.

    Args:
        attester: Signs with the erasure key.
        plan: What is to be erased.
        targets: Those of its targets that are to be named.
        reason: For people; it goes into the attributes opening.
        effective_at: From when on the openings must be gone, UTC text.
    """
    made: list[PendingEntry] = []
    for start in range(0, len(targets), predicates.MAX_ERASED):
        part = targets[start : start + predicates.MAX_ERASED]
        fields = {
            "erases": [{"index": target.index, "openings": list(target.openings)} for target in part],
            "method": plan.method,
            "effective_at": effective_at,
        }
        named = [(f"leaf/{target.index}", target.digest) for target in part]
        draft = Draft(predicates.ERASURE, fields, {"reason": reason, "unit": plan.unit.hex()}, digests=named)
        made.append(attester.attest(draft, unit=KEYS_UNIT))
    return made


@dataclass(slots=True)
class Completed:
    """What ``complete`` has done.

    Attributes:
        units: Keys destroyed.
        openings: Openings overwritten.
        waiting: Earliest ``effective_at`` that has not come yet; empty for none.
    """

    units: int = 0
    openings: int = 0
    waiting: str = ""


def complete(store: Store, vault: Vault, log: note.VerifierKey, now: str) -> Completed:
    """Destroy whatever the log's erasures name, where their time has come and it is still there.

    Args:
        store: The one writer's store.
        vault: The unit keys.
        log: The log's own 0x01 key.
        now: UTC text.

    Raises:
        VerificationError, MalformedError: An erasure is not signed as it must be, or names another statement than stands there.
        StorageUnavailableError, OutcomeUnknownError: Not destroyed; asked again, it is.
    """
    done = Completed()
    units: set[bytes] = set()
    named: dict[tuple[int, bytes], set[str]] = {}
    rows: dict[int, set[str]] = {}
    for index in store.erasures():
        erasure, record, said = read_erasure(store, index, log)
        if erasure.effective_at > now:
            done.waiting = min(done.waiting or erasure.effective_at, erasure.effective_at)
            continue
        if erasure.method == KEY:
            units |= _unit_of(vault, record, said)
            for place, (names, digest) in erasure.erases.items():
                named.setdefault((place, digest), set()).update(names)
            continue
        for place in erasure.erases:
            sealed = store.record(place)
            names = erasure.names(place, bind(sealed)[0].pae_digest)
            still = {opening.name for opening in sealed.openings if opening.ciphertext and opening.name in names}
            if still:
                rows.setdefault(place, set()).update(still)
    for unit in sorted(units):
        if vault.key(unit) is not None and _is_all_named(store, unit, named):
            done.units += vault.destroy(unit)
    store.destroy(rows)
    done.openings = sum(len(names) for names in rows.values())
    return done


def _unit_of(vault: Vault, record: Record, said: Statement) -> set[bytes]:
    """Return the unit that a statement means, as its signer has said it: the column of a leaf could be changed by others."""
    opened = open_record(vault, record, dict(said.subjects)) or {}
    if "attributes" not in opened:
        return set()  # the reason of an erasure can be erased too, once it is done
    described = strict.canonical_json_value(opened["attributes"][SALT_BYTES:], spec="attributes")
    unit = described.get("unit") if isinstance(described, dict) else None
    found = strict.hex_bytes(unit, predicates.ID_BYTES, spec="attributes") if isinstance(unit, str) else KEYS_UNIT
    return {found} - {KEYS_UNIT}


def _is_all_named(store: Store, unit: bytes, named: Mapping[tuple[int, bytes], set[str]]) -> bool:
    """Tell whether erasures name every opening of every leaf that a unit's key opens: only then may the key go."""
    for index in store.unit_indexes(unit):
        entry, said = bind(store.record(index))
        if not set(openings_of(said)) <= named.get((index, entry.pae_digest), set()):
            return False
    return True
