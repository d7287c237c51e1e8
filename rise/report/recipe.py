"""What pages take from a run's recipe: generated problems, and how its judge groups answers.

A run may come from a stranger. Nothing that its recipe names is imported, fetched or read: whatever is decided here is decided by
the parsed recipe, and what its settings may make slow or large is made in a process with a deadline.
"""

from __future__ import annotations

import json
import subprocess  # nosec B404 # our own script, started without a shell
import sys
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from rise.errors import RiseError
from rise.evaluation.vote import Same
from rise.jsonl import read_text
from rise.judges import make_judge
from rise.judges.reasoning_gym import same_words
from rise.recipe.config import RunConfig
from rise.recipe.toml import build_config
from rise.runs.directory import RunDir
from rise.tasks import class_of, make_task
from rise.tasks.files import FileTask
from rise.tasks.generated import GeneratedTask

MOST_PROBLEMS = 50_000
"""Of generated ones, made for a page."""
MAKE_LIMIT_S = 30.0
MAKE_MEMORY_BYTES = 1 << 30


def generated_problems(run: RunDir) -> dict[str, tuple[str, str]]:
    """(question, gold) by problem where the recipe's task makes its problems itself; empty for any other."""
    config = read_config(run)
    if config is None or not _is_generated(config.task.name):
        return {}
    script = str(Path(__file__).with_name("problem_maker.py"))
    about = json.dumps(
        {"path": sys.path, "config": config.model_dump(mode="json"), "most": MOST_PROBLEMS, "bytes": MAKE_MEMORY_BYTES}
    )
    try:
        done = subprocess.run(  # nosec B603 # no shell, and the recipe is data on its standard input
            [sys.executable, "-I", script], input=about.encode(), capture_output=True, timeout=MAKE_LIMIT_S, env={}, check=True
        )
        return {name: (question, gold) for name, question, gold in json.loads(done.stdout)}
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}


def same_answers(run: RunDir) -> Same:
    """Whether two answers are equal, as the run's own judge has it.

    By their text where the recipe names a judge of the user's own, or one that is not known here.
    """
    config = read_config(run)
    judged = _same(config.task.name, config.task.settings) if config else None
    if judged is None:
        return _equal_text

    @lru_cache(maxsize=65536)
    def same(left: str, right: str) -> bool:
        try:
            return judged(left, right)
        except RiseError:  # what the judge needs, a sandbox say, is not on this machine
            return _equal_text(left, right)

    return same


def _same(task: str, settings: dict[str, Any]) -> Same | None:
    """How that task's judge groups answers; None where nobody here may say. Makes no task that reads a file."""
    try:
        if _is(FileTask, task):
            judges = {settings.get(name) for name in ("judge", "judge_path")} - {None}
            return make_judge("math").same if judges <= {"math"} else None
        if task == "python-functions":
            return make_judge(task).same  # in a sandbox, whatever the recipe allows
        if task.startswith("reasoning-gym:"):
            return same_words
        same: Same | None = make_task(task, **settings).judge().same if _is_generated(task) else None
        return same
    except (RiseError, TypeError):  # settings that are none
        return None


def _is(kind: type, task: str) -> bool:
    found = class_of(task)
    return found is not None and issubclass(found, kind)


def _is_generated(task: str) -> bool:
    """Whether its problems come of a seed: such a task reads no file, and no setting of it names one."""
    return _is(GeneratedTask, task)


def read_config(run: RunDir) -> RunConfig | None:
    """The run's recipe as it stands in config.toml, which names no other recipe; None where it is none."""
    try:
        data = tomllib.loads(read_text(run.config))
        return None if "extends" in data else build_config({name: value for name, value in data.items() if name != "scale"})
    except (RiseError, OSError, ValueError, RecursionError):
        return None


def _equal_text(left: str, right: str) -> bool:
    return left.strip() == right.strip()
