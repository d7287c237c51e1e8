"""A run → `report.html`, one file that needs nothing else, and `report.md`, the same tables as text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import jinja2
from markupsafe import Markup

from rise.evaluation.outcomes import OUTCOMES, printable
from rise.jsonl import write_whole
from rise.report import colours
from rise.report.changes import blocks
from rise.report.collect import SHOWN
from rise.report.collect_seeds import read
from rise.report.files import write_figures, write_tables
from rise.report.handed_on import handed_on
from rise.report.layout import Page, lay_out
from rise.report.markdown import markdown
from rise.report.numbers import DASH, count, percent
from rise.report.result_figures import main_picture
from rise.report.seed_figures import seeds_figure
from rise.runs.directory import RunDir
from rise.runs.group import GroupDir, is_group


def write_report(
    run_path: Path, beside: Iterable[Path] = (), *, figures: Iterable[str] = (), tables: Iterable[str] = ()
) -> tuple[Path, Path]:
    """Write `report.html` and `report.md` into a run directory, finished or not, and return their paths.

    `beside` are further runs, whose gains against base accuracy stand in one picture with this one's.
    `figures` (pdf, svg, png) and `tables` (csv, latex) are formats in which these are also written as files of their own,
    into `figures/` and `tables/` of the run. The same run gives the same bytes.
    Raises `DataError` where the directory is no run or a file of it is damaged.
    """
    if is_group(Path(run_path)):
        group = GroupDir(Path(run_path))
        for run in map(group.seed, group.begun()):
            if _is_stale(run):
                write_report(run.path)  # what the links lead to
    page = lay_out(read(Path(run_path), beside=beside))
    html, text = _write(page, Path(run_path))
    for kind in figures:
        write_figures(page, Path(run_path) / "figures", kind)
    for kind in tables:
        write_tables(page, Path(run_path) / "tables", kind)
    return html, text


def write_public_report(run_path: Path, folder: Path) -> Path:
    """Write the pages of a run into `folder`, without paths, addresses and the command line; return `report.html`."""
    return _write(lay_out(handed_on(read(run_path))), folder)[0]


def _write(page: Page, folder: Path) -> tuple[Path, Path]:
    html, text = folder / "report.html", folder / "report.md"
    write_whole(html, render_html(page))
    write_whole(text, markdown(page))
    return html, text


def _is_stale(run: RunDir) -> bool:
    """Whether something has happened in a run since its report was written."""
    report = run.path / "report.html"
    return not report.exists() or (run.log.exists() and report.stat().st_mtime < run.log.stat().st_mtime)


def write_main_picture(run_path: Path, target: Path) -> Path | None:
    """The report's main picture as a lone SVG file, in light colours; None where nothing is measured yet."""
    data = read(run_path)
    figure = seeds_figure(data) if data.runs else main_picture(data)
    if figure is None:
        return None
    write_whole(target, figure.standalone)
    return target


def render_html(page: Page) -> str:
    """The page as text. Everything a model or a recipe wrote is escaped by the template engine."""
    environment = page_environment()
    environment.filters |= {"count": count, "percent": percent, "anchor": _anchor, "blocks": blocks}
    return environment.get_template("page.html").render(
        data=page.data,
        page=page,
        svg={figure.key: Markup(figure.inline) for figure in page.figures},  # nosec B704 # drawn by us, its texts escaped
        outcomes=OUTCOMES,
        shown=SHOWN,
        dash=DASH,
        light=Markup(colours.declarations(dark=False)),  # nosec B704 # constants of ours
        dark=Markup(colours.declarations(dark=True)),  # nosec B704 # constants of ours
    )


def page_environment() -> jinja2.Environment:
    """The template engine of pages: everything printed is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["printable"] = printable
    return environment


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
