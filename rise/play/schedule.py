"""Which problems are under way at once: as many as the policy takes, or fixed groups that are played whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from rise.play.budget import Budget
from rise.play.keys import group_key
from rise.play.ledger import Ledger
from rise.policy import Policy

GROUP: ContextVar[int] = ContextVar("GROUP", default=0)
"""The fixed group of problems that the running task belongs to: where batches are fixed, replies are batched within it."""
REDRAW: ContextVar[bool] = ContextVar("REDRAW", default=False)
"""Whether that group was interrupted before: then all its replies are drawn again, also those that the ledger holds."""


class Named(Protocol):
    """What can be played: a problem, or one of several trajectories of a problem."""

    @property
    def id(self) -> str: ...


@dataclass(slots=True)
class Schedule:
    """`play_one(index)` for each of `items`, in one of two orders."""

    policy: Policy
    ledger: Ledger
    purpose: str
    items: Sequence[Named]
    play_one: Callable[[int], Awaitable[None]]
    budget: Budget | None = None
    name: str = ""
    """What the player files replies under; the policy's own name where empty."""
    n_done: int = 0

    async def free(self) -> None:
        """At most `policy.max_in_flight` at once; the next begins when one ends.

        Raises `BudgetError` where the budget is spent first. What is under way then is finished: its replies are paid for.
        """
        waiting = iter(range(len(self.items)))
        n_workers = min(self.policy.max_in_flight, len(self.items))
        for _ in range(n_workers):  # all at once, or the first to ask would be served alone
            self.policy.enter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(n_workers):
                tasks.create_task(self._worker(waiting))
        if self.n_done < len(self.items):
            self._check_budget()

    async def in_groups(self) -> None:
        """Groups of `policy.max_in_flight` in order, `policy.lanes` of them at once, so that batches hold the same rows always.

        A group that was interrupted has no marker in the ledger, and is played again whole.
        """
        starts = iter(range(0, len(self.items), self.policy.max_in_flight))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self.policy.lanes):
                tasks.create_task(self._lane(starts))

    async def _worker(self, waiting: Iterator[int]) -> None:
        try:
            for index in waiting:
                if self.budget and self.budget.exhausted:
                    break
                await self._one(index)
        finally:
            self.policy.leave()

    async def _lane(self, starts: Iterator[int]) -> None:
        for start in starts:
            self._check_budget()
            await self._group(start)

    async def _group(self, start: int) -> None:
        group = range(start, min(start + self.policy.max_in_flight, len(self.items)))
        names = [self.items[i].id for i in group]
        former = group_key(self.policy.name, self.purpose, names)  # version 0.1.0 filed by the weights alone
        marker = former if former in self.ledger else group_key(self.name or self.policy.name, self.purpose, names)
        GROUP.set(start)
        REDRAW.set(marker not in self.ledger)
        for _ in group:
            self.policy.enter()
        async with asyncio.TaskGroup() as tasks:  # tasks see the context of the moment they are made in
            for index in group:
                tasks.create_task(self._once(index))
        self.ledger.append([(marker, {"purpose": self.purpose, "group": start})])

    async def _once(self, index: int) -> None:
        try:
            await self._one(index)
        finally:
            self.policy.leave()

    async def _one(self, index: int) -> None:
        await self.play_one(index)
        self.n_done += 1

    def _check_budget(self) -> None:
        if self.budget and self.budget.exhausted:
            raise self.budget.stop(self.n_done, len(self.items))
