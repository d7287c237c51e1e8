"""How many conversations are played at once, how many may wait, and what the rest is told."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Full(Exception):
    """No place is left, not even to wait in."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"all places are taken; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Gate:
    """`n_active` places to be played in, `n_waiting` to wait in. One event loop only."""

    def __init__(self, n_active: int, n_waiting: int) -> None:
        self.n_active, self.n_waiting = n_active, n_waiting
        self.active = self.waiting = 0
        self._places = asyncio.Semaphore(n_active)
        self._mean_s = 1.0
        """Of how long a place is held, the recent ones weighing most."""

    def admit(self, n: int = 1) -> Ticket:
        """Room for `n` conversations, or `Full`. Close the ticket whatever happens."""
        if self.active + self.waiting + n > self.n_active + self.n_waiting:
            raise Full(self.retry_after_s)
        self.waiting += n
        return Ticket(self, n)

    @property
    def retry_after_s(self) -> int:
        """About when a place to wait in falls free: 1 to 60."""
        return min(60, max(1, math.ceil(self._mean_s * (self.waiting + 1) / self.n_active)))

    def held(self, seconds: float) -> None:
        self._mean_s += 0.1 * (seconds - self._mean_s)


class Ticket:
    """Admission for some conversations, each of which takes a place once."""

    def __init__(self, gate: Gate, n: int) -> None:
        self.gate, self.n_waiting = gate, n

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place and hold it."""
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
        """Give back what was never taken."""
        self.gate.waiting -= self.n_waiting
        self.n_waiting = 0
