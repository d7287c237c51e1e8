"""What each stage trained on, how the training went, and what time and replies it took, as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rise.evaluation.outcomes import one_line
from rise.report.collect import PartCost, ReportData
from rise.report.numbers import DASH, amount, count, duration, number, percent
from rise.report.table import Cell, Table
from rise.runs import stages


def data_table(data: ReportData) -> Table:
    """What each stage trained on, where it came from, and what was left out and why."""
    trained = [stage for stage in data.stages if stage.dataset]
    sets = [stage.dataset or {} for stage in trained]
    rows: list[tuple[Cell, ...]] = []

    def add(label: str, values: Sequence[Any]) -> None:
        if all(value is None for value in values):
            return
        rows.append(
            (Cell(label), *(Cell(count(v) if isinstance(v, int | float) else DASH if v is None else str(v)) for v in values))
        )

    for label, field in (("examples", "n_examples"), ("trained tokens", "n_trained_tokens")):
        add(label, [d.get(field) for d in sets])
    sizes = [(d.get("weights") or {}).get("effective_sample_size") for d in sets]
    add("effective sample size of the weights", [size if size is None or size >= 100 else number(size) for size in sizes])
    # A data set lists every reason and source it met, so one it does not list is a true 0; other counts need not apply.
    for prefix, field, absent in (("from ", "by_source", 0), ("dropped: ", "dropped", 0), ("", "counts", None)):
        for name in _names(sets, field):
            add(prefix + name.replace("_", " "), [d[field].get(name, absent) if field in d else None for d in sets])
    caption = "Effective sample size is (Σw)² ÷ Σw²: how many equally weighted examples would be as noisy."
    return Table(
        "data", "What was trained on, and what was dropped", ("", *(stage.title for stage in trained)), tuple(rows), caption
    )


def overlap_table(data: ReportData) -> Table:
    """Measured problems that the run trained on too: exactly, and up to what may have been changed."""
    found = data.overlap or {}
    n, levels = found.get("n") or 0, found.get("levels") or {}
    rows = []
    for name, level in levels.items():
        alike = level.get("n") or 0
        first = "" if level.get("first") is None else one_line(str(level["first"]), most=60)
        rows.append((Cell(name), Cell(count(alike)), Cell(percent(alike / n) if n else DASH), Cell(first or DASH)))
    caption = (
        f"Of {count(n)} problems that are measured, those with a like among {count(found.get('n_training'))} that are trained "
        "on. Exact ones measure memory. Up to names or numbers is a suspicion: questions that a task makes of one form are all "
        "alike up to numbers."
    )
    columns = ("alike", "problems", "%", "the first")
    return Table("overlap", "Measured problems that are trained on too", columns, tuple(rows), caption)


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
    """Time and tokens, stage by stage and part by part; and, where there were any: requests sent again, replicas, a price."""
    parts = [part for stage in data.stages for part in stage.parts]
    more = {name: cell for name, (there, cell) in _MORE_COSTS.items() if any(map(there, parts))}
    columns = ("stage", "part", "time", "replies", "prompt tokens", "reply tokens", *more)
    rows = []
    for stage in data.stages:
        for i, part in enumerate(stage.parts):
            about = stages.part(part.part)
            asked = (part.n_replies, part.n_prompt_tokens, part.n_reply_tokens)
            numbers = [duration(part.seconds), *(amount(n) if about.asks else "" for n in asked)]
            texts = [stage.title if i == 0 else "", about.title, *numbers, *(cell(part) for cell in more.values())]
            rows.append(tuple(map(Cell, texts)))
    known = [part.seconds for part in parts if part.seconds is not None]
    if known:
        total = ["all", "", duration(sum(known))]
        rows.append(tuple(map(Cell, [*total, *[""] * (len(columns) - len(total))])))
    return Table("cost", "Time and tokens", columns, tuple(rows), "Wall clock of the parts that have ended.")


def _sent_again(part: PartCost) -> str:
    return ", ".join(f"{n} × {reason}" for reason, n in part.sent_again.items()) or DASH


def _by_replica(part: PartCost) -> str:
    """`128 · 360, 1 restart`: in the order of their numbers."""
    if not part.by_replica:
        return DASH if stages.part(part.part).asks else ""
    shares = " · ".join(count(n) for n in part.by_replica.values())
    restarts = f", {part.n_restarts} restart{'s' if part.n_restarts > 1 else ''}" if part.n_restarts else ""
    return shares + restarts


def _price(part: PartCost) -> str:
    return "" if part.price is None else f"{part.price:,.2f}" if part.price >= 0.01 else number(part.price)


_MORE_COSTS: dict[str, tuple[Callable[[PartCost], bool], Callable[[PartCost], str]]] = {
    "sent again": (lambda part: bool(part.sent_again), _sent_again),
    "replies by replica": (lambda part: bool(part.by_replica), _by_replica),
    "price": (lambda part: part.price is not None, _price),
}
"""Column → whether a part has something to say in it, and what. A column that no part fills is left out."""


def _names(sets: Sequence[Mapping[str, Any]], field: str) -> list[str]:
    return list(dict.fromkeys(str(name) for d in sets for name in (d.get(field) or {})))
