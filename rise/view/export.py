"""A copy of the viewer that opens from disk: a directory, or one file when it is small."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rise.errors import ConfigError
from rise.jsonl import write_whole
from rise.serve.web.plain_json import plain_json
from rise.view.files import ASSETS, EXPORT_POLICY, asset, page, whole_page
from rise.view.library import Library

ROWS = 10_000
"""Rows in one file of the copy."""
RECORDS = 100
"""Records in one file of the copy: one is loaded when the first of them is opened."""
ONE_FILE_BYTES = 32_000_000
"""A browser reads a single file whole before it shows anything, so a larger one is refused."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and what was left out."""

    path: Path
    n_records: int
    n_left_out: int
    n_bytes: int


def export(library: Library, out: Path, limit: int | None) -> Exported:
    """Write a copy to `out`: one file where the name ends in .html, else a directory with index.html.

    `limit`: the most records of each file, its first; None for all. Raises `ConfigError` where `out` is in the way or the
    one file would be too large.
    """
    if out.suffix == ".html":
        return _one_file(library, out, limit)
    if out.exists() and any(out.iterdir()) and not (out / "data" / "overview.js").exists():
        raise ConfigError(f"--export {out}: there is something else in this directory. Give one that is new or empty.")
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "page").mkdir(parents=True)
    (partial / "data").mkdir()
    for name in ASSETS:
        (partial / "page" / name).write_text(asset(name), encoding="utf-8")
    (partial / "index.html").write_text(page(EXPORT_POLICY), encoding="utf-8")
    counts = _Counts()
    n_bytes = 0
    for name, data in _parts(library, limit, counts):
        text = f"rise.put({json.dumps(name)},{_dumps(data)});\n"
        (partial / "data" / f"{name}.js").write_text(text, encoding="utf-8")
        n_bytes += len(text)
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    return Exported(out / "index.html", counts.n_records, counts.n_left_out, n_bytes)


def _one_file(library: Library, out: Path, limit: int | None) -> Exported:
    counts = _Counts()
    parts, n_bytes = [], 0
    for name, data in _parts(library, limit, counts):
        # The one way out of such an element is "</script", so no "<" stays as it is.
        text = _dumps(data).replace("<", "\\u003c")
        parts.append(f'<script type="application/json" data-name="{name}">{text}</script>\n')
        n_bytes += len(parts[-1])
        if n_bytes > ONE_FILE_BYTES:
            raise ConfigError(
                f"--export {out}: more than {ONE_FILE_BYTES // 1_000_000} MB, too much for one file. Export a directory (a name "
                "without .html), or fewer records (--limit)."
            )
    write_whole(out, whole_page("".join(parts)))
    return Exported(out, counts.n_records, counts.n_left_out, n_bytes)


@dataclass
class _Counts:
    n_records: int = 0
    n_left_out: int = 0


def _parts(library: Library, limit: int | None, counts: _Counts) -> Iterator[tuple[str, Any]]:
    """(name, data) of each piece; names are letters, digits and dashes only."""
    overview = library.overview(public=True)
    for run in overview["runs"]:
        run["live"] = None
        for stage in run["stages"]:
            stage["files"] = [file for file in stage["files"] if file["kind"] != "live"]
            for file in stage["files"]:
                yield from _file_parts(library, file, limit, counts)
    yield "overview", overview


def _file_parts(library: Library, file: dict[str, Any], limit: int | None, counts: _Counts) -> Iterator[tuple[str, Any]]:
    key, name = file["key"], file["key"].replace("/", "-")
    every = json.loads(library.rows(key, 0, 2**62))
    rows = every["rows"] if limit is None else every["rows"][:limit]
    counts.n_records += len(rows)
    counts.n_left_out += len(every["rows"]) - len(rows)
    file |= {
        "n": len(rows),
        "n_left_out": len(every["rows"]) - len(rows),
        "n_bad": every["n_bad"],
        "first_bad": every["first_bad"],
        "columns": every["columns"],
        "rows_per_part": ROWS,
        "records_per_part": RECORDS,
    }
    for start in range(0, len(rows), ROWS):
        yield f"{name}-rows-{start // ROWS}", rows[start : start + ROWS]
    for start in range(0, len(rows), RECORDS):
        numbers = range(start, min(start + RECORDS, len(rows)))
        yield f"{name}-records-{start // RECORDS}", [library.record(key, number) for number in numbers]


def _dumps(data: Any) -> str:
    """ASCII, so that a line separator in it is no end of a script's line."""
    return plain_json(data, ascii_only=True)
