"""Where the shared vectors are."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.simulators.world import SHARED


def folder(name: str) -> Path:
    """Give a folder of the shared vectors, or skip the whole test file where it is not beside the checkout."""
    path = SHARED / "vectors" / name
    if not path.is_dir():
        pytest.skip(f"shared/vectors/{name} is not beside the checkout", allow_module_level=True)
    return path


def load(path: Path) -> Any:
    return json.loads(path.read_bytes())


def unb64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
