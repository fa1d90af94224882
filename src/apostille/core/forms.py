"""Writing statements fast: the shape of a statement is checked and laid out once, then only values are filled in.

A *shape* is a type, its fields and its subjects' names. Most statements of a run have one of three or four. What is written
equals ``format_statement`` byte for byte; what readers would refuse is refused, before anything is signed.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apostille.core import predicates, strict
from apostille.core.statement import STATEMENT_TYPE

_MAX_SHAPES = 512
# Whether fields and subjects of these go together is a matter of their shape alone; others are checked in full each time.
_BY_SHAPE = frozenset({predicates.OUTPUT, predicates.INPUT, predicates.TOOL_CALL, predicates.RUN_OPEN})
_string = json.encoder.encode_basestring
_forms: dict[tuple[str, tuple[str, ...], tuple[str, ...]], _Form] = {}


class _Form:
    """The text of a shape, with a slot for each value in canonical order."""

    def __init__(self, kind: str, fields: tuple[str, ...], names: tuple[str, ...]) -> None:
        self.fields = tuple(sorted(fields))
        slots = ",".join(f'"{name}":%s' for name in self.fields)
        subjects = ",".join('{"digest":{"sha256":"%s"},"name":' + _escaped(name) + "}" for name in names)
        begin = f'{{"_type":{_escaped(STATEMENT_TYPE)},"predicate":{{{slots}}},'
        self.text = begin + f'"predicateType":{_escaped(kind)},"subject":[{subjects}]}}'


def format_statement(kind: str, predicate: Mapping[str, Any], subjects: Iterable[tuple[str, bytes]]) -> bytes:
    """Write a statement as JCS. What it writes, ``parse_statement`` reads; it checks nothing itself."""
    return strict.canonical_json(
        {
            "_type": STATEMENT_TYPE,
            "predicate": predicate,
            "predicateType": kind,
            "subject": [{"digest": {"sha256": digest.hex()}, "name": name} for name, digest in subjects],
        }
    )


def write_statement(kind: str, given: Mapping[str, Any], own: Mapping[str, Any], subjects: Sequence[tuple[str, bytes]]) -> bytes:
    """Check and write a statement.

    Args:
        kind: Its type.
        given: Fields whose values others have brought: each is checked.
        own: Fields whose values the caller has made itself in their right form; the first of a shape is checked all the same.
        subjects: Names and digests of 32 bytes, in order.

    Raises:
        MalformedError: What no reader would take.
    """
    predicate = {**given, **own}
    names = tuple([name for name, _ in subjects])
    shape = kind, tuple(predicate), names
    form = _forms.get(shape)
    if form is None or kind not in _BY_SHAPE:
        form = _check(shape, predicate)
    else:
        for name, value in given.items():
            if type(value) is str:
                _check_text(name, value)
            else:
                predicates.FIELDS[name](value)
    texts = [_text(predicate[name]) for name in form.fields]
    texts += [digest.hex() for _, digest in subjects]
    return (form.text % tuple(texts)).encode()


def _check(shape: tuple[str, tuple[str, ...], tuple[str, ...]], predicate: Mapping[str, Any]) -> _Form:
    kind, _, names = shape
    predicates.check_fields(kind, predicate)
    predicates.check_subjects(kind, list(names))
    predicates.check_together(kind, predicate, list(names))
    if len(_forms) >= _MAX_SHAPES:
        _forms.clear()
    return _forms.setdefault(shape, _Form(*shape))


@functools.lru_cache(maxsize=1024)
def _check_text(name: str, value: str) -> None:
    """Check a text that comes again and again: the profile, the assurance. A refusal is not remembered."""
    predicates.FIELDS[name](value)


def _text(value: Any) -> str:
    if type(value) is str:
        return _string(value)
    return str(value) if type(value) is int else strict.canonical_json(value).decode()


def _escaped(name: str) -> str:
    return _string(name).replace("%", "%%")


def write_texts(value: Mapping[str, Any]) -> bytes | None:
    """Write an object as JCS if all that it holds are texts of ASCII, as attributes mostly are; else return ``None``."""
    for name, text in value.items():
        if not (type(name) is type(text) is str and name.isascii() and text.isascii()):
            return None
    return ("{" + ",".join([_string(name) + ":" + _string(value[name]) for name in sorted(value)]) + "}").encode()
