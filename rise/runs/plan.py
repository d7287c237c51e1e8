"""The parts of a whole run before it begins, how much work each is, and from that how long the rest will take."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rise.recipe.config import RunConfig
from rise.recipe.improvers import IMPROVERS
from rise.recipe.problems import student_turns
from rise.runs import stages
from rise.runs.preflight import Ready
from rise.runs.takeover import takes_collection


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a stage that a run will do."""

    stage: str
    part: str
    work: float
    """How many replies are drawn, or how many examples pass through training; at least 1."""


def planned(ready: Ready) -> list[Step]:
    """Every part of the run, in order. Counts that depend on what the model does (runs that stop when right) are upper ends."""
    config, n = ready.config, len(ready.held_out)
    asked = _asked(config, last=False)
    steps = [Step("base", "evaluate", min(n, config.evaluate.n_base or n) * asked), *_rates(ready, "base")]
    boost = config.boost
    if boost.enabled:
        n_boost, share = len(ready.boost), boost.multi_turn_share
        steps.append(Step("boost-one-turn", "train", n_boost * boost.train.epochs))
        if "boost-one-turn" in stages.expected(config.model_dump()):
            steps += [Step("boost-one-turn", "evaluate", n * asked), *_rates(ready, "boost-one-turn")]
        if share:
            steps.append(Step("boost", "rollout", n_boost * share))
            steps.append(Step("boost", "train", n_boost * (boost.train_multi_turn or boost.train).epochs))
            steps += [Step("boost", "evaluate", n * asked), *_rates(ready, "boost")]
    for k in range(1, config.iterate.rounds + 1):
        steps += _round(ready, k)
    return [Step(step.stage, step.part, max(1.0, step.work)) for step in steps]


def _asked(config: RunConfig, *, last: bool) -> int:
    """Replies to one held-out problem, the control's included."""
    settings = config.evaluate
    control = settings.controls == "all" or (settings.controls == "last" and last)
    return settings.samples + (settings.turns - 1) * (2 if control else 1)


def _round(ready: Ready, k: int) -> list[Step]:
    config, name = ready.config, stages.round_name(k)
    turns, relabel = student_turns(config, k), config.relabel
    asks = IMPROVERS[relabel.improver].asks is not None
    trajectories = len(ready.problems(k)) * config.rollout.n_trajectories
    states = trajectories * (turns if relabel.states == "every" else 1)
    steps = []
    if not takes_collection(config, k):
        steps += [Step(name, "rollout", trajectories * turns), Step(name, "relabel", states * relabel.n_samples if asks else 1)]
        if relabel.select == "judge" and asks:
            steps.append(Step(name, "select", states))
    rounds = k if config.dataset.data == "aggregate" else 1
    examples = states + (trajectories * turns if config.keep.trained_turns == "all" else 0)
    if config.advantage is not None:
        examples = trajectories * turns + (states * relabel.n_samples if asks else 0)
    steps.append(Step(name, "train", rounds * examples * config.train.epochs))
    last = k == config.iterate.rounds
    measure = [Step(name, "evaluate", len(ready.held_out) * _asked(config, last=last))]
    if last and config.evaluate.internalised:
        n_rounds = k if config.iterate.start == "previous" else 1
        steps.append(Step(name, "internalise", n_rounds * rounds * examples * config.train.epochs))
        measure.append(Step(name, "evaluate", len(ready.held_out) * config.evaluate.samples))
    return [*steps, *measure, *_rates(ready, name)]


def _rates(ready: Ready, stage: str) -> list[Step]:
    """Two turns on the validation problems of the chain."""
    return [Step(stage, "evaluate", 2 * len(ready.rates))] if ready.rates else []


TELLING = 0.02
"""Share of a part that must be done before it says how long the rest takes: the first of a thousand replies that are drawn
together ends with all of the others under way."""


class Outlook:
    """How far a run is, told part by part. Replies and training are timed apart, since one says little of the other."""

    def __init__(self, steps: Sequence[Step], clock: Callable[[], float] = time.monotonic) -> None:
        self.steps, self.clock = steps, clock
        self.at = -1
        """Index of the part at work; those before it are done, in this process or an earlier one."""
        self._fraction = 0.0
        self._began, self._open = 0.0, False
        self._seconds: dict[bool, float] = defaultdict(float)
        self._work: dict[bool, float] = defaultdict(float)
        """Of the parts that ended in this process, by whether a policy was asked."""
        self._share = 0.0

    def begin(self, stage: str, part: str) -> None:
        """The part that now works; one that is not planned is none of the steps."""
        found = next((i for i, s in enumerate(self.steps) if i > self.at and (s.stage, s.part) == (stage, part)), None)
        if found is not None:
            self.at, self._fraction, self._began, self._open = found, 0.0, self.clock(), True

    def advance(self, done: float, total: float) -> None:
        """So much of the part at work is done."""
        self._fraction = min(1.0, done / total) if total else 0.0

    def end(self) -> None:
        """The part at work has ended."""
        if self._open:
            step = self.steps[self.at]
            self._seconds[_asks(step)] += self.clock() - self._began
            self._work[_asks(step)] += step.work
            self._fraction, self._open = 1.0, False

    @property
    def left_s(self) -> float | None:
        """Seconds to the end of the run at the speed of its parts so far; None before one can tell."""
        if self.at < 0 or (rate := self._rate()) is None:
            return None
        rest = sum(step.work * rate[_asks(step)] for step in self.steps[self.at + 1 :])
        now = self.steps[self.at]
        return rest + (1 - self._fraction) * now.work * rate[_asks(now)]

    @property
    def share(self) -> float:
        """Of the run's time, what is behind it, 0 … 1. It never falls, whatever the speed of a new part teaches."""
        left, rate = self.left_s, self._rate()
        if left is not None and rate is not None:
            whole = sum(step.work * rate[_asks(step)] for step in self.steps)
            self._share = max(self._share, 1 - left / whole if whole else 0.0)
        return self._share

    def _rate(self) -> dict[bool, float] | None:
        """Seconds a unit of work, of replies and of training; what has not been done yet takes as long as the other."""
        seconds, work = dict(self._seconds), dict(self._work)
        if self._open and self._fraction >= TELLING:
            kind = _asks(self.steps[self.at])
            seconds[kind] = seconds.get(kind, 0.0) + self.clock() - self._began
            work[kind] = work.get(kind, 0.0) + self._fraction * self.steps[self.at].work
        known = {kind: seconds[kind] / work[kind] for kind in work if work[kind]}
        return {kind: known.get(kind, known.get(not kind, 0.0)) for kind in (True, False)} if known else None


def _asks(step: Step) -> bool:
    return stages.part(step.part).asks
