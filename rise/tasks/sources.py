"""Where the rows of a task come from: a file or directory, the data directory, or a data set of the hub through `datasets`.

A `path` is a file (.jsonl, .json, .parquet), a directory of them, or `hub:NAME[:CONFIG][@SPLIT]`, NAME as `load_dataset` takes
it. Without one a benchmark is looked for under the data directory, then, where the hub may be asked, there; else the message has
the command that gets it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from rise.errors import DataError, MissingDataError, installing
from rise.jsonl import begins_as_pointer, loads, read_jsonl, read_text, whole_text
from rise.tasks.tables import TABLES, TableRow, table_rows

Row = tuple[str, dict[str, Any]]
"""(place for messages, row)"""

HUB = "hub:"
_HUB = re.compile(r"hub:(?P<name>[^:@]+)(?::(?P<config>[^:@]+))?(?:@(?P<split>.+))?")
_SUFFIXES = (".jsonl", ".json", ".parquet")


@dataclass(frozen=True, slots=True)
class Hub:
    """A published data set by its name on the hub."""

    name: str
    configs: Sequence[str | None] = (None,)
    """Its parts, read one after the other."""

    def command(self, split: str, file: str) -> str:
        """A shell command that saves one split as `{}/file`."""
        name, save = f'"{self.name}"', f'.to_json("{{}}/{file}")'
        if len(self.configs) == 1:
            config = f', "{self.configs[0]}"' if self.configs[0] else ""
            return f"python -c 'from datasets import load_dataset; load_dataset({name}{config}, split=\"{split}\"){save}'"
        parts = ", ".join(f'"{config}"' for config in self.configs)
        return (
            "python -c 'from datasets import load_dataset, concatenate_datasets as join; "
            f'join([load_dataset({name}, part, split="{split}") for part in [{parts}]]){save}\''
        )

    def rows(self, split: str) -> Iterator[Row]:
        """The rows of one split. Raises `DataError` where `datasets` is missing or cannot load it."""
        for config in self.configs:
            place = f"{HUB}{self.name}{f':{config}' if config else ''}@{split}"
            if importlib.util.find_spec("datasets") is None:
                raise DataError(f"{place} needs the package datasets: {installing('tasks')}.")
            import datasets

            try:
                rows = datasets.load_dataset(self.name, config, split=split)  # nosec B615 # the user names it; rows are text
            except Exception as error:  # of many kinds: no network, no such data set, no such split
                first = str(error).strip().split("\n")[0]
                raise DataError(f"{place} cannot be loaded ({type(error).__name__}: {first[:200]}).") from error
            for index, row in enumerate(rows, 1):
                yield f"{place}, row {index}", dict(row)


def data_directory() -> Path:
    """Where benchmarks lie: `$RISE_DATA`, else `data/` in the current directory."""
    return Path(os.environ.get("RISE_DATA") or "data")


def hub_allowed() -> bool:
    """Whether the hub may be asked: the package is there and no variable says offline."""
    offline = any(
        os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    )
    return not offline and importlib.util.find_spec("datasets") is not None


def hub_rows(path: str, split: str) -> Iterator[Row]:
    """The rows that `hub:NAME[:CONFIG][@SPLIT]` names; `split` where it names none."""
    match = _HUB.fullmatch(path)
    if match is None:
        raise DataError(
            f"path = {path!r}: write hub:NAME, hub:NAME:CONFIG or hub:NAME:CONFIG@SPLIT, such as hub:openai/gsm8k:main."
        )
    return Hub(match["name"], (match["config"],)).rows(match["split"] or split)


def benchmark_rows(
    task: str, path: str | None, file: str, *, split: str = "test", hub: Hub | None = None, how: str | None = None
) -> Iterator[Row]:
    """The rows of one file of a benchmark: `path` itself, `path/file`, `path/task/file`, or the same under the data directory.

    `file` may also be there as parquet, in one piece or in the hub's numbered ones. Raises `DataError` with the command that gets
    it (`how`, or the hub's, where `{}` stands for the place it should go to).
    """
    if path is not None and path.startswith(HUB):
        yield from hub_rows(path, split)
        return
    root = Path(path) if path is not None else data_directory()
    found = [root] if path is not None and root.is_file() else _find(root, task, file, here=path is not None)
    if found:
        for piece in found:
            yield from read_rows(piece)
        return
    tried = ""
    if path is None and hub is not None and hub_allowed():
        try:
            yield from hub.rows(split)
            return
        except DataError as error:
            tried = f" {error}"
    wanted = root / task / file
    hint = "" if path is not None else " (set $RISE_DATA, or task.settings.path, to where your data lies)"
    command = how or (hub.command(split, file) if hub else "")
    needs = ""
    if hub is not None and importlib.util.find_spec("datasets") is None:
        needs = f"\nIt needs the package datasets, with which the hub is asked by itself: {installing('tasks')}."
    raise MissingDataError(
        f"task {task}: {wanted} not found{hint}.{tried} With a network, this gets it:\n"
        f"  mkdir -p {wanted.parent} && {command.replace('{}', str(wanted.parent))}{needs}"
    )


def _find(root: Path, task: str, file: str, *, here: bool) -> list[Path]:
    """The file, or the pieces of it, in the first directory that has it."""
    stem = Path(file).stem
    for directory in (root / task, root) if here else (root / task,):
        for place in (directory, directory / "data", directory / "main"):
            for name in (file, *(stem + suffix for suffix in _SUFFIXES)):
                if (place / name).is_file():
                    return [place / name]
            if pieces := sorted(place.glob(f"{stem}-*-of-*.parquet")):
                return pieces
    return []


def is_file_of_problems(path: Path) -> bool:
    """Whether its suffix is one that `read_rows` reads."""
    return path.suffix.lower() in (*_SUFFIXES, *TABLES)


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a .jsonl file, of a .json file that holds one list, a .csv or .tsv file with a head, or a .parquet file."""
    suffix = path.suffix.lower()
    if begins_as_pointer(path):
        raise DataError(f"{path}: it is a pointer of Git LFS, not the file itself: run git lfs pull.")
    if suffix in TABLES:
        yield from table_rows(path)
        return
    if suffix == ".parquet":
        yield from _read_parquet(path)
        return
    if suffix != ".json":
        for line, row in read_jsonl(path, once=True):
            yield f"{path}, line {line}", row
        return
    text = read_text(path)
    try:
        rows = loads(text, once=True)
    except ValueError as error:
        raise DataError(f"{path}: not a readable JSON file ({error}).{_lines_hint(text)}") from error
    rows = _the_list(rows, path)
    for index, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DataError(f"{path}, row {index}: expected an object, got {str(row)[:60]!r}.")
        yield f"{path}, row {index}", row


def _lines_hint(text: str) -> str:
    """Where a file called .json holds an object a line."""
    first = text.lstrip().split("\n", 1)[0]
    with contextlib.suppress(ValueError):
        if isinstance(loads(first), dict):
            return " It holds an object a line: give it the suffix .jsonl."
    return ""


def _the_list(data: Any, path: Path) -> list[Any]:
    """The rows of a JSON file: a list, or the one list of objects in an object, as in {"version": 1, "data": [...]}."""
    if isinstance(data, list):
        return data
    if not isinstance(data, dict):
        raise DataError(f"{path}: expected a list of rows, got {type(data).__name__}.")
    lists = {key: value for key, value in data.items() if isinstance(value, list) and value and isinstance(value[0], dict)}
    if len(lists) != 1:
        have = ", ".join(map(repr, lists)) or "none"
        raise DataError(f"{path}: expected a list of rows, or an object with one such list; its lists of objects: {have}.")
    return next(iter(lists.values()))


def check_file(path: str) -> None:
    """Raise `DataError` where a path that is not of the hub is no file."""
    if path.startswith(HUB) or Path(path).is_file():
        return
    if Path(path).is_dir():
        inside = sorted(file.name for file in Path(path).iterdir() if file.suffix in _SUFFIXES)[:3]
        raise DataError(f"task jsonl: {path} is a directory: give a file in it{', ' if inside else '.'}{', '.join(inside)}")
    raise DataError(
        f"task jsonl: {path}: no such file in {Path.cwd()}. Name yours: task.settings.path in a recipe, --set "
        "task.settings.path=FILE for a command. `rise init DIR` writes ten problems to begin with."
    )


def _read_parquet(path: Path) -> Iterator[Row]:
    if importlib.util.find_spec("pyarrow") is None:
        raise DataError(f"{path} needs the package pyarrow: {installing('tasks')}.")
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable parquet file ({str(error).splitlines()[0][:200]}).") from error
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            columns[name] = column.to_pylist()
        except (ValueError, OverflowError, KeyError, pyarrow.ArrowException) as error:
            # text that is no UTF-8, a day that no calendar has, a time zone that nobody knows
            raise DataError(
                f"{path}: column {name!r} holds what cannot be read ({error}). Leave the column out, or save it as text."
            ) from error
        if str(column.type) in _SHORT_FLOATS:
            columns[name] = [None if value is None else _shortest(value, str(column.type)) for value in columns[name]]
    for index, row in enumerate(zip(*columns.values(), strict=True), 1):
        yield f"{path}, row {index}", TableRow(zip(columns, row, strict=True))


_SHORT_FLOATS = {"halffloat": "e", "float": "f"}
"""Arrow's names of numbers of 16 and 32 bits, and what `struct` calls them."""


def _shortest(value: float, kind: str) -> float:
    """The number with the fewest digits that is this one in so few bits: what somebody wrote.

    >>> _shortest(0.10000000149011612, "float"), _shortest(0.0999755859375, "halffloat")
    (0.1, 0.1)
    """
    code = _SHORT_FLOATS[kind]
    if not math.isfinite(value):
        return value
    tries = (float(f"{value:.{digits}g}") for digits in range(1, 10))
    return next((short for short in tries if _in_bits(short, code) == value), value)


def _in_bits(value: float, code: str) -> float | None:
    with contextlib.suppress(OverflowError):  # rounded up beyond the largest
        return float(struct.unpack(code, struct.pack(code, value))[0])
    return None


def _short(value: Any) -> str:
    text = repr(value[:60] if isinstance(value, bytes) else value)
    return text if len(text) <= 80 else f"{text[:60]} … ({type(value).__name__})"


def _way_out(value: Any) -> str:
    """What to do with a value that holds its text inside."""
    if isinstance(value, list | tuple):
        return ' A list is not taken: write one text, "1, 2" for an answer of several parts, or make a row of each.'
    return " Name the field that holds it: question_field, gold_field." if isinstance(value, dict) else ""


def known(row: dict[str, Any], name: str) -> bool:
    """Whether a row says something in a field: a gap in a column of numbers is NaN, and says nothing, as empty text does.

    >>> [known({"solution": value}, "solution") for value in (float("nan"), None, " ", "1")], known({}, "solution")
    ([False, False, False, True], False)
    """
    value = row.get(name)
    if isinstance(value, str) and not value.strip():
        return False
    return value is not None and not (isinstance(value, float) and math.isnan(value))


_BROKEN = re.compile(r"[\x08\f\t\r][A-Za-z]|\n(abla|e|eq|eg|ot|otin|u|leq|geq|subseteq|cong|exists|earrow|warrow)\b")
"""What JSON makes of LaTeX whose backslashes stand single: of \\frac a form feed and `rac`. Lines may begin with any word."""


def _own_number(value: Any) -> Any:
    """A number of numpy or torch as Python's own: of 0.1 in 32 bits 0.1, as it was written."""
    if not (hasattr(value, "item") and hasattr(value, "dtype")):
        return value
    kind = {2: "halffloat", 4: "float"}.get(getattr(value, "itemsize", 8))
    own = value.item()
    return _shortest(own, kind) if kind and isinstance(own, float) else own


def text_of(row: dict[str, Any], names: Sequence[str], place: str) -> str:
    """The first of these fields, as text. Numbers are taken; anything else, or nothing, raises with the place."""
    for name in names:
        if name in row:
            value = _own_number(row[name])
            if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
                raise DataError(f"{place}: field {name!r} is {_short(value)}; expected text or a number.{_way_out(value)}")
            if isinstance(value, float | Decimal) and not math.isfinite(value):
                raise DataError(f"{place}: field {name!r} is {value}, which is no number. Fill the gap, or leave the row out.")
            if isinstance(value, float) and value.is_integer():
                value = int(Decimal(repr(value)))  # of 1e300 the digits that are written, not those of its bits
            text = str(value)
            if not text.strip():
                raise DataError(f"{place}: field {name!r} is empty. Fill it, or leave the row out.")
            return whole_text(text)
    raise DataError(f"{place}: no field {' or '.join(map(repr, names))}; it has {', '.join(map(repr, row)) or 'none'}.")


def gold_of(row: dict[str, Any], names: Sequence[str], place: str) -> str:
    """As `text_of`; LaTeX that lost its backslashes raises too: right answers would be wrong. A question may hold some."""
    text = text_of(row, names, place)
    if broken := _BROKEN.search(text):
        name = next(name for name in names if name in row)
        raise DataError(
            f"{place}: field {name!r} holds {text[broken.start() :][:20]!r}, which is LaTeX whose backslash was lost. In "
            r"JSON a backslash is written twice: \\frac."
        )
    return text
