"""Hashes of what a recipe only names, so that a run is not continued on other problems, models or code of the user's own."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from rise.jsonl import dumps
from rise.policies import directory_of
from rise.recipe.config import RunConfig
from rise.recipe.improvers import IMPROVERS, INJECTED
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
    settings = config.task.settings
    code = {
        "state.feedback": config.state.feedback,
        "task.judge_path": settings.get("judge_path"),
        "task.judge": settings.get("judge"),
    }
    for name, path in code.items():
        if isinstance(path, str) and ":" in path and (source := _source(path)) is not None:
            out[name] = hashlib.sha256(source).hexdigest()[:12]
    return out


def _models(config: RunConfig) -> dict[str, str | None]:
    relabel = config.relabel
    asked = IMPROVERS[relabel.improver].asks
    return {
        "model.path": config.model.place or None,
        "rollout.policy": config.rollout.policy if config.rollout.policy != INJECTED else None,
        "relabel.teacher": relabel.teacher if asked == "teacher" else None,
        "relabel.judge": relabel.judge if relabel.select == "judge" and relabel.judge != "self" else None,
    }


def _source(path: str) -> bytes | None:
    """The file of `module:name`, which has been imported by now; None where it has none."""
    file = getattr(sys.modules.get(path.partition(":")[0]), "__file__", None)
    return Path(file).read_bytes() if file else None
