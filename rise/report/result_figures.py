"""Held-out results as pictures: turn by turn, controls, transitions, cost, paired differences. `drawing.py` draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from rise.evaluation.headline import PAIRED, REPLIES, named
from rise.evaluation.uncertainty import Estimate
from rise.report.collect import ReportData, Stage, estimate_at
from rise.report.colours import placeholder, stage_role
from rise.report.drawing import (
    DASHED,
    Figure,
    band,
    end_labels,
    fit,
    horizontal,
    known,
    line_end,
    make_figure,
    patch,
    stroke,
    turn_axis,
)
from rise.report.numbers import count, percent
from rise.report.result_tables import CONTROLS
from rise.runs.stages import round_number


def turns_figure(data: ReportData) -> Figure | None:
    """Accuracy of the last reply by turn, every stage."""
    return _lines_over_turns(
        data, "accuracy_by_turn", "turns", "Accuracy of the last reply", "No vote. Percent right at each turn."
    )


def votes_figure(data: ReportData) -> Figure | None:
    """Majority over turns 1 … k by turn, every stage."""
    return _lines_over_turns(data, "vote_by_turn", "votes", "Vote over the turns so far", "Percent right of the majority so far.")


def controls_figure(data: ReportData) -> Figure | None:
    """The last stage beside its controls."""
    stage = data.last
    if stage is None or stage.n_turns < 2:
        return None

    def draw(canvas: Canvas) -> None:
        _draw_controls(canvas.subplots(), stage)

    caption = (
        "From turn 2 on the model sees its own attempt, nothing, or another problem's attempt; or the same replies were trained "
        "at turn 1. No vote. Bands are 95 % intervals."
    )
    return make_figure("controls", f"Shown its own attempt, and controls ({stage.title})", caption, draw)


def main_picture(data: ReportData) -> Figure | None:
    """Accuracy at each turn over stages, and the last stage beside its controls: the picture for a README."""
    stage = data.last
    if stage is None or stage.n_turns < 2:
        return None

    def draw(canvas: Canvas) -> None:
        canvas.set_layout_engine("constrained", rect=(0.01, 0, 0.97, 1))  # a wider font than ours must not be cut off
        left, right = canvas.subplots(1, 2)
        turns = [shown.series("accuracy_by_turn") for shown in drawn_stages(data, "accuracy_by_turn")]
        controls = [series for _, series, _, _ in _control_lines(stage)]
        left.set_title("% right at each turn, no vote")
        _draw_turns(left, data, "accuracy_by_turn", beside=controls)
        right.set_title(f"{stage.title}: own attempt shown, and controls")
        _draw_controls(right, stage, beside=turns)

    caption = "Accuracy of each turn's reply, no vote; bands are 95 % intervals clustered by problem."
    return make_figure("main", "Does it correct itself?", caption, draw, width=9.2, height=3.4)


def transitions_figure(data: ReportData) -> Figure | None:
    """Wrong→right and right→wrong by stage."""
    steps, roles = named(REPLIES, data.n_turns, data.n_samples)[:2], ("right", "wrong")
    stages = [stage for stage in data.measured if stage.number(steps[0]).value is not None]
    if not stages:
        return None

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        largest = 0.0
        for i, stage in enumerate(reversed(stages)):
            for offset, name, role in zip((0.19, -0.19), steps, roles, strict=True):
                estimate = stage.number(name)
                if estimate.value is None or estimate.high is None or estimate.low is None:
                    continue
                value, low, high = (100 * x for x in (estimate.value, estimate.low, estimate.high))
                axes.barh(i + offset, value, height=0.34, color=placeholder(role))
                axes.plot([low, high], [i + offset] * 2, color=placeholder("ink"), linewidth=0.9, solid_capstyle="butt")
                largest = max(largest, high)
                axes.annotate(
                    percent(estimate.value), (high, i + offset), (4, 0), textcoords="offset points", va="center", fontsize=8.5
                )
        horizontal(axes, [stage.title for stage in reversed(stages)])
        axes.set_xlim(0, largest * 1.14 or 1)
        axes.set_xlabel("% of wrong (right) replies")
        canvas.legend([patch(placeholder(role)) for role in roles], [n.label for n in steps], loc="outside upper left", ncols=2)

    caption = f"{' '.join(name.of.meaning for name in steps)} Whiskers: 95 %."
    return make_figure("transitions", "One more turn", caption, draw, height=0.9 + 0.48 * len(stages))


ENDS = {
    "right_right": ("right, stays right", "right"),
    "wrong_right": ("wrong → right", "right-soft"),
    "right_wrong": ("right → wrong", "wrong"),
    "wrong_wrong": ("wrong, stays wrong", "wrong-soft"),
}


def ends_figure(data: ReportData) -> Figure | None:
    """Turn 1 against the last turn: four shares that make up all problems."""
    stages = [stage for stage in data.measured if stage.estimate("first_to_last", "right_right").value is not None]
    if not stages:
        return None

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for i, stage in enumerate(reversed(stages)):
            left = 0.0
            for name, (_, role) in ENDS.items():
                width = 100 * (stage.estimate("first_to_last", name).value or 0.0)
                axes.barh(i, width, left=left, height=0.62, color=placeholder(role), linewidth=0)
                if width >= 7:
                    ink = "paper" if role in ("right", "wrong") else "ink"
                    axes.text(left + width / 2, i, f"{width:.0f}", ha="center", va="center", color=placeholder(ink), fontsize=8.5)
                left += width
        horizontal(axes, [stage.title for stage in reversed(stages)])
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of all problems")
        handles = [patch(placeholder(role)) for _, role in ENDS.values()]
        canvas.legend(handles, [label for label, _ in ENDS.values()], loc="outside upper left", ncols=2)

    return make_figure(
        "ends", f"Turn 1 against turn {data.n_turns}", "Shares of all problems.", draw, height=1.15 + 0.36 * len(stages)
    )


COSTS = {
    "samples": "samples per problem",
    "generated_tokens": "generated tokens per problem",
    "all_tokens": "all tokens per problem",
}


def compute_figures(data: ReportData) -> list[Figure]:
    """Accuracy of the last stage against samples, generated tokens, all tokens."""
    return [figure for field in COSTS if (figure := _compute_figure(data, field))]


def _compute_figure(data: ReportData, field: str) -> Figure | None:
    stage = data.last
    compute = ((stage.metrics or {}).get("compute") if stage else None) or {}
    ways = {way: [e for e in compute.get(way) or [] if e.get(field) is not None] for way in ("sequential", "parallel")}
    if not all(ways.values()):
        return None

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for way, role in (("sequential", "turns"), ("parallel", "parallel")):
            for score, dashes in (("vote", "-"), ("pass", DASHED)):
                pairs = [(e[field], estimate_at(e, score)) for e in ways[way]]
                band(axes, pairs, placeholder(role), linestyle=dashes, band=score == "vote")
        axes.set_xlim(left=0)
        axes.set_xlabel(COSTS[field])
        if field == "samples":
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        handles = [stroke(placeholder(role), style) for style in ("-", DASHED) for role in ("turns", "parallel")]
        labels = ["turns, vote", "parallel, vote", "turns, any right", "parallel, any right"]
        order = [0, 2, 1, 3]  # column by column: turns on the left, parallel on the right
        legend = ([handles[i] for i in order], [labels[i] for i in order])
        canvas.legend(*legend, loc="outside upper left", ncols=2, columnspacing=1.2)

    title = f"Accuracy against {COSTS[field].removesuffix(' per problem')}"
    caption = "Percent right after 1, 2, … turns of one run or parallel samples. Any right needs an oracle."
    return make_figure(f"compute-{field.replace('_', '-')}", title, caption, draw, height=3.2)


def paired_figures(data: ReportData) -> list[Figure]:
    """Paired differences of every stage around zero; the control with another's attempt in a figure of its own scale."""
    names = {name.key: name.words for name in named(PAIRED, data.n_turns, data.n_samples)}
    other = f"t{data.n_turns}-other"
    near = {key: label for key, label in names.items() if key != other}
    title = "Own attempt shown, against another problem's"
    found = (
        _paired_figure(data, near, "paired", "Paired differences"),
        _paired_figure(data, {other: names[other]}, "paired-other", title),
    )
    return [figure for figure in found if figure]


def _paired_figure(data: ReportData, names: Mapping[str, str], key: str, title: str) -> Figure | None:
    groups = [
        (
            label,
            [
                (stage, e)
                for stage in data.measured
                if not _asked_of_few(stage, data) and (e := stage.estimate("paired", key)).value is not None
            ],
        )
        for key, label in names.items()
    ]
    groups = [group for group in groups if group[1]]
    if not groups:
        return None
    stage_names = [stage.name for stage in data.stages]
    n_lines = sum(len(found) + 1.3 for _, found in groups)

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        y = 0.0
        ticks: list[tuple[float, str]] = []
        for label, found in groups:
            box = {"boxstyle": "square,pad=0.15", "facecolor": placeholder("paper"), "linewidth": 0}
            place: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            axes.annotate(label, (0, y), (2, 0), va="center", bbox=box, fontweight="bold", fontsize=8.5, **place)
            y -= 1
            for stage, e in found:
                colour = placeholder(stage_role(stage.name, stage_names))
                assert e.value is not None and e.low is not None and e.high is not None
                axes.plot([100 * e.low, 100 * e.high], [y, y], color=colour, linewidth=2, solid_capstyle="round")
                axes.plot([100 * e.value], [y], "o", color=colour, markersize=5)
                ticks.append((y, stage.title))
                y -= 1
            y -= 0.3
        axes.axvline(0, color=placeholder("ink"), linewidth=0.9)
        axes.set_yticks([t for t, _ in ticks], [label for _, label in ticks])
        axes.set_ylim(y + 0.3, 0.8)
        axes.grid(True, axis="x")
        axes.grid(False, axis="y")
        axes.set_xlabel("percentage points")

    caption = "On the same problems; lines are 95 % intervals. One that crosses zero is no finding."
    for stage in data.measured:
        if _asked_of_few(stage, data):
            caption += f" Not drawn: {stage.title}, asked of only {count(stage.estimate('m1@t1').n)} problems."
    return make_figure(key, title, caption, draw, height=0.6 + 0.19 * n_lines)


def _lines_over_turns(data: ReportData, field: str, key: str, title: str, caption: str) -> Figure | None:
    if not any(stage.series(field) for stage in data.measured):
        return None
    for stage in data.measured:
        if stage not in drawn_stages(data, field):
            low, high = map(percent, _range(stage.series(field)))
            shares = low if low == high else f"{low}–{high}"
            caption += f" Not drawn: {stage.title}, at {shares} % of {count(stage.estimate('m1@t1').n)} problems."

    def draw(canvas: Canvas) -> None:
        _draw_turns(canvas.subplots(), data, field)

    return make_figure(key, title, caption + " Bands are 95 % intervals.", draw)


def _draw_turns(axes: Any, data: ReportData, field: str, beside: Sequence[Sequence[Estimate]] = ()) -> None:
    """Every stage's line. `beside`: the lines of a neighbour that is to be read on the same axis."""
    names = [stage.name for stage in data.stages]
    ends, drawn = [], drawn_stages(data, field)
    for stage in drawn:
        role = stage_role(stage.name, names)
        if pairs := known(stage.series(field)):
            band(axes, pairs, placeholder(role))
            ends.append(line_end(pairs, stage.title, role))
    fit(axes, [*(stage.series(field) for stage in drawn), *beside], data.last.series(field) if data.last else ())
    turn_axis(axes, data.n_turns)
    end_labels(axes, ends)


def _draw_controls(axes: Any, stage: Stage, beside: Sequence[Sequence[Estimate]] = ()) -> None:
    """A stage beside its controls. `beside`: as `_draw_turns` has it."""
    ends, lines = [], _control_lines(stage)
    for label, series, role, dashes in lines:
        if pairs := known(series):
            band(axes, pairs, placeholder(role), linestyle=dashes)
            ends.append(line_end(pairs, label, role))
    fit(axes, [*(series for _, series, _, _ in lines), *beside], stage.series("accuracy_by_turn"))
    turn_axis(axes, stage.n_turns)
    end_labels(axes, ends)


def _control_lines(stage: Stage) -> list[tuple[str, list[Estimate], str, Any]]:
    """(label, accuracy by turn, colour, dashes) of a stage and of its controls."""
    lines: list[tuple[str, list[Estimate], str, Any]] = [("own attempt shown", stage.series("accuracy_by_turn"), "turns", "-")]
    for control, role in (("nothing", "quiet"), ("other", "wrong"), ("internalised", "ochre")):
        label = {"other": "another problem's", "internalised": "trained at turn 1"}.get(control, CONTROLS[control])
        lines.append((label, stage.series("controls", control, "accuracy_by_turn"), role, DASHED))
    return lines


def drawn_stages(data: ReportData, field: str) -> list[Stage]:
    """Measured stages, without a base that would flatten every other line: far below the rest, or asked of few problems.

    A base that the rounds began from is what they are held against, so it stays.
    """
    found = [stage for stage in data.measured if any(e.value is not None for e in stage.series(field))]
    others = [low for stage in found if stage.name != "base" for low in _range(stage.series(field))]
    boosted = any(not round_number(stage.name) for stage in found if stage.name != "base")
    began = data.began.name if data.began else ""

    def flattens(stage: Stage) -> bool:
        return boosted and began != "base" and (_range(stage.series(field))[1] < min(others) - 0.2 or _asked_of_few(stage, data))

    return [stage for stage in found if stage.name != "base" or not flattens(stage)]


def _asked_of_few(stage: Stage, data: ReportData) -> bool:
    return stage.estimate("m1@t1").n < max(other.estimate("m1@t1").n for other in data.measured) / 4


def _range(series: Sequence[Estimate]) -> tuple[float, float]:
    values = [e.value for e in series if e.value is not None]
    return min(values), max(values)
