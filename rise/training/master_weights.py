"""AdamW that keeps float32 master copies of bfloat16 weights.

A bfloat16 weight has 8 bits of mantissa: an update of 1e-5 of its size is rounded away. The masters collect such
updates; the weights in use are their rounded copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


class MasterAdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` over float32 copies. `state_dict` carries the masters, so resuming is exact."""

    def __init__(self, params: Iterable[Any], **kwargs: Any) -> None:
        self._models = [p for p in params if p.requires_grad]
        masters = [p.detach().clone().float().requires_grad_() for p in self._models]
        super().__init__(masters, **kwargs)
        self._masters = masters

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        for model, master in zip(self._models, self._masters, strict=True):
            master.grad = None if model.grad is None else model.grad.float()
        result = super().step(closure)
        for model, master in zip(self._models, self._masters, strict=True):
            model.copy_(master)
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
