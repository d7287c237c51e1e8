"""What tasks of other projects share here: problems and verdicts from a worker of theirs, splits by content hash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rise.judges.foreign import Foreign, ForeignJudge, Package
from rise.task import ANY, Problem, Split
from rise.tasks.files import FileTask, bounds_of, make_problem, position


class ForeignTask(FileTask):
    """The problems of another project's task, cut into splits by the hash of the question."""

    def __init__(
        self,
        of: Package,
        what: str,
        shares: Mapping[str, float] | Sequence[float],
        right_from: float,
        python: str | None,
        **about: Any,
    ) -> None:
        self._foreign = Foreign(of, what, python, **about)
        self.name = self._foreign.name
        self.bounds = bounds_of(self.name, shares)
        self.about = self._foreign.describe()
        """What the worker says of it: `n` problems, its `system` text, `versions` of its packages."""
        super().__init__(self.about["system"])
        self._judge = ForeignJudge(self._foreign, right_from)
        self._all: list[Problem] | None = None

    def read(self, split: Split) -> Iterator[Problem]:
        if self._all is None:
            rows = self._foreign.problems(self.about["n"])
            self._all = [make_problem(row["question"], row["gold"] or ANY, None, row["fields"]) for row in rows]
        low, high = self.bounds[split]
        return (problem for problem in self._all if low <= position(problem.question) < high)

    def _empty_hint(self, split: Split) -> str:
        low, high = self.bounds[split]
        return f"{high - low:.0%} of its {self.about['n']} problems are {split}: task.settings.shares."
