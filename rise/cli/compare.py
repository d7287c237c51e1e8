"""`rise compare`: several runs in one table, with paired differences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
) -> None:
    """Set runs beside each other: one table with intervals, differences pair by pair, accuracy against cost.

    All must have been measured on the same problems. `rise temperature` adds the vote at a run's own best temperature.
    """
    import json

    from rich.console import Console
    from rich.text import Text

    from rise.jsonl import write_whole
    from rise.recipe.toml import load_recipe
    from rise.report.compare import find_stage, paired_table, read_entries, results_table, to_json, votes_table
    from rise.report.console import rich_table
    from rise.report.markdown import table_markdown
    from rise.runs.preflight import preflight

    judge = preflight(load_recipe(find_stage(runs[0])[0].config), "judge").task.judge()
    entries = read_entries(runs, judge.same)
    tables = [table for table in (results_table(entries), paired_table(entries), votes_table(entries)) if table.rows]
    if out is not None:
        from rise.report.compare_figure import compare_figure

        figure = compare_figure(entries)
        write_whole(out / "compare.json", json.dumps(to_json(entries), indent=1) + "\n")
        write_whole(out / "compare.svg", figure.standalone)
        parts = [*map(table_markdown, tables), f"![{figure.title}](compare.svg)", figure.caption]
        write_whole(out / "compare.md", "\n\n".join(parts) + "\n")
    if json_:
        print(json.dumps(to_json(entries)))
        return
    console = Console()
    for table in tables:
        console.print(rich_table(table), Text(""))
    if out is not None:
        print(f"Written: {out / 'compare.md'}, compare.json, compare.svg")
