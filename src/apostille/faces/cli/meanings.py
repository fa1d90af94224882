"""Findings in words: what each code means, in one short sentence, and what became of what was found.

For ``scan``, its SARIF rules, ``show``, and docs/manual/scan.md. Characters are written U+XXXX, never as they are.

The table names every code of the specification, also those that no profile emits yet; a test holds it against ``SEVERITIES`` and
against the manual.

Spec: canonical.md section 8.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from apostille.core.canon.findings import SEVERITIES, Finding
from apostille.core.canon.hidden_bytes import SHOWN_BYTES, Decoded

# Gravest last.
LEVELS: Final = ("note", "warning", "hidden", "error")
_WORDS: Final = {"i": "note", "w": "warning", "h": "hidden", "e": "error"}
_KEPT = "_KEEP"
_HEX = re.compile(f"(?:[0-9a-f]{{2}}){{0,{SHOWN_BYTES}}}")
_SHA256 = re.compile("[0-9a-f]{64}")
_ACTS: Final = {"drop": "removed", "keep": "kept, counted", "report": "reported only", "refuse": "refused"}
_POINTS = 8
_BYTES = 32
# U+FE0E and U+FE0F as bytes: an encoder may close its row with the style of the emoji.
_STYLES = b"\x0e\x0f"

MEANINGS: Final = {
    # encoding
    "ENC_INVALID": "The bytes are not UTF-8; they are refused, never repaired.",
    "ENC_BOM": "A byte order mark at the beginning.",
    "LIMIT_SIZE": "The value is too large to be looked at.",
    "LIMIT_DEPTH": "The value is nested too deeply to be looked at.",
    # terminal, lines
    "ANSI_SEQ": "A terminal escape sequence: it can hide, recolor or overwrite text.",
    "ANSI_OPEN": "A terminal escape string that does not end: a terminal would swallow the text behind it.",
    "OVERSTRIKE": "A character that is struck over by another with a backspace.",
    "CTRL": "A control character that draws nothing.",
    "EOL_FORM": "A line end that is not a line feed.",
    "WS_TAIL": "White space at the end of a line, where nobody sees it.",
    "WS_END": "White space or empty lines at the end of the text.",
    "WS_FLOOD": "A run of white space so long that it can carry a message.",
    # joiners
    "ZWNJ_DROP": "A zero width non-joiner where it draws nothing.",
    "ZWJ_DROP": "A zero width joiner where it draws nothing.",
    "JOINER_SPELL": "A joiner that is one of several spellings of the same drawing.",
    "JOINER_RUN": "Several joiners in a row: only one can show, the rest can carry a message.",
    "ZWNJ_KEEP": "Zero width non-joiners that show; counted as residue.",
    "ZWJ_KEEP": "Zero width joiners that show; counted as residue.",
    # selectors, tags, fillers, emoji
    "VS_DROP": "A variation selector that no listed sequence has.",
    "VS_RUN": "Several variation selectors in a row: a usual way to hide bytes in an emoji.",
    "IVS_DROP": "An ideographic variation selector that no listed sequence has.",
    "FVS_DROP": "A Mongolian free variation selector where it changes nothing.",
    "MVS_DROP": "A Mongolian vowel separator outside Mongolian words.",
    "TAG_DROP": "Tag characters: invisible letters that a model reads and people do not see.",
    "CGJ_DROP": "A combining grapheme joiner where it changes nothing.",
    "JAMO_FILLER_DROP": "A Hangul filler that completes no syllable.",
    "EMOJI_VS": "An emoji style selector that changes nothing.",
    "EMOJI_ZWJ": "A joiner between emoji that form no known sequence.",
    "EMOJI_QUALIFY": "An emoji sequence without its style selectors.",
    "C2PA_TEXT": "A C2PA manifest wrapped into invisible selectors.",
    "C2PA_KEEP": "A C2PA manifest that an option keeps; counted as residue.",
    "VS_KEEP": "Variation selectors of listed sequences; counted as residue.",
    "IVS_KEEP": "Ideographic variation selectors of listed sequences; counted as residue.",
    "FVS_KEEP": "Mongolian variation selectors that show; counted as residue.",
    "MVS_KEEP": "Mongolian vowel separators that show; counted as residue.",
    "CGJ_KEEP": "Combining grapheme joiners that keep marks in order; counted as residue.",
    # other characters
    "ZWSP_DROP": "A zero width space, word joiner or inner byte order mark.",
    "DI_DROP": "A character that draws nothing, such as a soft hyphen.",
    "BLANK_GLYPH": "A blank that is not a space.",
    "NONCHAR": "A noncharacter: it has no meaning in text that is exchanged.",
    "PUA_DROP": "A private use character: what it draws depends on the font.",
    "UNASSIGNED": "A code point that this version of Unicode does not know.",
    "MARK_FLOOD": "More combining marks on one letter than any text has.",
    "MARK_FOREIGN": "A combining mark of another script than its letter.",
    "NFC": "Another spelling of a character than the composed one (NFC).",
    "CJK_COMPAT": "A compatibility ideograph, which NFC replaces.",
    "PUA_KEEP": "Private use characters that an option keeps; counted as residue.",
    "ZWSP_KEEP": "Zero width spaces between words that an option keeps; counted as residue.",
    "SPACE_KEEP": "No-break spaces that an option keeps; counted as residue.",
    "DI_KEEP": "Format characters that show in their script; counted as residue.",
    # bidi
    "BIDI_DROP": "A direction control that moves nothing.",
    "BIDI_OVERRIDE": "A direction override: letters are shown in another order than they are stored.",
    "BIDI_REORDER": "A direction control that reorders text in which all letters run left to right.",
    "BIDI_UNBALANCED": "A direction control without its partner.",
    "BIDI_KEEP": "Direction controls that move something; counted as residue.",
    # look-alikes
    "MIXED_SCRIPT": "A word with letters of several scripts that look alike.",
    "WHOLE_SCRIPT": "A word of another script that looks like one of the text's own.",
    "TECH_LETTER": "A phonetic or technical letter that looks like an ordinary one.",
    "STYLED": "Styled or compatibility letters or digits that look like ordinary ones.",
    "DIGIT_SET": "Digits of two sets that look alike in one text.",
    "ARABIC_LETTER": "An Arabic letter in a form that another letter shares.",
    "KANA_HAN": "Kana and ideographs that look alike.",
    "RADICAL": "A radical that looks like an ideograph.",
    "SPACE_VARIANT": "A space that is not the ordinary one.",
    "PUNCT_TWIN": "Punctuation that looks like an ordinary sign.",
    "TYPOGRAPHY": "Quotes, dashes or spaces that could be written in several ways.",
    "EMOJI_STYLE": "An emoji style that could be left out.",
    "MARK_DUP": "The same combining mark twice.",
    # types
    "MD_COMMENT": "A comment in Markdown: it is not drawn.",
    "MD_HIDDEN": "An element in Markdown that is hidden by its style.",
    "MD_REF_UNUSED": "A link definition that nothing uses: it is not drawn.",
    "MD_IMAGE_HOST": "An image from a host that is not allowed: it loads without a click and can carry data out.",
    "MD_LINK_QUERY": "A link whose query, fragment or title can carry data out.",
    "MD_LINK_MISMATCH": "A link whose text names another host than it leads to.",
    "MD_HTML": "HTML in Markdown.",
    "MD_FORM": "Another spelling of the same Markdown.",
    "JSON_DUP_KEY": "A key that stands twice in one JSON object: readers differ in which one counts.",
    "JSON_KEY_TWIN": "Two keys of one JSON object that are equal once hidden characters are gone.",
    "JSON_NUMBER": "A JSON number that not every reader takes for the same value.",
    "JSON_FORM": "Another spelling of the same JSON than RFC 8785.",
    "URL_FORM": "Another spelling of the same URL.",
    "URL_IDN": "A host name with letters that look like those of another.",
    "URL_USERINFO": "A URL with a user name, which can look like its host.",
    "CODE_HIDDEN": "Characters in code that a reader does not see.",
    "CODE_MIXED": "A name in code with letters of several scripts.",
    # other
    "BLOB_OPAQUE": "An encoded blob: what it holds is not looked at.",
    "RESIDUE_QUOTA": "More characters that could be left out than ordinary text has.",
    "FINDINGS_CUT": "There are more findings than are listed.",
    "UNSTABLE_RUN": "Text that did not settle under the rules; please report it.",
}


def meaning(code: str) -> str:
    """Say what a code means; one that the table lacks is named as what it is."""
    if code in MEANINGS:
        return MEANINGS[code]
    if code.endswith(_KEPT):
        return "Optional characters that were kept; counted as residue."
    return "A finding of a newer profile."


def level(severity: str) -> str:
    """Give the word for a severity letter; one that is unknown counts as a warning."""
    return _WORDS.get(severity, "warning")


def codes_in_use() -> tuple[str, ...]:
    """List the codes that the canonicalizer can give."""
    return tuple(sorted(SEVERITIES))


def what_became(finding: Finding) -> str:
    """Say in a few words and code points what was found and what becomes of it; ends with ``spelt``."""
    was = _points(finding.was)
    done = _points(finding.now) if finding.act == "replace" and finding.now else _ACTS.get(finding.act, "removed")
    times = f" ({finding.count} times)" if finding.count > 1 else ""
    return f"{was or finding.code} -> {done}{times}{spelt(finding)}"


def spelt(finding: Finding) -> str:
    """Say which bytes the characters of a finding spell, as hex, and as ASCII where that is what they are; else nothing.

    Spelt by whoever hid them: on a terminal it goes through ``plain``.
    """
    decoded = finding.decoded
    if decoded is None:
        return ""
    shown = decoded.first[:_BYTES]
    cut = " .." if decoded.length > len(shown) else ""
    told = f", spells {decoded.length:,} byte{'' if decoded.length == 1 else 's'}: {shown.hex()}{cut}"
    text = shown.rstrip(_STYLES)
    if text and all(0x20 <= byte < 0x7F for byte in text):
        told += f" {json.dumps(text.decode('ascii'))}{cut}"
    return told if finding.code != "C2PA_TEXT" else f"{told} (manifest, SHA-256 {decoded.sha256})"


def _points(points: tuple[int, ...]) -> str:
    return " ".join(f"U+{point:04X}" for point in points[:_POINTS]) + (" .." if len(points) > _POINTS else "")


def read_finding(value: Any) -> Finding | None:
    """Read the JSON object of a finding that somebody recorded; ``None`` for what is none as we write them.

    Spec: canonical.md section 4.
    """
    if not isinstance(value, dict):
        return None
    words: list[Any] = [value.get(name) for name in ("code", "sev", "act")]
    numbers: list[Any] = [value.get(name) for name in ("pos", "len", "n")]
    lists: list[Any] = [value.get(name) for name in ("was", "now")]
    pointer = value.get("pointer")
    is_ours = (
        all(isinstance(word, str) for word in words)
        and all(_is_number(number) for number in numbers)
        and all(isinstance(points, list) and all(map(_is_number, points)) for points in lists)
        and (pointer is None or isinstance(pointer, str))
    )
    if not is_ours:
        return None
    code, severity, act = words
    was, now = lists
    spelt_bytes = _read_decoded(value.get("decoded"))
    return Finding(code, severity, act, numbers[0], numbers[1], tuple(was), tuple(now), numbers[2], pointer, decoded=spelt_bytes)


def _read_decoded(value: Any) -> Decoded | None:
    """Read the bytes that were recorded with a finding; nothing where they are not written as we write them."""
    if not isinstance(value, dict) or not _is_number(value.get("len")):
        return None
    first, digest = value.get("hex"), value.get("sha256")
    if not isinstance(first, str) or not isinstance(digest, str) or not _HEX.fullmatch(first) or not _SHA256.fullmatch(digest):
        return None
    return Decoded(value["len"], digest, bytes.fromhex(first))


def _is_number(value: Any) -> bool:
    return type(value) is int and value >= 0
