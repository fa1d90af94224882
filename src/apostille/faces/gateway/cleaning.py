"""How a gateway canonicalizes the texts of answers: one choice for all of them, and the profile id that is signed for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from apostille.core.canon import Canonical, Canonicalizer, canonicalize
from apostille.core.canon.policy import DEFAULT, Policy

TEXT: Final = "text/plain"


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What is done to the texts of an answer.

    Attributes:
        media_type: What the texts are: ``text/plain``, or ``text/markdown`` where clients draw them as Markdown.
        profile: ``safe`` or ``strict``.
        policy: What links and images in Markdown may do, and options of the text rules.
    """

    media_type: str = TEXT
    profile: str = "safe"
    policy: Policy = DEFAULT

    @property
    def id(self) -> str:
        """The whole profile id: it names all that is needed to canonicalize a part again, whatever its media type."""
        return _id(self)

    def apply(self, data: bytes, media_type: str) -> Canonical:
        """Canonicalize one part.

        Raises:
            CanonicalizationError: It is refused.
            MalformedJsonError: It is no JSON.
        """
        return canonicalize(data, media_type=media_type, profile=self.profile, policy=self.policy)


@cache
def _id(cleaning: Cleaning) -> str:
    return Canonicalizer(media_type=cleaning.media_type, profile=cleaning.profile, policy=cleaning.policy).profile
