"""Reward → training weight, exp(r / τ). RISE, arXiv 2407.18219, eq. 4.6."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rise.errors import ConfigError, did_you_mean


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


def equal_weight(reward: float, temperature: float, *, baseline: float = 0.0, clip: float | None = None) -> float:
    """1 for every reply, whatever its reward."""
    return 1.0


def signed_weight(reward: float, temperature: float, *, baseline: float = 0.0, clip: float | None = None) -> float:
    """reward − baseline, between −`clip` and `clip`: with the baseline of `weigh.centre`, a reply below the mean is pushed down.

    >>> [signed_weight(r, 0.4, baseline=0.25) for r in (0.0, 1.0)], signed_weight(1.0, 0.4, baseline=0.25, clip=0.5)
    ([-0.25, 0.75], 0.5)
    """
    weight = reward - baseline
    return weight if clip is None else max(-clip, min(clip, weight))


@dataclass(frozen=True, slots=True)
class WeighRule:
    """One way from a reward to a training weight."""

    about: str
    """What it does, in one sentence."""
    weight: Callable[..., float]
    """Called like `reward_weight`: (reward, temperature, baseline=, clip=) → the raw weight; below 0 the reply is pushed down."""


WEIGH_RULES: dict[str, WeighRule] = {
    "exp": WeighRule("exp(reward / temperature), the paper's eq. 4.6.", reward_weight),
    "equal": WeighRule("The same weight for every example: plain supervised fine-tuning.", equal_weight),
    "reward": WeighRule("The reward itself, centred or not: below 0 a reply is pushed down.", signed_weight),
}
"""The values of `weigh.rule`. A rule added here is accepted by every recipe."""


def check_weigh_rule(rule: str) -> str:
    """The name itself. Raises `ConfigError` where `WEIGH_RULES` does not have it."""
    if rule not in WEIGH_RULES:
        raise ConfigError(f'there is no weigh rule "{rule}". {did_you_mean(rule, WEIGH_RULES)}')
    return rule


def raw_weight(
    reward: float, rule: str = "exp", *, temperature: float = 0.4, baseline: float = 0.0, clip: float | None = None
) -> float:
    """The raw weight of a reply by a rule of `WEIGH_RULES`. Raises `ConfigError` where the weight overflows.

    >>> round(raw_weight(1.0, "exp", temperature=0.4), 2), raw_weight(1.0, "equal")
    (12.18, 1.0)
    """
    check_weigh_rule(rule)
    try:
        return WEIGH_RULES[rule].weight(reward, temperature, baseline=baseline, clip=clip)
    except OverflowError:
        raise ConfigError(
            f"exp(reward / temperature) is too large for reward {reward} and weigh.temperature = {temperature}. "
            "Raise weigh.temperature; the paper's is 0.4."
        ) from None


def mean_one(weights: Sequence[float]) -> list[float]:
    """Weights scaled so that they are 1 on average, whatever their sign: learning rate and clipping then mean the same at
    every temperature.

    >>> mean_one([1.0, 3.0]), mean_one([1.0, -3.0])
    ([0.5, 1.5], [0.5, -1.5])
    """
    total = sum(map(abs, weights))
    return [weight * len(weights) / total for weight in weights] if total > 0 else list(weights)


def effective_sample_size(weights: Sequence[float]) -> float:
    """(Σ|w|)² ÷ Σw²: how many equally weighted examples carry as much (Kish 1965, of the sizes of weights).

    >>> effective_sample_size([1.0, 1.0, -1.0])
    3.0
    >>> effective_sample_size([3.0, 0.0])
    1.0
    """
    squares = sum(weight * weight for weight in weights)
    return sum(map(abs, weights)) ** 2 / squares if squares > 0 else 0.0
