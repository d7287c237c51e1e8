"""One connection after another to one server: proxies and certificates settled at once, answers read up to a bound.

Each place of a server has a connection of its own. A shared pool asks every connection about every other at each request,
which at 256 of them cost 6 ms of a core a reply; this costs 0.5 ms whatever their number.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import ssl
import urllib.request
import zlib
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

import httpx

from rise.errors import PolicyError
from rise.policies.http_troubles import Garbled, Refused, Trouble
from rise.recipe.endpoints import Address, shown

LARGEST_ANSWER = 16 * 2**20
"""Bytes, unpacked. A reply of 100,000 tokens has about one million; the scores of as long a prompt ten."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")


class Route:
    """The way to one server. Raises `PolicyError` where a proxy or the certificates that the environment names will not do."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._proxy = proxy_for(address.base)
        self.connection()  # builds what it needs and connects to nothing

    def connection(self) -> httpx.AsyncHTTPTransport:
        variable, proxy = self._proxy or ("", None)
        secure = urlsplit(self.address.base).scheme == "https"
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        try:
            _ = urlsplit(proxy or "").port  # a port that is none is heard of here, and not at the first request
            return httpx.AsyncHTTPTransport(
                verify=trusted() if secure else _no_certificates(), trust_env=False, limits=limits, proxy=proxy
            )
        except ImportError as error:
            raise PolicyError(
                f"${variable} names a SOCKS proxy, which needs the package socksio: pip install 'httpx[socks]'. Or unset it, or "
                f"exempt {urlsplit(self.address.base).hostname} in $NO_PROXY."
            ) from error
        except (ValueError, httpx.InvalidURL) as error:
            raise PolicyError(
                f"${variable} names no proxy that can be used. Write http://host:port, https://host:port or socks5://host:port, "
                "or unset it."
            ) from error


def proxy_for(url: str) -> tuple[str, str] | None:
    """(variable, proxy) for a URL, as curl reads the environment; None: straight there, as always on this machine."""
    parts = urlsplit(url)
    if _is_here(parts.hostname or "") or urllib.request.proxy_bypass(parts.netloc):
        return None
    for name in (parts.scheme, "all"):
        for variable in (f"{name}_proxy", f"{name}_proxy".upper()):
            if found := os.environ.get(variable, "").strip():
                return variable, found if "://" in found else f"http://{found}"
    return None


def _is_here(host: str) -> bool:
    """
    >>> [_is_here(host) for host in ("localhost", "127.0.0.2", "::1", "example.org")]
    [True, True, True, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@cache
def trusted() -> ssl.SSLContext:
    """The certificates that are trusted: those of $SSL_CERT_FILE or $SSL_CERT_DIR, else those that come with certifi."""
    try:
        return httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        raise PolicyError(
            f"$SSL_CERT_FILE or $SSL_CERT_DIR names no certificates that can be read ({error}). Name a file of PEM certificates, "
            "or unset it."
        ) from error


@cache
def _no_certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context(verify=False, trust_env=False)


class Place:
    """One request at a time, over a connection that is kept."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._transport = route.connection()

    async def post(self, path: str, headers: dict[str, str], content: bytes, timeout_s: float) -> Answer:
        """The answer, whatever its status. Raises `Trouble`, `Garbled` for a body that cannot be read, `Refused`."""
        request = httpx.Request("POST", self._route.address.at(path), headers=headers, content=content)
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._transport.handle_async_request(request)
                try:
                    body = await _read(response)
                finally:
                    await response.aclose()
            return Answer(response.status_code, response.headers, body)
        except TimeoutError as error:
            raise Trouble("timed out", f"no answer within {timeout_s:g} s") from error
        except (httpx.TransportError, httpx.InvalidURL, httpx.StreamError) as error:
            raise self._trouble(error) from error

    async def close(self) -> None:
        await self._transport.aclose()

    def _trouble(self, error: Exception) -> Trouble | Refused:
        """A broken connection may be whole again; a certificate that is not trusted, or a request that we cannot send, is not."""
        said = f"{type(error).__name__} {error}".strip()
        url = shown(self._route.address.at(""))
        if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol | httpx.InvalidURL):
            return Refused(f"{url}: no request can be sent there ({said}). Trying again would not help.", 0, "")
        if "CERTIFICATE_VERIFY_FAILED" in said:
            way_out = "Name the file of the authority that signed it in $SSL_CERT_FILE."
            return Refused(f"{url}: its certificate is not trusted ({said}). {way_out}", 0, "")
        if "WRONG_VERSION_NUMBER" in said or "record layer failure" in said:
            return Refused(f"{url} does not speak TLS ({said}). Does the URL begin with http:// there?", 0, "")
        if isinstance(error, httpx.ProxyError):
            variable, _ = self._route._proxy or ("HTTPS_PROXY", None)
            if any(status in said for status in ("407", "403", "401")):
                return Refused(
                    f"{url}: the proxy in ${variable} refuses ({said}). Correct it, or exempt the host in $NO_PROXY.", 0, ""
                )
            return Trouble("no connection", f"the proxy in ${variable}: {said}")
        return Trouble("no connection" if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) else "broken off", said)


async def _read(response: httpx.Response) -> bytes:
    """The body, unpacked. Stops at `LARGEST_ANSWER`, packed or not, so that no server can fill the memory."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    unpack = _Unpacked(encoding) if encoding not in ("", "identity") else None
    parts: list[bytes] = []
    n = n_packed = 0
    async for chunk in response.stream:  # type: ignore[union-attr]
        part = chunk if unpack is None else unpack.add(chunk, LARGEST_ANSWER + 1 - n)
        parts.append(part)
        n, n_packed = n + len(part), n_packed + len(chunk)
        if max(n, n_packed) > LARGEST_ANSWER:
            raise Garbled("too large")
    if unpack is not None:
        unpack.end()
    return b"".join(parts)


_GZIP = b"\x1f\x8b"
"""How each member of a gzip stream begins."""


class _Unpacked:
    """gzip, in one member or several, or deflate, unpacked no further than is asked for."""

    def __init__(self, encoding: str) -> None:
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise Garbled("packed in an unknown way")
        self._zlib = zlib.decompressobj(wbits=47)  # gzip or zlib, whichever it begins with
        self._begun = False
        self._behind: bytes | None = b""
        """What stands behind a member and may begin another; None where it is something else, which nobody reads."""

    def add(self, chunk: bytes, most: int) -> bytes:
        out = b""
        while chunk and len(out) < most:
            if self._zlib.eof:
                if self._behind is None:
                    break
                chunk = self._behind + chunk
                self._behind = chunk if chunk == _GZIP[:1] else b"" if chunk.startswith(_GZIP) else None
                if self._behind != b"":
                    break
                self._zlib = zlib.decompressobj(wbits=31)
            out += self._more(chunk, most - len(out))
            chunk = self._zlib.unused_data
        return out

    def _more(self, chunk: bytes, most: int) -> bytes:
        try:
            try:
                out = self._zlib.decompress(chunk, max(1, most))
            except zlib.error:
                if self._begun:
                    raise
                self._zlib = zlib.decompressobj(wbits=-15)  # what some servers call deflate
                out = self._zlib.decompress(chunk, max(1, most))
        except zlib.error as error:
            raise Garbled("packed and broken") from error
        self._begun = True
        return out

    def end(self) -> None:
        if not self._zlib.eof:
            raise Garbled("packed and broken")
