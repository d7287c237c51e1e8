"""Limits on load: how many conversations run at once, how many may wait; the rest is refused with a time to retry."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Full(Exception):
    """Both limits are reached."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"all places are taken; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Gate:
    """`n_active` conversations run and `n_waiting` wait. For one event loop."""

    def __init__(self, n_active: int, n_waiting: int) -> None:
        self.n_active, self.n_waiting = n_active, n_waiting
        self.active = self.waiting = 0
        self._places = asyncio.Semaphore(n_active)
        self._mean_s = 1.0
        """Seconds that a place is held: a running mean that follows recent conversations."""

    def admit(self, n: int = 1) -> Ticket:
        """A ticket for `n` conversations, to be closed in any case. Raises `Full`."""
        if self.active + self.waiting + n > self.n_active + self.n_waiting:
            raise Full(self.retry_after_s)
        self.waiting += n
        return Ticket(self, n)

    @property
    def retry_after_s(self) -> int:
        """Estimated seconds until there is room: 1 to 60."""
        return min(60, max(1, math.ceil(self._mean_s * (self.waiting + 1) / self.n_active)))

    def held(self, seconds: float) -> None:
        self._mean_s += 0.1 * (seconds - self._mean_s)


class Ticket:
    """Admission of the conversations of one request; each takes a place once."""

    def __init__(self, gate: Gate, n: int) -> None:
        self.gate, self.n_waiting = gate, n

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place, and hold it inside the `with` block."""
        gate = self.gate
        async with gate._places:
            self.n_waiting -= 1
            gate.waiting -= 1
            gate.active += 1
            began = time.monotonic()
            try:
                yield
            finally:
                gate.active -= 1
                gate.held(time.monotonic() - began)

    def close(self) -> None:
        """Release the places that were never taken."""
        self.gate.waiting -= self.n_waiting
        self.n_waiting = 0
