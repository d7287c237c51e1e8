"""What a report shows and where: the only list. A table or figure that stands here stands in both pages, html and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rise.report import (
    analysis_figures,
    analysis_tables,
    chain,
    data_figures,
    data_tables,
    own_check,
    own_stop,
    result_figures,
    result_tables,
    seed_figures,
    seed_tables,
)
from rise.report.claims import Caution, Claim, cautions, claims, headline
from rise.report.collect import ReportData
from rise.report.drawing import Figure
from rise.report.first_screen import first_picture, what_was_run
from rise.report.table import Table
from rise.report.words import facts, glossary

MakeTable = Callable[[ReportData], Table]
"""A table without rows is left out."""
MakeFigure = Callable[[ReportData], Figure | Sequence[Figure] | None]
"""One figure, several, or none where the run has no numbers for it."""

How = Literal["titled", "plain", "folded"]
"""How a table stands in the page: under its title, without one (the section's says it), or folded away under its title."""


@dataclass(frozen=True, slots=True)
class Section:
    """One heading of the report with its figures and, after them, its tables."""

    id: str
    title: str
    link: str
    """How the page's list of sections calls it."""
    figures: tuple[MakeFigure, ...] = ()
    tables: tuple[tuple[MakeTable, How], ...] = ()
    empty: str = ""
    """Said where there is nothing to show; a section that is empty and says nothing is left out."""
    of: Literal["run", "seeds"] = "run"
    """Whether it stands in the report of a run, or in that of several seeds."""


SECTIONS: list[Section] = [
    Section("results", "Results", "Table", tables=((result_tables.main_table, "plain"),)),
    Section(
        "by-turn",
        "Turn by turn",
        "Turn by turn",
        figures=(result_figures.turns_figure, result_figures.controls_figure),
        tables=((result_tables.turns_table, "folded"),),
    ),
    Section(
        "changes",
        "What another turn changes",
        "What changes",
        figures=(chain.chain_figure, result_figures.transitions_figure, result_figures.ends_figure),
        tables=(
            (own_stop.own_stop_table, "titled"),
            (own_check.own_check_table, "titled"),
            (chain.chain_table, "titled"),
            (result_tables.transitions_table, "folded"),
        ),
    ),
    Section(
        "cost",
        "Turns against parallel samples",
        "At what cost",
        figures=(result_figures.votes_figure, result_figures.compute_figures),
        tables=((result_tables.votes_table, "folded"), (result_tables.compute_table, "folded")),
    ),
    Section(
        "differences",
        "Differences, on the same problems",
        "Differences",
        figures=(result_figures.paired_figures,),
        tables=(
            (result_tables.paired_table, "plain"),
            (result_tables.previous_table, "titled"),
            (result_tables.kinds_table, "titled"),
        ),
    ),
    Section(
        "analyses",
        "Analyses",
        "Analyses",
        figures=(
            analysis_figures.one_turn_figure,
            analysis_figures.steps_figure,
            analysis_figures.hard_figure,
            analysis_figures.gold_figure,
            analysis_figures.gains_figure,
        ),
        tables=(
            (analysis_tables.one_turn_table, "titled"),
            (analysis_tables.hard_table, "titled"),
            (analysis_tables.gold_table, "titled"),
            (analysis_tables.gains_table, "titled"),
            (analysis_tables.steps_table, "folded"),
        ),
    ),
    Section(
        "data",
        "Data and training",
        "Data and training",
        figures=(data_figures.data_figures, data_figures.training_figure, data_figures.time_figure),
        tables=(
            (data_tables.overlap_table, "titled"),
            (data_tables.data_table, "titled"),
            (data_tables.training_table, "folded"),
            (data_tables.cost_table, "folded"),
        ),
        empty="No data set has been made yet.",
    ),
    Section(
        "seeds",
        "Over seeds",
        "Over seeds",
        figures=(seed_figures.seeds_figure, seed_figures.differences_figure),
        tables=(
            (seed_tables.seeds_table, "plain"),
            (seed_tables.seed_differences_table, "titled"),
            (seed_tables.earlier_differences_table, "folded"),
            (seed_tables.replies_table, "folded"),
        ),
        of="seeds",
    ),
    Section("runs", "Each seed by itself", "Each seed", tables=((seed_tables.runs_table, "plain"),), of="seeds"),
]
"""In order. After them come the trajectories, the words and the provenance, which are neither tables nor figures."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A section with what a run has to show in it."""

    section: Section
    figures: tuple[Figure, ...]
    tables: tuple[tuple[Table, How], ...]


def fill(data: ReportData) -> tuple[Filled, ...]:
    """Every section of which there is something to say."""
    of = "seeds" if data.runs else "run"
    found = (_filled(section, data) for section in SECTIONS if section.of == of)
    return tuple(filled for filled in found if filled.figures or filled.tables or filled.section.empty)


def _filled(section: Section, data: ReportData) -> Filled:
    figures: list[Figure] = []
    for draw in section.figures:
        drawn = draw(data)
        figures += [] if drawn is None else [drawn] if isinstance(drawn, Figure) else drawn
    tables = [(make(data), how) for make, how in section.tables]
    return Filled(section, tuple(figures), tuple((table, how) for table, how in tables if table.rows))


@dataclass(frozen=True, slots=True)
class Page:
    """Everything a report says, worked out once for both of its forms."""

    data: ReportData
    what: str
    """What was run, in one line; empty where the directory does not say."""
    picture: Figure | None
    headline: str
    cautions: tuple[Caution, ...]
    claims: tuple[Claim, ...]
    sections: tuple[Filled, ...]
    glossary: Mapping[str, str]
    facts: Mapping[str, str]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The picture of the first screen, then those of every section."""
        first = (self.picture,) if self.picture else ()
        return (*first, *(figure for filled in self.sections for figure in filled.figures))


def lay_out(data: ReportData) -> Page:
    """Tables, figures and words of a run."""
    first = what_was_run(data), first_picture(data), headline(data), cautions(data), claims(data)
    return Page(data, *first, fill(data), glossary(data), facts(data))
