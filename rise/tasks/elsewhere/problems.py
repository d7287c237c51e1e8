"""What the ways back share: which problems of a task."""

from __future__ import annotations

from collections.abc import Sequence

from rise.errors import ConfigError
from rise.task import Problem, Split, Task


def some(task: Task, split: Split, n: int | None) -> Sequence[Problem]:
    """The first `n` problems of a split, or all. Raises `ConfigError` for a judge that must know the replies before."""
    if task.judge().looks_back:
        raise ConfigError(f"task {task.name} is an environment of several turns, which is theirs already.")
    if n is None or task.endless:
        return task.problems(split, n)
    return task.problems(split)[:n]
