"""Question and gold answer of problems whose replies are still only in the ledger: from the files of the run itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rise.errors import DataError
from rise.report.recipe import generated_problems
from rise.runs.directory import RunDir
from rise.view.index import Index


class Questions:
    """(question, gold) by problem: of another file of the run that has them, else made from the seed, where the task is."""

    def __init__(self, run: RunDir, indexes: Callable[[], Iterable[Index]]) -> None:
        """`indexes`: files of the run that hold questions, asked for anew each time since there come more."""
        self._run, self._indexes = run, indexes
        self._known: dict[str, tuple[str, str]] = {}
        self._made: dict[str, tuple[str, str]] | None = None

    def get(self, problem: str) -> tuple[str, str] | None:
        if problem not in self._known:
            found = self._in_files(problem) or self._generated().get(problem)
            if found is None:
                return None
            self._known[problem] = found
        return self._known[problem]

    def _in_files(self, problem: str) -> tuple[str, str] | None:
        for index in self._indexes():
            try:
                number = index.find(problem)
                if number is not None:
                    _, data = index.record(number)
                    return str(data["question"]), str(data["gold"])
            except (DataError, KeyError):  # replaced while it was read
                continue
        return None

    def _generated(self) -> dict[str, tuple[str, str]]:
        if self._made is None:
            self._made = generated_problems(self._run)
        return self._made
