"""What is kept of one held-out problem, and its file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rise.errors import DataError
from rise.jsonl import read_jsonl, write_jsonl
from rise.trajectory import Turn, to_json, turn_from_json

REPLIES = ("run", "samples", "other", "internalised", "beyond")
"""Fields of a record that hold replies."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Everything one policy was asked about one held-out problem."""

    problem_id: str
    question: str
    gold: str
    run: tuple[Turn, ...]
    """One run of K turns, which continues after right replies too (with truthful feedback: until right; under `state.verify`:
    until the model calls its attempt right)."""
    samples: tuple[Turn, ...] = ()
    """S−1 further replies to the bare problem. With `run[0]` first they are the S parallel samples."""
    other: tuple[Turn, ...] = ()
    """Turns 2 … K, each the reply when the attempt shown was another problem's. Empty if this control was not run."""
    fields: dict[str, Any] = field(default_factory=dict)
    """The problem's own: kind, level, subject."""
    gold_score: tuple[float, ...] = ()
    """Mean log-probability per token of the worked solution at the state before each turn of the run; empty if not asked for."""
    internalised: tuple[Turn, ...] = ()
    """S first replies of the control that trained the same replies at the first turn's state. Empty if it was not run."""
    beyond: tuple[Turn, ...] = ()
    """The turns after the model's own stop, up to K. Empty if it did not stop, or this control was not run."""

    @property
    def parallel(self) -> tuple[Turn, ...]:
        """The S independent turn-1 replies; also control (a): with nothing shown, turn k's prompt is turn 1's."""
        return (*self.run[:1], *self.samples)


def held_out_from_json(data: Mapping[str, Any]) -> HeldOut:
    """The inverse of `rise.trajectory.to_json`."""
    turns = {name: tuple(turn_from_json(t) for t in data.get(name, ())) for name in REPLIES}
    return HeldOut(**{**data, **turns, "gold_score": tuple(data.get("gold_score", ()))})


def read_held_out(path: Path) -> Iterator[HeldOut]:
    """Records of a `held-out.jsonl`; a line that is not one raises `DataError` with file and line number."""
    for number, data in read_jsonl(path):
        try:
            yield held_out_from_json(data)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise DataError(f"{path}, line {number}: not a held-out record ({error}). Was the file written by `rise`?") from error


def write_held_out(path: Path, records: Iterable[HeldOut]) -> None:
    """A `held-out.jsonl`, sorted by problem. Held-out replies never train, so token ids are left out (the ledger has them)."""
    rows = (to_json(record) for record in sorted(records, key=lambda record: record.problem_id))
    write_jsonl(path, (_without_ids(row) for row in rows))


def _without_ids(row: dict[str, Any]) -> dict[str, Any]:
    for name in REPLIES:
        for turn in row.get(name, []):
            turn.pop("prompt_ids", None)
            turn.pop("reply_ids", None)
    return row
