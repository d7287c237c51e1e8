r"""How fast and how right the judge is. Prints JSON; one core.

    OMP_NUM_THREADS=1 taskset -c 0 .venv/bin/python benchmarks/judge.py

verdicts_per_s: replies of about 400 characters that end in \boxed{number} or #### number, extraction included, none alike.
latex_answers_per_s: distinct comparisons that need a worker. agreement: golds of GSM8K and MATH (`$RISE_DATA`; left out when
absent) judged against themselves and against rewritten forms of equal meaning; `missed` lists a few that were not accepted.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable

from rise.answers import extract, number
from rise.errors import DataError
from rise.judge import Judge
from rise.judges.math import MathJudge, close_workers
from rise.judges.worker import load_math_verify
from rise.task import Problem
from rise.tasks import make_task
from rise.trajectory import Verdict

FILLER = "First add what is known, then subtract what was given away, and check each step before going on to the next. "


def main() -> None:
    judge = MathJudge()
    rate, right = plain_rate(judge)
    report: dict[str, object] = {
        "verdicts_per_s": rate,
        "verdicts_right": right,
        "latex_answers_per_s": latex_rate(judge),
        "hostile_max_s": hostile(judge),
        "agreement": agreement(judge),
    }
    close_workers()
    print(json.dumps(report, indent=1, ensure_ascii=False))


def plain_rate(judge: Judge, n: int = 40_000) -> tuple[int, float]:
    """(verdicts a second, share right); half the replies are right by construction."""
    rng = random.Random(0)
    ends = ("so the answer is \\boxed{%s}.", "\n#### %s", "hence $\\boxed{%s}$ dollars in all.", "The total is \\boxed{%s}")
    work = []
    for i in range(n):
        value = rng.randrange(10**6)
        shown = value if i % 2 else value + 1
        text = f"{shown:,}" if i % 3 == 0 else f"{shown}.00" if i % 7 == 0 else str(shown)
        reply = FILLER * 3 + f"Step {i}: we get {rng.randrange(10**4)}. " + ends[i % 4] % text
        work.append((Problem(str(i), "?", f"Some steps.\n#### {value}"), reply))
    began = time.perf_counter()
    n_right = sum(judge.judge(problem, reply).verdict is Verdict.RIGHT for problem, reply in work)
    return round(n / (time.perf_counter() - began)), n_right / n


def latex_rate(judge: Judge, n: int = 400) -> int:
    judge.judge(Problem("", "", "2"), "\\boxed{1+1}")  # starts the worker
    work = [
        (Problem("", "", rf"\frac{{{i}\sqrt{{3}}}}{{{i + 1}}}"), rf"\boxed{{\sqrt{{3}} \cdot \frac{{{i}}}{{{i + 1}}}}}")
        for i in range(2, n + 2)
    ]
    began = time.perf_counter()
    for problem, reply in work:
        judge.judge(problem, reply)
    return round(n / (time.perf_counter() - began))


def hostile(judge: Judge) -> float:
    """Seconds of the slowest verdict over inputs made to hang a judge."""
    slowest = 0.0
    for answer in ("{" * 10**6, "9^{9^{9^{9}}}", "9^{9^9}", "1e999999999", "x" * 10**6, "(" * 500, "\\frac" * 180, "9999!!"):
        for reply in (f"\\boxed{{{answer}}}", "\\boxed{" + answer, answer):
            began = time.perf_counter()
            judge.judge(Problem("", "", "5"), reply)
            slowest = max(slowest, time.perf_counter() - began)
    return round(slowest, 2)


REWRITES: dict[str, Callable[[str], str]] = {
    "itself": lambda a: a,
    "dollars": lambda a: f"${a}$",
    "full stop": lambda a: a + ".",
    "dfrac": lambda a: re.sub(r"\\frac(?![a-z])", r"\\dfrac", a),
    "left right": lambda a: re.sub(r"\\(?:left|right)", "", a).replace("(", r"\left(").replace(")", r"\right)"),
    "spaces": lambda a: a.replace(",", r",\ ") if number(a) is None else rf"\, {a} \;",
    "slash": lambda a: re.sub(r"\\frac\{(\d+)\}\{(\d+)\}", r"(\1/\2)", a),
    "plus zero": lambda a: a + "+0" if re.fullmatch(r"[^,()\[\]=]*(?:sqrt|pi)[^,()\[\]=]*", a) else a,
    "trailing zero": lambda a: a + ".0" if a.isdigit() else a,
    "thousands": lambda a: f"{int(a):,}" if a.isdigit() else a,
    "unit": lambda a: a + r"\text{ units}" if number(a) is not None and a[-1].isdigit() else a,
}


def agreement(judge: Judge) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for name, splits in (("gsm8k", ("train", "validation", "test")), ("math", ("test",))):
        try:
            problems = [p for split in splits for p in make_task(name).problems(split)]  # type: ignore[arg-type]
        except DataError:
            continue
        alone = load_math_verify() if name == "math" else None  # minutes on GSM8K
        for how, rewrite in REWRITES.items():
            n_right, missed, n_same = 0, [], 0
            for problem in problems:
                answer = rewrite(extract(problem.gold) or "")
                right = judge.judge(problem, f"\\boxed{{{answer}}}").verdict is Verdict.RIGHT
                n_right += right
                if not right:
                    missed.append(answer)
                if alone:
                    n_same += right == _alone(alone, extract(problem.gold) or "", answer)
            found[f"{name}: {how}"] = {"n": len(problems), "right": n_right / len(problems), "missed": missed[:5]}
            if alone:
                found[f"{name}: {how}"]["as_math_verify_alone"] = n_same / len(problems)
    return found


def _alone(equal: Callable[[str, str], bool], gold: str, answer: str) -> bool:
    try:
        return equal(gold, answer)
    except Exception:
        return False


if __name__ == "__main__":
    main()
