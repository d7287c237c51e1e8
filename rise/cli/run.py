"""`rise run`: a whole recipe, or the rest of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from rise.recipe.config import RunConfig


def run(
    recipe: Annotated[
        Path, typer.Argument(help="A recipe by name (rise recipes) or path; or a run directory, or its config.toml, to continue.")
    ],
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override one setting: --set relabel.n_samples=16.")] = None,
    scale: Annotated[str | None, typer.Option(help="Apply the recipe's [scale.NAME] table; several: math,self,lora.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run directory; by default runs/NAME, or the directory of a config.toml.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Run on a Ray cluster: auto, local or HOST:PORT; the rest stands in [cluster].")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, print the resolved recipe, say what it would do; run nothing.")
    ] = False,
    seeds: Annotated[
        str | None, typer.Option(help="Train once for each seed: 0,1,2. Each has its run directory, OUT/seed-0, …; one report.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Of --seeds: how many at a time; by default as many as the cores allow.")
    ] = None,
    table: Annotated[bool, typer.Option("--table/--no-table", help="Print the table of the run at the end.")] = True,
) -> None:
    """Run a recipe: rollout, relabel, train, evaluate, round after round; then write the report.

    On an existing directory it continues where it stopped.
    """
    from rise.errors import ConfigError
    from rise.recipe.shipped import names
    from rise.recipe.toml import load_recipe
    from rise.runs.group import GroupDir, is_group, parse_seeds

    several = parse_seeds(seeds) if seeds is not None else None
    if is_group(recipe):
        group = GroupDir(recipe)
        several, out, recipe = several or group.seeds(), out or group.path, group.recipe
    if jobs is not None and not several:
        raise ConfigError(f"--jobs {jobs} is how many seeds run at a time, and this is one run. Leave it out, or give --seeds.")
    if recipe.is_dir() and ((recipe / "config.toml").exists() or str(recipe) not in names()):
        recipe = recipe / "config.toml"
        if not recipe.exists():
            raise ConfigError(f"{recipe.parent} is a directory without the config.toml of a run. Give a recipe.")
    where = [f'cluster.address="{cluster}"'] if cluster else []
    config = load_recipe(recipe, scale=scale, overrides=[*where, *(set_ or [])])
    if out is None:
        own = recipe.name == "config.toml" and (recipe.parent / "provenance.json").exists()
        out = recipe.parent if own else Path("runs") / (f"{config.name}-{scale.replace(',', '-')}" if scale else config.name)
        if own and several:
            raise ConfigError(f"{recipe.parent} is the run of one seed. Give the recipe, or --out with a directory for all.")
    if dry_run:
        _describe(config, out, several, jobs)
        return
    if several:
        from rise.cli.seeds import run_seeds

        run_seeds(config, out, several, jobs, table=table)
    else:
        _run(config, out, scale, table=table)


def _run(config: RunConfig, out: Path, scale: str | None, *, table: bool) -> None:
    """One run to its end, its report, and its table if wanted."""
    import sys

    from rise.cli.progress import Bars
    from rise.method.iterate import run as run_recipe
    from rise.report import write_public_report

    bars = Bars(scale=scale)
    with bars:
        words = ["rise", *sys.argv[1:]]
        run_dir = run_recipe(config, out, progress=bars, command=words, report=write_public_report)
    _ending(bars.console, run_dir.path, scale, table=table)


def _ending(console: Console, run: Path, scale: str | None, *, table: bool) -> None:
    """The table, a transcript, alarms that were sounded on the way, and what to look at next."""
    from rise.cli.lines import alarm_lines, is_toy, next_lines
    from rise.cli.progress import two_columns
    from rise.report import console_table, console_transcript, write_report
    from rise.report.collect import collect
    from rise.runs.alarms import latest, toy_words

    html, _ = write_report(run)
    data = collect(run, n_each=0)
    if not table:
        console.print(f"Report: {html}", highlight=False, soft_wrap=True)
        return
    console.print("", console_table(run), "", console_transcript(run), "")
    n = data.last.estimate("m1@t1").n if data.last else 0
    toy, alarms = is_toy(n, scale), latest(data.alarms)
    for alarm, _ in () if toy else alarms:
        console.print(two_columns(alarm_lines(alarm)[:1], style="bold red"))
    if toy:
        usual = " Alarms are usual at this size: act on those of a full run." if alarms else ""
        console.print(toy_words(n) + usual, style="yellow", highlight=False)
    for command, shows in next_lines(run, data.config):
        console.print(f"{command}  # {shows}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"Report: {html}", highlight=False, soft_wrap=True)


def _describe(config: RunConfig, out: Path, seeds: Sequence[int] | None, jobs: int | None) -> None:
    """The resolved recipe, and what running it would do."""
    import sys

    from rise.cli.seeds import plan
    from rise.recipe.toml import to_toml
    from rise.runs.dry_run import dry_run as describe
    from rise.runs.group import GroupDir, for_seed

    config = for_seed(config, seeds[0]) if seeds else config
    does, needs = describe(config, GroupDir(out).seed(seeds[0]).path if seeds else out)
    print(to_toml(config), end="")
    lines = [*does, *(f"needed first: {need}" for need in needs)]
    if seeds:
        lines.append(f"for each of the seeds {', '.join(map(str, seeds))}, {plan(config, seeds, jobs)[0]} at a time")
    lines.append(f"would run in {out}")
    print("\n".join(f"# {line}" for text in lines for line in text.splitlines()), file=sys.stderr)
