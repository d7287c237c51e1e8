"""A recipe once for each seed, one after the other in this process; `rise run --seeds` gives each a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rise.errors import RiseError
from rise.method.iterate import run
from rise.recipe.config import RunConfig
from rise.runs.group import GroupDir, for_seed
from rise.runs.trackers import PublicReport


def run_seeds(config: RunConfig, directory: Path, seeds: Sequence[int], report: PublicReport | None = None) -> GroupDir:
    """Run or continue every seed. One that fails stops no other: its `RiseError` is raised when all have ended."""
    group = GroupDir(directory)
    group.open(config, seeds)
    troubles: dict[int, RiseError] = {}
    for seed in seeds:
        try:
            run(for_seed(config, seed), group.seed(seed).path, report=report)
        except RiseError as error:
            troubles[seed] = error
    for seed, trouble in troubles.items():
        raise RiseError(f"seed {seed} of {directory}: {trouble}") from trouble
    return group
