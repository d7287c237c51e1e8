"""Bars with rate and time left, and a stage's numbers as soon as they exist."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from rise.evaluation.headline import HEADLINE, named, sizes
from rise.play.player import Usage
from rise.report.collect import estimate_at
from rise.report.numbers import DASH, percent
from rise.runs.directory import StageDir


class Bars:
    """Draws on standard error on a terminal; elsewhere prints one line per part."""

    def __init__(self) -> None:
        self.console = Console(stderr=False)
        self._bars: Progress | None = None
        self._task: Any = None
        self.total = 0
        """Of the bar that is drawn."""
        self._now = ("", "")
        self._plain = not self.console.is_terminal

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.end()

    def begin(self, stage: str, part: str, total: int) -> None:
        known = (stage, part) == self._now
        self._now = (stage, part)
        self.total = total
        if known and self._bars is not None:  # its length has become known
            self._bars.update(self._task, total=total)
            return
        self.end()
        if self._plain and known:
            return
        if self._plain:
            self.console.print(f"{stage}: {part} ({total})", highlight=False)
            return
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self._bars.start()
        self._task = self._bars.add_task(f"{stage}: {part}", total=total, note="")

    def advance(self, done: int, usage: Usage | None = None, note: str = "") -> None:
        if self._bars is None:
            return
        if usage is not None:
            seconds = max(self._bars.tasks[0].elapsed or 0.0, 1e-9)
            note = f"{usage.n_reply_tokens / seconds:,.0f} tok/s"
        self._bars.update(self._task, completed=done, note=note)

    def end(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def stage_done(self, stage: StageDir) -> None:
        self.end()
        self.console.print(stage_line(stage.name, stage.read_metrics()), highlight=False)


def stage_line(name: str, metrics: dict[str, Any]) -> str:
    """The headline metrics of a stage and its accuracy by turn, on two lines."""

    def share(plain: Any) -> str:
        estimate = estimate_at(plain)
        return (
            DASH if estimate.value is None else f"{percent(estimate.value)} [{percent(estimate.low)}, {percent(estimate.high)}]"
        )

    # What a curve ends with is not said twice.
    names = [entry for entry in named(HEADLINE, *sizes(metrics)) if entry.of.curve is None]
    head = "  ".join(f"{entry.label} {share(entry.find(metrics))}" for entry in names)
    by_turn = "  ".join(map(share, metrics["accuracy_by_turn"]))
    return f"{name} (n = {metrics['m1@t1']['n']}, %): {head}\n  last reply by turn: {by_turn}"
