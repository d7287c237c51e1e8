"""Preference pairs through TRL's `DPOTrainer`: its loss, its batches, its loop; data, start and checkpoint are ours.

DPO, arXiv 2305.18290, eq. 7. TRL is given token ids as they were sampled, and the start as the reference.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback

from rise.dataset.example import Example
from rise.errors import ConfigError, DataError, EmptyStageError, RiseError, installing
from rise.recipe.config import TrainConfig
from rise.recipe.machines import ModelConfig
from rise.training.arguments import checked_arguments, training_settings
from rise.training.finetune import check_ids, ready_to_save
from rise.training.model import check_free, load_model, n_embeddings, save_checkpoint
from rise.training.optimizers import make_optimizer
from rise.training.trainer import WAY_OUT, LogLines, WarmedTrainer

MISSING = "train.dpo needs the packages trl and datasets"


def prefer(
    pairs: Sequence[Example],
    start: Path | str,
    out: Path,
    config: TrainConfig,
    *,
    model: ModelConfig | None,
    seed: int,
    card: dict[str, Any] | None,
    work: Path,
    on_log: Callable[[dict[str, Any]], None] | None,
) -> dict[str, Any]:
    """`rise.training.train` on pairs, in this process. Raises `ConfigError` without TRL, `DataError` for an example
    that is no pair, `RiseError` where weights stop being numbers."""
    try:
        from datasets import Dataset

        trainer_class = _trainer_class()
    except ModuleNotFoundError as error:
        raise ConfigError(f"{MISSING}: {installing('dpo')}.") from error
    check_free(out)
    kept = _fitting(pairs, config.max_length)
    torch.manual_seed(seed)
    plan = _Plan(kept, config)
    arguments = _arguments(plan, config, work, seed, out)
    chat_format = model.chat_format if model else None
    net, renderer = load_model(start, dtype="float32", chat_format=chat_format)
    reference, _ = load_model(start, dtype="float32", chat_format=chat_format)
    check_ids(kept, renderer, n_embeddings(net), start)
    net.config.use_cache = False
    net.to(arguments.device)
    rows = Dataset.from_list(
        [{"prompt_ids": list(e.prompt_ids), "chosen_ids": list(e.reply_ids), "rejected_ids": list(e.rejected_ids)} for e in kept]
    )
    trainer = trainer_class(
        model=net,
        ref_model=reference,
        args=arguments,
        train_dataset=rows,
        processing_class=renderer.tokenizer,
        callbacks=[LogLines(on_log)],
        optimizers=(make_optimizer(net, config, arguments), None),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    if not all(bool(torch.isfinite(p).all()) for p in net.parameters()):
        raise RiseError(
            f"a weight is no longer a number after {trainer.state.global_step} steps, so nothing was saved. {WAY_OUT}"
        )
    ready_to_save(net, renderer)
    save_checkpoint(net, renderer.tokenizer, out, card)
    shutil.rmtree(work, ignore_errors=True)
    return plan.counts(len(pairs) - len(kept), trainer.state.global_step, trainer.n_trained_tokens)


def _arguments(plan: _Plan, config: TrainConfig, work: Path, seed: int, out: Path) -> Any:
    """TRL's `DPOConfig` of a recipe."""
    from trl import DPOConfig

    assert config.dpo is not None
    settings = training_settings(config, work, seed, plan.accumulation) | {
        "per_device_train_batch_size": plan.micro,
        "num_train_epochs": plan.epochs,
        "max_steps": plan.n_steps,
        "data_seed": seed,
        "beta": config.dpo.beta,
        "max_length": config.max_length,
        # TRL's defaults are others.
        "bf16": bool(config.arguments.get("bf16")),
        "gradient_checkpointing": bool(config.arguments.get("gradient_checkpointing")),
    }
    return checked_arguments(DPOConfig, settings, config, logs=out)


def _trainer_class() -> Any:
    from trl import DPOTrainer

    class OfTokenIds(WarmedTrainer, DPOTrainer):
        """TRL's trainer on rows that hold token ids already: rendered again they might be others."""

        n_trained_tokens = 0
        """Of both replies of each pair, in all steps so far."""

        def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            self.n_trained_tokens += int(inputs["completion_mask"].sum())
            return super().training_step(model, inputs, *args, **kwargs)

        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset

    return OfTokenIds


def _fitting(pairs: Sequence[Example], max_length: int) -> list[Example]:
    """The pairs that fit; TRL would cut the others. Raises `DataError` for an example without a rejected reply."""
    for example in pairs:
        if not example.prompt_ids or not example.reply_ids or not example.rejected_ids:
            raise DataError(
                f"the example of problem {example.problem_id}, turn {example.turn} is no pair: train.dpo needs token ids of a "
                "prompt, a reply and a rejected one. Rounds of a recipe with [train.dpo] make them; or leave [train.dpo] out."
            )
    kept = [e for e in pairs if len(e.prompt_ids) + max(len(e.reply_ids), len(e.rejected_ids)) <= max_length]
    if not kept:
        raise EmptyStageError(f"no pair to train on ({len(pairs)} given, train.max_length = {max_length}).")
    return kept


class _Plan:
    """How many pairs go into a pass and a step, and for how many epochs."""

    def __init__(self, pairs: Sequence[Example], config: TrainConfig) -> None:
        longest = max(len(e.prompt_ids) + max(len(e.reply_ids), len(e.rejected_ids)) for e in pairs)
        batch = min(config.batch_size, len(pairs))
        fits = max(1, min(batch, config.micro_batch_tokens // (2 * longest)))  # TRL sets both replies into one padded batch
        self.accumulation = math.ceil(batch / fits)
        self.micro = math.ceil(batch / self.accumulation)
        self.n_pairs = len(pairs)
        self.n_tokens = sum(2 * len(e.prompt_ids) + len(e.reply_ids) + len(e.rejected_ids) for e in pairs)
        self.n_trained = sum(len(e.reply_ids) + len(e.rejected_ids) for e in pairs)
        self.epochs = config.epochs if config.trained_tokens is None else config.trained_tokens / self.n_trained
        per_epoch = math.ceil(math.ceil(len(pairs) / self.micro) / self.accumulation)
        # A step is never cut: of as many tokens as another run, those of the nearest whole number of steps.
        steps = self.epochs * per_epoch
        whole = math.ceil(steps) if config.trained_tokens is None else max(1, round(steps))
        self.n_steps = min(whole, config.max_steps or whole)

    def counts(self, n_too_long: int, n_steps: int, n_trained: int) -> dict[str, Any]:
        """What `train` returns; `n_trained` tokens went through its steps."""
        return {
            "n_rows": 2 * self.n_pairs,
            "n_weight_0": 0,
            "n_too_long": n_too_long,
            "n_truncated": 0,
            "n_steps": n_steps,
            "accumulation": self.accumulation,
            "n_tokens_per_epoch": self.n_tokens,
            "n_trained_tokens_per_epoch": self.n_trained,
            "n_trained_tokens": n_trained,
        }
