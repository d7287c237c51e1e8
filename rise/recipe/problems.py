"""What a recipe means: which problems each round takes, how many turns the student gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rise.recipe.config import RunConfig, TaskConfig
from rise.task import Problem, Split, Task


def training_problems(config: RunConfig, task: Task, number: int = 1) -> Sequence[Problem]:
    """Problems of round `number`. The first `boost.n_problems` are the boost's, the rounds take theirs behind them."""
    start = (number_of(config.boost.n_problems) or 0) if config.boost.enabled and config.boost.disjoint else 0
    if config.rollout.n_problems is None and config.rollout.problems == "same":
        return counted(task, "train", config.task, start=start)
    n = config.rollout.n_problems or number_of(config.task.n_train)
    if config.rollout.problems == "fresh" and n is not None:
        start += (number - 1) * n
    return task.problems("train", n, start=start)


def boost_problems(config: RunConfig, task: Task) -> Sequence[Problem]:
    """Those whose worked solutions the boost trains on."""
    return task.problems("train", number_of(config.boost.n_problems))


def held_out_problems(config: RunConfig, task: Task) -> Sequence[Problem]:
    """Those that every stage is measured on."""
    return counted(task, config.evaluate.split, config.task)


def rate_problems(config: RunConfig, task: Task) -> Sequence[Problem]:
    """Those that the chain's rates are taken from; none where the measured ones do."""
    n, settings = config.evaluate.n_rates, config.evaluate
    return task.problems("validation", n) if n and settings.split == "test" and settings.turns > 1 else ()


def counted(task: Task, split: Split, settings: TaskConfig, start: int = 0) -> Sequence[Problem]:
    """As many problems of a split as [task] says. A count at its default means at most: a file that holds fewer gives all.

    Raises `DataError` where a count that is not the default is more than there are.
    """
    count = number_of({"train": settings.n_train, "validation": settings.n_validation, "test": settings.n_test}[split])
    if count is not None and count == TaskConfig.model_fields[f"n_{split}"].default and not task.endless:
        return task.problems(split)[start : start + count]
    return task.problems(split, count, start=start)


def some_problems(task: Task, split: Split, n: int | None, most: int = 200) -> Sequence[Problem]:
    """`n` problems of a split, or by default the first `most`, or all where there are fewer."""
    if n is None and not task.endless:
        return task.problems(split)[:most]
    return task.problems(split, n or most)


def student_turns(config: RunConfig, number: int) -> int:
    """How many turns the student takes in round `number` before the improver."""
    turns = number if config.rollout.turns == "round" else config.rollout.turns
    return max(1, turns + config.rollout.turns_offset)


def number_of(count: int | Literal["all"]) -> int | None:
    """`all` as a task takes it: None."""
    return None if count == "all" else count
