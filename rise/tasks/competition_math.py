"""MATH: competition problems in seven subjects and five levels (Hendrycks et al. 2021, arXiv 2103.03874), and MATH-500."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

from rise.errors import ConfigError
from rise.judges.answers import Mode, extract
from rise.task import Problem, Split
from rise.tasks.files import BOXED_INSTRUCTIONS, FileTask, checked_subset, make_problem, validation_of
from rise.tasks.sources import Hub, Row, benchmark_rows, text_of

SUBJECTS = (
    "Algebra",
    "Counting & Probability",
    "Geometry",
    "Intermediate Algebra",
    "Number Theory",
    "Prealgebra",
    "Precalculus",
)
_PARTS = ("algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory", "prealgebra", "precalculus")
WHOLE = Hub("EleutherAI/hendrycks_math", _PARTS)
MATH_500 = Hub("HuggingFaceH4/MATH-500")


@lru_cache(maxsize=1)
def math_500() -> frozenset[str]:
    """Content hashes of the 500 test problems that Lightman et al. 2023 (arXiv 2305.20050) held out: `text_hash` of each."""
    return frozenset(Path(__file__).with_name("math-500.txt").read_text(encoding="ascii").split())


def text_hash(problem: str) -> str:
    """12 hexadecimal digits of a problem's text, whatever its line breaks and spaces, which differ from copy to copy.

    >>> text_hash("What is\\n $1+1$?") == text_hash("What is $1+1$? ") != text_hash("What is $1+2$?")
    True
    """
    return hashlib.sha256(" ".join(problem.split()).encode()).hexdigest()[:12]


class CompetitionMath(FileTask):
    r"""Rows with `problem` and `solution` (its last `\boxed` is gold), or `answer` as MATH-500 has it; level and subject kept."""

    name = "math"

    def __init__(
        self,
        *,
        path: str | os.PathLike[str] | None = None,
        subset: Literal["all", "500"] = "all",
        levels: Iterable[int] | int | None = None,
        subjects: Iterable[str] | str | None = None,
        mode: Mode = "strict",
        judge: str | None = None,
        instructions: str | None = BOXED_INSTRUCTIONS,
    ) -> None:
        """`path`: the directory of `train.jsonl` and `test.jsonl` (or parquet), or `hub:NAME`; by default `math/` under
        `$RISE_DATA`, then the hub.

        `subset = "500"` keeps the MATH-500 problems of the test split, found by the hash of their text in any copy of it, and
        takes them out of training where a copy has them there. `levels` (1 … 5) and `subjects` keep only such problems. 10 % of
        train, by content hash, are `validation`. `judge`: see `FileTask`.
        """
        super().__init__(instructions, mode, path, judge)
        if subset not in ("all", "500"):
            raise ConfigError(f'task math: subset = {subset!r}, but only "all" and "500" exist.')
        self.subset = subset
        self.levels = checked_subset(self.name, "levels", levels, range(1, 6))
        self.subjects = checked_subset(self.name, "subjects", subjects, SUBJECTS)

    def read(self, split: Split) -> Iterator[Problem]:
        if split == "test":
            hub = MATH_500 if self.subset == "500" else WHOLE
            return self._problems(
                benchmark_rows(self.name, self.path, "test.jsonl", hub=hub), True if self.subset == "500" else None
            )
        rows = benchmark_rows(self.name, self.path, "train.jsonl", split="train", hub=WHOLE)
        return validation_of(self._problems(rows, False if self.subset == "500" else None), split)

    def _problems(self, rows: Iterable[Row], among_500: bool | None) -> Iterator[Problem]:
        """`among_500`: keep only those (True), none of those (False), or whatever there is (None)."""
        for place, row in rows:
            question = text_of(row, ["problem"], place)
            if among_500 is not None and (text_hash(question) in math_500()) != among_500:
                continue
            solution = text_of(row, ["solution"], place) if "solution" in row else None
            if row.get("answer") == "" and solution is not None and r"\boxed{}" in solution:
                continue  # the published training split has one whose box is empty: no answer could be compared with it
            gold = solution if solution is not None and extract(solution) else text_of(row, ["answer"], place)
            digits = re.search(r"[1-5]", str(row.get("level", "")))  # "Level 3", or 3; "Level ?" occurs
            level = int(digits[0]) if digits else None
            subject = row.get("type") or row.get("subject")
            if (self.levels is None or level in self.levels) and (self.subjects is None or subject in self.subjects):
                yield make_problem(question, gold, solution, {"level": level, "subject": subject})
