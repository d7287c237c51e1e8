"""Requests to one or more HTTP servers that do what real servers do: refuse, hang, break off, answer nonsense.

A request goes to its problem's own server, whose prefix cache knows the turns before; where that one is full or resting,
to the next. It is sent again a bounded number of times, and every reason is counted.
"""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from rise.errors import Busy, PolicyError
from rise.policies.rate_limit import Pace

Answer = TypeVar("Answer")

RETRIED = frozenset([408, 409, 425, 429, 500, 502, 503, 504])
"""Statuses that may pass by themselves."""
LONGEST_REST_S = 300.0
"""A server that asks for a longer rest than this gets this one."""


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


class Garbled(Exception):
    """A status of 200 and a body that is none of what was asked for. The text is the reason that is counted."""


class Refused(PolicyError):
    """A status that trying again will not change."""

    def __init__(self, message: str, status: int, body: str) -> None:
        super().__init__(message)
        self.status, self.body = status, body


@dataclass(slots=True)
class _Server:
    url: str
    n_under_way: int = 0
    rests_until: float = 0.0
    """By `time.monotonic`: it asked for a pause, or did not answer."""


class _Trouble(Exception):
    """A request came to nothing, and may come to something if sent again."""

    def __init__(self, reason: str, text: str, rest_s: float = 0.0) -> None:
        super().__init__(text)
        self.reason = reason
        """In a few words, for the counts."""
        self.rest_s = rest_s
        """How long the server asked to be spared."""


class Servers:
    """Base URLs that serve the same model. `n_each` requests at once to each."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        key: str | None = None,
        n_each: int = 32,
        patience: Patience | None = None,
        pace: Pace | None = None,
        mend: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.servers = [_Server(url.rstrip("/")) for url in urls]
        self.n_each = n_each
        self.patience = patience or Patience()
        self.pace = pace or Pace()
        self.mend = mend
        """Called after trouble: it may start the server again."""
        self.n_requests = 0
        self.sent_again: Counter[str] = Counter()
        """Requests sent again, by reason."""
        self.n_spilled = 0
        """Requests that went to another server than their problem's own."""
        self._key = key
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._freed = asyncio.Event()

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
        server.url, server.rests_until = url, 0.0

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def post(
        self,
        path: str,
        body: dict[str, Any],
        read: Callable[[Any], Answer],
        *,
        problem: str = "",
        n_tokens: int = 0,
        used: Callable[[Answer], int | None] = lambda answer: None,
    ) -> Answer:
        """`read(JSON of the answer)`, which raises `Garbled` on what is none.

        `n_tokens` is what the request may cost, `used` what it did. Raises `Refused` where trying again will not help
        and `PolicyError` after the last attempt.
        """
        client = self._connected()
        avoid: set[str] = set()
        trouble, where = _Trouble("", "no attempt was made"), self.servers[0]
        for attempt in range(self.patience.attempts):
            sent = await self.pace.take(n_tokens)
            where = await self._place(problem, avoid)
            try:
                done, n_used = await self._send(client, where.url + path, body, read, used)
                self.pace.settle(sent, n_used)
                return done
            except _Trouble as error:
                trouble = error
            finally:
                where.n_under_way -= 1
                self._freed.set()
            self.pace.settle(sent, 0)  # no tokens were generated that anybody counts
            if attempt + 1 < self.patience.attempts:
                await self._rest(where, trouble, attempt, avoid)
        raise PolicyError(
            f"{where.url}{path} gave no reply in {self.patience.attempts} attempts; the last trouble was {trouble}. What is "
            "finished is on disk: run the same command again when the server is back."
        )

    async def _send(
        self,
        client: httpx.AsyncClient,
        url: str,
        body: dict[str, Any],
        read: Callable[[Any], Answer],
        used: Callable[[Answer], int | None],
    ) -> tuple[Answer, int | None]:
        """(what is read in the answer, tokens used), once. Raises `_Trouble` where trying again may help, `Refused` where not."""
        text = ""
        try:
            self.n_requests += 1
            async with asyncio.timeout(self.patience.timeout_s):
                answer = await client.post(url, json=body)
            text = answer.text
            if answer.status_code == 200:
                done = read(_json(answer))
                return done, used(done)
        except Garbled as error:
            raise _Trouble(str(error), f"{error}: {self._shown(text[:200])!r}") from error
        except TimeoutError as error:
            raise _Trouble("timed out", f"no answer within {self.patience.timeout_s:g} s") from error
        except httpx.TransportError as error:
            reason = "no connection" if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) else "broken off"
            raise _Trouble(reason, self._shown(f"{type(error).__name__} {error}".strip())) from error
        shown, status = self._shown(text[:300]), f"status {answer.status_code}"
        if answer.status_code not in RETRIED:
            raise Refused(self._refusal(url, answer.status_code, shown), answer.status_code, self._shown(text))
        raise _Trouble(status, f"{status}: {shown!r}", _retry_after(answer))

    async def _rest(self, where: _Server, trouble: _Trouble, attempt: int, avoid: set[str]) -> None:
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

    async def _place(self, problem: str, avoid: set[str]) -> _Server:
        """A server with a place free: the problem's own before the others; those to `avoid` and those at rest last."""
        ranked = sorted(self.servers, key=lambda server: hashlib.sha256(f"{problem}\x1f{server.url}".encode()).digest())
        while True:
            now = time.monotonic()
            free = [server for server in ranked if server.n_under_way < self.n_each and server.rests_until <= now]
            if free:
                chosen = next((server for server in free if server.url not in avoid), free[0])
                chosen.n_under_way += 1
                self.n_spilled += chosen is not ranked[0]
                return chosen
            self._check_rest()
            resting = [server.rests_until - now for server in ranked if server.rests_until > now]
            self._freed.clear()
            try:
                async with asyncio.timeout(min(resting, default=None)):
                    await self._freed.wait()
            except TimeoutError:
                pass

    def _connected(self) -> httpx.AsyncClient:
        """The client of the running loop: each stage has its own loop."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            limits = httpx.Limits(max_connections=self.n_places, max_keepalive_connections=self.n_places)
            headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            self._client = httpx.AsyncClient(headers=headers, limits=limits, timeout=self.patience.timeout_s)
            self._loop, self._freed, self.pace = loop, asyncio.Event(), self.pace.in_another_loop()
        return self._client

    def _shown(self, text: str) -> str:
        """What may stand in a message: some servers say the key back."""
        return text.replace(self._key, "[key]") if self._key else text

    def _refusal(self, url: str, status: int, shown: str) -> str:
        if status in (401, 403):
            way_out = "Is the right key in the environment (http.key names the variable, by default $OPENAI_API_KEY)?"
        elif status == 404:
            way_out = "Is the model called so there, and does the URL end before /chat/completions (usually in /v1)?"
        else:
            way_out = "Trying again would not help; what is finished is on disk."
        return f"{url} refuses the request with status {status}: {shown!r}. {way_out}"


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Garbled("not JSON") from error


def _retry_after(answer: httpx.Response) -> float:
    """Seconds that the server wants to be left alone: a number, or a date."""
    text = answer.headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (TypeError, ValueError):
            return 0.0
    return min(max(seconds, 0.0), LONGEST_REST_S)
