"""What the fuzzing drivers found, each with the input that showed it."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from apostille import wiring
from apostille.core.canon import canonicalize
from apostille.errors import CanonicalizationError, ConfigurationError, TooLargeError
from apostille.faces.gateway import chat_read, wire
from apostille.storage import files
from apostille.storage.folder import StoreFolder, gateway_settings


@pytest.mark.parametrize("reason", [["stop"], {"a": 1}, 3, True])
def test_a_finish_reason_that_is_no_text(reason):
    """A list is not hashable: it ended as an internal fault (500) instead of an answer that can't be classified (502)."""
    body = json.dumps({"choices": [{"finish_reason": reason, "message": {"content": "x"}}]}).encode()
    with pytest.raises(CanonicalizationError):
        chat_read.read_body(body, limits=wire.Limits())


@pytest.mark.parametrize("address", ["host:" + "9" * 5000, "host:65536", "host:", "host:-1", ":80", "host:\u0663"])
def test_a_port_of_five_thousand_digits(address):
    """``int`` refuses more than 4,300 digits with a ValueError: exit 70 instead of 78."""
    with pytest.raises(ConfigurationError):
        wiring.split_address(address)


def test_a_wrong_setting_is_quoted_in_a_few_characters(tmp_path):
    """The whole key stood in the message, megabytes of it and its line ends too."""
    folder = StoreFolder(tmp_path)
    for more in (b'[gateway]\n"' + b"\\n" * 5000 + b'" = "x"\n', b'"a\n' * 10, b'"' + b"x" * 5000 + b"\n"):
        folder.config.write_bytes(b'format = 1\norigin = "o"\n' + more)
        with pytest.raises(ConfigurationError) as caught:
            gateway_settings(folder)
        assert len(str(caught.value)) < 400
        assert "\n" not in str(caught.value)


def test_a_small_file_needs_little_memory_whatever_its_limit(tmp_path):
    """``read(limit + 1)`` asked for 4 GiB to read a few lines of unit keys: MemoryError, exit 70, where memory is limited."""
    tmp_path.joinpath("units").write_bytes(b"few")
    tracemalloc.start()
    try:
        assert files.read_file(tmp_path / "units", limit=2**32) == b"few"
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()
    with pytest.raises(TooLargeError):
        files.read_file(tmp_path / "units", limit=2)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("\u1100\u1161\u202c\u11a8", "\uac01"),
        ("\u1100\u202c\u1161\u11a8", "\uac01"),
        ("e\u202c\u200c\u0301", "\u00e9"),
        ("\u1820\u180b\u2067\u1820", "\u1820\u1820"),
    ],
)
def test_a_bidi_control_never_stands_between_what_belongs_together(text, clean):
    """It went only behind the pass that composes, so that a second cleaning still changed the text."""
    assert canonicalize(text).bytes.decode() == clean
    assert canonicalize(clean).bytes.decode() == clean
