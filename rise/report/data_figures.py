"""What each stage trained on, how the training went, and where the time went, as pictures."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator, NullLocator

from rise.report.collect import ReportData, Stage
from rise.report.colours import placeholder, stage_role
from rise.report.drawing import Figure, histogram, horizontal, make_figure, patch, running_mean
from rise.report.numbers import count, duration, number
from rise.runs.stages import part as part_named
from rise.runs.stages import parts_in


def data_figures(data: ReportData) -> list[Figure]:
    """Rewards and weights of what each stage trained on."""
    return [figure for stage in data.stages if (figure := _data_figure(stage, [s.name for s in data.stages]))]


def _data_figure(stage: Stage, names: Sequence[str]) -> Figure | None:
    dataset = stage.dataset or {}
    rewards = dataset.get("rewards") or []
    weights = dataset.get("weights") or {}
    values = weights.get("values") or []
    if not (rewards or values):
        return None

    def draw(canvas: Canvas) -> None:
        colour = placeholder(stage_role(stage.name, names))
        for axes, pairs, label in zip(canvas.subplots(1, 2), (rewards, values), ("reward", "weight"), strict=True):
            histogram(axes, pairs, colour)
            axes.set_xlabel(label)
        canvas.supylabel("examples", fontsize=9, color=placeholder("quiet"))

    n, effective = weights.get("n"), weights.get("effective_sample_size")
    size = number(effective) if effective and effective < 100 else count(effective)
    caption = f"Effective sample size {size} of {count(n)} examples."
    return make_figure(f"data-{stage.name}", f"Rewards and weights, {stage.title}", caption, draw, height=2.2)


def training_figure(data: ReportData) -> Figure | None:
    """Loss by step of every training."""
    stages = [stage for stage in data.stages if any(line.get("loss") is not None for line in stage.training)]
    if not stages:
        return None
    names = [stage.name for stage in data.stages]

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for stage in stages:
            pairs = [(line["step"], line["loss"]) for line in stage.training if line.get("loss") is not None]
            colour = placeholder(stage_role(stage.name, names))
            axes.plot(*zip(*pairs, strict=True), color=colour, linewidth=0.7, alpha=0.4)
            smooth = running_mean([loss for _, loss in pairs], n=max(1, len(pairs) // 20))
            axes.plot([step for step, _ in pairs], smooth, color=colour, label=stage.title)
        if all(line["loss"] > 0 for stage in stages for line in stage.training if line.get("loss") is not None):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(lambda value, _: number(value))
            axes.yaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("step")
        canvas.legend(loc="outside upper left", ncols=3, columnspacing=1.2)

    return make_figure("training", "Training loss", "Thin: as logged. Thick: running mean.", draw)


def time_figure(data: ReportData) -> Figure | None:
    """Wall clock of every stage by part."""
    stages = [stage for stage in data.stages if any(part.seconds for part in stage.parts)]
    if not stages:
        return None
    longest = max(sum(part.seconds or 0 for part in stage.parts) for stage in stages)
    total = sum(part.seconds or 0 for stage in stages for part in stage.parts)
    unit, name = (60.0, "minutes") if longest >= 120 else (1.0, "seconds")
    shown = parts_in(part.part for stage in stages for part in stage.parts)

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for i, stage in enumerate(reversed(stages)):
            left = 0.0
            for part in stage.parts:
                width = (part.seconds or 0.0) / unit
                colour = placeholder(part_named(part.part).colour)
                axes.barh(i, width, left=left, height=0.62, color=colour, linewidth=0)
                left += width
        horizontal(axes, [stage.title for stage in reversed(stages)])
        axes.set_xlabel(name)
        handles = [patch(placeholder(part.colour)) for part in shown]
        canvas.legend(handles, [part.title for part in shown], loc="outside upper left", ncols=3, columnspacing=1.2)

    return make_figure(
        "time",
        "Where the time went",
        f"All together {duration(total)}. Parts that have ended, by the wall clock.",
        draw,
        height=1.1 + 0.34 * len(stages),
    )
