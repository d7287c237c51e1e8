"""JSON lines and whole files on disk: a file that exists is a file that is complete, and what comes from outside is made into
what every file, message and tokenizer can hold."""

from __future__ import annotations

import datetime
import errno
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from rise.errors import DataError

# ---- text and values from outside ----------------------------------------------------------------------------------------

_HALF = re.compile("[\ud800-\udfff]")
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def whole_text(text: str) -> str:
    r"""The same with no half of a surrogate pair in it: two halves become their character, one becomes U+FFFD.

    JSON may hold a half as an escape; no file, terminal or tokenizer can.

    >>> whole_text("\ud83d 3") == "\ufffd 3", whole_text("\ud83d\ude00"), whole_text("é")
    (True, '😀', 'é')
    """
    if text.isascii() or not _HALF.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def may_hold_halves(json_text: str) -> bool:
    """Whether JSON has an escape in it that may be half a character."""
    return _ESCAPED_HALF.search(json_text) is not None


MOST_LEVELS = 200


def plain(value: Any, described: list[str] | None = None, level: int = 0) -> Any:
    """Any value as JSON can say it. What it has no word for, such as the bytes of an image, is described, its kind put into
    `described`. A number that is none becomes None: unknown.

    Lists and tables in one another beyond `MOST_LEVELS` are described too.

    >>> plain({"added": datetime.datetime(2025, 1, 1), "cost": Decimal("1.50"), "n": float("nan"), 3: (1, 2)})
    {'added': '2025-01-01T00:00:00', 'cost': '1.50', 'n': None, '3': [1, 2]}
    """
    if isinstance(value, str):
        return whole_text(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    if level > MOST_LEVELS and isinstance(value, Mapping | list | tuple | Set):
        _note(described, f"more than {MOST_LEVELS} levels of lists")
        return f"<{type(value).__name__}>"
    if isinstance(value, Mapping):
        return {whole_text(str(key)): plain(item, described, level + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | Set):
        return [plain(item, described, level + 1) for item in value]
    if isinstance(value, datetime.date | datetime.time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, Decimal | UUID | Path | datetime.timedelta):
        return whole_text(str(value))
    if isinstance(value, bytes | bytearray | memoryview):
        _note(described, "bytes")
        return f"<{len(value)} bytes>"
    if hasattr(value, "tolist"):  # numpy and torch
        return plain(value.tolist(), described, level)
    _note(described, type(value).__name__)
    return f"<{type(value).__name__}>"


def _note(described: list[str] | None, kind: str) -> None:
    if described is not None:
        described.append(kind)


def decoded(data: bytes) -> str:
    """A text file's bytes as text, a byte-order mark at its beginning left out.

    Raises `ValueError` that says what the bytes look like, and what makes UTF-8 of them.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text ({error.reason} at byte {error.start}){looks_like(data)}") from error
    if "\x00" in text[:200] and (hint := looks_like(data)):
        raise ValueError(f"not UTF-8 text{hint}")
    return text


_KINDS = (
    (b"\x28\xb5\x2f\xfd", "packed with zstd", "run unzstd on it"),
    (b"BZh", "packed with bzip2", "run bunzip2 on it"),
    (b"\xfd7zXZ", "packed with xz", "run unxz on it"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"ARROW1", "an Arrow file", "save the rows as parquet or JSON lines"),
    (b"FEA1", "a Feather file", "save the rows as parquet or JSON lines"),
    (b"SQLite format 3", "an SQLite database", "save the rows as JSON lines"),
)
"""How files begin that hold rows in a form that is not read."""


def begins_as_pointer(path: Path) -> bool:
    """Whether it is what Git LFS leaves in place of a large file."""
    try:
        return path.is_file() and _first_bytes(path).startswith(b"version https://")
    except OSError:
        return False  # whoever reads it says why


def looks_like(data: bytes) -> str:
    """What bytes that are no UTF-8 may be, as the end of a message; empty where nobody can tell.

    >>> looks_like(b"PAR1...")
    '. It is a parquet file: give it the suffix .parquet'
    """
    if data[:2] == b"\x1f\x8b":
        return ". It is packed with gzip: run gunzip on it"
    for begins, kind, way_out in _KINDS:
        if data.startswith(begins):
            return f". It is {kind}: {way_out}"
    if data[:4] == b"PAR1":
        return ". It is a parquet file: give it the suffix .parquet"
    if data[:2] == b"PK":
        return ". It is a zip archive or a spreadsheet: save the rows as JSON lines"
    if data[:4] in (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff"):
        return ". It is UTF-32: save it as UTF-8, or run iconv -f UTF-32 -t UTF-8 FILE > NEW"
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in data[:4]:
        return ". It is UTF-16, as Windows writes it: save it as UTF-8, or run iconv -f UTF-16 -t UTF-8 FILE > NEW"
    return ". If it is Latin-1 or Windows-1252, run iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"


# ---- files ---------------------------------------------------------------------------------------------------------------


def dumps(data: Any) -> str:
    """One line of compact JSON that is UTF-8; NaN is refused because most readers refuse it.

    What JSON has no word for is described (`plain`): a record is never lost for what somebody put into it.
    """
    return whole_text(json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=plain))


def loads(text: str, *, once: bool = False) -> Any:
    """JSON in which no text holds half a character. Raises `ValueError`, also where it nests too deeply to be read.

    `once` reads rows: it refuses an object that has a field twice, of which JSON would take the last, and keeps every digit of
    a number.
    """
    strictly: dict[str, Any] = {"object_pairs_hook": _each_once, "parse_float": _every_digit} if once else {}
    try:
        # a mark also in the middle of a file that was put together of several
        data = json.loads(text.removeprefix("\ufeff"), **strictly)
        return plain(data) if may_hold_halves(text) else data
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _every_digit(text: str) -> float | int | Decimal:
    """A number as it is written, also where a float would round it.

    >>> _every_digit("2.50"), _every_digit("9007199254740993.0"), _every_digit("0.12345678901234567890123")
    (2.5, 9007199254740993, Decimal('0.12345678901234567890123'))
    """
    value, exact = float(text), Decimal(text)
    if not math.isfinite(value) or Decimal(repr(value)) == exact:
        return value
    return int(exact) if exact == exact.to_integral_value() else exact


class Twice(ValueError):
    """A field that an object has twice."""


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Twice(f"the field {twice!r} is there twice: keep one")
    return found


def read_jsonl(path: Path, *, once: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) for each line that is not blank. Raises `DataError` naming file and line.

    `once`: an object that has a field twice is refused.
    """
    with _opened(path) as file:
        number = 0
        try:
            for number, line in enumerate(file, 1):
                if not line.strip("\ufeff \t\r\n"):
                    continue
                data = loads(line, once=once)
                if not isinstance(data, dict):
                    raise DataError(f"{path}, line {number}: expected a JSON object, got {line.strip()[:60]!r}{_row_hint(line)}.")
                yield number, data
        except UnicodeDecodeError as error:
            trouble = f"not UTF-8 text ({error.reason}){looks_like(_first_bytes(path))}"
            raise DataError(f"{path}, after line {number}: {trouble}.") from error
        except Twice as error:
            raise DataError(f"{path}, line {number}: {error}.") from error
        except ValueError as error:
            why = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            hint = _table_hint(path, line) or _row_hint(line)
            raise DataError(f"{path}, line {number}: not JSON ({why}){hint}.") from error


def _opened(path: Path) -> IO[str]:
    try:
        return path.open(encoding="utf-8-sig")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: no such file.")
    if isinstance(error, IsADirectoryError):
        return DataError(f"{path}: cannot be read, since it is a directory. Give a file in it.")
    return DataError(f"{path}: cannot be read ({error.strerror}).")


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _table_hint(path: Path, line: str) -> str:
    """What to do with a table of commas or tabs, or with UTF-16 that has no mark."""
    if "\x00" in line:
        hint = looks_like(_first_bytes(path))
        return hint if "It is UTF" in hint else ""
    if path.suffix.lower() not in (".csv", ".tsv"):
        return ""
    delimiter = ", delimiter=chr(9)" if path.suffix.lower() == ".tsv" else ""
    return (
        ". It is a table; this makes JSON lines of it: python -c 'import csv, json; [print(json.dumps(row)) for row in "
        f'csv.DictReader(open("{path}", encoding="utf-8-sig", newline=""){delimiter})]\' > {path.with_suffix(".jsonl")}'
    )


_ROW_HINTS = (
    (r"[\[{]$|\[\s*\{", "A row stands in one line, as an object; a file that holds one list of them gets the suffix .json"),
    (r".*\}\s*,$", "Leave out the comma behind the row"),
    (r".*,\s*[}\]]$", "JSON takes no comma before a bracket that closes"),
    (r".*\}\s*\{", "Give each row a line of its own"),
    (r"\{\s*'", 'JSON writes names and text in double quotes: "question"'),
    (r"<", "It is a web page: get the file itself"),
    (r"version https://git-lfs", "It is a pointer, not the file: run git lfs pull"),
    (r"(?:[^\\]|\\[\"\\/bfnrtu])*\\[^\"\\/bfnrtu]", r"In JSON a backslash is written twice: \\sqrt"),
    (r".*\d{4000}", "Write so long a number as text, in double quotes"),
)


def _row_hint(line: str) -> str:
    """What may be wrong with a line that is no row, as the end of a message."""
    line = line.strip()[:100_000]
    return next((f". {hint}" for pattern, hint in _ROW_HINTS if re.match(pattern, line)), "")


def read_text(path: Path) -> str:
    """A whole text file, a byte-order mark left out. Raises `DataError` where it cannot be read as UTF-8."""
    try:
        return decoded(path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:
        raise DataError(f"{path}: {error}.") from error


def read_json(path: Path) -> dict[str, Any]:
    """A file that holds one JSON object. Raises `DataError` where there is none or it cannot be read."""
    text = read_text(path)
    try:
        data = loads(text)
    except ValueError as error:
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
