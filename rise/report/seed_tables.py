"""Several seeds as tables: each number's mean, both its intervals, and every seed's own value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rise.evaluation.headline import HEADLINE, PAIRED, REPLIES, Difference, Metric, Name, named
from rise.evaluation.seeds import OverSeeds, StageOverSeeds
from rise.evaluation.uncertainty import Estimate
from rise.report.collect import ReportData
from rise.report.numbers import DASH, count, percent, percent_interval, points, points_interval
from rise.report.table import Cell, Table, Tone, difference_cell
from rise.runs import stages

BOTH = (
    "Over seeds: mean ± t · s/√k, which holds the spread between trainings. Over problems: every problem by its mean over the "
    "seeds, as if these were all the trainings there are."
)


def over_cell(number: OverSeeds | None, *, difference: bool = False, finding: bool = True) -> Cell:
    """A mean over seeds; beneath, both intervals and each seed's value. `finding`: whether a difference says anything."""
    if number is None or number.seeds.value is None:
        return Cell(DASH)
    show, interval = (points, points_interval) if difference else (percent, percent_interval)
    values = "  ".join(show(estimate.value) for estimate in number.by_seed.values())
    small = f"seeds {interval(number.seeds)},\nproblems {interval(number.problems)},\neach {values}"
    tone: Tone = difference_cell(number.both, finding=finding).tone if difference else ""
    return Cell(show(number.seeds.value), small=small, tone=tone)


def compact(table: Table) -> Table:
    """What fits 80 columns of cells over seeds: mean and both intervals; each seed's values stand in the report."""
    if not any("\n" in cell.small for row in table.rows for cell in row):
        return table
    n = 1 + sum("\n" in cell.small or cell.text == DASH for cell in table.rows[0][1:])
    rows = tuple(tuple(replace(cell, small=_ends(cell.small)) for cell in row[:n]) for row in table.rows)
    title = f"{table.title}; beneath each mean, 95 % over seeds, then over problems"
    return replace(table, title=title, columns=table.columns[:n], rows=rows)


def _ends(small: str) -> str:
    """
    >>> _ends("seeds 1.0–2.0,\\nproblems 0.5–3.0,\\neach 1.5  1.5")
    '1.0–2.0\\n0.5–3.0'
    """
    return "\n".join(line.partition(" ")[2].rstrip(",").replace(" to ", "…") for line in small.splitlines()[:2])


def seeds_table(data: ReportData) -> Table:
    """Each stage: the headline metrics over seeds."""
    names = named(HEADLINE, data.n_turns, data.n_samples)
    rows = []
    for over in data.over:
        cells = [over_cell(over.numbers.get(name.key)) for name in names]
        rows.append((Cell(stages.title(over.name)), *cells, Cell(str(len(over.seeds)), small=f"n {_n(over)}")))
    caption = f"Percent right: the mean over seeds, and beneath it two 95 % intervals and each seed's own value. {BOTH}"
    return Table("seeds", "Percent right", ("stage", *(name.label for name in names), "seeds"), tuple(rows), caption)


def seed_differences_table(data: ReportData, *, short: bool = False) -> Table:
    """What the last stage claims, over seeds. `short`: for a terminal of 80 columns."""
    over = data.over[-1] if data.over else None
    names = _differences(over) if over else []
    rows = (
        tuple((Cell(name.label if short else name.words), *_difference_row(over, name, data.oracle)) for name in names)
        if over
        else ()
    )
    title = f"{stages.title(over.name)}: differences over seeds, in points" if over else ""
    columns = ("", "mean", "over seeds", "over problems", "above 0", "each") if short else DIFFERENCES
    return Table("seed-differences", title, columns, rows, f"{_ABOVE} {BOTH}")


def earlier_differences_table(data: ReportData) -> Table:
    """The same of the stages before."""
    found = [(over, name) for over in data.over[:-1] for name in _differences(over)]
    rows = tuple(
        (Cell(f"{stages.title(over.name)}: {name.words}"), *_difference_row(over, name, data.oracle)) for over, name in found
    )
    return Table("seed-differences-before", "Differences of the stages before", DIFFERENCES, rows, _ABOVE)


def _differences(over: StageOverSeeds) -> list[Name[Difference]]:
    """Without controls that no seed was asked."""
    names = named(PAIRED, over.n_turns, over.n_samples)
    return [name for name in names if not name.of.optional or over.numbers[name.key].seeds.value is not None]


def replies_table(data: ReportData) -> Table:
    """What another turn changes, over seeds."""
    names = named(REPLIES, data.n_turns, data.n_samples)
    rows = tuple(
        (Cell(stages.title(over.name)), *(over_cell(over.numbers.get(name.key)) for name in names)) for over in data.over
    )
    caption = "Percent of replies: the mean over seeds, two 95 % intervals and each seed's own value."
    return Table("seed-replies", "What another turn changes", ("stage", *(name.label for name in names)), rows, caption)


DIFFERENCES = ("", "mean", "95 % over seeds", "95 % over problems", "seeds above zero", "each seed")
_ABOVE = (
    "Percentage points. Only where both intervals leave out zero is it a finding. Seeds above zero: those whose own interval "
    "over problems lies above zero, of all that were measured."
)


def _difference_row(over: StageOverSeeds, name: Name[Difference], oracle: str) -> tuple[Cell, ...]:
    number = over.numbers.get(name.key)
    if number is None or number.seeds.value is None:
        return (Cell(DASH),) * 5
    known = [estimate for estimate in number.by_seed.values() if estimate.value is not None]
    each = "  ".join(points(estimate.value) for estimate in known)
    tone = difference_cell(number.both, finding=not (oracle == "stops" and name.of.never_below)).tone
    return (
        Cell(points(number.seeds.value), tone=tone),
        Cell(points_interval(number.seeds)),
        Cell(points_interval(number.problems)),
        Cell(f"{number.n_above} of {len(known)}"),
        Cell(each),
    )


def runs_table(data: ReportData) -> Table:
    """Each seed by itself, with a way to its own report."""
    names: list[Name[Metric | Difference]] = named([*HEADLINE, *PAIRED], data.n_turns, data.n_samples)
    gain = f"t{data.n_turns}-t1"
    shown = [name for name in names if name.key in ("m1@t1", f"t{data.n_turns}", gain)]
    rows = []
    for seed, run in data.runs.items():
        last = run.last
        cells = []
        for name in shown:
            estimate = last.number(name) if last else None
            cells.append(_own_cell(name, estimate))
        missing = ", ".join(stage.title for stage in run.unmeasured)
        state = f"not measured yet: {missing}" if missing else "finished"
        rows.append(
            (Cell(f"seed {seed}", link=f"seed-{seed}/report.html"), Cell(last.title if last else DASH), *cells, Cell(state))
        )
    columns = ("", "last stage", *(name.label for name in shown), "")
    caption = "Each seed is an ordinary run with a report of its own; intervals here are over problems."
    return Table("runs", "Each seed by itself", columns, tuple(rows), caption)


def _own_cell(name: Name[Any], estimate: Estimate | None) -> Cell:
    if estimate is None or estimate.value is None:
        return Cell(DASH)
    if name.of.prints == "points":
        return difference_cell(estimate)
    return Cell(percent(estimate.value), small=percent_interval(estimate))


def _n(over: StageOverSeeds) -> str:
    return count(max((number.problems.n for number in over.by_turn), default=0) or None)
