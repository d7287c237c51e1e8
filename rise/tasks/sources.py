"""Where the rows of a task come from: a file or directory, the data directory, or a data set of the hub through `datasets`.

A `path` is a file (.jsonl, .json, .parquet), a directory of them, or `hub:NAME[:CONFIG][@SPLIT]`, NAME as `load_dataset` takes
it. Without one a benchmark is looked for under the data directory, then, where the hub may be asked, there; else the message has
the command that gets it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rise.errors import DataError, MissingDataError, installing
from rise.jsonl import read_jsonl
from rise.tasks.tables import TABLES, table_rows

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
                rows = datasets.load_dataset(self.name, config, split=split)
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
    hint = "" if path is not None else " (set $RISE_DATA, or task.path, to where your data lies)"
    command = how or (hub.command(split, file) if hub else "")
    raise MissingDataError(
        f"task {task}: {wanted} not found{hint}.{tried} "
        f"With a network, this gets it:\n  mkdir -p {wanted.parent} && {command.replace('{}', str(wanted.parent))}"
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


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a .jsonl file, of a .json file that holds one list, a .csv or .tsv file with a head, or a .parquet file."""
    if path.suffix in TABLES:
        yield from table_rows(path)
        return
    if path.suffix == ".parquet":
        yield from _read_parquet(path)
        return
    if path.suffix != ".json":
        for line, row in read_jsonl(path):
            yield f"{path}, line {line}", row
        return
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not a readable JSON file ({error}).") from error
    if not isinstance(rows, list):
        raise DataError(f"{path}: expected a list of rows, got {type(rows).__name__}.")
    for index, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DataError(f"{path}, row {index}: expected an object, got {str(row)[:60]!r}.")
        yield f"{path}, row {index}", row


def _read_parquet(path: Path) -> Iterator[Row]:
    if importlib.util.find_spec("pyarrow") is None:
        raise DataError(f"{path} needs the package pyarrow: {installing('tasks')}.")
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable parquet file ({str(error).splitlines()[0][:200]}).") from error
    for index, row in enumerate(table.to_pylist(), 1):
        yield f"{path}, row {index}", row


def text_of(row: dict[str, Any], names: Sequence[str], place: str) -> str:
    """The first of these fields, as text. Numbers are taken; anything else, or nothing, raises with the place."""
    for name in names:
        if name in row:
            value = row[name]
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise DataError(f"{place}: field {name!r} is {value!r}; expected text or a number.")
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if not str(value).strip():
                raise DataError(f"{place}: field {name!r} is empty.")
            return str(value)
    raise DataError(f"{place}: no field {' or '.join(map(repr, names))}; it has {', '.join(map(repr, row)) or 'none'}.")
