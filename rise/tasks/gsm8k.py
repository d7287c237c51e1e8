"""GSM8K: grade-school word problems (Cobbe et al. 2021, arXiv 2110.14168), in their original files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from rise.errors import DataError
from rise.judges.answers import Mode, extract
from rise.task import Problem, Split
from rise.tasks.files import BOXED_INSTRUCTIONS, FileTask, make_problem, validation_of, without_annotations
from rise.tasks.sources import Hub, Row, benchmark_rows, text_of

HUB = Hub("openai/gsm8k", ("main",))


class GSM8K(FileTask):
    r"""Splits: the published test; the published train, of which 10 % by content hash are `validation`.

    Gold is the whole solution text, as published. `solution` is the same without calculator annotations, its last line
    `#### N` replaced by one with `\boxed{N}`, which is the format the instructions ask for.
    """

    name = "gsm8k"

    def __init__(
        self,
        *,
        path: str | os.PathLike[str] | None = None,
        mode: Mode = "strict",
        judge: str | None = None,
        instructions: str | None = BOXED_INSTRUCTIONS,
    ) -> None:
        """`path`: the directory of `train.jsonl` and `test.jsonl` (or parquet), or `hub:NAME`; by default `gsm8k/` under
        `$RISE_DATA`, then the hub. `judge`: see `FileTask`."""
        super().__init__(instructions, mode, path, judge)

    def read(self, split: Split) -> Iterator[Problem]:
        source = "test" if split == "test" else "train"
        problems = self._problems(benchmark_rows(self.name, self.path, f"{source}.jsonl", split=source, hub=HUB))
        return problems if split == "test" else validation_of(problems, split)

    def _problems(self, rows: Iterable[Row]) -> Iterator[Problem]:
        for place, row in rows:
            question, gold = text_of(row, ["question"], place), text_of(row, ["answer"], place)
            answer = extract(gold)
            if answer is None:
                raise DataError(f"{place}: the answer has no line '#### N'. Is this GSM8K? For your own problems use task jsonl.")
            steps = without_annotations(gold).rpartition("####")[0].rstrip()
            yield make_problem(question, gold, f"{steps}\nThe answer is \\boxed{{{answer}}}.".lstrip())
