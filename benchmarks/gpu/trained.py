"""Tokens a second of training and its memory, ours and TRL's: the unit `train` of the check."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from shapes import SHAPES, TOY, Shape, device, examples, made, renderer

PEAK = 989e12
"""Dense bfloat16 operations a second of an H100 or H200, by the data sheet."""


def train(words: list[str], toy: bool, put: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    import torch

    name, side, *how = words
    shape = (TOY if toy else SHAPES)[name]
    n_steps = 3 if toy else 8
    longest = 64 if toy else 2048
    data = examples(n_steps * 2 * shape.micro, shape.vocabulary, longest=longest)
    micro = shape.micro
    while True:
        try:
            torch.manual_seed(0)
            found = (with_trl if side == "trl" else with_ours)(shape, data, micro, longest, how, n_steps)
            break
        except Exception as error:
            no_memory = "out of memory" in str(error) or isinstance(error, torch.OutOfMemoryError)
            if not no_memory or micro <= longest:
                raise
            micro //= 2
            put({"out of memory at": 2 * micro})
            torch.cuda.empty_cache()
    return {"parameters": shape.n_parameters, "micro_batch_tokens": micro, "adapters": shape.lora, **found}


def model_for_training(shape: Shape) -> Any:
    return made(shape, device(), "bfloat16" if device() == "cuda" else "float32")


def with_ours(shape: Shape, data: Any, micro: int, longest: int, how: list[str], n_steps: int) -> dict[str, Any]:
    """Our own training, but for loading and saving."""
    from rise.recipe.config import TrainConfig
    from rise.recipe.machines import LoraConfig
    from rise.training import finetune
    from rise.training.adapters import add_adapters
    from rise.training.arguments import VARLEN, attention_of, training_arguments
    from rise.training.rows import make_rows, plan_batches
    from rise.training.throughput import memory_MiB

    on_gpu = device() == "cuda"
    config = TrainConfig(
        epochs=1,
        batch_size=max(1, len(data) // n_steps),
        learning_rate=1e-5,
        schedule="constant",
        warmup_ratio=0,
        max_length=4 * longest,
        line_length=longest,
        micro_batch_tokens=micro,
        masters=on_gpu and not shape.lora,
        compile="compiled" in how and on_gpu,
        attention="sdpa" if "sdpa" in how else "auto" if on_gpu else "varlen",
        arguments={"logging_steps": 1},
    )
    net = model_for_training(shape)
    net.config.use_cache = False
    attention = attention_of(config, "bfloat16" if on_gpu else "float32", net.device)
    if attention == VARLEN:
        attention = finetune._rows_by_themselves(net, config, net.device, sharded=False)
    if shape.lora:
        net = add_adapters(net, LoraConfig(rank=16)).to(net.device)
    if config.compile:
        finetune.compile_layers(net)
    loaded = finetune.Loaded(net, renderer(), "bfloat16" if on_gpu else "float32", attention)
    rows = make_rows(data, per=config.per, merge=True)
    plan = plan_batches(
        rows,
        batch_size=config.batch_size,
        epochs=1,
        max_steps=None,
        line_length=longest,
        micro_batch_tokens=micro,
        world=1,
        seed=0,
    )
    logs: list[dict[str, Any]] = []
    stamps: list[float] = []
    n_computed: list[int] = []

    profile = Profile() if on_gpu else None

    def note(line: dict[str, Any]) -> None:
        logs.append(line)
        stamps.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as scratch:
        arguments = training_arguments(config, Path(scratch), 0, plan.accumulation, logs=Path(scratch) / "logs")
        trainer = finetune._trainer(loaded, arguments, rows, plan, config, on_log=note, on_save=None)
        if profile:
            trainer.add_callback(profile.of_step(n_steps - 1))
        began = time.perf_counter()
        trainer.train()
        trainer.losses.settle()
    last = {"last step": profile.stop()} if profile else {}
    each = plan.accumulation
    for step in range(plan.n_steps):
        members = [rows[i] for b in plan.batches[step * each : (step + 1) * each] for line in b.lines for i in line]
        n_computed.append(sum(len(row.ids) for row in members))
    # The first steps compile and warm up, the last is profiled.
    steady = slice(max(1, len(stamps) // 2 - 1), n_steps - 2 if profile else None)
    seconds = [b - a for a, b in pairwise(stamps)][steady]
    rate = sum(n_computed[1:][steady]) / sum(seconds)
    flops = trainer.meter.cost.of(rows) / sum(len(row.ids) for row in rows)
    return {
        "attention": str(attention or "sdpa"),
        "compiled": config.compile,
        "optimizer": type(getattr(trainer.optimizer, "optimizer", trainer.optimizer)).__name__,
        "steps": len(logs),
        "tokens_per_s": round(rate),
        "trained_share": round(sum(row.n_trained for row in rows) / sum(len(row.ids) for row in rows), 3),
        "mfu": round(rate * flops / PEAK, 4) if on_gpu else None,
        "first_step_s": round(stamps[0] - began, 1),
        "share_padding": round(sum(log["share_padding"] for log in logs) / len(logs), 4),
        "peak_MiB": memory_MiB(net.device),
        "loss": [round(log["loss"], 4) for log in (logs[0], logs[-1])],
        **last,
    }


class Profile:
    """The kernels of what runs between `start` and `stop`."""

    def start(self) -> None:
        import torch
        from torch.profiler import ProfilerActivity, profile

        torch.cuda.synchronize()
        self.watched = profile(activities=[ProfilerActivity.CUDA])
        self.watched.start()
        self.began = time.perf_counter()

    def of_step(self, step: int) -> Any:
        """A callback of a trainer that starts it before this step, counted from 0."""
        from transformers import TrainerCallback

        start = self.start

        class Begin(TrainerCallback):
            def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if state.global_step == step:
                    start()

        return Begin()

    def stop(self) -> dict[str, Any]:
        import torch

        torch.cuda.synchronize()
        seconds = time.perf_counter() - self.began
        self.watched.stop()
        events = sorted(self.watched.key_averages(), key=lambda event: -event.self_device_time_total)
        return {
            "seconds": round(seconds, 3),
            "on device": round(sum(event.self_device_time_total for event in events) / 1e6, 3),
            "most": [[event.key[:90], event.count, round(event.self_device_time_total / 1e3, 1)] for event in events[:25]],
        }


def with_trl(shape: Shape, data: Any, micro: int, longest: int, how: list[str], n_steps: int) -> dict[str, Any]:
    """TRL's SFTTrainer on the same examples, each a row of its own, packed, replies alone trained."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from rise.training.nano import make_tokenizer
    from rise.training.throughput import memory_MiB

    rows = [
        {"input_ids": [*e.prompt_ids, *e.reply_ids], "completion_mask": [0] * len(e.prompt_ids) + [1] * len(e.reply_ids)}
        for e in data
    ]
    stamps: list[float] = []

    class Stamps(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if device() == "cuda":
                import torch

                torch.cuda.synchronize()
            stamps.append(time.perf_counter())

    lines = max(1, micro // longest)
    with tempfile.TemporaryDirectory() as scratch:
        settings = SFTConfig(
            output_dir=scratch,
            use_cpu=device() == "cpu",
            bf16=False,
            max_steps=n_steps,
            per_device_train_batch_size=lines,
            gradient_accumulation_steps=2,
            learning_rate=1e-5,
            lr_scheduler_type="constant",
            packing=True,
            completion_only_loss=True,
            max_length=longest,
            gradient_checkpointing=False,
            report_to="none",
            save_strategy="no",
            logging_steps=1000,
            disable_tqdm=True,
        )
        adapters = {}
        if shape.lora:
            from peft import LoraConfig

            adapters = {"peft_config": LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")}
        dataset, tokenizer = Dataset.from_list(rows), make_tokenizer("abc")
        rest = {"train_dataset": dataset, "processing_class": tokenizer, "callbacks": [Stamps()], **adapters}
        trainer = SFTTrainer(model_for_training(shape), settings, **rest)
        trainer.train()
        packed = [len(row) for row in trainer.train_dataset["input_ids"]]
    steady = slice(max(1, len(stamps) // 2 - 1), None)
    seconds = [b - a for a, b in pairwise(stamps)][steady]
    rate = 2 * lines * len(seconds) * sum(packed) / len(packed) / sum(seconds)
    merged = sum(len(row["input_ids"]) for row in rows)
    return {"tokens_per_s": round(rate), "tokens_for_the_same_examples": merged, "peak_MiB": memory_MiB(trainer.model.device)}
