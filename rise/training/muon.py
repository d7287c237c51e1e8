"""Muon for the hidden matrices, AdamW for everything else: for models trained from nothing.

Muon (Jordan et al. 2024) replaces the momentum of a matrix by the nearest orthogonal one. `torch.optim.Muon` takes
two-dimensional weights only, and embeddings, the head and norms are better off with AdamW; this is both as one optimiser.
With torch's `match_rms_adamw` an update is as large as AdamW's, so both parts share one learning rate. On the nano model the
loss that AdamW reaches in 730 steps takes 300 (docs/lab-notes.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from rise.errors import ConfigError


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
