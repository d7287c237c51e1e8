"""Feedback of experiments that knows the truth and ends no run: `feedback = "rise.method.claims.wordings:yes_or_no"`."""

from __future__ import annotations

from rise.task import Problem
from rise.trajectory import Trajectory, Verdict


def yes_or_no(problem: Problem, trajectory: Trajectory, verdict: Verdict | None) -> str:
    """Whether the attempt was right, and the question again, in letters that a nano base has.

    >>> yes_or_no(Problem("43015?", "7"), None, Verdict.WRONG)
    'no 43015?'
    """
    return f"{'yes' if verdict is Verdict.RIGHT else 'no'} {problem.question}"
