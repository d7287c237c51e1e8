"""What the terminal says in words of a run under way: the plan, a stage's numbers, an alarm, what to look at next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rise.evaluation.headline import sizes
from rise.evaluation.outcomes import one_line
from rise.report.collect import estimate_at
from rise.report.measured import measured_table
from rise.report.numbers import count, percent, points, points_interval
from rise.report.own_stop import own_stop_words
from rise.runs import stages
from rise.runs.alarms import FEW_PROBLEMS, Alarm, place, toy_words
from rise.runs.card import named_code, set_options
from rise.runs.dry_run import sentences
from rise.runs.preflight import Ready

LEGEND = "Percent right at each turn, no vote; difference in points, 95 % interval."
"""Under it stand the lines of `stage_sentence`."""


def plan(ready: Ready) -> list[tuple[str, str]]:
    """(head, words) of each line: what `rise run --dry-run` prints, rounds of the same words on one line."""
    heads = [(head.strip(), words) for line in sentences(ready) for head, words in [_split(line)]]
    out = []
    for words, same in groupby(heads, key=lambda pair: pair[1]):
        first, *more = [head for head, _ in same]
        out.append((f"{first}–{more[-1].split()[-1]}" if more else first, words))
    return out


def _split(line: str) -> tuple[str, str]:
    head, _, words = line.partition("  ")
    return head, words.strip()


def is_toy(n: int, scale: str | None = None) -> bool:
    """Whether numbers over `n` held-out problems mean nothing: they are too few, or the scale is a toy by name.

    >>> is_toy(2000), is_toy(99), is_toy(2000, "math,toy")
    (False, True, True)
    """
    return n < FEW_PROBLEMS or "toy" in (scale or "").split(",")


def stage_sentence(name: str, metrics: dict[str, Any]) -> str:
    """A measured stage on one line of 80: `round 2  turn 1 22.1 → turn 5 61.3  +39.2 (+35.0 … +43.4)  n = 1,000`."""
    K, _ = sizes(metrics)
    first, last = (estimate_at(metrics["accuracy_by_turn"][k]) for k in (0, -1))
    gain = estimate_at(metrics, "paired", f"t{K}-t1")
    turns = f"turn 1 {percent(first.value):>5}"
    if K > 1:
        interval = f" ({points_interval(gain).replace(' to ', ' … ')})" if gain.low is not None else ""
        turns += f" → turn {K} {percent(last.value):>5}  {points(gain.value)}{interval}"
    return f"{stages.short_title(name) if stages.is_stage(name) else name:<13}  {turns}  n = {count(first.n)}"


def measured_lines(name: str, metrics: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    """(text, style) of each line of a measurement: its numbers, and that they mean nothing where that is so."""
    yield from ((line, None) for line in measured_table(metrics, name).splitlines())
    if words := own_stop_words(metrics):
        yield words, None
    if metrics.get("price") is not None:
        yield f"Its replies cost {metrics['price']:.4g}, in the currency of the prices.", None
    if is_toy(n := metrics["m1@t1"]["n"]):
        yield toy_words(n), "yellow"


def alarm_lines(alarm: Alarm) -> list[tuple[str, str]]:
    """(head, words) of each line of an alarm."""
    lines = [("ALARM", f"{place(alarm)}: {alarm.says}")]
    if alarm.example is not None:
        lines.append(("example", one_line(alarm.example) or "(empty)"))
    return [*lines, ("way out", alarm.way_out)]


def next_lines(run: Path, config: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """(command, what it shows) of what to look at when a run of this recipe has ended.

    Code that the recipe names is named again for `rise play`: a checkpoint's own word is not enough to run it.
    """
    code = named_code(config["task"].get("settings") or {}, (config.get("state") or {}).get("feedback"))
    return (
        (f"rise view {run}", "every reply, turn by turn, in a browser"),
        (" ".join(["rise play", str(run), *set_options(code)]), "ask the trained model yourself"),
    )
