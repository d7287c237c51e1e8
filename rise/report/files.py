"""A report's figures and tables as files of their own, for a paper or a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from rise.evaluation.outcomes import printable
from rise.jsonl import write_whole
from rise.report.layout import Page
from rise.report.table import Cell, Table


def write_figures(page: Page, directory: Path, kind: str) -> list[Path]:
    """Every figure of the page as `directory/KEY.kind`: pdf, svg or png."""
    return [_written(directory / f"{figure.key}.{kind}", figure.as_file(kind)) for figure in page.figures]


def write_tables(page: Page, directory: Path, kind: str) -> list[Path]:
    """Every table of the page as `directory/KEY`.csv or .tex."""
    ending, text = TABLES[kind]
    tables = [table for filled in page.sections for table, _ in filled.tables]
    return [_written(directory / f"{table.key}.{ending}", text(table)) for table in tables]


def table_csv(table: Table) -> str:
    """Comma-separated; what stands beneath or beside a number has columns of its own behind it.

    >>> print(table_csv(Table("k", "T", ("stage", "t5"), ((Cell("base"), Cell("50.0", small="40.1–59.9")),))), end="")
    stage,t5,t5 beneath
    base,50.0,40.1–59.9
    """
    extras = {"bracket": "change", "small": "beneath"}
    wanted = [
        [name for name in extras if any(getattr(row[c], name) for row in table.rows if c < len(row))]
        for c in range(len(table.columns))
    ]
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    write([text for c, name in enumerate(table.columns) for text in (name, *(f"{name} {extras[e]}" for e in wanted[c]))])
    for row in table.rows:
        cells = zip(row, wanted, strict=True)
        write([text for cell, names in cells for text in (cell.text, *(getattr(cell, e) for e in names))])
    return out.getvalue()


def table_latex(table: Table) -> str:
    """A tabular in the rules of the package booktabs, the interval beneath each number in small.

    >>> print(table_latex(Table("k", "T", ("stage", "t_5"), ((Cell("base"), Cell("50.0 %")),), "Cap.")), end="")
    % T. Cap.
    \\begin{tabular}{lr}
    \\toprule
    stage & t\\_5 \\\\
    \\midrule
    base & 50.0 \\% \\\\
    \\bottomrule
    \\end{tabular}
    """
    lines = [f"% {' '.join(f'{table.title}. {table.caption}'.split())}".rstrip()]
    lines += [
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\toprule",
        _line(map(_escaped, table.columns)),
        r"\midrule",
    ]
    for row in table.rows:
        lines.append(_line(f"{_escaped(cell.text)}{_bracket(cell)}" for cell in row))
        if any(cell.small for cell in row):
            lines.append(_line(rf"{{\scriptsize {_escaped(cell.small)}}}" if cell.small else "" for cell in row))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


TABLES: dict[str, tuple[str, Callable[[Table], str]]] = {"csv": ("csv", table_csv), "latex": ("tex", table_latex)}
"""Name of a format → how its files end, and what makes them."""


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _bracket(cell: Cell) -> str:
    return f" ({_escaped(cell.bracket)})" if cell.bracket else ""


_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "–": "--",
    "→": r"$\to$",
    "∞": r"$\infty$",
    "…": r"\dots{}",
}


def _escaped(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return re.sub(r"[\\&%$#_{}~^−–→∞…]", lambda match: _SPECIAL[match[0]], printable(" ".join(text.split())))


def _written(path: Path, data: str | bytes) -> Path:
    write_whole(path, data)
    return path
