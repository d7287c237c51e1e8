"""Your own problems, an object a line or rows of a table (CSV, TSV, Parquet), with a judge by name or of your own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rise.errors import ConfigError, DataError
from rise.judges.answers import Mode
from rise.judges.named import load_judge
from rise.task import SPLITS, Problem, Split
from rise.tasks.files import BOXED_INSTRUCTIONS, FileTask, bounds_of, make_problem, position
from rise.tasks.generated import whole
from rise.tasks.sources import HUB, Row, check_file, gold_of, hub_rows, known, read_rows, text_of
from rise.tasks.tables import TableRow, gap, is_list

_QUESTION = ("question", "problem")
_GOLD = ("gold", "answer")


class JsonLines(FileTask):
    """Each line has `question` (or `problem`) and `gold` (or `answer`); `solution` and any other field are kept.

    One file (`path`) is split by the content hash of the question into train, validation and test. A row added later
    moves no other, and the same question is never on two sides, whatever its gold.
    """

    name = "jsonl"

    def __init__(
        self,
        *,
        path: str | os.PathLike[str] | None = None,
        train_path: str | os.PathLike[str] | None = None,
        validation_path: str | os.PathLike[str] | None = None,
        test_path: str | os.PathLike[str] | None = None,
        shares: Mapping[str, float] | Sequence[float] = (0.8, 0.1, 0.1),
        question_field: str | None = None,
        gold_field: str | None = None,
        longest: int | None = None,
        judge: str | Mapping[str, Any] | None = None,
        judge_path: str | None = None,
        mode: Mode = "strict",
        instructions: str | None = BOXED_INSTRUCTIONS,
    ) -> None:
        r"""Either `path`, or one file a split: .jsonl, .json, .csv, .tsv, .parquet, or `hub:NAME[:CONFIG][@SPLIT]`. `shares` are
        those of train, validation and test in one file; of a data set of the hub, that is its train split unless another is
        named.

        `judge` is a name in `rise.judges`, `{name = "number", tolerance = 0.01}` where it has settings, or `module:name` or
        `file.py:name` for one of yours: a function of (reply, gold), a judge, or something that returns one when called; by
        default answers are judged as mathematics, extracted in `mode`. `judge_path` is its former name, for `module:name` only.
        `instructions` ask for the answer format, by default `\boxed{}`. Rows whose question has more than `longest` characters
        are left out and counted.
        """
        if judge is not None and judge_path is not None:
            raise ConfigError("task jsonl: give either judge or judge_path, not both.")
        super().__init__(instructions, mode, judge=judge)
        self.path = os.fspath(path) if path is not None else None
        given: dict[Split, str | os.PathLike[str] | None] = {
            "train": train_path,
            "validation": validation_path,
            "test": test_path,
        }
        self.paths = {split: os.fspath(file) for split, file in given.items() if file is not None}
        if self.path is not None and self.paths:
            raise ConfigError("task jsonl: give either path, which is split for you, or one path a split, not both.")
        for file in [self.path] if self.path else self.paths.values():
            check_file(file)
        self.bounds = bounds_of(self.name, shares)
        self.splits = tuple(split for split in SPLITS if self.path or split in self.paths)
        # No file at all is no error yet: a judge needs none.
        only = " and ".join(f"task.settings.{split}_path" for split in self.splits)
        none = "no file was given. Set task.settings.path, or one path a split: task.settings.train_path, …"
        self.missing_split = f"only {only} was given." if only else none
        if longest is not None:
            whole("longest", longest)
        self.longest = longest
        self._as_mathematics = judge is None and judge_path is None
        self._fields = ([question_field] if question_field else _QUESTION, [gold_field] if gold_field else _GOLD)
        if judge_path is not None:
            self._judge = load_judge(judge_path)

    def read(self, split: Split) -> Iterator[Problem]:
        if self.path is None:
            yield from self._problems(self.paths[split], split)
            return
        low, high = self.bounds[split]
        empty = True
        for problem in self._problems(self.path, "train"):
            empty = False
            if low <= position(problem.question) < high:
                yield problem
        if empty:
            raise DataError(f'{self.path}: no problems in it. Each line should read like {{"question": "1 + 1?", "gold": "2"}}.')

    def _problems(self, path: str, split: str) -> Iterator[Problem]:
        question_names, gold_names = self._fields
        rows: Iterable[Row] = hub_rows(path, split) if path.startswith(HUB) else read_rows(Path(path))
        for place, row in rows:
            self._has(row, question_names, "question_field", place)
            self._has(row, gold_names, "gold_field", place)
            question = text_of(row, question_names, place)
            if self.longest is not None and len(question) > self.longest:
                self._too_long.add(question)
                continue
            gold = gold_of(row, gold_names, place)
            solution = text_of(row, ["solution"], place) if known(row, "solution") else None
            used = {*question_names, *gold_names, "solution"}
            yield make_problem(question, gold, solution, self.kept({k: v for k, v in row.items() if k not in used}))

    def _wrote(self, row: TableRow, names: Sequence[str], place: str) -> None:
        """Raise `DataError` where the cell of a table holds what nobody wrote."""
        for name in names:
            if name in row.empty:
                raise DataError(f"{place}: the cell in column {name!r} is empty. Fill it, or leave the row out.")
            if why := gap(row.get(name)):
                raise DataError(
                    f"{place}: {row[name]!r} in column {name!r} {why}. Fill the gap, or leave the row out; where it is meant as "
                    "text, write the rows as JSON lines."
                )
            if names is self._fields[1] and self._as_mathematics and is_list(row.get(name)):
                raise DataError(
                    f"{place}: {row[name]!r} in column {name!r} is a list that was written down as text, which no answer would "
                    'equal. Write one text, "1, 2" for an answer of several parts, or make a row of each.'
                )

    def _has(self, row: Mapping[str, Any], names: Sequence[str], setting: str, place: str) -> None:
        """Raise `DataError`, which names the setting that helps, where a row has none of these fields."""
        if isinstance(row, TableRow):
            self._wrote(row, names, place)
        if not any(name in row for name in names):
            raise DataError(
                f"{place}: no field {' or '.join(map(repr, names))}; it has {', '.join(map(repr, row)) or 'none'}. "
                f'Name the one that holds it: task.settings.{setting} = "…".'
            )

    def _empty_hint(self, split: Split) -> str:
        if self.path is None:
            return f'{self.paths[split]} holds none. Each line should read like {{"question": "1 + 1?", "gold": "2"}}.'
        low, high = self.bounds[split]
        return (
            f"{self.path} is split by content hash, {high - low:.0%} of it being {split}: "
            f"add problems, change task.shares, or give each split its own file."
        )
