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
    from rise.play.ledger import Ledger
    from rise.play.player import play_out
    from rise.play.prompt import make_prompt
    from rise.policies import make_policy
    from rise.recipe.problems import held_out_problems, number_of
    from rise.recipe.toml import load_recipe
    from rise.report.compare import find_stage
    from rise.runs.bench import make_player, with_engine
    from rise.runs.preflight import check
    from rise.training.threads import fix_threads

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
    task = check(config)
    fix_threads(config)
    validation = task.problems("validation", n or number_of(config.task.n_validation))
    checkpoint = stage.checkpoint if stage.checkpoint.exists() else Path(config.model.path or "")
    policy = make_policy(
        with_engine(str(checkpoint), config),
        batch_size=config.batch_size,
        dtype=config.model.dtype,
        chat_format=config.model.chat_format,
        deterministic=config.deterministic,
        engine=config.engine,
    )
    out = TemperatureDir(stage.path / "temperature")
    with Ledger(out.ledger) as ledger, Bars() as bars:
        bars.begin(stage.name, "temperature", len(validation))

        def tell(value: float, estimate: Estimate) -> None:
            share = f"{100 * (estimate.value or 0):.1f}"
            bars.console.print(f"temperature {value:g}: vote {share} % of {estimate.n} validation problems", highlight=False)

        player = make_player(
            config,
            policy,
            make_prompt(config, task, evaluation=True),
            task.judge(),
            ledger,
            purpose=f"{stage.name}/temperature/validation",
            on_done=bars.advance,
        )
        found = play_out(
            player,
            best_temperature(
                player,
                validation,
                held_out_problems(config, task),
                out,
                grid=temperatures,
                n_samples=config.evaluate.samples,
                tell=tell,
            ),
        )
    [(name, estimate)] = found["test"].items()
    interval = f"[{100 * estimate['low']:.1f}, {100 * estimate['high']:.1f}]"
    print(f"{out.found}: best at {found['best']:g}")
    print(f"{name} there: {100 * estimate['value']:.1f} {interval} % of {estimate['n']} test problems")
