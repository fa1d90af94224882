"""The policy of links: strict to read, one spelling, one digest (ADR 0016)."""

from __future__ import annotations

import hashlib

import pytest

from apostille.core.canon.policy import DEFAULT, MAX_HOSTS, Policy, format_policy, parse_policy
from apostille.errors import ConfigurationError


def test_the_default_says_nothing():
    assert parse_policy({}) == DEFAULT
    assert DEFAULT.suffix == ""
    assert not DEFAULT.takes_image("a.b")
    assert not DEFAULT.cuts_query("a.b")


def test_the_digest_is_that_of_the_canonical_json():
    policy = parse_policy({"image_hosts": ["b.c", "*.a.b", "b.c"], "queries": "drop"})
    data = b'{"image_hosts":["*.a.b","b.c"],"link_hosts":[],"markup":"clean","queries":"drop"}'
    assert format_policy(policy) == data
    assert policy.suffix == f" policy={hashlib.sha256(data).hexdigest()}"


@pytest.mark.parametrize(("host", "is_taken"), [("a.b", False), ("x.a.b", True), ("y.x.a.b", True), ("xa.b", False), ("c.d", True), ("x.c.d", False), ("", False)])
def test_hosts(host, is_taken):
    assert Policy(image_hosts=("*.a.b", "c.d")).takes_image(host) is is_taken


@pytest.mark.parametrize(
    "settings",
    [
        {"images": []},
        {"image_hosts": "a.b"},
        {"image_hosts": [1]},
        {"image_hosts": ["A.b"]},
        {"image_hosts": ["a.b/"]},
        {"image_hosts": ["http://a.b"]},
        {"image_hosts": ["*"]},
        {"image_hosts": ["*.*.a"]},
        {"image_hosts": ["a..b"]},
        {"image_hosts": ["é.b"]},
        {"image_hosts": ["a.b\n"]},
        {"image_hosts": ["a." * 200 + "b"]},
        {"link_hosts": ["a.b"] * (MAX_HOSTS + 1)},
        {"queries": "cut"},
        {"queries": None},
        {"queries": []},
        {"markup": "keep"},
    ],
)
def test_wrong_settings(settings):
    with pytest.raises(ConfigurationError):
        parse_policy(settings)
