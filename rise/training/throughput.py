"""Speed of a training: tokens a second, share of the work that trains, memory, and MFU where the chip's peak is known."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rise.training.rows import Row

PEAKS = {
    "GB200": 2500e12,
    "B200": 2250e12,
    "H200": 989e12,
    "H100": 989e12,
    "H800": 989e12,
    "A100": 312e12,
    "A800": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "A40": 150e12,
    "L4": 121e12,
    "A10": 125e12,
    "4090": 165e12,
}
"""Dense bfloat16 operations a second by a part of the device's name, from data sheets; SXM where there are several."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Floating-point operations of forward and backward passes; activations that are recomputed do not count."""

    token: float
    """For each token: linear layers of the body."""
    trained: float
    """In addition for each trained token: the output layer."""
    pair: float
    """For each pair of tokens in a row, causal: attention."""

    def of(self, rows: Sequence[Row]) -> float:
        """Operations for these rows."""
        return sum(self.token * len(r.ids) + self.trained * r.n_trained + self.pair * len(r.ids) ** 2 / 2 for r in rows)


def cost_of(net: Any) -> Cost | None:
    """From the model's linear layers; None for mixtures of experts, where not every token goes through all of them."""
    shape = net.config
    if any(getattr(shape, name, None) for name in ("num_experts", "num_local_experts", "n_routed_experts")):
        return None
    head = net.get_output_embeddings()
    token = trained = 0.0
    for module in net.modules():
        if isinstance(module, torch.nn.Linear):
            # Forward and the gradient of the input, two operations a weight each; that of the weight where it trains.
            own = (6.0 if module.weight.requires_grad else 4.0) * module.in_features * module.out_features
            if module is head:
                trained = own
            else:
                token += own
    layers, heads = getattr(shape, "num_hidden_layers", 0), getattr(shape, "num_attention_heads", 0)
    width = getattr(shape, "head_dim", None) or getattr(shape, "hidden_size", 0) // max(1, heads)
    return Cost(token, trained, pair=3 * 4.0 * layers * heads * width)


def peak_of(device: Any) -> float | None:
    """Dense bfloat16 operations a second of a GPU, if known."""
    if getattr(device, "type", device) != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((rate for part, rate in PEAKS.items() if part in name), None)


def memory_MiB(device: Any) -> int:
    """Peak memory of this process, MiB: by the device's allocator on a GPU, resident otherwise."""
    if getattr(device, "type", device) == "cuda":
        return torch.cuda.max_memory_allocated(device) >> 20
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most >> (20 if sys.platform == "darwin" else 10)


class Meter:
    """Counts between two log lines on one rank; `read` sums them over ranks."""

    def __init__(self, net: Any, device: Any) -> None:
        self.cost, self.peak, self.device = cost_of(net), peak_of(device), device
        self.began = time.perf_counter()
        self.nll: Any = 0.0
        """Σ nll of trained tokens without weights; on the device, which is not asked before a log line."""
        self.counts = [0.0] * 4
        """Trained tokens, tokens of rows, tokens computed, operations."""

    def add(self, nll: Any, n_trained: float, n_rows: float, n_computed: float, n_operations: float) -> None:
        self.nll = self.nll + nll
        self.counts = [a + b for a, b in zip(self.counts, (n_trained, n_rows, n_computed, n_operations), strict=True)]

    def read(self, accelerator: Any) -> dict[str, float]:
        """The values of one log line; counting then starts from 0. Every rank must call it."""
        counts = [float(self.nll), *self.counts]
        if accelerator.num_processes > 1:
            counts = accelerator.reduce(torch.tensor(counts, device=accelerator.device), "sum").tolist()
        nll, n_trained, n_rows, n_computed, n_operations = counts
        now = time.perf_counter()
        seconds, self.began, self.nll, self.counts = max(now - self.began, 1e-9), now, 0.0, [0.0] * 4
        if not n_trained:
            return {}
        out = {
            "loss_plain": nll / n_trained,
            "tokens_per_s": n_trained / seconds,
            "share_trained": n_trained / n_computed,
            "share_padding": 1 - n_rows / n_computed,
            "memory_MiB": memory_MiB(self.device),
        }
        if self.peak and self.cost:
            out["mfu"] = n_operations / seconds / accelerator.num_processes / self.peak
        return out
