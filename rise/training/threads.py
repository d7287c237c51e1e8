"""The number of threads torch computes with. It changes the order of sums, and so their rounding."""

from __future__ import annotations

from rise.recipe.config import RunConfig


def fix_threads(config: RunConfig) -> None:
    """Set the number of threads where the recipe asks for it."""
    set_threads(threads_of(config), deterministic=config.deterministic)


def threads_of(config: RunConfig) -> int | None:
    """Threads of a process under this recipe; None leaves the number to torch."""
    return (config.threads or 2) if config.deterministic else config.threads


def set_threads(n: int | None, *, deterministic: bool) -> None:
    """Set the number of threads without a recipe; `deterministic` also asks torch for deterministic algorithms."""
    if n is None:
        return
    import torch

    torch.set_num_threads(n)
    if deterministic:
        torch.use_deterministic_algorithms(True, warn_only=True)


def has_accelerator() -> bool:
    """Whether local models would run on a device that two processes had better not share."""
    import torch

    return torch.accelerator.is_available()
