"""`rise rejudge`: another judge over a run's replies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rise.recipe.config import RunConfig


def rejudge(
    run: Annotated[Path, typer.Argument(help="A run directory with measured stages.")],
    judge: Annotated[
        str, typer.Option(help="A judge by name, or module:name, or a table: '{ name = \"number\", tolerance = 0.01 }'.")
    ],
    out: Annotated[Path | None, typer.Option(help="Directory to write; by default RUN-rejudged beside the run.")] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Also put the new verdicts and numbers into the run itself; its training stays.")
    ] = False,
) -> None:
    """Judge the replies of a run again and print what changed. Nothing is generated, and the run stays as it is without --write.

    The directory is a run of its own: rise report, rise compare, rise show and rise view read it.
    """
    from rich.console import Console
    from rich.text import Text

    from rise.cli.progress import Bars
    from rise.errors import ConfigError
    from rise.judges import make_judge
    from rise.method.rejudge import refuse_write, write_back
    from rise.method.rejudge import rejudge as judge_again
    from rise.recipe.toml import load_recipe, parse_override
    from rise.report import write_report
    from rise.report.compare import find_stage
    from rise.report.console import rich_table
    from rise.report.rejudged import numbers_table, verdicts_table
    from rise.runs.context import open_context
    from rise.runs.directory import RunDir
    from rise.runs.preflight import preflight

    found, _ = find_stage(run)
    if found.path != run:
        raise ConfigError(f"{run} is a stage: give its run, {found.path}.")
    named = parse_override(f"judge={judge}")["judge"]
    other = make_judge(named)
    beside = run if run.name not in ("", "..") else run.resolve()
    target = RunDir(out or beside.with_name(f"{beside.name}-rejudged"))
    config = with_judge(load_recipe(run / "config.toml"), named)
    if write:
        refuse_write(found, config)
    ready = preflight(config, "judge")
    bars = Bars()
    book = target.path / "ledger.jsonl"
    with bars, open_context(ready, book, directory=target.path, progress=bars, run_dir=target, judge=other) as context:
        done = judge_again(context, found, named)
    console = Console()
    for table in (verdicts_table(done), numbers_table(done)):
        console.print(rich_table(table), Text(""))
    if write:
        write_back(found, target)
        write_report(run)
        print(f"Written into {run} too: held-out.jsonl, trajectories, relabelled replies and metrics.json of every stage.")
    html, _ = write_report(target.path)
    print(f"Report: {html}\nBeside each other: rise compare {run} {target.path}")


def with_judge(config: RunConfig, judge: Any) -> RunConfig:
    """The recipe with the judge in its task's settings, where the task takes one: what reads the run then knows it."""
    from rise.recipe.toml import build_config
    from rise.tasks import takes

    if not takes(config.task.name, "judge"):
        return config
    data = config.model_dump(mode="json", exclude_none=True)
    settings = {key: value for key, value in config.task.settings.items() if key not in ("judge", "judge_path", "mode")}
    return build_config(data | {"task": {**data["task"], "settings": settings | {"judge": judge}}})
