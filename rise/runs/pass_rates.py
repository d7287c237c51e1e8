"""Where pass rates come from: first replies to training problems, of a run, a stage, an evaluation, or a file of rates."""

from __future__ import annotations

from pathlib import Path

from rise.errors import ConfigError, DataError
from rise.evaluation.held_out import read_held_out
from rise.jsonl import read_jsonl
from rise.recipe.config import FilterConfig
from rise.runs import stages
from rise.runs.directory import StageDir
from rise.task import Task
from rise.tasks.filtered import Filtered, shares
from rise.trajectory import read_trajectories


def filtered(task: Task, settings: FilterConfig | None) -> Task:
    """The task with its training problems filtered; the task itself where nothing is to be filtered."""
    if settings is None:
        return task
    low, high = settings.pass_rate
    return Filtered(task, pass_rates(Path(settings.rates)), low, high, settings.rates)


def pass_rates(path: Path) -> dict[str, float]:
    """Share of right replies by problem id.

    Of a run: first replies of the last round that collected any; of a stage: its own. Of what `rise evaluate --out` wrote:
    first replies, the parallel samples among them. Of a .jsonl file: `id` and `pass_rate` of each line.
    Raises `ConfigError` for a place that is not there, `DataError` for one that holds no rates.
    """
    if not path.exists():
        raise ConfigError(f"task.filter.rates = {path}: no such file or directory. Give a run, a stage, or a .jsonl of rates.")
    if path.is_file():
        return _from_file(path)
    if (path / "config.toml").exists():
        collected = [name for name in stages.on_disk(path) if StageDir(path / name).trajectories.exists()]
        if not collected:
            raise DataError(
                f"task.filter.rates = {path}: this run has collected no replies to training problems. Measure them: "
                f"rise evaluate {path} --split train --out DIRECTORY."
            )
        return pass_rates(path / collected[-1])
    stage = StageDir(path)
    if stage.trajectories.exists():
        return shares([(t.problem_id, t.turns[0].right) for t in read_trajectories(stage.trajectories) if t.turns])
    if stage.held_out.exists() and not stages.is_stage(path.name):
        return shares([(r.problem_id, turn.right) for r in read_held_out(stage.held_out) for turn in r.parallel])
    raise DataError(
        f"task.filter.rates = {path}: there are no replies to training problems in it. Measure them: "
        "rise evaluate MODEL --split train --out DIRECTORY."
    )


def _from_file(path: Path) -> dict[str, float]:
    """Rates of a .jsonl file, as anybody may write one."""
    out: dict[str, float] = {}
    for number, line in read_jsonl(path):
        name, rate = line.get("id", line.get("problem_id")), line.get("pass_rate")
        if not isinstance(name, str) or not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 <= rate <= 1:
            raise DataError(f'{path}, line {number}: each line needs "id", a text, and "pass_rate", a share from 0 to 1.')
        out[name] = float(rate)
    if not out:
        raise DataError(f"{path} holds no rates: each line is to be an object with id and pass_rate.")
    return out
