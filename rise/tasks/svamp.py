"""SVAMP: one-step word problems varied to catch shallow solvers (Patel et al. 2021, arXiv 2103.07191), and its training set."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from rise.errors import DataError
from rise.judges.answers import Mode
from rise.task import Problem, Split
from rise.tasks.files import BOXED_INSTRUCTIONS, VALIDATION_SHARE, FileTask, make_problem, position
from rise.tasks.sources import benchmark_rows, text_of

_HOME = "https://raw.githubusercontent.com/arkilpatel/SVAMP/main"
_HOW = f"curl -L -o {{}}/svamp.json {_HOME}/SVAMP.json"
_HOW_TRAIN = f"curl -L -o {{}}/train.csv {_HOME}/data/mawps-asdiv-a_svamp/train.csv"
_SLOT = re.compile(r"\bnumber(\d+)\b")


class SVAMP(FileTask):
    """Test: the authors' 1,000 problems, or what of them is there. Train: the one-step problems of MAWPS and ASDiv-A that they
    train on, each question once whatever its capitals and spaces; 10 % by content hash are `validation`. No worked solutions."""

    name = "svamp"

    def __init__(
        self,
        *,
        path: str | os.PathLike[str] | None = None,
        mode: Mode = "strict",
        judge: str | None = None,
        instructions: str | None = BOXED_INSTRUCTIONS,
    ) -> None:
        """`path`: the directory of `svamp.json` and `train.csv` in the original formats (or `train.jsonl` with `question` and
        `answer`), or `svamp.json` alone, or `hub:NAME`; by default `svamp/` under `$RISE_DATA`. `judge`: see `FileTask`."""
        super().__init__(instructions, mode, path, judge)

    def read(self, split: Split) -> Iterator[Problem]:
        if split != "test":
            yield from self._one_step(split)
            return
        for place, row in benchmark_rows(self.name, self.path, "svamp.json", how=_HOW):
            body = text_of(row, ["Body"], place).strip()
            # Some bodies stop in mid-sentence, the question being its main clause: "If each pack costs 9 dollars".
            question = f"{body}{' ' if body[-1] in '.?!,' else ', '}{text_of(row, ['Question'], place).strip()}"
            yield make_problem(question, text_of(row, ["Answer"], place), fields={"kind": row.get("Type")})

    def _one_step(self, split: Split) -> Iterator[Problem]:
        """Training problems. The two sources share some, now and then with another answer: the first one counts."""
        seen = set()
        for place, row in benchmark_rows(self.name, self.path, "train.csv", split="train", how=_HOW_TRAIN):
            question = _filled(row, place)
            key = self.key(question)
            if key not in seen:
                seen.add(key)
                if (position(key) < VALIDATION_SHARE) == (split == "validation"):
                    answer = text_of(row, ["answer", "Answer"], place).removesuffix(".0")
                    yield make_problem(question, answer, fields={"equation": row.get("equation") or row.get("Equation")})


def _filled(row: dict[str, Any], place: str) -> str:
    """The question with its numbers in place: `number0 owls and number1 more` with Numbers `3 2` reads `3 owls and 2 more`."""
    question = text_of(row, ["question", "Question"], place)
    numbers = str(row.get("Numbers", "")).split()

    def number(slot: re.Match[str]) -> str:
        if int(slot[1]) >= len(numbers):
            raise DataError(f"{place}: {slot[0]} stands in the question, but Numbers holds {len(numbers)}.")
        return numbers[int(slot[1])].removesuffix(".0")

    return _SLOT.sub(number, question) if "Numbers" in row else question
