"""Where each record of a .jsonl file is, and its row: read as far as has been asked for, and further when the file grows."""

from __future__ import annotations

import bisect
import json
import os
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import RLock
from typing import Any

from rise.errors import DataError
from rise.view.rows import Kind, Row, read_row

Known = Callable[[str], Row | None]
"""A problem's row in the file that has its question."""


class Index:
    """One stage file. Rows are kept as the JSON they are sent as and replies as one searched text: about 1 kB a record."""

    def __init__(self, path: Path, kind: Kind, known: Known | None = None) -> None:
        self.path = path
        self.kind: Kind = kind
        self._known = known or (lambda problem_id: None)
        self._lock = RLock()
        self._forget(None)

    def _forget(self, file: int | None) -> None:
        self._inode = file
        self._offset = 0
        self._n_lines = 0
        self._places = array("Q")
        self._numbers = array("L")
        self._rows: list[bytes] = []
        self._where: dict[str, int] = {}
        self._text = bytearray()
        self._starts = array("Q")
        self._at_end = False
        self.n_bad = 0
        self.first_bad: int | None = None

    def rows(self, start: int, limit: int) -> tuple[list[bytes], dict[str, Any]]:
        """Rows `start` … `start + limit` as JSON texts; how many are known, and whether these are the last so far.

        `version` changes when the file was replaced: rows had before are then of no use. Lines that are no record are
        left out and counted in `n_bad`.
        """
        with self._lock:
            self._grow(start + limit)
            return self._rows[start : start + limit], {
                "n": len(self._rows),
                "complete": self._at_end and start + limit >= len(self._rows),
                "share": self._share(),
                "version": self._inode,
                "n_bad": self.n_bad,
                "first_bad": self.first_bad,
            }

    def search(self, text: str) -> list[int]:
        """Numbers of the rows whose question, gold answer or any reply holds `text`; case does not matter."""
        wanted = text.lower().replace("\x00", "").encode("utf-8", "replace")
        with self._lock:
            self._grow(None)
            found: list[int] = []
            if not wanted:
                return list(range(len(self._rows)))
            at = self._text.find(wanted)
            while at >= 0:
                number = bisect.bisect_right(self._starts, at) - 1
                found.append(number)
                if number + 1 == len(self._starts):
                    break
                at = self._text.find(wanted, self._starts[number + 1])
            return found

    def record(self, number: int) -> tuple[int, dict[str, Any]]:
        """(line number in the file, the record). Raises `DataError` where there is no such row any more."""
        with self._lock:
            self._grow(number + 1)
            if not 0 <= number < len(self._rows):
                raise DataError(f"{self.path.name} has {len(self._rows)} records, so there is none with number {number}.")
            place, line_number = self._places[number], self._numbers[number]
        try:
            with self.path.open("rb") as file:
                file.seek(place)
                data = json.loads(file.readline())
                if not isinstance(data, dict):
                    raise ValueError("no record")
                return line_number, data
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}, line {line_number}: was replaced while it was read. Load it again.") from error

    def find(self, problem_id: str) -> int | None:
        """The first row of a problem."""
        with self._lock:
            self._grow(None)
            return self._where.get(problem_id)

    def row(self, number: int) -> Row:
        return Row(*json.loads(self._rows[number]))

    def _share(self) -> float:
        """How much of the file has been read."""
        try:
            size = self.path.stat().st_size
        except OSError:
            return 1.0
        return 1.0 if not size else min(1.0, self._offset / size)

    def _grow(self, wanted: int | None) -> None:
        """Read on until `wanted` rows are known, or to the end of the file."""
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror}).") from error
        with file:
            status = os.fstat(file.fileno())
            if self._inode is None or status.st_ino != self._inode or status.st_size < self._offset:
                self._forget(status.st_ino)
            file.seek(self._offset)
            ended = False
            while not ended and (wanted is None or len(self._rows) < wanted):
                raw = file.readline()
                ended = not raw.endswith(b"\n")  # the end, or a line still being written
                if not ended:
                    place, self._offset = self._offset, self._offset + len(raw)
                    self._n_lines += 1
                    if raw.strip():
                        self._add(place, raw)
            self._at_end = ended or self._offset >= status.st_size

    def _add(self, place: int, raw: bytes) -> None:
        try:
            data: Mapping[str, Any] = json.loads(raw)
            known = self._known(str(data["problem_id"])) if self.kind in ("relabelled", "examples") else None
            row, text = read_row(self.kind, data, known)
            searched = text.lower().replace("\x00", "").encode("utf-8", "replace")
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
            self.n_bad += 1
            self.first_bad = self.first_bad or self._n_lines
            return
        self._starts.append(len(self._text))
        self._text += searched + b"\x00"
        self._where.setdefault(row.problem_id, len(self._rows))
        self._places.append(place)
        self._numbers.append(self._n_lines)
        self._rows.append(json.dumps(row, separators=(",", ":")).encode())
