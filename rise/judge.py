"""A judge decides whether a reply is right. Kinds live in `judges/`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rise.task import Problem
from rise.trajectory import Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge found in one reply."""

    verdict: Verdict
    answer: str | None
    """The final answer as written in the reply; None where nothing is marked as one."""


class Judge(Protocol):
    """Decides; never raises on what a model wrote, never hangs, never executes it.

    Some also have `async aside(problem, reply)`: the same verdict from elsewhere, while other problems go on.
    """

    def judge(self, problem: Problem, reply: str) -> Judgement:
        """Verdict on one reply. Safe to call from any thread."""
        ...

    def same(self, left: str, right: str) -> bool:
        """Whether two answers are equal, without seeing gold: how votes are grouped."""
        ...


def answer_of(judge: Judge, question: str, reply: str) -> str | None:
    """The final answer in a reply to a question whose right answer nobody knows; None where the reply holds none.

    Asked of the judge's own `answer(reply)` if it has one, else of `judge.judge`, with a problem whose gold is empty.
    """
    read = getattr(judge, "answer", None)
    return read(reply) if read is not None else judge.judge(Problem("", question, ""), reply).answer
