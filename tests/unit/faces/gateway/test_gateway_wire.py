"""JSON at the gateway's edges, and refusals in the API's error shape (gateway.md sections 3, 5)."""

from __future__ import annotations

import json

import pytest

from apostille.errors import MalformedError, MalformedJsonError
from apostille.faces.gateway import wire

BAD_REQUESTS = [
    ("not JSON", b"{"),
    ("not UTF-8", b'{"a":"\xff"}'),
    ("something after the value", b"{} {}"),
    ("a duplicate key", b'{"a":1,"a":2}'),
    ("a duplicate key below", b'{"a":[{"b":1,"b":1}]}'),
    ("a duplicate key by escape", b'{"a":1,"\\u0061":2}'),
    ("NaN", b'{"a":NaN}'),
    ("Infinity", b'{"a":-Infinity}'),
    ("a float that overflows", b'{"a":1e999}'),
    ("a lone surrogate", b'{"a":"\\ud800"}'),
    ("a lone surrogate in a key", b'{"\\udead":1}'),
    ("surrogates in the wrong order", b'{"a":"\\udc00\\ud800"}'),
    ("too deep", b"[" * 129 + b"]" * 129),
    ("far too deep", b"[" * 100_000),
    ("an integer of very many digits", b"[" + b"9" * 10_000 + b"]"),
]


@pytest.mark.parametrize("data", [case[1] for case in BAD_REQUESTS], ids=[case[0] for case in BAD_REQUESTS])
def test_requests_are_read_strictly(data):
    with pytest.raises(MalformedError):
        wire.read_request_json(data)


@pytest.mark.parametrize(
    "value", [{}, {"a": [1, 1.5, None, True, "é\u200b"]}, {"n": 2**80}, {"s": "\U0001f600"}, {"s": '{"{{[['}, {"s": "[" * 500}]
)
def test_ordinary_requests_are_read(value):
    for ascii_only in (True, False):
        assert wire.read_request_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value
    deep = b"[" * 128 + b"]" * 128
    assert wire.stable_json(wire.read_request_json(deep)) == deep


def test_one_spelling_for_equal_values():
    assert wire.stable_json({"b": 1, "a": "é"}) == wire.stable_json({"a": "\u00e9", "b": 1}) == '{"a":"é","b":1}'.encode()


def test_halves_of_a_character_survive_until_they_are_joined():
    high = wire.read_upstream_json('{"content":"\\ud83d"}', spec="x")["content"]
    low = wire.read_upstream_json('{"content":"\\ude00"}', spec="x")["content"]
    assert wire.join_surrogates(high + low, spec="x") == "\U0001f600"
    for lone in (high, low, low + high, "a" + high + "b"):
        with pytest.raises(MalformedJsonError):
            wire.join_surrogates(lone, spec="x")


@pytest.mark.parametrize(
    "text", ["", "{", "{'a':1}", '{"a":"\\ud83d"', '{"a":"\\ud83d"}}', "[" * 5000, '["\\ud83d",' + "[" * 5000]
)
def test_upstream_garbage_is_malformed(text):
    for data in (text, text.encode()):
        with pytest.raises(MalformedJsonError):
            wire.read_upstream_json(data, spec="x")


def test_upstream_bytes_that_are_not_utf8_are_malformed():
    with pytest.raises(MalformedError):
        wire.read_upstream_json(b'{"a":"\xff"}', spec="x")


@pytest.mark.parametrize(
    ("refusal", "headers"),
    [
        (wire.Refusal(503, "c", "m", retry_after_seconds=2), [(b"retry-after", b"2")]),
        (wire.Refusal(502, "c", "m", called=True), [(b"x-should-retry", b"false")]),
        (wire.Refusal(504, "c", "m", called=True), [(b"x-should-retry", b"false")]),
        (wire.Refusal(429, "c", "m", called=True), []),
        (wire.Refusal(429, "c", "m", called=True, retry_after_seconds=7), [(b"retry-after", b"7")]),
        (wire.Refusal(403, "c", "m"), []),
    ],
)
def test_what_a_refusal_says_about_retries(refusal, headers):
    assert refusal.headers() == headers
    assert json.loads(refusal.body()) == {"error": {"message": "m", "type": "apostille_error", "param": None, "code": "c"}}


@pytest.mark.parametrize("value", ["", "a b", "a" * 129, "é", "a\n", "a/b", "\u200b", None, 7, ["a"]])
def test_names_and_ids_of_another_pattern_are_none(value):
    assert wire.identifier(value) is None
    assert wire.identifier("call_Abc-1.x:2") == "call_Abc-1.x:2"
