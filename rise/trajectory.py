"""What is recorded of a multi-turn episode: messages, verdicts, turns, trajectories, and their JSON form."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from rise.errors import DataError
from rise.jsonl import plain, read_jsonl

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str


class Verdict(StrEnum):
    """What a judge says of a reply."""

    RIGHT = "right"
    WRONG = "wrong"
    UNPARSABLE = "unparsable"
    """Nothing in the reply is marked as its final answer."""
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, slots=True)
class Turn:
    """One attempt at a problem."""

    reply: str
    """What was written, special tokens left out and white space at both ends stripped; `reply_ids` are what was sampled."""
    verdict: Verdict | None = None
    """None until a judge has looked. Unjudged is not the same as wrong."""
    reward: float | None = None
    """Score or verdict as a number (`rise.play.reward.reward_of`: 1 right, 0 otherwise, unless the recipe says so); None until
    judged."""
    answer: str | None = None
    """The final answer the judge read in the reply; None where it found none."""
    feedback: str | None = None
    """The user message that follows this attempt in the next state; None where none was asked for."""
    source: str = "student"
    """Who wrote it: student, self (best of N), teacher, gold, restate."""
    prompt_ids: tuple[int, ...] | None = None
    """Token ids of the state as the model was given it; None where the endpoint renders for itself."""
    reply_ids: tuple[int, ...] | None = None
    """Token ids of the reply as sampled, the end-of-turn token included if the reply ended by itself."""
    finish: str = "stop"
    """`stop`: ended by itself; `length`: cut at the token limit; `refused`: the endpoint or its model declined to answer."""
    n_prompt_tokens: int | None = None
    n_reply_tokens: int | None = None
    critique: Turn | None = None
    """What the model wrote about this attempt before revising it (`state.feedback = "self-refine"`); never judged."""
    own_verdict: Turn | None = None
    """What the model said when it was asked whether this attempt is right (`state.verify`): its `verdict` is what it says of the
    attempt, unparsable where it says neither; no judge has looked at it."""
    score: float | None = None
    """Partial credit in [0, 1]; None where the judge gives only verdicts."""
    message: str | None = None
    """What the judge found in it, such as the first test that failed; None where it says nothing."""
    brief: str | None = None
    """The message in a few characters."""
    own_check: bool | None = None
    """What the reply itself says of its answer, as its judge read it: whether it is right. None where it says nothing of that."""

    @property
    def right(self) -> bool:
        return self.verdict is Verdict.RIGHT

    @property
    def called_right(self) -> bool:
        """Whether the model itself, when it was asked, called it right."""
        return self.own_verdict is not None and self.own_verdict.right

    @property
    def beside(self) -> tuple[Turn, ...]:
        """What else the model wrote about it: its verdict and its critique, where it was asked. They are no attempts."""
        return tuple(found for found in (self.own_verdict, self.critique) if found is not None)

    @property
    def voted(self) -> str | None:
        """The answer it votes for: none where it holds none, or one that its judge could not read."""
        return None if self.verdict is Verdict.UNPARSABLE else self.answer


SERVED = "served"
"""Field of a client's question that `rise serve --log` kept: the name that the model was served under."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The turns one policy took on one problem."""

    problem_id: str
    question: str
    gold: str
    turns: tuple[Turn, ...]
    fields: dict[str, Any] = dataclasses.field(default_factory=dict)
    sample: int = 0
    """Which of the problem's independent trajectories (`rollout.n_trajectories`)."""

    @property
    def rewards(self) -> list[float]:
        """Reward of each turn; raises if one is unjudged, since a missing reward is not a zero."""
        if any(turn.reward is None for turn in self.turns):
            raise DataError(f"trajectory of problem {self.problem_id} holds an unjudged turn; run the judge on it first.")
        return [turn.reward for turn in self.turns if turn.reward is not None]


@dataclass(frozen=True, slots=True)
class Relabelled:
    """What an improver wrote at one state the student reached."""

    problem_id: str
    turn: int
    """Number of attempts in the state; the improved reply stands in place of attempt `turn` + 1."""
    candidates: tuple[Turn, ...]
    """All judged replies of the improver, in order of sampling."""
    chosen: int
    """Index into `candidates`: which of them `relabel.select` took."""
    sample: int = 0
    """`Trajectory.sample` of the trajectory it improves."""
    choice: str | None = None
    """What the model asked to choose wrote (`relabel.select = "judge"`); None where no model was asked."""

    @property
    def reply(self) -> Turn:
        return self.candidates[self.chosen]


def to_json(record: Any) -> dict[str, Any]:
    """A record as plain data; fields at their default are left out, to keep files short."""
    out: dict[str, Any] = {}
    for f in dataclasses.fields(record):
        value = getattr(record, f.name)
        if f.default is not dataclasses.MISSING and value == f.default:
            continue
        if f.default_factory is not dataclasses.MISSING and value == f.default_factory():
            continue
        out[f.name] = _plain(value)
    return out


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_json(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        if value and type(value[0]) is int:  # token ids: thousands to a record, all of them plain already
            return list(value)
        return [_plain(item) for item in value]
    if isinstance(value, dict):  # fields of a problem, which may come from anywhere
        return plain(value)
    return value


def turn_from_json(data: dict[str, Any]) -> Turn:
    known = dict(data)
    if known.get("verdict") is not None:
        known["verdict"] = Verdict(known["verdict"])
    for name in ("prompt_ids", "reply_ids"):
        if known.get(name) is not None:
            known[name] = tuple(known[name])
    for name in ("critique", "own_verdict"):
        if known.get(name) is not None:
            known[name] = turn_from_json(known[name])
    return Turn(**known)


def trajectory_from_json(data: dict[str, Any]) -> Trajectory:
    return Trajectory(**{**data, "turns": tuple(turn_from_json(t) for t in data["turns"])})


def relabelled_from_json(data: dict[str, Any]) -> Relabelled:
    return Relabelled(**{**data, "candidates": tuple(turn_from_json(t) for t in data["candidates"])})


def read_trajectories(path: Path) -> Iterator[Trajectory]:
    """Trajectories of a file; a line that is not one raises `DataError` with file and line number."""
    return _read(path, trajectory_from_json, "trajectory")


def read_relabelled(path: Path) -> Iterator[Relabelled]:
    """Improver replies of a file; a line that is not one raises `DataError` with file and line number."""
    return _read(path, relabelled_from_json, "relabelled reply")


def _read(path: Path, make: Any, what: str) -> Iterator[Any]:
    for number, data in read_jsonl(path):
        try:
            yield make(data)
        except (TypeError, KeyError, ValueError) as error:
            raise DataError(f"{path}, line {number}: not a {what} ({error}). Was the file written by `rise`?") from error
