"""Problems from a table as spreadsheets write them: CSV or TSV, the first line names the columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rise.errors import DataError

TABLES = (".csv", ".tsv")
MOST_CHARACTERS = 2**24
"""Of one cell: Python's own limit, 131,072, is less than a long problem."""


def table_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, row) of every line behind the head; empty cells are left out. A .csv may be divided by `;` or tabs as well.

    Raises `DataError` for what is no table, a head that names a column twice, or a line with more cells than the head.
    """
    csv.field_size_limit(MOST_CHARACTERS)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            lines = csv.DictReader(file, delimiter=_divider(path, head), strict=True)
            names = [name.strip() for name in lines.fieldnames or []]
            if len(set(names)) < len(names) or not all(names):
                raise DataError(f"{path}: its first line must name each column once; it reads {head.strip()[:80]!r}.")
            lines.fieldnames = names
            for row in lines:
                place = f"{path}, line {lines.line_num}"
                if None in row:
                    raise DataError(
                        f"{place}: more cells than the {len(names)} columns of the head. Is a text with commas unquoted?"
                    )
                yield place, {name: cell for name, cell in row.items() if cell and cell.strip()}
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: cannot be read as a table in UTF-8 ({error}).") from error


def _divider(path: Path, head: str) -> str:
    """What divides the cells: a tab in a .tsv, else whichever of the three the head has most of."""
    return "\t" if path.suffix == ".tsv" else max(",;\t", key=head.count)
