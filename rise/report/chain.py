"""The theory beside the measurement: the chain of right and wrong that turns 1 and 2 predict, drawn, tabled and said in words."""

from __future__ import annotations

from matplotlib.figure import Figure as Canvas

from rise.evaluation.chain import CLOSE
from rise.evaluation.uncertainty import Estimate
from rise.report.collect import ReportData, Stage
from rise.report.colours import placeholder, stage_role
from rise.report.drawing import DOTTED, Figure, band, end_labels, fit, known, line_end, make_figure, turn_axis
from rise.report.numbers import DASH, count, number, percent, percent_interval, sign
from rise.report.table import Cell, Table, difference_cell, share_cell


def chain_figure(data: ReportData) -> Figure | None:
    """Accuracy by turn of the last stage, and through it what turns 1 and 2 predict, up to the fixed point."""
    stage = data.last
    predicted = stage.series("chain", "predicted") if stage else []
    if stage is None or len(predicted) < 3:
        return None
    measured, end = stage.series("accuracy_by_turn"), stage.estimate("chain", "fixed_point")
    role = stage_role(stage.name, [other.name for other in data.stages])

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        band(axes, known(predicted), placeholder("quiet"), linestyle=DOTTED, marker="")
        band(axes, known(measured), placeholder(role), band=False)
        ends = [line_end(known(measured), "measured", role), line_end(known(predicted), "chain", "quiet")]
        if end.value is not None:
            axes.axhline(100 * end.value, color=placeholder("quiet"), linewidth=0.9)
            ends.append(line_end([(float(stage.n_turns), end)], "plateau", "quiet"))
        fit(axes, [measured, predicted, [end]], predicted)
        turn_axis(axes, stage.n_turns)
        end_labels(axes, ends)

    caption = f"{chain_words(stage)} Dotted: the chain, its band holds 95 % of what it predicts."
    return make_figure("chain", f"What turns 1 and 2 predict ({stage.title})", caption, draw)


def chain_table(data: ReportData) -> Table:
    """Both rates from turn 1 → 2, what follows from them, and what was measured, every stage."""
    rows = []
    for stage in data.measured:
        ecr, eir = stage.estimate("chain", "ecr"), stage.estimate("chain", "eir")
        predicted = stage.series("chain", "predicted")
        if ecr.value is None or eir.value is None or not predicted:
            continue
        shares = (ecr, eir, stage.estimate("chain", "fixed_point"), predicted[-1], stage.estimate("accuracy_by_turn", -1))
        ratios = f"{_ratio(ecr, eir)} / {_odds(predicted[0])}"
        rows.append(
            (
                Cell(stage.title),
                *map(share_cell, shares[:2]),
                Cell(ratios),
                difference_cell(stage.estimate("chain", "gain")),
                *map(share_cell, shares[2:]),
                Cell(str(_serve(stage) or DASH)),
                Cell(count(predicted[0].n)),
            )
        )
    K = data.n_turns
    columns = (
        "stage",
        "ECR",
        "EIR",
        "ratio / odds",
        "turn 2 − turn 1",
        "plateau",
        f"t{K} predicted",
        f"t{K} measured",
        "turns to serve",
        "n",
    )
    caption = (
        "ECR: of the wrong replies of turn 1, the share that is right at turn 2. EIR: of the right ones, the share that is wrong "
        "then. Both are of turn 1 → 2 alone, so that later turns are predicted; with evaluate.n_rates they are of validation "
        "problems, so that nothing measured is in the prediction. Another turn pays while ECR/EIR is above "
        "the odds a/(1 − a) of a right reply, here at turn 1; the plateau is ECR/(ECR + EIR). Turns to serve: the fewest whose "
        f"prediction is at most {percent(CLOSE)} point below the plateau, and no more than were measured."
    )
    return Table("chain", "Does another turn pay?", columns, tuple(rows), caption)


def chain_words(stage: Stage) -> str:
    """Whether another turn pays, where the plateau is, and whether the later turns came out as predicted."""
    ecr, eir = stage.estimate("chain", "ecr"), stage.estimate("chain", "eir")
    first, end = stage.estimate("chain", "predicted", 0), stage.estimate("chain", "fixed_point")
    if ecr.value is None or eir.value is None or first.value is None:
        return ""
    verdict = {
        "above": "so another turn pays",
        "below": "so another turn costs more than it brings",
        "includes zero": "but whether another turn pays is not shown",
        None: "",
    }[sign(stage.estimate("chain", "gain"))]
    rates = (
        f"From turn 1 to 2{_where(stage, first)}, "
        f"{percent(ecr.value)}\u00a0% of wrong replies turn right and {percent(eir.value)}\u00a0% of right "
        f"ones turn wrong: the ratio {_ratio(ecr, eir)} against odds of {_odds(first)}, {verdict}."
    )
    if end.value is None:
        return f"{rates} Nothing changes, so there is no plateau to go to."
    plateau = f" If that goes on, accuracy ends at {percent(end.value)}\u00a0% ({percent_interval(end)})."
    serve, K = _serve(stage), stage.n_turns
    served = f" Turns to serve: {serve}{', as many as were measured' if serve == K else ''}." if serve else ""
    return f"{rates}{plateau}{_came_out(stage)}{served}"


def _where(stage: Stage, first: Estimate) -> str:
    """On which problems the rates were seen, where those are not the measured ones."""
    split = ((stage.metrics or {}).get("chain") or {}).get("split")
    return f" on {count(first.n)} {split} problems" if split else ""


def _came_out(stage: Stage) -> str:
    """The last turn against its prediction: two intervals that do not meet say that the rates did not stay as they were."""
    predicted, measured = stage.series("chain", "predicted"), stage.estimate("accuracy_by_turn", -1)
    if len(predicted) < 3 or measured.value is None:
        return ""
    last = predicted[-1]
    assert last.value is not None and last.low is not None and last.high is not None, "a chain has all its numbers"
    said = f" Turn {len(predicted)} is predicted at {percent(last.value)}\u00a0% and measured at {percent(measured.value)}\u00a0%"
    if measured.low is not None and measured.low > last.high:
        return f"{said}, above: later turns repair more than the second."
    if measured.high is not None and measured.high < last.low:
        return f"{said}, below: what is still wrong then is harder than the rest."
    return f"{said}."


def _serve(stage: Stage) -> int | None:
    found = ((stage.metrics or {}).get("chain") or {}).get("turns_to_serve")
    return found if isinstance(found, int) else None


def _ratio(ecr: Estimate, eir: Estimate) -> str:
    """ECR/EIR; ∞ where nothing is broken but something repaired."""
    if not eir.value:
        return "∞" if ecr.value else DASH
    return number((ecr.value or 0.0) / eir.value)


def _odds(share: Estimate) -> str:
    if share.value is None:
        return DASH
    return "∞" if share.value >= 1 else number(share.value / (1 - share.value))
