"""What may change when a run is continued: what decides no result, and settings of parts that have not begun."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rise.recipe.config import RunConfig
from rise.recipe.endpoints import same_model
from rise.recipe.toml import differences
from rise.runs import stages
from rise.training.checkpoints import HARMLESS, SPEED, complete

FREE = (
    *("relabel.budget", "relabel.price_prompt", "relabel.price_reply", "relabel.judge_price_prompt", "relabel.judge_price_reply"),
    *("evaluate.price_prompt", "evaluate.price_reply", "iterate.allow_no_right"),
    *("cluster", "http", "engine", "track"),
)
"""Settings, and tables, of money, patience and speed: they decide nothing about what a run's files hold."""
TRAININGS = ("train", "boost.train", "boost.train_multi_turn")
FREE_IN_TRAINING = (*SPEED, "save_steps", "launcher", *(f"arguments.{name}" for name in HARMLESS))
FREE_UNLESS_DETERMINISTIC = ("threads", "batch_size")
"""They change the rounding of sums, which only a deterministic run promises."""

MARKS: dict[str, str] = {part.name: part.file or "checkpoint" for part in stages.PARTS if part.file or not part.asks}
"""Part of a stage → the file that shows that it has begun; replies in the ledger show it too."""
EXAMPLES = "examples"
"""What is no part, and yet between two: the training set is made."""

Part = tuple[str, str]
"""(stage, part)"""
_PURPOSE = re.compile(rb'"purpose":"([^"/]+)/([^"/]+)')


def begun(run: Path) -> frozenset[Part]:
    """The parts of a run that have begun; empty where no reply was drawn and no stage holds a file."""
    found: set[Part] = set()
    for name in stages.on_disk(run):
        files = {file.name for file in (run / name).iterdir() if not file.name.endswith(".partial")}
        found |= {(name, part) for part, mark in MARKS.items() if mark in files}
        if f"{EXAMPLES}.jsonl" in files:
            found.add((name, EXAMPLES))
        if complete(run / name / "training"):
            found.add((name, "train"))
        if files - {"training"}:
            found.add((name, "any"))
    ledger = run / "ledger.jsonl"
    if ledger.exists():
        with ledger.open("rb") as file:
            purposes = {match.groups() for line in file if (match := _PURPOSE.search(line))}
        found |= {(stage.decode(), part.decode()) for stage, part in purposes}
    return frozenset(found)


def refused(run: Path | None, old: RunConfig, new: RunConfig) -> tuple[list[str], list[str]]:
    """(differences that a continued run may not have, those it may), each as `name: old → new`. No run: every part has begun."""
    changed = differences(old.model_dump(mode="json"), new.model_dump(mode="json"))
    done: frozenset[Part] = frozenset()
    if changed:
        done = (
            begun(run) if run else frozenset((s, part) for s in stages.expected(old.model_dump()) for part in (*MARKS, EXAMPLES))
        )
    held = [line for line in changed if _held(line.partition(":")[0], old, new, done)]
    return held, [line for line in changed if line not in held]


def content_held(name: str, run: Path) -> bool:
    """Whether what a run's contents call `name` may no longer change: what only the improver uses may until it begins."""
    done = begun(run)
    return any(_improves(*part) for part in done) if name.startswith("relabel.") else bool(done)


def _held(name: str, old: RunConfig, new: RunConfig, done: frozenset[Part]) -> bool:
    if not done or any(name == free or name.startswith(free + ".") for free in FREE):
        return False
    training = next((table for table in TRAININGS if name.startswith(table + ".")), None)
    if training and name.removeprefix(training + ".") in FREE_IN_TRAINING:
        return False
    if name in FREE_UNLESS_DETERMINISTIC:
        return old.deterministic or new.deterministic
    if name in ("relabel.teacher", "relabel.judge") and same_model(*(getattr(c.relabel, name[8:]) or "" for c in (old, new))):
        return False  # it has moved
    if name == "iterate.rounds":
        return _rounds_held(old, new, done)
    if name == "evaluate.controls":
        return any(wants_control(old, stage) != wants_control(new, stage) for stage, part in done if part == "evaluate")
    if name == "evaluate.internalised":  # of the last round alone; it can be had afterwards, not undone
        return old.evaluate.internalised and (stages.round_name(new.iterate.rounds), "evaluate") in done
    holds = next((test for table, test in HELD_FROM if name == table or name.startswith(table + ".")), lambda stage, part: True)
    return any(holds(*part) for part in done)


def _rounds_held(old: RunConfig, new: RunConfig, done: frozenset[Part]) -> bool:
    """More rounds may follow, and those not begun be left out. With `match_tokens` the last round trains on all that is left."""
    reached = max((stages.round_number(stage) for stage, _ in done), default=0)
    return new.iterate.rounds < reached or (new.iterate.match_tokens and (stages.round_name(old.iterate.rounds), "train") in done)


def _is_round(stage: str, part: str) -> bool:
    return stages.round_number(stage) > 0


def _trains(stage: str, part: str) -> bool:
    return _is_round(stage, part) and part == "train"


def _improves(stage: str, part: str) -> bool:
    return _is_round(stage, part) and part not in ("rollout", "any")


def _has_examples(stage: str, part: str) -> bool:
    return _is_round(stage, part) and part in (EXAMPLES, "train", "evaluate")


HELD_FROM: tuple[tuple[str, Callable[[str, str], bool]], ...] = (
    ("boost.train_multi_turn", lambda stage, part: stage == "boost" and part == "train"),
    ("boost.train.max_length", lambda stage, part: stage.startswith("boost")),
    ("boost.train", lambda stage, part: stage.startswith("boost") and part == "train"),
    ("boost", lambda stage, part: stage.startswith("boost") or _is_round(stage, part)),
    ("train.max_length", _has_examples),
    ("train", _trains),
    ("keep", _has_examples),
    ("weigh", _has_examples),
    ("dataset", _has_examples),
    ("relabel", _improves),
    ("rollout", _is_round),
    ("iterate.start", _trains),
    ("evaluate.n_base", lambda stage, part: (stage, part) == ("base", "evaluate")),
    ("evaluate", lambda stage, part: part == "evaluate"),
)
"""Setting or table → what must have begun for it to be held; the first that fits counts. Any other is held by any part."""


def wants_control(config: RunConfig, stage: str) -> bool:
    """Whether a stage is also measured with another problem's attempts shown."""
    settings = config.evaluate
    last = stage == stages.round_name(config.iterate.rounds)
    return settings.controls == "all" or (settings.controls == "last" and last)


def first_value(log: Sequence[Mapping[str, Any]], name: str) -> Any:
    """What a setting was when the run was made, as its log tells of changes; None where it never changed."""
    for event in log:
        for line in event.get("changed") or []:
            if line.startswith(f"{name}: "):
                return json.loads(line.removeprefix(f"{name}: ").partition(" → ")[0])
    return None
