"""Which settings of `transformers.TrainingArguments` a recipe may name, and what they become. Names are checked by reading
transformers' source, so that nothing heavy is imported to refuse one."""

from __future__ import annotations

import ast
import importlib.util
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from rise.errors import ConfigError, did_you_mean, installing
from rise.recipe.config import TrainConfig
from rise.recipe.machines import TRACKERS, LoraConfig
from rise.training.ranks import under_launcher

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
    _check_packages(config, name)


def _check_packages(config: TrainConfig, name: str) -> None:
    """Raises `ConfigError` for an option whose package is not installed."""
    wanted = config.arguments.get("report_to") or []
    for reporter in [wanted] if isinstance(wanted, str) else wanted:
        package = TRACKERS.get(reporter)
        if package and importlib.util.find_spec(package) is None:
            raise ConfigError(f'{name}.arguments.report_to = "{reporter}" needs a package: pip install {package}.')
    if config.arguments.get("use_liger_kernel"):
        if importlib.util.find_spec("liger_kernel") is None:
            raise ConfigError(f"{name}.arguments.use_liger_kernel needs a package: pip install liger-kernel. Or leave it out.")
        theirs = {k for k, on in (config.arguments.get("liger_kernel_config") or {}).items() if on and "cross_entropy" in k}
        if theirs:
            raise ConfigError(
                f"{name}.arguments.liger_kernel_config.{min(theirs)} is refused: Liger's loss knows no weights. Ours computes "
                "logits in chunks as well; leave it out, and Liger does the rest."
            )
    if config.dpo is not None and not all(map(importlib.util.find_spec, ("trl", "datasets"))):
        raise ConfigError(f"{name}.dpo needs the packages trl and datasets: {installing('dpo')}.")
    if config.attention == "flash" and importlib.util.find_spec("flash_attn") is None:
        raise ConfigError(
            f'{name}.attention = "flash" needs the package flash-attn: pip install flash-attn. "auto" does without.'
        )
    if config.masters and (config.arguments.get("fsdp") or config.arguments.get("deepspeed")):
        raise ConfigError(f"{name}.masters {MASTERS_SHARDED}")
    if config.masters and config.arguments.get("fp16"):
        raise ConfigError(
            f"{name}.masters = true is refused with {name}.arguments.fp16 = true: the weights are bfloat16 there, and float16 "
            f"scales gradients that the masters keep to themselves. Leave fp16 out, or set {name}.masters = false."
        )


def check_quantize(lora: LoraConfig) -> None:
    """Raises `ConfigError` where `model.lora.quantize` asks for what this machine does not have."""
    if lora.quantize is None:
        return
    import torch

    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            f'model.lora.quantize = "{lora.quantize}" needs the package bitsandbytes: pip install bitsandbytes. '
            "Or leave it out: a LoRA base is kept in model.dtype then."
        )
    if not torch.cuda.is_available():
        raise ConfigError(
            f'model.lora.quantize = "{lora.quantize}" needs a GPU, and none is visible. Leave it out on this machine: '
            'plain LoRA, with model.dtype = "bfloat16" where memory is short.'
        )


MASTERS_SHARDED = (
    "= true is refused with FSDP and DeepSpeed, which keep float32 weights of their own. Set it to false and "
    "train.arguments.bf16 = true: they compute in bfloat16 then."
)


def training_arguments(config: TrainConfig, work: Path, seed: int, accumulation: int, *, logs: Path) -> Any:
    """`transformers.TrainingArguments` of a recipe. `logs` is the checkpoint beside which tensorboard's files go."""
    from transformers import TrainingArguments

    settings = training_settings(config, work, seed, accumulation)
    settings["train_sampling_strategy"] = "sequential"  # the plan holds the order
    return checked_arguments(TrainingArguments, settings, config, logs=logs)


def training_settings(config: TrainConfig, work: Path, seed: int, accumulation: int) -> dict[str, Any]:
    """The fields of `transformers.TrainingArguments` that a recipe means, each batch planned beforehand."""
    import torch

    check_arguments(config)
    return {
        "output_dir": str(work),
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": accumulation,
        "num_train_epochs": 1,  # the plan already holds every epoch
        "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "lr_scheduler_type": config.schedule,
        "warmup_steps": config.warmup_ratio,  # below 1 it is a share of all steps
        "seed": seed,
        "use_cpu": not torch.cuda.is_available(),
        "remove_unused_columns": False,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": 10,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps" if config.save_steps else "no",
        "save_steps": config.save_steps or 500,
        "save_total_limit": 2,
        "ddp_find_unused_parameters": False,  # an empty batch reaches every weight too
        **config.arguments,
    }


def checked_arguments(kind: Any, settings: dict[str, Any], config: TrainConfig, *, logs: Path) -> Any:
    """`TrainingArguments`, or a class that extends them, of these settings. Raises `ConfigError` for what it refuses."""
    import torch
    from transformers.integrations import get_reporting_integration_callbacks

    if settings.get("use_liger_kernel"):
        if not torch.cuda.is_available():
            raise ConfigError("train.arguments.use_liger_kernel needs a GPU, and none is visible. Leave it out on this machine.")
        off = {"cross_entropy": False, "fused_linear_cross_entropy": False}
        settings["liger_kernel_config"] = {**off, **(settings.get("liger_kernel_config") or {})}
    if "tensorboard" in (settings["report_to"] or ()):  # its own default is inside the folder that goes when training ends
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(logs.parent / "tensorboard" / logs.name))
    try:
        arguments = kind(**settings)
        get_reporting_integration_callbacks(arguments.report_to)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"train: transformers.TrainingArguments refuses the settings: {error}") from error
    if arguments.n_gpu > 1:
        raise ConfigError(several_gpus(arguments.n_gpu))
    if config.masters and is_sharded(arguments):
        raise ConfigError(f"train.masters {MASTERS_SHARDED}")
    return arguments


def several_gpus(n: int) -> str:
    """The error for `n` visible GPUs and no launcher: transformers' Trainer would split batches whose plan is fixed."""
    return (
        f"{n} GPUs are visible, and this process was started without a launcher. For all of them: torchrun --nproc-per-node {n} "
        f'-m -- rise.cli.main train …, or train.launcher = "torchrun --nproc-per-node {n}" in the recipe. For one: '
        "CUDA_VISIBLE_DEVICES=0 before the command."
    )


def check_devices(config: TrainConfig, name: str = "train") -> None:
    """Raises `ConfigError` for several visible GPUs and no launcher. Does not import torch, so it can run before any work."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        n = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
    else:
        n = len([part for part in visible.split(",") if part.strip() not in ("", "-1")])
    if n > 1 and not config.launcher and not under_launcher():
        raise ConfigError(f"{name}: {several_gpus(n)}")


def is_sharded(arguments: Any) -> bool:
    """Whether FSDP or DeepSpeed spreads the model over ranks, by arguments or by `accelerate launch`."""
    by_launcher = any(os.environ.get(f"ACCELERATE_USE_{name}", "").lower() == "true" for name in ("FSDP", "DEEPSPEED"))
    return bool(arguments.fsdp or arguments.deepspeed or by_launcher)


VARLEN = "rise_varlen"
"""Attention of packed rows without a mask (`rise.training.varlen`)."""


def attention_of(config: TrainConfig, dtype: str, device: Any) -> str | None:
    """The name, to transformers, of the attention that `train.attention` means here; None leaves the model its own (SDPA)."""
    half = dtype == "bfloat16" or bool(config.arguments.get("bf16") or config.arguments.get("fp16"))
    on_gpu = getattr(device, "type", device) == "cuda"
    if config.attention == "auto":
        if not (on_gpu and half):
            return None
        return "flash_attention_2" if importlib.util.find_spec("flash_attn") else VARLEN
    if config.attention == "flash" and not (on_gpu and half):
        raise ConfigError(
            'train.attention = "flash" needs a GPU and bfloat16 (train.masters = true, or train.arguments.bf16 = true). '
            '"auto" takes it where it can be had.'
        )
    if config.attention == "flex" and not on_gpu:
        raise ConfigError('train.attention = "flex" has no backward pass on a processor. "auto" takes SDPA there.')
    return {"flash": "flash_attention_2", "flex": "flex_attention", "varlen": VARLEN}.get(config.attention, config.attention)


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
