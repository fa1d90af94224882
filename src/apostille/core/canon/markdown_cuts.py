"""What a reader of Markdown does not see, or what is loaded behind his back: the places, by the parsed text.

    MD_COMMENT        comments, declarations and processing instructions of HTML
    MD_HIDDEN         elements that are not drawn, with all they hold; one that never ends reaches to the end of its block
    MD_REF_UNUSED     definitions that no link uses, also ``[//]: # (words)``
    MD_IMAGE_HOST     an image, or what else is loaded without a click, from a host that is not allowed: its text and host stay
    MD_LINK_QUERY     a link with a query (reported, or cut with fragment and title if the policy says so)
    MD_LINK_MISMATCH  a link whose text names another host than its address (reported)
    MD_HTML           other raw HTML (reported)
    URL_IDN, URL_USERINFO, BLOB_OPAQUE (reported)

Spec: canonical.md sections 8 and 9 "text/markdown".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from markdown_it.helpers import parseLinkDestination

from apostille.core.canon.draft import Edit, Remark
from apostille.core.canon.html_tags import VOID, Tag, hides, loads, scan
from apostille.core.canon.markdown_parse import refusal
from apostille.core.canon.seams import Cut
from apostille.core.canon.urls import Url, parse_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markdown_it.token import Token

    from apostille.core.canon.markdown_parse import Inline, Parsed
    from apostille.core.canon.policy import Policy

MAX_CUTS = 4_096  # a seam costs some milliseconds

_SPECIAL = re.compile(r"[\\`*_\[\]<>&|~$!]")
_AT_START = re.compile(r"(?:[-+#=:](?=.)|[0-9]{1,9}(?=[.)]))")
_SPACES = re.compile("[ \t\n]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}(?=:)")
_MAX_LABEL = 255
# A word that is the name of a host: with a scheme, www, or an ending that is no file's.
_NAMED = re.compile(r"(?:[a-z][a-z0-9+.-]{0,15}:)?//[^\s]+|www\.[^\s]+", re.ASCII | re.IGNORECASE)
_ENDINGS = "com|org|net|edu|gov|int|io|dev|ai|app|info|biz|uk|de|fr|eu|ch|at|nl|it|es|jp|cn|ru|in|au|ca|us|br|se|no|pl"
_BARE = re.compile(rf"(?:[a-z0-9-]+\.)+(?:{_ENDINGS})(?:[:/].*)?", re.ASCII | re.IGNORECASE)
_BLOB = re.compile(
    r"data:[a-z0-9.+/;=-]*,[^\s)>\"']{16,}|(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{64,}={0,2}", re.ASCII | re.IGNORECASE
)


@dataclass(slots=True)
class Found:
    """What was found in a text.

    Attributes:
        cuts: Not drawn; ascending, without overlap.
        edits: Images that become text; ascending.
        remarks: What is reported and stays.
    """

    cuts: list[Cut] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A tag, where it is in the text, and how far it could reach."""

    tag: Tag
    start: int
    end: int
    limit: int
    block: int
    is_block: bool


def find_undrawn(parsed: Parsed, policy: Policy) -> Found:
    """Find what is not drawn, what would be loaded from elsewhere, and what is to be reported.

    Raises:
        CanonicalizationError: Over ``MAX_CUTS`` places that are not drawn (finding LIMIT_SIZE).
    """
    found = Found()
    cuts = [*_tags(parsed, policy, found), *_definitions(parsed)]
    if len(cuts) > MAX_CUTS:
        raise refusal("LIMIT_SIZE", f"over {MAX_CUTS:,} comments, hidden elements and unused definitions")
    for cut in sorted(cuts, key=lambda cut: (cut.start, -cut.end)):
        if not found.cuts or cut.start >= found.cuts[-1].end:
            found.cuts.append(cut)
    for inline in parsed.inlines:
        if inline.token.type == "image":
            _image(inline, policy, found)
        elif inline.token.type == "link_open":
            _link(parsed, inline, policy, found)
    for match in _BLOB.finditer(parsed.text):
        if match.group().isalpha() and match.group()[:5].lower() != "data:" and len(set(match.group())) < 16:
            continue  # a ruler, or a word that never ends
        found.remarks.append(Remark(match.start(), match.end(), "BLOB_OPAQUE"))
    found.edits += _definition_edits(parsed, policy)
    found.edits = _outside(sorted(found.edits, key=lambda edit: edit.start), found.cuts)
    return found


def _outside(edits: Sequence[Edit], cuts: Sequence[Cut]) -> list[Edit]:
    """Leave out the edits of what is cut anyway, and of images within images."""
    kept: list[Edit] = []
    waiting = list(reversed(cuts))
    for edit in edits:
        while waiting and waiting[-1].end <= edit.start:
            waiting.pop()
        is_cut = bool(waiting) and waiting[-1].start < edit.end
        if not is_cut and not (kept and edit.start < kept[-1].end):
            kept.append(edit)
    return kept


def _placed(parsed: Parsed) -> Iterator[_Placed]:
    """Give all tags in the order of the text."""
    found: list[_Placed] = []
    ends: list[int] = []
    for number, token in enumerate(parsed.tokens):
        if token.nesting == 1:
            ends.append(parsed.span(token)[1] if token.map else (ends[-1] if ends else len(parsed.text)))
        elif token.nesting == -1:
            ends.pop()
        if token.type == "html_block" and number in parsed.places:
            places = parsed.places[number]
            limit = ends[-1] if ends else len(parsed.text)
            for tag in scan(token.content.removesuffix("\n")):
                start, end = places.find(tag.start), places.end(tag.end)
                found.append(_Placed(tag, start, end, max(limit, end), number, is_block=True))
    for inline in parsed.inlines:
        if inline.token.type == "html_inline":
            places = parsed.places[inline.block]
            limit = places.end(len(parsed.tokens[inline.block].content))
            # The first one ends where browsers end it; the parser may have taken more for a comment.
            tag = next(scan(inline.token.content))
            end = places.end(inline.token.meta["span"][0] + tag.end)
            found.append(_Placed(tag, inline.start, end, max(limit, end), inline.block, is_block=False))
    return iter(sorted(found, key=lambda placed: placed.start))


def _tags(parsed: Parsed, policy: Policy, found: Found) -> Iterator[Cut]:
    """Give the cuts of comments and hidden elements; put what is loaded from elsewhere and what stays into ``found``."""
    hidden: _Placed | None = None
    depth = 0
    for placed in _placed(parsed):
        tag = placed.tag
        if hidden is not None and placed.start >= hidden.limit:
            yield Cut(hidden.start, hidden.limit, "MD_HIDDEN", hidden.is_block)
            hidden = None
        if hidden is not None:
            if tag.name == hidden.tag.name and tag.kind != "comment":
                depth += 1 if tag.kind == "open" else -1
                if depth == 0:
                    yield Cut(hidden.start, placed.end, "MD_HIDDEN", hidden.is_block)
                    hidden = None
        elif tag.kind == "comment":
            yield Cut(placed.start, placed.end, "MD_COMMENT", placed.is_block)
        elif tag.kind == "open" and hides(tag):
            if tag.name in VOID:
                yield Cut(placed.start, placed.end, "MD_HIDDEN", placed.is_block)
            else:
                hidden, depth = placed, 1
        else:
            _visible_tag(placed, policy, found)
    if hidden is not None:
        yield Cut(hidden.start, hidden.limit, "MD_HIDDEN", hidden.is_block)


def _visible_tag(placed: _Placed, policy: Policy, found: Found) -> None:
    hosts = [host for address in loads(placed.tag) if (host := _foreign(address, policy)) is not None]
    if placed.tag.kind == "open" and hosts:
        text = placed.tag.attributes.get("alt") or placed.tag.attributes.get("title") or placed.tag.name
        label = _SPACES.sub(" ", f"{text} ({hosts[0]})").strip()
        now = re.sub(r"[^A-Za-z0-9 ().\u00a0-\U0010ffff]", lambda match: f"&#{ord(match.group())};", label)
        found.edits.append(Edit(placed.start, placed.end, now, "MD_IMAGE_HOST"))
    else:
        found.remarks.append(Remark(placed.start, placed.end, "MD_HTML"))


def _definitions(parsed: Parsed) -> Iterator[Cut]:
    """Give the definitions that no link or image uses, or that stand behind another one of their label."""
    used = set(_labels([child for token in parsed.tokens for child in token.children or ()]))
    for token in parsed.tokens:
        if token.type != "definition":
            continue
        label = token.meta["id"]
        if label in used:
            used.discard(label)  # the first one counts
            continue
        start, end = parsed.span(token)
        start = parsed.text.index("[", start)
        yield Cut(start, end - (parsed.text[end - 1 : end] == "\n"), "MD_REF_UNUSED", is_block=True)


def _labels(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        if "label" in token.meta:
            yield token.meta["label"]
        if token.children:
            yield from _labels(token.children)


def _foreign(address: str, policy: Policy) -> str | None:
    """Give what stands for the host of an address that must not be loaded, or nothing if it may."""
    url = parse_url(address)
    if url is not None:
        return None if policy.takes_image(url.host) else url.host[:_MAX_LABEL] or "no host"
    scheme = _SCHEME.match(address.strip("".join(map(chr, range(0x21)))))
    return None if scheme is None else scheme.group().lower()


def _image(inline: Inline, policy: Policy, found: Found) -> None:
    address = str(inline.token.attrs.get("src", ""))
    host = _foreign(address, policy)
    if host is None:
        _address(inline, parse_url(address), found)
        return
    alt = _SPACES.sub(" ", _plain(inline.token.children or [])).strip() or "image"
    found.edits.append(Edit(inline.start, inline.end, f"{_escape(alt)} ({_escape(host)})", "MD_IMAGE_HOST"))


def _plain(tokens: Sequence[Token]) -> str:
    """Give the words of inline tokens, as they would be read out."""
    out = []
    for token in tokens:
        if token.children:
            out.append(_plain(token.children))
        elif token.type in ("text", "text_special", "code_inline"):
            out.append(token.content)
        elif token.type in ("softbreak", "hardbreak"):
            out.append(" ")
    return "".join(out)


def _escape(text: str) -> str:
    """Write words so that they are no markup, wherever they stand."""
    text = _SPECIAL.sub(lambda match: "\\" + match.group(), text)
    start = _AT_START.match(text)
    if start is None:
        return text
    index = 0 if start.end() == 1 and not text[0].isdigit() else start.end()
    return f"{text[:index]}\\{text[index:]}"


def _link(parsed: Parsed, inline: Inline, policy: Policy, found: Found) -> None:
    address = str(inline.token.attrs.get("href", ""))
    url = parse_url(address)
    place = _destination(parsed, inline, address) if url is not None and policy.cuts_query(url.host) else None
    is_loaded = bool(url is not None and (url.query or url.fragment or "title" in inline.token.attrs))
    if url is not None and place is not None and is_loaded:
        found.edits.append(Edit(*place, bare_address(url), "MD_LINK_QUERY"))
    _address(inline, url, found)
    if url is None or inline.token.markup == "autolink":
        return
    children = parsed.tokens[inline.block].children or []
    last = inline.number
    while children[last].type != "link_close":
        last += 1
    named = _host_named(_plain(children[inline.number + 1 : last]).strip())
    if named and not _is_same(named, url.host):
        found.remarks.append(Remark(inline.start, inline.end, "MD_LINK_MISMATCH"))


def _destination(parsed: Parsed, inline: Inline, address: str) -> tuple[int, int] | None:
    """Give the place of a link's address and title; nothing for one by reference, whose definition holds them."""
    if inline.token.markup == "autolink":
        return inline.start + 1, inline.end - 1
    text, index = parsed.text, inline.start
    while "label" not in inline.token.meta and (index := text.find("](", index + 1, inline.end)) >= 0:
        start = index + 2
        while text[start] in " \t\n":
            start += 1
        found = parseLinkDestination(text, start, inline.end - 1)
        if found.ok and found.str == address and text[found.pos] in " \t\n)":
            return start, inline.end - 1
    return None


def _definition_edits(parsed: Parsed, policy: Policy) -> Iterator[Edit]:
    """Give the edits of definitions whose queries go, each of the whole definition."""
    for token in parsed.tokens:
        url = parse_url(token.meta["url"]) if token.type == "definition" else None
        if url is not None and policy.cuts_query(url.host) and (url.query or url.fragment or token.meta["title"]):
            start, end = parsed.span(token)
            start = parsed.text.index("[", start)
            label = _SPACES.sub(" ", token.meta["label"])
            yield Edit(start, end - (parsed.text[end - 1 : end] == "\n"), f"[{label}]: {bare_address(url)}", "MD_LINK_QUERY")


def bare_address(url: Url) -> str:
    """Write a URL without query and fragment, so that it stands in Markdown as it is."""
    bare = str(replace(url, query="", fragment=""))
    return bare.replace("(", "%28").replace(")", "%29").replace("&", "%26").replace("*", "%2A")


def _address(inline: Inline, url: Url | None, found: Found) -> None:
    if url is None:
        return
    codes = [("MD_LINK_QUERY", url.query), ("URL_IDN", url.is_idn), ("URL_USERINFO", url.userinfo)]
    found.remarks += [Remark(inline.start, inline.end, code) for code, is_so in codes if is_so]


def _host_named(text: str) -> str:
    """Give the host that the text of a link names, or nothing."""
    match = _NAMED.search(text) or _BARE.fullmatch(text)
    if match is None:
        return ""
    url = parse_url(match.group() if "//" in match.group() else f"//{match.group()}")
    return url.host if url is not None else ""


def _is_same(named: str, host: str) -> bool:
    return named == host or named.endswith(f".{host}") or host.endswith(f".{named}")
