"""All arms of a folder of experiments beside each other, as a table a task and one figure of accuracy against tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from rise.evaluation.readings import heading, unit_of, words
from rise.evaluation.seeds import OverSeeds
from rise.method.claims.beside import Point, Row, Side
from rise.report.colours import placeholder
from rise.report.drawing import DASHED, Figure, make_figure
from rise.report.numbers import DASH, amount, number, percent, percent_interval
from rise.report.table import Cell, Table

COLOURS = ("ink", "turns", "right", "wrong", "ochre", "grey", "round-0")
MARKERS = ("o", "s", "^", "D", "v")
"""The next of each an arm; where colours begin again, lines are dashed."""


def beside_tables(sides: Sequence[Side], readings: Sequence[str]) -> tuple[Table, ...]:
    """A line an arm, a table a task; without tasks of which nothing is measured."""
    columns = ("arm", *map(heading, readings), "trained tokens", "replies drawn")
    return tuple(
        Table(f"beside-{side.task}", _title(side), columns, tuple(_line(row, readings) for row in measured(side)))
        for side in sides
        if measured(side)
    )


def beside_caption(readings: Sequence[str]) -> str:
    """What the columns are, once for all tables."""
    said = "; ".join(f"{heading(reading)}: {words(reading)}" for reading in readings)
    return (
        f"Columns: {said}. Shares in percent, tokens a problem. Beneath: 95 % over seeds; of one, over problems. "
        "Trained tokens: targets of all rounds, epochs counted. Replies drawn: turns and improved replies of all rounds, with "
        "those of the first round where an arm shares RISE's; beneath, the tokens written for them."
    )


def measured(side: Side) -> list[Row]:
    return [row for row in side.rows if row.numbers]


def _title(side: Side) -> str:
    return f"{side.task}, {'with' if side.gap else 'without'} a gap between solving and checking"


def _line(row: Row, readings: Sequence[str]) -> tuple[Cell, ...]:
    cells = [_cell(row.numbers.get(reading), reading) for reading in readings]
    drawn = Cell(DASH) if row.drawn is None else Cell(amount(row.drawn.replies), small=f"{amount(row.drawn.tokens)} tokens")
    return (Cell(row.label), *cells, Cell(amount(row.trained)), drawn)


def _cell(over: OverSeeds | None, reading: str) -> Cell:
    if over is None or over.seeds.value is None:
        return Cell(DASH)
    between = over.known if over.seeds.low is None else over.seeds
    if unit_of(reading) == "tokens":
        ends = "" if between.low is None else f"{number(between.low)}–{number(between.high)}"
        return Cell(number(over.seeds.value), small=ends)
    if between.low is None or between.high is None:
        return Cell(percent(over.seeds.value))
    possible = replace(between, low=max(0.0, between.low), high=min(1.0, between.high))
    return Cell(percent(over.seeds.value), small=percent_interval(possible))


def beside_figure(sides: Sequence[Side], title: str) -> Figure | None:
    """Accuracy against tokens over turns 1, 2, …: a column a task, last reply above, vote beneath. None: no numbers."""
    shown = [(side, [row for row in measured(side) if row.points]) for side in sides]
    shown = [(side, rows) for side, rows in shown if rows]
    if not shown:
        return None
    labels = list(dict.fromkeys(row.label for _, rows in shown for row in rows))
    looks = {label: _look(i) for i, label in enumerate(labels)}

    def draw(canvas: Canvas) -> None:
        panels = canvas.subplots(2, len(shown), sharex="col", squeeze=False)
        for column, (side, rows) in enumerate(shown):
            for axes, score in zip(panels[:, column], ("last", "vote"), strict=True):
                for row in rows:
                    _curve(axes, row.points, score, *looks[row.label])
                axes.set_xlim(left=0)
            panels[0, column].set_title(f"{side.task}: last reply, % right")
            panels[1, column].set_title("vote over the turns so far, % right")
            panels[1, column].set_xlabel("tokens read and written a problem")
        handles = [Line2D([], [], color=placeholder(r), marker=m, linestyle=s, markersize=3.4) for r, m, s in looks.values()]
        canvas.legend(handles, labels, loc="outside upper left", ncols=5, columnspacing=1.2)

    caption = (
        "After 1, 2, … turns, means over seeds. Tokens: all that were read and written so far, without a prefix cache, the "
        "model's own verdicts with them; a run that the model ended costs no more."
    )
    return make_figure("beside", title, caption, draw, width=3.2 * max(2, len(shown)), height=5.0 + 0.2 * (len(labels) // 5))


def _look(i: int) -> tuple[str, str, Any]:
    """Colour, marker and style of the i-th arm's line."""
    return COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], "-" if i < len(COLOURS) else DASHED


def _curve(axes: Any, points: Sequence[Point], score: str, role: str, marker: str, style: Any) -> None:
    xs, ys = [point.tokens for point in points], [100 * getattr(point, score) for point in points]
    axes.plot(xs, ys, color=placeholder(role), marker=marker, linestyle=style, linewidth=1.2, markersize=3.4)
