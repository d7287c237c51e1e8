"""One training from start to end: examples → rows → batches → optimiser steps → a plain checkpoint."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback

from rise.dataset.example import Example
from rise.dataset.losses import cost_of
from rise.errors import ConfigError, DataError, RiseError
from rise.play.render import Renderer
from rise.recipe.config import TrainConfig
from rise.recipe.machines import ModelConfig
from rise.training import checkpoints, chunked_loss, varlen
from rise.training.adapters import add_adapters, merged, merged_on, prepared_for_few_bits, quantization
from rise.training.arguments import VARLEN, attention_of, is_sharded, training_arguments
from rise.training.chunked_loss import Head
from rise.training.model import check_free, load_model, n_embeddings, save_checkpoint
from rise.training.optimizers import check_optimizer, make_optimizer
from rise.training.packing_check import check_exact
from rise.training.rows import Plan, Row, make_rows, plan_batches
from rise.training.trainable import trainable
from rise.training.trainer import WAY_OUT, Batches, LogLines, WeightedTrainer


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model to be trained and what was decided about it."""

    net: Any
    renderer: Renderer
    dtype: str
    """Of the weights that are loaded: float32, or bfloat16 with masters or a frozen base."""
    attention: str | None
    """transformers' name of the attention; None leaves the model its own."""

    @property
    def pad_id(self) -> int:
        tokenizer = self.renderer.tokenizer
        return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id

    @property
    def flat(self) -> bool:
        """Whether each batch is one line: with several, attention of variable length (flash) ignores position ids."""
        return bool(self.attention and (self.attention.startswith("flash") or self.attention == VARLEN))


def finetune(
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
    """`rise.training.train` in this process: the parameters, the result and the errors are explained there."""
    check_free(out)
    dropped: Counter[str] = Counter()
    weighted = trainable(examples, config, dropped)
    torch.manual_seed(seed)
    arguments = training_arguments(config, work, seed, 1, logs=out)
    sharded = is_sharded(arguments)
    check_optimizer(config, sharded=sharded)
    loaded = _load(start, config, model, arguments.device, sharded=sharded)
    rows = make_rows(weighted, per=config.per, merge=config.merge)
    check_ids(weighted, loaded.renderer, n_embeddings(loaded.net), start)
    plan = _plan(rows, config, arguments.world_size, seed)
    resume = None
    if config.save_steps:
        settings = checkpoints.settings_of(weighted, start, config, model, seed, arguments.world_size)
        resume = checkpoints.begin(work, settings, first=arguments.process_index == 0, elastic=elastic)
    if plan.n_steps == 1:  # warming up starts from 0: a single step would train nothing
        config = config.model_copy(update={"warmup_ratio": 0.0})
    arguments = training_arguments(config, work, seed, plan.accumulation, logs=out)
    trainer = _trainer(loaded, arguments, rows, plan, config, on_log=on_log, on_save=on_save)
    with _memory(config):
        trainer.train(resume_from_checkpoint=resume)
        trainer.losses.settle()
    _save(trainer, start, out, loaded, card, model=model, sharded=sharded, n_steps=plan.n_steps)
    if trainer.is_world_process_zero():
        shutil.rmtree(work, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    return _counts(weighted, dropped, rows, plan)


def _load(start: Path | str, config: TrainConfig, model: ModelConfig | None, device: Any, *, sharded: bool) -> Loaded:
    """The model at `start`, with adapters where the recipe has them, in the number format it trains in, on the device."""
    lora = model.lora if model else None
    # What trains is float32, or bfloat16 with float32 masters. A base that adapters leave as it is may be smaller.
    dtype = model.dtype if model and lora else "bfloat16" if config.masters else "float32"
    attention = attention_of(config, dtype, device)
    own = None if attention == VARLEN else attention
    net, renderer = load_model(
        start,
        dtype=dtype,
        chat_format=model.chat_format if model else None,
        attention=own,
        quantization=quantization(lora, torch.bfloat16),
    )
    net.config.use_cache = False
    places_itself = sharded or (lora and lora.quantize)
    if not places_itself:
        net.to(device)
    if attention == VARLEN:
        attention = _rows_by_themselves(net, config, device, sharded=sharded)
    if lora:
        net = add_adapters(prepared_for_few_bits(net) if lora.quantize else net, lora)
        if not places_itself:
            net.to(device)  # before masters are copied from it, or they would stay behind
    if config.compile:
        compile_layers(net)
    return Loaded(net, renderer, dtype, attention)


def _rows_by_themselves(net: Any, config: TrainConfig, device: Any, *, sharded: bool) -> str | None:
    """Give the model attention of variable length; None where `auto` must not. Raises `ConfigError` where it was asked for."""
    if config.attention == "auto" and not varlen.kernel(device, torch.bfloat16, varlen.head_width(net)):
        return None
    if not varlen.fits(net, sharded=sharded):
        if config.attention == "auto":
            return None
        raise ConfigError(
            'train.attention = "varlen" is not right for this model: its attention does more than the plain one (windows, caps, '
            'sinks), or does not go through transformers\' interface. "auto" takes what it can have.'
        )
    net.set_attn_implementation(varlen.register())
    return VARLEN


def compile_layers(net: Any) -> None:
    """Compile each decoder layer in place. One compilation serves all of them, where compiling the model would unroll them."""
    lists = {name: module for name, module in net.named_modules() if isinstance(module, torch.nn.ModuleList)}
    # Not the experts of a layer, which are more.
    outer = [module for name, module in lists.items() if not any(part.isdigit() for part in name.split("."))]
    for layer in max(outer, key=len, default=()):
        layer.compile(backend=chunked_loss.BACKEND)


def check_ids(examples: Sequence[Example], renderer: Renderer, n_words: int, start: Path | str) -> None:
    """Raise `DataError` where the examples' token ids are of another tokenizer or chat template than the model's."""
    first = examples[0]
    shown = renderer.prompt_ids(first.prompt) if first.prompt else first.prompt_ids
    if tuple(first.prompt_ids) != shown:
        raise DataError(
            f"the examples were made for another tokenizer or chat template than that of {start}: the prompt of problem "
            f"{first.problem_id}, turn {first.turn} has {len(first.prompt_ids)} token ids, which read "
            f"{_start_of(renderer, first.prompt_ids)!r} there, and its text has {len(shown)}, {_start_of(renderer, shown)!r}. "
            "Build them again for this model (rise relabel --examples), or start from the model they were made for."
        )
    largest = max(max(e.prompt_ids + e.reply_ids + e.rejected_ids, default=0) for e in examples)
    if largest >= n_words:
        raise DataError(
            f"the examples hold token id {largest:,}, but {start} has {n_words:,} embeddings: they were made for another "
            "tokenizer. Build them again for this model (rise relabel --examples)."
        )


def _start_of(renderer: Renderer, ids: Sequence[int]) -> str:
    return str(renderer.tokenizer.decode(list(ids[:24]), skip_special_tokens=False))[:60]


def _plan(rows: Sequence[Row], config: TrainConfig, world: int, seed: int) -> Plan:
    return plan_batches(
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


def _trainer(
    loaded: Loaded,
    arguments: Any,
    rows: Sequence[Row],
    plan: Plan,
    config: TrainConfig,
    *,
    on_log: Callable[[dict[str, Any]], None] | None,
    on_save: Callable[[Path], None] | None,
) -> WeightedTrainer:
    head, flat = Head(loaded.net), loaded.flat
    head.compiled = config.compile
    half = loaded.dtype != "float32" or arguments.bf16 or arguments.fp16
    trainer = WeightedTrainer(
        model=loaded.net,
        args=arguments,
        train_dataset=Batches(rows, plan, loaded.pad_id, config.per, flat=flat),
        data_collator=lambda items: items[0],
        callbacks=[LogLines(on_log)],
        optimizers=(make_optimizer(loaded.net, config, arguments), None),
        head=head,
        cost=cost_of(config.loss.name, config.loss.bounds),
        on_save=on_save,
        check=lambda wrapped: check_exact(wrapped, head, rows, plan, loaded.pad_id, flat=flat, half=half),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _save(
    trainer: WeightedTrainer,
    start: Path | str,
    out: Path,
    loaded: Loaded,
    card: dict[str, Any] | None,
    *,
    model: ModelConfig | None,
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
        net, state = merged_on(start, lora, state or net.state_dict(), loaded.dtype), None
    elif lora:
        probe = torch.tensor([trainer.train_dataset.rows[0].ids], device=trainer.args.device)
        net = merged(net, probe, half=loaded.dtype != "float32")
    ready_to_save(net, loaded.renderer)
    if not all(bool(torch.isfinite(p).all()) for p in (state.values() if state else net.parameters())):
        raise RiseError(f"a weight is no longer a number after {n_steps} steps, so nothing was saved. {WAY_OUT}")
    save_checkpoint(net, loaded.renderer.tokenizer, out, card, state=state)


def ready_to_save(net: Any, renderer: Renderer) -> None:
    """Set what a saved model must say of itself: that it may cache, and every token that ends a turn."""
    net.config.use_cache = True
    ends = net.generation_config.eos_token_id
    if renderer.eos_ids - {*(ends if isinstance(ends, list) else [ends])}:
        # Or plain `generate` would run past the end of a turn.
        net.generation_config.eos_token_id = sorted(renderer.eos_ids)


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


def _counts(trained: Sequence[Example], dropped: Counter[str], rows: Sequence[Row], plan: Plan) -> dict[str, Any]:
    """What `train` returns."""
    return {
        "n_rows": len(rows),
        "n_weight_0": dropped["weight 0"],
        "n_too_long": dropped["too long"],
        "n_truncated": sum(e.finish == "length" for e in trained),
        "n_steps": plan.n_steps,
        "accumulation": plan.accumulation,
        "n_tokens_per_epoch": sum(len(row.ids) for row in rows),
        "n_trained_tokens_per_epoch": sum(row.n_trained for row in rows),
        "n_trained_tokens": plan.n_trained_tokens,
    }
