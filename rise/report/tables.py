"""`ReportData` → tables, as plain data that a page, a Markdown file and a terminal each print in their own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rise.evaluation.uncertainty import Estimate
from rise.report.collect import PartCost, ReportData, Stage, estimate_at, stage_title
from rise.report.numbers import (
    DASH,
    amount,
    count,
    duration,
    number,
    percent,
    percent_interval,
    points,
    points_interval,
    sign,
)

Tone = Literal["", "above", "below", "unsure"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: a number, its change or interval in small, and what the interval says about zero."""

    text: str
    bracket: str = ""
    small: str = ""
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table and the sentence that keeps it from being misread."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""


def share_cell(estimate: Estimate, against: Estimate | None = None) -> Cell:
    """A share in percent, its interval, and in brackets its change from another."""
    change = ""
    if against is not None and estimate.value is not None and against.value is not None:
        change = points(estimate.value - against.value)
    small = percent_interval(estimate) if estimate.value is not None else ""
    return Cell(percent(estimate.value), change, small)


def difference_cell(estimate: Estimate) -> Cell:
    """A paired difference in points, its interval, and where that lies."""
    tones: dict[str | None, Tone] = {"above": "above", "below": "below", "includes zero": "unsure", None: ""}
    small = points_interval(estimate) if estimate.value is not None else ""
    return Cell(points(estimate.value), small=small, tone=tones[sign(estimate)])


def main_table(data: ReportData) -> Table:
    """The paper's table 1: base, boost, rounds; brackets are changes from m1@t1 of the same row."""
    K, S = data.n_turns, data.n_samples
    names = ["m1@t1", f"m{S}@t1", f"m1@t{K}", f"p1@t{K}", f"p{S}@t1"]
    rows = []
    for stage in data.rows:
        first = stage.estimate("m1@t1")
        shares = [share_cell(stage.estimate(name), None if name == "m1@t1" else first) for name in dict.fromkeys(names)]
        last = share_cell(stage.estimate("accuracy_by_turn", -1), first)
        costs = [_tokens_cell(stage, "parallel"), _tokens_cell(stage, "sequential")]
        rows.append((Cell(stage.title), *shares, last, *costs, Cell(count(first.n or None))))
    same = "equal numbers of samples" if K == S else f"{S} samples against {K} turns"
    caption = (
        f"Problems of the {data.split} split, percent right, 95 % intervals beneath. In brackets: change from m1@t1 of the row. "
        f"m{S}@t1 and m1@t{K} compare {same}, not equal tokens: tokens per problem stand beside, generated ones first, "
        f"all that were read or written beneath. p1@t{K} and p{S}@t1 need an oracle. t{K} is the last reply alone, no vote."
    )
    if data.oracle == "stops":
        caption += f" The feedback knew the truth and a run ended when it was right: t{K} and p1@t{K} are numbers with an oracle."
    elif data.oracle:
        caption += " The feedback came from a function of its own, which may know the truth."
    columns = ("stage", *dict.fromkeys(names), f"t{K}", f"tokens, {S} samples", f"tokens, {K} turns", "n")
    return Table("main", "The table of the paper", columns, tuple(rows), caption)


def turns_table(data: ReportData) -> Table:
    """Accuracy of the last reply at each turn, no vote, and the two controls of the last stage."""
    K = data.n_turns
    rows = [(Cell(s.title), *_series_cells(s.estimate("accuracy_by_turn", k) for k in range(K))) for s in data.rows]
    last = data.last
    if last:
        for control, label in CONTROLS.items():
            cells = _series_cells(last.estimate("controls", control, "accuracy_by_turn", k) for k in range(K))
            rows.append((Cell(f"{last.title}, {label}"), *cells))
    caption = (
        "Percent right, 95 % intervals beneath. No vote: this is what the model would answer if asked at that turn. "
        "Controls: from turn 2 on, nothing is shown (an independent sample), or another problem's attempt is shown in place "
        "of the model's own. A gain that the controls share is not introspection."
    )
    return Table("turns", "Accuracy of the last reply, turn by turn", _turn_columns(K), tuple(rows), caption)


CONTROLS = {"nothing": "nothing shown", "other": "another problem's attempt shown"}


def votes_table(data: ReportData) -> Table:
    """The majority over turns 1 … k of one run."""
    K = data.n_turns
    rows = tuple((Cell(s.title), *_series_cells(s.estimate("vote_by_turn", k) for k in range(K))) for s in data.rows)
    caption = "Percent right of the majority over turns 1 to k of one run. A tie scores the share of tied answers that are right."
    return Table("votes", "Vote over the turns so far", _turn_columns(K), rows, caption)


def transitions_table(data: ReportData) -> Table:
    """What one more turn does to wrong and to right replies, and turn 1 against the last turn."""
    K = data.n_turns
    names = ("wrong_right", "right_wrong", "right_right", "wrong_wrong")
    rows = tuple(
        (
            Cell(stage.title),
            *(share_cell(stage.estimate(name)) for name in ("wrong_to_right", "right_to_wrong")),
            *(share_cell(stage.estimate("first_to_last", name)) for name in names),
            *(share_cell(stage.estimate(name)) for name in ("repeated", "unparsable")),
        )
        for stage in data.rows
    )
    ends = ("wrong→right", "right→wrong", "right→right", "wrong→wrong")
    columns = ("stage", "wrong→right", "right→wrong", *(f"t1–t{K} {end}" for end in ends), "repeated", "no answer")
    caption = (
        "First two columns: share of wrong (right) replies whose next reply is right (wrong), over all turns. Next four: shares "
        f"of all problems, turn 1 against turn {K}; they sum to 100. Repeated: later replies with the previous answer. "
        "No answer: replies in which no final answer was found."
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
                cells += [
                    share_cell(estimate_at(entry, "vote")),
                    share_cell(estimate_at(entry, "pass")),
                    Cell(amount(entry.get("generated_tokens")), small=_all_tokens(entry)),
                ]
            rows.append(tuple(cells))
    columns = ("samples", *(f"{way}: {what}" for way in ("turns", "parallel") for what in ("vote", "any right", "tokens")))
    caption = (
        "k turns of one run against k independent samples. Tokens are means per problem, generated first, all (prompts too) "
        "beneath. A later turn reads the earlier attempts, so at equal samples turns cost more tokens in all."
    )
    title = f"Accuracy against what it costs ({stage.title})" if stage else "Accuracy against what it costs"
    return Table("compute", title, columns, tuple(rows), caption)


def paired_names(data: ReportData) -> dict[str, str]:
    """Key of `paired` in metrics.json → how it reads."""
    K, S = data.n_turns, data.n_samples
    return {
        f"t{K}-t1": f"last reply − first (t{K} − t1)",
        f"t{K}-nothing": f"t{K} − nothing shown",
        f"t{K}-other": f"t{K} − another's attempt shown",
        f"m1@t{K}-m{S}@t1": f"m1@t{K} − m{S}@t1",
        f"p1@t{K}-p{S}@t1": f"p1@t{K} − p{S}@t1",
    }


def paired_table(data: ReportData) -> Table:
    """Differences on the same problems, which is what a claim rests on."""
    names = paired_names(data)
    rows = []
    for stage in data.rows:
        estimates = [stage.estimate("paired", key) for key in names]
        rows.append((Cell(stage.title), *map(difference_cell, estimates), Cell(count(max(e.n for e in estimates) or None))))
    caption = (
        "Percentage points, on the same problems, 95 % intervals beneath. Only an interval that leaves out zero is a finding."
    )
    return Table("paired", "Paired differences", ("stage", *names.values(), "n"), tuple(rows), caption)


def previous_table(data: ReportData) -> Table:
    """Each stage against the one before it."""
    K = data.n_turns
    names = ("m1@t1", f"m1@t{K}", f"t{K}")
    rows = []
    for stage in data.rows:
        estimates = [stage.estimate("paired", "previous", name) for name in names]
        if all(estimate.value is None for estimate in estimates):
            continue
        before = stage_title(str((stage.metrics or {}).get("previous") or DASH))
        n = Cell(count(max(e.n for e in estimates) or None))
        rows.append((Cell(stage.title), Cell(before), *map(difference_cell, estimates), n))
    caption = "Percentage points gained on the stage before, on the problems both were asked."
    return Table("previous", "Against the previous stage", ("stage", "against", *names, "n"), tuple(rows), caption)


def kinds_table(data: ReportData) -> Table:
    """The last stage, kind of problem by kind of problem: by kind, level, subject or type, whichever problems have."""
    K = data.n_turns
    names = ("m1@t1", f"m1@t{K}", f"t{K}")
    fields = ((data.last.metrics or {}).get("by_field") or {}) if data.last else {}
    rows = []
    for field, values in fields.items():
        for value in values:
            estimates = [estimate_at(values, value, name) for name in names]
            cells = (share_cell(e, None if i == 0 else estimates[0]) for i, e in enumerate(estimates))
            label = str(value) if len(fields) == 1 else f"{field} {value}"
            rows.append((Cell(label), *cells, Cell(count(estimates[0].n or None))))
    title = f"By {' and '.join(fields) or 'kind'} of problem" + (f" ({data.last.title})" if data.last else "")
    head = next(iter(fields)) if len(fields) == 1 else ""
    return Table("kinds", title, (head, *names, "n"), tuple(rows), "Percent right; in brackets the change from m1@t1.")


def data_table(data: ReportData) -> Table:
    """What each stage trained on, where it came from, and what was left out and why."""
    stages = [stage for stage in data.stages if stage.dataset]
    sets = [stage.dataset or {} for stage in stages]
    rows: list[tuple[Cell, ...]] = []

    def add(label: str, values: Sequence[Any]) -> None:
        if all(value is None for value in values):
            return
        rows.append(
            (Cell(label), *(Cell(count(v) if isinstance(v, int | float) else DASH if v is None else str(v)) for v in values))
        )

    for label, field in (("examples", "n_examples"), ("rows", "n_rows"), ("trained tokens", "n_trained_tokens")):
        add(label, [d.get(field) for d in sets])
    sizes = [(d.get("weights") or {}).get("effective_sample_size") for d in sets]
    add("effective sample size of the weights", [size if size is None or size >= 100 else number(size) for size in sizes])
    # A data set lists every reason and source it met, so one it does not list is a true 0; other counts need not apply.
    for prefix, field, absent in (("from ", "by_source", 0), ("dropped: ", "dropped", 0), ("", "counts", None)):
        for name in _names(sets, field):
            add(prefix + name.replace("_", " "), [d[field].get(name, absent) if field in d else None for d in sets])
    caption = "Effective sample size is (Σw)² ÷ Σw²: how many equally weighted examples would be as noisy."
    return Table("data", "What was trained on, and what was dropped", ("", *(s.title for s in stages)), tuple(rows), caption)


def training_table(data: ReportData) -> Table:
    """Where each training began and ended."""
    rows = []
    for stage in data.stages:
        if stage.training:
            first, last = stage.training[0], stage.training[-1]
            speeds = sorted(line["tokens_per_s"] for line in stage.training if line.get("tokens_per_s") is not None)
            values = (last.get("step"), first.get("loss"), last.get("loss"), last.get("loss_plain"))
            speed = speeds[len(speeds) // 2] if speeds else None
            rows.append((Cell(stage.title), Cell(count(values[0])), *(Cell(number(v)) for v in values[1:]), Cell(amount(speed))))
    columns = ("stage", "steps", "loss, first", "loss, last", "unweighted loss, last", "tokens/s")
    return Table("training", "Training", columns, tuple(rows), "Loss per trained token or per example, as the recipe says.")


def cost_table(data: ReportData) -> Table:
    """Time and tokens, stage by stage and part by part; requests sent again and why, and replicas, where there were any."""
    rows = []
    seconds = []
    again = any(part.sent_again for stage in data.stages for part in stage.parts)
    spread = any(part.by_replica for stage in data.stages for part in stage.parts)
    for stage in data.stages:
        for i, part in enumerate(stage.parts):
            seconds.append(part.seconds)
            asked = part.part not in ("train", "dataset")
            counts = (part.n_replies, part.n_prompt_tokens, part.n_reply_tokens)
            numbers = (amount(n) if asked else "" for n in counts)
            cells: tuple[Cell, ...] = (Cell(duration(part.seconds)), *map(Cell, numbers))
            if again:
                cells = (*cells, Cell(", ".join(f"{n} × {reason}" for reason, n in part.sent_again.items()) or DASH))
            if spread:
                cells = (*cells, Cell(_by_replica(part)))
            rows.append((Cell(stage.title if i == 0 else ""), Cell(part.part.replace("-", " ")), *cells))
    known = [s for s in seconds if s is not None]
    if known:
        rows.append((Cell("all"), Cell(""), Cell(duration(sum(known))), *[Cell("")] * (3 + again + spread)))
    columns: tuple[str, ...] = ("stage", "part", "time", "replies", "prompt tokens", "reply tokens")
    if again:
        columns = (*columns, "sent again")
    if spread:
        columns = (*columns, "replies by replica")
    return Table("cost", "Time and tokens", columns, tuple(rows), "Wall clock of the parts that have ended.")


def _by_replica(part: PartCost) -> str:
    """`128 · 360, 1 restart`: in the order of their numbers."""
    if not part.by_replica:
        return DASH if part.part not in ("train", "dataset") else ""
    shares = " · ".join(count(n) for n in part.by_replica.values())
    restarts = f", {part.n_restarts} restart{'s' if part.n_restarts > 1 else ''}" if part.n_restarts else ""
    return shares + restarts


def estimates_table(metrics: Mapping[str, Any]) -> Table:
    """Every estimate of one metrics.json, one a line; differences carry a sign."""
    rows: list[tuple[Cell, ...]] = []

    def walk(name: str, value: Any, difference: bool) -> None:
        if isinstance(value, Mapping) and "value" in value:
            estimate = estimate_at(value)
            cell = difference_cell(estimate) if difference else share_cell(estimate)
            rows.append((Cell(name), Cell(cell.text, tone=cell.tone), Cell(cell.small or DASH), Cell(count(estimate.n or None))))
        elif isinstance(value, Mapping):
            for key, item in value.items():
                walk(f"{name} {key}".strip(), item, difference or key in ("paired", "not_solved_yet"))
        elif isinstance(value, list):
            for k, item in enumerate(value, 1):
                walk(f"{name} {k}", item, difference)

    walk("", metrics, False)
    title = f"Metrics of {metrics.get('stage') or 'an evaluation'}"
    return Table("metrics", title, ("", "%", "95 % interval", "n"), tuple(rows))


def all_tables(data: ReportData) -> dict[str, Table]:
    """Every table that has a row, by key."""
    makers = (
        main_table,
        turns_table,
        votes_table,
        transitions_table,
        compute_table,
        paired_table,
        previous_table,
        kinds_table,
        data_table,
        training_table,
        cost_table,
    )
    return {table.key: table for table in (make(data) for make in makers) if table.rows}


def _series_cells(estimates: Any) -> list[Cell]:
    return [share_cell(estimate) for estimate in estimates]


def _turn_columns(K: int) -> tuple[str, ...]:
    return ("stage", *(f"turn {k + 1}" for k in range(K)))


def _compute_entry(stage: Stage, way: str, k: int) -> Mapping[str, Any]:
    entries = ((stage.metrics or {}).get("compute") or {}).get(way) or []
    return entries[k] if -len(entries) <= k < len(entries) else {}


def _tokens_cell(stage: Stage, way: str) -> Cell:
    entry = _compute_entry(stage, way, -1)
    return Cell(amount(entry.get("generated_tokens")), small=_all_tokens(entry))


def _all_tokens(entry: Mapping[str, Any]) -> str:
    total = entry.get("all_tokens")
    return "" if total is None else f"all {amount(total)}"


def _names(sets: Sequence[Mapping[str, Any]], field: str) -> list[str]:
    return list(dict.fromkeys(str(name) for d in sets for name in (d.get(field) or {})))
