"""What a run under way has not put into a stage file yet: replies in the ledger, steps in the log."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

from rise.report.collect import Stage
from rise.runs.directory import RunDir
from rise.runs.stages import PARTS, title
from rise.runs.stages import part as part_named
from rise.view.questions import Questions
from rise.view.rows import LETTERS, Row, line, was_cut

FILES = {part.name: part.file for part in PARTS if part.file}
"""Part of a stage → the file its replies end up in."""

_PURPOSE = re.compile(rb'\{"key":"[^"]*","purpose":"([^"]*)"')
CHART_POINTS = 400
"""A training of a hundred thousand steps is drawn with this many."""


@dataclass
class Underway:
    """Replies of one part of one stage, while its file is not in place."""

    replies: dict[str, list[tuple[int, dict[str, Any]]]] = field(default_factory=dict)
    """Problem → (attempts in the state, reply), in order of arrival."""
    n_replies: int = 0


class Ledger:
    """The ledger of a run, read on from where it was left. Parts that have their file are left out."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self._offset = 0
        self._parts: dict[str, Underway] = {}
        self._lock = RLock()

    def underway(self) -> dict[str, Underway]:
        """`round-1/rollout` → its replies so far."""
        with self._lock:
            self._read()
            for name in [name for name in self._parts if self._done(name)]:
                del self._parts[name]
            return dict(self._parts)

    def _done(self, name: str) -> bool:
        stage, part = name.split("/")
        folder = self.run.path / stage
        # A boost's turns go straight into its examples.
        return (folder / FILES[part]).exists() or (part != "evaluate" and (folder / "examples.jsonl").exists())

    def _read(self) -> None:
        path = self.run.ledger
        if not path.exists():
            return
        if path.stat().st_size < self._offset:
            self._offset, self._parts = 0, {}
        done: dict[str, bool] = {}
        with path.open("rb") as file:
            file.seek(self._offset)
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                self._offset += len(raw)
                # Only lines of unfinished parts are parsed: a finished run's ledger is large and says nothing new.
                found = _PURPOSE.match(raw)
                name = "/".join(found[1].decode("utf-8", "replace").split("/")[:2]) if found else ""
                if name not in done:
                    done[name] = name.count("/") != 1 or name.split("/")[1] not in FILES or self._done(name)
                if not done[name]:
                    self._add(name, raw)

    def _add(self, name: str, raw: bytes) -> None:
        try:
            line = json.loads(raw)
            problem, attempts, turn = str(line["problem"]), int(line["attempts"]), dict(line["turn"])
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
            return  # a marker that closes a group
        turn.pop("reply_ids", None)
        part = self._parts.setdefault(name, Underway())
        part.replies.setdefault(problem, []).append((attempts, turn))
        part.n_replies += 1


def live_rows(part: Underway, questions: Questions) -> list[Row]:
    """One row a problem, its replies by the number of attempts they were shown."""
    out = []
    for problem, replies in part.replies.items():
        question, gold = questions.get(problem) or ("", None)
        letters = "".join(LETTERS.get(turn.get("verdict"), "n") for _, turn in sorted(replies, key=lambda item: item[0]))
        out.append(
            Row(
                problem,
                title=line(question),
                gold=gold,
                pattern=letters,
                outcome=None,
                labels=(),
                cut=was_cut([turn for _, turn in replies]),
            )
        )
    return out


def live_record(part: Underway, problem: str, questions: Questions) -> dict[str, Any]:
    """The replies to one problem so far. Which sample belongs to the run is only known when the part is done."""
    question, gold = questions.get(problem) or (None, None)
    groups: dict[int, list[dict[str, Any]]] = {}
    for attempts, turn in part.replies.get(problem, []):
        groups.setdefault(attempts, []).append(turn)
    return {
        "problem": {"id": problem, "question": question, "gold": gold, "fields": {}},
        "groups": [{"attempts": attempts, "turns": groups[attempts]} for attempts in sorted(groups)],
    }


def now(run: RunDir, stages: Sequence[Stage], parts: Mapping[str, Underway], keys: Mapping[str, str]) -> dict[str, Any] | None:
    """What the run is at: None when every stage that its recipe measures has its numbers."""
    unmeasured = [stage for stage in stages if stage.awaited and not stage.metrics]
    if not unmeasured:
        return None
    log = run.read_log()
    steps = [event for event in log if "step" in event]
    latest = log[-1] if log else {}
    training = None
    if latest and "step" in latest:
        stage = latest.get("stage")
        own = [event for event in steps if (event.get("stage"), event.get("part")) == (stage, latest.get("part"))]
        curve = {int(event["step"]): event.get("loss") for event in own}
        training = {
            "stage": stage,
            "step": latest["step"],
            "steps": latest.get("steps"),
            "loss": thinned([list(point) for point in sorted(curve.items())]),
        }
    return {
        "unmeasured": [stage.name for stage in unmeasured],
        "age_s": round(max(0.0, time.time() - max(_changed(run.log), _changed(run.ledger))), 1),
        "training": training,
        "parts": [_so_far(name, part, keys[name]) for name, part in parts.items()],
    }


def _so_far(name: str, part: Underway, key: str) -> dict[str, Any]:
    """Shares of right replies by attempts shown: of what has come so far, so the quick and the easy weigh more."""
    counts: dict[int, list[int]] = {}
    for replies in part.replies.values():
        for attempts, turn in replies:
            count = counts.setdefault(attempts, [0, 0])
            count[0] += turn.get("verdict") == "right"
            count[1] += 1
    by_attempts = [[attempts, *counts[attempts]] for attempts in sorted(counts)]
    stage, _, part_name = name.partition("/")
    shown = f"{title(stage)}: {part_named(part_name).title}"
    return {
        "name": name,
        "title": shown,
        "key": key,
        "n_replies": part.n_replies,
        "n_problems": len(part.replies),
        "right": by_attempts,
    }


def thinned(points: Sequence[Any], n: int = CHART_POINTS) -> list[Any]:
    """
    >>> thinned(range(10), 4)
    [0, 3, 6, 9]
    """
    return list(points) if len(points) <= n else [points[round(i * (len(points) - 1) / (n - 1))] for i in range(n)]


def _changed(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0
