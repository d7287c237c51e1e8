"""Further measurements of a stage's checkpoint: more turns, other words, other problems; and the readings that no run writes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rise.evaluation.analyses import first_reply_weights
from rise.evaluation.detector import detect
from rise.evaluation.held_out import read_held_out, write_held_out
from rise.evaluation.temperature import TemperatureDir, best_temperature
from rise.evaluation.vote import vote, weighted_vote
from rise.jsonl import dumps, read_json, write_jsonl, write_whole
from rise.method.claims.experiment import Probe
from rise.method.evaluate import numbers, play_held_out
from rise.play.player import play_out
from rise.recipe.config import RunConfig
from rise.recipe.problems import counted
from rise.recipe.toml import build_config, merged
from rise.runs.context import RunContext, open_context
from rise.runs.preflight import preflight
from rise.task import Problem
from rise.trajectory import to_json

NAME = "probe"
"""Of the stage that a probe's part of the ledger is filed under."""


@dataclass(frozen=True, slots=True)
class ProbeDir:
    """Where a probe keeps what it found."""

    path: Path

    @property
    def held_out(self) -> Path:
        return self.path / "held-out.jsonl"

    @property
    def metrics(self) -> Path:
        """What `rise evaluate --out` would write; of kind `evaluate` alone."""
        return self.path / "metrics.json"

    @property
    def scores(self) -> Path:
        """Reading → problem → what it scored; of the kinds that are no plain evaluation."""
        return self.path / "scores.json"

    @property
    def done(self) -> Path:
        """Written last: how long it took."""
        return self.path / "done.json"

    def read_scores(self) -> dict[str, dict[str, float]]:
        return read_json(self.scores) if self.scores.exists() else {}


def probe_name(stage: str, probe: Probe) -> str:
    """Stage and hash: its directory beside the arm's runs.

    >>> probe_name("round-2", Probe()) == probe_name("round-2", Probe(not_at=["quick"]))
    True
    """
    return f"{stage}-{hashlib.sha256(dumps([probe.kind, probe.set]).encode()).hexdigest()[:8]}"


def probe_config(config: RunConfig, probe: Probe) -> RunConfig:
    """The recipe under which a checkpoint of `config` is measured once more. A state that a probe sets is over the recipe's."""
    data = config.model_dump(mode="json", exclude_none=True)
    data["evaluate"].setdefault("state", data["state"])
    return build_config(merged(data, probe.set), "probe")


def run_probe(config: RunConfig, kind: str, checkpoint: Path, out: ProbeDir) -> None:
    """Measure the checkpoint as `config` and the kind of probe say. Nothing where it is done; what a kill left is continued."""
    if out.done.exists():
        return
    began = time.perf_counter()
    ready = preflight(config, "measure", policy=str(checkpoint))
    out.path.mkdir(parents=True, exist_ok=True)
    with open_context(ready, out.path / "ledger.jsonl", directory=out.path) as context:
        _KINDS[kind](context, list(ready.held_out), checkpoint, out)
    write_whole(out.done, json.dumps({"seconds": round(time.perf_counter() - began, 3), "checkpoint": str(checkpoint)}) + "\n")


def _evaluate(context: RunContext, problems: Sequence[Problem], model: Path, out: ProbeDir) -> None:
    records = play_held_out(context, NAME, problems, model, control=False, purpose=NAME)
    write_held_out(out.held_out, records)
    write_whole(
        out.metrics, json.dumps({"policy": str(model), "task": context.config.task.name} | numbers(context, records)) + "\n"
    )


def _detector(context: RunContext, problems: Sequence[Problem], model: Path, out: ProbeDir) -> None:
    player = context.player(context.policy(model), NAME, measured=True)
    shown = play_out(player, detect(player, problems))
    write_jsonl(out.path / "shown.jsonl", (to_json(record) for record in shown))
    kept, seen = ({s.problem_id: float(getattr(s, name)) for s in shown} for name in ("kept", "seen"))
    _write_scores(out, {"kept": kept, "seen": seen})


def _confidence(context: RunContext, problems: Sequence[Problem], model: Path, out: ProbeDir) -> None:
    """A vote over first replies, each with the geometric mean of its tokens' probabilities for a weight."""
    records = play_held_out(context, NAME, problems, model, control=False, purpose=NAME)
    write_held_out(out.held_out, records)
    player = context.player(context.policy(model), NAME, measured=True)
    weights = play_out(player, first_reply_weights(player, problems, records))
    confident = {
        record.problem_id: weighted_vote(record.parallel, weights[record.problem_id], context.judge.same) for record in records
    }
    _write_scores(out, {"confident": confident})


def _temperature(context: RunContext, problems: Sequence[Problem], model: Path, out: ProbeDir) -> None:
    config = context.config
    validation = counted(context.ready.task, "validation", config.task)
    player = context.player(context.policy(model), f"{NAME}/validation", measured=True)
    place = TemperatureDir(out.path)
    play_out(player, best_temperature(player, validation, problems, place, n_samples=config.evaluate.samples))
    records = read_held_out(place.held_out)
    _write_scores(out, {"best-vote": {r.problem_id: vote(r.parallel, context.judge.same)[-1] for r in records}})


def _write_scores(out: ProbeDir, scores: Mapping[str, Mapping[str, float]]) -> None:
    write_whole(out.scores, json.dumps(scores) + "\n")


_KINDS = {"evaluate": _evaluate, "detector": _detector, "confidence": _confidence, "temperature": _temperature}
