"""What pages take from a run's recipe: its problems, and how its judge groups answers. No code that it names is run."""

from __future__ import annotations

from functools import lru_cache

from rise.errors import RiseError
from rise.evaluation.vote import Same
from rise.recipe.config import RunConfig
from rise.runs.directory import RunDir
from rise.task import Task


def questions(run: RunDir) -> dict[str, tuple[str, str]]:
    """(question, gold) by problem, for replies that are still in the ledger; empty where the task cannot be made here."""
    from rise.recipe.problems import held_out_problems, training_problems

    found = _task(run)
    if found is None:
        return {}
    config, task = found
    try:
        problems = list(held_out_problems(config, task))
        for k in range(1, 1 + (config.iterate.rounds if config.rollout.problems == "fresh" else 1)):
            problems += training_problems(config, task, k)
    except RiseError:
        return {}
    return {problem.id: (problem.question, problem.gold) for problem in problems}


def same_answers(run: RunDir) -> Same:
    """Whether two answers are equal, as the run's own judge has it.

    By their text where the recipe names a judge of the user's own, or where its task cannot be made here.
    """
    found = _task(run)
    if found is None:
        return _equal_text
    judge = found[1].judge()

    @lru_cache(maxsize=65536)
    def same(left: str, right: str) -> bool:
        try:
            return judge.same(left, right)
        except RiseError:  # what the judge needs, a sandbox say, is not on this machine
            return _equal_text(left, right)

    return same


def _task(run: RunDir) -> tuple[RunConfig, Task] | None:
    """The recipe and its task; None where making it would run code that the recipe names, or where it cannot be made."""
    from rise.recipe.toml import load_recipe
    from rise.tasks import make_task

    try:
        config = load_recipe(run.config)
        settings = config.task.settings
        if any(":" in str(settings.get(name) or "") for name in ("judge", "judge_path")):  # `module:name`
            return None
        return config, make_task(config.task.name, **config.task.settings)
    except (RiseError, OSError):
        return None


def _equal_text(left: str, right: str) -> bool:
    return left.strip() == right.strip()
