"""`rise temperature`: at which temperature a model's parallel vote is best, for a fair comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def temperature(
    run: Annotated[Path, typer.Argument(help="A run, for its last stage, or a stage of one: RUN/round-1.")],
    grid: Annotated[str, typer.Option(help="Temperatures to try, divided by commas.")] = "0.2,0.4,0.6,0.8,1.0",
    n: Annotated[int | None, typer.Option("-n", min=1, help="Validation problems; by default all the recipe names.")] = None,
) -> None:
    """Find the temperature at which a vote over first replies is best on validation problems, and vote there on test problems.

    Writes temperature/ into the stage; `rise compare` sets the result beside the vote at the shared temperature.
    """
    from rise.cli.progress import Bars
    from rise.errors import ConfigError
    from rise.evaluation.temperature import TemperatureDir, best_temperature
    from rise.evaluation.uncertainty import Estimate
    from rise.play.player import play_out
    from rise.recipe.problems import counted
    from rise.recipe.toml import load_recipe
    from rise.report.compare import find_stage
    from rise.report.numbers import percent, percent_interval
    from rise.runs.context import open_context
    from rise.runs.preflight import preflight

    try:
        temperatures = [float(part) for part in grid.split(",")]
    except ValueError:
        raise ConfigError(f"--grid {grid}: write numbers divided by commas, such as 0.2,0.5,1.") from None
    run_dir, stage = find_stage(run)
    config = load_recipe(run_dir.config)
    if config.evaluate.split != "test":
        raise ConfigError(
            f"{run_dir.path} was measured on {config.evaluate.split} problems, so none are left to choose a temperature on. "
            'Use a run with evaluate.split = "test".'
        )
    ready = preflight(config, "measure")
    validation = ready.task.problems("validation", n) if n else counted(ready.task, "validation", config.task)
    checkpoint = stage.checkpoint if stage.checkpoint.exists() else Path(config.model.place)
    out = TemperatureDir(stage.temperature)
    with Bars() as bars, open_context(ready, out.ledger, directory=run_dir.path, progress=bars) as context:

        def tell(value: float, estimate: Estimate) -> None:
            bars.console.print(
                f"temperature {value:g}: vote {percent(estimate.value)} % of {estimate.n} validation problems", highlight=False
            )

        bars.begin(stage.name, "temperature", len(validation))
        player = context.player(context.policy(checkpoint), f"{stage.name}/temperature/validation", measured=True)
        work = best_temperature(
            player,
            validation,
            ready.held_out,
            out,
            grid=temperatures,
            n_samples=config.evaluate.samples,
            tell=tell,
        )
        found = play_out(player, work)
    [(name, estimate)] = found["test"].items()
    there = Estimate(**estimate)
    print(f"{out.found}: best at {found['best']:g}")
    print(f"{name} there: {percent(there.value)} [{percent_interval(there)}] % of {there.n} test problems")
