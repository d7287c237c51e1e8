"""What can be known to be impossible before any work starts: hours later is too late to hear of a misspelt path."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rise.recipe.config import RunConfig
from rise.errors import ConfigError, DataError, EmptyStageError, ModelError, NotHereError, PolicyError
from rise.play.formats import find_format
from rise.jsonl import dumps
from rise.recipe.problems import boost_problems, held_out_problems, training_problems
from rise.policies import split_spec
from rise.play.prompt import load_function
from rise.task import Problem, Task
from rise.tasks import make_task
from rise.training.arguments import check_arguments, check_devices


def check(config: RunConfig) -> Task:
    """Find impossible settings before hours are spent; returns the task. Raises `ConfigError` or `DataError`."""
    task = make_task(config.task.name, **config.task.settings)
    if config.model.nano and not hasattr(task, "alphabet"):
        raise ConfigError(
            f"model.nano needs a task with a fixed alphabet, which {config.task.name} has not. Use task.name = "
            '"arithmetic", or give a pretrained model: model.path.'
        )
    if ":" in config.state.feedback:
        load_function(config.state.feedback)
    if not training_problems(config, task):
        shared = config.boost.enabled and config.boost.disjoint
        way_out = (
            f"boost.n_problems = {config.boost.n_problems} takes all; lower it, or set boost.disjoint = false"
            if shared
            else "add some"
        )
        raise EmptyStageError(f"task {config.task.name} has no training problem for the rounds: {way_out}.")
    if not held_out_problems(config, task):
        raise EmptyStageError(f"task {config.task.name} has no {config.evaluate.split} problem to measure on: add some.")
    return task


def contents(config: RunConfig, task: Task) -> dict[str, str]:
    """Hashes of what a recipe only names, so that a run is not continued on other problems, models or code of your own."""
    problems = list(training_problems(config, task))
    if config.boost.enabled:
        problems += boost_problems(config, task)
    parts = {"training problems": problems, "held-out problems": held_out_problems(config, task)}
    out = {
        name: hashlib.sha256(dumps([[p.id, p.question, p.gold, p.solution] for p in part]).encode()).hexdigest()[:12]
        for name, part in parts.items()
    }
    models = {"model.path": config.model.path}
    if config.relabel.improver == "teacher":
        models["relabel.teacher"] = (config.relabel.teacher or "").removeprefix("local:")
    if config.relabel.select == "judge" and config.relabel.judge != "self":
        models["relabel.judge"] = (config.relabel.judge or "").removeprefix("local:")
    for name, path in models.items():
        if path and Path(path).is_dir():
            from rise.training.model import weights_hash

            out[name] = weights_hash(path)
    code = {"state.feedback": config.state.feedback, "task.judge_path": config.task.settings.get("judge_path")}
    for name, path in code.items():
        if path and ":" in path and (source := _source(path)) is not None:
            out[name] = hashlib.sha256(source).hexdigest()[:12]
    return out


def _source(path: str) -> bytes | None:
    """The file of `module:name`, which `check` has imported; None where it has none."""
    file = getattr(sys.modules.get(path.partition(":")[0]), "__file__", None)
    return Path(file).read_bytes() if file else None


def preflight(config: RunConfig, task: Task, problems: Callable[[int], Sequence[Problem]]) -> None:
    """Raises the `RiseError` that names it. `problems(k)` are the training problems of round k."""
    if config.model.chat_format:
        find_format(config.model.chat_format)
    if config.model.path:
        check_place(config.model.path, f'model.path = "{config.model.path}"')
        if config.model.gguf_file and Path(config.model.path).is_dir():
            file = Path(config.model.path) / config.model.gguf_file
            if not file.exists():
                raise ConfigError(f'model.gguf_file = "{config.model.gguf_file}", but there is no {file}.')
    if config.engine.kind == "vllm" and not Path(config.engine.python).exists():
        raise NotHereError(
            f'engine.kind = "vllm", but engine.python = "{config.engine.python}" is not there. Run `make venv-vllm`, name a '
            'Python that has vLLM, or set engine.kind = "auto" or "local".'
        )
    if config.model.lora and importlib.util.find_spec("peft") is None:
        raise ConfigError(
            "[model.lora] needs the package peft: pip install 'rise-lm[train]'. Or leave it out to train all weights."
        )
    if config.model.lora:
        from rise.training.adapters import check_quantize

        check_quantize(config.model.lora)
    trainings = {"train": config.train}
    if config.boost.enabled:
        trainings |= {"boost.train": config.boost.train}
        if config.boost.train_multi_turn:
            trainings |= {"boost.train_multi_turn": config.boost.train_multi_turn}
    for name, training in trainings.items():
        check_arguments(training, name)
        check_devices(training, name)
    if config.boost.reuse and not (Path(config.boost.reuse) / "config.toml").exists():
        raise ConfigError(f'boost.reuse = "{config.boost.reuse}" is no run directory: it holds no config.toml.')
    if config.relabel.improver == "teacher" and config.relabel.teacher:
        check_spec(config.relabel.teacher, "relabel.teacher")
    if config.relabel.select == "judge" and config.relabel.judge not in (None, "self"):
        check_spec(config.relabel.judge, "relabel.judge")
    _check_problems(config, task, problems)


def _check_problems(config: RunConfig, task: Task, problems: Callable[[int], Sequence[Problem]]) -> None:
    """Enough of them for every round, with worked solutions where those are trained on."""
    if config.boost.enabled:
        n = config.boost.n_problems
        _need_solutions(
            task.problems("train", None if n == "all" else n), "boost.enabled = true trains on", "Set boost.enabled = false"
        )
    fresh = config.rollout.problems == "fresh"
    for k in range(1, config.iterate.rounds + 1 if fresh else 2):
        try:
            found = problems(k)
        except DataError as error:
            if k == 1:
                raise
            raise DataError(
                f'round {k} of {config.iterate.rounds}: rollout.problems = "fresh", but {error} '
                'Fewer rounds, a smaller rollout.n_problems or rollout.problems = "same" need fewer.'
            ) from error
        if config.relabel.improver == "gold":
            _need_solutions(found, 'relabel.improver = "gold" gives', 'Use "self" or "teacher"')


def _need_solutions(problems: Sequence[Problem], who: str, way_out: str) -> None:
    n = sum(problem.solution is None for problem in problems)
    if n:
        first = next(problem for problem in problems if problem.solution is None)
        raise DataError(
            f"{who} worked solutions, but {n} of {len(problems)} problems have none; the first is {first.id}: "
            f"{first.question[:60]!r}. {way_out}, or give each problem a solution field."
        )


def check_spec(spec: str, setting: str = "") -> None:
    """A policy spec names a known kind, and what it points to on this machine is there. `setting` leads the message."""
    named = f'{setting} = "{spec}"' if setting else f'"{spec}"'
    kind, rest = split_spec(spec, named)
    if kind in ("http", "https"):
        from rise.policies.http import HttpPolicy

        HttpPolicy.from_spec(spec)
    elif kind in ("local", "vllm"):
        check_place(rest, named)
    elif not Path(rest).exists():
        raise PolicyError(f"{named}: there is no file {rest}.")


def check_place(path: str, named: str) -> None:
    """A model directory is there. What may be a hub name, as `name` or `owner/name`, is left to the hub."""
    if looks_local(path) and not Path(path).exists():
        raise ModelError(f"{named}: there is no such directory ({Path(path).absolute()}).")


def looks_local(path: str) -> bool:
    """Whether a model's name can only be a path.

    >>> [looks_local(p) for p in ("./m", "/a/m", "runs/x/checkpoint", "m.gguf", "gpt2", "owner/name")]
    [True, True, True, True, False, False]
    """
    if path.startswith((".", "/", "~")) or path.endswith(("/", ".gguf", ".safetensors")) or path.count("/") > 1:
        return True
    return "/" in path and Path(path).parent.is_dir()  # owner/name, where a folder is called as the owner
