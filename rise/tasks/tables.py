"""Problems from a table as spreadsheets write them: CSV or TSV, the first line names the columns."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rise.errors import DataError
from rise.jsonl import looks_like

TABLES = (".csv", ".tsv")
MOST_CHARACTERS = 2**24
"""Of one cell: Python's own limit, 131,072, is less than a long problem."""


class TableRow(dict[str, Any]):
    """A row of a table, whose text may be what another program wrote for nothing."""

    empty: frozenset[str] = frozenset()
    """Columns of which it holds nothing."""


GAPS = (
    *("NA", "N/A", "n/a", "<NA>", "NULL", "null", "None", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "1.#IND", "-1.#QNAN", "1.#QNAN"),
    *("#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!"),
)
"""What programs write into a table where they have nothing, and spreadsheets where a formula failed. "Na" is sodium."""


def gap(cell: Any) -> str:
    """Why a cell is nobody's text, as the middle of a message; "" where it may be.

    >>> gap(" N/A "), gap("nan"), gap("Na")
    ('stands for nothing', 'is no number', '')
    """
    text = cell.strip() if isinstance(cell, str) else ""
    return "stands for nothing" if text in GAPS else "is no number" if text.lower() in ("nan", "-nan") else ""


def is_list(cell: Any) -> bool:
    """Whether a cell is a list that a program wrote down as text. Two numbers that ascend may be an interval.

    >>> [is_list(cell) for cell in ("['7']", "[3]", "[1, 2, 3]", "[2, 1]", "[1, 2]", "[a, b]", "7")]
    [True, True, True, True, False, False, False]
    """
    if not (isinstance(cell, str) and cell.strip().startswith("[")):
        return False
    try:
        found = ast.literal_eval(cell.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    numbers = [n for n in found if isinstance(n, int | float)] if isinstance(found, list) else []
    return isinstance(found, list) and not (len(found) == len(numbers) == 2 and numbers[0] < numbers[1])


class Cells(TableRow):
    """The cells of a line that hold something, by column."""

    def __init__(self, cells: dict[str, Any]) -> None:
        super().__init__({name: cell for name, cell in cells.items() if name and cell and cell.strip()})
        self.empty = frozenset(cells) - frozenset(self)


def table_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, row) of every line behind the head; empty cells, and lines of nothing else, are left out. A .csv may be divided
    by `;` or tabs as well, and begin with Excel's `sep=;`.

    Raises `DataError` for what is no table, a head that names a column twice, or a line with more cells than the head.
    """
    csv.field_size_limit(MOST_CHARACTERS)
    line = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            before, begins, head = 0, file.tell(), file.readline()
            while head and not head.strip():
                before, begins, head = before + 1, file.tell(), file.readline()
            if "\x00" in head:
                raise DataError(f"{path}: cannot be read as a table: not UTF-8 text{looks_like(path.read_bytes()[:16])}.")
            said = head[4] if head.startswith("sep=") and len(head.strip()) == 5 else ""
            if said:
                before += 1
            else:
                file.seek(begins)
            lines = csv.DictReader(file, delimiter=said or _divider(path, head), strict=True)
            names = [name.strip() for name in lines.fieldnames or []]
            named = [name for name in names if name]
            if len(set(named)) < len(named):
                raise DataError(f"{path}: its first line must name each column once; it reads {', '.join(names)[:80]!r}.")
            lines.fieldnames = [name or " " * n for n, name in enumerate(names, 1)]
            for row in lines:
                line = lines.line_num + before
                if not any(isinstance(cell, list) or (cell and cell.strip()) for cell in row.values()):
                    continue  # spreadsheets end with lines of empty cells
                place = f"{path}, line {line}"
                if None not in row and any(cell and not name.strip() and cell.strip() for name, cell in row.items()):
                    raise DataError(f"{place}: a cell in a column without a name. The first line must name each column once.")
                if None in row:
                    raise DataError(
                        f"{place}: more cells than the {len(names)} columns of the head. Is a text with commas unquoted?"
                    )
                yield place, Cells(row)
    except UnicodeDecodeError as error:
        with path.open("rb") as bytes_:
            hint = looks_like(bytes_.read(16))
        raise DataError(
            f"{path}: cannot be read as a table: not UTF-8 text ({error.reason} at byte {error.start}){hint}."
        ) from error
    except csv.Error as error:
        raise DataError(
            f"{path}, after line {line}: cannot be read as a table ({error}). "
            "A quotation mark in a cell must be doubled, and each cell closed."
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error


def _divider(path: Path, head: str) -> str:
    """What divides the cells: a tab in a .tsv, else whichever of the three the head has most of."""
    return "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=re.sub(r'"[^"]*"', "", head).count)
