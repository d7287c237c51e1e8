"""Run directories → pages. Reads what stages wrote; the command line, `rise.api` and the viewer import it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Group


def write_report(
    run_path: Path, beside: Iterable[Path] = (), *, figures: Iterable[str] = (), tables: Iterable[str] = ()
) -> tuple[Path, Path]:
    """Write `report.html` and `report.md` into a run directory and return their paths. `beside`: runs to set it against.

    `figures` and `tables`: formats in which these are written as files too (`rise.report.page.write_report`).
    """
    from rise.report.page import write_report as write  # matplotlib is only for those who draw

    return write(run_path, beside, figures=figures, tables=tables)


def write_public_report(run_path: Path, folder: Path) -> Path:
    """Write the same pages into `folder` as they may be handed on: no path, no address, no command line."""
    from rise.report.page import write_public_report as write

    return write(run_path, folder)


def console_table(run_path: Path) -> Group:
    """The table of a run for a rich console."""
    from rise.report.console import console_table as table

    return table(run_path)


def console_transcript(run_path: Path) -> Group:
    """A problem of a run that was wrong at turn 1 and right at the end, for a rich console."""
    from rise.report.console import console_transcript as transcript

    return transcript(run_path)
