"""Hashes of what a recipe only names, so that a run is not continued on other problems, models or code of the user's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from rise.jsonl import dumps
from rise.policies import parse_spec
from rise.recipe.config import RunConfig
from rise.recipe.improvers import IMPROVERS, INJECTED
from rise.recipe.own_code import is_own_code, source_of
from rise.task import Problem
from rise.training.weights import tokenizer_hash, weights_hash

JUDGE = "task.judge"
"""Leads the names of what a judge consists of."""


def contents(
    config: RunConfig, rounds: Sequence[Sequence[Problem]], boost: Sequence[Problem], held_out: Sequence[Problem]
) -> dict[str, str]:
    """Name → hash, 12 hexadecimal digits. `rounds` are the training problems of the first round, or of none."""
    training = [*(rounds[0] if rounds else ()), *boost]
    out = {
        name: hashlib.sha256(dumps([[p.id, p.question, p.gold, p.solution] for p in part]).encode()).hexdigest()[:12]
        for name, part in (("training problems", training), ("held-out problems", held_out))
    }
    for name, spec in _models(config).items():
        out |= _of_model(name, spec)
    evaluated = config.evaluate.state
    code = {
        "state.feedback": config.state.feedback,
        "evaluate.state.feedback": evaluated and evaluated.feedback,
        "task.judge_path": config.task.settings.get("judge_path"),
    }
    for name, path in code.items():
        out |= _of_code(name, path)
    return out | of_judge(config.task.settings.get("judge"))


def of_judge(judge: Any, name: str = JUDGE) -> dict[str, str]:
    """The same of a judge as a recipe names it; a model that judges reads answers by another judge."""
    if not isinstance(judge, Mapping):
        return _of_code(name, judge)
    if judge.get("name") == "model":
        return _of_model(f"{name}.policy", judge.get("policy")) | of_judge(judge.get("reads"), f"{name}.reads")
    return _of_code(name, judge.get("name"))


def _of_model(name: str, spec: str | None) -> dict[str, str]:
    if not spec:
        return {}
    if (found := parse_spec(spec)).name == "function":
        return _of_code(name, found.rest)
    if not (found.directory and found.directory.is_dir()):
        return {}
    return {name: weights_hash(found.directory), f"{name}, tokenizer and chat template": tokenizer_hash(found.directory)}


def _of_code(name: str, path: Any) -> dict[str, str]:
    source = source_of(str(path), name) if is_own_code(path) else None
    return {} if source is None else {name: hashlib.sha256(source).hexdigest()[:12]}


def _models(config: RunConfig) -> dict[str, str | None]:
    relabel = config.relabel
    asked = IMPROVERS[relabel.improver].asks
    return {
        "model.path": config.model.place or None,
        "rollout.policy": config.rollout.policy if config.rollout.policy != INJECTED else None,
        "relabel.teacher": relabel.teacher if asked == "teacher" else None,
        "relabel.judge": relabel.judge if relabel.select == "judge" and relabel.judge != "self" else None,
    }
