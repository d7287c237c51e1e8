"""Which replies of a trajectory become examples. The reference code's `--criteria`, with its faults mended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rise.errors import ConfigError, did_you_mean


@dataclass(frozen=True, slots=True)
class KeepRule:
    """One way to choose among the replies of a trajectory."""

    about: str
    """What it keeps, in one sentence."""
    flags: Callable[[Sequence[float], Sequence[bool]], list[bool]]
    """(rewards_K, right_K) → for each turn, whether its reply trains."""
    gains_only: bool = False
    """Whether it drops every reply whose reward is no higher than that of an earlier one."""


def every_reply(rewards_K: Sequence[float], right_K: Sequence[bool]) -> list[bool]:
    return [True] * len(rewards_K)


def above_all_earlier(rewards_K: Sequence[float], right_K: Sequence[bool]) -> list[bool]:
    highest = float("-inf")
    kept = []
    for reward in rewards_K:
        kept.append(reward > highest)
        highest = max(highest, reward)
    return kept


def first_of_the_highest(rewards_K: Sequence[float], right_K: Sequence[bool]) -> list[bool]:
    first = list(rewards_K).index(max(rewards_K)) if rewards_K else -1
    return [k == first for k in range(len(rewards_K))]


def right_replies(rewards_K: Sequence[float], right_K: Sequence[bool]) -> list[bool]:
    return list(right_K)


def right_or_nothing_lost(rewards_K: Sequence[float], right_K: Sequence[bool]) -> list[bool]:
    return [right or not any(right_K[:k]) for k, right in enumerate(right_K)]


KEEP_RULES: dict[str, KeepRule] = {
    "all": KeepRule("Every judged reply.", every_reply),
    "better": KeepRule("Replies with a reward above that of every earlier turn, and turn 1.", above_all_earlier, gains_only=True),
    "best": KeepRule("The first reply with the trajectory's highest reward.", first_of_the_highest, gains_only=True),
    "success": KeepRule("Right replies only.", right_replies),
    "no-loss": KeepRule("Right replies, and wrong ones where nothing was right before.", right_or_nothing_lost),
}
"""The values of `keep.rule`. A rule added here is accepted by every recipe."""


def keep(rewards_K: Sequence[float], rule: str, *, right_K: Sequence[bool] | None = None) -> list[bool]:
    """For each turn of one trajectory, whether its reply trains. Turn 1 is subject to the rule like any other.

    `rule` is a name in `KEEP_RULES`. Without `right_K`, replies with reward 1 or more are right.
    Raises `ConfigError` for an unknown rule.

    >>> keep([0, 1, 0, 1], "better")
    [True, True, False, False]
    >>> keep([0, 1, 0, 1], "best")
    [False, True, False, False]
    >>> keep([0, 1, 0, 1], "success")
    [False, True, False, True]
    >>> keep([0, 1, 0, 1], "no-loss")
    [True, True, False, True]
    """
    check_keep_rule(rule)
    return KEEP_RULES[rule].flags(rewards_K, [reward >= 1 for reward in rewards_K] if right_K is None else right_K)


def check_keep_rule(rule: str) -> str:
    """The name itself. Raises `ConfigError` where `KEEP_RULES` does not have it."""
    if rule not in KEEP_RULES:
        raise ConfigError(f'there is no keep rule "{rule}". {did_you_mean(rule, KEEP_RULES)}')
    return rule
