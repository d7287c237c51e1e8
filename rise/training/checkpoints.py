"""Checkpoints of training that has not ended: written beside their name, renamed, pruned; continued only by the same training."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rise.dataset.build import Example
from rise.errors import ResumeError
from rise.jsonl import dumps, write_whole
from rise.recipe.config import ModelConfig, TrainConfig
from rise.recipe.toml import differences
from rise.training.model import weights_hash

CHECKPOINT = "checkpoint-"
PARTIAL = "partial"
SETTINGS = "settings.json"
HARMLESS = ("logging_steps", "report_to", "save_total_limit", "dataloader_num_workers")
"""Arguments that may change between a kill and its continuation: they decide nothing about the weights."""


def begin(work: Path, settings: dict[str, Any], *, first: bool, elastic: bool = False) -> str | None:
    """The checkpoint to continue from, if any. Leftovers of a kill are removed by the `first` process.

    `elastic` lets another number of processes continue: a step holds the same examples, shared out otherwise, so that only
    roundings differ (and random states, where dropout draws any).
    Raises `ResumeError` naming each difference if the training begun in `work` was another one.
    """
    file = work / SETTINGS
    if file.exists():
        begun = json.loads(file.read_text(encoding="utf-8"))
        if elastic:
            begun["processes"] = settings["processes"]
        changed = differences(begun, settings)
        if changed:
            shown = "\n  ".join(changed)
            raise ResumeError(
                f"{work} holds unfinished training that was begun otherwise:\n  {shown}\n"
                "Continue it with its own settings and data, or remove that folder to begin anew."
            )
    elif first:
        for path in complete(work):  # of an older version, or nobody's: what they were made with is not known
            shutil.rmtree(path)
    if first:
        shutil.rmtree(work / PARTIAL, ignore_errors=True)
        work.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(settings, indent=1) + "\n")
    return str(complete(work)[-1]) if file.exists() and complete(work) else None


def complete(work: Path) -> list[Path]:
    """Checkpoints in place, oldest first."""
    found = [path for path in work.glob(f"{CHECKPOINT}*") if path.name.removeprefix(CHECKPOINT).isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix(CHECKPOINT)))


def step_of(checkpoint: Path) -> int:
    """How many steps it has behind it, whatever it is called."""
    return int(json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))["global_step"])


def put_in_place(work: Path, step: int, *, keep: int) -> None:
    """`partial/checkpoint-STEP` gets its name once it is on the disk; then all but the `keep` newest go."""
    name = f"{CHECKPOINT}{step}"
    for file in (path for path in (work / PARTIAL).rglob("*") if path.is_file()):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    shutil.rmtree(work / name, ignore_errors=True)
    os.replace(work / PARTIAL / name, work / name)
    shutil.rmtree(work / PARTIAL, ignore_errors=True)
    for path in complete(work)[: -max(1, keep)]:
        shutil.rmtree(path, ignore_errors=True)


def settings_of(
    examples: Sequence[Example], start: Path | str, config: TrainConfig, model: ModelConfig | None, seed: int, world: int
) -> dict[str, Any]:
    """Everything that decides the weights training ends with, as plain JSON."""
    digest = hashlib.sha256()
    for e in examples:
        digest.update(dumps([e.problem_id, list(e.prompt_ids), list(e.reply_ids), e.weight]).encode())
    own = config.model_dump(mode="json", exclude={"save_steps", "launcher"})
    own["arguments"] = {name: value for name, value in own["arguments"].items() if name not in HARMLESS}
    return {
        "examples": f"{len(examples)}, hash {digest.hexdigest()[:12]}",
        "start": f"weights {weights_hash(start)}",
        "processes": world,
        "seed": seed,
        "train": own,
        "model": {
            name: value for name, value in model.model_dump(mode="json").items() if name in ("dtype", "lora", "chat_format")
        }
        if model
        else {},
    }
