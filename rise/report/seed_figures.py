"""Several seeds as pictures: the last reply by turn, and the differences that claims rest on, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure as Canvas

from rise.evaluation.headline import PAIRED, named
from rise.evaluation.seeds import OverSeeds, StageOverSeeds
from rise.report.collect import ReportData
from rise.report.colours import placeholder, stage_role
from rise.report.drawing import Figure, end_labels, horizontal, make_figure, turn_axis
from rise.report.table import difference_cell
from rise.runs import stages

Line = tuple[str, StageOverSeeds, str]
"""Its name, what is drawn, its colour."""


def seeds_figure(data: ReportData) -> Figure | None:
    """Every measured stage by turn: seeds thin, their mean thick."""
    if not data.over or data.over[-1].n_turns < 2:
        return None
    names = [over.name for over in data.over]
    return turns_over_seeds(
        "seeds", [(stages.short_title(over.name), over, placeholder(stage_role(over.name, names))) for over in data.over]
    )


def turns_over_seeds(key: str, lines: Sequence[Line]) -> Figure:
    """The last reply by turn, a line each."""

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for _, over, colour in lines:
            _draw_turns(axes, over, colour)
        turn_axis(axes, lines[-1][1].n_turns)
        ends = [(over.n_turns, 100 * (over.by_turn[-1].seeds.value or 0.0), label, colour) for label, over, colour in lines]
        end_labels(axes, ends)

    caption = (
        "No vote. Percent right at each turn: seeds thin, their mean thick. Bands are 95 % intervals over seeds, which hold the "
        "spread between trainings."
    )
    return make_figure(key, "Accuracy of the last reply, in every seed", caption, draw)


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


def differences_figure(data: ReportData) -> Figure | None:
    """What the last stage claims."""
    if not data.over or data.over[-1].n_turns < 2:
        return None
    last = data.over[-1]
    every = named(PAIRED, last.n_turns, last.n_samples)
    shown = [name for name in reversed(every) if last.numbers[name.key].seeds.value is not None]

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for i, name in enumerate(shown):
            _draw_difference(axes, last.numbers[name.key], i)
        axes.axvline(0, color=placeholder("ink"), linewidth=0.8)
        axes.set_xlabel("points")
        horizontal(axes, [name.label for name in shown])

    caption = (
        "Large dots are means over seeds, small ones the seeds. Thin whiskers are 95 % intervals over seeds, thick ones over "
        "problems; in colour where both leave out zero."
    )
    return make_figure("seed-differences", f"Differences after {stages.title(last.name)}", caption, draw)


def _draw_difference(axes: Any, number: OverSeeds, y: int) -> None:
    colour = placeholder({"above": "right", "below": "wrong"}.get(difference_cell(number.both).tone, "quiet"))
    for estimate, width in ((number.seeds, 1.0), (number.problems, 3.2)):
        if estimate.low is not None and estimate.high is not None:
            axes.plot([100 * estimate.low, 100 * estimate.high], [y, y], color=colour, linewidth=width, solid_capstyle="butt")
    axes.plot([100 * (number.seeds.value or 0.0)], [y], color=colour, marker="o", markersize=6)
    values = [100 * estimate.value for estimate in number.by_seed.values() if estimate.value is not None]
    axes.plot(values, [y - 0.26] * len(values), color=colour, marker="o", markersize=2.6, linestyle="none")
