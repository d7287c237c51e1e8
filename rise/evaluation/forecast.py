"""Whether RISE will pay, before any training: what a model's replies as it is say of the gain over turns after it.

Training can teach a model to keep what is right and to try again where it is wrong; what it tries is what it could write before.
So the gain lies between two chains (`rise.evaluation.chain`): that of the model as it is, and one that repairs as often and
breaks nothing. Which of the two a task comes to depends on whether attempts can be told apart, of which `kept`, `seen` and the
AUC of the log-probability are signs. Finished runs say how much of the ceiling was reached; from few tasks nothing can be said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from rise.evaluation.chain import accuracy_after
from rise.evaluation.seeds import t_95
from rise.evaluation.uncertainty import NOTHING, Estimate

LEAST_TASKS = 4
"""Fewer tasks calibrate nothing: with one left out, a slope and its error need three."""

NAMES = ("accuracy", "headroom", "supply", "kept", "seen", "auc", "ecr", "eir", "ceiling")
"""What is measured, in the order in which it is shown."""


@dataclass(frozen=True, slots=True)
class Quantities:
    """What was read off a few hundred replies of a model as it is."""

    n_problems: int
    n_samples: int
    """N of headroom and supply."""
    accuracy: Estimate
    """Share of first replies that are right."""
    headroom: Estimate
    """p@N: any of N first replies right."""
    supply: Estimate
    """Of states after a wrong attempt, the share at which one of N replies is right: what self-improvement can learn from."""
    ecr: Estimate
    """Of wrong first replies, the share whose next is right."""
    eir: Estimate
    """Of right first replies, the share whose next is wrong."""
    kept: Estimate = NOTHING
    """Of right attempts shown, the share after which the reply is right; nothing without worked solutions."""
    seen: Estimate = NOTHING
    """Of attempts with a digit changed, the share not repeated."""
    auc: Estimate = NOTHING
    """Of pairs of a right and a wrong first reply, the share in which the right one is more probable a token; no interval."""
    prompt_tokens: float = 0.0
    """Mean prompt of a first reply."""
    reply_tokens: float = 0.0

    def gain(self, turns: int, *, keeps: bool) -> Estimate:
        """Turn K − turn 1 of the chain with these rates; `keeps`: with nothing right ever broken. The ends take the rates' ends.

        By hand: .2 right, .25 repaired, none broken, 3 turns: 1 − .8 · .75² = .55, which is + .35.

        >>> rate = lambda p: Estimate(p, p, p, 100)
        >>> found = Quantities(100, 8, rate(0.2), rate(0.9), rate(0.9), ecr=rate(0.25), eir=rate(0.8))
        >>> round(found.gain(3, keeps=True).value, 2), round(found.gain(2, keeps=False).value, 2)
        (0.35, 0.04)
        """
        if self.accuracy.value is None or self.ecr.value is None:
            return NOTHING
        first = self.accuracy.value
        eir = Estimate(0.0, 0.0, 0.0, 0) if keeps else self.eir
        if eir.value is None or None in (self.ecr.low, self.ecr.high, eir.low, eir.high):
            return NOTHING

        def at(ecr: float | None, broken: float | None) -> float:
            assert ecr is not None and broken is not None
            return accuracy_after(first, ecr, broken, turns) - first

        return Estimate(at(self.ecr.value, eir.value), at(self.ecr.low, eir.high), at(self.ecr.high, eir.low), self.n_problems)

    def values(self, turns: int) -> dict[str, float | None]:
        """Every quantity by name."""
        found: dict[str, Estimate] = {name: getattr(self, name) for name in NAMES if name != "ceiling"}
        return {name: e.value for name, e in found.items()} | {"ceiling": self.gain(turns, keeps=True).value}


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run: what its base said, and what came of it."""

    task: str
    quantities: Mapping[str, float | None]
    gain: float
    """Last turn − first, after the last round."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How much of the ceiling finished runs reached, and how far that is off on a task left out."""

    tasks: tuple[str, ...]
    share: float | None
    """Gain as a share of the ceiling, least squares through zero over task means; None where there are too few tasks."""
    error: float | None
    """Root of the mean squared error in gain over tasks, each forecast from the others. Unit: share."""
    worst: float | None
    n: int
    """Tasks that share and error are of: those with a ceiling."""
    correlations: Mapping[str, float]
    """Quantity → its correlation with the gain over tasks; only of quantities known on three tasks or more."""

    @property
    def calibrated(self) -> bool:
        return self.share is not None


def calibrate(runs: Sequence[Trained]) -> Calibration:
    """From finished runs; a task with several runs (seeds) counts with its means.

    Four tasks whose gain is half the ceiling everywhere are forecast without error:

    >>> runs = [Trained(t, {"ceiling": c}, c / 2) for t, c in zip("abcd", (0.1, 0.2, 0.3, 0.4))]
    >>> found = calibrate(runs)
    >>> round(found.share, 3), round(found.error, 3), round(found.correlations["ceiling"], 3)
    (0.5, 0.0, 1.0)
    >>> calibrate(runs[:3]).calibrated
    False
    """
    tasks = sorted({run.task for run in runs})
    means = [_mean([run for run in runs if run.task == task]) for task in tasks]
    correlations = {}
    for name in NAMES:
        pairs = [(value, run.gain) for run in means if (value := run.quantities.get(name)) is not None]
        r = correlation(pairs)
        if r is not None:
            correlations[name] = r
    known = [run for run in means if run.quantities.get("ceiling") is not None]
    if len(known) < LEAST_TASKS:
        return Calibration(tuple(tasks), None, None, None, len(known), correlations)
    misses = []
    for run in known:
        share = _share([other for other in known if other is not run])
        misses.append(abs(share * (run.quantities["ceiling"] or 0.0) - run.gain))
    error = math.sqrt(fmean(miss * miss for miss in misses))
    return Calibration(tuple(tasks), _share(known), error, max(misses), len(known), correlations)


def _mean(runs: Sequence[Trained]) -> Trained:
    names = {name for run in runs for name in run.quantities}
    known = {name: [v for run in runs if (v := run.quantities.get(name)) is not None] for name in names}
    means = {name: fmean(values) if values else None for name, values in known.items()}
    return Trained(runs[0].task, means, fmean(run.gain for run in runs))


def _share(runs: Sequence[Trained]) -> float:
    """c of gain = c · ceiling by least squares: Σ xy ÷ Σ x²."""
    pairs = [(run.quantities["ceiling"] or 0.0, run.gain) for run in runs]
    bottom = sum(x * x for x, _ in pairs)
    return sum(x * y for x, y in pairs) / bottom if bottom else 0.0


def correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Pearson's r; None of fewer than three pairs, or where one side does not vary.

    >>> correlation([(1, 2), (2, 4), (3, 6)]), correlation([(1, 1), (2, 2)]), correlation([(1, 5), (2, 5), (3, 5)])
    (1.0, None, None)
    """
    if len(pairs) < 3:
        return None
    mx, my = fmean(x for x, _ in pairs), fmean(y for _, y in pairs)
    sx = math.sqrt(sum((x - mx) ** 2 for x, _ in pairs))
    sy = math.sqrt(sum((y - my) ** 2 for _, y in pairs))
    if sx == 0 or sy == 0:
        return None
    return round(sum((x - mx) * (y - my) for x, y in pairs) / (sx * sy), 12)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What to expect of a run, and how to set it up."""

    quantities: Quantities
    turns: int
    floor: Estimate
    """Gain over turns if nothing is learnt: the chain of the model as it is."""
    ceiling: Estimate
    """Gain if the model learns to keep whatever is right, and to repair no better than it does."""
    gain: Estimate
    """The forecast, with Student's interval for one more task from the error on tasks left out. Not calibrated: no value, and an
    interval from the floor to the ceiling."""
    calibration: Calibration
    improver: str
    n_samples: int
    rounds: int
    tokens: float
    """Read and written by the run's replies, a teacher's among them, in all rounds."""
    price: float | None

    def to_json(self) -> dict[str, Any]:
        q = self.quantities
        return {
            "quantities": {name: getattr(q, name).to_json() for name in NAMES if name != "ceiling"},
            "n_problems": q.n_problems,
            "n_samples": q.n_samples,
            "turns": self.turns,
            "floor": self.floor.to_json(),
            "ceiling": self.ceiling.to_json(),
            "gain": self.gain.to_json(),
            "calibrated": self.calibration.calibrated,
            "calibration": {
                "tasks": list(self.calibration.tasks),
                "share": self.calibration.share,
                "error": self.calibration.error,
                "worst": self.calibration.worst,
                "correlations": dict(self.calibration.correlations),
            },
            "suggested": {"relabel.improver": self.improver, "relabel.n_samples": self.n_samples, "iterate.rounds": self.rounds},
            "tokens": round(self.tokens),
            "price": self.price,
        }


POOR_SUPPLY = 0.1
"""Below this share of wrong states with a right reply among N, best-of-N has nothing to teach; a teacher, by one reply, has."""


def forecast(
    quantities: Quantities,
    calibration: Calibration,
    *,
    turns: int = 5,
    n_train: int = 800,
    rounds: int = 2,
    price_prompt: float = 0.0,
    price_reply: float = 0.0,
) -> Forecast:
    """The forecast of a run of `rounds` rounds on `n_train` problems each; prices are per million tokens."""
    floor, ceiling = quantities.gain(turns, keeps=False), quantities.gain(turns, keeps=True)
    gain = _expected(floor, ceiling, calibration, quantities.n_problems)
    poor = (quantities.supply.value or 0.0) < POOR_SUPPLY
    n = 1 if poor else samples_for_half(quantities.ecr.value or 0.0)
    read, written = cost(quantities, n_train, rounds, n)
    price = (read * price_prompt + written * price_reply) / 1e6 if price_prompt or price_reply else None
    improver = "teacher" if poor else "self"
    return Forecast(quantities, turns, floor, ceiling, gain, calibration, improver, n, rounds, read + written, price)


def _expected(floor: Estimate, ceiling: Estimate, calibration: Calibration, n: int) -> Estimate:
    if ceiling.value is None or ceiling.high is None:
        return NOTHING
    if calibration.share is None or calibration.error is None:
        low = floor.low if floor.low is not None else 0.0
        return Estimate(None, min(low, ceiling.high), ceiling.high, n)
    value, half = calibration.share * ceiling.value, t_95(calibration.n - 1) * calibration.error
    return replace(ceiling, value=value, low=value - half, high=value + half)


def samples_for_half(once: float, least: int = 4, most: int = 32) -> int:
    """The smallest N, within bounds, for which one of N replies at a wrong state is right half the time, if each is this often.

    1 − .85⁴ = .478, 1 − .85⁵ = .556:

    >>> samples_for_half(0.15), samples_for_half(0.5), samples_for_half(0.0)
    (5, 4, 32)
    """
    if once >= 1:
        return least
    if once <= 0:
        return most
    return min(most, max(least, math.ceil(math.log(0.5) / math.log(1 - once) - 1e-9)))


def cost(q: Quantities, n_train: int, rounds: int, n_samples: int) -> tuple[float, float]:
    """(tokens read, tokens written) of collection and improvement: k turns in round k, N replies at each state; no evaluation.

    A state after k attempts shows the question k + 1 times and the attempts. One problem, prompts 10 and replies 4 tokens, one
    round, N = 2: the turn reads 10 and writes 4; the state reads 10 + 4 + 10, twice, and writes 8.

    >>> rate = Estimate(0.5, 0.5, 0.5, 1)
    >>> cost(Quantities(1, 2, rate, rate, rate, rate, rate, prompt_tokens=10, reply_tokens=4), 1, 1, 2)
    (58.0, 12.0)
    """
    read = written = 0.0
    for k in range(1, rounds + 1):
        for turn in range(k):
            read += n_train * _state(q, turn)
            written += n_train * q.reply_tokens
        for shown in range(1, k + 1):
            read += n_train * n_samples * _state(q, shown)
            written += n_train * n_samples * q.reply_tokens
    return read, written


def _state(q: Quantities, attempts: int) -> float:
    return (attempts + 1) * q.prompt_tokens + attempts * q.reply_tokens
