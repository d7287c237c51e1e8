"""Tables and figures → `report.html`, one file that needs nothing else, and `report.md`, the same tables as text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from rise.jsonl import write_whole
from rise.report import colours, figures
from rise.report.analyses import analysis_figures
from rise.report.analysis_tables import analysis_tables
from rise.report.collect import SHOWN, ReportData, collect
from rise.report.headline import claims, headline
from rise.report.markdown import markdown
from rise.report.numbers import DASH, count, percent
from rise.report.outcomes import OUTCOMES, printable
from rise.report.tables import all_tables


def write_report(run_path: Path, beside: Iterable[Path] = ()) -> tuple[Path, Path]:
    """Write `report.html` and `report.md` into a run directory, finished or not, and return their paths.

    `beside` are further runs, whose gains against base accuracy stand in one picture with this one's.
    The same run gives the same bytes. Raises `DataError` where the directory is no run or a file of it is damaged.
    """
    data = collect(Path(run_path), beside=beside)
    html, text = Path(run_path) / "report.html", Path(run_path) / "report.md"
    write_whole(html, render_html(data))
    write_whole(text, markdown(data, headline(data), claims(data), glossary(data), facts(data)))
    return html, text


def write_main_picture(run_path: Path, target: Path) -> Path | None:
    """The report's main picture as an SVG file of its own, in light colours; None where nothing is measured yet."""
    figure = figures.main_picture(collect(run_path))
    if figure is None:
        return None
    write_whole(target, figure.standalone)
    return target


def render_html(data: ReportData) -> str:
    """The page as text. Everything a model or a recipe wrote is escaped by the template engine."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"printable": printable, "count": count, "percent": percent, "anchor": _anchor}
    drawn = [
        figures.turns_figure(data),
        figures.controls_figure(data),
        figures.votes_figure(data),
        figures.transitions_figure(data),
        figures.ends_figure(data),
        *figures.compute_figures(data),
        *figures.paired_figures(data),
        *figures.data_figures(data),
        figures.training_figure(data),
        figures.time_figure(data),
        *analysis_figures(data),
    ]
    pictures = {figure.key: figure for figure in drawn if figure is not None}
    return environment.get_template("page.html").render(
        data=data,
        headline=headline(data),
        claims=claims(data),
        tables=all_tables(data) | analysis_tables(data),
        figures=pictures,
        svg={key: Markup(figure.inline) for key, figure in pictures.items()},
        glossary=glossary(data),
        facts=facts(data),
        outcomes=OUTCOMES,
        shown=SHOWN,
        dash=DASH,
        light=Markup(colours.declarations(dark=False)),
        dark=Markup(colours.declarations(dark=True)),
    )


def glossary(data: ReportData) -> dict[str, str]:
    """What every name in the tables means, with this run's numbers of turns and samples."""
    K, S = data.n_turns, data.n_samples
    n = max((stage.estimate("m1@t1").n for stage in data.measured), default=0)
    return {
        "m1@t1": "Share of problems whose first reply is right.",
        f"m{S}@t1": f"Share right of the majority over {S} independent first replies; the run's turn 1 is the first of them.",
        f"m1@t{K}": f"Share right of the majority over the {K} replies of one run that is never told whether it is right.",
        f"p1@t{K}": f"Share of problems right at any of the {K} turns of one run: an oracle picks the moment to stop.",
        f"p{S}@t1": f"Share of problems right in any of the {S} independent first replies: an oracle picks the reply.",
        f"t{K}": f"Share of problems whose reply at turn {K} is right. No vote, no oracle.",
        "vote": "Equal answers form a group without sight of the right one; a reply without an answer never votes; "
        "a tie scores the share of tied answers that are right.",
        "wrong→right, right→wrong": "Share of wrong (right) replies whose next reply is right (wrong).",
        "nothing shown": "Control: turn k is an independent sample at the bare problem.",
        "another's attempt shown": "Control: from turn 2 on the attempt shown is another problem's.",
        "n": f"Problems, up to {count(n)} here; for shares of replies, the number of replies.",
        "interval": "95 %, clustered by problem, since replies to one problem belong together. Shares: Wilson's score interval "
        "at an effective sample size. Differences: paired by problem, Bonett and Price's adjusted interval. Neither "
        "collapses at 0 or 1.",
        "hard problems": "Those that all of B parallel first replies miss.",
        "probability of the gold solution": "Geometric mean over its tokens; scored, not sampled.",
        "equal compute": f"m{S}@t1 and m1@t{K} are compared at equal numbers of samples. A later turn also reads earlier "
        "attempts, so tokens are shown beside, generated and all.",
        "effective sample size": "(Σw)² ÷ Σw² of the training weights w.",
        DASH: "Not measured, or not yet. Never zero.",
    }


def facts(data: ReportData) -> dict[str, str]:
    """Provenance as name → text."""
    p = data.provenance
    if not p:
        return {}
    command = p.get("command")
    words = [str(word) for word in command] if isinstance(command, list) else [str(command or DASH)]
    words[0] = Path(words[0]).name or words[0]  # where somebody's environment lies is nobody's business
    clean = {True: "", False: " with uncommitted changes", None: ""}[p.get("clean")]
    versions = p.get("versions") or {}
    found = {
        "command": shlex.join(words),
        "rise": f"{p.get('rise') or DASH}, commit {str(p.get('commit') or DASH)[:12]}{clean}",
        "seed": _text(p.get("seed")),
        "started": _text(p.get("started")),
        "machine": f"{p.get('machine') or DASH}, {_text(p.get('cpu_count'))} cores, Python {p.get('python') or DASH}",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items() if version) or DASH,
    }
    known = {"command", "rise", "commit", "clean", "seed", "started", "machine", "cpu_count", "python", "versions"}
    return found | {name.replace("_", " "): _fact(value) for name, value in p.items() if name not in known}


def _fact(value: Any) -> str:
    return ", ".join(f"{k} {_text(v)}" for k, v in value.items()) if isinstance(value, Mapping) else _text(value)


def _text(value: Any) -> str:
    return DASH if value is None else str(value)


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
