"""What an audit has counted, and what the next one needs to go on from there.

The state between audits is a canonical JSON file beside head memory. It is no trust: whoever can write it can make an audit pass
over old leaves, as whoever can write head memory can make it forget. Without it an audit reads everything.

Spec: formats.md section 8 (head memory), trust.md section 11 ("incremental always, full daily").
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from apostille.core import predicates, strict
from apostille.core.digest import SIZE, ZERO_HEX
from apostille.core.policy import VerifiedCheckpoint
from apostille.errors import MalformedError, TooLargeError
from apostille.services.classification import Openings, read_openings

SPEC = "audit state"
VERSION = 1
MAX_STATE_BYTES = 256 * 2**20
MAX_STATE_LEAVES = 2**30  # a byte of memory each


@dataclass(slots=True)
class RunState:
    """One run as far as it has been read.

    Attributes:
        id: 32 hex digits.
        isolation: As its run-open says.
        count: Statements so far.
        previous: Hex digest that its next statement has to name.
        outcome: Of run-close; empty while it is open.
        opener: SHA-256 of the SPKI of the key that opened it; empty where an earlier audit has read that.
    """

    id: str
    isolation: str = ""
    count: int = 0
    previous: str = ZERO_HEX
    outcome: str = ""
    opener: bytes = b""


@dataclass(slots=True)
class Audit:
    """What was found in a store.

    Attributes:
        origin: The log's name.
        size: Leaves examined, those of earlier audits that this one builds on included.
        start: Leaves that an earlier audit has examined and this one has not read again.
        checkpoint: The newest signed checkpoint, verified.
        runs: By id, in order: those that are open, and the last ones that are closed.
        run_count: All runs.
        openings: Counted.
        gap_indexes: Of declared gaps.
        erasures: Indexes of erasure statements.
        open_erasures: Those that are not complete yet.
        evidence: Pairs of heads that contradict each other, as texts or notes; what to show to somebody else.
        after: From where the next audit can go on; ``None`` where something is wrong.
    """

    origin: str
    size: int = 0
    start: int = 0
    checkpoint: VerifiedCheckpoint | None = None
    runs: dict[str, RunState] = field(default_factory=dict)
    run_count: int = 0
    openings: Openings = field(default_factory=Openings)
    gap_indexes: list[int] = field(default_factory=list)
    erasures: list[int] = field(default_factory=list)
    open_erasures: list[int] = field(default_factory=list)
    evidence: list[tuple[bytes, bytes]] = field(default_factory=list)
    after: AuditState | None = None

    @property
    def gaps(self) -> int:
        """How many gaps are declared."""
        return len(self.gap_indexes)

    @property
    def summary(self) -> str:
        """The counts of openings, and which statements have erased some."""
        by = f"; erased by the statements at {', '.join(map(str, self.erasures[:10]))}" if self.openings.erased else ""
        return f"{self.openings}{by}{', ..' if by and len(self.erasures) > 10 else ''}"

    @property
    def open_runs(self) -> list[RunState]:
        """The runs that are not closed."""
        return [state for state in self.runs.values() if not state.outcome]


@dataclass(frozen=True, slots=True)
class AuditState:
    """What an audit without findings has come to.

    Attributes:
        origin: The log's name.
        size: Leaves that were examined.
        root_hash: Root of their tree.
        has_keys: Whether the openings were opened with the store's own unit keys.
        places: Where the openings of each leaf are, one byte a leaf.
        gaps: Indexes of declared gaps.
        erasures: Indexes of erasure statements.
        open_erasures: Those that were not complete.
        run_count: All runs.
        runs: Those that were open.
        ended: Keys that were ended: SHA-256 of the SPKI, to the index where.
        replaced: Keys that have a successor, likewise.
    """

    origin: str
    size: int
    root_hash: bytes
    has_keys: bool
    places: bytes
    gaps: tuple[int, ...]
    erasures: tuple[int, ...]
    open_erasures: tuple[int, ...]
    run_count: int
    runs: tuple[RunState, ...]
    ended: dict[bytes, int]
    replaced: dict[bytes, int]

    def begin(self) -> Audit:
        """Return an audit that goes on from here."""
        return Audit(
            self.origin,
            size=self.size,
            start=self.size,
            runs={run.id: RunState(run.id, run.isolation, run.count, run.previous) for run in self.runs},
            run_count=self.run_count,
            openings=read_openings(self.places),
            gap_indexes=list(self.gaps),
            erasures=list(self.erasures),
            open_erasures=list(self.open_erasures),
        )


_MEMBERS = {"version", "origin", "size", "root", "has_keys", "places", "gaps", "erasures", "open_erasures"} | {
    *("run_count", "runs", "ended", "replaced")
}


def format_state(state: AuditState) -> bytes:
    """Write a state as canonical JSON."""
    value: dict[str, Any] = {
        "version": VERSION,
        "origin": state.origin,
        "size": state.size,
        "root": state.root_hash.hex(),
        "has_keys": state.has_keys,
        "places": strict.base64_text(zlib.compress(state.places)),
        "gaps": list(state.gaps),
        "erasures": list(state.erasures),
        "open_erasures": list(state.open_erasures),
        "run_count": state.run_count,
        "runs": [[run.id, run.isolation, run.count, run.previous] for run in state.runs],
        "ended": {key.hex(): index for key, index in state.ended.items()},
        "replaced": {key.hex(): index for key, index in state.replaced.items()},
    }
    return strict.canonical_json(value)


def parse_state(data: bytes) -> AuditState:
    """Read a state.

    Raises:
        MalformedError: Not one that ``format_state`` has written.
    """
    value = strict.canonical_json_value(data, spec=SPEC)
    strict.exact_members(value, _MEMBERS, spec=SPEC)
    if value["version"] != VERSION or not isinstance(value["has_keys"], bool):
        raise MalformedError("of another version", spec=SPEC)
    size = strict.integer(value["size"], spec=SPEC)
    if size > MAX_STATE_LEAVES:
        raise TooLargeError("of more leaves than are taken", spec=SPEC, limit=MAX_STATE_LEAVES)
    try:
        unpacker = zlib.decompressobj()
        places = unpacker.decompress(strict.base64_bytes(value["places"], spec=SPEC, limit=MAX_STATE_BYTES), size + 1)
        total = read_openings(places).total
    except (zlib.error, ValueError) as error:
        raise MalformedError("places that are none", spec=SPEC) from error
    if total != size or not unpacker.eof or unpacker.unused_data:
        raise MalformedError("places of another number of leaves", spec=SPEC)
    runs = tuple(_run(item) for item in _list(value["runs"]))
    if len({run.id for run in runs}) != len(runs):
        raise MalformedError("a run twice", spec=SPEC)
    return AuditState(
        origin=strict.string(value["origin"], spec=SPEC, limit=255),
        size=size,
        root_hash=strict.hex_bytes(value["root"], SIZE, spec=SPEC),
        has_keys=value["has_keys"],
        places=places,
        gaps=_indexes(value["gaps"], size),
        erasures=_indexes(value["erasures"], size),
        open_erasures=_indexes(value["open_erasures"], size),
        run_count=strict.integer(value["run_count"], spec=SPEC, low=len(runs)),
        runs=runs,
        ended=_ends(value["ended"], size),
        replaced=_ends(value["replaced"], size),
    )


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise MalformedError("not a list", spec=SPEC)
    return value


def _indexes(value: Any, size: int) -> tuple[int, ...]:
    found = tuple(strict.integer(item, spec=SPEC, high=size - 1) for item in _list(value))
    if any(a >= b for a, b in pairwise(found)):
        raise MalformedError("indexes that are out of order", spec=SPEC)
    return found


def _run(value: Any) -> RunState:
    if len(_list(value)) != 4:
        raise MalformedError("not a run", spec=SPEC)
    run, isolation, count, previous = value
    strict.hex_bytes(run, predicates.ID_BYTES, spec=SPEC)
    strict.hex_bytes(previous, SIZE, spec=SPEC)
    return RunState(run, strict.string(isolation, spec=SPEC, limit=16), strict.integer(count, spec=SPEC, low=1), previous)


def _ends(value: Any, size: int) -> dict[bytes, int]:
    if not isinstance(value, dict):
        raise MalformedError("not an object", spec=SPEC)
    return {
        strict.hex_bytes(key, SIZE, spec=SPEC): strict.integer(index, spec=SPEC, high=size - 1) for key, index in value.items()
    }
