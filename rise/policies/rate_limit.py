"""Requests and tokens per minute: what a hosted model allows, kept to before it has to refuse."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace


@dataclass(slots=True, eq=False)
class Sent:
    """One request that was let through."""

    at_s: float
    n_tokens: int
    """A guess when it is sent, what the server counted once that is known."""


@dataclass(slots=True)
class Pace:
    """In no window of `window_s` more than `requests` requests and `tokens` tokens; None for no limit.

    Those who wait are let through in the order they came.
    """

    requests: int | None = None
    tokens: int | None = None
    window_s: float = 60.0
    _sent: deque[Sent] = field(default_factory=deque)
    _n_tokens: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def take(self, n_tokens: int) -> Sent:
        """Wait until a request of about so many tokens may go. One above the limit by itself goes when nothing else did."""
        if self.requests is None and self.tokens is None:
            return Sent(0.0, n_tokens)
        async with self._turn:
            loop = asyncio.get_running_loop()
            while True:
                while self._sent and self._sent[0].at_s <= loop.time() - self.window_s:
                    self._n_tokens -= self._sent.popleft().n_tokens
                if self._fits(n_tokens):
                    break
                await asyncio.sleep(max(0.0, self._sent[0].at_s + self.window_s - loop.time()))
            sent = Sent(loop.time(), n_tokens)
            self._sent.append(sent)
            self._n_tokens += n_tokens
            return sent

    def settle(self, sent: Sent, n_tokens: int | None) -> None:
        """The server has counted: what the guess was too high is free again."""
        if n_tokens is None or self.tokens is None:
            return
        if self._sent and sent.at_s >= self._sent[0].at_s:
            self._n_tokens += n_tokens - sent.n_tokens
        sent.n_tokens = n_tokens

    def give_back(self, sent: Sent) -> None:
        """It was let through and not sent after all."""
        if sent in self._sent:
            self._sent.remove(sent)
            self._n_tokens -= sent.n_tokens

    def of_its_own(self) -> Pace:
        """The same limits for another server, which has heard nothing yet."""
        return Pace(self.requests, self.tokens, self.window_s)

    def in_another_loop(self) -> Pace:
        """The same limits and what was sent, for the next event loop: a lock belongs to one."""
        return replace(self, _turn=asyncio.Lock())

    def _fits(self, n_tokens: int) -> bool:
        if not self._sent:
            return True
        within_requests = self.requests is None or len(self._sent) < self.requests
        return within_requests and (self.tokens is None or self._n_tokens + n_tokens <= self.tokens)
