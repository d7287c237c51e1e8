"""Checkpoints of unfinished training: written beside their name, renamed, pruned; only the same training may continue them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rise.dataset.example import TOKEN_COLUMNS, Example
from rise.errors import ResumeError
from rise.jsonl import dumps, write_whole
from rise.recipe.config import TrainConfig
from rise.recipe.learning import LossConfig
from rise.recipe.machines import ModelConfig
from rise.recipe.toml import differences
from rise.training.weights import weights_hash

CHECKPOINT = "checkpoint-"
PARTIAL = "partial"
SETTINGS = "settings.json"
HARMLESS = ("logging_steps", "report_to", "save_total_limit", "dataloader_num_workers")
"""Arguments that may change before training is continued: they have no effect on the weights."""
SPEED = ("line_length", "micro_batch_tokens", "attention", "compile")
"""Fields of [train] that may, too: steps hold the same examples, packed otherwise, so only rounding differs."""


def begin(work: Path, settings: dict[str, Any], *, first: bool, elastic: bool = False) -> str | None:
    """The checkpoint to continue from, if any. The `first` process removes what a kill left half written.

    `elastic` lets another number of processes continue. Steps hold the same examples, differently distributed over processes,
    so only rounding differs (and random states, with dropout).
    Raises `ResumeError` naming each difference if the training begun in `work` was another one.
    """
    file = work / SETTINGS
    if file.exists() and complete(work):
        begun = json.loads(file.read_text(encoding="utf-8"))
        begun["train"] = {name: value for name, value in begun.get("train", {}).items() if name not in SPEED}
        if elastic:
            begun["processes"] = settings["processes"]
        changed = differences(begun, settings)
        if changed:
            shown = "\n  ".join(changed)
            raise ResumeError(
                f"{work} holds unfinished training that was begun otherwise:\n  {shown}\n"
                "Continue it with its own settings and data, or remove that folder to begin anew."
            )
    elif first and not file.exists():
        for path in complete(work):  # of an older version: the settings they were made with are not known
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
    """The number of steps done, read from the checkpoint and not from its name."""
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
    """Everything that has an effect on the trained weights, as plain JSON."""
    digest = hashlib.sha256()
    for e in examples:
        known: list[Any] = [e.problem_id, list(e.prompt_ids), list(e.reply_ids), e.weight]
        if e.kl or any(getattr(e, name) for name in TOKEN_COLUMNS):
            known += [e.kl, *(list(getattr(e, name)) for name in TOKEN_COLUMNS)]
        digest.update(dumps(known).encode())
    plain = {"loss"} if config.loss == LossConfig() else set()  # as versions before [train.loss] wrote it
    settings = config.model_dump(mode="json", exclude={"save_steps", "launcher", *SPEED, *plain})
    settings["arguments"] = {name: value for name, value in settings["arguments"].items() if name not in HARMLESS}
    return {
        "examples": f"{len(examples)}, hash {digest.hexdigest()[:12]}",
        "start": f"weights {weights_hash(start)}",
        "processes": world,
        "seed": seed,
        "train": settings,
        "model": {
            name: value for name, value in model.model_dump(mode="json").items() if name in ("dtype", "lora", "chat_format")
        }
        if model
        else {},
    }
