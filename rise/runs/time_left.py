"""The parts of a whole run before it begins, how much work each is, and from that how long the rest will take."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rise.play.player import Usage
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
        steps.append(Step("boost-one-turn", "train", _lessons(ready) * boost.train.epochs))
        if "boost-one-turn" in stages.expected(config.model_dump()):
            steps += [Step("boost-one-turn", "evaluate", n * asked), *_rates(ready, "boost-one-turn")]
        if share:
            steps.append(Step("boost", "rollout", n_boost * share))
            steps.append(Step("boost", "train", n_boost * (boost.train_multi_turn or boost.train).epochs))
            steps += [Step("boost", "evaluate", n * asked), *_rates(ready, "boost")]
    for k in range(1, config.iterate.rounds + 1):
        steps += _round(ready, k)
    return [Step(step.stage, step.part, max(1.0, step.work)) for step in steps]


def _lessons(ready: Ready) -> float:
    """Examples of the one-turn boost: a solution for each problem, or as many skills as the first of them give."""
    if ready.config.boost.material == "solutions":
        return len(ready.boost)
    some = ready.boost[:100]
    return sum(1 for _ in ready.task.skills(some, random.Random(0)) or ()) / max(1, len(some)) * len(ready.boost)


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
"""Share of a part that must be done before it says how long the rest takes."""
TELLING_UNPLANNED = 0.1
"""The same where problems are counted, not replies: the first to end has all that are drawn with it under way."""


@dataclass(slots=True)
class Pace:
    """How fast a part goes, from its first word on: the start of an engine and steps of an earlier process teach no speed."""

    began: float
    """By the clock, in seconds."""
    telling: float = TELLING
    ready: float | None = None
    """When its first word came; None before."""
    first: float = 0.0
    """Share that was done by then."""
    share: float = 0.0
    """What is done of the part, 0 … 1."""
    reused: float = 0.0
    """Share that was read back from the ledger, which takes no time."""

    def advance(self, now: float, share: float, reused: float = 0.0) -> None:
        """So much of the part is done."""
        if self.ready is None:
            self.ready, self.first = now, share - reused
        self.share, self.reused = share, reused

    def worked_s(self, now: float) -> float:
        """Seconds since its first word; since it began, where none came before now."""
        return now - (self.ready if self.ready is not None and self.ready < now else self.began)

    @property
    def fresh(self) -> float:
        """Share that was done while time was taken."""
        return max(0.0, self.share - self.reused - self.first)

    def whole_s(self, now: float) -> float | None:
        """Seconds that the whole part takes at the speed so far; None before one can tell."""
        return (now - self.ready) / self.fresh if self.ready is not None and self.fresh >= self.telling else None

    def left_s(self, now: float) -> float | None:
        """Seconds to its end; None before one can tell."""
        whole_s = self.whole_s(now)
        return None if whole_s is None else whole_s * (1 - self.share)


class Outlook:
    """How far a run is, told part by part. Replies and training are timed apart, since one says nothing of the other."""

    def __init__(self, steps: Sequence[Step], clock: Callable[[], float] = time.monotonic) -> None:
        self.steps, self.clock = steps, clock
        self.at = -1
        """Index of the part at work; those before it are done, in this process or an earlier one."""
        self._pace: Pace | None = None
        """Of the part at work; None between parts."""
        self._seconds: dict[bool, float] = defaultdict(float)
        self._work: dict[bool, float] = defaultdict(float)
        """Of the parts that ended in this process, by whether a policy was asked."""
        self._start: dict[bool, float] = {}
        """Seconds that the last part of a kind took to begin its work."""
        self._share = 0.0

    def begin(self, stage: str, part: str) -> None:
        """The part that now works; one that is not planned is none of the steps."""
        found = next((i for i, s in enumerate(self.steps) if i > self.at and (s.stage, s.part) == (stage, part)), None)
        if found is not None:
            self.at, self._pace = found, Pace(self.clock())

    def shares(self, usage: Usage) -> tuple[float, float]:
        """(share of the part at work that its replies are, share that was read back); zeros where it is none of the steps."""
        if self._pace is None:
            return 0.0, 0.0
        work = self.steps[self.at].work
        share = (usage.n_replies + usage.n_reused) / work
        return (share if share <= 1 else 0.0), min(1.0, usage.n_reused / work)  # more than were planned say nothing

    def advance(self, share: float, reused: float = 0.0) -> None:
        """So much of the part at work is done, `reused` of it read back from the ledger."""
        if self._pace is not None:
            self._pace.advance(self.clock(), share, reused)

    def end(self) -> None:
        """The part at work has ended."""
        if self._pace is None:
            return
        pace, step, now = self._pace, self.steps[self.at], self.clock()
        whole_s = pace.whole_s(now)
        if pace.ready is not None and whole_s is not None:
            self._seconds[_asks(step)] += now - pace.ready
            self._work[_asks(step)] += step.work * pace.fresh
            self._start[_asks(step)] = max(0.0, pace.ready - pace.began - pace.first * whole_s)
        elif not pace.reused:  # it said one word, or none
            self._seconds[_asks(step)] += now - pace.began
            self._work[_asks(step)] += step.work
        self._pace = None

    @property
    def left_s(self) -> float | None:
        """Seconds to the end of the run at the speed of its parts so far; None before one can tell, for a part to come too."""
        rate = self._rate()
        if self.at < 0 or any(_asks(step) not in rate for step in self.steps[self.at + 1 :]):
            return None
        now_s = self._part_s(rate)
        return None if now_s is None else now_s + sum(self._takes(step, rate) for step in self.steps[self.at + 1 :])

    @property
    def share(self) -> float:
        """Of the run's time, what is behind it, 0 … 1. It never falls, whatever the speed of a new part teaches."""
        rate = self._rate()
        if self.at >= 0 and rate:
            known = {kind: rate.get(kind, rate.get(not kind, 0.0)) for kind in (True, False)}
            left = (self._part_s(known) or 0.0) + sum(self._takes(step, known) for step in self.steps[self.at + 1 :])
            whole = sum(self._takes(step, known) for step in self.steps)
            self._share = max(self._share, 1 - left / whole if whole else 0.0)
        return self._share

    def _part_s(self, rate: Mapping[bool, float]) -> float | None:
        """Seconds to the end of the part at work: by its own speed, else by that of its kind."""
        if self._pace is None:
            return 0.0
        step, left_s = self.steps[self.at], self._pace.left_s(self.clock())
        if left_s is not None or _asks(step) not in rate:
            return left_s
        return (1 - self._pace.share) * step.work * rate[_asks(step)]

    def _takes(self, step: Step, rate: Mapping[bool, float]) -> float:
        return self._start.get(_asks(step), 0.0) + step.work * rate[_asks(step)]

    def _rate(self) -> dict[bool, float]:
        """Seconds a unit of work, of replies (True) and of training, as far as they are known."""
        seconds, work = dict(self._seconds), dict(self._work)
        pace = self._pace
        if pace is not None and pace.ready is not None and pace.fresh >= pace.telling:
            kind = _asks(self.steps[self.at])
            seconds[kind] = seconds.get(kind, 0.0) + self.clock() - pace.ready
            work[kind] = work.get(kind, 0.0) + pace.fresh * self.steps[self.at].work
        return {kind: seconds[kind] / work[kind] for kind in work if work[kind]}


def _asks(step: Step) -> bool:
    return stages.part(step.part).asks
