"""Profiles, their ids, and what a media type calls for.

A profile id is signed into every entry: ``apostille-safe/1 ucd=18.0.0 tables=<sha256 of the generated tables>``. A published
profile stays runnable; any change of output bytes is a new number.

    ===================  =====================================================================================
    ``text/*``           the text rules
    ``text/markdown``    parsed; the text rules outside of code, what is not drawn goes; the id also names the parser's version,
                         and the digest of the policy unless that is the default: `` markdown=4.3.0 policy=<sha256>``
    ``text/x-code``      looked at with the text rules, never changed, in every profile
    ``application/json`` parsed strictly, string values by the text rules, written as RFC 8785
    anything else        not looked at; the profile is ``opaque``: the canonical bytes are the raw bytes
    ===================  =====================================================================================

Spec: canonical.md sections 3 and 9; formats.md section 3.1 "profile".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from apostille.core.canon.tables import digest
from apostille.errors import ConfigurationError

OPAQUE: Final = "opaque"

# How a media type is treated.
Kind = Literal["text", "markdown", "code", "json", "opaque"]


@dataclass(frozen=True, slots=True)
class Profile:
    """One published rule set.

    Attributes:
        name: ``safe``, ``strict`` or ``report``.
        number: Counted up with every change of output bytes.
        is_report: Findings only; the bytes stay as they are.
        is_strict: Look-alikes are written in one form.
    """

    name: str
    number: int
    is_report: bool
    is_strict: bool = False

    @property
    def id(self) -> str:
        """The id that is signed."""
        return f"apostille-{self.name}/{self.number} ucd={digest.UCD_VERSION} tables={digest.SHA256}"


SAFE = Profile("safe", 1, is_report=False)
STRICT = Profile("strict", 1, is_report=False, is_strict=True)
REPORT = Profile("report", 1, is_report=True)
_PROFILES = {profile.name: profile for profile in (SAFE, STRICT, REPORT)}


def find_profile(name: str) -> Profile:
    """Give the profile of this name.

    Raises:
        ConfigurationError: There is none.
    """
    profile = _PROFILES.get(name)
    if profile is None:
        raise ConfigurationError(f"canonicalizer profile {name[:32]!r} is unknown; there are: {', '.join(_PROFILES)}")
    return profile


def profile_id(profile: str = "safe") -> str:
    """Give the whole id of a profile.

    Args:
        profile: ``"safe"``, ``"strict"`` or ``"report"``.

    Returns:
        For example ``"apostille-safe/1 ucd=18.0.0 tables=dc48.."``.

    Raises:
        ConfigurationError: No such profile.
    """
    return find_profile(profile).id


def essence_of(media_type: str) -> str:
    """Return the media type without its parameters, in lower case; empty where it is not ASCII."""
    essence = media_type.partition(";")[0].strip(" \t")
    return essence.lower() if essence.isascii() else ""  # str.lower on other letters follows the interpreter's Unicode version


def kind_of(media_type: str) -> Kind:
    """Tell how a media type is treated; parameters such as ``charset`` do not count.

    Args:
        media_type: For example ``"text/plain; charset=utf-8"``.

    Returns:
        The kind; ``opaque`` for everything that has no rules.
    """
    essence = essence_of(media_type)
    if essence == "application/json":
        return "json"
    if essence == "text/markdown":
        return "markdown"
    if essence == "text/x-code":
        return "code"
    return "text" if essence.startswith("text/") else "opaque"
