"""Reading leaves in order, and holding each against all before it: keys, runs, columns, openings.

What is wrong with a leaf is filed under its index; reading goes on. Memory holds what is open (runs, erasures, keys) and one byte
a leaf; runs that are closed are kept only as far as a verdict shows them.
"""

from __future__ import annotations

from collections.abc import Collection

from apostille.core import keychain, predicates
from apostille.core.digest import sha256
from apostille.core.entry import Entry
from apostille.core.merkle import check_inclusion, leaf_hash
from apostille.core.policy import Policy
from apostille.core.statement import Statement
from apostille.core.tree import prove_inclusion
from apostille.errors import ApostilleError, DigestMismatchError, IncompleteError, NotFoundError, PolicyError, VerificationError
from apostille.ports import Reader, Record, Vault
from apostille.services import ownership
from apostille.services.audit import Audit, RunState
from apostille.services.binding import Leaf, bind
from apostille.services.classification import ERASED, MISSING, classify
from apostille.services.examination import Examination
from apostille.services.keyring import KeyLeaf, Keyring
from apostille.services.vault import has_own_keys, open_record

MAX_LISTED = 1000  # findings of a kind, and closed runs, that are kept one by one; the others are counted
STEP = 11


class Findings:
    """Files findings in an examination, at most ``MAX_LISTED`` of each code; the rest is counted."""

    def __init__(self, examination: Examination) -> None:
        self._examination = examination
        self._counts: dict[str, int] = {}

    @property
    def count(self) -> int:
        """How many findings there were, listed or not."""
        return sum(self._counts.values())

    def file(self, error: ApostilleError, index: int | None = None, *, is_placed: bool = False) -> None:
        """File an error; one at a leaf says so, unless its message ``is_placed`` already."""
        count = self._counts[error.code] = self._counts.get(error.code, 0) + 1
        if count <= MAX_LISTED:
            self._examination.file(error if index is None or is_placed else at_leaf(error, index), STEP, index)

    def tell(self, notice: str) -> None:
        """Say what a verdict rests on."""
        self._examination.notices.append(notice)

    def finish(self) -> None:
        """Say how many more there were than are listed."""
        for code, count in self._counts.items():
            if count > MAX_LISTED:
                self._examination.notices.append(f"{count - MAX_LISTED} more findings of the kind {code!r} are not listed")


def at_leaf(error: ApostilleError, index: int) -> ApostilleError:
    """Say at which leaf; the class, and so the meaning, stays."""
    if not str(error).startswith(f"leaf {index}: "):
        error.args = (f"leaf {index}: {error}",)
    return error


class Ledger:
    """Reads leaves in order and holds each against all before it.

    Args:
        findings: Where findings are filed.
        audit: What is found is counted here; it may hold what an earlier audit has counted.
        policy: The trust file.
        reader: The store, for reading back.
        vault: Unit keys; without them openings are only counted.
        now: UTC text: what was to be erased by then must be gone. Without it that is not checked.
        root: Root hash of the tree of the ``audit.start`` leaves that were examined before: what is read back must be in it.
    """

    def __init__(
        self,
        findings: Findings,
        audit: Audit,
        policy: Policy,
        reader: Reader,
        vault: Vault | None,
        now: str | None,
        *,
        root: bytes = b"",
    ) -> None:
        self._findings = findings
        self._audit = audit
        self._reader = reader
        self._vault = vault
        self._now = now
        self._root = root
        self._has_dropped = False
        self._log = next((log for log in policy.logs if log.name == audit.origin), None)
        self.keys = Keyring(audit.origin, self._log, self._recall_key)
        self._closed: dict[str, RunState] = {}
        self._gone: dict[int, tuple[frozenset[str], bytes]] = {}
        self.has_own_keys = has_own_keys(vault)
        self._erasures: list[tuple[int, Statement]] = []

    def take(self, leaf: Leaf) -> None:
        """Examine one leaf; what is wrong with it is filed under its index."""
        if leaf.error is not None or leaf.entry is None or leaf.said is None:
            self._findings.file(leaf.error or VerificationError("it can't be read"), leaf.index)
            return
        for check in (self._check_key, self._check_columns, self._check_chain, self._check_openings):
            try:
                check(leaf.index, leaf.record, leaf.entry, leaf.said)
            except ApostilleError as error:
                self._findings.file(error, leaf.index)

    def _check_key(self, index: int, record: Record, entry: Entry, said: Statement) -> None:
        del record
        self.keys.take(index, entry, said)
        if index == 0 and self._log is not None and not keychain.binds_origin(self._log.name, entry.spki):
            self._findings.tell("the log's name does not bind its root key: the log key alone could replace it")

    def _recall_key(self, spki_digest: bytes) -> KeyLeaf | None:
        index = self._reader.index_of_key(spki_digest)
        if index is None or index >= self._audit.start:
            return None
        entry, said = self._read_back(index)
        return (index, entry, said) if said.subjects.get("spki") == spki_digest else None

    def _read_back(self, index: int) -> tuple[Entry, Statement]:
        """Read a leaf that an earlier audit has examined; it must still be the one in that tree."""
        try:
            record = self._reader.record(index)
            found = bind(record)
            proof = prove_inclusion(index, self._audit.start, self._reader.hashes)
            check_inclusion(index, self._audit.start, leaf_hash(record.entry), proof, self._root)
        except NotFoundError as error:
            raise VerificationError(f"leaf {index}: it is missing from the store") from error
        except ApostilleError as error:
            raise at_leaf(error, index)  # noqa: B904 - the same error, with its place
        return found

    def _check_columns(self, index: int, record: Record, entry: Entry, said: Statement) -> None:
        """Hold the columns that the store searches by, and nobody signs, against the statement; name each that was altered."""
        del index, entry
        fields, certified = said.predicate, said.subjects["spki"] if said.type == predicates.KEY else None
        run = bytes.fromhex(fields["run"]) if "seq" in fields else None  # a gap names a run without being in its chain
        wrong = [
            f"column {column!r} was altered: the store files it under another {what}"
            for column, what, is_right in (
                ("certifies", "key than the statement certifies", record.certifies == certified),
                ("run", "run than the statement names", record.run == run),
                ("nonce", "receipt id than the statement's nonce", record.nonce.hex() == fields["nonce"]),
            )
            if not is_right
        ]
        if wrong:
            raise DigestMismatchError("; ".join(wrong))

    def _check_chain(self, index: int, record: Record, entry: Entry, said: Statement) -> None:
        fields = said.predicate
        if said.type == predicates.GAP:
            self._audit.gap_indexes.append(index)
            raise IncompleteError(f"GAP: nothing was captured from {fields['from']} to {fields['to']}")
        run = fields.get("run")
        if run is None:
            if said.type == predicates.OUTPUT:
                self._check_alone(index, record, fields["nonce"])
            return
        state = self._state_of(run, index)
        was_closed = bool(state.outcome)
        seq, previous = state.count, state.previous
        if not seq:
            state.opener = sha256(entry.spki)  # it is to be run-open, and that is checked
        state.count, state.previous = fields["seq"] + 1, entry.pae_digest.hex()
        if said.type == predicates.RUN_OPEN:
            state.isolation = fields["isolation"]
        if said.type == predicates.RUN_CLOSE:
            state.outcome = fields["outcome"]
            self._close(state)
        if was_closed:
            raise PolicyError(f"run {run} goes on after it was closed")
        if fields["seq"] != seq or fields["previous"] != previous:
            raise PolicyError(f"run {run} has a hole: statement {seq} is missing, or another one stood here")
        if (seq == 0) != (said.type == predicates.RUN_OPEN):
            raise PolicyError(f"run {run} does not begin with run-open, or opens twice")
        if said.type == predicates.RUN_CLOSE and fields["count"] != seq + 1:
            raise PolicyError(f"run {run} was closed with {fields['count']} statements, {seq + 1} are here")
        self._check_speaker(state, index, entry, said)

    def _check_speaker(self, state: RunState, index: int, entry: Entry, said: Statement) -> None:
        """See that the run's own key speaks, or one that took its place; a keeper's may close the run as crashed."""
        signer = sha256(entry.spki)
        known = self.keys.find(signer)
        if known is not None and known.certificate.held_by == "keeper" and ownership.is_crash_close(said):
            return
        state.opener = state.opener or self._opener_of(state.id, index)
        if not ownership.succeeds(state.opener, signer, self.keys.predecessor):
            raise PolicyError(f"run {state.id} was opened with another key than the one that signed this")

    def _opener_of(self, run: str, index: int) -> bytes:
        """Read back with which key a run was opened that an earlier audit has begun to read."""
        span = self._reader.run_span(bytes.fromhex(run), index)
        if span is None or span[0] >= self._audit.start:
            return b""
        entry, said = self._read_back(span[0])
        return sha256(entry.spki) if (said.type, said.predicate.get("run")) == (predicates.RUN_OPEN, run) else b""

    def _check_alone(self, index: int, record: Record, nonce: str) -> None:
        """See that a statement of no run stands in the log once: no chain shows that it was put in again."""
        first = self._reader.index_of_receipt(bytes.fromhex(nonce))
        if first is not None and first < index and self._reader.record(first).statement == record.statement:
            raise PolicyError(f"the statement stands in the log twice, first at {first}")

    def _state_of(self, run: str, index: int) -> RunState:
        state = self._audit.runs.get(run)
        if state is None:
            state = self._audit.runs[run] = self._recall_run(run, index)
            self._audit.run_count += not state.count
        return state

    def _recall_run(self, run: str, index: int) -> RunState:
        """Read back how far a run came that is no longer, or not yet, in memory."""
        before = index if self._has_dropped else self._audit.start
        span = self._reader.run_span(bytes.fromhex(run), before) if before else None
        if span is None:
            return RunState(run)
        ends = [self._read_back(at) if at < self._audit.start else bind(self._reader.record(at)) for at in span]
        places = [ownership.place_in(said, bytes.fromhex(run)) for _, said in ends]
        if None in places:
            wrong = span[places.index(None)]
            raise DigestMismatchError(f"column 'run' of leaf {wrong} was altered: the store files it under run {run}")
        (_, first), (entry, last) = ends
        outcome = last.predicate["outcome"] if last.type == predicates.RUN_CLOSE else ""
        count = last.predicate["seq"] + 1
        return RunState(run, first.predicate.get("isolation", ""), count, entry.pae_digest.hex(), outcome)

    def _close(self, state: RunState) -> None:
        self._closed[state.id] = state
        if len(self._closed) > MAX_LISTED:
            self._has_dropped = True
            oldest = next(iter(self._closed))
            del self._closed[oldest], self._audit.runs[oldest]

    def _check_openings(self, index: int, record: Record, entry: Entry, said: Statement) -> None:
        if said.type == predicates.ERASURE:
            if any(item["index"] >= index for item in said.predicate["erases"]):
                raise PolicyError("an erasure names a leaf that is not before it")
            self._audit.erasures.append(index)
            self._erasures.append((index, said))
        gone, is_open = self._look(record, said)
        if gone:
            self._gone[index] = gone, entry.pae_digest
        else:
            self._audit.openings.put(index, classify(gone, frozenset(), is_open=is_open))

    def _look(self, record: Record, said: Statement) -> tuple[frozenset[str], bool]:
        """Return which openings of a leaf are gone, and whether all others were opened and match."""
        wanted = frozenset(name for name in said.subjects if name != "spki" and not name.startswith("leaf/"))
        names, there = {opening.name for opening in record.openings}, still_sealed(record)
        if names - wanted:
            raise DigestMismatchError("an opening is stored that the statement does not name")
        opened = None
        if there and self._vault is not None and names == wanted:
            opened = open_record(self._vault, record, dict(said.subjects))  # what is left, if some were destroyed
            if opened is None and self.has_own_keys:
                there = set()
        return wanted - there, opened is not None

    def finish(self, open_erasures: Collection[int] = ()) -> None:
        """Tell erased openings from missing ones, find what was to be erased and is still there, and see which runs are open.

        Args:
            open_erasures: Indexes of erasures of earlier audits that were not complete then.
        """
        for index in open_erasures:
            try:
                said = self._read_back(index)[1]
                if said.type != predicates.ERASURE:
                    raise PolicyError("the state of the last audit calls it an erasure, and it is none: that file was altered")
                self._erasures.append((index, said))
            except ApostilleError as error:
                self._findings.file(error, index)
        erased: dict[tuple[int, bytes], set[str]] = {}
        self._audit.open_erasures = []
        for index, said in self._erasures:
            try:
                if self._read_erasure(said, erased):
                    self._audit.open_erasures.append(index)
            except ApostilleError as error:
                self._findings.file(error, index)
        for index, (gone, digest) in self._gone.items():
            kind = classify(gone, erased.get((index, digest), set()), is_open=False)
            self._audit.openings.put(index, kind)
            if kind == MISSING:
                lost = ", ".join(sorted(gone - erased.get((index, digest), set())))
                self._findings.file(VerificationError(f"openings are missing that no erasure names: {lost}"), index)
        for state in self._audit.open_runs:
            self._findings.file(IncompleteError(f"run {state.id} is not closed: {state.count} statements so far"))

    def _read_erasure(self, said: Statement, erased: dict[tuple[int, bytes], set[str]]) -> bool:
        """Take in what an erasure statement names; tell whether any of it is still there."""
        fields = said.predicate
        is_due = self._now is not None and fields["effective_at"] <= self._now
        is_open = False
        for item in fields["erases"]:
            place = item["index"]
            digest = said.subjects[f"leaf/{place}"]
            erased.setdefault((place, digest), set()).update(item["openings"])
            try:
                record = self._reader.record(place)
            except NotFoundError:
                continue  # a finding of its own
            if record.pae_digest != digest:
                continue  # meant for another statement: it covers nothing here
            if place < self._audit.start:
                self._look_again(place, record, item["openings"])
            still = self._still_there(record, item["openings"], fields["method"])
            is_open = is_open or bool(still)
            if still and is_due:
                late = f"erased by a statement, but still there: {', '.join(still)}; the next keeper completes it"
                self._findings.file(IncompleteError(late), place)
        return is_open

    def _look_again(self, index: int, record: Record, names: Collection[str]) -> None:
        """Count a leaf of an earlier audit as erased once something of it is gone."""
        _, said = self._read_back(index)
        gone, _ = self._look(record, said)
        if gone & set(names):
            self._audit.openings.put(index, ERASED)

    def _still_there(self, record: Record, names: Collection[str], method: str) -> list[str]:
        # Without the unit keys nobody sees whether one is gone.
        has_key = self._vault is not None and self._vault.key(record.unit) is not None
        return sorted(still_sealed(record) & set(names)) if method == "row" or has_key else []


def still_sealed(record: Record) -> set[str]:
    """Return the names of the openings of which there is a ciphertext and a record key."""
    return {opening.name for opening in record.openings if opening.ciphertext} if record.wrapped_key is not None else set()
