"""Writing statements fast: the shape of a statement is checked and laid out once, then only values are filled in.

A *shape* is a type, its fields and its subjects' names. Most statements of a run have one of three or four, and most of them the
same texts too (profile, assurance): a *blank* has those filled in already. What is written equals ``format_statement`` byte for
byte; what readers would refuse is refused, before anything is signed.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from apostille.core import predicates, strict
from apostille.core.statement import STATEMENT_TYPE

_MAX_SHAPES = 512
# Whether fields and subjects of these go together is a matter of their shape alone; others are checked in full each time.
_BY_SHAPE = frozenset({predicates.OUTPUT, predicates.INPUT, predicates.TOOL_CALL, predicates.RUN_OPEN})
_Key = TypeVar("_Key")
_string = json.encoder.encode_basestring
_Shape: TypeAlias = tuple[str, tuple[str, ...], tuple[str, ...]]
_forms: dict[_Shape, _Form] = {}
# By type, given fields that are texts, names of the own fields, and names of the subjects.
_blanks: dict[tuple[str, tuple[tuple[str, Any], ...], tuple[str, ...], tuple[str, ...]], _Form] = {}


class _Form:
    """The text of a statement with slots for some fields, in canonical order, and then for the digest of each subject."""

    __slots__ = ("fields", "text")

    def __init__(self, kind: str, fields: Mapping[str, str], names: tuple[str, ...], slots: Collection[str]) -> None:
        """Lay it out.

        Args:
            kind: The statement's type.
            fields: Name to its text, or to its slot.
            names: Of the subjects.
            slots: Which of the fields are slots.
        """
        self.fields = tuple(sorted(slots))
        predicate = ",".join(f'"{name}":{fields[name]}' for name in sorted(fields))
        subjects = ",".join('{"digest":{"sha256":"%s"},"name":' + _escaped(_string(name)) + "}" for name in names)
        begin = f'{{"_type":{_escaped(_string(STATEMENT_TYPE))},"predicate":{{{predicate}}},'
        self.text = begin + f'"predicateType":{_escaped(_string(kind))},"subject":[{subjects}]}}'


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
        own: Fields whose values the caller has made itself in their right form, whole numbers and texts that need no escape; the
            first of a shape is checked all the same.
        subjects: Names and digests of 32 bytes, in order.

    Raises:
        MalformedError: What no reader would take.
    """
    names = tuple([name for name, _ in subjects])
    digests = [digest.hex() for _, digest in subjects]
    place = kind, tuple(given.items()), tuple(own), names
    try:
        blank = _blanks.get(place)
    except TypeError:  # a field with a list
        blank = None
    if blank is not None:
        return (blank.text % (*[own[name] for name in blank.fields], *digests)).encode()
    predicate = {**given, **own}
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
    if kind in _BY_SHAPE and all(type(value) is str for value in given.values()):
        _keep(_blanks, place, _blank(kind, given, own, names))
    return (form.text % (*[_text(predicate[name]) for name in form.fields], *digests)).encode()


def _check(shape: _Shape, predicate: Mapping[str, Any]) -> _Form:
    kind, fields, names = shape
    predicates.check_fields(kind, predicate)
    predicates.check_subjects(kind, list(names))
    predicates.check_together(kind, predicate, list(names))
    return _keep(_forms, shape, _Form(kind, dict.fromkeys(fields, "%s"), names, fields))


def _blank(kind: str, given: Mapping[str, str], own: Mapping[str, Any], names: tuple[str, ...]) -> _Form:
    filled = {name: _escaped(_string(value)) for name, value in given.items()}
    slots = {name: "%d" if type(value) is int else '"%s"' for name, value in own.items()}
    return _Form(kind, filled | slots, names, own)


def _keep(kept: dict[_Key, _Form], key: _Key, form: _Form) -> _Form:
    if len(kept) >= _MAX_SHAPES:
        kept.clear()
    return kept.setdefault(key, form)


@functools.lru_cache(maxsize=1024)
def _check_text(name: str, value: str) -> None:
    """Check a text that comes again and again: the profile, the assurance. A refusal is not remembered."""
    predicates.FIELDS[name](value)


def _text(value: Any) -> str:
    if type(value) is str:
        return _string(value)
    return str(value) if type(value) is int else strict.canonical_json(value).decode()


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def write_texts(value: Mapping[str, Any]) -> bytes | None:
    """Write an object as JCS if all that it holds are texts of ASCII, as attributes mostly are; else return ``None``."""
    for name, text in value.items():
        if not (type(name) is type(text) is str and name.isascii() and text.isascii()):
            return None
    return _write_texts(tuple(value.items()))


@functools.lru_cache(maxsize=64)
def _write_texts(items: tuple[tuple[str, str], ...]) -> bytes:
    """Write what a run says of itself with each statement: who speaks, of what type."""
    return ("{" + ",".join([_string(name) + ":" + _string(text) for name, text in sorted(items)]) + "}").encode()
