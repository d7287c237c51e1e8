"""The output layer in training: logits only where a token is trained, and never all of them at once.

For a vocabulary of 49,152 the logits of 1,000 tokens are 190 MiB in float32, and plain cross-entropy holds them, their
softmax and its gradient. Here they exist for one chunk of tokens at a time: the gradient of a chunk follows at once from
its softmax (∂log p/∂logits = one-hot − softmax, times ∂cost/∂log p), so nothing of it is kept. Exact up to the order of sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch.nn import functional

from rise.dataset.losses import Tokens

TokenCost = Callable[[Any, Tokens], Any]
"""(log-probabilities (M,), what else is known of the tokens) → cost of each, (M,): see `rise.dataset.losses`."""
CHUNK = {"cpu": 1 << 24, "small": 1 << 26, "large": 1 << 28}
"""Logits of one chunk: 64 MiB of float32 on a CPU, 256 MiB on a GPU, 1 GiB on one of 32 GiB and more. Each chunk reads and writes
the whole gradient of the layer's weight, in float32, which at 128,000 words costs as much as the products of 500 tokens."""


BACKEND = "inductor"
"""Of torch.compile, here and for layers."""


class Head:
    """Takes the place of the model's output layer during a forward pass.

    The model runs as it is, inside whatever wraps it; only its last layer is handed the trained positions alone.
    `fused` makes that layer return the two sums in place of logits. A model that changes its logits afterwards
    (soft-capping, scaling) is not right then: `fused = False` gives it the logits of the trained positions, and the
    trainer finds out which of the two is exact before the first step.
    """

    def __init__(self, model: Any) -> None:
        self.layer = model.get_output_embeddings()
        self.fused = type(self.layer) is torch.nn.Linear and self.layer.weight.is_floating_point()
        self.chunk: int | None = None
        """Tokens in a chunk; None follows from `CHUNK`."""
        self.compiled = False
        """Whether what is computed of a chunk's logits is compiled: two kernels, which write none but the gradient."""
        self._job: tuple[Any, Any, Tokens, TokenCost] | None = None
        self._own: Any = None
        self._stand_in = torch.compiler.disable(self._forward)  # torch.compile gains nothing from a loop over chunks

    @contextmanager
    def scoring(self, at_M: Any, targets_M: Any, tokens: Tokens, cost: TokenCost) -> Iterator[None]:
        """While it lasts the layer scores `targets_M` at the places before them: `at_M`, in the flattened batch."""
        self._job, self._own = (at_M, targets_M, tokens, cost), self.layer.forward
        self.layer.forward = self._stand_in
        try:
            yield
        finally:
            self.layer.forward = self._own
            self._job = self._own = None

    def _forward(self, hidden_BTH: Any) -> Any:
        assert self._job is not None
        at, targets, tokens, cost = self._job
        hidden_MH = hidden_BTH.flatten(0, 1).index_select(0, at)
        if not self.fused:
            return self._own(hidden_MH[None])
        size = self.chunk or max(16, CHUNK[_memory(hidden_MH.device)] // self.layer.weight.shape[0])
        how = (size, torch.is_grad_enabled(), self.compiled)
        return LinearCost.apply(hidden_MH, self.layer.weight, self.layer.bias, targets, tokens, cost, *how)

    def sums(self, scored: Any, targets_M: Any, tokens: Tokens, cost: TokenCost) -> tuple[Any, Any]:
        """(Σ cost, Σ nll of the tokens that have a pull) from what the model returned."""
        if self.fused:
            return scored[0], scored[1].detach()
        nll_M = functional.cross_entropy(scored[0].float(), targets_M, reduction="none")
        return cost(-nll_M, tokens).sum(), (nll_M.detach() * _pulls(tokens)).sum()


@cache
def _memory(device: torch.device) -> str:
    """Which of `CHUNK` a device has room for."""
    if device.type != "cuda":
        return "cpu" if device.type == "cpu" else "small"
    return "large" if torch.cuda.get_device_properties(device).total_memory >= 32 << 30 else "small"


def _pulls(tokens: Tokens) -> Any:
    return (tokens.weights_M != 0) | (tokens.kl_M != 0)


def _with_slope(cost: TokenCost, logp_M: Any, tokens: Tokens) -> tuple[Any, Any]:
    """(Σ cost, ∂cost/∂log p of each token)."""
    with torch.enable_grad():
        logp_M = logp_M.detach().requires_grad_()
        total = cost(logp_M, tokens).sum()
        (slope_M,) = torch.autograd.grad(total, [logp_M])
    return total.detach(), slope_M


def totals(logits_MV: Any, targets_M1: Any) -> tuple[Any, Any]:
    """(log of the softmax's denominator, nll of the target) of each token."""
    logits = logits_MV.float()
    total_M = torch.logsumexp(logits, dim=-1)
    return total_M, total_M - logits.gather(1, targets_M1).squeeze(1)


def in_place(logits_MV: Any, targets_M1: Any, total_M: Any, factor_M: Any) -> Any:
    """Gradient of Σ factor·nll by the logits: factor · (softmax − one-hot), in the memory of the logits."""
    slope = logits_MV.sub_(total_M[:, None]).exp_()
    slope.scatter_add_(1, targets_M1, torch.full_like(targets_M1, -1, dtype=slope.dtype))
    return slope.mul_(factor_M[:, None])


def slopes(logits_MV: Any, targets_M1: Any, total_M: Any, factor_M: Any) -> Any:
    """The same, for a compiler: one pass over logits of any precision, whose own the gradient has."""
    target = torch.arange(logits_MV.shape[1], device=logits_MV.device) == targets_M1
    softmax = (logits_MV.float() - total_M[:, None]).exp()
    return ((softmax - target.float()) * factor_M[:, None]).to(logits_MV.dtype)


@cache
def _compiler(function: Callable[..., Any], backend: str) -> Any:
    return torch.compile(function, dynamic=True, backend=backend)


def _maybe_compiled(function: Callable[..., Any], compiled: bool) -> Any:
    return _compiler(function, BACKEND) if compiled else function


class LinearCost(torch.autograd.Function):
    """(Σ cost, Σ nll) of a linear layer's logits, the gradient of the first computed along the way."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_MH: Any,
        weight_VH: Any,
        bias_V: Any,
        targets_M: Any,
        tokens: Tokens,
        cost: TokenCost,
        size: int,
        with_gradient: bool,
        compiled: bool = False,
    ) -> Any:
        device = hidden_MH.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden_MH.dtype
        need_hidden, need_weight, need_bias = (with_gradient and need for need in ctx.needs_input_grad[:3])
        sums = torch.zeros(2, dtype=torch.float32, device=hidden_MH.device)
        grad_hidden = torch.empty_like(hidden_MH, dtype=torch.float32) if need_hidden else None
        grad_weight = torch.zeros_like(weight_VH, dtype=torch.float32) if need_weight else None
        grad_bias = torch.zeros_like(bias_V, dtype=torch.float32) if need_bias else None
        with torch.autocast(device, enabled=False):
            weight = weight_VH.to(dtype)
            bias = None if bias_V is None else bias_V.to(dtype)
            for rows in torch.arange(len(targets_M), device="cpu").split(size):
                part = slice(int(rows[0]), int(rows[-1]) + 1)
                hidden, targets, known = hidden_MH[part].to(dtype), targets_M[part, None], tokens.part(part)
                logits = functional.linear(hidden, weight, bias)
                if not compiled:
                    logits = logits.float()
                total, nll = _maybe_compiled(totals, compiled)(logits, targets)
                total_cost, pull = _with_slope(cost, -nll, known)
                sums[0] += total_cost
                sums[1] += (nll * _pulls(known)).sum()
                if not (need_hidden or need_weight or need_bias):
                    continue
                slope = (_maybe_compiled(slopes, True) if compiled else in_place)(logits, targets, total, -pull)
                if grad_bias is not None:
                    grad_bias += slope.sum(dim=0, dtype=torch.float32)
                slope = slope.to(dtype)
                if grad_hidden is not None:
                    grad_hidden[part] = slope @ weight
                if grad_weight is not None and dtype == torch.float32:
                    grad_weight.addmm_(slope.t(), hidden)
                elif grad_weight is not None:
                    grad_weight += slope.t() @ hidden  # added in float32
        ctx.gradients = [(grad_hidden, hidden_MH.dtype), (grad_weight, weight_VH.dtype), (grad_bias, weight_VH.dtype)]
        return sums

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> Any:
        # In place: a copy of the weight's gradient would be as large as the layer. Backward runs once.
        gradients, ctx.gradients = ctx.gradients, None
        return (
            *(None if g is None else g.mul_(grad[0][0]).to(dtype) for g, dtype in gradients),
            None,
            None,
            None,
            None,
            None,
            None,
        )
