"""A task: named problems by split, with gold answers and the instructions a model is given."""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from rise.errors import DataError, did_you_mean
from rise.jsonl import whole_text

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
ANY = "(whatever the scorer accepts)"
"""Gold of a problem that has many right answers, or none that is told."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One checkable question: `Problem("2+2?", gold="4")`."""

    question: str
    """What the model is asked, without instructions or chat template."""
    gold: str
    """The right answer as the task stores it (for GSM8K the whole solution text, for arithmetic a number)."""
    solution: str | None = field(default=None, kw_only=True)
    """A worked solution in the task's own reply format, if there is one; what boosting trains on."""
    fields: dict[str, Any] = field(default_factory=dict, kw_only=True)
    """Anything else the source knows: kind, level, subject. Shown in reports, never to the model."""
    id: str = field(default="", kw_only=True)
    """Stable name; by default the content hash of `question` and `gold`, so a file may be reordered."""

    def __post_init__(self) -> None:
        for name in ("question", "gold", "solution"):
            if isinstance(text := getattr(self, name), str) and not text.isascii():
                object.__setattr__(self, name, whole_text(text))
        if not self.id:
            object.__setattr__(self, "id", problem_id(self.question, self.gold))


def problem_id(question: str, gold: str) -> str:
    """Content hash, 12 hexadecimal digits.

    >>> problem_id("1+1?", "2") == problem_id("1+1?", "2") != problem_id("1+1?", "3")
    True
    """
    return hashlib.sha256(whole_text(f"{question}\x1f{gold}").encode()).hexdigest()[:12]


def fewer(split: Split) -> str:
    """Where the number of problems of a split is set: the tail of a message about too few of them."""
    if split == "train":
        return (
            "n in Python; in a recipe task.n_train, rollout.n_problems or boost.n_problems (the rounds take theirs behind the "
            "boost's unless boost.disjoint = false)"
        )
    return f"task.n_{split} in a recipe, n in Python, -n of rise evaluate"


def check_asked(task: str, split: str, n: int | None, start: int) -> None:
    """Raise `DataError` for a split that no task has, and for negative counts."""
    if split not in SPLITS:
        raise DataError(f"task {task} has no split {split!r}. {did_you_mean(split, SPLITS)}")
    if start < 0 or (n is not None and n < 0):
        raise DataError(f"task {task}: n = {n} and start = {start} must not be negative.")


class Task(ABC):
    """A source of problems and the way its answers are judged. `name`, `problems` and `judge` are required."""

    name: str
    instructions: str | None = None
    """The system text that asks for the answer format; None where the model was trained on the bare format."""
    endless: bool = False
    """Whether there is always one problem more (generated tasks), so that `n` must be given."""

    @property
    def alphabet(self) -> str | None:
        """Every character that questions, golds and solutions are written with, which a nano model needs; None: any."""
        return None

    def skills(self, problems: Sequence[Problem], rng: random.Random) -> Iterator[Any] | None:
        """Lessons (`rise.tasks.skills.Lesson`) for a nano base of this task; None where it has none to teach."""
        return None

    def key(self, question: str) -> str:
        """What two questions share that are one problem: by default the words, whatever their capitals and spaces.

        A task that can tell more says more: the same numbers in another order, say.
        """
        return " ".join(question.casefold().split())

    def skeleton(self, question: str) -> str:
        """What no two splits may share: by default the key; a task whose questions differ in names and things alone says less."""
        return self.key(question)

    @abstractmethod
    def problems(self, split: Split, n: int | None = None, *, start: int = 0) -> Sequence[Problem]:
        """Problems `start` … `start + n` of one split, always the same ones in the same order.

        `n = None` means all there are. Raises `DataError` where the split is missing or has too few.
        """

    @abstractmethod
    def judge(self) -> Any:
        """The `rise.judge.Judge` that decides whether a reply to one of these problems is right."""
