"""Bars with rate and time left, of the part at work and of the whole run; a stage's numbers as soon as they exist."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from rise.cli.lines import LEGEND, alarm_lines, is_toy, plan, stage_sentence
from rise.play.player import Usage
from rise.report.numbers import duration
from rise.runs.alarms import Alarm, toy_words
from rise.runs.directory import StageDir
from rise.runs.preflight import Ready
from rise.runs.time_left import TELLING, TELLING_UNPLANNED, Outlook, Pace, planned

EVERY_S = 10.0
"""Between two log lines of a part, where the output is no terminal: a part of a minute has six."""


class Bars:
    """Draws on a terminal; elsewhere prints a line when a part begins and one every ten seconds while it goes on."""

    def __init__(
        self, *, scale: str | None = None, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console = console or Console(stderr=False)
        self.scale = scale
        """Of the recipe, as the command line was given it."""
        self.clock = clock
        self.total = 0
        """Of the part at work."""
        self.whole: Outlook | None = None
        """None where one stage is done by itself."""
        self._bars: Progress | None = None
        self._part: Any = None
        self._run: Any = None
        self._now = ("", "")
        self._pace = Pace(0.0)
        self._said = 0.0
        self._plain = not self.console.is_terminal
        self._legend = False
        self._told: set[tuple[str, str]] = set()

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.end()

    def start(self, ready: Ready) -> None:
        """A whole run begins or goes on: the plan."""
        self.whole = Outlook(planned(ready), self.clock)
        self.console.print(two_columns(plan(ready)))
        if is_toy(len(ready.held_out), self.scale):
            self.console.print(toy_words(len(ready.held_out)), style="yellow", highlight=False)
        self.console.print()

    def begin(self, stage: str, part: str, total: int) -> None:
        known = (stage, part) == self._now
        self.total = total
        if known:  # its length has become known
            if self._bars is not None:
                self._bars.update(self._part, total=total)
            return
        self.end()
        self._now, self._said, self._pace = (stage, part), self.clock(), Pace(self.clock())
        if self.whole is not None:
            self.whole.begin(stage, part)
        if self._plain:
            self.console.print(f"{stage}: {part} ({total:,}){self._run_words(', ')}", highlight=False, soft_wrap=True)
            return
        self._draw(f"{stage}: {part}", total)

    def _draw(self, title: str, total: int) -> None:
        columns = [TextColumn(f"{{task.{name}}}") for name in ("fields[count]", "fields[note]", "fields[left]")]
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            *columns,
            console=self.console,
            transient=True,
        )
        self._run = None
        if self.whole is not None:
            self._run = self._bars.add_task("whole run", total=1.0, note="", left="", count="")
        self._part = self._bars.add_task(title, total=total, note="", left="", count=f"0/{total:,}")
        self._update_run()
        self._bars.start()

    def advance(self, done: int, usage: Usage | None = None, note: str = "") -> None:
        """So much of the part is done; the first word of a part says that its work begins."""
        share, reused = (min(1.0, done / self.total) if self.total else 0.0), 0.0
        if usage is not None and self.whole is not None:
            drawn, reused = self.whole.shares(usage)
            share = drawn or share  # problems end together, and are played once more for a control
        self._pace.telling = TELLING_UNPLANNED if usage is not None and self.whole is None else TELLING
        self._pace.advance(self.clock(), share, reused)
        if self.whole is not None:
            self.whole.advance(share, reused)
        if usage is not None:
            note = f"{usage.n_reply_tokens / max(self._pace.worked_s(self.clock()), 1e-9):,.0f} tok/s"
        left_s = self._pace.left_s(self.clock())
        left = f"{_about(left_s)} left" if left_s is not None and done < self.total else ""
        if self._bars is not None:
            self._bars.update(self._part, completed=done, note=note, left=left, count=f"{done:,}/{self.total:,}")
            self._update_run()
        elif self._plain and left and self.clock() - self._said >= EVERY_S:
            self._said = self.clock()
            stage, part = self._now
            facts = ", ".join(filter(None, (f"{done:,} of {self.total:,}", note, left)))
            self.console.print(f"{stage}: {part}: {facts}{self._run_words('; ')}", highlight=False, soft_wrap=True)

    def _update_run(self) -> None:
        if self._bars is not None and self._run is not None and self.whole is not None:
            left = "" if self.whole.left_s is None else f"{_about(self.whole.left_s)} left"
            parts = f"part {self.whole.at + 1} of {len(self.whole.steps)}"
            self._bars.update(self._run, completed=self.whole.share, count=parts, left=left)

    def _run_words(self, before: str) -> str:
        """`, part 5 of 14, 3 min 20 s left of the whole run`; empty where there is no whole run."""
        if self.whole is None:
            return ""
        left = "" if self.whole.left_s is None else f", {_about(self.whole.left_s)} left of the whole run"
        return f"{before}part {self.whole.at + 1} of {len(self.whole.steps)}{left}"

    def end(self) -> None:
        if self.whole is not None:
            self.whole.end()
        self._now = ("", "")
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def stage_done(self, stage: StageDir) -> None:
        self.end()
        if not self._legend:
            self.console.print(LEGEND, style="dim", highlight=False, soft_wrap=True)
            self._legend = True
        self.console.print(stage_sentence(stage.name, stage.read_metrics()), highlight=False, soft_wrap=True, style="bold")

    def alarm(self, alarm: Alarm) -> None:
        self.end()
        lines = alarm_lines(alarm)
        # What a round says again stands on its first line; its example and the way out have been read.
        known, self._told = (alarm.kind, alarm.way_out) in self._told, self._told | {(alarm.kind, alarm.way_out)}
        self.console.print(two_columns(lines[:1] if known else lines, style="bold red"))


def two_columns(lines: Iterable[tuple[str, str]], style: str = "bold") -> Padding:
    """Heads beside their words; words that go over a line stay in their column. Nothing in them is markup."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for head, words in lines:
        table.add_row(Text(head, style=style), Text(words))
    return Padding(table, (0, 0))


def _about(seconds: float) -> str:
    """A time to come, no finer than it can be known.

    >>> _about(3.2), _about(64), _about(3725)
    ('3 s', '1 min 04 s', '1 h 02 min')
    """
    return f"{seconds:.0f} s" if seconds < 59.5 else duration(seconds)
