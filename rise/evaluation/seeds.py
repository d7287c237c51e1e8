"""One number over several trainings: its mean, the interval of the spread between them, and the problems' own.

Two sources of chance, two intervals. Over *seeds*: Student's t on the k values, k − 1 degrees of freedom (Student 1908), which
holds the spread between trainings on these problems. Over *problems*: the intervals of `uncertainty.py` on what each problem
scores on average over the seeds, which hold the choice of problems for these trainings. A claim needs both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from rise.evaluation.headline import Metric
from rise.evaluation.uncertainty import NOTHING, Estimate


def t_95(df: int) -> float:
    """The quantile of a two-sided 95 % interval of Student's t with `df` degrees of freedom.

    By halving on its distribution, which for whole `df` is a finite sum (Abramowitz & Stegun 26.7.3 and 26.7.4).

    >>> [round(t_95(df), 3) for df in (1, 2, 3, 4, 9, 30)]
    [12.706, 4.303, 3.182, 2.776, 2.262, 2.042]
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(middle, df) < 0.95 else (low, middle)
    return math.sqrt(df) * math.tan(low)


def _inside(theta: float, df: int) -> float:
    """P(|T| < √df · tan θ)."""
    odd = df % 2
    term = math.cos(theta) if odd else 1.0
    total = 0.0
    for j in range(1 + odd, df, 2):
        total += term
        term *= math.cos(theta) ** 2 * j / (j + 1)
    total *= math.sin(theta)
    return 2 / math.pi * (theta + total) if odd else total


def t_tail(t: float, df: int) -> float:
    """P(T > t) of Student's t: the one-sided p-value of a mean that lies t standard errors above the null.

    >>> [round(t_tail(t, df), 4) for t, df in ((2.920, 2), (4.303, 2), (0.0, 4), (-2.920, 2))]
    [0.05, 0.025, 0.5, 0.95]
    """
    outside = (1 - _inside(math.atan(abs(t) / math.sqrt(df)), df)) / 2
    return outside if t >= 0 else 1 - outside


def over_seeds(values: Sequence[float], *, least: float = 0.0, most: float = 1.0) -> Estimate:
    """Mean ± t · s/√k of one value a training, cut at what is possible; n is k. One training has no spread, so no interval.

    Values .60, .65, .70: mean .65, s = .05, t = 4.303, half the width 4.303 · .05/√3 = .1242.

    >>> found = over_seeds([0.60, 0.65, 0.70])
    >>> round(found.value, 4), round(found.low, 4), round(found.high, 4), found.n
    (0.65, 0.5258, 0.7742, 3)
    >>> over_seeds([0.6])
    Estimate(value=0.6, low=None, high=None, n=1)
    """
    k = len(values)
    if k == 0:
        return NOTHING
    centre = fmean(values)
    if k == 1:
        return Estimate(centre, None, None, 1)
    half = t_95(k - 1) * stdev(values) / math.sqrt(k)
    return Estimate(centre, max(least, centre - half), min(most, centre + half), k)


def at_turn(k: int) -> Metric:
    """The share right at turn k, counted from 1; a run that an oracle stopped stands as it ended."""
    return Metric(f"turn {k}", f"turn {k}", "", lambda p: float(p.run[min(k, len(p.run)) - 1].right))


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """One metric or difference at one stage, over the trainings of a recipe."""

    by_seed: Mapping[int, Estimate]
    """Of each seed that has been measured: its own value, and its interval over problems."""
    seeds: Estimate
    """The mean over seeds, and the interval of the spread between them."""
    problems: Estimate
    """The same over problems, each by its mean over seeds."""

    @property
    def values(self) -> list[float]:
        """Of each training in which the number exists."""
        return [estimate.value for estimate in self.by_seed.values() if estimate.value is not None]

    @property
    def n_above(self) -> int:
        """In how many seeds the interval lies above zero."""
        return sum(estimate.low is not None and estimate.low > 0 for estimate in self.by_seed.values())

    @property
    def both(self) -> Estimate:
        """The mean with the least interval that holds both, so that it leaves out zero only where both do.

        >>> over = OverSeeds({}, Estimate(0.3, 0.1, 0.5, 3), Estimate(0.3, 0.2, 0.6, 100))
        >>> over.both
        Estimate(value=0.3, low=0.1, high=0.6, n=100)
        """
        lows, highs = (self.seeds.low, self.problems.low), (self.seeds.high, self.problems.high)
        if None in (*lows, *highs):
            return Estimate(self.seeds.value, None, None, self.problems.n)
        return Estimate(self.seeds.value, min(map(_known, lows)), max(map(_known, highs)), self.problems.n)

    @property
    def known(self) -> Estimate:
        """`both`; of one training the problems' interval alone, of a number without problems (a loss) the trainings'."""
        if self.seeds.low is None and self.problems.value is not None:
            return self.problems
        return self.seeds if self.problems.low is None else self.both


def _known(value: float | None) -> float:
    assert value is not None
    return value


@dataclass(frozen=True, slots=True)
class StageOverSeeds:
    """One stage over the seeds that have measured it."""

    name: str
    seeds: tuple[int, ...]
    n_turns: int
    n_samples: int
    numbers: Mapping[str, OverSeeds]
    """Headline metrics, shares of replies and paired differences, by their names in metrics.json."""
    by_turn: tuple[OverSeeds, ...]
    """The last reply at turns 1 … K, without a vote."""
