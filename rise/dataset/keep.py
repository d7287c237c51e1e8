"""Which replies of a trajectory become examples: all, better, best, success. The reference code's `--criteria`, mended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

KeepRule = Literal["all", "better", "best", "success"]


def keep(rewards_K: Sequence[float], rule: KeepRule, *, right_K: Sequence[bool] | None = None) -> list[bool]:
    """For each turn of one trajectory, whether its reply trains. Turn 1 is subject to the rule like any other.

    all      every judged reply
    better   reward above every earlier one (turn 1 always is)
    best     the first reply with the trajectory's highest reward
    success  right replies only, as `right_K` says; without it, those with reward 1 or more

    >>> keep([0, 1, 0, 1], "better")
    [True, True, False, False]
    >>> keep([0, 1, 0, 1], "best")
    [False, True, False, False]
    >>> keep([0, 1, 0, 1], "success")
    [False, True, False, True]
    """
    if rule == "all":
        return [True] * len(rewards_K)
    if rule == "success":
        return list(right_K) if right_K is not None else [reward >= 1 for reward in rewards_K]
    if rule == "best":
        first = list(rewards_K).index(max(rewards_K)) if rewards_K else -1
        return [k == first for k in range(len(rewards_K))]
    highest = float("-inf")
    kept = []
    for reward in rewards_K:
        kept.append(reward > highest)
        highest = max(highest, reward)
    return kept
