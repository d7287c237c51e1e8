"""The training loop: `transformers.Trainer`, fed with planned batches and divided by our normaliser."""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from rise.config import ModelConfig, TrainConfig
from rise.dataset import Example
from rise.errors import ConfigError, DataError, EmptyStageError, RiseError
from rise.train.arguments import check_arguments
from rise.train.loss import tensors, weighted_nll
from rise.train.model import check_free, load_model, save_checkpoint
from rise.train.rows import Plan, Row, make_rows, plan_batches

log = logging.getLogger(__name__)

COMPLETE = "complete"
"""Empty file written last into a checkpoint of unfinished training: without it, a kill came in between."""

WAY_OUT = "Lower train.learning_rate, or set train.max_grad_norm = 1.0."


class _Batches(Dataset):
    """The planned batches as tensors."""

    def __init__(self, rows: Sequence[Row], plan: Plan, pad_id: int, per: str) -> None:
        self.rows, self.plan, self.pad_id, self.per = rows, plan, pad_id, per

    def __len__(self) -> int:
        return len(self.plan.batches)

    def __getitem__(self, index: int) -> dict[str, Any]:
        lines = [[self.rows[i] for i in line] for line in self.plan.batches[index].lines]
        inputs = tensors(lines, self.pad_id)
        flat = [row for line in lines for row in line]
        inputs["n"] = torch.tensor(float(sum(r.n_examples if self.per == "sequence" else r.n_trained for r in flat)))
        inputs["n_tokens"] = torch.tensor(float(sum(r.n_trained for r in flat)))
        return inputs


class WeightedTrainer(Trainer):
    """Σ wᵢ·nllᵢ ÷ N, N counted over the whole accumulation window and all ranks, whatever the weights."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Two names for one thing across transformers 5.17 to 5.23: the loss already covers the accumulation window.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        self.plain = [0.0, 0.0]
        """Σ unweighted nll and trained tokens since the last log line."""
        self._logged = time.perf_counter()

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Any]:
        batches = []
        for _ in range(num_batches):
            try:
                batches.append(next(epoch_iterator))
            except StopIteration:
                break
        if not batches:
            return batches, None
        n = torch.stack([batch["n"] for batch in batches]).sum().to(device)
        return batches, self.accelerator.gather(n).sum()

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        weighted, plain = weighted_nll(model, inputs)
        weighted_sum, plain_sum = torch.stack([weighted.detach(), plain]).tolist()
        if not math.isfinite(weighted_sum):
            raise RiseError(f"the training loss became {weighted_sum} at step {self.state.global_step + 1}. {WAY_OUT}")
        self.plain[0] += plain_sum
        self.plain[1] += float(inputs["n_tokens"])
        # DDP averages gradients over ranks, our sum wants them added.
        return weighted * self.accelerator.num_processes / num_items_in_batch

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()  # every rank writes its own random state
        if self.args.should_save:
            folder = Path(str(self.args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            (folder / COMPLETE).touch()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self.plain[1]:
            logs["loss_plain"] = self.plain[0] / self.plain[1]
            now = time.perf_counter()
            logs["tokens_per_s"] = self.plain[1] / max(now - self._logged, 1e-9)
            self._logged = now
            self.plain = [0.0, 0.0]
        super().log(logs, start_time)


class _Tell(TrainerCallback):
    """Log lines to whoever wants them."""

    def __init__(self, tell: Callable[[dict[str, Any]], None] | None) -> None:
        self.tell = tell

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if self.tell and logs and "loss" in logs:
            self.tell({"step": state.global_step, "steps": state.max_steps, **logs})


def run_training(
    examples: Sequence[Example], start: Path | str, out: Path, config: TrainConfig, *, model: ModelConfig | None,
    seed: int, card: dict[str, Any] | None, work: Path, on_log: Callable[[dict[str, Any]], None] | None,
) -> dict[str, Any]:  # fmt: skip
    """See `rise.train.train`."""
    check_free(out)
    weighted = _with_weight(examples)
    torch.manual_seed(seed)
    lora = model.lora if model else None
    # What trains is float32, or bfloat16 with float32 masters. A base that adapters leave as it is may be smaller.
    dtype = model.dtype if model and lora else "bfloat16" if config.masters else "float32"
    net, renderer = load_model(start, dtype=dtype, chat_format=model.chat_format if model else None)
    net.config.use_cache = False
    tokenizer = renderer.tokenizer
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    if lora:
        from peft import LoraConfig as PeftLora
        from peft import get_peft_model

        net = get_peft_model(
            net,
            PeftLora(
                r=lora.rank, lora_alpha=lora.alpha,
 lora_dropout=lora.dropout, target_modules=lora.target_modules,
                task_type="CAUSAL_LM",
            ),
        )  # fmt: skip

    rows = make_rows(weighted, per=config.per, merge=config.merge)
    arguments = _arguments(config, work, seed, 1)
    world = arguments.world_size
    plan = plan_batches(
        rows, batch_size=config.batch_size, epochs=config.epochs, max_steps=config.max_steps,
        line_length=config.line_length, micro_batch_tokens=config.micro_batch_tokens, world=world, seed=seed,
        trained_tokens=config.trained_tokens,
    )  # fmt: skip
    if plan.n_steps == 1:  # warming up starts from 0: a single step would train nothing
        config = config.model_copy(update={"warmup_ratio": 0.0})
    arguments = _arguments(config, work, seed, plan.accumulation)
    if not (arguments.fsdp or arguments.deepspeed):  # they place the model themselves
        net.to(arguments.device)  # before masters are copied from it, or they would stay behind
    with _memory(config):
        _check_first_packed_line(net, rows, plan, pad_id)
    optimizer: Any = None
    if config.masters:
        from rise.train.masters import MasterAdamW

        optimizer = MasterAdamW(
            [p for p in net.parameters() if p.requires_grad], lr=config.learning_rate, weight_decay=config.weight_decay,
            betas=(arguments.adam_beta1, arguments.adam_beta2), eps=arguments.adam_epsilon,
        )  # fmt: skip
    elif config.optimizer == "muon":
        from rise.train.muon import MuonAdamW

        optimizer = MuonAdamW(
            net, lr=config.learning_rate, weight_decay=config.weight_decay,
            betas=(arguments.adam_beta1, arguments.adam_beta2), eps=arguments.adam_epsilon,
        )  # fmt: skip
    trainer = WeightedTrainer(
        model=net,
        args=arguments,
        train_dataset=_Batches(rows, plan, pad_id, config.per),
        data_collator=lambda items: items[0],
        callbacks=[_Tell(on_log)],
        optimizers=(optimizer, None),
    )
    trainer.remove_callback(PrinterCallback)
    with _memory(config):
        trainer.train(resume_from_checkpoint=_last_complete(work) if config.save_steps else None)

    net = trainer.accelerator.unwrap_model(trainer.model)
    if lora:
        net = net.merge_and_unload()
    net.config.use_cache = True
    if model and model.chat_format:  # or plain `generate` would run past the end of a turn
        net.generation_config.eos_token_id = sorted(renderer.eos_ids)
    if not all(bool(torch.isfinite(p).all()) for p in net.parameters()):
        raise RiseError(f"a weight is no longer a number after {plan.n_steps} steps, so nothing was saved. {WAY_OUT}")
    if trainer.is_world_process_zero():
        save_checkpoint(net, tokenizer, out, card)
        shutil.rmtree(work, ignore_errors=True)
    return {
        "n_rows": len(rows),
        "n_weight_0": len(examples) - len(weighted),
        "n_steps": plan.n_steps,
        "accumulation": plan.accumulation,
        "n_tokens_per_epoch": sum(len(row.ids) for row in rows),
        "n_trained_tokens_per_epoch": sum(row.n_trained for row in rows),
        "n_trained_tokens": plan.n_trained_tokens,
    }


@contextlib.contextmanager
def _memory(config: TrainConfig) -> Iterator[None]:
    """Say which setting to lower when the device's memory does not suffice."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RiseError(
            f"training ran out of memory with train.micro_batch_tokens = {config.micro_batch_tokens}. Halve it: the batch of "
            "the optimiser stays what train.batch_size says. If it is small already, set [model.lora], or "
            "train.arguments.gradient_checkpointing = true."
        ) from error


def _with_weight(examples: Sequence[Example]) -> list[Example]:
    """Those that train at all. Raises for weights that are none, and where nothing is left."""
    bad = next((e for e in examples if not (math.isfinite(e.weight) and e.weight >= 0)), None)
    if bad is not None:
        raise DataError(f"the example of problem {bad.problem_id}, turn {bad.turn} has weight {bad.weight}; expected 0 or more.")
    weighted = [e for e in examples if e.weight > 0]
    if not weighted:
        raise EmptyStageError(f"no example to train on ({len(examples)} of weight 0).")
    return weighted


def _last_complete(work: Path) -> str | None:
    """The latest checkpoint of unfinished training that was written to its end; others are removed."""
    found = sorted(work.glob(f"{PREFIX_CHECKPOINT_DIR}-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for path in [path for path in found if not (path / COMPLETE).exists()]:
        shutil.rmtree(path, ignore_errors=True)
    return next((str(path) for path in reversed(found) if (path / COMPLETE).exists()), None)


def _arguments(config: TrainConfig, work: Path, seed: int, accumulation: int) -> TrainingArguments:
    check_arguments(config)
    settings: dict[str, Any] = {
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
        **config.arguments,
    }
    try:
        return _one_device(TrainingArguments(**settings))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"train: transformers.TrainingArguments refuses the settings: {error}") from error


def _one_device(arguments: Any) -> Any:
    """A process that no launcher started trains on one GPU: the Trainer would otherwise split batches whose plan is fixed."""
    if arguments.n_gpu > 1:
        log.warning(
            "%d GPUs are visible; this process trains on %s alone. For all of them: torchrun --nproc-per-node %d -m "
            "rise.cli.main train …", arguments.n_gpu, arguments.device, arguments.n_gpu,
        )  # fmt: skip
        arguments._n_gpu = 1
    return arguments


def _check_first_packed_line(net: Any, rows: Sequence[Row], plan: Plan, pad_id: int) -> None:
    """Compare the first line that holds several rows with the same rows alone. Raises if packing is not exact."""
    line = next((line for batch in plan.batches for line in batch.lines if len(line) > 1), None)
    if line is None:
        return
    members = [rows[i] for i in line]
    training = net.training
    net.eval()
    some = next(net.parameters())

    def loss(lines: list[list[Row]]) -> float:
        return float(weighted_nll(net, {name: t.to(some.device) for name, t in tensors(lines, pad_id).items()})[0])

    with torch.no_grad():
        packed = loss([members])
        alone = sum(loss([[row]]) for row in members)
    net.train(training)
    tolerance = 1e-4 if some.dtype == torch.float32 else 2e-2
    if abs(packed - alone) > tolerance * max(1.0, abs(alone)):
        raise RiseError(
            f"packing is not exact for this model: {len(members)} rows in one line have loss {packed:.6f}, alone "
            f"{alone:.6f}. Its attention lets rows see each other. Set train.line_length = 8, so that every row has a "
            "line of its own."
        )
