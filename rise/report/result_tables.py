"""Held-out results as tables: the paper's, turn by turn, transitions, cost, paired differences, kinds of problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rise.evaluation.headline import HEADLINE, PAIRED, REPLIES, named, tracked
from rise.report.collect import ReportData, Stage, estimate_at
from rise.report.numbers import DASH, count
from rise.report.own_stop import turns_taken
from rise.report.table import Cell, Table, difference_cell, share_cell, share_cells, tokens_cell
from rise.runs import stages


def main_table(data: ReportData, *, cost: bool = True) -> Table:
    """The paper's table 1: base, boost, rounds; brackets are changes from m1@t1 of the same row.

    `cost`: with tokens per problem and n at the end of each row.
    """
    K, S = data.n_turns, data.n_samples
    names = named(HEADLINE, K, S)
    rows = []
    for stage in data.rows:
        first = stage.estimate("m1@t1")
        row = [Cell(stage.title), *(share_cell(stage.number(n), None if n.key == "m1@t1" else first) for n in names)]
        if cost:
            tokens = [tokens_cell(_compute_entry(stage, way, -1)) for way in ("parallel", "sequential")]
            row += [*tokens, Cell(count(first.n or None))]
        rows.append(tuple(row))
    same = "equal numbers of samples" if K == S else f"{S} samples against {K} turns"
    if taken := turns_taken(data.last):
        same = f"{S} samples against the replies that were written before the model's own stop ({taken} after the last stage)"
    caption = (
        f"Problems of the {data.split} split, percent right, 95 % intervals beneath. In brackets: change from m1@t1 of the row. "
        f"m{S}@t1 and m1@t{K} compare {same}, not equal tokens: tokens per problem stand beside, generated ones first, "
        f"all that were read or written beneath. p1@t{K} and p{S}@t1 need an oracle. t{K} is the last reply alone, no vote."
    )
    if data.oracle == "stops":
        caption += f" The feedback knew the truth and a run ended when it was right: t{K} and p1@t{K} are numbers with an oracle."
    elif data.oracle:
        caption += " The feedback came from the recipe's own function, which may know the truth."
    costs = (f"tokens, {S} samples", f"tokens, {K} turns", "n") if cost else ()
    return Table("main", "The table of the paper", ("stage", *(n.label for n in names), *costs), tuple(rows), caption)


def turns_table(data: ReportData) -> Table:
    """Accuracy of the last reply at each turn, no vote, and the controls of the last stage."""
    K = data.n_turns
    rows = [(Cell(s.title), *share_cells(s.estimate("accuracy_by_turn", k) for k in range(K))) for s in data.rows]
    last = data.last
    if last:
        for control, label in CONTROLS.items():
            estimates = [last.estimate("controls", control, "accuracy_by_turn", k) for k in range(K)]
            if control == "internalised" and not any(estimate.n for estimate in estimates):
                continue  # a control that a recipe has to want
            cells = share_cells(estimates)
            rows.append((Cell(f"{last.title}, {label}"), *cells))
    caption = (
        "Percent right, 95 % intervals beneath. No vote: this is what the model would answer if asked at that turn. "
        "Controls: from turn 2 on, nothing is shown (an independent sample), or another problem's attempt is shown in place "
        "of the model's own; or the same improved replies are trained at the first turn, and nothing is shown. A gain that the "
        "controls share is not introspection."
    )
    return Table("turns", "Accuracy of the last reply, turn by turn", _turn_columns(K), tuple(rows), caption)


CONTROLS = {
    "nothing": "nothing shown",
    "other": "another problem's attempt shown",
    "internalised": "the same replies trained at turn 1",
}


def votes_table(data: ReportData) -> Table:
    """The majority over turns 1 … k of one run."""
    K = data.n_turns
    rows = tuple((Cell(s.title), *share_cells(s.estimate("vote_by_turn", k) for k in range(K))) for s in data.rows)
    caption = (
        "Percent right of the majority over turns 1 to k of one run, as far as it went. A tie scores the share of tied answers "
        "that are right."
    )
    return Table("votes", "Vote over the turns so far", _turn_columns(K), rows, caption)


def transitions_table(data: ReportData) -> Table:
    """What one more turn does to wrong and to right replies, and turn 1 against the last turn."""
    K = data.n_turns
    shares = named(REPLIES, K, data.n_samples)
    steps, others = shares[:2], shares[2:]
    ends = {
        "wrong_right": "wrong→right",
        "right_wrong": "right→wrong",
        "right_right": "right→right",
        "wrong_wrong": "wrong→wrong",
    }
    rows = tuple(
        (
            Cell(stage.title),
            *share_cells(stage.number(name) for name in steps),
            *share_cells(stage.estimate("first_to_last", name) for name in ends),
            *share_cells(stage.number(name) for name in others),
        )
        for stage in data.rows
    )
    columns = (
        "stage",
        *(name.label for name in steps),
        *(f"t1–t{K} {end}" for end in ends.values()),
        *(name.label for name in others),
    )
    meanings = " ".join(f"{name.label}: {name.of.meaning}" for name in others)
    caption = (
        "First two columns: share of wrong (right) replies whose next reply is right (wrong), over all turns. Next four: shares "
        f"of all problems, turn 1 against turn {K}; they sum to 100. {meanings}"
    )
    return Table("transitions", "What another turn changes", columns, rows, caption)


def compute_table(data: ReportData) -> Table:
    """The last stage at equal samples: k turns of one run against k independent samples."""
    rows = []
    stage = data.last
    if stage:
        for k in range(max(data.n_turns, data.n_samples)):
            cells = [Cell(str(k + 1))]
            for way in ("sequential", "parallel"):
                entry = _compute_entry(stage, way, k)
                cells += [share_cell(estimate_at(entry, "vote")), share_cell(estimate_at(entry, "pass")), tokens_cell(entry)]
            rows.append(tuple(cells))
    columns = ("samples", *(f"{way}: {what}" for way in ("turns", "parallel") for what in ("vote", "any right", "tokens")))
    caption = (
        "k turns of one run, fewer where it ended earlier, against k independent samples. Tokens are means per problem, "
        "generated first, all (prompts too) beneath. A later turn reads the earlier attempts, so at equal samples turns cost "
        "more tokens in all."
    )
    title = f"Accuracy against what it costs ({stage.title})" if stage else "Accuracy against what it costs"
    return Table("compute", title, columns, tuple(rows), caption)


def paired_table(data: ReportData) -> Table:
    """Differences on the same problems, which is what a claim rests on."""
    every = named(PAIRED, data.n_turns, data.n_samples)
    names = [name for name in every if not name.of.optional or any(stage.number(name).value is not None for stage in data.rows)]
    rows = []
    for stage in data.rows:
        estimates = [stage.number(name) for name in names]
        found = zip(names, estimates, strict=True)
        cells = [difference_cell(e, finding=not (data.oracle == "stops" and name.of.never_below)) for name, e in found]
        rows.append((Cell(stage.title), *cells, Cell(count(max((e.n for e in estimates), default=0) or None))))
    columns = ("stage", *(name.words for name in names), "n")
    caption = (
        "Percentage points, on the same problems, 95 % intervals beneath. Only an interval that leaves out zero is a finding."
    )
    if data.oracle == "stops":
        caption += (
            f" With an oracle that ends a run when it is right t{data.n_turns}−t1 cannot fall below zero, so it is no finding."
        )
    return Table("paired", "Paired differences", columns, tuple(rows), caption)


def previous_table(data: ReportData) -> Table:
    """Each stage against the one before it."""
    names = named(tracked(), data.n_turns, data.n_samples)
    rows = []
    for stage in data.rows:
        estimates = [stage.estimate("paired", "previous", name.key) for name in names]
        if all(estimate.value is None for estimate in estimates):
            continue
        before = stages.title(str((stage.metrics or {}).get("previous") or DASH))
        n = Cell(count(max(e.n for e in estimates) or None))
        rows.append((Cell(stage.title), Cell(before), *map(difference_cell, estimates), n))
    caption = "Percentage points gained on the stage before, on the problems both were asked."
    columns = ("stage", "against", *(name.label for name in names), "n")
    return Table("previous", "Against the previous stage", columns, tuple(rows), caption)


def kinds_table(data: ReportData) -> Table:
    """The last stage, kind of problem by kind of problem: by kind, level, subject or type, whichever problems have."""
    names = named(tracked(), data.n_turns, data.n_samples)
    fields = ((data.last.metrics or {}).get("by_field") or {}) if data.last else {}
    rows = []
    for field, values in fields.items():
        for value in values:
            estimates = [estimate_at(values, value, name.key) for name in names]
            cells = (share_cell(e, None if i == 0 else estimates[0]) for i, e in enumerate(estimates))
            label = str(value) if len(fields) == 1 else f"{field} {value}"
            rows.append((Cell(label), *cells, Cell(count(estimates[0].n or None))))
    title = f"By {' and '.join(fields) or 'kind'} of problem" + (f" ({data.last.title})" if data.last else "")
    head = next(iter(fields)) if len(fields) == 1 else ""
    columns = (head, *(name.label for name in names), "n")
    return Table("kinds", title, columns, tuple(rows), "Percent right; in brackets the change from m1@t1.")


def _turn_columns(K: int) -> tuple[str, ...]:
    return ("stage", *(f"turn {k + 1}" for k in range(K)))


def _compute_entry(stage: Stage, way: str, k: int) -> Mapping[str, Any]:
    entries = ((stage.metrics or {}).get("compute") or {}).get(way) or []
    return entries[k] if -len(entries) <= k < len(entries) else {}
