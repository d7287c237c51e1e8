"""Which of transformers' own settings a recipe may name. Read from its source, so that nothing heavy is imported to check one."""

from __future__ import annotations

import ast
import importlib.util
from functools import lru_cache
from pathlib import Path

from rise.config import TrainConfig
from rise.errors import ConfigError, did_you_mean

REFUSED = {
    "per_device_train_batch_size": "the recipe sets the global batch: train.batch_size",
    "gradient_accumulation_steps": "it follows from train.batch_size and train.micro_batch_tokens",
    "num_train_epochs": "set train.epochs",
    "max_steps": "set train.max_steps",
    "group_by_length": "batches are planned before training, by length",
    "train_sampling_strategy": "batches are planned before training",
    "remove_unused_columns": "batches hold weights, which it would remove",
    "average_tokens_across_devices": "the normaliser is already summed over devices",
    "dataloader_drop_last": "every example trains exactly once an epoch",
    "accelerator_config": "batches are shared out over devices before training",
    "auto_find_batch_size": "batches are planned before training; lower train.micro_batch_tokens instead",
    "ignore_data_skip": "an unfinished training continues behind the batches it has seen",
    "save_only_model": "an unfinished training needs its optimiser to continue",
    "save_strategy": "set train.save_steps",
    "save_steps": "set train.save_steps",
    "label_smoothing_factor": "the loss is the paper's weighted log-likelihood",
    "output_dir": "the run directory decides where files go",
    "resume_from_checkpoint": "unfinished training is continued by itself",
    "use_cpu": "the device follows from the machine",
    "learning_rate": "set train.learning_rate",
    "weight_decay": "set train.weight_decay",
    "max_grad_norm": "set train.max_grad_norm",
    "lr_scheduler_type": "set train.schedule",
    "warmup_steps": "set train.warmup_ratio",
    "warmup_ratio": "set train.warmup_ratio",
    "seed": "set seed",
    "data_seed": "set seed",
}
"""Fields of `TrainingArguments` that would break the contract, with the reason."""


def check_arguments(config: TrainConfig, name: str = "train") -> None:
    """Raises `ConfigError` for a schedule or an argument that transformers does not know, or that we refuse."""
    schedules = names("trainer_utils.py", "SchedulerType")
    if schedules and config.schedule not in schedules:
        raise ConfigError(
            f'{name}.schedule = "{config.schedule}" is none of transformers. {did_you_mean(config.schedule, schedules)}'
        )
    fields = names("training_args.py", "TrainingArguments")
    for argument in config.arguments:
        if argument in REFUSED:
            raise ConfigError(f"{name}.arguments.{argument} is refused: {REFUSED[argument]}.")
        if fields and argument not in fields:
            raise ConfigError(
                f"{name}.arguments.{argument} is no field of transformers.TrainingArguments. {did_you_mean(argument, fields)}"
            )


@lru_cache
def names(file: str, of_class: str) -> frozenset[str]:
    """Members of an enum, or fields of a data class, in a module of transformers; empty where it cannot be found.

    >>> "cosine" in names("trainer_utils.py", "SchedulerType"), names("no_such.py", "Thing")
    (True, frozenset())
    """
    spec = importlib.util.find_spec("transformers")
    path = Path(spec.origin).with_name(file) if spec and spec.origin else None
    if path is None or not path.exists():
        return frozenset()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == of_class:
            members = [
                item.value.value for item in node.body if isinstance(item, ast.Assign) and isinstance(item.value, ast.Constant)
            ]
            fields = [
                item.target.id for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
            ]
            return frozenset(map(str, fields or members))
    return frozenset()
