"""The temperature at which a vote over first replies is best, found on validation problems: parallel voting at its own best.

A comparison at one shared temperature may be unfair to voting, which gains from more variety than revising does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rise.errors import ConfigError
from rise.evaluation.evaluate import evaluate
from rise.evaluation.held_out import HeldOut, write_held_out
from rise.evaluation.uncertainty import Estimate, mean
from rise.evaluation.vote import vote
from rise.jsonl import write_whole
from rise.play.player import Player
from rise.task import Problem

GRID = (0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class TemperatureDir:
    """Where a stage keeps it."""

    path: Path

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.jsonl"

    @property
    def found(self) -> Path:
        """temperature.json: the grid on validation problems, the best of it, and the vote there on test problems."""
        return self.path / "temperature.json"

    @property
    def held_out(self) -> Path:
        """First replies to the test problems at the best temperature; the runs in it are one turn long."""
        return self.path / "held-out.jsonl"


async def vote_at(
    player: Player, problems: Sequence[Problem], temperature: float, n_samples: int
) -> tuple[Estimate, list[HeldOut]]:
    """The vote over `n_samples` first replies at that temperature, each temperature with its own random streams."""
    at = replace(player, sampling=replace(player.sampling, temperature=temperature), purpose=f"{player.purpose}/{temperature:g}")
    records = await evaluate(at, problems, n_turns=1, n_samples=n_samples, control=False)
    return mean([vote(record.parallel, player.judge.same)[-1] for record in records]), records


async def best_temperature(
    player: Player,
    validation: Sequence[Problem],
    test: Sequence[Problem],
    out: TemperatureDir,
    *,
    grid: Sequence[float] = GRID,
    n_samples: int = 5,
    tell: Callable[[float, Estimate], None] | None = None,
) -> dict[str, Any]:
    """Try the grid on `validation`, take the best (the lowest of equals), measure the vote there on `test`, write both.

    The test problems are not asked before the choice is made. Raises `ConfigError` for an empty grid or a negative temperature.
    """
    if not grid or any(t < 0 for t in grid):
        raise ConfigError(f"--grid {','.join(f'{t:g}' for t in grid)}: give temperatures of 0 or more, such as 0.2,0.5,1.")
    name = f"m{n_samples}@t1"
    tried: list[tuple[float, Estimate]] = []
    for temperature in sorted(set(grid)):
        estimate, _ = await vote_at(player, validation, temperature, n_samples)
        tried.append((temperature, estimate))
        if tell:
            tell(temperature, estimate)
    best = max(tried, key=lambda pair: pair[1].value or 0.0)[0]  # max takes the first of equals
    test_player = replace(player, purpose=player.purpose.replace("validation", "test"))
    estimate, records = await vote_at(test_player, test, best, n_samples)
    found = {
        "validation": [{"temperature": t, name: e.to_json()} for t, e in tried],
        "best": best,
        "samples": n_samples,
        "test": {name: estimate.to_json()},
    }
    write_held_out(out.held_out, records)
    write_whole(out.found, json.dumps(found, indent=1) + "\n")
    return found
