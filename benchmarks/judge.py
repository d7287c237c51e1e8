r"""How fast and how right the judge is. Prints JSON; one core.

    OMP_NUM_THREADS=1 taskset -c 0 .venv/bin/python benchmarks/judge.py [--golds 200] [--only speed|agreement|golds]

verdicts_per_s: replies of about 400 characters that end in \boxed{number} or #### number, extraction included, none alike.
latex_answers_per_s: distinct comparisons that need a worker. code_replies_per_s: Python functions through the sandbox.
agreement: golds of GSM8K and MATH (`$RISE_DATA`; left out when absent) judged against themselves and against rewritten forms of
equal meaning, by us and by math-verify alone, each different pair once (`n` of them; --golds takes so many golds, evenly
spaced). `right` and `alone_right` are the shares accepted by each, `as_math_verify_alone` the share on which they agree;
`missed` lists a few that we did not accept.
golds: every gold of MATH judged against itself boxed (`self_right`, of `self_n`), and 3,000 pairs of different golds of one
subject; `equal` counts those judged right although they differ as text, `hits` lists them for the eye, `false_rights` are those
of them whose values `apart` cannot confirm by other means.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Callable
from fractions import Fraction

from rise.errors import DataError
from rise.judge import Judge
from rise.judges.answers import extract
from rise.judges.math import MathJudge, close_workers
from rise.judges.numbers import number
from rise.judges.python_functions import FunctionJudge
from rise.task import Problem
from rise.tasks import make_task
from rise.trajectory import Verdict

FILLER = "First add what is known, then subtract what was given away, and check each step before going on to the next. "


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast and how right the judge is.")
    parser.add_argument("--golds", type=int, help="so many golds of each benchmark, evenly spaced, instead of all")
    parser.add_argument("--only", choices=("speed", "agreement", "golds"))
    arguments = parser.parse_args()
    judge = MathJudge()
    report: dict[str, object] = {}
    if arguments.only in (None, "speed"):
        rate, right = plain_rate(judge)
        report |= {
            "verdicts_per_s": rate,
            "verdicts_right": right,
            "latex_answers_per_s": latex_rate(judge),
            "code_replies_per_s": code_rate(),
            "hostile_max_s": hostile(judge),
        }
    if arguments.only in (None, "agreement"):
        report["agreement"] = agreement(judge, arguments.golds)
    if arguments.only in (None, "golds"):
        report["golds"] = golds_of_math(judge)
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
    alone = load_alone()
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


def load_alone() -> Callable[[str, str], bool]:
    """math-verify as it comes."""
    import logging

    from math_verify import LatexExtractionConfig, parse, verify

    logging.disable(logging.CRITICAL)
    latex = [LatexExtractionConfig(boxed_match_priority=0)]

    def equal(left: str, right: str) -> bool:
        a, b = (parse(f"\\boxed{{{text}}}", latex, parsing_timeout=None) for text in (left, right))
        return bool(verify(a, b, timeout_seconds=None))

    return equal


def golds_of_math(judge: Judge, n_pairs: int = 3000) -> dict[str, object] | None:
    """None where MATH is not at hand."""
    by_subject: dict[str, list[tuple[Problem, str]]] = {}
    try:
        task = make_task("math")
        for problem in (p for split in ("train", "validation", "test") for p in task.problems(split)):  # type: ignore[arg-type]
            by_subject.setdefault(str(problem.fields.get("subject") or problem.fields.get("type")), []).append(
                (problem, extract(problem.gold) or problem.gold)
            )
    except DataError:
        return None
    golds = [pair for pairs in by_subject.values() for pair in pairs]
    not_right = [gold for problem, gold in golds if judge.judge(problem, f"\\boxed{{{gold}}}").verdict is not Verdict.RIGHT]
    rng = random.Random(0)
    hits: list[tuple[str, str]] = []
    n = 0
    while n < n_pairs:
        (problem, gold), (_, other) = rng.sample(rng.choice(list(by_subject.values())), 2)
        if gold == other:
            continue
        n += 1
        if judge.judge(problem, f"\\boxed{{{other}}}").verdict is Verdict.RIGHT:
            hits.append((gold, other))
    return {
        "self_n": len(golds),
        "self_right": 1 - len(not_right) / len(golds),
        "not_right": not_right[:10],
        "subjects": len(by_subject),
        "pairs": n,
        "equal": len(hits),
        "hits": hits,
        "false_rights": [pair for pair in hits if not apart(*pair)],
    }


def apart(left: str, right: str) -> bool:
    """Whether two golds are equal by other means than ours: layout, unit or name apart, or by Python's own numbers."""
    plain = [re.sub(r"^[a-z]\s*=|\\(?:text\w*|mbox)\{[^{}]*\}|\\[!,;]|[\s${},%]|\.$", "", text) for text in (left, right)]
    if plain[0] == plain[1]:
        return True
    try:
        a, b = (
            float(Fraction(re.sub(r"\\[dt]?frac\{?(-?\d+)\}?\{?(\d+)\}?", r"\1/\2", text.replace(" ", ""))))
            for text in (left, right)
        )
    except ValueError:
        return False
    return a == b


def _alone(equal: Callable[[str, str], bool], gold: str, answer: str) -> bool:
    try:
        return equal(gold, answer)
    except Exception:
        return False


if __name__ == "__main__":
    main()
