"""Learning rates without a lost step: transformers' warming up starts from 0, so its first step trains nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim.lr_scheduler import LambdaLR


def without_zero(scheduler: Any, n_warmup: int) -> Any:
    """The same schedule, its `n_warmup` steps of warming up at 1/(n+1), 2/(n+1), … of the rate in place of 0, 1/n, …

    A schedule that already starts above 0 is left as it is.
    """
    if not isinstance(scheduler, LambdaLR) or scheduler.last_epoch > 0:
        return scheduler
    if not any(share(0) == 0 for share in scheduler.lr_lambdas):
        return scheduler
    scheduler.lr_lambdas = [warmed(share, n_warmup) for share in scheduler.lr_lambdas]
    for group, base, share in zip(scheduler.optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True):
        group["lr"] = base * share(0)
    scheduler._last_lr = [group["lr"] for group in scheduler.optimizer.param_groups]
    return scheduler


def warmed(share: Callable[[int], float], n_warmup: int) -> Callable[[int], float]:
    """A share of the learning rate by step, warmed up from above 0.

    >>> [round(warmed(lambda step: min(1.0, step / 3), 3)(step), 2) for step in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    return lambda step: (step + 1) / (n_warmup + 1) if step < n_warmup else share(step)
