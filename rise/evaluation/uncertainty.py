"""Intervals that know replies to one problem belong together, and that do not collapse at 0, at 1 or at "no difference".

Problems are drawn independently; the five replies to one problem are not. So every interval here is *clustered by problem*,
and none is the textbook Wald one, whose width is 0 when all is right, all is wrong, or two runs agree everywhere.

Shares and ratios: the score interval with continuity correction (Newcombe 1998, method 4) at an effective sample size (Kish
1965), whose design effect is taken for the worst where too few problems show it. Where it is taken as observed (Korn & Graubard
1998), rare and correlated events are covered too little: `benchmarks/coverage.py`.
Paired differences: Bonett and Price's adjusted interval (2012; after Agresti & Min 2005), carried to values between 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = Sequence[float] | NDArray[np.float64]

Z_95 = NormalDist().inv_cdf(0.975)
"""1.96, the normal quantile of a two-sided 95 % interval."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float | None
    """None where there was nothing to count. Nothing is not zero."""
    low: float | None
    high: float | None
    n: int
    """What the value is a share of: problems for a mean over problems, replies for a share of replies."""

    def to_json(self) -> dict[str, Any]:
        """As it stands in metrics.json."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


NOTHING = Estimate(None, None, None, 0)
"""The estimate of something that was never observed, or that has no meaning here."""


def share_interval(p: float, n: float) -> tuple[float, float]:
    """95 % interval of a share `p` of `n` draws: score with continuity correction, Newcombe 1998; `n` ≥ 1 need not be whole.

    Its coverage is 95 % or more wherever Clopper and Pearson's is, without a quantile of the beta distribution. At 0 and 1 it is
    theirs, 1 − .025^(1/n): none of 10 gives 0 … 1 − .025^.1.

    >>> [round(end, 4) for end in share_interval(0.0, 10)], [round(end, 4) for end in share_interval(0.5, 10)]
    ([0.0, 0.3085], [0.2014, 0.7986])
    """
    if p <= 0.0 or p >= 1.0:
        end = 0.025 ** (1 / n)
        return (0.0, 1 - end) if p <= 0.0 else (end, 1.0)
    # 1 − (1 − p) may be rounded to the wrong side of p.
    return min(p, max(0.0, 1 - _high_end(1 - p, n))), min(1.0, _high_end(p, n))


def _high_end(p: float, n: float) -> float:
    """(2np + z² + 1 + z √(z² + 2 − 1/n + 4p(n(1 − p) − 1))) / 2(n + z²), never below the end at 0 (fewer than 4 draws)."""
    z2 = Z_95 * Z_95
    root = math.sqrt(z2 + 2 - 1 / n + 4 * p * (n * (1 - p) - 1))
    return max(p, 1 - 0.025 ** (1 / n), (2 * n * p + z2 + 1 + Z_95 * root) / (2 * (n + z2)))


def effective_n(numerators: Values, denominators: Values) -> float:
    """How many independent draws the ratio Σ numerators / Σ denominators is worth, one entry of each per problem: n / deff.

    The design effect compares the clustered variance with that of n independent draws (Kish 1965):

        Var = m/(m−1) · Σ (xᵢ − p·dᵢ)² / (Σ dᵢ)²     over the m problems with dᵢ > 0 (linearised ratio)
        D   = Var · (n−1) / p(1−p), at least 1        as observed; n = Σ dᵢ
        C   = Σ dᵢ² / n                               if the replies to each problem were copies of one another
        deff = max(D, (s·D + C·C) / (s + C))          s problems in which the rarer outcome was seen

    A rare event says little of its own correlation: one problem with one event of five looks like independent replies, however
    alike they are. So C problems of copies, as many as a problem has replies, are supposed beside the s that were seen. Hence

    - p = 0 or 1, or a single problem: deff = C, so that m problems of equal size are m draws.
    - One value a problem (C = 1): n_eff = m, however the values spread.
    - n_eff ≤ n. Problems more alike than chance would have them (all half right: Var = 0) earn nothing for it.

    >>> effective_n([1, 0, 0, 1], [1, 1, 1, 1])
    4.0
    >>> round(effective_n([4, 0, 0, 4], [4, 4, 4, 4]), 6)  # 16 replies, but each problem's four agree: D = 5, C = 4
    3.2
    >>> round(effective_n([1, 0, 0, 0], [5, 5, 5, 5]), 6)  # D = 1, C = 5, s = 1: deff = 26/6
    4.615385
    """
    x, d = _ratio_terms(numerators, denominators)
    m, n = len(d), float(d.sum())
    p = float(x.sum()) / n
    copies = max(1.0, float((d * d).sum()) / n)
    if m == 1 or not 0.0 < p < 1.0:
        return n / copies
    variance = m / (m - 1) * float(((x - p * d) ** 2).sum()) / n**2
    observed = max(1.0, variance * (n - 1) / (p * (1 - p)))
    seen = min(int((x > 0).sum()), int((x < d).sum()))
    return max(1.0, n / max(observed, (seen * observed + copies * copies) / (seen + copies)))


def ratio(numerators: Values, denominators: Values) -> Estimate:
    """Σ numerators / Σ denominators over problems, 0 ≤ numerator ≤ denominator, with `share_interval` at `effective_n`.

    `n` is Σ denominators. A problem with denominator 0 (no wrong reply to repair, say) takes no part.

    >>> ratio([0, 0], [0, 0]) == NOTHING
    True
    """
    x, d = _ratio_terms(numerators, denominators)
    if len(d) == 0:
        return NOTHING
    n = float(d.sum())
    p = min(1.0, max(0.0, float(x.sum()) / n))
    low, high = share_interval(p, max(1.0, effective_n(x, d)))
    return Estimate(p, low, high, round(n))


def mean(values: Values) -> Estimate:
    """Mean of one value in [0, 1] per problem; `share_interval` of as many draws as there are values.

    Fractions (tied votes) spread less than 0/1 outcomes, so for them the interval is on the safe side.

    >>> e = mean([1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    >>> e.value, round(e.low, 3), round(e.high, 3), e.n
    (0.1, 0.005, 0.459, 10)
    """
    return ratio(values, np.ones(len(values)))


def paired_difference(left: Values, right: Values) -> Estimate:
    """Mean of left − right over problems, each value in [0, 1], with Bonett and Price's interval.

    For 0/1 outcomes they add 1 to both discordant cells of the 2×2 table and take the Wald interval. In terms of the
    differences dᵢ ∈ [−1, 1] that is one pseudo-problem at +1 and one at −1, which is how it stands here:

        N = m + 2,   d̃ = Σ dᵢ / N,   Var = ((Σ dᵢ² + 2) / N − d̃²) / N,   d̃ ± 1.96 √Var, cut to [−1, 1]

    The value is the plain mean; it always lies inside. Runs that agree on all of m problems get ± 2.77 / (m + 2).
    Agresti and Min add half as much to the squares (+1). That is not enough here: revision mostly changes answers one way,
    and with 2 changes expected among 200 problems, none the other way, their interval covers 87 % of the time, this one > 99 %.

    >>> e = paired_difference([1, 0, 1, 0, 1, 0, 1, 0], [1, 0, 1, 0, 1, 0, 1, 0])
    >>> e.value, round(e.low, 3), round(e.high, 3), e.n
    (0.0, -0.277, 0.277, 8)
    """
    d = np.asarray(left, dtype=float) - np.asarray(right, dtype=float)
    m = len(d)
    if m == 0:
        return NOTHING
    value = float(d.mean())
    size = m + 2
    centre = float(d.sum()) / size
    half = Z_95 * math.sqrt(((float((d * d).sum()) + 2) / size - centre * centre) / size)
    return Estimate(value, max(-1.0, min(value, centre - half)), min(1.0, max(value, centre + half)), m)


def _ratio_terms(numerators: Values, denominators: Values) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, d = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    counted = d > 0
    return x[counted], d[counted]
