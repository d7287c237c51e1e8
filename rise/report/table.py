"""What a table is: plain data that a page, a Markdown file and a terminal each print in their own way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rise.evaluation.uncertainty import Estimate
from rise.report.collect import estimate_at
from rise.report.numbers import DASH, amount, count, percent, percent_interval, points, points_interval, sign

Tone = Literal["", "above", "below", "unsure"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: a number, its change or interval in small, and what the interval says about zero."""

    text: str
    bracket: str = ""
    small: str = ""
    tone: Tone = ""
    link: str = ""
    """Where the text leads; from the page's own directory."""


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


def difference_cell(estimate: Estimate, *, finding: bool = True) -> Cell:
    """A paired difference in points, its interval, and where that lies. `finding`: whether that says anything."""
    tones: dict[str | None, Tone] = {"above": "above", "below": "below", "includes zero": "unsure", None: ""}
    small = points_interval(estimate) if estimate.value is not None else ""
    return Cell(points(estimate.value), small=small, tone=tones[sign(estimate)] if finding else "")


def share_cells(estimates: Iterable[Estimate]) -> list[Cell]:
    return [share_cell(estimate) for estimate in estimates]


def tokens_cell(entry: Mapping[str, Any]) -> Cell:
    """Tokens of an entry of `compute`: generated ones, and beneath them all that were read or written."""
    total = entry.get("all_tokens")
    return Cell(amount(entry.get("generated_tokens")), small="" if total is None else f"{amount(total)} in all")


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
