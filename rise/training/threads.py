"""How many threads a process computes with: sums in another order are other sums."""

from __future__ import annotations

from rise.recipe.config import RunConfig


def fix_threads(config: RunConfig) -> None:
    """Set the number of threads where the recipe asks for it."""
    set_threads(threads_of(config), deterministic=config.deterministic)


def threads_of(config: RunConfig) -> int | None:
    """How many a process that computes has; None where that is left to the machine."""
    return (config.threads or 2) if config.deterministic else config.threads


def set_threads(n: int | None, *, deterministic: bool) -> None:
    """The same for a process that knows no recipe."""
    if n is None:
        return
    import torch

    torch.set_num_threads(n)
    if deterministic:
        torch.use_deterministic_algorithms(True, warn_only=True)
