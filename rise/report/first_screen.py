"""What a reader sees first: one line that says what was run, and one picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure as Canvas

from rise.recipe.improvers import IMPROVERS
from rise.report.collect import ReportData
from rise.report.colours import placeholder, stage_role
from rise.report.drawing import DASHED, DOTTED, Figure, band, end_labels, fit, known, line_end, make_figure, turn_axis
from rise.report.numbers import count
from rise.report.result_figures import drawn_stages
from rise.runs.stages import round_number


def what_was_run(data: ReportData) -> str:
    """Model, task, improver, rounds, n and seed in one line; what the recipe leaves to its defaults is left out."""
    config = data.config
    model, relabel = config.get("model") or {}, config.get("relabel") or {}
    rounds = (config.get("iterate") or {}).get("rounds")
    improver = IMPROVERS.get(str(relabel.get("improver")))
    replies = f"the best of {relabel.get('n_samples')} replies"
    teacher = str(relabel.get("teacher") or "a teacher").rpartition("/")[2]
    n = max((stage.estimate("m1@t1").n for stage in data.measured), default=0)
    seed = config.get("seed", data.provenance.get("seed"))
    parts = [
        f"model {Path(str(model['path'])).name}" if model.get("path") else "a nano model" if model.get("nano") else "",
        f"task {config['task']['name']}" if (config.get("task") or {}).get("name") else "",
        f"improved by {improver.words.format(replies=replies, teacher=teacher)}" if improver and rounds else "",
        f"{rounds} round{'' if rounds == 1 else 's'}" if rounds is not None else "",
        f"n = {count(n)} {data.split} problems" if n else "",
        f"seed {seed}" if seed is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def first_picture(data: ReportData) -> Figure | None:
    """By turn: the base, the last stage before the rounds, where they ended, and the last stage with nothing shown."""
    stage = data.last
    if stage is None or stage.n_turns < 2:
        return None
    before = [other for other in drawn_stages(data, "accuracy_by_turn") if not round_number(other.name) and other is not stage]
    shown = [*{other.name: other for other in (*before[:1], *before[-1:], stage)}.items()]
    names = [other.name for other in data.stages]
    predicted, nothing = stage.series("chain", "predicted"), stage.series("controls", "nothing", "accuracy_by_turn")

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        ends = []
        band(axes, known(predicted), placeholder("quiet"), linestyle=DOTTED, marker="", band=False)
        if known(nothing):
            band(axes, known(nothing), placeholder("quiet"), linestyle=DASHED, band=False)
            ends.append(line_end(known(nothing), "nothing shown", "quiet"))
        for name, other in shown:
            pairs = known(other.series("accuracy_by_turn"))
            band(axes, pairs, placeholder(stage_role(name, names)))
            ends.append(line_end(pairs, other.title, stage_role(name, names)))
        fit(axes, [nothing, predicted, *(s.series("accuracy_by_turn") for _, s in shown)], stage.series("accuracy_by_turn"))
        turn_axis(axes, stage.n_turns)
        end_labels(axes, ends)

    caption = (
        f"Percent of {count(stage.estimate('m1@t1').n)} {data.split} problems whose reply at that turn is right: no vote, no "
        "oracle. Bands are 95 % intervals. Dashed: fresh samples, with no attempt shown."
    )
    if predicted:
        where = ((stage.metrics or {}).get("chain") or {}).get("split")
        caption += f" Dotted: what turns 1 and 2{f' of {where} problems' if where else ''} predict of the turns after them."
    return make_figure("first", "Right at each turn", caption, draw, height=3.2)
