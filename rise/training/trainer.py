"""`transformers.Trainer`, fed with planned batches and divided by our normaliser."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback

from rise.errors import RiseError
from rise.training import checkpoints
from rise.training.chunked_loss import Head, TokenCost
from rise.training.disk_space import room_for, tensor_bytes
from rise.training.loss import batch_loss, tensors
from rise.training.rows import Plan, Row
from rise.training.throughput import Meter
from rise.training.warmup import without_zero

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
        inputs["index"] = index
        return inputs


class Losses:
    """Sees that each loss is a number. On a GPU it is looked at when it arrives: asking would hold up the next launches."""

    def __init__(self) -> None:
        self._under_way: deque[tuple[int, Any, Any]] = deque()
        """Step, loss on its way to this machine's memory, and the event that ends the way."""

    def add(self, step: int, loss: Any) -> None:
        """Raises `RiseError` for an earlier loss, or this one, that is known to be no number."""
        if loss.device.type != "cuda":
            self.check(step, float(loss))
            return
        there = torch.empty((), dtype=loss.dtype, pin_memory=True)
        there.copy_(loss, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        self._under_way.append((step, there, arrived))
        while self._under_way and self._under_way[0][2].query():
            step, there, _ = self._under_way.popleft()
            self.check(step, float(there))

    def settle(self) -> None:
        """Look at those that are still under way: before anything is saved."""
        while self._under_way:
            step, there, arrived = self._under_way.popleft()
            arrived.synchronize()
            self.check(step, float(there))

    @staticmethod
    def check(step: int, loss: float) -> None:
        if not math.isfinite(loss):
            raise RiseError(f"the training loss became {loss} at step {step}. {WAY_OUT}")


class WarmedTrainer(Trainer):
    """No step of its warming up has learning rate 0, whatever else it trains on."""

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        scheduler = super().create_scheduler(num_training_steps, optimizer)
        self.lr_scheduler = without_zero(scheduler, self.args.get_warmup_steps(num_training_steps))
        return self.lr_scheduler


class WeightedTrainer(WarmedTrainer):
    """Σ cost ÷ N, N counted over the whole accumulation window and all ranks, whatever the weights."""

    def __init__(
        self,
        *args: Any,
        head: Head,
        cost: TokenCost,
        check: Callable[[Any], None],
        on_save: Callable[[Path], None] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        # Two names for one thing across transformers 5.17 to 5.23: the loss already covers the accumulation window.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        self.head, self.cost = head, cost
        self.on_save = on_save
        self.check: Callable[[Any], None] | None = check
        """Called with the wrapped model before the first step."""
        self.meter = Meter(self.model, self.args.device)
        self.losses = Losses()

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

    def get_decay_parameter_names(self, model: Any) -> list[str]:
        # All of them, as Muon and the AdamW with masters have it: one setting means one thing.
        return [name for name, _ in model.named_parameters()]

    def training_step(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        if self.check:
            self.check(model)
            self.check = None
        return super().training_step(model, *args, **kwargs)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        total, plain = batch_loss(model, inputs, self.head, self.cost)
        self.losses.add(self.state.global_step + 1, total.detach())
        rows, cost = self.train_dataset.members(inputs["index"]), self.meter.cost
        self.meter.add(
            plain,
            sum(r.n_trained for r in rows),
            sum(len(r.ids) for r in rows),
            inputs["input_ids"].numel(),
            cost.of(rows) if cost else 0.0,
        )
        # DDP averages gradients over ranks, our sum wants them added.
        return total * self.accelerator.num_processes / num_items_in_batch

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.losses.settle()
        work = Path(str(self.args.output_dir))
        what = f"what training has reached at step {self.state.global_step} (train.save_steps)"
        with room_for(what, work / checkpoints.PARTIAL, self._n_bytes):
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

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """As transformers does, but of a weight that is tied to one that was there nothing is missing."""
        missing, own = set(load_result.missing_keys), dict(self.model.named_parameters(remove_duplicate=False))
        there = {id(weight) for name, weight in own.items() if name not in missing}
        really = [name for name in load_result.missing_keys if name not in own or id(own[name]) not in there]
        super()._issue_warnings_after_load(load_result._replace(missing_keys=really))

    def _n_bytes(self) -> int:
        """Of a checkpoint: weights and the optimiser's moments."""
        return sum(tensor_bytes(p) for p in self.model.parameters()) + tensor_bytes(self.optimizer.state_dict())

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            self.losses.settle()
            logs.update(self.meter.read(self.accelerator))
        super().log(logs, start_time)


class LogLines(TrainerCallback):
    """Hands each log line of the first rank to `tell`."""

    def __init__(self, tell: Callable[[dict[str, Any]], None] | None) -> None:
        self.tell = tell

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if self.tell and logs and "loss" in logs and state.is_world_process_zero:
            own = {name: value for name, value in logs.items() if name != "epoch"}  # to transformers our whole plan is one epoch
            self.tell({"step": state.global_step, "steps": state.max_steps, **own})
