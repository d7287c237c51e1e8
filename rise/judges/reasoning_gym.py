"""The judge of reasoning-gym's problems: that package's own scorers, in a worker that can be killed."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from rise.errors import ConfigError, DataError, installing
from rise.judge import Judge, Judgement
from rise.judges.answers import after_thinking, extract
from rise.judges.numbers import read_number, same_number
from rise.judges.worker_pool import Pool, python
from rise.recipe.shipped import adapter_environment
from rise.task import Problem
from rise.trajectory import Verdict

MEMORY_BYTES = 2 << 30
MAX_ANSWER_CHARS = 10_000
"""A longer answer is wrong without being scored: the largest grids of the package take some 2,000."""
SCORE_LIMIT_S = 4.5
MAKE_LIMIT_S = 120.0
"""For 64 problems; some generators search for minutes at their hardest settings."""

UNSAFE = {
    "binary_matrix": "eval",
    "countdown": "sympy's parse_expr",
    "intermediate_integration": "sympy's parse_expr",
    "n_queens": "eval",
    "polynomial_multiplication": "sympy's parse_expr",
    "puzzle24": "sympy's parse_expr",
    "simple_integration": "sympy's parse_expr",
    "spiral_matrix": "eval",
    "string_insertion": "eval",
}
"""Generators whose scorer runs the answer's text as Python, and with what: of reasoning-gym 0.1.25, read in its sources.

A test reads the sources of the installed version again. `bitwise_arithmetic` and `number_sorting` call eval on their own
problem's text alone. Should one of another version be missing here, the worker's guard refuses it all the same.
"""

AnswerIn = Literal["tags", "box"]
MARKS = {
    "tags": "Think step by step. Then give the final answer alone, between <answer> and </answer>.",
    "box": "Think step by step. Then give the final answer alone, inside \\boxed{}.",
}
"""Where the answer stands → the instructions that ask for it there."""
_TAG = re.compile(r"<answer>(.*?)(</answer>|\Z)", re.DOTALL | re.IGNORECASE)


class Gym:
    """One generator of the package with its settings, in the worker."""

    def __init__(self, name: str, config: Mapping[str, Any], seed: int, size: int, python: str | None = None) -> None:
        """`python`: of an environment that holds reasoning-core, whose generators are then known too; None: our own."""
        self.name = name
        self._pool = _pool if python is None else _pool_of(python, name)
        self._about = {"name": name, "config": dict(config), "seed": seed, "size": size}

    def ask(self, do: str, limit_s: float, **request: Any) -> dict[str, Any] | None:
        """None where it took too long or too much memory."""
        said = self._pool.ask({"do": do, **self._about, **request}, limit_s)
        return json.loads(said) if said is not None else None

    def make(self, start: int, n: int) -> list[tuple[int, str, str | None]]:
        """(index, question, answer) of so many problems; fewer at the end. Raises `DataError` where the package fails."""
        said = self.ask("make", MAKE_LIMIT_S, start=start, n=n)
        if said is None:
            raise DataError(
                f"task reasoning-gym:{self.name}: {n} problems took over {MAKE_LIMIT_S:.0f} s or {MEMORY_BYTES >> 30} GiB. "
                "Choose easier settings in task.settings.config."
            )
        if "error" in said:
            raise ConfigError(f"task reasoning-gym:{self.name}: the package says {said['error']}. See task.settings.config.")
        return [(index, question, answer) for index, question, answer in said["problems"]]


class GymJudge(Judge):
    """Right where the scorer gives at least `right_from` of the 1.0 it gives for a right answer; the rest is wrong."""

    def __init__(
        self, gym: Gym, *, answer_in: AnswerIn = "tags", right_from: float = 1.0, allow_unsafe_scorer: bool = False
    ) -> None:
        if gym.name in UNSAFE and not allow_unsafe_scorer:
            raise ConfigError(
                f"task reasoning-gym:{gym.name}: its scorer runs the answer as Python ({UNSAFE[gym.name]}), so a model's reply "
                "could do anything there. Choose another generator, or set allow_unsafe_scorer = true: it then runs in a process "
                "without network that writes no file, and may still read yours."
            )
        if answer_in not in ("tags", "box"):
            raise ConfigError(f'answer_in = {answer_in!r}, but only "tags" and "box" exist.')
        if not 0 < right_from <= 1:
            raise ConfigError(f"right_from = {right_from}; it is a score above 0 and at most 1.")
        self.gym = gym
        self.answer_in = answer_in
        self.right_from = right_from
        self.allow_unsafe_scorer = allow_unsafe_scorer

    def answer(self, reply: str, question: str = "") -> str | None:
        return read_marked(reply, self.answer_in)

    def judge(self, problem: Problem, reply: str) -> Judgement:
        answer = self.answer(reply)
        if answer is None:
            return Judgement(Verdict.UNPARSABLE, None)
        if len(answer) > MAX_ANSWER_CHARS:
            return Judgement(Verdict.WRONG, answer)
        score = self.score(problem, answer)
        if score is None:
            return Judgement(Verdict.TIMED_OUT, answer)
        return Judgement(Verdict.RIGHT if score >= self.right_from else Verdict.WRONG, answer)

    def score(self, problem: Problem, answer: str) -> float | None:
        """What the package gives an answer, 0 … 1; None where it found no end. A scorer that raises gives 0."""
        index = problem.fields.get("index")
        if not isinstance(index, int):
            raise DataError(
                f"problem {problem.id} has no field index, by which reasoning-gym:{self.gym.name} knows its problems."
            )
        said = self.gym.ask(
            "score", SCORE_LIMIT_S, index=index, question=problem.question, answer=answer, unsafe=self.allow_unsafe_scorer
        )
        if said is None:
            return None
        if "refused" in said:
            raise ConfigError(
                f"task reasoning-gym:{self.gym.name}: its scorer wanted to {said['refused']}, the text of an answer. "
                "Choose another generator, or set allow_unsafe_scorer = true."
            )
        if "this version makes another problem" in str(said.get("error")):
            raise DataError(f"problem {problem.id} of reasoning-gym:{self.gym.name}: {said['error']} ({index}).")
        return float(said.get("score", 0.0))

    def same(self, left: str, right: str) -> bool:
        return same_words(left, right)


def read_marked(reply: str, answer_in: str) -> str | None:
    """What stands in the last <answer>…</answer>, or in the last box; None where that is empty or never closed."""
    if answer_in == "box":
        return extract(reply)
    said = after_thinking(reply)
    start = said.lower().rfind("<answer>") if said is not None else -1
    marked = _TAG.match(said, start) if said is not None and start >= 0 else None
    return marked[1].strip() or None if marked and marked[2] else None


def same_words(left: str, right: str) -> bool:
    """The same number, or the same words whatever the case and the white space: scorers need gold, which votes do not see."""
    a, b = read_number(left), read_number(right)
    if a is not None and b is not None:
        return same_number(a, b)
    return left.casefold().split() == right.casefold().split()


@lru_cache(maxsize=4)
def _pool_of(python: str, generator: str) -> Pool:
    """Workers for one generator in the environment of reasoning-core, which import of ours what stands in our folder."""
    script, here = Path(__file__).with_name("reasoning_gym_worker.py"), str(Path(__file__).parents[2])
    return Pool(
        lambda: [python, "-sP", str(script), json.dumps({"also": here}), str(2 * MEMORY_BYTES), "reasoning_core", generator],
        name=f"reasoning-core's worker ({python})",
        size=2,
        env={"PYTHONHASHSEED": "0"},
        hint=f"Make its environment again: {adapter_environment('reasoning-core')}.",
    )


_pool = Pool(
    # Not -I, which would take the one variable away: generators that walk sets must make the same problems in every process.
    lambda: python("reasoning_gym_worker.py", str(MEMORY_BYTES), flags="-sP"),
    name=f"reasoning-gym's worker ({sys.executable})",
    size=2,
    env={"PYTHONHASHSEED": "0"},
    hint=f"Install it with: {installing('tasks')}.",
)
