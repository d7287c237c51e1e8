"""Requests to one or more HTTP servers that do what real servers do: refuse, hang, break off, answer nonsense.

A request goes to its problem's own server, whose prefix cache knows the turns before; where that one is full or resting,
to the next. It is sent again a bounded number of times, and every reason is counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rise.errors import Busy, PolicyError
from rise.policies.http_client import Answer, Place, Route
from rise.policies.http_key import Key
from rise.policies.http_replies import read_json
from rise.policies.http_troubles import LONGEST_REST_S, Garbled, Refused, Trouble, asked_rest, passes, way_out
from rise.policies.rate_limit import Pace, Sent
from rise.recipe.endpoints import Address

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long to try again."""

    attempts: int = 8
    first_wait_s: float = 0.5
    """Doubled after every attempt; what is waited is drawn between half of it and all of it."""
    longest_wait_s: float = 30.0
    timeout_s: float = 120.0
    """For one request from sending to the last byte."""
    longest_rest_s: float = LONGEST_REST_S
    """Where every server asks for a longer rest, whoever asked is told so at once."""


@dataclass(slots=True, eq=False)
class _Server:
    address: Address
    route: Route
    n_under_way: int = 0
    pace: Pace = field(default_factory=Pace)
    """A limit is of one server: accounts, and engines, count for themselves."""
    rests_until: float = 0.0
    """By `time.monotonic`: it asked for a pause, or did not answer."""
    spare: list[Place] = field(default_factory=list)
    """Places with nothing under way, the one used last at the end: its connection is the warmest."""

    @classmethod
    def at(cls, url: str, pace: Pace | None = None) -> _Server:
        """Raises `PolicyError` where no request can be sent there."""
        try:
            address = Address.read(url)
        except ValueError as error:
            raise PolicyError(str(error)) from None
        return cls(address, Route(address), pace=pace or Pace())

    @property
    def url(self) -> str:
        return str(self.address)


class Servers:
    """Base URLs that serve the same model. `n_each` requests at once to each, and each within limits like those of `pace`."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        key: Key | str | None = None,
        n_each: int = 32,
        patience: Patience | None = None,
        pace: Pace | None = None,
        mend: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.servers = [_Server.at(url, pace and pace.of_its_own()) for url in urls]
        self.n_each = n_each
        self.patience = patience or Patience()
        self.mend = mend
        """Called after trouble: it may start the server again."""
        self.n_requests = 0
        self.sent_again: Counter[str] = Counter()
        """Requests sent again, by reason."""
        self.n_spilled = 0
        """Requests that went to another server than their problem's own."""
        self.key = key if isinstance(key, Key) else Key(key or "")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        """Requests that found no place, in the order they came; a place that is freed wakes one."""

    @property
    def n_places(self) -> int:
        return self.n_each * len(self.servers)

    def facts(self) -> dict[str, Any]:
        """For the run's log."""
        facts: dict[str, Any] = {"n_requests": self.n_requests, "sent_again": dict(self.sent_again)}
        return facts | ({"n_spilled": self.n_spilled} if len(self.servers) > 1 else {})

    def move(self, url: str) -> None:
        """The only server there is has another address now."""
        [server] = self.servers
        moved = _Server.at(url)
        server.address, server.route, server.rests_until, server.spare = moved.address, moved.route, 0.0, []

    async def close(self) -> None:
        for server in self.servers:
            spare, server.spare = server.spare, []
            for place in spare:
                await place.close()

    async def post(
        self,
        path: str,
        write: Callable[[], dict[str, Any]],
        read: Callable[[Any], Read],
        *,
        problem: str = "",
        n_tokens: int = 0,
        used: Callable[[Read], int | None] = lambda answer: None,
        teaches: Callable[[Refused], bool] = lambda refusal: False,
    ) -> Read:
        """`read(JSON of the answer)`, which raises `Garbled` on what is none, to the JSON that `write` gives when it is sent.

        `n_tokens` is what the request may cost, `used` what it did. Raises `Refused` where trying again will not help, or where
        the refusal `teaches` to ask otherwise, whatever its status, and `PolicyError` after the last attempt.
        """
        self._in_this_loop()
        avoid: set[str] = set()
        trouble, server = Trouble("", "no attempt was made"), self.servers[0]
        for attempt in range(self.patience.attempts):
            server, sent = await self._admitted(problem, avoid, n_tokens)
            n_used: int | None = 0  # no tokens were generated that anybody counts
            try:
                done = await self._send(server, path, write(), read, teaches)
                n_used = used(done)
                return done
            except Trouble as error:
                trouble = error
            finally:
                self._release(server)
                server.pace.settle(sent, n_used)
            if attempt + 1 < self.patience.attempts:
                await self._rest(server, trouble, attempt, avoid)
        raise PolicyError(
            f"{server.address.at(path)} gave no reply in {self.patience.attempts} attempts; the last trouble was {trouble}. "
            "What is finished is on disk: run the same command again when the server is back."
        )

    async def _send(
        self,
        server: _Server,
        path: str,
        body: dict[str, Any],
        read: Callable[[Any], Read],
        teaches: Callable[[Refused], bool],
    ) -> Read:
        """What is read in the answer, once. Raises `Trouble` where trying again may help, `Refused` where not."""
        answer: Answer | None = None
        place = server.spare.pop() if server.spare else Place(server.route)
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            self.n_requests += 1
            answer = await place.post(path, headers | self.key.headers, _written(body), self.patience.timeout_s)
            if 200 <= answer.status < 300:
                return read(read_json(answer.body))
        except Garbled as error:
            said = f": {self.key.hidden(answer.text, 200)!r}" if answer is not None else ""
            raise Trouble(str(error), f"{error}{said}") from error
        except Trouble as error:
            raise Trouble(error.reason, self.key.hidden(str(error), 500), error.rest_s) from error
        except Refused as error:
            raise Refused(self.key.hidden(str(error)), error.status, error.body) from None
        finally:
            server.spare.append(place)
        shown, status = self.key.hidden(answer.text, 300), f"status {answer.status}"
        out = self.key.hidden(way_out(answer.status, answer.text, answer.headers))
        where = server.address.at(path)
        refused = Refused(f"{where} refuses the request with {status}: {shown!r}. {out}", answer.status, answer.text)
        if passes(answer.status, answer.text) and not teaches(refused):
            raise Trouble(status, f"{status}: {shown!r}", asked_rest(answer.headers, answer.text))
        raise refused

    async def _rest(self, where: _Server, trouble: Trouble, attempt: int, avoid: set[str]) -> None:
        """After trouble with a server: count it, mend what can be mended, and wait where every server has been asked."""
        self.sent_again[trouble.reason] += 1
        if self.mend is not None:
            await self.mend()
        longest = min(self.patience.longest_wait_s, self.patience.first_wait_s * 2**attempt)
        wait_s = longest * random.uniform(0.5, 1.0)
        if trouble.reason == "no connection" or trouble.rest_s:  # the next request is not sent there either
            where.rests_until = max(where.rests_until, time.monotonic() + max(trouble.rest_s, wait_s))
        self._check_rest()
        avoid.add(where.url)
        if len(avoid) == len(self.servers):
            avoid.clear()
            avoid.add(where.url)
            await asyncio.sleep(max(wait_s, trouble.rest_s))

    def _check_rest(self) -> None:
        """Raises `Busy` where every server has asked for a longer rest than is waited for."""
        rest_s = min(server.rests_until for server in self.servers) - time.monotonic()
        if rest_s > self.patience.longest_rest_s:
            raise Busy(f"{self.servers[0].url} asks to be spared for another {rest_s:.0f} s. Ask again then.", rest_s)

    async def _admitted(self, problem: str, avoid: set[str], n_tokens: int) -> tuple[_Server, Sent]:
        """A server with a place free, and its leave to send so much now."""
        while True:
            server = await self._free(problem, avoid)
            try:
                sent = await server.pace.take(n_tokens)
            except BaseException:
                self._release(server)
                raise
            if server.rests_until <= time.monotonic():
                return server, sent
            server.pace.give_back(sent)  # it asked for a rest meanwhile
            self._release(server)

    async def _free(self, problem: str, avoid: set[str]) -> _Server:
        """A server with a place free: the problem's own before the others; those to `avoid` and those at rest last."""
        ranked = self.servers
        if len(ranked) > 1:
            ranked = sorted(ranked, key=lambda server: hashlib.sha256(f"{problem}\x1f{server.url}".encode()).digest())
        in_front = False
        while True:
            now = time.monotonic()
            free = [server for server in ranked if server.n_under_way < self.n_each and server.rests_until <= now]
            if free:
                chosen = next((server for server in free if server.url not in avoid), free[0])
                chosen.n_under_way += 1
                self.n_spilled += chosen is not ranked[0]
                return chosen
            try:
                self._check_rest()
            except Busy:
                self._wake()  # whoever waits behind this one is to hear it too
                raise
            await self._wait([server.rests_until - now for server in ranked if server.rests_until > now], in_front)
            in_front = True

    async def _wait(self, resting: Sequence[float], in_front: bool) -> None:
        """Until a place is freed, or the first rest is over. Who was woken for nothing goes to the front."""
        woken = asyncio.get_running_loop().create_future()
        (self._waiting.appendleft if in_front else self._waiting.append)(woken)
        try:
            async with asyncio.timeout(min(resting, default=None)):
                await woken
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            if woken.done() and not woken.cancelled():
                self._wake()  # the place that this one was woken for is still free
            raise

    def _release(self, server: _Server) -> None:
        server.n_under_way -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return

    def _in_this_loop(self) -> None:
        """Connections belong to a loop, and each stage has its own."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._waiting = loop, deque()
            for server in self.servers:
                server.spare, server.n_under_way, server.pace = [], 0, server.pace.in_another_loop()


def _written(body: dict[str, Any]) -> bytes:
    """ASCII, so that no text that a state holds can be what this, or the server, cannot encode."""
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
