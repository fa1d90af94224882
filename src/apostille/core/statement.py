"""Statements: in-toto v1, in JCS, serialised once and then carried as bytes.

    {"_type":"https://in-toto.io/Statement/v1","predicate":{..},"predicateType":"urn:apostille:output:v1",
     "subject":[{"digest":{"sha256":"<64 hex>"},"name":"raw"}, ..]}

Spec: in-toto Attestation Framework, Statement v1; RFC 8785; ``core.predicates`` for the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apostille.core import predicates, strict
from apostille.core.digest import SIZE
from apostille.errors import MalformedError, TooLargeError, UnsupportedVersionError

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
MAX_STATEMENT_BYTES = 2**20
SPEC = predicates.SPEC


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that has been read: well formed, nothing more.

    Attributes:
        type: Its ``predicateType``.
        predicate: Its fields. Do not change them.
        subjects: Name to SHA-256 digest, in order.
    """

    type: str
    predicate: Mapping[str, Any]
    subjects: Mapping[str, bytes]


def parse_statement(data: bytes) -> Statement:
    """Read a statement: strict JSON, canonical, known type, closed fields and subjects.

    Raises:
        TooLargeError: Over 1 MiB.
        UnsupportedVersionError: A type that this version does not know.
        MalformedError: Anything else.
    """
    if len(data) > MAX_STATEMENT_BYTES:
        raise TooLargeError(f"a statement of {len(data):,} bytes", limit=MAX_STATEMENT_BYTES, spec=SPEC)
    value = strict.canonical_json_value(data, spec=SPEC)
    strict.exact_members(value, {"_type", "predicate", "predicateType", "subject"}, spec=SPEC)
    kind, subjects = value["predicateType"], value["subject"]
    if value["_type"] != STATEMENT_TYPE or not isinstance(kind, str):
        raise MalformedError("not an in-toto statement v1", spec=SPEC)
    if kind not in predicates.SHAPES:
        raise UnsupportedVersionError(f"statement type {kind[:64]!r} is not known here", version=kind[:64], spec=SPEC)
    if not isinstance(subjects, list):
        raise MalformedError("subject is not a list", spec=SPEC)
    found: list[tuple[str, bytes]] = []
    for item in subjects:
        strict.exact_members(item, {"digest", "name"}, spec=SPEC)
        strict.exact_members(item["digest"], {"sha256"}, spec=SPEC)
        found.append(
            (strict.string(item["name"], spec=SPEC, limit=255), strict.hex_bytes(item["digest"]["sha256"], SIZE, spec=SPEC))
        )
    names = [name for name, _ in found]
    predicates.check_fields(kind, value["predicate"])
    predicates.check_subjects(kind, names)
    predicates.check_together(kind, value["predicate"], names)
    return Statement(kind, value["predicate"], dict(found))
