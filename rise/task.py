"""A task: named problems by split, with gold answers and the instructions a model is given."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One checkable question."""

    id: str
    """Stable name; by default the content hash of `question` and `gold`, so a file may be reordered."""
    question: str
    """What the model is asked, without instructions or chat template."""
    gold: str
    """The right answer as the task stores it (for GSM8K the whole solution text, for arithmetic a number)."""
    solution: str | None = None
    """A worked solution in the task's own reply format, if there is one; what boosting trains on."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Anything else the source knows: kind, level, subject. Shown in reports, never to the model."""


def problem_id(question: str, gold: str) -> str:
    """Content hash, 12 hexadecimal digits.

    >>> problem_id("1+1?", "2") == problem_id("1+1?", "2") != problem_id("1+1?", "3")
    True
    """
    return hashlib.sha256(f"{question}\x1f{gold}".encode()).hexdigest()[:12]


def fewer(split: Split) -> str:
    """Where the number of problems of a split is set: the tail of a message about too few of them."""
    if split == "train":
        return (
            "task.n_train, rollout.n_problems or boost.n_problems (the rounds take theirs behind the boost's unless "
            "boost.disjoint = false)"
        )
    return f"task.n_{split} in a recipe, -n of rise evaluate"


class Task(Protocol):
    """A source of problems and the way its answers are judged."""

    name: str
    instructions: str | None
    """The system text that asks for the answer format; None where the model was trained on the bare format."""

    def problems(self, split: Split, n: int | None = None, *, start: int = 0) -> Sequence[Problem]:
        """Problems `start` … `start + n` of one split, always the same ones in the same order.

        `n = None` means all there are. Raises `DataError` where the split is missing or has too few.
        """
        ...

    def judge(self) -> Any:
        """The `rise.judge.Judge` that decides whether a reply to one of these problems is right."""
        ...
