"""The table of a run for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from rise.evaluation.headline import HEADLINE, named
from rise.evaluation.outcomes import one_line, wrong_to_right
from rise.report.claims import headline
from rise.report.collect import ReportData, collect, records_of
from rise.report.collect_seeds import read
from rise.report.numbers import count
from rise.report.result_tables import main_table, paired_table
from rise.report.seed_tables import compact, runs_table, seed_differences_table, seeds_table
from rise.report.table import Cell, Table, Tone

STYLES: dict[Tone, str] = {"": "", "above": "green", "below": "red", "unsure": "dim"}


def console_table(run_path: Path) -> Group:
    """What a rich console prints of a run, finished or not: the table, the paired differences, the headline."""
    data = read(Path(run_path), n_each=0)
    if data.runs:
        return seeds_console(data)
    paired = _short_paired(data)
    middle = (rich_table(paired), Text("")) if paired.rows else ()
    return Group(rich_table(_short_main(data)), _legend(data), Text(""), *middle, Text(headline(data)))


def console_transcript(run_path: Path) -> Group:
    """A held-out problem of the last measured stage that was wrong at first and right at the end; that there is none, if so."""
    data = collect(Path(run_path), n_each=0)
    stage = data.last
    if stage is None or stage.held_out is None or data.n_turns < 2:
        return Group()
    when = f"after {stage.title}" if stage.name != "base" else "before any training"
    n_fixed, n_wrong, record = wrong_to_right(records_of(stage))
    if record is None:
        return Group(Text(f"{when.capitalize()}, none of {count(n_wrong)} problems wrong at turn 1 was right at the end."))
    table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True)
    table.add_row("problem", one_line(record.question), Text(f"gold {one_line(record.gold, 24)}", style="dim"))
    for k, turn in enumerate(record.run, 1):
        said = (turn.verdict or "not judged").replace("_", " ")
        table.add_row(f"turn {k}", Text(one_line(turn.reply)), Text(said, style="green" if turn.right else "red"))
    text = (
        f"{when.capitalize()}, {count(n_fixed)} of {count(n_wrong)} problems wrong at turn 1 were right at the end. "
        "One of them, the first by a hash of its name:"
    )
    return Group(Text(text), table)


def _legend(data: ReportData) -> Text:
    """What the codes over the columns mean."""
    names = named(HEADLINE, data.n_turns, data.n_samples)
    return Text(", ".join(f"{name.label} {name.words}" for name in names), style="dim")


def seeds_console(data: ReportData) -> Group:
    """What a rich console prints of several seeds."""
    tables = [compact(seeds_table(data)), seed_differences_table(data, short=True), runs_table(data)]
    return Group(*(part for table in tables if table.rows for part in (rich_table(table), Text(""))), Text(headline(data)))


def rich_table(table: Table) -> Fitted:
    """Any table of the report for a terminal of any width."""
    return Fitted(table)


@dataclass(frozen=True)
class Fitted:
    """A table where it fits the terminal; else a line for each of its cells, so that no number is ever cut.

    Cells are plain text: square brackets in them are no markup.
    """

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        grid = self._grid()
        if Measurement.get(console, options.update(width=1000), grid).maximum <= options.max_width:
            yield grid
        else:
            yield from self._lines()

    def _grid(self) -> RichTable:
        out = RichTable(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        out.title, out.title_justify, out.title_style = Text(self.table.title), "left", "bold"
        for i, column in enumerate(self.table.columns):
            # A number may be cut into no two lines; a long name may.
            out.add_column(Text(column), justify="right" if i else "left", no_wrap=i > 0, max_width=None if i else 22)
        for row in self.table.rows:
            out.add_row(*(_text(cell) for cell in row))
        return out

    def _lines(self) -> Iterator[Text]:
        yield Text(self.table.title, style="bold")
        for first, *others in self.table.rows:
            yield Text(first.text, style="bold")
            for column, cell in zip(self.table.columns[1:], others, strict=True):
                said = " ".join(filter(None, (cell.text, cell.bracket, cell.small)))
                yield Text(f"  {column}  ", style="dim").append(said, style=STYLES[cell.tone])


def _text(cell: Cell) -> Text:
    text = Text(cell.text, style=STYLES[cell.tone])
    if cell.bracket:
        text.append(f" {cell.bracket}", style="dim")
    if cell.small:
        text.append(f"\n{cell.small}", style="dim")
    return text


def _short_main(data: ReportData) -> Table:
    """What fits 80 characters; tokens and n stand in the report."""
    return replace(main_table(data, cost=False), title="Percent right, change from m1@t1 of the row, 95 % intervals")


def _short_paired(data: ReportData) -> Table:
    """A line a difference and a column a stage that has any: a terminal is longer than it is wide."""
    table = paired_table(data)
    known = [row for row in table.rows if any(cell.tone for cell in row)]
    rows = tuple(
        (Cell(words), *(replace(row[i], small=row[i].small.replace(" to ", "…")) for row in known))
        for i, words in enumerate(table.columns[1:-1], 1)
    )
    title = "Paired differences in points; only an interval without zero is a finding"
    return replace(table, title=title, columns=("", *(row[0].text for row in known)), rows=rows if known else ())
