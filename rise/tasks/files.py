"""What tasks read from files share: reading on first use, splits by content hash, filters. `sources.py` finds the rows."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rise.errors import ConfigError, DataError, EmptySplitError, did_you_mean
from rise.jsonl import plain
from rise.judge import Judge
from rise.judges import make_judge
from rise.judges.answers import Mode
from rise.task import SPLITS, Problem, Split, Task, check_asked, fewer
from rise.tasks.sources import HUB

VALIDATION_SHARE = 0.1
"""Of a published train split that comes without a validation split."""

BOXED_INSTRUCTIONS = (
    "You are a careful solver of mathematics problems. Reason step by step, then give the final answer inside \\boxed{}."
)


def position(question: str) -> float:
    """Where a question falls in [0, 1), by its text alone: rows may be reordered, added or removed, and none moves.

    >>> 0 <= position("What is 1 + 1?") < 1 and position("a") != position("b")
    True
    """
    return int.from_bytes(hashlib.sha256(question.encode()).digest()[:7], "big") / 2**56


class FileTask(Task):
    """Problems from files, read on first use, in file order; exact duplicates are dropped with a warning that counts them."""

    splits: tuple[Split, ...] = SPLITS
    missing_split = "it is not in the data."
    """Why a split that is not in `splits` is absent, and what to do."""

    def __init__(
        self,
        instructions: str | None,
        mode: Mode = "strict",
        path: str | os.PathLike[str] | None = None,
        judge: str | Mapping[str, Any] | None = None,
    ) -> None:
        """`path` of a published benchmark: its directory, one file, which then is the test split and no other, or `hub:NAME`.

        `judge`: a name in `rise.judges`, a table of one and its settings, or `module:name`; by default `math`, whose answers are
        extracted in `mode`.
        """
        self.instructions = instructions
        self.path = os.fspath(path) if path is not None else None
        if self.path is not None and not self.path.startswith(HUB) and Path(self.path).is_file():
            self.splits = ("test",)
            self.missing_split = f"{self.path} is one file, taken as the test split. Give the directory of both files instead."
        self._judge: Judge = make_judge("math", mode=mode) if judge in (None, "math") else make_judge(judge)
        self._read: dict[str, list[Problem]] = {}
        self._described: dict[str, str] = {}
        """Columns with values that no file of a run can hold, and what they are."""
        self._too_long: set[str] = set()
        self._told = False
        """Questions that were left out for their length."""

    @abstractmethod
    def read(self, split: Split) -> Iterable[Problem]:
        """All problems of one of `splits`."""

    def problems(self, split: Split, n: int | None = None, *, start: int = 0) -> Sequence[Problem]:
        check_asked(self.name, split, n, start)
        if split not in self.splits:
            raise DataError(f"task {self.name} has no {split} split: {self.missing_split}")
        if split not in self._read:
            self._read[split] = self._without_duplicates(split)
        every = self._read[split]
        if start + (n or 0) > len(every):
            raise DataError(
                f"task {self.name} has {len(every)} {split} problems, but {start} … {start + (n or 0)} were asked for. "
                f"Ask for fewer: {fewer(split)}."
            )
        return every[start:] if n is None else every[start : start + n]

    def judge(self) -> Judge:
        return self._judge

    def kept(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Further columns of a row as a run's files can hold them; what they cannot is described, and that is said once."""
        out = {}
        for name, value in fields.items():
            described: list[str] = []
            out[name] = plain(value, described)
            if described:
                self._described[name] = described[0]
        return out

    def _without_duplicates(self, split: Split) -> list[Problem]:
        every = list(self.read(split))
        first: dict[str, Problem] = {}
        for problem in every:
            first.setdefault(problem.id, problem)
        kept = list(first.values())
        for name, what in self._described.items():
            warnings.warn(f"task {self.name}: column {name!r} holds {what}, which is kept as a description only.", stacklevel=3)
        self._described.clear()
        if self._too_long and not self._told:
            n = len(self._too_long)
            warnings.warn(
                f"task {self.name}: {n} problem{'s' if n > 1 else ''} longer than task.settings.longest left out.", stacklevel=3
            )
            self._told = True
        if len(kept) < len(every):
            warnings.warn(f"task {self.name}, {split}: {len(every) - len(kept)} exact duplicates dropped.", stacklevel=3)
        if not kept:
            raise EmptySplitError(f"task {self.name}: no {split} problems were found. {self._empty_hint(split)}")
        return kept

    def _empty_hint(self, split: Split) -> str:
        return "Check its path and filters."


def bounds_of(task: str, shares: Mapping[str, float] | Sequence[float]) -> dict[str, tuple[float, float]]:
    """Split → the positions [low, high) that belong to it. Raises `ConfigError` unless the shares add up to 1.

    >>> bounds_of("jsonl", (0.5, 0.25, 0.25))["test"]
    (0.75, 1.0)
    """
    if isinstance(shares, Mapping):
        for split in shares:
            if split not in SPLITS:
                raise ConfigError(f"task {task}: shares has {split!r}. {did_you_mean(split, SPLITS)}")
        shares = [shares.get(split, 0.0) for split in SPLITS]
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(f"task {task}: shares = {list(shares)}; expected train, validation and test, adding up to 1.")
    train, validation, _ = shares
    return {"train": (0.0, train), "validation": (train, train + validation), "test": (train + validation, 1.0)}


def validation_of(problems: Iterable[Problem], split: Split) -> Iterator[Problem]:
    """Those of a published train split that are `train`, or `validation` (10 % by content hash), here."""
    for problem in problems:
        if (position(problem.question) < VALIDATION_SHARE) == (split == "validation"):
            yield problem


def make_problem(question: str, gold: str, solution: str | None = None, fields: dict[str, Any] | None = None) -> Problem:
    return Problem(question, gold, solution=solution, fields=plain(fields or {}))


def checked_subset(task: str, setting: str, wanted: Iterable[Any] | int | None, valid: Sequence[Any]) -> frozenset[Any] | None:
    """A filter setting whose every value exists; None means no filter."""
    if wanted is None:
        return None
    values = [wanted] if isinstance(wanted, str | int) else list(wanted)
    for value in values:
        if value not in valid:
            raise ConfigError(f"task {task}: {setting} has {value!r}. {did_you_mean(str(value), map(str, valid))}")
    return frozenset(values)


_ANNOTATION = re.compile(r"<<[^<>]*>>")


def without_annotations(solution: str) -> str:
    """GSM8K's calculator annotations taken out: `48/2 = <<48/2=24>>24` reads `48/2 = 24`."""
    return _ANNOTATION.sub("", solution)
