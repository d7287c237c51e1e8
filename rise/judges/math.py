r"""The judge of mathematical answers: text, then numbers, then (seldom) math-verify in a process that can be killed.

Most verdicts are a string scan and a comparison of fractions. Only where one side is no plain number does a worker
(`worker_pool.py`, `math_worker.py`) start, with no environment, no network where the kernel allows, bounded memory and a
deadline.
sympy is never imported here, and a bare number never needs it.
"""

from __future__ import annotations

import re
import sys
from fractions import Fraction
from functools import lru_cache

from rise.errors import ConfigError, DataError
from rise.judge import Judge, Judgement
from rise.judges.answers import Mode, extract
from rise.judges.numbers import read_number, same_number
from rise.judges.worker_pool import Pool, close_workers, python
from rise.task import Problem
from rise.trajectory import Verdict

MAX_CHARS = 1000
MAX_NESTING = 24
MAX_DIGITS = 200
"""Of one number. Longer ones, and the two bounds above, are refused before a worker sees them: such an answer is wrong."""
MEMORY_BYTES = 1 << 30

_TOWER = re.compile(r"\d[)}\s]*(?:\^|\*\*)[\s{(]*\d+[\s{(]*(?:\^|\*\*)[\s{(]*\d+[\s{(]*(?:\^|\*\*)")
_HUGE_POWER = re.compile(r"(?:\^|\*\*)[\s{(]*-?\d{6,}|\d{6,}[\s})]*!|!\s*!")
_HOLDS_NUMBER = re.compile(r"\d|[½⅓⅔¼¾∞π]|\\(?:pi|infty)(?![A-Za-z])")
_FORMULA = re.compile(r"[+*/^()\[\]{}=<>!|√π×·÷∪∩∞]|\\|\d\s*-\s*\d|[\d)]\s*[A-Za-z]\b")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


__all__ = ["MathJudge", "close_workers", "too_big"]


class MathJudge(Judge):
    """Right where the final answer equals gold; unparsable where none is marked, or where gold is a number and it holds none.

    >>> judge = MathJudge()
    >>> judge.judge(Problem("Half of 2,400?", gold="so #### 1,200"), "It is 1200.0, hence \\\\boxed{$1,200}.").verdict
    <Verdict.RIGHT: 'right'>
    """

    def __init__(self, mode: Mode = "strict", *, symbolic: bool = True, time_limit_s: float = 4.5) -> None:
        """`symbolic = False` never starts a worker: an answer that is no plain number then equals only the same text.

        `time_limit_s` bounds one comparison; with starting and killing the worker it stays below five seconds.
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
        gold, gold_number = _read_gold(problem.gold)
        answer = extract(reply, self.mode)
        if answer is None:
            return Judgement(Verdict.UNPARSABLE, None)
        if gold_number is not None:
            value = read_number(answer)
            if value is not None:
                return Judgement(Verdict.RIGHT if same_number(gold_number, value) else Verdict.WRONG, answer)
            if len(answer) <= MAX_CHARS and not _HOLDS_NUMBER.search(answer):
                return Judgement(Verdict.UNPARSABLE, answer)
        return Judgement(self._compare(gold, answer), answer)

    def answer(self, reply: str, question: str = "") -> str | None:
        """The final answer as the reply marks it; None where it marks none."""
        return extract(reply, self.mode)

    def same(self, left: str, right: str) -> bool:
        """Whether two answers are equal. A comparison that times out says no."""
        if left == right:
            return True
        a, b = read_number(left), read_number(right)
        if a is not None and b is not None:
            return same_number(a, b)
        # math-verify unwraps its first argument differently from its second; a vote must not depend on who came first.
        verdict = self._compare(left, right)
        return verdict is Verdict.RIGHT or (verdict is Verdict.WRONG and self._compare(right, left) is Verdict.RIGHT)

    def _compare(self, gold: str, answer: str) -> Verdict:
        if len(answer) > MAX_CHARS:
            return Verdict.RIGHT if answer == gold else Verdict.WRONG
        left, right = _normal(gold), _normal(answer)
        if left == right:
            return Verdict.RIGHT
        if _bracketed_otherwise(left, right):
            return Verdict.WRONG
        if not self.symbolic or not (_FORMULA.search(gold) or _FORMULA.search(answer)) or too_big(gold) or too_big(answer):
            return Verdict.WRONG  # words, or a plain number against a word
        return _verified(_for_latex(gold), _for_latex(answer), self.time_limit_s)


@lru_cache(maxsize=65536)
def _read_gold(gold: str) -> tuple[str, tuple[Fraction, bool] | None]:
    r"""The answer in a gold text: of a solution with `\boxed{…}` or `####`, what these mark; otherwise the text itself."""
    answer = extract(gold) if "\\boxed" in gold or "\\fbox" in gold or "####" in gold else gold.strip()
    if not answer:
        raise DataError(f"gold answer {gold[-80:]!r} marks no final answer. Give the bare answer, or close its \\boxed{{}}.")
    return answer, read_number(answer)


def too_big(text: str) -> bool:
    """Whether a text is beyond what any honest answer needs and a worker should not be troubled with it.

    >>> too_big("9^{9^{9^{9}}}"), too_big("2^{2^{10}}"), too_big("x^{2010}"), too_big("{" * 30), too_big("7" * 300)
    (True, False, False, True, True)
    """
    if len(text) > MAX_CHARS or re.search(rf"\d{{{MAX_DIGITS + 1}}}", text) or _TOWER.search(text) or _HUGE_POWER.search(text):
        return True
    depth = deepest = 0
    for character in text:
        if character in "{([":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "})]":
            depth -= 1
    return deepest > MAX_NESTING


_SAME_LOOK = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:left|right|displaystyle|quad|bigl?|bigr)(?![A-Za-z])|\\[!,;: ]|[\s$~]+", ""),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(?:text(?:bf|it|rm)?|math(?:rm|bf|it)|mbox)\{([^{}]*)\}", r"\1"),
        (r"\^\{?\\(?:circ|degree)\}?", ""),
        (r"\\%", "%"),
        (r"\{,\}", ","),
        (r"([_^])\{(\w)\}", r"\1\2"),
        (r"−", "-"),
        (r"^\(([A-Ja-j])\)$", r"\1"),  # choice (B) and choice B
    )
]


def _normal(text: str) -> str:
    """Text with the differences taken out that change the look and never the meaning; case matters only inside formulas."""
    text = text.strip().strip(".*").strip()
    for pattern, replacement in _SAME_LOOK:
        text = pattern.sub(replacement, text)
    return text.casefold() if text.isalpha() and len(text) > 1 else text


_LIST = re.compile(r"(\(|\[|\\\{)[^()\[\]]*,[^()\[\]]*(\)|\]|\\\})")
_ARGUMENT = r"(?:\{([^{}]*)\}|(\\(?!sqrt)[A-Za-z]+|\w))"
_SHORT_FRACTION = re.compile(rf"\\[dtc]?frac(?![A-Za-z])\s*{_ARGUMENT}\s*{_ARGUMENT}")


def _bracketed_otherwise(left: str, right: str) -> bool:
    """Whether one is a plain list like (1, 2) and the other one like {1, 2} or (1, 2]. math-verify takes pairs for sets."""
    a, b = _LIST.fullmatch(left), _LIST.fullmatch(right)
    return a is not None and b is not None and a.groups() != b.groups()


def _for_latex(text: str) -> str:
    text = _CONTROL.sub(" ", text).strip().rstrip(".,;").rstrip()  # math-verify reads "2x." as no answer
    text = _SHORT_FRACTION.sub(lambda m: f"\\frac{{{m[1] or m[2]}}}{{{m[3] or m[4]}}}", text)  # \frac \pi4, which they misread
    for left, right in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        if text.startswith(left) and text.endswith(right) and len(text) > len(left) + len(right):
            text = text[len(left) : len(text) - len(right)]
    return text


_pool = Pool(
    lambda: python("math_worker.py", str(MEMORY_BYTES)),
    name=f"the judge's worker ({sys.executable})",
    hint=f'See why with: {sys.executable} -I -c "import math_verify"; or reinstall with pip install math-verify.',
)


@lru_cache(maxsize=16384)
def _verified(gold: str, answer: str, limit_s: float) -> Verdict:
    said = _pool.ask([gold, answer, limit_s], limit_s)
    return Verdict.TIMED_OUT if said is None else Verdict(said)  # out of time or out of memory
