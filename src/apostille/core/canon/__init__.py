"""Canonical bytes: one fixed spelling of every output, before it is signed and released.

``canonicalize`` takes a whole value, ``Canonicalizer`` one that arrives in pieces; both say in findings what they changed, and
``apply_edits`` leads from the raw to the canonical bytes by the findings alone. The same profile id means the same bytes on
every supported Python: the Unicode tables are our own.

Passes of the profiles ``apostille-safe/1`` and ``apostille-strict/1``, in order; each module says what its codes mean:

    P0  text       strict UTF-8 (ENC_INVALID, an error: never repaired)
    P1  passes     terminal escapes, overstrike, controls
    P2  passes     line ends to LF
    P3  drops      what draws nothing wherever it stands, C2PA manifests
        passes     fillers, blanks and tags without their neighbor
    P4  units      marks over 30, marks of another script; NFC
    P5  rules      joiners, selectors and other contextual characters; back to P4 until stable
    P6  bidi       controls that move nothing, overrides
    P7  sightings  look-alikes are reported (safe, report)
        folding    and written in one form (strict; words: of another script; then P4 to P6 once more)
    P9  tails      white space at the end of lines and of the text

Types with a grammar have rules of their own: ``json_values``, ``markdown``; ``code`` is only looked at, and so are URLs in text.

What is kept although it could be left out is counted (``residue``). ``options`` let some of it stay that some text needs;
bytes that hidden characters spell are in the findings (``hidden_bytes``).

Spec: canonical.md.
"""

from __future__ import annotations

from apostille.core.canon.edits import apply_edits
from apostille.core.canon.findings import Finding, format_findings
from apostille.core.canon.profiles import profile_id
from apostille.core.canon.residue import Residue
from apostille.core.canon.stream import Canonical, Canonicalizer, canonicalize

__all__ = ["Canonical", "Canonicalizer", "Finding", "Residue", "apply_edits", "canonicalize", "format_findings", "profile_id"]
