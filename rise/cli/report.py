"""`rise report`: a run directory → report.html and report.md, and its figures and tables as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    beside: Annotated[
        list[Path] | None, typer.Option(help="Another run, of another model say: gain against base accuracy. May be repeated.")
    ] = None,
    figures: Annotated[
        list[str] | None, typer.Option(help="Also write every figure into RUN/figures: pdf, svg or png. May be repeated.")
    ] = None,
    tables: Annotated[
        list[str] | None, typer.Option(help="Also write every table into RUN/tables: csv or latex. May be repeated.")
    ] = None,
) -> None:
    """Write report.html and report.md of a run, finished or not, and print its table."""
    from rich.console import Console

    from rise.report import console_table, write_report
    from rise.report.drawing import FORMATS
    from rise.report.files import TABLES
    from rise.runs.checks import check_choice

    for option, given, known in (("--figures", figures, FORMATS), ("--tables", tables, tuple(TABLES))):
        for name in given or []:
            check_choice(option, name, known)
    html, _ = write_report(run, beside or [], figures=figures or [], tables=tables or [])
    Console().print(console_table(run))
    print(f"Report: {html}")
    for wanted, folder in ((figures, "figures"), (tables, "tables")):
        if wanted:
            print(f"{folder.capitalize()}: {run / folder}")
