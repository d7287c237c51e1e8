"""A ledger that lives in memory: for notebooks and measurements that nobody continues."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rise.jsonl import dumps
from rise.play.ledger import Ledger


class MemoryLedger(Ledger):
    """The interface of `rise.play.ledger.Ledger` without a file; what it holds is gone with the process."""

    on_disk = False

    # Nothing of the file is inherited: every method that touches one has its own form here.
    def __init__(self) -> None:
        self._lines: dict[str, str] = {}

    def __enter__(self) -> MemoryLedger:
        return self

    def __contains__(self, key: str) -> bool:
        return key in self._lines

    def __len__(self) -> int:
        return len(self._lines)

    def get(self, key: str) -> dict[str, Any]:
        return json.loads(self._lines[key])

    def append(self, lines: Iterable[tuple[str, dict[str, Any]]], *, n_in_flight: int = 0) -> int:
        """Keep those whose key is new; returns how many."""
        before = len(self._lines)
        for key, data in lines:
            self._lines.setdefault(key, dumps({"key": key, **data}))
        return len(self._lines) - before

    def flush(self) -> None: ...

    def sync(self) -> None: ...

    def close(self) -> None: ...
