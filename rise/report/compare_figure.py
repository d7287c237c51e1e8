"""One figure of several runs: accuracy against samples, generated tokens and all tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from rise.report.collect import estimate_at
from rise.report.colours import placeholder
from rise.report.compare import Entry
from rise.report.drawing import DASHED, Figure, band, make_figure, stroke
from rise.report.result_figures import COSTS

COLOURS = ("turns", "parallel", "right", "wrong", "ink", "ochre", "round-0", "grey")
"""One a run, in this order; an eighth run and later ones begin again with thinner lines."""


def compare_figure(entries: Sequence[Entry]) -> Figure:
    """Votes over turns (whole lines) and over parallel samples (dashed), run by run, against three costs."""

    def draw(canvas: Canvas) -> None:
        panels = canvas.subplots(1, len(COSTS), sharey=True)
        for axes, (cost, label) in zip(panels, COSTS.items(), strict=True):
            for i, entry in enumerate(entries):
                _lines(axes, entry, cost, placeholder(COLOURS[i % len(COLOURS)]))
            axes.set_xlim(left=0)
            axes.set_xlabel(label)
            if cost == "samples":
                axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        panels[0].set_title("vote, % right")
        colours = [stroke(placeholder(COLOURS[i % len(COLOURS)]), "-") for i in range(len(entries))]
        ways = [stroke(placeholder("quiet"), style) for style in ("-", DASHED)]
        labels = [*(entry.label for entry in entries), "over turns", "over parallel samples"]
        canvas.legend([*colours, *ways], labels, loc="outside upper left", ncols=4, columnspacing=1.2)

    caption = (
        "Percent right of the vote after 1, 2, … turns of one run (whole lines) or parallel samples (dashed); bands are 95 % "
        "intervals of the votes over turns. At equal samples turns read more, which the third panel shows."
    )
    return make_figure("compare", "Accuracy against cost", caption, draw, width=9.6, height=3.4 + 0.2 * (len(entries) // 4))


def _lines(axes: Any, entry: Entry, cost: str, colour: str) -> None:
    compute = entry.metrics.get("compute") or {}
    for way, style in (("sequential", "-"), ("parallel", DASHED)):
        known = [point for point in compute.get(way) or [] if point.get(cost) is not None]
        if known:
            pairs = [(point[cost], estimate_at(point, "vote")) for point in known]
            band(axes, pairs, colour, linestyle=style, band=way == "sequential")
