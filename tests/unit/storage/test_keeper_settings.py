"""The settings of a keeper: what is of the wrong kind is a wrong setting, never a fault of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from apostille.errors import ConfigurationError
from apostille.storage.folder import StoreFolder, keeper_settings


def settings(tmp_path, text: str):
    folder = StoreFolder(tmp_path)
    folder.config.write_text(f'format = 1\norigin = "a.example"\n[keeper]\n{text}\n')
    return keeper_settings(folder)


def test_what_may_be_set(tmp_path):
    found = settings(tmp_path, 'socket = "/run/a.sock"\nmode = "0660"\nallow_uids = [1001, 0]')
    assert (found.socket, found.mode, found.allow_uids) == (Path("/run/a.sock"), 0o660, (1001, 0))


@pytest.mark.parametrize(
    "text",
    [
        *("mode = [1001]", "mode = {}", "mode = 660", "mode = true", 'mode = "0666"'),  # the first: found by the hammer, exit 70
        *("socket = []", "socket = 1", 'socket = "relative.sock"', 'socket = "/a\\u0000b"'),
        *("allow_uids = 1", 'allow_uids = ["a"]', "allow_uids = [true]", "allow_uids = [-1]", "allow_uids = [[1]]", "other = 1"),
    ],
)
def test_what_may_not(tmp_path, text):
    with pytest.raises(ConfigurationError):
        settings(tmp_path, text)
