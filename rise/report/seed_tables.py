"""Several seeds as tables and a figure: each number's mean, both its intervals, and every seed's own value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure as Canvas

from rise.evaluation.headline import HEADLINE, PAIRED, REPLIES, Difference, Metric, Name, named
from rise.evaluation.seeds import OverSeeds, StageOverSeeds
from rise.evaluation.uncertainty import Estimate
from rise.report.collect import ReportData
from rise.report.colours import placeholder, stage_role
from rise.report.drawing import Figure, end_labels, horizontal, make_figure, turn_axis
from rise.report.numbers import DASH, count, percent, percent_interval, points, points_interval
from rise.report.table import Cell, Table, Tone, difference_cell
from rise.runs import stages

BOTH = (
    "Over seeds: mean ± t · s/√k, which holds the spread between trainings. Over problems: every problem by its mean over the "
    "seeds, as if these were all the trainings there are."
)


def over_cell(number: OverSeeds | None, *, difference: bool = False) -> Cell:
    """A mean over seeds; beneath, both intervals and each seed's value."""
    if number is None or number.seeds.value is None:
        return Cell(DASH)
    show, interval = (points, points_interval) if difference else (percent, percent_interval)
    values = "  ".join(show(estimate.value) for estimate in number.by_seed.values())
    small = f"seeds {interval(number.seeds)},\nproblems {interval(number.problems)},\neach {values}"
    tone: Tone = difference_cell(number.both).tone if difference else ""
    return Cell(show(number.seeds.value), small=small, tone=tone)


def seeds_table(data: ReportData) -> Table:
    """Each stage: the headline metrics over seeds."""
    names = named(HEADLINE, data.n_turns, data.n_samples)
    rows = []
    for over in data.over:
        cells = [over_cell(over.numbers.get(name.key)) for name in names]
        rows.append((Cell(stages.title(over.name)), *cells, Cell(str(len(over.seeds))), Cell(_n(over))))
    caption = f"Percent right: the mean over seeds, and beneath it two 95 % intervals and each seed's own value. {BOTH}"
    return Table("seeds", "Over seeds", ("stage", *(name.label for name in names), "seeds", "n"), tuple(rows), caption)


def seed_differences_table(data: ReportData) -> Table:
    """What the last stage claims, over seeds."""
    return differences_over(data.over[-1] if data.over else None)


def earlier_differences_table(data: ReportData) -> Table:
    """The same of the stages before."""
    found = [(over, name) for over in data.over[:-1] for name in named(PAIRED, over.n_turns, over.n_samples)]
    rows = tuple((Cell(f"{stages.title(over.name)}: {name.words}"), *_difference_row(over, name)) for over, name in found)
    return Table("seed-differences-before", "Differences of the stages before", DIFFERENCES, rows, _ABOVE)


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


def differences_over(over: StageOverSeeds | None, label: str = "") -> Table:
    """Every paired difference of one stage over seeds."""
    names = named(PAIRED, over.n_turns, over.n_samples) if over else []
    rows = tuple((Cell(name.words), *_difference_row(over, name)) for name in names) if over else ()
    title = f"{label}{stages.title(over.name)}: differences over seeds" if over else ""
    return Table("seed-differences", title, DIFFERENCES, rows, f"{_ABOVE} {BOTH}")


def _difference_row(over: StageOverSeeds, name: Name[Difference]) -> tuple[Cell, ...]:
    number = over.numbers.get(name.key)
    if number is None or number.seeds.value is None:
        return (Cell(DASH),) * 5
    known = [estimate for estimate in number.by_seed.values() if estimate.value is not None]
    each = "  ".join(points(estimate.value) for estimate in known)
    tone = difference_cell(number.both).tone
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


# ---- figure --------------------------------------------------------------------------------------------------------------


def seeds_figure(data: ReportData) -> Figure | None:
    """Accuracy by turn, every seed thin and their mean thick; beside it the differences of the last stage, seed by seed."""
    if not data.over or data.over[-1].n_turns < 2:
        return None
    names = [over.name for over in data.over]
    lines = [(stages.short_title(over.name), over, placeholder(stage_role(over.name, names))) for over in data.over]
    return _figure("seeds", "Does it correct itself, in every seed?", lines, data.over[-1])


def groups_figure(groups: Sequence[tuple[str, StageOverSeeds]], colours: Sequence[str]) -> Figure:
    """Several groups beside each other: by turn, and the first one's differences."""
    lines = [(label, over, placeholder(colours[i % len(colours)])) for i, (label, over) in enumerate(groups)]
    return _figure("compare", "Over seeds", lines, groups[-1][1])


def _figure(key: str, title: str, lines: Sequence[tuple[str, StageOverSeeds, str]], last: StageOverSeeds) -> Figure:
    differences = [name for name in named(PAIRED, last.n_turns, last.n_samples) if last.numbers[name.key].seeds.value is not None]

    def draw(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2, width_ratios=(1.25, 1))
        left.set_title("Last reply by turn, no vote, % right")
        for _, over, colour in lines:
            _draw_turns(left, over, colour)
        turn_axis(left, last.n_turns)
        ends = [(last.n_turns, 100 * (over.by_turn[-1].seeds.value or 0.0), label, colour) for label, over, colour in lines]
        end_labels(left, ends)
        right.set_title(f"{lines[-1][0]}: differences, points")
        for i, name in enumerate(reversed(differences)):
            _draw_difference(right, last.numbers[name.key], i)
        right.axvline(0, color=placeholder("ink"), linewidth=0.8)
        horizontal(right, [name.label for name in reversed(differences)])

    caption = (
        "Thin lines and dots are seeds, thick ones their mean. Bands and whiskers are 95 % intervals over seeds, which hold the "
        "spread between trainings; the short thick whiskers on the right are those over problems."
    )
    return make_figure(key, title, caption, draw, width=9.2, height=3.4)


def _draw_turns(axes: Any, over: StageOverSeeds, colour: str) -> None:
    turns = range(1, over.n_turns + 1)
    for seed in over.seeds:
        values = [100 * (number.by_seed[seed].value or 0.0) for number in over.by_turn]
        axes.plot(turns, values, color=colour, linewidth=0.7, alpha=0.7)
    axes.plot(turns, [100 * (number.seeds.value or 0.0) for number in over.by_turn], color=colour, marker="o")
    ends = [(number.seeds.low, number.seeds.high) for number in over.by_turn]
    if all(low is not None and high is not None for low, high in ends):
        low, high = ([100 * (end[side] or 0.0) for end in ends] for side in (0, 1))
        axes.fill_between(turns, low, high, color=colour, alpha=0.13, linewidth=0)


def _draw_difference(axes: Any, number: OverSeeds, y: int) -> None:
    colour = placeholder({"above": "right", "below": "wrong"}.get(difference_cell(number.both).tone, "quiet"))
    for estimate, width in ((number.seeds, 1.0), (number.problems, 3.2)):
        if estimate.low is not None and estimate.high is not None:
            axes.plot([100 * estimate.low, 100 * estimate.high], [y, y], color=colour, linewidth=width, solid_capstyle="butt")
    axes.plot([100 * (number.seeds.value or 0.0)], [y], color=colour, marker="o", markersize=6)
    values = [100 * estimate.value for estimate in number.by_seed.values() if estimate.value is not None]
    axes.plot(values, [y - 0.26] * len(values), color=colour, marker="o", markersize=2.6, linestyle="none")
