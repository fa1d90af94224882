"""The demo's channels carry what they are given, its decoder finds exactly that, and the canonicalizer leaves it nothing.

Spec: canonical.md sections 6.2 (selectors, tags) and 6.5 (bidi); product.md, "Two commands".
"""

from __future__ import annotations

import urllib.error
import urllib.request

import orjson
import pytest

from apostille.core.canon import canonicalize
from apostille.faces.cli.demo import hidden, model

NUMBER = "4711-0815"


def test_round_trips():
    every_byte = bytes(range(256)).decode("latin-1")
    assert hidden.decode("a" + hidden.tags("MRN 4711~")).tags == "MRN 4711~"
    assert hidden.decode("🙂" + hidden.selectors(every_byte)).selectors == every_byte
    assert hidden.decode("EUR " + hidden.turned("941") + " now").turned == (("941", "149"),)


@pytest.mark.parametrize("text", ["", "plain", "🙂\ufe0f one honest selector", "\u202c", "שלום 42"])
def test_nothing_is_found_where_nothing_is_hidden(text):
    assert not hidden.decode(text)


def test_the_canonicalizer_leaves_nothing():
    said = "One" + hidden.tags(NUMBER) + "\ntwo 🙂" + hidden.selectors(NUMBER) + "\nEUR " + hidden.turned("941")
    found = hidden.decode(said)
    assert (found.tags, found.selectors, found.turned) == (NUMBER, NUMBER, (("941", "149"),))
    canonical = canonicalize(said)
    assert canonical.bytes.decode() == "One\ntwo 🙂\nEUR 941"
    assert not hidden.decode(canonical.bytes.decode())
    assert {finding.code for finding in canonical.findings} == {"TAG_DROP", "VS_RUN", "BIDI_OVERRIDE"}


def ask(letter: str, system: str = f"The patient is A, MRN {NUMBER}.") -> str:
    return model.say([{"role": "system", "content": system}, {"role": "user", "content": letter}])


def test_the_scripted_model_obeys_only_what_it_read():
    poisoned = model.LETTERS[model.POISONED - 1]
    assert hidden.decode(ask(poisoned)).tags == NUMBER
    # The number is the one of the conversation, not one that the model brought along.
    assert hidden.decode(ask(poisoned, "MRN 1234-5678")).selectors == "1234-5678"
    assert not hidden.decode(ask(poisoned, "no number here"))
    assert not any(hidden.decode(ask(letter)) for letter in model.LETTERS if letter != poisoned)


def test_the_server_outside():
    with model.Outside() as outside:
        pages = [urllib.request.urlopen(url).read().decode() for url in outside.letters]
        assert pages == list(model.LETTERS)
        body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": pages[0]}]})
        value = orjson.loads(urllib.request.urlopen(f"{outside.url}/v1/chat/completions", body).read())
        assert value["choices"][0]["message"]["content"] == "We are open from 8 to 18 on weekdays."
        for path, data in (("/letters/9", None), ("/elsewhere", None), ("/v1/models", b"{}"), ("/v1/chat/completions", b"[")):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(outside.url + path, data)
            refused.value.close()
            assert refused.value.code in {400, 404}
