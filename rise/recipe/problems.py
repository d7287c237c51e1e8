"""What a recipe means: which problems each round takes, how many turns the student gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rise.recipe.config import RunConfig
from rise.task import Problem, Task


def training_problems(config: RunConfig, task: Task, number: int = 1) -> Sequence[Problem]:
    """Problems of round `number`. The first `boost.n_problems` are the boost's, the rounds take theirs behind them."""
    n = config.rollout.n_problems or number_of(config.task.n_train)
    start = (number_of(config.boost.n_problems) or 0) if config.boost.enabled and config.boost.disjoint else 0
    if config.rollout.problems == "fresh" and n is not None:
        start += (number - 1) * n
    return task.problems("train", n, start=start)


def boost_problems(config: RunConfig, task: Task) -> Sequence[Problem]:
    """Those whose worked solutions the boost trains on."""
    return task.problems("train", number_of(config.boost.n_problems))


def held_out_problems(config: RunConfig, task: Task) -> Sequence[Problem]:
    """Those that every stage is measured on."""
    split = config.evaluate.split
    return task.problems(split, number_of(config.task.n_test if split == "test" else config.task.n_validation))


def student_turns(config: RunConfig, number: int) -> int:
    """How many turns the student takes in round `number` before the improver."""
    turns = number if config.rollout.turns == "round" else config.rollout.turns
    return max(1, turns + config.rollout.turns_offset)


def number_of(count: int | Literal["all"]) -> int | None:
    """`all` as a task takes it: None."""
    return None if count == "all" else count
