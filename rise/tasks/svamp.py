"""SVAMP: one-step word problems varied to catch shallow solvers (Patel et al. 2021, arXiv 2103.07191). A test set only."""

from __future__ import annotations

import os
from collections.abc import Iterator

from rise.judges.answers import Mode
from rise.task import Problem, Split
from rise.tasks.files import BOXED_INSTRUCTIONS, FileTask, make_problem
from rise.tasks.sources import benchmark_rows, text_of

_HOW = "curl -L -o {}/svamp.json https://raw.githubusercontent.com/arkilpatel/SVAMP/main/SVAMP.json"


class SVAMP(FileTask):
    name = "svamp"
    splits = ("test",)
    missing_split = "SVAMP is a challenge set, published for testing only. Train on gsm8k, or give your own rows to task jsonl."

    def __init__(
        self,
        *,
        path: str | os.PathLike[str] | None = None,
        mode: Mode = "strict",
        judge: str | None = None,
        instructions: str | None = BOXED_INSTRUCTIONS,
    ) -> None:
        """`path`: `svamp.json` in the original format, its directory, or `hub:NAME`; by default `svamp/` under `$RISE_DATA`.
        `judge`: see `FileTask`."""
        super().__init__(instructions, mode, path, judge)

    def read(self, split: Split) -> Iterator[Problem]:
        for place, row in benchmark_rows(self.name, self.path, "svamp.json", how=_HOW):
            body = text_of(row, ["Body"], place).strip()
            # Some bodies stop in mid-sentence, the question being its main clause: "If each pack costs 9 dollars".
            question = f"{body}{' ' if body[-1] in '.?!,' else ', '}{text_of(row, ['Question'], place).strip()}"
            yield make_problem(question, text_of(row, ["Answer"], place), fields={"kind": row.get("Type")})
