"""One figure a claim: its compared numbers with both intervals beside what matters, and accuracy by turn where it has any."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from matplotlib.figure import Figure as Canvas

from rise.method.claims.results import Compared, Curve, Result
from rise.report.colours import placeholder
from rise.report.drawing import Figure, end_labels, make_figure, turn_axis

ROLES = ("turns", "parallel", "right", "wrong", "ink", "ochre", "grey", "amber")
"""One a curve, in this order."""


def claim_figure(result: Result) -> Figure | None:
    """None where nothing is measured."""
    shown = [item for item in result.compared if item.found.seeds.value is not None and item.comparison.unit == "share"]
    if not shown:
        return None
    curves = [curve for curve in result.curves if curve.by_seed]
    height = 0.6 + 0.44 * len(shown)

    def draw(canvas: Canvas) -> None:
        if curves:
            above, below = canvas.subplots(2, 1, height_ratios=[height, 2.6])
            _curves(below, curves)
        else:
            above = canvas.subplots()
        _forest(above, shown)

    caption = (
        "Dots are means over seeds, small ones the seeds; thin whiskers 95 % intervals over seeds, thick ones over problems. "
        "Bands: differences that do not matter. In colour where the verdict is clear."
    )
    return make_figure(
        f"claim-{result.experiment.claim}", result.experiment.title, caption, draw, height=height + (2.6 if curves else 0.3)
    )


def _forest(axes: Any, shown: list[Compared]) -> None:
    axes.axvline(0, color=placeholder("ink"), linewidth=0.8)
    for i, item in enumerate(reversed(shown)):
        _number(axes, item, float(i))
    axes.set_ylim(-0.5, len(shown) - 0.2)
    axes.set_yticks([])
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    axes.set_xlabel("points")
    for i, item in enumerate(reversed(shown)):
        says = item.comparison.says + ("" if not item.comparison.primary else " (decides)")
        axes.annotate(
            says, (0, i + 0.36), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=placeholder("quiet")
        )


def _number(axes: Any, item: Compared, y: float) -> None:
    role = {"holds": "right", "does not hold": "wrong"}.get(item.verdict, "quiet")
    colour, m = placeholder(role), 100 * item.comparison.matters
    axes.fill_between([-m, m], y - 0.14, y + 0.14, color=placeholder("line"), alpha=0.5, linewidth=0)
    for estimate, width in ((item.found.seeds, 1.0), (item.found.problems, 3.2)):
        if estimate.low is not None and estimate.high is not None:
            axes.plot([100 * estimate.low, 100 * estimate.high], [y, y], color=colour, linewidth=width, solid_capstyle="butt")
    axes.plot([100 * (item.found.seeds.value or 0.0)], [y], color=colour, marker="o", markersize=6)
    values = [100 * value for value in item.found.values]
    if len(values) > 1:
        axes.plot(values, [y - 0.2] * len(values), color=colour, marker="o", markersize=2.6, linestyle="none")


def _curves(axes: Any, curves: list[Curve]) -> None:
    ends = []
    most = 1
    for curve, role in zip(curves, ROLES, strict=False):
        colour = placeholder(role)
        n = min(len(values) for values in curve.by_seed.values())
        turns = range(1, n + 1)
        for values in curve.by_seed.values():
            axes.plot(turns, [100 * value for value in values[:n]], color=colour, linewidth=0.7, alpha=0.7)
        means = [100 * fmean(values[k] for values in curve.by_seed.values()) for k in range(n)]
        axes.plot(turns, means, color=colour, marker="o")
        ends.append((float(n), means[-1], curve.label, colour))
        most = max(most, n)
    turn_axis(axes, most)
    axes.set_title("last reply, % right")
    end_labels(axes, ends)
