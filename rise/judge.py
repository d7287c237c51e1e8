"""A judge decides whether a reply is right. The kinds we have are in `judges/`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from rise.task import Problem
from rise.trajectory import Turn, Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge found in one reply."""

    verdict: Verdict
    answer: str | None
    """The final answer as written in the reply; None where nothing is marked as one."""
    score: float | None = None
    """Partial credit in [0, 1]; None: the verdict says it all."""
    message: str | None = None
    """What the judge found, in words, such as the first test that failed: feedback functions read it."""
    brief: str | None = None
    """The message in a few characters, for models that read letter by letter."""
    own_check: bool | None = None
    """What the reply says of its own answer, where replies check themselves (`… Is it 54? no`): whether it is right. None: it
    says nothing of that."""


class Judge(ABC):
    """Decides; never raises on what a model wrote, never hangs, never executes it."""

    elsewhere: bool = False
    """Whether `aside` has its verdicts from elsewhere (other processes, other machines), and is always to be used."""

    looks_back: bool = False
    """Whether a verdict depends on the replies before: then `after` decides, and `judge` takes a reply for the first."""

    @abstractmethod
    def judge(self, problem: Problem, reply: str) -> Judgement:
        """Verdict on one reply. Safe to call from any thread."""

    def after(self, problem: Problem, earlier: Sequence[Turn], reply: str) -> Judgement:
        """Verdict on a reply that follows `earlier` turns, judged ones."""
        return self.judge(problem, reply)

    @abstractmethod
    def same(self, left: str, right: str) -> bool:
        """Whether two answers are equal, without seeing gold: how votes are grouped."""

    def answer(self, reply: str, question: str = "") -> str | None:
        """The final answer in a reply to a question whose right answer is not known; None where the reply holds none.

        By default that of `judge`, for a problem whose gold is empty.
        """
        return self.judge(Problem(question, gold=""), reply).answer

    def check(self, problem: Problem) -> None:  # noqa: B027
        """Raise `DataError` where the gold of a problem cannot be read, whatever is replied. By default nothing is read."""

    async def aside(self, problem: Problem, reply: str) -> Judgement:
        """`judge`, while other problems go on: by default in a thread."""
        return await asyncio.to_thread(self.judge, problem, reply)
