"""What each type of statement may hold: its permanent fields and its subjects, as one table.

A statement is permanent and content-free: identities, digests, order and a clock. Names, texts, hosts and models are in the
*attributes* opening, which can be erased. So the tables here are closed: a field that is not listed makes a statement malformed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from apostille.core import strict
from apostille.errors import MalformedError

SPEC = "statement"
PREFIX = "urn:apostille:"
OUTPUT, RUN_OPEN, RUN_CLOSE = (PREFIX + name + ":v1" for name in ("output", "run-open", "run-close"))
TOOL_CALL, INPUT, KEY = (PREFIX + name + ":v1" for name in ("tool-call", "input", "key"))
GAP, ERASURE = (PREFIX + name + ":v1" for name in ("gap", "erasure"))

ID_BYTES = 16
MAX_REFERENCES = 65_536
MAX_ERASED = 1_000
_PART = re.compile(
    r"part/(choice|item|block)/(0|[1-9][0-9]{0,8})/(text|refusal|reasoning|arguments|opaque)(/(0|[1-9][0-9]{0,8}))?"
)
_LEAF = re.compile(r"leaf/(0|[1-9][0-9]{0,18})")

Check = Callable[[Any], object]


def _text(name: str, pattern: str) -> Check:
    form = re.compile(pattern)

    def check(value: Any) -> None:
        if not isinstance(value, str) or not form.fullmatch(value):
            raise MalformedError(f"not in the form of {name}: {strict.quote(value)}", spec=SPEC)

    return check


def _list(check: Check, limit: int) -> Check:
    def check_list(value: Any) -> None:
        if not isinstance(value, list) or not 0 < len(value) <= limit:
            raise MalformedError(f"not a list of 1 to {limit:,} (an empty list is left out)", spec=SPEC)
        for item in value:
            check(item)

    return check_list


def _count(value: Any) -> None:
    strict.integer(value, spec=SPEC)


def _head(value: Any) -> None:
    strict.exact_members(value, {"root", "size"}, spec=SPEC)
    _digest(value["root"])
    _count(value["size"])


def _true(value: Any) -> None:
    if value is not True:
        raise MalformedError("false is left out", spec=SPEC)


def _erased(value: Any) -> None:
    _list(lambda item: strict.exact_members(item, {"index", "openings"}, spec=SPEC), MAX_ERASED)(value)
    for item in value:
        _count(item["index"])
        _list(lambda name: strict.string(name, spec=SPEC, limit=255), 4096)(item["openings"])
        if item["openings"] != sorted(set(item["openings"])):
            raise MalformedError("openings are sorted, each once", spec=SPEC)
    indexes = [item["index"] for item in value]
    if indexes != sorted(set(indexes)):
        raise MalformedError("indexes ascend, each once", spec=SPEC)


_DIGEST = "[0-9a-f]{64}"
_KEY_ID = "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="  # base64 of 32 bytes; its last two bits are zero
# Days that there are: who reads a time back must not stumble over the 31st of November.
_NO_DAY = "0000|.{5}(02-3|(0[469]|11)-31)|(?!(..(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-).{5}02-29"
_TIME = f"(?!{_NO_DAY})[0-9]{{4}}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3])(:[0-5][0-9]){{2}}[.][0-9]{{3}}Z"
_digest = _text("a SHA-256 digest", _DIGEST)
_TEXTS = (
    (_DIGEST, "delegation issuer next previous"),
    (_KEY_ID, "key_id replaces"),
    ("[0-9a-f]{32}", "nonce run"),
    (_TIME, "captured_at compromised_since effective_at from not_after not_before to"),
    ("opaque|apostille-[a-z]+/[0-9]{1,4} ucd=[0-9]{1,3}([.][0-9]{1,3}){2} tables=[0-9a-f]{64}( [a-z]+=[!-~]{1,64})*", "profile"),
    ("[a-z][a-z_]{0,31}", "outcome"),
    ("bound|observed", "assurance"),
    ("salted|plain", "commitment"),
    ("genesis|certify|retire|revoke", "event"),
    ("root|log|statement|erasure", "usage"),
    ("agent|gateway|keeper", "held_by"),
    ("dispatched|denied|blocked", "status"),
    ("none|landlock|netns|uid|host", "isolation"),
    ("key|row", "method"),
    ("(?s:.{0,255})", "origin"),
)
FIELDS: dict[str, Check] = {name: _text(name, pattern) for pattern, names in _TEXTS for name in names.split()}
FIELDS.update(dict.fromkeys(("count", "lost", "seq"), _count))
FIELDS.update(dict.fromkeys(("inputs", "parents"), _list(_digest, MAX_REFERENCES)))
FIELDS.update(log=_list(_digest, 8), certify=_true, head=_head, erases=_erased)

# Fields, then subjects; ``?`` marks what may be absent, a subject that ends in ``/`` stands for all names under it. Every type
# also has ``captured_at``, ``key_id``, ``nonce`` and the subject ``attributes``.
_TABLE = {
    OUTPUT: (
        "assurance commitment profile run? seq? previous? delegation? inputs? parents? outcome?",
        "raw canonical findings? part/?",
    ),
    RUN_OPEN: ("run seq previous isolation delegation? head?", ""),
    RUN_CLOSE: ("run seq previous count outcome delegation?", ""),
    TOOL_CALL: ("assurance commitment profile run seq previous status delegation? inputs? parents?", "raw canonical findings?"),
    INPUT: ("commitment run seq previous delegation? parents? profile?", "raw canonical? findings?"),
    KEY: ("event issuer not_before not_after usage certify? compromised_since? held_by? log? next? origin? replaces?", "spki"),
    GAP: ("from to lost? run?", ""),
    ERASURE: ("effective_at erases method", "leaf/"),
}
# One type to (fields that must be there, that may be, subjects that must be, that may be).
SHAPES = {
    kind: tuple(
        frozenset(word.rstrip("?") for word in (row + more).split() if word.endswith("?") is optional)
        for row, more in ((fields, " captured_at key_id nonce"), (subjects, " attributes"))
        for optional in (False, True)
    )
    for kind, (fields, subjects) in _TABLE.items()
}
_CHAIN = frozenset({"run", "seq", "previous"})
_RUN_OUTCOMES = {"completed", "aborted", "errored", "crash"}
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
    required, optional, _, _ = SHAPES[kind]
    strict.exact_members(predicate, required, optional, spec=SPEC)
    for name, value in predicate.items():
        FIELDS[name](value)
    event = predicate.get("event")
    is_sound = (
        # A gap names a run without being in its chain.
        (kind == GAP or len(_CHAIN & predicate.keys()) in {0, len(_CHAIN)})
        and (kind != RUN_CLOSE or predicate["outcome"] in _RUN_OUTCOMES)
        and (kind != GAP or predicate["from"] <= predicate["to"])
        and (kind != KEY or (predicate["usage"] == "statement") == ("held_by" in predicate))
        and (kind != KEY or all((name in predicate) == (event == "genesis") for name in ("log", "origin")))
        and ("certify" not in predicate or predicate.get("held_by") == "keeper")
        and ("compromised_since" not in predicate or event == "revoke")
        and (event != "genesis" or "next" in predicate)
    )
    if not is_sound:
        raise MalformedError(f"fields of {kind} that do not go together", spec=SPEC)


def check_subjects(kind: str, names: list[str]) -> None:
    """Check names and order of the subjects of a statement of type ``kind``.

    Raises:
        MalformedError: One missing, unknown, doubled or out of order.
    """
    _, _, required, optional = SHAPES[kind]
    places = [_place(name) for name in names]
    if places != sorted(places) or len(set(names)) != len(names):
        raise MalformedError("subjects are doubled or out of order", spec=SPEC)
    groups = {_ORDER[place] for place in places}
    if required - groups or groups - required - optional:
        raise MalformedError(f"not the subjects of {kind}: {sorted(groups)}", spec=SPEC)


def check_together(kind: str, predicate: Any, names: list[str]) -> None:
    """Check what fields and subjects say about each other; each by itself has been checked.

    Raises:
        MalformedError: They contradict each other.
    """
    if kind == INPUT and ("profile" in predicate) != ("canonical" in names):
        raise MalformedError("a profile is named if and only if there is a canonical form", spec=SPEC)
    if kind == ERASURE:
        erased = [f"leaf/{item['index']}" for item in predicate["erases"]]
        if erased != [name for name in names if name.startswith("leaf/")]:
            raise MalformedError("the leaves named as subjects are not the ones that are erased", spec=SPEC)
