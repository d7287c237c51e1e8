"""A run's numbers to trackers, by their own libraries: `[track] to = ["wandb"]`. Parts as they end, stages as they are measured.

Everything is read from the run directory, and `trackers.json` there remembers what was sent and under which id, so that a run
that is continued goes on in the same place. A tracker that fails is left behind with a warning: it never stops a run.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rise.evaluation.headline import HEADLINE, PAIRED, REPLIES, named, sizes
from rise.evaluation.held_out import read_held_out
from rise.jsonl import read_json, write_whole
from rise.recipe.config import RunConfig
from rise.recipe.public import public_recipe
from rise.runs import stages
from rise.runs.alarms import Alarm
from rise.runs.destinations import DESTINATIONS, Destination
from rise.runs.directory import RunDir, StageDir

if TYPE_CHECKING:
    from rise.play.player import Usage
    from rise.runs.context import Progress
    from rise.runs.preflight import Ready

STATE = "trackers.json"
PublicReport = Callable[[Path, Path], Path]
"""Writes the page of a run directory, and its text beside it, into a folder, fit to be handed on; returns the page."""
PART_FACTS = ("seconds", "n_replies", "n_prompt_tokens", "n_reply_tokens", "n_reused", "price")


def stage_numbers(stage: StageDir) -> dict[str, float]:
    """What is said of a measured stage: accuracy by turn, headline metrics, differences, each with the ends of its interval,
    shares of replies that hold no answer or are cut, examples trained on."""
    metrics = stage.read_metrics()
    out: dict[str, float] = {"round": float(stages.round_number(stage.name))}
    for k, estimate in enumerate(metrics["accuracy_by_turn"], 1):
        out |= _estimate(f"accuracy/turn_{k}", estimate)
    size = sizes(metrics)
    for group, names in (
        ("metric", named(HEADLINE, *size)),
        ("difference", named(PAIRED, *size)),
        ("replies", named(REPLIES, *size)),
    ):
        for name in names:
            out |= _estimate(f"{group}/{name.key}", name.find(metrics))
    if stage.held_out.exists():
        turns = [turn for record in read_held_out(stage.held_out) for turn in record.run]
        out["replies/cut"] = sum(turn.finish == "length" for turn in turns) / max(1, len(turns))
    if stage.dataset.exists():
        out["examples"] = float(stage.read_dataset().get("n_examples") or 0)
    return out


def part_numbers(event: Mapping[str, Any]) -> dict[str, float]:
    """What a part took: seconds, replies, tokens, price.

    >>> part_numbers({"stage": "base", "part": "evaluate", "seconds": 1.5, "n_replies": 24, "price": None})
    {'part/evaluate/seconds': 1.5, 'part/evaluate/n_replies': 24.0}
    """
    return {f"part/{event['part']}/{name}": float(event[name]) for name in PART_FACTS if event.get(name) is not None}


def _estimate(key: str, plain: Any) -> dict[str, float]:
    if not isinstance(plain, Mapping) or plain.get("value") is None:
        return {}
    ends = {f"{key}/{end}": float(plain[end]) for end in ("low", "high") if plain.get(end) is not None}
    return {key: float(plain["value"]), **ends}


class Tracked:
    """A progress that is handed on, and the trackers that hear of it."""

    def __init__(self, progress: Progress, config: RunConfig, run: RunDir) -> None:
        self.progress, self.config, self.run = progress, config, run
        self.open: dict[str, Destination] = {}
        self.state: dict[str, dict[str, Any]] = {}

    def start(self, ready: Ready) -> None:
        self.progress.start(ready)
        path = self.run.path / STATE
        self.state = read_json(path) if path.exists() else {}
        for name in self.config.track.to:
            self._try(name, lambda name=name: self._enter(name))  # type: ignore[misc]
        self._send()

    def begin(self, stage: str, part: str, total: int) -> None:
        self._send()
        self.progress.begin(stage, part, total)

    def advance(self, done: int, usage: Usage | None = None, note: str = "") -> None:
        self.progress.advance(done, usage, note)

    def end(self) -> None:
        self.progress.end()

    def stage_done(self, stage: StageDir) -> None:
        self.progress.stage_done(stage)
        self._send()

    def alarm(self, alarm: Alarm) -> None:
        self.progress.alarm(alarm)

    def finish(self, *, failed: bool, report: PublicReport | None = None) -> None:
        """The last numbers; where the run has come to its end, its report; then every tracker is closed."""
        self._send()
        if self.open and not failed and report is not None:
            with tempfile.TemporaryDirectory() as folder:  # trackers take a copy at once
                page = report(self.run.path, Path(folder))
                for name in list(self.open):
                    self._try(name, lambda name=name: self.open[name].artifact(page))  # type: ignore[misc]
        for name in list(self.open):
            self._try(name, lambda name=name: self.open[name].close(failed))  # type: ignore[misc]
        self.open = {}

    def _enter(self, name: str) -> None:
        settings = self.config.track
        known = self.state.setdefault(name, {"id": None, "events": 0, "stages": []})
        run_name = settings.name or self.run.path.resolve().name
        tracker = DESTINATIONS[name](self.run.path, settings.project, run_name, known["id"], public_recipe(self.config))
        self.open[name], known["id"] = tracker, tracker.id
        self._remember()

    def _send(self) -> None:
        """To each tracker what it has not had: ends of parts from the log, stages from their files."""
        if not self.open:
            return
        events = [event for event in self.run.read_log() if "part" in event and "step" not in event and "alarm" not in event]
        measured = self.run.stages()
        for name in list(self.open):
            self._try(name, lambda name=name: self._send_to(name, events, measured))  # type: ignore[misc]
        self._remember()

    def _send_to(self, name: str, events: list[dict[str, Any]], measured: list[StageDir]) -> None:
        tracker, known = self.open[name], self.state[name]
        for event in events[known["events"] :]:
            if stages.is_stage(str(event.get("stage"))):
                tracker.log(part_numbers(event), stages.order(event["stage"]))
        known["events"] = len(events)
        for stage in measured:
            if stage.name not in known["stages"]:
                tracker.log(stage_numbers(stage), stages.order(stage.name))
                known["stages"].append(stage.name)

    def _remember(self) -> None:
        write_whole(self.run.path / STATE, json.dumps(self.state, indent=1) + "\n")

    def _try(self, name: str, do: Callable[[], None]) -> None:
        """A tracker in trouble, whatever its library raises, is left behind."""
        try:
            do()
        except Exception as error:
            self.open.pop(name, None)
            warnings.warn(f"track: {name} is left behind ({type(error).__name__}: {error}); the run goes on.", stacklevel=2)


@contextmanager
def tracking(config: RunConfig, run: Path, progress: Progress, report: PublicReport | None = None) -> Iterator[Progress]:
    """A progress that also tells the trackers that the recipe names; `progress` itself where it names none.

    `report` writes what goes to them as an artifact when the run has come to its end.
    """
    if not config.track.to:
        yield progress
        return
    tracked = Tracked(progress, config, RunDir(run))
    failed = True
    try:
        yield tracked
        failed = False
    finally:
        tracked.finish(failed=failed, report=report)
