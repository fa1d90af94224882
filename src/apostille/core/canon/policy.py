"""What links, images and text may do: a value that an operator writes, and whose digest is signed with the values it acted on.

As canonical JSON::

    {"image_hosts":["img.example.com","*.example.org"],"link_hosts":[],"markup":"clean","queries":"keep"}

``image_hosts``
    Hosts from which an image may be loaded, which happens without a click. ``*.example.org`` stands for every host below
    example.org. An image from elsewhere becomes its text and its host. Default: none.
``link_hosts``
    Hosts of links that ``queries`` does not touch. Default: none is named.
``queries``
    ``keep``: queries of links stay and are reported; ``drop``: links to hosts that are not listed lose query, fragment and title.
``markup``
    ``clean``, or ``skip`` for sources that people keep, whose comments and images are theirs: only the text rules act, outside of
    code, and white space at line ends stays.
``text``
    Options of the text rules (``options``), for all types that have them; only those that are not the default, and nothing where
    all are: ``"text":{"sea_zwsp":"keep"}``.

Spec: canonical.md section 9; ADR 0016.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from apostille.core.canon.jcs import format_json
from apostille.core.canon.options import DEFAULT_TEXT, TextOptions
from apostille.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HOSTS = 1_000

# ASCII as it is asked for: a host of other letters is written as its xn-- form.
_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,62}[a-z0-9_])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\]")
_MAX_HOST = 255


@dataclass(frozen=True, slots=True)
class Policy:
    """What links, images and text may do (module docstring)."""

    image_hosts: tuple[str, ...] = ()
    link_hosts: tuple[str, ...] = ()
    queries: Literal["keep", "drop"] = "keep"
    markup: Literal["clean", "skip"] = "clean"
    text: TextOptions = DEFAULT_TEXT

    def __post_init__(self) -> None:
        """Refuse what is no list of hosts.

        Raises:
            ConfigurationError: A host that is spelt otherwise, too many of them, or another word for ``queries`` or ``markup``.
        """
        for name, hosts in (("image_hosts", self.image_hosts), ("link_hosts", self.link_hosts)):
            if len(hosts) > MAX_HOSTS:
                raise ConfigurationError(f"{name} holds over {MAX_HOSTS:,} hosts")
            for host in hosts:
                if len(host) > _MAX_HOST or _HOST.fullmatch(host) is None:
                    raise ConfigurationError(f"{name}: {host[:64]!r} is no host; write it as img.example.com or *.example.com")
        if self.queries not in ("keep", "drop"):
            raise ConfigurationError(f"queries is keep or drop, not {str(self.queries)[:32]!r}")
        if self.markup not in ("clean", "skip"):
            raise ConfigurationError(f"markup is clean or skip, not {str(self.markup)[:32]!r}")

    @property
    def suffix(self) -> str:
        """What is added to the profile id: nothing for the default."""
        return "" if self == DEFAULT else f" policy={hashlib.sha256(format_policy(self)).hexdigest()}"

    @property
    def for_text(self) -> Policy:
        """What of it acts on types without links: the text options alone."""
        return Policy(text=self.text) if self.text is not DEFAULT_TEXT else DEFAULT

    def takes_image(self, host: str) -> bool:
        """Tell that an image may be loaded from a host."""
        return _is_listed(host, self.image_hosts)

    def cuts_query(self, host: str) -> bool:
        """Tell that a link to a host loses its query."""
        return self.queries == "drop" and not _is_listed(host, self.link_hosts)


DEFAULT = Policy()
# For files that somebody keeps and edits: scan, and clean in place.
SOURCE = Policy(markup="skip")


def format_policy(policy: Policy) -> bytes:
    """Write a policy as the bytes that its digest covers."""
    value: dict[str, object] = {
        "image_hosts": sorted(set(policy.image_hosts)),
        "link_hosts": sorted(set(policy.link_hosts)),
        "markup": policy.markup,
        "queries": policy.queries,
    }
    text = policy.text.settings()
    return format_json(value | ({"text": text} if text else {}))


def parse_policy(settings: Mapping[str, Any], text: TextOptions = DEFAULT_TEXT) -> Policy:
    """Read a policy from a table of settings; what is left out has its default.

    Args:
        settings: Of links and images.
        text: Options of the text rules.

    Raises:
        ConfigurationError: An unknown setting, or one of the wrong kind.
    """
    unknown = sorted(settings.keys() - {"image_hosts", "link_hosts", "markup", "queries"})
    if unknown:
        raise ConfigurationError(f"unknown settings of the policy: {[name[:32] for name in unknown[:4]]}")
    lists = {name: settings.get(name, []) for name in ("image_hosts", "link_hosts")}
    for name, hosts in lists.items():
        if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
            raise ConfigurationError(f"{name} is a list of hosts")
    words = {name: settings.get(name, default) for name, default in (("queries", "keep"), ("markup", "clean"))}
    return Policy(tuple(lists["image_hosts"]), tuple(lists["link_hosts"]), **words, text=text)


def _is_listed(host: str, hosts: tuple[str, ...]) -> bool:
    if host in hosts:
        return True
    below = host.partition(".")[2]
    while below:
        if f"*.{below}" in hosts:
            return True
        below = below.partition(".")[2]
    return False
