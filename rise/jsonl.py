"""JSON lines and whole files on disk: a file that exists is a file that is complete."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from rise.errors import DataError

_HALF = re.compile("[\ud800-\udfff]")


def whole_text(text: str) -> str:
    r"""The same with no half of a surrogate pair in it: two halves become their character, one becomes U+FFFD.

    JSON may hold a half as an escape; no file, terminal or tokenizer can.

    >>> whole_text("\ud83d 3") == "\ufffd 3", whole_text("\ud83d\ude00"), whole_text("é")
    (True, '😀', 'é')
    """
    if text.isascii() or not _HALF.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def dumps(data: Any) -> str:
    """One line of compact JSON that is UTF-8; NaN is refused because most readers refuse it."""
    return whole_text(json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False))


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) for each line that is not blank. Raises `DataError` naming file and line."""
    try:
        file = path.open(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    with file:
        number = 0
        try:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                data = json.loads(line)
                if not isinstance(data, dict):
                    raise DataError(f"{path}, line {number}: expected a JSON object, got {line.strip()[:60]!r}.")
                yield number, data
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, line {number}: not JSON ({error.msg} at column {error.colno}).") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{path}, after line {number}: not UTF-8 text ({error.reason}).") from error


def read_json(path: Path) -> dict[str, Any]:
    """A file that holds one JSON object. Raises `DataError` where there is none or it cannot be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file.") from error
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}).") from error
    if not isinstance(data, dict):
        raise DataError(f"{path}: expected a JSON object.")
    return data


def write_whole(path: Path, data: str | bytes) -> None:
    """Write beside the target, flush to disk, then rename, so a crash leaves the old file or the new one."""
    with _partial(path) as file:
        file.write(whole_text(data).encode() if isinstance(data, str) else data)


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """`write_whole`, one JSON object a line, streamed."""
    with _partial(path) as file:
        for row in rows:
            file.write(dumps(row).encode() + b"\n")


@contextmanager
def _partial(path: Path) -> Iterator[IO[bytes]]:
    """A file beside `path` that takes its place once the block is done. Where the disk is full, the error names it."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        if error.errno not in FULL:
            raise
        with suppress(OSError):
            partial.unlink()  # what room it took is given back
        error.filename = str(path)
        raise


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a disk without room says, a quota and a limit on files."""
