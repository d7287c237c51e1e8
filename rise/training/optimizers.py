"""The optimisers besides transformers' own AdamW: AdamW with float32 masters, and Muon.

Masters: a bfloat16 weight has 8 bits of mantissa, so an update of 1e-5 of its size is rounded away. The masters collect such
updates; the weights in use are their rounded copies.

Muon (Jordan et al. 2024) replaces the momentum of a matrix by the nearest orthogonal one. `torch.optim.Muon` takes
two-dimensional weights only, and embeddings, the head and norms are better off with AdamW; `MuonAdamW` is both as one optimiser.
With torch's `match_rms_adamw` an update is as large as AdamW's, so both parts share one learning rate. On the nano model the
loss that AdamW reaches in 730 steps takes 300 (docs/lab-notes.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from rise.errors import ConfigError
from rise.recipe.config import TrainConfig


def check_optimizer(config: TrainConfig, *, sharded: bool) -> None:
    """Raises `ConfigError` for an optimiser that cannot train a model in pieces on several devices (FSDP, DeepSpeed)."""
    if config.optimizer == "muon" and sharded:
        raise ConfigError(
            'train.optimizer = "muon" needs whole matrices, which FSDP and DeepSpeed cut up. Use "adamw" with them.'
        )


def make_optimizer(net: Any, config: TrainConfig, arguments: Any) -> Any:
    """The optimiser that `train.optimizer` and `train.masters` ask for; None leaves transformers its own AdamW.

    `arguments` are transformers' `TrainingArguments`, which hold AdamW's betas and epsilon.
    """
    settings = {
        "lr": config.learning_rate,
        "weight_decay": config.weight_decay,
        "betas": (arguments.adam_beta1, arguments.adam_beta2),
        "eps": arguments.adam_epsilon,
    }
    if config.optimizer == "muon":
        return MuonAdamW(net, **settings)
    if config.masters:
        return MasterAdamW([p for p in net.parameters() if p.requires_grad], **settings)
    return None


class MasterAdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` over float32 copies. `state_dict` carries the masters, so resuming is exact."""

    def __init__(self, params: Iterable[Any], **kwargs: Any) -> None:
        self._models = [p for p in params if p.requires_grad]
        masters = [p.detach().clone().float().requires_grad_() for p in self._models]
        # The fused step of a processor rounds otherwise than the plain one, and gains little.
        fused = {"fused": True} if masters and all(master.is_cuda for master in masters) else {}
        super().__init__(masters, **fused, **kwargs)
        self._masters = masters

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        for model, master in zip(self._models, self._masters, strict=True):
            master.grad = None if model.grad is None else torch.empty_like(master)
        pairs = [(model, master) for model, master in zip(self._models, self._masters, strict=True) if model.grad is not None]
        # One launch for many weights on a GPU, where a small model is slower to launch than to compute.
        torch._foreach_copy_([master.grad for _, master in pairs], [model.grad for model, _ in pairs])
        result = super().step(closure)
        torch._foreach_copy_(self._models, self._masters)
        for master in self._masters:
            master.grad = None
        return result

    def zero_grad(self, set_to_none: bool = True) -> None:
        for model in self._models:
            model.grad = None

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "masters": [master.detach().cpu() for master in self._masters]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state_dict = dict(state_dict)
        masters = state_dict.pop("masters")
        super().load_state_dict(state_dict)
        with torch.no_grad():
            for master, model, saved in zip(self._masters, self._models, masters, strict=True):
                master.copy_(saved)
                model.copy_(master)


class MuonAdamW(torch.optim.Optimizer):
    """`torch.optim.Muon` and `torch.optim.AdamW`, stepped together. `state_dict` holds both, so resuming is exact."""

    def __init__(self, model: Any, *, lr: float, weight_decay: float, betas: tuple[float, float], eps: float) -> None:
        """Raises `ConfigError` where torch has no Muon yet, or the model no matrix to train."""
        if not hasattr(torch.optim, "Muon"):
            raise ConfigError(
                f'train.optimizer = "muon", but torch {torch.__version__} has no Muon. Install torch 2.9 or use "adamw".'
            )
        outer = {id(p) for part in (model.get_input_embeddings(), model.get_output_embeddings()) for p in part.parameters()}
        trained = [p for p in model.parameters() if p.requires_grad]
        hidden = [p for p in trained if p.ndim == 2 and id(p) not in outer]
        others = [p for p in trained if p.ndim != 2 or id(p) in outer]
        if not hidden or not others:
            raise ConfigError('train.optimizer = "muon" needs hidden matrices and other weights to train. Use "adamw".')
        self._parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(hidden, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=lr, weight_decay=weight_decay, betas=betas, eps=eps),
        )
        super().__init__([{"params": hidden}, {"params": others}], {"lr": lr})
        self._share_groups()

    def _share_groups(self) -> None:
        # The very groups of the parts: a scheduler that sets a learning rate here sets it there.
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, saved in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(saved)
        self._share_groups()
