"""Properties of canonical Markdown (canonical.md section 9 "text/markdown", ADR 0016).

Every text keeps the laws: total, idempotent, edits lead from raw to canonical, report changes nothing. And what is drawn stays: the
HTML of a parser that we have not touched, comments taken out, is the same before and after.
"""

from __future__ import annotations

import re
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from apostille.core.canon import apply_edits, canonicalize
from apostille.errors import CanonicalizationError

LAWS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

DRAWN = (
    *["a", "b ", "foo", " ", "  ", "    ", "\n", "\n\n", "  \n", " \n", "   \n", "\t", "\\\n", "é", "# ", "- ", "1. ", "> ", "\n> ", "\n- ", "---\n"],
    *["*", "**", "_", "`", "``", "~~", "[", "]", "(", ")", "!", "|", "=", "===\n", "|-|-|\n", "```\n", "~~~\n", "[a]", "[a]: /b\n", "[c]: /d 'e'\n"],
    *["](/x)", "<b>", "</b>", "<div>\n", "</div>\n", "&amp;", "<http://x.y>", "\n<!-- x -->\n", "<!-- y -->", "<!-- y\nz -->", "\n\n<!-- z -->\n\n"],
)
OTHERS = ["![x](//e.c/x)", "![", "<i hidden>", "</i>", "<p style='display:none'>", "</p>", "<img src=//e.c>", "<script>", "</script>", "<?q", "<!A>"]
HIDDEN = ["\u200b", "e\u0301", "\u202e", "\U000e0041", "\ue000", "\r\n", "\x00", "&#8203;", "&zwj;", "\ufeff", "\u200d", "\u05d0\u200f"]

_drawn = st.lists(st.sampled_from(DRAWN), max_size=30).map("".join)
_texts = st.one_of(
    st.lists(st.sampled_from([*DRAWN, *OTHERS, *HIDDEN]), max_size=40).map("".join), st.text(max_size=60), st.text("<!->[]()`*\\ \n", max_size=40)
)

_OUTSIDE = MarkdownIt("commonmark", {"maxNesting": 100}).enable(["table", "strikethrough"])
_COMMENT = re.compile(r"<!--(?:-?>|.*?(?:-->|\Z))", re.DOTALL)
_BLOCK = re.compile(r" ?(</?(?:p|li|ul|ol|blockquote|h\d|td|th|table|tr|thead|tbody|br|hr)\b[^>]*>) ?")


def _html(text):
    tokens = _OUTSIDE.parse(text)
    for token in [*tokens, *(child for parent in tokens for child in parent.children or ())]:
        if token.type in ("html_block", "html_inline"):
            token.content = _COMMENT.sub("", token.content)
    parts = re.split(r"(<pre>.*?</pre>)", _OUTSIDE.renderer.render(tokens, _OUTSIDE.options, {}), flags=re.DOTALL)
    for index in range(0, len(parts), 2):
        parts[index] = _BLOCK.sub(r"\1", re.sub(r"\s+", " ", parts[index])).strip()
    return re.sub(r"\s*</code></pre>", "</code></pre>", "".join(parts))


def _clean(text, **options):
    return canonicalize(text, media_type="text/markdown", **options)


def _counts(found):
    counts = Counter()
    for finding in found.findings:
        counts[finding.code] += finding.count
    return counts


@LAWS
@given(_texts, st.booleans())
def test_laws(text, is_file):
    try:
        found = _clean(text, is_file=is_file)
    except CanonicalizationError as error:
        assert all(finding.code in ("LIMIT_DEPTH", "LIMIT_SIZE", "ENC_INVALID") for finding in error.findings)
        return
    assert apply_edits(text.encode(), found.findings) == found.bytes
    again = _clean(found.bytes, is_file=is_file)
    assert again.bytes == found.bytes
    assert not [finding for finding in again.findings if finding.act in ("drop", "replace")]
    reported = _clean(text, is_file=is_file, profile="report")
    assert reported.bytes == text.encode()
    # Neighbours that are dropped and replaced are one finding where both are only reported.
    assert _counts(reported) == _counts(found)


@LAWS
@given(_drawn)
def test_what_is_drawn_stays(text):
    assert _html(_clean(text).bytes.decode()) == _html(text)


@LAWS
@given(_drawn, st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["<!-- x -->", "\u200b", "\U000e0041", "<!-- other -->"])), max_size=5))
def test_what_hides_in_a_line_leaves_no_trace_between_words(text, hidden):
    words = [word for word in re.findall("[a-z]+", text)] or ["a"]
    cover = "Some " + " ".join(words) + " end."
    out = cover
    for index, what in sorted({5 + place % (len(cover) - 9): what for place, what in hidden}.items(), reverse=True):
        out = out[:index] + what + out[index:]
    assert _clean(out).bytes.decode() == cover
