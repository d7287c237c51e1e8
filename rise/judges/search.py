"""The judge of search tasks: the candidate must hit, and the work shown must be the work there is."""

from __future__ import annotations

from typing import Protocol

from rise.judge import Judge, Judgement
from rise.task import Problem
from rise.trajectory import Verdict


class Search(Protocol):
    """What the judge must know of a task."""

    def worked(self, question: str, candidate: str) -> str | None:
        """The honest attempt with that candidate; None where it is none of the question's."""
        ...

    def hits(self, question: str, candidate: str) -> bool: ...

    def candidate_of(self, reply: str) -> str | None:
        """What a reply tries; None where it does not say."""
        ...

    def check_of(self, reply: str) -> bool | None:
        """Whether a reply says that it hits; None where it says neither."""
        ...


class SearchJudge(Judge):
    """Reads which candidate a reply tries, works that out itself, and compares. Nothing in a reply is believed or run.

    A reply that says it hits where it does not is wrong, and so is a candidate that hits with false work beside it: what is
    rewarded is an attempt whose last line can be trusted.
    """

    def __init__(self, task: Search) -> None:
        self.task = task

    def judge(self, problem: Problem, reply: str) -> Judgement:
        candidate, own_check = self.answer(reply), self.task.check_of(reply)
        if candidate is None:
            return Judgement(Verdict.UNPARSABLE, None, own_check=own_check)
        worked = self.task.worked(problem.question, candidate)
        right = worked is not None and worked == reply.strip() and self.task.hits(problem.question, candidate)
        return Judgement(Verdict.RIGHT if right else Verdict.WRONG, candidate, own_check=own_check)

    def answer(self, reply: str, question: str = "") -> str | None:
        """The candidate that a reply tries."""
        return self.task.candidate_of(reply)

    def same(self, left: str, right: str) -> bool:
        return left == right
