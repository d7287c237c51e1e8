r"""The judge of mathematical answers: text, then exact numbers, then (seldom) algebra in a process that can be killed.

A verdict reads reply and gold (`answers.py`), takes both to one spelling (`spelling.py`), reads each as what it is
(`reading.py`) and compares them form by form (`equality.py`); votes do the same. Most are a string scan and a comparison of
fractions. Only where a formula is no rational number does a worker (`worker_pool.py`, `math_worker.py`) start, with no
environment, no network where the kernel allows, bounded memory and a deadline.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache

from rise.errors import ConfigError, DataError
from rise.judge import Judge, Judgement
from rise.judges.answers import Mode, extract
from rise.judges.equality import Doubt, NoAlgebra, same_form
from rise.judges.forms import MAX_CHARS, Leaf, Named, WorkedOut, too_big
from rise.judges.numbers import is_name, usual_number
from rise.judges.reading import form
from rise.judges.spelling import look, spelled
from rise.judges.worker_pool import Pool, close_workers, python
from rise.task import Problem
from rise.trajectory import Verdict

MEMORY_BYTES = 1 << 30

_HOLDS_NUMBER = re.compile(r"\d|[½⅓⅔¼¾⅕-⅞⅐-⅒∞π]|\\(?:pi|infty)(?![A-Za-z])")

__all__ = ["MathJudge", "close_workers", "too_big"]


class MathJudge(Judge):
    """Right where the final answer equals gold; unparsable where none is marked, or where gold is a number and it holds none.

    >>> judge = MathJudge()
    >>> judge.judge(Problem("Half of 2,400?", gold="so #### 1,200"), "It is 1200.0, hence \\\\boxed{$1,200}.").verdict
    <Verdict.RIGHT: 'right'>
    """

    def __init__(self, mode: Mode = "strict", *, symbolic: bool = True, time_limit_s: float = 4.5) -> None:
        """`symbolic = False` never starts a worker: formulas that are no rational numbers are then equal only if written alike.

        `time_limit_s` bounds one comparison, in seconds of a processor; with starting and killing the worker it stays below five.
        """
        if mode not in ("strict", "lenient"):
            raise ConfigError(f'judge mode = {mode!r}, but only "strict" and "lenient" exist.')
        if not time_limit_s > 0:
            raise ConfigError(f"time_limit_s = {time_limit_s}; it must be above 0.")
        self.mode: Mode = mode
        self.symbolic = symbolic
        self.time_limit_s = time_limit_s

    def check(self, problem: Problem) -> None:
        _read_gold(problem.gold)

    def judge(self, problem: Problem, reply: str) -> Judgement:
        gold, is_number = _read_gold(problem.gold)
        answer = extract(reply, self.mode)
        if answer is None:
            return Judgement(Verdict.UNPARSABLE, None)
        if is_number and len(answer) <= MAX_CHARS and not _HOLDS_NUMBER.search(answer):
            return Judgement(Verdict.UNPARSABLE, answer)
        verdict = self._compare(gold, answer)
        if verdict is Verdict.WRONG and (value := value_asked_for(problem.question, answer)):
            verdict = self._compare(gold, value)
        return Judgement(verdict, answer)

    def answer(self, reply: str, question: str = "") -> str | None:
        """The final answer as the reply marks it; None where it marks none."""
        return extract(reply, self.mode)

    def same(self, left: str, right: str) -> bool:
        """Whether two answers are equal: then one is right where the other is gold. A comparison that times out says no."""
        return self._compare(left, right) is Verdict.RIGHT

    def _compare(self, left: str, right: str) -> Verdict:
        if left == right:
            return Verdict.RIGHT
        a, b = usual_number(left), usual_number(right)
        if a is not None and b is not None:
            return Verdict.RIGHT if a == b else Verdict.WRONG
        try:
            return Verdict.RIGHT if same_form(form(left), form(right), NoAlgebra()) else Verdict.WRONG
        except Doubt:
            first, second = sorted((left, right))  # the order cannot matter
            return _verified(first, second, self.time_limit_s) if self.symbolic else Verdict.WRONG


_IN_DOLLARS = re.compile(r"\$\$?([^$]{1,200})\$|\\\((.{1,200}?)\\\)|\\\[(.{1,200}?)\\\]")


def value_asked_for(question: str, answer: str) -> str | None:
    r"""What stands behind `=` where the question has as a formula what stands before it; None where that is a name in any case.

    >>> value_asked_for("Find $m+n$.", "m + n = 12"), value_asked_for("Solve $2x=4$.", "2x=4"), value_asked_for("?", "x = 5")
    ('12', None, None)
    """
    left, _, value = answer.partition("=")
    if not value.strip() or len(answer) > MAX_CHARS or is_name(spelled(left)):
        return None
    wanted = look(spelled(left))
    formulas = [next(group for group in found.groups() if group) for found in _IN_DOLLARS.finditer(question)]
    if not wanted or not any(look(spelled(formula)) == wanted for formula in formulas):
        return None
    return value.strip()


@lru_cache(maxsize=65536)
def _read_gold(gold: str) -> tuple[str, bool]:
    r"""The answer in a gold text, and whether it is a number.

    Of a solution with `\boxed{…}` or `####` it is what these mark; else the text itself.
    """
    answer = extract(gold) if "\\boxed" in gold or "\\fbox" in gold or "####" in gold else gold.strip()
    if not answer:
        raise DataError(f"gold answer {gold[-80:]!r} marks no final answer. Give the bare answer, or close its \\boxed{{}}.")
    if usual_number(answer) is not None:
        return answer, True
    found = form(answer)
    while isinstance(found, Named | WorkedOut):
        found = found.what
    return answer, isinstance(found, Leaf) and found.number is not None


_pool = Pool(
    lambda: python("math_worker.py", str(MEMORY_BYTES)),
    name=f"the judge's worker ({sys.executable})",
    hint=f'See why with: {sys.executable} -I -c "import math_verify"; or reinstall with pip install math-verify.',
)


@lru_cache(maxsize=16384)
def _verified(left: str, right: str, limit_s: float) -> Verdict:
    said = _pool.ask([left, right, limit_s], limit_s)
    return Verdict.TIMED_OUT if said is None else Verdict(said)  # out of time or out of memory
