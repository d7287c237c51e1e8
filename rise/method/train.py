"""Fine-tuning as a stage: weighted examples of a file → a checkpoint, here or on the cluster."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rise import training
from rise.dataset.example import Example, read_examples
from rise.policies import stop_engines
from rise.recipe.config import TrainConfig
from rise.recipe.public import placed
from rise.runs.card import card
from rise.runs.context import RunContext
from rise.runs.directory import StageDir
from rise.runs.model_card import NAME, About, about_stage, write_model_card
from rise.training.ranks import first_rank


def train_stage(context: RunContext, stage: StageDir, start: Path, config: TrainConfig) -> None:
    """Fine-tune `start` on the stage's examples; skipped where the checkpoint is there."""
    if stage.checkpoint.exists():
        shutil.rmtree(stage.training, ignore_errors=True)  # left by a kill between the two
        if not stage.metrics.exists() and not (stage.checkpoint / NAME).exists():  # as this may be
            write_model_card(stage.checkpoint, about_stage(context.config, context.ready.prompt.instructions, stage))
        return
    fit(context, stage.name, list(read_examples(stage.examples)), start, stage.checkpoint, config, work=stage.training)


def fit(
    context: RunContext,
    stage: str,
    examples: Sequence[Example],
    start: Path | str,
    out: Path,
    config: TrainConfig,
    *,
    work: Path,
    part: str = "train",
) -> dict[str, Any]:
    """Fine-tune `start` on examples and write `out`, in this process, under the recipe's launcher or on its cluster.

    Returns what `rise.training.train` does: counts of rows, steps, tokens. `work` holds training that has not ended.
    """
    context.check_own(start)
    stop_engines()  # training wants the memory, and after it the weights are others
    place = {"stage": stage} | ({} if part == "train" else {"part": part})  # a control's steps are none of the round's
    with context.timed(stage, part, len(examples)) as timer:

        def tell(logs: dict[str, Any]) -> None:
            if context.run_dir is not None:
                context.run_dir.write_log(**place, **{k: round(v, 6) if isinstance(v, float) else v for k, v in logs.items()})
            timer.restart(logs["steps"])
            context.progress.advance(logs["step"], note=f"loss {logs['loss']:.3f}")

        about = card(context.config, context.ready.prompt, stage)
        here = partial(training.train, model=context.config.model, seed=context.config.seed)
        run = context.cluster.train if context.cluster else here
        timer.facts = run(examples, start, out, config, card=about, work=work, on_log=tell)
    if first_rank():  # the one that wrote the checkpoint
        write_model_card(out, _about(context, stage, out, part))
    return timer.facts


def _about(context: RunContext, stage: str, checkpoint: Path, part: str) -> About:
    """What the checkpoint's card is made from: of a stage of a run, also what is on disk of it."""
    if context.run_dir is not None and part == "train":
        return about_stage(context.config, context.ready.prompt.instructions, StageDir(checkpoint.parent))
    name = stage if part == "train" else f"{stage}, the control that trained at the first turn"
    return About(placed(context.config, context.ready.contents), context.ready.prompt.instructions, name)
