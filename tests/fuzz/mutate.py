"""Inputs for the drivers: random bytes, and mutations of valid inputs that know JSON and base64.

A flipped bit of a canonical format is refused at the first check. So where an input is JSON, half of the mutants are made from its
*value* and written canonically again; base64 inside of it is opened, changed and closed, as deep as it goes.
"""

from __future__ import annotations

import base64
import json
import math
import random
from collections.abc import Iterator
from typing import Any

WORDS: tuple[bytes, ...] = (
    *(b"", b"\0", b"\n", b"\r\n", b" ", b"\t", b"\x7f", b"\x85", b"\xc2\x85", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
    *(b"\xd9\xa3", b"\xe2\x80\x8b", b"\xe2\x80\xae", b"\xe2\x80\xac", b"\xcc\x81" * 40, b"\xf3\xa0\x81\x81", b"\xef\xb8\x8f" * 3),
    *(b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xe2\x80\xa8", b"\xe1\x84\x80\xe1\x85\xa1", b"\xef\xbf\xbf", b"\xf0\x9f\x8f\xb4"),
    *(b"+", b"-", b"_", b"=", b"==", b"/", b'"', b"\\", b"\\u0061", b"\\ud800", b"\\udc00", b"\\ud83d\\ude00", b",", b":"),
    *(b"{", b"}", b"[", b"]", b"null", b"true", b"1e400", b"-0", b"-0.0", b"1E-7", b"9007199254740993", b"9223372036854775808"),
    *(b"00", b"0", b"9" * 20, b"9" * 5000, b"NaN", b"Infinity", b"\n\n", b"\xe2\x80\x94 ", b"A" * 70, b"x999/", b"[" * 200),
    *(
        b'{"a":' * 130,
        b"quorum none\n",
        b"group g any w\n",
        b"data: ",
        b"data: [DONE]\n\n",
        b"event: error\n",
        b"\x30\x82\xff\xff",
    ),
    *(b"sha256", b'"index"', b'"head"', b"[[", b"]]", b"'''", b'"""', b"1979-05-27T07:32:00Z", b"0x10", b"inf", b"a.b.c = 1\n"),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**53 - 1, 2**53, -(2**53), 2**63, 2**64, 1.5, 1e300, "", "0", "a", [], {}, [[]]),
    *("\u200b", "\u202e", "\ud800", "é", "e\u0301", "A" * 5000, "00" * 32, "ab" * 16, "AAAA", "AA==", "2026-11-24T03:00:00.000Z"),
    *(
        {"sha256": "00" * 32},
        [{}],
        ["a"] * 70,
        {"index": 1},
        "urn:apostille:key:v1",
        "urn:apostille:output:v1",
        "genesis",
        "revoke",
    ),
)
_DEEP = 3


def inputs(seeds: tuple[bytes, ...], size: int, dice: random.Random, *, large: float = 0.02) -> Iterator[bytes]:
    """Yield inputs without end: mutated seeds, spliced seeds, a few random and large ones up to ``size`` bytes."""
    values = [_json(seed) for seed in seeds]
    while True:
        at = dice.randrange(len(seeds))
        kind = dice.random()
        if kind < large:
            yield _large(seeds[at], size, dice)
        elif kind < 0.05:
            yield dice.randbytes(dice.randrange(200))
        elif values[at] is not None and kind < 0.55:
            yield _written(_changed(values[at], dice, 0), dice)
        else:
            data = seeds[at]
            for _ in range(1 + int(dice.expovariate(0.9))):
                data = _bytes(data, seeds, dice)
            yield data[:size]


def _large(seed: bytes, size: int, dice: random.Random) -> bytes:
    length = int(math.exp(dice.uniform(math.log(min(256, size)), math.log(size))))
    kind = dice.randrange(5)
    if kind == 0:
        return dice.randbytes(length)
    if kind == 1:  # a word again and again
        word = dice.choice(WORDS) or b"a"
        return (word * (length // len(word) + 1))[:length]
    if kind == 2 and len(seed) > 1:  # a valid beginning and end, and very much between
        cut = dice.randrange(len(seed))
        word = dice.choice((dice.choice(WORDS) or b"a", seed[: dice.randrange(1, 60)] or b"a"))
        return seed[:cut] + (word * (length // len(word) + 1))[:length] + seed[cut:]
    if kind == 3:  # valid UTF-8 of any planes
        text = "".join(
            chr(p if not 0xD800 <= p < 0xE000 else 0x41) for p in (dice.choice(_PLANES)(dice) for _ in range(length // 3))
        )
        return text.encode()
    return (seed * (length // max(1, len(seed)) + 1))[:length]


_PLANES = (
    lambda dice: dice.randrange(0x80),
    lambda dice: dice.randrange(0x20, 0x7F),
    lambda dice: dice.randrange(0x300, 0x370),
    lambda dice: dice.randrange(0x2000, 0x2070),
    lambda dice: dice.randrange(0x10000),
    lambda dice: dice.randrange(0xE0000, 0xE0200),
    lambda dice: dice.randrange(0x110000),
)


def _bytes(data: bytes, seeds: tuple[bytes, ...], dice: random.Random) -> bytes:
    """Change one place."""
    if not data:
        return dice.choice(WORDS)
    place = dice.randrange(len(data))
    end = min(len(data), place + 1 + int(dice.expovariate(0.05)))
    kind = dice.randrange(9)
    if kind == 0:
        return data[:place] + bytes((data[place] ^ 1 << dice.randrange(8),)) + data[place + 1 :]
    if kind == 1:
        return data[:place] + bytes((dice.randrange(256),)) + data[place + 1 :]
    if kind == 2:
        return data[:place] + dice.choice(WORDS) + data[place:]
    if kind == 3:
        return data[:place] + dice.choice(WORDS) + data[end:]
    if kind == 4:
        return data[:place] + data[end:]
    if kind == 5:
        return data[:place]
    if kind == 6:
        return data[:end] + data[place:]
    if kind == 7:
        other = dice.choice(seeds)
        start = dice.randrange(len(other) + 1)
        return data[:place] + other[start : start + 200] + data[end:]
    rows = data.split(b"\n")
    rows.insert(dice.randrange(len(rows)), rows.pop(dice.randrange(len(rows))))
    return b"\n".join(rows)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _written(value: Any, dice: random.Random) -> bytes:
    if dice.random() < 0.85:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return json.dumps(value, indent=dice.choice((None, 1)), ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")


def _changed(value: Any, dice: random.Random, level: int) -> Any:
    """Return a copy of a JSON value with one place of it changed."""
    if isinstance(value, dict) and value:
        name = dice.choice(list(value))
        kind = dice.random()
        if kind < 0.75:
            return {**value, name: _changed(value[name], dice, level)}
        if kind < 0.85:
            return {key: found for key, found in value.items() if key != name}
        if kind < 0.92:
            return {**value, dice.choice((name + "x", "a", "", "é", "head", "salt", "index")): dice.choice(_VALUES)}
        other = dice.choice(list(value))
        return {**value, name: value[other], other: value[name]}
    if isinstance(value, list) and value:
        at = dice.randrange(len(value))
        kind = dice.random()
        if kind < 0.7:
            return [*value[:at], _changed(value[at], dice, level), *value[at + 1 :]]
        return dice.choice(([*value[:at], *value[at + 1 :]], [*value, value[at]], value[::-1], value * 40))
    if isinstance(value, str) and value:
        return _text(value, dice, level)
    if type(value) is int and dice.random() < 0.6:
        return value + dice.choice((-1, 1, 256, -value, 2**32, 2**53))
    return dice.choice(_VALUES)


def _text(value: str, dice: random.Random, level: int) -> Any:
    kind = dice.random()
    if level < _DEEP and kind < 0.5 and len(value) % 4 == 0:
        try:
            data = base64.b64decode(value, validate=True)
        except ValueError:
            data = b""
        if data:
            inner = _json(data)
            changed = _bytes(data, (data,), dice) if inner is None else _written(_changed(inner, dice, level + 1), dice)
            return base64.b64encode(changed).decode()
    if kind < 0.85:
        return _bytes(value.encode("utf-8", "surrogatepass"), (value.encode("utf-8", "surrogatepass"),), dice).decode(
            "utf-8", "replace"
        )
    return dice.choice(_VALUES)
