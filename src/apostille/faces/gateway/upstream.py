"""The upstream: one request in, the whole body out, bounded, with nothing of it passed on by itself.

The session is set as the design asks: no decompression (we ask for ``identity`` and refuse anything else), no cookies, no
connection limit, no redirects. Only a failure to connect is tried again, once: after that the upstream may have done the work.
Headers pass by an allow-list in both directions, since they are a channel too.

Spec: ``gateway.md`` sections 2, 3, 5.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import aiohttp
from yarl import URL

from apostille.faces.gateway.wire import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 120.0
_UP = frozenset({"accept", "openai-beta", "user-agent"})
# Whose account, and which earlier request: a client's to say where the upstream's key is its own, the operator's where it is his.
_OWNERS_UP = frozenset({"idempotency-key", "openai-organization", "openai-project"})
_KEYS_UP = frozenset({"authorization", "api-key", "x-api-key"})
_DOWN = re.compile(r"x-request-id|x-ratelimit-(?:limit|remaining|reset)-(?:requests|tokens)")
_VALUE_DOWN = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_RETRY_AFTER = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """Where answers come from.

    Attributes:
        base_url: URL that ``/chat/completions`` is appended to, for example ``https://api.openai.com/v1``.
        api_key: Key to send as ``Authorization: Bearer``.
        passes_client_key: Whether, without an ``api_key``, the client's own key headers go to the upstream.
        provider: Name for the attributes, where the operator gives one.
        connect_seconds: Longest wait for a connection.
        idle_seconds: Longest wait between two pieces of an answer.
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    passes_client_key: bool = True
    provider: str | None = None
    connect_seconds: float = CONNECT_SECONDS
    idle_seconds: float = IDLE_SECONDS

    def __post_init__(self) -> None:
        url = URL(self.base_url, encoded=True)
        if url.scheme not in {"http", "https"} or not url.host or url.query_string or url.fragment:
            raise ValueError(f"not a base URL: {self.base_url[:64]!r}")


@dataclass(slots=True)
class Received:
    """What came from an upstream so far; filled while it is read, so that an abort finds the bytes.

    Attributes:
        called: Whether the request may have reached the upstream.
        status: HTTP status, 0 before the status line.
        media_type: Media type without parameters, lower case.
        charset: The ``charset`` parameter, lower case.
        headers: Headers that may be passed on.
        retry_after: ``Retry-After`` in seconds, where given.
        body: The body's bytes, at most one above the limit.
        truncated: Whether the body went past the limit; the rest was not read.
    """

    called: bool = False
    status: int = 0
    media_type: str = ""
    charset: str = "utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: int | None = None
    body: bytearray = field(default_factory=bytearray)
    truncated: bool = False


class Upstream:
    """The client of one upstream. Use it as an async context manager.

    Args:
        settings: Where it is.
        response_bytes: Largest body that is read.
    """

    def __init__(self, settings: UpstreamSettings, *, response_bytes: int) -> None:
        self.settings = settings
        self._limit = response_bytes
        self._base = settings.base_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self.settings.connect_seconds, sock_read=self.settings.idle_seconds
        )
        self._session = aiohttp.ClientSession(
            auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar(), connector=aiohttp.TCPConnector(limit=0), timeout=timeout
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def headers(self, client: Mapping[str, str]) -> dict[str, str]:
        """Return the headers of the upstream request, from those of the client's (lower-case names)."""
        passes_key = self.settings.api_key is None and self.settings.passes_client_key
        allowed = _UP | (_OWNERS_UP if self.settings.passes_client_key else set()) | (_KEYS_UP if passes_key else set())
        found = {name: value for name, value in client.items() if name in allowed}
        found["content-type"] = "application/json"
        found["accept-encoding"] = "identity"
        if self.settings.api_key is not None:
            found["authorization"] = f"Bearer {self.settings.api_key}"
        return found

    async def post(
        self, raw_path: str, query: str, body: bytes, headers: Mapping[str, str], received: Received
    ) -> Refusal | None:
        """Send a request and read the whole answer into ``received``.

        Args:
            raw_path: Path below the base URL, percent-encoded, starting with a slash.
            query: Query string as the client wrote it.
            body: The client's body, unchanged.
            headers: Headers made by ``headers``.
            received: Filled on the way.

        Returns:
            Why there is no whole answer, or nothing.
        """
        if self._session is None:
            raise RuntimeError("the upstream is not open")
        url = URL(self._base + raw_path + (f"?{query}" if query else ""), encoded=True)
        for attempt in (1, 2):
            try:
                async with self._session.post(url, data=io.BytesIO(body), headers=headers, allow_redirects=False) as response:
                    received.called = True
                    return await self._read(response, received)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                # The request was not sent, so it may be sent again.
                if attempt == 1:
                    continue
                if isinstance(error, aiohttp.ConnectionTimeoutError):
                    return Refusal(504, "upstream_timeout", "the upstream took no connection in time", retry_after_seconds=1)
                return Refusal(502, "upstream_unreachable", "the upstream can't be reached", retry_after_seconds=1)
            except TimeoutError:
                received.called = True
                return Refusal(504, "upstream_timeout", "the upstream fell silent before its answer was whole", called=True)
            except (aiohttp.ClientError, OSError, ValueError):
                received.called = True
                return Refusal(502, "upstream_error", "the upstream broke off before its answer was whole", called=True)
        raise AssertionError("both attempts return")

    async def _read(self, response: aiohttp.ClientResponse, received: Received) -> Refusal | None:
        received.status = response.status
        received.media_type = response.content_type.lower()
        received.charset = (response.charset or "utf-8").lower()
        received.headers, received.retry_after = _passed(response.headers.items())
        if response.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
            return Refusal(502, "malformed_upstream", "the upstream compressed its answer, unasked", called=True)
        async for piece in response.content.iter_any():
            received.body += piece
            if len(received.body) > self._limit:
                del received.body[self._limit :]
                received.truncated = True
                return Refusal(
                    502,
                    "response_too_large",
                    f"the upstream's answer is larger than {self._limit:,} bytes, the most that is held",
                    called=True,
                )
        return None


def _passed(headers: Iterable[tuple[str, str]]) -> tuple[dict[str, str], int | None]:
    passed: dict[str, str] = {}
    retry_after = None
    for name, value in headers:
        lower = name.lower()
        if _DOWN.fullmatch(lower) and _VALUE_DOWN.fullmatch(value):
            passed[lower] = value
        elif lower == "retry-after" and _RETRY_AFTER.fullmatch(value):
            retry_after = int(value)
    return passed, retry_after
