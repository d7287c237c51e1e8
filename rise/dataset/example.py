"""A training example: a state, a reply and its weight; and how files of examples are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rise.errors import DataError
from rise.jsonl import read_jsonl
from rise.trajectory import Message, Verdict


@dataclass(frozen=True, slots=True)
class Example:
    """What we train on: a state, a reply, and how strongly to imitate it."""

    problem_id: str
    turn: int
    """Number of attempts in the state."""
    prompt: tuple[Message, ...]
    reply: str
    source: str
    """Who wrote the reply: student, self, teacher, gold, pair, restate, solution."""
    reward: float
    weight: float
    """Raw, or scaled over the data set (`rise.dataset.build.scaled`); 0 or more."""
    prompt_ids: tuple[int, ...]
    """Token ids of the prompt as sampled or rendered; empty until `rise.dataset.build.with_ids`."""
    reply_ids: tuple[int, ...]
    """Token ids of the reply, as sampled, or rendered where the reply came as text."""
    finish: str = "stop"
    """`length`: cut at the token limit, so no end is trained."""
    verdict: Verdict | None = None
    """What the judge said of the reply; None in files written before this was recorded."""

    @property
    def right(self) -> bool:
        """Whether the judge found the reply right; by its reward where the verdict was not recorded."""
        return self.verdict is Verdict.RIGHT if self.verdict is not None else self.reward >= 1


def example_from_json(data: dict[str, Any]) -> Example:
    """The example in one line of a file. Raises `TypeError`, `KeyError` or `ValueError` where it is none."""
    return Example(
        **{
            **data,
            "prompt": tuple(Message(**m) for m in data["prompt"]),
            "prompt_ids": tuple(data["prompt_ids"]),
            "reply_ids": tuple(data["reply_ids"]),
            "verdict": Verdict(data["verdict"]) if data.get("verdict") else None,
        }
    )


def read_examples(path: Path) -> Iterator[Example]:
    """Examples of a file; a line that is not one raises `DataError` with file and line number."""
    for number, data in read_jsonl(path):
        try:
            yield example_from_json(data)
        except (TypeError, KeyError, ValueError) as error:
            raise DataError(f"{path}, line {number}: not an example ({error}). Was the file written by `rise`?") from error
