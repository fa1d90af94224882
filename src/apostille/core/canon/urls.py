"""URLs: read as browsers read them, written in one form.

    HTTP://User@EXAMPLE.com:80/a/./b/../%7ec?q -> http://User@example.com/a/~c?q

The form: scheme and host in lower case, no default port, dot segments resolved, unreserved characters not escaped and all others
that are no ASCII escaped, hex digits in upper case. A host of other letters stays only if every label is of one script and not
all of its letters look like Latin ones; else it is written as punycode: U+0430 ``pple.com`` shows as ``xn--pple-43d.com``.

Own code, because a few hundred characters of pure text are no reason for a compiled dependency whose tables change (ADR 0016). It
reads at least what browsers read as a URL with a host; it does not map capital letters outside ASCII, and such hosts are
written as punycode.

Spec: WHATWG URL (host, path and query states); RFC 3986 section 6.2.2; RFC 3492; canonical.md section 9.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from apostille.core.canon import properties

MAX_URL = 65_536

# What a WHATWG parser knows: only for these do backslashes count as slashes.
_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_NO_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_LOUD = frozenset(b' "<>`{}|\\^')
_NO_HOST = re.compile("[\0-\x20\x7f\ufffd#/:<>?@\\[\\]\\\\^|%]")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")
_URL_IN_TEXT = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\x00-\x20\x7f<>\"`\\^{}|]+")
# Lower-case letters that are drawn as Latin ones; a label of nothing else is no word of its script.
_LATIN_LOOKS = frozenset("асԁеһіјкӏорԛѕԝхуүορυνικγ\u0585\u057d\u0578\u0570\u0581\u0566")


@dataclass(frozen=True, slots=True)
class Url:
    """A URL with a host.

    Attributes:
        scheme: In lower case; empty if the URL begins with ``//``.
        userinfo: Without the ``@``.
        host: In its canonical form.
        port: Digits; empty for the default.
        path: Begins with a slash, or is empty.
        query: With its ``?``, or empty.
        fragment: With its ``#``, or empty.
        is_idn: The host holds letters outside ASCII, or the punycode of such.
    """

    scheme: str
    userinfo: str
    host: str
    port: str
    path: str
    query: str
    fragment: str
    is_idn: bool

    def __str__(self) -> str:
        """Give the canonical form."""
        scheme = f"{self.scheme}:" if self.scheme else ""
        user = f"{self.userinfo}@" if self.userinfo else ""
        port = f":{self.port}" if self.port else ""
        return f"{scheme}//{user}{self.host}{port}{self.path}{self.query}{self.fragment}"


def parse_url(text: str) -> Url | None:
    """Read one URL.

    Args:
        text: As it stands in an attribute or a Markdown destination, escapes and entities decoded.

    Returns:
        The URL, or nothing where no host is named: a relative reference, or a scheme without one (``mailto:``).
    """
    text = re.sub("[\t\n\r]", "", text[:MAX_URL]).strip("".join(map(chr, range(0x21))))
    match = _SCHEME.match(text)
    scheme = match.group(1).lower() if match else ""
    rest = text[match.end() :] if match else text
    slashes = len(rest) - len(rest.lstrip("/\\"))
    is_special = not scheme or scheme in _PORTS
    if (scheme in _PORTS) or (not scheme and slashes >= 2):
        rest = rest[slashes:]
    elif scheme and rest.startswith("//"):
        rest = rest[2:]
    else:
        return None
    rest, hash_mark, fragment = rest.partition("#")
    rest, mark, query = rest.partition("?")
    if is_special:
        rest = rest.replace("\\", "/")
    authority, _, path = rest.partition("/")
    slash = "/" if len(authority) < len(rest) else ""
    userinfo, _, host_port = authority.rpartition("@")
    host, port = _split_port(host_port)
    host, is_idn = _host(host)
    if not host:
        return None
    return Url(
        scheme,
        userinfo=_percent(userinfo),
        host=host,
        port="" if port == _PORTS.get(scheme) else port,
        path=_resolve(_percent(slash + path)),
        query=mark + _percent(query),
        fragment=hash_mark + _percent(fragment),
        is_idn=is_idn,
    )


def find_urls(text: str) -> list[tuple[int, int]]:
    """Give the places of URLs in plain text, without the punctuation that ends a sentence."""
    if "://" not in text:
        return []
    found = []
    for match in _URL_IN_TEXT.finditer(text):
        url = match.group().rstrip(".,;:!?'*_~")
        while url.endswith((")", "]")) and url.count(url[-1]) > url.count("(" if url[-1] == ")" else "["):
            url = url[:-1].rstrip(".,;:!?'*_~")
        found.append((match.start(), match.start() + len(url)))
    return found


def remarks_on(text: str, url: Url) -> list[str]:
    """Give the codes of what is to be said about a URL in a text."""
    codes = ["URL_FORM"] if str(url) != text else []
    if url.is_idn:
        codes.append("URL_IDN")
    if url.userinfo:
        codes.append("URL_USERINFO")
    return codes


def _split_port(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"(.*):([0-9]*)", text, re.DOTALL)
    if match is None:
        return text, ""
    return match.group(1), match.group(2).lstrip("0") or ("0" if match.group(2) else "")


def _percent(text: str) -> str:
    """Write a part with one spelling of every escape."""

    def one(match: re.Match[bytes]) -> bytes:
        byte = int(match.group(1), 16)
        return bytes([byte]) if byte in _UNRESERVED else b"%%%02X" % byte

    data = b"".join(
        b"%%%02X" % byte if byte > 0x7E or byte < 0x21 or byte in _LOUD else bytes([byte])
        for byte in text.encode("utf-8", "surrogatepass")
    )
    return _ESCAPE.sub(one, _NO_ESCAPE.sub(b"%25", data)).decode("ascii")


def _resolve(path: str) -> str:
    """Take out dot segments (RFC 3986 section 5.2.4)."""
    if "/." not in path:
        return path
    out: list[str] = []
    segments = path.split("/")
    for number, segment in enumerate(segments):
        if segment not in (".", ".."):
            out.append(segment)
            continue
        if segment == ".." and len(out) > 1:
            out.pop()
        if number == len(segments) - 1:
            out.append("")
    return "/".join(out)


def _host(given: str) -> tuple[str, bool]:
    data = _ESCAPE.sub(lambda match: bytes([int(match.group(1), 16)]), given.encode("utf-8", "surrogatepass"))
    text = _lower(data.decode("utf-8", "replace"))
    if re.fullmatch(r"\[[0-9a-f:.]+\]", text):
        return text, False
    if _NO_HOST.search(text):
        return _percent(_lower(_percent(given))).replace(":", "%3A"), False  # what browsers refuse
    labels = _DOTS.split(text)
    while len(labels) > 1 and not labels[-1]:
        labels.pop()  # the root's dot changes nothing
    if all(re.fullmatch("0x[0-9a-f]*|[0-9]+", label) for label in labels):
        return _address(labels), False
    is_idn = any(label.startswith("xn--") or not label.isascii() for label in labels)
    return ".".join(label if label.isascii() or _is_plain_word(label) else _punycode(label) for label in labels), is_idn


def _lower(text: str) -> str:
    return "".join(chr(ord(char) + 0x20) if "A" <= char <= "Z" else char for char in text)


def _address(labels: list[str]) -> str:
    """Write an IPv4 address in any of its spellings as four decimal numbers; what is none stays."""
    if len(labels) > 4 or any(len(label) > 16 for label in labels):
        return ".".join(labels)
    try:
        numbers = [_number(label) for label in labels]
    except ValueError:
        return ".".join(labels)
    *leading, last = numbers
    if any(number > 0xFF for number in leading) or last >= 1 << (8 * (5 - len(numbers))):
        return ".".join(labels)
    value = last + sum(number << (8 * (3 - place)) for place, number in enumerate(leading))
    return ".".join(str(byte) for byte in value.to_bytes(4, "big"))


def _number(label: str) -> int:
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    return int(label, 8 if len(label) > 1 and label[0] == "0" else 10)


def _is_plain_word(label: str) -> bool:
    """Tell that a label shows what it is: letters of one script, in lower case where we can tell, and not all of them twins."""
    scripts: set[str] = set()
    for char in label:
        point = ord(char)
        if point in properties.IGNORABLE or point in properties.WHITE_SPACE:
            return False
        if properties.is_letter(point):
            scripts.add(properties.script(point))
        elif not (char.isascii() or properties.script(point) == properties.INHERITED):
            return False
    scripts -= {properties.COMMON, properties.INHERITED}
    if scripts & {"Hiragana", "Katakana"}:
        scripts -= {"Hiragana", "Katakana"} | ({"Han"} if "Han" in scripts else set())
        return not scripts
    return len(scripts) <= 1 and not all(char in _LATIN_LOOKS for char in label if not char.isascii())


def _punycode(label: str) -> str:
    try:
        return "xn--" + label.encode("punycode").decode("ascii")
    except UnicodeError:
        return label
