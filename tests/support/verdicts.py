"""A judge of mathematics, and how tests ask it."""

from rise.judges.math import MathJudge
from rise.task import Problem
from rise.trajectory import Verdict

RIGHT, WRONG, UNPARSABLE, TIMED_OUT = Verdict.RIGHT, Verdict.WRONG, Verdict.UNPARSABLE, Verdict.TIMED_OUT
JUDGE = MathJudge()


def verdict(gold, reply, judge=JUDGE):
    return judge.judge(Problem("?", gold), reply).verdict


def box(answer):
    return f"Step 1 … so \\boxed{{{answer}}}."
