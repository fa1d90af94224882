"""Markdown: rounds of parsing and editing until nothing changes.

A round looks at the parsed text for the first of these that has something to change, and changes it:

    1. the text rules outside of code, and characters out of entities     ``markdown_text``
    2. what is not drawn goes, off-list images become text                ``markdown_cuts``, ``seams``
    3. white space at line ends and at the end                            ``markdown_text.tails``

What is left is canonical by construction: the next round would change nothing. Every change makes the text shorter or replaces
markup by words, so rounds end; a text that takes more than ``MAX_ROUNDS`` hides one thing in the other on purpose and is refused.

The document is held: what a line means may depend on the last one.

Spec: canonical.md section 9 "text/markdown", section 11 caps; ADR 0016.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import markdown_it

from apostille.core.canon.draft import Draft, Edit
from apostille.core.canon.findings import Ledger
from apostille.core.canon.hidden_bytes import C2PA_OPENING
from apostille.core.canon.markdown_cuts import Found, find_undrawn
from apostille.core.canon.markdown_parse import parse_markdown, refusal
from apostille.core.canon.markdown_text import Code, look_at_code, look_at_text, tails
from apostille.core.canon.seams import close_seams
from apostille.core.canon.text import invalid_encoding

if TYPE_CHECKING:
    from apostille.core.canon.findings import Finding
    from apostille.core.canon.policy import Policy
    from apostille.core.canon.residue import Residue
    from apostille.core.canon.tails import Ending

# The parser needs some 400 bytes for a byte of hostile input.
MAX_BYTES = 1024 * 1024
MAX_ROUNDS = 32

PARSER = f" markdown={markdown_it.__version__}"

_LINE_ENDS = re.compile("\r\n?")


def canonicalize_markdown(
    data: bytes, *, policy: Policy, ending: Ending, is_report: bool = False
) -> tuple[bytes, tuple[Finding, ...], Residue]:
    """Give the canonical bytes of one document and what was found in it.

    Does not check the size: that is done while the document is collected.

    Args:
        data: The whole document.
        policy: Which images may be loaded, and options of the text rules.
        ending: Whether a line feed may end it.
        is_report: Give the raw bytes back, every act as ``report``.

    Returns:
        The canonical bytes, the findings, and what is kept.

    Raises:
        CanonicalizationError: Not UTF-8 (ENC_INVALID), nested too deep (LIMIT_DEPTH), unfolding to too much (LIMIT_SIZE).
    """
    try:
        raw = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid_encoding(error.start, error.end - error.start) from error
    draft = Draft(raw)
    if raw.startswith("\ufeff") and not raw.startswith(C2PA_OPENING):
        draft.apply([Edit(0, 1, "", "ENC_BOM")])
    draft.apply([Edit(m.start(), m.end(), "\n", "EOL_FORM") for m in _LINE_ENDS.finditer(draft.text)])
    for _ in range(MAX_ROUNDS):
        parsed = parse_markdown(draft.text)
        code = Code(parsed)
        looked = look_at_text(draft.text, code, policy.text)
        if looked.edits:
            draft.apply(looked.edits)
            continue
        if policy.markup == "skip":
            found = Found()
            break
        found = find_undrawn(parsed, policy)
        edits = found.edits or close_seams(parsed, found.cuts) or tails(parsed, code, ending)
        if not edits:
            break
        draft.apply(edits)
    else:
        raise refusal("LIMIT_DEPTH", f"hidden markup within hidden markup, over {MAX_ROUNDS} deep")
    ledger = Ledger(is_report=is_report)
    ledger.characters = len(draft.text)
    draft.record(ledger, [*looked.remarks, *found.remarks, *look_at_code(draft.text, code)])
    for kind, tally, index in looked.kept:
        ledger.take(kind, tally, draft.source(index))
    return data if is_report else draft.text.encode("utf-8"), ledger.finish(), ledger.residue()
