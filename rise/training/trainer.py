"""The training loop: `transformers.Trainer`, fed with planned batches and divided by our normaliser."""

from __future__ import annotations

import contextlib
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback

from rise.dataset.build import Example
from rise.errors import DataError, EmptyStageError, RiseError
from rise.play.render import Renderer
from rise.recipe.config import ModelConfig, TrainConfig
from rise.training import checkpoints
from rise.training.adapters import add_adapters, merged_on, quantization
from rise.training.arguments import attention_of, is_sharded, training_arguments
from rise.training.chunked_loss import Head
from rise.training.loss import tensors, weighted_nll
from rise.training.model import check_free, load_model, save_checkpoint
from rise.training.packing_check import check_exact
from rise.training.rows import Plan, Row, make_rows, plan_batches
from rise.training.throughput import Meter

WAY_OUT = "Lower train.learning_rate, or set train.max_grad_norm = 1.0."


class Batches(Dataset):
    """The planned batches as tensors."""

    def __init__(self, rows: Sequence[Row], plan: Plan, pad_id: int, per: str, *, flat: bool) -> None:
        self.rows, self.plan, self.pad_id, self.per, self.flat = rows, plan, pad_id, per, flat

    def __len__(self) -> int:
        return len(self.plan.batches)

    def members(self, index: int) -> list[Row]:
        return [self.rows[i] for line in self.plan.batches[index].lines for i in line]

    def __getitem__(self, index: int) -> dict[str, Any]:
        lines = [[self.rows[i] for i in line] for line in self.plan.batches[index].lines]
        inputs = tensors(lines, self.pad_id, flat=self.flat)
        flat = self.members(index)
        inputs["n"] = torch.tensor(float(sum(r.n_examples if self.per == "sequence" else r.n_trained for r in flat)))
        inputs["index"] = torch.tensor(index)
        return inputs


class WeightedTrainer(Trainer):
    """Σ wᵢ·nllᵢ ÷ N, N counted over the whole accumulation window and all ranks, whatever the weights."""

    def __init__(
        self, *args: Any, head: Head, check: Callable[[Any], None], on_save: Callable[[Path], None] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        # Two names for one thing across transformers 5.17 to 5.23: the loss already covers the accumulation window.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        self.head = head
        self.on_save = on_save
        self.check: Callable[[Any], None] | None = check
        """Called with the wrapped model before the first step."""
        self.meter = Meter(self.model, self.args.device)

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

    def training_step(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        if self.check:
            self.check(model)
            self.check = None
        return super().training_step(model, *args, **kwargs)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        weighted, plain = weighted_nll(model, inputs, self.head)
        weighted_sum, plain_sum = torch.stack([weighted.detach(), plain]).tolist()
        if not math.isfinite(weighted_sum):
            raise RiseError(f"the training loss became {weighted_sum} at step {self.state.global_step + 1}. {WAY_OUT}")
        rows, cost = self.train_dataset.members(int(inputs["index"])), self.meter.cost
        self.meter.add(
            plain_sum,
            sum(r.n_trained for r in rows),
            sum(len(r.ids) for r in rows),
            inputs["input_ids"].numel(),
            cost.of(rows) if cost else 0.0,
        )
        # DDP averages gradients over ranks, our sum wants them added.
        return weighted * self.accelerator.num_processes / num_items_in_batch

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        work = Path(str(self.args.output_dir))
        self.args.output_dir = str(work / checkpoints.PARTIAL)
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.output_dir = str(work)
        self.accelerator.wait_for_everyone()  # every rank writes its own random state
        if self.args.should_save:
            checkpoints.put_in_place(work, self.state.global_step, keep=self.args.save_total_limit or 2)
        if self.on_save:
            self.accelerator.wait_for_everyone()
            self.on_save(work / f"{checkpoints.CHECKPOINT}{self.state.global_step}")

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs.update(self.meter.read(self.accelerator))
        super().log(logs, start_time)


class _Tell(TrainerCallback):
    """Log lines to whoever wants them."""

    def __init__(self, tell: Callable[[dict[str, Any]], None] | None) -> None:
        self.tell = tell

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if self.tell and logs and "loss" in logs and state.is_world_process_zero:
            own = {name: value for name, value in logs.items() if name != "epoch"}  # theirs is all of ours, as one
            self.tell({"step": state.global_step, "steps": state.max_steps, **own})


def run_training(
    examples: Sequence[Example],
    start: Path | str,
    out: Path,
    config: TrainConfig,
    *,
    model: ModelConfig | None,
    seed: int,
    card: dict[str, Any] | None,
    work: Path,
    on_log: Callable[[dict[str, Any]], None] | None,
    on_save: Callable[[Path], None] | None = None,
    elastic: bool = False,
) -> dict[str, Any]:
    """See `rise.training.train`."""
    check_free(out)
    dropped: Counter[str] = Counter()
    weighted = _trainable(examples, config, dropped)
    torch.manual_seed(seed)
    lora = model.lora if model else None
    arguments = training_arguments(config, work, seed, 1, logs=out)
    sharded, world = is_sharded(arguments), arguments.world_size
    # What trains is float32, or bfloat16 with float32 masters. A base that adapters leave as it is may be smaller.
    dtype = model.dtype if model and lora else "bfloat16" if config.masters else "float32"
    attention = attention_of(config, dtype, arguments.device)
    net, renderer = load_model(
        start,
        dtype=dtype,
        chat_format=model.chat_format if model else None,
        attention=attention,
        quantization=quantization(lora, torch.bfloat16),
    )
    net.config.use_cache = False
    tokenizer = renderer.tokenizer
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    if lora:
        if lora.quantize:
            from peft import prepare_model_for_kbit_training

            net = prepare_model_for_kbit_training(net, use_gradient_checkpointing=False)
        net = add_adapters(net, lora)

    rows = make_rows(weighted, per=config.per, merge=config.merge)
    plan = plan_batches(
        rows,
        batch_size=config.batch_size,
        epochs=config.epochs,
        max_steps=config.max_steps,
        line_length=config.line_length,
        micro_batch_tokens=config.micro_batch_tokens,
        world=world,
        seed=seed,
        trained_tokens=config.trained_tokens,
    )
    resume = None
    if config.save_steps:
        settings = checkpoints.settings_of(weighted, start, config, model, seed, world)
        resume = checkpoints.begin(work, settings, first=arguments.process_index == 0, elastic=elastic)
    if plan.n_steps == 1:  # warming up starts from 0: a single step would train nothing
        config = config.model_copy(update={"warmup_ratio": 0.0})
    arguments = training_arguments(config, work, seed, plan.accumulation, logs=out)
    if not (sharded or (lora and lora.quantize)):  # they place the model themselves
        net.to(arguments.device)  # before masters are copied from it, or they would stay behind
    optimizer: Any = None
    if config.masters:
        from rise.training.master_weights import MasterAdamW

        optimizer = MasterAdamW(
            [p for p in net.parameters() if p.requires_grad],
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            betas=(arguments.adam_beta1, arguments.adam_beta2),
            eps=arguments.adam_epsilon,
        )
    elif config.optimizer == "muon":
        from rise.training.muon import MuonAdamW

        optimizer = MuonAdamW(
            net,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            betas=(arguments.adam_beta1, arguments.adam_beta2),
            eps=arguments.adam_epsilon,
        )
    # One line for attention of variable length: in a batch of several it takes no notice of position ids.
    flat, head = bool(attention and attention.startswith("flash")), Head(net)
    half = dtype != "float32" or arguments.bf16 or arguments.fp16
    trainer = WeightedTrainer(
        model=net,
        args=arguments,
        train_dataset=Batches(rows, plan, pad_id, config.per, flat=flat),
        data_collator=lambda items: items[0],
        callbacks=[_Tell(on_log)],
        optimizers=(optimizer, None),
        head=head,
        on_save=on_save,
        check=lambda wrapped: check_exact(wrapped, head, rows, plan, pad_id, flat=flat, half=half),
    )
    trainer.remove_callback(PrinterCallback)
    with _memory(config):
        trainer.train(resume_from_checkpoint=resume)
    _save(trainer, start, out, renderer, card, model=model, dtype=dtype, sharded=sharded, n_steps=plan.n_steps)
    if trainer.is_world_process_zero():
        shutil.rmtree(work, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    return {
        "n_rows": len(rows),
        "n_weight_0": dropped["weight 0"],
        "n_too_long": dropped["too long"],
        "n_truncated": sum(e.finish == "length" for e in weighted),
        "n_steps": plan.n_steps,
        "accumulation": plan.accumulation,
        "n_tokens_per_epoch": sum(len(row.ids) for row in rows),
        "n_trained_tokens_per_epoch": sum(row.n_trained for row in rows),
        "n_trained_tokens": plan.n_trained_tokens,
    }


def _save(
    trainer: Any,
    start: Path | str,
    out: Path,
    renderer: Renderer,
    card: dict[str, Any] | None,
    *,
    model: ModelConfig | None,
    dtype: str,
    sharded: bool,
    n_steps: int,
) -> None:
    """The whole model as plain files, written by the first rank, however it was spread while it trained."""
    lora = model.lora if model else None
    net = trainer.accelerator.unwrap_model(trainer.model)
    state = None
    if sharded:
        state = trainer.accelerator.get_state_dict(trainer.model_wrapped)  # every rank hands over its share
    if not trainer.is_world_process_zero():
        return
    if lora and (sharded or lora.quantize):
        net, state = merged_on(start, lora, state or net.state_dict(), dtype), None
    elif lora:
        net = net.merge_and_unload()
    net.config.use_cache = True
    if model and model.chat_format:  # or plain `generate` would run past the end of a turn
        net.generation_config.eos_token_id = sorted(renderer.eos_ids)
    if not all(bool(torch.isfinite(p).all()) for p in (state.values() if state else net.parameters())):
        raise RiseError(f"a weight is no longer a number after {n_steps} steps, so nothing was saved. {WAY_OUT}")
    save_checkpoint(net, renderer.tokenizer, out, card, state=state)


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


def _trainable(examples: Sequence[Example], config: TrainConfig, dropped: Counter[str]) -> list[Example]:
    """Those that train at all; the others are counted. Raises for weights that are none, and where nothing is left."""
    bad = next((e for e in examples if not (math.isfinite(e.weight) and e.weight >= 0)), None)
    if bad is not None:
        raise DataError(f"the example of problem {bad.problem_id}, turn {bad.turn} has weight {bad.weight}; expected 0 or more.")
    kept = []
    for example in examples:
        if example.weight == 0:
            dropped["weight 0"] += 1
        elif len(example.prompt_ids) + len(example.reply_ids) > config.max_length:
            dropped["too long"] += 1
        else:
            kept.append(example)
    if not kept:
        counts = ", ".join(f"{n} of {name}" if name == "weight 0" else f"{n} {name}" for name, n in dropped.items())
        raise EmptyStageError(f"no example to train on ({counts or 'none was given'}; train.max_length = {config.max_length}).")
    return kept
