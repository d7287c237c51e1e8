"""`rise report`: a run directory → report.html and report.md."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    beside: Annotated[
        list[Path] | None, typer.Option(help="Another run, of another model say: gain against base accuracy. May be repeated.")
    ] = None,
) -> None:
    """Write report.html and report.md of a run, finished or not, and print its table."""
    from rich.console import Console

    from rise.report import console_table, write_report

    html, _ = write_report(run, beside or [])
    Console().print(console_table(run))
    print(f"Report: {html}")
