"""A checkpoint as a repository of a model hub: plain files of transformers, rise.json, the card, the recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rise.errors import ConfigError, DataError
from rise.jsonl import read_json
from rise.recipe.public import public_recipe, public_settings, shortened
from rise.recipe.toml import load_recipe, plain_toml
from rise.report.sharing.files import Sent, text_file
from rise.runs.card import NAME as CARD
from rise.runs.card import checkpoint_of, read_card
from rise.runs.directory import RunDir, StageDir
from rise.runs.group import is_group, seed_hint
from rise.runs.model_card import NAME as README
from rise.runs.model_card import about_stage, model_card

WEIGHTS = (".safetensors", ".bin")
TEXTS = (".json", ".txt", ".jinja")
AS_THEY_ARE = (".model",)
"""Endings of a checkpoint's files that are sent; any other stays here."""
_OF_THE_MAKER = ("_name_or_path", "name_or_path")
"""Fields in which libraries write down where a model was loaded from."""


def model_files(path: Path, repository: str, licence: str | None = None) -> list[Sent]:
    """Everything of a run's last checkpoint, or of a stage's, that goes into `repository`, by name.

    Raises `DataError` for a directory that is neither, or has no checkpoint yet.
    """
    run, stage = trained_stage(path)
    config = load_recipe(run.config)
    instructions = read_card(str(stage.checkpoint)).get("instructions")
    about = replace(about_stage(config, instructions, stage), model=repository, licence=licence)
    files = [
        text_file(README, model_card(about)),
        text_file("recipe.toml", plain_toml(public_recipe(config, run.contents))),
    ]
    files += [sent for file in sorted(stage.checkpoint.iterdir()) if file.name != README for sent in _checkpoint_file(file)]
    return sorted(files, key=lambda file: file.path)


def trained_stage(path: Path) -> tuple[RunDir, StageDir]:
    """The run and the stage whose checkpoint a path names: a run's last, a stage's own."""
    if is_group(path):
        raise DataError(f"{path} is no single run.{seed_hint(path)}")
    checkpoint = Path(checkpoint_of(str(path)))
    stage = StageDir(checkpoint.parent)
    run = RunDir(stage.path.parent)
    if not (checkpoint / CARD).exists() or not run.config.exists():
        raise DataError(
            f"{path} is no run and no stage of one with a checkpoint. Give what rise run --out wrote, or RUN/round-1."
        )
    return run, stage


def _checkpoint_file(file: Path) -> Iterator[Sent]:
    """One file of a checkpoint as it is sent: what it says of this machine left out."""
    if file.name == CARD:
        card = read_json(file)
        card["task_settings"] = public_settings(card.get("task_settings") or {})
        if isinstance(feedback := card.get("feedback"), str):
            card["feedback"] = shortened(feedback)
        yield text_file(CARD, json.dumps(card, indent=2) + "\n", ours=False)
    elif file.suffix in TEXTS:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".json":
            text = _without_maker(text)
        yield text_file(file.name, text, ours=False)
    elif file.suffix in (*WEIGHTS, *AS_THEY_ARE):
        yield Sent(file.name, file)


def _without_maker(text: str) -> str:
    """A JSON object without the fields that say from where it was loaded; the text itself where it has none."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"a file of the checkpoint is no JSON ({error}). Take it from the run again.") from error
    if not isinstance(data, dict) or not any(name in data for name in _OF_THE_MAKER):
        return text
    return json.dumps({name: value for name, value in data.items() if name not in _OF_THE_MAKER}, indent=2) + "\n"
