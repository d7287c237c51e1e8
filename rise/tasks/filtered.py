"""A task whose training problems are those of a difficulty: by how often a model was right on each (`task.filter`)."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rise.errors import DataError
from rise.judge import Judge
from rise.task import Problem, Split, Task, fewer

MOST = 50_000
"""Problems of an endless task among which those with a rate are looked for."""


class Filtered(Task):
    """Another task with fewer training problems; everything else is that task's own.

    A problem without a rate does not train, and that is counted: nobody knows how hard it is.
    """

    def __init__(self, task: Task, rates: Mapping[str, float], low: float, high: float, source: str) -> None:
        """`rates`: share of right replies by problem id, from `source`. Both ends of [`low`, `high`] count."""
        self._task, self._rates, self._low, self._high, self._source = task, rates, low, high, source
        self._kept: Sequence[Problem] | None = None
        self.name, self.instructions, self.endless = task.name, task.instructions, task.endless

    def __getattr__(self, name: str) -> Any:
        """What else that task has."""
        return getattr(self.__dict__["_task"], name)

    @property
    def alphabet(self) -> str | None:
        return self._task.alphabet

    def skills(self, problems: Sequence[Problem], rng: Any) -> Any:
        return self._task.skills(problems, rng)

    def judge(self) -> Judge:
        return self._task.judge()

    def problems(self, split: Split, n: int | None = None, *, start: int = 0) -> Sequence[Problem]:
        if split != "train":
            return self._task.problems(split, n, start=start)
        kept = self._training()
        if start + (n or 0) > len(kept):
            raise DataError(
                f"task {self.name}: {len(kept)} training problems have a pass rate from {self._low:g} to {self._high:g} in "
                f"{self._source}, but {start} … {start + (n or 0)} were asked for. Widen task.filter.pass_rate, or ask for "
                f"fewer: {fewer(split)}."
            )
        return kept[start:] if n is None else kept[start : start + n]

    def _training(self) -> Sequence[Problem]:
        if self._kept is None:
            every = self._rated() if self.endless else list(self._task.problems("train"))
            known = [problem for problem in every if problem.id in self._rates]
            self._kept = [problem for problem in known if self._low <= self._rates[problem.id] <= self._high]
            if not known:
                raise DataError(
                    f"task {self.name}: none of its training problems has a pass rate in {self._source}. Measure them: "
                    "rise evaluate MODEL --split train --out DIRECTORY, with the same task settings."
                )
            unknown = f"; {len(every) - len(known)} without a rate do not train" if len(every) > len(known) else ""
            warnings.warn(
                f"task {self.name}: {len(self._kept)} of {len(known)} training problems have a pass rate from {self._low:g} to "
                f"{self._high:g}{unknown}.",
                stacklevel=3,
            )
        return self._kept

    def _rated(self) -> list[Problem]:
        """Of an endless task, the first problems, up to the last that has a rate."""
        n = len(self._rates)
        while True:
            found = list(self._task.problems("train", n))
            if sum(problem.id in self._rates for problem in found) == len(self._rates) or n >= MOST:
                return [problem for problem in found if problem.id in self._rates]
            n = min(2 * n, MOST)


def shares(right: Sequence[tuple[str, bool]]) -> dict[str, float]:
    """Share of right replies by problem.

    >>> shares([("a", True), ("a", False), ("b", False)])
    {'a': 0.5, 'b': 0.0}
    """
    by_problem: dict[str, list[bool]] = defaultdict(list)
    for name, was in right:
        by_problem[name].append(was)
    return {name: sum(was) / len(was) for name, was in by_problem.items()}
