"""Limits on connections, before anything that was sent is understood or anybody's key is looked at.

uvicorn's own protocol waits without end for the end of headers and for a reader who does not read, and keeps what it has read and
what it has to send meanwhile. Here every connection is looked at once a second, and one that costs too much is closed.
"""

from __future__ import annotations

import http
import logging
import time
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger("rise.serve.web")

GONE = "rise.gone"
"""In a request's `state` where its connection was lost before its end: sending on goes nowhere, and uvicorn does not say so."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of one server."""

    max_head_bytes: int = 64 << 10
    """Of one request: its line, its headers and, of a chunked body, what is not body."""
    head_limit_s: float = 20.0
    """Seconds for headers to arrive, from the connection or from the answer before."""
    linger_s: float = 5.0
    """Seconds for the rest of a request that has been answered already."""
    send_limit_s: float = 60.0
    """Seconds in which a client must read `min_read_bytes` of what waits for it, or the rest."""
    min_read_bytes: int = 16 << 10
    max_connections: int = 4096
    """Beyond that the one that has owed a request for longest is closed, or the new one where none does."""

    @property
    def look_every_s(self) -> float:
        return min(1.0, min(self.head_limit_s, self.linger_s, self.send_limit_s) / 3)


def protocol(limits: ConnectionLimits) -> type[HttpToolsProtocol]:
    """The class that uvicorn takes as `http`: one connection of a server with these limits."""
    return type("Limited", (Limited,), {"limits": limits, "max_connections": affordable(limits.max_connections)})


def affordable(n: int) -> int:
    """So many connections, or as many as this process may have open beside its own files.

    It asks for the descriptors first: many systems give 1,024 and allow many times that.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = -(-n * 4 // 3) + OWN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        best = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (best, hard))
        except (ValueError, OSError):
            best = soft
        soft = best
    return n if soft == resource.RLIM_INFINITY else max(8, min(n, (soft - OWN_FILES) * 3 // 4))


OWN_FILES = 64
"""Descriptors left for everything that is no client: files, pipes to workers; a quarter of the rest is for calls to an engine."""


class Limited(HttpToolsProtocol):
    """One connection."""

    limits = ConnectionLimits()
    max_connections = limits.max_connections

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._n_read = self._n_body = self._n_head = 0
        self._waits_since: float | None = time.monotonic()
        """When it began to owe us a request's headers; None while one is being answered."""
        self._answered: float | None = None
        """When a request was answered whose end had not arrived."""
        self._stuck: tuple[float, int] | None = None
        """(since when, how many bytes) an answer waits to be read."""
        if len(self.connections) > self.max_connections:
            self._make_room()
        _watch(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.scope["state"][GONE] = True
        super().connection_lost(exc)

    def _make_room(self) -> None:
        """Close the connection that has owed us a request for longest; this one where none does."""
        idle = [other for other in self.connections if isinstance(other, Limited) and other._waits_since is not None]
        others = [other for other in idle if other is not self]
        if not others:
            return self._refuse(503, "server has no room for another connection")
        oldest = min(others, key=lambda other: other._waits_since or 0.0)
        oldest.transport.abort()
        self.connections.discard(oldest)  # its own `connection_lost` comes only in the next turn of the loop

    def data_received(self, data: bytes) -> None:
        self._n_read += len(data)
        super().data_received(data)
        if self.parser is not None and not self.transport.is_closing() and self._is_too_much():
            self._refuse(431, "headers of the request are too large")

    def _is_too_much(self) -> bool:
        # A chunk of one byte takes six on the way, so what frames a body may grow with it.
        return self._n_read - self._n_body > self.limits.max_head_bytes + 8 * self._n_body

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._n_read = min(self._n_read, self.limits.max_head_bytes)
        self._n_body = self._n_head = 0
        if self._waits_since is None and (self.cycle is None or self.cycle.response_complete):
            self._waits_since = time.monotonic()

    def on_url(self, url: bytes) -> None:
        self._n_head += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._n_head += len(name) + len(value) + 4
        if self._n_head <= self.limits.max_head_bytes:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._n_head > self.limits.max_head_bytes:
            return self._refuse(431, "headers of the request are too large")
        self._waits_since = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._n_body += len(body)
        if self.cycle is not None:  # none where the headers were refused
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._n_read = self._n_body = 0
        if self.cycle is not None:
            super().on_message_complete()
        if self._answered is not None:
            self._answered, self._waits_since = None, time.monotonic()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # no further one is waiting behind it
            now = time.monotonic()
            self._answered, self._waits_since = (now, None) if self.cycle.more_body else (None, now)

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            return  # somebody who reads slowly is no idle connection; `look` has an eye on it
        super().timeout_keep_alive_handler()

    def look(self, now: float) -> None:
        """Once a second: close it where its time is up."""
        limits = self.limits
        waiting = self.transport.get_write_buffer_size()
        if waiting:
            since, before = self._stuck or (now, -limits.min_read_bytes)
            if abs(waiting - before) >= limits.min_read_bytes:  # also where more came, for which some had to be read
                self._stuck = (now, waiting)
            elif now - since > limits.send_limit_s:
                log.info("a client that does not read is closed with %d bytes unread", waiting)
                self.transport.abort()
            return
        self._stuck = None
        if self._answered is not None and now - self._answered > limits.linger_s:
            self.transport.abort()
        elif self._waits_since is not None and now - self._waits_since > limits.head_limit_s:
            if self._n_read:
                self._refuse(408, "headers of the request did not arrive in time")
            elif self.cycle is None:  # else uvicorn's own limit for idle connections holds
                self.transport.close()

    def _refuse(self, status: int, why: str) -> None:
        body = f"The {why}.\n".encode()
        head = b"HTTP/1.1 %d %s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        if not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(head % (status, http.HTTPStatus(status).phrase.encode(), len(body)) + body)
            self.transport.close()


def _watch(connection: Limited) -> None:
    """See to it that the connections of its server are looked at, for as long as there are any."""
    state: Any = connection.server_state
    if getattr(state, "is_watched", False):
        return
    state.is_watched = True

    def look() -> None:
        now = time.monotonic()
        for one in list(state.connections):
            if isinstance(one, Limited):
                one.look(now)
        state.is_watched = bool(state.connections)
        if state.is_watched:
            connection.loop.call_later(connection.limits.look_every_s, look)

    connection.loop.call_later(connection.limits.look_every_s, look)
