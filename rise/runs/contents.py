"""Hashes of what a recipe only names, so that a run is not continued on other problems, models or code of the user's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from rise.jsonl import dumps
from rise.policies import directory_of, parse_spec
from rise.recipe.config import RunConfig
from rise.recipe.improvers import IMPROVERS, INJECTED
from rise.recipe.own_code import is_own_code, source_of
from rise.task import Problem
from rise.training.weights import tokenizer_hash, weights_hash


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
        directory = directory_of(spec)
        if directory and directory.is_dir():
            out[name] = weights_hash(directory)
            out[f"{name}, tokenizer and chat template"] = tokenizer_hash(directory)
    for name, path in _code(config).items():
        if is_own_code(path) and (source := source_of(str(path), name)) is not None:
            out[name] = hashlib.sha256(source).hexdigest()[:12]
    return out


def _code(config: RunConfig) -> dict[str, Any]:
    """Setting → what it holds, where that may name code of the user's own."""
    evaluated, judge = config.evaluate.state, config.task.settings.get("judge")
    code: dict[str, Any] = {
        "state.feedback": config.state.feedback,
        "evaluate.state.feedback": evaluated and evaluated.feedback,
        "task.judge_path": config.task.settings.get("judge_path"),
    }
    code |= {
        name: parse_spec(spec).rest for name, spec in _models(config).items() if spec and parse_spec(spec).name == "function"
    }
    name = "task.judge"
    while isinstance(judge, Mapping):  # a table; a model that judges reads answers by another judge
        code[name], judge, name = judge.get("name"), judge.get("reads"), f"{name}.reads"
    return code | {name: judge}


def _models(config: RunConfig) -> dict[str, str | None]:
    relabel = config.relabel
    judge = config.task.settings.get("judge")
    asked = IMPROVERS[relabel.improver].asks
    return {
        "model.path": config.model.place or None,
        "rollout.policy": config.rollout.policy if config.rollout.policy != INJECTED else None,
        "relabel.teacher": relabel.teacher if asked == "teacher" else None,
        "relabel.judge": relabel.judge if relabel.select == "judge" and relabel.judge != "self" else None,
        "task.judge.policy": judge.get("policy") if isinstance(judge, Mapping) and judge.get("name") == "model" else None,
    }
