"""A number over problems, for several trainings at once: each problem by what it scored on average over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from rise.evaluation.headline import Difference, Metric, Played
from rise.evaluation.uncertainty import NOTHING, Estimate, mean, paired_difference, ratio
from rise.evaluation.verdict import Share, over_problems


def pooled(entry: Metric | Difference, seeds: Sequence[Sequence[Played]], *, truthful: bool = False) -> Estimate:
    """A metric over problems when every problem scores its mean over the seeds. `seeds[s][p]` is problem p under seed s."""
    if isinstance(entry, Difference):
        return NOTHING if truthful and not entry.with_oracle else _difference([_sides(entry, of) for of in seeds])
    problems = list(zip(*seeds, strict=True))
    if entry.among is not None:
        among = entry.among
        return ratio([sum(map(entry.score, of)) for of in problems], [sum(map(among, of)) for of in problems])
    return mean([fmean(map(entry.score, of)) for of in problems])


Sides = Mapping[str, tuple[float, float]]
"""Problem → both sides of a difference, of the problems that were asked."""


def _sides(entry: Difference, played: Sequence[Played]) -> Sides:
    pairs = ((str(p), entry.left(of), entry.right(of)) for p, of in enumerate(played))
    return {name: (left, right) for name, left, right in pairs if left is not None and right is not None}


def _difference(seeds: Sequence[Sides]) -> Estimate:
    """A seed that was asked no problem takes no part. Where seeds were asked different ones, each counts with its own mean."""
    asked = [sides for sides in seeds if sides]
    if not asked:
        return NOTHING
    if all(sides.keys() == asked[0].keys() for sides in asked):
        left, right = ([fmean(sides[name][side] for sides in asked) for name in asked[0]] for side in (0, 1))
        return paired_difference(left, right)
    shares = [Share({n: left - right for n, (left, right) in of.items()}, dict.fromkeys(of, 1.0)) for of in asked]
    found = over_problems([[(1.0, share)] for share in shares])
    assert found.low is not None and found.high is not None, "every seed was asked something"
    return replace(found, low=max(-1.0, found.low), high=min(1.0, found.high))
