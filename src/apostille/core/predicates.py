"""What each type of statement may hold: its permanent fields and its subjects, as one table.

A statement is permanent and content-free: identities, digests, order and a clock. Names, texts, hosts and models are in the
*attributes* opening, which can be erased. So the tables here are closed: a field that is not listed makes a statement malformed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apostille.core import strict
from apostille.core.digest import SIZE
from apostille.errors import MalformedError

SPEC = "statement"
PREFIX = "urn:apostille:"
OUTPUT, RUN_OPEN, RUN_CLOSE = (PREFIX + name + ":v1" for name in ("output", "run-open", "run-close"))
TOOL_CALL, INPUT, KEY = (PREFIX + name + ":v1" for name in ("tool-call", "input", "key"))
GAP, ERASURE = (PREFIX + name + ":v1" for name in ("gap", "erasure"))

ISOLATION = ("none", "landlock", "netns", "uid", "host")
ID_BYTES = 16
MAX_REFERENCES = 65_536
MAX_ERASED = 1_000
_TIME = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3])(:[0-5][0-9]){2}\.[0-9]{3}Z")
_PROFILE = re.compile(r"opaque|apostille-[a-z]+/[0-9]{1,4} ucd=[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3} tables=[0-9a-f]{64}")
_WORD = re.compile(r"[a-z][a-z_]{0,31}")
_PART = re.compile(
    r"part/(choice|item|block)/(0|[1-9][0-9]{0,8})/(text|refusal|reasoning|arguments|opaque)(/(0|[1-9][0-9]{0,8}))?"
)
_LEAF = re.compile(r"leaf/(0|[1-9][0-9]{0,18})")

Check = Callable[[Any], object]


def _matches(pattern: re.Pattern[str], what: str) -> Check:
    def check(value: Any) -> None:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise MalformedError(f"not {what}: {str(value)[:48]!r}", spec=SPEC)

    return check


def _one_of(*words: str) -> Check:
    def check(value: Any) -> None:
        if not isinstance(value, str) or value not in words:
            raise MalformedError(f"not one of {', '.join(words)}: {str(value)[:32]!r}", spec=SPEC)

    return check


def _hex(size: int) -> Check:
    return lambda value: strict.hex_bytes(value, size, spec=SPEC)


def _list(check: Check, limit: int) -> Check:
    def check_list(value: Any) -> None:
        if not isinstance(value, list) or not 0 < len(value) <= limit:
            raise MalformedError(f"not a list of 1 to {limit:,} (an empty list is left out)", spec=SPEC)
        for item in value:
            check(item)

    return check_list


def _head(value: Any) -> None:
    strict.exact_members(value, {"root", "size"}, spec=SPEC)
    strict.hex_bytes(value["root"], SIZE, spec=SPEC)
    strict.integer(value["size"], spec=SPEC)


def _true(value: Any) -> None:
    if value is not True:
        raise MalformedError("false is left out", spec=SPEC)


def _erased(value: Any) -> None:
    _list(lambda item: strict.exact_members(item, {"index", "openings"}, spec=SPEC), MAX_ERASED)(value)
    indexes = [strict.integer(item["index"], spec=SPEC) for item in value]
    for item in value:
        _list(lambda name: strict.string(name, spec=SPEC, limit=255), 4096)(item["openings"])
        if item["openings"] != sorted(set(item["openings"])):
            raise MalformedError("openings are sorted, each once", spec=SPEC)
    if indexes != sorted(set(indexes)):
        raise MalformedError("indexes ascend, each once", spec=SPEC)


_digest = _hex(SIZE)
_time = _matches(_TIME, "a UTC time in milliseconds")


def _count(value: Any) -> None:
    strict.integer(value, spec=SPEC)


_digests = _list(_digest, MAX_REFERENCES)
FIELDS: dict[str, Check] = {
    "assurance": _one_of("bound", "observed"),
    "captured_at": _time,
    "certify": _true,
    "commitment": _one_of("salted", "plain"),
    "compromised_since": _time,
    "count": _count,
    "delegation": _digest,
    "effective_at": _time,
    "erases": _erased,
    "event": _one_of("genesis", "certify", "retire", "revoke"),
    "from": _time,
    "head": _head,
    "held_by": _one_of("agent", "gateway", "keeper"),
    "inputs": _digests,
    "isolation": _one_of(*ISOLATION),
    "issuer": _digest,
    "key_id": lambda v: strict.base64_bytes(v, size=SIZE, spec=SPEC),
    "log": _list(_digest, 8),
    "lost": _count,
    "method": _one_of("key", "row"),
    "next": _digest,
    "nonce": _hex(ID_BYTES),
    "not_after": _time,
    "not_before": _time,
    "origin": lambda v: strict.string(v, spec=SPEC, limit=255),
    "outcome": _matches(_WORD, "a word"),
    "parents": _digests,
    "previous": _digest,
    "profile": _matches(_PROFILE, "a profile id"),
    "replaces": lambda v: strict.base64_bytes(v, size=SIZE, spec=SPEC),
    "run": _hex(ID_BYTES),
    "seq": _count,
    "status": _one_of("dispatched", "denied", "blocked"),
    "to": _time,
    "usage": _one_of("root", "log", "statement", "erasure"),
}

_COMMON = {"captured_at", "key_id", "nonce"}
_CHAIN = {"run", "seq", "previous"}


@dataclass(frozen=True, slots=True)
class Shape:
    """The closed set of fields and subjects of one type.

    Attributes:
        required: Fields that must be there, besides ``captured_at``, ``key_id`` and ``nonce``.
        optional: Fields that may be there.
        subjects: Subjects that must be there, besides ``attributes``.
        optional_subjects: Subjects that may be there; a name that ends in ``/`` stands for all under it.
    """

    required: frozenset[str]
    optional: frozenset[str]
    subjects: frozenset[str] = frozenset()
    optional_subjects: frozenset[str] = frozenset()


def _shape(required: set[str], optional: set[str], subjects: set[str], optional_subjects: set[str]) -> Shape:
    return Shape(
        frozenset(required | _COMMON), frozenset(optional), frozenset(subjects | {"attributes"}), frozenset(optional_subjects)
    )


_MADE = {"assurance", "commitment", "profile"}
_FROM = {"delegation", "inputs", "parents"}
_CONTENT = {"raw", "canonical"}
SHAPES: dict[str, Shape] = {
    OUTPUT: _shape(_MADE, _CHAIN | _FROM | {"outcome"}, _CONTENT, {"findings", "part/"}),
    RUN_OPEN: _shape(_CHAIN | {"isolation"}, {"delegation", "head"}, set(), set()),
    RUN_CLOSE: _shape(_CHAIN | {"count", "outcome"}, {"delegation"}, set(), set()),
    TOOL_CALL: _shape(_CHAIN | _MADE | {"status"}, _FROM, _CONTENT, {"findings"}),
    INPUT: _shape(_CHAIN | {"commitment"}, {"delegation", "parents", "profile"}, {"raw"}, {"canonical", "findings"}),
    KEY: _shape(
        {"event", "issuer", "not_before", "not_after", "usage"},
        {"certify", "compromised_since", "held_by", "log", "next", "origin", "replaces"},
        {"spki"},
        set(),
    ),
    GAP: _shape({"from", "to"}, {"lost", "run"}, set(), set()),
    ERASURE: _shape({"effective_at", "erases", "method"}, set(), set(), {"leaf/"}),
}
# The one order of subjects; names under a group are told apart by the rest of their path.
_ORDER = ("raw", "canonical", "spki", "attributes", "findings", "part/", "leaf/")


def _place(name: str) -> int:
    if _PART.fullmatch(name):
        return _ORDER.index("part/")
    if _LEAF.fullmatch(name) and int(name.removeprefix("leaf/")) <= strict.MAX_SAFE_INTEGER:
        return _ORDER.index("leaf/")
    if name in _ORDER and not name.endswith("/"):
        return _ORDER.index(name)
    raise MalformedError(f"an unknown subject: {name[:64]!r}", spec=SPEC)


def check_fields(kind: str, predicate: Any) -> None:
    """Check the fields of a predicate of type ``kind``.

    Raises:
        MalformedError: A field missing, unknown, or with a value that its type does not allow.
    """
    shape = SHAPES[kind]
    strict.exact_members(predicate, set(shape.required), set(shape.optional), spec=SPEC)
    for name, value in predicate.items():
        FIELDS[name](value)
    # A gap names a run without being in its chain.
    if kind != GAP and 0 < len(_CHAIN & predicate.keys()) < len(_CHAIN):
        raise MalformedError("run, seq and previous: all three or none", spec=SPEC)


def check_subjects(kind: str, names: list[str]) -> None:
    """Check names and order of the subjects of a statement of type ``kind``.

    Raises:
        MalformedError: One missing, unknown, doubled or out of order.
    """
    shape = SHAPES[kind]
    places = [_place(name) for name in names]
    if places != sorted(places) or len(set(names)) != len(names):
        raise MalformedError("subjects are doubled or out of order", spec=SPEC)
    groups = {_ORDER[place] for place in places}
    if shape.subjects - groups or groups - shape.subjects - shape.optional_subjects:
        raise MalformedError(f"not the subjects of {kind}: {sorted(groups)}", spec=SPEC)
