"""MATH: competition problems in seven subjects and five levels (Hendrycks et al. 2021, arXiv 2103.03874), and MATH-500."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from rise.answers import Mode, extract
from rise.task import Problem, Split
from rise.tasks.files import (
    BOXED_INSTRUCTIONS,
    FileTask,
    checked_subset,
    hub_command,
    locate,
    make_problem,
    read_rows,
    text_of,
    validation_of,
)

SUBJECTS = (
    "Algebra",
    "Counting & Probability",
    "Geometry",
    "Intermediate Algebra",
    "Number Theory",
    "Prealgebra",
    "Precalculus",
)
_HOW_TEST = hub_command("HuggingFaceH4/MATH-500", None, "test", "test.jsonl")
_HOW_TRAIN = (
    "python -c 'from datasets import load_dataset, concatenate_datasets as join; "
    "subjects = "
    '["algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory", "prealgebra", "precalculus"]; '
    'join([load_dataset("EleutherAI/hendrycks_math", s, split="train") for s in subjects]).to_json("{}/train.jsonl")\''
)


class CompetitionMath(FileTask):
    r"""Rows with `problem` and `solution` (its last `\boxed` is gold), or `answer` as MATH-500 has it; level and subject kept."""

    name = "math"

    def __init__(
        self,
        *,
        path: str | os.PathLike[str] | None = None,
        levels: Iterable[int] | int | None = None,
        subjects: Iterable[str] | str | None = None,
        mode: Mode = "strict",
        instructions: str | None = BOXED_INSTRUCTIONS,
    ) -> None:
        """`path`: the directory of `train.jsonl` and `test.jsonl`; by default `math/` under `$RISE_DATA`.

        `levels` (1 … 5) and `subjects` keep only such problems. 10 % of train, by content hash, are `validation`.
        """
        super().__init__(instructions, mode, path)
        self.levels = checked_subset(self.name, "levels", levels, range(1, 6))
        self.subjects = checked_subset(self.name, "subjects", subjects, SUBJECTS)

    def read(self, split: Split) -> Iterator[Problem]:
        source, how = ("test", _HOW_TEST) if split == "test" else ("train", _HOW_TRAIN)
        problems = self._rows(locate(self.name, self.path, f"{source}.jsonl", how))
        return problems if split == "test" else validation_of(problems, split)

    def _rows(self, path: Path) -> Iterator[Problem]:
        for place, row in read_rows(path):
            question = text_of(row, ["problem"], place)
            solution = text_of(row, ["solution"], place) if "solution" in row else None
            gold = solution if solution is not None and extract(solution) else text_of(row, ["answer"], place)
            digits = re.search(r"[1-5]", str(row.get("level", "")))  # "Level 3", or 3; "Level ?" occurs
            level = int(digits[0]) if digits else None
            subject = row.get("type") or row.get("subject")
            if (self.levels is None or level in self.levels) and (self.subjects is None or subject in self.subjects):
                yield make_problem(question, gold, solution, {"level": level, "subject": subject})
