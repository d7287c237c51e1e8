"""The paper's analyses as pictures: one-turn ability, single transitions, hard problems, the gold solution's probability."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from rise.evaluation.uncertainty import Estimate
from rise.report.analysis_tables import hard_entries
from rise.report.collect import ReportData
from rise.report.colours import placeholder, stage_role
from rise.report.drawing import DASHED, Figure, band, end_labels, horizontal, make_figure, patch, turn_axis
from rise.report.numbers import percent


def hard_figure(data: ReportData) -> Figure | None:
    """Of the problems that B samples miss, the share that one run solves, by B, of the last stage."""
    stage = data.last
    entries = hard_entries(stage) if stage else []
    if stage is None or not entries:
        return None
    K = stage.n_turns

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        ends = []
        lines: list[tuple[str, str, str, Any]] = [
            ("solved", f"{K} turns, any right", "turns", DASHED),
            ("last", "last reply right", "turns", "-"),
            ("resampled", f"{K - 1} more samples", "parallel", DASHED),
        ]
        for name, label, role, dashes in lines:
            pairs = [(entry["samples"], entry[name]) for entry in entries if entry[name].value is not None]
            if pairs:
                band(axes, pairs, placeholder(role), linestyle=dashes, band=name == "last")
                ends.append((pairs[-1][0], 100 * (pairs[-1][1].value or 0.0), label, placeholder(role)))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("parallel samples that all miss the problem (B)")
        axes.set_ylim(bottom=0)
        end_labels(axes, ends)

    caption = (
        "Percent of the problems that none of B first replies solves. Any right needs an oracle; the last reply does not. "
        "More samples: the same number of further replies, drawn afresh. Band: 95 %."
    )
    return make_figure("hard", f"Problems that samples miss ({stage.title})", caption, draw)


def one_turn_figure(data: ReportData) -> Figure | None:
    """m1@t1 and the last reply of every stage: whether one-turn ability was kept."""
    stages = [stage for stage in data.measured if stage.estimate("m1@t1").value is not None]
    if len(stages) < 2 or data.n_turns < 2:
        return None

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for i, stage in enumerate(reversed(stages)):
            first, last = stage.estimate("m1@t1"), stage.estimate("accuracy_by_turn", -1)
            a, b = 100 * (first.value or 0.0), 100 * (last.value or 0.0)
            axes.plot([a, b], [i, i], color=placeholder("line"), linewidth=3, solid_capstyle="round", zorder=1)
            axes.plot([a], [i], "o", color=placeholder("quiet"), markersize=6)
            axes.plot([b], [i], "o", color=placeholder("turns"), markersize=6)
            for x, estimate, colour in ((a, first, "quiet"), (b, last, "turns")):
                left = x <= (b if x == a else a)
                axes.annotate(
                    percent(estimate.value),
                    (x, i),
                    (-7 if left else 7, 0),
                    textcoords="offset points",
                    va="center",
                    ha="right" if left else "left",
                    fontsize=8.5,
                    color=placeholder(colour),
                )
        horizontal(axes, [stage.title for stage in reversed(stages)])
        axes.margins(x=0.16)
        axes.set_xlabel("% right")
        handles = [patch(placeholder("quiet")), patch(placeholder("turns"))]
        canvas.legend(handles, ["turn 1", f"turn {data.n_turns}"], loc="outside upper left", ncols=2)

    caption = "First and last reply of every stage, no vote. Learning to revise must not cost the first reply."
    return make_figure("one-turn", "One-turn ability, before and after", caption, draw, height=0.95 + 0.36 * len(stages))


def steps_figure(data: ReportData) -> Figure | None:
    """Wrong→right and right→wrong at each single step of the last stage."""
    stage = data.last
    if stage is None or stage.n_turns < 3:
        return None
    steps = [(stage.estimate("transitions_by_turn", k, "wrong_to_right"), k) for k in range(stage.n_turns - 1)]
    if all(estimate.value is None for estimate, _ in steps):
        return None

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        ends = []
        for name, label, role in (("wrong_to_right", "wrong→right", "right"), ("right_to_wrong", "right→wrong", "wrong")):
            pairs = [(k + 1.0, stage.estimate("transitions_by_turn", k, name)) for k in range(stage.n_turns - 1)]
            pairs = [(x, e) for x, e in pairs if e.value is not None]
            if pairs:
                band(axes, pairs, placeholder(role))
                ends.append((pairs[-1][0], 100 * (pairs[-1][1].value or 0.0), label, placeholder(role)))
        axes.set_xticks(range(1, stage.n_turns), [f"{k}→{k + 1}" for k in range(1, stage.n_turns)])
        axes.set_xlabel("step from turn to turn")
        axes.set_ylim(bottom=0)
        end_labels(axes, ends)

    caption = "Share of the wrong (right) replies at a turn whose next reply is right (wrong). Bands are 95 % intervals."
    return make_figure("steps", f"Transitions, step by step ({stage.title})", caption, draw)


def gold_figure(data: ReportData) -> Figure | None:
    """Probability of the worked solution by turn, every stage that was scored."""
    stages = [stage for stage in data.measured if stage.series("gold_probability", "by_turn")]
    if not stages:
        return None
    names = [stage.name for stage in data.stages]

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        ends = []
        for stage in stages:
            pairs = [(float(k), e) for k, e in enumerate(stage.series("gold_probability", "by_turn"), 1) if e.value is not None]
            colour = placeholder(stage_role(stage.name, names))
            band(axes, pairs, colour)
            ends.append((pairs[-1][0], 100 * (pairs[-1][1].value or 0.0), stage.title, colour))
        turn_axis(axes, data.n_turns)
        end_labels(axes, ends)

    caption = (
        "Geometric mean over its tokens of the probability of the worked solution, at the state before each turn, in percent. "
        "A right attempt in view can be copied: the table has the problems not solved before."
    )
    return make_figure("gold", "Probability of the gold solution", caption, draw)


def gains_figure(data: ReportData) -> Figure | None:
    """Gain by turns against where a model began: one point for each of several runs."""
    if len(data.beside) < 2:
        return None

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for name, start, last in data.beside:
            x = 100 * (start.estimate("m1@t1").value or 0.0)
            gain: Estimate = last.estimate("paired", f"t{last.n_turns}-t1")
            assert gain.value is not None and gain.low is not None and gain.high is not None, "only runs that have it are drawn"
            axes.plot([x, x], [100 * gain.low, 100 * gain.high], color=placeholder("turns"), linewidth=1.4)
            axes.plot([x], [100 * gain.value], "o", color=placeholder("turns"), markersize=6)
            axes.annotate(name, (x, 100 * gain.value), (7, 4), textcoords="offset points", fontsize=8.5)
        axes.axhline(0, color=placeholder("ink"), linewidth=0.9)
        axes.set_xlabel("m1@t1 before the rounds, %")
        axes.set_title("gain of the last reply on the first, points")
        axes.margins(x=0.25, y=0.2)

    caption = "One point a run: accuracy of one reply before the rounds, and what its turns gain after them. Whiskers: 95 %."
    return make_figure("gains", "Gain against base accuracy", caption, draw)
