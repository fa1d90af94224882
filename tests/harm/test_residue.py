"""Ordinary text keeps no more optional characters than the quota of its script, which was measured in it (canonical.md section 10)."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from apostille.core.canon import canonicalize
from tests.harm import corpora
from tests.harm.test_harm import FOLDER, unavailable

PIECE = 1_000
# The densest languages of each kind, and some beside them.
LANGUAGES = {"fa", "ar", "he", "hi", "mr", "ml", "kn", "te", "si", "as", "bn", "km", "ur", "ckb"}


@pytest.mark.slow
@pytest.mark.interop
@pytest.mark.timeout(600)
def test_ordinary_text_is_under_its_quota():
    """All pieces of some languages: at most one in a hundred of those that keep something."""
    if not (FOLDER / "unpacked").is_file():
        unavailable("texts are not here: run tools/harm-setup.sh")
    lines = defaultdict(list)
    for name in ("declarations", "catalogues", "locales"):
        for place, line in corpora.CORPORA[name](FOLDER):
            if place in LANGUAGES:
                lines[place].append(line)
    keeping, over = Counter(), Counter()
    for place, found in lines.items():
        clean = canonicalize("\n".join(found)).bytes.decode()
        for start in range(0, len(clean) - PIECE, PIECE):
            residue = canonicalize(clean[start : start + PIECE]).residue
            keeping[place] += bool(residue.channels)
            over[place] += bool(residue.over_quota)
    print(keeping.total(), dict(+over))
    assert keeping.total() > 800
    assert over.total() <= keeping.total() // 100
