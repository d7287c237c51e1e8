"""A training example: a state, a reply and its weight; and how files of examples are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rise.errors import DataError
from rise.jsonl import read_jsonl
from rise.trajectory import Message, Verdict

VERDICT = "verdict"
"""Source of an example whose reply is a word on the attempt before it (`rise.dataset.verdicts`)."""


@dataclass(frozen=True, slots=True)
class Example:
    """What we train on: a state, a reply, and how strongly to imitate it."""

    problem_id: str
    turn: int
    """Number of attempts in the state."""
    prompt: tuple[Message, ...]
    reply: str
    source: str
    """Who wrote the reply: student, self, teacher, gold, pair, restate, solution; or `VERDICT`."""
    reward: float
    weight: float
    """Raw, or scaled over the data set (`rise.dataset.build.scaled`). Below 0 it pushes the reply down."""
    prompt_ids: tuple[int, ...]
    """Token ids of the prompt as sampled or rendered; empty until `rise.dataset.build.with_ids`."""
    reply_ids: tuple[int, ...]
    """Token ids of the reply, as sampled, or rendered where the reply came as text."""
    finish: str = "stop"
    """`length`: cut at the token limit, so no end is trained."""
    verdict: Verdict | None = None
    """What the judge said of the reply, or of the attempt that a verdict is on; None in files of before this was recorded."""
    token_weights: tuple[float, ...] = ()
    """Factor of the weight for each token of the reply; empty where all are 1."""
    sampled_logps: tuple[float, ...] = ()
    """Natural log-probability of each token of the reply under the model that drew it; empty where it was not recorded."""
    reference_logps: tuple[float, ...] = ()
    """The same under the model that the new one is held to."""
    kl: float = 0.0
    """How strongly each token of the reply is held to that model; 0 for not at all."""
    rejected: str | None = None
    """The wrong reply that this one is preferred to (`train.dpo`); None where it is trained by itself."""
    rejected_ids: tuple[int, ...] = ()
    """Token ids of that."""
    teacher_prompt: tuple[Message, ...] = ()
    """What the model was shown that teaches this reply token by token ([distil]); empty where there is no teacher."""
    own_check: bool | None = None
    """What the reply says of its own answer (`Turn.own_check`); None where it says nothing of that."""

    @property
    def trains(self) -> bool:
        """Whether it has any pull on the model."""
        return self.weight != 0 or self.kl != 0

    @property
    def right(self) -> bool:
        """Whether the judge found the reply right; by its reward where the verdict was not recorded."""
        return self.verdict is Verdict.RIGHT if self.verdict is not None else self.reward >= 1


TOKEN_COLUMNS = ("token_weights", "sampled_logps", "reference_logps")
"""Fields that are empty, or hold one value for each token of the reply."""


def example_from_json(data: dict[str, Any]) -> Example:
    """The example in one line of a file. Raises `TypeError`, `KeyError` or `ValueError` where it is none."""
    return Example(
        **{
            **data,
            "prompt": tuple(Message(**m) for m in data["prompt"]),
            "prompt_ids": tuple(data["prompt_ids"]),
            "reply_ids": tuple(data["reply_ids"]),
            "rejected_ids": tuple(data.get("rejected_ids", ())),
            "teacher_prompt": tuple(Message(**m) for m in data.get("teacher_prompt", ())),
            **{name: tuple(data[name]) for name in TOKEN_COLUMNS if name in data},
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
