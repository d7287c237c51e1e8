"""Reward → training weight, exp(r / τ). RISE, arXiv 2407.18219, eq. 4.6."""

from __future__ import annotations

import math
from collections.abc import Sequence


def reward_weight(reward: float, temperature: float, *, baseline: float = 0.0, clip: float | None = None) -> float:
    """How strongly to imitate a reply: exp((reward − baseline) / temperature), at most `clip`.

    The baseline is the mean reward of the problem's judged replies where `weigh.centre` is set (paper §4.2), else 0.

    >>> [round(reward_weight(r, temperature=0.4), 2) for r in (0.0, 1.0)]
    [1.0, 12.18]
    >>> round(reward_weight(1.0, temperature=0.4, baseline=0.5), 2)
    3.49
    """
    exponent = (reward - baseline) / temperature
    if clip is not None and exponent >= math.log(clip):
        return clip  # before exp, which overflows from 710 on
    return math.exp(exponent)


def mean_one(weights: Sequence[float]) -> list[float]:
    """Weights scaled to mean 1, so that learning rate and clipping mean the same at every temperature.

    >>> mean_one([1.0, 3.0])
    [0.5, 1.5]
    """
    total = sum(weights)
    return [weight * len(weights) / total for weight in weights] if total > 0 else list(weights)


def effective_sample_size(weights: Sequence[float]) -> float:
    """(Σw)² ÷ Σw²: how many equally weighted examples carry as much (Kish 1965).

    >>> effective_sample_size([1.0, 1.0, 1.0])
    3.0
    >>> effective_sample_size([3.0, 0.0])
    1.0
    """
    squares = sum(weight * weight for weight in weights)
    return sum(weights) ** 2 / squares if squares > 0 else 0.0
