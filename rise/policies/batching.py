"""Requests that are answered together: what waits for a batch, and how its replies are handed out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field

from rise.policy import Reply, Request

Waiting = tuple[Request, asyncio.Future[list[Reply]]]
"""A request, and the future that its caller awaits."""


@dataclass(slots=True)
class Gathering:
    """A fixed group of problems: its requests are answered together, when every problem that is under way waits for one."""

    n_in_flight: int = 0
    """Problems under way."""
    waiting: list[Waiting] = field(default_factory=list)

    def wait(self, request: Request) -> asyncio.Future[list[Reply]]:
        """Add a request; the future holds its replies later."""
        future: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        self.waiting.append((request, future))
        return future

    def take(self) -> list[Waiting]:
        """All that wait, once every problem does; else none. Requests that were cancelled (full disk, Ctrl-C) are forgotten."""
        self.waiting = [(request, future) for request, future in self.waiting if not future.done()]
        if len(self.waiting) < self.n_in_flight:
            return []
        taken, self.waiting = self.waiting, []
        return taken


async def answer(batch: Sequence[Waiting], replies: Awaitable[Sequence[list[Reply]]]) -> None:
    """Resolve each future with its replies, or with the error that came instead. Cancelled futures are skipped."""
    try:
        found = await replies
    except BaseException as error:
        for _, future in batch:
            if not future.done():
                future.set_exception(error)
    else:
        for (_, future), result in zip(batch, found, strict=True):
            if not future.done():
                future.set_result(result)
