"""Whether an experiment bears a claim out: its interval over trainings and problems, a p-value, Holm's correction, the rule.

A claim is about a number, a sum of shares with signs ("t5 − t1"), and expects one of three things of it:

    more       above zero, and by as much as matters        holds: surely above 0, and the value is at least m
    not less   no loss that matters                         holds: surely above −m
    same       neither gain nor loss that matters           holds: surely between −m and m

with m the smallest difference that matters, fixed before the experiment is run. "Surely" is meant over trainings (Student's t)
*and* over problems, and twice: the one-sided p-value, after Holm's correction for the number of claims, is below .05, and the
95 % interval lies there whole. The last of Holm's p-values is not corrected, and .05 on one side is an interval of 90 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, fmean, stdev
from typing import Literal

from rise.evaluation.seeds import OverSeeds, over_seeds, t_tail
from rise.evaluation.uncertainty import NOTHING, Z_95, Estimate

Expects = Literal["more", "not less", "same"]
EXPECTS: tuple[Expects, ...] = ("more", "not less", "same")
Verdict = Literal["holds", "does not hold", "undecided"]

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Share:
    """Σ count / Σ among over problems: a share of problems (among 1 each), or of replies, or a mean of any number."""

    count: Mapping[str, float]
    """Problem → how much counted."""
    among: Mapping[str, float]
    """Problem → out of how much; a problem with 0 takes no part in the value."""

    @property
    def value(self) -> float | None:
        total = sum(self.among.values())
        return sum(self.count.values()) / total if total else None

    def influence(self) -> dict[str, float]:
        """How far each of the n problems that take part pulls the value: n · (xᵢ − p·dᵢ) / Σ d, in sum zero (linearised ratio).

        >>> Share({"a": 1, "b": 0}, {"a": 1, "b": 1}).influence()
        {'a': 0.5, 'b': -0.5}
        """
        value, total = self.value, sum(self.among.values())
        if value is None:
            return {}
        taking_part = {name: d for name, d in self.among.items() if d > 0}
        return {name: len(taking_part) * (self.count[name] - value * d) / total for name, d in taking_part.items()}


Signed = Sequence[tuple[float, Share]]
"""A sum of shares, each with its sign (or factor)."""


def over_problems(seeds: Sequence[Signed], constants: Sequence[float] = ()) -> Estimate:
    """The sum, averaged over trainings, with the interval of the choice of problems for these trainings.

    Each problem's influences are added with their signs and averaged over the trainings; where two shares are of the same
    problems that pairs them, where they are of others it does not. As in `paired_difference`, two pseudo-problems, one at +s and
    one at −s (s the largest factor), keep the interval open where nothing varied:

        N = m + 2,   half = 1.96 √((Σ zᵢ² + 2 s²) / N²)

    With none of eight problems changed: 1.96 √2 / 10 = ± .277, Bonett and Price's own.

    >>> eight = Share(dict.fromkeys("abcdefgh", 1.0), dict.fromkeys("abcdefgh", 1.0))
    >>> e = over_problems([[(1, eight), (-1, eight)]])
    >>> e.value, round(e.low, 3), round(e.high, 3), e.n
    (0.0, -0.277, 0.277, 8)
    """
    constants = constants or [0.0] * len(seeds)
    values = [total(signed, constant) for signed, constant in zip(seeds, constants, strict=True)]
    if any(value is None for value in values) or not all(seeds):
        return NOTHING
    pulled: dict[str, float] = {}
    sizes: list[int] = []
    for signed in seeds:
        for factor, share in signed:
            own = share.influence()
            sizes.append(len(own))
            for name, pull in own.items():
                # Of shares over unequal numbers of problems each counts with its own.
                pulled[name] = pulled.get(name, 0.0) + factor * pull / len(own) / len(seeds)
    n = min(sizes, default=0)
    if n == 0:
        return NOTHING
    value = fmean(value for value in values if value is not None)
    scale = max(abs(factor) for factor, _ in seeds[0])
    half = Z_95 * math.sqrt(sum((pull * n) ** 2 for pull in pulled.values()) + 2 * scale * scale) / (n + 2)
    return Estimate(value, value - half, value + half, n)


def total(signed: Signed, constant: float = 0.0) -> float | None:
    """The sum itself; None where a share is of nothing."""
    values = [(factor, share.value) for factor, share in signed]
    if any(value is None for _, value in values):
        return None
    return constant + sum(factor * value for factor, value in values if value is not None)


def found(seeds: Mapping[int, Signed], constants: Mapping[int, float] | None = None) -> OverSeeds:
    """A compared number out of its shares, training by training; `constants` are what a training's sum has beside them."""
    beside = {seed: (constants or {}).get(seed, 0.0) for seed in seeds}
    known = {seed: value for seed, signed in seeds.items() if (value := total(signed, beside[seed])) is not None}
    by_seed = {seed: replace(over_problems([seeds[seed]], [beside[seed]]), value=value) for seed, value in known.items()}
    trainings = over_seeds(list(known.values()), least=-math.inf, most=math.inf)
    return OverSeeds(by_seed, trainings, over_problems([seeds[seed] for seed in known], [beside[seed] for seed in known]))


def p_above(of: OverSeeds, null: float) -> float | None:
    """One-sided p-value of "not above `null`": the larger of the trainings' and the problems'; None if neither is known."""
    values, problems = of.values, of.problems
    ps = [_t_above(values, null)] if len(values) > 1 else []
    if problems.low is not None and problems.value is not None:
        error = (problems.value - problems.low) / Z_95
        ps.append(1 - NormalDist().cdf((problems.value - null) / error))
    return max(ps, default=None)


def p_below(of: OverSeeds, null: float) -> float | None:
    """The same of "not below `null`"."""
    by_seed = {seed: _turned(estimate) for seed, estimate in of.by_seed.items()}
    return p_above(OverSeeds(by_seed, _turned(of.seeds), _turned(of.problems)), -null)


def _t_above(values: Sequence[float], null: float) -> float:
    spread = stdev(values) / math.sqrt(len(values))
    if spread == 0:
        return 0.0 if fmean(values) > null else 1.0
    return t_tail((fmean(values) - null) / spread, len(values) - 1)


def _turned(estimate: Estimate) -> Estimate:
    low, high = (None if end is None else -end for end in (estimate.high, estimate.low))
    return Estimate(None if estimate.value is None else -estimate.value, low, high, estimate.n)


def p_value(of: OverSeeds, expects: Expects, matters: float) -> float | None:
    """Of the null hypothesis that the claim fails: not above 0; not above −m; or outside ±m (two one-sided tests, the larger)."""
    if expects == "more":
        return p_above(of, 0.0)
    if expects == "not less":
        return p_above(of, -matters)
    above, below = p_above(of, -matters), p_below(of, matters)
    return None if above is None or below is None else max(above, below)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values of Holm (1979): the smallest times m, the next times m − 1, …, never falling, at most 1.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'c': 0.06, 'b': 0.06}
    """
    adjusted: dict[str, float] = {}
    most = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        most = max(most, min(1.0, p * (len(p_values) - rank)))
        adjusted[name] = most
    return adjusted


def decide(of: OverSeeds, expects: Expects, matters: float, adjusted: float | None) -> Verdict:
    """What the rule says. `adjusted` is Holm's p-value of the claim.

    A gain that is surely smaller than what matters does not hold, however surely it is above zero.

    >>> gain = Estimate(0.10, 0.06, 0.14, 1000)
    >>> of = OverSeeds({}, gain, gain)
    >>> decide(of, "more", 0.05, 0.001), decide(of, "more", 0.20, 0.001), decide(of, "same", 0.05, 0.99)
    ('holds', 'does not hold', 'does not hold')
    >>> decide(of, "more", 0.05, 0.2), decide(of, "not less", 0.05, 0.001), decide(of, "same", 0.12, 0.4)
    ('undecided', 'holds', 'undecided')
    """
    both = of.known
    if both.value is None or both.low is None or both.high is None or adjusted is None:
        return "undecided"
    least = {"more": 0.0, "not less": -matters, "same": -matters}[expects]
    sure = adjusted < LEVEL and both.low > least and (expects != "same" or both.high < matters)
    if expects == "more":
        if both.high < matters:
            return "does not hold"
        return "holds" if sure and both.value >= matters else "undecided"
    if expects == "not less":
        if both.high < 0 and both.value <= -matters:
            return "does not hold"
        return "holds" if sure else "undecided"
    if (both.low > 0 and both.value >= matters) or (both.high < 0 and both.value <= -matters):
        return "does not hold"
    return "holds" if sure else "undecided"


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Of a claim that says several things at once: all must hold, one that does not is enough against it.

    >>> together(["holds", "undecided"]), together(["undecided", "does not hold"]), together(["holds"])
    ('undecided', 'does not hold', 'holds')
    """
    if "does not hold" in verdicts:
        return "does not hold"
    return "holds" if verdicts and all(verdict == "holds" for verdict in verdicts) else "undecided"
