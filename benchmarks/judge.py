r"""How fast and how right the judge is. Prints JSON; one core.

    OMP_NUM_THREADS=1 taskset -c 0 .venv/bin/python benchmarks/judge.py [--golds 200] [--only agreement]

verdicts_per_s: replies of about 400 characters that end in \boxed{number} or #### number, extraction included, none alike.
latex_answers_per_s: distinct comparisons that need a worker. code_replies_per_s: Python functions through the sandbox.
agreement: golds of GSM8K and MATH (`$RISE_DATA`; left out when absent) judged against themselves and against rewritten forms of
equal meaning, by us and by math-verify alone, each different pair once (`n` of them; --golds takes so many golds, evenly
spaced). `right` and `alone_right` are the shares accepted by each, `as_math_verify_alone` the share on which they agree;
`missed` lists a few that we did not accept.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Callable

from rise.errors import DataError
from rise.judge import Judge
from rise.judges.answers import extract
from rise.judges.math import MathJudge, close_workers
from rise.judges.math_worker import load_math_verify
from rise.judges.numbers import number
from rise.judges.python_functions import FunctionJudge
from rise.task import Problem
from rise.tasks import make_task
from rise.trajectory import Verdict

FILLER = "First add what is known, then subtract what was given away, and check each step before going on to the next. "


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast and how right the judge is.")
    parser.add_argument("--golds", type=int, help="so many golds of each benchmark, evenly spaced, instead of all")
    parser.add_argument("--only", choices=("speed", "agreement"))
    arguments = parser.parse_args()
    judge = MathJudge()
    report: dict[str, object] = {}
    if arguments.only != "agreement":
        rate, right = plain_rate(judge)
        report |= {
            "verdicts_per_s": rate,
            "verdicts_right": right,
            "latex_answers_per_s": latex_rate(judge),
            "code_replies_per_s": code_rate(),
            "hostile_max_s": hostile(judge),
        }
    if arguments.only != "speed":
        report["agreement"] = agreement(judge, arguments.golds)
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
        work.append((Problem("?", f"Some steps.\n#### {value}"), reply))
    began = time.perf_counter()
    n_right = sum(judge.judge(problem, reply).verdict is Verdict.RIGHT for problem, reply in work)
    return round(n / (time.perf_counter() - began)), n_right / n


def latex_rate(judge: Judge, n: int = 400) -> int:
    judge.judge(Problem("", "2"), "\\boxed{1+1}")  # starts the worker
    work = [
        (Problem("", rf"\frac{{{i}\sqrt{{3}}}}{{{i + 1}}}"), rf"\boxed{{\sqrt{{3}} \cdot \frac{{{i}}}{{{i + 1}}}}}")
        for i in range(2, n + 2)
    ]
    began = time.perf_counter()
    for problem, reply in work:
        judge.judge(problem, reply)
    return round(n / (time.perf_counter() - began))


def code_rate(n: int = 200) -> int:
    judge, gold = FunctionJudge(), "\n".join(f"assert f({i}) == {2 * i + 1}" for i in range(6))
    judge.examine(gold, "def f(n): return 2 * n + 1")  # starts the worker
    began = time.perf_counter()
    for i in range(n):
        judge.examine(gold, f"def f(n):\n    return 2 * n + {i}")
    return round(n / (time.perf_counter() - began))


def hostile(judge: Judge) -> float:
    """Seconds of the slowest verdict over inputs made to hang a judge."""
    slowest = 0.0
    for answer in ("{" * 10**6, "9^{9^{9^{9}}}", "9^{9^9}", "1e999999999", "x" * 10**6, "(" * 500, "\\frac" * 180, "9999!!"):
        for reply in (f"\\boxed{{{answer}}}", "\\boxed{" + answer, answer):
            began = time.perf_counter()
            judge.judge(Problem("", "5"), reply)
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


def agreement(judge: Judge, n_golds: int | None = None) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    alone = load_math_verify()
    for name, splits in (("gsm8k", ("train", "validation", "test")), ("math", ("test",))):
        try:
            # GSM8K's golds are a few hundred different numbers: each is compared once.
            golds = sorted({extract(p.gold) or "" for split in splits for p in make_task(name).problems(split)})  # type: ignore[arg-type]
        except DataError:
            continue
        golds = golds[:: max(1, len(golds) // n_golds)] if n_golds else golds
        for how, rewrite in REWRITES.items():
            pairs = [(gold, answer) for gold in golds if (answer := rewrite(gold)) != gold or how == "itself"]
            if not pairs:
                continue
            ours = [judge.judge(Problem("", gold), f"\\boxed{{{answer}}}").verdict is Verdict.RIGHT for gold, answer in pairs]
            theirs = [_alone(alone, gold, answer) for gold, answer in pairs]
            found[f"{name}: {how}"] = {
                "n": len(pairs),
                "right": sum(ours) / len(pairs),
                "alone_right": sum(theirs) / len(pairs),
                "as_math_verify_alone": sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(pairs),
                "missed": [answer for (_, answer), right in zip(pairs, ours, strict=True) if not right][:5],
            }
    return found


def _alone(equal: Callable[[str, str], bool], gold: str, answer: str) -> bool:
    try:
        return equal(gold, answer)
    except Exception:
        return False


if __name__ == "__main__":
    main()
