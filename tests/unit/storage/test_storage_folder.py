"""The settings of a store: a client is added where it is found again, or not at all."""

from __future__ import annotations

import pytest

from apostille.core.canon.options import TextOptions
from apostille.core.canon.policy import Policy
from apostille.errors import ConfigurationError
from apostille.storage.folder import StoreFolder, add_client, canon_policy, gateway_settings

HEAD = 'format = 1\norigin = "a.example/x"\n'
KEY = "ab" * 32


@pytest.mark.parametrize("before", ["", '[clients]\n"' + "cd" * 32 + '" = "b"\n', '[gateway]\nlisten = "127.0.0.1:1"\n'])
def test_a_client_is_added(tmp_path, before):
    folder = StoreFolder(tmp_path)
    folder.config.write_text(HEAD + before)
    add_client(folder, KEY, "claims-agent")
    assert gateway_settings(folder).clients[KEY] == "claims-agent"


@pytest.mark.parametrize(
    "before",
    ["[clients]\n", '[clients]\n"' + "cd" * 32 + '" = "b"\n[gateway]\nlisten = "127.0.0.1:1"\n', "[clients] # none\n[gateway]\n"],
)
def test_a_file_that_was_edited_by_hand_is_left_as_it_is(tmp_path, before):
    folder = StoreFolder(tmp_path)
    folder.config.write_text(HEAD + before)
    with pytest.raises(ConfigurationError, match="put this line into its table"):
        add_client(folder, KEY, "claims-agent")
    assert folder.config.read_text() == HEAD + before
    gateway_settings(folder)


def test_the_policy_of_links(tmp_path):
    folder = StoreFolder(tmp_path)
    assert canon_policy(folder) == Policy(), "where there is no store"
    folder.config.write_text(HEAD)
    assert canon_policy(folder) == Policy()
    folder.config.write_text(HEAD + '[links]\nimage_hosts = ["a.b"]\nlink_hosts = ["*.c.d"]\nqueries = "drop"\n')
    assert canon_policy(folder) == Policy(("a.b",), ("*.c.d",), "drop")
    folder.config.write_text(HEAD + '[text]\nsea_zwsp = "keep"\npua_allow = ["U+E000"]\n')
    assert canon_policy(folder) == Policy(text=TextOptions(sea_zwsp="keep", pua_allow=((0xE000, 0xE000),)))
    gateway_settings(folder)


def test_the_texts_of_answers(tmp_path):
    folder = StoreFolder(tmp_path)
    folder.config.write_text(HEAD)
    found = gateway_settings(folder)
    assert (found.answers, found.profile) == ("text/plain", "safe")
    folder.config.write_text(HEAD + '[gateway]\nanswers = "text/markdown"\nprofile = "strict"\n')
    found = gateway_settings(folder)
    assert (found.answers, found.profile) == ("text/markdown", "strict")
    # An answer is never passed on as it came: profile "report" is for looking.
    for line, words in (('answers = "text/html"', "text/plain or text/markdown"), ('profile = "report"', "safe or strict")):
        folder.config.write_text(HEAD + f"[gateway]\n{line}\n")
        with pytest.raises(ConfigurationError, match=words):
            gateway_settings(folder)


@pytest.mark.parametrize("table", ["links = 1\n", "[links]\nimages = []\n", "[links]\nimage_hosts = ['A']\n", "[links]\nqueries = 1\n", "text = 1\n", "[text]\neol = 'cr'\n"])
def test_wrong_policies_name_the_file(tmp_path, table):
    folder = StoreFolder(tmp_path)
    folder.config.write_text(HEAD + table)
    with pytest.raises(ConfigurationError, match=r"apostille\.toml: "):
        canon_policy(folder)


@pytest.mark.parametrize("agent", ["", 'a"b', "a\\b", "a\nb"])
def test_names_that_toml_would_read_otherwise(tmp_path, agent):
    folder = StoreFolder(tmp_path)
    folder.config.write_text(HEAD)
    with pytest.raises(ConfigurationError):
        add_client(folder, KEY, agent)
