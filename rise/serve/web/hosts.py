"""The names by which a server may be called.

A page of another origin reaches a server on loopback by letting its own name point there (DNS rebinding); the browser then takes
the answers for the page's own. What gives it away is the name it still says in `Host`.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from rise.errors import ConfigError

LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


@dataclass(frozen=True, slots=True)
class Hosts:
    """Names of one server."""

    names: frozenset[str]
    addresses: bool = False
    """Whether any numeric address will do: no page can have one that is not its own server's."""

    @classmethod
    def of(cls, host: str, more: Iterable[str] = ()) -> Hosts:
        """Those of a server that listens on `host`, and `more` that a proxy or a name server leads to it.

        Raises `ConfigError` for a name that is none.

        >>> hosts = Hosts.of("127.0.0.2", ["rise.example"])
        >>> [hosts.allow(h) for h in ("127.0.0.2:8400", "localhost", "rise.example", "evil.example", "10.0.0.1")]
        [True, True, True, False, False]
        """
        names = {_normal(host), *LOOPBACK}
        for name in more:
            read = name_in(name)
            if read is None or "/" in name:
                raise ConfigError(f"--allow-host {name}: write a name or an address alone, without http:// and without *.")
            names.add(read)
        every = is_every_address(host)
        if every:
            names.add(_normal(socket.gethostname()))
        return cls(frozenset(names), addresses=every)

    def allow(self, host: str) -> bool:
        """Whether the value of a `Host` header names this server."""
        name = name_in(host)
        return name is not None and (name in self.names or (self.addresses and _address(name) is not None))


def is_loopback(host: str) -> bool:
    """Whether nobody outside this machine can reach what listens there.

    >>> [is_loopback(h) for h in ("localhost", "127.0.0.2", "::1", "0.0.0.0", "::", "192.168.0.7", "rise.example", "")]
    [True, True, True, False, False, False, False, False]
    """
    address = _address(_normal(host))
    return _normal(host) == "localhost" if address is None else address.is_loopback


def is_every_address(host: str) -> bool:
    address = _address(_normal(host))
    return not host or (address is not None and address.is_unspecified)


def shown(host: str) -> str:
    """As it stands in an address.

    >>> shown("::1"), shown("127.0.0.1")
    ('[::1]', '127.0.0.1')
    """
    return f"[{host}]" if ":" in host else host


def name_in(host: str) -> str | None:
    """The name in a `Host` header, its port left out; None where it is no such header.

    >>> [name_in(h) for h in ("LocalHost:80", "[::1]:80", "::1", "a.example.", "a@localhost", "localhost:x", "a b", "")]
    ['localhost', '::1', '::1', 'a.example', None, None, None, None]
    """
    name, port = host.strip(), ""
    if name.startswith("["):
        name, closed, port = name[1:].partition("]")
        if not closed or _address(name) is None or (port and not port.startswith(":")):
            return None
        port = port[1:]
    elif name.count(":") == 1:
        name, _, port = name.partition(":")
    if port and not (port.isascii() and port.isdecimal()):
        return None
    name = _normal(name)
    if _address(name) is None and not (name and set(name) <= _LETTERS):
        return None
    return name


_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")


def _normal(name: str) -> str:
    name = name.strip().lower().removesuffix(".")
    address = _address(name)
    return name if address is None else str(address)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def host_of(scope: Scope) -> str | None:
    """The `Host` of a request; None where it has none or several."""
    found = [value for name, value in scope["headers"] if name == b"host"]
    return found[0].decode("latin-1") if len(found) == 1 else None


class OnlyOwnNames:
    """ASGI middleware: a request for another name hears 400, before anything of it is looked at."""

    def __init__(self, app: Any, hosts: Hosts, error: Callable[[str], dict[str, Any]]) -> None:
        """`error`: the JSON that says a message."""
        self.app, self.hosts, self.error = app, hosts, error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self.hosts.allow(host_of(scope) or ""):
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return
        body = json.dumps(self.error(refusal(scope))).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def refusal(scope: Scope) -> str:
    """What a request for another name is told."""
    given = host_of(scope)
    named = "This request names no host" if given is None else f"This server is not called {given[:100]!a}"
    return f"{named}. Where a proxy or a name of yours leads here, start it with --allow-host NAME."
