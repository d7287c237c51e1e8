"""Weighted fine-tuning: `train(...)` is the entry that trains; torch is imported when it is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rise.dataset.example import Example
from rise.recipe.config import TrainConfig
from rise.recipe.machines import ModelConfig
from rise.training.ranks import under_launcher


def train(
    examples: Sequence[Example],
    start: Path | str,
    out: Path,
    config: TrainConfig,
    *,
    model: ModelConfig | None = None,
    seed: int = 0,
    card: dict[str, Any] | None = None,
    work: Path | None = None,
    on_log: Callable[[dict[str, Any]], None] | None = None,
    on_save: Callable[[Path], None] | None = None,
    elastic: bool = False,
) -> dict[str, Any]:
    """Fine-tune the model at `start` on weighted examples, or on pairs (`config.dpo`), and write a plain transformers checkpoint.

    Returns counts of the training (rows, steps, tokens). `model` says how `start` is loaded (adapters, chat format, dtype).
    `card` becomes `rise.json` in the checkpoint. `work` holds unfinished training where `config.save_steps` asks for it, and
    is removed at the end. Under a launcher every rank calls this with the same arguments; with `config.launcher` it starts
    one. `on_log` gets each log line on the first rank; `on_save` each checkpoint in `work`, on every rank; `elastic` lets
    another number of ranks continue.

    Raises `EmptyStageError` without examples to train on, `DataError` for an impossible weight, `ConfigError` for settings
    that transformers refuses, `ResumeError` where `work` belongs to another training, `ModelError` for a bad `start`, and
    `RiseError` where the loss stops being a number or memory runs out.
    """
    work = work or out.with_name(out.name + ".training")
    if config.dpo is not None:
        from rise.training.dpo import prefer

        return prefer(examples, start, out, config, model=model, seed=seed, card=card, work=work, on_log=on_log)
    if config.launcher and not under_launcher():
        from rise.training.launcher import launch

        return launch(examples, start, out, config, model=model, seed=seed, card=card, work=work, on_log=on_log)
    from rise.training.finetune import finetune

    return finetune(
        examples,
        start,
        out,
        config,
        model=model,
        seed=seed,
        card=card,
        work=work,
        on_log=on_log,
        on_save=on_save,
        elastic=elastic,
    )
