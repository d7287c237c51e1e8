"""The paper's analyses as tables: one-turn ability, single transitions, hard problems, the gold solution's probability."""

from __future__ import annotations

from typing import Any

from rise.evaluation.headline import named, tracked
from rise.report.collect import ReportData, Stage, estimate_at
from rise.report.numbers import DASH, count
from rise.report.table import Cell, Table, difference_cell, share_cell


def hard_entries(stage: Stage) -> list[dict[str, Any]]:
    """`hard_problems` of a stage: {"samples": B, and an `Estimate` under each other name}."""
    names = ("missed", "solved", "last", "resampled")
    entries = (stage.metrics or {}).get("hard_problems") or []
    return [{"samples": entry["samples"], **{name: estimate_at(entry, name) for name in names}} for entry in entries]


def hard_table(data: ReportData) -> Table:
    """Problems that all parallel samples of a stage miss, and what becomes of them in one run."""
    K = data.n_turns
    rows = []
    for stage in data.measured:
        entries = hard_entries(stage)
        if K > 1 and entries:
            # B = 1 has a rival at equal cost already with the samples of a plain evaluation; the last is the hardest set.
            for entry in [entries[0], *entries[-1:]] if len(entries) > 1 else entries:
                cells = [share_cell(entry[name]) for name in ("missed", "solved", "last", "resampled")]
                n = Cell(count(entry["solved"].n or None))
                rows.append((Cell(stage.title), Cell(str(entry["samples"])), *cells, n))
    columns = (
        "stage",
        "B",
        "missed by B samples",
        f"solved in {K} turns",
        "last reply right",
        f"solved by {K - 1} more samples",
        "n",
    )
    caption = (
        "Missed: share of all problems that none of B parallel first replies solves. The others: share of those n problems. "
        "Solved in turns needs an oracle; the last reply does not. As many further samples as further turns are the fair rival; "
        "– where fewer were drawn (evaluate.samples)."
    )
    if any(stage.own_turns is not None for stage in data.measured):
        caption += f" A run that the model itself ended took fewer turns; its rival has {K - 1} further samples all the same."
    return Table("hard", "Hard problems", columns, tuple(rows), caption)


def one_turn_table(data: ReportData) -> Table:
    """Each round against what the rounds began from, problem by problem."""
    names = named(tracked(), data.n_turns, data.n_samples)
    rows = []
    for stage in data.measured:
        estimates = [stage.estimate("paired", "before_rounds", name.key) for name in names]
        if all(e.value is None for e in estimates):
            continue
        start = str((stage.metrics or {}).get("before_rounds") or DASH)
        n = Cell(count(max(e.n for e in estimates) or None))
        rows.append((Cell(stage.title), Cell(start), *map(difference_cell, estimates), n))
    caption = (
        "Percentage points gained on the model that the rounds began from, on the problems both were asked. The first column is "
        "one-turn ability: whether learning to revise cost the first reply."
    )
    return Table(
        "one-turn",
        "Before and after the rounds",
        ("stage", "against", *(name.label for name in names), "n"),
        tuple(rows),
        caption,
    )


def steps_table(data: ReportData) -> Table:
    """Both transitions at each single step, every stage."""
    K = data.n_turns
    rows = []
    for stage in data.measured:
        for name, label in (("wrong_to_right", "wrong→right"), ("right_to_wrong", "right→wrong")):
            cells = [share_cell(stage.estimate("transitions_by_turn", k, name)) for k in range(K - 1)]
            if any(cell.text != DASH for cell in cells):
                rows.append((Cell(f"{stage.title}, {label}"), *cells))
    columns = ("stage", *(f"{k}→{k + 1}" for k in range(1, K)))
    return Table("steps", "Transitions, step by step", columns, tuple(rows), "Percent of the wrong (right) replies at that turn.")


def gold_table(data: ReportData) -> Table:
    """Probability of the worked solution at each turn, and its change where no reply was right before."""
    K = data.n_turns
    rows = []
    for stage in data.measured:
        by_turn = stage.series("gold_probability", "by_turn")
        if by_turn:
            change = stage.series("gold_probability", "not_solved_yet")
            rows.append((Cell(stage.title), *map(share_cell, by_turn)))
            rows.append((Cell(f"{stage.title}, not solved yet, against turn 1"), Cell(""), *map(difference_cell, change)))
    caption = (
        "Geometric mean over its tokens of the probability of the worked solution, in percent. Second line: change from turn 1,"
        " in points, on the problems whose replies so far were all wrong, where nothing right is there to be copied."
    )
    columns = ("stage", *(f"turn {k}" for k in range(1, K + 1)))
    return Table("gold", "Probability of the gold solution", columns, tuple(rows), caption)


def gains_table(data: ReportData) -> Table:
    """Several runs: where each began, and what its turns gain."""
    rows = []
    for name, start, last in data.beside if len(data.beside) > 1 else []:
        K = last.n_turns
        gains = [last.estimate("paired", key) for key in (f"t{K}-t1",)]
        gains += [last.estimate("paired", "before_rounds", key) for key in ("m1@t1", f"m1@t{K}")]
        rows.append(
            (
                Cell(name),
                Cell(last.title),
                share_cell(start.estimate("m1@t1")),
                difference_cell(gains[0], finding=not (last.metrics or {}).get("truthful")),
                *map(difference_cell, gains[1:]),
                Cell(count(gains[0].n)),
            )
        )
    columns = ("run", "stage", "m1@t1 before", "last reply − first", "m1@t1 gained", "vote over turns gained", "n")
    caption = "Points. The last two columns: against the model that the rounds began from, on the same problems."
    return Table("gains", "Gain against base accuracy", columns, tuple(rows), caption)
