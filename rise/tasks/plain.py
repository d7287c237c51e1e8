"""Problems in memory: what a notebook has before there is a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rise.errors import DataError
from rise.jsonl import plain
from rise.judges import make_judge
from rise.judges.named import as_judge
from rise.task import SPLITS, Problem, Split
from rise.tasks.files import BOXED_INSTRUCTIONS, FileTask, bounds_of, position
from rise.tasks.sources import gold_of, known, text_of

Rows = Iterable[Problem | Mapping[str, Any]]


class PlainTask(FileTask):
    """A list of problems, cut into splits by the content hash of the question, or a list a split.

    >>> task = PlainTask([Problem("1+1?", "2"), {"question": "2+2?", "gold": 4}], shares=(0, 0, 1))
    >>> [problem.gold for problem in task.problems("test")], task.judge().same("4", "4.0")
    (['2', '4'], True)
    """

    name = "plain"

    def __init__(
        self,
        problems: Rows | Mapping[Split, Rows],
        *,
        judge: Any = "math",
        instructions: str | None = BOXED_INSTRUCTIONS,
        shares: Mapping[str, float] | Sequence[float] = (0.8, 0.1, 0.1),
    ) -> None:
        """`problems`: `Problem`s, mappings with `question` and `gold` (`solution` and anything else are kept as in files), or
        a pandas DataFrame with such columns.

        `judge`: a name in `rise.judges`, a mapping of one and its settings, `module:name`, an object with `judge` and `same`, or
        a function of (reply, gold) or (problem, reply) → bool or score.
        `shares` are those of train, validation and test where one list is given. Raises `DataError` for a row that is no problem,
        `ConfigError` for a judge that is none or shares that do not add up to 1.
        """
        super().__init__(instructions)
        if hasattr(problems, "to_dict") and hasattr(problems, "columns"):  # a DataFrame, which pandas need not be imported for
            problems = problems.to_dict("records")
        if isinstance(problems, Mapping):
            self._rows = {split: [as_problem(row, i) for i, row in enumerate(rows)] for split, rows in problems.items()}
            self.splits = tuple(split for split in SPLITS if split in self._rows)
            self.missing_split = f"only {' and '.join(self.splits) or 'nothing'} was given."
        else:
            every = [as_problem(row, i) for i, row in enumerate(problems)]
            bounds = bounds_of(self.name, shares)
            self._rows = {s: [p for p in every if bounds[s][0] <= position(p.question) < bounds[s][1]] for s in SPLITS}
        self._judge = make_judge(judge) if isinstance(judge, str | Mapping) else as_judge(judge)

    def read(self, split: Split) -> Iterable[Problem]:
        return self._rows[split]

    def _empty_hint(self, split: Split) -> str:
        return 'Add problems, change shares, or give a list a split: {"train": [...], "test": [...]}.'


def as_problem(row: Problem | Mapping[str, Any], index: int = 0) -> Problem:
    """A `Problem` from a mapping with `question` (or `problem`) and `gold` (or `answer`). Raises `DataError` without."""
    if isinstance(row, Problem):
        return row
    if not isinstance(row, Mapping):
        raise DataError(
            f'problem {index}: {str(row)[:60]!r} is none. Write Problem("1+1?", "2") or {{"question": …, "gold": …}}.'
        )
    data, place = dict(row), f"problem {index}"
    question, gold = text_of(data, ["question", "problem"], place), gold_of(data, ["gold", "answer"], place)
    solution = text_of(data, ["solution"], place) if known(data, "solution") else None
    used = ("question", "problem", "gold", "answer", "solution", "id")
    fields = plain({key: value for key, value in data.items() if key not in used})
    return Problem(question, gold, solution=solution, fields=fields, id=str(data.get("id", "")))
