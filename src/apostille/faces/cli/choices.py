"""Options that take one of a few words."""

from __future__ import annotations

from enum import StrEnum


class ScanForm(StrEnum):
    """How a scan is printed."""

    HUMAN = "human"
    JSON = "json"
    SARIF = "sarif"


class ScanLevel(StrEnum):
    """The lowest level that makes a scan fail."""

    NOTE = "note"
    WARNING = "warning"
    HIDDEN = "hidden"
    ERROR = "error"
    NEVER = "never"
