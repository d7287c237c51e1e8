"""`rise compare`: several runs in one table, with paired differences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rise.evaluation.vote import Same
    from rise.report.drawing import Figure
    from rise.report.table import Table


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Runs (their last stage), stages (RUN/round-1), or what rise evaluate --out wrote. Differences are against the "
            "first, which must be of a run."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Write compare.md, compare.json and compare.svg into this directory.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    own_judge: Annotated[
        bool, typer.Option("--own-judge", help="Group votes by the judge that the first run's recipe names, running its code.")
    ] = False,
) -> None:
    """Set runs beside each other: one table with intervals, differences pair by pair, accuracy against cost.

    All must have been measured on the same problems. `rise temperature` adds the vote at a run's own best temperature.
    Of directories of several seeds: means over seeds, with the interval of the spread between trainings.
    """
    import json

    from rich.console import Console
    from rich.text import Text

    from rise.jsonl import write_whole
    from rise.recipe.toml import load_recipe
    from rise.report.compare import find_stage
    from rise.report.console import rich_table
    from rise.report.markdown import table_markdown
    from rise.report.recipe import same_answers
    from rise.runs.group import is_group, opened_out
    from rise.runs.preflight import preflight

    paths = opened_out(runs)
    run = find_stage(paths[0])[0]
    same = preflight(load_recipe(run.config), "judge").task.judge().same if own_judge else same_answers(run)
    read = _groups if all(map(is_group, runs)) else _runs
    tables, short, numbers, draw = read(runs if read is _groups else paths, same)
    if out is not None:
        figure = draw()
        write_whole(out / "compare.json", json.dumps(numbers, indent=1) + "\n")
        write_whole(out / "compare.svg", figure.standalone)
        parts = [*map(table_markdown, tables), f"![{figure.title}](compare.svg)", figure.caption]
        write_whole(out / "compare.md", "\n\n".join(parts) + "\n")
    if json_:
        print(json.dumps(numbers))
        return
    console = Console()
    for table in short or tables:
        console.print(rich_table(table), Text(""))
    if out is not None:
        print(f"Written: {out / 'compare.md'}, compare.json, compare.svg")


Read = tuple[list["Table"], list["Table"], dict[str, Any], Callable[[], "Figure"]]
"""Tables, those for a terminal where they differ, everything they say as plain data, and what draws the figure."""


def _runs(paths: list[Path], same: Same) -> Read:
    from rise.report.compare import paired_table, read_entries, results_table, to_json, within_table

    def draw() -> Figure:
        from rise.report.compare_figure import compare_figure

        return compare_figure(entries)

    entries = read_entries(paths, same)
    tables = [table for table in (results_table(entries), paired_table(entries), within_table(entries)) if table.rows]
    return tables, [], to_json(entries), draw


def _groups(paths: list[Path], same: Same) -> Read:
    from rise.report.compare_seeds import figure, read_groups, tables, to_json

    entries = read_groups(paths, same)
    return tables(entries), tables(entries, short=True), to_json(entries), lambda: figure(entries)
