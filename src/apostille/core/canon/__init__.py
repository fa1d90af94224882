"""Canonical bytes: one fixed spelling of every output, before it is signed and released.

``canonicalize`` takes a whole value, ``Canonicalizer`` one that arrives in pieces; both say in findings what they changed, and
``apply_edits`` leads from the raw to the canonical bytes by the findings alone. The same profile id means the same bytes on
every supported Python: the Unicode tables are our own.

Passes of profile ``apostille-safe/0``, in order:

    1  strict UTF-8                                       ENC_INVALID (error)
    2  controls, noncharacters dropped; line ends to LF   CTRL, NONCHAR, EOL_FORM
    3  bidi overrides dropped with their closers          BIDI_OVERRIDE
    4  tag characters dropped outside three flags         TAG_DROP
    5  runs of variation selectors dropped                VS_RUN
    6  U+FEFF at the start dropped                        ENC_BOM
    7  at most 30 marks on a base; NFC                    MARK_FLOOD, NFC

Spec: canonical.md.
"""

from __future__ import annotations

from apostille.core.canon.edits import apply_edits
from apostille.core.canon.findings import Finding, format_findings
from apostille.core.canon.profiles import profile_id
from apostille.core.canon.stream import Canonical, Canonicalizer, canonicalize

__all__ = ["Canonical", "Canonicalizer", "Finding", "apply_edits", "canonicalize", "format_findings", "profile_id"]
